"""Pages under sparse filters, and the cache of past pages, on the table in memory."""

import gc
import time
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from get_message.history import History, HistoryQuery, PageCache
from navietakie.aws.tables.messages import Page
from navietakie.domain import instants
from navietakie.domain.conversation import Head
from navietakie.domain.message import Message, Sender
from tests.fakes.messages import FakeMessages

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
FOREVER = instants.to_seconds(NOW) + 10**6


class Counting(FakeMessages):
    """Records how many items each query asks for; None: as many as one query reads."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for: list[int | None] = []

    def page(self, booking_code: str, **how: Any) -> Page:
        self.asked_for.append(how["limit"])
        return super().page(booking_code, **how)


def filled(count: int, passenger_every: int = 500, text: str = "x", expired: int = 0) -> Counting:
    """A history. Its first `expired` messages have expired."""
    store = Counting()
    history: dict[str, tuple[Message, int]] = {}
    for seq in range(1, count + 1):
        sender: Sender = "passenger" if seq % passenger_every == 0 else "driver"
        timestamp = instants.to_text(NOW + seq)
        history[timestamp] = (
            Message.model_construct(
                message_id=str(seq),
                booking_code="test",
                seq=seq,
                timestamp=timestamp,
                sender=sender,
                message_type="text",
                message=text,
            ),
            FOREVER if seq > expired else 0,
        )
    store.messages["test"] = history
    store.heads["test"] = Head(count, instants.to_text(NOW + count), "epoch")
    return store


def read(store: FakeMessages, cache: PageCache | None = None, seconds: float = 60, **query: Any) -> dict[str, Any]:
    service = History(store, cache or PageCache())
    asked = HistoryQuery.parse(query)
    return service.page("test", asked, now=NOW, deadline=time.monotonic() + seconds)


def walk(store: Counting, **query: Any) -> tuple[list[int], int]:
    """The sequences of all messages from page to page, and the number of pages."""
    cursor, found, pages = None, list[int](), 0
    while cursor or not pages:
        store.asked_for.clear()
        body = read(store, **query, **({"cursor": cursor} if cursor else {}))
        assert len(store.asked_for) == 1
        found += [message.seq for message in body["messages"]]
        cursor, pages = body["next_cursor"], pages + 1
    return found, pages


def test_a_filter_that_matches_few_fills_its_page_within_1_mb() -> None:
    store = filled(3_000, passenger_every=100)
    body = read(store, sender="passenger", limit=20)
    assert [message.seq for message in body["messages"]] == list(range(3_000, 1_000, -100))
    assert body["next_cursor"]
    assert store.asked_for == [None]


def test_an_unfiltered_page_of_a_long_history_is_one_small_read() -> None:
    store = filled(30_000)
    middle = instants.to_text(NOW + 15_000)
    assert len(read(store, before=middle, limit=50)["messages"]) == 50
    assert store.asked_for == [51]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_page_of_the_longest_messages_ends_with_1_mb_and_the_cursor_goes_on(order: str) -> None:
    store = filled(120, text="x" * 25_000)
    assert 35 < len(read(store, limit=100, order=order)["messages"]) < 45
    found, pages = walk(store, limit=100, order=order)
    assert sorted(found) == list(range(1, 121))
    assert pages == 3


def test_a_page_may_be_empty_after_1_mb_and_the_cursor_goes_on() -> None:
    store = filled(440, passenger_every=2_000, text="x" * 25_000)
    body = read(store, sender="passenger", limit=50)
    assert (body["messages"], store.asked_for) == ([], [None])
    assert body["next_cursor"]
    found, pages = walk(store, sender="passenger", limit=50)
    assert found == []
    assert 10 <= pages <= 12


def test_a_page_is_filled_past_what_has_expired_and_was_not_swept_yet() -> None:
    store = filled(300, expired=250)
    assert [message.seq for message in read(store, order="asc", limit=20)["messages"]] == list(range(251, 271))
    assert store.asked_for == [21, None]


def test_reading_ends_at_the_deadline() -> None:
    store = filled(300, expired=250)
    body = read(store, order="asc", limit=20, seconds=-1)
    assert body["messages"] == []
    assert body["next_cursor"]
    assert store.asked_for == [21]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_cover_the_history_once_whatever_their_size(order: str, limit: int) -> None:
    store, cache = filled(205, passenger_every=3), PageCache()
    for senders, expected in (("", range(1, 206)), ("passenger", range(3, 206, 3))):
        for _ in range(2):  # the second time from the cache
            cursor, found = None, list[int]()
            while True:
                more = {"cursor": cursor} if cursor else {}
                body = read(store, cache, order=order, limit=limit, sender=senders, **more)
                assert len(body["messages"]) <= limit
                found += [message.seq for message in body["messages"]]
                cursor = body["next_cursor"]
                if cursor is None:
                    break
            assert found == sorted(expected, reverse=order == "desc")


def test_the_cache_holds_only_past_pages_and_is_bounded() -> None:
    store, cache = filled(300), PageCache(capacity=30_000)
    read(store, cache, limit=100)
    assert cache.pages == 0
    for limit in (100, 50, 40):
        read(store, cache, limit=limit, order="asc")
    assert cache.pages == 2


def test_a_page_from_the_cache_is_the_page_that_was_read() -> None:
    store, cache = filled(300), PageCache()
    text, metadata = "żółw 🐢", {"b": 1, "a": [0.1, 10**30, None, "é"]}
    for timestamp, (message, expires_at) in store.messages["test"].items():
        changed = message.model_copy(update={"message": text, "metadata": metadata})
        store.messages["test"][timestamp] = (changed, expires_at)
    once = read(store, cache, limit=10, order="asc")
    assert (read(store, cache, limit=10, order="asc"), len(store.asked_for)) == (once, 1)


def test_large_metadata_does_not_exceed_the_caches_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    capacity = 500_000
    store, cache = filled(300), PageCache(capacity)
    many = {f"{number:x}": list[Any]() for number in range(450)}  # parsed, it takes fourteen times as much memory
    for timestamp, (message, expires_at) in store.messages["test"].items():
        store.messages["test"][timestamp] = (message.model_copy(update={"metadata": many}), expires_at)
    plain = store.page

    def parsed_anew(booking_code: str, **how: Any) -> Page:
        page = plain(booking_code, **how)
        return replace(page, messages=[message.model_copy(deep=True) for message in page.messages])

    monkeypatch.setattr(store, "page", parsed_anew)
    tracemalloc.start()
    try:
        for seq in range(1, 21):
            read(store, cache, limit=40, order="asc", after=instants.to_text(NOW + seq))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cache.pages > 1
    assert held < capacity


def test_another_epoch_is_another_history() -> None:
    store, cache = filled(300), PageCache()
    read(store, cache, limit=10, order="asc")
    store.heads["test"] = Head(300, store.heads["test"].timestamp, "another")
    read(store, cache, limit=10, order="asc")
    assert len(store.asked_for) == 2
