"""What everybody is told of a call: its connections by frames, the company's other systems by events."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from make_call import announcing
from make_call.announcing import Announcing, NewSignal
from navietakie.aws import publishing
from navietakie.aws.tables.connections import Connection
from navietakie.broadcast import Broadcast
from navietakie.domain import instants
from navietakie.domain.call import Act, Call, as_stored, begun, moved
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.frames import CONTENT_BYTES, encode, message_frame
from navietakie.domain.message import Message
from navietakie.domain.orders import Rights
from navietakie.wire.connections_api import Outcome, Post

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
SECOND = instants.SECOND
LEFT_BEHIND = Message(
    message_id="m1",
    booking_code="ride-1",
    seq=7,
    timestamp=instants.to_text(NOW),
    sender="system",
    message_type="call",
    message="Missed call",
)


def ringing() -> Call:
    return begun(None, "driver", "phone", booking_code="ride-1", now=NOW, ring_seconds=45, entropy="a" * 18)


def connected() -> Call:
    return moved(ringing(), Act("accept", "passenger", "tablet"), NOW + SECOND)


def ended() -> Call:
    return moved(connected(), Act("end", "driver", "phone"), NOW + 9 * SECOND)


def row(name: str, sender: Any, **fields: Any) -> Connection:
    return Connection(name, "ride-1", sender, instants.to_text(NOW), 2**40, **fields)


@dataclass
class Booking:
    """A booking's connections, with what each got, what was queued, published and counted."""

    rows: list[Connection] = field(
        default_factory=lambda: [
            row("d1", "driver"),
            row("p1", "passenger"),
            row("p2", "passenger"),
            row("a1", "agent"),
        ]
    )
    sent: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    gone: set[str] = field(default_factory=set[str])
    timers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    events: list[Any] = field(default_factory=list[Any])
    counted: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    queue_is_down: bool = False

    @property
    def announcing(self) -> Announcing:
        return Announcing(Broadcast(self, self), lambda: self)  # type: ignore[arg-type]

    def of_booking(self, booking_code: str, now: int, *, expired: bool = False) -> list[Connection]:
        assert booking_code == "ride-1"
        return self.rows

    def remove_gone(self, connection: Connection, now: int) -> bool:
        return True

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        for name, body in posts:
            self.sent.setdefault(name, []).append(body)
        return ["gone" if name in self.gone else "delivered" for name, _ in posts]

    def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        if self.queue_is_down:
            raise unavailable("The timer queue")
        self.timers.append({"kind": kind, "booking_code": booking_code, "delay": delay_seconds, **fields})


@pytest.fixture
def booking(monkeypatch: pytest.MonkeyPatch) -> Booking:
    it = Booking()
    monkeypatch.setattr(publishing, "publish", it.events.append)
    monkeypatch.setattr(announcing, "count_by", lambda *what: it.counted.append(what))
    return it


def frame(call: Call, now: int, **who: Any) -> bytes:
    """The frame that tells of a change of `call`."""
    return encode(
        {
            "v": 1,
            "type": "call",
            "booking_code": "ride-1",
            "ts": instants.to_text(now),
            "sender": who["sender"],
            "call_action": who["call_action"],
            "call_id": call.call_id,
            "device_id": who["device_id"],
            "call": as_stored(call, now),
        }
    )


@pytest.mark.parametrize(
    ("call", "who"),
    [
        (ringing(), {"sender": "driver", "call_action": "initiate", "device_id": "phone"}),
        (connected(), {"sender": "passenger", "call_action": "accept", "device_id": "tablet"}),
        (ended(), {"sender": "driver", "call_action": "end", "device_id": "phone"}),
        (moved(connected(), Act("lost"), NOW), {"sender": "system", "call_action": "end", "device_id": None}),
        (moved(ringing(), Act("timeout"), NOW), {"sender": "system", "call_action": "end", "device_id": None}),
    ],
)
def test_everybody_is_told_who_did_what_with_which_device(booking: Booking, call: Call, who: dict[str, Any]) -> None:
    booking.announcing.tell(call, NOW + 2 * SECOND)
    assert booking.sent == {name: [frame(call, NOW + 2 * SECOND, **who)] for name in ("d1", "p1", "p2", "a1")}


def test_who_made_the_change_is_not_told_and_gets_the_message_that_it_left_all_the_same(booking: Booking) -> None:
    booking.announcing.tell(ended(), NOW, LEFT_BEHIND, origin=booking.rows[0])
    left = encode(message_frame(LEFT_BEHIND))
    told = frame(ended(), NOW, sender="driver", call_action="end", device_id="phone")
    assert booking.sent == {"d1": [left], "p1": [told, left], "p2": [told, left], "a1": [told, left]}


def test_a_revoked_connection_is_told_nothing(booking: Booking) -> None:
    rights = Rights(revoked={"passenger": instants.to_text(NOW)})
    assert booking.announcing.tell(ringing(), NOW, rights=rights) == 0
    assert set(booking.sent) == {"d1", "a1"}


@pytest.mark.parametrize(
    ("call", "by", "reached"),
    [
        (ringing(), None, 2),
        (connected(), None, 1),
        (connected(), "driver", 2),
        (moved(connected(), Act("lost"), NOW), None, 0),
        (moved(connected(), Act("lost"), NOW), "passenger", 1),
    ],
)
def test_it_counts_the_connections_of_the_side_that_the_asking_one_talks_to(
    booking: Booking, call: Call, by: Any, reached: int
) -> None:
    assert booking.announcing.tell(call, NOW, by=by) == reached


OF_CALL = {
    "booking_code": "ride-1",
    "timestamp": instants.to_text(NOW + 60 * SECOND),
    "call_id": ringing().call_id,
    "caller": "driver",
    "callee": "passenger",
}


RINGING = {"type": "call.ringing", "to": "passenger", "rings_until": "2026-03-01T10:00:45.000000Z"}
ENDED = {"type": "call.ended", "end_reason": "completed", "duration_seconds": 8}


@pytest.mark.parametrize(
    ("call", "events"),
    [
        (ringing(), [RINGING | {"event_id": f"{OF_CALL['call_id']}-1"}]),
        (connected(), []),
        (ended(), [ENDED | {"event_id": f"{OF_CALL['call_id']}-3"}]),
    ],
)
def test_the_company_hears_of_a_call_that_rings_and_of_one_that_has_ended(
    booking: Booking, call: Call, events: list[dict[str, Any]]
) -> None:
    booking.announcing.tell(call, NOW + 60 * SECOND)
    assert booking.events == [OF_CALL | event for event in events]


def test_an_end_is_counted_once_by_its_reason_however_often_it_is_told(booking: Booking) -> None:
    booking.announcing.tell(ringing(), NOW)
    assert booking.counted == []
    booking.announcing.tell(ended(), NOW)
    assert booking.counted == [("CallsEnded", "end_reason", "completed")]
    booking.announcing.tell(ended(), NOW, repeat=True)
    assert booking.counted == [("CallsEnded", "end_reason", "completed")]
    assert [event["type"] for event in booking.events] == ["call.ringing", "call.ended", "call.ended"]


@pytest.mark.parametrize("call", [ringing(), connected(), ended()], ids=lambda call: call.state)
@pytest.mark.parametrize(
    ("gone", "sides"),
    [(set[str](), []), ({"p1"}, ["passenger"]), ({"d1", "p1", "p2"}, ["driver", "passenger"]), ({"a1"}, [])],
)
def test_a_side_that_turns_out_to_be_gone_is_looked_for_while_the_call_lives(
    booking: Booking, call: Call, gone: set[str], sides: list[str]
) -> None:
    booking.gone = gone
    booking.announcing.tell(call, NOW)
    left = {"kind": "left", "booking_code": "ride-1", "delay": 0, "call_id": call.call_id, "left_at": NOW}
    assert booking.timers == ([{**left, "side": side} for side in sides] if call.state != "ended" else [])


def test_telling_goes_on_where_no_timer_can_be_queued(booking: Booking) -> None:
    booking.gone, booking.queue_is_down = {"p1"}, True
    assert booking.announcing.tell(ringing(), NOW) == 1
    assert len(booking.events) == 1


def test_a_signal_goes_to_the_devices_of_the_other_side_as_it_came(booking: Booking) -> None:
    booking.gone = {"p2"}
    booking.announcing.signal(connected(), "driver", {"sdp": "ü"}, NOW)
    signal = {
        "v": 1,
        "type": "signal",
        "booking_code": "ride-1",
        "ts": instants.to_text(NOW),
        "sender": "driver",
        "call_id": ringing().call_id,
        "data": {"sdp": "ü"},
    }
    assert booking.sent == {"p1": [encode(signal)], "p2": [encode(signal)]}
    assert [timer["side"] for timer in booking.timers] == ["passenger"]
    with pytest.raises(Refusal) as refused:
        booking.announcing.signal(connected(), "passenger", "x" * CONTENT_BYTES, NOW)
    assert refused.value.code == "too_large"


@pytest.mark.parametrize(
    "fields", [{"data": 1}, {"call_id": "x", "data": 1}, {"call_id": "A" * 32, "data": 1}, {"call_id": "a" * 32}]
)
def test_a_signal_names_its_call_and_brings_something(fields: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        NewSignal.parse(fields)
    assert refused.value.details["field"] == ("call_id" if "data" in fields else "data")
