"""What a route gets: a request by REST or direct invocation, or a frame of a known connection; and who acts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from navietakie import settings
from navietakie.aws.gateway import connections_api
from navietakie.aws.tables.connections import Connection, connections
from navietakie.broadcast import Broadcast
from navietakie.domain import instants
from navietakie.domain.errors import Refusal, invalid
from navietakie.domain.frames import Addressed
from navietakie.domain.message import BookingCode, Fields, Label, Sender
from navietakie.domain.orders import NO_TOKEN, Rights
from navietakie.doors.identity import Identity
from navietakie.doors.lambda_event import LambdaEvent
from navietakie.observability import logger
from navietakie.wire.connections_api import ConnectionsApi


@dataclass(frozen=True, slots=True)
class Party:
    """Who acts in which booking, checked against the token if there is one. `iat`: when the token was issued."""

    booking_code: str
    sender: Sender
    sender_id: str | None
    iat: int | None = NO_TOKEN


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
    event: LambdaEvent
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    identity: Identity | None = None

    def party(self) -> Party:
        """Who acts, from `booking_code`, `sender` and `sender_id`; with a token its role and `sub` count instead."""
        claim = _Claim.parse(self.fields)
        logger.append_keys(booking_code=claim.booking_code)
        if self.identity is None:
            if claim.sender is None:
                raise invalid("sender", "Field required")
            logger.append_keys(role=claim.sender)
            return Party(claim.booking_code, claim.sender, claim.sender_id)
        self.identity.check(claim.booking_code, claim.sender)
        return Party(claim.booking_code, self.identity.role, self.identity.sub, self.identity.iat)

    def booking_code(self) -> str:
        """The booking that is asked about, allowed by the token where there is one."""
        booking_code = _Booking.parse(self.fields).booking_code
        logger.append_keys(booking_code=booking_code)
        if self.identity is not None:
            self.identity.check(booking_code)
        return booking_code

    def check_rights(self, rights: Rights) -> None:
        """Raises `unauthorized` where the token is revoked. Without tokens there is nothing to revoke."""
        if self.identity is not None:
            self.identity.check_rights(rights)

    def broadcast(self) -> Broadcast:
        """The way to the booking's connections."""
        return broadcast(self.event, self.deadline)


class _Booking(Fields):
    booking_code: BookingCode


@dataclass(frozen=True, slots=True)
class SocketRequest:
    """A frame that a known connection sent. `party`: who acts, as `party_of` decided it."""

    connection: Connection
    party: Party
    fields: Mapping[str, Any]
    id: str | None
    now: int
    deadline: float
    event: LambdaEvent

    def check_rights(self, rights: Rights) -> None:
        """Raises `unauthorized` where the connection's token is revoked."""
        rights.check_token(self.connection.sender, self.connection.iat)

    def broadcast(self) -> Broadcast:
        """The way to the booking's connections."""
        return broadcast(self.event, self.deadline)

    def addressed(self) -> Addressed:
        """What every reply to this frame has."""
        to: Addressed = {"booking_code": self.connection.booking_code, "ts": instants.to_text(self.now)}
        return to if self.id is None else {**to, "id": self.id}


def party_of(connection: Connection, fields: Mapping[str, Any]) -> Party:
    """Who acts in a frame: what `$connect` recorded. A frame that names another booking or role is refused."""
    for name, recorded in (("booking_code", connection.booking_code), ("sender", connection.sender)):
        if fields.get(name) not in (None, recorded):
            raise Refusal("forbidden", f"{name}: this connection belongs to another booking or role")
    return Party(connection.booking_code, connection.sender, connection.sender_id, connection.iat)


def broadcast(event: LambdaEvent, deadline: float = math.inf) -> Broadcast:
    """The way to a booking's connections, from any event; they are looked up until `deadline` (monotonic)."""
    return Broadcast(connections(), poster(event), deadline)


def poster(event: LambdaEvent) -> ConnectionsApi:
    """The @connections API that is configured, or that `event` came from."""
    return connections_api(settings.connections_endpoint(event))


def ready() -> None:
    """Makes the clients that nearly every request needs: the tables' and the poster."""
    broadcast({})
