"""Races about calls, on the embedded AWS's DynamoDB: each call has one end and one message, and never goes back."""

import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from make_call.calling import Calling
from make_call.timing import Timing
from navietakie.aws.tables.calls import Calls
from navietakie.aws.tables.messages import HeadMoved, Messages
from navietakie.domain import instants
from navietakie.domain.call import TABLE, Call, Part, due_at
from navietakie.domain.conversation import append
from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message, NewMessage
from navietakie.domain.rate_limit import RateLimit

SEED = 20260301
START = instants.from_text("2026-03-01T10:00:00.000000Z")
PATIENCE = 60.0


class Booking:
    """A booking whose sides act at once, each with a clock of its own. It keeps what was broadcast about its calls."""

    def __init__(self, client: Any, names: dict[str, str], name: str) -> None:
        self.name = name
        self.messages = Messages(client, names["messages"])
        self.calls = Calls(client, names["calls"], self.messages)
        self.told: list[tuple[Call, Message | None]] = []
        self.queued: list[dict[str, Any]] = []
        self.entropy = itertools.count(1)

    def tell(
        self,
        call: Call,
        now: int,
        message: Message | None = None,
        *,
        origin: Any = None,
        repeat: bool = False,
        rights: Any = None,
    ) -> int:
        if not repeat:
            self.told.append((call, message))
        return 0

    def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        self.queued.append({"kind": kind, "booking_code": booking_code, **fields})

    def of_booking(self, booking_code: str, now: int) -> list[Any]:
        return []

    def calling(self, now: int) -> Calling:
        return Calling(
            calls=self.calls,
            history=self.messages,
            announcing=self,
            timers=lambda: self,
            clock=lambda: now,
            entropy=lambda: f"{next(self.entropy):018x}",
            ring_seconds=45,
            retention_days=90,
        )

    def act(self, side: Any, action: Any, call: Call | None, device: str, now: int = START) -> Call:
        call_id = call.call_id if call else None
        deadline = time.monotonic() + PATIENCE
        return self.calling(now).act(self.name, side, device, action, call_id=call_id, deadline=deadline).call

    def close_all(self, connection_ids: Any) -> Any:
        raise AssertionError("nothing here revokes tokens")

    def timer(self, timer: dict[str, Any], now: int) -> None:
        timing = Timing(self.calling(now), self, self)
        timing.on({"booking_code": self.name, **timer}, time.monotonic() + PATIENCE)

    def say(self, text: str, **fields: Any) -> None:
        """Stores a message from `system` after the present head."""
        while True:
            head = self.messages.head(self.name)
            message, after = append(
                head,
                NewMessage(message=text, **fields),
                booking_code=self.name,
                sender="system",
                now=START,
                message_id=text,
                epoch="epoch",
                rate_limit=RateLimit(0, 1),
            )
            try:
                self.messages.store(
                    message, before=head, after=after, expires_at=2**40, now=START, token=uuid.uuid4().hex
                )
            except HeadMoved:
                continue
            return

    def call(self) -> Call:
        call = self.calls.latest(self.name)
        assert call is not None
        return call

    def check(self) -> None:
        """Checks that every call took a legal path and, if it has ended, left one message and one line in the log."""
        paths: dict[str, list[Call]] = {}
        for call, message in self.told:
            paths.setdefault(call.call_id, []).append(call)
            assert (message is not None) == (call.state == "ended")
        for path in paths.values():
            path.sort(key=lambda call: call.version)
            assert [call.version for call in path] == list(range(1, len(path) + 1))
            states = [None, *(call.state for call in path)]
            for before, call in zip(states, path, strict=False):
                assert TABLE[before, call.act.event, _part(call)] == (call.state, call.end_reason)
        ended = {path[-1].call_id: path[-1] for path in paths.values() if path[-1].state == "ended"}
        log = self.calls.log(self.name, now=START, limit=100).calls
        shown = {call_id: call.model_dump() for call_id, call in ended.items()}
        assert {call.call_id: call.model_dump() for call in log} == shown
        history = self.messages.page(self.name, now=START, ascending=True, limit=100).messages
        assert sorted(it.message_id for it in history if it.message_type == "call") == sorted(ended)
        assert [it.seq for it in history] == list(range(1, len(history) + 1))
        last = max(paths.values(), key=lambda path: path[0].timestamp)[-1]
        assert self.call().model_dump() == last.model_dump()


def _part(call: Call) -> Part:
    return "server" if call.act.by is None else "caller" if call.act.by == call.caller else "callee"


@pytest.fixture
def booking(dynamodb: Any, names: dict[str, str]) -> Callable[[str], Booking]:
    return lambda name: Booking(dynamodb, names, name)


def at_once(acts: Sequence[Callable[[], Any]], delays: Sequence[float] = ()) -> list[Any]:
    """Runs all at once, each after its delay. Returns their results or Refusals."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], Any], delay: float) -> Any:
        gate.wait()
        time.sleep(delay)
        try:
            return act()
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts, delays or [0.0] * len(acts)))


def test_one_of_fifty_devices_answers_and_the_others_see_which(booking: Callable[[str], Booking]) -> None:
    ride = booking("fifty")
    ringing = ride.act("driver", "initiate", None, "phone")
    outcomes = at_once(
        [lambda number=number: ride.act("passenger", "accept", ringing, f"device-{number}") for number in range(50)]
    )
    (winner,) = [it for it in outcomes if isinstance(it, Call)]
    losers = [it for it in outcomes if isinstance(it, Refusal)]
    assert len(losers) == 49
    for loser in losers:
        assert loser.code == "illegal_transition"
        assert (loser.details["call"]["answered_by"], loser.details["call"]["version"]) == (winner.answered_by, 2)
    ride.check()


def test_accept_against_cancel_against_deadline_has_one_end(booking: Callable[[str], Booking]) -> None:
    order = random.Random(SEED)
    ends: set[str | None] = set()
    for number in range(200):
        ride = booking(f"round-{number}")
        ringing = ride.act("driver", "initiate", None, "phone")
        due = due_at(ringing) or 0
        acts: list[Callable[[], Any]] = [
            lambda ride=ride, call=ringing, now=due - 1: ride.act("passenger", "accept", call, "tablet", now),
            lambda ride=ride, call=ringing, now=due - 1: ride.act("driver", "end", call, "phone", now),
            lambda ride=ride, call=ringing, now=due: ride.timer({"kind": "ring", "call_id": call.call_id}, now),
        ]
        at_once(acts, [order.choice([0, 0, 0.003, 0.01]) for _ in acts])
        if ride.call().state == "connected":
            ride.act("passenger", "end", ringing, "tablet", due)
        ends.add(ride.call().end_reason)
        ride.check()
    assert ends == {"completed", "cancelled", "no_answer"}


def test_both_sides_calling_at_once_are_connected_with_each_other(booking: Callable[[str], Booking]) -> None:
    for number in range(30):
        ride = booking(f"glare-{number}")
        outcomes = at_once(
            [
                lambda ride=ride: ride.act("driver", "initiate", None, "phone"),
                lambda ride=ride: ride.act("passenger", "initiate", None, "tablet"),
            ]
        )
        assert {it.call_id for it in outcomes} == {ride.call().call_id}
        assert (ride.call().state, ride.call().version) == ("connected", 2)
        ride.check()


def test_a_timer_delivered_five_times_at_once_ends_a_call_once(booking: Callable[[str], Booking]) -> None:
    for number in range(20):
        ride = booking(f"five-{number}")
        ringing = ride.act("driver", "initiate", None, "phone")
        now, (timer,) = due_at(ringing) or 0, ride.queued
        assert at_once([partial(ride.timer, timer, now)] * 5) == [None] * 5
        assert (ride.call().end_reason, ride.call().version) == ("no_answer", 2)
        ride.check()


def test_hanging_up_while_both_write_leaves_no_hole(booking: Callable[[str], Booking]) -> None:
    ride = booking("chatty")
    ringing = ride.act("driver", "initiate", None, "phone")
    ride.act("passenger", "accept", ringing, "tablet")

    def write(who: str) -> None:
        for number in range(10):
            ride.say(f"{who}-{number}")

    at_once(
        [
            lambda: write("driver"),
            lambda: write("passenger"),
            lambda: ride.act("driver", "end", ringing, "phone"),
            lambda: ride.act("passenger", "end", ringing, "tablet"),
        ]
    )
    assert ride.messages.head("chatty").seq == 21
    ride.check()


def test_no_call_outlives_the_closing_of_its_booking(booking: Callable[[str], Booking]) -> None:
    order = random.Random(SEED)
    for number in range(40):
        ride = booking(f"closing-{number}")
        acts: list[Callable[[], Any]] = [
            lambda ride=ride: ride.say("closed", message_type="system", metadata={"event": "booking_closed"}),
            lambda ride=ride: ride.act("driver", "initiate", None, "phone"),
            lambda ride=ride: ride.act("passenger", "initiate", None, "tablet"),
        ]
        outcomes = at_once(acts, [order.choice([0, 0, 0.004, 0.01]) for _ in acts])
        assert {it.code for it in outcomes if isinstance(it, Refusal)} <= {"booking_closed"}
        ride.timer({"kind": "order", "event": "booking_closed"}, START)
        live = ride.calls.latest(ride.name)
        assert live is None or live.end_reason == "booking_closed"
        with pytest.raises(Refusal):
            ride.act("driver", "initiate", None, "phone")
        if live is not None:
            ride.check()


def test_timers_of_all_kinds_at_once_end_a_call_once(booking: Callable[[str], Booking]) -> None:
    order = random.Random(SEED)
    for number in range(20):
        ride = booking(f"timers-{number}")
        ringing = ride.act("driver", "initiate", None, "phone")
        ride.act("passenger", "accept", ringing, "tablet")
        ride.say("closed", message_type="system", metadata={"event": "booking_closed"})
        left = {"kind": "left", "call_id": ringing.call_id, "left_at": START}
        timers = [
            left | {"side": "driver"},
            left | {"side": "passenger"},
            {"kind": "order", "event": "booking_closed"},
        ] * 3
        order.shuffle(timers)
        at_once([lambda ride=ride, timer=timer: ride.timer(timer, START + 31 * instants.SECOND) for timer in timers])
        assert ride.call().end_reason in ("connection_lost", "booking_closed")
        ride.check()
