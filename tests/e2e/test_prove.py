"""A small `make prove`: drives rides through the running stack and judges them."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from rich.progress import Progress

from clients.deployment import Deployment
from clients.prove import Wish, proven
from clients.tokens import DeployedSecret
from local.stack import ROOT, Stack
from tests.running import PYTHON, Run, running

COPIED = ("benchmarks", "clients", "functions", "layers", "local", "requirements", "web")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "node_modules")
MARKER = """    return Marker(message.sender, new.client_message_id, message.timestamp, new.digest)
"""
PATIENCE_SECONDS = 240


def deployment(stack: Stack) -> Deployment:
    return Deployment("local", stack.url, stack.websocket_url, stack.auth_mode)


def test_a_few_rides_at_once_break_no_promise_and_leave_a_report(stack: Stack, tmp_path: Path) -> None:
    wish = Wish(rides=3, minutes=0.25, messages=60, seed=7)
    with Progress(disable=True) as progress:
        proof = asyncio.run(proven(deployment(stack), wish, None, progress, stack))
    assert proof.kept, (proof.broken, proof.unread)
    assert proof.steps_done == proof.steps_planned
    assert proof.rides_judged == 3
    assert proof.reconnects >= 1
    as_json, page = proof.write(tmp_path)
    told = json.loads(as_json.read_text())
    assert told["kept"] is True
    assert {"front door", "embedded AWS", "functions", "the proof itself"} <= told["processes"].keys()
    assert "<svg" in page.read_text()


def test_tokens_expire_and_are_renewed_while_rides_go_on(jwt_run: tuple[Run, Stack]) -> None:
    secret = DeployedSecret("local", home=jwt_run[0].home).current()
    wish = Wish(rides=3, minutes=0.6, messages=60, seed=7)
    with Progress(disable=True) as progress:
        proof = asyncio.run(proven(deployment(jwt_run[1]), wish, secret, progress, jwt_run[1]))
    assert proof.kept, (proof.broken, proof.unread)
    assert proof.measures.errors["token_expired"] >= 1
    assert proof.renewed >= 6  # two sides of three rides, each at least once


@pytest.fixture
def mutated(tmp_path: Path) -> Path:
    """A copy of the project that stores a repeated message again: the mutant `forget_the_marker` of the chaos tests, in
    the functions' source."""
    copy = tmp_path / "mutated"
    for folder in COPIED:
        shutil.copytree(ROOT / folder, copy / folder, ignore=LEFT_OUT)
    for file in ("template.yaml", "samconfig.toml", ".python-version"):
        shutil.copy(ROOT / file, copy / file)
    (copy / ".local").mkdir(mode=0o700)
    for folder in ("tools", "uv"):
        if (ROOT / ".local" / folder).exists():
            (copy / ".local" / folder).symlink_to(ROOT / ".local" / folder)
    source = copy / "functions" / "send_message" / "sending.py"
    text = source.read_text()
    assert text.count(MARKER) == 1
    source.write_text(text.replace(MARKER, "    return None\n"))
    return copy


def test_a_stack_that_breaks_a_promise_is_caught_through_its_public_api(mutated: Path) -> None:
    with running(mutated / ".local", cwd=mutated):
        said = mutated / "said"
        with said.open("wb") as out:
            proving = subprocess.Popen(
                [PYTHON, "-m", "clients.prove", "--rides", "4", "--minutes", "3", "--messages", "60", "--seed", "7"],
                cwd=mutated,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(mutated / "layers" / "shared"), "YES": "1"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        stored = wait_for(r"\d+ s: (\d{3,}) messages", said, proving)  # with so many, some were sent again
        proving.send_signal(signal.SIGINT)
        assert proving.wait(PATIENCE_SECONDS) == 1
    text = said.read_text()
    broken = re.search(
        r"^BROKEN  (prove-\w+-\d): seq \d+ and \d+ both hold \('\w+', '(\w+-m-\d+)'\)$", text, re.MULTILINE
    )
    assert broken, text
    assert re.search(r"^\d+ promises were broken$", text, re.MULTILINE)
    (report,) = (mutated / "proof").glob("*.json")
    told = json.loads(report.read_text())
    assert told["kept"] is False
    assert told["messages"] >= int(stored)
    assert told["steps"]["done"] < told["steps"]["planned"]
    assert told["broken"][0].startswith(broken[1])
    tries = [it for it in told["frames"] if it["event"] == "asked" and broken[2] in str(it["fields"])]
    assert len(tries) >= 2, told["frames"]


def wait_for(pattern: str, file: Path, process: subprocess.Popen[bytes]) -> str:
    """Waits until the output of a process matches. Returns the first group; fails the test if it never matches."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(pattern, file.read_text()):
            return found[1]
        time.sleep(0.2)
    return pytest.fail(file.read_text())
