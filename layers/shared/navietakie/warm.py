"""What a warm container keeps between invocations: clients, secrets, pages. One call forgets all of it."""

import gc
import importlib
import random
from collections.abc import Callable
from contextlib import suppress
from functools import cache, wraps
from typing import Any, Final

from navietakie import settings

_FORGET: Final[list[Callable[[], Any]]] = []


def cached[**Arguments, Value](make: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Makes a value once per process and arguments, as `functools.cache` does, until `forget`."""
    memory: Any = cache(make)
    _FORGET.append(memory.cache_clear)

    @wraps(make)
    def value(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
        return memory(*args, **kwargs)

    return value


def on_forget(clear: Callable[[], Any]) -> None:
    """Has `forget` call `clear`: for what is kept in another way than by `cached`."""
    _FORGET.append(clear)


def forget() -> None:
    """Forgets everything that is kept: the next invocation finds the process as a cold start leaves it."""
    for clear in _FORGET:
        clear()


def ready(*make: Callable[[], Any]) -> None:
    """Calls each of `make` while Lambda starts a container, so that whole cores do what the first request had to.

    Outside Lambda it does nothing, because a program that only imports a function has no settings for AWS. Never
    raises. It stops at the first that fails: a time-out takes most of the 10 s that Lambda gives a start. What is not
    made here is made when it is first used, and that use raises the error.
    """
    if not settings.initialization():
        return
    with suppress(Exception):
        for each in make:
            each()
    gc.freeze()  # what exists now stays: no collection has to look at it again
    gc.enable()


def seed_after_restore() -> None:
    """Gives `random` a new seed in every container that starts from a SnapStart snapshot.

    Such containers are copies of one: with one seed their retries would pause equally long and meet again. Ids and
    secrets do not come from `random`. Does nothing in a container without a snapshot.
    """
    if settings.initialization() == "snap-start":
        importlib.import_module("snapshot_restore_py").register_after_restore(random.seed)  # Lambda's own, there alone
