"""What make_call answers: the body of a REST answer, and the `ack` that a connection gets."""

from typing import Literal, NotRequired, TypedDict

from make_call.ice import IceServer, Policy
from navietakie.domain.call import Call
from navietakie.domain.frames import Reply
from navietakie.doors.requests import SocketRequest


class MadeCall(TypedDict):
    """The call after an action. After `report` there are no ICE servers; after `report` and `ice` no `reached`."""

    call: Call
    ice_servers: NotRequired[list[IceServer]]
    ice_transport_policy: NotRequired[Policy]
    reached: NotRequired[int]


class CallAck(Reply, MadeCall):
    """The call action is done. After `report` there are no ICE servers; after `report` and `ice` no `reached`."""

    type: Literal["ack"]


def call_ack(request: SocketRequest, made: MadeCall) -> CallAck:
    """The `ack` of an act."""
    return {"v": 1, "type": "ack", **request.addressed(), **made}
