"""What a route is asked: by REST or direct invocation, or by a frame of a known connection; and by whom."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from navietakie import instants, settings
from navietakie.broadcast import Broadcast, connections_api
from navietakie.errors import Refusal, invalid
from navietakie.frames import Frame, frame
from navietakie.identity import Identity
from navietakie.message import BookingCode, Fields, Label, Sender
from navietakie.observability import logger
from navietakie.posting import ConnectionsApi
from navietakie.rest import Event
from navietakie.tables.connections import Connection, connections


@dataclass(frozen=True, slots=True)
class Party:
    """Who acts in which booking, checked against the token where there is one."""

    booking_code: str
    sender: Sender
    sender_id: str | None


class _Claim(Fields):
    booking_code: BookingCode
    sender: Sender | None = None
    sender_id: Label | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request by REST or by direct invocation. `now` in microseconds; `deadline` on the monotonic clock."""

    fields: Mapping[str, Any]
    now: int
    deadline: float
    event: Event
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    identity: Identity | None = None

    def party(self) -> Party:
        """Who acts, from `booking_code`, `sender` and `sender_id`; with a token its role and `sub` are what counts."""
        claim = _Claim.parse(self.fields)
        logger.append_keys(booking_code=claim.booking_code)
        if self.identity is None:
            if claim.sender is None:
                raise invalid("sender", "Field required")
            return Party(claim.booking_code, claim.sender, claim.sender_id)
        self.identity.check(claim.booking_code, claim.sender)
        return Party(claim.booking_code, self.identity.role, self.identity.sub)

    def booking_code(self) -> str:
        """The booking that is asked about, allowed by the token where there is one."""
        booking_code = _Booking.parse(self.fields).booking_code
        logger.append_keys(booking_code=booking_code)
        if self.identity is not None:
            self.identity.check(booking_code)
        return booking_code

    def broadcast(self) -> Broadcast:
        """The way to the booking's connections."""
        return broadcast(self.event, self.deadline)


class _Booking(Fields):
    booking_code: BookingCode


@dataclass(frozen=True, slots=True)
class SocketRequest:
    """A frame that a known connection sent."""

    connection: Connection
    fields: Mapping[str, Any]
    id: str | None
    now: int
    deadline: float
    event: Event

    def party(self) -> Party:
        """Who acts: what `$connect` recorded. A frame that names another booking or role is refused."""
        own = self.connection
        for name, recorded in (("booking_code", own.booking_code), ("sender", own.sender)):
            if self.fields.get(name) not in (None, recorded):
                raise Refusal("forbidden", f"{name}: the connection is another's")
        return Party(own.booking_code, own.sender, own.sender_id)

    def broadcast(self) -> Broadcast:
        """The way to the booking's connections."""
        return broadcast(self.event, self.deadline)

    def answer(self, type: str, **fields: Any) -> Frame:
        """A frame that answers this one."""
        return frame(type, self.connection.booking_code, instants.to_text(self.now), id=self.id, **fields)


def broadcast(event: Event, deadline: float = math.inf) -> Broadcast:
    """The way to a booking's connections, from any event; they are looked up until `deadline` (monotonic)."""
    return Broadcast(connections(), poster(event), deadline)


def poster(event: Event) -> ConnectionsApi:
    """The @connections API that is configured, or that `event` came from."""
    return connections_api(settings.connections_endpoint(event))
