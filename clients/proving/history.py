"""What happened in a run, as its clients saw it, and what the tables say at its end. Times in virtual microseconds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Fields = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to `client`, of a booking."""

    at: int
    booking: str
    client: str


@dataclass(frozen=True, kw_only=True)
class Asked(Event):
    """A client asked for something: one try, of which an Answered with the same number may tell the outcome.

    `kind`: `send` (with `client_message_id`), `receipt`, `call`, `redact` (with `timestamp`), or `look` (at how things
    stand).
    """

    number: int
    kind: str
    sender: str
    fields: Fields


@dataclass(frozen=True, kw_only=True)
class Answered(Event):
    """The outcome of a try: `code` is None where it was granted. Without one nobody knows."""

    number: int
    code: str | None
    body: Fields


@dataclass(frozen=True, kw_only=True)
class Doubled(Event):
    """The event of a try is run twice, and may be both refused and granted; the client hears of one outcome."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Heard(Event):
    """A frame came that nobody had asked for."""

    frame: Fields


@dataclass(frozen=True, kw_only=True)
class Read(Event):
    """What was read by a request that began at the instant `began`.

    `newest`: a page that holds the newest messages, where there are any.
    """

    began: int
    messages: tuple[Fields, ...]
    newest: bool = False


@dataclass(frozen=True, kw_only=True)
class Judged(Event):
    """The message hook was asked about what `sender` is sending, and let `stored` be stored; None: nothing.

    `failed`: it did not answer, or nonsense.
    """

    sender: str
    client_message_id: str | None
    message: str
    stored: str | None
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Told(Event):
    """A message event was published, by an invocation that began at the instant `began`."""

    began: int
    event: Fields


@dataclass(frozen=True, kw_only=True)
class Synced(Event):
    """A sync is complete: the client has `messages`, and says that none is missing behind `floor` up to `through`."""

    floor: int
    through: int
    messages: tuple[Fields, ...]


@dataclass(frozen=True, kw_only=True)
class Opened(Event):
    """A connection was opened, by `sender`."""

    connection: str
    sender: str


@dataclass(frozen=True, kw_only=True)
class Cut(Event):
    """A connection broke; from now on, if not before, posts to it may be answered 410."""

    connection: str
    sender: str


@dataclass(frozen=True, kw_only=True)
class Disowned(Event):
    """The server said that it does not know this connection."""

    connection: str


@dataclass(frozen=True, kw_only=True)
class Rested(Event):
    """How a client stands at the end of the run, when it has asked for everything."""

    floor: int
    messages: tuple[Fields, ...]
    receipts: Fields
    call: Fields | None
    hidden: bool = False
    away: bool = False
    """Whether its app is in the background, and whether the server knows it so."""


@dataclass(frozen=True, kw_only=True)
class Booking:
    """What the public reads say of a booking at the end: all messages and all calls, oldest first."""

    messages: Sequence[Fields]
    calls: Sequence[Fields]
    head_seq: int
    epoch: str | None
    receipts: Fields
    attachments: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """Of each attachment that was uploaded, whether it is served."""


@dataclass(frozen=True, kw_only=True)
class History:
    """A whole run.

    `one_clock`: the instants of its events and the timestamps of what is stored are by clocks that differ by less than
    two seconds. `longest_call`: after so many microseconds of talk the server ends it. `hook`: what happens where the
    message hook fails; None: there is none. `told`: every message is an event.
    """

    seed: int
    one_clock: bool = False
    longest_call: int = 4 * 3_600 * 1_000_000
    hook: Literal["deny", "allow"] | None = None
    told: bool = False
    exercised: Counter[str] = field(default_factory=Counter[str], compare=False)
    """How often what really happened."""
    events: list[Event] = field(default_factory=list[Event])
    bookings: dict[str, Booking] = field(default_factory=dict[str, Booking])
