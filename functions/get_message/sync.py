"""Sync: everything after a client's last message, in frames that a WebSocket can carry, and then how things stand."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from get_message.history import Store, Timestamp, newest
from navietakie.domain.conversation import Head
from navietakie.domain.frames import FRAME_BYTES, Frame, encode, pack
from navietakie.domain.message import Fields, Message

FIRST_PAGE: Final = 50
STEP: Final = 200


class SyncRequest(Fields):
    """`after`: the timestamp of the last message that the client has; without it the newest page is sent."""

    after: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class Sync:
    """The frames that answer one `sync`. `envelope` is the frame without its contents."""

    store: Store
    envelope: Frame

    def frames(
        self, booking_code: str, after: str | None, state: dict[str, Any], head: Head, *, now: int, deadline: float
    ) -> Iterator[Frame]:
        """Numbered frames of at most 32 KB: all messages after `after` up to `head`, then `state` in the last one.

        Should the time run out, the last frame's `through_seq` stays behind `head_seq`, and the client syncs again.
        """
        empty = self._frame(head.seq, [], head.seq, head, has_more=False)  # no part has a longer number
        part = 0
        through_seq = head.seq
        pending: Sequence[Message] = []
        for packed in pack(self._messages(booking_code, after, head, now), empty):
            if pending:
                yield self._frame(part, pending, pending[-1].seq, head, has_more=True)
                part += 1
            pending = packed
            if time.monotonic() >= deadline:
                through_seq = packed[-1].seq
                break
        last = self._frame(part, pending, through_seq, head, has_more=False) | state
        if pending and len(encode(last)) > FRAME_BYTES:
            yield self._frame(part, pending, pending[-1].seq, head, has_more=True)
            last = self._frame(part + 1, [], through_seq, head, has_more=False) | state
        yield last

    def _frame(self, part: int, messages: Sequence[Message], through_seq: int, head: Head, *, has_more: bool) -> Frame:
        return self.envelope | {
            "part": part,
            "messages": [message.model_dump() for message in messages],
            "through_seq": through_seq,
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
