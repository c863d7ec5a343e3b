"""A stack with one broken function, and what `make prove` says of it."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from local.stack import ROOT
from tests.running import PYTHON, running

COPIED = ("benchmarks", "clients", "functions", "layers", "local", "requirements", "web")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "node_modules")
MARKER = """    return Marker(message.sender, new.client_message_id, message.timestamp, new.digest)
"""
PATIENCE_SECONDS = 240


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
