"""The reference client in Node against the deployed stack: cut at random moments, it always converges."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from local.stack import ROOT, Stack

SCRIPTS = ROOT / "tests" / "client" / "stack"


def run(script: Path, *arguments: str) -> str:
    """What a script of Node's prints; fails with what it complains of."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node.js on this machine")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    older = int(version.strip().lstrip("v").split(".")[0]) < 22  # its WebSocket class is behind an option
    options = ["--experimental-websocket", "--no-warnings"] if older else []
    done = subprocess.run([node, *options, script, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_clients_that_are_cut_at_random_moments_end_with_the_history_as_stored(stack: Stack, seed: int) -> None:
    told = json.loads(run(SCRIPTS / "converge.mjs", stack.url, str(seed)))
    assert told["stored"] == told["sent"]
    assert told["cuts"] > 10


def test_a_call_through_the_client_survives_a_cut_and_is_logged(stack: Stack) -> None:
    run(SCRIPTS / "call.mjs", stack.url)
