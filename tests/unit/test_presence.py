"""Who comes, goes and is away: what is stored of it, what the others are told, and what make-call is asked to check."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from navietakie.aws.tables.connections import Connection
from navietakie.broadcast import Broadcast
from navietakie.domain import instants
from navietakie.domain.call import Call, begun
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.message import Side
from navietakie.domain.orders import Rights
from navietakie.doors.identity import Identity
from navietakie.wire.connections_api import Outcome, Post
from websocket import presence
from websocket.presence import CHECK_PENDING, Attendance, check_origin, connection, look_for_other_side, typing_frame

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
BEARER = Identity(booking_code="ride-1", role="driver", sub="driver-7", exp=2**40, iat=1_700_000_000)


CALL_ID = "064bf38887c8000000000000000000"


def row(name: str, sender: Any = "driver", **fields: Any) -> Connection:
    made = Connection(name, "ride-1", sender, instants.to_text(NOW - instants.DAY), 2**40)
    return replace(made, **fields)


@dataclass
class Rows:
    """The table of connections; `index` is what a look-up by booking shows, where it lags."""

    rows: dict[str, Connection] = field(default_factory=dict[str, Connection])
    index: list[Connection] | None = None
    ended: bool = False
    broken: bool = False
    log: list[str] = field(default_factory=list[str])

    def record(self, connection: Connection) -> bool:
        self.log.append("record")
        if not self.ended:
            self.rows[connection.connection_id] = connection
        return not self.ended

    def get(self, connection_id: str) -> Connection | None:
        return self.rows.get(connection_id)

    def set_away(self, connection_id: str, *, away: bool, at: int) -> bool:
        self.log.append(f"away {connection_id} {away} {at}")
        changed = connection_id in self.rows and self.rows[connection_id].away != away
        if changed:
            self.rows[connection_id] = replace(self.rows[connection_id], away=away)
        return changed

    def remove(self, connection_id: str, now: int) -> None:
        self.log.append(f"remove {connection_id}")
        if self.broken:
            raise unavailable("The database")
        self.rows.pop(connection_id, None)

    def remove_gone(self, connection: Connection, now: int) -> bool:
        return True

    def remove_refused(self, connection_id: str) -> None:
        self.log.append(f"remove {connection_id}")
        del self.rows[connection_id]

    def of_booking(self, booking_code: str, now: int, *, expired: bool = False) -> list[Connection]:
        if self.broken:
            raise unavailable("The database")
        return list(self.rows.values()) if self.index is None else self.index


@dataclass
class Posts:
    """What each connection was sent, and which were closed."""

    sent: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    closed: list[str] = field(default_factory=list[str])

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        for name, body in posts:
            self.sent.setdefault(name, []).append(body)
        return ["delivered"] * len(posts)

    def close_all(self, connection_ids: Sequence[str]) -> None:
        self.closed += connection_ids


@dataclass
class Stored:
    """A booking's head and its latest call."""

    rights: Rights = field(default_factory=Rights)
    call: Call | None = None

    def head(self, booking_code: str) -> Head:
        return Head(rights=self.rights)

    def latest(self, booking_code: str) -> Call | None:
        return self.call


@dataclass
class Queue:
    """The timers that were queued."""

    queued: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    broken: bool = False

    def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        if self.broken:
            raise unavailable("The timer queue")
        self.queued.append({"kind": kind, "booking_code": booking_code, "delay": delay_seconds, **fields})


@dataclass
class Booking:
    """A booking with its connections."""

    rows: Rows
    posts: Posts = field(default_factory=Posts)
    stored: Stored = field(default_factory=Stored)
    timers: Queue = field(default_factory=Queue)
    limit: int = 10

    @property
    def attendance(self) -> Attendance:
        return Attendance(self.rows, Broadcast(self.rows, self.posts))  # pyright: ignore[reportArgumentType]

    def join(self, joining: Connection) -> None:
        self.attendance.join(joining, NOW, self.stored, self.limit)

    def leave(self, name: str) -> None:
        self.attendance.leave(name, NOW, self.stored, lambda: self.timers)

    def told(self) -> dict[str, list[bytes]]:
        told, self.posts.sent = self.posts.sent, {}
        return told


def booking(*rows: Connection, **fields: Any) -> Booking:
    return Booking(Rows({each.connection_id: each for each in rows}), **fields)


def frame(sender: str, **here: bool) -> bytes:
    """The frame that tells of `sender`, with who is `here` then."""
    driver, passenger, agent = (str(here.get(role, False)).lower() for role in ("driver", "passenger", "agent"))
    return (
        f'{{"v":1,"type":"presence","booking_code":"ride-1","ts":"{instants.to_text(NOW)}","sender":"{sender}",'
        f'"online":{str(here.get(sender, False)).lower()},'
        f'"presence":{{"driver":{driver},"passenger":{passenger},"agent":{agent}}}}}'
    ).encode()


def call(state: Any = "connected", **fields: Any) -> Call:
    rung = begun(None, "driver", "d1", booking_code="ride-1", now=NOW, ring_seconds=30, entropy="0" * 16)
    return rung.model_copy(update={"state": state, "connected": frozenset[Side](), **fields})


def test_the_others_are_told_of_a_side_that_comes_and_the_new_one_is_not() -> None:
    it = booking(row("p1", "passenger"))
    it.join(row("d1"))
    assert it.told() == {"p1": [frame("driver", driver=True, passenger=True)]}
    assert set(it.rows.rows) == {"p1", "d1"}


def test_nobody_is_told_of_a_side_that_is_there_already_nor_of_the_system() -> None:
    it = booking(row("p1", "passenger"), row("d1"))
    it.join(row("d2"))
    it.join(row("s1", "system"))
    assert it.told() == {}
    it.join(row("a1", "agent"))
    here = frame("agent", driver=True, passenger=True, agent=True)
    assert it.told() == {each: [here] for each in ("p1", "d1", "d2", "s1")}


def test_an_app_in_the_background_hears_of_a_side_and_does_not_stand_for_its_own() -> None:
    it = booking(row("d1", away=True), row("p1", "passenger", away=True))
    it.join(row("d2"))
    assert it.told() == {each: [frame("driver", driver=True)] for each in ["d1", "p1"]}


def test_a_connection_that_has_ended_already_does_not_come() -> None:
    it = booking(row("p1", "passenger"))
    it.rows.ended = True
    with pytest.raises(Refusal) as refused:
        it.join(row("d1"))
    assert (refused.value.code, it.told()) == ("not_found", {})


def test_a_revoked_token_leaves_no_row_and_its_connections_neither_hear_nor_count() -> None:
    revoked = {"driver": instants.to_text(NOW)}
    it = booking(row("p1", "passenger"), stored=Stored(Rights(revoked=revoked)))
    with pytest.raises(Refusal) as refused:
        it.join(row("d1"))
    assert (refused.value.code, set(it.rows.rows), it.told()) == ("unauthorized", {"p1"}, {})
    it.rows.rows["d0"] = row("d0")
    it.join(row("d2", connected_at=instants.to_text(NOW + 60 * instants.SECOND)))
    assert it.told() == {"p1": [frame("driver", driver=True, passenger=True)]}


def test_where_nobody_can_be_looked_up_the_connection_is_there_all_the_same() -> None:
    it = booking(row("p1", "passenger"))
    it.rows.broken = True
    it.join(row("d1"))
    assert ("d1" in it.rows.rows, it.told()) == (True, {})


def test_who_has_to_give_way_is_told_why_closed_and_deleted_and_hears_no_more() -> None:
    it = booking(row("d1"), row("d2", connected_at=instants.to_text(NOW)), row("p1", "passenger"), limit=2)
    it.join(row("d3", connected_at=instants.to_text(NOW + 1)))
    told = it.told()
    assert set(told) == {"d1"}
    assert len(told["d1"]) == 1
    assert b'"code":"connection_replaced"' in told["d1"][0]
    assert f'"booking_code":"ride-1","ts":"{instants.to_text(NOW)}"'.encode() in told["d1"][0]
    assert (it.posts.closed, set(it.rows.rows)) == (["d1"], {"d2", "p1", "d3"})


def test_those_that_give_way_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[Any] = []
    monkeypatch.setattr(presence, "count", lambda *of: counted.append(of))
    it = booking(row("d1"), row("d2"), limit=2)
    it.join(row("p1", "passenger"))
    assert counted == []
    it.limit = 1
    it.join(row("d3"))
    assert counted == [("ConnectionsReplaced", 2)]


def test_one_that_gives_way_and_cannot_be_deleted_stops_nobody() -> None:
    it = booking(row("d1"), limit=1)
    it.rows.index = [row("d1"), row("d2"), row("p1", "passenger")]
    it.rows.broken = False
    removed = it.rows.remove

    def remove(connection_id: str, now: int) -> None:
        removed(connection_id, now)
        raise unavailable("The database")

    it.rows.remove = remove  # type: ignore[method-assign]
    it.join(row("d3", connected_at=instants.to_text(NOW)))
    assert it.posts.closed == ["d1", "d2"]
    assert it.told()["p1"] == [frame("driver", driver=True, passenger=True)]


def test_the_last_present_connection_that_leaves_takes_its_side_away() -> None:
    it = booking(row("d1"), row("d2"), row("d3", away=True), row("p1", "passenger"))
    it.leave("d1")
    it.leave("d1")
    assert it.told() == {}
    it.leave("d2")
    assert it.told() == {each: [frame("driver", passenger=True)] for each in ["d3", "p1"]}
    assert it.rows.log == ["remove d1", "remove d1", "remove d2"]


@pytest.mark.parametrize(
    ("found", "sender", "timed"),
    [
        (call("ringing"), "driver", True),
        (call("connected"), "passenger", True),
        (call("ended"), "driver", False),
        (call("connected"), "agent", False),
        (None, "driver", False),
    ],
)
def test_a_side_that_leaves_a_live_call_is_looked_for_later(found: Call | None, sender: str, timed: bool) -> None:
    it = booking(row("x1", sender), stored=Stored(call=found))
    it.leave("x1")
    timer = {"kind": "left", "booking_code": "ride-1", "delay": 0, "call_id": CALL_ID, "side": sender, "left_at": NOW}
    assert it.timers.queued == ([timer] if timed else [])
    assert it.rows.rows == {}


def test_a_row_stays_until_its_timer_is_queued() -> None:
    it = booking(row("d1"), stored=Stored(call=call()), timers=Queue(broken=True))
    with pytest.raises(Refusal):
        it.leave("d1")
    assert set(it.rows.rows) == {"d1"}


def test_an_app_that_goes_to_the_background_takes_its_side_away_and_brings_it_back() -> None:
    it = booking(row("d1"), row("p1", "passenger"))
    for away, here in ((True, False), (False, True)):
        own = it.rows.rows["d1"]
        it.attendance.set_away(own, Rights(), away=away, at=7, now=NOW)
        assert it.told() == {"p1": [frame("driver", driver=here, passenger=True)]}
        it.attendance.set_away(own, Rights(), away=away, at=7, now=NOW)
        assert it.told() == {}
    assert it.rows.log[::2] == ["away d1 True 7", "away d1 False 7"]


def test_a_change_is_told_even_if_the_frame_found_a_row_that_has_it_already() -> None:
    it = booking(row("d1"), row("p1", "passenger"))
    it.attendance.set_away(row("d1", away=True), Rights(), away=True, at=7, now=NOW)
    assert it.told() == {"p1": [frame("driver", passenger=True)]}


def test_a_change_that_cannot_be_told_is_stored_all_the_same() -> None:
    it = booking(row("d1"), row("p1", "passenger"))
    it.rows.broken = True
    it.attendance.set_away(row("d1"), Rights(), away=True, at=7, now=NOW)
    assert (it.rows.rows["d1"].away, it.told()) == (True, {})


def test_a_token_decides_what_is_known_of_a_connection() -> None:
    made = connection("d1", {"sender_id": "Somebody", "device_id": "phone"}, BEARER, NOW)
    assert made == Connection(
        connection_id="d1",
        booking_code="ride-1",
        sender="driver",
        connected_at="2026-03-01T10:00:00.000000Z",
        expires_at=instants.to_seconds(NOW) + 7_800,
        sender_id="driver-7",
        device_id="phone",
        token_exp=2**40,
        who=BEARER.who,
        token_iat=1_700_000_000,
    )


def test_without_tokens_a_connection_is_what_it_says() -> None:
    made = connection("d1", {"booking_id": "ride-2", "sender": "passenger", "sender_id": "Somebody"}, None, NOW)
    assert (made.booking_code, made.sender, made.sender_id) == ("ride-2", "passenger", "Somebody")
    assert (made.token_exp, made.who, made.token_iat) == (None, None, None)


@pytest.mark.parametrize(
    ("query", "identity", "code", "field"),
    [
        ({"sender": "driver"}, None, "invalid_request", "booking_code"),
        ({"booking_code": "ride-1"}, None, "invalid_request", "sender"),
        ({"booking_code": "ride-1", "sender": "nobody"}, None, "invalid_request", "sender"),
        ({"booking_code": "ride-1", "booking_id": "ride-2", "sender": "driver"}, None, "invalid_request", "booking_id"),
        ({"booking_code": "-", "sender": "driver"}, None, "invalid_request", "booking_code"),
        ({"booking_code": "ride-2"}, BEARER, "forbidden", None),
        ({"sender": "passenger"}, BEARER, "forbidden", None),
    ],
)
def test_a_connection_that_does_not_say_whose_it_is_or_says_another_is_refused(
    query: dict[str, str], identity: Identity | None, code: str, field: str | None
) -> None:
    with pytest.raises(Refusal) as refused:
        connection("d1", query, identity, NOW)
    assert (refused.value.code, refused.value.details.get("field")) == (code, field)


def test_two_names_of_one_booking_are_one() -> None:
    query = {"booking_code": "ride-1", "booking_id": "ride-1", "sender": "driver"}
    assert connection("d1", query, None, NOW).booking_code == "ride-1"


@pytest.mark.parametrize(
    ("origin", "allowed", "comes_in"),
    [
        (None, frozenset({"https://a.example"}), True),
        ("https://a.example", frozenset({"https://a.example"}), True),
        ("https://b.example", frozenset({"https://a.example"}), False),
        ("https://b.example", frozenset({"*"}), True),
        ("https://b.example", frozenset[str](), False),
    ],
)
def test_a_page_comes_from_where_it_is_allowed_to(origin: str | None, allowed: frozenset[str], comes_in: bool) -> None:
    if comes_in:
        check_origin(origin, allowed)
    else:
        with pytest.raises(Refusal) as refused:
            check_origin(origin, allowed)
        assert refused.value.code == "forbidden"


LEFT = NOW - 60 * instants.SECOND


@pytest.mark.parametrize(
    ("found", "theirs", "left_at"),
    [
        # It has no row, but was there.
        (call(connected=frozenset({"passenger"})), [], NOW),
        (call(connected=frozenset({"driver"})), [], None),
        (call("ringing", connected=frozenset({"passenger"})), [], None),
        # Its tokens have run out: it left when the last one did.
        (call(), [row("p1", token_exp=LEFT // instants.SECOND), row("p2", token_exp=7)], LEFT),
        (call(), [row("p1", token_exp=LEFT // instants.SECOND), row("p2", token_exp=2**40)], None),
        (call(), [row("p1", token_exp=instants.to_seconds(NOW))], NOW),
        (call(), [row("p1", expires_at=instants.to_seconds(NOW))], None),
        # It was noted already: another check is pending, or is made again after a while.
        (call(left_at={"passenger": NOW - CHECK_PENDING + 1}), [], None),
        (call(left_at={"passenger": NOW - CHECK_PENDING}), [], NOW),
        (call(left_at={"passenger": LEFT}), [row("p1", token_exp=LEFT // instants.SECOND)], NOW),
        (call(left_at={"passenger": LEFT - 1}), [row("p1", token_exp=LEFT // instants.SECOND)], LEFT),
        (call(left_at={"driver": LEFT}), [], None),
    ],
)
def test_a_side_that_is_not_there_any_more_in_a_connected_call_is_looked_for(
    found: Call, theirs: list[Connection], left_at: int | None
) -> None:
    timers = Queue()
    rows = [row("d1"), *(replace(each, sender="passenger") for each in theirs)]
    look_for_other_side(found, row("d1"), rows, NOW, lambda: timers)
    assert [each["left_at"] for each in timers.queued] == ([] if left_at is None else [left_at])
    for each in timers.queued:
        assert each == {
            "kind": "left", "booking_code": "ride-1", "delay": 0, "call_id": CALL_ID, "side": "passenger",
            "left_at": left_at,
        }  # fmt: skip


def test_an_agent_looks_for_nobody_and_a_queue_that_fails_hurts_no_ping() -> None:
    known = call(connected=frozenset({"passenger"}))
    timers = Queue()
    look_for_other_side(known, row("a1", "agent"), [], NOW, lambda: timers)
    assert timers.queued == []
    look_for_other_side(known, row("d1"), [], NOW, lambda: Queue(broken=True))


def test_a_typing_frame_says_who_and_whether() -> None:
    frame = {"v": 1, "type": "typing", "booking_code": "ride-1", "ts": "t", "sender": "driver", "on": False}
    assert typing_frame(row("d1"), "t", on=False) == frame


def test_another_leaving_waits_for_40_seconds() -> None:
    assert CHECK_PENDING == 40 * instants.SECOND
