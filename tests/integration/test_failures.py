"""The metrics of requests that failed because of us. A failed frame leaves no other sign that an alarm could watch."""

import io
import json

import pytest

from get_message.app import handler as get_message
from navietakie.observability import logger
from send_message.app import handler as send_message
from tests.worlds.moto import World, fail
from websocket.app import handler as websocket

DRIVER = {"booking_code": "test", "sender": "driver"}


def counted(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, float]]:
    """The metrics since the last look, by name (CloudWatch's embedded metric format)."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    return [
        (it["Name"], sum(line[it["Name"]]))
        for line in lines
        for of in line["_aws"]["CloudWatchMetrics"]
        for it in of["Metrics"]
    ]


def test_a_frame_that_fails_here_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.connect("d1", "driver")
    fail(monkeypatch, "GetItem", "ThrottlingException")
    (error,) = world.socket(get_message, "d1", {"action": "sync"})
    assert error["error"]["code"] == "unavailable"
    assert counted(capsys) == [("Failures", 1)]


def test_a_mistake_of_ours_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.connect("d1", "driver")
    fail(monkeypatch, "GetItem", "ValidationException")
    (error,) = world.socket(get_message, "d1", {"action": "sync"})
    assert error["error"]["code"] == "internal"
    assert counted(capsys) == [("Failures", 1)]


def test_a_connect_that_fails_here_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CONNECTIONS_TABLE")
    assert world.lifecycle(websocket, "$connect", "d1", DRIVER)["statusCode"] == 500
    assert counted(capsys) == [("Failures", 1)]


def test_a_mistake_of_ours_is_logged_by_the_name_that_aws_gives_it(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    world.connect("d1", "driver")
    fail(monkeypatch, "GetItem", "AccessDeniedException")
    world.socket(get_message, "d1", {"action": "sync"})
    assert '"error_type":"AccessDeniedException"' in log.getvalue()


def test_a_message_whose_connections_could_not_be_looked_up_is_a_failure(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.connect("d1", "driver")
    fail(monkeypatch, "Query", "ThrottlingException")
    world.socket(send_message, "d1", {"action": "message", "message": "Hello"})
    assert ("Failures", 1) in counted(capsys)


def test_a_clients_mistake_does_not_count_as_a_failure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.connect("d1", "driver")
    (error,) = world.socket(websocket, "d1", {"action": "typing", "on": "perhaps"})
    assert error["error"]["code"] == "invalid_request"
    assert world.lifecycle(websocket, "$connect", "d2", {})["statusCode"] == 400
    assert counted(capsys) == []
