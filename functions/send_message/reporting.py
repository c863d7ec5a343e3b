"""What operators and the company's other systems hear of a message: ids, roles and counts, never its text."""

from typing import Any

from navietakie.aws import publishing
from navietakie.broadcast import Delivery
from navietakie.domain.message import SIDES, Sender, Side, other_side
from navietakie.domain.orders import REDACTED
from navietakie.observability import count, logger
from send_message.sending import Sent


def report(sent: Sent, delivery: Delivery, now: int) -> None:
    """Tells operators and the company's other systems what became of a message: ids and counts alone."""
    message = sent.message
    logger.append_keys(message_id=message.message_id, seq=message.seq, delivery=delivery.as_dict())
    count("DuplicateMessages" if sent.duplicate else "MessagesStored")
    if message.event == REDACTED and not sent.duplicate:
        count("MessagesRedacted")
    if sent.late:
        return  # all of this was published when it was stored
    ids: dict[str, Any] = {"message_id": message.message_id, "seq": message.seq, "sender": message.sender}
    for side in _readers(message.sender):
        if not delivery.reached(side):
            event_id = f"{message.message_id}-undelivered-{side}"
            publishing.publish("message.undelivered", message.booking_code, now, event_id=event_id, to=side, **ids)
    if message.event == "booking_closed":
        publishing.publish("booking.closed", message.booking_code, now, event_id=f"{message.message_id}-closed", **ids)


def _readers(sender: Sender) -> tuple[Side, ...]:
    """The sides that should read a message of `sender`; nobody waits for one of `system`."""
    if sender in SIDES:
        return (other_side(sender),)
    return SIDES if sender == "agent" else ()
