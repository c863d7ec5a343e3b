"""Attachments: a form to upload one, and the type and size that complete a message that names one."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, TypedDict, get_args

from pydantic import Field

from navietakie.aws.tables.dynamo import Contended
from navietakie.aws.tables.messages import MessageStore
from navietakie.domain import instants
from navietakie.domain.conversation import admitted
from navietakie.domain.errors import Refusal, invalid, unavailable
from navietakie.domain.message import ContentType, Fields, Message, NewMessage
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors.requests import Party
from navietakie.retrying import tries

if TYPE_CHECKING:
    from navietakie.aws.attachments import AttachmentStore, StoredObject

FORM_SECONDS: Final = 600
"""How long a form can be posted."""
TRIES: Final = 3
"""How often a message looks for its attachment while others change it."""


class NewAttachment(Fields):
    """What somebody wants to upload. `bytes` is an upper bound; later the size of the upload counts."""

    content_type: ContentType
    bytes: Annotated[int, Field(ge=1)]


class Attach(Fields):
    """By REST and direct invocation."""

    attach: NewAttachment


class Attachment(TypedDict):
    """An attachment, by which a message names it in `metadata.attachment`."""

    id: str
    content_type: ContentType
    bytes: int


class Upload(TypedDict):
    """A form of S3: POST the fields to the URL as multipart/form-data, in this order, and the file last as `file`."""

    url: str
    fields: dict[str, str]
    expires_at: str


class AttachmentForm(TypedDict):
    """An id, and the form that uploads what it names."""

    attachment: Attachment
    upload: Upload


@dataclass(frozen=True, slots=True)
class Attaching:
    """Gives out forms, and completes messages. `store` gives None where attachments are switched off."""

    store: "Callable[[], AttachmentStore | None]"
    most_bytes: int

    def form(
        self,
        party: Party,
        new: NewAttachment,
        messages: MessageStore,
        rate_limit: RateLimit,
        *,
        now: int,
        deadline: float,
    ) -> AttachmentForm:
        """A form for an upload, and the id by which a message names it; it counts as a message of its sender.

        Raises `unauthorized`, `not_found` where attachments are switched off, `too_large`, `booking_closed`, `muted`,
        `rate_limited`, or `unavailable` where the head was busy until `deadline` (monotonic).
        """
        store = self.store()
        if store is None:  # a revoked token is refused first: its bearer learns nothing about this stack
            messages.head(party.booking_code).rights.check_token(party.sender, party.iat)
            raise _switched_off()
        if new.bytes > self.most_bytes:
            most = {"field": "attach.bytes", "max_bytes": self.most_bytes}
            raise Refusal("too_large", f"attach.bytes: more than {self.most_bytes} bytes", details=most)
        self._admit(party, messages, rate_limit, now, deadline)
        id = uuid.uuid4().hex
        upload = store.form(
            party.booking_code, party.sender, id, new.content_type, most_bytes=new.bytes, seconds=FORM_SECONDS
        )
        expires_at = instants.to_text(now + FORM_SECONDS * instants.SECOND)
        attachment: Attachment = {"id": id, "content_type": new.content_type, "bytes": new.bytes}
        return {"attachment": attachment, "upload": {**upload, "expires_at": expires_at}}

    def completed(self, party: Party, new: NewMessage) -> NewMessage:
        """`new` with the type and size of the attachment that it names, which is kept from now on.

        Raises `invalid_request` for one that `party` has not uploaded to this booking, `not_found` where attachments
        are switched off, or `unavailable`.
        """
        if (id := new.attachment_id) is None:
            return new
        store = self.store()
        if store is None:
            raise _switched_off()
        for _ in range(TRIES):
            found = store.kept(party.booking_code, id)
            if found is not None:
                if found.sender != party.sender:
                    break
                return _with(new, id, found)
            found = store.uploaded(party.booking_code, party.sender, id)
            if found is None or not self._allows(found):
                break
            if store.keep(party.booking_code, party.sender, id, found):
                return _with(new, id, found)
        raise invalid("metadata.attachment.id", "is no attachment that this sender has uploaded to this booking")

    def forget(self, message: Message) -> None:
        """Deletes the attachment of a message, for all messages that name it."""
        attachment = (message.metadata or {}).get("attachment")
        if attachment and (store := self.store()) is not None:
            store.delete(message.booking_code, message.sender, attachment["id"])

    def _allows(self, found: "StoredObject") -> bool:
        return 1 <= found.size <= self.most_bytes and found.content_type in get_args(ContentType)

    def _admit(self, party: Party, messages: MessageStore, rate_limit: RateLimit, now: int, deadline: float) -> None:
        for _ in tries(deadline):
            head = messages.head(party.booking_code)
            head.rights.check_token(party.sender, party.iat)
            head.rights.check_writing(party.sender)
            before = head.allowances.get(party.sender)
            after = admitted(head, party.sender, now, rate_limit).get(party.sender)
            if after is None or after == before:
                return  # no limit
            try:
                if messages.move_allowance(party.booking_code, party.sender, before=before, after=after):
                    return
            except Contended:
                continue
        raise unavailable("The booking")


def _switched_off() -> Refusal:
    return Refusal("not_found", "There are no attachments here")


def _with(new: NewMessage, id: str, found: "StoredObject") -> NewMessage:
    attachment = {"id": id, "content_type": found.content_type, "bytes": found.size}
    return new.model_copy(update={"metadata": {**(new.metadata or {}), "attachment": attachment}})
