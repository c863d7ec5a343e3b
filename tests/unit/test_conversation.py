"""The head's rules, pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navietakie.domain import instants
from navietakie.domain.conversation import Head, append, next_timestamp
from navietakie.domain.errors import Refusal
from navietakie.domain.message import NewMessage
from navietakie.domain.rate_limit import CLOCK_SKEW, RateLimit

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


def test_small_differences_of_clocks_do_not_open_the_limit() -> None:
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


def test_who_has_read_a_message_has_got_it() -> None:
    head = Head(seq=9, receipt_seqs={"driver_read": 7, "driver_delivered": 3, "passenger_delivered": 2})
    assert head.receipts == {"driver": {"delivered": 7, "read": 7}, "passenger": {"delivered": 2, "read": 0}}


def test_what_costs_more_waits_longer_and_what_costs_nothing_needs_room_for_one() -> None:
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
