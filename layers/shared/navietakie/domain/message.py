"""A message: what a client may ask to be stored, and what is stored."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from navietakie.domain.errors import Refusal, invalid

Sender = Literal["driver", "passenger", "agent", "system"]
Side = Literal["driver", "passenger"]
Participant = Literal["driver", "passenger", "agent"]
"""Who is seen in a booking: a side, or a person of the company who joins in."""
MessageType = Literal["text", "call", "system"]

SIDES: Final[tuple[Side, Side]] = ("driver", "passenger")
PARTICIPANTS: Final[tuple[Participant, ...]] = (*SIDES, "agent")
METADATA_BYTES: Final = 4 * 1024
ATTACHMENT_ID: Final = re.compile(r"[0-9a-f]{32}")
ContentType = Literal[
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/heic",
    "audio/mpeg",
    "audio/mp4",
    "audio/aac",
    "audio/ogg",
    "audio/webm",
]
"""What an attachment may be."""

BookingCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
ClientId = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,64}$")]
"""1 to 64 printable ASCII characters, chosen by the client."""
Label = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]
"""A name that a client or a token brings, of a person or a device: 1 to 128 characters, none of them a control."""
LARGEST_INTEGER: Final = 2**53 - 1
"""Beyond it a receiver whose numbers are doubles, as JavaScript's are, reads another number (RFC 8259, section 6)."""
_INVISIBLE: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Unicode calls them letters and symbols, but nobody sees them."""


def _visible(text: str) -> str:
    """`text`; ValueError where it is not empty and nobody could see anything of it."""
    if text and not any(map(_is_visible, text)):
        raise ValueError("holds nothing that can be seen")
    return text


def _is_visible(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] != "Z" and category not in ("Cc", "Cf") and character not in _INVISIBLE


Text = Annotated[str, StringConstraints(max_length=5_000), AfterValidator(_visible)]
"""Empty, or something that can be seen."""


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) else value


Limit = Annotated[int, Field(ge=1, le=100), BeforeValidator(_number)]
"""How many at most; a query string has it as digits."""


def other_side(side: Side) -> Side:
    """The one that `side` talks to."""
    return "passenger" if side == "driver" else "driver"


class Fields(BaseModel):
    """What a client asks for. Unknown fields are ignored, types are not converted, an optional field may be null."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """The request in `fields`; raises `invalid_request` that names the first bad field, or a rule's own Refusal."""
        required = {name for name, field in cls.model_fields.items() if field.is_required()}
        given = {name: value for name, value in fields.items() if value is not None or name in required}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise _first_of(error) from None


def _first_of(error: ValidationError, *within: str) -> Refusal:
    """The first bad field, `within` others, as `invalid_request`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    names = (part for part in first["loc"] if isinstance(part, str))  # a number is a place in a list
    field = ".".join((*within, *names)) or "body"
    of_ours = first["type"] == "model_type"  # pydantic would name our class
    return invalid(field, "Input should be an object" if of_ours else first["msg"].removeprefix("Value error, "))


class Location(Fields):
    """A place on Earth in degrees (WGS 84)."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    lat: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    lng: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class AttachmentReference(Fields):
    """Names an attachment that was uploaded; the server completes its type and size."""

    id: Annotated[str, StringConstraints(pattern=f"^{ATTACHMENT_ID.pattern}$")]


class Metadata(Fields):
    """The fields of `metadata` that mean something here; the others are the clients' own."""

    attachment: AttachmentReference | None = None
    location: Location | None = None
    quick_reply_id: Annotated[str, StringConstraints(pattern=r"^[ -~]{1,64}$")] | None = None


class NewMessage(Fields):
    """A message that a client asks to be stored."""

    message: Text
    message_type: MessageType = "text"
    sender_id: Label | None = None
    client_message_id: ClientId | None = None
    metadata: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        self._check_metadata()
        if not self.message and self.attachment_id is None:
            raise invalid("message", "String should have at least 1 character")
        return self

    def _check_metadata(self) -> None:
        if self.metadata is None:
            return
        if len(compact(self.metadata)) > METADATA_BYTES:
            raise Refusal("too_large", f"metadata: more than {METADATA_BYTES} bytes", details={"field": "metadata"})
        refuse_large_integers(self.metadata, "metadata")
        try:
            Metadata.model_validate(self.metadata)
        except ValidationError as error:
            raise _first_of(error, "metadata") from None

    @property
    def attachment_id(self) -> str | None:
        """The id of the attachment that the message brings, if any."""
        attachment = (self.metadata or {}).get("attachment")
        return attachment["id"] if attachment else None

    @property
    def event(self) -> Any:
        """What a system message says of the booking, if anything: an order, or an event of the company's own."""
        return (self.metadata or {}).get("event") if self.message_type == "system" else None

    @property
    def digest(self) -> str:
        """Equal for equal contents: a repeat under the same id has to have the same."""
        return hashlib.sha256(compact([self.message_type, self.message, self.metadata])).hexdigest()[:32]


class Message(BaseModel):
    """A stored message. `seq` counts 1, 2, 3, … within its booking; `timestamp` rises with it.

    `redacted_at`: since when its content is gone.
    """

    model_config = ConfigDict(frozen=True)

    message_id: str
    booking_code: str
    seq: int
    timestamp: str
    sender: Sender
    sender_id: str | None = None
    message_type: MessageType
    message: str
    redacted_at: str | None = None
    client_message_id: str | None = None
    metadata: dict[str, Any] | None = None

    @property
    def event(self) -> Any:
        """What a system message says of the booking, if anything."""
        return (self.metadata or {}).get("event") if self.message_type == "system" else None


def refuse_large_integers(value: Any, field: str) -> None:
    """Raises `invalid_request` for a whole number in `value` that not every receiver can read."""
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise invalid(field, "holds a whole number beyond 2^53 - 1")
    inside = cast(dict[str, Any], value).values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for each in cast(Iterable[Any], inside):
            refuse_large_integers(each, field)


def compact(value: Any) -> bytes:
    """`value` as JSON in UTF-8 without a spare byte; keys sorted, so that equal values give equal bytes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
