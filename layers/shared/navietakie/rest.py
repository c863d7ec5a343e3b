"""REST as API Gateway's proxy integration speaks it: what is in its events, and how they are answered."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from navietakie import settings
from navietakie.errors import Refusal, invalid
from navietakie.frames import encode
from navietakie.parsing import refuse_odd_text

Event = Mapping[str, Any]
"""What Lambda hands to a function."""


def headers_of(event: Event) -> dict[str, str]:
    """The headers of a request or a `$connect`, their names in lower case."""
    return {name.lower(): value for name, value in _pairs(event, "headers", "multiValueHeaders")}


def query_of(event: Event) -> dict[str, str]:
    """The query string of a request or a `$connect`; raises `invalid_request` for NUL in it."""
    query = dict(_pairs(event, "queryStringParameters", "multiValueQueryStringParameters"))
    refuse_odd_text(query)
    return query


def _pairs(event: Event, single: str, multiple: str) -> Iterator[tuple[str, str]]:
    """Names and values; where a name has several the last, as API Gateway has it, which sends them in both ways."""
    for name, values in _mapping(event, multiple).items():
        if isinstance(values, list) and values:
            yield name, str(cast(list[Any], values)[-1])
    for name, value in _mapping(event, single).items():
        if value is not None:
            yield name, str(value)


def _mapping(event: Event, name: str) -> Mapping[str, Any]:
    value: Any = event.get(name) or {}
    if not isinstance(value, Mapping):
        raise invalid(name, "Input should be an object")
    return cast(Mapping[str, Any], value)


def body_of(event: Event) -> str:
    """The body of a request as text; raises `invalid_request` for one that is not UTF-8."""
    body = str(event.get("body") or "")
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True).decode()
    except ValueError:
        raise invalid("body", "is not UTF-8") from None


def preflight(routes: Iterable[str], path: str) -> dict[str, str]:
    """The headers that answer a preflight of `path`; `routes` are "METHOD path"."""
    methods = [route.partition(" ")[0] for route in routes if route.endswith(f" {path}")]
    return {
        "Access-Control-Allow-Methods": ", ".join([*methods, "OPTIONS"]),
        "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, x-exclude-connection",
        "Access-Control-Max-Age": "7200",
    }


def cors(headers: Mapping[str, str]) -> dict[str, str]:
    """The CORS headers of an answer to a request with these headers (Fetch standard, section 3.2)."""
    allowed = settings.allowed_origins()
    if "*" in allowed:
        return {"Access-Control-Allow-Origin": "*"}
    origin = headers.get("origin", "")
    return {"Vary": "Origin", **({"Access-Control-Allow-Origin": origin} if origin in allowed else {})}


def answer(
    status: int,
    body: Mapping[str, Any] | None,
    headers: Mapping[str, str],
    request_id: str,
    extra: Mapping[str, str],
) -> dict[str, Any]:
    """What the function returns: the answer to a request with these `headers`, with `extra` ones of its own."""
    return {
        "statusCode": status,
        "headers": {
            **cors(headers),
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


def error_body(refusal: Refusal, request_id: str) -> dict[str, Any]:
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
