"""Every key of the three tables, and when items expire.

Sort keys that begin with `#` come before every timestamp: they are bookkeeping.
"""

from collections.abc import Mapping
from typing import Any, Final

from navietakie.domain import instants

Item = dict[str, Any]
"""An item or a key as DynamoDB's low-level API takes it: `{"name": {"S": "value"}}`."""

HEAD: Final = "#head"
LIVE: Final = "#live"
FIRST_TIMESTAMP: Final = "0"
"""A lower bound of all timestamps. Bookkeeping keys sort before it."""

CONNECTIONS_OF_BOOKING: Final = "booking_code-index"


def in_booking(booking_code: str, sort_key: str) -> Item:
    """The key of an item in the messages or the calls table."""
    return {"booking_code": {"S": booking_code}, "timestamp": {"S": sort_key}}


def marker(sender: str, client_message_id: str) -> str:
    """The sort key that stands for "this sender's message with this id is stored"."""
    return f"#id#{sender}#{client_message_id}"


def just_before(timestamp: str | None) -> str:
    """An upper bound just below `timestamp`; without a timestamp one above all of them."""
    return timestamp[:-1] if timestamp else ":"  # without its `Z` it sorts just before; ":" sorts after every digit


def has_expired(item: Mapping[str, Any], now: int) -> bool:
    """Whether its `expires_at` has come. DynamoDB may delete the item days later; one without it never expires."""
    return "expires_at" in item and int(item["expires_at"].get("N", "0")) <= instants.to_seconds(now)


def connection(connection_id: str) -> Item:
    """The key of an item in the connections table."""
    return {"connection_id": {"S": connection_id}}
