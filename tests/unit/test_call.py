"""The table of calls: every pair of state and event, then random histories against a model without a table."""

import itertools
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from navietakie.domain import instants
from navietakie.domain.call import (
    GRACE,
    LONGEST,
    TABLE,
    Act,
    Call,
    CallEvent,
    EndReason,
    Part,
    State,
    as_seen,
    begun,
    due_at,
    moved,
    started_at,
    timed_out,
)
from navietakie.domain.errors import Refusal

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
SECOND = instants.SECOND


def ring(latest: Call | None = None, caller: Any = "driver", now: int = NOW, seconds: int = 45) -> Call:
    return begun(latest, caller, "phone", booking_code="test", now=now, ring_seconds=seconds, entropy="a" * 18)


def in_state(state: State) -> Call:
    call = ring()
    if state == "connected":
        return moved(call, Act("accept", "passenger", "tablet"), NOW + SECOND)
    if state == "ended":
        return moved(call, Act("reject", "passenger", "tablet"), NOW + SECOND)
    return call


def act_of(event: CallEvent, part: Part, device: str = "another") -> Act:
    side: Any = {"caller": "driver", "callee": "passenger", "server": None}[part]
    return Act(event, side, device if side else None)


PAIRS = [
    *itertools.product(
        get_args(State), [*get_args(get_args(CallEvent)[0]), "timeout", "lost", "closed"], get_args(Part)
    )
]


def test_the_table_has_every_end_reason_and_no_way_out_of_ended() -> None:
    assert {reason for _, reason in TABLE.values()} == {None, *get_args(EndReason)}
    assert all(state != "ended" for state, _, _ in TABLE)
    assert all((reason is not None) == (state == "ended") for state, reason in TABLE.values())


@pytest.mark.parametrize(("state", "event", "part"), [pair for pair in PAIRS if pair in TABLE])
def test_every_transition_in_the_table_happens(state: State, event: CallEvent, part: Part) -> None:
    before = in_state(state)
    after = moved(before, act_of(event, part), NOW + 3 * SECOND)
    assert (after.state, after.end_reason) == TABLE[state, event, part]
    assert after.version == before.version + 1
    assert (after.ended_at is not None) == (after.state == "ended")
    assert (after.call_id, after.timestamp, after.caller, after.callee) == (
        before.call_id,
        before.timestamp,
        "driver",
        "passenger",
    )


@pytest.mark.parametrize(("state", "event", "part"), [pair for pair in PAIRS if pair not in TABLE])
def test_a_transition_that_is_not_in_the_table_is_refused_with_the_current_call(
    state: State, event: CallEvent, part: Part
) -> None:
    before = in_state(state)
    with pytest.raises(Refusal) as refused:
        moved(before, act_of(event, part), NOW + 3 * SECOND)
    code = "call_in_progress" if (state, event) == ("connected", "initiate") else "illegal_transition"
    assert refused.value.code == code
    assert refused.value.details == {"call": as_seen(before, NOW + 3 * SECOND).model_dump()}


def test_a_call_begins_ringing() -> None:
    call = ring()
    assert as_seen(call, NOW + 5 * SECOND).model_dump() == {
        "call_id": f"{NOW:014x}" + "a" * 18,
        "booking_code": "test",
        "timestamp": "2026-03-01T10:00:00.000000Z",
        "caller": "driver",
        "callee": "passenger",
        "state": "ringing",
        "end_reason": None,
        "answered_at": None,
        "ended_at": None,
        "duration_seconds": 0,
        "rings_until": "2026-03-01T10:00:45.000000Z",
        "ring_ms_left": 40_000,
        "answered_by": None,
        "version": 1,
    }


def test_the_id_of_a_call_contains_its_begin() -> None:
    assert instants.to_text(started_at(ring().call_id)) == ring().timestamp


def test_a_call_begins_after_the_one_before_whatever_the_clock_says() -> None:
    first = moved(ring(), Act("end", "driver", "phone"), NOW + SECOND)
    for now in (NOW - 600 * SECOND, NOW):
        second = ring(first, now=now)
        assert started_at(second.call_id) == NOW + 1
        assert second.rings_until == instants.to_text(now + 45 * SECOND)
        answered = moved(second, Act("accept", "passenger", "p"), now + SECOND)
        ended = moved(answered, Act("end", "driver", "phone"), now + 2 * SECOND)
        assert second.timestamp <= str(answered.answered_at) <= str(ended.ended_at)
        assert ended.duration_seconds >= 0


def test_an_answered_call_keeps_who_answered_and_stops_ringing() -> None:
    call = in_state("connected")
    assert (call.answered_by, call.answered_at) == ("tablet", instants.to_text(NOW + SECOND))
    assert (call.rings_until, as_seen(call, NOW + SECOND).ring_ms_left) == (None, None)


def test_duration_counts_whole_seconds_from_the_answer() -> None:
    ended = moved(in_state("connected"), Act("end", "driver", "phone"), NOW + 152 * SECOND - 1)
    assert ended.duration_seconds == 150
    assert in_state("ended").duration_seconds == 0


@pytest.mark.parametrize("by", ["driver", "passenger"])
@pytest.mark.parametrize("repeated", [True, False])
def test_a_repeat_by_side_and_device_changes_nothing_and_another_device_is_refused(by: Any, repeated: bool) -> None:
    connected = in_state("connected")
    call = moved(connected, Act("end", by, "phone"), NOW + 9 * SECOND)
    again = Act("end", by, "phone" if repeated else "another")
    if repeated:
        assert moved(call, again, NOW + 10 * SECOND) is call
    else:
        with pytest.raises(Refusal):
            moved(call, again, NOW + 10 * SECOND)


def test_only_the_act_that_led_to_the_present_state_may_be_repeated() -> None:
    connected = in_state("connected")
    with pytest.raises(Refusal) as refused:
        moved(connected, Act("initiate", "driver", "phone"), NOW + 2 * SECOND)
    assert refused.value.code == "call_in_progress"
    glare = moved(ring(), Act("initiate", "passenger", "tablet"), NOW + SECOND)
    assert moved(glare, Act("initiate", "passenger", "tablet"), NOW + 2 * SECOND) is glare


def test_a_ring_may_be_answered_until_two_seconds_after_its_end_is_shown() -> None:
    call = ring()
    last = NOW + 45 * SECOND + GRACE - 1
    assert (as_seen(call, last).state, as_seen(call, last).ring_ms_left) == ("ringing", 0)
    assert timed_out(call, last) is None
    seen = as_seen(call, last + 1)
    assert (seen.state, seen.end_reason, seen.version, seen.ring_ms_left) == ("ended", "no_answer", 2, None)
    assert seen.ended_at == call.rings_until


def test_a_call_ends_after_four_hours_of_talk() -> None:
    call = in_state("connected")
    assert as_seen(call, NOW + SECOND + LONGEST - 1) == call
    seen = as_seen(call, NOW + SECOND + LONGEST)
    assert (seen.end_reason, seen.duration_seconds, seen.ended_at) == (
        "max_duration",
        4 * 3600,
        instants.to_text(NOW + SECOND + LONGEST),
    )


@pytest.mark.parametrize("state", ["ringing", "connected"])
def test_an_overdue_call_ends_in_the_same_way_whoever_notices_it(state: State) -> None:
    call = in_state(state)
    due = due_at(call) or 0
    assert timed_out(call, due) == timed_out(call, due + 86_400 * SECOND) == as_seen(call, due)


def test_an_ended_call_looks_the_same_for_ever() -> None:
    call = in_state("ended")
    assert due_at(call) is None
    assert as_seen(call, NOW + 10**15) is call


@dataclass
class Model:
    """The model: a call as a person would note it on a slip of paper."""

    state: str = "none"
    caller: str = ""
    reason: str | None = None
    answered_by: str | None = None
    last: tuple[str, str, str] | None = None
    changes: int = 0
    rings_until: int = 0
    answered_at: int = 0

    def end(self, reason: str, last: tuple[str, str, str] | None = None) -> None:
        self.state, self.reason, self.last = "ended", reason, last
        self.changes += 1

    def connect(self, now: int, device: str, last: tuple[str, str, str]) -> None:
        self.state, self.answered_by, self.answered_at, self.last = "connected", device, now, last
        self.changes += 1


SIDES = st.sampled_from(["driver", "passenger"])
DEVICES = st.sampled_from(["one", "two"])


class CallHistories(RuleBasedStateMachine):
    """Two sides with two devices each do anything, the clock goes on, and the server ends what is overdue."""

    @initialize()
    def nothing_yet(self) -> None:
        self.now = NOW
        self.call: Call | None = None
        self.model = Model()
        self.ended: set[str] = set()

    def _settle(self) -> None:
        """What make-call does first: it ends the call if its time is up. That takes a millisecond."""
        self.now += 1_000
        if self.call is not None:
            self.call = timed_out(self.call, self.now) or self.call
        if self.model.state == "ringing" and self.now >= self.model.rings_until + 2 * SECOND:
            self.model.end("no_answer")
        elif self.model.state == "connected" and self.now >= self.model.answered_at + 4 * 3600 * SECOND:
            self.model.end("max_duration")

    def _do(self, event: Any, side: Any, device: Any, expected: bool) -> None:
        assert self.call is not None
        before, act = self.call, Act(event, side, device)
        if expected:
            self.call = moved(before, act, self.now)
        else:
            with pytest.raises(Refusal):
                moved(before, act, self.now)

    @rule(seconds=st.sampled_from([0, 1, 20, 44, 45, 46, 47, 60, 3 * 3600, 4 * 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND
        seen = as_seen(self.call, self.now + 1_000) if self.call else None
        self._settle()
        if seen is not None and self.call is not None:
            assert seen.model_copy(update={"ring_ms_left": None}) == self.call

    @rule(side=SIDES, device=DEVICES)
    def initiate(self, side: Any, device: str) -> None:
        self._settle()
        model, last = self.model, ("initiate", side, device)
        if model.state in ("none", "ended"):
            self.call = begun(
                self.call, side, device, booking_code="test", now=self.now, ring_seconds=45, entropy="b" * 18
            )
            self.model = Model("ringing", side, last=last, changes=1, rings_until=self.now + 45 * SECOND)
        elif last == model.last:
            self._do("initiate", side, device, expected=True)
        elif model.state == "ringing" and side != model.caller:
            self._do("initiate", side, device, expected=True)
            model.connect(self.now, device, last)
        else:
            self._do("initiate", side, device, expected=False)

    @precondition(lambda self: self.call is not None)
    @rule(side=SIDES, device=DEVICES)
    def accept(self, side: Any, device: str) -> None:
        self._settle()
        last = ("accept", side, device)
        legal = self.model.state == "ringing" and side != self.model.caller
        self._do("accept", side, device, expected=legal or last == self.model.last)
        if legal:
            self.model.connect(self.now, device, last)

    @precondition(lambda self: self.call is not None)
    @rule(side=SIDES, device=DEVICES)
    def reject(self, side: Any, device: str) -> None:
        self._settle()
        last = ("reject", side, device)
        legal = self.model.state == "ringing" and side != self.model.caller
        self._do("reject", side, device, expected=legal or last == self.model.last)
        if legal:
            self.model.end("declined", last)

    @precondition(lambda self: self.call is not None)
    @rule(side=SIDES, device=DEVICES)
    def end(self, side: Any, device: str) -> None:
        self._settle()
        model, last = self.model, ("end", side, device)
        legal = model.state == "connected" or (model.state == "ringing" and side == model.caller)
        self._do("end", side, device, expected=legal or last == model.last)
        if legal:
            model.end("completed" if model.state == "connected" else "cancelled", last)

    @precondition(lambda self: self.call is not None)
    @rule()
    def side_stays_away(self) -> None:
        self._settle()
        legal = self.model.state == "connected"
        self._do("lost", None, None, expected=legal)
        if legal:
            self.model.end("connection_lost")

    @precondition(lambda self: self.call is not None)
    @rule()
    def booking_closes(self) -> None:
        self._settle()
        legal = self.model.state in ("ringing", "connected")
        self._do("closed", None, None, expected=legal)
        if legal:
            self.model.end("booking_closed")

    @invariant()
    def call_is_as_the_model_has_it(self) -> None:
        if not hasattr(self, "model") or self.call is None:
            return
        call, model = self.call, self.model
        assert (call.state, call.caller, call.end_reason) == (model.state, model.caller, model.reason)
        assert (call.answered_by, call.version) == (model.answered_by, model.changes)
        assert call.callee != call.caller

    @invariant()
    def ended_calls_stay_ended(self) -> None:
        if not hasattr(self, "model") or self.call is None:
            return
        if self.call.state == "ended":
            self.ended.add(self.call.call_id)
        else:
            assert self.call.call_id not in self.ended


TestCallHistories = CallHistories.TestCase
