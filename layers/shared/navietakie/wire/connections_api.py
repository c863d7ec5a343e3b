"""Posts to WebSockets through API Gateway's @connections API: many at once, on one thread, for little CPU.

boto3's client spends 2 ms of CPU on a post, most of it in models and handlers that one fixed request does not need.
Here a post is one signed request on a kept-alive connection, and one `poll` waits for all posts of a batch.

How a batch goes (`_Batch.statuses`):

1. All requests wait in a row. At first four are under way, or as many as there are kept connections. More would only
   open connections, which costs CPU, as long as answers come quickly.
2. `poll` says which requests can go on. Each goes on until it would wait again.
3. If no answer comes for 2 ms, receivers are slow, and twice as many requests are put under way, up to 64. So a dead
   phone delays nobody.
4. An answer settles its request. After 429, 5xx, a broken connection or a time-out (2 s) the request is tried again
   behind the others, after a short pause, three times in all.
5. A kept connection that broke (`Stale`) is no failure of the receiver: its request is sent at once on a new
   connection, and this does not count as a try.
6. After 3 s the batch is over, and what has no answer has failed.

Then 2xx is `delivered`, 410 is `gone`, and everything else is `failed`.
"""

import hashlib
import random
import select
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

from navietakie.domain.errors import Refusal
from navietakie.observability import logger
from navietakie.wire.exchange import Endpoint, HttpConnection, Stale, Steps, endpoint_of, host_of
from navietakie.wire.sigv4 import Signer, SigningKeys

Outcome = Literal["delivered", "gone", "failed"]
Post = tuple[str, bytes]
"""A connection id and the frame for it."""

POST_SECONDS: Final = 2.0
"""What one connection may take for one post."""
BUDGET_SECONDS: Final = 3.0
"""After so long every post has its outcome."""
ATTEMPTS: Final = 3
MIN_IN_FLIGHT: Final = 4
"""How many posts are under way at once while receivers are quick."""
MAX_IN_FLIGHT: Final = 64
"""How many at most while they are slow."""
SLOW_SECONDS: Final = 0.002
"""Where no answer comes for so long, twice as many are put under way; to open one more takes about as much CPU."""
ANSWER_BYTES: Final = 64 * 1024
"""What is read of an answer, so that its connection can be used again; only its status says anything."""
GONE: Final = 410
_RETRYABLE: Final = frozenset({429, 500, 502, 503, 504})


class Poster(Protocol):
    """Posts frames to connections and closes them."""

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        """Posts all of them in parallel, those to one connection in order; one outcome each, in order. Never raises."""
        ...

    def close(self, connection_id: str) -> None:
        """Ends a connection, if it is still there. Never raises."""
        ...

    def close_all(self, connection_ids: Sequence[str]) -> list[Outcome]:
        """Ends all of them in parallel; one outcome each, in order. Never raises."""
        ...


class ConnectionsApi:
    """The @connections API of one WebSocket stage. `keys` is called for every batch, so that they refresh."""

    def __init__(
        self,
        endpoint: str,
        region: str,
        keys: Callable[[], SigningKeys],
        trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        url = urlsplit(endpoint)
        if not url.hostname or url.scheme not in ("http", "https"):
            raise Refusal("internal", "The function is not configured: WEBSOCKET_ENDPOINT is not a URL")
        self._endpoint = endpoint_of(url, trust, ANSWER_BYTES)
        self._host = host_of(url)
        self._base = f"{url.path.rstrip('/')}/@connections/"
        self._region = region
        self._credentials = keys

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        """Posts all of them in parallel, those to one connection in order; one outcome each, in order. Never raises.

        Where a connection is gone, it is not asked again. 429, 5xx, broken connections and time-outs are tried again
        behind the others, three times in all at most and within three seconds.
        """
        return self._ask("POST", posts)

    def close(self, connection_id: str) -> None:
        """Ends a connection, if it is still there. Never raises."""
        self.close_all([connection_id])

    def close_all(self, connection_ids: Sequence[str]) -> list[Outcome]:
        """Ends all of them in parallel; one outcome each, in order; `gone` too: not open yet. Never raises."""
        return self._ask("DELETE", [(connection_id, b"") for connection_id in connection_ids])

    def _ask(self, method: str, posts: Sequence[Post]) -> list[Outcome]:
        if not posts:
            return []
        try:
            keys = self._credentials()
        except Refusal as refusal:
            logger.warning("nothing was posted: %s", refusal.message)
            return ["failed"] * len(posts)
        signer = Signer(self._host, self._region, keys, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
        digests: dict[bytes, str] = {}  # most posts of a batch have one body

        def request(index: int) -> bytes:
            connection_id, body = posts[index]
            if (digest := digests.get(body)) is None:
                digest = digests[body] = hashlib.sha256(body).hexdigest()
            path = self._base + quote(connection_id, safe="")
            headers = signer.headers(method, path, digest)
            return f"{method} {path} HTTP/1.1\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body

        statuses = _Batch(self._endpoint, [connection_id for connection_id, _ in posts], request).statuses()
        return [_outcome(status, posts[index][0]) for index, status in enumerate(statuses)]


def _outcome(status: int, connection_id: str) -> Outcome:
    if 200 <= status < 300:
        return "delivered"
    if status == GONE:
        return "gone"
    if status and status not in _RETRYABLE:
        logger.warning("@connections refused a request", extra={"connection_id": connection_id, "status": status})
    return "failed"


class _Attempt(NamedTuple):
    """A request to be made: its place in the batch, which try it is, and whether it opens a connection of its own."""

    place: int
    number: int = 1
    alone: bool = False


class _InFlight(NamedTuple):
    """A request being made. `deadline` on the monotonic clock."""

    attempt: _Attempt
    connection: HttpConnection
    steps: Steps
    deadline: float


class _Batch:
    """Requests that are made together, one for each of `connection_ids`. `request` builds one when its turn comes."""

    def __init__(self, endpoint: Endpoint, connection_ids: Sequence[str], request: Callable[[int], bytes]) -> None:
        self._endpoint = endpoint
        self._request = request
        self._statuses = [0] * len(connection_ids)
        self._next: dict[int, int] = {}
        """The place of a request, and of the next one for the same connection."""
        self._waiting: deque[_Attempt] = deque()
        last: dict[str, int] = {}
        for place, connection_id in enumerate(connection_ids):
            if connection_id in last:
                self._next[last[connection_id]] = place
            else:
                self._waiting.append(_Attempt(place))
            last[connection_id] = place
        self._backing_off: list[tuple[float, _Attempt]] = []
        self._in_flight: dict[int, _InFlight] = {}
        self._poll = select.poll()

    def statuses(self) -> list[int]:
        """Makes all requests; the last status of each, 0 where there was no answer."""
        width = max(MIN_IN_FLIGHT, self._endpoint.idle)
        now = time.monotonic()
        end = now + BUDGET_SECONDS
        while (self._waiting or self._backing_off or self._in_flight) and now < end:
            while self._waiting and len(self._in_flight) < width and now < end:
                self._start(min(now + POST_SECONDS, end))
                now = time.monotonic()  # a host name that has to be looked up makes it wait
            due = [at for at, _ in self._backing_off] + [each.deadline for each in self._in_flight.values()]
            if self._waiting:
                due.append(now + SLOW_SECONDS)
            ready = self._poll.poll(max(0.0, min(due, default=now) - now) * 1_000)
            for descriptor, _ in ready:
                self._advance(self._in_flight[descriptor])
            if not ready:
                width = min(2 * width, MAX_IN_FLIGHT)
            now = time.monotonic()
            if now >= min(due, default=now):
                self._wake(now)
                self._expire(now)  # at the end of the budget, all of them
        return self._statuses

    def _start(self, deadline: float) -> None:
        attempt = self._waiting.popleft()
        connection = HttpConnection(self._endpoint) if attempt.alone else self._endpoint.connection()
        self._advance(_InFlight(attempt, connection, connection.exchange(self._request(attempt.place)), deadline))

    def _advance(self, in_flight: _InFlight) -> None:
        """Goes on with a request until it has to wait again, or has come to its end."""
        attempt, connection, steps, _ = in_flight
        polled = connection.fileno()
        try:
            events = next(steps)
        except StopIteration as answered:
            self._forget(polled)
            self._settle(attempt, answered.value.status)
        except Stale:  # no failure of the receiver, but no second time either
            self._forget(polled)
            self._endpoint.close_idle()
            self._waiting.appendleft(attempt._replace(alone=True))
        except OSError:
            self._forget(polled)
            self._settle(attempt, 0)
        else:
            if polled != connection.fileno():
                self._forget(polled)
            self._in_flight[connection.fileno()] = in_flight
            self._poll.register(connection.fileno(), events)

    def _forget(self, descriptor: int) -> None:
        if self._in_flight.pop(descriptor, None):
            self._poll.unregister(descriptor)

    def _settle(self, attempt: _Attempt, status: int) -> None:
        self._statuses[attempt.place] = status
        if (not status or status in _RETRYABLE) and attempt.number < ATTEMPTS:
            pause = random.uniform(0.02, 0.1) * 2**attempt.number
            self._backing_off.append((time.monotonic() + pause, _Attempt(attempt.place, attempt.number + 1)))
        elif (following := self._next.get(attempt.place)) is not None:
            if status == GONE:
                self._settle(_Attempt(following), status)
            else:
                self._waiting.append(_Attempt(following))

    def _wake(self, now: float) -> None:
        self._waiting.extend(attempt for at, attempt in self._backing_off if at <= now)
        self._backing_off = [(at, attempt) for at, attempt in self._backing_off if at > now]

    def _expire(self, now: float) -> None:
        for descriptor, (attempt, _, steps, deadline) in list(self._in_flight.items()):
            if deadline <= now:
                self._forget(descriptor)
                steps.close()
                self._endpoint.close_idle()  # the network may have lost them all
                self._settle(attempt, 0)
