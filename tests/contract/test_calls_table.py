"""What every store of calls promises: the fake, and the DynamoDB adapter (on moto)."""

from collections.abc import Mapping
from typing import Any

import pytest

from navietakie.aws.tables.calls import Calls, VersionConflict
from navietakie.aws.tables.messages import HeadMoved, Messages
from navietakie.domain import instants
from navietakie.domain.call import Act, Call, begun, moved
from navietakie.domain.conversation import Head, append
from navietakie.domain.errors import Refusal
from navietakie.domain.message import NewMessage, Side
from navietakie.domain.orders import REVOKED_AHEAD
from navietakie.domain.rate_limit import RateLimit
from tests.fakes import tables
from tests.fakes.calls import FakeCalls
from tests.fakes.messages import FakeMessages

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
LATER = instants.to_seconds(NOW) + 90 * 86_400


class Store:
    """Calls and the messages beside them."""

    def __init__(self, calls: Any, messages: Any) -> None:
        self.calls = calls
        self.messages = messages

    def ring(self, now: int = NOW, booking_code: str = "test", entropy: str = "a" * 18) -> Call:
        before = self.calls.latest(booking_code)
        call = begun(before, "driver", "phone", booking_code=booking_code, now=now, ring_seconds=45, entropy=entropy)
        self.calls.store_live(before, call)
        return call

    def answer(self, call: Call, now: int = NOW + 1) -> Call:
        after = moved(call, Act("accept", "passenger", "tablet"), now)
        self.calls.store_live(call, after)
        return after

    def end(
        self, call: Call, act: Act | None = None, now: int = NOW + 2, head: Head | None = None, expires_at: int = LATER
    ) -> Call:
        after = moved(call, act or Act("end", "driver", "phone"), now)
        head = head or self.messages.head(call.booking_code)
        message, head_after = append(
            head,
            NewMessage(message="Call ended", message_type="call"),
            booking_code=call.booking_code,
            sender="system",
            now=now,
            message_id=call.call_id,
            epoch="the-epoch",
            rate_limit=RateLimit(0, 1),
        )
        after = after.model_copy(update={"history": message.timestamp})
        self.calls.store_end(call, after, message, head=head, head_after=head_after, expires_at=expires_at)
        return after

    def say(self, text: str = "Hello", now: int = NOW, **fields: Any) -> None:
        head = self.messages.head("test")
        message, after = append(
            head,
            NewMessage(message=text, **fields),
            booking_code="test",
            sender="system",
            now=now,
            message_id=text,
            epoch="the-epoch",
            rate_limit=RateLimit(0, 1),
        )
        self.messages.store(message, before=head, after=after, expires_at=LATER, now=now, token=text)

    def history(self) -> list[str]:
        return [it.message_id for it in self.messages.page("test", now=NOW, ascending=True, limit=100).messages]

    def log(self, **how: Any) -> list[str]:
        return [call.call_id for call in self.calls.log("test", **{"now": NOW, "limit": 100, **how}).calls]


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "fake":
        fake = FakeMessages()
        return Store(FakeCalls(fake), fake)
    client = request.getfixturevalue("moto")
    messages = Messages(client, tables.NAMES["messages"])
    return Store(Calls(client, tables.NAMES["calls"], messages), messages)


def test_a_booking_without_calls_has_none(store: Store) -> None:
    assert store.calls.latest("test") is None
    assert store.log() == []


def test_a_call_comes_back_as_it_was_written(store: Store) -> None:
    ringing = store.ring()
    assert store.calls.latest("test") == ringing
    connected = store.answer(ringing)
    assert store.calls.latest("test") == connected
    ended = store.end(connected, now=NOW + 151 * instants.SECOND)
    assert store.calls.latest("test") == ended
    assert store.calls.logged("test", ended.call_id, NOW) == ended
    assert (ended.duration_seconds, ended.rings_until, ended.history is None) == (150, None, False)


def test_how_many_calls_a_side_may_still_begin_is_kept_with_the_latest_call(store: Store) -> None:
    fields: Any = {"booking_code": "test", "ring_seconds": 45, "entropy": "a" * 18, "rate_limit": RateLimit(0.1, 3)}
    first = begun(None, "driver", "phone", now=NOW, **fields)
    store.calls.store_live(None, first)
    assert store.calls.latest("test").allowances == {"driver": NOW + 10 * instants.SECOND}
    store.end(first)
    second = begun(store.calls.latest("test"), "passenger", "phone", now=NOW + 9, **fields)
    store.calls.store_live(store.calls.latest("test"), second)
    assert set(store.calls.latest("test").allowances) == {"driver", "passenger"}


def test_the_names_of_both_sides_initiates_stay_with_the_call_and_leave_with_it(store: Store) -> None:
    ringing = begun(None, "driver", "phone", "one", booking_code="test", now=NOW, ring_seconds=45, entropy="a" * 18)
    store.calls.store_live(None, ringing)
    connected = moved(ringing, Act("initiate", "passenger", "tablet", "two"), NOW + 1)
    store.calls.store_live(ringing, connected)
    assert store.calls.latest("test").initiates == {"driver": "one", "passenger": "two"}
    store.end(connected)
    assert store.calls.latest("test").initiates == {"driver": "one", "passenger": "two"}
    store.ring(NOW + 10, entropy="b" * 18)
    assert store.calls.latest("test").initiates == {}


def test_which_sides_acted_over_a_websocket_stays_with_the_call_and_leaves_with_it(store: Store) -> None:
    how: dict[str, Any] = {"booking_code": "test", "ring_seconds": 45}
    ringing = begun(None, "driver", "phone", **how, now=NOW, entropy="a" * 18, by_socket=True)
    store.calls.store_live(None, ringing)
    assert store.calls.latest("test").connected == {"driver"}
    connected = moved(ringing, Act("accept", "passenger", "tablet", by_socket=True), NOW + 1)
    store.calls.store_live(ringing, connected)
    assert store.calls.latest("test").connected == {"driver", "passenger"}
    store.end(connected)
    store.ring(NOW + 10, entropy="b" * 18)
    assert store.calls.latest("test").connected == set()


def test_who_left_stays_with_the_call_through_its_changes_and_leaves_with_it(store: Store) -> None:
    ringing = store.ring()
    left = store.calls.note_left("test", ringing.call_id, "driver", NOW + 5)
    assert left.left_at == store.calls.latest("test").left_at == {"driver": NOW + 5}
    store.answer(ringing)
    assert store.calls.note_left("test", ringing.call_id, "driver", NOW + 4) is None
    connected = store.calls.note_left("test", ringing.call_id, "passenger", NOW + 9)
    assert connected.left_at == {"driver": NOW + 5, "passenger": NOW + 9}
    store.end(connected)
    store.ring(NOW + 10, entropy="b" * 18)
    assert store.calls.latest("test").left_at == {}


def test_a_second_call_loses_against_a_live_one(store: Store) -> None:
    first = begun(None, "driver", "a", booking_code="test", now=NOW, ring_seconds=45, entropy="b" * 18)
    second = begun(None, "passenger", "b", booking_code="test", now=NOW, ring_seconds=45, entropy="c" * 18)
    store.calls.store_live(None, first)
    with pytest.raises(VersionConflict) as conflict:
        store.calls.store_live(None, second)
    assert conflict.value.call == first == store.calls.latest("test")


def test_a_new_call_takes_the_place_of_the_ended_one_with_nothing_left_of_it(store: Store) -> None:
    first = store.end(store.answer(store.ring()))
    second = store.ring(NOW + 10, entropy="b" * 18)
    assert store.calls.latest("test") == second
    assert store.calls.logged("test", first.call_id, NOW) == first


def test_an_answer_to_a_call_that_has_moved_is_not_written(store: Store) -> None:
    ringing = store.ring()
    ended = store.end(ringing)
    with pytest.raises(VersionConflict) as conflict:
        store.answer(ringing)
    assert conflict.value.call == ended == store.calls.latest("test")


def test_an_answer_to_an_ended_call_does_not_answer_the_next_one_in_the_same_version(store: Store) -> None:
    first = store.ring()
    store.end(first)
    second = store.ring(NOW + 10, entropy="b" * 18)
    assert (first.version, first.state) == (second.version, second.state)
    with pytest.raises(VersionConflict) as conflict:
        store.answer(first)
    assert conflict.value.call == second == store.calls.latest("test")


def test_an_end_of_a_call_that_has_moved_leaves_no_message(store: Store) -> None:
    ringing = store.ring()
    connected = store.answer(ringing)
    with pytest.raises(VersionConflict) as conflict:
        store.end(ringing)
    assert conflict.value.call == connected
    assert (store.history(), store.log()) == ([], [])


def test_an_end_decided_on_an_old_head_is_not_written(store: Store) -> None:
    ringing = store.ring()
    old = store.messages.head("test")
    store.say()
    with pytest.raises(HeadMoved) as moved:
        store.end(ringing, head=old)
    assert moved.value.head == store.messages.head("test")
    assert store.calls.latest("test") == ringing
    assert (store.history(), store.log()) == (["Hello"], [])


def test_an_end_leaves_one_message_and_one_line_in_the_log(store: Store) -> None:
    store.say()
    ended = store.end(store.ring())
    assert store.history() == ["Hello", ended.call_id]
    assert store.messages.head("test").seq == 2
    assert store.log() == [ended.call_id]


def test_a_closed_booking_lets_no_call_begin_or_be_answered(store: Store) -> None:
    ringing = store.ring()
    store.say("bye", message_type="system", metadata={"event": "booking_closed"})
    with pytest.raises(Refusal) as refused:
        store.answer(ringing)
    assert refused.value.code == "booking_closed"
    assert store.calls.latest("test") == ringing
    store.end(ringing, Act("closed"))
    with pytest.raises(Refusal) as refused:
        store.ring(NOW + 10)
    assert refused.value.details == {"closed_at": store.messages.head("test").closed_at}


def order(store: Store, event: str, side: Side) -> None:
    store.say(event, message_type="system", metadata={"event": event, "side": side})


def test_a_revoked_token_begins_and_answers_no_call_and_a_later_one_does(store: Store) -> None:
    order(store, "tokens_revoked", "driver")
    order(store, "tokens_revoked", "passenger")
    revoked = instants.to_seconds(NOW)
    later = revoked + REVOKED_AHEAD + 1
    ringing = begun(None, "driver", "phone", booking_code="test", now=NOW, ring_seconds=45, entropy="a" * 18)
    for iat in (None, revoked, later - 1):
        with pytest.raises(Refusal) as refused:
            store.calls.store_live(None, ringing, iat)
        assert refused.value.code == "unauthorized"
    store.calls.store_live(None, ringing, later)
    answered = moved(ringing, Act("accept", "passenger", "tablet"), NOW + 1)
    for iat in (None, later - 1):
        with pytest.raises(Refusal) as refused:
            store.calls.store_live(ringing, answered, iat)
        assert refused.value.code == "unauthorized"
    store.calls.store_live(ringing, answered, later)
    assert store.calls.latest("test") == answered


def test_a_muted_side_begins_no_call_and_may_answer_one(store: Store) -> None:
    order(store, "side_muted", "passenger")
    mine = begun(None, "passenger", "tablet", booking_code="test", now=NOW, ring_seconds=45, entropy="b" * 18)
    with pytest.raises(Refusal) as refused:
        store.calls.store_live(None, mine)
    assert refused.value.code == "muted"
    assert store.calls.latest("test") is None
    store.answer(store.ring())


def test_the_newest_leaving_of_each_side_is_kept(store: Store) -> None:
    call = store.ring()

    def left(side: Side, at: int) -> Mapping[Side, int] | None:
        noted = store.calls.note_left("test", call.call_id, side, NOW + at)
        assert noted is None or noted.model_copy(update={"left_at": {}}) == call
        return noted.left_at if noted else None

    assert left("driver", 5) == {"driver": NOW + 5}
    assert left("driver", 4) is None
    assert left("passenger", 4) == {"driver": NOW + 5, "passenger": NOW + 4}
    assert left("driver", 5) == {"driver": NOW + 5, "passenger": NOW + 4}
    assert left("driver", 6) == {"driver": NOW + 6, "passenger": NOW + 4}


def test_a_leaving_outlives_the_answer_and_is_forgotten_with_its_call(store: Store) -> None:
    ringing = store.ring()
    store.calls.note_left("test", ringing.call_id, "driver", NOW + 5)
    connected = store.answer(ringing)
    assert store.calls.note_left("test", ringing.call_id, "driver", NOW + 4) is None
    store.end(connected)
    assert store.calls.note_left("test", ringing.call_id, "driver", NOW + 6) is None
    next_call = store.ring(NOW + 10, entropy="b" * 18)
    assert store.calls.note_left("test", ringing.call_id, "driver", NOW + 7) is None
    assert store.calls.note_left("test", next_call.call_id, "driver", NOW + 1) is not None


def test_a_leaving_without_a_call_is_not_written(store: Store) -> None:
    assert store.calls.note_left("test", "0" * 32, "driver", NOW) is None
    assert store.calls.latest("test") is None


def test_the_log_goes_from_the_newest_to_the_oldest(store: Store) -> None:
    ids = [
        store.end(store.ring(NOW + 10 * number, entropy=f"{number:018x}"), now=NOW + 10 * number + 1).call_id
        for number in range(5)
    ]
    newest_first = ids[::-1]
    assert store.log() == newest_first
    assert store.log(limit=2) == newest_first[:2]
    assert store.log(before=instants.to_text(NOW + 20)) == newest_first[3:]
    assert [store.calls.log("test", now=NOW, limit=limit).more for limit in (4, 5)] == [True, False]


def test_expired_calls_are_never_returned(store: Store) -> None:
    old = store.end(store.ring(), expires_at=instants.to_seconds(NOW) + 10)
    new = store.end(store.ring(NOW + 10, entropy="b" * 18), now=NOW + 11)
    later = NOW + 10 * instants.SECOND
    assert store.log(now=later - instants.SECOND) == [new.call_id, old.call_id]
    assert store.log(now=later) == [new.call_id]
    assert [store.calls.log("test", now=now, limit=1).more for now in (NOW, later)] == [True, False]
    assert store.calls.logged("test", old.call_id, later) is None


def test_bookings_do_not_see_each_other(store: Store) -> None:
    call = store.ring(booking_code="mine")
    assert store.calls.latest("yours") is None
    store.end(call)
    assert store.calls.logged("yours", call.call_id, NOW) is None
    assert store.calls.log("yours", now=NOW, limit=9).calls == []
