"""How the end-to-end tests talk to a running stack: REST by httpx, WebSocket by websockets."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from local.stack import Stack


def ask(stack: Stack, token: str | None, method: str, path: str, **fields: Any) -> httpx.Response:
    """A request by REST."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    how: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields}
    return httpx.request(method, f"{stack.url}/api/v1/{path}", headers=headers, timeout=60, **how)


@contextmanager
def connected(stack: Stack, query: str, token: str | None = None) -> Generator[ClientConnection]:
    """A WebSocket. It offers the token as a subprotocol, as browsers do."""
    offered: Any = ["navietakie.v1", f"bearer.{token}"] if token else None
    with connect(f"{stack.websocket_url}?{query}", subprotocols=offered, open_timeout=60) as socket:
        yield socket


def tell(socket: ClientConnection, action: str, **fields: Any) -> None:
    """Sends a frame."""
    socket.send(json.dumps({"action": action, **fields}))


def hear(socket: ClientConnection, type: str, seconds: float = 30) -> dict[str, Any]:
    """The next frame of a type. Skips others."""
    end = time.monotonic() + seconds
    while True:
        frame = json.loads(socket.recv(timeout=max(0.0, end - time.monotonic())))
        if frame["type"] == type:
            return frame
