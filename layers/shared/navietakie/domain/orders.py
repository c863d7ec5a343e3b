"""Orders: how the company steers a booking, and what its parties may still do. Pure.

An order is a message of type `system` whose `metadata.event` says what is ordered. So it has its place in the sequence,
is stored exactly once and reaches every client. The result of all orders so far is the booking's `Rights`. They are on
the head, change in the same write as the message that orders it, and are read from there alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypedDict, cast, get_args

from navietakie.domain import instants
from navietakie.domain.errors import Refusal, invalid
from navietakie.domain.message import PARTICIPANTS, SIDES, Message, NewMessage, Participant, Sender, Side

OrderEvent = Literal["booking_closed", "booking_opened", "side_muted", "side_unmuted", "tokens_revoked"]

REVOKED_AHEAD: Final = 5
"""Seconds: a token that was issued so long after a revocation is revoked as well, because clocks differ."""
NO_TOKEN: Final = 2**63
"""Stands for `iat` where no token was asked for: nothing that was issued can be revoked."""
_LATEST: Final = 253_402_300_000
"""Almost the end of the year 9999, the last that a timestamp can name."""
REDACTED: Final = "message_redacted"
"""The event by which the server says that a message was redacted."""


class BookingState(TypedDict):
    """What the company has ordered for the booking."""

    closed_at: str | None
    muted: list[Side]


@dataclass(frozen=True, slots=True)
class Rights:
    """What the orders so far leave a booking's parties."""

    closed_at: str | None = None
    muted: Mapping[Side, str] = field(default_factory=dict[Side, str])
    """The muted sides, and since when."""
    revoked: Mapping[Participant, str] = field(default_factory=dict[Participant, str])
    """Whose tokens are revoked, and when that was ordered last."""

    @property
    def booking(self) -> BookingState:
        """What clients are told, because the order may be further back than the messages that they have."""
        return {"closed_at": self.closed_at, "muted": [side for side in SIDES if side in self.muted]}

    def revokes(self, role: Sender, iat: int | None) -> bool:
        """Whether a token of `role` is revoked that was issued at `iat` (seconds since 1970; None: it does not say)."""
        ordered_at = self.revoked.get(cast(Participant, role))
        return ordered_at is not None and (iat is None or revoked_before(iat) <= ordered_at)

    def check_token(self, role: Sender, iat: int | None) -> None:
        """Raises `unauthorized` where the token of `role`, issued at `iat`, is revoked."""
        if self.revokes(role, iat):
            raise Refusal("unauthorized", "The token is revoked")

    def check_open(self) -> None:
        """Raises `booking_closed` in a closed booking."""
        if self.closed_at is not None:
            raise Refusal("booking_closed", "The booking is closed", details={"closed_at": self.closed_at})

    def check_not_muted(self, sender: Sender) -> None:
        """Raises `muted` where `sender` is a muted side."""
        if sender in self.muted:
            raise Refusal("muted", "This side is muted", details={"muted_at": self.muted[cast(Side, sender)]})

    def check_writing(self, sender: Sender) -> None:
        """Raises `booking_closed` or `muted`, in this order, where `sender` may not write; `system` always may."""
        if sender != "system":
            self.check_open()
            self.check_not_muted(sender)


def revoked_before(iat: int) -> str:
    """The timestamp from which on an order revokes a token that was issued at `iat`, in seconds since 1970."""
    return instants.to_text(max(0, min(iat, _LATEST) - REVOKED_AHEAD) * instants.SECOND)


@dataclass(frozen=True, slots=True)
class Order:
    """What is ordered, and whom it concerns where that is to be said."""

    event: OrderEvent
    side: Participant | None = None

    @property
    def cuts(self) -> bool:
        """Whether it ends a live call, or connections: its timer has to be queued before it is written."""
        return self.event in ("booking_closed", "tokens_revoked")

    def applied(self, rights: Rights, at: str) -> Rights:
        """The rights after this order was stored with the timestamp `at`."""
        match self.event:
            case "booking_closed":
                return replace(rights, closed_at=rights.closed_at or at)
            case "booking_opened":
                return replace(rights, closed_at=None)
            case "side_muted":
                return replace(rights, muted={cast(Side, self.side): at, **rights.muted})
            case "side_unmuted":
                return replace(rights, muted={side: since for side, since in rights.muted.items() if side != self.side})
            case "tokens_revoked":
                return replace(rights, revoked={**rights.revoked, cast(Participant, self.side): at})


def order_in(new: NewMessage) -> Order | None:
    """The order that a message of type `system` gives; None where it gives none, or one that is not known here.

    Raises `invalid_request` for a malformed order.
    """
    event = new.event
    if not isinstance(event, str) or event not in get_args(OrderEvent):
        return None
    if event in ("booking_closed", "booking_opened"):
        return Order(cast(OrderEvent, event))
    side = (new.metadata or {}).get("side")
    concerned = PARTICIPANTS if event == "tokens_revoked" else SIDES
    if side not in concerned:
        raise invalid("metadata.side", f"must be one of {', '.join(concerned)}")
    return Order(cast(OrderEvent, event), side)


def is_on_record(message: Message) -> bool:
    """Whether a stored message is part of the booking's record rather than somebody's words: it can't be redacted."""
    event = message.event
    return message.message_type == "call" or event == REDACTED or event in get_args(OrderEvent)
