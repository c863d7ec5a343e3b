"""The errors that clients see, the same by REST, WebSocket and direct invocation."""

from collections.abc import Mapping
from typing import Any, Literal

Code = Literal[
    "invalid_request",
    "unauthorized",
    "token_expired",
    "forbidden",
    "muted",
    "refused_by_hook",
    "not_found",
    "idempotency_conflict",
    "illegal_transition",
    "call_in_progress",
    "booking_closed",
    "connection_replaced",
    "too_large",
    "rate_limited",
    "unavailable",
    "internal",
]

STATUS: Mapping[Code, int] = {
    "invalid_request": 400,
    "unauthorized": 401,
    "token_expired": 401,
    "forbidden": 403,
    "muted": 403,
    "refused_by_hook": 403,
    "not_found": 404,
    "idempotency_conflict": 409,
    "illegal_transition": 409,
    "call_in_progress": 409,
    "booking_closed": 409,
    "connection_replaced": 409,
    "too_large": 413,
    "rate_limited": 429,
    "unavailable": 503,
    "internal": 500,
}

SOCKET_ONLY: frozenset[Code] = frozenset({"connection_replaced"})
"""Codes that only a WebSocket gets, and not as the answer to a request."""
RETRYABLE: frozenset[Code] = frozenset({"rate_limited", "unavailable", "internal"})


class Refusal(Exception):
    """A request that is answered with an error.

    `message` is for people and names no secret, `details` for programs; `retry_after_ms` says how long to wait.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.details = dict(details or {})
        self.retry_after_ms = retry_after_ms

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return STATUS[self.code]

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code in RETRYABLE

    @property
    def retry_after_seconds(self) -> int | None:
        """The value of `Retry-After`: whole seconds, rounded up, at least one (RFC 9110, section 10.2.3)."""
        return None if self.retry_after_ms is None else max(1, -(-self.retry_after_ms // 1000))


def invalid(field: str, problem: str) -> Refusal:
    """A field that is missing or malformed; the answer names it."""
    return Refusal("invalid_request", f"{field}: {problem}", details={"field": field})


def unavailable(what: str, retry_after_ms: int = 1_000) -> Refusal:
    """Something that the request needs does not answer.

    Nothing was stored as far as the function knows. If only the answer to its write was lost, it may be stored: the
    client sends again with the same id, and it is stored once.
    """
    return Refusal("unavailable", f"{what} is not available at the moment", retry_after_ms=retry_after_ms)
