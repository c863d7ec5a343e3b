"""Calls: what may happen is decided on the call as it is stored, and written only if nobody was faster.

Every change of a call goes through `Calling.advance`:

1. It reads the booking's latest call (`#live`), strongly consistent.
2. If the call's time is up, it ends the call first, in the same way as any other change.
3. `decide` gets the call and the time. It returns the call that follows (by domain/call.py), or the same call if there
   is nothing to do, or raises a Refusal.
4. It writes the change, on condition that `call_id` and `version` are those that were read. A call that begins has its
   timer queued before. Beginning and answering check the head in the same transaction: the booking is open, the side
   not muted, the token not revoked. Ending is one transaction of four writes: live item, log, message, head.
5. It tells the booking's connections and the company's systems (announcing.py).

If somebody was faster, the new call comes back with the failure (VersionConflict), and steps 2 to 5 are done on that
one. If the head was changed or DynamoDB reports a conflict, it begins with step 1. It goes on until the deadline.

Three call `advance`: `act`, for what a side does; `latest`, for those who only read, and so end an overdue call; and
timing.py, for timers, orders and lost sides.

A repeat writes nothing. For a minute it is told to all again, because the first run may have died before it told
anybody. Later only its sender gets an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, Self, TypedDict

from pydantic import Field, model_validator

from make_call.announcing import Announcing
from make_call.reporting import Report
from navietakie.aws.tables.calls import CallStore, VersionConflict
from navietakie.aws.tables.connections import Connection
from navietakie.aws.tables.dynamo import Contended
from navietakie.aws.tables.messages import HeadMoved, MessageStore
from navietakie.aws.timers import Timers
from navietakie.broadcast import Gather
from navietakie.domain import cursors, instants
from navietakie.domain.call import (
    Act,
    Action,
    Call,
    CallId,
    as_stored,
    begun,
    changed_at,
    due_at,
    is_repeat,
    moved,
    timed_out,
)
from navietakie.domain.conversation import TOLD_AGAIN, Head, append
from navietakie.domain.errors import Refusal, invalid, unavailable
from navietakie.domain.message import SIDES, ClientId, Fields, Label, Limit, Message, NewMessage, Sender, Side
from navietakie.domain.orders import NO_TOKEN, Rights
from navietakie.domain.rate_limit import NO_LIMIT, RateLimit
from navietakie.doors.budget import Allowances
from navietakie.retrying import tries

_MAY_BE_CLOSED: Final = frozenset({"illegal_transition", "call_in_progress", "rate_limited"})
"""Codes that become `booking_closed` if the booking is closed, because that is the better reason."""


RequestedAction = Literal[Action, "ice", "report"]
"""What a party may ask for: what changes the call; ICE servers for the live call; to note how a call was."""


class NewAct(Fields):
    """What a party asks for."""

    action: RequestedAction
    call_id: CallId | None = None
    client_call_id: ClientId | None = None
    device_id: Label | None = None
    report: Report | None = None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.action != "initiate" and self.call_id is None:
            raise invalid("call_id", "Field required")
        if self.action == "report" and self.report is None:
            raise invalid("report", "Field required")
        return self


class SocketAct(Fields):
    """What a party asks for by WebSocket, where `action` is the frame's own."""

    call_action: RequestedAction


class LogQuery(Fields):
    """Which part of a booking's call log is asked for."""

    limit: Limit = 50
    cursor: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class CallLogPage(TypedDict):
    """Part of a call log, the newest call first. A live call is part of it."""

    calls: list[Call]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Acted:
    """What came of an act: the call then, and how many present connections of the other side were told.

    `may_talk`: the call is live and its booking is not closed.
    """

    call: Call
    reached: int
    may_talk: bool


@dataclass(frozen=True, slots=True)
class Advanced[After: Call | None]:
    """What became of a call. `written`: it was changed, and `reached` so many connections of the other side."""

    call: After
    written: bool = False
    reached: int = 0


@dataclass(frozen=True, slots=True)
class Calling:
    """Makes calls, and ends each exactly once. `clock` in microseconds; `entropy` gives 18 new hexadecimal digits."""

    calls: CallStore
    history: MessageStore
    announcing: Announcing
    timers: Callable[[], Timers]
    clock: Callable[[], int]
    entropy: Callable[[], str]
    ring_seconds: int
    retention_days: int
    call_rate: RateLimit = NO_LIMIT
    """How many calls a side may begin."""
    repeats: Allowances = field(default_factory=Allowances)
    """How many of its repeats are still told to all."""
    gather: Gather = lambda _, __: None
    """Begins to look up who will be told, while each try to write is under way."""

    def act(
        self,
        booking_code: str,
        by: Side,
        device: str,
        action: Action,
        *,
        call_id: str | None = None,
        client_call_id: str | None = None,
        iat: int | None = NO_TOKEN,
        deadline: float,
        origin: Connection | None = None,
    ) -> Acted:
        """Does what a party asks for. `call_id` is the call that it means; an `initiate` means none.

        `iat` is when its token was issued, `origin` the connection that asks, which is not told. Raises `unauthorized`,
        `illegal_transition`, `call_in_progress`, `booking_closed`, `muted`, `not_found`, or `unavailable` when nothing
        could be decided by `deadline` (monotonic).
        """
        by_socket = origin is not None
        act = Act(action, by, device, client_call_id, by_socket)

        def decide(latest: Call | None, now: int) -> Call:
            over = latest is None or (latest.state == "ended" and not is_repeat(latest, act))
            if action == "initiate" and over:
                return begun(
                    latest,
                    by,
                    device,
                    client_call_id,
                    booking_code=booking_code,
                    now=now,
                    ring_seconds=self.ring_seconds,
                    entropy=self.entropy(),
                    rate_limit=self.call_rate,
                    by_socket=by_socket,
                )
            if latest is None or (action != "initiate" and latest.call_id != call_id):
                raise self._not_the_latest(booking_code, call_id or "", now)
            return moved(latest, act, now)

        try:
            advanced = self.advance(booking_code, decide, deadline, origin, iat)
        except Refusal as refusal:
            may_be_closed = refusal.code in _MAY_BE_CLOSED
            if may_be_closed or refusal.code == "not_found":
                rights = self.rights(booking_code, by, iat)
                if may_be_closed and action in ("initiate", "accept"):
                    _explain(refusal, rights)
                if action == "initiate":
                    rights.check_not_muted(by)
            raise
        call, reached = advanced.call, advanced.reached
        live = call.state != "ended"
        if not advanced.written:
            rights = self.rights(booking_code, by, iat)
            reached = self._repeated(call, by, origin, rights)
            live = live and rights.closed_at is None
        # The call as it was written, even if its time is up by now: that end is for whoever writes it.
        return Acted(as_stored(call, self.clock()), reached, live)

    def rights(self, booking_code: str, by: Sender, iat: int | None) -> Rights:
        """What the orders leave the booking's parties; raises `unauthorized` where the token of `by` is revoked."""
        rights = self.history.head(booking_code).rights
        rights.check_token(by, iat)
        return rights

    def _repeated(self, call: Call, by: Side, origin: Connection | None, rights: Rights) -> int:
        """Tells all of a repeat, if it comes within a minute and within the rate; otherwise only `by` is answered."""
        now = self.clock()
        if now - changed_at(call) > TOLD_AGAIN:
            return 0
        try:
            self.repeats.take(self.call_rate, call.booking_code, by, now)
        except Refusal:
            return 0
        return self.tell_again(call, by, origin, rights)

    def tell_again(
        self, call: Call, by: Side | None = None, origin: Connection | None = None, rights: Rights | None = None
    ) -> int:
        """Tells of the last change again: the first run may have died. Returns how many of the other side got it."""
        message = self.history.message(call.booking_code, call.history) if call.history else None
        return self.announcing.tell(call, self.clock(), message, origin=origin, repeat=True, by=by, rights=rights)

    def latest(self, booking_code: str, deadline: float) -> Call | None:
        """The latest call. If its time is up, it is ended and announced first."""
        return self.advance(booking_code, lambda latest, now: latest, deadline).call

    def live(self, booking_code: str, call_id: str, deadline: float) -> Call:
        """The live call with this id; raises `not_found`, or `illegal_transition` where it has ended."""
        call = self.latest(booking_code, deadline)
        if call is None or call.call_id != call_id:
            raise self._not_the_latest(booking_code, call_id, self.clock())
        if call.state == "ended":
            raise _ended(call)
        return call

    def signalled(self, booking_code: str, call_id: str, by: Side, iat: int | None, deadline: float) -> Call:
        """The live call that a signal is for; raises as `live` does, `booking_closed` or `unauthorized`.

        It is enough that the call is live: an order against its sides ends it within seconds.
        """
        self.gather(booking_code, self.clock())
        try:
            return self.live(booking_code, call_id, deadline)
        except Refusal as refusal:
            rights = self.rights(booking_code, by, iat)
            if refusal.code == "illegal_transition":
                _explain(refusal, rights)
            raise

    def live_in_open_booking(self, booking_code: str, call_id: str, by: Side, iat: int | None, deadline: float) -> Call:
        """The live call with this id in an open booking; raises as `live` does, `booking_closed` or `unauthorized`."""
        rights = self.rights(booking_code, by, iat)
        try:
            call = self.live(booking_code, call_id, deadline)
        except Refusal as refusal:
            if refusal.code == "illegal_transition":
                _explain(refusal, rights)
            raise
        rights.check_open()
        return as_stored(call, self.clock())

    def ended(self, booking_code: str, call_id: str, deadline: float) -> Call:
        """The ended call with this id; raises `not_found`, or `illegal_transition` where it is live."""
        latest = self.latest(booking_code, deadline)
        if latest is None or latest.call_id != call_id:
            latest = self.calls.logged(booking_code, call_id, self.clock())
        if latest is None:
            raise Refusal("not_found", "There is no such call")
        if latest.state != "ended":
            details = {"call": as_stored(latest, self.clock()).model_dump()}
            raise Refusal("illegal_transition", "The call has not ended", details=details)
        return latest

    def log(self, booking_code: str, query: LogQuery, deadline: float) -> CallLogPage:
        """The answer of `GET /api/v1/calls`: calls, the newest first; raises `invalid_request` for a foreign cursor."""
        shown: list[Call] = []
        before = cursors.decode(booking_code, query.cursor) if query.cursor else None
        if before is None:
            latest = self.latest(booking_code, deadline)
            if latest is not None and latest.state != "ended":
                shown, before = [as_stored(latest, self.clock())], latest.timestamp
        page = self.calls.log(booking_code, now=self.clock(), limit=query.limit, before=before)
        shown += page.calls
        more = page.more or len(shown) > query.limit
        shown = shown[: query.limit]
        return {
            "calls": shown,
            "next_cursor": cursors.encode(booking_code, shown[-1].timestamp) if more else None,
        }

    def advance[After: Call | None](
        self,
        booking_code: str,
        decide: Callable[[Call | None, int], After],
        deadline: float,
        origin: Connection | None = None,
        iat: int | None = NO_TOKEN,
    ) -> Advanced[After] | Advanced[Call]:
        """Writes what `decide` lets follow the latest call, and tells of it; after a lost race it decides again.

        A call whose time is up is ended before. `decide` may raise, or give back the latest call to leave it as it is.
        """
        latest, known, head = None, False, None
        for _ in tries(deadline):
            try:
                if not known:
                    latest, known = self.calls.latest(booking_code), True
                now = self.clock()
                if latest is not None and (over := timed_out(latest, now)) is not None:
                    latest, head = self._change(latest, over, now, head).call, None
                    now = self.clock()
                after = decide(latest, now)
                if after is None or after is latest:
                    return Advanced(after)
                return self._change(latest, after, now, head, origin, iat)
            except VersionConflict as conflict:
                latest, head = conflict.call, conflict.head or head
            except HeadMoved as conflict:
                head = conflict.head
            except Contended:
                known, head = False, None
        raise unavailable("The call")

    def _change(
        self,
        before: Call | None,
        after: Call,
        now: int,
        head: Head | None,
        origin: Connection | None = None,
        iat: int | None = NO_TOKEN,
    ) -> Advanced[Call]:
        """Writes a change and tells of it. `head`: as it is known already."""
        written, message, rights = self._write(before, after, now, head, iat)
        reached = self.announcing.tell(written, now, message, origin=origin, rights=rights)
        return Advanced(written, written=True, reached=reached)

    def _write(
        self, before: Call | None, after: Call, now: int, head: Head | None, iat: int | None
    ) -> tuple[Call, Message | None, Rights | None]:
        """Writes a change; the call as written, the message that it left, and the rights if they were read."""
        if before is None or after.state != "ended":
            if after.state == "ringing":
                # First the timer: a call that nobody ends would be worse than a timer without its call.
                self.timers().queue("ring", after.booking_code, seconds_left(after, now), call_id=after.call_id)
            self.gather(after.booking_code, now)
            self.calls.store_live(before, after, iat)
            return after, None, None
        head = head or self.history.head(after.booking_code)
        if after.act.by is not None:
            head.rights.check_token(after.act.by, iat)
        message, head_after = append(
            head,
            summary(after),
            booking_code=after.booking_code,
            sender="system",
            now=now,
            message_id=after.call_id,
            epoch=self.entropy(),
            rate_limit=NO_LIMIT,
        )
        after = after.model_copy(update={"history": message.timestamp})
        expires_at = instants.expiry(now, self.retention_days)
        self.gather(after.booking_code, now)
        self.calls.store_end(before, after, message, head=head, head_after=head_after, expires_at=expires_at)
        return after, message, head.rights

    def _not_the_latest(self, booking_code: str, call_id: str, now: int) -> Refusal:
        """The refusal for an act on a call that is not the latest one."""
        older = self.calls.logged(booking_code, call_id, now)
        return _ended(older) if older else Refusal("not_found", "There is no such call")


def calling_side(sender: Sender) -> Side:
    """The side that acts; raises `forbidden` for any other role."""
    if sender not in SIDES:
        raise Refusal("forbidden", "sender: only driver and passenger call")
    return sender


def summary(call: Call) -> NewMessage:
    """The message that an ended call leaves in the history."""
    if call.answered_at is not None:
        text = f"Call ended, {duration_text(call.duration_seconds)}"
    else:
        text = "Call declined" if call.end_reason == "declined" else "Missed call"
    return NewMessage(message=text, message_type="call", metadata=call.model_dump())


def duration_text(seconds: int) -> str:
    """A duration as people read it: 2:31, 1:02:31."""
    minutes, hours = seconds // 60 % 60, seconds // 3600
    return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"


def seconds_left(call: Call, now: int) -> int:
    """Whole seconds until the call's time is up, rounded up: what a timer can be told to wait."""
    return max(0, -(-((due_at(call) or now) - now) // instants.SECOND))


def _ended(call: Call) -> Refusal:
    return Refusal("illegal_transition", "The call has ended", details={"call": call.model_dump()})


def _explain(refusal: Refusal, rights: Rights) -> None:
    """Raises `booking_closed` in a closed booking: no retry changes that reason."""
    if rights.closed_at is not None:
        details = {**refusal.details, "closed_at": rights.closed_at}
        raise Refusal("booking_closed", "The booking is closed", details=details) from refusal
