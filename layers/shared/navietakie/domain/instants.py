"""Instants: integers of microseconds since 1970 inside, RFC 3339 text with six digits and `Z` outside.

The text has one length, so that its order is the order of time (RFC 3339, section 5.1).
"""

import contextlib
import re
from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
DAY = 86_400 * SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


def to_text(instant: int) -> str:
    """The instant as text, `2026-01-31T08:00:00.000001Z`."""
    return (_EPOCH + timedelta(microseconds=instant)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> int:
    """The instant that `text` names; ValueError unless it is written exactly as `to_text` writes it."""
    if not _TEXT.fullmatch(text):
        raise ValueError("a timestamp looks like 2026-01-31T08:00:00.000000Z")
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def normalized(text: str) -> str:
    """Any RFC 3339 timestamp as `to_text` writes it, 1970 for an earlier one; ValueError for any other text."""
    if _RFC3339.fullmatch(text):
        with contextlib.suppress(ValueError, OverflowError):  # no such day; in UTC later than any datetime
            return to_text(max(0, (datetime.fromisoformat(text.upper()) - _EPOCH) // timedelta(microseconds=1)))
    raise ValueError("a timestamp looks like 2026-01-31T08:00:00.000000Z")


def expiry(instant: int, retention_days: int) -> int:
    """When what was stored at `instant` expires, in seconds since 1970."""
    return to_seconds(instant + retention_days * DAY)


def to_seconds(instant: int) -> int:
    """Whole seconds since 1970, rounded down: what DynamoDB's TTL and JWT's `exp` count in."""
    return instant // SECOND
