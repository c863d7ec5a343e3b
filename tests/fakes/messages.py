"""The messages table in memory: every method is one atomic step, as in DynamoDB."""

from collections.abc import Collection
from dataclasses import replace
from threading import Lock
from typing import Any

from navietakie.aws.tables.messages import (
    ANY_CONTENT,
    MARKER_LIFE,
    QUERY_BYTES,
    AlreadyStored,
    HeadMoved,
    Marker,
    Page,
    item_of,
)
from navietakie.domain import instants
from navietakie.domain.conversation import Head, ReceiptKind
from navietakie.domain.message import Message, Sender, Side, compact
from navietakie.domain.orders import NO_TOKEN


class FakeMessages:
    def __init__(self) -> None:
        self._lock = Lock()
        self.heads: dict[str, Head] = {}
        self.messages: dict[str, dict[str, tuple[Message, int]]] = {}
        self.markers: dict[tuple[str, str, str], tuple[Marker, int]] = {}

    def head(self, booking_code: str) -> Head:
        with self._lock:
            return self.heads.get(booking_code, Head())

    def store(
        self,
        message: Message,
        *,
        before: Head,
        after: Head,
        expires_at: int,
        now: int,
        token: str,
        marker: Marker | None = None,
    ) -> None:
        with self._lock:
            head = self.heads.get(message.booking_code, Head())
            history = self.messages.setdefault(message.booking_code, {})
            there = history.get(message.timestamp)
            if there and there[0].message_id == message.message_id:
                return
            if marker is not None:
                key = (message.booking_code, marker.sender, marker.client_message_id)
                kept = self.markers.get(key)
                if kept and kept[1] > instants.to_seconds(now):
                    raise AlreadyStored(kept[0])
            moved = (head.seq, head.epoch) != (before.seq, before.epoch)
            if there or moved:
                raise HeadMoved(head if moved else None)
            if marker is not None:
                self.markers[key] = (marker, instants.to_seconds(now + MARKER_LIFE))
            history[message.timestamp] = (message, expires_at)
            self.heads[message.booking_code] = replace(after, receipt_seqs=head.receipt_seqs)

    def marker(self, booking_code: str, sender: Sender, client_message_id: str, now: int) -> Marker | None:
        with self._lock:
            kept = self.markers.get((booking_code, sender, client_message_id))
            return kept[0] if kept and kept[1] > instants.to_seconds(now) else None

    def redact(
        self,
        original: Message,
        notice: Message,
        *,
        before: Head,
        after: Head,
        expires_at: int,
        token: str,
        marker: Marker | None = None,
    ) -> None:
        with self._lock:
            head = self.heads.get(notice.booking_code, Head())
            history = self.messages.setdefault(notice.booking_code, {})
            there = history.get(notice.timestamp)
            if there and there[0].message_id == notice.message_id:
                return
            stored = history.get(original.timestamp)
            moved = (head.seq, head.epoch) != (before.seq, before.epoch)
            changed = stored is None or stored[0].message_id != original.message_id or stored[0].redacted_at is not None
            key = (original.booking_code, original.sender, original.client_message_id or "")
            kept = self.markers.get(key)
            gone = marker is not None and (kept is None or kept[0].timestamp != marker.timestamp)
            if there or moved or changed or gone or stored is None:
                raise HeadMoved(head if moved else None)
            blank = {"message": "", "metadata": None, "redacted_at": notice.timestamp}
            history[original.timestamp] = (stored[0].model_copy(update=blank), stored[1])
            history[notice.timestamp] = (notice, expires_at)
            if marker is not None and kept is not None:
                self.markers[key] = (replace(kept[0], digest=ANY_CONTENT), kept[1])
            self.heads[notice.booking_code] = replace(after, receipt_seqs=head.receipt_seqs)

    def message(self, booking_code: str, timestamp: str, *, now: int | None = None) -> Message | None:
        with self._lock:
            there = self.messages.get(booking_code, {}).get(timestamp)
            return there[0] if there and (now is None or there[1] > instants.to_seconds(now)) else None

    def items_at(
        self, wanted: Collection[tuple[str, str]]
    ) -> tuple[dict[tuple[str, str], dict[str, Any]], list[tuple[str, str]]]:
        now, later = list(wanted)[:100], list(wanted)[100:]
        with self._lock:
            there = {key: self.messages.get(key[0], {}).get(key[1]) for key in now}
        return {key: item_of(*found) for key, found in there.items() if found}, later

    def page(
        self,
        booking_code: str,
        *,
        now: int,
        ascending: bool,
        limit: int | None,
        most: int | None = None,
        after: str | None = None,
        through: str | None = None,
        before: str | None = None,
        senders: frozenset[str] = frozenset(),
        types: frozenset[str] = frozenset(),
    ) -> Page:
        with self._lock:
            history = sorted(self.messages.get(booking_code, {}).items(), reverse=not ascending)
        inside = [
            it
            for timestamp, it in history
            if (after is None or timestamp > after)
            and (timestamp <= through if through else before is None or timestamp < before)
        ]
        fits = self._within(QUERY_BYTES, [message for message, _ in inside[:limit]])
        read = inside[:fits]
        cut = fits < len(inside[:limit])
        alive = [
            (message, expires_at)
            for message, expires_at in read
            if expires_at > instants.to_seconds(now)
            and (not senders or message.sender in senders)
            and (not types or message.message_type in types)
        ]
        position = read[-1][0].timestamp if cut or len(read) == limit else None
        if most is not None and len(alive) > most:
            alive = alive[:most]
            position = alive[-1][0].timestamp
        expiries = (expires_at for _, expires_at in alive)
        return Page([message for message, _ in alive], position, min(expiries, default=None), cut)

    def _within(self, size: int, messages: list[Message]) -> int:
        """How many of the messages DynamoDB reads until it has read `size` bytes."""
        for count, message in enumerate(messages):
            size -= len(compact(message.model_dump()))
            if size <= 0:
                return count + 1
        return len(messages)

    def move_receipt(
        self, booking_code: str, side: Side, kind: ReceiptKind, seq: int, iat: int | None = NO_TOKEN
    ) -> tuple[Head, bool]:
        with self._lock:
            head = self.heads.get(booking_code, Head())
            if seq > head.seq or head.receipts[side][kind] >= seq or head.rights.revokes(side, iat):
                return head, False
            marks = {**head.receipt_seqs, f"{side}_{kind}": seq}
            head = self.heads[booking_code] = replace(head, receipt_seqs=marks)
            return head, True

    def move_allowance(self, booking_code: str, sender: Sender, *, before: int | None, after: int) -> bool:
        with self._lock:
            head = self.heads.get(booking_code, Head())
            if head.allowances.get(sender) != before:
                return False
            self.heads[booking_code] = replace(head, allowances={**head.allowances, sender: after})
            return True
