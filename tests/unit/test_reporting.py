"""The events about a message for the company's other systems."""

from dataclasses import replace
from typing import Any

import pytest

from navietakie.aws import publishing
from navietakie.aws.tables.connections import Connection
from navietakie.broadcast import Outcomes
from navietakie.domain.message import Message
from navietakie.domain.orders import Rights
from send_message import reporting
from send_message.reporting import report
from send_message.sending import Sent


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Kind and id of each event."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(publishing, "publish", lambda event: found.append((event["type"], event["event_id"])))
    return found


def system_message(**fields: Any) -> Sent:
    known = {"message_id": "a", "booking_code": "test", "seq": 1, "timestamp": "2026-03-01T10:00:00.000000Z"}
    words = {"sender": "system", "message_type": "system", "message": "The driver is here", "metadata": None}
    return Sent(Message(**{**known, **words, **fields}), b"{}", duplicate=False, rights=Rights())


def test_only_an_order_that_closes_a_booking_says_that_it_is_closed(published: list[tuple[str, str]]) -> None:
    closing = {"event": "booking_closed"}
    others: list[dict[str, Any]] = [
        {"metadata": None},
        {"metadata": {}},
        {"metadata": {"event": "booking_opened"}},
        {"metadata": {"event": "driver_arrived"}},
        {"metadata": closing, "message_type": "text"},
    ]
    for fields in others:
        report(system_message(**fields), Outcomes(), 0)
    assert published == []
    report(system_message(metadata=closing), Outcomes(), 0)
    assert published == [("booking.closed", "a-closed")]


def connection(sender: Any, **fields: Any) -> Connection:
    return Connection(f"{sender}-1", "test", sender, "2026-03-01T10:00:00.000000Z", 2**40, **fields)


@pytest.mark.parametrize(
    ("sender", "here", "missed"),
    [
        ("driver", [], ["passenger"]),
        ("driver", [("driver", False, "delivered")], ["passenger"]),
        ("driver", [("passenger", False, "delivered")], []),
        ("driver", [("passenger", True, "delivered")], ["passenger"]),
        ("driver", [("passenger", False, "failed")], ["passenger"]),
        ("passenger", [("passenger", False, "delivered")], ["driver"]),
        ("agent", [], ["driver", "passenger"]),
        ("agent", [("driver", False, "delivered")], ["passenger"]),
        ("system", [], []),
    ],
)
def test_a_side_whom_no_message_reached_is_told_of(
    monkeypatch: pytest.MonkeyPatch, sender: Any, here: list[tuple[Any, bool, Any]], missed: list[str]
) -> None:
    events = list[Any]()
    monkeypatch.setattr(publishing, "publish", events.append)
    outcomes = Outcomes([(connection(side, away=away), outcome) for side, away, outcome in here])
    report(system_message(sender=sender, message_type="text"), outcomes, 1_000_000)
    assert events == [
        {
            "event_id": f"a-undelivered-{side}",
            "type": "message.undelivered",
            "sender": sender,
            "to": side,
            "booking_code": "test",
            "timestamp": "1970-01-01T00:00:01.000000Z",
            "message_id": "a",
            "seq": 1,
        }
        for side in missed
    ]


def test_the_event_of_a_closed_booking_says_who_closed_it_and_when(monkeypatch: pytest.MonkeyPatch) -> None:
    events = list[Any]()
    monkeypatch.setattr(publishing, "publish", events.append)
    sent = system_message(metadata={"event": "booking_closed"})
    report(sent, Outcomes(), 1_000_000)
    report(replace(sent, duplicate=True), Outcomes(), 1_000_000)
    closed = {
        "event_id": "a-closed",
        "type": "booking.closed",
        "sender": "system",
        "booking_code": "test",
        "timestamp": "1970-01-01T00:00:01.000000Z",
        "message_id": "a",
        "seq": 1,
    }
    assert events == [closed, closed]


def test_nothing_is_published_again_of_what_was_stored_long_ago(published: list[tuple[str, str]]) -> None:
    late = replace(system_message(metadata={"event": "booking_closed"}), duplicate=True, late=True)
    report(late, Outcomes(), 0)
    report(replace(late, message=late.message.model_copy(update={"sender": "driver"})), Outcomes(), 0)
    assert published == []


@pytest.mark.parametrize(
    ("event", "duplicate", "counted"),
    [
        (None, False, ["MessagesStored"]),
        (None, True, ["DuplicateMessages"]),
        ("message_redacted", False, ["MessagesStored", "MessagesRedacted"]),
        ("message_redacted", True, ["DuplicateMessages"]),
    ],
)
def test_operators_see_how_much_is_stored_repeated_and_redacted(
    monkeypatch: pytest.MonkeyPatch, event: str | None, duplicate: bool, counted: list[str]
) -> None:
    counts = list[str]()
    monkeypatch.setattr(reporting, "count", counts.append)
    report(replace(system_message(metadata={"event": event}), duplicate=duplicate), Outcomes(), 0)
    assert counts == counted
