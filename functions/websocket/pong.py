"""The answer to a ping: how things stand, so that a client sees what it has missed."""

from typing import Literal, TypedDict

from navietakie.domain import instants
from navietakie.domain.call import Call, State
from navietakie.domain.frames import Reply
from navietakie.doors.requests import SocketRequest
from navietakie.doors.standing import Standing, StandingFields


class CallGlance(TypedDict):
    """The latest call in short: enough to see whether a client has missed a change."""

    call_id: str
    state: State
    version: int
    ring_ms_left: int | None


class Pong(Reply, StandingFields):
    """The state of the booking. A client that sees that it has missed something syncs."""

    type: Literal["pong"]
    head_seq: int
    epoch: str | None
    call: CallGlance | None
    away: bool
    server_time: str
    connection_id: str


def pong(request: SocketRequest, found: Standing) -> Pong:
    """The answer, from how the booking stands."""
    own, head = request.connection, found.head
    return {
        "v": 1,
        "type": "pong",
        **request.addressed(),
        "head_seq": head.seq,
        "epoch": head.epoch,
        "call": glance(found.call) if found.call else None,
        **found.fields_for(own, request.now),
        "away": own.away,
        "server_time": instants.to_text(request.now),
        "connection_id": own.connection_id,  # for X-Exclude-Connection; a client learns it here alone
    }


def glance(call: Call) -> CallGlance:
    """What a pong shows of a call."""
    return {
        "call_id": call.call_id,
        "state": call.state,
        "version": call.version,
        "ring_ms_left": call.ring_ms_left,
    }
