"""Cursors: a position in one booking's history or call log, opaque to clients.

A cursor gives no permission. It names a position, and is refused for another booking.
"""

import base64
import hashlib

from navietakie.domain import instants
from navietakie.domain.errors import invalid


def encode(booking_code: str, timestamp: str) -> str:
    """The cursor for the position after the item at `timestamp`."""
    position = instants.from_text(timestamp).to_bytes(8)
    return base64.urlsafe_b64encode(position + _tag(booking_code, position)).decode().rstrip("=")


def decode(booking_code: str, cursor: str) -> str:
    """The timestamp in a cursor of this booking; raises `invalid_request` for anything else."""
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position, tag = raw[:8], raw[8:]
        if tag == _tag(booking_code, position):
            return instants.to_text(int.from_bytes(position))
    except (ValueError, OverflowError):
        pass
    raise invalid("cursor", "is not a cursor of this booking")


def _tag(booking_code: str, position: bytes) -> bytes:
    return hashlib.sha256(position + booking_code.encode()).digest()[:8]
