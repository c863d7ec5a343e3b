"""The frames that the server sends over WebSocket: JSON objects of at most 32 KB with `v`, `type` and their booking.

Here is what several functions send, and what all frames have in common. What one function alone sends is a type in its
own folder. The AsyncAPI document is made from these types.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NotRequired, TypedDict

from pydantic import BaseModel

from navietakie.domain.errors import Code, Refusal
from navietakie.domain.message import Message, Sender

FRAME_BYTES: Final = 32 * 1024
"""API Gateway closes the connection on a larger frame, in either direction (its WebSocket quotas)."""
CONTENT_BYTES: Final = 31 * 1024
"""The most that one message or signal may take, so that every frame around it keeps within FRAME_BYTES."""


class Pushed(TypedDict):
    """What all frames of the server have, beside their `type`."""

    v: Literal[1]
    booking_code: str
    ts: str


class Addressed(TypedDict):
    """What a reply takes from the frame that it answers."""

    booking_code: str
    ts: str
    id: NotRequired[str]


class Reply(Addressed):
    """A frame that answers one of the client's, and repeats its id."""

    v: Literal[1]


class MessagePushed(Pushed):
    """A message was stored. To everybody but the connection that sent it."""

    type: Literal["message"]
    sender: Sender
    message: Message


class FrameProblem(TypedDict):
    """Why a frame was refused, and whether and when to send it again."""

    code: Code
    message: str
    retryable: bool
    retry_after_ms: int | None
    details: dict[str, Any]


class ErrorAnswer(TypedDict):
    """One of the client's frames was refused. The connection stays open, except after `connection_replaced`."""

    v: Literal[1]
    type: Literal["error"]
    booking_code: str | None
    ts: str
    id: str | None
    error: FrameProblem


Frame = Pushed | Reply | ErrorAnswer


def encode(value: Mapping[str, object]) -> bytes:
    """The bytes that travel: compact JSON in unescaped UTF-8. Models in it are written as their fields."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_fields_of).encode()


def _fields_of(value: object) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError(f"{type(value).__name__} is not JSON")


def message_frame(message: Message) -> MessagePushed:
    """The frame that carries a stored message to everyone but its sender."""
    return {
        "v": 1,
        "type": "message",
        "booking_code": message.booking_code,
        "ts": message.timestamp,
        "sender": message.sender,
        "message": message,
    }


def error_frame(refusal: Refusal, booking_code: str | None, ts: str, id: str | None = None) -> ErrorAnswer:
    """The frame that tells a client that one of its frames, the one with this `id`, was refused."""
    error: FrameProblem = {
        "code": refusal.code,
        "message": refusal.message,
        "retryable": refusal.retryable,
        "retry_after_ms": refusal.retry_after_ms,
        "details": refusal.details,
    }
    return {"v": 1, "type": "error", "booking_code": booking_code, "ts": ts, "id": id, "error": error}


def encode_content(frame: Frame, what: str) -> bytes:
    """The bytes of a frame with what a client has sent; raises `too_large` above 31 KB: no connection would take it."""
    encoded = encode(frame)
    if len(encoded) > CONTENT_BYTES:
        raise Refusal("too_large", f"{what}: more than {CONTENT_BYTES} bytes as a frame")
    return encoded


def pack(messages: Iterable[Message], envelope: Frame) -> Iterator[Sequence[Message]]:
    """`messages` in order, cut so that each part fits one frame together with `envelope`."""
    room = FRAME_BYTES - len(encode(envelope)) + 1  # a comma is counted for each message, and the last has none
    part: list[Message] = []
    used = 0
    for message in messages:
        size = len(encode(message.model_dump())) + 1
        if part and used + size > room:
            yield part
            part, used = [], 0
        part.append(message)
        used += size
    if part:
        yield part
