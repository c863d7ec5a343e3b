"""How long does a message take through the whole local stack, beside an empty function and its own bare requests?"""

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import boto3
from websockets.sync.client import connect

from benchmarks.report import Bars, Goal, Report, progress
from local.guard import FRONT_DOOR
from local.stack import Stack
from navietakie.wire.connections_api import ConnectionsApi
from navietakie.wire.sigv4 import SigningKeys
from tests.running import start

OURS: Final = "NavieTakie"
CLIENTS: Final = (1, 2, 3, 4, 5)
TIMES: Final = 40
EMPTY: Final = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      MemorySize: 512
      InlineCode: |
        def handler(event, context):
            print("served")
            return {"statusCode": 200, "body": "{}"}
      Events:
        Post: {Type: Api, Properties: {Path: /empty, Method: post, RestApiId: !Ref Rest}}
  Rest:
    Type: AWS::Serverless::Api
    Properties: {StageName: local}
  Socket:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      RouteSelectionExpression: $request.body.action
      StageName: local
      Routes:
        $default: {FunctionArn: !GetAtt Function.Arn}
Outputs:
  Rest: {Value: !Ref Rest}
  Socket: {Value: !Ref Socket}
"""
"""A function that does nothing, behind the same two kinds of API."""


class Way(Protocol):
    """Does something once, as one client. Returns the seconds from the beginning until what it waits for."""

    def __call__(self) -> float: ...


@dataclass(frozen=True)
class Url:
    """The address of an API's stage in the embedded AWS."""

    host: str
    path: str
    headers: dict[str, str]

    @property
    def socket(self) -> str:
        return f"ws://{self.host}{self.path}"


def stage(stack: Stack, api: str) -> Url:
    return Url(urlsplit(stack.aws).netloc, f"/_aws/execute-api/{api}/local", {FRONT_DOOR: stack.access.front_door})


def root(stack: Stack) -> dict[str, Any]:
    """The arguments with which boto3 reaches everything in the embedded AWS."""
    return {**stack.access.client}


def deploy_empty(stack: Stack) -> tuple[Url, Url]:
    """Deploys the empty function. Returns its REST and WebSocket stages."""
    clouds: Any = boto3.client("cloudformation", **root(stack))
    capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    clouds.create_stack(StackName="empty", TemplateBody=EMPTY, Capabilities=capabilities)
    clouds.get_waiter("stack_create_complete").wait(StackName="empty", WaiterConfig={"Delay": 1})
    [made] = clouds.describe_stacks(StackName="empty")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in made["Outputs"]}
    return stage(stack, outputs["Rest"]), stage(stack, outputs["Socket"])


class Listener:
    """A passenger's WebSocket that notes when each message arrives."""

    def __init__(self, url: Url, booking: str, running: ExitStack) -> None:
        self._socket = running.enter_context(
            connect(
                f"{url.socket}?booking_code={booking}&sender=passenger",
                additional_headers=url.headers,
                ping_interval=None,
            )
        )
        self._arrived: dict[str, float] = {}
        self._news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for text in self._socket:
            now, frame = time.perf_counter(), json.loads(text)
            if frame["type"] == "message":
                with self._news:
                    self._arrived[frame["message"]["message"]] = now
                    self._news.notify_all()

    def arrival(self, text: str) -> float:
        """Waits for the message. Returns when it arrived."""
        with self._news:
            assert self._news.wait_for(lambda: text in self._arrived, 60), "a message did not arrive"
            return self._arrived[text]


def posting(url: Url, path: str, running: ExitStack) -> Callable[[dict[str, Any]], None]:
    """Posts JSON on a kept-alive connection and waits for the answer."""
    connection = http.client.HTTPConnection(url.host, timeout=60)
    running.callback(connection.close)

    def post(body: dict[str, Any]) -> None:
        connection.request(
            "POST", f"{url.path}{path}", json.dumps(body), {**url.headers, "content-type": "application/json"}
        )
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300, text

    return post


def empty_rest(url: Url, running: ExitStack) -> Way:
    post = posting(url, "/empty", running)

    def once() -> float:
        begun = time.perf_counter()
        post({"message": "x"})
        return time.perf_counter() - begun

    return once


def empty_socket(url: Url, running: ExitStack) -> Way:
    socket = running.enter_context(connect(url.socket, additional_headers=url.headers, ping_interval=None))

    def once() -> float:
        begun = time.perf_counter()
        socket.send('{"action":"message","message":"x"}')
        socket.recv(60)
        return time.perf_counter() - begun

    return once


def rest_to_received(rest: Url, sockets: Url, booking: str, running: ExitStack) -> Way:
    listener = Listener(sockets, booking, running)
    post = posting(rest, "/api/v1/send_message", running)

    def once() -> float:
        text = str(time.monotonic_ns())
        begun = time.perf_counter()
        # From `system`, which has no rate limit.
        post({"booking_code": booking, "sender": "system", "message": text})
        return listener.arrival(text) - begun

    return once


def socket_to_received(sockets: Url, booking: str, running: ExitStack) -> Way:
    listener = Listener(sockets, booking, running)
    socket = running.enter_context(
        connect(
            f"{sockets.socket}?booking_code={booking}&sender=system",
            additional_headers=sockets.headers,
            ping_interval=None,
        )
    )

    def once() -> float:
        text = str(time.monotonic_ns())
        begun = time.perf_counter()
        socket.send(json.dumps({"action": "message", "message": text}))
        return listener.arrival(text) - begun

    return once


def requests_alone(stack: Stack, sockets: Url, booking: str, running: ExitStack, *, by_socket: bool) -> Way:
    """A bare client makes the AWS requests of a message, one after the other: no function can be faster.

    By WebSocket there are two more than by REST: the connection's row, and the post of the ack.
    """
    listener = Listener(sockets, booking, running)
    client: Any = boto3.client("dynamodb", **root(stack))
    messages, connections = (f"navietakie-{name}-local" for name in ("messages", "connections"))
    keys = SigningKeys(stack.access.key_id, stack.access.secret)
    api = ConnectionsApi(f"http://{sockets.host}{sockets.path}", stack.region, lambda: keys)

    def once() -> float:
        text = str(time.monotonic_ns())
        begun = time.perf_counter()
        if by_socket:
            client.get_item(TableName=connections, Key={"connection_id": {"S": "x"}}, ConsistentRead=True)
        head = {"booking_code": {"S": booking}, "timestamp": {"S": "#head"}}
        client.get_item(TableName=messages, Key=head, ConsistentRead=True)
        client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": messages, "Item": {**head, "timestamp": {"S": f"9{text}"}}}},
                {"Put": {"TableName": messages, "Item": {**head, "timestamp": {"S": f"8{text}"}}}},
            ]
        )
        found = client.query(
            TableName=connections,
            IndexName="booking_code-index",
            KeyConditionExpression="booking_code = :booking_code",
            ExpressionAttributeValues={":booking_code": {"S": booking}},
        )
        frame = json.dumps({"type": "message", "message": {"message": text}}).encode()
        api.post([(item["connection_id"]["S"], frame) for item in found["Items"]] * (1 + by_socket))
        return listener.arrival(text) - begun

    return once


def at_once(ways: list[Way], times: int) -> list[float]:
    """All clients at once, each so many times."""
    with ThreadPoolExecutor(len(ways)) as clients:
        return [took for all in clients.map(lambda way: [way() for _ in range(times)], ways) for took in all]


def main() -> None:
    report = Report(
        "end-to-end",
        "How long does a message take through the local stack, beside an empty function and its bare requests?",
        ("way", "clients", "p50, ms", "p95, ms", "p50, of both alone"),
    )
    taken: dict[str, dict[int, list[float]]] = {}
    with ExitStack() as running:
        home = Path(running.enter_context(TemporaryDirectory()))
        stack_run = start(home, "--port", "0")
        running.callback(stack_run.stop)
        stack = stack_run.ready()
        empty_api, empty_websocket = deploy_empty(stack)
        rest, sockets = (stage(stack, api) for api in (stack.rest_api, stack.websocket_api))
        numbers = range(max(CLIENTS))
        ways: dict[str, list[Way]] = {
            "empty, REST": [empty_rest(empty_api, running) for _ in numbers],
            "requests alone, REST": [
                requests_alone(stack, sockets, f"alone-rest-{n}", running, by_socket=False) for n in numbers
            ],
            f"{OURS}, REST": [rest_to_received(rest, sockets, f"rest-{n}", running) for n in numbers],
            "empty, WebSocket": [empty_socket(empty_websocket, running) for _ in numbers],
            "requests alone, WebSocket": [
                requests_alone(stack, sockets, f"alone-{n}", running, by_socket=True) for n in numbers
            ],
            f"{OURS}, WebSocket": [socket_to_received(sockets, f"socket-{n}", running) for n in numbers],
        }
        for all_clients in ways.values():
            at_once(all_clients, 3)  # starts the workers
        for count in progress(CLIENTS, "end to end, clients"):
            for name in ways:
                taken.setdefault(name, {})[count] = []
            for _ in range(4):  # in turns, so that what disturbs one disturbs all
                for name, all_clients in ways.items():
                    taken[name][count] += at_once(all_clients[:count], TIMES // 4)
    for name, by_count in taken.items():
        for count, times in by_count.items():
            base = None
            if name.startswith(OURS):
                alone = (taken[name.replace(OURS, part)][count] for part in ("empty", "requests alone"))
                base = sum(map(statistics.median, alone))
            middle, late = statistics.median(times), statistics.quantiles(times, n=20)[-1]
            report.rows.append((name, count, middle * 1e3, late * 1e3, middle / base if base else "–"))
    ratios = {
        row[0]: max(other[4] for other in report.rows if other[0] == row[0])
        for row in report.rows
        if row[0].startswith(OURS)
    }
    report.goals = [
        Goal(
            f"{name}: send → received, of empty function and bare requests, the worst number of clients",
            "≤",
            1.3,
            ratio,
        )
        for name, ratio in ratios.items()
    ]
    report.bars = [
        Bars(
            f"p50 with {count} client{'s' if count > 1 else ''}",
            " ms",
            [(name, statistics.median(taken[name][count]) * 1e3) for name in reversed(taken)],
        )
        for count in (CLIENTS[0], CLIENTS[-1])
    ]
    report.notes = [
        "The embedded AWS on this machine: only the ratios mean something, and nothing about AWS itself.",
        "Both functions are reached at the embedded AWS's own addresses: the front door serves one stack only.",
    ]
    report.publish()


if __name__ == "__main__":
    main()
