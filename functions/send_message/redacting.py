"""Redacting: a message's content is removed from the history, and a notice in the sequence says so.

One transaction removes the content, appends a message "Message removed", and counts one more redaction on the head.
Cached pages are kept under that count, so that no warm container serves the old text afterwards.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AfterValidator

from navietakie.aws.tables.dynamo import Contended
from navietakie.aws.tables.messages import HeadMoved, Marker, MessageStore
from navietakie.broadcast import Gather
from navietakie.domain import instants
from navietakie.domain.conversation import Head, admitted, append
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.frames import encode, message_frame
from navietakie.domain.message import Fields, Message, NewMessage, Sender
from navietakie.domain.orders import REDACTED, Rights, is_on_record
from navietakie.domain.rate_limit import NO_LIMIT, RateLimit
from navietakie.doors.requests import Party
from navietakie.retrying import tries
from send_message.sending import Sent, repeat_of

Timestamp = Annotated[str, AfterValidator(instants.normalized)]


class Redaction(Fields):
    """By REST and direct invocation: which message is to be redacted, by its timestamp."""

    redact: Timestamp


class SocketRedaction(Fields):
    """By WebSocket, where `redact` is the frame's action."""

    timestamp: Timestamp


@dataclass(frozen=True, slots=True)
class Redacting:
    """Redacts messages in `store`; a redaction counts as a message of its sender."""

    store: MessageStore
    rate_limit: RateLimit
    retention_days: int
    forget: Callable[[Message], None]
    """Deletes the attachment of a message, if it has one."""
    gather: Gather = lambda _, __: None
    """Begins to look up who will be told, while each try to store is under way."""

    def redact(self, party: Party, timestamp: str, *, now: int, deadline: float) -> Sent:
        """Takes the content out of the message at `timestamp`; the notice that says so, a duplicate for a repeat.

        Raises `unauthorized`, `not_found`, `forbidden`, `booking_closed`, `muted`, `rate_limited`, or `unavailable`
        when it was not done by `deadline` (monotonic).
        """
        booking_code, notice_id, epoch = party.booking_code, uuid.uuid4().hex, uuid.uuid4().hex
        head: Head | None = None
        for _ in tries(deadline):
            head = head or self.store.head(booking_code)
            head.rights.check_token(party.sender, party.iat)
            original = self.store.message(booking_code, timestamp, now=now)
            if original is None:
                raise Refusal("not_found", "There is no such message")
            check_redactable(party, original)
            if original.redacted_at is not None:
                return self._repeat(original, now, head.rights)
            head.rights.check_writing(party.sender)
            allowances = admitted(head, party.sender, now, self.rate_limit)
            notice, after = append(
                head,
                notice_of(original, party.sender),
                booking_code=booking_code,
                sender="system",
                now=now,
                message_id=notice_id,
                epoch=epoch,
                rate_limit=NO_LIMIT,
            )
            after = replace(after, allowances=allowances, redactions=head.redactions + 1)
            marker = self._marker(original, now)
            self.forget(original)  # before the commit: dying right after it must not leave the attachment behind
            if time.monotonic() >= deadline:
                break  # too late to write: the function might be stopped in the middle
            self.gather(booking_code, now)
            try:
                self.store.redact(
                    original,
                    notice,
                    before=head,
                    after=after,
                    expires_at=instants.expiry(now, self.retention_days),
                    token=str(uuid.uuid4()),
                    marker=marker,
                )
                return Sent(notice, encode(message_frame(notice)), duplicate=False, rights=after.rights)
            except HeadMoved as moved:
                head = moved.head
            except Contended:
                head = None
        raise unavailable("The booking")

    def _repeat(self, original: Message, now: int, rights: Rights) -> Sent:
        notice = self.store.message(original.booking_code, original.redacted_at or "")
        if notice is None:
            raise Refusal("not_found", "The message was redacted, and the notice of it has expired since")
        return repeat_of(notice, rights, now)

    def _marker(self, original: Message, now: int) -> Marker | None:
        if original.client_message_id is None:
            return None
        marker = self.store.marker(original.booking_code, original.sender, original.client_message_id, now)
        return marker if marker is not None and marker.timestamp == original.timestamp else None


def check_redactable(party: Party, original: Message) -> None:
    """Raises `forbidden` where this party may not redact this message, or nobody may."""
    if is_on_record(original):
        raise Refusal("forbidden", "redact: calls, orders and notices of redactions stay on the record")
    others = None not in (party.sender_id, original.sender_id) and party.sender_id != original.sender_id
    if party.sender != "system" and (party.sender != original.sender or others):
        raise Refusal("forbidden", "redact: the message was sent by somebody else")


def notice_of(original: Message, by: Sender) -> NewMessage:
    """The message that tells everybody, clients that keep the history included, what was redacted and by whom."""
    metadata = {"event": REDACTED, "seq": original.seq, "timestamp": original.timestamp, "by": by}
    return NewMessage(message="Message removed", message_type="system", metadata=metadata)
