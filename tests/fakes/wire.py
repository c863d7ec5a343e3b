"""The wire between the functions and AWS. A test sees each request, and may let it through, spoil it or stop it.

DynamoDB's requests go on to the embedded AWS, or to the DynamoDB in memory. The other services answer here, and keep
what was queued and published.
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session

from navietakie import warm
from navietakie.aws import clients
from navietakie.aws.tables import dynamo
from tests.fakes import tables
from tests.fakes.dynamodb import DynamoDb, Refused

DEAD_LETTERS = "https://sqs.us-east-1.amazonaws.com/000000000000/message-events-dlq"
SECRET = "what every secret of the tests holds, in more than 32 bytes"


class Killed(BaseException):
    """The function's process is dead. A BaseException, so that no handler of errors catches it."""


@dataclass(frozen=True)
class Asked:
    """A request before it is sent: its name, like `dynamodb.TransactWriteItems`, and its fields."""

    name: str
    fields: dict[str, Any]


Carry = Callable[[], AWSResponse]
"""Lets the request through, and returns the answer."""
Way = Callable[[Asked, Carry], AWSResponse]
"""Decides about a request: whether it is carried, and what its sender gets. It may raise."""


def straight(_: Asked, carry: Carry) -> AWSResponse:
    """Carries the request."""
    return carry()


@dataclass
class Wire:
    """What went over the wire: `queued` timers as (delay in seconds, body), `published` events, message events `told`.

    `letters`: what is in the dead-letter queue of message events. `hook`: answers in place of the message hook.
    """

    way: Way = straight
    queued: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    published: list[dict[str, Any]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    letters: list[dict[str, Any]] = field(default_factory=list)
    hook: Callable[[dict[str, Any]], dict[str, Any]] = lambda _: {"action": "allow"}
    copied: bool = False
    """Whether the upload has been copied to where attachments are kept."""
    dynamodb: DynamoDb | None = None
    """None: DynamoDB's requests go on to their endpoint."""
    _onward: URLLib3Session = field(default_factory=URLLib3Session)

    def request(self, request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse:
        """botocore's event before-send. Its return value is the answer; botocore itself sends nothing."""
        name = event_name.removeprefix("before-send.")
        body = request.body or b""
        text = body.decode() if isinstance(body, bytes) else str(body)
        fields = json.loads(text) if text.startswith("{") else {key: it[0] for key, it in parse_qs(text).items()}
        asked = Asked(name, fields)
        return self.way(asked, lambda: self._carried(request, asked))

    def carried(self, asked: Asked) -> AWSResponse:
        """What the DynamoDB in memory answers."""
        assert self.dynamodb is not None
        try:
            return answer(200, self.dynamodb(asked.name.removeprefix("dynamodb."), asked.fields))
        except Refused as error:
            return refused(asked, error.code, **error.fields)

    def _carried(self, request: AWSPreparedRequest, asked: Asked) -> AWSResponse:
        if asked.name.startswith("dynamodb."):
            return self._onward.send(request) if self.dynamodb is None else self.carried(asked)
        if asked.name == "sqs.SendMessage" and asked.fields["QueueUrl"] == DEAD_LETTERS:
            self.letters.append(json.loads(asked.fields["MessageBody"]))
            return answer(200, {"MessageId": str(uuid.uuid4())})
        if asked.name == "sqs.SendMessage":
            self.queued.append((asked.fields["DelaySeconds"], json.loads(asked.fields["MessageBody"])))
            return answer(200, {"MessageId": str(uuid.uuid4())})
        if asked.name == "sns.Publish":
            events = self.told if asked.fields["TopicArn"].endswith(":message-events") else self.published
            events.append(json.loads(asked.fields["Message"]))
            return AWSResponse(request.url, 200, {}, _Raw(b"<PublishResponse><PublishResult/></PublishResponse>"))
        if asked.name == "lambda.Invoke":
            return answer(200, self.hook(asked.fields))
        if asked.name.startswith("s3."):
            return self._stored(request, asked)
        if asked.name == "secrets-manager.GetSecretValue":
            return answer(200, {"SecretString": SECRET})
        raise AssertionError(f"nobody answers {asked.name} at {urlsplit(request.url).netloc}")

    def _stored(self, request: AWSPreparedRequest, asked: Asked) -> AWSResponse:
        """S3 with one upload, which is kept as soon as it was copied."""
        at = formatdate(usegmt=True)
        found = {"content-type": "image/jpeg", "content-length": "9", "etag": '"e"', "last-modified": at}
        match asked.name:
            case "s3.HeadObject" if "/upload/" in request.url or self.copied:
                return AWSResponse(request.url, 200, {**found, "x-amz-meta-sender": "driver"}, _Raw(b""))
            case "s3.HeadObject":
                return AWSResponse(request.url, 404, {}, _Raw(b""))
            case "s3.CopyObject":
                self.copied = True
                return AWSResponse(request.url, 200, {}, _Raw(b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>"))
            case _:
                return AWSResponse(request.url, 204, {}, _Raw(b""))


class _Raw:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Generator[bytes]:
        yield self._content

    def read(self, *_: Any) -> bytes:
        return self._content


def answer(status: int, fields: dict[str, Any]) -> AWSResponse:
    """An answer of AWS's JSON protocols."""
    headers = {"content-type": "application/x-amz-json-1.0"}
    return AWSResponse("https://example.invalid", status, headers, _Raw(json.dumps(fields).encode()))


def refused(asked: Asked, code: str, status: int = 400, **fields: Any) -> AWSResponse:
    """An error, as the service that was asked writes it."""
    if asked.name.startswith("sns."):
        text = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"
        return AWSResponse("https://example.invalid", status, {}, _Raw(text.encode()))
    return answer(status, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "it was refused", **fields})


def conflict(asked: Asked) -> AWSResponse:
    """DynamoDB's answer while another transaction holds one of the items. No emulator ever gives it."""
    if asked.name != "dynamodb.TransactWriteItems":
        return refused(asked, "TransactionConflictException")
    reasons = [{"Code": "None"} for _ in asked.fields["TransactItems"]]
    reasons[-1] = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
    return refused(asked, "TransactionCanceledException", CancellationReasons=reasons)


def timed_out(asked: Asked) -> ReadTimeoutError:
    """No answer came in time."""
    return ReadTimeoutError(endpoint_url=f"https://example.invalid/{asked.name}")


_trusted = cache(clients.trust)
"""The system's authorities: here nothing goes over TLS."""


@cache
def _loader() -> Any:
    """The loader that has read botocore's data. To read it anew for each wire would be most of the cost."""
    return clients.session()._session.get_component("data_loader")


def restart(wire: Wire) -> None:
    """Brings the process into the state of a cold start, with its requests carried by `wire`."""
    warm.forget()
    clients.session()._session.register_component("data_loader", _loader())
    clients.session().events.register("before-send", wire.request)
    clients.session().events.register(
        "choose-signer", lambda **_: UNSIGNED
    )  # nobody checks signatures here, and they cost half of a request


@contextmanager
def wired(environment: Any, endpoint: str | None = None) -> Generator[Wire]:
    """Connects the functions of this process to a wire, and makes them new tables: at `endpoint`, or in memory.

    `environment` is where variables are set: pytest's MonkeyPatch.
    """
    own = f"{os.getpid()}-{time.monotonic_ns()}"
    names = {name: f"{name}-{own}" for name in tables.NAMES}
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_DYNAMODB": endpoint or "https://example.invalid",
        "ENVIRONMENT": "local",
        "AUTH_MODE": "none",
        "WEBSOCKET_ENDPOINT": "https://example.invalid/local",
        "CALL_TIMER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/call-timers",
        "EVENTS_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:events",
        "MESSAGE_RATE": "0",
        "DYNAMODB_TABLE": names["messages"],
        "CONNECTIONS_TABLE": names["connections"],
        "CALLS_TABLE": names["calls"],
    }.items():
        environment.setenv(name, value)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "BACKEND_URL", "ALLOWED_ORIGINS", "TURN_SECRET_ARN"):
        environment.delenv(name, raising=False)
    environment.setattr(clients, "trust", _trusted)
    wire = Wire(dynamodb=None if endpoint else DynamoDb())
    restart(wire)
    client = dynamo.client()
    tables.create(client, names)
    try:
        yield wire
    finally:
        wire.way = straight
        for name in names.values():
            client.delete_table(TableName=name)
        warm.forget()
