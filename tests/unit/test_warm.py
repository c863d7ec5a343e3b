"""What a container does during its start, and what it does if it begins from a snapshot."""

import gc
import random
import sys
from collections.abc import Callable, Generator
from types import SimpleNamespace

import pytest

from navietakie import warm


@pytest.fixture
def starting(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Lambda starts a container: modules were loaded without garbage collections."""
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("starting")
def test_a_failure_during_the_start_leaves_the_rest_to_the_first_use() -> None:
    made: list[str] = []

    def fails() -> None:
        raise RuntimeError

    warm.ready(lambda: made.append("first"), fails, lambda: made.append("last"))
    assert made == ["first"]
    assert gc.isenabled()


@pytest.mark.usefixtures("starting")
def test_objects_of_the_start_are_not_collected_and_later_ones_are() -> None:
    warm.ready()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_importing_a_function_outside_lambda_makes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_INITIALIZATION_TYPE", raising=False)
    made: list[str] = []
    warm.ready(lambda: made.append("made"))
    assert (made, gc.get_freeze_count()) == ([], 0)


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
