"""REST as API Gateway's proxy integration speaks it: what is in its events, and how they are answered."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any, cast

from navietakie import settings
from navietakie.errors import Refusal, invalid
from navietakie.frames import encode
from navietakie.parsing import refuse_odd_text

Event = Mapping[str, Any]
"""What Lambda hands to a function."""


def headers_of(event: Event) -> dict[str, str]:
    """The headers of a request or a `$connect`, their names in lower case."""
    given = cast(Mapping[str, str | None], event.get("headers") or {})
    return {name.lower(): value for name, value in given.items() if value is not None}


def query_of(event: Event) -> dict[str, str]:
    """The query string of a request or a `$connect`; raises `invalid_request` for NUL in it."""
    query = cast(Mapping[str, str], event.get("queryStringParameters") or {})
    refuse_odd_text(dict(query))
    return dict(query)


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


def error_body(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """The body of an error, by REST and by direct invocation."""
    return {
        "error": {
            "code": refusal.code,
            "message": refusal.message,
            "details": refusal.details,
            "request_id": request_id,
        }
    }
