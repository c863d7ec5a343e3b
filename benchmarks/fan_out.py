"""What does a post to a WebSocket cost, and how long do many take?"""

import http.client
import io
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import boto3
from botocore.config import Config

from benchmarks.cold_start import install
from benchmarks.gateway import gateway, pin
from benchmarks.report import Bars, Goal, Report, progress
from navietakie.wire.connections_api import ConnectionsApi
from navietakie.wire.sigv4 import SigningKeys
from tests.fakes.peer import client_tls

SIZES = (2, 10, 100, 1_000)
KEYS = SigningKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjE" * 40)
FRAME = b'{"v":1,"type":"message","booking_code":"ride-1","message":{"message":"' + b"x" * 200 + b'"}}'
OURS, SEQUENTIAL, THREADED, CRT, BARE, TLS = (
    "NavieTakie",
    "boto3",
    "boto3, 16 threads",
    "awscrt, signed and sent at once",
    "http.client, unsigned",
    "NavieTakie, TLS",
)


@dataclass(frozen=True)
class Cost:
    """Medians for one way and one size: CPU seconds per post, wall seconds per batch."""

    cpu: float
    wall: float


class Ways:
    """The ways to post the same frame to the same connections."""

    def __init__(self, port: int, tls_port: int | None = None) -> None:
        self._port = port
        self._lean = ConnectionsApi(f"http://127.0.0.1:{port}/local", "us-east-1", lambda: KEYS)
        self._bare = http.client.HTTPConnection("127.0.0.1", port)
        self._pool = ThreadPoolExecutor(16)
        self.all: dict[str, Callable[[list[str]], None]] = {
            OURS: self._ours(self._lean),
            SEQUENTIAL: self._sequential,
            THREADED: self._threaded,
            CRT: self._at_once,
            BARE: self._unsigned,
        }
        if tls_port is not None:
            endpoint = f"https://localhost:{tls_port}/local"
            self.all[TLS] = self._ours(ConnectionsApi(endpoint, "us-east-1", lambda: KEYS, client_tls))

    @staticmethod
    def _ours(poster: ConnectionsApi) -> Callable[[list[str]], None]:
        def post(connection_ids: list[str]) -> None:
            outcomes = poster.post([(connection_id, FRAME) for connection_id in connection_ids])
            assert outcomes == ["delivered"] * len(connection_ids)

        return post

    @cached_property
    def _boto3(self) -> Any:
        return boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=f"http://127.0.0.1:{self._port}/local",
            region_name="us-east-1",
            aws_access_key_id=KEYS.access_key,
            aws_secret_access_key=KEYS.secret_key,
            aws_session_token=KEYS.token,
            config=Config(max_pool_connections=16),
        )

    def _sequential(self, connection_ids: list[str]) -> None:
        for connection_id in connection_ids:
            self._boto3.post_to_connection(ConnectionId=connection_id, Data=FRAME)

    def _threaded(self, connection_ids: list[str]) -> None:
        post = self._boto3.post_to_connection
        list(self._pool.map(lambda connection_id: post(ConnectionId=connection_id, Data=FRAME), connection_ids))

    @cached_property
    def _crt(self) -> "Crt":
        return Crt(self._port)

    def _at_once(self, connection_ids: list[str]) -> None:
        self._crt.post(connection_ids)

    def _unsigned(self, connection_ids: list[str]) -> None:
        for connection_id in connection_ids:
            self._bare.request("POST", f"/local/@connections/{quote(connection_id, safe='')}", FRAME)
            self._bare.getresponse().read()


class Crt:
    """AWS's HTTP client and signature in C, on as many kept connections as ours keeps for quick receivers."""

    CONNECTIONS = 4

    def __init__(self, port: int) -> None:
        # Only now: botocore works in another way where it finds this package while it is imported.
        from awscrt import auth, http
        from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup

        self._auth, self._http = auth, http
        self._host = f"127.0.0.1:{port}"
        group = EventLoopGroup(1)
        bootstrap = ClientBootstrap(group, DefaultHostResolver(group))
        opening = [http.HttpClientConnection.new("127.0.0.1", port, bootstrap) for _ in range(self.CONNECTIONS)]
        self._connections = [each.result() for each in opening]
        self._keys = auth.AwsCredentialsProvider.new_static(KEYS.access_key, KEYS.secret_key, KEYS.token)

    def post(self, connection_ids: list[str]) -> None:
        """Signs all requests, then sends them, each connection one after the other."""
        config = self._auth.AwsSigningConfig(
            algorithm=self._auth.AwsSigningAlgorithm.V4,
            signature_type=self._auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=self._keys,
            region="us-east-1",
            service="execute-api",
        )
        signing = [self._auth.aws_sign_request(self._request(each), config) for each in connection_ids]
        streams: list[Any] = []
        for number, signed in enumerate(signing):
            stream = self._connections[number % self.CONNECTIONS].request(signed.result())
            stream.activate()
            streams.append(stream)
        assert {stream.completion_future.result() for stream in streams} == {200}

    def _request(self, connection_id: str) -> Any:
        headers = self._http.HttpHeaders([("host", self._host), ("content-length", str(len(FRAME)))])
        path = f"/local/@connections/{quote(connection_id, safe='')}"
        return self._http.HttpRequest("POST", path, headers, io.BytesIO(FRAME))


def connection_ids(count: int) -> list[str]:
    return [f"L0SM9cOFvHcCI{number:03x}=" for number in range(count)]


def measured(ways: dict[str, Callable[[list[str]], None]], size: int, rounds: int, what: str) -> dict[str, Cost]:
    """Medians over `rounds`, the ways taking turns, so that what disturbs one disturbs all."""
    receivers = connection_ids(size)
    repeats = max(1, 50 // size)
    taken: dict[str, list[Cost]] = {name: [] for name in ways}
    for way in ways.values():
        way(receivers)
    for _ in progress(range(rounds), what):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(repeats):
                way(receivers)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            taken[name].append(Cost(cpu / repeats / size, wall / repeats))
    return {
        name: Cost(statistics.median(it.cpu for it in costs), statistics.median(it.wall for it in costs))
        for name, costs in taken.items()
    }


def main() -> None:
    report = Report(
        "fan-out",
        "What does a post to a WebSocket cost, and how long do many take?",
        ("way", "N", "server delay", "CPU/post, µs", "of boto3's", "batch, ms", "posts/s"),
    )
    pin(0)
    quick: dict[int, dict[str, Cost]] = {}
    slow: dict[int, dict[str, Cost]] = {}
    with ExitStack() as servers:
        awscrt = servers.enter_context(TemporaryDirectory())
        install("requirements/awscrt.txt", Path(awscrt))
        sys.path.append(awscrt)
        port, tls_port = (servers.enter_context(gateway(tls=tls, core=1)) for tls in (False, True))
        ways = Ways(port, tls_port)
        for size in SIZES:
            quick[size] = measured(ways.all, size, 15 if size < 1_000 else 5, f"fan-out, N={size}")
    with gateway(10, core=1) as port:
        ways = Ways(port)
        for size in (2, 100, 1_000):
            names = [OURS, SEQUENTIAL, THREADED] if size < 1_000 else [OURS, THREADED]
            chosen = {name: ways.all[name] for name in names}
            slow[size] = measured(chosen, size, 5, f"fan-out, N={size}, 10 ms")
        first = Ways(port)
        started = time.perf_counter()
        first.all[OURS](connection_ids(100))
        cold = time.perf_counter() - started
    for delay, costs in (("none", quick), ("10 ms", slow)):
        for size, by_way in costs.items():
            for name, cost in by_way.items():
                ratio = cost.cpu / by_way[SEQUENTIAL].cpu if SEQUENTIAL in by_way else "–"
                report.rows.append((name, size, delay, cost.cpu * 1e6, ratio, cost.wall * 1e3, size / cost.wall))
    report.rows.append((f"{OURS}, no connection open yet", 100, "10 ms", "–", "–", cold * 1e3, 100 / cold))
    worst = max(costs[OURS].cpu / costs[SEQUENTIAL].cpu for costs in quick.values())
    crt = max(costs[OURS].cpu / costs[CRT].cpu for costs in quick.values())
    slowest = min(100 / quick[100][OURS].wall, 1_000 / quick[1_000][OURS].wall)
    report.goals = [
        Goal("CPU per post, of boto3's client, at the worst N", "≤", 0.1, worst),
        Goal("CPU per post, of awscrt's, at the worst N", "≤", 1, crt),
        Goal("posts a second on one core, no server delay, N = 100 and 1,000", "≥", 3_000, slowest),
        Goal("100 posts at 10 ms server delay", "≤", 100, slow[100][OURS].wall * 1e3, " ms"),
        Goal("the same where no connection is open yet", "≤", 100, cold * 1e3, " ms"),
    ]
    names = [OURS, TLS, CRT, BARE, SEQUENTIAL, THREADED]
    report.bars = [
        Bars("CPU per post, N = 100", " µs", [(name, quick[100][name].cpu * 1e6) for name in names]),
        Bars("Posts a second, N = 100", "", [(name, 100 / quick[100][name].wall) for name in names]),
        Bars("100 posts, each answered after 10 ms", " ms", [(name, it.wall * 1e3) for name, it in slow[100].items()]),
    ]
    report.notes = ["One thread, one core; the server has the other core. Medians; the ways take turns."]
    report.publish()


if __name__ == "__main__":
    main()
