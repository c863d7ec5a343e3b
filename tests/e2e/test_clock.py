"""The wall clock of the machine jumps by an hour while the stack runs, forward and back: nothing stops or gets lost."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.stack import Stack
from navietakie.domain import instants
from tests.e2e.talking import ask, connected, hear
from tests.running import Run, running

SOURCE = Path(__file__).with_name("stepped_clock.c")
HOUR = 3_600
# The embedded AWS gets few of our variables, so that it needs the clock's passed on.
PROGRAM = """
import os, sys
from local import run

embedded = run.EmbeddedAws
clock = {name: os.environ[name] for name in ("LD_PRELOAD", "CLOCK")}
run.EmbeddedAws = lambda home, variables: embedded(home, {**variables, **clock})
sys.exit(run.main())
"""


class WallClock:
    """The wall clock of a stack, by `ahead` seconds ahead of this machine's."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if sys.platform != "linux" or compiler is None:
            pytest.skip("a stepped clock takes Linux and a C compiler")
        self._file, library = folder / "clock", folder / "clock.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE], check=True)
        self.variables = {"LD_PRELOAD": str(library), "CLOCK": str(self._file)}
        self._file.touch()
        self.set(0)

    def set(self, ahead: int) -> None:
        with self._file.open("r+b") as file:
            file.write(ahead.to_bytes(8, sys.byteorder, signed=True))

    @contextmanager
    def running(self, home: Path) -> Generator[tuple[Run, Stack]]:
        with running(home, program=("-c", PROGRAM), variables=self.variables) as found:
            yield found


def test_a_clock_that_jumps_by_an_hour_stops_nobody_and_loses_nothing(tmp_path: Path, stopped_home: Path) -> None:
    clock = WallClock(tmp_path)
    with clock.running(stopped_home) as (run, stack):
        party = {"booking_code": "clock", "sender": "driver"}

        def wait_for(told: Callable[[Any], bool]) -> None:
            """Skips what the passenger hears until this message comes."""
            while not told(hear(passenger, "message")["message"]):
                pass

        def say(text: str) -> int:
            """Sends a message and returns its timestamp in seconds."""
            answer = ask(stack, None, "POST", "send_message", **party, message=text)
            assert answer.status_code == 201, answer.text
            wait_for(lambda message: message["message"] == text)
            return instants.from_text(answer.json()["message"]["timestamp"]) // instants.SECOND

        def call(sender: str, action: str, **fields: str) -> Any:
            fields |= {**party, "sender": sender, "action": action}
            for _ in range(10):  # after the clock was set back, a limit admits one request at a time
                answer = ask(stack, None, "POST", "make_call", **fields)
                if answer.status_code != 429:
                    break
                time.sleep(answer.json()["error"]["details"]["retry_after_ms"] / 1_000)
            return answer.json()

        def ring(caller: str) -> str:
            return call(caller, "initiate")["call"]["call_id"]

        def talk(callee: str, id: str) -> None:
            """A call from its answer to its end, and the message that it leaves."""
            assert call(callee, "accept", call_id=id)["call"]["state"] == "connected"
            assert call(callee, "end", call_id=id)["call"]["end_reason"] == "completed"
            wait_for(lambda message: message["message_id"] == id)

        with connected(stack, "booking_code=clock&sender=passenger") as passenger:
            before = say("before")
            rung = ring("driver")
            clock.set(HOUR)
            refused = call("passenger", "accept", call_id=rung)["error"]
            assert (refused["code"], refused["details"]["call"]["end_reason"]) == ("illegal_transition", "no_answer")
            wait_for(lambda message: message["message_id"] == rung)
            assert HOUR <= say("an hour later") - before < 2 * HOUR
            talk("passenger", ring("driver"))
            for ahead in (0, -HOUR):
                rung = ring("driver")
                clock.set(ahead)
                talk("passenger", rung)
                assert HOUR <= say(f"{ahead} s ahead") - before < 2 * HOUR  # no timestamp is before the last one
                talk("driver", ring("passenger"))
            page = ask(stack, None, "GET", "get_message", booking_code="clock", order="asc").json()
        assert [message["seq"] for message in page["messages"]] == list(range(1, page["head_seq"] + 1))
        assert run.stop() == 0
        assert "could not be saved" not in run.said()
