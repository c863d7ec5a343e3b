"""What a container has at hand before its first request, and what it asks AWS for during its start.

Each container is a Python process of its own, with an AWS that answers over real HTTP and keeps the requests.
"""

import json
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.fakes import invocations
from tests.fakes.peer import Asked, Peer, answer, peer

ROOT = Path(__file__).parents[2]
SECRET = "what signs the tokens, in more than 32 bytes"
ANSWERS: dict[str, dict[str, Any]] = {
    "GetItem": {},
    "PutItem": {},
    "TransactWriteItems": {},
    "Query": {"Items": [], "Count": 0, "ScannedCount": 0},
    "SendMessage": {"MessageId": "1"},
    "GetSecretValue": {"SecretString": SECRET},
}
PUBLISHED = b"<PublishResponse><PublishResult/></PublishResponse>"
CONTAINER = """
import json, sys, types
sys.path[:0] = sys.argv[2:]
sys.modules["snapshot_restore_py"] = types.SimpleNamespace(register_after_restore=lambda hook: None)
app = __import__(f"{sys.argv[1]}.app", fromlist=["handler"])
print("started", flush=True)
given = json.loads(sys.stdin.readline())
import boto3.session
had, make = set(sys.modules), boto3.session.Session.client
made = []
boto3.session.Session.client = lambda self, name, **how: made.append(name) or make(self, name, **how)
class Context:
    aws_request_id = "request"
    def get_remaining_time_in_millis(self): return 30_000
answer = app.handler(given, Context())
print(json.dumps([answer["statusCode"], made, sorted(set(sys.modules) - had)]))
"""


@dataclass
class Aws:
    """Plays AWS. `asked`: its requests, GetSecretValue with the stage. While it is `down`, it gives no secret."""

    peer: Peer
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def answer(self, asked: Asked) -> Any:
        operation = asked.headers.get("x-amz-target", ".Publish").rpartition(".")[2]
        if operation == "Publish":
            self.asked.append(operation)
            return answer(200, PUBLISHED)(asked)
        if operation != "GetSecretValue":
            self.asked.append(operation)
            return answer(200, json.dumps(ANSWERS[operation]).encode())(asked)
        self.asked.append(json.loads(asked.body)["VersionStage"])
        status = 500 if self.down else 200
        return answer(status, json.dumps({} if self.down else ANSWERS[operation]).encode())(asked)


@pytest.fixture
def aws() -> Generator[Aws]:
    with peer() as running:
        it = Aws(running)
        running.answers[""] = [it.answer]
        yield it


@dataclass
class Started:
    """The start of a container, and its answer to the first request."""

    asked_before: list[str]
    asked_after: list[str]
    status: int
    clients: list[str]
    """The clients that were made for the request."""
    modules: list[str]
    """The modules that were loaded for the request."""


def start(
    aws: Aws, function: str, event: dict[str, Any], initialization: str = "on-demand", **variables: str
) -> Started:
    """Starts a container and hands it a request."""
    there = f"http://127.0.0.1:{aws.peer.port}"
    environment = {
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization,
        "AWS_ENDPOINT_URL": there,
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "ENVIRONMENT": "staging",
        "ALLOWED_ORIGINS": "https://app.example.com",
        "WEBSOCKET_ENDPOINT": f"{there}/staging",
        "TOKEN_SECRET_ARN": "the tokens'",
        "CALL_TIMER_QUEUE_URL": f"{there}/timers",
        "EVENTS_TOPIC_ARN": "arn:aws:sns:eu-central-1:000000000000:events",
        "DYNAMODB_TABLE": "messages",
        "CONNECTIONS_TABLE": "connections",
        "CALLS_TABLE": "calls",
        **variables,
    }
    command = [sys.executable, "-I", "-c", CONTAINER, function, f"{ROOT}/functions", f"{ROOT}/layers/shared"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line != "started\n":
            pass  # a log line
        before = list(aws.asked)
        aws.asked.clear()
        aws.down = False
        output, errors = process.communicate(f"{json.dumps(event)}\n")
    assert process.returncode == 0, errors
    status, clients, modules = json.loads(output.splitlines()[-1])
    return Started(before, list(aws.asked), status, clients, modules)


def bearer() -> str:
    claims = {"sub": "driver-1", "booking_code": "test", "role": "driver", "aud": "navietakie"}
    return jwt.encode({**claims, "exp": int(time.time()) + 600}, SECRET, "HS256")


def first_request(function: str) -> dict[str, Any]:
    """The first request of a client to each function."""
    headers = {"Authorization": f"Bearer {bearer()}"}
    match function:
        case "send_message":
            return invocations.rest("send_message", {"booking_code": "test", "message": "Hello"}, **headers)
        case "make_call":
            return invocations.rest("make_call", {"booking_code": "test", "action": "initiate"}, **headers)
        case "get_message":
            return invocations.rest("get_message", None, {"booking_code": "test"}, **headers)
        case _:
            return invocations.connect("new", {"booking_code": "test", "token": bearer()})


@pytest.mark.parametrize("function", ["send_message", "make_call", "get_message", "websocket"])
def test_the_first_request_finds_clients_secret_and_modules_ready(function: str, aws: Aws) -> None:
    started = start(aws, function, first_request(function))
    assert started.status in (200, 201)
    assert started.asked_before == ["AWSCURRENT"]
    assert not {"AWSCURRENT", "AWSPREVIOUS"} & set(started.asked_after)
    assert started.clients == []
    assert not {name for name in started.modules if name.partition(".")[0] in ("jwt", "botocore", "navietakie")}


def test_if_the_secret_fails_at_the_start_the_first_request_asks_for_it(aws: Aws) -> None:
    aws.down = True
    started = start(aws, "send_message", first_request("send_message"))
    assert set(started.asked_before) == {"AWSCURRENT"}
    assert started.asked_after.count("AWSCURRENT") == 1
    assert started.status == 201


def test_a_setting_that_is_missing_is_named_by_the_first_request(aws: Aws) -> None:
    started = start(aws, "send_message", first_request("send_message"), WEBSOCKET_ENDPOINT="")
    assert started.asked_before == []
    assert started.status == 500


def test_a_snapshot_holds_no_secret(aws: Aws) -> None:
    started = start(aws, "send_message", first_request("send_message"), "snap-start")
    assert started.asked_before == []
    assert started.asked_after.count("AWSCURRENT") == 1
    assert (started.status, started.clients) == (201, [])


def test_outside_lambda_a_start_makes_and_asks_nothing(aws: Aws) -> None:
    started = start(aws, "send_message", first_request("send_message"), "")
    assert started.asked_before == []
    assert started.status == 201
    assert set(started.clients) == {"dynamodb", "secretsmanager", "sns"}


def test_in_proxy_mode_the_secret_of_events_is_ready_too(aws: Aws) -> None:
    aws.peer.answers["register"] = [answer(200, b"{}")]
    variables = {
        "PROXY_SECRET_ARN": "the proxy's",
        "BACKEND_URL": f"http://127.0.0.1:{aws.peer.port}",
        "IN_VPC": "true",
    }
    started = start(aws, "websocket", first_request("websocket"), **variables)
    assert started.asked_before == ["AWSCURRENT", "AWSCURRENT"]
    assert (started.status, started.asked_after, started.clients) == (200, [], [])
    assert not {name for name in started.modules if name.startswith(("navietakie", "websocket"))}
