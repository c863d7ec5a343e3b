"""The REST API as an OpenAPI 3.1 document. Its webhooks are the requests that a backend gets in proxy mode."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Final

from pydantic import TypeAdapter

from docs.generator import requests
from docs.generator.schemas import CONTACT, LICENCE, Schema, name_enumerations, never_null, parameters, ref, schemas
from get_message.attachment import AttachmentAddress
from get_message.history import HistoryPage, HistoryQuery
from make_call.answers import MadeCall
from make_call.calling import CallLogPage, LogQuery
from navietakie.domain.errors import STATUS, Code
from navietakie.domain.message import BookingCode
from navietakie.doors.rest import Error
from send_message.answers import SentMessage
from send_message.attaching import AttachmentForm
from send_message.receipts import StoredReceipt
from websocket.proxy import Departure, Registration

EVERYWHERE: Final[tuple[Code, ...]] = (
    "invalid_request",
    "unauthorized",
    "token_expired",
    "forbidden",
    "rate_limited",
    "internal",
    "unavailable",
)
"""The codes with which any request may be refused."""

OWN: Final[Mapping[str, tuple[Code, ...]]] = {
    "sendMessage": (
        "muted",
        "refused_by_hook",
        "not_found",
        "idempotency_conflict",
        "booking_closed",
        "too_large",
    ),
    "getMessage": (),
    "makeCall": ("muted", "not_found", "illegal_transition", "call_in_progress", "booking_closed", "too_large"),
    "listCalls": (),
    "getAttachment": ("not_found",),
}
"""The further codes with which each operation may be refused."""

REASONS: Final[Mapping[Code, str]] = {
    "invalid_request": "a field is missing or malformed; `details.field` names it",
    "unauthorized": "there is no token, or it is not valid",
    "token_expired": "get a new token",
    "forbidden": "the token is for another booking or role, or the role may not do this",
    "muted": "the company has muted this side: it may read and answer calls",
    "refused_by_hook": "the company's hook refused the message; `details.reason` may say why",
    "not_found": "there is no such thing",
    "idempotency_conflict": "another message was stored under this `client_message_id`",
    "illegal_transition": "the call is in a state in which this cannot happen; `details.call` is the call",
    "call_in_progress": "a call is connected; `details.call` is the call",
    "booking_closed": "nothing can be said in it any more",
    "too_large": "the body, the metadata, or the message as a frame has too many bytes",
    "rate_limited": "too many messages, calls or requests in a short time; wait `Retry-After` seconds",
    "unavailable": "send again after `Retry-After` seconds, with the same id: what was stored after all is stored once",
    "internal": "not the request's fault; it may succeed later",
}

CALL_BODIES: Final[Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "InitiateCall": ("The sender calls the other side.", ("initiate",), ()),
    "ChangeCall": (
        "What the sender does with a call; `ice` asks for fresh ICE servers.",
        ("accept", "reject", "end", "ice"),
        ("call_id",),
    ),
    "ReportCall": ("How a call was for the sender.", ("report",), ("call_id", "report")),
}
"""The bodies of `make_call`: a description, the actions, and the required fields of each."""

UNIONS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "SendBody": (
        "A message; or a receipt, a redaction or a request for an upload form.",
        ("SendMessage", "SendDelivered", "SendRead", "SendRedaction", "SendAttach"),
    ),
    "SentBefore": ("What was stored before, or the receipts.", ("SentMessage", "StoredReceipt")),
    "SentNow": ("What is stored now, or the form for an upload.", ("SentMessage", "AttachmentForm")),
    "CallBody": ("What the sender does with the booking's call.", tuple(CALL_BODIES)),
}
"""The shapes that are one of several: a description of each, and the alternatives."""

REQUESTS: Final = (
    requests.SendMessage,
    requests.SendDelivered,
    requests.SendRead,
    requests.SendRedaction,
    requests.SendAttach,
    requests.MakeCall,
    HistoryQuery,
    LogQuery,
)
ANSWERS: Final = (
    SentMessage,
    StoredReceipt,
    AttachmentForm,
    AttachmentAddress,
    HistoryPage,
    MadeCall,
    CallLogPage,
    Error,
    Registration,
    Departure,
)

BOOKING: Final[Schema] = {
    "name": "booking_code",
    "in": "query",
    "required": True,
    "description": "Names the conversation",
    "schema": TypeAdapter(BookingCode).json_schema(),
    "example": "test",
}
IDEMPOTENCY_KEY: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Another name of `client_message_id`",
    "schema": {"type": "string", "pattern": "^[ -~]{1,64}$"},
}
EXCLUDED: Final[Schema] = {
    "name": "X-Exclude-Connection",
    "in": "header",
    "description": "A connection of the sender's own side that does not get the broadcast",
    "schema": {"type": "string"},
}
HEADERS: Final[Schema] = {
    "x-request-id": {"description": "Find it in the logs", "required": True, "schema": {"type": "string"}},
    "retry-after": {
        "description": "Seconds to wait before the next attempt",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
}


def document() -> Schema:
    """The whole document."""
    made = schemas(REQUESTS, ANSWERS)
    history, log = made.pop("HistoryQuery"), made.pop("LogQuery")
    made["Error"]["properties"]["error"] = ref("Problem") | {"description": "What is wrong"}
    made |= _call_bodies(made.pop("MakeCall"))
    made |= {
        name: {"description": text, "oneOf": [ref(each) for each in several]}
        for name, (text, several) in UNIONS.items()
    }
    described: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "NavieTakie",
            "version": "1",
            "license": LICENCE,
            "contact": CONTACT,
            "summary": "The conversation of a ride: messages and voice calls between a driver and a passenger",
            "description": (
                "A booking names a conversation between its driver and its passenger. What is stored here reaches their"
                " apps over WebSocket (asyncapi.yaml). Bodies are JSON of at most 32 KB; unknown fields are ignored,"
                " and clients ignore fields that they do not know."
            ),
        },
        "servers": [
            {"url": "http://127.0.0.1:8000", "description": "What `make run` starts"},
            {
                "url": "https://{api}.execute-api.{region}.amazonaws.com/{environment}",
                "description": "A deployed stack",
                "variables": {
                    "api": {"default": "abcde12345"},
                    "region": {"default": "us-east-1"},
                    "environment": {"default": "staging", "enum": ["staging", "production"]},
                },
            },
        ],
        "security": [{"token": []}],
        "tags": [
            {"name": "messages", "description": "Stored once, in order, without a gap"},
            {"name": "calls", "description": "A call rings, is connected and ends; at most one at a time"},
            {"name": "proxy mode", "description": "What a backend gets that handles the WebSocket events itself"},
        ],
        "paths": {
            "/api/v1/send_message": {"post": _send_message()},
            "/api/v1/get_message": {"get": _get_message(history)},
            "/api/v1/make_call": {"post": _make_call()},
            "/api/v1/attachment": {"get": _attachment()},
            "/api/v1/calls": {"get": _calls(log)},
        },
        "webhooks": {
            "register": {"post": _register()},
            "message": {"post": _message()},
            "disconnect": {"post": _disconnect()},
        },
        "components": {
            "schemas": made,
            "responses": _responses(),
            "headers": HEADERS,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "HS256; claims `sub`, `booking_code`, `role`, `exp`, `aud` (navietakie). With"
                    " `AuthMode=none`, which is for the local stack alone, no token is needed.",
                }
            },
        },
    }
    name_enumerations(described)
    return described


def _call_bodies(act: Schema) -> dict[str, Schema]:
    """The schemas of the bodies of `make_call`, from the one model that checks them."""
    made: dict[str, Schema] = {}
    for name, (text, actions, required) in CALL_BODIES.items():
        body = deepcopy(act)
        fields = body["properties"]
        action = {"const": actions[0]} if len(actions) == 1 else {"enum": list(actions)}
        fields["action"] = {"type": "string", **action, "description": fields["action"]["description"]}
        for field in required:
            fields[field] = never_null(fields[field])
        made[name] = body | {"description": text, "required": [*act["required"], *required]}
    return made


def _send_message() -> Schema:
    return {
        "operationId": "sendMessage",
        "tags": ["messages"],
        "summary": "Store a message or a receipt, or redact a message, and tell the booking's connections",
        "description": (
            "A body with `message` is a message; one with `delivered` or `read` instead is a receipt, one with `redact`"
            " a redaction. Checked in this order: duplicate, closed, muted, rate."
        ),
        "parameters": [IDEMPOTENCY_KEY, EXCLUDED],
        "requestBody": _body(
            ref("SendBody"),
            hello=("The smallest message", {"booking_code": "test", "message": "Hello", "sender": "driver"}),
            place=(
                "A place, sent exactly once",
                {
                    "booking_code": "test",
                    "message": "I am here",
                    "sender": "driver",
                    "client_message_id": "6f1c2a",
                    "metadata": {"location": {"lat": 52.52, "lng": 13.405}},
                },
            ),
        ),
        "responses": {
            "200": _answer(
                "A repeat of what was stored before; or a receipt",
                ref("SentBefore"),
            ),
            "201": _answer(
                "The message, or the notice of the redaction, is stored; or the form for an upload",
                ref("SentNow"),
            )
            | {
                "links": {
                    "history": {
                        "operationId": "getMessage",
                        "parameters": {"booking_code": "$response.body#/message/booking_code"},
                        "description": "The message is on the newest page",
                    }
                }
            },
            **_refusals(*OWN["sendMessage"]),
        },
    }


def _get_message(query: Schema) -> Schema:
    return {
        "operationId": "getMessage",
        "tags": ["messages"],
        "summary": "Read a page of the history, the newest message first",
        "description": (
            "A page is filled to `limit`, or ends where 1 MB was read: it may be short, even empty, and have a"
            " `next_cursor`."
        ),
        "parameters": [BOOKING, *_parameters(query)],
        "responses": {"200": _answer("A page", ref(HistoryPage)), **_refusals(*OWN["getMessage"])},
    }


def _make_call() -> Schema:
    return {
        "operationId": "makeCall",
        "tags": ["calls"],
        "summary": "Initiate, accept, reject or end a call; ask for ICE servers; report how a call was",
        "description": (
            "A repeat of what led to the present state, by the same side and device, answers 200. `ice` changes nothing"
            " and answers with fresh ICE servers for a live call; `report` is for a call that has ended."
        ),
        "requestBody": _body(
            ref("CallBody"),
            initiate=("The driver calls", {"booking_code": "test", "sender": "driver", "action": "initiate"}),
            report=(
                "How the call was for the driver",
                {
                    "booking_code": "test",
                    "sender": "driver",
                    "action": "report",
                    "call_id": "0" * 32,
                    "report": {"setup_ms": 640, "relayed": False, "lost": 3, "received": 7_400, "seconds": 151},
                },
            ),
        ),
        "responses": {
            "200": _answer("The call after that", ref(MadeCall))
            | {
                "links": {
                    "accept": _next_action("accept", "The other side answers the call"),
                    "end": _next_action("end", "Either side hangs up"),
                    "log": {
                        "operationId": "listCalls",
                        "parameters": {"booking_code": "$response.body#/call/booking_code"},
                        "description": "The call is the first in the log",
                    },
                }
            },
            **_refusals(*OWN["makeCall"]),
        },
    }


def _attachment() -> Schema:
    id = {"type": "string", "minLength": 1, "maxLength": 64}
    return {
        "operationId": "getAttachment",
        "tags": ["messages"],
        "summary": "Get an address of an attachment, which works for 15 minutes",
        "description": "The address needs no token; get another one when it has expired.",
        "parameters": [
            BOOKING,
            {"name": "id", "in": "query", "required": True, "description": "Names the attachment", "schema": id},
        ],
        "responses": {"200": _answer("An address", ref(AttachmentAddress)), **_refusals(*OWN["getAttachment"])},
    }


def _calls(query: Schema) -> Schema:
    return {
        "operationId": "listCalls",
        "tags": ["calls"],
        "summary": "Read a page of the call log, the newest call first, a live one included",
        "description": "A live call is the first; the next page begins at `next_cursor`.",
        "parameters": [BOOKING, *_parameters(query)],
        "responses": {"200": _answer("A page", ref(CallLogPage)), **_refusals(*OWN["listCalls"])},
    }


def _register() -> Schema:
    return {
        "operationId": "registerConnection",
        "summary": "A client wants to connect: POST {BackendUrl}/api/ws/register",
        "tags": ["proxy mode"],
        "security": [],
        "parameters": _signed(),
        "requestBody": _body(ref(Registration)),
        "responses": {
            "2XX": {"description": "Let it in"},
            "401": {"description": "Refuse it with 401"},
            "403": {"description": "Refuse it with 403"},
            "default": {"description": "Refuse it with 502"},
        },
    }


def _message() -> Schema:
    return {
        "operationId": "takeFrame",
        "summary": "A client has sent a frame: POST {BackendUrl}/api/ws/message",
        "tags": ["proxy mode"],
        "security": [],
        "parameters": _signed(),
        "requestBody": _body({"type": "object", "description": "The client's frame, byte for byte"}),
        "responses": {
            "200": {
                "description": "The body goes to the client as a frame, if there is one; 32 KB at most",
                "content": {"application/json": {"schema": {}}},
            },
            "204": {"description": "Nothing goes to the client"},
            "default": {"description": "The client gets an `error` frame; after 503 two more tries, after 5 s none"},
        },
    }


def _disconnect() -> Schema:
    return {
        "operationId": "forgetConnection",
        "summary": "A client has left: POST {BackendUrl}/api/ws/disconnect",
        "tags": ["proxy mode"],
        "security": [],
        "parameters": _signed(),
        "requestBody": _body(ref(Departure)),
        "responses": {
            "2XX": {"description": "Taken"},
            "default": {"description": "Sent twice more, then given up and counted"},
        },
    }


def _signed() -> list[Schema]:
    told = {
        "x-connection-id": "The WebSocket connection",
        "x-navietakie-signature": (
            "`t=<unix seconds>,v1=<hex HMAC-SHA256>` of `t.path.connection-id.ce-id.body` under the proxy secret"
        ),
        "ce-specversion": "CloudEvents: `1.0`",
        "ce-id": "CloudEvents: equal for repeats of one event",
        "ce-source": "CloudEvents: the stage's @connections base",
        "ce-type": "CloudEvents: `navietakie.websocket.register`, `….message`, `….disconnect`",
        "ce-time": "CloudEvents: when it happened",
    }
    return [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in told.items()
    ]


def _next_action(action: str, description: str) -> Schema:
    return {
        "operationId": "makeCall",
        "requestBody": {
            "booking_code": "$response.body#/call/booking_code",
            "sender": "$response.body#/call/callee",
            "call_id": "$response.body#/call/call_id",
            "action": action,
        },
        "description": description,
    }


def _parameters(query: Schema) -> list[Schema]:
    found: list[Schema] = []
    for name, schema in parameters(query).items():
        listed = {"style": "form", "explode": False} if schema.get("type") == "array" else {}
        found.append(
            {"name": name, "in": "query", "description": schema.pop("description"), **listed, "schema": schema}
        )
    return found


def _body(schema: Schema, **examples: tuple[str, Schema]) -> Schema:
    content: Schema = {"schema": schema}
    if examples:
        content["examples"] = {name: {"summary": text, "value": it} for name, (text, it) in examples.items()}
    return {"required": True, "content": {"application/json": content}}


def _answer(description: str, schema: Schema, *headers: str) -> Schema:
    return {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in ("x-request-id", *headers)},
        "content": {"application/json": {"schema": schema}},
    }


def _refusals(*own: Code) -> Schema:
    """The answers to refused requests, by status."""
    names = {STATUS[codes[0]]: name for name, codes in _groups((*EVERYWHERE, *own)).items()}
    return {str(status): {"$ref": f"#/components/responses/{name}"} for status, name in sorted(names.items())}


def _responses() -> Schema:
    """A response for each set of codes that some operation has under one status. All have one schema."""
    groups = {name: codes for own in OWN.values() for name, codes in _groups((*EVERYWHERE, *own)).items()}
    responses: Schema = {}
    for name, codes in sorted(groups.items(), key=lambda group: (STATUS[group[1][0]], group[0])):
        headers = ["retry-after"] if STATUS[codes[0]] in (429, 503) else []
        text = "; ".join(f"`{code}`: {REASONS[code]}" for code in codes)
        responses[name] = _answer(text, ref(Error), *headers) | {"x-error-codes": codes}
    return responses


def _groups(codes: Iterable[Code]) -> dict[str, list[Code]]:
    """These codes by status, each group with a name for it."""
    by_status: dict[int, list[Code]] = {}
    for code, status in STATUS.items():
        if code in codes:
            by_status.setdefault(status, []).append(code)
    return {"Or".join(code.title().replace("_", "") for code in group): group for group in by_status.values()}
