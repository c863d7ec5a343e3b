"""What the functions answer, push and publish, and the bodies of requests: shapes that have no model of their own.

A function builds its answers as plain objects, because a cold start is no time to build models that check nothing. They
are described here instead, and the tests hold every real answer against its description, field by field.
"""

from typing import Any, Literal, NotRequired, TypedDict

from make_call.calling import NewAct
from make_call.ice import Policy, Url
from navietakie.domain.call import Action, Call, EndReason
from navietakie.domain.conversation import ReceiptKind
from navietakie.domain.errors import Code
from navietakie.domain.message import (
    BookingCode,
    Fields,
    Message,
    MessageType,
    NewMessage,
    Participant,
    Sender,
    Side,
)
from send_message.attaching import Attach, ContentType
from send_message.receipts import Sequence
from send_message.redacting import Redaction
from websocket.presence import ConnectQuery

# --- Request bodies: who acts, and then the function's own model ------------------------------------------------------


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
    """A redaction, instead of a message: the content of the message with this timestamp goes."""

    booking_code: BookingCode
    sender: Sender | None = None


class SendAttach(Attach):
    """An upload that is to come, instead of a message."""

    booking_code: BookingCode
    sender: Sender | None = None


class MakeCall(NewAct):
    """What the sender does with the booking's call."""

    booking_code: BookingCode
    sender: Side | None = None


# --- Answers by REST, and by direct invocation as `body` --------------------------------------------------------------


class Delivery(TypedDict):
    """What became of the broadcast; the message is stored whatever it says."""

    connections: int
    delivered: int
    gone: int
    failed: int
    error: NotRequired[Literal["unavailable"]]


class SentMessage(TypedDict):
    """A stored message."""

    message: Message
    duplicate: bool
    delivery: Delivery


class Attachment(TypedDict):
    """An attachment, by which a message names it in `metadata.attachment`."""

    id: str
    content_type: ContentType
    bytes: int


class Upload(TypedDict):
    """A form of S3: POST the fields to the URL as multipart/form-data, in this order, and the file last as `file`."""

    url: str
    fields: dict[str, str]
    expires_at: str


class AttachmentForm(TypedDict):
    """An id, and the form that uploads what it names."""

    attachment: Attachment
    upload: Upload


class AttachmentAddress(TypedDict):
    """Where an attachment can be read for some minutes; the address needs no token."""

    url: str
    content_type: ContentType
    bytes: int
    expires_at: str


class Receipt(TypedDict):
    """How far one side has got."""

    delivered: int
    read: int


class Receipts(TypedDict):
    """How far both sides have got."""

    driver: Receipt
    passenger: Receipt


class StoredReceipt(TypedDict):
    """The receipts after one was stored; a receipt never moves back."""

    receipts: Receipts


class BookingState(TypedDict):
    """What the company has ordered for the booking."""

    closed_at: str | None
    muted: list[Side]


class HistoryPage(TypedDict):
    """Part of a history, and where the conversation stands."""

    messages: list[Message]
    next_cursor: str | None
    head_seq: int
    epoch: str | None
    receipts: Receipts
    booking: BookingState


class IceServer(TypedDict):
    """A server that helps the devices to find a way to each other (RTCIceServer, W3C WebRTC 1.0, section 4.2.4)."""

    urls: Url | list[Url]
    username: NotRequired[str]
    credential: NotRequired[str]


class MadeCall(TypedDict):
    """The call after an action; without ICE servers after `report`, and without `reached` after `ice` too."""

    call: Call
    ice_servers: NotRequired[list[IceServer]]
    ice_transport_policy: NotRequired[Policy]
    reached: NotRequired[int]


class CallLogPage(TypedDict):
    """Part of a call log, the newest call first; a live one is part of it."""

    calls: list[Call]
    next_cursor: str | None


class Problem(TypedDict):
    """Why a request was refused."""

    code: Code
    message: str
    details: dict[str, Any]
    request_id: str


class Error(TypedDict):
    """A refused request."""

    error: Problem


# --- What the devices say to each other in a `signal` -----------------------------------------------------------------


class SessionDescription(TypedDict):
    """What a device offers or answers (RTCSessionDescriptionInit, W3C WebRTC 1.0, section 4.6.2)."""

    type: Literal["offer", "answer"]
    sdp: str


class IceCandidate(TypedDict):
    """A way to a device (RTCIceCandidateInit, W3C WebRTC 1.0, section 4.8.1)."""

    candidate: str
    sdpMid: str | None
    sdpMLineIndex: int | None
    usernameFragment: NotRequired[str | None]


class SignalDescription(TypedDict):
    """An offer of the device that called, or an answer of the device that answered."""

    session: str
    offer: int
    description: SessionDescription


class SignalCandidates(TypedDict):
    """Ways to a device that it has found since the last ones."""

    session: str
    candidates: list[IceCandidate]


class SignalHello(TypedDict):
    """The device that answered is ready, and has no offer yet."""

    session: str
    hello: Literal[True]


class SignalRestart(TypedDict):
    """The connection of the device that answered has failed; it wants another offer."""

    session: str
    restart: Literal[True]


# --- Frames of the server ---------------------------------------------------------------------------------------------


class Pushed(TypedDict):
    """What all frames of the server have."""

    v: Literal[1]
    booking_code: str
    ts: str


class Answering(Pushed):
    """A frame that answers one of the client's, and repeats its id."""

    id: NotRequired[str]


class Presence(TypedDict):
    """Who has a present connection: one whose app is not in the background."""

    driver: bool
    passenger: bool
    agent: bool


class MessagePushed(Pushed):
    """A message was stored. To everybody but the connection that sent it."""

    type: Literal["message"]
    sender: Sender
    message: Message


class MessageAck(Answering):
    """The client's message is stored."""

    type: Literal["ack"]
    message: Message
    duplicate: bool


class AttachAck(Answering):
    """A form to upload an attachment with."""

    type: Literal["ack"]
    attachment: Attachment
    upload: Upload


class CallPushed(Pushed):
    """A call has changed. To everybody but the connection that changed it; `sender` system: the server did."""

    type: Literal["call"]
    sender: Sender
    call_action: Action
    call_id: str
    device_id: str | None
    call: Call


class CallAck(Answering):
    """The client's call action is done; without ICE servers after `report`, and without `reached` after `ice` too."""

    type: Literal["ack"]
    call: Call
    ice_servers: NotRequired[list[IceServer]]
    ice_transport_policy: NotRequired[Policy]
    reached: NotRequired[int]


class SignalPushed(Pushed):
    """A device of the other side says something to this side's devices."""

    type: Literal["signal"]
    sender: Side
    call_id: str
    data: SignalDescription | SignalCandidates | SignalHello | SignalRestart


class TypingPushed(Pushed):
    """Somebody is typing, or has stopped."""

    type: Literal["typing"]
    sender: Sender
    on: bool


class ReceiptPushed(Pushed):
    """A side has got or read the conversation up to a message."""

    type: Literal["receipt"]
    sender: Side
    action: ReceiptKind
    seq: int
    receipts: Receipts


class PresencePushed(Pushed):
    """A side or the agent has become present, or has no present connection any more."""

    type: Literal["presence"]
    sender: Participant
    online: bool
    presence: Presence


class SyncPart(Answering):
    """Part of what the client has missed; while `has_more` the next follows unasked. The last has the state too."""

    type: Literal["sync"]
    part: int
    messages: list[Message]
    through_seq: int
    through: str | None
    head_seq: int
    epoch: str | None
    has_more: bool
    call: NotRequired[Call | None]
    presence: NotRequired[Presence]
    receipts: NotRequired[Receipts]
    booking: NotRequired[BookingState]


class CallGlance(TypedDict):
    """As much of the latest call as shows whether a client has missed a change."""

    call_id: str
    state: Literal["ringing", "connected", "ended"]
    version: int
    ring_ms_left: int | None


class Pong(Answering):
    """How things stand: a client that sees itself behind syncs."""

    type: Literal["pong"]
    head_seq: int
    epoch: str | None
    receipts: Receipts
    call: CallGlance | None
    presence: Presence
    booking: BookingState
    away: bool
    server_time: str
    connection_id: str


class FrameProblem(TypedDict):
    """Why a frame was refused, and whether and when to send it again."""

    code: Code
    message: str
    retryable: bool
    retry_after_ms: int | None
    details: dict[str, Any]


class ErrorAnswer(TypedDict):
    """One of the client's frames was refused; the connection lives on."""

    v: Literal[1]
    type: Literal["error"]
    booking_code: str | None
    ts: str
    id: str | None
    error: FrameProblem


class GatewayError(TypedDict):
    """API Gateway's own answer to a frame that no function could answer; it has no `type`. Send the frame again."""

    message: str
    connectionId: str
    requestId: str


# --- Events on the SNS topic ------------------------------------------------------------------------------------------


class Published(TypedDict):
    """What all events have."""

    event_id: str
    booking_code: str
    timestamp: str


class CallRinging(Published):
    """A call rings: a push service can wake the callee's app."""

    type: Literal["call.ringing"]
    call_id: str
    caller: Side
    callee: Side
    to: Side
    rings_until: str


class CallEnded(Published):
    """A call has ended."""

    type: Literal["call.ended"]
    call_id: str
    caller: Side
    callee: Side
    end_reason: EndReason
    duration_seconds: int


class MessageUndelivered(Published):
    """No connection of a side that should read a message took it."""

    type: Literal["message.undelivered"]
    message_id: str
    seq: int
    sender: Participant
    to: Side


class BookingClosed(Published):
    """A booking was closed."""

    type: Literal["booking.closed"]
    message_id: str
    seq: int
    sender: Sender


class MessageEvent(Published):
    """A message as an event. Its texts are there where `MessageEvents` is `full`, as they are when it is published."""

    seq: int
    message_id: str
    sender: Sender
    message_type: MessageType
    message: NotRequired[str]
    metadata: NotRequired[dict[str, Any] | None]
    sender_id: NotRequired[str | None]


class MessageStored(MessageEvent):
    """A message was stored. `message` is empty where it was redacted, has expired or was erased since."""

    type: Literal["message.stored"]


class MessageRedacted(MessageEvent):
    """A message was redacted: forget its text."""

    type: Literal["message.redacted"]


# --- What a backend gets in proxy mode --------------------------------------------------------------------------------


class TokenClaims(TypedDict):
    """The claims of the verified token, which is not sent itself."""

    sub: str
    booking_code: str
    role: Sender
    exp: int
    iat: int | None
    aud: str


class Registration(TypedDict):
    """A client wants to connect."""

    connection_id: str
    booking_id: str | None
    type: str | None
    query: dict[str, str]
    callback_url: str
    claims: NotRequired[TokenClaims]


class Departure(TypedDict):
    """A client has left."""

    connection_id: str


class ConnectParameters(ConnectQuery):
    """The query string of a connection. `booking_id` is another name of `booking_code`."""

    token: str | None = None
    type: str | None = None
