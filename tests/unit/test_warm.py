"""What a container does that begins from a snapshot."""

import random
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from navietakie import warm


def test_containers_from_one_snapshot_do_not_draw_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    restored: list[Callable[[], None]] = []
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", SimpleNamespace(register_after_restore=restored.append))
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    warm.seed_after_restore()
    snapshot = random.getstate()
    drawn: set[float] = set()
    for _ in range(2):
        random.setstate(snapshot)
        for hook in restored:
            hook()
        drawn.add(random.random())
    assert len(drawn) == 2


def test_a_container_that_begins_by_itself_needs_no_module_of_lambdas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    warm.seed_after_restore()
