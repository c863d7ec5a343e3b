"""The frames that the server sends over WebSocket: JSON objects of at most 32 KB with `v`, `type` and their booking."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message

FRAME_BYTES: Final = 32 * 1024
"""API Gateway closes the connection on a larger frame, in either direction (its WebSocket quotas)."""
CONTENT_BYTES: Final = 31 * 1024
"""The most that one message or signal may take, so that every frame around it keeps within FRAME_BYTES."""

Frame = dict[str, Any]


def frame(type: str, booking_code: str, ts: str, *, id: str | None = None, **fields: Any) -> Frame:
    """A server frame; `id` repeats the id of the client's frame that it answers."""
    answer = {} if id is None else {"id": id}
    return {"v": 1, "type": type, "booking_code": booking_code, "ts": ts, **answer, **fields}


def encode(frame: Mapping[str, Any]) -> bytes:
    """The bytes that travel: compact JSON in unescaped UTF-8."""
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode()


def message_frame(message: Message) -> Frame:
    """The frame that carries a stored message to everyone but its sender."""
    return frame(
        "message", message.booking_code, message.timestamp, sender=message.sender, message=message.model_dump()
    )


def error_frame(refusal: Refusal, booking_code: str | None, ts: str, id: str | None = None) -> Frame:
    """The frame that tells a client that one of its frames, the one with this `id`, was refused."""
    error: dict[str, Any] = {
        "code": refusal.code,
        "message": refusal.message,
        "retryable": refusal.retryable,
        "retry_after_ms": refusal.retry_after_ms,
        "details": refusal.details,
    }
    return {"v": 1, "type": "error", "booking_code": booking_code, "ts": ts, "id": id, "error": error}


def check_size(frame: Mapping[str, Any], what: str) -> None:
    """Raises `too_large` for a frame of more than 31 KB: no connection could be sent it."""
    if len(encode(frame)) > CONTENT_BYTES:
        raise Refusal("too_large", f"{what}: more than {CONTENT_BYTES} bytes as a frame")


def pack(messages: Iterable[Message], envelope: Mapping[str, Any]) -> Iterator[Sequence[Message]]:
    """`messages` in order, cut so that each part fits one frame together with `envelope`."""
    room = FRAME_BYTES - len(encode(envelope))
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
