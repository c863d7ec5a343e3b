"""The doors of make_call."""

from typing import Any, NoReturn

from navietakie import doors
from navietakie.doors import Event, Request, SocketRequest
from navietakie.errors import unavailable


def handler(event: Event, context: Any) -> Any:
    """The Lambda handler."""
    return doors.serve(
        event,
        context,
        rest={"POST /api/v1/make_call": refuse, "GET /api/v1/calls": refuse},
        socket={"call": refuse, "signal": refuse},
        direct={"make_call": refuse},
    )


def refuse(_: Request | SocketRequest) -> NoReturn:
    """Calls do not work yet."""
    raise unavailable("Calling")
