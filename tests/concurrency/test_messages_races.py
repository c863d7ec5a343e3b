"""Races about messages: many write into one booking at the same time, on the embedded AWS's DynamoDB."""

import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config

from navietakie.aws.tables.connections import CONNECTION_LIFE, Connection, Connections
from navietakie.aws.tables.messages import Messages
from navietakie.domain import instants
from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message, NewMessage
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors.requests import Party
from send_message.receipts import store_receipt
from send_message.sending import Sending, Sent
from tests.fakes.wire import Asked, timed_out

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
DRIVER, PASSENGER, SYSTEM = (Party("test", sender, None) for sender in ("driver", "passenger", "system"))


class NoTimers:
    def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        pass


@pytest.fixture
def store(dynamodb: Any, names: dict[str, str]) -> Messages:
    return Messages(dynamodb, names["messages"])


def send(store: Messages, text: str, party: Party = DRIVER, *, now: int = NOW, **fields: Any) -> Sent:
    service = Sending(store, NoTimers, RateLimit(0, 1), 90)
    return service.send(party, NewMessage.parse({"message": text, **fields}), now=now, deadline=time.monotonic() + 20)


def history(store: Messages) -> list[Message]:
    return store.page("test", now=NOW, ascending=True, limit=1_000).messages


def at_once[Item](act: Callable[[Item], Any], items: Iterable[Item]) -> list[Any]:
    """Calls `act` with all items at the same time. Returns the results; a Refusal is one, too."""

    def outcome(item: Item) -> Any:
        try:
            return act(item)
        except Refusal as refusal:
            return refusal

    listed = list(items)
    with ThreadPoolExecutor(len(listed)) as threads:
        return list(threads.map(outcome, listed))


def test_six_senders_of_fifty_messages_on_clocks_far_apart_leave_no_hole(store: Messages) -> None:
    skews = random.Random(17)

    def write(sender: int) -> None:
        for number in range(50):
            # Containers whose clocks are up to ten minutes off, and now and then agree to the microsecond.
            now = NOW + skews.choice((0, 0, -600, 600, 1, -1)) * instants.SECOND
            send(store, f"{sender}-{number}", (DRIVER, PASSENGER)[sender % 2], now=now)

    at_once(write, range(6))
    stored = history(store)
    assert [message.seq for message in stored] == list(range(1, 301))
    assert sorted(message.message for message in stored) == sorted(f"{i}-{j}" for i in range(6) for j in range(50))
    for sender in range(6):
        own = [message.message for message in stored if message.message.startswith(f"{sender}-")]
        assert own == [f"{sender}-{number}" for number in range(50)]


def test_one_id_sent_ten_times_at_once_is_stored_once(store: Messages) -> None:
    sent = at_once(lambda _: send(store, "Hello", client_message_id="a"), range(10))
    assert [it.duplicate for it in sent].count(False) == 1
    assert {it.message for it in sent} == {history(store)[0]}
    assert len(history(store)) == 1


def test_of_two_contents_with_one_id_only_one_is_stored(store: Messages) -> None:
    sent = at_once(lambda number: send(store, f"words {number}", client_message_id="a"), range(8))
    (stored,) = history(store)
    refused = [it for it in sent if isinstance(it, Refusal)]
    assert [it.code for it in refused] == ["idempotency_conflict"] * 7
    assert [it.message for it in sent if isinstance(it, Sent)] == [stored]


def test_twelve_sends_whose_answers_are_lost_and_that_are_retried_give_twelve_rows(
    store: Messages, names: dict[str, str], dynamodb_endpoint: str
) -> None:
    deaf: Any = boto3.Session("test", "test", region_name="us-east-1").client(
        "dynamodb",
        endpoint_url=dynamodb_endpoint,
        config=Config(max_pool_connections=12, retries={"total_max_attempts": 1}),
    )

    def lose(**_: Any) -> None:
        raise timed_out(Asked("dynamodb.TransactWriteItems", {}))

    deaf.meta.events.register("before-parse.dynamodb.TransactWriteItems", lose)
    losing = Messages(deaf, names["messages"])
    numbers = range(12)
    lost = at_once(lambda number: send(losing, f"message {number}", client_message_id=f"id-{number}"), numbers)
    assert [it.code for it in lost] == ["unavailable"] * 12
    retried = at_once(lambda number: send(store, f"message {number}", client_message_id=f"id-{number}"), numbers)
    assert sorted(it.message.message for it in retried) == sorted(f"message {number}" for number in numbers)
    assert [message.seq for message in history(store)] == list(range(1, 13))
    assert len({message.client_message_id for message in history(store)}) == 12


def test_no_message_is_stored_after_the_close(store: Messages) -> None:
    def act(number: int) -> Any:
        if number == 7:
            return send(store, "Bye", SYSTEM, message_type="system", metadata={"event": "booking_closed"})
        return send(store, f"message {number}")

    outcomes = at_once(act, range(16))
    stored = history(store)
    assert stored[-1].message == "Bye"
    refused = [it for it in outcomes if isinstance(it, Refusal)]
    assert {it.code for it in refused} <= {"booking_closed"}
    assert len(stored) + len(refused) == 16


def test_receipts_that_overtake_each_other_and_messages_never_move_back(store: Messages) -> None:
    for number in range(20):
        send(store, f"message {number}")

    def act(number: int) -> Any:
        if number % 3 == 0:
            return send(store, f"meanwhile {number}")
        return store_receipt(store, PASSENGER, "read", number, deadline=time.monotonic() + 20)

    at_once(act, random.Random(3).sample(range(1, 21), 20))
    head = store.head("test")
    assert head.receipts["passenger"] == {"delivered": 20, "read": 20}
    assert head.seq == len(history(store)) == 26


@pytest.mark.parametrize("disconnects", [1, 2])
def test_connecting_and_disconnecting_at_once_leaves_no_ghost(
    dynamodb: Any, names: dict[str, str], disconnects: int
) -> None:
    rows = Connections(dynamodb, names["connections"])

    def act(which: tuple[int, int]) -> Any:
        line, step = which
        if step:
            return rows.remove(f"line-{line}", NOW)
        expires_at = instants.to_seconds(NOW + CONNECTION_LIFE)
        return rows.record(Connection(f"line-{line}", "test", "driver", instants.to_text(NOW), expires_at))

    at_once(act, [(line, step) for line in range(8) for step in range(1 + disconnects)])
    assert rows.of_booking("test", NOW) == []
    assert [rows.get(f"line-{line}") for line in range(8)] == [None] * 8
