"""What an act on a call answers: may its side talk, whom did it reach, and who is told of it with which rights."""

import itertools
import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from make_call.calling import Acted, Calling, LogQuery, NewAct
from navietakie.aws.tables.connections import Connection
from navietakie.domain import instants
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal
from navietakie.domain.orders import Rights
from navietakie.domain.rate_limit import RateLimit
from tests.fakes.calls import FakeCalls
from tests.fakes.messages import FakeMessages

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
SECOND = instants.SECOND
OWN = Connection("d1", "test", "driver", instants.to_text(NOW), 2**40)


@dataclass
class Booking:
    """A booking without connections; every telling reaches `reaches` of them."""

    now: int = NOW
    reaches: int = 3
    messages: FakeMessages = field(default_factory=FakeMessages)
    told: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    gathered: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    def __post_init__(self) -> None:
        numbers = itertools.count(1)
        self.calling = Calling(
            calls=FakeCalls(self.messages),
            history=self.messages,
            announcing=self,  # type: ignore[arg-type]
            timers=lambda: self,  # type: ignore[arg-type,return-value]
            clock=lambda: self.now,
            entropy=lambda: f"{next(numbers):018x}",
            ring_seconds=45,
            retention_days=90,
            call_rate=RateLimit(0.1, 3, "calls"),
            gather=lambda booking_code, now: self.gathered.append((booking_code, now)),
        )

    def queue(self, *_: Any, **__: Any) -> None:
        """Takes a timer."""

    def tell(self, call: Any, now: int, message: Any = None, **how: Any) -> int:
        self.told.append({"state": call.state, "message": message and message.message, **how})
        return self.reaches

    def act(self, by: Any, action: Any, device: str = "phone", **how: Any) -> Acted:
        call = self.calling.calls.latest("test")
        how = {"call_id": call.call_id if call and action != "initiate" else None, **how}
        return self.calling.act("test", by, device, action, deadline=time.monotonic() + 60, **how)

    def order(self, **rights: Any) -> Rights:
        head = self.messages.heads.get("test", Head())
        self.messages.heads["test"] = replace(head, rights=Rights(**rights))
        return self.messages.heads["test"].rights


def test_who_acted_over_a_websocket_is_noted_and_not_told() -> None:
    it = Booking()
    assert it.act("driver", "initiate", origin=OWN).call.connected == {"driver"}
    assert it.act("passenger", "accept").call.connected == {"driver"}
    assert [told["origin"] for told in it.told] == [OWN, None]
    assert Booking().act("driver", "initiate").call.connected == set()


def test_an_act_says_whom_it_reached_and_whether_its_side_may_talk() -> None:
    it = Booking()
    acted = [it.act("driver", "initiate"), it.act("passenger", "accept"), it.act("driver", "end")]
    assert [(each.reached, each.may_talk) for each in acted] == [(3, True), (3, True), (3, False)]
    assert it.gathered == [("test", NOW)] * 3


@pytest.mark.parametrize(("closed_at", "may_talk"), [(None, True), (instants.to_text(NOW), False)])
def test_a_repeat_in_a_closed_booking_lets_nobody_talk(closed_at: str | None, may_talk: bool) -> None:
    it = Booking()
    first = it.act("driver", "initiate", origin=OWN)
    rights = it.order(closed_at=closed_at)
    again = it.act("driver", "initiate", origin=OWN)
    assert (again.call, again.reached, again.may_talk) == (first.call, 3, may_talk)
    assert it.told[1] == {
        "state": "ringing", "message": None, "origin": OWN, "repeat": True, "by": "driver", "rights": rights,
    }  # fmt: skip


def test_a_repeat_of_an_end_brings_its_message_again_and_lets_nobody_talk() -> None:
    it = Booking()
    it.act("driver", "initiate")
    it.act("driver", "end")
    again = it.act("driver", "end")
    assert [told["message"] for told in it.told] == [None, "Missed call", "Missed call"]
    assert (again.may_talk, again.reached) == (False, 3)


def test_an_end_is_told_with_the_rights_that_it_read() -> None:
    it = Booking()
    it.act("driver", "initiate", origin=OWN)
    rights = it.order(muted={"passenger": instants.to_text(NOW)})
    it.act("driver", "end", origin=OWN)
    assert (it.told[1]["rights"], it.told[1]["origin"], it.told[0]["rights"]) == (rights, OWN, None)


@pytest.mark.parametrize(("seconds", "told"), [(60, 2), (61, 1)])
def test_a_repeat_is_told_again_for_a_minute_and_then_reaches_nobody(seconds: int, told: int) -> None:
    it = Booking()
    it.act("driver", "initiate")
    it.act("passenger", "accept")
    it.told.clear()
    it.now += seconds * SECOND
    again = it.act("passenger", "accept")
    assert (len(it.told), again.reached) == ((1, 3) if told == 2 else (0, 0))


def test_repeats_beyond_the_rate_are_answered_and_reach_nobody() -> None:
    it = Booking()
    it.act("driver", "initiate")
    assert [it.act("driver", "initiate").reached for _ in range(4)] == [3, 3, 3, 0]


def test_a_call_that_is_not_there_is_not_found_whatever_the_booking() -> None:
    it = Booking()
    it.order(closed_at=instants.to_text(NOW))
    for call_id in (None, "0" * 32):
        with pytest.raises(Refusal) as refused:
            it.act("driver", "end", call_id=call_id)
        assert refused.value.code == "not_found"
    it.order(revoked={"driver": instants.to_text(NOW)})
    with pytest.raises(Refusal) as refused:
        it.act("driver", "end", call_id="0" * 32, iat=1)
    assert refused.value.code == "unauthorized"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "action"),
        ({"action": "ring"}, "action"),
        ({"action": "accept"}, "call_id"),
        ({"action": "ice"}, "call_id"),
        ({"action": "accept", "call_id": "x"}, "call_id"),
        ({"action": "report", "call_id": "0" * 32}, "report"),
        ({"action": "initiate", "client_call_id": ""}, "client_call_id"),
        ({"action": "initiate", "device_id": ""}, "device_id"),
    ],
)
def test_an_act_that_lacks_what_it_needs_is_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal) as refused:
        NewAct.parse(fields)
    assert (refused.value.code, refused.value.details) == ("invalid_request", {"field": field})


def test_an_act_that_has_what_it_needs_is_taken() -> None:
    assert NewAct.parse({"action": "initiate"}).call_id is None
    assert NewAct.parse({"action": "end", "call_id": "0" * 32}).call_id == "0" * 32
    assert NewAct.parse({"action": "report", "call_id": "0" * 32, "report": {}}).report is not None


def test_the_log_shows_the_newest_fifty_and_no_ended_call_twice() -> None:
    assert LogQuery.parse({}).limit == 50
    it = Booking()
    assert it.calling.log("test", LogQuery(), time.monotonic() + 60) == {"calls": [], "next_cursor": None}
    it.act("driver", "initiate")
    it.act("driver", "end")
    page = it.calling.log("test", LogQuery(), time.monotonic() + 60)
    assert ([call.state for call in page["calls"]], page["next_cursor"]) == (["ended"], None)
