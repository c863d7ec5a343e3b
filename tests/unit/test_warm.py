"""What a container does during its start, and what it does if it begins from a snapshot."""

import gc
import importlib.util
import random
import sys
from collections.abc import Callable, Generator
from types import ModuleType, SimpleNamespace

import pytest

import navietakie
from navietakie import warm
from navietakie.doors import serve


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


def load(module: ModuleType) -> None:
    """Runs the file of a module once more."""
    spec = importlib.util.spec_from_file_location("loaded_again", str(module.__file__))
    assert spec
    assert spec.loader
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.parametrize(("initialization", "collects"), [("on-demand", False), ("", True)])
def test_while_lambda_loads_modules_nothing_is_collected(
    monkeypatch: pytest.MonkeyPatch, initialization: str, collects: bool
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", initialization)
    try:
        load(navietakie)
        assert gc.isenabled() is collects
    finally:
        gc.enable()


def test_every_function_has_its_random_numbers_seeded_after_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(warm, "seed_after_restore", lambda: asked.append(True))
    load(serve)
    assert asked == [True]


def test_a_value_is_made_once_for_its_arguments_until_it_is_forgotten() -> None:
    made: list[str] = []

    @warm.cached
    def greeting(name: str) -> str:
        made.append(name)
        return f"Hello {name}"

    assert [greeting(name) for name in ("A", "B", "A")] == ["Hello A", "Hello B", "Hello A"]
    assert made == ["A", "B"]
    warm.forget()
    assert (greeting("A"), made) == ("Hello A", ["A", "B", "A"])


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
