"""Does something on a second thread while the first waits for something else. The thread is kept for the next time.

Lambda freezes the process as soon as a handler returns: a thread that still ran would go on in another invocation, or
never. So `serve` waits at the end of each invocation until everything that was started here is done.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final

_worker: Final = ThreadPoolExecutor(1, "beside")
_begun: Final[list[Future[Any]]] = []


def start[Value](act: Callable[[], Value]) -> Future[Value]:
    """Calls `act` on the second thread. `result()` waits for what it returns, and raises what it raised."""
    future = _worker.submit(act)
    _begun.append(future)
    return future


def settle() -> None:
    """Waits until everything is done that was started here."""
    while _begun:
        wait([_begun.pop()])
