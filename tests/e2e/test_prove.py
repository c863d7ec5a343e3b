"""`make prove`, small: rides through the running stack, judged."""

import asyncio
import json
from pathlib import Path

from rich.progress import Progress

from clients.deployment import Deployment
from clients.prove import Wish, proven
from local.stack import Stack


def test_a_few_rides_at_once_break_no_promise_and_leave_a_report(stack: Stack, tmp_path: Path) -> None:
    deployment = Deployment("local", stack.url, stack.websocket_url, stack.auth_mode)
    with Progress(disable=True) as progress:
        proof = asyncio.run(proven(deployment, Wish(rides=3, minutes=0.25, messages=60, seed=7), None, progress))
    assert proof.kept, (proof.broken, proof.unread)
    assert proof.steps_done == proof.steps_planned
    assert proof.rides_judged == 3
    assert proof.reconnects >= 1
    as_json, page = proof.write(tmp_path)
    assert json.loads(as_json.read_text())["kept"] is True
    assert "<svg" in page.read_text()
