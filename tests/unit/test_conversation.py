"""The rules about the head, which are pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navietakie.domain import instants
from navietakie.domain.conversation import TOLD_AGAIN, Head, admitted, append, next_timestamp
from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message, NewMessage
from navietakie.domain.orders import Rights
from navietakie.domain.rate_limit import CLOCK_SKEW, NO_LIMIT, RateLimit

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
FIVE_A_SECOND = RateLimit(5, 20)
instant = st.integers(min_value=0, max_value=4 * 10**15)


def say(head: Head, now: int, sender: str = "driver", rate_limit: RateLimit = FIVE_A_SECOND, **fields: object) -> Head:
    new = NewMessage.parse({"message": "x", **fields})
    return append(
        head, new, booking_code="b", sender=sender, now=now, message_id="i", epoch="e", rate_limit=rate_limit
    )[1]


@given(st.lists(instant, min_size=1, max_size=30))
def test_seq_counts_and_timestamps_rise_whatever_the_clocks_say(clocks: list[int]) -> None:
    head, stamps = Head(), [""]
    for count, now in enumerate(clocks, 1):
        head = say(head, now, rate_limit=RateLimit(0, 1))
        assert head.seq == count
        assert head.timestamp > stamps[-1]
        stamps.append(head.timestamp)


@given(instant)
def test_text_of_an_instant_reads_back(now: int) -> None:
    assert instants.from_text(instants.to_text(now)) == now


@given(instant, instant)
def test_text_order_is_time_order(one: int, other: int) -> None:
    assert (instants.to_text(one) < instants.to_text(other)) == (one < other)


def test_a_clock_behind_the_last_message_adds_a_microsecond() -> None:
    head = Head(seq=1, timestamp="2026-03-01T10:00:00.999999Z")
    assert next_timestamp(head, NOW) == "2026-03-01T10:00:01.000000Z"


def test_a_burst_passes_and_then_one_each_interval() -> None:
    head = Head()
    for _ in range(20):
        head = say(head, NOW)
    with pytest.raises(Refusal) as refused:
        say(head, NOW)
    assert (refused.value.code, refused.value.retry_after_ms) == ("rate_limited", 200)
    head = say(head, NOW + 200_000)
    with pytest.raises(Refusal):
        say(head, NOW + 399_999)


@given(st.lists(st.integers(0, 2_000_000), min_size=1, max_size=200))
def test_no_second_admits_more_than_the_burst_and_the_rate(gaps: list[int]) -> None:
    now, allowance, admitted = NOW, 0, list[int]()
    for gap in gaps:
        now += gap
        try:
            allowance = FIVE_A_SECOND.admit(allowance, now)
            admitted.append(now)
        except Refusal:
            pass
        assert sum(1 for at in admitted if at > now - instants.SECOND) <= 25


def test_the_other_side_has_an_allowance_of_its_own() -> None:
    head = Head()
    for _ in range(20):
        head = say(head, NOW)
    assert say(head, NOW, sender="passenger").seq == 21


def test_a_container_whose_clock_runs_ahead_locks_nobody_out() -> None:
    head = Head()
    for _ in range(20):
        head = say(head, NOW + 600 * instants.SECOND)
    head = say(head, NOW)
    with pytest.raises(Refusal) as refused:
        say(head, NOW)
    assert refused.value.retry_after_ms == 200


def test_small_differences_of_clocks_do_not_weaken_the_limit() -> None:
    head = Head()
    for _ in range(20):
        head = say(head, NOW + CLOCK_SKEW // 2)
    with pytest.raises(Refusal):
        say(head, NOW)


def test_a_closed_booking_takes_messages_from_system_alone() -> None:
    closing = {"message_type": "system", "metadata": {"event": "booking_closed"}}
    head = say(Head(), NOW, sender="system", **closing)
    assert head.closed_at == instants.to_text(NOW)
    with pytest.raises(Refusal, match="closed"):
        say(head, NOW)
    later = say(head, NOW + 5, sender="system", **closing)
    assert later.closed_at == head.closed_at
    opened = say(later, NOW + 6, sender="system", message_type="system", metadata={"event": "booking_opened"})
    assert say(opened, NOW + 7).seq == 4


def test_a_text_message_cannot_close_a_booking() -> None:
    assert say(Head(), NOW, sender="driver", metadata={"event": "booking_closed"}).closed_at is None


def test_a_read_receipt_also_counts_as_delivered() -> None:
    head = Head(seq=9, receipt_seqs={"driver_read": 7, "driver_delivered": 3, "passenger_delivered": 2})
    assert head.receipts == {"driver": {"delivered": 7, "read": 7}, "passenger": {"delivered": 2, "read": 0}}


def test_a_dearer_request_waits_longer_and_a_free_one_needs_room_for_one_unit() -> None:
    limit = RateLimit(1, 10)
    allowance = limit.admit(0, NOW, cost=9)
    assert allowance == NOW + 9 * instants.SECOND
    assert limit.admit(allowance, NOW, cost=0) == allowance
    with pytest.raises(Refusal) as refused:
        limit.admit(allowance, NOW, cost=4)
    assert refused.value.retry_after_ms == 3_000
    full = limit.admit(allowance, NOW)
    with pytest.raises(Refusal):
        limit.admit(full, NOW, cost=0)


def test_a_conversation_begins_with_nothing() -> None:
    assert Head() == Head(0, "", None, Rights(None, {}, {}), 0, {}, {})
    nobody = {"delivered": 0, "read": 0}
    assert Head().receipts == {"driver": nobody, "passenger": nobody}


def test_a_message_is_stored_as_it_was_asked_for_and_the_head_moves_with_it() -> None:
    asked = {
        "message": "-",
        "message_type": "system",
        "sender_id": "desk 3",
        "client_message_id": "m7",
        "metadata": {"event": "side_muted", "side": "driver"},
    }
    before = Head(6, "2026-03-01T09:00:00.000000Z", "first", redactions=2, receipt_seqs={"driver_read": 5})
    stored, head = append(
        before,
        NewMessage.parse(asked),
        booking_code="ride-1",
        sender="system",
        now=NOW,
        message_id="i",
        epoch="other",
        rate_limit=FIVE_A_SECOND,
    )
    at = instants.to_text(NOW)
    assert stored == Message(
        message_id="i", booking_code="ride-1", seq=7, timestamp=at, sender="system", redacted_at=None, **asked
    )
    assert head == Head(7, at, "first", Rights(None, {"driver": at}, {}), 2, {}, {"driver_read": 5})
    plain = append(
        head,
        NewMessage.parse({"message": "x"}),
        booking_code="ride-1",
        sender="passenger",
        now=NOW,
        message_id="j",
        epoch="other",
        rate_limit=FIVE_A_SECOND,
    )[1]
    later = instants.to_text(NOW + 1)
    assert plain == Head(8, later, "first", head.rights, 2, {"passenger": NOW + 200_000}, {"driver_read": 5})


def test_the_first_message_brings_the_epoch() -> None:
    assert say(Head(), NOW).epoch == "e"


def test_a_booking_stays_closed_however_much_is_written_then() -> None:
    closed = say(Head(), NOW, sender="system", message_type="system", metadata={"event": "booking_closed"})
    assert say(closed, NOW + 1, sender="system").closed_at == closed.closed_at


def test_no_allowance_is_kept_of_the_system_or_where_nothing_is_limited() -> None:
    spent = Head(allowances={"driver": NOW + 10**9})
    assert admitted(spent, "system", NOW, FIVE_A_SECOND) == spent.allowances
    assert admitted(Head(), "driver", NOW, RateLimit(0, 20)) == {}
    assert admitted(spent, "passenger", NOW, RateLimit(1, 1)) == {
        "driver": NOW + 10**9,
        "passenger": NOW + instants.SECOND,
    }


def test_a_repeat_is_told_again_for_a_minute() -> None:
    assert TOLD_AGAIN == 60 * instants.SECOND


@pytest.mark.parametrize(
    ("limit", "allowance", "cost", "after"),
    [
        (RateLimit(1, 1), 0, 1, 1_000_000),
        (RateLimit(0.5, 1), 0, 1, 2_000_000),
        (RateLimit(1, 0), 0, 1, 1_000_000),
        (RateLimit(1, 0), 0, 0, 0),
        (RateLimit(5, 20), 3_800_000, 1, 4_000_000),
        (RateLimit(5, 20), 3_800_000, 0, 3_800_000),
        (RateLimit(5, 2), 0, 7, 1_400_000),
        # A clock near ours cannot have written that: one unit is admitted.
        (RateLimit(5, 20), 6_000_001, 1, 4_000_000),
    ],
)
def test_what_is_within_the_limit_moves_the_allowance_by_its_cost(
    limit: RateLimit, allowance: int, cost: int, after: int
) -> None:
    assert limit.admit(NOW + allowance, NOW, cost) == NOW + after


@pytest.mark.parametrize(
    ("limit", "allowance", "cost", "wait_ms"),
    [
        (RateLimit(1, 1), 1, 1, 1),
        (RateLimit(1, 1), 1_000, 1, 1),
        (RateLimit(1, 1), 1_001, 1, 2),
        (RateLimit(1, 1), 1_000_000, 1, 1_000),
        (RateLimit(5, 20), 3_800_001, 1, 1),
        (RateLimit(5, 20), 3_800_001, 0, 1),
        (RateLimit(5, 20), 3_800_000, 3, 400),
        # A clock near ours may have written that.
        (RateLimit(5, 20), 6_000_000, 1, 2_200),
        (RateLimit(5, 20), 2_000_001, 20, 2_001),
    ],
)
def test_what_is_beyond_the_limit_is_refused_with_the_wait_to_the_millisecond(
    limit: RateLimit, allowance: int, cost: int, wait_ms: int
) -> None:
    with pytest.raises(Refusal) as refused:
        limit.admit(NOW + allowance, NOW, cost)
    assert (refused.value.code, refused.value.retry_after_ms) == ("rate_limited", wait_ms)


def test_one_unit_is_what_is_asked_for_and_no_limit_admits_everything() -> None:
    assert RateLimit(1, 1).admit(0, NOW) == NOW + instants.SECOND
    for _ in range(3):
        assert NO_LIMIT.admit(7, NOW, 10**6) == 7
