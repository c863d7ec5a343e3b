"""`make chat BOOKING=test ROLE=passenger`: a booking in a terminal. It sends what you type and shows what comes.

The lines may also come from a pipe or a file. Then it ends a second after the last of them was answered.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final
from urllib.parse import urlencode

import websockets

from clients.command import Command, Failed, Option
from clients.deployment import Deployment
from clients.tokens import DeployedSecret, Wanted, token
from navietakie.domain.frames import FRAME_BYTES

COMMAND: Final = Command(
    "chat",
    "A booking in the terminal: it sends what you type and shows what comes.",
    (
        Option("booking", "test", "names the conversation", "test"),
        Option("role", "passenger|driver", "whom to be", "passenger"),
    ),
)
DOES: Final = {"accept": "answers", "reject": "declines", "end": "ends"}
"""The verb for each action of a call."""
BREAKS: Final = re.compile("\r\n|[\n\u2028\u2029]")
COMMANDS: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, characters that override the direction of writing, and halves of surrogate pairs."""
INDENT: Final = " " * 20
"""As wide as the time and the sender in front of a message."""
UNANSWERED: Final = ("typing", "delivered", "read", "signal")
"""The actions that the server does not answer, unless it refuses them."""


async def chat(url: str, subprotocols: list[websockets.Subprotocol], typed: BinaryIO) -> None:
    """Shows what comes and sends the lines of `typed` until they end. Raises ConnectionClosed if the line ends."""
    answers = asyncio.Semaphore(0)
    async with websockets.connect(url, subprotocols=subprotocols) as socket:
        print("Connected. Type a message, or paste a frame as JSON; Ctrl-D or Ctrl-C leaves.", file=sys.stderr)
        showing = asyncio.create_task(show(socket, answers))
        sending = asyncio.create_task(send(socket, typed, answers))
        try:
            done, _ = await asyncio.wait((showing, sending), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            showing.cancel()
            sending.cancel()


async def show(socket: websockets.ClientConnection, answers: asyncio.Semaphore) -> None:
    """Shows each message once and every other frame as a line, and counts answers. Ends by raising ConnectionClosed."""
    shown: set[str] = set()
    while True:
        frame = json.loads(await socket.recv())
        kind = frame.get("type")
        messages = messages_in(frame)
        for message in messages:
            if message["message_id"] not in shown:
                shown.add(message["message_id"])
                say(f"{message['timestamp'][11:19]} {message['sender']:>9}: {content_of(message)}")
        if not messages and kind != "sync":
            say(line_of(frame))
        if kind in ("ack", "pong", "error", None) or (kind == "sync" and not frame["has_more"]):
            answers.release()


def say(line: str) -> None:
    """Prints what somebody wrote. Indents its line breaks, so that no part of it looks like a line of somebody else.

    Replaces what a terminal would obey and what would change the direction of writing. Leaves everything else as it
    is, also the invisible characters that join the parts of an emoji or separate two letters.
    """
    shown = "".join("\ufffd" if COMMANDS.fullmatch(each) else each for each in BREAKS.sub("\n", line))
    print(shown.replace("\n", "\n" + INDENT), flush=True)


def content_of(message: dict[str, Any]) -> str:
    """A message's text; if it has none, what it has instead, in parentheses."""
    if message.get("redacted_at"):
        return "(removed)"
    return message["message"] or f"({message.get('message_type')})"


def messages_in(frame: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages that a frame carries. API Gateway's own frames have a text named `message`, and no `type`."""
    match frame.get("type"):
        case "sync":
            return frame["messages"]
        case "message" | "ack":
            return [frame["message"]] if "message" in frame else []  # the ack of a call has none
        case _:
            return []


def line_of(frame: dict[str, Any]) -> str:
    """A frame without messages, in words. In JSON if it is unknown, or answers a frame that was pasted as JSON."""
    who = f"{frame.get('ts', '')[11:19]} {frame.get('sender')}"
    match frame:
        case {"type": "call", "call_action": "initiate", "call_id": call_id}:
            accept = json.dumps({"action": "call", "call_action": "accept", "call_id": call_id}, separators=(",", ":"))
            return f"{who} calls. To answer, paste {accept}"
        case {"type": "call", "call_action": action, "call": {"end_reason": reason}} if action in DOES:
            return f"{who} {DOES[action]} the call" + (f" ({reason})" if reason else "")
        case {"type": "presence", "online": online}:
            return f"{who} is {'online' if online else 'offline'}"
        case {"type": "typing", "on": on}:
            return f"{who} {'is typing' if on else 'has stopped typing'}"
        case {"type": "receipt", "action": action, "seq": seq}:
            return f"{who} has {'read' if action == 'read' else 'received'} everything up to {seq}"
        case {"type": "signal"}:
            return f"{who} signals"
        case {"type": "error", "error": {"code": code, "message": message}}:
            return f"{code}: {message}"
        case {"message": str(message)} if "type" not in frame:
            return f"API Gateway: {message}"
        case _:
            return json.dumps(frame, ensure_ascii=False)


async def send(socket: websockets.ClientConnection, typed: BinaryIO, answers: asyncio.Semaphore) -> None:
    """Sends each line as a message, or as a frame if it is one. Returns when the lines end."""
    await socket.send(json.dumps({"action": "sync"}))
    if os.path.samestat(os.fstat(typed.fileno()), os.stat(os.devnull)):
        await asyncio.Event().wait()  # there is no input: only listen
    in_turn = not typed.isatty()  # frames may overtake each other, so each waits for the answer to the one before
    if in_turn:
        await answers.acquire()
    lines = lines_of(typed)
    while line := await lines.get():
        if text := line.decode(errors="replace").strip():
            message = {"action": "message", "message": text}
            frame = text if text.startswith("{") else json.dumps(message, ensure_ascii=False)
            if (size := len(frame.encode())) > FRAME_BYTES:
                print(f"Not sent: {size:,} bytes as a frame, {FRAME_BYTES:,} are the most", flush=True)
                continue
            await socket.send(frame)
            if in_turn and is_answered(frame):
                await answers.acquire()
    if in_turn:
        await asyncio.sleep(1)  # what the last line causes may still come


def lines_of(typed: BinaryIO) -> asyncio.Queue[bytes]:
    """The lines of `typed` as they come, and b"" at the end.

    A thread reads them: an event loop cannot wait for a file, and would make the terminal's output non-blocking.
    """
    lines = asyncio.Queue[bytes]()
    loop = asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for more
            for line in typed:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, b"")

    threading.Thread(target=read, daemon=True).start()
    return lines


def is_answered(frame: str) -> bool:
    """Whether the server answers this frame also when it does not refuse it."""
    try:
        return json.loads(frame).get("action") not in UNANSWERED
    except ValueError:
        return True


def main(argv: Sequence[str] = ()) -> None:
    """Connects as BOOKING, ROLE and ENV say. Ends with the status 1, unless the user left."""
    COMMAND.run(argv, converse)


def converse(told: Mapping[str, str]) -> None:
    """Chats until the user leaves. Raises Failed if the connection ends first."""
    deployment = Deployment.find(told["env"])
    role = told["role"]
    wanted = Wanted.parse({"booking": told["booking"], "role": role, "sub": role, "ttl": 7200})
    subprotocols = [websockets.Subprotocol("navietakie.v1")]
    if deployment.auth_mode == "jwt":
        minted = token(DeployedSecret(deployment.environment).current(), wanted, time.time())
        subprotocols.append(websockets.Subprotocol(f"bearer.{minted}"))
    url = f"{deployment.websocket_url}?{urlencode({'booking_code': wanted.booking, 'sender': wanted.role})}"
    try:
        # Not sys.stdin: at its end Python closes that, and dies if a thread still reads it.
        asyncio.run(chat(url, subprotocols, os.fdopen(0, "rb", closefd=False)))
    except KeyboardInterrupt:
        pass
    except websockets.ConnectionClosed as closed:
        raise Failed(f"The connection ended: {f'code {closed.rcvd}' if closed.rcvd else 'it broke'}") from None
    except (OSError, websockets.WebSocketException) as error:
        raise Failed(f"The connection ended: {error}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
