"""The world on the wire: real handlers, connections that take posts, and functions that die at any request."""

import itertools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError

from navietakie.aws.tables import dynamo
from navietakie.aws.tables.connections import Connection, connections
from navietakie.domain import instants
from navietakie.wire.connections_api import ConnectionsApi, Outcome, Post
from tests.fakes import invocations, peer
from tests.fakes.wire import Asked, Carry, Killed, Wire, restart, straight, timed_out, wired


class World:
    """What remains when a function dies: tables, queue, and the frames that connections got."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.heard: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.gone: set[str] = set()
        self.ahead = 0
        self._before_each: Callable[[], None] = lambda: None

    def ask(self, handler: Any, event: Any) -> Any:
        """Invokes a function."""
        answer = handler(event, invocations.Context())
        return json.loads(answer["body"]) if answer.get("body") else answer

    def join(self, connection_id: str, booking_code: str, sender: Any) -> None:
        """Puts the row of a connection that was made two minutes ago."""
        at = time.time_ns() // 1_000 - 120 * instants.SECOND
        connections().record(Connection(connection_id, booking_code, sender, instants.to_text(at), 2**40))

    @contextmanager
    def dying_before(self, number: int) -> Generator[list[bool]]:
        """The function dies before its request of this number, from 0. The list stays empty if there are fewer."""
        count = itertools.count()
        died: list[bool] = []

        def step() -> None:
            if died or next(count) >= number:
                died.append(True)
                raise Killed

        def way(_: Asked, carry: Carry) -> AWSResponse:
            step()
            return carry()

        self.wire.way, self._before_each = way, step
        try:
            yield died
        except Killed:
            pass
        finally:
            self.wire.way, self._before_each = straight, lambda: None

    @contextmanager
    def losing_the_answer(
        self, number: int, of: str = "", then: Callable[[Asked], AWSResponse] | None = None
    ) -> Generator[list[Asked]]:
        """The answer to the request of this number, counted from 0, gets lost. `then` answers its next try, if given.

        With `of`, only requests of this name count. The list gets the request, if there were so many.
        """
        count = itertools.count()
        lost: list[Asked] = []

        def way(asked: Asked, carry: Carry) -> AWSResponse:
            if of not in ("", asked.name):
                return carry()
            at = next(count)
            if at == number + 1 and lost and then is not None:
                return then(asked)
            answer = carry()
            if at == number:
                lost.append(asked)
                raise timed_out(asked)
            return answer

        self.wire.way = way
        try:
            yield lost
        finally:
            self.wire.way = straight

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        """Takes one post after the other. The function may die in between."""
        outcomes: list[Outcome] = []
        for connection_id, body in posts:
            self._before_each()
            if connection_id in self.gone:
                outcomes.append("gone")
                continue
            self.heard[connection_id].append(json.loads(body))
            outcomes.append("delivered")
        return outcomes


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Generator[World]:
    with wired(monkeypatch) as wire:
        world = World(wire)
        monkeypatch.setattr(ConnectionsApi, "post", lambda _, posts: world.post(posts))
        monkeypatch.setattr(ConnectionsApi, "close", lambda *_: None)
        monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
        real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: real() + world.ahead)
        yield world


@contextmanager
def over_http(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """DynamoDB's requests go over real HTTP connections, which are kept. A lost answer is a reset connection."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def answered(request: peer.Asked) -> Sequence[bytes]:
        operation = request.headers["x-amz-target"].partition(".")[2]
        asked = Asked(f"dynamodb.{operation}", json.loads(request.body))
        try:
            response = wire.way(asked, lambda: wire.carried(asked))
        except ReadTimeoutError:
            raise peer.Reset from None
        return peer.answer(response.status_code, response.content)(request)

    with peer.peer() as server:
        server.answers[""] = [answered]
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{server.port}")
        restart(wire)
        dynamo.client().meta.events.unregister("before-send", wire.request)
        yield
        assert server.asked, "nothing went over the connections"
