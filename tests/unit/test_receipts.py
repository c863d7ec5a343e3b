"""Receipts on a head that others change at the same time."""

import time

import pytest

from navietakie.aws.tables.dynamo import Contended
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal
from navietakie.doors.requests import Party
from send_message.receipts import store_receipt

PASSENGER = Party("test", "passenger", None)


class Busy:
    """A head on which another transaction is under way during the first so many tries."""

    def __init__(self, times: int) -> None:
        self.times = times

    def move_receipt(self, booking_code: str, side: str, kind: str, seq: int, iat: int | None) -> tuple[Head, bool]:
        self.times -= 1
        if self.times >= 0:
            raise Contended
        return Head(seq=9, receipt_seqs={f"{side}_{kind}": seq}), True


def test_a_receipt_waits_for_the_message_that_is_being_stored() -> None:
    gathered: list[int] = []
    deadline = time.monotonic() + 5
    head, moved = store_receipt(Busy(3), PASSENGER, "read", 5, deadline=deadline, gather=lambda: gathered.append(1))
    assert (head.receipts["passenger"]["read"], moved) == (5, True)
    assert len(gathered) == 4, "those who are to be told are looked up with each try"


def test_a_head_that_stays_busy_is_unavailable() -> None:
    with pytest.raises(Refusal) as refused:
        store_receipt(Busy(10_000), PASSENGER, "read", 5, deadline=time.monotonic() + 0.05)
    assert (refused.value.code, refused.value.retryable) == ("unavailable", True)


def test_a_message_that_does_not_exist_cannot_be_read() -> None:
    with pytest.raises(Refusal, match="the last message is 9"):
        store_receipt(Busy(0), PASSENGER, "read", 10, deadline=time.monotonic() + 5)
