"""The doors of a function: REST, WebSocket, direct invocation and queue. Parse in, one call, answer out.

What a client sends is checked here as far as every route has it in common: its size in bytes, its JSON, who it is.
Whatever goes wrong inside leaves through here as the contract's error, and is logged without a word of its content.
"""

import base64
import json
import math
import re
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, cast

from navietakie import identity, instants, settings
from navietakie.broadcast import Broadcast, ConnectionsApi, connections_api
from navietakie.errors import Refusal, invalid
from navietakie.frames import FRAME_BYTES, Frame, encode, error_frame, frame
from navietakie.identity import Identity
from navietakie.message import BookingCode, ClientMessageId, Fields, Label, Sender
from navietakie.observability import flush, logger
from navietakie.tables.connections import Connection, connections

Event = Mapping[str, Any]
Answer = tuple[int, Mapping[str, Any]]
"""An HTTP status and the body."""

BODY_BYTES: Final = FRAME_BYTES
NESTING: Final = 32
"""How deep JSON may be nested: what is stored is read again by clients, and not every parser gets deeper unharmed."""
SPARE_SECONDS: Final = 2.0
"""What is kept of the function's time for the answer."""
PATIENCE_SECONDS: Final = 10.0
"""How long a request may go on trying."""
_ODD_ESCAPE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


@dataclass(frozen=True, slots=True)
class Party:
    """Who acts in which booking, checked against the token where there is one."""

    booking_code: str
    sender: Sender
    sender_id: str | None


class _Claim(Fields):
    booking_code: BookingCode
    sender: Sender | None = None
    sender_id: Label | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request by REST or by direct invocation. `now` in microseconds; `deadline` on the monotonic clock."""

    fields: Mapping[str, Any]
    now: int
    deadline: float
    event: Event
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    identity: Identity | None = None

    def party(self) -> Party:
        """Who acts, from `booking_code`, `sender` and `sender_id`; with a token its role and `sub` are what counts."""
        claim = _Claim.parse(self.fields)
        logger.append_keys(booking_code=claim.booking_code)
        if self.identity is None:
            if claim.sender is None:
                raise invalid("sender", "Field required")
            return Party(claim.booking_code, claim.sender, claim.sender_id)
        self.identity.check(claim.booking_code, claim.sender)
        return Party(claim.booking_code, self.identity.role, self.identity.sub)

    def booking_code(self) -> str:
        """The booking that is asked about, allowed by the token where there is one."""
        booking_code = _Booking.parse(self.fields).booking_code
        logger.append_keys(booking_code=booking_code)
        if self.identity is not None:
            self.identity.check(booking_code)
        return booking_code

    def broadcast(self) -> Broadcast:
        """The way to the booking's connections."""
        return broadcast(self.event)


class _Booking(Fields):
    booking_code: BookingCode


class _Envelope(Fields):
    id: ClientMessageId | None = None
    action: str


@dataclass(frozen=True, slots=True)
class SocketRequest:
    """A frame that a known connection sent."""

    connection: Connection
    fields: Mapping[str, Any]
    id: str | None
    now: int
    deadline: float
    event: Event

    def party(self) -> Party:
        """Who acts: what `$connect` recorded. A frame that names another booking or role is refused."""
        it = self.connection
        for name, own in (("booking_code", it.booking_code), ("sender", it.sender)):
            if self.fields.get(name, own) != own:
                raise Refusal("forbidden", f"{name}: the connection is another's")
        return Party(it.booking_code, it.sender, it.sender_id)

    def broadcast(self) -> Broadcast:
        """The way to the booking's connections."""
        return broadcast(self.event)

    def answer(self, type: str, **fields: Any) -> Frame:
        """A frame that answers this one."""
        return frame(type, self.connection.booking_code, instants.to_text(self.now), id=self.id, **fields)


Route = Callable[[Request], Answer]
SocketRoute = Callable[[SocketRequest], None]
EventRoute = Callable[[Event, int], Mapping[str, Any]]
"""Takes the whole event and the time: for `$connect`, `$disconnect` and queues."""


def serve(
    event: Event,
    context: Any,
    *,
    rest: Mapping[str, Route] | None = None,
    socket: Mapping[str, SocketRoute] | None = None,
    direct: Mapping[str, Route] | None = None,
    lifecycle: Mapping[str, EventRoute] | None = None,
    queue: EventRoute | None = None,
) -> Any:
    """Answers one invocation.

    `rest` is keyed by method and path, `socket` by action, `direct` by `function_type`, `lifecycle` by route key.
    """
    started = time.monotonic()
    now = time.time_ns() // 1_000
    remaining = getattr(context, "get_remaining_time_in_millis", lambda: 30_000)() / 1_000
    deadline = started + max(0.5, min(PATIENCE_SECONDS, remaining - SPARE_SECONDS))
    request_context = cast(Mapping[str, Any], event.get("requestContext") or {})
    request_id = str(request_context.get("requestId") or getattr(context, "aws_request_id", None) or "none")
    logger.clear_state()
    logger.append_keys(request_id=request_id)
    route, outcome = "unknown", "internal"
    try:
        if "connectionId" in request_context:
            route = str(request_context.get("routeKey"))
            logger.append_keys(connection_id=request_context["connectionId"])
            if (on_lifecycle := (lifecycle or {}).get(route)) is not None:
                answer, outcome = _lifecycle_door(on_lifecycle, event, now)
            else:
                outcome = _socket_door(socket or {}, event, now, deadline)
                answer = {"statusCode": 200}
        elif "httpMethod" in event:
            route = f"{event['httpMethod']} {event.get('resource') or event.get('path')}"
            answer = _rest_door(rest or {}, route, event, now, deadline, request_id)
            outcome = str(answer["statusCode"])
        elif "Records" in event and queue is not None:
            route, answer = "queue", queue(event, now)
            outcome = f"{len(answer.get('batchItemFailures', []))} failed"
        else:
            route = "direct"
            answer = _direct_door(direct or {}, event, now, deadline, request_id)
            outcome = str(answer["statusCode"])
        return answer
    finally:
        elapsed = round((time.monotonic() - started) * 1_000, 1)
        logger.info("served", extra={"route": route, "outcome": outcome, "elapsed_ms": elapsed})
        flush()


def broadcast(event: Event) -> Broadcast:
    """The way to a booking's connections, from any event."""
    return Broadcast(connections(), poster(event))


def poster(event: Event) -> ConnectionsApi:
    """The @connections API that is configured, or that `event` came from."""
    return connections_api(settings.connections_endpoint(event))


def headers_of(event: Event) -> dict[str, str]:
    """The headers of a request or a `$connect`, their names in lower case."""
    given = cast(Mapping[str, str | None], event.get("headers") or {})
    return {name.lower(): value for name, value in given.items() if value is not None}


def query_of(event: Event) -> dict[str, str]:
    """The query string of a request or a `$connect`; raises `invalid_request` for NUL in it."""
    query = cast(Mapping[str, str], event.get("queryStringParameters") or {})
    _refuse_odd_text(dict(query))
    return dict(query)


def _rest_door(
    routes: Mapping[str, Route], route: str, event: Event, now: int, deadline: float, request_id: str
) -> dict[str, Any]:
    headers = headers_of(event)
    extra: dict[str, str] = {}
    try:
        if route.startswith("OPTIONS "):
            return _rest_answer(204, None, headers, request_id, _preflight(routes, route.partition(" ")[2]))
        handle = routes.get(route)
        if handle is None:
            raise Refusal("not_found", "There is no such resource")
        bearer = identity.of_rest(headers)
        fields = query_of(event) if event["httpMethod"] == "GET" else json_object(_body(event))
        status, body = handle(Request(fields, now, deadline, event, headers, bearer))
    except Refusal as refusal:
        status, body = refusal.status, _error_body(refusal, request_id)
        if refusal.retry_after_seconds is not None:
            extra["retry-after"] = str(refusal.retry_after_seconds)
    except Exception as error:
        status, body = 500, _error_body(_unexpected(error), request_id)
    return _rest_answer(status, body, headers, request_id, extra)


def _direct_door(
    routes: Mapping[str, Route], event: Event, now: int, deadline: float, request_id: str
) -> dict[str, Any]:
    try:
        _refuse_depth(event)
        fields = json_object(encode(event).decode())
        handle = routes.get(str(fields.get("function_type")))
        if handle is None:
            raise invalid("function_type", f"must be {' or '.join(routes)}")
        status, body = handle(Request(fields, now, deadline, event))
    except Refusal as refusal:
        status, body = refusal.status, _error_body(refusal, request_id)
    except UnicodeEncodeError:
        status, body = 400, _error_body(invalid("body", "holds a lone surrogate"), request_id)
    except Exception as error:
        status, body = 500, _error_body(_unexpected(error), request_id)
    return {"statusCode": status, "body": body}


def _lifecycle_door(handle: EventRoute, event: Event, now: int) -> tuple[dict[str, Any], str]:
    """API Gateway shows a client the status of a refused `$connect`, and nothing of its body."""
    try:
        answer = dict(handle(event, now))
        return answer, str(answer["statusCode"])
    except Refusal as refusal:
        return {"statusCode": refusal.status}, refusal.code
    except Exception as error:
        return {"statusCode": _unexpected(error).status}, "internal"


def _socket_door(routes: Mapping[str, SocketRoute], event: Event, now: int, deadline: float) -> str:
    connection_id = str(event["requestContext"]["connectionId"])
    connection: Connection | None = None
    try:
        connection = connections().get(connection_id)
        if connection is None:
            raise Refusal("not_found", "This connection is not known: connect again")
        logger.append_keys(booking_code=connection.booking_code)
        if connection.token_expired(now):
            raise Refusal("token_expired", "The token has expired: connect again with a new one")
        if event.get("isBase64Encoded"):
            raise Refusal("invalid_request", "Frames are JSON text, not binary")
        fields = json_object(str(event.get("body") or ""))
        envelope = _Envelope.parse(fields)
        handle = routes.get(envelope.action)
        if handle is None:
            raise invalid("action", "is not known")
        logger.append_keys(action=envelope.action)
        request = SocketRequest(connection, fields, envelope.id, now, deadline, event)
        request.party()
        handle(request)
        return "ok"
    except Refusal as refusal:
        said = refusal
    except Exception as error:
        said = _unexpected(error)
    booking_code = connection.booking_code if connection else None
    told = error_frame(said, booking_code, instants.to_text(now), frame_id(event))
    api = poster(event)
    api.post([(connection_id, encode(told))])
    if said.code == "not_found" and connection is None:
        api.close(connection_id)
    return said.code


def frame_id(event: Event) -> str | None:
    """The id of a client's frame, which an `error` repeats whatever else is wrong; None where it is not to be read."""
    try:
        given = json_object(str(event.get("body") or "")).get("id")
    except Refusal:
        return None
    return given if isinstance(given, str) and len(given) <= 64 and given.isascii() and given.isprintable() else None


def json_object(text: str) -> dict[str, Any]:
    """The JSON object in `text`; raises `too_large` or `invalid_request`.

    Refused as well: NaN and infinities (no JSON), lone surrogates and NUL (no text that could be given back), and what
    is nested deeper than 32 levels.
    """
    try:
        if len(text) > BODY_BYTES or len(text.encode()) > BODY_BYTES:
            raise Refusal("too_large", f"body: more than {BODY_BYTES} bytes")
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except UnicodeEncodeError:
        raise invalid("body", "holds a lone surrogate") from None
    except (ValueError, RecursionError):
        raise invalid("body", "is not valid JSON") from None
    if not isinstance(value, dict):
        raise invalid("body", "must be a JSON object")
    fields = cast(dict[str, Any], value)
    if text.count("[") + text.count("{") > NESTING:
        _refuse_depth(fields)
    if _ODD_ESCAPE.search(text):
        _refuse_odd_text(fields)
    return fields


def _refuse_depth(value: Any) -> None:
    """Raises `invalid_request` where `value` is nested too deeply; needs no recursion of its own to say so."""
    level = [value]
    for _ in range(NESTING):
        level = [inner for each in level for inner in _inside(each)]
    if any(isinstance(each, dict | list) for each in level):
        raise invalid("body", f"is nested more than {NESTING} levels deep")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(cast(dict[str, Any], value).values())
    return cast(list[Any], value) if isinstance(value, list) else []


def _refuse_odd_text(value: Any) -> None:
    """Raises `invalid_request` where a string inside `value` holds NUL or a lone surrogate."""
    try:
        if "\\u0000" in json.dumps(value) and _holds_nul(value):
            raise invalid("body", "holds a NUL character")
        encode({"": value})
    except UnicodeEncodeError:
        raise invalid("body", "holds a lone surrogate") from None


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        pairs = cast(dict[str, Any], value).items()
        return any("\0" in name or _holds_nul(inner) for name, inner in pairs)
    return isinstance(value, list) and any(_holds_nul(inner) for inner in cast(list[Any], value))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("the number is too large")
    return value


def _body(event: Event) -> str:
    body = str(event.get("body") or "")
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True).decode()
    except ValueError:
        raise invalid("body", "is not UTF-8") from None


def _preflight(routes: Mapping[str, Route], path: str) -> dict[str, str]:
    methods = [route.partition(" ")[0] for route in routes if route.endswith(f" {path}")]
    return {
        "access-control-allow-methods": ", ".join([*methods, "OPTIONS"]),
        "access-control-allow-headers": "authorization, content-type, idempotency-key, x-exclude-connection",
        "access-control-max-age": "7200",
    }


def cors(headers: Mapping[str, str]) -> dict[str, str]:
    """The CORS headers of an answer to a request with these headers (Fetch standard, section 3.2)."""
    allowed = settings.allowed_origins()
    if "*" in allowed:
        return {"access-control-allow-origin": "*"}
    origin = headers.get("origin", "")
    return {"vary": "Origin", **({"access-control-allow-origin": origin} if origin in allowed else {})}


def _rest_answer(
    status: int,
    body: Mapping[str, Any] | None,
    headers: Mapping[str, str],
    request_id: str,
    extra: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {
            **cors(headers),
            "access-control-expose-headers": "x-request-id, retry-after",
            "cache-control": "no-store",
            "content-type": "application/json; charset=utf-8",
            "strict-transport-security": "max-age=63072000",
            "x-content-type-options": "nosniff",
            "x-request-id": request_id,
            **extra,
        },
        "body": "" if body is None else encode(body).decode(),
    }


def _error_body(refusal: Refusal, request_id: str) -> dict[str, Any]:
    return {
        "error": {
            "code": refusal.code,
            "message": refusal.message,
            "details": refusal.details,
            "request_id": request_id,
        }
    }


def _unexpected(error: Exception) -> Refusal:
    """`internal`, after a log line that says where but not what: an exception's text may quote a message."""
    trace = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]
    logger.error("unexpected error", extra={"error_type": type(error).__name__, "trace": trace})
    return Refusal("internal", "Something went wrong here; it is not your request's fault")
