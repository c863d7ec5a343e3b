"""What send_message answers: the body of a REST answer, and the `ack` that a connection gets."""

from typing import Literal, TypedDict

from navietakie.broadcast import Delivery, Outcomes
from navietakie.domain.frames import Reply
from navietakie.domain.message import Message
from navietakie.doors.requests import SocketRequest
from send_message.attaching import AttachmentForm
from send_message.sending import Sent


class Stored(TypedDict):
    """A stored message, and whether it was stored before."""

    message: Message
    duplicate: bool


class SentMessage(Stored):
    """A stored message."""

    delivery: Delivery


class MessageAck(Reply, Stored):
    """The client's message is stored."""

    type: Literal["ack"]


class AttachAck(Reply, AttachmentForm):
    """A form to upload an attachment with."""

    type: Literal["ack"]


def sent_message(sent: Sent, outcomes: Outcomes) -> SentMessage:
    """The body, once all were told."""
    return {**_stored(sent), "delivery": outcomes.delivery()}


def message_ack(request: SocketRequest, sent: Sent) -> MessageAck:
    """The `ack` of a message."""
    return {"v": 1, "type": "ack", **request.addressed(), **_stored(sent)}


def attach_ack(request: SocketRequest, form: AttachmentForm) -> AttachAck:
    """The `ack` that brings a form."""
    return {"v": 1, "type": "ack", **request.addressed(), **form}


def _stored(sent: Sent) -> Stored:
    return {"message": sent.message, "duplicate": sent.duplicate}
