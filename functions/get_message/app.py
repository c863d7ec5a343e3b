"""The doors of get_message: a page of the history by REST or direct invocation, a sync by WebSocket."""

from collections.abc import Mapping
from typing import Any

from get_message.attachment import AttachmentAddress, AttachmentQuery, address
from get_message.history import History, HistoryPage, HistoryQuery, PageCache
from get_message.sync import Sync, SyncRequest, SyncState
from navietakie import settings, warm
from navietakie.aws.tables.calls import calls
from navietakie.aws.tables.connections import connections
from navietakie.aws.tables.messages import messages
from navietakie.doors import identity, requests
from navietakie.doors.budget import Budget
from navietakie.doors.lambda_event import LambdaEvent
from navietakie.doors.requests import Request, SocketRequest
from navietakie.doors.serve import serve
from navietakie.doors.standing import standing
from navietakie.observability import logger

pages = PageCache()


def cost_of_page(fields: Mapping[str, Any]) -> int:
    """What a page costs: with a filter, much may be read for few messages."""
    return 4 if fields.get("message_type") or fields.get("sender") else 1


budget = Budget({"GET /api/v1/get_message": cost_of_page, "GET /api/v1/attachment": 1, "sync": 8})
warm.ready(requests.ready, identity.ready)


def handler(event: LambdaEvent, context: Any) -> Any:
    """The Lambda handler."""
    return serve(
        event,
        context,
        rest={"GET /api/v1/get_message": get, "GET /api/v1/attachment": get_attachment},
        socket={"sync": on_sync},
        direct={"get_message": get},
        repeatable=("sender", "message_type"),
        budget=budget,
    )


def get(request: Request) -> tuple[int, HistoryPage]:
    """A page of the history."""
    booking_code = request.booking_code()
    query = HistoryQuery.parse(request.fields)
    history = History(messages(), pages)
    return 200, history.page(
        booking_code, query, now=request.now, deadline=request.deadline, allowed=request.check_rights
    )


def get_attachment(request: Request) -> tuple[int, AttachmentAddress]:
    """An address of an attachment, for whoever may read the booking."""
    from navietakie.aws.attachments import attachments  # S3's client is no part of a cold start

    booking_code, query = request.booking_code(), AttachmentQuery.parse(request.fields)
    request.check_rights(messages().head(booking_code).rights)
    return 200, address(attachments(), booking_code, query, now=request.now, retention_days=settings.retention_days())


def on_sync(request: SocketRequest) -> None:
    """Sends everything that the connection's client has missed."""
    own, now, broadcast = request.connection, request.now, request.broadcast()
    after = SyncRequest.parse(request.fields).after
    found = standing(request, calls(), connections())
    state: SyncState = {"call": found.call, **found.fields_for(own, now)}
    sync = Sync(messages(), request.addressed())
    sent = 0
    for frame in sync.frames(own.booking_code, after, state, found.head, now=now, deadline=request.deadline):
        if broadcast.to_connection(own, frame, now) != "delivered":
            break
        sent += len(frame["messages"])
    logger.append_keys(messages=sent, head_seq=found.head.seq)
