"""Virtual time, and strands. One strand runs at a time; the seed decides which one goes on when.

A strand runs until it pauses; then the one that is due next goes on. So a run depends only on its seed, and not on the
load of the machine, and an hour of it takes seconds.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from greenlet import getcurrent, greenlet

SECOND = 1_000_000
FOREVER = 10.0**6


@dataclass(eq=False)
class Strand:
    """Code with a stack of its own that takes turns with others. `skew`: how many microseconds its clock is ahead."""

    turn: greenlet
    skew: int = 0
    woken: int = 0


class Scheduler:
    """Runs strands. `now` in microseconds since 1970. Only the strands and calls that it runs may call its methods."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.current: Strand | None = None
        self._due: list[tuple[int, int, Strand | Callable[[], None], int]] = []
        self._count = 0
        self._back = getcurrent()

    def call(self, seconds: float, act: Callable[[], None]) -> None:
        """Calls `act`, which must not pause, after a while."""
        self._add(seconds, act, 0)

    def start(self, act: Callable[[], None], seconds: float = 0.0) -> None:
        """Runs `act`, which may pause, as a new strand after a while."""
        self._add(seconds, Strand(greenlet(act, self._back)), 0)

    def pause(self, seconds: float) -> None:
        """Lets others go on until `seconds` have passed, or until the strand is woken."""
        strand = self.current
        assert strand is not None
        self._add(seconds, strand, strand.woken)
        self._back.switch()

    def wake(self, strand: Strand) -> None:
        """Ends a strand's pause now."""
        strand.woken += 1
        self._add(0.0, strand, strand.woken)

    def run(self) -> None:
        """Returns when nothing is due any more; raises what a strand raised."""
        self._back = getcurrent()
        while self._due:
            at, _, it, woken = heapq.heappop(self._due)
            if isinstance(it, Strand):
                if woken != it.woken:
                    continue  # it was woken earlier
                it.woken += 1
                self.now, self.current = max(self.now, at), it
                it.turn.switch()
                self.current = None
            else:
                self.now = max(self.now, at)
                it()

    def _add(self, seconds: float, it: Strand | Callable[[], None], woken: int) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.now + round(seconds * SECOND), self._count, it, woken))


class Begun[Value]:
    """Replaces the future of what runs beside a strand, by a strand of its own."""

    def __init__(self, scheduler: Scheduler, act: Callable[[], Value]) -> None:
        self._scheduler = scheduler
        self._act = act
        self._waiting: Strand | None = None
        self._outcome: Callable[[], Value] | None = None
        scheduler.start(self._run)

    def result(self) -> Value:
        """The result, or raises what was raised."""
        while self._outcome is None:
            self._waiting = self._scheduler.current
            self._scheduler.pause(FOREVER)
        return self._outcome()

    def _run(self) -> None:
        try:
            value = self._act()
            self._outcome = lambda: value
        except BaseException as failure:  # noqa: BLE001 - it is raised where the result is asked for
            self._outcome = partial(_throw, failure)
        if self._waiting is not None:
            self._scheduler.wake(self._waiting)


def _throw(failure: BaseException) -> Any:
    raise failure


class Clock:
    """Replaces the module `time` for the functions and their AWS clients."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def time_ns(self) -> int:
        """The container's clock, which may be ahead or behind."""
        strand = self._scheduler.current
        return (self._scheduler.now + (strand.skew if strand else 0)) * 1_000

    def monotonic(self) -> float:
        """Seconds of a clock that is the same for all."""
        return self._scheduler.now / SECOND

    def sleep(self, seconds: float) -> None:
        """Lets others go on."""
        self._scheduler.pause(seconds)
