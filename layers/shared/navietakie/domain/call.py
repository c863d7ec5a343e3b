"""A call: the table of everything that may happen to it, and how it looks at a given time. Pure.

`TABLE` is the whole state machine: state, event and part give the next state. What is not in it does not happen:
`moved` refuses it and changes nothing. docs/calls.md draws its diagram from the same table.

- **Change.** `begun` makes a new call, `moved` gives the call after an act. Both return a new `Call`, with a `version`
  that is one higher. Storing it, if nobody was faster, is for make_call/calling.py.
- **Repeats.** `is_repeat` tells an act that is sent again from a new one: a repeat changes nothing and is no error.
- **Time.** A call is due (`due_at`) 2 s after `rings_until`, or after 4 h of talk. Nobody has to act at that moment:
  `timed_out` gives the call as it ended then, the same whoever asks and however late. So a timer, an action and a
  reader all come to the same end.
- **Views.** `as_seen` is for readers that store nothing (`sync`, `ping`): it ends a call whose time is up. `as_stored`
  is for those who have just read or stored the call. Both say how long it still rings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from navietakie.domain import instants
from navietakie.domain.errors import Refusal
from navietakie.domain.message import Side, other_side
from navietakie.domain.rate_limit import NO_LIMIT, RateLimit

State = Literal["ringing", "connected", "ended"]
EndReason = Literal[
    "declined", "cancelled", "no_answer", "completed", "connection_lost", "max_duration", "booking_closed", "revoked"
]
Action = Literal["initiate", "accept", "reject", "end"]
"""What a party may ask for."""
CallEvent = Action | Literal["timeout", "lost", "closed", "revoked"]
"""What may happen to a call: an action; its time is up; a side is lost; the booking is closed, or a side's tokens
are revoked."""
Part = Literal["caller", "callee", "server"]
"""Which part somebody has in a call."""

TABLE: Final[Mapping[tuple[State | None, CallEvent, Part], tuple[State, EndReason | None]]] = {
    (None, "initiate", "caller"): ("ringing", None),
    ("ringing", "initiate", "callee"): ("connected", None),  # glare: both called at once
    ("ringing", "accept", "callee"): ("connected", None),
    ("ringing", "reject", "callee"): ("ended", "declined"),
    ("ringing", "end", "caller"): ("ended", "cancelled"),
    ("ringing", "timeout", "server"): ("ended", "no_answer"),
    ("ringing", "closed", "server"): ("ended", "booking_closed"),
    ("ringing", "revoked", "server"): ("ended", "revoked"),
    ("connected", "end", "caller"): ("ended", "completed"),
    ("connected", "end", "callee"): ("ended", "completed"),
    ("connected", "lost", "server"): ("ended", "connection_lost"),
    ("connected", "timeout", "server"): ("ended", "max_duration"),
    ("connected", "closed", "server"): ("ended", "booking_closed"),
    ("connected", "revoked", "server"): ("ended", "revoked"),
}
"""State, event and part → the next state, and the end reason if the call has ended. State None: no live call."""

GRACE: Final = 2 * instants.SECOND
"""A call may still be answered this long after `rings_until`: the accept may be on its way."""
LONGEST: Final = 4 * 3600 * instants.SECOND
"""After this much talk a call ends."""

CallId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
_START_DIGITS: Final = 14


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens to a call. `by` and `device` are None if the server does it.

    `client_call_id` is the name that a client gave an `initiate`, to repeat it safely.
    """

    event: CallEvent
    by: Side | None = None
    device: str | None = None
    client_call_id: str | None = field(default=None, compare=False)
    by_socket: bool = field(default=False, compare=False)
    """Whether it came over a WebSocket."""


class Call(BaseModel):
    """A call. Timestamps are RFC 3339 text; a field that has no value yet, or no more, is None.

    `version` counts the changes; `rings_until` and `ring_ms_left` are there while it rings. Clients do not get `act`,
    which led to the present state; `initiates`, each side's `client_call_id` of its `initiate`; `history`, the
    timestamp of the ended call's message; `connected`, the sides that have acted over a WebSocket; `left_at`, when a
    connection of a side last left during the call, in microseconds; and `allowances`, each side's state of `CallRate`.
    """

    model_config = ConfigDict(frozen=True)

    call_id: str
    booking_code: str
    timestamp: str
    caller: Side
    callee: Side
    state: State
    end_reason: EndReason | None = None
    answered_at: str | None = None
    ended_at: str | None = None
    duration_seconds: int = 0
    rings_until: str | None = None
    ring_ms_left: int | None = None
    answered_by: str | None = None
    version: int
    act: Act = Field(exclude=True)
    initiates: Mapping[Side, str] = Field(default={}, exclude=True)
    history: str | None = Field(default=None, exclude=True)
    connected: frozenset[Side] = Field(default=frozenset(), exclude=True)
    left_at: Mapping[Side, int] = Field(default={}, exclude=True)
    allowances: Mapping[Side, int] = Field(default={}, exclude=True)


def begun(
    latest: Call | None,
    caller: Side,
    device: str,
    client_call_id: str | None = None,
    *,
    booking_code: str,
    now: int,
    ring_seconds: int,
    entropy: str,
    rate_limit: RateLimit = NO_LIMIT,
    by_socket: bool = False,
) -> Call:
    """The call that `caller` begins after `latest`, which is not live. `entropy`: 18 hexadecimal digits.

    Raises `rate_limited` where `caller` begins too many.
    """
    allowances: Mapping[Side, int] = latest.allowances if latest else {}
    if rate_limit.rate > 0:
        allowances = {**allowances, caller: rate_limit.admit(allowances.get(caller, 0), now)}
    start = max(now, instants.from_text(latest.timestamp) + 1) if latest else now
    state, _ = TABLE[None, "initiate", "caller"]
    return Call(
        call_id=f"{start:0{_START_DIGITS}x}{entropy}",
        booking_code=booking_code,
        timestamp=instants.to_text(start),
        caller=caller,
        callee=other_side(caller),
        state=state,
        rings_until=instants.to_text(now + ring_seconds * instants.SECOND),
        version=1,
        act=Act("initiate", caller, device),
        initiates={caller: client_call_id} if client_call_id else {},
        connected=frozenset({caller} if by_socket else ()),
        allowances=allowances,
    )


def is_repeat(call: Call, act: Act) -> bool:
    """Whether an act is sent again: it led to the present state, or it is an `initiate` that this call came from."""
    if act.by is None:
        return False
    named = act.event == "initiate" and act.client_call_id is not None
    return act == call.act or (named and call.initiates.get(act.by) == act.client_call_id)


def moved(call: Call, act: Act, at: int) -> Call:
    """`call` after `act` at the instant `at`; `call` itself where the act is a repeat.

    Raises `illegal_transition`, or `call_in_progress` for an `initiate` while connected, with the call in `details`.
    """
    if is_repeat(call, act):
        return call
    part: Part = "server" if act.by is None else "caller" if act.by == call.caller else "callee"
    step = TABLE.get((call.state, act.event, part))
    if step is None:
        details = {"call": as_seen(call, at).model_dump()}
        if (call.state, act.event) == ("connected", "initiate"):
            raise Refusal("call_in_progress", "A call is in progress", details=details)
        raise Refusal("illegal_transition", f"The call is {call.state}: no {act.event} by its {part}", details=details)
    state, end_reason = step
    changes: dict[str, Any] = {
        "state": state,
        "end_reason": end_reason,
        "rings_until": None,
        "version": call.version + 1,
        "act": act,
    }
    if state == "connected":
        changes |= {"answered_at": instants.to_text(max(at, started_at(call.call_id))), "answered_by": act.device}
        if act.by and act.client_call_id:
            changes["initiates"] = {**call.initiates, act.by: act.client_call_id}
        if act.by and act.by_socket:
            changes["connected"] = call.connected | {act.by}
    else:
        since = instants.from_text(call.answered_at) if call.answered_at else None
        end = max(at, since or started_at(call.call_id))  # clocks differ, but no call ends before it began
        changes["ended_at"] = instants.to_text(end)
        changes["duration_seconds"] = (end - since) // instants.SECOND if since else 0
    return call.model_copy(update=changes)


def changed_at(call: Call) -> int:
    """The instant of its last change."""
    return instants.from_text(call.ended_at or call.answered_at or call.timestamp)


def started_at(call_id: str) -> int:
    """The instant at which the call with this id began: its place in the log."""
    return int(call_id[:_START_DIGITS], 16)


def due_at(call: Call) -> int | None:
    """The instant from which the server ends the call by `timeout`; None once it has ended."""
    if call.state == "ringing" and call.rings_until:
        return instants.from_text(call.rings_until) + GRACE
    if call.state == "connected" and call.answered_at:
        return instants.from_text(call.answered_at) + LONGEST
    return None


def timed_out(call: Call, now: int) -> Call | None:
    """The call as its time-out ends it, the same whoever asks and when; None while it still has time."""
    end = due_at(call)
    if end is None or now < end:
        return None
    return moved(call, Act("timeout"), end - GRACE if call.state == "ringing" else end)


def as_seen(call: Call, now: int) -> Call:
    """The call as readers see it at `now`: ended where its time is up, although nobody has stored that yet."""
    return as_stored(timed_out(call, now) or call, now)


def as_stored(call: Call, now: int) -> Call:
    """The call as it is, with how long it still rings at `now`."""
    if call.state != "ringing" or not call.rings_until:
        return call
    left = max(0, instants.from_text(call.rings_until) - now) // 1_000
    return call.model_copy(update={"ring_ms_left": left})
