"""Pages of a history: full, or as much as fits into reading 1 MB."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypedDict

from pydantic import AfterValidator, BeforeValidator, Field

from navietakie.aws.tables.messages import MessageStore, Page
from navietakie.domain import cursors, instants
from navietakie.domain.conversation import Head, Receipts
from navietakie.domain.message import Fields, Limit, Message, MessageType, Sender
from navietakie.domain.orders import BookingState, Rights

CACHED_BYTES: Final = 8 * 1024 * 1024
BYTES_AROUND: Final = 1_000
"""The bytes that keeping a page takes besides its messages."""


def _listed(value: Any) -> Any:
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


Timestamp = Annotated[str, AfterValidator(instants.normalized)]
Listed = BeforeValidator(_listed)


class HistoryQuery(Fields):
    """Which part of a history is asked for. `after` and `before` are exclusive."""

    limit: Limit = 50
    order: Literal["asc", "desc"] = "desc"
    after: Timestamp | None = None
    before: Timestamp | None = None
    message_type: Annotated[list[MessageType], Listed] = Field(default_factory=list[MessageType])
    sender: Annotated[list[Sender], Listed] = Field(default_factory=list[Sender])
    cursor: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class HistoryPage(TypedDict):
    """Part of a history, and the state of the conversation."""

    messages: list[Message]
    next_cursor: str | None
    head_seq: int
    epoch: str | None
    receipts: Receipts
    booking: BookingState


@dataclass(frozen=True, slots=True)
class PageKey:
    """Which page it is: two pages with equal keys are the same."""

    booking_code: str
    epoch: str | None
    redactions: int
    ascending: bool
    limit: int
    after: str | None
    before: str | None
    senders: frozenset[str]
    types: frozenset[str]


class PageCache:
    """Full past pages, kept in a warm container. They change only by redactions, which the head counts, and expire.

    They are kept as text: parsed, a page takes up to fourteen times as much memory, depending on what clients sent.
    """

    def __init__(self, capacity: int = CACHED_BYTES) -> None:
        self._capacity = capacity
        self._used = 0
        self._pages: OrderedDict[PageKey, tuple[bytes, str | None, int | None]] = OrderedDict()

    @property
    def pages(self) -> int:
        """How many pages are kept."""
        return len(self._pages)

    def get(self, key: PageKey, now: int) -> Page | None:
        """The page, unless a message on it has expired."""
        kept = self._pages.get(key)
        if kept is None:
            return None
        text, position, first_expiry = kept
        if first_expiry is not None and first_expiry <= instants.to_seconds(now):
            self._drop(key)
            return None
        self._pages.move_to_end(key)
        return Page([Message.model_construct(**fields) for fields in json.loads(text)], position, first_expiry)

    def put(self, key: PageKey, page: Page) -> None:
        """Keeps a page. The least recently used pages make room for it."""
        if key in self._pages:
            self._drop(key)
        messages = [message.model_dump() for message in page.messages]
        text = json.dumps(messages, ensure_ascii=False, separators=(",", ":")).encode()
        self._pages[key] = (text, page.position, page.first_expiry)
        self._used += len(text) + BYTES_AROUND
        while self._used > self._capacity:
            self._drop(next(iter(self._pages)))

    def _drop(self, key: PageKey) -> None:
        self._used -= len(self._pages.pop(key)[0]) + BYTES_AROUND


@dataclass(frozen=True, slots=True)
class History:
    """Reads pages from `store`, and past ones from `cache` if it has them."""

    store: MessageStore
    cache: PageCache

    def page(
        self,
        booking_code: str,
        query: HistoryQuery,
        *,
        now: int,
        deadline: float,
        allowed: Callable[[Rights], None] = lambda _: None,
    ) -> HistoryPage:
        """The answer of `GET /api/v1/get_message`; raises `invalid_request` for a foreign cursor, or `unavailable`.

        `allowed` raises if the booking's rights do not allow the page.
        """
        after, before = query.after, query.before
        if query.cursor is not None:
            position = cursors.decode(booking_code, query.cursor)
            if query.order == "asc":
                after = max(position, after or position)
            else:
                before = min(position, before or position)
        head = self.store.head(booking_code)
        allowed(head.rights)
        page = Page([], None)
        if head.seq:
            ascending = query.order == "asc"
            senders, types = frozenset[str](query.sender), frozenset[str](query.message_type)
            key = PageKey(
                booking_code, head.epoch, head.redactions, ascending, query.limit, after, before, senders, types
            )
            cached = self.cache.get(key, now)
            page = cached or self._read(key, now, deadline)
            if cached is None and _is_past(page, key, head):
                self.cache.put(key, page)
        return {
            "messages": page.messages,
            "next_cursor": cursors.encode(booking_code, page.position) if page.position else None,
            "head_seq": head.seq,
            "epoch": head.epoch,
            "receipts": head.receipts,
            "booking": head.rights.booking,
        }

    def _read(self, key: PageKey, now: int, deadline: float) -> Page:
        """The page at `key`, by reading at most 1 MB, which is what one Query reads.

        A second Query follows only if a small first one found expired items that DynamoDB has not deleted yet.
        """
        filtered = bool(key.senders or key.types)
        page = self._query(key, now, None if filtered else key.limit + 1, key.after, key.before)
        found, position, expiry = page.messages, page.position, page.first_expiry
        short = position is not None and len(found) < key.limit
        if short and not page.at_read_limit and time.monotonic() < deadline:
            after, before = (position, key.before) if key.ascending else (key.after, position)
            more = self._query(key, now, None, after, before)
            found, position = [*found, *more.messages], more.position
            expiry = min((each for each in (expiry, more.first_expiry) if each is not None), default=None)
        if len(found) > key.limit:
            found = found[: key.limit]
            position = found[-1].timestamp
        return Page(found, position, expiry)

    def _query(self, key: PageKey, now: int, limit: int | None, after: str | None, before: str | None) -> Page:
        return self.store.page(
            key.booking_code,
            now=now,
            ascending=key.ascending,
            limit=limit,
            most=key.limit + 1,
            after=after,
            before=before,
            senders=key.senders,
            types=key.types,
        )


def _is_past(page: Page, key: PageKey, head: Head) -> bool:
    """Whether no later message can change this page."""
    if len(page.messages) < key.limit:
        return False
    if key.ascending:
        return page.position is not None
    return key.before is not None and key.before <= head.timestamp


def newest(store: MessageStore, booking_code: str, head: Head, now: int, limit: int) -> list[Message]:
    """The last messages up to `head`, the oldest first."""
    page = store.page(booking_code, now=now, ascending=False, limit=limit, through=head.timestamp)
    return page.messages[::-1]
