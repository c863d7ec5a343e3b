"""Retries, on a clock that the test moves."""

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
