"""Starts the local stack for a test: `make run`'s own program, in a folder and on ports of its own."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.stack import ROOT, Stack

PYTHON = ROOT / ".local" / "tools" / "bin" / "python"
START_SECONDS = 240  # on a busy machine; a quiet one needs 20
STOP_SECONDS = 60
MAKE_RUN = ("-m", "local.run")
NOTHING: Mapping[str, str] = {}


def node() -> list[str]:
    """Node.js, with the option for a WebSocket class if it needs one. Skips the test if there is no Node.js."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("there is no Node.js on this machine")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    older = int(version.strip().lstrip("v").split(".")[0]) < 22  # older ones need an option for the WebSocket class
    return [program, *(["--experimental-websocket", "--no-warnings"] if older else [])]


@dataclass
class Run:
    """A started `make run`. `home`: its folder; `output`: what it has printed."""

    process: subprocess.Popen[bytes]
    home: Path
    output: Path

    def ready(self) -> Stack:
        """Waits until it is ready. If it ends instead, fails the test with its output."""
        end = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            # The file appears just before the lines to paste.
            if (stack := Stack.read(self.home)) and "Ctrl-C" in self.said():
                return stack
            time.sleep(0.1)
        return pytest.fail(f"The local stack did not start:\n{self.said()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def said(self) -> str:
        """What it has printed."""
        return self.output.read_text(errors="replace")

    def logged(self) -> str:
        """Every line that the functions have logged."""
        return (self.home / "functions.log").read_text(errors="replace")


def start(
    home: Path,
    *options: str,
    cwd: Path = ROOT,
    program: Sequence[str] = MAKE_RUN,
    variables: Mapping[str, str] = NOTHING,
) -> Run:
    """Starts the stack whose state is in `home`. `options`: those of local.run.

    `program`: what Python runs for it. `variables`: environment variables besides our own.
    """
    if not PYTHON.exists():
        pytest.skip("the embedded AWS is not installed: make setup")
    home.mkdir(parents=True, exist_ok=True)
    output = home / "output.log"
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    with output.open("wb") as out:
        process = subprocess.Popen(
            [PYTHON, *program, "--home", home, *options],
            cwd=cwd,
            env={**own, **variables},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    return Run(process, home, output)


@contextmanager
def running(
    home: Path,
    *options: str,
    cwd: Path = ROOT,
    program: Sequence[str] = MAKE_RUN,
    variables: Mapping[str, str] = NOTHING,
) -> Generator[tuple[Run, Stack]]:
    """A stack on free ports, from its start to its stop. `cwd`: the folder of another copy of the project."""
    run = start(home, "--port", "0", *options, cwd=cwd, program=program, variables=variables)
    try:
        yield run, run.ready()
    finally:
        if run.process.poll() is None:
            run.stop()
