"""Frames stay within the size that API Gateway carries."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navietakie.aws.tables.connections import Connection
from navietakie.domain import frames
from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message
from navietakie.doors.requests import SocketRequest, party_of

ENVELOPE: dict[str, Any] = {
    "v": 1,
    "type": "sync",
    "booking_code": "b" * 64,
    "ts": "2026-03-01T10:00:00.000000Z",
    "id": "i" * 64,
    "messages": [],
    "epoch": "e" * 32,
}


def message(text: str, seq: int = 1) -> Message:
    return Message(
        message_id="m" * 32,
        booking_code="b" * 64,
        seq=seq,
        timestamp="2026-03-01T10:00:00.000000Z",
        sender="driver",
        message_type="text",
        message=text,
    )


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=5_000), max_size=40))
def test_packed_frames_hold_every_message_in_order_and_keep_within_32_kb(texts: list[str]) -> None:
    messages = [message(text, seq) for seq, text in enumerate(texts, 1)]
    parts = list(frames.pack(messages, ENVELOPE))
    assert [each for part in parts for each in part] == messages
    for part in parts:
        body = frames.encode(ENVELOPE | {"messages": part})
        assert len(body) <= frames.FRAME_BYTES


def test_the_largest_message_fits_a_sync_frame() -> None:
    text = "\x01" * 5_000  # each takes six bytes in JSON
    largest = message(text)
    frames.encode_content(frames.message_frame(largest), "message")
    (part,) = frames.pack([largest], ENVELOPE)
    assert len(frames.encode(ENVELOPE | {"messages": part})) <= frames.FRAME_BYTES


def test_frames_are_unescaped_utf_8_without_spaces() -> None:
    assert frames.encode({"a": "ü🚕", "b": 1}) == '{"a":"ü🚕","b":1}'.encode()


def test_models_are_written_as_json_and_other_objects_are_refused() -> None:
    assert json.loads(frames.encode({"message": message("Hello")}))["message"] == message("Hello").model_dump()
    with pytest.raises(TypeError, match="object is not JSON"):
        frames.encode({"message": object()})


@pytest.mark.parametrize(("id", "repeated"), [("7", {"id": "7"}), (None, {})])
def test_a_reply_repeats_the_id_of_the_frame_that_it_answers(id: str | None, repeated: dict[str, str]) -> None:
    own = Connection("c1", "ride-1", "driver", "2026-03-01T10:00:00.000000Z", 0)
    request = SocketRequest(own, party_of(own, {}), {}, id, 1_000_000, 0.0, {})
    assert request.addressed() == {"booking_code": "ride-1", "ts": "1970-01-01T00:00:01.000000Z", **repeated}


def test_an_error_frame_has_an_id_even_if_it_is_null() -> None:
    assert frames.error_frame(Refusal("not_found", "No"), "b", "t")["id"] is None


def test_an_error_frame_says_whether_and_when_to_try_again() -> None:
    refusal = Refusal("rate_limited", "Too many", retry_after_ms=1_250)
    frame = frames.error_frame(refusal, "b", "t", "7")
    assert frame["error"] == {
        "code": "rate_limited",
        "message": "Too many",
        "retryable": True,
        "retry_after_ms": 1_250,
        "details": {},
    }
    assert refusal.retry_after_seconds == 2
    assert json.loads(frames.encode(frame)) == frame


def test_a_frame_above_31_kb_is_too_large() -> None:
    room = frames.CONTENT_BYTES - len(frames.encode({"data": ""}))
    full = {"data": "x" * room}
    assert frames.encode_content(full, "data") == frames.encode(full)
    with pytest.raises(Refusal) as refused:
        frames.encode_content({"data": "x" * (room + 1)}, "data")
    assert refused.value.code == "too_large"


def test_a_frame_is_at_most_32_kb_and_its_content_31() -> None:
    assert (frames.FRAME_BYTES, frames.CONTENT_BYTES) == (32_768, 31_744)


def test_a_message_and_an_error_travel_in_an_envelope() -> None:
    hello = message("Hello")
    assert frames.message_frame(hello) == {
        "v": 1,
        "type": "message",
        "booking_code": "b" * 64,
        "ts": "2026-03-01T10:00:00.000000Z",
        "sender": "driver",
        "message": hello,
    }
    frame = frames.error_frame(Refusal("muted", "This side is muted", details={"muted_at": "then"}), "b", "t", "7")
    problem = {
        "code": "muted",
        "message": "This side is muted",
        "retryable": False,
        "retry_after_ms": None,
        "details": {"muted_at": "then"},
    }
    assert frame == {"v": 1, "type": "error", "booking_code": "b", "ts": "t", "id": "7", "error": problem}


@pytest.mark.parametrize(
    ("spare", "parts"),
    [
        ((0, 0), [[1, 2], [3, 4]]),
        ((-1, 0), [[1], [2], [3, 4]]),
        ((0, -1), [[1, 2], [3], [4]]),
    ],
)
def test_a_part_takes_as_many_messages_as_fit_to_the_byte(spare: tuple[int, int], parts: list[list[int]]) -> None:
    # The room is for whole messages, each but the last with a comma.
    room = frames.FRAME_BYTES - len(frames.encode(ENVELOPE)) + 1
    small = len(frames.encode(message("").model_dump())) + 1
    second, fourth = (room - 2 * small - 1 - less for less in spare)
    texts = ["x", "x" * second, "x", "x" * fourth]
    packed = frames.pack([message(text, seq) for seq, text in enumerate(texts, 1)], ENVELOPE)
    assert [[each.seq for each in part] for part in packed] == parts


def test_no_message_makes_no_part() -> None:
    assert list(frames.pack([], ENVELOPE)) == []
