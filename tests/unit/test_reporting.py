"""The events about a message for the company's other systems."""

from typing import Any

import pytest

from navietakie.aws import publishing
from navietakie.broadcast import Outcomes
from navietakie.domain.message import Message
from navietakie.domain.orders import Rights
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
