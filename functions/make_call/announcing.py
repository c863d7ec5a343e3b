"""Announcing a call: frames to the booking's connections, events, metrics; and queueing who turned out to be gone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, TypedDict, cast, get_args

from pydantic import model_validator

from navietakie.aws import publishing
from navietakie.aws.publishing import Published
from navietakie.aws.tables.connections import Connection
from navietakie.aws.timers import Timers
from navietakie.broadcast import Broadcast, Outcomes, all_but
from navietakie.domain import instants
from navietakie.domain.call import Action, Call, CallId, EndReason, as_stored
from navietakie.domain.errors import Refusal
from navietakie.domain.frames import Pushed, encode_content, message_frame
from navietakie.domain.message import SIDES, Fields, Message, Sender, Side, other_side, refuse_large_integers
from navietakie.domain.orders import Rights
from navietakie.observability import count_by, logger

_ACTIONS: Final = frozenset(get_args(Action))


class NewSignal(Fields):
    """What a device sends to the other side: a WebRTC offer, answer or candidate. The server does not read it."""

    call_id: CallId
    data: Any

    @model_validator(mode="after")
    def _data_is_readable(self) -> Self:
        refuse_large_integers(self.data, "data")
        return self


class CallPushed(Pushed):
    """A call has changed. To everybody but the connection that changed it; `sender` is `system` if the server did."""

    type: Literal["call"]
    sender: Sender
    call_action: Action
    call_id: str
    device_id: str | None
    call: Call


class SignalPushed(Pushed):
    """A device of the other side sends something to this side's devices."""

    type: Literal["signal"]
    sender: Side
    call_id: str
    data: Any


class CallEventFields(TypedDict):
    """What the events about a call have."""

    event_id: str
    booking_code: str
    timestamp: str
    call_id: str
    caller: Side
    callee: Side


class CallRinging(Published, CallEventFields):
    """A call rings: a push service can wake the callee's app."""

    type: Literal["call.ringing"]
    to: Side
    rings_until: str


class CallEnded(Published, CallEventFields):
    """A call has ended."""

    type: Literal["call.ended"]
    end_reason: EndReason
    duration_seconds: int


@dataclass(frozen=True, slots=True)
class Announcing:
    """Tells of calls through `broadcast`. A change is stored before it is told, and stays stored if telling fails."""

    broadcast: Broadcast
    timers: Callable[[], Timers]

    def tell(
        self,
        call: Call,
        now: int,
        message: Message | None = None,
        *,
        origin: Connection | None = None,
        repeat: bool = False,
        by: Side | None = None,
        rights: Rights | None = None,
    ) -> int:
        """Tells all but `origin` of a change, and of the `message` that it left; how many of the other side it reached.

        A `repeat` is told again, since the first time may have been cut short, but counted once. `by` is the side that
        asks, if it is another than the one that made the change, `rights` what the head says, if that was read.
        """
        outcomes = self.broadcast.to_booking(
            call.booking_code,
            call_frame(call, now),
            now,
            to=all_but(origin.connection_id if origin else None),
            then=message_frame(message) if message else None,
            rights=rights,
        )
        self._note_gone(call, outcomes, now)
        if (event := company_event(call, now)) is not None:
            publishing.publish(event)
        if call.end_reason is not None and not repeat:
            count_by("CallsEnded", "end_reason", call.end_reason)
        by = by or call.act.by
        return outcomes.reached(other_side(by)) if by else 0

    def signal(self, call: Call, by: Side, data: Any, now: int) -> None:
        """Passes a device's data on to the other side's devices; raises `too_large`."""
        signal: SignalPushed = {
            "v": 1,
            "type": "signal",
            "booking_code": call.booking_code,
            "ts": instants.to_text(now),
            "sender": by,
            "call_id": call.call_id,
            "data": data,
        }
        other, body = other_side(by), encode_content(signal, "signal")
        outcomes = self.broadcast.to_booking(call.booking_code, body, now, to=lambda each: each.sender == other)
        self._note_gone(call, outcomes, now)

    def _note_gone(self, call: Call, outcomes: Outcomes, now: int) -> None:
        if call.state == "ended":
            return
        for side in SIDES:
            if not outcomes.gone(side):
                continue
            try:
                self.timers().queue("left", call.booking_code, 0, call_id=call.call_id, side=side, left_at=now)
            except Refusal:
                logger.warning("a side's leaving was not queued", extra={"call_id": call.call_id, "side": side})


def company_event(call: Call, now: int) -> CallRinging | CallEnded | None:
    """What the company's other systems hear of a call; None while it is connected."""
    of: CallEventFields = {
        "event_id": f"{call.call_id}-{call.version}",
        "booking_code": call.booking_code,
        "timestamp": instants.to_text(now),
        "call_id": call.call_id,
        "caller": call.caller,
        "callee": call.callee,
    }
    if call.rings_until is not None:
        return {"type": "call.ringing", "to": call.callee, "rings_until": call.rings_until, **of}
    if call.end_reason is not None:
        return {
            "type": "call.ended",
            "end_reason": call.end_reason,
            "duration_seconds": call.duration_seconds,
            **of,
        }
    return None


def call_frame(call: Call, now: int) -> CallPushed:
    """The frame that tells of a change: who did what with which device, and the call since. `system`: the server."""
    act = call.act
    return {
        "v": 1,
        "type": "call",
        "booking_code": call.booking_code,
        "ts": instants.to_text(now),
        "sender": act.by or "system",
        "call_action": cast(Action, act.event) if act.event in _ACTIONS else "end",
        "call_id": call.call_id,
        "device_id": act.device,
        "call": as_stored(call, now),
    }
