"""What happened in a run, as its clients saw it, and what is stored at its end. Times in virtual microseconds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Fields = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a client of a booking."""

    at: int
    booking: str
    client: str


@dataclass(frozen=True, kw_only=True)
class Asked(Event):
    """A client asked for something. This is one try; an Answered with the same number has its outcome.

    `kind`: `send` (with `client_message_id`), `receipt`, `call`, `redact` (with `timestamp`), or `look` (how things
    stand).
    """

    number: int
    kind: str
    sender: str
    fields: Fields


@dataclass(frozen=True, kw_only=True)
class Answered(Event):
    """The outcome of a try: `code` is the error, or None. The outcome of a try without an Answered is unknown."""

    number: int
    code: str | None
    body: Fields


@dataclass(frozen=True, kw_only=True)
class Doubled(Event):
    """Lambda ran the event of a try twice. One run may succeed and the other not; the client hears of one outcome."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Heard(Event):
    """The server pushed a frame to the client."""

    frame: Fields


@dataclass(frozen=True, kw_only=True)
class Read(Event):
    """What a request read. It began at the instant `began`.

    `newest`: this page has the newest messages, if there are any. `head`: the answer's `head_seq`.
    """

    began: int
    messages: tuple[Fields, ...]
    newest: bool = False
    head: int | None = None


@dataclass(frozen=True, kw_only=True)
class Judged(Event):
    """The message hook was asked about a message and answered that `stored` may be stored; None: nothing may.

    `failed`: it did not answer, or its answer made no sense.
    """

    sender: str
    client_message_id: str | None
    message: str
    stored: str | None
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Told(Event):
    """An invocation that began at the instant `began` published a message event."""

    began: int
    event: Fields


@dataclass(frozen=True, kw_only=True)
class TimerLost(Event):
    """A timer of this call will never come."""

    call_id: str


@dataclass(frozen=True, kw_only=True)
class Synced(Event):
    """A sync is complete: the client has `messages`, and says that none is missing after `floor` up to `through`."""

    floor: int
    through: int
    messages: tuple[Fields, ...]


@dataclass(frozen=True, kw_only=True)
class Opened(Event):
    """`sender` has opened a connection."""

    connection: str
    sender: str


@dataclass(frozen=True, kw_only=True)
class Cut(Event):
    """A connection broke. From now on at the latest, posts to it may be answered 410."""

    connection: str
    sender: str


@dataclass(frozen=True, kw_only=True)
class Disowned(Event):
    """The server said that it does not know this connection."""

    connection: str


@dataclass(frozen=True, kw_only=True)
class Rested(Event):
    """What a client knows at the end of the run, after it has asked for everything."""

    floor: int
    messages: tuple[Fields, ...]
    receipts: Fields
    call: Fields | None
    hidden: bool = False
    away: bool = False
    """Whether its app is in the background, and whether the server thinks so."""


@dataclass(frozen=True, kw_only=True)
class Booking:
    """What the public API says about a booking at the end: all messages and all calls, oldest first."""

    messages: Sequence[Fields]
    calls: Sequence[Fields]
    head_seq: int
    epoch: str | None
    receipts: Fields
    attachments: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """Each attachment that was uploaded, and whether it is served."""


@dataclass(frozen=True, kw_only=True)
class History:
    """A whole run.

    `one_clock`: the clocks behind the events' instants and the messages' timestamps differ by less than two seconds.
    `longest_call`: after so many microseconds of talk the server ends the call. `hook`: what happens to messages if the
    message hook fails; None: there is no hook. `told`: message events are switched on.
    """

    seed: int
    one_clock: bool = False
    longest_call: int = 4 * 3_600 * 1_000_000
    hook: Literal["deny", "allow"] | None = None
    told: bool = False
    exercised: Counter[str] = field(default_factory=Counter[str], compare=False)
    """How often each kind of fault or case really happened."""
    events: list[Event] = field(default_factory=list[Event])
    bookings: dict[str, Booking] = field(default_factory=dict[str, Booking])
