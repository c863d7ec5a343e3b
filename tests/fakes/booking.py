"""A booking around the service for calls, on any tables. It plays broadcasts, the timer queue and connections."""

import itertools
import time
import uuid
from dataclasses import replace
from typing import Any, NamedTuple

from make_call.calling import Calling
from make_call.timing import Timing
from navietakie.aws.tables.messages import HeadMoved
from navietakie.domain.call import Call
from navietakie.domain.conversation import append
from navietakie.domain.message import Message, NewMessage
from navietakie.domain.rate_limit import RateLimit

PATIENCE_SECONDS = 60


class Told(NamedTuple):
    """A broadcast about a call, and whether it was a repeat."""

    call: Call
    message: Message | None
    connection_id: str | None
    repeat: bool


class Booking:
    """Nobody is connected, and timers are only `queued`; a subclass may change that. The clock shows `now`."""

    def __init__(self, messages: Any, calls: Any, now: int, name: str = "test") -> None:
        self.name = name
        self.messages = messages
        self.calls = calls
        self.now = now
        self.told: list[Told] = []
        self.queued: list[dict[str, Any]] = []
        self.numbers = itertools.count(1)
        self.calling = Calling(
            calls=calls,
            history=messages,
            announcing=self,
            timers=lambda: self,
            clock=lambda: self.now,
            entropy=lambda: f"{next(self.numbers):018x}",
            ring_seconds=45,
            retention_days=90,
        )

    def tell(
        self,
        call: Call,
        now: int,
        message: Message | None = None,
        *,
        origin: Any = None,
        repeat: bool = False,
        by: Any = None,
        rights: Any = None,
    ) -> int:
        self.told.append(Told(call, message, origin and origin.connection_id, repeat))
        return 0

    def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        self.queued.append({"kind": kind, "booking_code": booking_code, **fields})

    def of_booking(self, booking_code: str, now: int) -> list[Any]:
        return []

    def close_all(self, connection_ids: Any) -> list[Any]:
        raise AssertionError("nobody is connected")

    def deadline(self) -> float:
        return time.monotonic() + PATIENCE_SECONDS

    def act(
        self,
        side: Any,
        action: Any,
        call: Call | None = None,
        device: str = "phone",
        now: int | None = None,
        **how: Any,
    ) -> Call:
        """Acts on the call, by a clock that shows `now`."""
        calling = self.calling if now is None else replace(self.calling, clock=lambda: now)
        how = {"deadline": self.deadline(), **how}
        return calling.act(self.name, side, device, action, call_id=call.call_id if call else None, **how).call

    def timer(self, timer: dict[str, Any], now: int | None = None, **how: Any) -> None:
        """Delivers a timer of this booking, to a container whose clock shows `now`."""
        calling = self.calling if now is None else replace(self.calling, clock=lambda: now)
        Timing(calling, self, self).on({"booking_code": self.name, **timer}, self.deadline(), **how)

    def say(self, text: str, **fields: Any) -> None:
        """Stores a message from `system` after the present head."""
        while True:
            head = self.messages.head(self.name)
            message, after = append(
                head,
                NewMessage(message=text, **fields),
                booking_code=self.name,
                sender="system",
                now=self.now,
                message_id=text,
                epoch="epoch",
                rate_limit=RateLimit(0, 1),
            )
            how = {"expires_at": 2**40, "now": self.now, "token": uuid.uuid4().hex}
            try:
                self.messages.store(message, before=head, after=after, **how)
            except HeadMoved:
                continue
            return

    @property
    def call(self) -> Call:
        """The latest call."""
        call = self.calls.latest(self.name)
        assert call is not None
        return call
