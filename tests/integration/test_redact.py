"""Redactions at every door, and every place where the text could be read before."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from get_message.app import handler as get_message
from send_message.app import handler
from tests.worlds.moto import Context, World

SECRET = "call me at 0170 1234567"
SEND, READ = "/api/v1/send_message", "/api/v1/get_message"


def send(world: World, text: str = SECRET, sender: str = "driver", **fields: Any) -> dict[str, Any]:
    body = {"booking_code": "test", "message": text, "sender": sender, **fields}
    status, answer, _ = world.rest(handler, "POST", SEND, body)
    assert status in (200, 201), answer
    return answer["message"]


def by_rest(world: World, timestamp: str, sender: str = "driver") -> tuple[int, Any]:
    body = {"booking_code": "test", "sender": sender, "redact": timestamp}
    return world.rest(handler, "POST", SEND, body)[:2]


def directly(world: World, timestamp: str, sender: str = "driver") -> tuple[int, Any]:
    payload = {"function_type": "send_message", "booking_code": "test", "sender": sender, "redact": timestamp}
    answer = handler(payload, Context())
    return answer["statusCode"], answer["body"]


def page(world: World, **query: str) -> dict[str, Any]:
    status, body, _ = world.rest(get_message, "GET", READ, query={"booking_code": "test", **query})
    assert status == 200
    return body


@pytest.mark.parametrize("redact", [by_rest, directly])
def test_a_redaction_is_201_and_a_repeat_200(world: World, redact: Callable[..., tuple[int, Any]]) -> None:
    world.connect("p1", "passenger")
    original = send(world)
    status, body = redact(world, original["timestamp"])
    assert (status, body["duplicate"], body["delivery"]["delivered"]) == (201, False, 1)
    notice = body["message"]
    assert (notice["message"], notice["message_type"], notice["sender"]) == ("Message removed", "system", "system")
    assert notice["metadata"] == {
        "event": "message_redacted",
        "seq": original["seq"],
        "timestamp": original["timestamp"],
        "by": "driver",
    }
    assert world.gateway.frames["p1"][-1]["message"] == notice
    again, repeat = redact(world, original["timestamp"])
    assert (again, repeat["duplicate"], repeat["message"]) == (200, True, notice)


def test_a_redaction_by_websocket_is_acknowledged_and_told_to_the_others(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    original = send(world)
    frame = {"action": "redact", "id": "r-1", "timestamp": original["timestamp"]}
    ack = world.socket(handler, "d1", frame)[-1]
    assert (ack["type"], ack["id"], ack["duplicate"]) == ("ack", "r-1", False)
    assert world.gateway.frames["p1"][-1]["message"] == ack["message"]


def test_no_page_no_sync_and_no_retry_shows_the_text_afterwards(world: World) -> None:
    world.connect("p1", "passenger")
    original = send(world, client_message_id="m1", metadata={"location": {"lat": 48.208174, "lng": 16.373819}})
    for _ in range(3):
        send(world, "and so on")
    first = {"order": "asc", "limit": "2"}
    assert SECRET in json.dumps(page(world, **first))
    assert SECRET in json.dumps(page(world, **first))  # from the cache of pages
    by_rest(world, original["timestamp"])
    retried = send(world, client_message_id="m1")
    synced = world.socket(get_message, "p1", {"action": "sync", "after": "1970-01-01T00:00:00Z"})
    shown = [page(world), page(world, **first), page(world, sender="driver"), retried, synced]
    for one in shown:
        assert SECRET not in json.dumps(one)
        assert "48.208174" not in json.dumps(one)
    assert SECRET not in json.dumps(world.rows("messages"))
    blank = page(world, **first)["messages"][0]
    kept = {name: value for name, value in original.items() if name not in ("message", "metadata", "redacted_at")}
    assert {name: blank[name] for name in kept} == kept
    assert (blank["message"], blank["metadata"]) == ("", None)
    assert blank["redacted_at"] == page(world)["messages"][0]["timestamp"]
    assert retried["message_id"] == original["message_id"]


def test_a_client_that_syncs_from_before_hears_of_the_redaction(world: World) -> None:
    world.connect("p1", "passenger")
    original = send(world)
    last = send(world, "later")
    by_rest(world, original["timestamp"])
    (frame,) = world.socket(get_message, "p1", {"action": "sync", "after": last["timestamp"]})[-1:]
    (notice,) = frame["messages"]
    assert (notice["metadata"]["event"], notice["metadata"]["seq"]) == ("message_redacted", original["seq"])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"redact": "2026-01-01T00:00:00.000000Z"}, (404, "not_found")),
        ({"redact": "#head"}, (400, "invalid_request")),
        ({"redact": 5}, (400, "invalid_request")),
        ({"sender": "passenger"}, (403, "forbidden")),
        ({"sender": "agent"}, (403, "forbidden")),
    ],
)
def test_a_redaction_that_is_not_allowed_is_refused_with_the_reason(
    world: World, fields: dict[str, Any], expected: tuple[int, str]
) -> None:
    original = send(world)
    body = {"booking_code": "test", "sender": "driver", "redact": original["timestamp"], **fields}
    status, answer, _ = world.rest(handler, "POST", SEND, body)
    assert (status, answer["error"]["code"]) == expected
    assert page(world)["messages"] == [original]


def test_nobody_can_forge_the_notice_of_a_redaction(world: World) -> None:
    fake = {"event": "message_redacted", "seq": 1, "timestamp": "2026-01-01T00:00:00.000000Z", "by": "driver"}
    body = {"booking_code": "test", "message": "x", "sender": "system", "message_type": "system", "metadata": fake}
    status, answer, _ = world.rest(handler, "POST", SEND, body)
    assert (status, answer["error"]["code"]) == (403, "forbidden")


def test_redactions_are_counted_and_no_log_has_the_text(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    original = send(world)
    by_rest(world, original["timestamp"])
    logged = capsys.readouterr().out
    assert '"MessagesRedacted":[1.0]' in logged
    assert SECRET not in logged
