"""A revocation races a `$connect`: 30 s after the order no revoked connection gets anything.

The index of connections lags, requests take time, and posts reach connections that are not open yet.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from clients.proving.history import Fields
from navietakie.wire.connections_api import Post
from tests.chaos.clients import Company
from tests.chaos.run import stage
from tests.chaos.scheduler import SECOND
from tests.chaos.world import Faults, Line, World
from websocket.presence import Attendance

SEEDS = range(200)
LAGGING = Faults(**{**dict.fromkeys(Faults.__dataclass_fields__, 0.0), "stale": 0.5, "slow": 0.3, "conflict": 0.1})
HEARS_UNTIL = 30.0


class Ear:
    """A device that connects and listens."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.heard: list[tuple[int, Fields]] = []
        self.line: Line | None = None

    def connect(self) -> None:
        self.line = self.world.connect(self, {"booking_code": "ride-1", "sender": "driver", "device_id": "phone"})

    def received(self, line: Line, frame: Fields) -> None:
        self.heard.append((self.world.scheduler.now, frame))

    def closed(self, line: Line) -> None:
        pass


def late_frames(seed: int, broken: Callable[[pytest.MonkeyPatch], None] = lambda _: None) -> list[str]:
    """The types of the frames that a revoked connection got later than 30 s after the order."""
    posted: list[tuple[int, str, Fields]] = []
    ordered: list[int] = []
    ears: list[Ear] = []

    def ride(world: World) -> None:
        scheduler = world.scheduler
        company = Company(world, "ride-1")
        company.tell("ride_began")
        real = world.post

        def post(posts: Sequence[Post]) -> Any:
            posted.extend((scheduler.now, connection_id, json.loads(body)) for connection_id, body in posts)
            return real(posts)

        world.post = post  # type: ignore[method-assign]

        def order() -> None:
            company.tell("tokens_revoked", side="driver")
            ordered.append(scheduler.now)

        # Some connections exist already, others connect just before the order, with it, and just after it.
        for _ in range(4):
            ear = Ear(world)
            ears.append(ear)
            scheduler.start(ear.connect, world.random.uniform(0.0, 3.0))
        scheduler.start(order, world.random.uniform(0.0, 3.0))
        while not ordered or scheduler.now < ordered[0] + HEARS_UNTIL * SECOND:
            scheduler.pause(0.5)
        # Now everything that reaches a side: from senders that read the head, and from those that do not.
        party = {"booking_code": "ride-1", "sender": "passenger"}
        for _ in range(3):
            world.rest("send_message", {**party, "message": "Where are you?"})
            made = world.rest("make_call", {**party, "action": "initiate"})
            if made and "call" in made:
                world.rest("make_call", {**party, "action": "end", "call_id": made["call"]["call_id"]})
            scheduler.pause(3.0)

    stage(seed, ride, faults=LAGGING, broken=broken)
    revoked = {ear.line.id for ear in ears if ear.line is not None}
    due = ordered[0] + HEARS_UNTIL * SECOND
    return [frame["type"] for at, connection_id, frame in posted if connection_id in revoked and at > due]


@pytest.mark.parametrize("seeds", [SEEDS[start : start + 50] for start in range(0, len(SEEDS), 50)], ids=str)
def test_no_revoked_connection_hears_anything_half_a_minute_after_the_order(seeds: range) -> None:
    assert {seed: found for seed in seeds if (found := late_frames(seed))} == {}


def test_a_revocation_that_misses_a_racing_connect_is_reported() -> None:
    def look_at_the_head_first(patch: pytest.MonkeyPatch) -> None:
        real = Attendance.join

        def join(self: Attendance, connection: Any, now: int, heads: Any, limit: int) -> None:
            before = heads.head(connection.booking_code)
            known = type("Known", (), {"head": staticmethod(lambda _: before)})
            return real(self, connection, now, known, limit)

        patch.setattr(Attendance, "join", join)

    def look_once(patch: pytest.MonkeyPatch) -> None:
        import make_call.timing

        patch.setattr(make_call.timing, "LOOKS", ())

    def both(patch: pytest.MonkeyPatch) -> None:
        look_at_the_head_first(patch)
        look_once(patch)

    assert any(late_frames(seed, partial(both)) for seed in SEEDS[:40])
