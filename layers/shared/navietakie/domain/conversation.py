"""The head of a conversation, and the rules by which a message is admitted behind it.

The head is one item per booking: the last sequence and timestamp, and what decides about the next message. Pure: the
clock and the ids are arguments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from navietakie.domain import instants
from navietakie.domain.errors import Refusal
from navietakie.domain.message import SIDES, Message, NewMessage, Sender, Side
from navietakie.domain.rate_limit import RateLimit

ReceiptKind = Literal["delivered", "read"]
Receipts = dict[Side, dict[ReceiptKind, int]]


@dataclass(frozen=True, slots=True)
class Head:
    """Where a conversation stands. `seq` 0 and `epoch` None: nothing was said yet."""

    seq: int = 0
    timestamp: str = ""
    epoch: str | None = None
    closed_at: str | None = None
    allowances: Mapping[str, int] = field(default_factory=dict[str, int])
    """Per sender the instant at which its allowance is whole again (GCRA's theoretical arrival time)."""
    receipt_seqs: Mapping[str, int] = field(default_factory=dict[str, int])
    """`driver_read` and the like: the highest sequence that a side has said it got or read."""

    @property
    def receipts(self) -> Receipts:
        """Per side the last sequence delivered and read; who has read a message has got it."""
        return {
            side: {
                "delivered": max(
                    self.receipt_seqs.get(f"{side}_delivered", 0), self.receipt_seqs.get(f"{side}_read", 0)
                ),
                "read": self.receipt_seqs.get(f"{side}_read", 0),
            }
            for side in SIDES
        }


def next_timestamp(head: Head, now: int) -> str:
    """`now`, or a microsecond after the last message where the clock is not past it."""
    return instants.to_text(max(now, instants.from_text(head.timestamp) + 1) if head.timestamp else now)


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

    `epoch` is used if this is the first message. Raises `booking_closed` or `rate_limited`; messages from `system`
    are never refused.
    """
    allowances = head.allowances
    if sender != "system":
        if head.closed_at is not None:
            raise Refusal("booking_closed", "The booking is closed", details={"closed_at": head.closed_at})
        if rate_limit.rate > 0:
            allowances = {**allowances, sender: rate_limit.admit(allowances.get(sender, 0), now)}
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
    closed_at = head.closed_at
    if new.event == "booking_closed":
        closed_at = closed_at or message.timestamp
    elif new.event == "booking_opened":
        closed_at = None
    after = replace(
        head,
        seq=message.seq,
        timestamp=message.timestamp,
        epoch=head.epoch or epoch,
        closed_at=closed_at,
        allowances=allowances,
    )
    return message, after
