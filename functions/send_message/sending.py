"""Storing a message exactly once, in order, without a gap in the sequence."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from navietakie.aws.tables.dynamo import Contended
from navietakie.aws.tables.messages import AlreadyStored, HeadMoved, Marker, MessageStore
from navietakie.aws.timers import Timers
from navietakie.broadcast import Gather
from navietakie.domain import instants
from navietakie.domain.conversation import TOLD_AGAIN, Head, append
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.frames import encode, encode_content, message_frame
from navietakie.domain.message import SIDES, Message, NewMessage, Sender
from navietakie.domain.orders import REDACTED, Rights, order_in
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors.budget import Allowances
from navietakie.doors.requests import Party
from navietakie.retrying import tries


@dataclass(frozen=True, slots=True)
class Sent:
    """A stored message. `duplicate`: an earlier request stored it. `late`: that was more than a minute ago.

    `frame` is the one that tells of it, as it travels; `rights`: what the head said then.
    """

    message: Message
    frame: bytes
    duplicate: bool
    rights: Rights
    late: bool = False


type Mask = Callable[[str, str], str]
"""Takes a text and its booking's code, returns the text to store: `masking.masked`."""
type Complete = Callable[[Party, NewMessage], NewMessage]
"""Takes a message that names an attachment, returns it with type and size: `attaching.Attaching.completed`."""
type Screen = Callable[[Message, NewMessage], NewMessage]
"""Takes a message as it would be stored, and its content; returns the content to store: `hook.Hook.screened`."""


@dataclass(frozen=True, slots=True)
class Sending:
    """Stores messages, as fast as `rate_limit` allows, for `retention_days`."""

    messages: MessageStore
    timers: Callable[[], Timers]
    """Used only for an order that may end a call or close connections."""
    rate_limit: RateLimit
    retention_days: int
    mask: Mask | None = None
    """Hides phone numbers and addresses in a side's text; None: they stay."""
    hook: Screen | None = None
    """Asked last, once for each message of a person; None: there is no hook."""
    repeats: Allowances = field(default_factory=Allowances)
    """How many repeats a sender may still send."""
    complete: Complete = lambda _, new: new
    """Adds type and size to a message that names an attachment."""
    gather: Gather = lambda _, __: None
    """Begins to look up who will be told, while each try to store is under way."""

    def send(self, party: Party, new: NewMessage, *, now: int, deadline: float) -> Sent:
        """Stores `new`, or finds it stored already under its `client_message_id`.

        Raises `forbidden`, `invalid_request`, `too_large`, `unauthorized`, `idempotency_conflict`, `booking_closed`,
        `muted`, `rate_limited`, `refused_by_hook`, or `unavailable` when it was not stored by `deadline` (monotonic).
        """
        check_author(party.sender, new)
        order = order_in(new)
        booking_code, message_id, epoch = party.booking_code, uuid.uuid4().hex, uuid.uuid4().hex
        content = self._masked(party, new)
        hook = None if party.sender == "system" else self.hook
        undecided = hook is not None or new.attachment_id is not None

        def appended_to(head: Head) -> tuple[Message, Head]:
            return append(
                head,
                content,
                booking_code=booking_code,
                sender=party.sender,
                now=now,
                message_id=message_id,
                epoch=epoch,
                rate_limit=self.rate_limit,
            )

        head: Head | None = None
        for _ in tries(deadline):
            head = head or self.messages.head(booking_code)
            head.rights.check_token(party.sender, party.iat)
            try:
                message, after = appended_to(head)
            except Refusal:
                if (repeated := self._repeated(party, new, now, head)) is not None:
                    return repeated
                raise
            frame = encode_content(message_frame(message), "message")
            if undecided:
                # The hook is not asked about a repeat: it might decide differently now, and each call of it costs.
                if (repeated := self._repeated(party, new, now, head)) is not None:
                    return repeated
                content, undecided = self.complete(party, content), False
                message, after = appended_to(head)
                if hook is not None:
                    content = hook(message, content)
                    message, after = appended_to(head)
                frame = encode_content(message_frame(message), "message")
            if order is not None and order.cuts:
                # Before the order is written: dying right after it must leave no call and no connection alive.
                self.timers().queue("order", booking_code, 0, event=order.event, look=0)
            if time.monotonic() >= deadline:
                break  # too late to write: the function might be stopped in the middle
            self.gather(booking_code, now)
            try:
                self.messages.store(
                    message,
                    before=head,
                    after=after,
                    expires_at=instants.expiry(now, self.retention_days),
                    now=now,
                    token=str(uuid.uuid4()),
                    marker=_marker(message, new),
                )
                return Sent(message, frame, duplicate=False, rights=after.rights)
            except AlreadyStored as already:
                if already.marker is not None:
                    return self._original(booking_code, new, already.marker, now, head.rights)
                head = None
            except HeadMoved as moved:
                head = moved.head
            except Contended:
                head = None
        raise unavailable("The booking")

    def _masked(self, party: Party, new: NewMessage) -> NewMessage:
        if self.mask is None or party.sender not in SIDES:
            return new
        return new.model_copy(update={"message": self.mask(new.message, party.booking_code)})

    def _repeated(self, party: Party, new: NewMessage, now: int, head: Head) -> Sent | None:
        """The original, if the message is stored already; None if it is not, or has no id."""
        if new.client_message_id is None:
            return None
        marker = self.messages.marker(party.booking_code, party.sender, new.client_message_id, now)
        return None if marker is None else self._original(party.booking_code, new, marker, now, head.rights)

    def _original(self, booking_code: str, new: NewMessage, marker: Marker, now: int, rights: Rights) -> Sent:
        """The message that was stored under the same id. Repeats have the same rate as messages, counted separately."""
        if not marker.fits(new):
            raise Refusal(
                "idempotency_conflict",
                "client_message_id: another message was stored under it",
                details={"client_message_id": marker.client_message_id, "timestamp": marker.timestamp},
            )
        self.repeats.take(self.rate_limit, booking_code, marker.sender, now)
        message = self.messages.message(booking_code, marker.timestamp, now=now)
        if message is None:
            raise Refusal("not_found", "The message was stored and has expired since")
        return repeat_of(message, rights, now)


def repeat_of(message: Message, rights: Rights, now: int) -> Sent:
    """The answer to a repeat of what stored this message; a late one is for its sender alone."""
    late = now - instants.from_text(message.timestamp) > TOLD_AGAIN
    return Sent(message, encode(message_frame(message)), duplicate=True, rights=rights, late=late)


def check_author(sender: Sender, new: NewMessage) -> None:
    """Raises `forbidden` where `sender` may not write this message."""
    if new.message_type == "call":
        raise Refusal("forbidden", "message_type: messages of type call are written by the server alone")
    if new.message_type == "system" and sender != "system":
        raise Refusal("forbidden", "message_type: only the sender system writes messages of type system")
    if new.event == REDACTED:
        raise Refusal("forbidden", "metadata.event: the server alone says that a message was redacted")


def _marker(message: Message, new: NewMessage) -> Marker | None:
    if new.client_message_id is None:
        return None
    return Marker(message.sender, new.client_message_id, message.timestamp, new.digest)
