"""The doors of send_message: a message or a receipt by REST, WebSocket or direct invocation."""

from typing import Any

from navietakie import warm
from navietakie.aws.tables.connections import Connection
from navietakie.aws.tables.messages import messages
from navietakie.broadcast import Outcomes
from navietakie.domain import instants
from navietakie.domain.errors import invalid
from navietakie.domain.frames import message_frame
from navietakie.domain.message import NewMessage
from navietakie.doors import identity
from navietakie.doors.lambda_event import LambdaEvent
from navietakie.doors.requests import Party, Request, SocketRequest
from navietakie.doors.serve import serve
from send_message.answers import SentMessage, attach_ack, message_ack, sent_message
from send_message.attaching import Attach, AttachmentForm, NewAttachment
from send_message.costs import budget
from send_message.receipts import NewReceipt, SocketReceipt, StoredReceipt, receipt_frame, record
from send_message.redacting import Redaction, SocketRedaction
from send_message.reporting import report
from send_message.sending import Sent
from send_message.wiring import attaching, on_changes, rate_limit, ready, redacting, sending

warm.ready(ready, identity.ready)


def handler(event: LambdaEvent, context: Any) -> Any:
    """The Lambda handler."""
    return serve(
        event,
        context,
        rest={"POST /api/v1/send_message": post},
        socket={
            "message": on_message,
            "redact": on_redact,
            "attach": on_attach,
            "delivered": on_receipt,
            "read": on_receipt,
        },
        direct={"send_message": post},
        budget=budget,
        stream=on_changes,
    )


def post(request: Request) -> tuple[int, SentMessage | StoredReceipt | AttachmentForm]:
    """Stores a message or redacts one (201, a repeat 200), or stores a receipt (200)."""
    party = request.party()
    given = {name for name, value in request.fields.items() if value is not None}
    if "message" not in given and given & {"delivered", "read"}:
        return post_receipt(request, party)
    if "message" not in given and "attach" in given:
        return 201, form_for(request, party, Attach.parse(request.fields).attach)
    broadcast = request.broadcast()  # before the store: where a setting is missing, nothing is stored
    if "message" not in given and "redact" in given:
        timestamp = Redaction.parse(request.fields).redact
        sent = redacting().redact(party, timestamp, now=request.now, deadline=request.deadline)
    else:
        new = NewMessage.parse({**request.fields, **_idempotency_key(request), "sender_id": party.sender_id})
        sent = sending().send(party, new, now=request.now, deadline=request.deadline)
    excluded = request.headers.get("x-exclude-connection")

    def receives(connection: Connection) -> bool:
        return connection.connection_id != excluded or connection.sender != party.sender

    outcomes = Outcomes()
    if not sent.late:
        frame = message_frame(sent.message)
        outcomes = broadcast.to_booking(party.booking_code, frame, request.now, to=receives, rights=sent.rights)
    report(sent, outcomes, request.now)
    return (200 if sent.duplicate else 201), sent_message(sent, outcomes)


def post_receipt(request: Request, party: Party) -> tuple[int, StoredReceipt]:
    """Stores a receipt and tells the booking, unless it was known already."""
    new, broadcast = NewReceipt.parse(request.fields), request.broadcast()
    head, moved = record(messages(), party, new.kind, new.seq, deadline=request.deadline, field=new.kind)
    if moved:
        frame = receipt_frame(party, new.kind, new.seq, head, instants.to_text(request.now))
        broadcast.to_booking(party.booking_code, frame, request.now, rights=head.rights)
    return 200, {"receipts": head.receipts}


def on_message(request: SocketRequest) -> None:
    """Stores a message from a connection, which gets an `ack`; the others get the message."""
    party = request.party()
    new = NewMessage.parse({**request.fields, "client_message_id": request.id, "sender_id": party.sender_id})
    acknowledge(request, sending().send(party, new, now=request.now, deadline=request.deadline))


def on_redact(request: SocketRequest) -> None:
    """Redacts a message for a connection, which gets the notice as an `ack`; the others get it as a message."""
    timestamp = SocketRedaction.parse(request.fields).timestamp
    acknowledge(request, redacting().redact(request.party(), timestamp, now=request.now, deadline=request.deadline))


def on_attach(request: SocketRequest) -> None:
    """Gives a connection a form to upload an attachment with."""
    form = form_for(request, request.party(), NewAttachment.parse(request.fields))
    request.broadcast().to_connection(request.connection, attach_ack(request, form), request.now)


def form_for(request: Request | SocketRequest, party: Party, new: NewAttachment) -> AttachmentForm:
    """A form to upload an attachment with."""
    return attaching().form(party, new, messages(), rate_limit(), now=request.now, deadline=request.deadline)


def acknowledge(request: SocketRequest, sent: Sent) -> None:
    """Answers a connection, and tells the others."""
    booking_code, tell = sent.message.booking_code, message_frame(sent.message)
    ack = message_ack(request, sent)
    broadcast, outcomes = request.broadcast(), Outcomes()
    if sent.late:
        broadcast.to_connection(request.connection, ack, request.now)
    else:
        answers = [(request.connection, ack)]
        outcomes = broadcast.to_booking(booking_code, tell, request.now, answers=answers, rights=sent.rights)
    report(sent, outcomes, request.now)


def on_receipt(request: SocketRequest) -> None:
    """Stores a receipt from a connection; the others are told, unless it was known already."""
    party = request.party()
    kind = "read" if request.fields["action"] == "read" else "delivered"
    seq = SocketReceipt.parse(request.fields).seq
    head, moved = record(messages(), party, kind, seq, deadline=request.deadline)
    if moved:
        frame = receipt_frame(party, kind, seq, head, instants.to_text(request.now))
        own = request.connection.connection_id
        request.broadcast().to_booking(
            party.booking_code,
            frame,
            request.now,
            to=lambda connection: connection.connection_id != own,
            rights=head.rights,
        )


def _idempotency_key(request: Request) -> dict[str, str]:
    """`Idempotency-Key` is another name of `client_message_id`."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return {}
    if request.fields.get("client_message_id") not in (None, key):
        raise invalid("client_message_id", "differs from the header Idempotency-Key")
    return {"client_message_id": key}
