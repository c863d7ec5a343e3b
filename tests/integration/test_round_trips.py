"""Counts how often each operation waits for AWS, so that one more wait is a decision and not an accident.

Time is virtual: every request and every batch of posts takes one step, so the steps that pass are the waits.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from benchmarks.requests import ROUND_TRIPS
from navietakie.wire.connections_api import Outcome, Post
from tests.chaos.run import stage
from tests.chaos.scheduler import SECOND
from tests.chaos.world import CALM, HANDLERS, Fields, World
from tests.fakes import invocations

STEP = 0.01


def test_every_operation_waits_for_aws_as_often_as_it_is_said_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, int] = {}
    heard: list[Fields] = []

    def post(world: World, posts: Sequence[Post]) -> list[Outcome]:
        world.scheduler.pause(STEP)
        heard.extend(invocations.json.loads(body) for _, body in posts)
        return ["delivered"] * len(posts)

    def act(world: World) -> None:
        def counted(name: str, function: str, event: Any) -> None:
            heard.clear()
            began = world.scheduler.now
            answer = HANDLERS[function](event, invocations.Context())
            assert answer["statusCode"] < 300, answer
            assert "error" not in [frame["type"] for frame in heard], heard
            found[name] = round((world.scheduler.now - began) / (STEP * SECOND))

        def frame(name: str, function: str, connection_id: str, **fields: Any) -> None:
            counted(name, function, invocations.frame(connection_id, fields))

        def rest(name: str, **fields: Any) -> None:
            counted(name, "send_message", invocations.rest("send_message", {**driver, **fields}))

        def call(name: str, connection_id: str, **fields: Any) -> None:
            frame(f"call: {name}", "make_call", connection_id, action="call", call_action=name, **fields)

        driver = {"booking_code": "test", "sender": "driver"}
        counted("connect", "websocket", invocations.connect("p", {"booking_code": "test", "sender": "passenger"}))
        counted("connect", "websocket", invocations.connect("d", driver))
        rest("message by REST", message="x")
        rest("message by REST, with an id", message="x", client_message_id="a")
        frame("message by WebSocket", "send_message", "d", action="message", message="y", id="b")
        rest("receipt by REST", read=1)
        frame("receipt by WebSocket", "send_message", "d", action="read", seq=2)
        frame("typing", "websocket", "d", action="typing", on=True)
        frame("ping", "websocket", "d", action="ping")
        frame("sync", "get_message", "d", action="sync")
        call("initiate", "d")
        (call_id,) = {frame["call"]["call_id"] for frame in heard}
        frame("call: signal", "make_call", "d", action="signal", call_id=call_id, data={})
        call("accept", "p", call_id=call_id)
        call("end", "d", call_id=call_id)

    monkeypatch.setattr(World, "_latency", lambda _: STEP / 2)  # each way
    monkeypatch.setattr(World, "post", post)
    stage(1, act, faults=CALM)
    assert found == ROUND_TRIPS
