"""What comes back from the timer queue: each timer makes make-call check, and end the call only if it still has to.

A timer only asks for a check. So it may come late, early, twice or out of order.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from make_call.calling import Calling, seconds_left
from navietakie.aws.tables.connections import ConnectionStore
from navietakie.aws.tables.dynamo import Contended
from navietakie.domain import instants
from navietakie.domain.call import Act, Call, CallId, moved
from navietakie.domain.errors import Refusal, invalid, unavailable
from navietakie.domain.message import SIDES, BookingCode, Fields, Side
from navietakie.domain.orders import Rights
from navietakie.observability import logger
from navietakie.retrying import tries
from navietakie.wire.connections_api import Poster

LOST_AFTER: Final = 30 * instants.SECOND
"""How long a side may be without a connection."""
LOOKS: Final = (1, 2, 4, 8, 15)
"""Seconds between the looks after an order. They are few: Lambda stops a chain of about 16, as an endless loop."""


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


class Ordered(Fields):
    """Somebody was about to write an order that may end a call or close connections. `look` numbers the checks."""

    booking_code: BookingCode
    event: Literal["booking_closed", "tokens_revoked"] = "booking_closed"
    look: Annotated[int, Field(ge=0, le=len(LOOKS))] = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Acts on timers, on the tables, the queue and the clock of `calling`."""

    calling: Calling
    connections: ConnectionStore
    poster: Poster

    def on(self, timer: Mapping[str, Any], deadline: float, *, again: bool = False) -> None:
        """Acts on one timer. If it raises, the timer has to come again.

        One that comes `again` may have been cut short after the end was stored, and before anybody was told.
        """
        kind = timer.get("kind")
        if kind == "ring":
            self.ring(Ring.parse(timer), deadline)
        elif kind == "left":
            self.left(Left.parse(timer), deadline)
        elif kind in ("order", "closing"):  # the second while a version may still run that queues it
            self.order(Ordered.parse(timer), deadline)
        else:
            raise invalid("kind", "is not known")
        if again:
            call = self.calling.latest(timer["booking_code"], deadline)
            if call is not None and call.state == "ended" and call.act.by is None:
                self.calling.tell_again(call)

    def ring(self, timer: Ring, deadline: float) -> None:
        """Ends the call if nobody has answered it in its time."""
        call = self.calling.latest(timer.booking_code, deadline)
        if call is not None and call.call_id == timer.call_id and call.state == "ringing":
            wait = seconds_left(call, self.calling.clock())
            self.calling.timers().queue("ring", timer.booking_code, wait, call_id=timer.call_id)

    def left(self, timer: Left, deadline: float) -> None:
        """Ends the connected call if this side has been without a connection for 30 s since, or since the answer.

        The call then ended when the side left, so only talk is counted. If both sides have left, the first one counts.
        While it rings it looks every 30 s, so that it looks in time after an answer.
        """
        booking_code, side, now = timer.booking_code, timer.side, self.calling.clock()
        left_at = min(timer.left_at, now)  # another container's clock may be ahead
        call = self._note_left(timer, left_at, deadline)
        if call is None:
            return
        since = max(left_at, instants.from_text(call.answered_at) if call.answered_at else now)
        if now < since + LOST_AFTER:
            wait = -(-(since + LOST_AFTER - now) // instants.SECOND)
            self.calling.timers().queue("left", booking_code, wait, call_id=timer.call_id, side=side, left_at=left_at)
            return
        here = {connection.sender for connection in self.connections.of_booking(booking_code, now)}
        if side in here:
            return
        talked_until = min(left for each, left in call.left_at.items() if each not in here)
        self._end(booking_code, Act("lost"), deadline, lambda latest: latest.call_id == call.call_id, talked_until)

    def order(self, timer: Ordered, deadline: float) -> None:
        """Does what the orders on the head require; looks again, with growing pauses, for 30 s.

        The order may not be written yet, and the index of connections lags. The next look makes up for one that fails.
        """
        booking_code, failed = timer.booking_code, None
        try:
            rights = self.calling.history.head(booking_code).rights
            if rights.closed_at is not None:
                self._end(booking_code, Act("closed"), deadline, lambda latest: True)
                if timer.event == "booking_closed":
                    return
            self._cut(booking_code, rights)
            self._end(booking_code, Act("revoked"), deadline, lambda latest: _is_revoked(latest, rights))
        except Refusal as refusal:
            failed = refusal
        if timer.look < len(LOOKS):
            fields: dict[str, Any] = {"event": timer.event, "look": timer.look + 1}
            self.calling.timers().queue("order", booking_code, LOOKS[timer.look], **fields)
        elif failed is not None:
            raise failed

    def _cut(self, booking_code: str, rights: Rights) -> None:
        """Closes the connections whose tokens are revoked. If one is not open yet, its row is deleted."""
        if not rights.revoked:
            return
        cut = [each for each in self.connections.of_booking(booking_code, self.calling.clock()) if each.revoked(rights)]
        outcomes = self.poster.close_all([each.connection_id for each in cut])
        for connection, outcome in zip(cut, outcomes, strict=True):
            if outcome == "gone":
                self.connections.remove_refused(connection.connection_id)
        if cut:
            logger.info("revoked connections were closed", extra={"closed": len(cut), "gone": outcomes.count("gone")})

    def _note_left(self, timer: Left, left_at: int, deadline: float) -> Call | None:
        for _ in tries(deadline):
            with contextlib.suppress(Contended):
                return self.calling.calls.note_left(timer.booking_code, timer.call_id, timer.side, left_at)
        raise unavailable("The call")

    def _end(
        self, booking_code: str, act: Act, deadline: float, concerns: Callable[[Call], bool], at: int | None = None
    ) -> None:
        def decide(latest: Call | None, now: int) -> Call | None:
            if latest is None or latest.state == "ended" or not concerns(latest):
                return latest
            return moved(latest, act, now if at is None else at)

        self.calling.advance(booking_code, decide, deadline)


def _is_revoked(call: Call, rights: Rights) -> bool:
    """Whether a side's tokens were revoked after the call began, or at about that time, by clocks that differ."""
    began = instants.to_seconds(instants.from_text(call.timestamp))
    return any(rights.revokes(side, began) for side in SIDES)
