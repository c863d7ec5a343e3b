"""What a timer may say, and how long the next one waits."""

from typing import Any

import pytest

from make_call.calling import seconds_left
from make_call.timing import LOOKS, LOST_AFTER, Left, Ordered, Ring
from navietakie.domain import instants
from navietakie.domain.call import Act, begun, moved
from navietakie.domain.errors import Refusal

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
SECOND = instants.SECOND
CALL_ID = "a" * 32


def test_a_side_may_be_away_for_half_a_minute_and_an_order_is_looked_after_as_long() -> None:
    assert LOST_AFTER == 30 * SECOND
    assert (LOOKS, sum(LOOKS)) == ((1, 2, 4, 8, 15), 30)


def test_a_timer_of_an_order_is_the_first_look_unless_it_says_otherwise() -> None:
    assert Ordered.parse({"booking_code": "ride-1"}) == Ordered(booking_code="ride-1", event="booking_closed", look=0)
    for look in (0, 5):
        assert Ordered.parse({"booking_code": "ride-1", "event": "tokens_revoked", "look": look}).look == look


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        (Ordered, {"booking_code": "ride-1", "look": -1}, "look"),
        (Ordered, {"booking_code": "ride-1", "look": 6}, "look"),
        (Ordered, {"booking_code": "ride-1", "event": "side_muted"}, "event"),
        (Ordered, {"booking_code": "-"}, "booking_code"),
        (Ring, {"booking_code": "ride-1", "call_id": "x"}, "call_id"),
        (Left, {"booking_code": "ride-1", "call_id": CALL_ID, "side": "agent", "left_at": 1}, "side"),
        (Left, {"booking_code": "ride-1", "call_id": CALL_ID, "side": "driver", "left_at": "1"}, "left_at"),
    ],
)
def test_a_timer_that_says_something_else_is_refused(kind: Any, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal) as refused:
        kind.parse(fields)
    assert refused.value.details == {"field": field}


@pytest.mark.parametrize(
    ("after", "left"), [(0, 47), (1, 47), (SECOND, 46), (47 * SECOND - 1, 1), (47 * SECOND, 0), (90 * SECOND, 0)]
)
def test_a_ring_waits_for_whole_seconds_and_never_ends_early(after: int, left: int) -> None:
    call = begun(None, "driver", "phone", booking_code="ride-1", now=NOW, ring_seconds=45, entropy="a" * 18)
    assert seconds_left(call, NOW + after) == left
    assert seconds_left(moved(call, Act("end", "driver", "phone"), NOW), NOW + after) == 0
