"""The reference client in Node against the running stack: cut at random moments, it always converges."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from clients import tokens
from clients.tokens import DeployedSecret, Wanted
from local.stack import ROOT, Stack
from tests.running import Run

SCRIPTS = ROOT / "tests" / "client" / "stack"


def program() -> list[str]:
    """Node.js, with the option for a WebSocket class if it needs one. Skips the test if there is no Node.js."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("there is no Node.js on this machine")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    older = int(version.strip().lstrip("v").split(".")[0]) < 22  # older ones need an option for the WebSocket class
    return [program, *(["--experimental-websocket", "--no-warnings"] if older else [])]


def node(script: Path, *arguments: str) -> str:
    """The output of a Node script. Fails with its error output."""
    command = [*program(), script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_clients_that_are_cut_at_random_moments_end_with_the_history_as_stored(stack: Stack, seed: int) -> None:
    told = json.loads(node(SCRIPTS / "converge.mjs", stack.url, str(seed)))
    assert told["stored"] == told["sent"]
    assert told["cuts"] > 10


def test_a_call_through_the_client_survives_a_cut_and_is_logged(stack: Stack) -> None:
    node(SCRIPTS / "call.mjs", stack.url)


def test_redactions_and_orders_reach_every_client(stack: Stack) -> None:
    node(SCRIPTS / "company.mjs", stack.url)


def test_a_client_whose_token_runs_out_comes_back_with_another(jwt_run: tuple[Run, Stack]) -> None:
    run, stack = jwt_run
    secret = DeployedSecret("local", home=run.home).current()

    def token(ttl: int) -> str:
        wanted = Wanted.parse({"booking": "ride-renewed", "role": "driver", "sub": "driver-1", "ttl": ttl})
        return tokens.token(secret, wanted, time.time())

    node(SCRIPTS / "token.mjs", stack.url, "ride-renewed", token(30), token(600))
