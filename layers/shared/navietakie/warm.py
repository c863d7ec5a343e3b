"""What a warm container keeps between invocations: clients, secrets, pages. One call forgets all of it."""

import importlib
import random
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Final

from navietakie import settings

_FORGET: Final[list[Callable[[], Any]]] = []


def kept[**Arguments, Value](make: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Makes a value once per process and arguments, as `functools.cache` does, until `forget`."""
    cached: Any = cache(make)
    _FORGET.append(cached.cache_clear)

    @wraps(make)
    def value(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
        return cached(*args, **kwargs)

    return value


def on_forget(clear: Callable[[], Any]) -> None:
    """Has `forget` call `clear`: for what is kept in another way than by `kept`."""
    _FORGET.append(clear)


def forget() -> None:
    """Forgets everything that is kept: the next invocation finds the process as a cold start leaves it."""
    for clear in _FORGET:
        clear()


def seed_after_restore() -> None:
    """Gives `random` a new seed in every container that starts from a SnapStart snapshot.

    Such containers are copies of one: with one seed their retries would pause equally long and meet again. Ids and
    secrets do not come from `random`. Does nothing in a container without a snapshot.
    """
    if settings.optional("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        importlib.import_module("snapshot_restore_py").register_after_restore(random.seed)  # Lambda's own, there alone
