"""The WebSocket protocol and the events topic as an AsyncAPI 3 document."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from pydantic import TypeAdapter

from docs.generator.foreign import SIGNALS, GatewayError
from docs.generator.requests import ConnectParameters
from docs.generator.schemas import CONTACT, FIELDS, LICENCE, Schema, name_enumerations, parameters, ref, schemas
from get_message.sync import SyncPart, SyncRequest
from make_call.announcing import CallEnded, CallPushed, CallRinging, NewSignal, SignalPushed
from make_call.answers import CallAck
from make_call.calling import NewAct, SocketAct
from navietakie.domain.frames import ErrorAnswer, MessagePushed
from navietakie.domain.message import ClientId, NewMessage
from send_message.answers import AttachAck, MessageAck
from send_message.attaching import NewAttachment
from send_message.receipts import ReceiptPushed, SocketReceipt
from send_message.redacting import SocketRedaction
from send_message.reporting import BookingClosed, MessageUndelivered
from send_message.telling import MessageRedacted, MessageStored
from websocket.app import Away, Typing
from websocket.pong import Pong
from websocket.presence import PresencePushed, TypingPushed

REQUESTS: Final = (
    NewMessage,
    NewAct,
    SocketAct,
    NewSignal,
    SocketReceipt,
    SocketRedaction,
    NewAttachment,
    SyncRequest,
    Typing,
    Away,
    ConnectParameters,
)

PUSHED: Final[Mapping[str, type]] = {
    "message": MessagePushed,
    "call": CallPushed,
    "signal": SignalPushed,
    "typing": TypingPushed,
    "receipt": ReceiptPushed,
    "presence": PresencePushed,
}
"""Frames that the server pushes, by their type."""

ANSWERS: Final[Mapping[str, type]] = {
    "messageAck": MessageAck,
    "attachAck": AttachAck,
    "callAck": CallAck,
    "syncPart": SyncPart,
    "pong": Pong,
    "error": ErrorAnswer,
}

GATEWAY: Final[Mapping[str, type]] = {"gatewayError": GatewayError}
"""Frames that do not come from a function."""

EVENTS: Final[Mapping[str, type]] = {
    "callRinging": CallRinging,
    "callEnded": CallEnded,
    "messageUndelivered": MessageUndelivered,
    "bookingClosed": BookingClosed,
}

MESSAGE_EVENTS: Final[Mapping[str, type]] = {
    "messageStored": MessageStored,
    "messageRedacted": MessageRedacted,
}

ACTIONS: Final[Mapping[str, tuple[str, str | None]]] = {
    "message": ("Store a message and send it to the others; the frame's `id` is its `client_message_id`", "messageAck"),
    "call": ("Initiate, accept, reject or end a call; the others get `call`, except for `ice` and `report`", "callAck"),
    "signal": ("Pass WebRTC's offer, answer or candidate to the other side of a live call", None),
    "typing": ("Tell the others that typing began or stopped", None),
    "away": ("Say that the app went to the background, or came back; `presence` follows if it changes", None),
    "delivered": ("Tell the others that everything up to `seq` has arrived", None),
    "read": ("Tell the others that everything up to `seq` has been read", None),
    "attach": ("Get a form to upload an attachment with", "attachAck"),
    "redact": ("Take the content out of a message, usually one's own", "messageAck"),
    "sync": ("Get everything that came after a message, and the state of the booking", "syncPart"),
    "ping": ("Ask for the state of the booking; every 60 s, every 10 s while a call is live", "pong"),
}
"""The client's frames: what each is for, and what answers it. The server answers any other with an `error`."""


def document() -> Schema:
    """The whole document."""
    kinds = (*PUSHED.values(), *ANSWERS.values(), *GATEWAY.values(), *EVENTS.values(), *MESSAGE_EVENTS.values())
    made = schemas(REQUESTS, (*kinds, *SIGNALS))
    connect = made.pop("ConnectParameters")
    made["SignalData"] = {"description": FIELDS["data"], "anyOf": [ref(kind) for kind in SIGNALS]}
    made["SignalPushed"]["properties"]["data"] |= ref("SignalData")
    made |= _client_frames(made)
    for name in (
        "NewMessage",
        "NewAct",
        "SocketAct",
        "NewSignal",
        "SocketReceipt",
        "SocketRedaction",
        "NewAttachment",
        "SyncRequest",
        "Typing",
        "Away",
    ):
        del made[name]
    messages = {
        **{f"{it}Frame": _message(f"{it}Frame", _frame_name(it), text) for it, (text, _) in ACTIONS.items()},
        **{f"{name}Pushed": _of(f"{name}Pushed", kind, made) for name, kind in PUSHED.items()},
        **{name: _of(name, kind, made) for name, kind in (ANSWERS | GATEWAY).items()},
        **{name: _of(name, kind, made) for name, kind in (EVENTS | MESSAGE_EVENTS).items()},
    }
    described: Schema = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "NavieTakie",
            "version": "1",
            "license": LICENCE,
            "contact": CONTACT,
            "description": (
                "What travels over a booking's WebSockets, and what the company's other systems hear on the events"
                " topic. Frames are JSON objects of at most 32 KB in both directions; clients ignore types and fields"
                " that they do not know. docs/protocol.md tells it by example."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "localhost:8000",
                "pathname": "/ws",
                "protocol": "ws",
                "description": "What `make run` starts",
            },
            "deployed": {
                "host": "{api}.execute-api.{region}.amazonaws.com",
                "pathname": "/{environment}",
                "protocol": "wss",
                "description": "A deployed stack",
                "variables": {
                    "api": {"default": "abcde12345"},
                    "region": {"default": "us-east-1"},
                    "environment": {"default": "staging", "enum": ["staging", "production"]},
                },
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            },
            "topic": {
                "host": "sns.{region}.amazonaws.com",
                "protocol": "sns",
                "description": "The events topic; subscribe a queue or a function to it",
                "variables": {"region": {"default": "us-east-1"}},
            },
        },
        "channels": {
            "connection": {
                "address": "/",
                "title": "One WebSocket of one side of one booking",
                "servers": [{"$ref": "#/servers/local"}, {"$ref": "#/servers/deployed"}],
                "messages": {name: _component(name) for name in messages if name not in EVENTS | MESSAGE_EVENTS},
                "bindings": {
                    "ws": {"query": {"type": "object", "properties": parameters(connect)}, "bindingVersion": "0.1.0"}
                },
            },
            "events": {
                "address": "navietakie-events-{environment}",
                "title": "Ids and roles, never a text; `type` is a message attribute too, for filters",
                "parameters": {"environment": {"enum": ["local", "staging", "production"]}},
                "servers": [{"$ref": "#/servers/topic"}],
                "messages": {name: _component(name) for name in EVENTS},
            },
            "messageEvents": {
                "address": "navietakie-message-events-{environment}",
                "title": "Every message, if `MessageEvents` is `ids` or `full`; `type` is a message attribute too",
                "parameters": {"environment": {"enum": ["local", "staging", "production"]}},
                "servers": [{"$ref": "#/servers/topic"}],
                "messages": {name: _component(name) for name in MESSAGE_EVENTS},
            },
        },
        "operations": {
            **{action: _operation(action, text, answer) for action, (text, answer) in ACTIONS.items()},
            "push": {
                "action": "send",
                "channel": {"$ref": "#/channels/connection"},
                "summary": "What others have done",
                "messages": [_in_channel("connection", f"{name}Pushed") for name in PUSHED],
            },
            "publish": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "What the company's other systems may want to know; repeats have one `event_id`",
                "messages": [_in_channel("events", name) for name in EVENTS],
            },
            "publishMessages": {
                "action": "send",
                "channel": {"$ref": "#/channels/messageEvents"},
                "summary": "Every message, at least once: order by `seq`, drop repeats by `event_id`",
                "messages": [_in_channel("messageEvents", name) for name in MESSAGE_EVENTS],
            },
        },
        "components": {
            "messages": messages,
            "schemas": dict(sorted(made.items())),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": (
                        "In the header `Authorization`, as the subprotocol `bearer.<token>` beside `navietakie.v1`"
                        " (browsers), or as `?token=`"
                    ),
                }
            },
        },
    }
    name_enumerations(described)
    return described


def _client_frames(made: Mapping[str, Schema]) -> dict[str, Schema]:
    """The schemas of the client's frames, from the models that check them."""
    receipt = made["SocketReceipt"]["properties"]
    acts = {
        "call_action": made["SocketAct"]["properties"]["call_action"],
        "call_id": made["NewAct"]["properties"]["call_id"],
        "client_call_id": made["NewAct"]["properties"]["client_call_id"],
        "device_id": made["NewAct"]["properties"]["device_id"],
        "report": made["NewAct"]["properties"]["report"],
    }
    names = ("message", "message_type", "metadata")
    fields: dict[str, tuple[Schema, list[str]]] = {
        "message": ({name: made["NewMessage"]["properties"][name] for name in names}, ["message"]),
        "call": (acts, ["call_action"]),
        "signal": (made["NewSignal"]["properties"] | _said(made), ["call_id", "data"]),
        "typing": (made["Typing"]["properties"], ["on"]),
        "away": (made["Away"]["properties"], ["on"]),
        "delivered": (receipt, ["seq"]),
        "read": (receipt, ["seq"]),
        "attach": (made["NewAttachment"]["properties"], ["content_type", "bytes"]),
        "redact": (made["SocketRedaction"]["properties"], ["timestamp"]),
        "sync": (made["SyncRequest"]["properties"], []),
        "ping": ({}, []),
    }
    frame_id = TypeAdapter(ClientId).json_schema() | {"description": FIELDS["id"]}
    return {
        _frame_name(action): {
            "type": "object",
            "description": ACTIONS[action][0],
            "properties": {"action": {"const": action, "description": "What to do"}, "id": frame_id, **deepcopy(own)},
            "required": ["action", *required],
        }
        for action, (own, required) in fields.items()
    }


def _said(made: Mapping[str, Schema]) -> Schema:
    """The schema of `data` in a `signal`: the other side gets it unchanged."""
    return {"data": made["SignalPushed"]["properties"]["data"]}


def _operation(action: str, text: str, answer: str | None) -> Schema:
    replies = [_in_channel("connection", name) for name in (*([answer] if answer else []), "error", *GATEWAY)]
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/connection"},
        "summary": text,
        "messages": [_in_channel("connection", f"{action}Frame")],
        "reply": {"channel": {"$ref": "#/channels/connection"}, "messages": replies},
    }


def _frame_name(action: str) -> str:
    return f"{action.capitalize()}Frame"


def _of(name: str, kind: type, made: Mapping[str, Schema]) -> Schema:
    return _message(name, kind.__name__, made[kind.__name__]["description"])


def _message(name: str, schema: str, summary: str) -> Schema:
    return {"name": name, "summary": summary, "payload": ref(schema)}


def _component(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/messages/{name}"}


def _in_channel(channel: str, name: str) -> dict[str, Any]:
    return {"$ref": f"#/channels/{channel}/messages/{name}"}
