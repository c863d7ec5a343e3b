"""Pages under sparse filters, and the cache of past pages, on the table in memory."""

import time
from typing import Any

import pytest

from get_message import history as module
from get_message.history import History, HistoryQuery, PageCache
from navietakie import instants
from navietakie.conversation import Head
from navietakie.message import Message, Sender
from navietakie.tables.messages import Page
from tests.fakes.messages import FakeMessages

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
FOREVER = instants.to_seconds(NOW) + 10**6


class Counting(FakeMessages):
    """Counts the pages that were read, and the items that were looked at for them."""

    pages = 0
    looked_at = 0

    def page(self, booking_code: str, **how: Any) -> Page:
        page = super().page(booking_code, **how)
        self.pages += 1
        self.looked_at += page.read
        return page


def filled(count: int, passenger_every: int = 500) -> Counting:
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
                message="x",
            ),
            FOREVER,
        )
    store.messages["test"] = history
    store.heads["test"] = Head(count, instants.to_text(NOW + count), "epoch")
    return store


def read(store: FakeMessages, cache: PageCache | None = None, seconds: float = 60, **query: Any) -> dict[str, Any]:
    service = History(store, cache or PageCache())
    asked = HistoryQuery.parse(query)
    return service.page("test", asked, now=NOW, deadline=time.monotonic() + seconds)


def test_a_filter_that_matches_one_in_five_hundred_fills_its_page() -> None:
    body = read(filled(30_000), sender="passenger", limit=50)
    assert [message["seq"] for message in body["messages"]] == list(range(30_000, 5_000, -500))
    assert body["next_cursor"]


def test_an_unfiltered_page_of_a_long_history_is_one_small_read() -> None:
    store = filled(30_000)
    middle = instants.to_text(NOW + 15_000)
    assert len(read(store, before=middle, limit=50)["messages"]) == 50
    assert (store.pages, store.looked_at) == (1, 51)


def test_reading_is_bounded_and_the_cursor_goes_on_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ITEMS_READ", 1_000)
    store = filled(12_000, passenger_every=11_000)
    cursor, found, requests = None, list[int](), 0
    while True:
        body = read(store, sender="passenger", limit=5, **({"cursor": cursor} if cursor else {}))
        found += [message["seq"] for message in body["messages"]]
        requests += 1
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert found == [11_000]
    assert requests > 3


def test_reading_ends_with_the_time_it_has() -> None:
    store = filled(20_000, passenger_every=19_999)
    body = read(store, sender="passenger", order="asc", seconds=-1)
    assert body["messages"] == []
    assert body["next_cursor"]
    assert store.pages == 1


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
                found += [message["seq"] for message in body["messages"]]
                cursor = body["next_cursor"]
                if cursor is None:
                    break
            assert found == sorted(expected, reverse=order == "desc")


def test_the_cache_holds_past_pages_alone_and_is_bounded() -> None:
    store, cache = filled(300), PageCache(capacity=120_000)
    read(store, cache, limit=100)
    assert cache.pages == 0
    read(store, cache, limit=100, order="asc")
    read(store, cache, limit=50, order="asc")
    read(store, cache, limit=40, order="asc")
    assert cache.pages == 2


def test_another_epoch_is_another_history() -> None:
    store, cache = filled(300), PageCache()
    read(store, cache, limit=10, order="asc")
    store.heads["test"] = Head(300, store.heads["test"].timestamp, "another")
    before = store.pages
    read(store, cache, limit=10, order="asc")
    assert store.pages == before + 1
