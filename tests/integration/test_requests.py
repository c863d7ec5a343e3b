"""Counts the AWS requests of every operation at the wire, so that one more is a decision and not an accident."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from moto.core.botocore_stubber import BotocoreStubber

from benchmarks.requests import ATTACHED, REQUESTS, SWITCHED_ON
from get_message import app as get_message
from get_message.history import PageCache
from make_call import app as make_call
from navietakie import broadcast, warm
from navietakie.aws.tables.messages import messages
from send_message import app as send_message
from tests.fakes.invocations import changes
from tests.fakes.peer import answer, peer
from tests.worlds.moto import Context, World
from websocket import app as websocket

BOOKING = {"booking_code": "test", "sender": "driver"}


@pytest.fixture
def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], dict[str, int]]:
    """Runs something and counts its requests and posts. Time-outs are long, so that a slow machine repeats nothing."""
    monkeypatch.setattr(broadcast, "FRESH_SECONDS", math.inf)
    requests: Counter[str] = Counter()
    answer = BotocoreStubber.__call__

    def stub(self: Any, event_name: str, request: Any, **how: Any) -> Any:
        operation = event_name.rpartition(".")[2]
        if operation == "TransactWriteItems":
            operation += f"({request.body.count(b'TableName')})"
        if operation == "GetItem" and b'"ConsistentRead": true' not in request.body:
            operation += "(lagging)"
        if operation == "BatchGetItem":
            operation += f"({request.body.count(b'booking_code')})"
        requests[operation] += 1
        return answer(self, event_name, request, **how)

    def count(act: Callable[[], Any]) -> dict[str, int]:
        posted = sum(map(len, world.gateway.bodies.values()))
        with monkeypatch.context() as patch:
            patch.setattr(BotocoreStubber, "__call__", stub)
            requests.clear()
            act()
        made = dict(requests)
        if posts := sum(map(len, world.gateway.bodies.values())) - posted:
            made["post"] = posts
        return made

    return count


def test_every_operation_makes_the_requests_that_it_is_said_to_make(
    world: World, counted: Callable[[Callable[[], Any]], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_message, "pages", PageCache())
    world.connect("p1", "passenger")
    found: dict[str, dict[str, int]] = {}
    ringing: list[str] = []

    def rest(handler: Any, method: str, path: str, fields: dict[str, Any]) -> Any:
        how = {"query": fields} if method == "GET" else {"body": fields}
        status, body, _ = world.rest(handler, method, path, **how)
        assert status < 300, body
        return body

    def frame(handler: Any, connection_id: str, **fields: Any) -> Any:
        answers = world.socket(handler, connection_id, fields)
        assert "error" not in [answer["type"] for answer in answers], answers
        return answers

    def say(**fields: Any) -> Any:
        return rest(send_message.handler, "POST", "/api/v1/send_message", {**BOOKING, "message": "x", **fields})

    def page(**query: str) -> Any:
        return rest(get_message.handler, "GET", "/api/v1/get_message", {"booking_code": "test", **query})

    def call(connection_id: str, action: str, **fields: Any) -> Any:
        (ack, *_) = frame(make_call.handler, connection_id, action="call", call_action=action, **fields)[-1:]
        return ack

    found["connect"] = counted(lambda: world.lifecycle(websocket.handler, "$connect", "d1", {**BOOKING}))
    found["message by REST"] = counted(say)
    found["message by REST, with an id"] = counted(lambda: say(client_message_id="a"))
    found["message by WebSocket"] = counted(lambda: frame(send_message.handler, "d1", action="message", message="y"))
    found["message by WebSocket, with an id"] = counted(
        lambda: frame(send_message.handler, "d1", action="message", message="z", id="b")
    )
    found["duplicate by WebSocket"] = counted(
        lambda: frame(send_message.handler, "d1", action="message", message="z", id="b")
    )
    found["receipt by WebSocket"] = counted(lambda: frame(send_message.handler, "d1", action="read", seq=2))
    found["receipt known already"] = counted(lambda: frame(send_message.handler, "d1", action="read", seq=2))
    found["newest page"] = counted(page)
    cursor = page(limit="1")["next_cursor"]
    page(limit="1", cursor=cursor)
    found["past page, again"] = counted(lambda: page(limit="1", cursor=cursor))
    found["disconnect"] = counted(lambda: world.lifecycle(websocket.handler, "$disconnect", "p1"))
    world.connect("p1", "passenger")
    found["typing"] = counted(lambda: frame(websocket.handler, "d1", action="typing", on=True))
    found["away"] = counted(lambda: frame(websocket.handler, "d1", action="away", on=True))
    frame(websocket.handler, "d1", action="away", on=False)
    found["ping"] = counted(lambda: frame(websocket.handler, "d1", action="ping"))
    found["sync"] = counted(lambda: frame(get_message.handler, "d1", action="sync"))
    found["call: initiate"] = counted(lambda: ringing.append(call("d1", "initiate")["call"]["call_id"]))
    found["call: signal"] = counted(
        lambda: frame(make_call.handler, "d1", action="signal", call_id=ringing[0], data={"candidate": "x"})
    )
    found["call: ice"] = counted(lambda: call("d1", "ice", call_id=ringing[0]))
    found["call: accept"] = counted(lambda: call("p1", "accept", call_id=ringing[0]))
    found["call: end"] = counted(lambda: call("d1", "end", call_id=ringing[0]))
    found["call: report"] = counted(lambda: call("d1", "report", call_id=ringing[0], report={"seconds": 1}))
    found["call log"] = counted(lambda: rest(make_call.handler, "GET", "/api/v1/calls", {"booking_code": "test"}))
    assert found == REQUESTS


def test_every_feature_makes_the_requests_that_it_is_said_to_make(
    world: World, counted: Callable[[Callable[[], Any]], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    found: dict[str, dict[str, int]] = {}

    def say(**fields: Any) -> Any:
        body = {**BOOKING, "message": "Call 0170 1234567", **fields}
        status, answered, _ = world.rest(send_message.handler, "POST", "/api/v1/send_message", body)
        assert status == 201, answered
        return answered["message"]

    def told(number: int) -> Callable[[], Any]:
        said = [say() for _ in range(number)]
        items = messages().items_at([(each["booking_code"], each["timestamp"]) for each in said])[0].values()
        return lambda: send_message.handler(changes(*items), Context())

    with peer() as lambdas, monkeypatch.context() as patch:
        lambdas.answers["invocations"] = [answer(200, b'{"action": "allow"}')]
        patch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{lambdas.port}")
        patch.setenv("MESSAGE_HOOK_ARN", "arn:aws:lambda:us-east-1:123456789012:function:hook")
        found["message by REST, with a hook"] = counted(say)
        found["message by REST, with an id and a hook"] = counted(lambda: say(client_message_id="a"))
    monkeypatch.setenv("MASK_CONTACTS", "on")
    found["message by REST, with masking"] = counted(say)
    monkeypatch.setenv("MESSAGE_EVENTS_TOPIC_ARN", boto3.client("sns").create_topic(Name="message-events")["TopicArn"])
    monkeypatch.setenv("MESSAGE_EVENTS_DEAD_LETTER_QUEUE_URL", "message-events-dlq")
    monkeypatch.setenv("MESSAGE_EVENTS", "ids")
    found["one message event, ids"] = counted(told(1))
    monkeypatch.setenv("MESSAGE_EVENTS", "full")
    found["one message event, full"] = counted(told(1))
    found["ten message events at once, full"] = counted(told(10))
    assert found == SWITCHED_ON


def test_a_photo_makes_the_requests_that_it_is_said_to_make(
    world: World, counted: Callable[[Callable[[], Any]], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ATTACHMENTS_BUCKET": "attachments", "MESSAGE_RATE": "5", "MESSAGE_BURST": "20"}.items():
        monkeypatch.setenv(name, value)
    warm.forget()
    s3: Any = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="attachments")
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    answers: list[Any] = []

    def post(**fields: Any) -> None:
        status, body, _ = world.rest(send_message.handler, "POST", "/api/v1/send_message", {**BOOKING, **fields})
        assert status == 201, body
        answers.append(body)

    def look(id: str) -> None:
        query = {"booking_code": "test", "id": id}
        assert world.rest(get_message.handler, "GET", "/api/v1/attachment", query=query)[0] == 200

    found: dict[str, dict[str, int]] = {}
    post(message="Hello")
    found["a form by REST"] = counted(lambda: post(attach={"content_type": "image/jpeg", "bytes": 5}))
    id, key = answers[-1]["attachment"]["id"], answers[-1]["upload"]["fields"]["key"]
    s3.put_object(Bucket="attachments", Key=key, Body=b"photo", ContentType="image/jpeg")
    attached = {"message": "", "metadata": {"attachment": {"id": id}}, "client_message_id": "photo"}
    found["message with an attachment by REST, with an id"] = counted(lambda: post(**attached))
    found["an address by REST"] = counted(lambda: look(id))
    timestamp = answers[-1]["message"]["timestamp"]
    found["redaction by REST"] = counted(lambda: post(redact=timestamp))
    assert found == ATTACHED
