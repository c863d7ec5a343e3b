"""The bodies and the query string of requests: the fields of the door (who acts), and those of the function's model."""

from make_call.calling import NewAct
from navietakie.domain.message import BookingCode, Fields, NewMessage, Sender, Side
from send_message.attaching import Attach
from send_message.receipts import Sequence
from send_message.redacting import Redaction
from websocket.presence import ConnectQuery


class SendMessage(NewMessage):
    """A message to be stored and sent to everybody in the booking."""

    booking_code: BookingCode
    sender: Sender | None = None


class SendDelivered(Fields):
    """A receipt, instead of a message: everything up to this one has reached the sender's device."""

    booking_code: BookingCode
    sender: Side | None = None
    delivered: Sequence
    read: None = None


class SendRead(Fields):
    """A receipt, instead of a message: everything up to this one has been read."""

    booking_code: BookingCode
    sender: Side | None = None
    read: Sequence
    delivered: None = None


class SendRedaction(Redaction):
    """A redaction, instead of a message: it takes away the content of the message with this timestamp."""

    booking_code: BookingCode
    sender: Sender | None = None


class SendAttach(Attach):
    """A request for an upload form, instead of a message."""

    booking_code: BookingCode
    sender: Sender | None = None


class MakeCall(NewAct):
    """What the sender does with the booking's call."""

    booking_code: BookingCode
    sender: Side | None = None


class ConnectParameters(ConnectQuery):
    """The query string of a connection. `booking_id` is another name of `booking_code`."""

    token: str | None = None
    type: str | None = None
