"""Lines that break, and a plan of what people do meanwhile: the same for the same seed.

A line is a proxy before the stack. It can be cut, be slow, refuse whoever comes, and lose what it carries without a
word, in one direction or in both.
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

type Act = Literal[
    "write", "ring", "hang up", "read", "reload", "cut", "slow", "deaf", "dumb", "silent", "down", "good"
]

DONE: dict[Act, int] = {"write": 50, "ring": 8, "hang up": 8, "read": 6, "reload": 4}
"""What people do, and how often of all that happens."""
SUFFERED: dict[Act, int] = {"cut": 9, "slow": 3, "deaf": 2, "dumb": 2, "silent": 3, "down": 2}
"""What happens to lines. All but `cut` last for a while."""


@dataclass(frozen=True, order=True)
class Step:
    """At that second since the beginning, somebody does this, or somebody's line does."""

    at: float
    who: str
    act: Act


def plan(seed: str, people: list[str], seconds: int) -> list[Step]:
    """What happens, in order of time. The same seed is the same plan."""
    chance = random.Random(seed)
    acts = {**DONE, **SUFFERED}
    steps: list[Step] = []
    ill_until = dict.fromkeys(people, 0.0)
    at = 0.0
    while (at := at + chance.uniform(0.1, 1.1)) < seconds:
        who, (act,) = chance.choice(people), chance.choices([*acts], [*acts.values()])
        if act == "reload" and at > seconds / 2:
            continue  # it fetches all anew, and would hide what was missed
        if act in SUFFERED and act != "cut":
            if at < ill_until[who]:
                continue
            ill_until[who] = at + chance.uniform(2, 20)
            steps.append(Step(ill_until[who], who, "good"))
        steps.append(Step(at, who, act))
    return sorted(steps)


class Line:
    """A way to the stack, with an address of its own: `url` stands for the stack's."""

    def __init__(self, stack_url: str) -> None:
        self._stack = urlsplit(stack_url).netloc
        self._delay = 0.0
        self._loses: set[str] = set()
        self._refuses = False
        self._ends: set[asyncio.StreamWriter] = set()
        self._under_way: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Opens it on the loopback."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._here = f"localhost:{self._server.sockets[0].getsockname()[1]}"
        self.url = f"http://{self._here}"

    async def close(self) -> None:
        """Closes it and all that it carries."""
        self._server.close()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def strike(self, act: Act) -> None:
        """Lets a misfortune happen to the line, or end."""
        if act == "cut":
            for end in self._ends:
                end.transport.abort()
            return
        self._delay = 0.7 if act == "slow" else 0.0
        self._refuses = act == "down"
        self._loses = {"deaf": {"down"}, "dumb": {"up"}, "silent": {"up", "down"}}.get(act, set())

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._under_way.add(task)
        ends = {writer}
        self._ends.add(writer)
        try:
            if self._refuses:
                return
            far_reader, far_writer = await asyncio.open_connection(*self._stack.split(":"))
            ends.add(far_writer)
            self._ends.add(far_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry("up", reader, far_writer))
                both.create_task(self._carry("down", far_reader, writer))
        except* OSError:
            pass  # cut
        finally:
            for end in ends:
                self._ends.discard(end)
                end.close()
            self._under_way.discard(task)

    async def _carry(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries what comes. Whoever has lost something on the way gets nothing more, not even the end of it."""
        broken = False
        while chunk := await reader.read(65_536):
            await asyncio.sleep(self._delay)
            broken = broken or way in self._loses
            if not broken:
                # The front door answers to its own name alone.
                writer.write(chunk.replace(self._here.encode(), self._stack.encode()) if way == "up" else chunk)
                await writer.drain()
        while self._loses:
            await asyncio.sleep(0.2)
        raise ConnectionResetError


class Lines:
    """All lines of a test, in a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._lines: list[Line] = []

    def open(self, stack_url: str) -> Line:
        """Another line to the stack."""
        line = Line(stack_url)
        self._wait(line.open())
        self._lines.append(line)
        return line

    def strike(self, line: Line, act: Act) -> None:
        """Lets something happen to a line."""
        self._wait(line.strike(act))

    def close(self) -> None:
        """Closes them all."""
        for line in self._lines:
            self._wait(line.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, what: Coroutine[Any, Any, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(what, self._loop)
        done.result(30)


@contextlib.contextmanager
def lines() -> Generator[Lines]:
    """Lines that are closed at the end."""
    opened = Lines()
    try:
        yield opened
    finally:
        opened.close()
