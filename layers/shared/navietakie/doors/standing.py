"""How a booking stands, as `pong` and the last frame of a `sync` tell it: two requests that are made at once."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypedDict

from navietakie import beside
from navietakie.aws.tables.calls import CallStore
from navietakie.aws.tables.connections import Connection, ConnectionStore, Presence, presence, without_revoked
from navietakie.aws.tables.dynamo import Contended
from navietakie.domain.call import Call
from navietakie.domain.conversation import Head, Receipts
from navietakie.domain.errors import unavailable
from navietakie.domain.orders import BookingState
from navietakie.doors.requests import SocketRequest
from navietakie.retrying import tries


class StandingFields(TypedDict):
    """How things stand, as a `pong` and the last frame of a `sync` tell it."""

    presence: Presence
    receipts: Receipts
    booking: BookingState


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the conversation stands, the latest call as readers see it, and every row of a connection."""

    head: Head
    call: Call | None
    rows: Sequence[Connection]

    def fields_for(self, own: Connection, now: int) -> StandingFields:
        """What `own`, the connection that asks, is told."""
        here = [row for row in self.rows if row.receives(now)]
        return {
            "presence": presence(without_revoked(here, self.head.rights), own),
            "receipts": self.head.receipts,
            "booking": self.head.rights.booking,
        }


def standing(request: SocketRequest, calls: CallStore, connections: ConnectionStore) -> Standing:
    """How the booking of a connection stands; raises `unauthorized` where its token is revoked, or `unavailable`."""
    booking_code, now = request.connection.booking_code, request.now
    rows = beside.start(partial(connections.of_booking, booking_code, now, expired=True))
    for _ in tries(request.deadline):
        with suppress(Contended):
            head, call = calls.with_head(booking_code, now)
            request.check_rights(head.rights)
            return Standing(head, call, rows.result())
    raise unavailable("The booking")
