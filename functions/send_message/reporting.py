"""What operators and the company's other systems hear of a message: ids, roles and counts, never its text."""

from typing import Literal, TypedDict

from navietakie.aws import publishing
from navietakie.aws.publishing import Published
from navietakie.broadcast import Outcomes
from navietakie.domain import instants
from navietakie.domain.message import SIDES, Message, Participant, Sender, Side, other_side
from navietakie.domain.orders import REDACTED
from navietakie.observability import count, logger
from send_message.sending import Sent


class MessageEventFields(TypedDict):
    """What the events about a message have."""

    booking_code: str
    timestamp: str
    message_id: str
    seq: int


class MessageUndelivered(Published, MessageEventFields):
    """No present connection of a side that should read a message took it."""

    type: Literal["message.undelivered"]
    sender: Participant
    to: Side


class BookingClosed(Published, MessageEventFields):
    """A booking was closed."""

    type: Literal["booking.closed"]
    sender: Sender


def report(sent: Sent, outcomes: Outcomes, now: int) -> None:
    """Tells operators and the company's other systems what became of a message: ids and counts alone."""
    message = sent.message
    logger.append_keys(message_id=message.message_id, seq=message.seq, delivery=outcomes.delivery())
    count("DuplicateMessages" if sent.duplicate else "MessagesStored")
    if message.event == REDACTED and not sent.duplicate:
        count("MessagesRedacted")
    if sent.late:
        return  # all of this was published when it was stored
    if (sender := message.sender) != "system":  # nobody waits for its messages
        for side in _readers(sender):
            if not outcomes.reached(side):
                publishing.publish(undelivered(message, sender, side, now))
    if message.event == "booking_closed":
        publishing.publish(closed(message, now))


def undelivered(message: Message, sender: Participant, to: Side, now: int) -> MessageUndelivered:
    """The event that `to` was not reached by a message."""
    return {
        "event_id": f"{message.message_id}-undelivered-{to}",
        "type": "message.undelivered",
        "sender": sender,
        "to": to,
        **_of(message, now),
    }


def closed(message: Message, now: int) -> BookingClosed:
    """The event that a message has closed its booking."""
    return {
        "event_id": f"{message.message_id}-closed",
        "type": "booking.closed",
        "sender": message.sender,
        **_of(message, now),
    }


def _of(message: Message, now: int) -> MessageEventFields:
    return {
        "booking_code": message.booking_code,
        "timestamp": instants.to_text(now),
        "message_id": message.message_id,
        "seq": message.seq,
    }


def _readers(sender: Participant) -> tuple[Side, ...]:
    """The sides that should read a message of `sender`."""
    return SIDES if sender == "agent" else (other_side(sender),)
