"""The doors of send_message: who is told of what, on whose behalf, and what is reported of it."""

from dataclasses import dataclass, field
from typing import Any

import pytest

import send_message.app
from navietakie.aws.tables.connections import Connection
from navietakie.broadcast import Outcomes
from navietakie.domain import instants
from navietakie.domain.conversation import Head
from navietakie.domain.message import Message
from navietakie.domain.orders import Rights
from navietakie.doors.identity import Identity
from navietakie.doors.requests import Request, SocketRequest, party_of
from send_message.sending import Sent

NOW = instants.from_text("2026-03-01T10:00:00.123456Z")
RIGHTS = Rights(muted={"driver": "then"})
MESSAGE = Message(
    message_id="m1",
    booking_code="ride-1",
    seq=7,
    timestamp=instants.to_text(NOW),
    sender="driver",
    message_type="text",
    message="Hello",
)
OWN = Connection("d1", "ride-1", "driver", instants.to_text(NOW), 2**40, sender_id="driver-7")
OTHERS = [Connection("d2", "ride-1", "driver", "", 2**40), Connection("p1", "ride-1", "passenger", "", 2**40)]


@dataclass
class World:
    """The services behind the doors, which keep what they were asked for."""

    asked: list[Any] = field(default_factory=list[Any])
    late: bool = False

    def send(self, party: Any, new: Any, *, now: int, deadline: float) -> Sent:
        self.asked.append(("send", new.sender_id, new.client_message_id, new.message))
        return Sent(MESSAGE, b"frame", duplicate=self.late, rights=RIGHTS, late=self.late)

    def redact(self, party: Any, timestamp: str, *, now: int, deadline: float) -> Sent:
        self.asked.append(("redact", timestamp))
        return Sent(MESSAGE, b"frame", duplicate=False, rights=RIGHTS)

    def form(self, party: Any, new: Any, *_: Any, **__: Any) -> Any:
        self.asked.append(("form", new.content_type))
        return {"attachment": {}, "upload": {}}

    def to_booking(self, booking_code: str, frame: Any, now: int, **how: Any) -> Outcomes:
        to = how.pop("to", lambda _: True)
        told = [each.connection_id for each in (OWN, *OTHERS) if to(each)]
        self.asked.append(("told", told, how.pop("rights", None)))
        assert set(how) <= {"answers"}
        return Outcomes()

    def to_connection(self, connection: Connection, frame: Any, now: int) -> None:
        self.asked.append(("answered", connection.connection_id))

    def gather(self, booking_code: str, now: int) -> None: ...

    def report(self, sent: Sent, outcomes: Outcomes, now: int) -> None:
        self.asked.append("reported")

    def store_receipt(self, store: Any, party: Any, kind: str, seq: int, **how: Any) -> tuple[Head, bool]:
        self.asked.append((kind, seq, how["field"]))
        return Head(rights=RIGHTS), not self.late


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    it = World()
    for name in ("sending", "redacting"):
        monkeypatch.setattr(send_message.app, name, lambda _: it)
    for name in ("attaching", "messages", "rate_limit"):
        monkeypatch.setattr(send_message.app, name, lambda: it)
    for name in ("report", "store_receipt"):
        monkeypatch.setattr(send_message.app, name, getattr(it, name))
    for kind in (Request, SocketRequest):
        monkeypatch.setattr(kind, "broadcast", lambda _: it)
    return it


def post(*, headers: dict[str, str] | None = None, **fields: Any) -> tuple[int, Any]:
    body = {"booking_code": "ride-1", "sender": "driver", "sender_id": "driver-7", **fields}
    return send_message.app.post(Request(body, NOW, 1e9, {}, headers or {}))


def frame(action: str, **fields: Any) -> SocketRequest:
    return SocketRequest(OWN, party_of(OWN, {}), {"action": action, **fields}, "c-1", NOW, 1e9, {})


def test_a_message_by_rest_is_told_to_all_and_reported(world: World) -> None:
    assert post(message="Hello")[0] == 201
    assert world.asked == [
        ("send", "driver-7", None, "Hello"),
        ("told", ["d1", "d2", "p1"], RIGHTS),
        "reported",
    ]


def test_a_message_of_a_token_is_of_the_tokens_subject_whatever_it_says_itself(world: World) -> None:
    identity = Identity(sub="anna", booking_code="ride-1", role="driver", exp=2**40)
    body = {"booking_code": "ride-1", "sender_id": "somebody else", "message": "Hello"}
    send_message.app.post(Request(body, NOW, 1e9, {}, {}, identity))
    assert world.asked[0] == ("send", "anna", None, "Hello")


def test_a_connection_that_sent_it_by_rest_is_left_out_if_it_is_of_the_same_side(world: World) -> None:
    post(message="Hello", headers={"x-exclude-connection": "d1"})
    post(message="Hello", headers={"x-exclude-connection": "p1"})
    told = [asked[1] for asked in world.asked if asked[0] == "told"]
    assert told == [["d2", "p1"], ["d1", "d2", "p1"]]


def test_a_late_repeat_is_told_to_nobody_and_reported(world: World) -> None:
    world.late = True
    assert post(message="Hello", headers={"idempotency-key": "k"})[0] == 200
    send_message.app.on_message(frame("message", message="Hello"))
    assert world.asked == [
        ("send", "driver-7", "k", "Hello"),
        "reported",
        ("send", "driver-7", "c-1", "Hello"),
        ("answered", "d1"),
        "reported",
    ]


def test_a_message_by_websocket_has_the_ids_of_its_connection_and_frame(world: World) -> None:
    send_message.app.on_message(frame("message", message="Hello"))
    assert world.asked == [("send", "driver-7", "c-1", "Hello"), ("told", ["d1", "d2", "p1"], RIGHTS), "reported"]


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"message": "Hello", "redact": None, "attach": None}, "send"),
        ({"message": "Hello", "redact": MESSAGE.timestamp}, "send"),
        ({"message": "Hello", "attach": {"content_type": "image/png", "bytes": 5}}, "send"),
        ({"message": None, "redact": MESSAGE.timestamp}, "redact"),
        ({"attach": {"content_type": "image/png", "bytes": 5}}, "form"),
        ({"read": 3}, "read"),
        ({"delivered": 3}, "delivered"),
    ],
)
def test_what_a_request_names_says_what_it_is(world: World, fields: dict[str, Any], asked: str) -> None:
    post(**fields)
    assert world.asked[0][0] == asked


def test_a_receipt_names_its_field_and_is_told_to_all_but_its_connection(world: World) -> None:
    post(read=3)
    send_message.app.on_receipt(frame("delivered", seq=2))
    told = ("told", ["d2", "p1"], RIGHTS)
    assert world.asked == [("read", 3, "read"), ("told", ["d1", "d2", "p1"], RIGHTS), ("delivered", 2, "seq"), told]


def test_a_receipt_that_moves_nothing_is_told_to_nobody(world: World) -> None:
    world.late = True
    post(read=3)
    assert world.asked == [("read", 3, "read")]
