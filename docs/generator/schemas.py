"""JSON schemas of requests, answers and frames, with a description of every field."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, cast, get_args

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from make_call.calling import RequestedAction
from make_call.ice import Policy
from navietakie.domain.call import Action, EndReason, State
from navietakie.domain.conversation import ReceiptKind
from navietakie.domain.errors import Code
from navietakie.domain.message import METADATA_BYTES, ContentType, MessageType, Metadata, Participant, Sender, Side

Schema = dict[str, Any]

NULL: Final[Schema] = {"type": "null"}
REF: Final = "#/components/schemas/{model}"

LICENCE: Final[Schema] = {"name": "MIT", "url": "https://opensource.org/license/mit"}
CONTACT: Final[Schema] = {"name": "The authors of NavieTakie"}

FIELDS: Final[Mapping[str, str]] = {
    "action": "What the sender does",
    "agent": "The agent's: a person of the company who has joined in",
    "answered_at": "When it was answered",
    "answered_by": "The device that answered; the others stop ringing",
    "aud": "`navietakie`",
    "away": "Whether this connection's app is in the background, as far as the server knows",
    "booking": "What the company has ordered for the booking",
    "attach": "What the client wants to upload",
    "attachment": "The upload, by its id",
    "bytes": "How many bytes",
    "content_type": "The media type",
    "expires_at": "When it stops working",
    "fields": "The form's other fields, in this order, before the file",
    "upload": "The form",
    "url": "The address",
    "booking_code": "Names the conversation",
    "booking_id": "Another name of `booking_code`",
    "call": "The call",
    "call_action": "What was done to the call",
    "call_id": "Names the call",
    "callback_url": "Posts to the client go here, signed with the backend's own AWS credentials",
    "callee": "The side that is called",
    "caller": "The side that calls",
    "calls": "The newest call first",
    "candidate": "An `a=candidate` line of SDP, without `a=`; empty: there are no more",
    "candidates": "The candidates that were found since the last ones",
    "claims": "Only with `AuthMode=jwt`",
    "client_call_id": "Chosen by the client; an `initiate` with that of the latest call begins no other call",
    "client_message_id": "Chosen by the client; a sender's messages with the same one are stored once",
    "closed_at": "Since when the booking is closed; null: it is open",
    "code": "For programs",
    "connectionId": "The WebSocket connection",
    "connection_id": "The WebSocket connection",
    "connections": "How many connections there were to send to",
    "credential": "For TURN, valid for longer than the longest call",
    "cursor": "`next_cursor` of the page before",
    "data": "What NavieTakie's devices send each other; the server passes on any JSON, and does not look into it",
    "delivered": "The `seq` up to which everything has arrived",
    "delivery": "What became of the broadcast",
    "description": "The offer or the answer",
    "details": "For programs: `field` is wrong, `call` is the present call, `retry_after_ms` is how long to wait",
    "device_id": "The device that acts",
    "driver": "The driver's",
    "duplicate": "Whether an earlier request stored it",
    "duration_seconds": "From the answer to the end; 0 if it was not answered, or has not ended",
    "end_reason": "Why it has ended",
    "ended_at": "When it ended",
    "epoch": "Made with the first message; if it changes, this is another history, and the client starts over",
    "error": "What is wrong",
    "event_id": "Equal for repeats of one event",
    "exp": "When the token expires, in seconds since 1970",
    "failed": "How many connections did not take it; their clients see the gap and sync",
    "gone": "How many connections turned out to be closed",
    "has_more": "Whether another frame of this answer follows by itself",
    "head_seq": "The last message's `seq`; 0 before the first",
    "hello": "The device is ready",
    "iat": "When the token was issued, in seconds since 1970, if the token says it",
    "ice_servers": "For RTCPeerConnection; empty unless the call is live and the booking open",
    "ice_transport_policy": "For RTCPeerConnection; `relay`: devices show each other only the TURN server's address",
    "id": "1 to 64 printable ASCII characters, chosen by the client; the answer repeats it",
    "jitter_ms": "How unevenly packets came",
    "lat": "Degrees north (WGS 84)",
    "limit": "How many at most",
    "lng": "Degrees east (WGS 84)",
    "location": "A place",
    "lost": "Packets that did not come",
    "message": "1 to 5,000 characters, without NUL; stored byte for byte",
    "message_id": "Names the message for ever; a receiver drops a message that it already has",
    "message_type": "Default `text`. `system` is for the sender `system`; only the server writes `call`",
    "messages": "In order",
    "metadata": f"The client's own JSON object, {METADATA_BYTES} bytes at most; some fields have a meaning",
    "muted": "The sides that may read and answer calls, but not write",
    "next_cursor": "Where the next page begins; null: there is none",
    "offer": "The offer's number; an answer names the offer that it is for",
    "on": "Whether it began or stopped",
    "online": "Whether the sender has a present connection",
    "order": "By time",
    "part": "Numbers the frames of one answer: 0, 1, 2, …; they may arrive in another order, or not at all",
    "passenger": "The passenger's",
    "presence": "Who has a present connection",
    "quick_reply_id": "Which of the app's prepared replies this is",
    "query": "The query string, without the token",
    "reached": "How many present connections of the other side took the frame",
    "restart": "The device wants another offer, with an ICE restart",
    "read": "The `seq` up to which everything has been read",
    "receipts": "Up to where each side has got and read the conversation",
    "received": "Packets that came",
    "redacted_at": "When its content was removed; null: it was not",
    "relayed": "Whether the voice went through a TURN server",
    "report": "How the call was; only for `report`",
    "requestId": "API Gateway's own, in its access log",
    "request_id": "Find it in the logs",
    "retry_after_ms": "When the same frame may be taken, if that is known",
    "retryable": "Whether the same frame may be taken later",
    "ring_ms_left": "How long it still rings, in milliseconds; clocks differ, so clients count this down",
    "rings_until": "When it stops ringing",
    "role": "The token's role",
    "rtt_ms": "The round-trip time",
    "sdp": "The whole description in SDP (RFC 8866)",
    "sdpMLineIndex": "Which media description of the SDP it is for",
    "sdpMid": "The same, by its name",
    "seconds": "How long the devices were connected",
    "sender": "The role that acts",
    "sender_id": "Who that is: the token's `sub`; without tokens what the client has sent",
    "redact": "The timestamp of the message to redact",
    "seq": "Counts the booking's messages: 1, 2, 3, … without a gap",
    "session": "Random. A device that starts again takes a new one; then the other device starts again too",
    "server_time": "The server's clock",
    "setup_ms": "From the answer to the first connection of the devices; leave it out if there was none",
    "state": "ringing → connected → ended",
    "sub": "The person that the token was issued to",
    "through": "The timestamp of `through_seq`: the `after` of the next `sync`; null before the first message",
    "through_seq": "Every message up to this `seq` has been sent or has expired",
    "timestamp": "RFC 3339, UTC, six fractional digits; rises strictly within a booking",
    "to": "The side that it is for",
    "token": "For clients that can set neither a header nor the subprotocol `bearer.<token>`",
    "ts": "When the server made the frame (RFC 3339, UTC)",
    "type": "What it is",
    "urls": "STUN or TURN",
    "usernameFragment": "The generation of the connection that it is for",
    "username": "For TURN",
    "v": "The protocol's version",
    "version": "Counts the call's changes; clients drop a frame that is not newer",
}
"""The meaning of each field. One name has one meaning wherever possible; `ELSEWHERE` has the exceptions."""

_CLAIMED: Final = "The role that acts; with a token it may be left out"
ELSEWHERE: Final[Mapping[str, str]] = {
    "BookingClosed.timestamp": "When it was published",
    "CallEnded.timestamp": "When it was published",
    "CallRinging.timestamp": "When it was published",
    "MessageUndelivered.timestamp": "When it was published",
    "Call.timestamp": "When it began",
    "CallGlance.call_id": "The latest call",
    "ConnectParameters.type": "Proxy mode passes it on",
    "Registration.type": "The client's `?type=`",
    "Delivery.delivered": "How many connections took it",
    "Delivery.error": "Only if the connections could not be looked up",
    "FrameProblem.message": "For people",
    "GatewayError.message": "For people",
    "Problem.message": "For people",
    "HistoryQuery.after": "Only later messages than this one's timestamp",
    "HistoryQuery.before": "Only earlier messages than this one's timestamp",
    "HistoryQuery.message_type": "Only messages of these types",
    "HistoryQuery.sender": "Only messages of these senders",
    "MakeCall.call_id": "The call; for `initiate` there is none yet",
    "MakeCall.device_id": "The device that acts; all requests of a side without one count as one device",
    "MessageAck.message": "As it was stored",
    "MessagePushed.message": "As it was stored",
    "SentMessage.message": "As it was stored",
    "ConnectParameters.sender": _CLAIMED,
    "MakeCall.sender": _CLAIMED,
    "SendDelivered.sender": _CLAIMED,
    "SendMessage.sender": _CLAIMED,
    "SendRead.sender": _CLAIMED,
    "Pong.call": "The latest call, even if it has ended",
    "ReceiptPushed.action": "Which receipt moved",
    "SyncPart.call": "The latest call, even if it has ended",
    "SyncRequest.after": "The timestamp of the last message that the client has; without it the newest page is sent",
}
"""The meaning of a field in one schema."""

RULES: Final[Mapping[str, Schema]] = {
    "SendDelivered": {"not": {"properties": {"message": {}}, "required": ["message"]}},
    "SendRead": {"not": {"properties": {"message": {}}, "required": ["message"]}},
}
"""What validators check in addition to single fields."""

NAMED: Final[Mapping[str, tuple[Any, str]]] = {
    "AskedAction": (
        RequestedAction,
        "What a side may ask for: to change the call, to get ICE servers, or to report how the call was.",
    ),
    "CallAction": (Action, "What changes a call."),
    "CallState": (State, "The state of a call."),
    "ContentType": (ContentType, "The media types of attachments."),
    "EndReason": (EndReason, "Why a call has ended."),
    "ErrorCode": (Code, "Why something was refused, for programs."),
    "IceTransportPolicy": (Policy, "Which addresses the devices may use to reach each other (RTCIceTransportPolicy)."),
    "MessageType": (MessageType, "What kind a message is."),
    "Order": (Literal["asc", "desc"], "The oldest or the newest first."),
    "Participant": (Participant, "Who is seen in a booking: a side, or an agent (a person of the company)."),
    "ReceiptKind": (ReceiptKind, "What a receipt says about a message."),
    "SdpType": (Literal["offer", "answer"], "What a session description is."),
    "Sender": (Sender, "Who acts in a booking."),
    "Side": (Side, "One of the two who talk to each other in a booking."),
}
"""The enumerations and their descriptions. Each has a name, so that client generators make one type of it."""

INSTANTS: Final = frozenset(
    (
        *("after", "before", "redact", "server_time", "through", "timestamp", "ts", "rings_until"),
        *("answered_at", "closed_at", "ended_at", "expires_at", "redacted_at"),
    )
)
"""Fields that are a time."""

FIRST: Final = ("v", "type", "id", "action", "booking_code", "sender", "ts")


class _Generator(GenerateJsonSchema):
    """Answers have all their fields, whether they have a default or not."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self.mode == "serialization" and field["type"] == "model-field":
            return True
        return super().field_is_required(field, total)


def schemas(requests: Iterable[type], answers: Iterable[type]) -> dict[str, Schema]:
    """The schemas of these classes, and of all classes in their fields, by name."""
    inputs = [*_adapters((*requests, Metadata), "validation"), *_adapters(answers, "serialization")]
    _, document = TypeAdapter.json_schemas(inputs, ref_template=REF, schema_generator=_Generator)
    made = cast(dict[str, Schema], document["$defs"])
    for name, schema in made.items():
        _finish(name, schema)
    return dict(sorted(made.items()))


def name_enumerations(document: Schema) -> None:
    """Replaces each enumeration of `NAMED` in a document by a reference to a schema of its own."""
    named = {frozenset(_values(kind)): name for name, (kind, _) in NAMED.items()}
    used: set[str] = set()
    _refer(document, named, used)
    own = {name: {"type": "string", "description": NAMED[name][1], "enum": _values(NAMED[name][0])} for name in used}
    schemas = document["components"]["schemas"]
    document["components"]["schemas"] = dict(sorted((schemas | own).items()))


def _values(kind: Any) -> list[str]:
    """The values of a literal, or of a union of literals."""
    return [it for inner in get_args(kind) for it in ([inner] if isinstance(inner, str) else _values(inner))]


def _refer(value: Any, named: Mapping[frozenset[str], str], used: set[str]) -> None:
    if isinstance(value, dict):
        schema = cast(Schema, value)
        choices = cast(list[Schema], schema.get("anyOf", []))
        if choices and all("enum" in choice for choice in choices):  # a union of literals
            schema |= {"type": "string", "enum": [it for choice in schema.pop("anyOf") for it in choice["enum"]]}
        name = named.get(frozenset(schema["enum"])) if schema.get("type") == "string" and "enum" in schema else None
        if name is not None:
            del schema["type"], schema["enum"]
            schema |= {**ref(name), **{key: schema.pop(key) for key in list(schema)}}
            used.add(name)
        for inner in schema.values():
            _refer(inner, named, used)
    elif isinstance(value, list):
        for inner in cast(list[Any], value):
            _refer(inner, named, used)


def _adapters(kinds: Iterable[type], mode: JsonSchemaMode) -> Iterator[tuple[type, JsonSchemaMode, TypeAdapter[Any]]]:
    return ((it, mode, TypeAdapter(it)) for it in kinds)


def ref(model: type | str) -> Schema:
    """A reference to a schema."""
    return {"$ref": REF.format(model=model if isinstance(model, str) else model.__name__)}


def parameters(schema: Schema) -> dict[str, Schema]:
    """The fields of a query string by name. A field may be missing, but is never null."""
    fields = cast(dict[str, Schema], schema["properties"])
    return {name: never_null(field) for name, field in fields.items()}


def never_null(field: Schema) -> Schema:
    """The schema of a field without null."""
    if isinstance(field.get("type"), list):
        return field | {"type": field["type"][0]}
    kinds = [kind for kind in cast(list[Schema], field.get("anyOf", [])) if kind != NULL]
    if not kinds:
        return field
    (kind,) = kinds
    return {**kind, "description": field["description"]}


def _finish(name: str, schema: Schema) -> None:
    """Removes what pydantic says and no reader needs, and adds what a reader wants to know."""
    _drop_titles(schema)
    properties = cast(dict[str, Schema], schema.get("properties", {}))
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split("\n\n")[0].split()).replace("None", "null")
    if name in ("NewMessage", "SendMessage"):
        properties["metadata"] = {"anyOf": [ref(Metadata), NULL]}
        properties["message_type"] = {"anyOf": [properties["message_type"], NULL]}  # null is the same as nothing
    if name == "Metadata":
        schema["additionalProperties"] = True
    for field, inner in properties.items():
        kinds = cast(list[Schema], inner.get("anyOf", []))
        if field in INSTANTS:
            (kinds[0] if kinds else inner)["format"] = "date-time"
        if len(kinds) == 2 and kinds[1] == NULL and "type" in kinds[0] and "enum" not in kinds[0]:
            del inner["anyOf"]
            inner |= kinds[0] | {"type": [kinds[0]["type"], "null"]}
        inner["description"] = ELSEWHERE.get(f"{name}.{field}") or FIELDS[field]
        _drop_default(inner, "Query" in name)
    schema["properties"] = {field: properties[field] for field in sorted(properties, key=_place)}
    schema |= RULES.get(name, {})


def _drop_default(field: Schema, in_a_query: bool) -> None:
    """Drops a null default; in a body any default, which client generators would take for an always present field."""
    for each in (field, *cast(list[Schema], field.get("anyOf", []))):
        if not in_a_query or each.get("default", ...) is None:
            each.pop("default", None)


def _place(field: str) -> int:
    return FIRST.index(field) if field in FIRST else len(FIRST)


def _drop_titles(value: Any) -> None:
    if isinstance(value, dict):
        items = cast(dict[str, Any], value)
        if isinstance(items.get("title"), str):
            del items["title"]
        for inner in items.values():
            _drop_titles(inner)
    elif isinstance(value, list):
        for inner in cast(list[Any], value):
            _drop_titles(inner)
