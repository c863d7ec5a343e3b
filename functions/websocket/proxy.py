"""Proxy mode: what happens on the WebSocket goes to an HTTP backend, signed, and its answers go back as frames.

The backend gets CloudEvents in HTTP's binary mode (CloudEvents 1.0, HTTP protocol binding, section 3.1). The signature
is over time, path, connection, event id and body, so that no request can be passed off as another. Once a connection is
registered, the backend is responsible for it: no table is read here, and the backend has to enforce the token's `exp`.
"""

import hmac
import json
import random
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NotRequired, TypedDict
from urllib.parse import SplitResult, quote, urlsplit

from navietakie import settings
from navietakie.aws import secrets
from navietakie.domain import instants, parsing
from navietakie.domain.errors import Code, Refusal, unavailable
from navietakie.domain.frames import FRAME_BYTES, encode, error_frame
from navietakie.domain.message import Sender
from navietakie.doors import identity, lambda_event, requests, websocket
from navietakie.doors.identity import Identity
from navietakie.doors.lambda_event import LambdaEvent
from navietakie.doors.serve import serve
from navietakie.doors.websocket import LifecycleResponse
from navietakie.observability import count, count_by, logger
from navietakie.warm import cached
from navietakie.wire.exchange import Endpoint, HttpConnection, answer_to, endpoint_of, host_of
from websocket.handshake import bearer_of, selected_subprotocol
from websocket.presence import ConnectQuery, check_origin

ANSWER_SECONDS: Final = 5.0
"""What a client waits for the backend, retries included."""
DISCONNECT_SECONDS: Final = 4.0
"""What one try to report a disconnect may take: three of them fit into the shortest Timeout, 25 s."""
TRIES: Final = 3
READ_BYTES: Final = 4 * FRAME_BYTES
"""What is read of an answer: more than a frame, because chunks take some of it."""

EventKind = Literal["register", "message", "disconnect"]


class TokenClaims(TypedDict):
    """The claims of the verified token. The token itself is not sent."""

    sub: str
    booking_code: str
    role: Sender
    exp: int
    iat: NotRequired[int]
    aud: str


class Registration(TypedDict):
    """A client wants to connect."""

    connection_id: str
    booking_id: str | None
    type: str | None
    query: dict[str, str]
    callback_url: str
    claims: NotRequired[TokenClaims]


class Departure(TypedDict):
    """A client has left."""

    connection_id: str


_REFUSALS: Final[Mapping[int, Code]] = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    413: "too_large",
    429: "rate_limited",
}
"""What a client is told when the backend refuses its frame; any other 4xx is `invalid_request`."""


def forward(event: LambdaEvent, context: Any) -> Any:
    """Answers one invocation with the backend's help."""
    route = websocket.route_key(lambda_event.normalized(event))
    on_route = {"$connect": on_connect, "$disconnect": on_disconnect}.get(route, on_frame)
    return serve(event, context, lifecycle={route: on_route})


def ready() -> None:
    """Makes the poster, and fetches the secret that events are signed with."""
    requests.poster({})
    secrets.ready(settings.required("PROXY_SECRET_ARN"))


def on_connect(event: LambdaEvent, now: int) -> LifecycleResponse:
    """Lets a client in if the backend registers it; otherwise refuses it with the backend's 401 or 403, or with 502.

    Where tokens are asked for, the token is verified here and its claims are sent in its place.
    """
    headers, query = lambda_event.headers_of(event), lambda_event.query_of(event)
    check_origin(headers.get("origin"), settings.allowed_origins())
    bearer = bearer_of(headers, query)
    asked = ConnectQuery.parse(query)
    booking_code = asked.booking(bearer)
    logger.append_keys(booking_code=booking_code)
    connection_id = _connection_id(event)
    registration: Registration = {
        "connection_id": connection_id,
        "booking_id": booking_code,
        "type": query.get("type"),
        "query": query,
        "callback_url": f"{settings.connections_endpoint(event)}/@connections/{quote(connection_id, safe='')}",
    }
    if bearer is not None:
        bearer.check(str(booking_code), asked.sender)
        query.pop("token", None)
        registration["claims"] = claims_of(bearer)
    answer = _ask_while_surely_not_taken(_signed(event, now, "register", encode(registration)))
    if answer.ok:
        return {"statusCode": 200, "headers": selected_subprotocol(headers)}
    return {"statusCode": answer.status if answer.status in (401, 403) else 502}


def on_frame(event: LambdaEvent, now: int) -> LifecycleResponse:
    """Passes a frame on as it is; the client gets the answer as a frame, or an `error` frame."""
    try:
        if event.get("isBase64Encoded"):
            raise Refusal("invalid_request", "Frames are JSON text, not binary")
        text = str(event.get("body") or "")
        parsing.json_object(text)
        frame = _frame_of(_ask_while_surely_not_taken(_signed(event, now, "message", text.encode())))
    except Refusal as refusal:
        logger.append_keys(refused=refusal.code)
        frame = encode(error_frame(refusal, None, instants.to_text(now), websocket.frame_id(event)))
    if frame is not None:
        requests.poster(event).post([(_connection_id(event), frame)])
    return {"statusCode": 200}


def on_disconnect(event: LambdaEvent, now: int) -> LifecycleResponse:
    """Tells the backend that a client has left. The event does not come twice, so any failure is tried again."""
    left: Departure = {"connection_id": _connection_id(event)}
    signed = _signed(event, now, "disconnect", encode(left))
    for attempt in range(TRIES):
        if attempt:
            time.sleep(_pause(attempt))
        if _counted(signed.ask(DISCONNECT_SECONDS)).ok:
            return {"statusCode": 200}
    count("BackendDisconnectsLost")
    return {"statusCode": 502}


def claims_of(bearer: Identity) -> TokenClaims:
    """What the backend is told of a token."""
    claims: TokenClaims = {
        "sub": bearer.sub,
        "booking_code": bearer.booking_code,
        "role": bearer.role,
        "exp": bearer.exp,
        "aud": identity.AUDIENCE,
    }
    return claims if bearer.iat is None else {**claims, "iat": bearer.iat}


@dataclass(frozen=True, slots=True)
class Backend:
    """Where the backend is, by the `url` of its host; `path` comes before `/api/ws/…`."""

    url: SplitResult
    path: str

    @classmethod
    def parse(cls, url: str, *, private: bool) -> "Backend":
        """The backend at `url`; plain http is for a `private` network. Raises `internal` for anything else."""
        wrong = Refusal("internal", "The function is not configured: BACKEND_URL is not the URL of a backend")
        try:
            parts = urlsplit(url)
            host = parts.netloc.lower().encode("idna").decode()
            named = parts.hostname and parts.port != 0 and "@" not in host
        except ValueError:
            raise wrong from None
        if parts.scheme not in ("http", "https") or not named or parts.query or parts.fragment:
            raise wrong
        if parts.scheme == "http" and not private:
            raise Refusal("internal", "The function is not configured: BACKEND_URL has to begin with https")
        return cls(SplitResult(parts.scheme, host, "", "", ""), quote(parts.path.rstrip("/"), safe="/%"))


@dataclass(frozen=True, slots=True)
class BackendAnswer:
    """What the backend answered, as far as it was read, or why it did not answer."""

    status: int = 0
    body: bytes = b""
    too_long: bool = False
    """Whether it is longer than a frame may be."""
    failure: Literal["refused", "timed_out", "broken"] | None = None

    @property
    def ok(self) -> bool:
        """Whether the backend took the event."""
        return 200 <= self.status < 300

    @property
    def rejected(self) -> bool:
        """Whether the backend does not want the event: the client's fault, and no failure of the backend."""
        return 400 <= self.status < 500

    @property
    def surely_not_taken(self) -> bool:
        """Whether the same event may be sent again without coming twice."""
        return self.failure == "refused" or self.status == 503


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """An event on its way to the backend. It can be sent several times: the backend knows it by its `ce-id`."""

    backend: Backend
    request: bytes

    def ask(self, seconds: float) -> BackendAnswer:
        """The backend's answer, or a time-out after `seconds`.

        On a thread, because nothing else bounds the time of a look-up of the backend's name.
        """
        endpoint = endpoint_of(self.backend.url, _tls, READ_BYTES)
        answers: list[BackendAnswer] = []
        thread = threading.Thread(target=lambda: answers.append(self._ask(endpoint, seconds)), daemon=True)
        thread.start()
        thread.join(seconds)
        return answers[0] if answers else BackendAnswer(failure="timed_out")

    def _ask(self, endpoint: Endpoint, seconds: float) -> BackendAnswer:
        try:
            # Always a new connection: if a kept one broke, the backend might have taken the event, or not.
            answer = answer_to(self.request, HttpConnection(endpoint), seconds)
        except ConnectionRefusedError:
            return BackendAnswer(failure="refused")
        except TimeoutError:
            return BackendAnswer(failure="timed_out")
        except OSError:
            return BackendAnswer(failure="broken")
        finally:
            endpoint.close_idle()
        if not answer.whole and not answer.too_long:
            return BackendAnswer(failure="broken")  # it ended early
        return BackendAnswer(answer.status, answer.body, answer.too_long or len(answer.body) > FRAME_BYTES)


def signature(secret: str, t: int, path: str, connection_id: str, event_id: str, body: bytes) -> str:
    """The value of `x-navietakie-signature`; `t` in seconds since 1970."""
    signed = f"{t}.{path}.{connection_id}.{event_id}.".encode() + body
    return f"t={t},v1={hmac.digest(secret.encode(), signed, 'sha256').hex()}"


def _signed(event: LambdaEvent, now: int, kind: EventKind, body: bytes) -> SignedEvent:
    private = settings.optional("ENVIRONMENT") == "local" or settings.optional("IN_VPC") == "true"
    backend = Backend.parse(settings.required("BACKEND_URL"), private=private)
    path = f"{backend.path}/api/ws/{kind}"
    connection_id, event_id = _connection_id(event), str(event["requestContext"]["requestId"])
    secret = secrets.stored_secret(settings.required("PROXY_SECRET_ARN"))
    headers = {
        "host": host_of(backend.url),
        "connection": "close",
        "content-length": str(len(body)),
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "NavieTakie",
        "x-connection-id": connection_id,
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": settings.connections_endpoint(event),
        "ce-type": f"navietakie.websocket.{kind}",
        "ce-time": instants.to_text(now),
        "x-navietakie-signature": signature(
            secret.current(), instants.to_seconds(now), path, connection_id, event_id, body
        ),
    }
    lines = [f"POST {path} HTTP/1.1", *(_line(name, value) for name, value in headers.items()), "", ""]
    return SignedEvent(backend, "\r\n".join(lines).encode() + body)


def _line(name: str, value: str) -> str:
    """A header. Raises `internal` for a value that would not stay on its line, whatever settings and events hold."""
    if not value.isascii() or not value.isprintable():
        raise Refusal("internal", f"{name} for the backend has characters that no header may have")
    return f"{name}: {value}"


def _ask_while_surely_not_taken(signed: SignedEvent) -> BackendAnswer:
    """The backend's answer. While it certainly has not taken the event, it is asked again, at most twice."""
    deadline = time.monotonic() + ANSWER_SECONDS
    answer = signed.ask(ANSWER_SECONDS)
    for attempt in range(1, TRIES):
        pause = _pause(attempt)
        if not answer.surely_not_taken or time.monotonic() + pause >= deadline:
            break
        time.sleep(pause)
        answer = signed.ask(deadline - time.monotonic())
    return _counted(answer)


def _frame_of(answer: BackendAnswer) -> bytes | None:
    """The client's frame: the answer's JSON as it came; None for none. Raises the Refusal that the client gets."""
    if answer.surely_not_taken:
        raise unavailable("The backend")
    if answer.failure == "timed_out":
        raise Refusal("internal", "The backend did not answer in time")
    if answer.rejected:
        raise Refusal(_REFUSALS.get(answer.status, "invalid_request"), "The backend refused this")
    if not answer.ok:
        raise Refusal("internal", "The backend failed")
    if answer.too_long:
        raise Refusal("too_large", "The backend's answer is too large for a frame")
    try:
        text = answer.body.decode()
        value = json.loads(text, parse_constant=parsing.no_constant) if text.strip() else None
        return None if value is None else answer.body
    except (ValueError, RecursionError):
        raise Refusal("internal", "The backend's answer is not JSON") from None


def _counted(answer: BackendAnswer) -> BackendAnswer:
    if not answer.ok and not answer.rejected:
        reason = answer.failure or f"{answer.status // 100}xx"
        logger.warning("the backend failed", extra={"reason": reason, "backend_status": answer.status})
        count_by("BackendFailures", "reason", reason)
    return answer


def _pause(attempt: int) -> float:
    return random.uniform(0.5, 1) * 0.1 * 3**attempt


def _connection_id(event: LambdaEvent) -> str:
    return str(event["requestContext"]["connectionId"])


@cached
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
