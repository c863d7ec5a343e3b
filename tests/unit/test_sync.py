"""The pages and frames of a sync, on the table in memory."""

import time
from typing import Any

import pytest

from get_message.sync import FIRST_PAGE, FRAMES, STEP, Sync
from navietakie.aws.tables.messages import Page
from navietakie.domain import instants
from navietakie.domain.conversation import Head, append
from navietakie.domain.frames import FRAME_BYTES, encode
from navietakie.domain.message import NewMessage
from navietakie.domain.rate_limit import NO_LIMIT
from tests.fakes.messages import FakeMessages

START = "2026-03-01T10:00:00.000000Z"
NOW = instants.from_text(START)


class Counting(FakeMessages):
    """Counts the pages that were read."""

    pages = 0

    def page(self, booking_code: str, **how: Any) -> Page:
        self.pages += 1
        return super().page(booking_code, **how)


def test_a_client_that_missed_more_than_a_page_gets_all_of_it_in_one_sync() -> None:
    store = Counting()
    said(store, [str(number) for number in range(1, 451)])
    sync = Sync(store, {"booking_code": "test", "ts": START})
    head, deadline = store.head("test"), time.monotonic() + 60
    frames = list(sync.frames("test", START, {}, head, now=NOW, deadline=deadline))
    assert [message.seq for each in frames for message in each["messages"]] == list(range(1, 451))
    assert frames[-1]["through_seq"] == 450
    assert store.pages == 450 // STEP + 1 > 2


def said(store: FakeMessages, texts: list[str]) -> None:
    """Stores a message of each text; the first is number 1."""
    for number, text in enumerate(texts, store.head("test").seq + 1):
        head = store.head("test")
        message, after = append(
            head,
            NewMessage(message=text),
            booking_code="test",
            sender="driver",
            now=NOW + number,
            message_id=str(number),
            epoch="the-epoch",
            rate_limit=NO_LIMIT,
        )
        store.store(message, before=head, after=after, expires_at=2**40, now=NOW, token=str(number))


def synced(
    store: FakeMessages, after: str | None = START, state: Any = None, head: Head | None = None, seconds: float = 60.0
) -> list[Any]:
    """The frames of a sync."""
    sync = Sync(store, {"booking_code": "test", "ts": START, "id": "7"})
    deadline = time.monotonic() + seconds
    return list(sync.frames("test", after, state or {}, head or store.head("test"), now=NOW, deadline=deadline))


def numbers(frames: list[Any]) -> list[list[int]]:
    return [[message.seq for message in frame["messages"]] for frame in frames]


def at(number: int) -> str:
    return instants.to_text(NOW + number)


def test_a_frame_says_what_it_brings_how_far_it_goes_and_the_last_one_how_things_stand() -> None:
    store = FakeMessages()
    said(store, ["x" * 5_000] * 7)
    frames = synced(store, state={"call": None, "presence": "here"})
    common = {
        "v": 1,
        "type": "sync",
        "booking_code": "test",
        "ts": START,
        "id": "7",
        "head_seq": 7,
        "epoch": "the-epoch",
    }
    assert numbers(frames) == [[1, 2, 3, 4, 5, 6], [7]]
    first, last = ({name: it for name, it in frame.items() if name != "messages"} for frame in frames)
    assert first == {**common, "part": 0, "through_seq": 6, "through": at(6), "has_more": True}
    end = {"part": 1, "through_seq": 7, "through": at(7), "has_more": False, "call": None, "presence": "here"}
    assert last == common | end


def test_an_empty_booking_and_one_without_anything_new_get_one_frame_without_messages() -> None:
    store = FakeMessages()
    (frame,) = synced(store)
    assert (frame["messages"], frame["part"], frame["through_seq"], frame["through"]) == ([], 0, 0, None)
    assert (frame["head_seq"], frame["epoch"], frame["has_more"]) == (0, None, False)
    said(store, ["x", "y"])
    (frame,) = synced(store, at(2))
    assert (frame["messages"], frame["part"], frame["through_seq"], frame["through"]) == ([], 0, 2, at(2))


def test_a_client_with_nothing_gets_the_newest_fifty() -> None:
    store = FakeMessages()
    said(store, ["x"] * 60)
    assert numbers(synced(store, None)) == [list(range(11, 61))]


def test_what_comes_after_the_head_that_was_read_is_not_part_of_it() -> None:
    store = FakeMessages()
    said(store, ["x"] * 3)
    head = store.head("test")
    said(store, ["y"] * 2)
    for after in (START, None):
        (frame,) = synced(store, after, head=head)
        assert (numbers([frame]), frame["through_seq"], frame["head_seq"]) == ([[1, 2, 3]], 3, 3)


def test_a_sync_has_eight_frames_at_most_and_the_last_says_where_to_go_on() -> None:
    assert (FRAMES, FIRST_PAGE, STEP) == (8, 50, 24)
    store = FakeMessages()
    said(store, ["x" * 5_000] * 60)
    frames = synced(store)
    assert [frame["part"] for frame in frames] == list(range(8))
    assert [len(part) for part in numbers(frames)] == [6] * 8
    assert [frame["has_more"] for frame in frames] == [True] * 7 + [False]
    assert (frames[-1]["through_seq"], frames[-1]["through"], frames[-1]["head_seq"]) == (48, at(48), 60)
    assert numbers(synced(store, frames[-1]["through"])) == [list(range(49, 55)), list(range(55, 61))]


@pytest.mark.parametrize("seconds", [0, -1])
def test_where_no_time_is_left_one_part_is_sent_and_the_client_goes_on(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1_000.0)
    store = FakeMessages()
    said(store, ["x" * 5_000] * 20)
    (frame,) = synced(store, seconds=seconds)
    assert (numbers([frame]), frame["through_seq"], frame["has_more"]) == ([[1, 2, 3, 4, 5, 6]], 6, False)


def test_a_state_that_does_not_fit_the_last_messages_frame_gets_one_of_its_own() -> None:
    store = FakeMessages()
    said(store, ["x" * 5_000] * 7)
    large = {"presence": "p" * 30_000}
    frames = synced(store, state=large)
    assert numbers(frames) == [[1, 2, 3, 4, 5, 6], [7], []]
    assert [(frame["part"], frame["has_more"], frame["through_seq"]) for frame in frames] == [
        (0, True, 6),
        (1, True, 7),
        (2, False, 7),
    ]
    assert (frames[-1]["presence"], "presence" in frames[1]) == (large["presence"], False)
    assert all(len(encode(frame)) <= FRAME_BYTES for frame in frames)


def test_where_the_eighth_frame_has_no_room_for_the_state_its_messages_wait_for_the_next_sync() -> None:
    store = FakeMessages()
    said(store, ["x" * 5_000] * 60)
    frames = synced(store, state={"presence": "p" * 30_000})
    assert [len(part) for part in numbers(frames)] == [6] * 7 + [0]
    assert (frames[-1]["through_seq"], frames[-1]["through"], frames[-1]["has_more"]) == (42, at(42), False)


def test_a_state_that_fits_no_frame_of_messages_may_be_the_eighth_frame() -> None:
    store = FakeMessages()
    said(store, ["x" * 5_000] * 42)
    frames = synced(store, state={"presence": "p" * 30_000})
    assert [len(part) for part in numbers(frames)] == [6] * 7 + [0]
    assert (frames[-1]["part"], frames[-1]["through_seq"], frames[-1]["has_more"]) == (7, 42, False)


@pytest.mark.parametrize(("spare", "parts"), [(0, [[1, 2, 3, 4, 5, 6, 7]]), (-1, [[1, 2, 3, 4, 5, 6], [7]])])
def test_messages_that_fit_to_the_byte_are_one_frame(spare: int, parts: list[list[int]]) -> None:
    texts = ["x" * 5_000] * 5 + ["x" * 2_000]
    said(store := FakeMessages(), [*texts, "x"])
    (frame,) = synced(store)
    room = FRAME_BYTES - len(encode(frame))
    said(store := FakeMessages(), [*texts, "x" * (1 + room - spare)])
    assert numbers(synced(store)) == parts


def test_of_an_empty_booking_no_page_is_read() -> None:
    store = Counting()
    (frame,) = synced(store)
    assert (store.pages, frame["messages"]) == (0, [])


@pytest.mark.parametrize(("spare", "frames"), [(0, 1), (-1, 2)])
def test_a_state_that_fits_to_the_byte_needs_no_frame_of_its_own(spare: int, frames: int) -> None:
    store = FakeMessages()
    said(store, ["x"])
    (frame,) = synced(store, state={"presence": ""})
    state = {"presence": "p" * (FRAME_BYTES - len(encode(frame)) - spare)}
    assert len(synced(store, state=state)) == frames


def test_nothing_but_a_state_is_one_frame_however_large() -> None:
    (frame,) = synced(FakeMessages(), state={"presence": "p" * FRAME_BYTES})
    assert frame["part"] == 0
