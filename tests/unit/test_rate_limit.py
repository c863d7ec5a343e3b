"""The limit behind every `rate_limited`, when the clock is not what it was."""

import pytest

from navietakie.domain import instants
from navietakie.domain.errors import Refusal
from navietakie.domain.rate_limit import RateLimit

NOW = instants.from_text("2026-03-01T08:00:00.000000Z")
HOUR = 3_600 * instants.SECOND
LIMIT = RateLimit(5, 40)


@pytest.mark.parametrize("cost", [1, 2, 8, 40])
def test_after_the_clock_was_set_back_by_an_hour_the_next_request_is_admitted_whatever_it_costs(cost: int) -> None:
    allowance = LIMIT.admit(0, NOW + HOUR, cost)
    assert LIMIT.admit(allowance, NOW, cost) == NOW + 40 * instants.SECOND // 5


def test_after_the_clock_was_set_back_what_costs_nothing_is_admitted_too() -> None:
    allowance = LIMIT.admit(0, NOW + HOUR)
    assert LIMIT.admit(allowance, NOW, 0) == NOW + 39 * instants.SECOND // 5


def test_after_the_clock_was_set_back_a_refused_request_is_admitted_when_its_wait_is_over() -> None:
    allowance = LIMIT.admit(LIMIT.admit(0, NOW + HOUR), NOW, 2)
    with pytest.raises(Refusal) as refused:
        LIMIT.admit(allowance, NOW, 2)
    wait = (refused.value.retry_after_ms or 0) * 1_000
    assert LIMIT.admit(allowance, NOW + wait, 2) > allowance
