"""Broadcast: one frame to every connection of a booking, and no row left of a connection that is gone.

How a broadcast goes:

1. The rows of the booking are looked up in the index, without expired ones. The index lags: a connection that is not in
   it yet misses the frame, and finds the message by `ping` or `sync`. Revoked rows are left out, if the caller knows
   the booking's rights.
2. The frame is encoded once. Frames that answer the sender (`answers`) go out in the same batch; their connections get
   nothing else.
3. All are posted in parallel (wire/connections_api.py), and each connection has an outcome.
4. The row of a connection that is gone is deleted if it is older than 30 s. A younger one may still be in `$connect`,
   when API Gateway answers 410 too.
5. `Outcomes` has what became of each post; `delivery()` counts them for the answer.

Nothing here raises: what was stored before the broadcast stays stored. If the rows cannot be looked up, the answers are
posted all the same, and `Outcomes.complete` is False.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, NamedTuple, NotRequired, TypedDict

from navietakie import beside
from navietakie.aws import clients
from navietakie.aws.tables.connections import Connection, ConnectionStore
from navietakie.domain.errors import Refusal
from navietakie.domain.frames import Frame, encode
from navietakie.domain.message import Sender
from navietakie.domain.orders import Rights
from navietakie.observability import count, logger
from navietakie.wire.connections_api import Outcome, Poster

FRESH_SECONDS: Final = 0.05
"""How old a look-up may be that is used: whoever has connected since finds the message by its first ping."""


type Gather = Callable[[str, int], object]
"""Begins to look up the connections of a booking, at this time: `Broadcast.gather`."""


def all_but(connection_id: str | None, of: Sender | None = None) -> Callable[[Connection], bool]:
    """Accepts every connection but the one with this id. With `of` that one is left out only if it is this sender's."""
    return lambda each: each.connection_id != connection_id or of not in (None, each.sender)


class Delivery(TypedDict):
    """What became of the broadcast. The message is stored in any case."""

    connections: int
    delivered: int
    gone: int
    failed: int
    error: NotRequired[Literal["unavailable"]]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of each post of a broadcast. `complete` is False where the connections could not be looked up."""

    posts: list[tuple[Connection, Outcome]] = field(default_factory=list[tuple[Connection, Outcome]])
    complete: bool = True

    def count_of(self, outcome: Outcome) -> int:
        """How many connections ended so."""
        return sum(1 for _, each in self.posts if each == outcome)

    def reached(self, sender: Sender) -> int:
        """How many present connections of `sender` took the frame. One that is away takes it, but does not count."""
        taken = (connection for connection, each in self.posts if each == "delivered" and not connection.away)
        return sum(1 for connection in taken if connection.sender == sender)

    def gone(self, sender: Sender) -> list[Connection]:
        """The connections of `sender` that turned out to be gone."""
        return [connection for connection, each in self.posts if each == "gone" and connection.sender == sender]

    def delivery(self) -> Delivery:
        """The `delivery` of an answer."""
        counts: Delivery = {
            "connections": len(self.posts),
            "delivered": self.count_of("delivered"),
            "gone": self.count_of("gone"),
            "failed": self.count_of("failed"),
        }
        return counts if self.complete else {**counts, "error": "unavailable"}


class _Gathering(NamedTuple):
    """A booking's connections, which are being looked up since `began` (monotonic)."""

    booking_code: str
    began: float
    found: Future[list[Connection]]


@dataclass(slots=True)
class Broadcast:
    """Sends frames to the connections of a booking, and deletes the rows of those that are gone.

    After `deadline` (monotonic) no connections are looked up any more.
    """

    connections: ConnectionStore
    poster: Poster
    deadline: float = math.inf
    _gathering: _Gathering | None = field(default=None, init=False)

    def gather(self, booking_code: str, now: int) -> None:
        """Begins to look up the booking's connections, beside the write that they will be told of.

        The next `to_booking` takes those, unless it comes more than FRESH_SECONDS later: then it looks them up anew.
        """
        began = time.monotonic()
        if began < self.deadline:
            found = beside.start(partial(self.connections.of_booking, booking_code, now))
            self._gathering = _Gathering(booking_code, began, found)

    def to_booking(
        self,
        booking_code: str,
        frame: Frame | bytes,
        now: int,
        *,
        to: Callable[[Connection], bool] = lambda _: True,
        answers: Iterable[tuple[Connection, Frame]] = (),
        then: Frame | None = None,
        rights: Rights | None = None,
    ) -> Outcomes:
        """Posts `frame` to every connection of the booking that `to` accepts, and `answers` along with it.

        `frame` may be encoded already. The frame `then` follows it, to every connection. With `rights`, which a caller
        has who has read the head, revoked connections get nothing.

        Never raises: what was stored before stays stored. A connection that gets one of the `answers` gets nothing
        else. The Outcomes are those of `frame` alone.
        """
        posts = [(connection, encode(answer)) for connection, answer in answers]
        first, second = frame if isinstance(frame, bytes) else encode(frame), encode(then) if then else b""
        own, answered = len(posts), {connection.connection_id for connection, _ in posts}
        complete = True
        receivers: list[Connection] = []
        try:
            found = self._found(booking_code, now)
            if rights is not None:
                found = [each for each in found if not each.revoked(rights)]
            others = [each for each in found if each.connection_id not in answered]
            receivers = [each for each in others if to(each)]
            posts += [(connection, first) for connection in receivers]
            posts += [(connection, second) for connection in others if second]
        except Exception as error:  # whatever it is, the answers below still have to be posted
            complete = False
            extra = {"booking_code": booking_code, "error_type": clients.error_name(error)}
            logger.error("connections could not be looked up", extra=extra)
            count("Failures")
        told = self._post(posts, now)[own:]
        count("Deliveries", told.count("delivered"))
        count("DeliveriesGone", told.count("gone"))
        count("DeliveriesFailed", told.count("failed"))
        return Outcomes(list(zip(receivers, told, strict=False)), complete)

    def to_connections(self, connections: Sequence[Connection], frame: Frame, now: int) -> list[Outcome]:
        """Posts `frame` to these connections; one outcome each, in order. Never raises."""
        body = encode(frame)
        return self._post([(connection, body) for connection in connections], now)

    def to_connection(self, connection: Connection, frame: Frame, now: int) -> Outcome:
        """Posts `frame` to one connection. Never raises."""
        [outcome] = self.to_connections([connection], frame, now)
        return outcome

    def _found(self, booking_code: str, now: int) -> list[Connection]:
        gathering, self._gathering = self._gathering, None
        if gathering and gathering.booking_code == booking_code and time.monotonic() <= gathering.began + FRESH_SECONDS:
            return gathering.found.result()
        if time.monotonic() >= self.deadline:
            raise Refusal("unavailable", "No time was left to look for connections")
        return self.connections.of_booking(booking_code, now)

    def _post(self, posts: Sequence[tuple[Connection, bytes]], now: int) -> list[Outcome]:
        """Posts each body to its connection, and deletes the rows of those that are gone."""
        outcomes = self.poster.post([(connection.connection_id, body) for connection, body in posts])
        self._delete_gone([connection for connection, _ in posts], outcomes, now)
        return outcomes

    def _delete_gone(self, connections: Sequence[Connection], outcomes: Sequence[Outcome], now: int) -> None:
        gone = {
            connection.connection_id: connection
            for connection, outcome in zip(connections, outcomes, strict=True)
            if outcome == "gone"
        }
        for connection in gone.values():
            try:
                self.connections.remove_gone(connection, now)
            except Exception:  # the next broadcast finds this row and the rest, and tries again
                logger.warning("a gone row was not deleted", extra={"connection_id": connection.connection_id})
                return
