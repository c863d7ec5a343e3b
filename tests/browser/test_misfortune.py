"""Two consoles and a client in Node on the running stack, with lines that break all the time.

However it went, all three end with the history as stored, and with no call that the others do not have.
"""

import json
import os
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
from tests.browser.conftest import PATIENCE_MS
from tests.browser.console import Console
from tests.browser.misfortune import SUFFERED, Line, Lines, Step, lines, plan
from tests.running import ROOT, node

SECONDS = int(os.environ.get("SECONDS") or 75)
SEED = int(os.environ.get("SEED") or 1)
PATIENCE_SECONDS = 240
"""How long all may take to agree when the lines are good: a call that nobody has any more ends after 45 s."""

type Seen = tuple[int, str]
"""A message's `seq` and its words; none of a call's, which each side reads differently."""


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
    def history(self) -> list[Seen]:
        """What is shown of all messages, from the first one on."""


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

HISTORY = """(place) => [...place.querySelectorAll('[data-seq]')].flatMap((item) => {
    const last = Number(item.dataset.seq);
    const times = Number(/· (\\d+) times/.exec(item.textContent)?.[1] ?? 1); // chips that say the same are one
    const words = item.matches('.apart') ? '' : item.querySelector('p').textContent;
    return Array.from({ length: times }, (_, at) => [last - times + 1 + at, words]);
})"""


class ConsoleUser:
    """Somebody at the console: one phone alone, on a line of its own."""

    def __init__(self, browser: Browser, stack: Stack, booking: str, side: str, line: Line) -> None:
        self.side, self.line, self.written = side, line, list[str]()
        self._peer = "passenger" if side == "driver" else "driver"
        self._context = browser.new_context()
        self._context.set_default_timeout(PATIENCE_MS)
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

    def history(self) -> list[Seen]:
        while self._press("Earlier messages"):
            self._console.page.wait_for_timeout(200)
        return [(seq, words) for seq, words in self._place.evaluate(HISTORY)]

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

    def history(self) -> list[Seen]:
        return [seen(each) for each in self._do("history")]

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)

    def _do(self, act: str, **how: str) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"act": act, **how}), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


def seen(message: dict[str, Any]) -> Seen:
    """What is to be seen of a message."""
    return message["seq"], message["message"] if message["message_type"] == "text" else ""


class Server:
    """What the stack has of a booking, asked past all lines."""

    def __init__(self, stack: Stack, booking: str) -> None:
        self._api, self._booking = f"{stack.url}/api/v1", booking

    def history(self) -> list[Seen]:
        """All messages, page after page."""
        messages: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = self._get("get_message", limit=100, order="asc", **cursor)
            messages += page["messages"]
            if page["next_cursor"] is None:
                assert len({each["message_id"] for each in messages}) == len(messages)
                return [seen(each) for each in messages]
            cursor = {"cursor": page["next_cursor"]}

    def call(self) -> dict[str, Any]:
        """The latest call; ended if there was none."""
        calls = self._get("calls", limit=1)["calls"]
        return calls[0] if calls else {"state": "ended"}

    def _get(self, what: str, **query: Any) -> Any:
        answer = httpx.get(f"{self._api}/{what}", params={"booking_code": self._booking, **query}, timeout=60)
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
    booking, network = f"misfortune-{uuid4().hex[:10]}", opened.enter_context(lines())
    server = Server(stack, booking)
    driver = ConsoleUser(browser, stack, booking, "driver", network.open(stack.url))
    opened.callback(driver.close)
    passenger = ConsoleUser(browser, stack, booking, "passenger", network.open(stack.url))
    opened.callback(passenger.close)
    second = NodeUser(stack, booking, "passenger", network.open(stack.url))
    opened.callback(second.close)
    people: dict[str, Person] = {"driver": driver, "passenger": passenger, "second": second}

    def until(what: str, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < end, (
                f"SEED={SEED} {booking}: {what}; {[(n, p.phase()) for n, p in people.items()]}, {server.call()}"
            )
            driver.wait(0.5)
        print(f"{time.monotonic() - begun:.0f} s: {what}", flush=True)

    begun = time.monotonic()
    for step in plan(SEED, [*people], SECONDS):
        driver.wait(max(0.0, begun + step.at - time.monotonic()))
        do(step, people[step.who], network)
    for person in people.values():
        network.strike(person.line, "good")

    until("whoever has a call on the screen has it", lambda: no_ghost(server.call(), [*people.values()]))

    def quiet() -> bool:
        for person in people.values():
            person.hang_up()
        return server.call()["state"] == "ended" and no_ghost({"state": "ended"}, [*people.values()])

    until("a call that all hang up is over", quiet)
    until("all is sent", lambda: not any(person.unsent() for person in people.values()))
    until("all show the history", lambda: all(each.history() == server.history() for each in people.values()))
    stored = [words for _, words in server.history()]
    for name, person in people.items():
        assert [each for each in stored if each in person.written] == person.written, (
            f"SEED={SEED} {name}: once, in order"
        )
    assert all(person.written for person in people.values())
    assert driver.complaints() + passenger.complaints() == []


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
