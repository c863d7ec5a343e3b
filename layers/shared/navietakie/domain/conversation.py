"""The head of a conversation, and the rules by which a message is admitted behind it.

The head is one item per booking: the last sequence and timestamp, and what decides about the next message. Pure: the
clock and the ids are arguments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypedDict

from navietakie.domain import instants
from navietakie.domain.message import Message, NewMessage, Sender, Side
from navietakie.domain.orders import Rights, order_in
from navietakie.domain.rate_limit import RateLimit

ReceiptKind = Literal["delivered", "read"]


class Receipt(TypedDict):
    """Up to where one side has got and read the conversation."""

    delivered: int
    read: int


class Receipts(TypedDict):
    """Up to where both sides have got and read the conversation."""

    driver: Receipt
    passenger: Receipt


TOLD_AGAIN = 60 * instants.SECOND
"""How long a repeat is broadcast again: the first run may have died before that. Later only its sender is answered."""


@dataclass(frozen=True, slots=True)
class Head:
    """The state of a conversation. `seq` is 0 and `epoch` None before the first message."""

    seq: int = 0
    timestamp: str = ""
    epoch: str | None = None
    rights: Rights = field(default_factory=Rights)
    """The result of all orders so far."""
    redactions: int = 0
    """How many messages were redacted. A cached page from before the last redaction must not be used."""
    allowances: Mapping[str, int] = field(default_factory=dict[str, int])
    """Per sender the instant at which its allowance is whole again (GCRA's theoretical arrival time)."""
    receipt_seqs: Mapping[str, int] = field(default_factory=dict[str, int])
    """`driver_read` and the like: the highest sequence that a side has said it got or read."""

    @property
    def closed_at(self) -> str | None:
        """When the booking was closed; None while it is open."""
        return self.rights.closed_at

    @property
    def receipts(self) -> Receipts:
        """Per side the last sequence delivered and read; who has read a message has got it."""
        return {"driver": self._receipt("driver"), "passenger": self._receipt("passenger")}

    def _receipt(self, side: Side) -> Receipt:
        read = self.receipt_seqs.get(f"{side}_read", 0)
        return {"delivered": max(self.receipt_seqs.get(f"{side}_delivered", 0), read), "read": read}


def next_timestamp(head: Head, now: int) -> str:
    """`now`; or a microsecond after the last message, where the clock is not later than that."""
    return instants.to_text(max(now, instants.from_text(head.timestamp) + 1) if head.timestamp else now)


def admitted(head: Head, sender: Sender, now: int, rate_limit: RateLimit) -> Mapping[str, int]:
    """The allowances after one more message or upload of `sender`; raises `rate_limited`, but never for `system`."""
    if sender == "system" or rate_limit.rate <= 0:
        return head.allowances
    return {**head.allowances, sender: rate_limit.admit(head.allowances.get(sender, 0), now)}


def append(
    head: Head,
    new: NewMessage,
    *,
    booking_code: str,
    sender: Sender,
    now: int,
    message_id: str,
    epoch: str,
    rate_limit: RateLimit,
) -> tuple[Message, Head]:
    """The message as it will be stored behind `head`, and the head after it.

    `epoch` is used if this is the first message. Raises `booking_closed`, `muted` or `rate_limited`, in this order, but
    not for messages from `system`; `invalid_request` for an order that is none.
    """
    order = order_in(new)
    head.rights.check_writing(sender)
    allowances = admitted(head, sender, now, rate_limit)
    message = Message(
        message_id=message_id,
        booking_code=booking_code,
        seq=head.seq + 1,
        timestamp=next_timestamp(head, now),
        sender=sender,
        sender_id=new.sender_id,
        message_type=new.message_type,
        message=new.message,
        client_message_id=new.client_message_id,
        metadata=new.metadata,
    )
    after = replace(
        head,
        seq=message.seq,
        timestamp=message.timestamp,
        epoch=head.epoch or epoch,
        rights=order.applied(head.rights, message.timestamp) if order else head.rights,
        allowances=allowances,
    )
    return message, after
