"""The doors of websocket: connections that come and go, typing, away and pings; in proxy mode a backend does it all."""

from typing import Any

from navietakie import settings, warm
from navietakie.aws.tables.calls import calls
from navietakie.aws.tables.connections import connections
from navietakie.aws.tables.messages import messages
from navietakie.aws.timers import timers
from navietakie.broadcast import all_but
from navietakie.domain import instants
from navietakie.domain.message import Fields
from navietakie.doors import identity, lambda_event, requests
from navietakie.doors.budget import Budget
from navietakie.doors.lambda_event import LambdaEvent
from navietakie.doors.requests import SocketRequest
from navietakie.doors.serve import serve
from navietakie.doors.standing import standing
from navietakie.doors.websocket import LifecycleResponse
from navietakie.observability import logger
from websocket.handshake import bearer_of, selected_subprotocol
from websocket.pong import pong
from websocket.presence import Attendance, check_origin, connection, look_for_other_side, typing_frame

budget = Budget({"$connect": 4, "typing": 1, "away": 1, "ping": 1})


def ready() -> None:
    """Makes what the first request of this mode needs."""
    if settings.optional("BACKEND_URL"):
        from websocket import proxy

        proxy.ready()
    else:
        requests.ready()


warm.ready(ready, identity.ready)


def handler(event: LambdaEvent, context: Any) -> Any:
    """The Lambda handler."""
    if settings.optional("BACKEND_URL"):
        from websocket import proxy

        return proxy.forward(event, context)
    return serve(
        event,
        context,
        lifecycle={"$connect": on_connect, "$disconnect": on_disconnect},
        socket={"typing": on_typing, "away": on_away, "ping": on_ping},
        budget=budget,
    )


def on_connect(event: LambdaEvent, now: int) -> LifecycleResponse:
    """Lets a client in, or refuses it with 400, 401 or 403."""
    headers, query = lambda_event.headers_of(event), lambda_event.query_of(event)
    check_origin(headers.get("origin"), settings.allowed_origins())
    bearer = bearer_of(headers, query)
    joining = connection(event["requestContext"]["connectionId"], query, bearer, now)
    logger.append_keys(booking_code=joining.booking_code, role=joining.sender)
    budget.take("$connect", query, joining.booking_code, joining.sender, now)
    limit = int(settings.number("CONNECTIONS_PER_SIDE", 10))
    Attendance(connections(), requests.broadcast(event)).join(joining, now, messages(), limit)
    return {"statusCode": 200, "headers": selected_subprotocol(headers)}


def on_disconnect(event: LambdaEvent, now: int) -> LifecycleResponse:
    """Forgets a client that has left."""
    connection_id = event["requestContext"]["connectionId"]
    Attendance(connections(), requests.broadcast(event)).leave(connection_id, now, calls(), timers)
    return {"statusCode": 200}


class Typing(Fields):
    """Whether the sender is typing."""

    on: bool


def on_typing(request: SocketRequest) -> None:
    """Tells the others."""
    own, on, broadcast = request.connection, Typing.parse(request.fields).on, request.broadcast()
    broadcast.gather(own.booking_code, request.now)
    rights = messages().head(own.booking_code).rights
    request.check_rights(rights)
    rights.check_open()
    rights.check_not_muted(own.sender)
    broadcast.to_booking(
        own.booking_code,
        typing_frame(own, instants.to_text(request.now), on=on),
        request.now,
        to=all_but(own.connection_id),
        rights=rights,
    )


class Away(Fields):
    """Whether the sender's app is in the background."""

    on: bool


def on_away(request: SocketRequest) -> None:
    """Stores it, and tells the others if the side becomes present or absent. The later of two frames counts."""
    away, own = Away.parse(request.fields).on, request.connection
    at = int(request.event["requestContext"].get("requestTimeEpoch") or request.now // 1_000)
    rights = messages().head(own.booking_code).rights
    request.check_rights(rights)
    Attendance(connections(), request.broadcast()).set_away(own, rights, away=away, at=at, now=request.now)


def on_ping(request: SocketRequest) -> None:
    """Answers with the state of the booking, so that a client sees what it has missed."""
    own, now, broadcast = request.connection, request.now, request.broadcast()
    found = standing(request, calls(), connections())
    broadcast.to_connection(own, pong(request, found), now)
    if found.call is not None:
        look_for_other_side(found.call, own, found.rows, now, timers)
