"""What comes back from the timer queue: each timer looks, and ends the call only if there is still reason to.

A timer promises nothing but a second look, so that it may come late, early, twice or out of order.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from make_call.calling import Calling, History, seconds_left
from navietakie.aws.tables.connections import Connection
from navietakie.aws.tables.dynamo import Contended
from navietakie.aws.timers import Timers
from navietakie.domain import instants
from navietakie.domain.call import Act, Call, CallId, moved
from navietakie.domain.errors import invalid, unavailable
from navietakie.domain.message import BookingCode, Fields, Side
from navietakie.retrying import tries

AWAY: Final = 30 * instants.SECOND
"""How long a side may be without a connection."""
CLOSING: Final = 30 * instants.SECOND
"""How long the close that was announced may take to show."""


class Ring(Fields):
    """A call may have rung long enough."""

    booking_code: BookingCode
    call_id: CallId


class Left(Fields):
    """A connection of `side` ended at the instant `left_at`."""

    booking_code: BookingCode
    call_id: CallId
    side: Side
    left_at: int


class Closing(Fields):
    """At `queued_at` somebody was about to close the booking."""

    booking_code: BookingCode
    queued_at: int


class Leavings(Protocol):
    """Where it is kept who has left a call: `tables.calls.Calls`."""

    def leave(self, booking_code: str, call_id: str, side: Side, left_at: int) -> Call | None: ...


class Rows(Protocol):
    """Where the connections of a booking are found: `tables.connections.Connections`."""

    def of_booking(self, booking_code: str, now: int) -> list[Connection]: ...


@dataclass(frozen=True, slots=True)
class Timing:
    """Acts on timers. `clock` in microseconds."""

    calling: Calling
    leavings: Leavings
    rows: Rows
    history: History
    timers: Callable[[], Timers]
    clock: Callable[[], int]

    def on(self, timer: Mapping[str, Any], deadline: float, *, again: bool = False) -> None:
        """Acts on one timer; raises what keeps it from that: it has to come again then.

        One that comes `again` may have been cut short after the end was stored, and before anybody was told.
        """
        kind = timer.get("kind")
        if kind == "ring":
            self.ring(Ring.parse(timer), deadline)
        elif kind == "left":
            self.left(Left.parse(timer), deadline)
        elif kind == "closing":
            self.closing(Closing.parse(timer), deadline)
        else:
            raise invalid("kind", "is not known")
        if again:
            call = self.calling.look(timer["booking_code"], deadline)
            if call is not None and call.state == "ended" and call.act.by is None:
                self.calling.tell_again(call)

    def ring(self, timer: Ring, deadline: float) -> None:
        """Ends the call if nobody has answered it in its time."""
        call = self.calling.look(timer.booking_code, deadline)
        if call is not None and call.call_id == timer.call_id and call.state == "ringing":
            wait = seconds_left(call, self.clock())
            self.timers().queue("ring", timer.booking_code, wait, call_id=timer.call_id)

    def left(self, timer: Left, deadline: float) -> None:
        """Ends the connected call if this side has been without a connection for 30 s since, or since the answer.

        It ended when the side left: what is counted is talk. Of two sides that are gone the first to leave counts.
        While it rings it looks every 30 s, so that it looks in time after an answer.
        """
        booking_code, side, now = timer.booking_code, timer.side, self.clock()
        left_at = min(timer.left_at, now)  # another container's clock may be ahead
        call = self._leave(timer, left_at, deadline)
        if call is None:
            return
        since = max(left_at, instants.from_text(call.answered_at) if call.answered_at else now)
        if now < since + AWAY:
            wait = -(-(since + AWAY - now) // instants.SECOND)
            self.timers().queue("left", booking_code, wait, call_id=timer.call_id, side=side, left_at=left_at)
            return
        here = {connection.sender for connection in self.rows.of_booking(booking_code, now)}
        if side in here:
            return
        talked_until = min(left for each, left in call.left_at.items() if each not in here)
        self._end(booking_code, Act("lost"), deadline, lambda latest: latest.call_id == call.call_id, talked_until)

    def closing(self, timer: Closing, deadline: float) -> None:
        """Ends a live call once the booking is closed; looks again each second until then, for 30 s."""
        booking_code, now = timer.booking_code, self.clock()
        if self.history.head(booking_code).closed_at is not None:
            self._end(booking_code, Act("closed"), deadline, lambda latest: True)
        elif now < timer.queued_at + CLOSING:
            self.timers().queue("closing", booking_code, 1, queued_at=timer.queued_at)

    def _leave(self, timer: Left, left_at: int, deadline: float) -> Call | None:
        for _ in tries(deadline):
            with contextlib.suppress(Contended):
                return self.leavings.leave(timer.booking_code, timer.call_id, timer.side, left_at)
        raise unavailable("The call")

    def _end(
        self, booking_code: str, act: Act, deadline: float, concerns: Callable[[Call], bool], at: int | None = None
    ) -> None:
        def decide(latest: Call | None, now: int) -> Call | None:
            if latest is None or latest.state == "ended" or not concerns(latest):
                return latest
            return moved(latest, act, now if at is None else at)

        self.calling.advance(booking_code, decide, deadline)
