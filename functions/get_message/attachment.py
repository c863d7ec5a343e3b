"""Reading an attachment: an address that works for some minutes, for whoever may read the booking."""

from typing import TYPE_CHECKING, Final, TypedDict, cast

from navietakie.domain import instants
from navietakie.domain.errors import Refusal
from navietakie.domain.message import ATTACHMENT_ID, ContentType, Fields

if TYPE_CHECKING:
    from navietakie.aws.attachments import AttachmentStore

URL_SECONDS: Final = 900
"""How long an address works."""


class AttachmentQuery(Fields):
    """Which attachment is asked for."""

    id: str

    @property
    def well_formed(self) -> bool:
        """Whether it has the form of an attachment's id."""
        return ATTACHMENT_ID.fullmatch(self.id) is not None


class AttachmentAddress(TypedDict):
    """Where an attachment can be read for some minutes; the address needs no token."""

    url: str
    content_type: ContentType
    bytes: int
    expires_at: str


def address(
    store: "AttachmentStore | None", booking_code: str, query: AttachmentQuery, *, now: int, retention_days: int
) -> AttachmentAddress:
    """The answer of `GET /api/v1/attachment`.

    Raises `not_found` for whatever is not there: unknown, of another booking, redacted, past its retention, or all
    where attachments are switched off.
    """
    found = store.kept(booking_code, query.id) if store is not None and query.well_formed else None
    seconds = instants.to_seconds(now)
    if store is None or found is None or instants.expiry(found.stored_at * instants.SECOND, retention_days) <= seconds:
        raise Refusal("not_found", "There is no such attachment")
    return {
        "url": store.url(booking_code, query.id, seconds=URL_SECONDS),
        "content_type": cast(ContentType, found.content_type),  # nothing else is kept
        "bytes": found.size,
        "expires_at": instants.to_text((seconds + URL_SECONDS) * instants.SECOND),
    }
