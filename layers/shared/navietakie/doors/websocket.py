"""WebSocket: frames of known connections, and connections that come and go."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NotRequired, TypedDict, cast

from navietakie.aws.tables.connections import Connection, connections
from navietakie.domain import instants
from navietakie.domain.errors import Refusal, invalid
from navietakie.domain.frames import encode, error_frame
from navietakie.domain.message import ClientId, Fields
from navietakie.domain.parsing import json_object
from navietakie.doors import requests
from navietakie.doors.budget import Budget
from navietakie.doors.failures import refusal_of
from navietakie.doors.lambda_event import LambdaEvent
from navietakie.doors.requests import SocketRequest
from navietakie.observability import logger

SENT_BYTES: Final = 128 * 1024
"""API Gateway lets in no longer message over a WebSocket (its quotas)."""

SocketRoute = Callable[[SocketRequest], None]


class LifecycleResponse(TypedDict):
    """What API Gateway is told of a `$connect` or a `$disconnect`."""

    statusCode: int
    headers: NotRequired[dict[str, str]]


LifecycleRoute = Callable[[LambdaEvent, int], LifecycleResponse]
"""Takes the whole event and the time: for `$connect` and `$disconnect`."""


class _Envelope(Fields):
    id: ClientId | None = None
    action: str


def respond(routes: Mapping[str, SocketRoute], budget: Budget, event: LambdaEvent, now: int, deadline: float) -> str:
    connection_id = str(event["requestContext"]["connectionId"])
    connection: Connection | None = None
    try:
        connection = connections().get_maybe_stale(connection_id)
        if connection is None:
            raise Refusal("not_found", "This connection is not known: connect again")
        logger.append_keys(booking_code=connection.booking_code, role=connection.sender, who=connection.who)
        if connection.token_expired(now):
            raise Refusal("token_expired", "The token has expired: connect again with a new one")
        asker = connection.booking_code, connection.sender
        try:
            envelope, fields = _read(event)
        except Refusal:
            budget.take("", {}, *asker, now)
            raise
        with budget.taken(envelope.action, fields, *asker, now):
            handle = routes.get(envelope.action)
            if handle is None:
                raise invalid("action", "is not known")
            logger.append_keys(action=envelope.action)
            party = requests.party_of(connection, fields)
            handle(SocketRequest(connection, party, fields, envelope.id, now, deadline, event))
        return "ok"
    except Exception as error:
        refusal = refusal_of(error)
    booking_code = connection.booking_code if connection else None
    answer = error_frame(refusal, booking_code, instants.to_text(now), frame_id(event))
    api = requests.poster(event)
    api.post([(connection_id, encode(answer))])
    if refusal.code == "not_found" and connection is None:
        api.close(connection_id)
    return refusal.code


def _read(event: LambdaEvent) -> tuple[_Envelope, dict[str, Any]]:
    if event.get("isBase64Encoded"):
        raise Refusal("invalid_request", "Frames are JSON text, not binary")
    fields = json_object(str(event.get("body") or ""))
    return _Envelope.parse(fields), fields


def respond_lifecycle(handle: LifecycleRoute, event: LambdaEvent, now: int) -> tuple[LifecycleResponse, str]:
    """API Gateway shows a client the status of a refused `$connect`, and nothing of its body."""
    try:
        answer = handle(event, now)
        return answer, str(answer["statusCode"])
    except Exception as error:
        refusal = refusal_of(error)
        return {"statusCode": refusal.status}, refusal.code


def route_key(event: LambdaEvent) -> str:
    """The route of a WebSocket event. A frame is a frame, even if its action is `$connect` or `$disconnect`."""
    context = cast(Mapping[str, Any], event.get("requestContext", {}))
    key = str(context.get("routeKey"))
    return "$default" if context.get("eventType") == "MESSAGE" and key.startswith("$") else key


def frame_id(event: LambdaEvent) -> str | None:
    """The id of a client's frame, which an `error` repeats whatever else is wrong; None where it is not to be read."""
    text = str(event.get("body") or "")
    try:
        frame = json.loads(text if len(text) <= SENT_BYTES else "")
    except (ValueError, RecursionError):
        return None
    given = cast(LambdaEvent, frame).get("id") if isinstance(frame, dict) else None
    return given if isinstance(given, str) and re.fullmatch(r"[ -~]{1,64}", given) else None
