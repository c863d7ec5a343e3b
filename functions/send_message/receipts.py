"""Receipts: how far a side has got and read the conversation."""

from collections.abc import Callable
from typing import Annotated, Literal, Self, TypedDict

from pydantic import Field, model_validator

from navietakie.aws.tables.dynamo import Contended
from navietakie.aws.tables.messages import MessageStore
from navietakie.domain.conversation import Head, ReceiptKind, Receipts
from navietakie.domain.errors import Refusal, invalid, unavailable
from navietakie.domain.frames import Pushed
from navietakie.domain.message import SIDES, Fields, Sender, Side
from navietakie.doors.requests import Party
from navietakie.retrying import tries

Sequence = Annotated[int, Field(ge=1, le=10**15)]


class NewReceipt(Fields):
    """A receipt by REST: exactly one of `delivered` and `read`."""

    delivered: Sequence | None = None
    read: Sequence | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.delivered is None) == (self.read is None):
            raise invalid("delivered", "give either delivered or read")
        return self

    @property
    def kind(self) -> ReceiptKind:
        """Which of both it is."""
        return "delivered" if self.delivered is not None else "read"

    @property
    def seq(self) -> int:
        """Up to which message."""
        return self.delivered or self.read or 0


class SocketReceipt(Fields):
    """A receipt by WebSocket; the action says which kind."""

    seq: Sequence


class StoredReceipt(TypedDict):
    """All receipts, after one was stored. A receipt never moves back."""

    receipts: Receipts


class ReceiptPushed(Pushed):
    """A side has got or read the conversation up to a message."""

    type: Literal["receipt"]
    sender: Side
    action: ReceiptKind
    seq: int
    receipts: Receipts


def store_receipt(
    store: MessageStore,
    party: Party,
    kind: ReceiptKind,
    seq: int,
    *,
    deadline: float,
    field: str = "seq",
    gather: Callable[[], object] = lambda: None,
) -> tuple[Head, bool]:
    """Moves the party's receipt forward; the head then, and whether it moved (it never moves back).

    `gather` begins to look up who will be told, while each try is under way. Raises `unauthorized` for a revoked token,
    `invalid_request` for a message that does not exist yet, or `unavailable` where the head, which every message moves,
    was busy until `deadline` (monotonic).
    """
    side = reading_side(party.sender)
    for _ in tries(deadline):
        gather()
        try:
            head, moved = store.move_receipt(party.booking_code, side, kind, seq, party.iat)
        except Contended:
            continue
        if not moved:
            head.rights.check_token(party.sender, party.iat)
        if seq > head.seq:
            raise invalid(field, f"the last message is {head.seq}")
        return head, moved
    raise unavailable("The booking")


def reading_side(sender: Sender) -> Side:
    """The side that has read; raises `forbidden` for any other role."""
    if sender not in SIDES:
        raise Refusal("forbidden", "sender: only driver and passenger have receipts")
    return sender


def receipt_frame(party: Party, kind: ReceiptKind, seq: int, head: Head, ts: str) -> ReceiptPushed:
    """The frame that tells the others of a receipt."""
    return {
        "v": 1,
        "type": "receipt",
        "booking_code": party.booking_code,
        "ts": ts,
        "sender": reading_side(party.sender),
        "action": kind,
        "seq": seq,
        "receipts": head.receipts,
    }
