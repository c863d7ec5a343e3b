"""Redactions on the table in memory: who may redact, what remains, and races."""

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from navietakie.aws.tables.dynamo import Contended
from navietakie.domain import instants
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors.requests import Party
from send_message.redacting import Redacting
from send_message.sending import Sent
from tests.fakes.messages import FakeMessages
from tests.unit.test_sending import NO_LIMIT, NOW, send

DRIVER, PASSENGER = Party("test", "driver", "ana"), Party("test", "passenger", "ben")
AGENT, SYSTEM = Party("test", "agent", "support"), Party("test", "system", None)


def redact(
    store: FakeMessages, timestamp: str, by: Party = DRIVER, *, now: int = NOW + 5, rate_limit: RateLimit = NO_LIMIT
) -> Sent:
    return Redacting(store, rate_limit, 90, lambda _: None).redact(
        by, timestamp, now=now, deadline=time.monotonic() + 5
    )


def said(store: FakeMessages, by: Party = DRIVER, **fields: Any) -> Message:
    return send(store, "my number is 0170 1234567", party=by, **fields).message


def now_of(store: FakeMessages, message: Message) -> Message:
    found = store.message("test", message.timestamp)
    assert found
    return found


def test_a_redaction_removes_the_content_and_nothing_else() -> None:
    store = FakeMessages()
    original = said(store, metadata={"location": {"lat": 1.0, "lng": 2.0}}, client_message_id="a")
    notice = redact(store, original.timestamp).message
    left = original.model_copy(update={"message": "", "metadata": None, "redacted_at": notice.timestamp})
    assert now_of(store, original) == left


def test_a_notice_in_the_sequence_says_what_and_by_whom() -> None:
    store = FakeMessages()
    original = said(store)
    notice = redact(store, original.timestamp).message
    assert (notice.seq, notice.sender, notice.message_type) == (2, "system", "system")
    assert notice.message == "Message removed"
    assert notice.metadata == {"event": "message_redacted", "seq": 1, "timestamp": original.timestamp, "by": "driver"}
    assert notice == now_of(store, notice)


def test_the_head_counts_redactions() -> None:
    store = FakeMessages()
    original = said(store)
    redact(store, original.timestamp)
    assert (store.head("test").seq, store.head("test").redactions) == (2, 1)
    send(store, "more")
    assert store.head("test").redactions == 1


def test_a_repeat_answers_with_the_same_notice() -> None:
    store = FakeMessages()
    original = said(store)
    first = redact(store, original.timestamp)
    again = redact(store, original.timestamp, now=NOW + 99)
    assert (again.message, again.duplicate, first.duplicate) == (first.message, True, False)
    assert store.head("test").seq == 2


def test_a_repeat_of_the_messages_id_finds_the_redacted_original_whatever_it_says() -> None:
    store = FakeMessages()
    original = said(store, client_message_id="a")
    redact(store, original.timestamp)
    for text in ("my number is 0170 1234567", "something else"):
        again = send(store, text, party=DRIVER, client_message_id="a")
        assert again.duplicate
        assert (again.message.message, again.message.seq) == ("", 1)


def test_a_repeat_is_answered_even_in_a_closed_booking() -> None:
    store = FakeMessages()
    original = said(store)
    notice = redact(store, original.timestamp).message
    send(store, "Closed", party=SYSTEM, message_type="system", metadata={"event": "booking_closed"})
    assert redact(store, original.timestamp).message == notice


@pytest.mark.parametrize("by", [DRIVER, AGENT])
def test_in_a_closed_booking_only_system_redacts(by: Party) -> None:
    store = FakeMessages()
    original = said(store, by)
    send(store, "Closed", party=SYSTEM, message_type="system", metadata={"event": "booking_closed"})
    with pytest.raises(Refusal) as refused:
        redact(store, original.timestamp, by)
    assert refused.value.code == "booking_closed"
    assert redact(store, original.timestamp, SYSTEM).duplicate is False


def test_a_muted_side_redacts_nothing() -> None:
    store = FakeMessages()
    original = said(store)
    send(store, "Muted", party=SYSTEM, message_type="system", metadata={"event": "side_muted", "side": "driver"})
    with pytest.raises(Refusal) as refused:
        redact(store, original.timestamp)
    assert refused.value.code == "muted"


@pytest.mark.parametrize(
    "by", [PASSENGER, AGENT, Party("test", "driver", "another driver")], ids=["passenger", "agent", "other driver"]
)
def test_nobody_but_system_redacts_what_somebody_else_sent(by: Party) -> None:
    store = FakeMessages()
    original = said(store, sender_id="ana")
    with pytest.raises(Refusal) as refused:
        redact(store, original.timestamp, by)
    assert refused.value.code == "forbidden"
    assert now_of(store, original) == original
    assert redact(store, original.timestamp, SYSTEM).message.metadata["by"] == "system"  # type: ignore[index]


def test_a_message_without_a_sender_id_may_be_redacted_by_its_role() -> None:
    store = FakeMessages()
    original = said(store)
    assert original.sender_id is None
    assert redact(store, original.timestamp, DRIVER).duplicate is False


@pytest.mark.parametrize("event", ["booking_opened", "side_muted"])
def test_orders_and_notices_stay_on_the_record(event: str) -> None:
    store = FakeMessages()
    metadata = {"event": event, "side": "driver"}
    order = send(store, "An order", party=SYSTEM, message_type="system", metadata=metadata).message
    notice = redact(store, said(store, AGENT).timestamp, AGENT).message
    for on_record in (order, notice):
        with pytest.raises(Refusal) as refused:
            redact(store, on_record.timestamp, SYSTEM)
        assert refused.value.code == "forbidden"


def test_a_missing_or_expired_message_is_not_found() -> None:
    store = FakeMessages()
    original = said(store)
    for timestamp, now in ((instants.to_text(NOW - 1), NOW), (original.timestamp, NOW + 91 * instants.DAY)):
        with pytest.raises(Refusal) as refused:
            redact(store, timestamp, now=now)
        assert refused.value.code == "not_found"


def test_a_repeat_whose_notice_has_expired_is_not_found() -> None:
    store = FakeMessages()
    original = said(store)
    notice = redact(store, original.timestamp).message
    del store.messages["test"][notice.timestamp]
    with pytest.raises(Refusal) as refused:
        redact(store, original.timestamp)
    assert (refused.value.code, "expired" in refused.value.message) == ("not_found", True)


def test_a_revoked_token_redacts_nothing_and_learns_nothing() -> None:
    store = FakeMessages()
    original = said(store)
    revoke = {"event": "tokens_revoked", "side": "driver"}
    send(store, "An order", party=SYSTEM, message_type="system", metadata=revoke)
    for timestamp in (original.timestamp, instants.to_text(NOW - 1)):
        with pytest.raises(Refusal) as refused:
            redact(store, timestamp, replace(DRIVER, iat=0))
        assert refused.value.code == "unauthorized"
    assert now_of(store, original) == original


class Watched(FakeMessages):
    """Counts the markers that were looked for; the head is busy for the first `busy` redactions."""

    def __init__(self, *, busy: int = 0) -> None:
        super().__init__()
        self.markers_read, self.busy = 0, busy

    def marker(self, *of: Any) -> Any:
        self.markers_read += 1
        return super().marker(*of)

    def redact(self, *of: Any, **how: Any) -> None:
        if self.busy > 0:
            self.busy -= 1
            raise Contended
        super().redact(*of, **how)


def test_a_message_without_an_id_has_no_marker_to_look_for() -> None:
    store = Watched()
    redact(store, said(store).timestamp)
    assert store.markers_read == 0


def test_each_try_gathers_the_connections_anew() -> None:
    store, gathered = Watched(busy=2), list[tuple[str, int]]()
    original = said(store)
    service = Redacting(store, NO_LIMIT, 90, lambda _: None, lambda code, now: gathered.append((code, now)))
    service.redact(DRIVER, original.timestamp, now=NOW + 5, deadline=time.monotonic() + 5)
    assert gathered == [("test", NOW + 5)] * 3


def test_a_head_that_stays_busy_is_unavailable_at_the_deadline() -> None:
    store = Watched(busy=1_000_000)
    original = said(store)
    with pytest.raises(Refusal) as refused:
        Redacting(store, NO_LIMIT, 90, lambda _: None).redact(
            DRIVER, original.timestamp, now=NOW + 5, deadline=time.monotonic() + 0.05
        )
    assert refused.value.code == "unavailable"


@pytest.mark.parametrize(("moment", "done"), [(999.9, True), (1_000.0, False), (1_000.1, False)])
def test_at_the_deadline_nothing_is_redacted_any_more(
    moment: float, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FakeMessages()
    original, moments = said(store), iter([999.0, moment, *[1_001.0] * 9])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    with suppress(Refusal):
        Redacting(store, NO_LIMIT, 90, lambda _: None).redact(DRIVER, original.timestamp, now=NOW + 5, deadline=1_000.0)
    assert (now_of(store, original).redacted_at is not None) == done


def test_a_redaction_counts_as_a_message_of_its_sender() -> None:
    store, two = FakeMessages(), RateLimit(1, 2)
    originals = [said(store, rate_limit=NO_LIMIT) for _ in range(3)]
    for original in originals[:2]:
        redact(store, original.timestamp, now=NOW, rate_limit=two)
    with pytest.raises(Refusal) as refused:
        redact(store, originals[2].timestamp, now=NOW, rate_limit=two)
    assert refused.value.code == "rate_limited"
    assert redact(store, originals[2].timestamp, SYSTEM, now=NOW, rate_limit=two).duplicate is False


class Raced(FakeMessages):
    """Lets something happen between a redaction's read and its write."""

    def __init__(self, *between: Any) -> None:
        super().__init__()
        self.between = list(between)

    def redact(self, original: Message, notice: Message, **how: Any) -> None:
        if self.between:
            self.between.pop(0)(self)
        super().redact(original, notice, **how)


def contended(_: FakeMessages) -> None:
    raise Contended


@pytest.mark.parametrize("between", [lambda store: send(store, "quicker"), contended])
def test_whoever_loses_the_race_for_the_head_tries_again(between: Any) -> None:
    store = Raced(between)
    original = said(store)
    assert redact(store, original.timestamp).duplicate is False
    assert now_of(store, original).message == ""
    history = store.page("test", now=NOW, ascending=True, limit=10).messages
    assert [message.seq for message in history] == list(range(1, len(history) + 1))


def test_a_lost_race_brings_the_new_head_which_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Raced(lambda store: send(store, "quicker"))
    original = said(store)
    reads: list[str] = []
    real = store.head
    monkeypatch.setattr(store, "head", lambda booking_code: reads.append(booking_code) or real(booking_code))
    assert redact(store, original.timestamp).message.seq == 3
    assert len(reads) == 2, "one by the redaction, one by the message that was quicker"


def test_the_second_redaction_of_one_message_is_a_repeat() -> None:
    store = Raced(lambda store: redact(store, original.timestamp, SYSTEM))
    original = said(store)
    again = redact(store, original.timestamp)
    assert again.duplicate
    assert again.message.metadata["by"] == "system"  # type: ignore[index]
    assert store.head("test").redactions == 1


def test_a_marker_that_was_swept_in_between_stops_nothing() -> None:
    store = Raced(lambda store: store.markers.clear())
    original = said(store, client_message_id="a")
    assert redact(store, original.timestamp).duplicate is False
    assert now_of(store, original).message == ""


def test_a_message_that_was_swept_in_between_is_not_found() -> None:
    def sweep(store: FakeMessages) -> None:
        store.messages["test"].clear()

    store = Raced(sweep)
    original = said(store)
    with pytest.raises(Refusal) as refused:
        redact(store, original.timestamp)
    assert refused.value.code == "not_found"
    assert replace(store.head("test"), allowances={}) == replace(Head(1, original.timestamp, store.head("test").epoch))


def test_the_attachment_goes_before_the_commit() -> None:
    seen: list[str] = []

    class Watched(FakeMessages):
        def redact(self, original: Message, notice: Message, **how: Any) -> None:
            seen.append("committed")
            super().redact(original, notice, **how)

    store = Watched()
    original = said(store)
    service = Redacting(store, NO_LIMIT, 90, lambda message: seen.append(message.message_id))
    service.redact(DRIVER, original.timestamp, now=NOW, deadline=time.monotonic() + 5)
    assert seen == [original.message_id, "committed"]
