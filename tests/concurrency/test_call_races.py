"""Races about calls, on the embedded AWS's DynamoDB: each call has one end and one message, and never goes back."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from navietakie.aws.tables.calls import Calls
from navietakie.aws.tables.messages import Messages
from navietakie.domain import instants
from navietakie.domain.call import TABLE, Call, Part, due_at
from navietakie.domain.errors import Refusal
from tests.fakes.booking import Booking

SEED = 20260301
START = instants.from_text("2026-03-01T10:00:00.000000Z")


class Race(Booking):
    """A booking whose sides act at once, each with a clock of its own."""

    def check(self) -> None:
        """Checks that every call took a legal path and, if it has ended, left one message and one line in the log."""
        paths: dict[str, list[Call]] = {}
        for call, message, _, repeat in self.told:
            if repeat:
                continue
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
        assert self.call.model_dump() == last.model_dump()


def _part(call: Call) -> Part:
    return "server" if call.act.by is None else "caller" if call.act.by == call.caller else "callee"


@pytest.fixture
def booking(dynamodb: Any, names: dict[str, str]) -> Callable[[str], Race]:
    def made(name: str) -> Race:
        messages = Messages(dynamodb, names["messages"])
        return Race(messages, Calls(dynamodb, names["calls"], messages), START, name)

    return made


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


def test_one_of_fifty_devices_answers_and_the_others_see_which(booking: Callable[[str], Race]) -> None:
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


def test_accept_against_cancel_against_deadline_has_one_end(booking: Callable[[str], Race]) -> None:
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
        if ride.call.state == "connected":
            ride.act("passenger", "end", ringing, "tablet", due)
        ends.add(ride.call.end_reason)
        ride.check()
    assert ends == {"completed", "cancelled", "no_answer"}


def test_both_sides_calling_at_once_are_connected_with_each_other(booking: Callable[[str], Race]) -> None:
    for number in range(30):
        ride = booking(f"glare-{number}")
        outcomes = at_once(
            [
                lambda ride=ride: ride.act("driver", "initiate", None, "phone"),
                lambda ride=ride: ride.act("passenger", "initiate", None, "tablet"),
            ]
        )
        assert {it.call_id for it in outcomes} == {ride.call.call_id}
        assert (ride.call.state, ride.call.version) == ("connected", 2)
        ride.check()


def test_a_timer_delivered_five_times_at_once_ends_a_call_once(booking: Callable[[str], Race]) -> None:
    for number in range(20):
        ride = booking(f"five-{number}")
        ringing = ride.act("driver", "initiate", None, "phone")
        now, (timer,) = due_at(ringing) or 0, ride.queued
        assert at_once([partial(ride.timer, timer, now)] * 5) == [None] * 5
        assert (ride.call.end_reason, ride.call.version) == ("no_answer", 2)
        ride.check()


def test_hanging_up_while_both_write_leaves_no_hole(booking: Callable[[str], Race]) -> None:
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


def test_no_call_outlives_the_closing_of_its_booking(booking: Callable[[str], Race]) -> None:
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


def test_timers_of_all_kinds_at_once_end_a_call_once(booking: Callable[[str], Race]) -> None:
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
        assert ride.call.end_reason in ("connection_lost", "booking_closed")
        ride.check()
