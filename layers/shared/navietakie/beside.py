"""Asking for something while something else is waited for: on a second thread, which is kept for the next time.

Lambda freezes the process as soon as a handler returns: a thread that still ran would go on in another invocation, or
never. So whoever begins something comes back for it, and `serve` waits for what nobody came back for.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final

_worker: Final = ThreadPoolExecutor(1, "beside")
_begun: Final[list[Future[Any]]] = []


def start[Value](act: Callable[[], Value]) -> Future[Value]:
    """What `act` gives, once it is done: `result()` waits for it, and raises what `act` raised."""
    future = _worker.submit(act)
    _begun.append(future)
    return future


def settle() -> None:
    """Waits until nothing runs any more that was begun here."""
    while _begun:
        wait([_begun.pop()])
