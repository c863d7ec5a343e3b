"""The damper at the door: which count a request takes from, how much, and what is free."""

from collections.abc import Mapping
from typing import Any

import pytest

from navietakie import warm
from navietakie.domain import instants
from navietakie.domain.errors import Refusal, invalid
from navietakie.doors import budget as budgets
from navietakie.doors.budget import NO_BUDGET, UNITS_AT_ONCE, Budget

NOW = 1_767_225_600 * instants.SECOND


def made(fields: Mapping[str, Any]) -> int:
    return int(fields["units"])


def spend_all(budget: Budget, booking_code: str = "test", role: str = "driver", now: int = NOW) -> None:
    for _ in range(UNITS_AT_ONCE // 8):
        budget.take("sync", {}, booking_code, role, now)


def test_four_hundred_units_may_come_at_once_and_five_a_second_after() -> None:
    budget = Budget({"sync": 8})
    spend_all(budget)
    with pytest.raises(Refusal) as refused:
        budget.take("ping", {}, "test", "driver", NOW)
    assert (refused.value.code, refused.value.retry_after_ms) == ("rate_limited", 200)
    for _ in range(5):
        budget.take("ping", {}, "test", "driver", NOW + instants.SECOND)
    with pytest.raises(Refusal):
        budget.take("ping", {}, "test", "driver", NOW + instants.SECOND)


def test_a_request_after_the_told_wait_is_admitted() -> None:
    budget = Budget({"sync": 8})
    spend_all(budget)
    with pytest.raises(Refusal) as refused:
        budget.take("sync", {}, "test", "driver", NOW)
    assert refused.value.retry_after_ms == 1_600
    assert budget.take("sync", {}, "test", "driver", NOW + 1_600 * 1_000) == 8


def test_bookings_roles_and_functions_have_counts_of_their_own() -> None:
    budget = Budget({"sync": 8})
    spend_all(budget)
    budget.take("sync", {}, "test", "passenger", NOW)
    budget.take("sync", {}, "other", "driver", NOW)
    Budget({"sync": 8}).take("sync", {}, "test", "driver", NOW)


def test_system_is_exempt() -> None:
    budget = Budget({"sync": 8})
    for _ in range(3):
        spend_all(budget, role="system")


def test_a_refused_request_takes_nothing_from_the_next() -> None:
    budget = Budget({"sync": 8})
    spend_all(budget)
    for _ in range(1_000):
        with pytest.raises(Refusal):
            budget.take("sync", {}, "test", "driver", NOW)
    assert budget.take("sync", {}, "test", "driver", NOW + 1_600 * 1_000) == 8


def test_the_cost_may_depend_on_a_field_and_is_one_by_default() -> None:
    budget = Budget({"post": made})
    assert budget.take("post", {"units": 5}, "test", "driver", NOW) == 5
    assert budget.take("nonsense", {}, "test", "driver", NOW) == 1


def test_a_free_request_costs_a_unit_if_it_is_refused() -> None:
    budget = Budget({"message": 0, "sync": 8})
    for _ in range(UNITS_AT_ONCE + 1):
        with budget.taken("message", {}, "test", "driver", NOW):
            pass
    for _ in range(UNITS_AT_ONCE):
        with pytest.raises(Refusal, match="is bad"), budget.taken("message", {}, "test", "driver", NOW):
            raise invalid("message", "is bad")
    with pytest.raises(Refusal, match="Too many requests"), budget.taken("message", {}, "test", "driver", NOW):
        raise AssertionError("it must not begin")


def test_a_cold_start_forgets() -> None:
    budget = Budget({"sync": 8})
    spend_all(budget)
    warm.forget()
    budget.take("sync", {}, "test", "driver", NOW)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "ASKERS_REMEMBERED", 10)
    budget = Budget({"sync": 8})
    spend_all(budget, "busy")
    for number in range(9):
        budget.take("ping", {}, f"early-{number}", "driver", NOW)
    budget.take("ping", {}, "late", "driver", NOW + instants.SECOND)  # the earliest count is full again
    with pytest.raises(Refusal):
        budget.take("sync", {}, "busy", "driver", NOW + instants.SECOND)
    for number in range(20):
        budget.take("ping", {}, f"now-{number}", "driver", NOW + instants.SECOND)
    budget.take("sync", {}, "busy", "driver", NOW + instants.SECOND)  # the first count was forgotten


def test_ten_thousand_askers_are_remembered_and_then_the_oldest_is_forgotten() -> None:
    budget = Budget({"sync": 8})
    for booking_code in ("first", "second"):
        spend_all(budget, booking_code)
    for number in range(9_998):
        budget.take("ping", {}, f"other-{number}", "driver", NOW)
    for booking_code in ("first", "second"):
        with pytest.raises(Refusal):
            budget.take("ping", {}, booking_code, "driver", NOW)
    budget.take("ping", {}, "one-more", "driver", NOW)
    with pytest.raises(Refusal):
        budget.take("ping", {}, "second", "driver", NOW)
    budget.take("ping", {}, "first", "driver", NOW)


def test_who_may_ask_for_everything_again_is_forgotten_before_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "ASKERS_REMEMBERED", 2)
    budget, later = Budget({"sync": 8}), NOW + instants.SECOND // 5
    spend_all(budget, "busy")
    budget.take("ping", {}, "whole again", "driver", NOW)
    budget.take("ping", {}, "third", "driver", later)
    with pytest.raises(Refusal):
        budget.take("sync", {}, "busy", "driver", later)


def test_no_budget_lets_everything_through() -> None:
    for _ in range(2):
        spend_all(NO_BUDGET)
