"""The reference client in Node against the running stack: cut at random moments, it always converges."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from clients import tokens
from clients.tokens import DeployedSecret, Wanted
from local.stack import ROOT, Stack
from tests.running import Run, node

SCRIPTS = ROOT / "tests" / "client" / "stack"


def printed(script: Path, *arguments: str) -> str:
    """The output of a Node script. Fails with its error output."""
    ended = subprocess.run([*node(), script, *arguments], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_clients_that_are_cut_at_random_moments_end_with_the_history_as_stored(stack: Stack, seed: int) -> None:
    told = json.loads(printed(SCRIPTS / "converge.mjs", stack.url, str(seed)))
    assert told["stored"] == told["sent"]
    assert told["cuts"] > 10


def test_a_call_through_the_client_survives_a_cut_and_is_logged(stack: Stack) -> None:
    printed(SCRIPTS / "call.mjs", stack.url)


def test_redactions_and_orders_reach_every_client(stack: Stack) -> None:
    printed(SCRIPTS / "company.mjs", stack.url)


def test_a_client_whose_token_runs_out_comes_back_with_another(jwt_run: tuple[Run, Stack]) -> None:
    run, stack = jwt_run
    secret = DeployedSecret("local", home=run.home).current()

    def token(ttl: int) -> str:
        wanted = Wanted.parse({"booking": "ride-renewed", "role": "driver", "sub": "driver-1", "ttl": ttl})
        return tokens.token(secret, wanted, time.time())

    printed(SCRIPTS / "token.mjs", stack.url, "ride-renewed", token(30), token(600))
