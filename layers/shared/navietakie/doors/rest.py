"""REST as API Gateway's proxy integration speaks it: what is in its events, and how they are answered."""

import base64
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypedDict

from navietakie import settings
from navietakie.domain.errors import Code, Refusal, invalid
from navietakie.domain.frames import encode
from navietakie.domain.parsing import NAME_CHARACTERS, json_object
from navietakie.doors import identity
from navietakie.doors.budget import Budget
from navietakie.doors.failures import refusal_of
from navietakie.doors.lambda_event import LambdaEvent, headers_of, query_of
from navietakie.doors.requests import Request

Response = tuple[int, Mapping[str, object]]
"""An HTTP status and the body: JSON, but for models, which are written as their fields. Each route names its own."""
Route = Callable[[Request], Response]


class Problem(TypedDict):
    """Why a request was refused."""

    code: Code
    message: str
    details: dict[str, Any]
    request_id: str


class Error(TypedDict):
    """A refused request."""

    error: Problem


class GatewayResponse(TypedDict):
    """What the function returns to API Gateway."""

    statusCode: int
    headers: dict[str, str]
    body: str


def route_of(event: LambdaEvent, routes: Iterable[str]) -> str:
    """Method and path of a request; where its resource is a greedy one (`/{proxy+}`), the path that was asked for."""
    resource, path = str(event.get("resource") or ""), str(event.get("path") or "").rstrip("/")
    paths = {route.partition(" ")[2] for route in routes}
    known = path if resource not in paths and path in paths else resource or path
    return f"{event['httpMethod']} {known}"


def respond(
    routes: Mapping[str, Route],
    repeatable: Collection[str],
    budget: Budget,
    route: str,
    event: LambdaEvent,
    now: int,
    deadline: float,
    request_id: str,
) -> GatewayResponse:
    headers: dict[str, str] = {}
    extra: dict[str, str] = {}
    try:
        headers = headers_of(event)
        if route.startswith("OPTIONS "):
            return _response(204, None, headers, request_id, _preflight(routes, route.partition(" ")[2]))
        handle = routes.get(route)
        if handle is None:
            raise Refusal("not_found", "There is no such resource")
        bearer = identity.of_rest(headers)
        fields = query_of(event, repeatable) if event["httpMethod"] == "GET" else json_object(_body_of(event))
        with budget.taken(route, fields, *_asker(event, fields, bearer), now):
            status, body = handle(Request(fields, now, deadline, event, headers, bearer))
    except Exception as error:
        refusal = refusal_of(error)
        status, body = refusal.status, error_body(refusal, request_id)
        if refusal.retry_after_seconds is not None:
            extra["Retry-After"] = str(refusal.retry_after_seconds)
    return _response(status, body, headers, request_id, extra)


def _asker(event: LambdaEvent, fields: Mapping[str, Any], bearer: identity.Identity | None) -> tuple[str, str]:
    """Whose budget a request takes from: a booking and a role. Without tokens, those that it names itself."""
    if bearer is not None:
        return bearer.booking_code, bearer.role
    role = fields.get("sender") if event["httpMethod"] != "GET" else None  # of a page it is a filter
    return str(fields.get("booking_code"))[:NAME_CHARACTERS], str(role)[:NAME_CHARACTERS]


def _body_of(event: LambdaEvent) -> str:
    """The body of a request as text; raises `invalid_request` for one that is not UTF-8."""
    body = str(event.get("body") or "")
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True).decode()
    except ValueError:
        raise invalid("body", "is not UTF-8") from None


def _preflight(routes: Iterable[str], path: str) -> dict[str, str]:
    """The headers that answer a preflight of `path`; `routes` are "METHOD path"."""
    methods = [route.partition(" ")[0] for route in routes if route.endswith(f" {path}")]
    return {
        "Access-Control-Allow-Methods": ", ".join([*methods, "OPTIONS"]),
        "Access-Control-Allow-Headers": (
            "authorization, content-type, idempotency-key, x-exclude-connection, traceparent, tracestate, baggage"
        ),
        "Access-Control-Max-Age": "7200",
    }


def _cors(headers: Mapping[str, str]) -> dict[str, str]:
    """The CORS headers of an answer to a request with these headers (Fetch standard, section 3.2)."""
    allowed = settings.allowed_origins()
    if "*" in allowed:
        return {"Access-Control-Allow-Origin": "*"}
    origin = headers.get("origin", "")
    return {"Vary": "Origin", **({"Access-Control-Allow-Origin": origin} if origin in allowed else {})}


def _response(
    status: int,
    body: Mapping[str, object] | None,
    headers: Mapping[str, str],
    request_id: str,
    extra: Mapping[str, str],
) -> GatewayResponse:
    """What the function returns: the answer to a request with these `headers`, with `extra` ones of its own."""
    return {
        "statusCode": status,
        "headers": {
            **_cors(headers),
            "Access-Control-Expose-Headers": "x-request-id, Retry-After",
            "Cache-Control": "no-store",
            "Content-Type": "application/json; charset=utf-8",
            "Strict-Transport-Security": "max-age=63072000",
            "X-Content-Type-Options": "nosniff",
            "x-request-id": request_id,
            **extra,
        },
        "body": "" if body is None else encode(body).decode(),
    }


def error_body(refusal: Refusal, request_id: str) -> Error:
    """The body of an error, by REST and by direct invocation; the latter has no header to say how long to wait."""
    wait = {} if refusal.retry_after_ms is None else {"retry_after_ms": refusal.retry_after_ms}
    return {
        "error": {
            "code": refusal.code,
            "message": refusal.message,
            "details": {**refusal.details, **wait},
            "request_id": request_id,
        }
    }
