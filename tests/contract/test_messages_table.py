"""What every store of messages promises: the fake, and the DynamoDB adapter (on moto)."""

from dataclasses import replace
from typing import Any

import pytest

from navietakie.aws.tables.messages import (
    QUERY_BYTES,
    AlreadyStored,
    HeadMoved,
    Marker,
    Messages,
    Page,
    item_of,
    message_of,
)
from navietakie.domain import instants
from navietakie.domain.conversation import Head, append
from navietakie.domain.message import Message, NewMessage
from navietakie.domain.orders import REVOKED_AHEAD
from navietakie.domain.rate_limit import RateLimit
from tests.fakes import tables
from tests.fakes.messages import FakeMessages

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
NO_LIMIT = RateLimit(0, 1)
LATER = instants.to_seconds(NOW) + 90 * 86_400


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Any:
    if request.param == "fake":
        return FakeMessages()
    return Messages(request.getfixturevalue("moto"), tables.NAMES["messages"])


def put(
    store: Any,
    text: str = "Hello",
    *,
    before: Head | None = None,
    now: int = NOW,
    booking_code: str = "test",
    sender: Any = "driver",
    expires_at: int = LATER,
    message_id: str | None = None,
    **fields: Any,
) -> Message:
    new = NewMessage.parse({"message": text, **fields})
    head = store.head(booking_code) if before is None else before
    message, after = append(
        head,
        new,
        booking_code=booking_code,
        sender=sender,
        now=now,
        message_id=message_id or f"id-of-{text}",
        epoch="the-epoch",
        rate_limit=NO_LIMIT,
    )
    marker = None
    if new.client_message_id:
        marker = Marker(sender, new.client_message_id, message.timestamp, new.digest)
    store.store(message, before=head, after=after, expires_at=expires_at, now=now, token=f"{text}-{now}", marker=marker)
    return message


def texts(page: Any) -> list[str]:
    return [message.message for message in page.messages]


def test_a_booking_without_messages_has_the_empty_head(store: Any) -> None:
    assert store.head("test") == Head()


def test_a_stored_message_comes_back_as_it_was(store: Any) -> None:
    message = put(
        store,
        "Grüße 🚕",
        client_message_id="a b#c",
        sender_id="driver-7",
        metadata={"location": {"lat": 48.2081743, "lng": 16.0}, "big": 9007199254740991, "none": None},
    )
    assert store.message("test", message.timestamp) == message
    assert message.metadata is not None
    assert repr(message.metadata["location"]["lng"]) == "16.0"


def test_the_head_moves_with_each_message(store: Any) -> None:
    put(store, "one")
    second = put(store, "two")
    head = store.head("test")
    assert (head.seq, head.timestamp, head.epoch) == (2, second.timestamp, "the-epoch")


def test_a_message_decided_on_an_old_head_is_not_stored(store: Any) -> None:
    put(store, "one")
    old = store.head("test")
    put(store, "two")
    with pytest.raises(HeadMoved) as moved:
        put(store, "three", before=old, now=NOW + 5)
    assert moved.value.head == store.head("test")
    assert texts(store.page("test", now=NOW, ascending=True, limit=10)) == ["one", "two"]


def test_a_message_decided_on_the_head_of_an_erased_history_is_not_stored(store: Any) -> None:
    put(store, "one")
    erased = replace(store.head("test"), epoch="an-older-epoch")
    with pytest.raises(HeadMoved) as moved:
        put(store, "two", before=erased, now=NOW + 5)
    assert moved.value.head == store.head("test")


def test_the_first_message_loses_against_another_first_message(store: Any) -> None:
    put(store, "one")
    with pytest.raises(HeadMoved):
        put(store, "also first", before=Head(), now=NOW + 5)


def test_no_message_takes_the_place_of_another_whatever_the_head_says(store: Any) -> None:
    first = put(store, "one")
    with pytest.raises(HeadMoved):
        put(store, "two", before=replace(store.head("test"), timestamp=""))
    assert store.message("test", first.timestamp) == first
    assert store.head("test").seq == 1


def test_storing_the_very_same_message_again_succeeds_and_changes_nothing(store: Any) -> None:
    put(store, "one", client_message_id="a")
    put(store, "one", before=Head(), client_message_id="a")
    assert store.head("test").seq == 1


def test_a_client_message_id_is_stored_once(store: Any) -> None:
    first = put(store, "one", client_message_id="a")
    with pytest.raises(AlreadyStored) as already:
        put(store, "other words", client_message_id="a", now=NOW + 7)
    assert already.value.marker is not None
    assert already.value.marker.timestamp == first.timestamp
    assert already.value.marker == store.marker("test", "driver", "a", NOW)
    assert store.head("test").seq == 1


def test_both_sides_may_use_the_same_client_message_id(store: Any) -> None:
    put(store, "one", client_message_id="a", sender="driver")
    put(store, "two", client_message_id="a", sender="passenger")
    assert store.head("test").seq == 2


def test_a_marker_is_forgotten_after_a_day(store: Any) -> None:
    put(store, "one", client_message_id="a")
    tomorrow = NOW + instants.DAY
    assert store.marker("test", "driver", "a", tomorrow - instants.SECOND) is not None
    assert store.marker("test", "driver", "a", tomorrow) is None
    put(store, "two", client_message_id="a", now=tomorrow)
    assert store.head("test").seq == 2


def test_closing_and_opening_are_on_the_head(store: Any) -> None:
    closing = put(store, "bye", sender="system", message_type="system", metadata={"event": "booking_closed"})
    assert store.head("test").closed_at == closing.timestamp
    put(store, "again", sender="system", message_type="system", metadata={"event": "booking_opened"})
    assert store.head("test").closed_at is None


def test_the_rate_limits_state_is_on_the_head(store: Any) -> None:
    head = store.head("test")
    new = NewMessage(message="one")
    message, after = append(
        head,
        new,
        booking_code="test",
        sender="driver",
        now=NOW,
        message_id="a",
        epoch="e",
        rate_limit=RateLimit(5, 20),
    )
    store.store(message, before=head, after=after, expires_at=LATER, now=NOW, token="t")
    assert store.head("test").allowances == {"driver": NOW + 200_000}


def test_pages_go_both_ways_between_exclusive_bounds(store: Any) -> None:
    stamps = [put(store, str(number), now=NOW + number).timestamp for number in range(1, 8)]

    def page(**bounds: Any) -> list[str]:
        return texts(store.page("test", now=NOW, **{"limit": 10, "ascending": True, **bounds}))

    assert page() == list("1234567")
    assert page(ascending=False) == list("7654321")
    assert page(after=stamps[2]) == list("4567")
    assert page(before=stamps[2]) == list("12")
    assert page(after=stamps[1], before=stamps[4]) == list("34")
    assert page(after=stamps[1], through=stamps[4]) == list("345")
    assert page(after=stamps[4], before=stamps[1]) == []
    assert page(after=stamps[2], before=stamps[2]) == []
    assert page(after=stamps[2], before=stamps[3]) == []


def test_a_page_says_where_it_stopped(store: Any) -> None:
    for number in range(1, 6):
        put(store, str(number), now=NOW + number)
    first = store.page("test", now=NOW, ascending=True, limit=2)
    assert (texts(first), first.position) == (["1", "2"], first.messages[1].timestamp)
    rest = store.page("test", now=NOW, ascending=True, limit=10, after=first.position)
    assert (texts(rest), rest.position) == (["3", "4", "5"], None)


@pytest.mark.parametrize(("most", "found", "stopped"), [(2, 2, True), (3, 3, True), (4, 4, False), (5, 4, False)])
def test_of_what_matches_the_first_are_kept_and_the_page_goes_on_behind_them(
    store: Any, most: int, found: int, stopped: bool
) -> None:
    said = [put(store, str(number), now=NOW + number) for number in range(4)]
    page = store.page("test", now=NOW, ascending=True, limit=None, most=most)
    assert page.messages == said[:found]
    assert page.position == (said[found - 1].timestamp if stopped else None)
    assert page.at_read_limit is False


def test_bounds_that_cross_or_meet_hold_what_is_between_them(store: Any) -> None:
    said = [put(store, str(number), now=NOW + number) for number in range(3)]
    how: Any = {"now": NOW, "ascending": True, "limit": 10}
    first, second, third = (message.timestamp for message in said)
    assert texts(store.page("test", after=first, before=third, **how)) == ["1"]
    assert texts(store.page("test", after=first, through=second, **how)) == ["1"]
    assert texts(store.page("test", after=second, before=second, **how)) == []
    assert texts(store.page("test", after=third, before=first, **how)) == []
    assert store.page("test", after=third, through=first, **how) == Page([], None, None, at_read_limit=False)


def test_of_bounds_that_cross_nothing_is_asked() -> None:
    """DynamoDB refuses a BETWEEN whose bounds cross; moto takes it."""

    class Unasked:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    early, late = instants.to_text(NOW), instants.to_text(NOW + 1)
    store = Messages(Unasked(), tables.NAMES["messages"])  # type: ignore[arg-type]
    assert store.page("test", after=late, through=early, now=NOW, ascending=True, limit=10) == Page([], None)


def test_a_page_that_ends_with_its_limit_is_no_page_at_the_read_limit(store: Any) -> None:
    for number in range(3):
        put(store, str(number), now=NOW + number)
    page = store.page("test", now=NOW, ascending=True, limit=2)
    assert (len(page.messages), page.position is not None, page.at_read_limit) == (2, True, False)


def test_a_page_that_ends_with_what_one_query_reads_says_so(store: Any) -> None:
    for seq in range(1, 6):  # longer ones than anybody may write
        message = put(FakeMessages(), now=NOW + seq).model_copy(update={"seq": seq, "message": "x" * 300_000})
        head = store.head("test")
        after = replace(head, seq=seq, timestamp=message.timestamp, epoch="the-epoch")
        store.store(message, before=head, after=after, expires_at=LATER, now=NOW, token=str(seq))
    page = store.page("test", now=NOW, ascending=True, limit=None)
    assert [message.seq for message in page.messages] in ([1, 2, 3], [1, 2, 3, 4])
    assert (page.position, page.at_read_limit) == (page.messages[-1].timestamp, True)


def test_filters_count_what_they_skip(store: Any) -> None:
    for number in range(1, 7):
        put(store, str(number), now=NOW + number, sender="driver" if number % 2 else "passenger")
    page = store.page("test", now=NOW, ascending=True, limit=4, senders=frozenset({"passenger"}))
    assert texts(page) == ["2", "4"]
    both = frozenset({"driver", "passenger"})
    assert len(store.page("test", now=NOW, ascending=True, limit=9, senders=both).messages) == 6
    assert store.page("test", now=NOW, ascending=True, limit=9, types=frozenset({"system"})).messages == []


def test_expired_messages_are_never_returned(store: Any) -> None:
    put(store, "old", expires_at=instants.to_seconds(NOW) + 10)
    put(store, "new", now=NOW + 1)
    ten_seconds_on = NOW + 10 * instants.SECOND
    page = store.page("test", now=ten_seconds_on, ascending=True, limit=10)
    assert (texts(page), page.first_expiry) == (["new"], LATER)


def test_a_receipt_moves_forward_only_and_only_to_what_exists(store: Any) -> None:
    assert store.move_receipt("test", "driver", "read", 1) == (Head(), False)
    put(store, "one")
    put(store, "two", now=NOW + 1)
    head, moved = store.move_receipt("test", "driver", "read", 2)
    assert (head.receipts["driver"], moved) == ({"delivered": 2, "read": 2}, True)
    head, moved = store.move_receipt("test", "driver", "read", 1)
    assert (head.receipts["driver"]["read"], moved) == (2, False)
    assert store.move_receipt("test", "passenger", "delivered", 3)[1] is False
    assert store.head("test").receipts["passenger"] == {"delivered": 0, "read": 0}


def test_delivered_up_to_what_was_read_moves_nothing(store: Any) -> None:
    for number in range(5):
        put(store, f"{number}", now=NOW + number)
    assert store.move_receipt("test", "driver", "read", 4)[1] is True
    for seq in (3, 4):
        assert store.move_receipt("test", "driver", "delivered", seq) == (store.head("test"), False)
    head, moved = store.move_receipt("test", "driver", "delivered", 5)
    assert (head.receipts["driver"], moved) == ({"delivered": 5, "read": 4}, True)
    assert store.move_receipt("test", "passenger", "delivered", 3)[1] is True, "the other side's is its own"


def test_delivered_moves_forward_only_and_read_does_so_behind_it(store: Any) -> None:
    for number in range(5):
        put(store, f"{number}", now=NOW + number)
    moves = [("delivered", 3, True), ("delivered", 3, False), ("delivered", 2, False), ("read", 2, True)]
    for kind, seq, moved in moves:
        assert store.move_receipt("test", "driver", kind, seq)[1] is moved, (kind, seq)
    assert store.head("test").receipts["driver"] == {"delivered": 3, "read": 2}


def test_a_receipt_that_is_already_known_moves_nothing(store: Any) -> None:
    put(store, "one")
    assert store.move_receipt("test", "driver", "read", 1)[1] is True
    head, moved = store.move_receipt("test", "driver", "read", 1)
    assert (head, moved) == (store.head("test"), False)


def test_a_receipt_of_a_revoked_token_moves_nothing_and_one_of_a_later_token_does(store: Any) -> None:
    revocation = {"event": "tokens_revoked", "side": "driver"}
    put(store, "Out", sender="system", message_type="system", metadata=revocation)
    revoked = instants.to_seconds(NOW)
    for iat in (None, revoked, revoked + REVOKED_AHEAD):
        assert store.move_receipt("test", "driver", "read", 1, iat)[1] is False
    assert store.move_receipt("test", "passenger", "read", 1, None)[1] is True
    assert store.move_receipt("test", "driver", "read", 1, revoked + REVOKED_AHEAD + 1)[1] is True


def test_an_allowance_moves_only_from_what_it_was(store: Any) -> None:
    assert store.move_allowance("test", "driver", before=None, after=5) is True
    assert store.move_allowance("test", "driver", before=None, after=6) is False
    assert store.move_allowance("test", "driver", before=4, after=6) is False
    assert store.head("test").allowances == {"driver": 5}
    assert store.move_allowance("test", "driver", before=5, after=6) is True
    assert store.head("test").allowances == {"driver": 6}


def test_receipts_outlive_later_messages(store: Any) -> None:
    put(store, "one")
    before = store.head("test")
    store.move_receipt("test", "driver", "delivered", 1)
    put(store, "two", before=before, now=NOW + 1)
    assert store.head("test").receipts["driver"]["delivered"] == 1


def test_bookings_do_not_see_each_other(store: Any) -> None:
    put(store, "mine", booking_code="mine")
    assert store.head("yours") == Head()
    assert store.page("yours", now=NOW, ascending=True, limit=10).messages == []


def redacted(store: Any, original: Message, *, marker: Marker | None = None, before: Head | None = None) -> Message:
    head = store.head("test") if before is None else before
    notice, after = append(
        head,
        NewMessage(message="Message removed", message_type="system", metadata={"event": "message_redacted"}),
        booking_code="test",
        sender="system",
        now=NOW,
        message_id=f"notice-of-{original.message_id}",
        epoch="the-epoch",
        rate_limit=NO_LIMIT,
    )
    after = replace(after, redactions=head.redactions + 1)
    how: Any = {"before": head, "after": after, "expires_at": LATER, "token": f"redact-{original.message_id}"}
    store.redact(original, notice, **how, marker=marker)
    return notice


@pytest.mark.parametrize("redacted_at", [None, "2026-03-01T10:00:00.000000Z"])
@pytest.mark.parametrize("metadata", [None, {"stars": 5.0, "wörter": ["a", 1]}])
def test_a_message_comes_back_from_its_item(redacted_at: str | None, metadata: dict[str, Any] | None) -> None:
    message = put(FakeMessages(), client_message_id="c", sender_id="s")
    message = message.model_copy(update={"redacted_at": redacted_at, "metadata": metadata})
    item = item_of(message, 5)
    assert message_of(item) == message
    assert item["expires_at"] == {"N": "5"}
    if metadata:
        assert item["metadata"] == {"S": '{"stars":5.0,"wörter":["a",1]}'}


def test_a_redaction_takes_the_content_out_and_stores_the_notice(store: Any) -> None:
    original = put(store, metadata={"a": 1}, client_message_id="m1")
    marker = store.marker("test", "driver", "m1", NOW)
    notice = redacted(store, original, marker=marker)
    blank = original.model_copy(update={"message": "", "metadata": None, "redacted_at": notice.timestamp})
    assert store.message("test", original.timestamp) == blank
    assert store.page("test", now=NOW, ascending=True, limit=10).messages == [blank, notice]
    assert (store.head("test").seq, store.head("test").redactions) == (2, 1)
    forgotten = store.marker("test", "driver", "m1", NOW)
    assert forgotten == replace(marker, digest="")
    assert forgotten.fits(NewMessage(message="whatever"))


def test_a_redaction_decided_before_another_message_was_stored_changes_nothing(store: Any) -> None:
    original = put(store)
    before = store.head("test")
    put(store, "quicker")
    with pytest.raises(HeadMoved) as moved:
        redacted(store, original, before=before)
    assert moved.value.head == store.head("test")
    assert store.message("test", original.timestamp) == original
    assert texts(store.page("test", now=NOW, ascending=True, limit=10)) == ["Hello", "quicker"]


def test_a_message_is_redacted_once(store: Any) -> None:
    original = put(store)
    redacted(store, original)
    head = store.head("test")
    with pytest.raises(HeadMoved):
        redacted(store, original.model_copy(update={"message_id": "another"}))
    with pytest.raises(HeadMoved):
        redacted(store, original, before=head, marker=None)
    assert store.head("test") == head


def test_another_message_under_the_same_timestamp_is_not_redacted(store: Any) -> None:
    original = put(store)
    with pytest.raises(HeadMoved):
        redacted(store, original.model_copy(update={"message_id": "of an erased history"}))
    assert store.message("test", original.timestamp) == original


def test_a_marker_of_another_message_is_not_forgotten_by_a_redaction(store: Any) -> None:
    original = put(store, client_message_id="m1")
    marker = store.marker("test", "driver", "m1", NOW)
    with pytest.raises(HeadMoved):
        redacted(store, original, marker=replace(marker, timestamp=instants.to_text(NOW - 1)))
    assert store.message("test", original.timestamp) == original
    assert store.marker("test", "driver", "m1", NOW) == marker


def test_a_redaction_with_a_marker_that_is_gone_changes_nothing(store: Any) -> None:
    original = put(store)
    with pytest.raises(HeadMoved):
        redacted(store, original, marker=Marker("driver", "m1", original.timestamp, "digest"))
    assert store.message("test", original.timestamp) == original


def test_an_expired_message_is_not_found_if_the_time_is_given(store: Any) -> None:
    original = put(store, expires_at=instants.to_seconds(NOW) + 10)
    assert store.message("test", original.timestamp, now=NOW) == original
    assert store.message("test", original.timestamp, now=NOW + 10 * instants.SECOND) is None


def test_a_query_reads_1_mb() -> None:
    assert QUERY_BYTES == 1_048_576  # DynamoDB's limit (Service, account and table quotas)


def test_a_batch_reads_a_hundred_items_anew_and_leaves_out_missing_ones(store: Any) -> None:
    said = [put(store, f"message {number}", booking_code=f"b{number % 3}") for number in range(120)]
    wanted = [("b0", "2026-01-01T00:00:00.000000Z"), *((each.booking_code, each.timestamp) for each in said)]
    found, left = store.items_at(wanted)
    assert len(found) == 99
    assert left == wanted[100:]
    more, left = store.items_at(left)
    assert left == []
    assert {message_of(item).message for item in (found | more).values()} == {message.message for message in said}
