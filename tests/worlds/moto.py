"""The world on moto: the functions' real handlers, and a gateway that takes their posts by real HTTP."""

import json
import time
from collections.abc import Callable, Generator
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from navietakie import warm
from navietakie.domain import instants
from tests.fakes import tables, wire
from tests.fakes.dynamodb import OLDEST, DynamoDb, Refused
from tests.fakes.gateway import Gateway, gateway


@cache
def aws(service: str) -> Any:
    """The tests' own client of a service, for all tests: to make one takes longer than most of them."""
    untyped: Any = boto3.Session("test", "test", region_name="us-east-1")
    # The endpoint that one test may set must not stay in it.
    return untyped.client(service, config=Config(ignore_configured_endpoint_urls=True))


class Context:
    aws_request_id = "request-of-the-context"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


class World:
    """The AWS around the functions: call handlers, then look at what they have left."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.dynamodb = aws("dynamodb")
        self.sqs = aws("sqs")

    def rest(
        self,
        handler: Any,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        raw: str | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """Calls a handler as API Gateway's REST API does. Returns status, body and headers."""
        event = {
            "resource": path,
            "path": path,
            "httpMethod": method,
            "headers": headers or {},
            "queryStringParameters": query,
            "requestContext": {"requestId": "rest-request", "stage": "local", "httpMethod": method},
            "body": raw if raw is not None else (None if body is None else json.dumps(body, ensure_ascii=False)),
            "isBase64Encoded": False,
        }
        answer = handler(event, Context())
        return answer["statusCode"], json.loads(answer["body"]) if answer["body"] else None, answer["headers"]

    def socket(
        self,
        handler: Any,
        connection_id: str,
        frame: Any = None,
        *,
        raw: str | None = None,
        base64: bool = False,
        sent_at: int | None = None,
    ) -> list[dict[str, Any]]:
        """Calls a handler with a frame from a connection. Returns the frames that the connection gets.

        `sent_at`: when API Gateway took the frame, in milliseconds; by default now.
        """
        had = len(self.gateway.frames[connection_id])
        event = {
            "requestContext": {
                "routeKey": "$default" if raw is not None else str(frame.get("action")),
                "eventType": "MESSAGE",
                "connectionId": connection_id,
                "requestId": "socket-request",
                "requestTimeEpoch": time.time_ns() // 1_000_000 if sent_at is None else sent_at,
                "domainName": "example.invalid",
                "stage": "local",
            },
            "body": raw if raw is not None else json.dumps(frame, ensure_ascii=False),
            "isBase64Encoded": base64,
        }
        assert handler(event, Context()) == {"statusCode": 200}
        return self.gateway.frames[connection_id][had:]

    def lifecycle(
        self,
        handler: Any,
        route: str,
        connection_id: str,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Calls a handler with `$connect` or `$disconnect`."""
        event = {
            "headers": headers or {},
            "queryStringParameters": query,
            "requestContext": {
                "routeKey": route,
                "eventType": route[1:].upper(),
                "connectionId": connection_id,
                "requestId": "lifecycle-request",
                "domainName": "example.invalid",
                "stage": "local",
            },
            "isBase64Encoded": False,
        }
        return handler(event, Context())

    def connect(self, connection_id: str, sender: str, booking_code: str = "test", **row: Any) -> None:
        """Puts the row of a connection that was made two minutes ago."""
        now = time.time_ns() // 1_000
        item: dict[str, Any] = {
            "connection_id": {"S": connection_id},
            "booking_code": {"S": booking_code},
            "sender": {"S": sender},
            "connected_at": {"S": instants.to_text(now - 120 * instants.SECOND)},
            "expires_at": {"N": str(instants.to_seconds(now) + 7_000)},
        }
        self.dynamodb.put_item(TableName=tables.NAMES["connections"], Item=item | row)

    def put_row(self, connection_id: str, **row: Any) -> None:
        """Puts a row of the connections table as somebody else might have written it."""
        item = {"connection_id": {"S": connection_id}, "booking_code": {"S": "test"}, **row}
        self.dynamodb.put_item(TableName=tables.NAMES["connections"], Item=item)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every item of a table."""
        return self.dynamodb.scan(TableName=tables.NAMES[table], ConsistentRead=True)["Items"]

    def connection_ids(self) -> set[str]:
        """The ids in the connections table."""
        return {row["connection_id"]["S"] for row in self.rows("connections") if "booking_code" in row}

    def queued(self) -> list[dict[str, Any]]:
        """What was queued on the timer queue since the last look, delays ignored."""
        return self.drained("call-timers")

    def published(self) -> list[dict[str, Any]]:
        """What was published on the events topic since the last look."""
        return [json.loads(envelope["Message"]) for envelope in self.drained("events")]

    def drained(self, queue: str) -> list[dict[str, Any]]:
        """Takes all messages out of a queue, and returns their contents."""
        found: list[dict[str, Any]] = []
        url = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        while got := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in got:
                found.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found


def fail(monkeypatch: pytest.MonkeyPatch, operation: str, error: str, times: int = 10_000) -> list[int]:
    """Lets DynamoDB answer an operation with an error, `times` times. The list grows by one with each request."""
    requests: list[int] = []
    answer = BotocoreStubber.__call__

    class Raw:
        def stream(self, *_: Any, **__: Any) -> Generator[bytes]:
            yield json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{error}"}).encode()

    def stub(self: Any, event_name: str, request: Any, **how: Any) -> Any:
        if not event_name.endswith(f".{operation}"):
            return answer(self, event_name, request, **how)
        requests.append(1)
        if len(requests) > times:
            return answer(self, event_name, request, **how)
        return AWSResponse(request.url, 400, {"content-type": "application/x-amz-json-1.0"}, Raw())

    monkeypatch.setattr(BotocoreStubber, "__call__", stub)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    return requests


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Generator[World]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "ENVIRONMENT": "local",
        "AUTH_MODE": "none",
        "DYNAMODB_TABLE": tables.NAMES["messages"],
        "CONNECTIONS_TABLE": tables.NAMES["connections"],
        "CALLS_TABLE": tables.NAMES["calls"],
        "MESSAGE_RATE": "0",
        "CALL_RATE": "0",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "BACKEND_URL", "ALLOWED_ORIGINS", "TOKEN_SECRET_ARN"):
        monkeypatch.delenv(name, raising=False)
    warm.forget()
    with mock_aws(), gateway() as there:
        monkeypatch.setenv("WEBSOCKET_ENDPOINT", there.endpoint)
        world = World(there)
        tables.create(world.dynamodb)
        # No delay: the tests look at the queue, and deliver its messages themselves.
        monkeypatch.setattr("moto.sqs.models.Message.delayed", property(lambda _: False))
        monkeypatch.setenv("CALL_TIMER_QUEUE_URL", world.sqs.create_queue(QueueName="call-timers")["QueueUrl"])
        sns = aws("sns")
        topic = sns.create_topic(Name="events")["TopicArn"]
        inbox = world.sqs.create_queue(QueueName="events")["QueueUrl"]
        arn = world.sqs.get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        monkeypatch.setenv("EVENTS_TOPIC_ARN", topic)
        yield world
    warm.forget()


@pytest.fixture
def lagging(world: World, monkeypatch: pytest.MonkeyPatch) -> DynamoDb:
    """Puts the world on a DynamoDB that lags. `lag` says how; `settle()` shows everything to all reads."""
    there = DynamoDb(OLDEST)
    answer = BotocoreStubber.__call__

    def stub(self: Any, event_name: str, request: Any, **how: Any) -> Any:
        service, operation = event_name.split(".")[1:3]
        if service != "dynamodb":
            return answer(self, event_name, request, **how)
        asked = wire.Asked(f"dynamodb.{operation}", json.loads(request.body))
        try:
            return wire.answer(200, there(operation, asked.fields))
        except Refused as error:
            return wire.refused(asked, error.code, **error.fields)

    monkeypatch.setattr(BotocoreStubber, "__call__", stub)
    tables.create(world.dynamodb)
    return there


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the functions' clock forward by some seconds."""
    ahead = 0
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + ahead)

    def move(seconds: float) -> None:
        nonlocal ahead
        ahead += round(seconds * 1_000_000_000)

    return move


def deliver(handler: Any, *timers: Any, received: int = 1) -> list[str]:
    """Delivers a batch of timers (fields or raw bodies). Returns the ids of those that failed: m0, m1, …"""
    records = [
        {
            "messageId": f"m{number}",
            "receiptHandle": "r",
            "body": timer if isinstance(timer, str) else json.dumps(timer),
            "attributes": {"ApproximateReceiveCount": str(received)},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:call-timers",
            "awsRegion": "us-east-1",
        }
        for number, timer in enumerate(timers)
    ]
    answer = handler({"Records": records}, Context())
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
