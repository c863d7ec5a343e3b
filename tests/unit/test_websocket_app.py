"""Frames of a connection at the doors of websocket: who may type and be away, and when it was."""

from dataclasses import dataclass, field
from typing import Any

import pytest

import websocket.app
from navietakie.aws.tables.connections import Connection
from navietakie.domain import instants
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal
from navietakie.domain.orders import Rights
from navietakie.doors.requests import SocketRequest, party_of

NOW = instants.from_text("2026-03-01T10:00:00.123456Z")
OWN = Connection("d1", "ride-1", "driver", instants.to_text(NOW), 2**40, token_exp=2**40, token_iat=1_000)
CLOSED = Rights(closed_at=instants.to_text(NOW - 1))
MUTED = Rights(muted={"driver": instants.to_text(NOW - 1)})
REVOKED = Rights(revoked={"driver": instants.to_text(NOW)})


@dataclass
class World:
    """A booking with these rights, and what was told and stored."""

    rights: Rights = field(default_factory=Rights)
    log: list[Any] = field(default_factory=list[Any])

    def head(self, booking_code: str) -> Head:
        self.log.append("head")
        return Head(rights=self.rights)

    def gather(self, booking_code: str, now: int) -> None:
        self.log.append(f"gather {booking_code} {now == NOW}")

    def to_booking(self, booking_code: str, frame: Any, now: int, *, to: Any, rights: Rights) -> None:
        assert not to(OWN)
        assert rights is self.rights
        self.log.append("told")

    def set_away(self, connection: Connection, rights: Rights, *, away: bool, at: int, now: int) -> None:
        assert rights is self.rights
        self.log.append(("away", away, at))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    it = World()
    monkeypatch.setattr(websocket.app, "messages", lambda: it)
    monkeypatch.setattr(websocket.app, "connections", lambda: it)
    monkeypatch.setattr(websocket.app, "Attendance", lambda *_: it)
    monkeypatch.setattr(SocketRequest, "broadcast", lambda _: it)
    return it


def frame(taken_ms: int | None = None, **fields: Any) -> SocketRequest:
    context: Any = {} if taken_ms is None else {"requestTimeEpoch": taken_ms}
    return SocketRequest(OWN, party_of(OWN, {}), fields, None, NOW, 1e9, {"requestContext": context})


def test_the_others_of_who_types_are_looked_up_beside_the_head(world: World) -> None:
    websocket.app.on_typing(frame(on=True))
    assert world.log == ["gather ride-1 True", "head", "told"]


@pytest.mark.parametrize(("rights", "code"), [(CLOSED, "booking_closed"), (MUTED, "muted"), (REVOKED, "unauthorized")])
def test_nobody_is_told_of_one_who_may_not_write(world: World, rights: Rights, code: str) -> None:
    world.rights = rights
    with pytest.raises(Refusal) as refused:
        websocket.app.on_typing(frame(on=True))
    assert refused.value.code == code
    assert "told" not in world.log


def test_away_counts_from_when_api_gateway_took_the_frame_or_else_from_now(world: World) -> None:
    websocket.app.on_away(frame(1_772_359_200_005, on=True))
    websocket.app.on_away(frame(on=False))
    assert world.log == ["head", ("away", True, 1_772_359_200_005), "head", ("away", False, NOW // 1_000)]


def test_a_revoked_token_is_not_away_and_a_closed_booking_does_not_matter(world: World) -> None:
    world.rights = REVOKED
    with pytest.raises(Refusal) as refused:
        websocket.app.on_away(frame(on=True))
    assert (refused.value.code, world.log) == ("unauthorized", ["head"])
    world.rights = CLOSED
    websocket.app.on_away(frame(5, on=True))
    assert world.log[-1] == ("away", True, 5)
