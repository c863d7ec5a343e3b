"""Sync: everything after a client's last message, in frames that a WebSocket can carry, and the booking's state."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NotRequired

from get_message.history import Timestamp, newest
from navietakie.aws.tables.connections import Presence
from navietakie.aws.tables.messages import QUERY_BYTES, MessageStore
from navietakie.domain.call import Call
from navietakie.domain.conversation import Head, Receipts
from navietakie.domain.frames import CONTENT_BYTES, FRAME_BYTES, Addressed, Reply, encode, pack
from navietakie.domain.message import Fields, Message
from navietakie.domain.orders import BookingState
from navietakie.doors.standing import StandingFields

FIRST_PAGE: Final = 50
FRAMES: Final = 8
"""The most frames that answer one sync: 256 KB."""
STEP: Final = (QUERY_BYTES - FRAMES * FRAME_BYTES) // CONTENT_BYTES
"""How many messages are read at once. One sync then reads 1 MB at most, however long the messages are."""


Position = tuple[int, str | None]
"""A message's number and its timestamp; 0 and None before the first."""


class SyncRequest(Fields):
    """`after`: the timestamp of the last message that the client has; without it the newest page is sent."""

    after: Timestamp | None = None


class SyncState(StandingFields):
    """The state of the booking."""

    call: Call | None


class SyncPart(Reply):
    """Part of what the client has missed. If `has_more`, the next part follows by itself. The last has the state."""

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


@dataclass(frozen=True, slots=True)
class Sync:
    """The frames that answer one `sync`. `addressed` has the fields that make each one an answer."""

    store: MessageStore
    addressed: Addressed

    def frames(
        self, booking_code: str, after: str | None, state: SyncState, head: Head, *, now: int, deadline: float
    ) -> Iterator[SyncPart]:
        """Numbered frames of at most 32 KB, FRAMES at most: messages after `after`, then `state` in the last one.

        Where more is left, because of its size or the time, the last frame's `through_seq` stays behind `head_seq`, and
        the client syncs on from `through`.
        """
        empty = self._frame(head.seq, [], _end(head), head, has_more=False)  # no part has a longer number
        part, came, goes = 0, _end(head), _end(head)
        pending: Sequence[Message] = []
        for packed in pack(self._messages(booking_code, after, head, now), empty):
            if pending:
                came = _last(pending)
                yield self._frame(part, pending, came, head, has_more=True)
                part += 1
            pending = packed
            if part == FRAMES - 1 or time.monotonic() >= deadline:
                goes = _last(packed)
                break
        last: SyncPart = {**self._frame(part, pending, goes, head, has_more=False), **state}
        if pending and len(encode(last)) > FRAME_BYTES:
            if part < FRAMES - 1:
                yield self._frame(part, pending, _last(pending), head, has_more=True)
                part += 1
            else:
                goes = came  # there is no frame left for both: the next sync brings the messages
            last = {**self._frame(part, [], goes, head, has_more=False), **state}
        yield last

    def _frame(
        self, part: int, messages: Sequence[Message], through: Position, head: Head, *, has_more: bool
    ) -> SyncPart:
        seq, timestamp = through
        return {
            "v": 1,
            "type": "sync",
            **self.addressed,
            "part": part,
            "messages": list(messages),
            "through_seq": seq,
            "through": timestamp,
            "head_seq": head.seq,
            "epoch": head.epoch,
            "has_more": has_more,
        }

    def _messages(self, booking_code: str, after: str | None, head: Head, now: int) -> Iterator[Message]:
        if not head.seq:
            return
        if after is None:
            yield from newest(self.store, booking_code, head, now, FIRST_PAGE)
            return
        while True:
            page = self.store.page(
                booking_code, now=now, ascending=True, limit=STEP, after=after, through=head.timestamp
            )
            yield from page.messages
            if page.position is None:
                return
            after = page.position


def _last(messages: Sequence[Message]) -> Position:
    return messages[-1].seq, messages[-1].timestamp


def _end(head: Head) -> Position:
    return head.seq, head.timestamp or None
