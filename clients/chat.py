"""`make chat BOOKING=test ROLE=passenger`: a booking in a terminal. What is typed is sent, what comes is shown."""

import asyncio
import json
import os
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
    async with websockets.connect(url, subprotocols=subprotocols or None) as socket:
        print("Connected. Type a message, or paste a frame as JSON; Ctrl-D or Ctrl-C leaves.", file=sys.stderr)
        await socket.send(json.dumps({"action": "sync"}))
        typing = asyncio.create_task(send_lines(socket))
        try:
            async for frame in socket:
                print(readable(json.loads(frame)), flush=True)
        finally:
            typing.cancel()


async def send_lines(socket: websockets.ClientConnection) -> None:
    """Sends each line of standard input, then closes."""
    lines = asyncio.StreamReader()
    try:
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    except (OSError, ValueError):  # nobody types here: it only listens
        return
    async for line in lines:
        if text := line.decode().strip():
            is_frame = text.startswith("{")
            await socket.send(text if is_frame else json.dumps({"action": "message", "message": text}))
    if sys.stdin.isatty():  # Ctrl-D; what was piped in has been sent, and answers are still to come
        await socket.close()


def readable(frame: dict[str, Any]) -> str:
    """A frame in a line or a few."""
    match frame:
        case {"type": "message", "message": message}:
            return _line(message)
        case {"type": "ack", "message": message}:
            return f"{_line(message)}  ✓ stored"
        case {"type": "sync", "messages": messages}:
            return "\n".join([*map(_line, messages), "—" if not frame.get("has_more") else ""]).rstrip("\n")
        case _:
            return json.dumps({name: it for name, it in frame.items() if name not in ("v", "ts")}, ensure_ascii=False)


def _line(message: dict[str, Any]) -> str:
    return f"{message['timestamp'][11:19]} {message['sender']:>9}: {message['message']}"


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
