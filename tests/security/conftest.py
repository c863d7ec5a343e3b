"""A stack as an attacker finds it: it asks for tokens, a ride is under way, and a stranger's ride beside it."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import boto3
import jwt
import pytest

import get_message.app
import make_call.app
import send_message.app
import websocket.app
from tests.fakes import tables
from tests.worlds.moto import World, world

__all__ = ["world"]

HANDLERS = {
    "POST /api/v1/send_message": send_message.app.handler,
    "POST /api/v1/make_call": make_call.app.handler,
    "GET /api/v1/get_message": get_message.app.handler,
    "GET /api/v1/calls": make_call.app.handler,
    "GET /api/v1/attachment": get_message.app.handler,
}
ACTIONS = {
    "message": send_message.app.handler,
    "delivered": send_message.app.handler,
    "read": send_message.app.handler,
    "redact": send_message.app.handler,
    "attach": send_message.app.handler,
    "call": make_call.app.handler,
    "signal": make_call.app.handler,
    "sync": get_message.app.handler,
    "typing": websocket.app.handler,
    "away": websocket.app.handler,
    "ping": websocket.app.handler,
}
FRAMES: list[dict[str, Any]] = [
    {"action": "message", "message": "Hello"},
    {"action": "delivered", "seq": 1},
    {"action": "read", "seq": 1},
    {"action": "call", "call_action": "initiate"},
    {"action": "sync"},
    {"action": "typing", "on": True},
    {"action": "ping"},
    {"action": "away", "on": False},
    {"action": "redact", "timestamp": "2026-03-01T10:00:00.000000Z"},
    {"action": "attach", "content_type": "image/png", "bytes": 5},
]
"""A frame of every action that needs no call."""
ABSENT: list[tuple[str, dict[str, Any]]] = [
    ("GET /api/v1/attachment", {"id": "0" * 32}),
    ("POST /api/v1/send_message", {"redact": "2026-03-01T10:00:00.000000Z"}),
    ("POST /api/v1/send_message", {"attach": {"content_type": "image/png", "bytes": 5}}),
]
"""Requests for something that does not exist."""
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("POST /api/v1/send_message", {"message": "Hello"}),
    ("POST /api/v1/send_message", {"delivered": 1}),
    ("POST /api/v1/send_message", {"read": 1}),
    ("POST /api/v1/make_call", {"action": "initiate"}),
    ("GET /api/v1/get_message", {}),
    ("GET /api/v1/calls", {}),
    *ABSENT,
]
"""A request of every kind, without its booking."""


class Stack:
    """The ride `mine` (driver `d1`, passenger `p1`) and the ride `theirs` (`d2`, `p2`), each with one message.

    Attachments are switched off; a client without rights may not even learn that.
    """

    def __init__(self, world: World, secret: str) -> None:
        self.world = world
        self.secret = secret
        for booking_code, driver, passenger in (("mine", "d1", "p1"), ("theirs", "d2", "p2")):
            world.connect(driver, "driver", booking_code)
            world.connect(passenger, "passenger", booking_code)
            status, _ = self.ask(
                "POST /api/v1/send_message",
                {"booking_code": booking_code, "message": f"secret of {booking_code}"},
                self.token(booking_code=booking_code),
            )
            assert status == 201
        world.gateway.frames.clear()

    def token(self, secret: str | None = None, **changes: Any) -> str:
        """The driver's token for `mine`, with changes. None leaves a claim out."""
        claims = {
            "sub": "driver-7",
            "booking_code": "mine",
            "role": "driver",
            "exp": int(time.time()) + 3600,
            "aud": "navietakie",
        }
        kept = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(kept, secret or self.secret, algorithm="HS256")

    def ask(
        self, route: str, fields: dict[str, Any], token: str | None = None, raw: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Makes a REST request. Returns status and body."""
        method, _, path = route.partition(" ")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        how: dict[str, Any] = {"query": {k: str(v) for k, v in fields.items()}} if method == "GET" else {"body": fields}
        status, body, _ = self.world.rest(HANDLERS[route], method, path, **how, headers=sent, raw=raw)
        return status, body

    def connect(self, query: dict[str, str], **headers: str) -> int:
        """The status of a `$connect`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.world.lifecycle(websocket.app.handler, "$connect", "new", query, sent)["statusCode"]

    def say(self, connection_id: str, frame: dict[str, Any]) -> list[dict[str, Any]]:
        """Sends a frame. Returns what the connection gets after it."""
        return self.world.socket(ACTIONS.get(frame["action"], websocket.app.handler), connection_id, frame)

    def everything(self) -> str:
        """Everything that is stored, sent or queued."""
        stored = {name: self.world.rows(name) for name in tables.NAMES}
        sent = {connection: frames for connection, frames in self.world.gateway.frames.items() if frames}
        return json.dumps([stored, sent, self.world.queued(), self.world.published()], sort_keys=True)

    @contextmanager
    def untouched(self) -> Generator[None]:
        """Fails if anything is stored, sent or queued inside, except error frames to the sender of a frame."""
        before = self.everything()
        yield
        for connection, frames in self.world.gateway.frames.items():
            self.world.gateway.frames[connection] = [frame for frame in frames if frame["type"] != "error"]
        assert self.everything() == before


@pytest.fixture
def stack(world: World, monkeypatch: pytest.MonkeyPatch) -> Stack:
    secrets: Any = boto3.client("secretsmanager")
    secret = "signing-" * 8
    monkeypatch.setenv("TOKEN_SECRET_ARN", secrets.create_secret(Name="tokens", SecretString=secret)["ARN"])
    monkeypatch.setenv("ENVIRONMENT", "staging")
    monkeypatch.setenv("AUTH_MODE", "none")  # has no effect in a deployed environment
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://app.example")
    stack = Stack(world, secret)
    stack.everything()  # empties the queues
    return stack
