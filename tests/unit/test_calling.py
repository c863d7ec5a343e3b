"""Calls on the tables in memory. The test moves the clock. Timers come when they are due, or several times."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from make_call import timing
from make_call.calling import Acted, LogQuery, NewAct, duration_text
from make_call.timing import Timing
from navietakie.aws.tables.calls import VersionConflict
from navietakie.aws.tables.connections import Connection
from navietakie.aws.tables.dynamo import Contended
from navietakie.aws.tables.messages import HeadMoved
from navietakie.domain import instants
from navietakie.domain.call import Call
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.message import Message
from navietakie.domain.orders import NO_TOKEN
from navietakie.domain.rate_limit import RateLimit
from navietakie.wire.connections_api import Outcome
from tests.fakes.booking import Booking
from tests.fakes.calls import FakeCalls
from tests.fakes.messages import FakeMessages

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
SECOND = instants.SECOND


class Faulty(FakeCalls):
    """Each write raises the next of `faults`: before the write, or as a pair with True after it."""

    def __init__(self, messages: FakeMessages) -> None:
        super().__init__(messages)
        self.faults: list[Exception | tuple[Exception, bool]] = []
        self.before_end: Callable[[], None] | None = None

    def store_live(self, before: Call | None, after: Call, iat: int | None = NO_TOKEN) -> None:
        self._faulty(super().store_live, before, after, iat)

    def store_end(self, before: Call, after: Call, message: Message, **how: Any) -> None:
        if self.before_end is not None:
            meanwhile, self.before_end = self.before_end, None
            meanwhile()
        self._faulty(super().store_end, before, after, message, **how)

    def _faulty(self, write: Callable[..., None], *what: Any, **how: Any) -> None:
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        write(*what, **how)
        if fault:
            raise fault[0]


class Ride(Booking):
    """A booking, its connections and a clock. `delivered` is how often each timer comes."""

    def __init__(self, delivered: int = 1) -> None:
        messages = FakeMessages()
        self.faulty = Faulty(messages)
        super().__init__(messages, self.faulty, NOW)
        self.present: dict[str, Connection] = {}
        self.waiting: list[tuple[int, int, dict[str, Any]]] = []
        self.delivered = delivered
        self.timers_down = False
        self.cut: list[str] = []
        self.not_open_yet: set[str] = set()
        self.timing = Timing(self.calling, self, self)

    def tell(self, call: Call, now: int, message: Message | None = None, *, by: Any = None, **how: Any) -> int:
        super().tell(call, now, message, **how)
        other = call.callee if (by or call.act.by) == call.caller else call.caller
        return sum(1 for connection in self.present.values() if connection.sender == other)

    def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        if self.timers_down:
            raise unavailable("The timer queue")
        assert 0 <= delay_seconds <= 900
        timer = {"kind": kind, "booking_code": booking_code, **fields}
        due = self.now + delay_seconds * SECOND
        if not any((at, other) == (due, timer) for at, _, other in self.waiting):  # each timer once
            self.waiting.append((due, next(self.numbers), timer))

    def of_booking(self, booking_code: str, now: int) -> list[Connection]:
        return list(self.present.values())

    def remove_refused(self, connection_id: str) -> None:
        del self.present[connection_id]

    def close_all(self, connection_ids: Sequence[str]) -> list[Outcome]:
        self.cut += connection_ids
        return ["gone" if connection_id in self.not_open_yet else "delivered" for connection_id in connection_ids]

    def ring(self, side: Any = "driver", device: str = "phone", client_call_id: str | None = None) -> Call:
        return self.act(side, "initiate", device=device, client_call_id=client_call_id)

    def talk(self) -> Call:
        return self.act("passenger", "accept", self.ring(), "tablet")

    def comes(self, side: Any, connection_id: str | None = None) -> None:
        name = connection_id or f"{side}-1"
        self.present[name] = Connection(name, "test", side, instants.to_text(self.now), 2**40)

    def goes(self, side: str, connection_id: str | None = None, told: bool = True) -> None:
        del self.present[connection_id or f"{side}-1"]
        call = self.calls.latest("test")
        if told and call is not None and call.state != "ended":
            self.queue("left", "test", 0, call_id=call.call_id, side=side, left_at=self.now)

    def passes(self, seconds: float) -> None:
        """Lets time pass. Each timer comes when it is due, `delivered` times."""
        until = self.now + round(seconds * SECOND)
        while due := [timer for timer in sorted(self.waiting, key=lambda it: it[:2]) if timer[0] <= until]:
            self.waiting.remove(due[0])
            self.now = max(self.now, due[0][0])
            for _ in range(self.delivered):
                self.timing.on(due[0][2], self.deadline())
        self.now = until

    def close(self) -> None:
        self.say(f"closed at {self.now}", message_type="system", metadata={"event": "booking_closed"})

    def history(self) -> list[Message]:
        return self.messages.page("test", now=self.now, ascending=True, limit=100).messages

    def check_log(self, *reasons: str | None) -> None:
        """Checks that each call left one line in the log and one message, with these reasons from the oldest on."""
        log = self.calls.log("test", now=self.now, limit=100).calls[::-1]
        assert [call.end_reason for call in log] == list(reasons)
        messages = [message for message in self.history() if message.message_type == "call"]
        assert [(it.message_id, it.metadata) for it in messages] == [(it.call_id, it.model_dump()) for it in log]


@pytest.fixture(params=[1, 5], ids=["each timer once", "each timer five times"])
def ride(request: pytest.FixtureRequest) -> Ride:
    return Ride(request.param)


def dies(*_: Any, **__: Any) -> int:
    raise SystemExit


def refused(code: str, act: Callable[[], Any]) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        act()
    assert refusal.value.code == code
    return refusal.value


# --- The whole story --------------------------------------------------------------------------------------------------


def test_a_call_rings_is_answered_and_ends_with_one_message(ride: Ride) -> None:
    ringing = ride.ring()
    assert (ringing.state, ringing.ring_ms_left) == ("ringing", 45_000)
    ride.passes(7)
    connected = ride.act("passenger", "accept", ringing, "tablet")
    assert (connected.state, connected.answered_by) == ("connected", "tablet")
    ride.passes(151)
    ended = ride.act("driver", "end", ringing)
    assert (ended.end_reason, ended.duration_seconds) == ("completed", 151)
    ride.passes(300)
    ride.check_log("completed")
    (message,) = ride.history()
    assert (message.sender, message.message, message.seq) == ("system", "Call ended, 2:31", 1)
    assert [(call.state, message and message.seq, repeat) for call, message, _, repeat in ride.told] == [
        ("ringing", None, False),
        ("connected", None, False),
        ("ended", 1, False),
    ]


@pytest.mark.parametrize(
    ("side", "action", "reason", "text"),
    [("passenger", "reject", "declined", "Call declined"), ("driver", "end", "cancelled", "Missed call")],
)
def test_a_call_that_is_not_answered_is_in_the_history_too(side: str, action: str, reason: str, text: str) -> None:
    ride = Ride()
    ride.act(side, action, ride.ring())
    ride.check_log(reason)
    assert [message.message for message in ride.history()] == [text]


def test_the_message_of_a_call_comes_after_earlier_messages(ride: Ride) -> None:
    ride.say("Hello")
    ride.act("driver", "end", ride.ring())
    assert [message.seq for message in ride.history()] == [1, 2]
    ride.say("Bye")
    assert [message.message for message in ride.history()] == ["Hello", "Missed call", "Bye"]


def test_two_sides_that_call_each_other_are_connected(ride: Ride) -> None:
    ringing = ride.ring("driver")
    connected = ride.ring("passenger", "tablet")
    assert (connected.call_id, connected.state, connected.answered_by) == (ringing.call_id, "connected", "tablet")
    assert connected.caller == "driver"


def test_a_second_call_is_refused_while_the_first_is_connected(ride: Ride) -> None:
    call = ride.talk()
    refusal = refused("call_in_progress", lambda: ride.ring("passenger"))
    assert refusal.details["call"]["call_id"] == call.call_id


def test_a_new_call_may_follow_an_ended_one(ride: Ride) -> None:
    for side in ("driver", "passenger"):
        ride.passes(1)
        ride.act(side, "end", ride.ring(side))
    ride.passes(300)
    ride.check_log("cancelled", "cancelled")


def test_two_calls_in_the_same_microsecond_both_stay_in_the_log(ride: Ride) -> None:
    for _ in range(3):
        ride.act("driver", "end", ride.ring())
    ride.check_log("cancelled", "cancelled", "cancelled")


# --- Repeats and strangers --------------------------------------------------------------------------------------------


def test_every_action_may_be_repeated_by_the_same_device(ride: Ride) -> None:
    ringing = ride.ring()
    assert ride.ring() == ringing
    connected = ride.act("passenger", "accept", ringing, "tablet")
    assert ride.act("passenger", "accept", ringing, "tablet") == connected
    ended = ride.act("passenger", "end", ringing, "tablet")
    assert ride.act("passenger", "end", ringing, "tablet") == ended
    ride.check_log("completed")


def test_a_repeat_is_told_again_with_the_message_that_the_call_left(ride: Ride) -> None:
    call = ride.ring()
    ride.act("passenger", "reject", call)
    ride.act("passenger", "reject", call)
    (first, message, _, was_repeat), (again, same_message, _, is_repeat) = ride.told[-2:]
    assert (first, message, was_repeat, is_repeat) == (again, same_message, False, True)
    assert message is not None


def test_an_initiate_repeated_under_its_name_begins_no_second_call(ride: Ride) -> None:
    ringing = ride.ring(client_call_id="first")
    assert ride.ring(client_call_id="first") == ringing
    connected = ride.act("passenger", "accept", ringing, "tablet")
    assert ride.ring(client_call_id="first") == connected
    ended = ride.act("passenger", "end", ringing, "tablet")
    ride.passes(10)
    assert ride.ring(client_call_id="first") == ended
    ride.check_log("completed")
    another = ride.ring(client_call_id="second")
    assert (another.state, another.call_id != ended.call_id) == ("ringing", True)


def test_after_two_crossing_calls_both_initiates_may_be_repeated(ride: Ride) -> None:
    ride.ring("driver", client_call_id="one")
    connected = ride.ring("passenger", "tablet", "two")
    ended = ride.act("driver", "end", connected)
    assert ride.ring("passenger", "tablet", "two") == ride.ring("driver", client_call_id="one") == ended
    ride.check_log("completed")


def test_a_client_call_id_of_the_other_side_is_no_repeat(ride: Ride) -> None:
    first = ride.ring("driver", client_call_id="same")
    ride.act("passenger", "reject", first)
    assert ride.ring("passenger", client_call_id="same").call_id != first.call_id


def test_a_repeat_counts_the_other_side_whoever_made_the_change(ride: Ride) -> None:
    ride.comes("passenger")

    def initiate() -> Acted:
        return ride.calling.act("test", "driver", "phone", "initiate", client_call_id="first", deadline=ride.deadline())

    first = initiate()
    ride.act("passenger", "accept", first.call, "tablet")
    assert (first.reached, initiate().reached) == (1, 1)


def test_a_second_device_comes_too_late(ride: Ride) -> None:
    ringing = ride.ring()
    ride.act("passenger", "accept", ringing, "tablet")
    refusal = refused("illegal_transition", lambda: ride.act("passenger", "accept", ringing, "watch"))
    assert (refusal.details["call"]["answered_by"], refusal.details["call"]["version"]) == ("tablet", 2)


def test_a_second_device_of_the_caller_does_not_ring_again(ride: Ride) -> None:
    ride.ring()
    assert refused("illegal_transition", lambda: ride.ring(device="tablet")).details["call"]["state"] == "ringing"


def test_an_unknown_call_is_not_found(ride: Ride) -> None:
    ride.ring()
    stranger = ride.call.model_copy(update={"call_id": "0" * 32})
    refused("not_found", lambda: ride.act("passenger", "accept", stranger))
    refused("not_found", lambda: Ride().act("passenger", "accept", stranger))


def test_an_older_call_is_refused_as_it_ended(ride: Ride) -> None:
    old = ride.ring()
    ride.act("driver", "end", old)
    ride.passes(1)
    ride.ring()
    refusal = refused("illegal_transition", lambda: ride.act("driver", "end", old))
    assert (refusal.details["call"]["call_id"], refusal.details["call"]["end_reason"]) == (old.call_id, "cancelled")


def test_an_action_names_its_call() -> None:
    assert refused("invalid_request", lambda: NewAct.parse({"action": "accept"})).details == {"field": "call_id"}
    for bad in ("", "x", "A" * 32, "0" * 31, "0" * 33, "0" * 31 + "\n", "../" * 10):
        refusal = refused("invalid_request", lambda bad=bad: NewAct.parse({"action": "accept", "call_id": bad}))
        assert refusal.details == {"field": "call_id"}


# --- Deadlines --------------------------------------------------------------------------------------------------------


def test_an_unanswered_call_ends_two_seconds_after_its_ring_without_anybody_asking(ride: Ride) -> None:
    ringing = ride.ring()
    ride.passes(46.9)
    assert ride.call.state == "ringing"
    ride.passes(0.2)
    assert (ride.call.state, ride.call.end_reason, ride.call.ended_at) == ("ended", "no_answer", ringing.rings_until)
    ride.check_log("no_answer")
    assert [call.state for call, *_ in ride.told] == ["ringing", "ended"]
    assert [message.message for message in ride.history()] == ["Missed call"]


def test_an_accept_in_the_last_moment_counts(ride: Ride) -> None:
    ringing = ride.ring()
    ride.passes(46.9)
    assert ride.act("passenger", "accept", ringing).state == "connected"
    ride.passes(300)
    assert ride.call.state == "connected"


@pytest.mark.parametrize("late", [2, 5, 3_600])
def test_if_a_timer_is_lost_the_next_look_ends_the_call(late: int) -> None:
    ride = Ride()
    ringing = ride.ring()
    ride.waiting.clear()
    ride.passes(45 + late)
    refusal = refused("illegal_transition", lambda: ride.act("passenger", "accept", ringing))
    assert refusal.details["call"]["end_reason"] == "no_answer"
    ride.check_log("no_answer")


def test_the_answer_to_an_initiate_never_guesses_how_the_call_ended(ride: Ride) -> None:
    def slow(call: Call, now: int, *_: Any, **__: Any) -> int:
        ride.now += 60 * SECOND  # meanwhile the other side may have declined
        return 1

    ride.tell = slow
    call = ride.ring()
    assert (call.state, call.version, call.ring_ms_left) == ("ringing", 1, 0)


def test_a_lost_timer_does_not_keep_the_next_call_from_ringing() -> None:
    ride = Ride()
    ride.ring()
    ride.waiting.clear()
    ride.passes(50)
    assert ride.ring("passenger").state == "ringing"
    assert [call.state for call, *_ in ride.told] == ["ringing", "ended", "ringing"]
    ride.check_log("no_answer")


def test_an_early_timer_queues_the_rest(ride: Ride) -> None:
    call = ride.ring()
    ride.waiting.clear()
    ride.passes(10)
    ride.timing.on({"kind": "ring", "booking_code": "test", "call_id": call.call_id}, ride.deadline())
    assert ride.call.state == "ringing"
    ride.passes(36.9)
    assert ride.call.state == "ringing"
    ride.passes(0.2)
    ride.check_log("no_answer")


def test_a_repeated_timer_broadcasts_the_end_again() -> None:
    ride = Ride()
    call = ride.ring()
    ride.now += 60 * SECOND
    timer = {"kind": "ring", "booking_code": "test", "call_id": call.call_id}
    ride.tell, telling = dies, ride.tell
    with pytest.raises(SystemExit):
        ride.timing.on(timer, ride.deadline())
    ride.tell = telling
    ride.timing.on(timer, ride.deadline(), again=True)
    assert [(call.state, message and message.message, repeat) for call, message, _, repeat in ride.told] == [
        ("ringing", None, False),
        ("ended", "Missed call", True),
    ]
    ride.check_log("no_answer")


def test_a_repeated_timer_does_not_broadcast_an_end_that_a_side_caused() -> None:
    ride = Ride()
    call = ride.ring()
    ride.act("passenger", "reject", call)
    timer = {"kind": "ring", "booking_code": "test", "call_id": call.call_id}
    ride.timing.on(timer, ride.deadline(), again=True)
    assert [repeat for *_, repeat in ride.told] == [False, False]


def test_a_leaving_that_meets_another_transaction_is_kept_all_the_same() -> None:
    ride = Ride()
    call = ride.talk()
    ride.comes("driver")
    note_left, turned_away = ride.calls.note_left, [Contended(), Contended()]

    def busy(*what: Any) -> Call | None:
        if turned_away:
            raise turned_away.pop()
        return note_left(*what)

    ride.calls.note_left = busy
    timer = {"kind": "left", "booking_code": "test", "call_id": call.call_id, "side": "driver", "left_at": ride.now}
    ride.timing.on(timer, ride.deadline())
    assert ride.calls.leavings == {(call.call_id, "driver"): NOW}
    assert [timer["kind"] for _, _, timer in ride.waiting] == ["ring", "left"]


def test_the_timer_of_another_call_does_nothing(ride: Ride) -> None:
    ride.act("driver", "end", ride.ring())
    ride.passes(40)
    second = ride.ring()
    ride.passes(10)
    assert ride.call == second.model_copy(update={"ring_ms_left": None})


def test_a_timer_without_its_call_does_nothing(ride: Ride) -> None:
    ride.timing.on({"kind": "ring", "booking_code": "test", "call_id": "0" * 32}, ride.deadline())
    assert (ride.calls.latest("test"), ride.waiting, ride.told) == (None, [], [])


def test_without_a_timer_no_call_rings() -> None:
    ride = Ride()
    ride.timers_down = True
    refused("unavailable", ride.ring)
    assert (ride.calls.latest("test"), ride.told) == (None, [])


def test_four_hours_of_talk_end_with_whoever_looks_next(ride: Ride) -> None:
    ride.talk()
    ride.passes(4 * 3600 - 1)
    assert ride.calling.latest("test", ride.deadline()) == ride.call
    assert ride.call.state == "connected"
    ride.passes(2)
    looked = ride.calling.latest("test", ride.deadline())
    assert looked is not None
    assert (looked.end_reason, looked.duration_seconds) == ("max_duration", 4 * 3600)
    assert ride.history()[0].message == "Call ended, 4:00:00"
    ride.check_log("max_duration")


# --- A lost side ------------------------------------------------------------------------------------------------------


def connected_over_sockets(ride: Ride) -> Call:
    ride.comes("driver")
    ride.comes("passenger")
    return ride.talk()


def test_a_side_that_stays_away_for_thirty_seconds_ends_the_call(ride: Ride) -> None:
    connected_over_sockets(ride)
    ride.passes(60)
    ride.goes("driver")
    ride.passes(29.9)
    assert ride.call.state == "connected"
    ride.passes(0.2)
    ride.check_log("connection_lost")


def test_the_duration_counts_only_the_time_until_a_side_left(ride: Ride) -> None:
    connected_over_sockets(ride)
    ride.passes(2)
    ride.goes("driver")
    left = ride.now
    ride.passes(60)
    assert (ride.call.duration_seconds, ride.call.ended_at) == (2, instants.to_text(left))
    assert [message.message for message in ride.history()] == ["Call ended, 0:02"]


def test_if_both_sides_left_the_first_leaving_ended_the_talk(ride: Ride) -> None:
    connected_over_sockets(ride)
    ride.passes(5)
    ride.goes("passenger")
    ride.passes(6)
    ride.comes("passenger")
    ride.passes(1)
    ride.goes("driver")
    ride.passes(4)
    ride.goes("passenger")
    ride.passes(60)
    ride.check_log("connection_lost")
    assert ride.call.duration_seconds == 12


def test_a_side_that_is_back_did_not_end_the_talk(ride: Ride) -> None:
    connected_over_sockets(ride)
    ride.passes(5)
    ride.goes("passenger")
    ride.passes(6)
    ride.goes("driver")
    ride.comes("passenger")
    ride.passes(60)
    assert (ride.call.end_reason, ride.call.duration_seconds) == ("connection_lost", 11)


def test_a_caller_who_vanished_while_it_rang_leaves_no_talk(ride: Ride) -> None:
    ride.comes("driver")
    ringing = ride.ring()
    ride.passes(3)
    ride.goes("driver")
    ride.passes(5)
    ride.act("passenger", "accept", ringing, "tablet")
    ride.passes(60)
    assert (ride.call.end_reason, ride.call.duration_seconds) == ("connection_lost", 0)
    assert ride.call.ended_at == ride.call.answered_at
    assert [message.message for message in ride.history()] == ["Call ended, 0:00"]


def test_a_side_that_comes_back_goes_on_talking(ride: Ride) -> None:
    connected_over_sockets(ride)
    ride.goes("driver")
    ride.passes(29)
    ride.comes("driver")
    ride.passes(600)
    assert ride.call.state == "connected"


def test_a_side_that_comes_back_leaves_again_and_comes_back_goes_on_talking(ride: Ride) -> None:
    connected_over_sockets(ride)
    ride.goes("driver")
    ride.passes(10)
    ride.comes("driver")
    ride.passes(15)
    ride.goes("driver")
    ride.passes(10)  # 35 s after the first leaving the side is away, but only for 10 s
    assert ride.call.state == "connected"
    ride.comes("driver")
    ride.passes(600)
    assert ride.call.state == "connected"


def test_the_last_leaving_counts(ride: Ride) -> None:
    connected_over_sockets(ride)
    ride.goes("driver")
    ride.passes(10)
    ride.comes("driver")
    ride.passes(15)
    ride.goes("driver")
    ride.passes(29.9)
    assert ride.call.state == "connected"
    ride.passes(0.2)
    ride.check_log("connection_lost")


def test_an_old_leaving_that_arrives_late_does_not_end_the_call(ride: Ride) -> None:
    call = connected_over_sockets(ride)
    ride.passes(60)
    ride.goes("driver")
    ride.passes(1)
    old = {"kind": "left", "booking_code": "test", "call_id": call.call_id, "side": "driver", "left_at": NOW}
    ride.timing.on(old, ride.deadline())
    assert ride.call.state == "connected"


def test_another_connection_of_the_side_keeps_the_call(ride: Ride) -> None:
    connected_over_sockets(ride)
    ride.comes("driver", "driver-2")
    ride.goes("driver")
    ride.passes(300)
    assert ride.call.state == "connected"
    ride.goes("driver", "driver-2")
    ride.passes(31)
    ride.check_log("connection_lost")


def test_a_side_that_never_had_a_connection_is_never_lost(ride: Ride) -> None:
    ride.comes("driver")
    ride.talk()
    ride.passes(3 * 3600)
    assert ride.call.state == "connected"


def test_who_leaves_while_it_rings_has_thirty_seconds_from_the_answer(ride: Ride) -> None:
    ride.comes("driver")
    ride.comes("passenger")
    ringing = ride.ring()
    ride.passes(3)
    ride.goes("driver")
    ride.passes(37)
    ride.act("passenger", "accept", ringing, "tablet")
    ride.passes(29.9)
    assert ride.call.state == "connected"
    ride.passes(0.2)
    ride.check_log("connection_lost")


def test_who_leaves_while_it_rings_and_comes_back_talks(ride: Ride) -> None:
    ride.comes("driver")
    ringing = ride.ring()
    ride.passes(3)
    ride.goes("driver")
    ride.passes(20)
    ride.act("passenger", "accept", ringing, "tablet")
    ride.passes(20)
    ride.comes("driver")
    ride.passes(300)
    assert ride.call.state == "connected"


def test_a_leaving_ends_no_other_call(ride: Ride) -> None:
    connected_over_sockets(ride)
    ride.goes("driver")
    ride.passes(1)
    ride.act("passenger", "end", ride.call)
    ride.passes(1)
    ride.talk()
    ride.passes(300)
    assert ride.call.state == "connected"


def test_a_leaving_from_a_clock_that_runs_ahead_counts_from_now() -> None:
    ride = Ride()
    call = connected_over_sockets(ride)
    ride.goes("driver", told=False)
    ride.queue("left", "test", 0, call_id=call.call_id, side="driver", left_at=ride.now + 600 * SECOND)
    ride.passes(31)
    ride.check_log("connection_lost")


# --- A closed booking -------------------------------------------------------------------------------------------------


def test_no_call_begins_or_is_accepted_in_a_closed_booking(ride: Ride) -> None:
    ringing = ride.ring()
    ride.close()
    for act in (lambda: ride.act("passenger", "accept", ringing), lambda: ride.ring("passenger")):
        refused("booking_closed", act)
    ride.act("driver", "end", ringing)
    refused("booking_closed", ride.ring)
    ride.check_log("cancelled")


def test_a_call_or_an_accept_in_a_closed_booking_gets_booking_closed_whatever_else_is_wrong() -> None:
    ride = Ride()
    call = ride.talk()
    ride.close()
    late = (lambda: ride.ring("passenger"), lambda: ride.act("passenger", "accept", call, "watch"))
    for act in late:
        details = refused("booking_closed", act).details
        assert (details["call"]["state"], details["closed_at"]) == ("connected", ride.messages.head("test").closed_at)
    refused("illegal_transition", lambda: ride.act("passenger", "reject", call))
    ride.queue("order", "test", 0, event="booking_closed", look=0)
    ride.passes(1)
    assert refused("booking_closed", late[1]).details["call"]["end_reason"] == "booking_closed"
    refused("illegal_transition", lambda: ride.act("driver", "end", call))


@pytest.mark.parametrize("talks", [True, False])
def test_closing_ends_a_live_call(ride: Ride, talks: bool) -> None:
    if talks:
        ride.talk()
    else:
        ride.ring()
    ride.queue("order", "test", 0, event="booking_closed", look=0)
    ride.passes(5.5)  # the close comes late
    assert ride.call.state != "ended"
    ride.close()
    ride.passes(2)
    ride.check_log("booking_closed")
    assert ride.history()[-1].message == ("Call ended, 0:07" if talks else "Missed call")
    ride.passes(60)
    assert ride.waiting == []


def test_the_timers_look_for_half_a_minute_for_a_close_that_never_comes(ride: Ride) -> None:
    ride.talk()
    ride.waiting.clear()
    ride.queue("order", "test", 0, event="booking_closed", look=0)
    ride.passes(29.5)
    assert ride.waiting
    ride.passes(5)
    assert ride.waiting == []
    ride.close()
    ride.passes(60)
    assert ride.call.state == "connected"


def test_closing_does_nothing_without_a_live_call(ride: Ride) -> None:
    ride.close()
    ride.queue("order", "test", 0, event="booking_closed", look=0)
    ride.passes(60)
    assert (ride.told, ride.waiting) == ([], [])


def test_a_timer_of_an_unknown_kind_fails(ride: Ride) -> None:
    for timer in ({}, {"kind": "tea"}, {"kind": "ring"}, {"kind": "left", "booking_code": "test", "call_id": "0" * 32}):
        refused("invalid_request", lambda timer=timer: ride.timing.on(timer, ride.deadline()))


# --- Faults and races -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "calls_read", "heads_read"),
    [
        ("none", 0, 0),
        ("the call has moved, and here is the head", 0, 0),
        ("the head has moved, and then the call", 0, 0),
        ("the call has moved", 0, 1),
        ("busy", 1, 1),
    ],
)
def test_after_a_lost_race_only_what_is_not_known_is_read_again(
    fault: str, calls_read: int, heads_read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`calls_read` and `heads_read`: how many reads more than without a fault."""
    ride = Ride()
    call, head = ride.talk(), ride.messages.head("test")
    ride.faulty.faults = {
        "none": list[Any](),
        "the call has moved, and here is the head": [VersionConflict(call, head)],
        "the head has moved, and then the call": [HeadMoved(head), VersionConflict(call)],
        "the call has moved": [VersionConflict(call)],
        "busy": [Contended()],
    }[fault]
    read = list[str]()
    latest, head_of = ride.faulty.latest, ride.messages.head
    monkeypatch.setattr(ride.faulty, "latest", lambda code: (read.append("call"), latest(code))[1])
    monkeypatch.setattr(ride.messages, "head", lambda code: (read.append("head"), head_of(code))[1])
    ride.act("passenger", "end", call)
    assert (read.count("call"), read.count("head")) == (1 + calls_read, 1 + heads_read)
    assert not ride.faulty.faults


@pytest.mark.parametrize("fault", [Contended(), HeadMoved(None)], ids=["conflict", "head moved"])
def test_a_lost_race_is_run_again(fault: Exception) -> None:
    ride = Ride()
    ride.calls.faults = [fault] * 3 if isinstance(fault, Contended) else []
    call = ride.ring()
    ride.calls.faults = [fault] * 3
    ride.act("driver", "end", call)
    ride.check_log("cancelled")
    assert [call.state for call, *_ in ride.told] == ["ringing", "ended"]


def test_each_try_of_an_end_gathers_the_connections_anew() -> None:
    ride, gathered = Ride(), list[tuple[str, int]]()
    call = ride.ring()
    ride.calls.faults = [Contended(), HeadMoved(None)]
    calling = replace(ride.calling, gather=lambda booking_code, now: gathered.append((booking_code, now)))
    calling.act("test", "driver", "phone", "end", call_id=call.call_id, deadline=ride.deadline())
    assert gathered == [("test", NOW)] * 3
    calling.act("test", "driver", "phone", "initiate", deadline=ride.deadline())
    assert gathered == [("test", NOW)] * 4


def test_a_signal_for_a_call_that_is_over_says_what_is_the_matter() -> None:
    ride = Ride()
    call = ride.talk()

    def signalled(call_id: str, iat: int | None = NO_TOKEN) -> Call:
        return ride.calling.signalled("test", call_id, "driver", iat, ride.deadline())

    assert signalled(call.call_id).state == "connected"
    refused("not_found", lambda: signalled("f" * 32))
    ride.act("driver", "end", call)
    refused("illegal_transition", lambda: signalled(call.call_id))
    ride.close()
    refused("booking_closed", lambda: signalled(call.call_id))
    order(ride, event="tokens_revoked", side="driver")
    refused("unauthorized", lambda: signalled(call.call_id, 0))


def test_a_live_call_is_not_reported_on_and_the_refusal_shows_it() -> None:
    ride = Ride()
    call = ride.talk()
    with pytest.raises(Refusal, match="has not ended") as refusal:
        ride.calling.ended("test", call.call_id, ride.deadline())
    assert refusal.value.details["call"]["call_id"] == call.call_id
    assert refusal.value.details["call"]["state"] == "connected"


def test_a_leaving_that_can_never_be_noted_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: Any) -> None:
        raise Contended

    ride = Ride()
    call = ride.talk()
    monkeypatch.setattr(ride.calls, "note_left", busy)
    timer = {"kind": "left", "booking_code": "test", "call_id": call.call_id, "side": "driver", "left_at": NOW}
    refused("unavailable", lambda: ride.timing.on(timer, time.monotonic() + 0.05))


def test_a_write_whose_answer_was_lost_is_found_by_the_retry() -> None:
    ride = Ride()
    for action, side, device in (("initiate", "driver", "d"), ("accept", "passenger", "p"), ("end", "driver", "d")):
        ride.calls.faults = [(unavailable("The database"), True)]
        act = partial(ride.act, side, action, ride.calls.latest("test"), device)
        refused("unavailable", act)
        ride.act(side, action, ride.call, device)
    ride.check_log("completed")


def test_a_race_that_is_never_won_is_unavailable_and_told_to_nobody() -> None:
    ride = Ride()
    ride.calls.faults = [Contended()] * 1_000
    refused("unavailable", lambda: ride.act("driver", "initiate", deadline=time.monotonic() + 0.05))
    assert ride.told == []


def _noted(reads: list[str], name: str, real: Callable[[str], Any], booking_code: str) -> Any:
    reads.append(name)
    return real(booking_code)


def test_a_message_between_decision_and_end_is_not_lost_and_not_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    ride = Ride()
    call = ride.ring()
    ride.calls.before_end = lambda: ride.say("meanwhile")
    reads: list[str] = []
    for store, name in ((ride.calls, "latest"), (ride.messages, "head")):
        monkeypatch.setattr(store, name, partial(_noted, reads, name, getattr(store, name)))
    ride.act("driver", "end", call)
    assert sorted(reads) == ["head", "head", "latest"], "one head for the message in between; none is read twice"
    assert [message.message for message in ride.history()] == ["meanwhile", "Missed call"]
    ride.check_log("cancelled")


def test_a_hang_up_that_meets_an_answer_is_decided_again() -> None:
    ride = Ride()
    call = ride.ring()
    ride.calls.before_end = lambda: ride.act("passenger", "accept", call, "tablet") and None
    ended = ride.act("driver", "end", call)
    assert (ended.end_reason, ended.version) == ("completed", 3)
    ride.check_log("completed")


def test_a_hang_up_that_meets_a_rejection_is_refused_with_it() -> None:
    ride = Ride()
    call = ride.ring()
    ride.calls.before_end = lambda: ride.act("passenger", "reject", call) and None
    refusal = refused("illegal_transition", lambda: ride.act("driver", "end", call))
    assert refusal.details["call"]["end_reason"] == "declined"
    ride.check_log("declined")


def in_parallel(acts: Iterable[Callable[[], Call]]) -> list[Call | Refusal]:
    def outcome(act: Callable[[], Call]) -> Call | Refusal:
        try:
            return act()
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(outcome, acts))


def test_everything_at_once_leaves_one_end_and_one_message() -> None:
    order = random.Random(20260301)
    for _ in range(50):
        ride = Ride()
        ringing = ride.ring()
        acts: list[Callable[[], Any]] = [
            lambda ride=ride, ringing=ringing: ride.act("passenger", "accept", ringing, "tablet"),
            lambda ride=ride, ringing=ringing: ride.act("passenger", "reject", ringing, "watch"),
            lambda ride=ride, ringing=ringing: ride.act("driver", "end", ringing),
            lambda ride=ride, ringing=ringing: ride.act("passenger", "end", ringing, "tablet"),
        ]
        order.shuffle(acts)
        in_parallel(acts)
        if ride.call.state != "ended":
            ride.act("driver", "end", ringing, "another")
        ride.check_log(ride.call.end_reason)


def test_timers_in_any_order_and_number_end_a_call_once() -> None:
    order = random.Random(7)
    for _ in range(40):
        ride = Ride()
        call = connected_over_sockets(ride)
        ride.goes("driver")
        ride.close()
        ride.queue("order", "test", 0, event="booking_closed", look=0)
        timers = [timer for _, _, timer in ride.waiting] * 5
        timers += [{"kind": "left", "booking_code": "test", "call_id": call.call_id, "side": "driver", "left_at": NOW}]
        order.shuffle(timers)
        ride.waiting.clear()
        for timer in timers:
            ride.passes(order.choice([0, 1, 31, 60]))
            ride.timing.on(timer, ride.deadline())
        ride.passes(600)
        assert ride.call.state == "ended"
        ride.check_log(ride.call.end_reason)


# --- The log ----------------------------------------------------------------------------------------------------------


def page(ride: Ride, **query: Any) -> tuple[list[str], str | None]:
    answer = ride.calling.log("test", LogQuery.parse(query), ride.deadline())
    return [call.call_id for call in answer["calls"]], answer["next_cursor"]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_the_log_is_paged_from_the_newest_on_with_the_live_call_first(live: bool, limit: int) -> None:
    ride = Ride()
    ids: list[str] = []
    for _ in range(6):
        call = ride.ring()
        ride.act("driver", "end", call)
        ids.append(call.call_id)
        ride.passes(1)
    if live:
        ids.append(ride.ring().call_id)
    found, cursor = page(ride, limit=limit)
    while cursor:
        more, cursor = page(ride, limit=limit, cursor=cursor)
        assert more
        found += more
    assert found == ids[::-1]


def test_the_log_shows_how_long_it_rings_and_ends_what_is_overdue() -> None:
    ride = Ride()
    ride.ring()
    ride.waiting.clear()
    ride.passes(5)
    assert ride.calling.log("test", LogQuery(), ride.deadline())["calls"][0].ring_ms_left == 40_000
    ride.passes(60)
    assert ride.calling.log("test", LogQuery(), ride.deadline())["calls"][0].end_reason == "no_answer"
    ride.check_log("no_answer")


def test_a_cursor_of_another_booking_is_refused() -> None:
    ride = Ride()
    for _ in range(3):
        ride.act("driver", "end", ride.ring())
    cursor = page(ride, limit=1)[1]
    refused("invalid_request", lambda: ride.calling.log("other", LogQuery(cursor=cursor), ride.deadline()))


def test_durations_are_written_as_people_read_them() -> None:
    assert [duration_text(seconds) for seconds in (0, 59, 60, 151, 3_599, 3_600, 14_400)] == [
        "0:00",
        "0:59",
        "1:00",
        "2:31",
        "59:59",
        "1:00:00",
        "4:00:00",
    ]


def test_a_repeat_a_minute_later_is_answered_and_told_to_nobody(ride: Ride) -> None:
    call = ride.talk()
    told = len(ride.told)
    ride.now += 60 * SECOND
    assert ride.act("passenger", "accept", call, "tablet") == call
    assert len(ride.told) == told + 1
    ride.now += SECOND
    assert ride.act("passenger", "accept", call, "tablet") == call
    assert len(ride.told) == told + 1


def test_a_side_begins_six_calls_a_minute_and_three_at_once_and_the_other_has_its_own(ride: Ride) -> None:
    ride.calling = replace(ride.calling, call_rate=RateLimit(6 / 60, 3, "calls"))
    for _ in range(3):
        ride.act("driver", "end", ride.ring())
    with pytest.raises(Refusal, match="Too many calls") as refused:
        ride.ring()
    assert (refused.value.code, refused.value.retry_after_ms) == ("rate_limited", 10_000)
    ride.act("passenger", "end", ride.ring("passenger"))
    ride.now += 10 * SECOND
    ride.act("driver", "end", ride.ring())
    with pytest.raises(Refusal, match="Too many calls"):
        ride.ring()


def test_repeats_and_answers_do_not_count_as_calls_but_their_broadcasts_are_limited(ride: Ride) -> None:
    ride.calling = replace(ride.calling, call_rate=RateLimit(6 / 60, 3, "calls"))
    ringing = [ride.ring(client_call_id="one") for _ in range(10)]
    assert {call.call_id for call in ringing} == {ringing[0].call_id}
    assert len(ride.told) == 4  # the call, and three repeats
    assert ride.ring("passenger").state == "connected"


def test_too_many_calls_in_a_closed_booking_get_booking_closed(ride: Ride) -> None:
    ride.calling = replace(ride.calling, call_rate=RateLimit(6 / 60, 1, "calls"))
    ride.act("driver", "end", ride.ring())
    ride.close()
    with pytest.raises(Refusal) as refused:
        ride.ring()
    assert refused.value.code == "booking_closed"


# --- Orders: a muted side, revoked tokens ----------------------------------------------------------------------------


def order(ride: Ride, **metadata: Any) -> None:
    ride.say(f"ordered at {ride.now}", message_type="system", metadata=metadata)


def test_a_muted_side_answers_calls_and_begins_none(ride: Ride) -> None:
    order(ride, event="side_muted", side="driver")
    refused("muted", ride.ring)
    ringing = ride.ring("passenger")
    refused("muted", lambda: ride.ring("driver"))  # although the other side rings, this is no answer
    assert ride.call.state == "ringing"
    ride.act("driver", "accept", ringing)
    refused("muted", lambda: ride.ring("driver"))
    ride.act("driver", "end", ringing)
    ride.check_log("completed")
    order(ride, event="side_unmuted", side="driver")
    assert ride.ring().state == "ringing"


def test_a_repeat_of_what_was_done_before_the_mute_is_answered(ride: Ride) -> None:
    ringing = ride.ring(client_call_id="c")
    order(ride, event="side_muted", side="driver")
    assert ride.ring(client_call_id="c").call_id == ringing.call_id


def test_a_revoked_token_does_nothing_to_a_call(ride: Ride) -> None:
    old = instants.to_seconds(ride.now) - 60
    ringing = ride.ring("driver")
    order(ride, event="tokens_revoked", side="passenger")
    for iat in (None, old, old + 65):
        for action in ("accept", "reject", "end", "initiate"):
            refused("unauthorized", lambda action=action, iat=iat: ride.act("passenger", action, ringing, iat=iat))  # type: ignore[misc]
    assert ride.call.state == "ringing"
    assert ride.act("passenger", "accept", ringing, iat=old + 66).state == "connected"
    refused("unauthorized", lambda: ride.act("passenger", "accept", ringing, iat=old))  # not even a repeat


@pytest.mark.parametrize("side", ["driver", "passenger"])
@pytest.mark.parametrize("talks", [True, False])
def test_revoking_a_sides_tokens_ends_its_call(ride: Ride, talks: bool, side: str) -> None:
    if talks:
        ride.talk()
    else:
        ride.ring()
    ride.queue("order", "test", 0, event="tokens_revoked", look=0)
    ride.passes(2)
    assert ride.call.state != "ended"
    order(ride, event="tokens_revoked", side=side)
    ride.passes(2)
    ride.check_log("revoked")
    ride.passes(60)
    assert ride.waiting == []


def test_a_revocation_ends_no_call_that_began_long_after_it(ride: Ride) -> None:
    order(ride, event="tokens_revoked", side="driver")
    ride.queue("order", "test", 0, event="tokens_revoked", look=0)
    ride.passes(10)
    ride.ring()
    ride.passes(30)
    assert ride.call.state == "ringing"


def test_the_revoked_connections_of_a_side_are_cut_and_no_others() -> None:
    ride = Ride()
    for name, side in (("old", "driver"), ("opening", "driver"), ("other", "passenger")):
        ride.comes(side, name)
    ride.not_open_yet = {"opening"}
    ride.queue("order", "test", 0, event="tokens_revoked", look=0)
    ride.passes(0.5)
    assert ride.cut == []
    assert [timer for *_, timer in ride.waiting] == [
        {"kind": "order", "booking_code": "test", "event": "tokens_revoked", "look": 1}
    ]
    order(ride, event="tokens_revoked", side="driver")
    ride.passes(0.6)
    assert sorted(ride.cut) == ["old", "opening"]
    assert sorted(ride.present) == ["old", "other"], "what is not open yet loses its row, the rest leaves by itself"
    ride.goes("driver", "old")
    ride.passes(8)
    ride.comes("driver", "new")
    ride.passes(60)
    assert sorted(ride.cut) == ["old", "opening"]


def test_what_was_closed_is_logged_and_where_nothing_is_revoked_nobody_is_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ride = Ride()
    ride.comes("driver", "old")
    looked: list[str] = []
    real = ride.of_booking
    ride.of_booking = lambda code, now: looked.append(code) or real(code, now)  # type: ignore[method-assign]
    said: list[Any] = []
    monkeypatch.setattr(timing.logger, "info", lambda _, *, extra: said.append(extra))
    timer = {"kind": "order", "booking_code": "test", "event": "tokens_revoked", "look": 5}
    ride.timing.on(timer, ride.deadline())
    assert (looked, said) == ([], [])
    order(ride, event="tokens_revoked", side="passenger")
    ride.timing.on(timer, ride.deadline())
    assert (looked, said) == (["test"], [])
    order(ride, event="tokens_revoked", side="driver")
    ride.timing.on(timer, ride.deadline())
    assert said == [{"closed": 1, "gone": 0}]


def test_if_a_look_fails_the_next_one_does_its_work() -> None:
    ride = Ride()
    ride.comes("driver", "old")
    order(ride, event="tokens_revoked", side="driver")
    real = ride.of_booking
    failing = [unavailable("The database")]

    def of_booking(booking_code: str, now: int) -> list[Connection]:
        if failing:
            raise failing.pop()
        return real(booking_code, now)

    ride.of_booking = of_booking  # type: ignore[method-assign]
    ride.queue("order", "test", 0, event="tokens_revoked", look=0)
    ride.passes(1.5)
    assert ride.cut == ["old"]


def test_the_last_look_after_an_order_comes_again_if_it_fails() -> None:
    ride = Ride()
    order(ride, event="tokens_revoked", side="driver")

    def of_booking(booking_code: str, now: int) -> list[Connection]:
        raise unavailable("The database")

    ride.of_booking = of_booking  # type: ignore[method-assign]
    timer = {"kind": "order", "booking_code": "test", "event": "tokens_revoked", "look": 5}
    with pytest.raises(Refusal, match="database"):
        ride.timing.on(timer, ride.deadline())


def test_no_timer_queues_itself_often_enough_to_look_like_a_loop() -> None:
    """Lambda's recursive loop detection stops a chain of about 16 invocations."""
    ride = Ride()
    hops: dict[str, int] = {}
    real = ride.queue

    def queue(kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        hops[kind] = hops.get(kind, 0) + 1
        real(kind, booking_code, delay_seconds, **fields)

    ride.queue = queue  # type: ignore[method-assign]
    ride.comes("driver")
    ride.comes("passenger")
    ride.queue("order", "test", 0, event="tokens_revoked", look=0)
    ringing = ride.ring()
    ride.goes("passenger")
    ride.passes(40)
    ride.act("passenger", "accept", ringing)
    ride.passes(200)
    assert {"order", "ring", "left"} <= hops.keys()
    assert max(hops.values()) < 16, hops
