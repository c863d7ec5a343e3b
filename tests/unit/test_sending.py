"""The service that stores messages, on the table in memory, with the faults a table can have."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from navietakie.aws.tables.dynamo import Contended
from navietakie.domain import instants
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.message import Message, NewMessage
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors.requests import Party
from send_message.sending import Sending, Sent
from tests.fakes.messages import FakeMessages

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
DRIVER = Party("test", "driver", None)
NO_LIMIT = RateLimit(0, 1)


class Timers:
    def __init__(self) -> None:
        self.queued: list[tuple[str, str, int]] = []

    def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        self.queued.append((kind, booking_code, fields["queued_at"]))


class Faulty(FakeMessages):
    """Raises what `faults` holds, one per store, before the store happens, or after it."""

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
    **fields: Any,
) -> Sent:
    service = Sending(store, timers, rate_limit, 90)
    new = NewMessage.parse({"message": text, **fields})
    return service.send(party, new, now=now, deadline=time.monotonic() + seconds)


def history(store: FakeMessages) -> list[Message]:
    return store.page("test", now=NOW, ascending=True, limit=10_000).messages


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
    assert history(store) == [first.message]


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


def test_twelve_sends_in_flight_whose_answers_are_lost_give_twelve_messages_after_their_retries() -> None:
    store = Faulty(after=[unavailable("The database") for _ in range(12)])

    def lose(number: int) -> None:
        with pytest.raises(Refusal):
            send(store, f"message {number}", client_message_id=f"id-{number}")

    def retry(number: int) -> Sent:
        return send(store, f"message {number}", client_message_id=f"id-{number}")

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lose, range(12)))
        retried = list(threads.map(retry, range(12)))
    assert all(sent.duplicate for sent in retried)
    assert sorted(message.message for message in history(store)) == sorted(f"message {n}" for n in range(12))
    assert [message.seq for message in history(store)] == list(range(1, 13))


def test_ten_sends_at_once_with_one_id_store_one_message() -> None:
    store = FakeMessages()
    with ThreadPoolExecutor(10) as threads:
        sent = list(threads.map(lambda _: send(store, client_message_id="a"), range(10)))
    assert len(history(store)) == 1
    assert [each.duplicate for each in sent].count(False) == 1


def test_parallel_senders_leave_no_hole_and_no_repeat() -> None:
    store = FakeMessages()
    clocks = random.Random(7)

    def write(sender: int) -> None:
        party = Party("test", "driver" if sender % 2 else "passenger", None)
        for number in range(25):
            # Clocks up to ten minutes apart.
            send(store, f"{sender}-{number}", party=party, now=NOW + clocks.randrange(-600, 600) * instants.SECOND)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    stored = history(store)
    assert [message.seq for message in stored] == list(range(1, 201))
    assert len({message.timestamp for message in stored}) == 200


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
    assert timers.queued == [("closing", "test", NOW)]
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
        send(store, "\x01" * 5_000, metadata={"text": "x" * 4_000})
    assert refused.value.code == "too_large"
    assert history(store) == []
    assert send(store, "🚕" * 5_000).message.message == "🚕" * 5_000


def test_a_store_that_could_not_be_answered_in_time_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic

    class Slow(FakeMessages):
        def head(self, booking_code: str) -> Head:
            monkeypatch.setattr(time, "monotonic", lambda: now() + 60)
            return super().head(booking_code)

    store = Slow()
    with pytest.raises(Refusal, match="not available"):
        send(store, seconds=30)
    assert FakeMessages.head(store, "test").seq == 0
