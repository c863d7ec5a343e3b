"""The service that stores messages, on the table in memory, with the faults of a table."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from navietakie.aws.tables.dynamo import Contended
from navietakie.aws.tables.messages import HeadMoved
from navietakie.domain import instants
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.message import Message, NewMessage
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors.requests import Party
from send_message.sending import Mask, Screen, Sending, Sent
from tests.fakes.messages import FakeMessages

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
DRIVER = Party("test", "driver", None)
NO_LIMIT = RateLimit(0, 1)


class Timers:
    def __init__(self) -> None:
        self.queued: list[tuple[str, str, str]] = []
        self.details: list[dict[str, Any]] = []

    def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        self.queued.append((kind, booking_code, fields["event"]))
        self.details.append({"delay_seconds": delay_seconds, **fields})


class Faulty(FakeMessages):
    """Each store raises the next of `faults`, before or after it is done."""

    def __init__(self, before: list[Exception] | None = None, after: list[Exception] | None = None) -> None:
        super().__init__()
        self.before, self.after = before or [], after or []

    def store(self, message: Message, **how: Any) -> None:
        if self.before:
            raise self.before.pop(0)
        super().store(message, **how)
        if self.after:
            raise self.after.pop(0)


def send(
    store: FakeMessages,
    text: str = "Hello",
    *,
    party: Party = DRIVER,
    now: int = NOW,
    seconds: float = 5,
    rate_limit: RateLimit = NO_LIMIT,
    timers: Callable[[], Any] = Timers,
    mask: Mask | None = None,
    hook: Screen | None = None,
    **fields: Any,
) -> Sent:
    service = Sending(store, timers, rate_limit, 90, mask, hook)
    new = NewMessage.parse({"message": text, **fields})
    return service.send(party, new, now=now, deadline=time.monotonic() + seconds)


def history(store: FakeMessages) -> list[Message]:
    return store.page("test", now=NOW, ascending=True, limit=10_000).messages


def test_for_a_message_without_an_id_no_marker_is_looked_for() -> None:
    class Unmarked(FakeMessages):
        def marker(self, *_: Any) -> Any:
            raise AssertionError("it has no id")

    store = Unmarked()
    order = Party("test", "system", None)
    send(store, message_type="system", metadata={"event": "booking_closed"}, party=order)
    with pytest.raises(Refusal, match="closed"):
        send(store)
    assert len(history(store)) == 1


def test_the_same_id_with_the_same_content_answers_with_the_original() -> None:
    store = FakeMessages()
    first = send(store, client_message_id="a")
    again = send(store, client_message_id="a", now=NOW + 99)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.message == first.message
    assert len(history(store)) == 1


@pytest.mark.parametrize("other", [{"text": "Bye"}, {"metadata": {"a": 1}}, {"metadata": {}}])
def test_the_same_id_with_other_content_is_a_conflict_and_the_original_stays(other: dict[str, Any]) -> None:
    store = FakeMessages()
    first = send(store, client_message_id="a")
    with pytest.raises(Refusal) as refused:
        send(store, client_message_id="a", **other)
    assert refused.value.code == "idempotency_conflict"
    assert refused.value.details == {"client_message_id": "a", "timestamp": first.message.timestamp}
    assert history(store) == [first.message]


def test_a_repeat_of_a_message_that_has_expired_is_not_found() -> None:
    store = FakeMessages()
    first = send(store, client_message_id="a")
    store.messages["test"][first.message.timestamp] = (first.message, 0)
    with pytest.raises(Refusal) as refused:
        send(store, client_message_id="a")
    assert refused.value.code == "not_found"


def test_a_revoked_token_stores_nothing() -> None:
    store = FakeMessages()
    revoke = {"event": "tokens_revoked", "side": "driver"}
    send(store, "An order", party=Party("test", "system", None), message_type="system", metadata=revoke)
    with pytest.raises(Refusal) as refused:
        send(store, party=Party("test", "driver", None, iat=0))
    assert refused.value.code == "unauthorized"
    assert len(history(store)) == 1


@pytest.mark.parametrize(("moment", "stored"), [(999.9, 1), (1_000.0, 0), (1_000.1, 0)])
def test_at_the_deadline_nothing_is_written_any_more(
    moment: float, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, moments = FakeMessages(), iter([999.0, moment, *[1_001.0] * 9])
    service = Sending(store, Timers, NO_LIMIT, 90)
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    with suppress(Refusal):
        service.send(DRIVER, NewMessage.parse({"message": "Hello"}), now=NOW, deadline=1_000.0)
    assert len(history(store)) == stored


def test_each_try_gathers_the_connections_anew() -> None:
    asked: list[str] = []
    store = Faulty(before=[Contended(), HeadMoved(None)])
    service = Sending(store, Timers, NO_LIMIT, 90, gather=lambda booking_code, now: asked.append(booking_code))
    service.send(DRIVER, NewMessage.parse({"message": "Hello"}), now=NOW, deadline=time.monotonic() + 5)
    assert asked == ["test", "test", "test"]


def test_a_message_that_is_refused_gathers_nobody() -> None:
    asked: list[str] = []
    service = Sending(FakeMessages(), Timers, RateLimit(1, 1), 90, gather=lambda code, now: asked.append(code))
    for _ in range(3):
        with suppress(Refusal):
            service.send(DRIVER, NewMessage.parse({"message": "x"}), now=NOW, deadline=time.monotonic() + 5)
    assert asked == ["test"]


def test_the_order_of_keys_in_metadata_is_no_other_content() -> None:
    store = FakeMessages()
    send(store, client_message_id="a", metadata={"x": 1, "y": {"p": 1, "q": 2}})
    assert send(store, client_message_id="a", metadata={"y": {"q": 2, "p": 1}, "x": 1}).duplicate


def test_a_retry_eleven_minutes_and_300_messages_later_finds_the_original() -> None:
    store = FakeMessages()
    first = send(store, client_message_id="a")
    for number in range(300):
        send(store, f"message {number}", now=NOW + number)
    again = send(store, client_message_id="a", now=NOW + 11 * 60 * instants.SECOND)
    assert (again.duplicate, again.message) == (True, first.message)
    assert len(history(store)) == 301


def test_a_transaction_conflict_is_retried_and_stores_one_message() -> None:
    store = Faulty(before=[Contended(), Contended(), Contended()])
    assert send(store).message.seq == 1
    assert len(history(store)) == 1


def test_contention_that_does_not_end_is_unavailable_and_stores_nothing() -> None:
    store = Faulty(before=[Contended()] * 10_000)
    with pytest.raises(Refusal) as refused:
        send(store, seconds=0.05)
    assert refused.value.code == "unavailable"
    assert refused.value.retry_after_seconds == 1
    assert history(store) == []


def test_a_duplicate_is_answered_even_when_the_booking_is_closed_and_the_rate_used_up() -> None:
    store = FakeMessages()
    slow = RateLimit(0.001, 1)
    first = send(store, client_message_id="a", rate_limit=slow)
    with pytest.raises(Refusal, match="Too many"):
        send(store, "another", client_message_id="b", rate_limit=slow)
    assert send(store, client_message_id="a", rate_limit=slow).message == first.message
    close(store)
    assert send(store, client_message_id="a", rate_limit=slow).duplicate
    with pytest.raises(Refusal) as refused:
        send(store, "another", client_message_id="b", rate_limit=slow)
    assert refused.value.code == "booking_closed"


def close(store: FakeMessages, timers: Callable[[], Any] = Timers) -> Sent:
    system = Party("test", "system", None)
    return send(
        store, "Closed", party=system, message_type="system", metadata={"event": "booking_closed"}, timers=timers
    )


def test_the_timer_of_a_close_is_queued_before_the_close_is_written() -> None:
    store = FakeMessages()

    class Watching(Timers):
        def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
            super().queue(kind, booking_code, delay_seconds, **fields)
            assert store.head("test").closed_at is None

    timers = Watching()
    close(store, lambda: timers)
    assert timers.queued == [("order", "test", "booking_closed")]
    assert timers.details == [{"delay_seconds": 0, "event": "booking_closed", "look": 0}]
    assert store.head("test").closed_at is not None


def test_a_close_whose_timer_cannot_be_queued_is_not_written() -> None:
    store = FakeMessages()

    class Broken(Timers):
        def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
            raise unavailable("The timer queue")

    with pytest.raises(Refusal):
        close(store, Broken)
    assert history(store) == []


@pytest.mark.parametrize(
    ("sender", "message_type"), [("driver", "call"), ("system", "call"), ("driver", "system"), ("passenger", "system")]
)
def test_types_are_reserved_for_those_who_may_write_them(sender: Any, message_type: str) -> None:
    with pytest.raises(Refusal) as refused:
        send(FakeMessages(), party=Party("test", sender, None), message_type=message_type)
    assert refused.value.code == "forbidden"


def test_a_message_that_no_frame_could_carry_is_too_large() -> None:
    store = FakeMessages()
    with pytest.raises(Refusal) as refused:
        send(store, "x" + "\x01" * 4_999, metadata={"text": "x" * 4_000})
    assert refused.value.code == "too_large"
    assert history(store) == []
    assert send(store, "🚕" * 5_000).message.message == "🚕" * 5_000


def test_a_write_that_could_not_be_answered_in_time_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic

    class Slow(FakeMessages):
        def head(self, booking_code: str) -> Head:
            monkeypatch.setattr(time, "monotonic", lambda: now() + 60)
            return super().head(booking_code)

    store = Slow()
    with pytest.raises(Refusal, match="not available"):
        send(store, seconds=30)
    assert FakeMessages.head(store, "test").seq == 0


# --- What a message goes through before it is stored -----------------------------------------------------------------


def shout(text: str, booking_code: str) -> str:
    return f"{text.upper()} in {booking_code}"


class Hook:
    """Answers with a text, or raises. Keeps what it was asked."""

    def __init__(self, text: str | None = None, refusal: Refusal | None = None) -> None:
        self.asked: list[Message] = []
        self.text, self.refusal = text, refusal
        self.meanwhile: Callable[[], Any] = lambda: None

    def __call__(self, message: Message, new: NewMessage) -> NewMessage:
        self.asked.append(message)
        self.meanwhile()
        if self.refusal:
            raise self.refusal
        return new if self.text is None else new.model_copy(update={"message": self.text})


DENIED = Refusal("refused_by_hook", "no")


@pytest.mark.parametrize(
    ("sender", "stored"), [("driver", "HI in test"), ("passenger", "HI in test"), ("system", "hi")]
)
def test_the_texts_of_sides_alone_are_masked(sender: Any, stored: str) -> None:
    assert send(FakeMessages(), "hi", party=Party("test", sender, None), mask=shout).message.message == stored


def test_the_hook_sees_the_masked_text_and_has_the_last_word() -> None:
    hook = Hook("from the hook")
    sent = send(FakeMessages(), "hi", mask=shout, hook=hook, client_message_id="a", metadata={"a": 1})
    (asked,) = hook.asked
    assert (asked.message, asked.metadata, asked.client_message_id) == ("HI in test", {"a": 1}, "a")
    assert sent.message.message == "from the hook"


def test_a_repeat_is_recognized_by_what_the_client_sent_and_the_hook_is_not_asked_again() -> None:
    store, hook = FakeMessages(), Hook("from the hook")
    first = send(store, "hi", mask=shout, hook=hook, client_message_id="a")
    again = send(store, "hi", mask=shout, hook=Hook(refusal=DENIED), client_message_id="a")
    assert (again.duplicate, again.message) == (True, first.message)
    with pytest.raises(Refusal) as refused:
        send(store, "from the hook", mask=shout, hook=hook, client_message_id="a")
    assert refused.value.code == "idempotency_conflict"
    assert len(hook.asked) == 1


def test_a_message_that_the_hook_denies_is_not_stored() -> None:
    store, hook = FakeMessages(), Hook(refusal=DENIED)
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            send(store, client_message_id="a", hook=hook)
        assert refused.value is DENIED
    assert history(store) == []
    assert store.markers == {}
    assert len(hook.asked) == 2


def test_the_hook_is_not_asked_about_messages_of_the_system() -> None:
    store = FakeMessages()
    send(store, party=Party("test", "system", None), hook=Hook(refusal=DENIED))
    closed = {"message_type": "system", "metadata": {"event": "booking_closed"}}
    send(store, party=Party("test", "system", None), hook=Hook(refusal=DENIED), **closed)
    assert len(history(store)) == 2


def test_the_verdict_is_kept_over_lost_races() -> None:
    store, hook = Faulty([Contended(), HeadMoved(None), Contended()]), Hook("from the hook")
    sent = send(store, hook=hook)
    assert len(hook.asked) == 1
    assert (sent.message.seq, sent.message.message) == (1, "from the hook")


def test_a_message_that_was_stored_while_the_hook_thought_comes_before() -> None:
    store, hook = FakeMessages(), Hook()
    hook.meanwhile = lambda: send(store, "meanwhile", party=Party("test", "passenger", None), now=NOW + 900)
    sent = send(store, hook=hook)
    assert [message.message for message in history(store)] == ["meanwhile", "Hello"]
    assert sent.message.seq == 2
    assert sent.message.timestamp > history(store)[0].timestamp


def test_a_booking_that_closes_while_the_hook_thinks_refuses_the_message() -> None:
    store, hook = FakeMessages(), Hook()
    closed = {"message_type": "system", "metadata": {"event": "booking_closed"}}
    hook.meanwhile = lambda: send(store, party=Party("test", "system", None), **closed)
    with pytest.raises(Refusal) as refused:
        send(store, hook=hook)
    assert refused.value.code == "booking_closed"
    assert len(history(store)) == 1


def test_the_hook_is_not_asked_about_a_message_that_is_refused_anyway() -> None:
    store, hook = FakeMessages(), Hook()
    send(store, rate_limit=RateLimit(1, 1))
    with pytest.raises(Refusal) as refused:
        send(store, rate_limit=RateLimit(1, 1), hook=hook)
    assert refused.value.code == "rate_limited"
    send(store, party=Party("test", "system", None), message_type="system", metadata={"event": "booking_closed"})
    with pytest.raises(Refusal) as refused:
        send(store, hook=hook)
    assert refused.value.code == "booking_closed"
    with pytest.raises(Refusal) as refused:
        send(store, hook=hook, message_type="call")
    assert refused.value.code == "forbidden"
    with pytest.raises(Refusal) as refused:
        send(FakeMessages(), "x" + "\x01" * 4_999, hook=hook, metadata={"a": "\x01" * 600})
    assert refused.value.code == "too_large"
    assert hook.asked == []


def test_a_masked_text_that_is_too_long_for_a_frame_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        send(FakeMessages(), mask=lambda text, _: "x" + "\x01" * 4_999, metadata={"a": "\x01" * 600})
    assert refused.value.code == "too_large"


def test_without_mask_and_hook_no_marker_is_read() -> None:
    class Unread(FakeMessages):
        def marker(self, *_: Any) -> Any:
            raise AssertionError("a request more")

    store = Unread()
    send(store, client_message_id="a")
    send(store, "hi", client_message_id="b", mask=shout)
    assert send(store, "hi", client_message_id="b", mask=shout).duplicate


def test_a_repeat_within_a_minute_is_told_to_all_again_and_a_later_one_to_its_sender_alone() -> None:
    store = FakeMessages()
    send(store, client_message_id="a")
    soon = send(store, client_message_id="a", now=NOW + 60 * instants.SECOND)
    later = send(store, client_message_id="a", now=NOW + 61 * instants.SECOND)
    assert [(sent.duplicate, sent.late) for sent in (soon, later)] == [(True, False), (True, True)]


def test_repeats_have_the_rate_of_messages_and_a_count_of_their_own() -> None:
    store, slow = FakeMessages(), RateLimit(1, 3)
    service = Sending(store, Timers, slow, 90)
    new = NewMessage.parse({"message": "Hello", "client_message_id": "a"})

    def ask(now: int, party: Party = DRIVER) -> Sent:
        return service.send(party, new, now=now, deadline=time.monotonic() + 5)

    assert [ask(NOW).duplicate for _ in range(4)] == [False, True, True, True]
    with pytest.raises(Refusal) as refused:
        ask(NOW)
    assert (refused.value.code, refused.value.retry_after_ms) == ("rate_limited", 1_000)
    assert ask(NOW + instants.SECOND).duplicate
    assert not service.send(
        DRIVER, NewMessage.parse({"message": "x"}), now=NOW, deadline=time.monotonic() + 5
    ).duplicate


def test_repeats_of_system_are_always_admitted() -> None:
    service = Sending(FakeMessages(), Timers, RateLimit(1, 1), 90)
    new = NewMessage.parse({"message": "Hello", "client_message_id": "a"})
    system = Party("test", "system", None)
    sent = [service.send(system, new, now=NOW, deadline=time.monotonic() + 5) for _ in range(10)]
    assert [each.duplicate for each in sent] == [False] + [True] * 9
