"""Receipts on a head that others change at the same time."""

import time
from typing import Any

import pytest

from navietakie.aws.tables.dynamo import Contended
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal
from navietakie.domain.orders import Rights
from navietakie.doors.requests import Party
from send_message.receipts import NewReceipt, reading_side, receipt_frame, store_receipt

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


def test_the_last_message_can_be_read_and_the_field_of_one_beyond_it_is_named() -> None:
    assert store_receipt(Busy(0), PASSENGER, "read", 9, deadline=time.monotonic() + 5)[1]
    with pytest.raises(Refusal) as refused:
        store_receipt(Busy(0), PASSENGER, "read", 10, deadline=time.monotonic() + 5, field="read")
    assert (refused.value.code, refused.value.details) == ("invalid_request", {"field": "read"})


class Revoked:
    """A head that says that the passenger's tokens are revoked; `moved` whether the receipt is new."""

    def __init__(self, moved: bool) -> None:
        self.moved = moved

    def move_receipt(self, booking_code: str, side: str, kind: str, seq: int, iat: int | None) -> tuple[Head, bool]:
        return Head(seq=9, rights=Rights(revoked={"passenger": "2026-03-01T10:00:00.000000Z"})), self.moved


def test_a_revoked_token_reads_nothing_even_if_it_was_read_before() -> None:
    # One that has moved was let through by the write's own condition.
    assert store_receipt(Revoked(True), PASSENGER, "read", 5, deadline=time.monotonic() + 5)[1]
    with pytest.raises(Refusal) as refused:
        store_receipt(Revoked(False), Party("test", "passenger", None, iat=0), "read", 5, deadline=time.monotonic() + 5)
    assert refused.value.code == "unauthorized"


@pytest.mark.parametrize(
    ("fields", "kind", "seq"),
    [
        ({"delivered": 1}, "delivered", 1),
        ({"read": 10**15}, "read", 10**15),
        ({"read": 7, "delivered": None}, "read", 7),
    ],
)
def test_a_receipt_says_what_and_up_to_where(fields: dict[str, Any], kind: str, seq: int) -> None:
    new = NewReceipt.parse(fields)
    assert (new.kind, new.seq) == (kind, seq)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"delivered": 0}, "delivered"),
        ({"delivered": 10**15 + 1}, "delivered"),
        ({"read": "1"}, "read"),
        ({"read": True}, "read"),
        ({"read": 1, "delivered": 1}, "delivered"),
        ({}, "delivered"),
    ],
)
def test_a_receipt_that_says_neither_or_both_or_no_number_of_a_message_is_refused(
    fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refusal) as refused:
        NewReceipt.parse(fields)
    assert (refused.value.code, refused.value.details) == ("invalid_request", {"field": field})


def test_only_the_sides_have_receipts() -> None:
    assert (reading_side("driver"), reading_side("passenger")) == ("driver", "passenger")
    for sender in ("agent", "system"):
        with pytest.raises(Refusal) as refused:
            reading_side(sender)
        assert refused.value.code == "forbidden"


def test_the_others_are_told_of_a_receipt_and_how_both_sides_stand() -> None:
    head = Head(seq=9, receipt_seqs={"passenger_read": 5, "driver_delivered": 7})
    assert receipt_frame(PASSENGER, "read", 5, head, "then") == {
        "v": 1,
        "type": "receipt",
        "booking_code": "test",
        "ts": "then",
        "sender": "passenger",
        "action": "read",
        "seq": 5,
        "receipts": {"driver": {"delivered": 7, "read": 0}, "passenger": {"delivered": 5, "read": 5}},
    }
