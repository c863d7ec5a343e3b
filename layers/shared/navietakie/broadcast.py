"""Fan-out: frames to many WebSockets through API Gateway's @connections API, in parallel and for little CPU.

boto3's client spends 2 ms of CPU on a post, most of it in models and handlers that one fixed request does not need.
Here a post is one signed request (Signature Version 4) on a kept-alive connection.
"""

import hashlib
import hmac
import http.client
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Literal, Protocol
from urllib.parse import quote, urlsplit

import botocore.session
from botocore.credentials import ReadOnlyCredentials

from navietakie import settings
from navietakie.errors import Refusal
from navietakie.frames import Frame, encode
from navietakie.message import Sender
from navietakie.observability import count, logger
from navietakie.tables.connections import Connection

Outcome = Literal["delivered", "gone", "failed"]
Post = tuple[str, bytes]
"""A connection id and the frame for it."""

POST_SECONDS: Final = 2.0
"""What one connection may take for one post."""
BUDGET_SECONDS: Final = 5.0
"""After this no post is begun or repeated."""
ATTEMPTS: Final = 3
LANES: Final = 32
"""Most posts under way at once."""
_PASSING: Final = frozenset({429, 500, 502, 503, 504})
_EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()


class Poster(Protocol):
    """Posts frames to connections and closes them."""

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        """Posts all of them in parallel; one outcome each, in order. Never raises."""
        ...

    def close(self, connection_id: str) -> None:
        """Ends a connection, if it is still there. Never raises."""
        ...


class ConnectionsApi:
    """The @connections API of one WebSocket stage. `credentials` is called for every request, so that they refresh."""

    def __init__(self, endpoint: str, region: str, credentials: Callable[[], ReadOnlyCredentials]) -> None:
        url = urlsplit(endpoint)
        if not url.hostname:
            raise Refusal("internal", "The function is not configured: WEBSOCKET_ENDPOINT is not a URL")
        self._secure = url.scheme == "https"
        self._hostname = url.hostname
        self._port = url.port
        self._host = url.netloc
        self._base = url.path.rstrip("/")
        self._region = region
        self._credentials = credentials
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._tls: ssl.SSLContext | None = None
        self._signing_key: tuple[str, str, bytes] = ("", "", b"")

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        """Posts all of them in parallel; one outcome each, in order. Never raises.

        429, 5xx, refused connections and time-outs are tried again behind the others, three times at most and within
        five seconds.
        """
        outcomes: list[Outcome] = ["failed"] * len(posts)
        waiting = deque((index, 1, 0.0) for index in range(len(posts)))
        deadline = time.monotonic() + BUDGET_SECONDS

        def lane() -> None:
            while True:
                try:
                    index, attempt, not_before = waiting.popleft()
                except IndexError:
                    return
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                if (pause := not_before - time.monotonic()) > 0:
                    time.sleep(min(pause, left))
                outcome = self._attempt("POST", posts[index][0], posts[index][1], min(POST_SECONDS, left))
                if outcome == "failed" and attempt < ATTEMPTS:
                    backoff = random.uniform(0.02, 0.1) * 2**attempt
                    waiting.append((index, attempt + 1, time.monotonic() + backoff))
                else:
                    outcomes[index] = outcome

        helpers = [threading.Thread(target=lane, daemon=True) for _ in range(min(LANES, len(posts)) - 1)]
        for helper in helpers:
            helper.start()
        lane()
        for helper in helpers:
            helper.join(max(0.0, deadline + POST_SECONDS - time.monotonic()))
        return outcomes

    def close(self, connection_id: str) -> None:
        """Ends a connection, if it is still there. Never raises."""
        self._attempt("DELETE", connection_id, b"", POST_SECONDS)

    def _attempt(self, method: str, connection_id: str, body: bytes, timeout: float) -> Outcome:
        try:
            status = self._request(method, connection_id, body, timeout)
        except (OSError, http.client.HTTPException):
            return "failed"
        if status == 410:
            return "gone"
        if status >= 300 and status not in _PASSING:
            logger.warning("@connections refused a request", extra={"connection_id": connection_id, "status": status})
        return "delivered" if status < 300 else "failed"

    def _request(self, method: str, connection_id: str, body: bytes, timeout: float) -> int:
        path = f"{self._base}/@connections/{quote(connection_id, safe='')}"
        headers = self._signed(method, path, body)
        try:
            connection, reused = self._idle.pop(), True
        except IndexError:
            connection, reused = self._open(timeout), False
        try:
            return self._exchange(connection, method, path, body, headers, timeout)
        except (ConnectionError, http.client.BadStatusLine):
            if not reused:
                raise
            # The server may close an idle connection at any moment: that is no failure of the receiver.
            return self._exchange(self._open(timeout), method, path, body, headers, timeout)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes,
        headers: dict[str, str],
        timeout: float,
    ) -> int:
        try:
            connection.timeout = timeout
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            response.read()
        except BaseException:
            connection.close()
            raise
        if not response.will_close:
            self._idle.append(connection)
        return response.status

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._hostname, self._port, timeout=timeout)
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return http.client.HTTPSConnection(self._hostname, self._port, timeout=timeout, context=self._tls)

    def _signed(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """The headers of a request signed with Signature Version 4 (AWS IAM User Guide, "Create a signed request")."""
        credentials = self._credentials()
        instant = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {"host": self._host, "x-amz-date": instant}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        signed = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        digest = hashlib.sha256(body).hexdigest() if body else _EMPTY_SHA256
        canonical = f"{method}\n{quote(path, safe='/~')}\n\n{lines}\n{signed}\n{digest}"
        scope = f"{instant[:8]}/{self._region}/execute-api/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{instant}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = self._key(credentials.secret_key or "", instant[:8])
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )
        headers["content-type"] = "application/json"
        return headers

    def _key(self, secret: str, day: str) -> bytes:
        known_secret, known_day, key = self._signing_key
        if (known_secret, known_day) != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, "execute-api", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._signing_key = (secret, day, key)
        return key


@cache
def connections_api(endpoint: str) -> ConnectionsApi:
    """The @connections API at `endpoint`, one per process, signed with the function's own credentials."""
    session = botocore.session.get_session()
    credentials = session.get_credentials()
    if credentials is None:
        raise Refusal("internal", "The function has no AWS credentials")
    region = settings.optional("AWS_REGION") or settings.optional("AWS_DEFAULT_REGION", "us-east-1")
    return ConnectionsApi(endpoint, region, credentials.get_frozen_credentials)


class Rows(Protocol):
    """Where the connections of a booking are found: `tables.connections.Connections`."""

    def of(self, booking_code: str, now: int) -> list[Connection]: ...

    def remove_gone(self, connection: Connection, now: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a broadcast. `complete` is False where the connections could not be looked up."""

    outcomes: list[tuple[Connection, Outcome]] = field(default_factory=list[tuple[Connection, Outcome]])
    complete: bool = True

    def of(self, outcome: Outcome) -> int:
        """How many connections ended so."""
        return sum(1 for _, it in self.outcomes if it == outcome)

    def reached(self, sender: Sender) -> int:
        """How many connections of `sender` took the frame."""
        return sum(1 for connection, it in self.outcomes if it == "delivered" and connection.sender == sender)

    def gone(self, sender: Sender) -> list[Connection]:
        """The connections of `sender` that turned out to be gone."""
        return [connection for connection, it in self.outcomes if it == "gone" and connection.sender == sender]

    def as_dict(self) -> dict[str, int | str]:
        """The `delivery` of an answer."""
        counts = {"delivered": self.of("delivered"), "gone": self.of("gone"), "failed": self.of("failed")}
        return {"connections": len(self.outcomes), **counts, **({} if self.complete else {"error": "unavailable"})}


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Sends frames to the connections of a booking, and deletes the rows of those that are gone."""

    connections: Rows
    poster: Poster

    def to_booking(
        self,
        booking_code: str,
        frame: Frame,
        now: int,
        *,
        to: Callable[[Connection], bool] = lambda _: True,
        answers: Iterable[tuple[Connection, Frame]] = (),
    ) -> Delivery:
        """Posts `frame` to every connection of the booking that `to` accepts, and `answers` along with it.

        Never raises: what was stored before stays stored. `answers` go to their own connections (and only they do),
        and are not part of the Delivery.
        """
        direct = list(answers)
        excluded = {connection.connection_id for connection, _ in direct}
        complete = True
        receivers: list[Connection] = []
        try:
            found = self.connections.of(booking_code, now)
            receivers = [each for each in found if each.connection_id not in excluded and to(each)]
        except Refusal:
            complete = False
            logger.warning("connections could not be looked up", extra={"booking_code": booking_code})
        body = encode(frame)
        posts = [(connection.connection_id, encode(answer)) for connection, answer in direct]
        posts += [(connection.connection_id, body) for connection in receivers]
        outcomes = self.poster.post(posts)
        self._bury([connection for connection, _ in direct] + receivers, outcomes, now)
        delivery = Delivery(list(zip(receivers, outcomes[len(direct) :], strict=True)), complete)
        count("Deliveries", delivery.of("delivered"))
        count("DeliveriesGone", delivery.of("gone"))
        count("DeliveriesFailed", delivery.of("failed"))
        return delivery

    def to_connections(self, connections: Sequence[Connection], frame: Frame, now: int) -> list[Outcome]:
        """Posts `frame` to these connections; one outcome each, in order. Never raises."""
        body = encode(frame)
        outcomes = self.poster.post([(connection.connection_id, body) for connection in connections])
        self._bury(connections, outcomes, now)
        return outcomes

    def to_connection(self, connection: Connection, frame: Frame, now: int) -> Outcome:
        """Posts `frame` to one connection. Never raises."""
        return self.to_connections([connection], frame, now)[0]

    def _bury(self, connections: Sequence[Connection], outcomes: Sequence[Outcome], now: int) -> None:
        for connection, outcome in zip(connections, outcomes, strict=True):
            if outcome != "gone":
                continue
            try:
                self.connections.remove_gone(connection, now)
            except Refusal:  # the next broadcast will meet it again
                logger.warning("a gone row was not deleted", extra={"connection_id": connection.connection_id})
