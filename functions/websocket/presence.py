"""Connecting and leaving: the row of a connection, and what the others are told."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal

from navietakie import beside
from navietakie.aws.tables.calls import CallStore
from navietakie.aws.tables.connections import (
    CONNECTION_LIFE,
    Connection,
    ConnectionStore,
    Presence,
    presence,
    without_revoked,
)
from navietakie.aws.tables.messages import MessageStore
from navietakie.aws.timers import Timers
from navietakie.broadcast import Broadcast, all_but
from navietakie.domain import instants
from navietakie.domain.call import Call
from navietakie.domain.errors import Refusal, invalid
from navietakie.domain.frames import Pushed, error_frame
from navietakie.domain.message import (
    PARTICIPANTS,
    SIDES,
    BookingCode,
    Fields,
    Label,
    Participant,
    Sender,
    other_side,
)
from navietakie.domain.orders import Rights
from navietakie.doors.identity import Identity
from navietakie.observability import count, logger
from websocket.crowding import REPLACED, surplus

CHECK_PENDING: Final = 40 * instants.SECOND
"""For this long after a leaving, make-call will check the side by itself: another leaving would only delay that."""


class ConnectQuery(Fields):
    """The query string of a `$connect`. `booking_id` is another name of `booking_code`."""

    booking_code: BookingCode | None = None
    booking_id: BookingCode | None = None
    sender: Sender | None = None
    sender_id: Label | None = None
    device_id: Label | None = None

    def booking(self, identity: Identity | None) -> str | None:
        """The booking that is asked for, else the token's; raises `invalid_request` for two codes that differ."""
        asked = {code for code in (self.booking_code, self.booking_id) if code}
        if len(asked) > 1:
            raise invalid("booking_id", "differs from booking_code")
        return asked.pop() if asked else identity and identity.booking_code


def connection(connection_id: str, query: Mapping[str, Any], identity: Identity | None, now: int) -> Connection:
    """The row of a new connection. Raises `invalid_request`, or `forbidden` for what its token does not allow."""
    asked = ConnectQuery.parse(query)
    booking_code = asked.booking(identity)
    if not booking_code:
        raise invalid("booking_code", "Field required")
    if identity is not None:
        identity.check(booking_code, asked.sender)
    sender = identity.role if identity else asked.sender
    if sender is None:
        raise invalid("sender", "Field required")
    return Connection(
        connection_id=connection_id,
        booking_code=booking_code,
        sender=sender,
        connected_at=instants.to_text(now),
        expires_at=instants.to_seconds(now + CONNECTION_LIFE),
        sender_id=identity.sub if identity else asked.sender_id,
        device_id=asked.device_id,
        token_exp=identity.exp if identity else None,
        who=identity.who if identity else None,
        token_iat=identity.iat if identity else None,
    )


def check_origin(origin: str | None, allowed: frozenset[str]) -> None:
    """Raises `forbidden` for a browser page from elsewhere (RFC 6455, section 10.2); other clients send no Origin."""
    if origin is not None and "*" not in allowed and origin not in allowed:
        raise Refusal("forbidden", "This origin is not allowed")


class PresencePushed(Pushed):
    """A side or the agent has become present, or has no present connection any more."""

    type: Literal["presence"]
    sender: Participant
    online: bool
    presence: Presence


class TypingPushed(Pushed):
    """Somebody is typing, or has stopped."""

    type: Literal["typing"]
    sender: Sender
    on: bool


@dataclass(frozen=True, slots=True)
class Attendance:
    """Records who comes and goes, and tells the others."""

    connections: ConnectionStore
    broadcast: Broadcast

    def join(self, connection: Connection, now: int, messages: MessageStore, limit: int) -> None:
        """Records a connection and tells the others if its side was not present; the new one cannot be posted to yet.

        `limit` is how many connections one person may have: older ones give way.
        Writes the row first and then reads the head: a revocation that the head does not show yet will find the row.
        The other connections are looked up beside the head.
        Raises `not_found` for a connection that has ended, `unauthorized` for a revoked token, or `unavailable`.
        """
        if not self.connections.record(connection):
            raise Refusal("not_found", "The connection has ended already")
        looked = beside.start(partial(self.connections.of_booking, connection.booking_code, now))
        try:
            rights = messages.head(connection.booking_code).rights
            rights.check_token(connection.sender, connection.iat)
        except Refusal:
            self.connections.remove_refused(connection.connection_id)
            raise
        try:
            found = looked.result()
        except Refusal:  # the next ping shows who is present, and the next $connect ends what is too many
            return
        replaced = surplus(connection, without_revoked(found, rights), limit)
        self._replace(replaced, now)
        self._tell(None, connection, now, rights, [each for each in found if each not in replaced])

    def _replace(self, connections: Sequence[Connection], now: int) -> None:
        """Ends connections that have to give way. Each gets an `error` first, if it can be reached."""
        if not connections:
            return
        told = error_frame(REPLACED, connections[0].booking_code, instants.to_text(now))
        self.broadcast.to_connections(connections, told, now)
        self.broadcast.poster.close_all([each.connection_id for each in connections])
        for each in connections:
            with suppress(Refusal):  # its `$disconnect` deletes it
                self.connections.remove(each.connection_id, now)
        count("ConnectionsReplaced", len(connections))

    def set_away(self, connection: Connection, rights: Rights, *, away: bool, at: int, now: int) -> None:
        """Stores that an app went to the background, or came back, at `at` (milliseconds). An older frame is ignored.

        The others are told if it was its side's only present connection, or is now. Raises `unavailable`.
        """
        if self.connections.set_away(connection.connection_id, away=away, at=at):
            self._tell(replace(connection, away=not away), replace(connection, away=away), now, rights)

    def leave(self, connection_id: str, now: int, calls: CallStore, timers: Callable[[], Timers]) -> None:
        """Deletes the row of a connection. During a live call it first queues that the side has left.

        The others are told if it was its side's last present connection.
        """
        left = self.connections.get(connection_id)
        if left is not None and left.sender in SIDES:
            logger.append_keys(booking_code=left.booking_code)
            call = calls.latest(left.booking_code)
            if call is not None and call.state != "ended":
                # First the timer: as long as the row is there, a 410 can still tell that its side has left.
                timers().queue("left", left.booking_code, 0, call_id=call.call_id, side=left.sender, left_at=now)
        self.connections.remove(connection_id, now)
        if left is not None:
            self._tell(left, None, now, Rights())

    def _tell(
        self,
        before: Connection | None,
        after: Connection | None,
        now: int,
        rights: Rights,
        found: Sequence[Connection] | None = None,
    ) -> None:
        """Tells the others of a change of one connection, if that changes whether its side is present."""
        changed = after or before
        if changed is None or changed.sender not in PARTICIPANTS:
            return
        sender, booking_code = changed.sender, changed.booking_code
        try:
            found = self.connections.of_booking(booking_code, now) if found is None else found
        except Refusal:  # the next ping shows who is present
            return
        others = list(filter(all_but(changed.connection_id), without_revoked(found, rights)))
        was, here = presence(others, before), presence(others, after)
        if was[sender] != here[sender]:
            change: PresencePushed = {
                "v": 1,
                "type": "presence",
                "booking_code": booking_code,
                "ts": instants.to_text(now),
                "sender": sender,
                "online": here[sender],
                "presence": here,
            }
            self.broadcast.to_connections(others, change, now)


def look_for_other_side(
    call: Call, own: Connection, rows: Sequence[Connection], now: int, timers: Callable[[], Timers]
) -> None:
    """Queues that the other side of a connected call has left, if all its tokens have expired or it has no row.

    It left when its last token expired. A side without a row leaves now, but only if it has acted over a WebSocket, or
    has left this call before: otherwise it may never have had a connection, and talks all the same. Never raises: the
    next ping checks again.
    """
    if call.state != "connected" or own.sender not in SIDES:
        return
    side = other_side(own.sender)
    theirs = [each for each in rows if each.sender == side]
    if any(each.receives(now) for each in theirs):
        return
    known = call.left_at.get(side)
    left_at = max((each.token_exp or 0 for each in theirs), default=0) * instants.SECOND
    if known is not None and left_at <= known:
        if now < known + CHECK_PENDING:
            return
        left_at = now
    elif not left_at and side in call.connected:
        left_at = now
    if left_at:
        with suppress(Refusal):
            timers().queue("left", call.booking_code, 0, call_id=call.call_id, side=side, left_at=left_at)


def typing_frame(connection: Connection, ts: str, *, on: bool) -> TypingPushed:
    """The frame that tells the others that somebody is typing, or has stopped."""
    return {
        "v": 1,
        "type": "typing",
        "booking_code": connection.booking_code,
        "ts": ts,
        "sender": connection.sender,
        "on": on,
    }
