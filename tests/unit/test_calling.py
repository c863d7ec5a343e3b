"""Calls on the tables in memory. The test moves the clock. Timers come when they are due, or several times."""

import itertools
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from make_call.calling import Acted, Calling, LogQuery, NewAct, duration_text
from make_call.timing import Timing
from navietakie.aws.tables.connections import Connection
from navietakie.aws.tables.dynamo import Contended
from navietakie.aws.tables.messages import HeadMoved
from navietakie.domain import instants
from navietakie.domain.call import Call
from navietakie.domain.conversation import append
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.message import Message, NewMessage
from navietakie.domain.orders import NO_TOKEN
from navietakie.domain.rate_limit import RateLimit
from navietakie.wire.connections_api import Outcome
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


class World:
    """A booking, its connections and a clock. `delivered` is how often each timer comes."""

    def __init__(self, delivered: int = 1) -> None:
        self.now = NOW
        self.messages = FakeMessages()
        self.calls = Faulty(self.messages)
        self.present: dict[str, Connection] = {}
        self.told: list[tuple[Call, Message | None, str | None, bool]] = []
        self.waiting: list[tuple[int, int, dict[str, Any]]] = []
        self.delivered = delivered
        self.timers_down = False
        self.cut: list[str] = []
        self.not_open_yet: set[str] = set()
        self._numbers = itertools.count(1)
        self.calling = Calling(
            calls=self.calls,
            history=self.messages,
            announcing=self,
            timers=lambda: self,
            clock=lambda: self.now,
            entropy=lambda: f"{next(self._numbers):018x}",
            ring_seconds=45,
            retention_days=90,
        )
        self.timing = Timing(self.calling, self, self)

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
        self.told.append((call, message, origin and origin.connection_id, repeat))
        other = call.callee if (by or call.act.by) == call.caller else call.caller
        return sum(1 for connection in self.present.values() if connection.sender == other)

    def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        if self.timers_down:
            raise unavailable("The timer queue")
        assert 0 <= delay_seconds <= 900
        timer = {"kind": kind, "booking_code": booking_code, **fields}
        due = self.now + delay_seconds * SECOND
        if not any((at, other) == (due, timer) for at, _, other in self.waiting):  # each timer once
            self.waiting.append((due, next(self._numbers), timer))

    def of_booking(self, booking_code: str, now: int) -> list[Connection]:
        return list(self.present.values())

    def remove_refused(self, connection_id: str) -> None:
        del self.present[connection_id]

    def close_all(self, connection_ids: Sequence[str]) -> list[Outcome]:
        self.cut += connection_ids
        return ["gone" if connection_id in self.not_open_yet else "delivered" for connection_id in connection_ids]

    def deadline(self) -> float:
        return time.monotonic() + 60

    def act(
        self,
        side: Any,
        action: Any,
        call: Call | None = None,
        device: str = "phone",
        client_call_id: str | None = None,
        **how: Any,
    ) -> Call:
        how = {"deadline": self.deadline(), **how}
        call_id = call.call_id if call else None
        return self.calling.act(
            "test", side, device, action, call_id=call_id, client_call_id=client_call_id, **how
        ).call

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

    def say(self, text: str, **fields: Any) -> None:
        head = self.messages.head("test")
        message, after = append(
            head,
            NewMessage(message=text, **fields),
            booking_code="test",
            sender="system",
            now=self.now,
            message_id=text,
            epoch="epoch",
            rate_limit=RateLimit(0, 1),
        )
        self.messages.store(message, before=head, after=after, expires_at=2**40, now=self.now, token=text)

    def close(self) -> None:
        self.say(f"closed at {self.now}", message_type="system", metadata={"event": "booking_closed"})

    @property
    def call(self) -> Call:
        call = self.calls.latest("test")
        assert call is not None
        return call

    def history(self) -> list[Message]:
        return self.messages.page("test", now=self.now, ascending=True, limit=100).messages

    def check_log(self, *reasons: str | None) -> None:
        """Checks that each call left one line in the log and one message, with these reasons from the oldest on."""
        log = self.calls.log("test", now=self.now, limit=100).calls[::-1]
        assert [call.end_reason for call in log] == list(reasons)
        messages = [message for message in self.history() if message.message_type == "call"]
        assert [(it.message_id, it.metadata) for it in messages] == [(it.call_id, it.model_dump()) for it in log]


@pytest.fixture(params=[1, 5], ids=["each timer once", "each timer five times"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def dies(*_: Any, **__: Any) -> int:
    raise SystemExit


def refused(code: str, act: Callable[[], Any]) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        act()
    assert refusal.value.code == code
    return refusal.value


# --- The whole story --------------------------------------------------------------------------------------------------


def test_a_call_rings_is_answered_and_ends_with_one_message(world: World) -> None:
    ringing = world.ring()
    assert (ringing.state, ringing.ring_ms_left) == ("ringing", 45_000)
    world.passes(7)
    connected = world.act("passenger", "accept", ringing, "tablet")
    assert (connected.state, connected.answered_by) == ("connected", "tablet")
    world.passes(151)
    ended = world.act("driver", "end", ringing)
    assert (ended.end_reason, ended.duration_seconds) == ("completed", 151)
    world.passes(300)
    world.check_log("completed")
    (message,) = world.history()
    assert (message.sender, message.message, message.seq) == ("system", "Call ended, 2:31", 1)
    assert [(call.state, message and message.seq, repeat) for call, message, _, repeat in world.told] == [
        ("ringing", None, False),
        ("connected", None, False),
        ("ended", 1, False),
    ]


@pytest.mark.parametrize(
    ("side", "action", "reason", "text"),
    [("passenger", "reject", "declined", "Call declined"), ("driver", "end", "cancelled", "Missed call")],
)
def test_a_call_that_is_not_answered_is_in_the_history_too(side: str, action: str, reason: str, text: str) -> None:
    world = World()
    world.act(side, action, world.ring())
    world.check_log(reason)
    assert [message.message for message in world.history()] == [text]


def test_the_message_of_a_call_comes_after_earlier_messages(world: World) -> None:
    world.say("Hello")
    world.act("driver", "end", world.ring())
    assert [message.seq for message in world.history()] == [1, 2]
    world.say("Bye")
    assert [message.message for message in world.history()] == ["Hello", "Missed call", "Bye"]


def test_two_sides_that_call_each_other_are_connected(world: World) -> None:
    ringing = world.ring("driver")
    connected = world.ring("passenger", "tablet")
    assert (connected.call_id, connected.state, connected.answered_by) == (ringing.call_id, "connected", "tablet")
    assert connected.caller == "driver"


def test_a_second_call_is_refused_while_the_first_is_connected(world: World) -> None:
    call = world.talk()
    refusal = refused("call_in_progress", lambda: world.ring("passenger"))
    assert refusal.details["call"]["call_id"] == call.call_id


def test_a_new_call_may_follow_an_ended_one(world: World) -> None:
    for side in ("driver", "passenger"):
        world.passes(1)
        world.act(side, "end", world.ring(side))
    world.passes(300)
    world.check_log("cancelled", "cancelled")


def test_two_calls_in_the_same_microsecond_both_stay_in_the_log(world: World) -> None:
    for _ in range(3):
        world.act("driver", "end", world.ring())
    world.check_log("cancelled", "cancelled", "cancelled")


# --- Repeats and strangers --------------------------------------------------------------------------------------------


def test_every_action_may_be_repeated_by_the_same_device(world: World) -> None:
    ringing = world.ring()
    assert world.ring() == ringing
    connected = world.act("passenger", "accept", ringing, "tablet")
    assert world.act("passenger", "accept", ringing, "tablet") == connected
    ended = world.act("passenger", "end", ringing, "tablet")
    assert world.act("passenger", "end", ringing, "tablet") == ended
    world.check_log("completed")


def test_a_repeat_is_told_again_with_the_message_that_the_call_left(world: World) -> None:
    call = world.ring()
    world.act("passenger", "reject", call)
    world.act("passenger", "reject", call)
    (first, message, _, was_repeat), (again, same_message, _, is_repeat) = world.told[-2:]
    assert (first, message, was_repeat, is_repeat) == (again, same_message, False, True)
    assert message is not None


def test_an_initiate_repeated_under_its_name_begins_no_second_call(world: World) -> None:
    ringing = world.ring(client_call_id="first")
    assert world.ring(client_call_id="first") == ringing
    connected = world.act("passenger", "accept", ringing, "tablet")
    assert world.ring(client_call_id="first") == connected
    ended = world.act("passenger", "end", ringing, "tablet")
    world.passes(10)
    assert world.ring(client_call_id="first") == ended
    world.check_log("completed")
    another = world.ring(client_call_id="second")
    assert (another.state, another.call_id != ended.call_id) == ("ringing", True)


def test_after_two_crossing_calls_both_initiates_may_be_repeated(world: World) -> None:
    world.ring("driver", client_call_id="one")
    connected = world.ring("passenger", "tablet", "two")
    ended = world.act("driver", "end", connected)
    assert world.ring("passenger", "tablet", "two") == world.ring("driver", client_call_id="one") == ended
    world.check_log("completed")


def test_a_client_call_id_of_the_other_side_is_no_repeat(world: World) -> None:
    first = world.ring("driver", client_call_id="same")
    world.act("passenger", "reject", first)
    assert world.ring("passenger", client_call_id="same").call_id != first.call_id


def test_a_repeat_counts_the_other_side_whoever_made_the_change(world: World) -> None:
    world.comes("passenger")

    def initiate() -> Acted:
        return world.calling.act(
            "test", "driver", "phone", "initiate", client_call_id="first", deadline=world.deadline()
        )

    first = initiate()
    world.act("passenger", "accept", first.call, "tablet")
    assert (first.reached, initiate().reached) == (1, 1)


def test_a_second_device_comes_too_late(world: World) -> None:
    ringing = world.ring()
    world.act("passenger", "accept", ringing, "tablet")
    refusal = refused("illegal_transition", lambda: world.act("passenger", "accept", ringing, "watch"))
    assert (refusal.details["call"]["answered_by"], refusal.details["call"]["version"]) == ("tablet", 2)


def test_a_second_device_of_the_caller_does_not_ring_again(world: World) -> None:
    world.ring()
    assert refused("illegal_transition", lambda: world.ring(device="tablet")).details["call"]["state"] == "ringing"


def test_an_unknown_call_is_not_found(world: World) -> None:
    world.ring()
    stranger = world.call.model_copy(update={"call_id": "0" * 32})
    refused("not_found", lambda: world.act("passenger", "accept", stranger))
    refused("not_found", lambda: World().act("passenger", "accept", stranger))


def test_an_older_call_is_refused_as_it_ended(world: World) -> None:
    old = world.ring()
    world.act("driver", "end", old)
    world.passes(1)
    world.ring()
    refusal = refused("illegal_transition", lambda: world.act("driver", "end", old))
    assert (refusal.details["call"]["call_id"], refusal.details["call"]["end_reason"]) == (old.call_id, "cancelled")


def test_an_action_names_its_call() -> None:
    assert refused("invalid_request", lambda: NewAct.parse({"action": "accept"})).details == {"field": "call_id"}
    for bad in ("", "x", "A" * 32, "0" * 31, "0" * 33, "0" * 31 + "\n", "../" * 10):
        refusal = refused("invalid_request", lambda bad=bad: NewAct.parse({"action": "accept", "call_id": bad}))
        assert refusal.details == {"field": "call_id"}


# --- Deadlines --------------------------------------------------------------------------------------------------------


def test_an_unanswered_call_ends_two_seconds_after_its_ring_without_anybody_asking(world: World) -> None:
    ringing = world.ring()
    world.passes(46.9)
    assert world.call.state == "ringing"
    world.passes(0.2)
    assert (world.call.state, world.call.end_reason, world.call.ended_at) == ("ended", "no_answer", ringing.rings_until)
    world.check_log("no_answer")
    assert [call.state for call, *_ in world.told] == ["ringing", "ended"]
    assert [message.message for message in world.history()] == ["Missed call"]


def test_an_accept_in_the_last_moment_counts(world: World) -> None:
    ringing = world.ring()
    world.passes(46.9)
    assert world.act("passenger", "accept", ringing).state == "connected"
    world.passes(300)
    assert world.call.state == "connected"


@pytest.mark.parametrize("late", [2, 5, 3_600])
def test_if_a_timer_is_lost_the_next_look_ends_the_call(late: int) -> None:
    world = World()
    ringing = world.ring()
    world.waiting.clear()
    world.passes(45 + late)
    refusal = refused("illegal_transition", lambda: world.act("passenger", "accept", ringing))
    assert refusal.details["call"]["end_reason"] == "no_answer"
    world.check_log("no_answer")


def test_the_answer_to_an_initiate_never_guesses_how_the_call_ended(world: World) -> None:
    def slow(call: Call, now: int, *_: Any, **__: Any) -> int:
        world.now += 60 * SECOND  # meanwhile the other side may have declined
        return 1

    world.tell = slow
    call = world.ring()
    assert (call.state, call.version, call.ring_ms_left) == ("ringing", 1, 0)


def test_a_lost_timer_does_not_keep_the_next_call_from_ringing() -> None:
    world = World()
    world.ring()
    world.waiting.clear()
    world.passes(50)
    assert world.ring("passenger").state == "ringing"
    assert [call.state for call, *_ in world.told] == ["ringing", "ended", "ringing"]
    world.check_log("no_answer")


def test_an_early_timer_queues_the_rest(world: World) -> None:
    call = world.ring()
    world.waiting.clear()
    world.passes(10)
    world.timing.on({"kind": "ring", "booking_code": "test", "call_id": call.call_id}, world.deadline())
    assert world.call.state == "ringing"
    world.passes(36.9)
    assert world.call.state == "ringing"
    world.passes(0.2)
    world.check_log("no_answer")


def test_a_repeated_timer_broadcasts_the_end_again() -> None:
    world = World()
    call = world.ring()
    world.now += 60 * SECOND
    timer = {"kind": "ring", "booking_code": "test", "call_id": call.call_id}
    world.tell, telling = dies, world.tell
    with pytest.raises(SystemExit):
        world.timing.on(timer, world.deadline())
    world.tell = telling
    world.timing.on(timer, world.deadline(), again=True)
    assert [(call.state, message and message.message, repeat) for call, message, _, repeat in world.told] == [
        ("ringing", None, False),
        ("ended", "Missed call", True),
    ]
    world.check_log("no_answer")


def test_a_repeated_timer_does_not_broadcast_an_end_that_a_side_caused() -> None:
    world = World()
    call = world.ring()
    world.act("passenger", "reject", call)
    timer = {"kind": "ring", "booking_code": "test", "call_id": call.call_id}
    world.timing.on(timer, world.deadline(), again=True)
    assert [repeat for *_, repeat in world.told] == [False, False]


def test_a_leaving_that_meets_another_transaction_is_kept_all_the_same() -> None:
    world = World()
    call = world.talk()
    world.comes("driver")
    note_left, turned_away = world.calls.note_left, [Contended(), Contended()]

    def busy(*what: Any) -> Call | None:
        if turned_away:
            raise turned_away.pop()
        return note_left(*what)

    world.calls.note_left = busy
    timer = {"kind": "left", "booking_code": "test", "call_id": call.call_id, "side": "driver", "left_at": world.now}
    world.timing.on(timer, world.deadline())
    assert world.calls.leavings == {(call.call_id, "driver"): NOW}
    assert [timer["kind"] for _, _, timer in world.waiting] == ["ring", "left"]


def test_the_timer_of_another_call_does_nothing(world: World) -> None:
    world.act("driver", "end", world.ring())
    world.passes(40)
    second = world.ring()
    world.passes(10)
    assert world.call == second.model_copy(update={"ring_ms_left": None})


def test_a_timer_without_its_call_does_nothing(world: World) -> None:
    world.timing.on({"kind": "ring", "booking_code": "test", "call_id": "0" * 32}, world.deadline())
    assert (world.calls.latest("test"), world.waiting, world.told) == (None, [], [])


def test_without_a_timer_no_call_rings() -> None:
    world = World()
    world.timers_down = True
    refused("unavailable", world.ring)
    assert (world.calls.latest("test"), world.told) == (None, [])


def test_four_hours_of_talk_end_with_whoever_looks_next(world: World) -> None:
    world.talk()
    world.passes(4 * 3600 - 1)
    assert world.calling.latest("test", world.deadline()) == world.call
    assert world.call.state == "connected"
    world.passes(2)
    looked = world.calling.latest("test", world.deadline())
    assert looked is not None
    assert (looked.end_reason, looked.duration_seconds) == ("max_duration", 4 * 3600)
    assert world.history()[0].message == "Call ended, 4:00:00"
    world.check_log("max_duration")


# --- A lost side ------------------------------------------------------------------------------------------------------


def connected_over_sockets(world: World) -> Call:
    world.comes("driver")
    world.comes("passenger")
    return world.talk()


def test_a_side_that_stays_away_for_thirty_seconds_ends_the_call(world: World) -> None:
    connected_over_sockets(world)
    world.passes(60)
    world.goes("driver")
    world.passes(29.9)
    assert world.call.state == "connected"
    world.passes(0.2)
    world.check_log("connection_lost")


def test_the_duration_counts_only_the_time_until_a_side_left(world: World) -> None:
    connected_over_sockets(world)
    world.passes(2)
    world.goes("driver")
    left = world.now
    world.passes(60)
    assert (world.call.duration_seconds, world.call.ended_at) == (2, instants.to_text(left))
    assert [message.message for message in world.history()] == ["Call ended, 0:02"]


def test_if_both_sides_left_the_first_leaving_ended_the_talk(world: World) -> None:
    connected_over_sockets(world)
    world.passes(5)
    world.goes("passenger")
    world.passes(6)
    world.comes("passenger")
    world.passes(1)
    world.goes("driver")
    world.passes(4)
    world.goes("passenger")
    world.passes(60)
    world.check_log("connection_lost")
    assert world.call.duration_seconds == 12


def test_a_side_that_is_back_did_not_end_the_talk(world: World) -> None:
    connected_over_sockets(world)
    world.passes(5)
    world.goes("passenger")
    world.passes(6)
    world.goes("driver")
    world.comes("passenger")
    world.passes(60)
    assert (world.call.end_reason, world.call.duration_seconds) == ("connection_lost", 11)


def test_a_caller_who_vanished_while_it_rang_leaves_no_talk(world: World) -> None:
    world.comes("driver")
    ringing = world.ring()
    world.passes(3)
    world.goes("driver")
    world.passes(5)
    world.act("passenger", "accept", ringing, "tablet")
    world.passes(60)
    assert (world.call.end_reason, world.call.duration_seconds) == ("connection_lost", 0)
    assert world.call.ended_at == world.call.answered_at
    assert [message.message for message in world.history()] == ["Call ended, 0:00"]


def test_a_side_that_comes_back_goes_on_talking(world: World) -> None:
    connected_over_sockets(world)
    world.goes("driver")
    world.passes(29)
    world.comes("driver")
    world.passes(600)
    assert world.call.state == "connected"


def test_a_side_that_comes_back_leaves_again_and_comes_back_goes_on_talking(world: World) -> None:
    connected_over_sockets(world)
    world.goes("driver")
    world.passes(10)
    world.comes("driver")
    world.passes(15)
    world.goes("driver")
    world.passes(10)  # 35 s after the first leaving the side is away, but only for 10 s
    assert world.call.state == "connected"
    world.comes("driver")
    world.passes(600)
    assert world.call.state == "connected"


def test_the_last_leaving_counts(world: World) -> None:
    connected_over_sockets(world)
    world.goes("driver")
    world.passes(10)
    world.comes("driver")
    world.passes(15)
    world.goes("driver")
    world.passes(29.9)
    assert world.call.state == "connected"
    world.passes(0.2)
    world.check_log("connection_lost")


def test_an_old_leaving_that_arrives_late_does_not_end_the_call(world: World) -> None:
    call = connected_over_sockets(world)
    world.passes(60)
    world.goes("driver")
    world.passes(1)
    old = {"kind": "left", "booking_code": "test", "call_id": call.call_id, "side": "driver", "left_at": NOW}
    world.timing.on(old, world.deadline())
    assert world.call.state == "connected"


def test_another_connection_of_the_side_keeps_the_call(world: World) -> None:
    connected_over_sockets(world)
    world.comes("driver", "driver-2")
    world.goes("driver")
    world.passes(300)
    assert world.call.state == "connected"
    world.goes("driver", "driver-2")
    world.passes(31)
    world.check_log("connection_lost")


def test_a_side_that_never_had_a_connection_is_never_lost(world: World) -> None:
    world.comes("driver")
    world.talk()
    world.passes(3 * 3600)
    assert world.call.state == "connected"


def test_who_leaves_while_it_rings_has_thirty_seconds_from_the_answer(world: World) -> None:
    world.comes("driver")
    world.comes("passenger")
    ringing = world.ring()
    world.passes(3)
    world.goes("driver")
    world.passes(37)
    world.act("passenger", "accept", ringing, "tablet")
    world.passes(29.9)
    assert world.call.state == "connected"
    world.passes(0.2)
    world.check_log("connection_lost")


def test_who_leaves_while_it_rings_and_comes_back_talks(world: World) -> None:
    world.comes("driver")
    ringing = world.ring()
    world.passes(3)
    world.goes("driver")
    world.passes(20)
    world.act("passenger", "accept", ringing, "tablet")
    world.passes(20)
    world.comes("driver")
    world.passes(300)
    assert world.call.state == "connected"


def test_a_leaving_ends_no_other_call(world: World) -> None:
    connected_over_sockets(world)
    world.goes("driver")
    world.passes(1)
    world.act("passenger", "end", world.call)
    world.passes(1)
    world.talk()
    world.passes(300)
    assert world.call.state == "connected"


def test_a_leaving_from_a_clock_that_runs_ahead_counts_from_now() -> None:
    world = World()
    call = connected_over_sockets(world)
    world.goes("driver", told=False)
    world.queue("left", "test", 0, call_id=call.call_id, side="driver", left_at=world.now + 600 * SECOND)
    world.passes(31)
    world.check_log("connection_lost")


# --- A closed booking -------------------------------------------------------------------------------------------------


def test_no_call_begins_or_is_accepted_in_a_closed_booking(world: World) -> None:
    ringing = world.ring()
    world.close()
    for act in (lambda: world.act("passenger", "accept", ringing), lambda: world.ring("passenger")):
        refused("booking_closed", act)
    world.act("driver", "end", ringing)
    refused("booking_closed", world.ring)
    world.check_log("cancelled")


def test_a_call_or_an_accept_in_a_closed_booking_gets_booking_closed_whatever_else_is_wrong() -> None:
    world = World()
    call = world.talk()
    world.close()
    late = (lambda: world.ring("passenger"), lambda: world.act("passenger", "accept", call, "watch"))
    for act in late:
        details = refused("booking_closed", act).details
        assert (details["call"]["state"], details["closed_at"]) == ("connected", world.messages.head("test").closed_at)
    refused("illegal_transition", lambda: world.act("passenger", "reject", call))
    world.queue("order", "test", 0, event="booking_closed", look=0)
    world.passes(1)
    assert refused("booking_closed", late[1]).details["call"]["end_reason"] == "booking_closed"
    refused("illegal_transition", lambda: world.act("driver", "end", call))


@pytest.mark.parametrize("talks", [True, False])
def test_closing_ends_a_live_call(world: World, talks: bool) -> None:
    if talks:
        world.talk()
    else:
        world.ring()
    world.queue("order", "test", 0, event="booking_closed", look=0)
    world.passes(5.5)  # the close comes late
    assert world.call.state != "ended"
    world.close()
    world.passes(2)
    world.check_log("booking_closed")
    assert world.history()[-1].message == ("Call ended, 0:07" if talks else "Missed call")
    world.passes(60)
    assert world.waiting == []


def test_the_timers_look_for_half_a_minute_for_a_close_that_never_comes(world: World) -> None:
    world.talk()
    world.waiting.clear()
    world.queue("order", "test", 0, event="booking_closed", look=0)
    world.passes(29.5)
    assert world.waiting
    world.passes(5)
    assert world.waiting == []
    world.close()
    world.passes(60)
    assert world.call.state == "connected"


def test_closing_does_nothing_without_a_live_call(world: World) -> None:
    world.close()
    world.queue("order", "test", 0, event="booking_closed", look=0)
    world.passes(60)
    assert (world.told, world.waiting) == ([], [])


def test_a_timer_of_an_unknown_kind_fails(world: World) -> None:
    for timer in ({}, {"kind": "tea"}, {"kind": "ring"}, {"kind": "left", "booking_code": "test", "call_id": "0" * 32}):
        refused("invalid_request", lambda timer=timer: world.timing.on(timer, world.deadline()))


# --- Faults and races -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Contended(), HeadMoved(None)], ids=["conflict", "head moved"])
def test_a_lost_race_is_run_again(fault: Exception) -> None:
    world = World()
    world.calls.faults = [fault] * 3 if isinstance(fault, Contended) else []
    call = world.ring()
    world.calls.faults = [fault] * 3
    world.act("driver", "end", call)
    world.check_log("cancelled")
    assert [call.state for call, *_ in world.told] == ["ringing", "ended"]


def test_a_write_whose_answer_was_lost_is_found_by_the_retry() -> None:
    world = World()
    for action, side, device in (("initiate", "driver", "d"), ("accept", "passenger", "p"), ("end", "driver", "d")):
        world.calls.faults = [(unavailable("The database"), True)]
        act = partial(world.act, side, action, world.calls.latest("test"), device)
        refused("unavailable", act)
        world.act(side, action, world.call, device)
    world.check_log("completed")


def test_a_race_that_is_never_won_is_unavailable_and_told_to_nobody() -> None:
    world = World()
    world.calls.faults = [Contended()] * 1_000
    refused("unavailable", lambda: world.act("driver", "initiate", deadline=time.monotonic() + 0.05))
    assert world.told == []


def _noted(reads: list[str], name: str, real: Callable[[str], Any], booking_code: str) -> Any:
    reads.append(name)
    return real(booking_code)


def test_a_message_between_decision_and_end_is_not_lost_and_not_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    call = world.ring()
    world.calls.before_end = lambda: world.say("meanwhile")
    reads: list[str] = []
    for store, name in ((world.calls, "latest"), (world.messages, "head")):
        monkeypatch.setattr(store, name, partial(_noted, reads, name, getattr(store, name)))
    world.act("driver", "end", call)
    assert sorted(reads) == ["head", "head", "latest"], "one head for the message in between; none is read twice"
    assert [message.message for message in world.history()] == ["meanwhile", "Missed call"]
    world.check_log("cancelled")


def test_a_hang_up_that_meets_an_answer_is_decided_again() -> None:
    world = World()
    call = world.ring()
    world.calls.before_end = lambda: world.act("passenger", "accept", call, "tablet") and None
    ended = world.act("driver", "end", call)
    assert (ended.end_reason, ended.version) == ("completed", 3)
    world.check_log("completed")


def test_a_hang_up_that_meets_a_rejection_is_refused_with_it() -> None:
    world = World()
    call = world.ring()
    world.calls.before_end = lambda: world.act("passenger", "reject", call) and None
    refusal = refused("illegal_transition", lambda: world.act("driver", "end", call))
    assert refusal.details["call"]["end_reason"] == "declined"
    world.check_log("declined")


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
        world = World()
        ringing = world.ring()
        acts: list[Callable[[], Any]] = [
            lambda world=world, ringing=ringing: world.act("passenger", "accept", ringing, "tablet"),
            lambda world=world, ringing=ringing: world.act("passenger", "reject", ringing, "watch"),
            lambda world=world, ringing=ringing: world.act("driver", "end", ringing),
            lambda world=world, ringing=ringing: world.act("passenger", "end", ringing, "tablet"),
        ]
        order.shuffle(acts)
        in_parallel(acts)
        if world.call.state != "ended":
            world.act("driver", "end", ringing, "another")
        world.check_log(world.call.end_reason)


def test_timers_in_any_order_and_number_end_a_call_once() -> None:
    order = random.Random(7)
    for _ in range(40):
        world = World()
        call = connected_over_sockets(world)
        world.goes("driver")
        world.close()
        world.queue("order", "test", 0, event="booking_closed", look=0)
        timers = [timer for _, _, timer in world.waiting] * 5
        timers += [{"kind": "left", "booking_code": "test", "call_id": call.call_id, "side": "driver", "left_at": NOW}]
        order.shuffle(timers)
        world.waiting.clear()
        for timer in timers:
            world.passes(order.choice([0, 1, 31, 60]))
            world.timing.on(timer, world.deadline())
        world.passes(600)
        assert world.call.state == "ended"
        world.check_log(world.call.end_reason)


# --- The log ----------------------------------------------------------------------------------------------------------


def page(world: World, **query: Any) -> tuple[list[str], str | None]:
    answer = world.calling.log("test", LogQuery.parse(query), world.deadline())
    return [call.call_id for call in answer["calls"]], answer["next_cursor"]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_the_log_is_paged_from_the_newest_on_with_the_live_call_first(live: bool, limit: int) -> None:
    world = World()
    ids: list[str] = []
    for _ in range(6):
        call = world.ring()
        world.act("driver", "end", call)
        ids.append(call.call_id)
        world.passes(1)
    if live:
        ids.append(world.ring().call_id)
    found, cursor = page(world, limit=limit)
    while cursor:
        more, cursor = page(world, limit=limit, cursor=cursor)
        assert more
        found += more
    assert found == ids[::-1]


def test_the_log_shows_how_long_it_rings_and_ends_what_is_overdue() -> None:
    world = World()
    world.ring()
    world.waiting.clear()
    world.passes(5)
    assert world.calling.log("test", LogQuery(), world.deadline())["calls"][0].ring_ms_left == 40_000
    world.passes(60)
    assert world.calling.log("test", LogQuery(), world.deadline())["calls"][0].end_reason == "no_answer"
    world.check_log("no_answer")


def test_a_cursor_of_another_booking_is_refused() -> None:
    world = World()
    for _ in range(3):
        world.act("driver", "end", world.ring())
    cursor = page(world, limit=1)[1]
    refused("invalid_request", lambda: world.calling.log("other", LogQuery(cursor=cursor), world.deadline()))


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


def test_a_repeat_a_minute_later_is_answered_and_told_to_nobody(world: World) -> None:
    call = world.talk()
    told = len(world.told)
    world.now += 60 * SECOND
    assert world.act("passenger", "accept", call, "tablet") == call
    assert len(world.told) == told + 1
    world.now += SECOND
    assert world.act("passenger", "accept", call, "tablet") == call
    assert len(world.told) == told + 1


def test_a_side_begins_six_calls_a_minute_and_three_at_once_and_the_other_has_its_own(world: World) -> None:
    world.calling = replace(world.calling, call_rate=RateLimit(6 / 60, 3, "calls"))
    for _ in range(3):
        world.act("driver", "end", world.ring())
    with pytest.raises(Refusal, match="Too many calls") as refused:
        world.ring()
    assert (refused.value.code, refused.value.retry_after_ms) == ("rate_limited", 10_000)
    world.act("passenger", "end", world.ring("passenger"))
    world.now += 10 * SECOND
    world.act("driver", "end", world.ring())
    with pytest.raises(Refusal, match="Too many calls"):
        world.ring()


def test_repeats_and_answers_do_not_count_as_calls_but_their_broadcasts_are_limited(world: World) -> None:
    world.calling = replace(world.calling, call_rate=RateLimit(6 / 60, 3, "calls"))
    ringing = [world.ring(client_call_id="one") for _ in range(10)]
    assert {call.call_id for call in ringing} == {ringing[0].call_id}
    assert len(world.told) == 4  # the call, and three repeats
    assert world.ring("passenger").state == "connected"


def test_too_many_calls_in_a_closed_booking_get_booking_closed(world: World) -> None:
    world.calling = replace(world.calling, call_rate=RateLimit(6 / 60, 1, "calls"))
    world.act("driver", "end", world.ring())
    world.close()
    with pytest.raises(Refusal) as refused:
        world.ring()
    assert refused.value.code == "booking_closed"


# --- Orders: a muted side, revoked tokens ----------------------------------------------------------------------------


def order(world: World, **metadata: Any) -> None:
    world.say(f"ordered at {world.now}", message_type="system", metadata=metadata)


def test_a_muted_side_answers_calls_and_begins_none(world: World) -> None:
    order(world, event="side_muted", side="driver")
    refused("muted", world.ring)
    ringing = world.ring("passenger")
    refused("muted", lambda: world.ring("driver"))  # although the other side rings, this is no answer
    assert world.call.state == "ringing"
    world.act("driver", "accept", ringing)
    refused("muted", lambda: world.ring("driver"))
    world.act("driver", "end", ringing)
    world.check_log("completed")
    order(world, event="side_unmuted", side="driver")
    assert world.ring().state == "ringing"


def test_a_repeat_of_what_was_done_before_the_mute_is_answered(world: World) -> None:
    ringing = world.ring(client_call_id="c")
    order(world, event="side_muted", side="driver")
    assert world.ring(client_call_id="c").call_id == ringing.call_id


def test_a_revoked_token_does_nothing_to_a_call(world: World) -> None:
    old = instants.to_seconds(world.now) - 60
    ringing = world.ring("driver")
    order(world, event="tokens_revoked", side="passenger")
    for iat in (None, old, old + 65):
        for action in ("accept", "reject", "end", "initiate"):
            refused("unauthorized", lambda action=action, iat=iat: world.act("passenger", action, ringing, iat=iat))  # type: ignore[misc]
    assert world.call.state == "ringing"
    assert world.act("passenger", "accept", ringing, iat=old + 66).state == "connected"
    refused("unauthorized", lambda: world.act("passenger", "accept", ringing, iat=old))  # not even a repeat


@pytest.mark.parametrize("side", ["driver", "passenger"])
@pytest.mark.parametrize("talks", [True, False])
def test_revoking_a_sides_tokens_ends_its_call(world: World, talks: bool, side: str) -> None:
    if talks:
        world.talk()
    else:
        world.ring()
    world.queue("order", "test", 0, event="tokens_revoked", look=0)
    world.passes(2)
    assert world.call.state != "ended"
    order(world, event="tokens_revoked", side=side)
    world.passes(2)
    world.check_log("revoked")
    world.passes(60)
    assert world.waiting == []


def test_a_revocation_ends_no_call_that_began_long_after_it(world: World) -> None:
    order(world, event="tokens_revoked", side="driver")
    world.queue("order", "test", 0, event="tokens_revoked", look=0)
    world.passes(10)
    world.ring()
    world.passes(30)
    assert world.call.state == "ringing"


def test_the_revoked_connections_of_a_side_are_cut_and_no_others() -> None:
    world = World()
    for name, side in (("old", "driver"), ("opening", "driver"), ("other", "passenger")):
        world.comes(side, name)
    world.not_open_yet = {"opening"}
    world.queue("order", "test", 0, event="tokens_revoked", look=0)
    world.passes(0.5)
    assert world.cut == []
    order(world, event="tokens_revoked", side="driver")
    world.passes(0.6)
    assert sorted(world.cut) == ["old", "opening"]
    assert sorted(world.present) == ["old", "other"], "what is not open yet loses its row, the rest leaves by itself"
    world.goes("driver", "old")
    world.passes(8)
    world.comes("driver", "new")
    world.passes(60)
    assert sorted(world.cut) == ["old", "opening"]


def test_if_a_look_fails_the_next_one_does_its_work() -> None:
    world = World()
    world.comes("driver", "old")
    order(world, event="tokens_revoked", side="driver")
    real = world.of_booking
    failing = [unavailable("The database")]

    def of_booking(booking_code: str, now: int) -> list[Connection]:
        if failing:
            raise failing.pop()
        return real(booking_code, now)

    world.of_booking = of_booking  # type: ignore[method-assign]
    world.queue("order", "test", 0, event="tokens_revoked", look=0)
    world.passes(1.5)
    assert world.cut == ["old"]


def test_the_last_look_after_an_order_comes_again_if_it_fails() -> None:
    world = World()
    order(world, event="tokens_revoked", side="driver")

    def of_booking(booking_code: str, now: int) -> list[Connection]:
        raise unavailable("The database")

    world.of_booking = of_booking  # type: ignore[method-assign]
    timer = {"kind": "order", "booking_code": "test", "event": "tokens_revoked", "look": 5}
    with pytest.raises(Refusal, match="database"):
        world.timing.on(timer, world.deadline())


def test_no_timer_queues_itself_often_enough_to_look_like_a_loop() -> None:
    """Lambda's recursive loop detection stops a chain of about 16 invocations."""
    world = World()
    hops: dict[str, int] = {}
    real = world.queue

    def queue(kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        hops[kind] = hops.get(kind, 0) + 1
        real(kind, booking_code, delay_seconds, **fields)

    world.queue = queue  # type: ignore[method-assign]
    world.comes("driver")
    world.comes("passenger")
    world.queue("order", "test", 0, event="tokens_revoked", look=0)
    ringing = world.ring()
    world.goes("passenger")
    world.passes(40)
    world.act("passenger", "accept", ringing)
    world.passes(200)
    assert {"order", "ring", "left"} <= hops.keys()
    assert max(hops.values()) < 16, hops
