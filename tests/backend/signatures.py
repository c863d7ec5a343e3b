"""The signature that proxy mode puts on everything it forwards, as a backend checks it."""

import hashlib
import hmac
import re
from collections.abc import Iterable

TOLERANCE_SECONDS = 300
"""The highest age of an event, in seconds. For so long the backend has to remember which events it has had."""

_HEADER = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})", re.ASCII)


class NotGenuine(Exception):
    """The request is not from the proxy, was signed for something else, or is too old."""


def check(
    header: str, secrets: Iterable[str], *, path: str, connection_id: str, event_id: str, body: bytes, now: float
) -> None:
    """Raises NotGenuine unless one of `secrets` (the current one, and the one before it) has signed all of this.

    `now` in seconds since 1970; `path` and `body` as they came, before anything has decoded them.
    """
    read = _HEADER.fullmatch(header)
    if read is None:
        raise NotGenuine("not a signature")
    if "." in connection_id + event_id:  # the dot separates the fields; no id of API Gateway has one
        raise NotGenuine("not an id")
    t, given = read.groups()
    signed = f"{t}.{path}.{connection_id}.{event_id}.".encode() + body
    expected = (hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets)
    if not any(hmac.compare_digest(each, given) for each in expected):
        raise NotGenuine("signed by somebody else")
    if abs(now - int(t)) > TOLERANCE_SECONDS:
        raise NotGenuine("too old")
