"""The answer to a ping: how things stand, so that a client sees what it has missed."""

from typing import Literal, TypedDict

from navietakie.aws.tables.connections import Connection, Presence, presence
from navietakie.domain import instants
from navietakie.domain.call import Call, State
from navietakie.domain.conversation import Head, Receipts
from navietakie.domain.frames import Reply
from navietakie.domain.orders import BookingState
from navietakie.doors.requests import SocketRequest


class CallGlance(TypedDict):
    """The latest call in short: enough to see whether a client has missed a change."""

    call_id: str
    state: State
    version: int
    ring_ms_left: int | None


class Pong(Reply):
    """The state of the booking. A client that sees that it has missed something syncs."""

    type: Literal["pong"]
    head_seq: int
    epoch: str | None
    receipts: Receipts
    call: CallGlance | None
    presence: Presence
    booking: BookingState
    away: bool
    server_time: str
    connection_id: str


def pong(request: SocketRequest, head: Head, call: Call | None, here: list[Connection]) -> Pong:
    """The answer, from the head, the latest call, and the connections that are not revoked."""
    own = request.connection
    return {
        "v": 1,
        "type": "pong",
        **request.addressed(),
        "head_seq": head.seq,
        "epoch": head.epoch,
        "receipts": head.receipts,
        "call": glance(call) if call else None,
        "presence": presence(here, own),
        "booking": head.rights.booking,
        "away": own.away,
        "server_time": instants.to_text(request.now),
        "connection_id": own.connection_id,  # for X-Exclude-Connection; nothing else tells a client its own
    }


def glance(call: Call) -> CallGlance:
    """What a pong shows of a call."""
    return {
        "call_id": call.call_id,
        "state": call.state,
        "version": call.version,
        "ring_ms_left": call.ring_ms_left,
    }
