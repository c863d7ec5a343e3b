"""make_call is killed before each of its requests in turn. A retry has to lead to the same end as one success."""

import itertools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.core.botocore_stubber import BotocoreStubber

from make_call.app import handler
from navietakie.wire.connections_api import ConnectionsApi
from tests.fakes import tables
from tests.worlds.moto import World, deliver


class Killed(BaseException):
    """The function's process is dead. A BaseException, so that no handler of errors catches it."""


class Ride:
    """A booking with a connection on each side, and the call in it."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.call_id = ""
        world.connect(f"{name}-driver", "driver", name)
        world.connect(f"{name}-passenger", "passenger", name)

    def act(self, sender: str, action: str) -> None:
        body = {"booking_code": self.name, "sender": sender, "action": action, "call_id": self.call_id or "0" * 32}
        status, answer, _ = self.world.rest(handler, "POST", "/api/v1/make_call", body)
        assert status == 200, answer
        self.call_id = answer["call"]["call_id"]

    def timer(self, kind: str, **fields: Any) -> None:
        timer = {"kind": kind, "booking_code": self.name, "call_id": self.call_id, **fields}
        assert deliver(handler, timer) == []

    def lists(self) -> None:
        assert self.world.rest(handler, "GET", "/api/v1/calls", query={"booking_code": self.name})[0] == 200

    def close(self) -> None:
        """Closes the booking, as its first message."""
        first = {"S": "2026-01-01T00:00:00.000000Z"}
        head = {"seq": {"N": "1"}, "last_timestamp": first, "epoch": {"S": "e"}, "closed_at": first}
        key = {"booking_code": {"S": self.name}, "timestamp": {"S": "#head"}}
        self.world.dynamodb.put_item(TableName=tables.NAMES["messages"], Item=key | head)

    def rows(self, table: str) -> dict[str, Any]:
        return {row["timestamp"]["S"]: row for row in self.world.rows(table) if row["booking_code"]["S"] == self.name}

    def outcome(self) -> list[Any]:
        """The latest call, the log and the history, which have to be the same however often the function died."""
        calls, messages = self.rows("calls"), self.rows("messages")
        live = calls.pop("#live", {})
        messages.pop("#head", None)
        state = [live.get(name, {}).get("S") for name in ("state", "end_reason", "answered_by", "caller")]
        assert [row["message_id"]["S"] for row in messages.values()] == [row["call_id"]["S"] for row in calls.values()]
        log = [(row["end_reason"]["S"], row["version"]["N"]) for row in calls.values()]
        return [*state, live.get("version", {}).get("N"), log, [row["seq"]["N"] for row in messages.values()]]

    def told(self) -> list[Any]:
        """The last state of the call that the passenger heard of."""
        frames = [it["call"] for it in self.world.gateway.frames[f"{self.name}-passenger"] if it["type"] == "call"]
        return [frames[-1]["state"], frames[-1]["version"]]


@contextmanager
def killed_before(number: int) -> Generator[None]:
    """The process dies before the request of this number, counted from 0. A round of posts counts as one."""
    count = itertools.count()
    answer, post = BotocoreStubber.__call__, ConnectionsApi.post

    def request(*how: Any, **fields: Any) -> Any:
        if next(count) >= number:
            raise Killed
        return answer(*how, **fields)

    def posts(*how: Any) -> Any:
        if next(count) >= number:
            raise Killed
        return post(*how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BotocoreStubber, "__call__", request)
        patch.setattr(ConnectionsApi, "post", posts)
        yield


def times_up(ride: Ride) -> None:
    ride.world.skip(60)


STORIES: dict[str, tuple[list[Callable[[Ride], Any]], Callable[[Ride], Any]]] = {
    "initiate": ([], lambda ride: ride.act("driver", "initiate")),
    "initiate after a call that nobody ended": (
        [lambda ride: ride.act("driver", "initiate"), times_up],
        lambda ride: ride.act("passenger", "initiate"),
    ),
    "glare": ([lambda ride: ride.act("driver", "initiate")], lambda ride: ride.act("passenger", "initiate")),
    "accept": ([lambda ride: ride.act("driver", "initiate")], lambda ride: ride.act("passenger", "accept")),
    "reject": ([lambda ride: ride.act("driver", "initiate")], lambda ride: ride.act("passenger", "reject")),
    "cancel": ([lambda ride: ride.act("driver", "initiate")], lambda ride: ride.act("driver", "end")),
    "hang up": (
        [lambda ride: ride.act("driver", "initiate"), lambda ride: ride.act("passenger", "accept")],
        lambda ride: ride.act("passenger", "end"),
    ),
    "ring timer": ([lambda ride: ride.act("driver", "initiate"), times_up], lambda ride: ride.timer("ring")),
    "left timer": (
        [
            lambda ride: ride.act("passenger", "initiate"),
            lambda ride: ride.act("driver", "accept"),
            lambda ride: ride.world.dynamodb.delete_item(
                TableName=tables.NAMES["connections"], Key={"connection_id": {"S": f"{ride.name}-driver"}}
            ),
            times_up,
        ],
        lambda ride: ride.timer("left", side="driver", left_at=1),
    ),
    "order timer": (
        [lambda ride: ride.act("driver", "initiate"), Ride.close],
        lambda ride: ride.timer("order", event="booking_closed", look=5),
    ),
    "listing": ([lambda ride: ride.act("driver", "initiate"), times_up], Ride.lists),
}


@pytest.fixture
def skipping(world: World, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(world, "skip", later, raising=False)
    return world


@pytest.mark.parametrize("story", STORIES)
def test_a_retry_ends_where_one_success_ends(skipping: World, story: str) -> None:
    before, last = STORIES[story]

    def arranged(name: str) -> Ride:
        ride = Ride(skipping, name)
        for step in before:
            step(ride)
        return ride

    unharmed = arranged("unharmed")
    last(unharmed)
    for number in itertools.count():
        ride = arranged(f"killed-{number}")
        died = True
        with killed_before(number):
            try:
                last(ride)
                died = False
            except Killed:
                pass
        last(ride)  # again, because perhaps only the answer got lost
        assert ride.outcome() == unharmed.outcome()
        if "timer" not in story and story != "listing":
            assert ride.told() == unharmed.told()
        if not died:
            assert number >= 3
            return


@pytest.mark.parametrize("story", STORIES)
def test_without_a_retry_nothing_rings_for_ever(skipping: World, story: str) -> None:
    before, last = STORIES[story]
    for number in itertools.count():
        ride = Ride(skipping, f"killed-{number}")
        for step in before:
            step(ride)
        died = True
        with killed_before(number):
            try:
                last(ride)
                died = False
            except Killed:
                pass
        for _ in range(3):
            skipping.skip(60)
            for timer in skipping.queued():
                assert deliver(handler, timer) == []
        state, end_reason, _, _, version, log, _ = ride.outcome()
        assert state != "ringing"
        assert state != "ended" or log[-1] == (end_reason, version)
        if not died:
            return
