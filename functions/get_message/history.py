"""Pages of a history: filled under any filter, within a bounded amount of reading."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import AfterValidator, BeforeValidator, Field

from navietakie import cursors, instants
from navietakie.conversation import Head
from navietakie.message import Fields, Message, MessageType, Sender
from navietakie.tables.messages import Page

ITEMS_READ: Final = 60_000
"""How many items one request looks at before it answers with what it has."""
STEP_GROWTH: Final = 4
CACHED_BYTES: Final = 8 * 1024 * 1024


def _listed(value: Any) -> Any:
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


Timestamp = Annotated[str, AfterValidator(instants.normalized)]
Listed = BeforeValidator(_listed)


class HistoryQuery(Fields):
    """Which part of a history is asked for. `after` and `before` are exclusive."""

    limit: Annotated[int, Field(ge=1, le=100, strict=False)] = 50
    order: Literal["asc", "desc"] = "desc"
    after: Timestamp | None = None
    before: Timestamp | None = None
    message_type: Annotated[list[MessageType], Listed] = Field(default_factory=list[MessageType])
    sender: Annotated[list[Sender], Listed] = Field(default_factory=list[Sender])
    cursor: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class Store(Protocol):
    """Where messages are kept: `tables.messages.Messages`."""

    def head(self, booking_code: str) -> Head: ...

    def page(
        self,
        booking_code: str,
        *,
        now: int,
        ascending: bool,
        limit: int,
        after: str | None = None,
        through: str | None = None,
        before: str | None = None,
        senders: frozenset[str] = frozenset(),
        types: frozenset[str] = frozenset(),
    ) -> Page: ...


@dataclass(frozen=True, slots=True)
class Range:
    """One page's place in a history: what it must be equal in to be the same page."""

    booking_code: str
    epoch: str | None
    ascending: bool
    limit: int
    after: str | None
    before: str | None
    senders: frozenset[str]
    types: frozenset[str]


class PageCache:
    """Full pages of the past, kept in a warm container: what lies behind the head never changes, it only expires."""

    def __init__(self, capacity: int = CACHED_BYTES) -> None:
        self._capacity = capacity
        self._used = 0
        self._pages: OrderedDict[Range, tuple[Page, int]] = OrderedDict()

    @property
    def pages(self) -> int:
        """How many pages are kept."""
        return len(self._pages)

    def get(self, range: Range, now: int) -> Page | None:
        """The page, unless a message on it has expired."""
        kept = self._pages.get(range)
        if kept is None:
            return None
        if kept[0].first_expiry is not None and kept[0].first_expiry <= instants.to_seconds(now):
            self._drop(range)
            return None
        self._pages.move_to_end(range)
        return kept[0]

    def put(self, range: Range, page: Page) -> None:
        """Keeps a page, in place of those not asked for the longest."""
        size = sum(1_000 + 4 * len(message.message) for message in page.messages)
        if range in self._pages:
            self._drop(range)
        self._pages[range] = (page, size)
        self._used += size
        while self._used > self._capacity:
            self._drop(next(iter(self._pages)))

    def _drop(self, range: Range) -> None:
        self._used -= self._pages.pop(range)[1]


@dataclass(frozen=True, slots=True)
class History:
    """Reads pages from `store`, past ones from `cache` where they are there."""

    store: Store
    cache: PageCache

    def page(self, booking_code: str, query: HistoryQuery, *, now: int, deadline: float) -> dict[str, Any]:
        """The answer of `GET /api/v1/get_message`; raises `invalid_request` for a foreign cursor, or `unavailable`."""
        after, before = query.after, query.before
        if query.cursor is not None:
            position = cursors.decode(booking_code, query.cursor)
            if query.order == "asc":
                after = max(position, after or position)
            else:
                before = min(position, before or position)
        head = self.store.head(booking_code)
        page = Page([], None, 0)
        if head.seq:
            ascending = query.order == "asc"
            senders, types = frozenset[str](query.sender), frozenset[str](query.message_type)
            range = Range(booking_code, head.epoch, ascending, query.limit, after, before, senders, types)
            cached = self.cache.get(range, now)
            page = cached or self._read(range, now, deadline)
            if cached is None and _is_past(page, range, head):
                self.cache.put(range, page)
        return {
            "messages": [message.model_dump() for message in page.messages],
            "next_cursor": cursors.encode(booking_code, page.position) if page.position else None,
            "head_seq": head.seq,
            "epoch": head.epoch,
            "receipts": head.receipts,
        }

    def _read(self, range: Range, now: int, deadline: float) -> Page:
        found: list[Message] = []
        after, before, expiry = range.after, range.before, None
        step = (range.limit + 1) * (2 if range.senders or range.types else 1)
        read = 0
        while True:
            part = self.store.page(
                range.booking_code,
                now=now,
                ascending=range.ascending,
                limit=step,
                after=after,
                before=before,
                senders=range.senders,
                types=range.types,
            )
            found += part.messages
            read += part.read
            if part.first_expiry is not None:
                expiry = min(part.first_expiry, expiry or part.first_expiry)
            if len(found) > range.limit:
                return Page(found[: range.limit], found[range.limit - 1].timestamp, read, expiry)
            spent = read >= ITEMS_READ or time.monotonic() >= deadline
            if part.position is None or len(found) == range.limit or spent:
                return Page(found, part.position, read, expiry)
            if range.ascending:
                after = part.position
            else:
                before = part.position
            step *= STEP_GROWTH


def _is_past(page: Page, range: Range, head: Head) -> bool:
    """Whether no later message can change this page."""
    if len(page.messages) < range.limit:
        return False
    if range.ascending:
        return page.position is not None
    return range.before is not None and range.before <= head.timestamp


def newest(store: Store, booking_code: str, head: Head, now: int, limit: int) -> list[Message]:
    """The last messages up to `head`, the oldest first."""
    page = store.page(booking_code, now=now, ascending=False, limit=limit, through=head.timestamp)
    return page.messages[::-1]
