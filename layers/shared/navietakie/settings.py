"""The environment variables of the functions, read when they are used and named when they are missing."""

import os
from collections.abc import Mapping
from typing import Any

from navietakie.domain.errors import Refusal


def required(*names: str) -> str:
    """The first of the variables `names` that is set; raises `internal` that names them when none is."""
    for name in names:
        if value := os.environ.get(name):
            return value
    raise Refusal("internal", f"The function is not configured: {' or '.join(names)} is not set")


def optional(name: str, default: str = "") -> str:
    """The variable `name`, or `default` where it is missing or empty."""
    return os.environ.get(name) or default


def number(name: str, default: float) -> float:
    """The variable `name` as a number; raises `internal` that names it when it is none."""
    text = optional(name, str(default))
    try:
        return float(text)
    except ValueError:
        raise Refusal("internal", f"The function is not configured: {name} is not a number") from None


def environment() -> str:
    """`local`, `staging` or `production`."""
    return required("ENVIRONMENT")


def initialization() -> str:
    """How Lambda starts this container: `on-demand`, `provisioned-concurrency` or `snap-start`; empty elsewhere."""
    return optional("AWS_LAMBDA_INITIALIZATION_TYPE")


def auth_mode() -> str:
    """`jwt` or `none`. Outside the local environment it is always `jwt`, whatever the variable says."""
    if environment() != "local":
        return "jwt"
    return optional("AUTH_MODE", "none")


def allowed_origins() -> frozenset[str]:
    """The origins that browsers may call from. `*` means any, and counts in the local environment alone."""
    local = optional("ENVIRONMENT") == "local"
    listed = optional("ALLOWED_ORIGINS", "*" if local else "").split(",")
    return frozenset(origin for entry in listed if (origin := entry.strip()) and (local or origin != "*"))


def retention_days() -> int:
    """How long messages and ended calls are kept."""
    return int(number("RETENTION_DAYS", 90))


def connections_endpoint(event: Mapping[str, Any] | None = None) -> str:
    """The https base of @connections: the configured one, else that of the WebSocket event at hand."""
    if configured := optional("WEBSOCKET_ENDPOINT") or optional("API_GATEWAY_ENDPOINT"):
        return configured.rstrip("/")
    context = (event or {}).get("requestContext", {})
    if {"connectionId", "domainName", "stage"} <= context.keys():
        return f"https://{context['domainName']}/{context['stage']}"
    return required("WEBSOCKET_ENDPOINT", "API_GATEWAY_ENDPOINT")
