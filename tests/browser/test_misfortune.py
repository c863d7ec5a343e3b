"""Two consoles and a client in Node on the running stack, with lines that break all the time.

In each round lines break at random. Then they are good, and however it went, all three have the history as stored, and
no call that the others do not have. Then they talk, and one line dies at the worst moment: somebody hangs up, and all
write. Nobody touches anything afterwards, and nobody reloads: the clients alone have to make it good.
"""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Any, Protocol
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Browser, expect

from local.stack import Stack
from tests.browser.console import Console
from tests.browser.misfortune import SUFFERED, Line, Lines, Step, lines, plan
from tests.running import ROOT, node

SECONDS = int(os.environ.get("SECONDS") or 75)
SEED = int(os.environ.get("SEED") or 1)
PATIENCE_SECONDS = 240
"""How long all may take to agree when the lines are good: a call that nobody has any more ends after 45 s."""

SECONDS_OF_A_ROUND = 25

type Message = dict[str, Any]
"""A message as the API has it."""


class Person(Protocol):
    """Somebody with a device of a side. What is done on it may come to nothing, as the line wants."""

    side: str
    line: Line
    written: list[str]

    def write(self) -> None: ...
    def ring(self) -> None:
        """Answers a call, or makes one."""

    def hang_up(self) -> None: ...
    def read(self) -> None: ...
    def reload(self) -> None: ...
    def phase(self) -> str:
        """`idle`, `calling`, `ringing`, `talking` or `elsewhere`; empty where the line is not there yet."""

    def unsent(self) -> int: ...
    def unlike(self, stored: list[Message]) -> Any:
        """Where all that is shown, from the first message on, differs from what is stored; empty if it does not."""
        ...


PRESS = """(place, names) => {
    const buttons = names.flatMap((name) => [...place.querySelectorAll('button')].filter(
        (each) => (each.getAttribute('aria-label') ?? each.textContent) === name));
    const found = buttons.find((each) => each.checkVisibility() && !each.disabled && !each.closest('[inert]'));
    found?.click();
    return Boolean(found);
}"""
"""Presses the first of these buttons that can be pressed, in one moment: the page may change in the next."""

WRITE = """(place, text) => {
    const box = place.querySelector('textarea');
    if (!box.checkVisibility() || box.closest('[inert]')) return false;
    box.value = text;
    box.dispatchEvent(new InputEvent('input', { bubbles: true }));
    box.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
    return true;
}"""

PHASE = """(place) => {
    const shown = (what) => Boolean(place.querySelector(what)?.checkVisibility());
    if (place.querySelector('.phone').dataset.state !== 'open' || place.querySelector('[aria-busy]')) return '';
    if (shown('.ring')) return shown('.ring .yes') ? 'ringing' : 'calling';
    return shown('.talking') ? (shown('.talking .mute') ? 'talking' : 'elsewhere') : 'idle';
}"""

SHOWN = """(place) => [...place.querySelectorAll('[data-seq]')].map((item) => {
    const apart = item.matches('.apart');
    const times = Number(/· (\\d+) times/.exec(item.textContent)?.[1] ?? 1); // chips that say the same are one
    const when = item.querySelector('time').dateTime.slice(0, 23);
    const words = apart ? null : item.querySelector('p').textContent;
    return [Number(item.dataset.seq), item.dataset.sender, when, words, times];
})"""

type Seen = tuple[int, str, str, str | None]
"""A message's `seq`, who has written it and when, to the millisecond, and its words; none of a call's, which each side
reads differently. No two messages of a booking have the same timestamp: the page shows no id."""


def seen(message: Message) -> Seen:
    """What the console shows of a message."""
    words = message["message"] if message["message_type"] == "text" else None
    return message["seq"], message["sender"], message["timestamp"][:23], words


class ConsoleUser:
    """Somebody at the console: one phone alone, on a line of its own."""

    def __init__(self, browser: Browser, stack: Stack, booking: str, side: str, line: Line) -> None:
        self.side, self.line, self.written = side, line, list[str]()
        self._peer = "passenger" if side == "driver" else "driver"
        self._context = browser.new_context()
        self._context.set_default_timeout(PATIENCE_SECONDS * 1_000)
        self._console = Console(self._context.new_page(), stack.url, booking)
        self._console.open(phone=side, api=line.url, ws=f"{line.url.replace('http', 'ws')}/ws")
        self._console.page.get_by_role("button", name="Open it").click()
        self._place = self._console.page.locator(f"[data-side={side}]")
        expect(self._place.locator(".strip")).to_contain_text("Connected", timeout=PATIENCE_SECONDS * 1_000)

    def write(self) -> None:
        text = f"{self.side} {len(self.written)}"
        if self._place.evaluate(WRITE, text):
            self.written.append(text)

    def ring(self) -> None:
        self._press("Answer", f"Call the {self._peer}")

    def hang_up(self) -> None:
        self._press("Decline", "Cancel", "Hang up")

    def read(self) -> None:
        self._press("To the latest")

    def reload(self) -> None:
        self._console.page.reload()

    def phase(self) -> str:
        return self._place.evaluate(PHASE)

    def unsent(self) -> int:
        return self._place.locator(".message.waiting, .message.failed").count()

    def unlike(self, stored: list[Message]) -> Any:
        while self._press("Earlier messages"):
            self.wait(0.2)
        left = [*stored]
        for *shown, times in self._place.evaluate(SHOWN):
            alike, left = left[:times], left[times:]
            if len(alike) < times or seen(alike[-1]) != tuple(shown):
                return shown, alike
        return left

    def complaints(self) -> list[str]:
        """What the page complained of, but for the lines."""
        return [each for each in self._console.complaints if "net::ERR_" not in each]

    def wait(self, seconds: float) -> None:
        """Lets time pass, and the browser tell what happens meanwhile."""
        self._console.page.wait_for_timeout(seconds * 1_000)

    def close(self) -> None:
        self._context.close()

    def _press(self, *names: str) -> bool:
        return self._place.evaluate(f"(place, names) => ({PRESS})(place, names)", list(names))


class NodeUser:
    """Somebody with the client in Node, as another device of a side: without sound."""

    def __init__(self, stack: Stack, booking: str, side: str, line: Line) -> None:
        self.side, self.line, self.written = side, line, list[str]()
        command = [*node(), ROOT / "tests" / "client" / "stack" / "device.mjs", line.url, booking, side, "in-node"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def write(self) -> None:
        text = f"{self.side} in Node {len(self.written)}"
        self.written.append(text)
        self._do("write", text=text)

    def ring(self) -> None:
        self._do("ring")

    def hang_up(self) -> None:
        self._do("hangUp")

    def read(self) -> None:
        self._do("read")

    def reload(self) -> None:
        self._do("reload")

    def phase(self) -> str:
        seen = self._do("look")
        return seen["phase"] if seen["connected"] else ""

    def unsent(self) -> int:
        return self._do("look")["unsent"]

    def unlike(self, stored: list[Message]) -> Any:
        shown = self._do("history")
        differ = [pair for pair in zip(shown, stored, strict=False) if pair[0] != pair[1]]
        return differ[:1] or shown[len(stored) :] or stored[len(shown) :]

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)

    def _do(self, act: str, **how: str) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"act": act, **how}), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


class Server:
    """What the stack has of a booking, asked past all lines."""

    def __init__(self, stack: Stack, booking: str) -> None:
        self._api, self._booking = f"{stack.url}/api/v1", booking

    def history(self) -> list[Message]:
        """All messages, page after page."""
        messages: list[Message] = []
        cursor: dict[str, str] = {}
        while True:
            page = self._get("get_message", limit=100, order="asc", **cursor)
            messages += page["messages"]
            if page["next_cursor"] is None:
                assert len({each["message_id"] for each in messages}) == len(messages)
                return messages
            cursor = {"cursor": page["next_cursor"]}

    def call(self) -> dict[str, Any]:
        """The latest call; ended if there was none."""
        calls = self._get("calls", limit=1)["calls"]
        return calls[0] if calls else {"state": "ended"}

    def _get(self, what: str, **query: Any) -> Any:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = httpx.get(f"{self._api}/{what}", params={"booking_code": self._booking, **query}, timeout=60)
            if not answer.is_server_error or time.monotonic() > end:  # on a busy machine a function may run out of time
                return answer.raise_for_status().json()


def phases(call: dict[str, Any], side: str, devices: int) -> list[str]:
    """What that many devices of a side show while the server has this call: one device of a side has a call. Sorted."""
    if call["state"] == "ended":
        return ["idle"] * devices
    if call["state"] == "ringing" and call["callee"] == side:
        return ["ringing"] * devices
    return sorted(["calling" if call["state"] == "ringing" else "talking", *["elsewhere"] * (devices - 1)])


def no_ghost(call: dict[str, Any], people: list[Person]) -> bool:
    """Whether those who have a call on the screen are those whom the server knows to have it."""
    shown = {side: sorted(each.phase() for each in people if each.side == side) for side in ("driver", "passenger")}
    return all(found == phases(call, side, len(found)) for side, found in shown.items())


@pytest.fixture
def opened() -> Generator[ExitStack]:
    """What is closed at the end."""
    with ExitStack() as stack:
        yield stack


def test_after_minutes_of_misfortune_all_show_the_same_history_and_nobody_a_ghost_call(
    browser: Browser, stack: Stack, opened: ExitStack
) -> None:
    ride = Ride(browser, stack, opened)
    for number in range(max(2, SECONDS // SECONDS_OF_A_ROUND)):
        ride.suffer(plan(f"{SEED} {number}", [*ride.people], SECONDS_OF_A_ROUND))
        ride.converges()
        ride.talks()
        if number % 2:
            ride.misses_the_end_of_a_call()
        else:
            ride.hangs_up_unheard()
        ride.converges()
        assert ride.server.call()["state"] == "ended"
    assert all(person.written for person in ride.people.values())
    assert ride.complaints() == []


class Ride:
    """A ride that two consoles and a client in Node share, each on a line of its own."""

    def __init__(self, browser: Browser, stack: Stack, opened: ExitStack) -> None:
        booking = f"misfortune-{uuid4().hex[:10]}"
        self.server = Server(stack, booking)
        self._network = opened.enter_context(lines())
        self._driver = ConsoleUser(browser, stack, booking, "driver", self._network.open(stack.url))
        opened.callback(self._driver.close)
        self._passenger = ConsoleUser(browser, stack, booking, "passenger", self._network.open(stack.url))
        opened.callback(self._passenger.close)
        second = NodeUser(stack, booking, "passenger", self._network.open(stack.url))
        opened.callback(second.close)
        self.people: dict[str, Person] = {"driver": self._driver, "passenger": self._passenger, "second": second}
        self._booking, self._begun, self._chance = booking, time.monotonic(), random.Random(SEED)

    def suffer(self, steps: list[Step]) -> None:
        """Lets a plan happen. Afterwards all lines are good."""
        begun = time.monotonic()
        for step in steps:
            self._driver.wait(max(0.0, begun + step.at - time.monotonic()))
            do(step, self.people[step.who], self._network)
        for person in self.people.values():
            self._network.strike(person.line, "good")

    def converges(self) -> None:
        """All come to show what the server has, without anything that somebody does."""
        self._until("whoever has a call on the screen has it", lambda: self._no_ghost(self.server.call()))
        self._until("all is sent", lambda: not any(person.unsent() for person in self.people.values()))
        self._until("all show the history", lambda: not self._unlike())
        words = [each["message"] for each in self.server.history()]
        for name, person in self.people.items():
            found = [each for each in words if each in person.written]
            assert found == person.written, f"{self._now()} {name}: once, in order"

    def talks(self) -> None:
        """They have a call, whichever it is. All see it, and every line works in both directions."""

        def talking() -> bool:
            call = self.server.call()
            if call["state"] == "ended":
                self._driver.ring()
            elif call["state"] == "ringing":
                (self._driver if call["callee"] == "driver" else self._passenger).ring()
            return call["state"] == "connected" and self._no_ghost(call)

        self._until("they talk", talking)
        self._all_write()  # whoever has not noticed yet that the line is dead notices it now
        self.converges()

    def hangs_up_unheard(self) -> None:
        """Somebody hangs up, and writes, while nothing of it reaches the server. Then that line breaks."""
        who, _ = self._callers()
        self._network.strike(who.line, "silent")
        who.hang_up()
        self._all_write()
        self._until("the others' messages are stored", lambda: self._stored(who))
        self._mend(who)
        self._until("the call that was hung up unheard is over", self._over)

    def misses_the_end_of_a_call(self) -> None:
        """Somebody writes, and hears neither that it is stored, nor what the others write, nor that they hang up."""
        who, other = self._callers()
        self._network.strike(who.line, "deaf")
        self._all_write()
        self._until("all messages are stored", self._stored)
        other.hang_up()
        self._until("the call is over", self._over)
        self._mend(who)

    def complaints(self) -> list[str]:
        """What the pages complained of, but for the lines."""
        return self._driver.complaints() + self._passenger.complaints()

    def _callers(self) -> list[Person]:
        """The two who talk, in any order."""
        return self._chance.sample([person for person in self.people.values() if person.phase() == "talking"], 2)

    def _all_write(self) -> None:
        for name, person in self.people.items():
            before = len(person.written)
            person.write()
            assert len(person.written) > before, f"{name} cannot write: {self._now()}"

    def _stored(self, but: Person | None = None) -> bool:
        """Whether all that was written is stored, but for that of one person."""
        words = {each["message"] for each in self.server.history()}
        return all(words.issuperset(person.written) for person in self.people.values() if person is not but)

    def _mend(self, person: Person) -> None:
        self._network.strike(person.line, "cut")
        self._network.strike(person.line, "good")

    def _over(self) -> bool:
        return self.server.call()["state"] == "ended"

    def _no_ghost(self, call: Message) -> bool:
        return no_ghost(call, [*self.people.values()])

    def _unlike(self) -> dict[str, Any]:
        """Whose history is not as stored, and where."""
        stored = self.server.history()
        return {name: found for name, person in self.people.items() if (found := person.unlike(stored))}

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > end:
                pytest.fail(f"It never came true that {what}: {self._now()}, {self._unlike()}")
            self._driver.wait(0.5)
        print(f"{time.monotonic() - self._begun:.0f} s: {what}", flush=True)

    def _now(self) -> str:
        phases = {name: person.phase() for name, person in self.people.items()}
        return f"SEED={SEED} {self._booking} {phases} {self.server.call()}"


def do(step: Step, person: Person, network: Lines) -> None:
    """Lets a step of the plan happen."""
    if step.act == "good" or step.act in SUFFERED:
        network.strike(person.line, step.act)
        return
    {
        "write": person.write,
        "ring": person.ring,
        "hang up": person.hang_up,
        "read": person.read,
        "reload": person.reload,
    }[step.act]()
