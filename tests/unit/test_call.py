"""The table of calls: every pair of state and event, then random histories against a model without a table."""

import itertools
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import ValidationError

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
    as_stored,
    begun,
    changed_at,
    due_at,
    is_repeat,
    moved,
    started_at,
    timed_out,
)
from navietakie.domain.errors import Refusal
from navietakie.domain.rate_limit import RateLimit

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


TRANSITIONS = """
    none       initiate  caller  ringing
    ringing    initiate  callee  connected
    ringing    accept    callee  connected
    ringing    reject    callee  ended      declined
    ringing    end       caller  ended      cancelled
    ringing    timeout   server  ended      no_answer
    ringing    closed    server  ended      booking_closed
    ringing    revoked   server  ended      revoked
    connected  end       caller  ended      completed
    connected  end       callee  ended      completed
    connected  lost      server  ended      connection_lost
    connected  timeout   server  ended      max_duration
    connected  closed    server  ended      booking_closed
    connected  revoked   server  ended      revoked
"""
"""All that may happen to a call, as docs/protocol.md promises it to clients."""


def test_the_table_is_the_one_that_clients_are_promised() -> None:
    promised = dict[Any, Any]()
    for line in TRANSITIONS.strip().splitlines():
        state, event, part, after, *reason = line.split()
        promised[None if state == "none" else state, event, part] = after, (reason[0] if reason else None)
    assert promised == TABLE


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
    assert due_at(moved(in_state("connected"), Act("end", "driver", "phone"), NOW + 9 * SECOND)) is None
    assert as_seen(call, NOW + 10**15) is call


def test_an_act_is_the_same_however_it_comes_and_whatever_name_it_has() -> None:
    plain = Act("initiate", "driver", "phone")
    assert plain == Act("initiate", "driver", "phone", "name", by_socket=True)
    assert (plain.client_call_id, plain.by_socket, Act("timeout").by, Act("timeout").device) == (
        None,
        False,
        None,
        None,
    )
    for other in (
        Act("accept", "driver", "phone"),
        Act("initiate", "passenger", "phone"),
        Act("initiate", "driver", "x"),
    ):
        assert plain != other


def test_a_call_remembers_how_it_was_asked_for() -> None:
    plain = ring()
    assert (plain.initiates, plain.connected, plain.left_at, plain.allowances, plain.history) == (
        {},
        set(),
        {},
        {},
        None,
    )
    assert plain.act == Act("initiate", "driver", "phone")
    limit = RateLimit(0.1, 3, "calls")
    fields: Any = {"booking_code": "test", "ring_seconds": 45, "entropy": "a" * 18, "rate_limit": limit}
    named = begun(None, "driver", "phone", "name", now=NOW, by_socket=True, **fields)
    assert (named.initiates, named.connected) == ({"driver": "name"}, {"driver"})
    assert named.allowances == {"driver": NOW + 10 * SECOND}
    ended = moved(named, Act("end", "driver", "phone"), NOW + SECOND)
    theirs = begun(ended, "passenger", "phone", now=NOW + 2 * SECOND, **fields)
    assert theirs.allowances == {"driver": NOW + 10 * SECOND, "passenger": NOW + 12 * SECOND}
    assert (theirs.initiates, theirs.connected) == ({}, set())
    assert ring(ended).allowances == named.allowances


def test_no_more_calls_begin_than_the_rate_admits() -> None:
    fields: Any = {"booking_code": "test", "now": NOW, "ring_seconds": 45, "entropy": "a" * 18}
    fields["rate_limit"] = RateLimit(0.1, 3, "calls")
    call: Call | None = None
    for _ in range(3):
        call = moved(begun(call, "driver", "phone", **fields), Act("end", "driver", "phone"), NOW)
    with pytest.raises(Refusal) as refused:
        begun(call, "driver", "phone", **fields)
    assert (refused.value.code, refused.value.retry_after_ms) == ("rate_limited", 10_000)
    assert "calls" in refused.value.message


@pytest.mark.parametrize(
    ("act", "repeats"),
    [
        (Act("initiate", "driver", "phone"), True),
        (Act("initiate", "driver", "another"), False),
        (Act("initiate", "driver", "another", "mine"), True),
        (Act("initiate", "driver", "another", "else"), False),
        (Act("initiate", "passenger", "phone", "mine"), False),
        (Act("initiate", "passenger", "phone"), False),
        (Act("end", "driver", "another", "mine"), False),
        (Act("timeout"), False),
    ],
)
def test_an_initiate_is_known_by_its_device_or_by_its_name(act: Act, repeats: bool) -> None:
    call = begun(None, "driver", "phone", "mine", booking_code="test", now=NOW, ring_seconds=45, entropy="a" * 18)
    assert is_repeat(call, act) == repeats


def test_what_the_server_did_is_no_repeat_when_it_does_it_again() -> None:
    ended = moved(in_state("connected"), Act("closed"), NOW + 2 * SECOND)
    assert not is_repeat(ended, Act("closed"))


def test_who_answers_is_noted_with_its_name_and_where_it_can_be_reached() -> None:
    answered = moved(ring(), Act("initiate", "passenger", "tablet", "theirs", by_socket=True), NOW + SECOND)
    assert (answered.initiates, answered.connected) == ({"passenger": "theirs"}, {"passenger"})
    assert (answered.act, answered.version) == (Act("initiate", "passenger", "tablet"), 2)
    plain = moved(ring(), Act("accept", "passenger", "tablet"), NOW + SECOND)
    assert (plain.initiates, plain.connected) == ({}, set())
    ended = moved(answered, Act("end", "passenger", "tablet", "other", by_socket=True), NOW + 2 * SECOND)
    assert (ended.initiates, ended.connected) == (answered.initiates, answered.connected)


def test_no_call_is_answered_or_ends_before_it_began_whatever_the_clocks_say() -> None:
    before = NOW - 10 * SECOND
    answered = moved(ring(), Act("accept", "passenger", "tablet"), before)
    assert answered.answered_at == instants.to_text(NOW)
    ended = moved(answered, Act("end", "driver", "phone"), before)
    assert (ended.ended_at, ended.duration_seconds) == (instants.to_text(NOW), 0)
    assert moved(ring(), Act("end", "driver", "phone"), before).ended_at == instants.to_text(NOW)


def test_the_last_change_of_a_call_is_its_end_its_answer_or_its_beginning() -> None:
    calls = ring(), in_state("connected"), moved(in_state("connected"), Act("lost"), NOW + 9 * SECOND)
    assert [changed_at(call) for call in calls] == [NOW, NOW + SECOND, NOW + 9 * SECOND]


def test_a_call_lasts_four_hours_at_most_and_may_be_answered_two_seconds_late() -> None:
    assert (LONGEST, GRACE) == (4 * 3_600 * SECOND, 2 * SECOND)
    assert due_at(ring()) == NOW + 47 * SECOND
    assert due_at(in_state("connected")) == NOW + SECOND + 4 * 3_600 * SECOND


def test_what_is_no_clients_business_is_not_in_what_clients_get() -> None:
    inside = {"act", "initiates", "history", "connected", "left_at", "allowances"}
    assert not inside & set(ring().model_dump())
    with pytest.raises(ValidationError, match="frozen"):
        ring().state = "ended"  # type: ignore[misc]


@pytest.mark.parametrize(("now", "left"), [(0, 45_000), (1, 44_999), (999, 44_999), (1_000, 44_999), (1_001, 44_998)])
def test_a_ring_shows_its_whole_milliseconds_left(now: int, left: int) -> None:
    assert as_stored(ring(), NOW + now).ring_ms_left == left


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
