"""The pages and frames of a sync, on the table in memory."""

import time
from typing import Any

from get_message.sync import STEP, Sync
from navietakie.aws.tables.messages import Page
from navietakie.domain import instants
from navietakie.domain.conversation import append
from navietakie.domain.message import NewMessage
from navietakie.domain.rate_limit import NO_LIMIT
from tests.fakes.messages import FakeMessages

START = "2026-03-01T10:00:00.000000Z"
NOW = instants.from_text(START)


class Counting(FakeMessages):
    """Counts the pages that were read."""

    pages = 0

    def page(self, booking_code: str, **how: Any) -> Page:
        self.pages += 1
        return super().page(booking_code, **how)


def test_a_client_that_missed_more_than_a_page_gets_all_of_it_in_one_sync() -> None:
    store = Counting()
    for number in range(1, 451):
        head = store.head("test")
        message, after = append(
            head,
            NewMessage(message=str(number)),
            booking_code="test",
            sender="driver",
            now=NOW + number,
            message_id=str(number),
            epoch="the-epoch",
            rate_limit=NO_LIMIT,
        )
        store.store(message, before=head, after=after, expires_at=2**40, now=NOW, token=str(number))
    sync = Sync(store, {"booking_code": "test", "ts": START})
    head, deadline = store.head("test"), time.monotonic() + 60
    frames = list(sync.frames("test", START, {}, head, now=NOW, deadline=deadline))
    assert [message.seq for each in frames for message in each["messages"]] == list(range(1, 451))
    assert frames[-1]["through_seq"] == 450
    assert store.pages == 450 // STEP + 1 > 2
