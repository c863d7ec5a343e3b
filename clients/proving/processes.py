"""Samples the memory and the open files of the local stack's processes while a proof runs."""

import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from local.embedded import LOCK
from local.stack import Stack

POINTS: Final = 120
"""About how many samples a proof takes."""
FREQUENT_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Process:
    """One line of `ps`. `rss` in bytes."""

    pid: int
    parent: int
    rss: int
    command: str


@dataclass
class Held:
    """What one process held, over time (seconds from the start). `descriptors`: empty if the system does not tell."""

    name: str
    rss: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    descriptors: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])


@dataclass
class Samples:
    """All samples, by process id."""

    held: dict[int, Held] = field(default_factory=dict[int, Held])
    workers: set[int] = field(default_factory=set[int])
    known_first: set[int] | None = None

    @property
    def started(self) -> int:
        """How many of the functions' processes began while the stack was watched. Each was a cold start."""
        return len(self.workers - (self.known_first or set()))

    def take(self, at: float, names: Mapping[int, str], running: Iterable[Process], workers: set[int]) -> None:
        """Notes what each process holds at the time `at`."""
        if self.known_first is None:
            self.known_first = set(workers)
        self.workers |= workers
        for process in running:
            if (name := names.get(process.pid)) is None:
                continue
            held = self.held.setdefault(process.pid, Held(name))
            held.rss.append((at, process.rss))
            if (count := descriptors_of(process.pid)) is not None:
                held.descriptors.append((at, count))

    def totals(self) -> dict[str, dict[str, list[tuple[float, int]]]]:
        """Memory in bytes and open files over time, by kind of process. The functions' processes are added up."""
        summed: dict[str, dict[str, dict[float, int]]] = {}
        for held in self.held.values():
            kind = summed.setdefault(held.name, {"rss": {}, "descriptors": {}})
            for what, values in (("rss", held.rss), ("descriptors", held.descriptors)):
                for at, value in values:
                    kind[what][at] = kind[what].get(at, 0) + value
        return {name: {what: sorted(values.items()) for what, values in kind.items()} for name, kind in summed.items()}


def growth(values: Sequence[tuple[float, int]]) -> tuple[float, float] | None:
    """The medians of the second and of the last fifth; None if there are too few values. The first is warm-up."""
    fifth = len(values) // 5
    if fifth < 1:
        return None
    second, last = values[fifth : 2 * fifth], values[-fifth:]
    return statistics.median(it for _, it in second), statistics.median(it for _, it in last)


def descriptors_of(pid: int) -> int | None:
    """How many files a process has open. None if it has ended, or if the system is not Linux."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


def running() -> list[Process]:
    """All processes of this machine, as `ps` shows them."""
    ps = shutil.which("ps") or "ps"
    told = subprocess.run(  # noqa: S603  (nothing in it comes from outside)
        [ps, "-A", "-ww", "-o", "pid=,ppid=,rss=,args="], capture_output=True, text=True, errors="replace", check=True
    )
    found: list[Process] = []
    for line in told.stdout.splitlines():
        pid, parent, kilobytes, *command = line.split(None, 3)
        found.append(Process(int(pid), int(parent), int(kilobytes) * 1024, "".join(command)))
    return found


def sorted_out(stack: Stack, processes: Sequence[Process]) -> tuple[dict[int, str], set[int]]:
    """The name of each process of the stack, by id, and the ids of the functions' processes."""
    names = {stack.pid: "front door", os.getpid(): "the proof itself"}
    workers: set[int] = set()
    with contextlib.suppress(FileNotFoundError, ValueError):
        embedded = int(json.loads((Path(stack.home) / LOCK).read_text())["pid"])
        names[embedded] = "embedded AWS"
        workers = {it.pid for it in processes if it.parent == embedded and "ministack-lambda-" in it.command}
        names |= dict.fromkeys(workers, "functions")
    return names, workers


async def watch(stack: Stack, samples: Samples, seconds: float) -> None:
    """Samples until it is cancelled. `seconds`: how long the proof lasts; it decides how often to sample."""
    begun = time.monotonic()
    pause = max(FREQUENT_SECONDS, seconds / POINTS)
    while True:
        processes = await asyncio.to_thread(running)
        names, workers = sorted_out(stack, processes)
        samples.take(round(time.monotonic() - begun, 1), names, processes, workers)
        await asyncio.sleep(pause)
