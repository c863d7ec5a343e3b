"""Pages under sparse filters, and the cache of past pages, on the table in memory."""

import gc
import json
import time
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from get_message.history import BYTES_AROUND, CACHED_BYTES, History, HistoryQuery, PageCache, PageKey, newest
from navietakie.aws.tables.messages import Page
from navietakie.domain import instants
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message, Sender
from navietakie.domain.orders import Rights
from tests.fakes.messages import FakeMessages

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
FOREVER = instants.to_seconds(NOW) + 10**6


class Counting(FakeMessages):
    """Records how many items each query asks for, None: as many as one query reads; and how many messages it wants."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for: list[int | None] = []
        self.most: list[int | None] = []

    def page(self, booking_code: str, **how: Any) -> Page:
        self.asked_for.append(how["limit"])
        self.most.append(how.get("most"))
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


def test_a_page_that_is_full_but_for_what_shows_whether_more_follows_is_not_read_on() -> None:
    store = filled(300, expired=1)
    body = read(store, order="asc", limit=20)
    assert [message.seq for message in body["messages"]] == list(range(2, 22))
    assert body["next_cursor"]
    assert store.asked_for == [21]


def test_one_message_more_than_the_page_is_asked_for_even_where_as_many_as_one_query_reads_are_looked_at() -> None:
    store = filled(300, passenger_every=3)
    assert [message.seq for message in read(store, sender="passenger", limit=20)["messages"]] == [*range(300, 240, -3)]
    assert store.most == [21]


@pytest.mark.parametrize("seconds", [0, -1])
def test_reading_ends_at_the_deadline(seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1_000.0)
    store = filled(300, expired=250)
    body = read(store, order="asc", limit=20, seconds=seconds)
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


def at(seq: int) -> str:
    return instants.to_text(NOW + seq)


def numbers(body: dict[str, Any]) -> list[int]:
    return [message.seq for message in body["messages"]]


def test_a_page_has_the_newest_fifty_unless_it_is_asked_for_otherwise() -> None:
    assert numbers(read(filled(60))) == list(range(60, 10, -1))
    assert numbers(read(filled(60), order="asc")) == list(range(1, 51))


def test_a_page_says_how_the_booking_stands() -> None:
    store = filled(3)
    store.heads["test"] = replace(
        store.heads["test"], receipt_seqs={"driver_read": 2}, rights=Rights(closed_at=at(3), muted={"driver": at(2)})
    )
    body = read(store)
    del body["messages"]
    assert body == {
        "next_cursor": None,
        "head_seq": 3,
        "epoch": "epoch",
        "receipts": {"driver": {"delivered": 2, "read": 2}, "passenger": {"delivered": 0, "read": 0}},
        "booking": {"closed_at": at(3), "muted": ["driver"]},
    }
    assert read(FakeMessages())["messages"] == []


def test_whoever_may_not_read_gets_no_page() -> None:
    store = filled(3)

    def refuse(rights: Rights) -> None:
        assert rights == store.heads["test"].rights
        raise Refusal("unauthorized", "No")

    with pytest.raises(Refusal):
        History(store, PageCache()).page("test", HistoryQuery(), now=NOW, deadline=0.0, allowed=refuse)
    assert store.asked_for == []


def test_bounds_are_exclusive_and_a_cursor_stays_within_them() -> None:
    store = filled(10)
    assert numbers(read(store, after=at(3), before=at(7))) == [6, 5, 4]
    first = read(store, order="asc", limit=2, after=at(3), before=at(7))
    assert numbers(first) == [4, 5]
    assert numbers(read(store, order="asc", limit=2, before=at(7), cursor=first["next_cursor"])) == [6]
    assert numbers(read(store, order="asc", limit=2, after=at(6), cursor=first["next_cursor"])) == [7, 8]
    last = read(store, limit=2, before=at(7))
    assert numbers(last) == [6, 5]
    assert numbers(read(store, limit=2, cursor=last["next_cursor"])) == [4, 3]
    assert numbers(read(store, limit=2, before=at(3), cursor=last["next_cursor"])) == [2, 1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"sender": "passenger"}, [10, 5]),
        ({"sender": "driver,passenger", "limit": 3}, [10, 9, 8]),
        ({"sender": "agent"}, list[int]()),
        ({"message_type": "call"}, list[int]()),
        ({"message_type": "text,call", "limit": 2}, [10, 9]),
        ({"sender": ",", "limit": 1}, [10]),
    ],
)
def test_a_filter_lists_senders_and_types(query: dict[str, Any], found: list[int]) -> None:
    assert numbers(read(filled(10, passenger_every=5), **query)) == found


def test_past_pages_are_kept_and_those_that_may_grow_are_not() -> None:
    for query, kept in (
        ({"order": "asc", "limit": 10}, True),
        ({"order": "asc", "limit": 10, "after": at(20)}, False),
        ({"order": "asc", "limit": 10, "after": at(19)}, True),
        ({"limit": 10, "before": at(30)}, True),
        ({"limit": 10, "before": at(31)}, False),
        ({"limit": 10}, False),
        ({"limit": 10, "before": at(9)}, False),
    ):
        cache = PageCache()
        read(filled(30), cache, **query)
        assert (cache.pages == 1) == kept, query


def size_in_cache(page: Page) -> int:
    """The bytes that a page takes: its messages as compact JSON in UTF-8, and 1,000."""
    messages = [message.model_dump() for message in page.messages]
    return len(json.dumps(messages, ensure_ascii=False, separators=(",", ":")).encode()) + 1_000


def ten(store: Counting, number: int = 0) -> Page:
    """A page of ten messages, all of the same size."""
    return store.page("test", ascending=True, limit=10, now=NOW, after=at(100 + 10 * number))


def test_the_least_recently_used_page_makes_room() -> None:
    store = filled(300, text="ü")
    cache = PageCache(capacity=2 * size_in_cache(ten(store)))
    queries = [{"limit": 10, "order": "asc", "after": at(100 + 10 * number)} for number in range(3)]
    read(store, cache, **queries[0])
    read(store, cache, **queries[1])
    assert cache.pages == 2
    read(store, cache, **queries[0])
    read(store, cache, **queries[2])
    assert cache.pages == 2
    store.asked_for.clear()
    read(store, cache, **queries[0])
    assert store.asked_for == []
    read(store, cache, **queries[1])
    assert len(store.asked_for) == 1


def test_a_page_that_is_put_again_counts_once_and_one_that_was_dropped_no_more() -> None:
    store = filled(300, text="ü")
    pages = [ten(store, number) for number in range(4)]
    room = 2 * size_in_cache(pages[0])
    cache = PageCache(capacity=room)
    keys = [PageKey("test", None, 0, True, 10, str(number), None, frozenset(), frozenset()) for number in range(4)]
    for _ in range(3):
        for key, page in zip(keys, pages, strict=True):
            cache.put(key, page)
            cache.put(key, page)
    assert (cache.pages, cache.get(keys[2], NOW), cache.get(keys[3], NOW)) == (2, pages[2], pages[3])
    small = PageCache(capacity=room - 1)
    for key, page in zip(keys, pages, strict=True):
        small.put(key, page)
    assert small.pages == 1


def test_a_page_is_kept_until_the_first_of_its_messages_expires() -> None:
    cache = PageCache()
    key = PageKey("test", None, 0, True, 1, None, None, frozenset(), frozenset())
    page = replace(filled(1).page("test", ascending=True, limit=1, now=NOW), first_expiry=instants.to_seconds(NOW) + 1)
    cache.put(key, page)
    assert cache.get(key, NOW) == page
    assert (cache.get(key, NOW + instants.SECOND), cache.pages) == (None, 0)
    cache.put(key, replace(page, first_expiry=None))
    assert cache.get(key, 10**18) == replace(page, first_expiry=None)


def test_eight_megabytes_of_pages_are_kept() -> None:
    assert (CACHED_BYTES, BYTES_AROUND) == (8_388_608, 1_000)


def test_the_newest_come_the_oldest_first_up_to_the_head() -> None:
    store = filled(10)
    assert [it.seq for it in newest(store, "test", store.head("test"), NOW, 3)] == [8, 9, 10]
    assert [it.seq for it in newest(store, "test", Head(7, at(7)), NOW, 3)] == [5, 6, 7]
