"""A small `make prove`: drives rides through the running stack and judges them."""

import asyncio
import json
from pathlib import Path

from rich.progress import Progress

from clients.deployment import Deployment
from clients.prove import Wish, proven
from clients.tokens import DeployedSecret
from local.stack import Stack
from tests.running import Run


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
