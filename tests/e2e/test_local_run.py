"""`make run` as a process: it starts beside others, keeps its data, and ends cleanly at every signal."""

import asyncio
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from clients import smoke
from clients.deployment import Deployment
from local.embedded import LOCK, is_held
from local.frontdoor import listen
from local.stack import ROOT, Stack
from tests.running import PYTHON, Run, running


def send(stack: Stack, text: str) -> None:
    fields = {"booking_code": "kept", "message": text, "sender": "driver"}
    answer = httpx.post(f"{stack.url}/api/v1/send_message", json=fields, timeout=30)
    assert answer.status_code == 201, answer.text


def texts(stack: Stack) -> list[str]:
    page: Any = httpx.get(f"{stack.url}/api/v1/get_message?booking_code=kept&order=asc", timeout=30).json()
    return [message["message"] for message in page["messages"]]


def embedded_runs(home: Path) -> bool:
    """Whether the embedded AWS of the stack in `home` still runs."""
    with (home / LOCK).open() as lock:
        return is_held(lock)


@dataclass
class Stopped:
    """A stack that was deployed and stopped: its folder, and the messages that it must have kept."""

    home: Path
    kept: list[str]


@pytest.fixture(scope="module")
def stopped(stopped_home: Path) -> Stopped:
    with running(stopped_home) as (_, stack):
        send(stack, "first")
    return Stopped(stopped_home, ["first"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_after_a_stop_the_state_is_saved_and_the_next_start_deploys_nothing(
    stopped: Stopped, number: signal.Signals
) -> None:
    with running(stopped.home) as (run, stack):
        assert "unchanged since the last time" in run.said()
        assert texts(stack) == stopped.kept
        send(stack, number.name)
        stopped.kept.append(number.name)
        assert run.stop(number) == 0, run.said()
    assert not embedded_runs(stopped.home)
    assert Stack.read(stopped.home) is None


def test_after_a_kill_of_make_run_nothing_is_lost(stopped: Stopped) -> None:
    with running(stopped.home) as (run, stack):
        send(stack, "before the kill")
        stopped.kept.append("before the kill")
        run.stop(signal.SIGKILL)
    # The embedded AWS may still run: the next start ends it first, and so it saves its data.
    assert Stack.read(stopped.home) is None
    with running(stopped.home) as (_, stack):
        assert texts(stack) == stopped.kept


def test_a_second_one_in_the_same_folder_is_refused(local_run: tuple[Run, Stack]) -> None:
    run, stack = local_run
    command = [PYTHON, "-m", "local.run", "--home", run.home, "--port", "0"]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert f"It runs already, at {stack.url}" in second.stdout
    assert Stack.read(run.home) == stack


def test_a_second_stack_in_another_folder_takes_the_next_free_port(stack: Stack, stopped: Stopped) -> None:
    taken = listen(0)
    port = taken[0].getsockname()[1]
    try:
        with running(stopped.home, "--port", str(port)) as (run, beside):
            assert beside.url != f"http://localhost:{port}"
            assert f"Port {port} is taken" in run.said()
            assert f"curl -s -X POST {beside.url}/api/v1/send_message" in run.said()
            assert beside.aws != stack.aws
            assert texts(beside) == stopped.kept
            assert texts(stack) == []
    finally:
        for each in taken:
            each.close()


def test_what_websocket_invocations_log_is_shown(local_run: tuple[Run, Stack]) -> None:
    run, stack = local_run
    with connect(f"{stack.websocket_url}?booking_code=logged-here&sender=driver", open_timeout=30) as socket:
        socket.send('{"action": "ping"}')
        socket.recv(30)
    end = time.monotonic() + 20
    while "logged-here" not in run.logged() and time.monotonic() < end:
        time.sleep(0.1)
    assert "logged-here" in run.logged()


def test_a_deployment_passes_its_own_smoke_test(stack: Stack) -> None:
    deployment = Deployment("local", stack.url, stack.websocket_url, stack.auth_mode)
    asyncio.run(smoke.ride(deployment, "smoke-test", {}))
