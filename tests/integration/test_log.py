"""The line that each invocation leaves in the log, as docs/operations.md lists its fields."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

import get_message.app
import make_call.app
import send_message.app
import websocket.app
from navietakie.observability import logger
from tests.worlds.moto import World

type Served = Callable[[], dict[str, Any]]
BROUGHT_BY_EACH = {"level", "location", "timestamp", "service", "message", "elapsed_ms", "cold_start", "xray_trace_id"}
OF_THE_LOGGER = BROUGHT_BY_EACH | {"function_name", "function_memory_size", "function_arn", "function_request_id"}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """The fields of the one line `served` since the last look, without those of every line."""
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)

    def fields() -> dict[str, Any]:
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        log.seek(0)
        log.truncate()
        (line,) = (line for line in lines if line["message"] == "served")
        assert 0 <= line["elapsed_ms"] < 60_000
        return {name: value for name, value in line.items() if name not in OF_THE_LOGGER}

    return fields


def test_a_message_by_rest_is_logged_with_its_number_and_whom_it_reached(world: World, served: Served) -> None:
    world.connect("p1", "passenger")
    world.connect("p2", "passenger")
    new = {"booking_code": "test", "sender": "driver", "message": "Hello"}
    _, body, _ = world.rest(send_message.app.handler, "POST", "/api/v1/send_message", new)
    assert served() == {
        "request_id": "rest-request",
        "route": "POST /api/v1/send_message",
        "outcome": "201",
        "booking_code": "test",
        "role": "driver",
        "message_id": body["message"]["message_id"],
        "seq": 1,
        "delivery": {"connections": 2, "delivered": 2, "gone": 0, "failed": 0},
    }


def test_a_message_by_websocket_is_logged_likewise(world: World, served: Served) -> None:
    world.connect("d1", "driver")
    (ack,) = world.socket(send_message.app.handler, "d1", {"action": "message", "message": "Hello"})
    assert served() == {
        "request_id": "socket-request",
        "route": "message",
        "outcome": "ok",
        "booking_code": "test",
        "role": "driver",
        "connection_id": "d1",
        "action": "message",
        "message_id": ack["message"]["message_id"],
        "seq": 1,
        "delivery": {"connections": 0, "delivered": 0, "gone": 0, "failed": 0},
    }


def test_a_page_and_a_sync_are_logged(world: World, served: Served) -> None:
    new = {"booking_code": "test", "sender": "driver", "message": "Hello"}
    for _ in range(2):
        world.rest(send_message.app.handler, "POST", "/api/v1/send_message", new)
        served()
    world.rest(get_message.app.handler, "GET", "/api/v1/get_message", query={"booking_code": "test"})
    page = {"request_id": "rest-request", "route": "GET /api/v1/get_message", "outcome": "200", "booking_code": "test"}
    assert served() == page
    world.connect("d1", "driver")
    world.socket(get_message.app.handler, "d1", {"action": "sync"})
    sync = served()
    assert (sync["route"], sync["outcome"], sync["messages"], sync["head_seq"]) == ("sync", "ok", 2, 2)


def test_a_call_is_logged_with_its_state_and_whom_it_reached(world: World, served: Served) -> None:
    world.connect("p1", "passenger")
    new = {"booking_code": "test", "sender": "driver", "action": "initiate"}
    _, body, _ = world.rest(make_call.app.handler, "POST", "/api/v1/make_call", new)
    assert served() == {
        "request_id": "rest-request",
        "route": "POST /api/v1/make_call",
        "outcome": "200",
        "booking_code": "test",
        "role": "driver",
        "call_id": body["call"]["call_id"],
        "call_state": "ringing",
        "call_version": 1,
        "reached": 1,
    }


def test_a_timer_is_logged_with_its_kind_and_its_call(world: World, served: Served) -> None:
    timer = {"kind": "ring", "booking_code": "test", "call_id": "0" * 32}
    record = {"messageId": "q1", "eventSource": "aws:sqs", "body": json.dumps(timer), "attributes": {}}
    make_call.app.handler({"Records": [record]}, None)
    line = served()
    assert (line["route"], line["queue_message_id"]) == ("queue", "q1")
    assert {name: line[name] for name in timer} == timer


def test_a_connection_that_comes_and_goes_is_logged(world: World, served: Served) -> None:
    world.lifecycle(websocket.app.handler, "$connect", "d1", {"booking_code": "test", "sender": "driver"})
    came = {"request_id": "lifecycle-request", "connection_id": "d1", "booking_code": "test"}
    assert served() == came | {"route": "$connect", "outcome": "200", "role": "driver"}
    world.lifecycle(websocket.app.handler, "$disconnect", "d1")
    assert served() == came | {"route": "$disconnect", "outcome": "200"}


def test_what_is_refused_is_logged_with_its_code(world: World, served: Served) -> None:
    world.connect("d1", "driver")
    world.socket(send_message.app.handler, "d1", {"action": "message", "message": 5})
    line = served()
    assert (line["route"], line["outcome"], line["booking_code"]) == ("message", "invalid_request", "test")
    world.rest(get_message.app.handler, "GET", "/api/v1/nowhere")
    assert served() == {"request_id": "rest-request", "route": "GET /api/v1/nowhere", "outcome": "404"}
