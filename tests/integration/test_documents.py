"""What the handlers answer, push and publish matches the documents, and has no further field."""

from typing import Any

import pytest

from docs.generator.schemas import ref
from get_message.app import handler as get_message
from make_call.app import handler as make_call
from send_message.app import handler as send_message
from tests.documents import asyncapi, check, openapi
from tests.worlds.moto import World
from websocket.app import handler as websocket

DRIVER = {"booking_code": "test", "sender": "driver"}


def rest(world: World, handler: Any, method: str, path: str, fields: Any = None, *, expect: int, **headers: str) -> Any:
    """The answer to a REST request, checked with the document's schema for its status."""
    how: dict[str, Any] = {"query": fields} if method == "GET" else {"body": fields}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    status, body, sent = world.rest(handler, method, f"/api/v1/{path}", headers=names, **how)
    assert status == expect, body
    document = openapi()
    response = document["paths"][f"/api/v1/{path}"][method.lower()]["responses"][str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    check(document, response["content"]["application/json"]["schema"], body)
    assert set(response["headers"]) <= {name.lower() for name in sent}
    return body


def frame(world: World, connection_id: str, schema: str) -> dict[str, Any]:
    """The next frame that a connection got, checked with a schema."""
    found = world.gateway.frames[connection_id].pop(0)
    check(asyncapi(), ref(schema), found)
    return found


def published(world: World, *schemas: str) -> None:
    """Checks the published events with the schemas, in order."""
    found = world.published()
    assert len(found) == len(schemas), found
    for event, schema in zip(found, schemas, strict=True):
        check(asyncapi(), ref(schema), event)


@pytest.fixture
def both(world: World) -> World:
    """A driver and a passenger are connected."""
    world.connect("d1", "driver", device_id={"S": "phone"})
    world.connect("p1", "passenger")
    return world


def test_messages_and_receipts_by_rest_are_as_documented(both: World) -> None:
    place = {"location": {"lat": 52.5, "lng": 13.4}, "quick_reply_id": "here"}
    body = {**DRIVER, "message": "Hi", "client_message_id": "c", "metadata": place}
    rest(both, send_message, "POST", "send_message", body, expect=201)
    rest(both, send_message, "POST", "send_message", body, expect=200)
    rest(both, send_message, "POST", "send_message", {**DRIVER, "delivered": 1}, expect=200)
    page = rest(both, get_message, "GET", "get_message", {"booking_code": "test", "limit": "1"}, expect=200)
    assert page["next_cursor"] is None
    rest(both, get_message, "GET", "get_message", {"booking_code": "nobody"}, expect=200)
    for _ in range(2):
        frame(both, "p1", "MessagePushed")
    frame(both, "p1", "ReceiptPushed")


def test_every_refusal_by_rest_is_as_documented(both: World, monkeypatch: pytest.MonkeyPatch) -> None:
    send = {**DRIVER, "message": "Hi", "client_message_id": "c"}
    post = ("POST", "send_message")
    rest(both, send_message, *post, {**DRIVER, "message": ""}, expect=400)
    rest(both, send_message, *post, {**send, "message_type": "system"}, expect=403)
    rest(both, send_message, *post, {**send, "metadata": {"a": "x" * 5_000}}, expect=413)
    rest(both, send_message, *post, send, expect=201)
    rest(both, send_message, *post, {**send, "message": "Bye"}, expect=409)
    monkeypatch.setenv("MESSAGE_RATE", "0.001")
    monkeypatch.setenv("MESSAGE_BURST", "1")
    rest(both, send_message, *post, {**DRIVER, "message": "1"}, expect=201)
    rest(both, send_message, *post, {**DRIVER, "message": "2"}, expect=429)
    rest(both, make_call, "POST", "make_call", {**DRIVER, "action": "end", "call_id": "0" * 32}, expect=404)
    rest(both, get_message, "GET", "get_message", {"booking_code": "test", "cursor": "x"}, expect=400)
    monkeypatch.delenv("DYNAMODB_TABLE")
    rest(both, get_message, "GET", "get_message", {"booking_code": "test"}, expect=500)
    monkeypatch.setenv("ENVIRONMENT", "staging")
    monkeypatch.setenv("AUTH_MODE", "jwt")
    rest(both, get_message, "GET", "get_message", {"booking_code": "test"}, expect=401)


def test_a_call_by_rest_is_as_documented(both: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "ICE_SERVERS", '[{"urls":["stun:stun.example:3478"]},{"urls":"turn:turn.example","username":"u"}]'
    )
    post = ("POST", "make_call")
    call_id = rest(both, make_call, *post, {**DRIVER, "action": "initiate"}, expect=200)["call"]["call_id"]
    callee = {"booking_code": "test", "sender": "passenger", "call_id": call_id}
    rest(both, make_call, "GET", "calls", {"booking_code": "test"}, expect=200)
    rest(both, make_call, *post, {**callee, "action": "accept", "device_id": "watch"}, expect=200)
    rest(both, make_call, *post, {**DRIVER, "action": "initiate"}, expect=409)
    rest(both, make_call, *post, {**callee, "action": "ice"}, expect=200)
    rest(both, make_call, *post, {**callee, "action": "end"}, expect=200)
    rest(both, make_call, *post, {**callee, "action": "report", "report": {"relayed": True}}, expect=200)
    rest(both, make_call, *post, {**callee, "action": "accept"}, expect=409)
    rest(both, make_call, "GET", "calls", {"booking_code": "test"}, expect=200)
    rest(both, get_message, "GET", "get_message", {"booking_code": "test", "message_type": "call"}, expect=200)
    for schema in ("CallPushed", "CallPushed", "CallPushed", "MessagePushed"):
        frame(both, "p1", schema)
    published(both, "CallRinging", "CallEnded")


def test_every_frame_is_as_documented(both: World) -> None:
    both.socket(websocket, "d1", {"action": "ping", "id": "1"})
    frame(both, "d1", "Pong")
    both.socket(get_message, "d1", {"action": "sync"})
    assert frame(both, "d1", "SyncPart")["epoch"] is None
    both.socket(send_message, "d1", {"action": "message", "message": "Hi", "id": "2"})
    frame(both, "d1", "MessageAck")
    frame(both, "p1", "MessagePushed")
    both.socket(websocket, "d1", {"action": "typing", "on": True})
    frame(both, "p1", "TypingPushed")
    both.socket(send_message, "p1", {"action": "read", "seq": 1})
    frame(both, "d1", "ReceiptPushed")
    both.socket(websocket, "d1", {"action": "nonsense", "id": "3"})
    frame(both, "d1", "ErrorAnswer")
    both.socket(websocket, "p1", {"action": "away", "on": True})
    frame(both, "d1", "PresencePushed")
    both.lifecycle(websocket, "$connect", "p2", {"booking_code": "test", "sender": "passenger"})
    frame(both, "d1", "PresencePushed")


def test_every_frame_of_a_call_is_as_documented(both: World) -> None:
    both.socket(make_call, "d1", {"action": "call", "call_action": "initiate", "id": "1"})
    call_id = frame(both, "d1", "CallAck")["call"]["call_id"]
    frame(both, "p1", "CallPushed")
    both.socket(make_call, "p1", {"action": "call", "call_action": "accept", "call_id": call_id})
    frame(both, "p1", "CallAck")
    frame(both, "d1", "CallPushed")
    both.socket(make_call, "d1", {"action": "signal", "call_id": call_id, "data": {"session": "a", "hello": True}})
    frame(both, "p1", "SignalPushed")
    both.socket(websocket, "d1", {"action": "ping"})
    frame(both, "d1", "Pong")
    both.socket(get_message, "d1", {"action": "sync"})
    assert frame(both, "d1", "SyncPart")["call"]["state"] == "connected"
    both.socket(make_call, "d1", {"action": "call", "call_action": "initiate"})
    frame(both, "d1", "ErrorAnswer")
    both.socket(make_call, "d1", {"action": "call", "call_action": "ice", "call_id": call_id})
    frame(both, "d1", "CallAck")


def test_each_part_of_a_sync_is_as_documented(both: World) -> None:
    for number in range(12):
        body = {**DRIVER, "message": f"{number} " + "x" * 4_990}
        rest(both, send_message, "POST", "send_message", body, expect=201)
    both.gateway.frames["d1"].clear()
    both.socket(get_message, "d1", {"action": "sync"})
    parts = len(both.gateway.frames["d1"])
    assert parts > 1
    for _ in range(parts):
        frame(both, "d1", "SyncPart")


def test_events_of_messages_are_as_documented(world: World) -> None:
    closing = {"message": "Over", "message_type": "system", "metadata": {"event": "booking_closed"}}
    rest(world, send_message, "POST", "send_message", {**DRIVER, "message": "Hi"}, expect=201)
    rest(world, send_message, "POST", "send_message", {**DRIVER, **closing, "sender": "system"}, expect=201)
    published(world, "MessageUndelivered", "BookingClosed")
