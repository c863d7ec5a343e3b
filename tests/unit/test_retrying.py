"""Retries, on a clock that the test moves."""

import math

import pytest

from navietakie import retrying


def test_tries_end_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(retrying.time, "sleep", slept.append)
    monkeypatch.setattr(retrying.time, "monotonic", lambda: 100 + sum(slept))
    assert len(list(retrying.tries(101))) == len(slept) + 1
    assert sum(slept) < 1


def test_no_try_begins_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying.time, "monotonic", lambda: 100)
    assert list(retrying.tries(100)) == []


def test_the_pauses_double_from_ten_milliseconds_to_four_hundred_each_drawn_from_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[tuple[float, float]] = []
    monkeypatch.setattr(retrying.time, "sleep", lambda _: None)
    monkeypatch.setattr(retrying.random, "uniform", lambda *bounds: drawn.append(bounds) or 0.0)
    tries = retrying.tries(math.inf)
    assert [next(tries) for _ in range(9)] == list(range(9))
    assert drawn == [(0, most) for most in (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.4, 0.4)]


def test_nobody_pauses_up_to_the_deadline_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying.time, "monotonic", lambda: 1.0)
    monkeypatch.setattr(retrying.time, "sleep", lambda _: pytest.fail("paused"))
    monkeypatch.setattr(retrying.random, "uniform", lambda *_: 0.5)
    assert list(retrying.tries(1.5)) == [0]
