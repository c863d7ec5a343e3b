"""`make chat BOOKING=test ROLE=passenger`: a booking in a terminal. What is typed is sent, what comes is shown."""

import asyncio
import json
import os
import stat
import sys
import time
from typing import Any
from urllib.parse import urlencode

import websockets

from clients.deployment import Deployment, NotFound
from clients.tokens import DeployedSecret, Wanted, token
from navietakie.errors import Refusal


async def chat(url: str, subprotocols: list[websockets.Subprotocol]) -> None:
    """Shows what comes and sends the lines typed, until either side ends it."""
    shown: set[str] = set()
    async with websockets.connect(url, subprotocols=subprotocols) as socket:
        print("Connected. Type a message, or paste a frame as JSON; Ctrl-D or Ctrl-C leaves.", file=sys.stderr)
        await socket.send(json.dumps({"action": "sync"}))
        typing = asyncio.create_task(send_lines(socket))
        try:
            async for received in socket:
                frame = json.loads(received)
                messages = messages_in(frame)
                new = [message for message in messages if message["message_id"] not in shown]
                shown.update(message["message_id"] for message in new)
                for message in new:
                    print(f"{message['timestamp'][11:19]} {message['sender']:>9}: {message['message']}", flush=True)
                if not messages and frame.get("type") != "sync":
                    print(json.dumps(frame, ensure_ascii=False), flush=True)
        finally:
            typing.cancel()


def messages_in(frame: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages that a frame carries. API Gateway's own frames have a text named `message`, and no `type`."""
    match frame.get("type"):
        case "sync":
            return frame["messages"]
        case "message" | "ack":
            return [frame["message"]] if "message" in frame else []  # the ack of a call has none
        case _:
            return []


async def send_lines(socket: websockets.ClientConnection) -> None:
    """Sends each line of standard input, then closes."""
    if not (sys.stdin.isatty() or stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode)):
        return  # nobody types here: it only listens
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        if text := line.decode().strip():
            is_frame = text.startswith("{")
            await socket.send(text if is_frame else json.dumps({"action": "message", "message": text}))
    if sys.stdin.isatty():  # Ctrl-D; what was piped in has been sent, and answers are still to come
        await socket.close()


def main() -> None:
    """Connects as the environment variables BOOKING, ROLE and ENV say."""
    environment, booking, role = (os.environ.get(each) or "" for each in ("ENV", "BOOKING", "ROLE"))
    try:
        deployment = Deployment.find(environment or "local")
        role = role or "passenger"
        wanted = Wanted.parse({"booking": booking or "test", "role": role, "sub": role, "ttl": 7200})
        subprotocols = [websockets.Subprotocol("navietakie.v1")]
        if deployment.auth_mode == "jwt":
            minted = token(DeployedSecret(deployment.environment).current(), wanted, time.time())
            subprotocols.append(websockets.Subprotocol(f"bearer.{minted}"))
    except (NotFound, Refusal) as reason:
        sys.exit(f"{reason}\nUsage: make chat BOOKING=test ROLE=passenger|driver [ENV=local|staging|production]")
    url = f"{deployment.websocket_url}?{urlencode({'booking_code': wanted.booking, 'sender': wanted.role})}"
    try:
        asyncio.run(chat(url, subprotocols))
    except KeyboardInterrupt:
        pass
    except (OSError, websockets.WebSocketException) as error:
        sys.exit(f"The connection ended: {error}")


if __name__ == "__main__":
    main()
