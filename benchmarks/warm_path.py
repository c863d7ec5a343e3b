"""How much CPU does a message take in a warm function, compared with a handler that checks nothing?"""

import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import jwt

from benchmarks.cold_start import built
from benchmarks.gateway import gateway, pin
from benchmarks.report import Bars, Goal, Report, progress
from navietakie.domain import instants

OURS, WITH_ID, MINIMAL = "NavieTakie", "NavieTakie, with a client_message_id", "minimal, boto3"
ROUNDS, MESSAGES = 60, 10
SECRET = "secret-" * 8
NOW = time.time_ns() // 1_000
TOKEN = jwt.encode(
    {
        "sub": "driver-7",
        "booking_code": "ride-1",
        "role": "driver",
        "exp": NOW // 1_000_000 + 3_600,
        "aud": "navietakie",
    },
    SECRET,
)
BODY = {"booking_code": "ride-1", "sender": "driver", "message": "I am at the corner, next to the bakery 🥐"}


def row(connection_id: str, sender: str) -> dict[str, Any]:
    """The row of a connection in the table."""
    return {
        "connection_id": {"S": connection_id},
        "booking_code": {"S": "ride-1"},
        "sender": {"S": sender},
        "sender_id": {"S": f"{sender}-7"},
        "connected_at": {"S": instants.to_text(NOW - 60 * instants.SECOND)},
        "expires_at": {"N": str(instants.to_seconds(NOW) + 7_200)},
        "token_exp": {"N": str(instants.to_seconds(NOW) + 3_600)},
    }


ROWS = [row("L0SM9cOFvHcCIhw=", "driver"), row("L0SNAeFvvHcAbCd=", "passenger")]
HEAD = {
    "booking_code": {"S": "ride-1"},
    "timestamp": {"S": "#head"},
    "seq": {"N": "41"},
    "last_timestamp": {"S": instants.to_text(NOW - 60 * instants.SECOND)},
    "epoch": {"S": "0123456789abcdef"},
    "driver_allowance": {"N": str(NOW - 60 * instants.SECOND)},
    "passenger_read": {"N": "40"},
}
ANSWERS = {
    "DynamoDB_20120810.GetItem": {"Item": HEAD},
    "DynamoDB_20120810.TransactWriteItems": {},
    "DynamoDB_20120810.PutItem": {},
    "DynamoDB_20120810.Query": {"Items": ROWS, "Count": 2, "ScannedCount": 2},
    "secretsmanager.GetSecretValue": {"SecretString": SECRET},
}
"""What the tables answer: always the same, and at once. So only the function is measured."""


class Context:
    """What Lambda hands to a handler."""

    aws_request_id = "8b4e5c0e-3b0c-4d4e-9d4f-1f1d2c3b4a59"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def rest_event() -> dict[str, Any]:
    """A request as API Gateway's REST API hands it over."""
    return {
        "resource": "/api/v1/send_message",
        "path": "/api/v1/send_message",
        "httpMethod": "POST",
        "headers": {
            "Accept": "*/*",
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "application/json",
            "Host": "abc.execute-api.eu-central-1.amazonaws.com",
            "User-Agent": "okhttp/4.12.0",
            "X-Amzn-Trace-Id": "Root=1-5e1b4151-5ac6c58f3f2a5a3c7d1f2a3b",
            "X-Forwarded-For": "192.0.2.1",
        },
        "queryStringParameters": None,
        "requestContext": {"requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "stage": "production"},
        "body": json.dumps(BODY),
        "isBase64Encoded": False,
    }


def minimal_handler() -> Callable[[Any, Any], Any]:
    """The handler of many samples: put, query, post to each. It trusts its input, keeps no order and stores repeats."""
    dynamodb: Any = boto3.client("dynamodb")
    connections: Any = boto3.client("apigatewaymanagementapi", endpoint_url=os.environ["WEBSOCKET_ENDPOINT"])

    def handler(event: Any, _: Any) -> Any:
        body = json.loads(event["body"])
        item = {
            "booking_code": {"S": body["booking_code"]},
            "timestamp": {"S": instants.to_text(time.time_ns() // 1_000)},
            "sender": {"S": body["sender"]},
            "message": {"S": body["message"]},
        }
        dynamodb.put_item(
            TableName=os.environ["DYNAMODB_TABLE"],
            Item=item,
            ConditionExpression="attribute_not_exists(booking_code)",
        )
        found = dynamodb.query(
            TableName=os.environ["CONNECTIONS_TABLE"],
            IndexName="booking_code-index",
            KeyConditionExpression="booking_code = :booking_code",
            ExpressionAttributeValues={":booking_code": item["booking_code"]},
        )
        frame = json.dumps({name: value["S"] for name, value in item.items()}).encode()
        for row in found["Items"]:
            connections.post_to_connection(ConnectionId=row["connection_id"]["S"], Data=frame)
        return {"statusCode": 201, "body": json.dumps({"timestamp": item["timestamp"]["S"]})}

    return handler


def our_handler() -> Callable[[Any, Any], Any]:
    """The handler of send_message, with its logs kept off the terminal."""
    from navietakie.observability import logger
    from send_message.app import handler

    logger.registered_handler.stream = io.StringIO()  # type: ignore[attr-defined]
    return handler


def serve(name: str) -> None:
    """Plays a container: for each line of input handles MESSAGES messages, and prints the CPU that one took."""
    pin(0)
    handler = minimal_handler() if name == MINIMAL else our_handler()
    body = BODY | ({"client_message_id": "1f0c5f2e-0b7a"} if name == WITH_ID else {})
    event = rest_event() | {"body": json.dumps(body)}
    for _ in sys.stdin:
        begun = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            statuses = {handler(event, Context())["statusCode"] for _ in range(MESSAGES)}
        took = (time.process_time() - begun) / MESSAGES
        assert statuses == {201}
        print(took, flush=True)


def environment(port: int) -> dict[str, str]:
    """A function's environment variables, with an AWS that answers on this port."""
    return {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjE" * 40,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "WEBSOCKET_ENDPOINT": f"http://127.0.0.1:{port}/production",
        "DYNAMODB_TABLE": "navietakie-messages-production",
        "CONNECTIONS_TABLE": "navietakie-connections-production",
        "TOKEN_SECRET_ARN": "token",
        "ENVIRONMENT": "production",
    }


class Container:
    """A process that runs `serve`."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        command = [sys.executable, "-B", "-m", "benchmarks.warm_path", name]
        self._process = subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def turn(self) -> float:
        """Makes it handle MESSAGES messages. Returns the seconds of CPU for one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def main() -> None:
    report = Report(
        "warm-path",
        "How much CPU does a message with two receivers take in a warm function?",
        ("handler", "CPU/message, ms", "of the minimal one's"),
    )
    with gateway(core=1, answers=ANSWERS) as port, contextlib.ExitStack() as running:
        variables = environment(port)
        layer = built(Path(running.enter_context(TemporaryDirectory())), "host")
        ours = variables | {"PYTHONPATH": str(layer)}
        containers = {OURS: Container(OURS, ours), WITH_ID: Container(WITH_ID, ours)}
        containers[MINIMAL] = Container(MINIMAL, variables)
        taken: dict[str, list[float]] = {name: [] for name in containers}
        for container in containers.values():
            running.callback(container.stop)
            for _ in range(3):
                container.turn()
        for _ in progress(range(ROUNDS), "warm path, rounds"):
            for name, container in containers.items():
                taken[name].append(container.turn())
    medians = {name: statistics.median(times) for name, times in taken.items()}
    ratios = {
        name: statistics.median(mine / base for mine, base in zip(times, taken[MINIMAL], strict=True))
        for name, times in taken.items()
    }
    report.rows = [(name, medians[name] * 1e3, ratios[name]) for name in containers]
    report.goals = [
        Goal("CPU per message by REST, of the minimal handler's", "≤", 0.58, ratios[OURS]),
        Goal("the same with a client_message_id", "≤", 0.60, ratios[WITH_ID]),
    ]
    report.bars = [Bars("CPU per message", " ms", [(name, median * 1e3) for name, median in medians.items()])]
    report.notes = [
        "Ours checks a token, stores exactly once in order in one transaction, answers in full, logs and counts.",
        "The minimal one: json.loads, a conditional PutItem, a Query, two posts. Tables and gateway answer at once.",
        "Each in a process of its own, ours as built for Lambda; ratios are medians over their turns.",
    ]
    report.publish()


if __name__ == "__main__":
    serve(sys.argv[1]) if len(sys.argv) > 1 else main()
