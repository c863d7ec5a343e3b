"""The doors of send_message: a message or a receipt by REST, WebSocket or direct invocation."""

from functools import partial
from typing import Any

from navietakie import warm
from navietakie.aws.tables.messages import messages
from navietakie.broadcast import Broadcast, Outcomes, all_but
from navietakie.domain import instants
from navietakie.domain.conversation import Head, ReceiptKind
from navietakie.domain.errors import invalid
from navietakie.domain.message import NewMessage
from navietakie.doors import identity
from navietakie.doors.lambda_event import LambdaEvent
from navietakie.doors.requests import Party, Request, SocketRequest
from navietakie.doors.serve import serve
from send_message.answers import SentMessage, attach_ack, message_ack, sent_message
from send_message.attaching import Attach, AttachmentForm, NewAttachment
from send_message.costs import budget
from send_message.receipts import NewReceipt, SocketReceipt, StoredReceipt, receipt_frame, store_receipt
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
        sent = redacting(broadcast).redact(party, timestamp, now=request.now, deadline=request.deadline)
    else:
        new = NewMessage.parse({**request.fields, **_idempotency_key(request), "sender_id": party.sender_id})
        sent = sending(broadcast).send(party, new, now=request.now, deadline=request.deadline)
    outcomes = Outcomes()
    if not sent.late:
        others = all_but(request.headers.get("x-exclude-connection"), of=party.sender)
        outcomes = broadcast.to_booking(party.booking_code, sent.frame, request.now, to=others, rights=sent.rights)
    report(sent, outcomes, request.now)
    return (200 if sent.duplicate else 201), sent_message(sent, outcomes)


def post_receipt(request: Request, party: Party) -> tuple[int, StoredReceipt]:
    """Stores a receipt."""
    new = NewReceipt.parse(request.fields)
    return 200, {"receipts": receipt(request, party, new.kind, new.seq, field=new.kind).receipts}


def on_message(request: SocketRequest) -> None:
    """Stores a message from a connection, which gets an `ack`; the others get the message."""
    party, broadcast = request.party, request.broadcast()
    new = NewMessage.parse({**request.fields, "client_message_id": request.id, "sender_id": party.sender_id})
    sent = sending(broadcast).send(party, new, now=request.now, deadline=request.deadline)
    acknowledge(request, sent, broadcast)


def on_redact(request: SocketRequest) -> None:
    """Redacts a message for a connection, which gets the notice as an `ack`; the others get it as a message."""
    timestamp, broadcast = SocketRedaction.parse(request.fields).timestamp, request.broadcast()
    sent = redacting(broadcast).redact(request.party, timestamp, now=request.now, deadline=request.deadline)
    acknowledge(request, sent, broadcast)


def on_attach(request: SocketRequest) -> None:
    """Gives a connection a form to upload an attachment with."""
    form = form_for(request, request.party, NewAttachment.parse(request.fields))
    request.broadcast().to_connection(request.connection, attach_ack(request, form), request.now)


def form_for(request: Request | SocketRequest, party: Party, new: NewAttachment) -> AttachmentForm:
    """A form to upload an attachment with."""
    return attaching().form(party, new, messages(), rate_limit(), now=request.now, deadline=request.deadline)


def acknowledge(request: SocketRequest, sent: Sent, broadcast: Broadcast) -> None:
    """Answers a connection, and tells the others."""
    booking_code, now = sent.message.booking_code, request.now
    ack, outcomes = message_ack(request, sent), Outcomes()
    if sent.late:
        broadcast.to_connection(request.connection, ack, now)
    else:
        answers = [(request.connection, ack)]
        outcomes = broadcast.to_booking(booking_code, sent.frame, now, answers=answers, rights=sent.rights)
    report(sent, outcomes, now)


def on_receipt(request: SocketRequest) -> None:
    """Stores a receipt from a connection."""
    kind = "read" if request.fields["action"] == "read" else "delivered"
    receipt(request, request.party, kind, SocketReceipt.parse(request.fields).seq, request.connection.connection_id)


def receipt(
    request: Request | SocketRequest,
    party: Party,
    kind: ReceiptKind,
    seq: int,
    own: str | None = None,
    field: str = "seq",
) -> Head:
    """Stores a receipt, and tells all but `own`, unless it was known already; the head then."""
    booking_code, now, broadcast = party.booking_code, request.now, request.broadcast()
    gather = partial(broadcast.gather, booking_code, now)
    head, moved = store_receipt(messages(), party, kind, seq, deadline=request.deadline, field=field, gather=gather)
    if moved:
        tell = receipt_frame(party, kind, seq, head, instants.to_text(now))
        broadcast.to_booking(booking_code, tell, now, to=all_but(own), rights=head.rights)
    return head


def _idempotency_key(request: Request) -> dict[str, str]:
    """`Idempotency-Key` is another name of `client_message_id`."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return {}
    if request.fields.get("client_message_id") not in (None, key):
        raise invalid("client_message_id", "differs from the header Idempotency-Key")
    return {"client_message_id": key}
