"""A run: clients, faults and the real functions until all operations are done, and then a calm end."""

import contextlib
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any, Literal

import botocore.endpoint
import pytest

import get_message.app
import get_message.sync
from clients.proving.history import Booking, Fields, History
from get_message.history import PageCache, PageKey
from navietakie import beside
from navietakie.aws import attachments
from navietakie.aws.tables.messages import Page
from navietakie.domain import call, frames, instants
from navietakie.observability import logger
from navietakie.wire.connections_api import ConnectionsApi
from tests.chaos.clients import SYNC_STEP, Company, Phone
from tests.chaos.exercise import OLDER_STATE
from tests.chaos.scenes import Cast, Scene
from tests.chaos.scheduler import SECOND, Begun, Clock, Scheduler
from tests.chaos.world import CALM, Faults, World
from tests.fakes.wire import DEAD_LETTERS, wired

START = instants.from_text("2026-03-01T08:00:00.000000Z")
PACKAGES = ("navietakie", "send_message", "make_call", "get_message", "websocket")
RING_SECONDS = 5
FRAME_BYTES = 2_000
"""Small, so that the answer to a sync takes several frames, which may get lost or overtake each other."""
SYNC_FRAMES = 4
"""So few that one answer does not hold everything that a phone may have missed."""
HEALING_SECONDS = 45.0
"""Seconds until every timer has come: a side may be away for 30 s, and a close may show after 30 s."""
CALL_SECONDS = 120
"""How long a call may last."""
NEWEST = 12
"""How many messages a client gets if it has none."""
DEVICES = (("driver", "phone"), ("passenger", "phone"), ("passenger", "tablet"), ("agent", "desk"))

Hook = Literal["deny", "allow"] | None
Break = Callable[[pytest.MonkeyPatch], None]
"""Breaks the code on purpose."""


def run(
    seed: int,
    *,
    endpoint: str | None = None,
    operations: int = 1_000,
    bookings: int = 4,
    faults: Faults | None = None,
    scenes: Sequence[Scene] = (),
    hook: Hook | Literal["by seed"] = "by seed",
    told: bool = True,
    broken: Break = lambda _: None,
) -> History:
    """The history that this seed makes with at least so many operations, on the DynamoDB at `endpoint` or in memory.

    Afterwards each booking plays the `scenes`. `hook`: what happens to messages if the message hook fails; None: there
    is no hook. By default the seed chooses one of the three. `told`: every message is an event, which works only in
    memory, because there the stream is ours.
    """
    hook = (None, "deny", "allow")[seed % 3] if hook == "by seed" else hook
    history = History(seed=seed, one_clock=True, longest_call=CALL_SECONDS * SECOND, hook=hook, told=told)

    def act(world: World) -> None:
        world.told = history.told
        _conduct(world, history, operations, bookings, scenes)

    def broken_with_hook(patch: pytest.MonkeyPatch) -> None:
        if hook is not None:
            patch.setenv("MESSAGE_HOOK_ARN", "arn:aws:lambda:us-east-1:000000000000:function:hook")
            patch.setenv("MESSAGE_HOOK_ON_FAILURE", hook)
        broken(patch)

    world = stage(seed, act, endpoint=endpoint, faults=faults, broken=broken_with_hook)
    history.events.extend(world.events)
    history.exercised.update(world.exercised)
    return history


def stage(
    seed: int,
    act: Callable[[World], None],
    *,
    endpoint: str | None = None,
    faults: Faults | None = None,
    broken: Break = lambda _: None,
) -> World:
    """Runs `act` as a strand in a world of this seed, until nothing is due any more."""
    others_luck = random.getstate()
    with pytest.MonkeyPatch.context() as patch, wired(patch, endpoint) as wire, contextlib.redirect_stdout(None):
        patch.setenv("RING_TIMEOUT_SECONDS", str(RING_SECONDS))
        for module in (frames, get_message.sync):
            patch.setattr(module, "FRAME_BYTES", FRAME_BYTES)
        patch.setattr(get_message.sync, "STEP", SYNC_STEP)
        patch.setattr(get_message.sync, "FRAMES", SYNC_FRAMES)
        patch.setattr(get_message.sync, "FIRST_PAGE", NEWEST)
        patch.setattr(call, "LONGEST", CALL_SECONDS * SECOND)
        patch.setenv("MESSAGE_EVENTS", "full")
        patch.setenv("MESSAGE_EVENTS_TOPIC_ARN", "arn:aws:sns:us-east-1:000000000000:message-events")
        patch.setenv("MESSAGE_EVENTS_DEAD_LETTER_QUEUE_URL", DEAD_LETTERS)
        scheduler = Scheduler(START)
        world = World(seed, scheduler, wire, faults or Faults())
        _depend_on_nothing_but(seed, patch, scheduler, world)
        broken(patch)
        scheduler.start(partial(act, world))
        try:
            scheduler.run()
        finally:
            random.setstate(others_luck)
        if wire.dynamodb is not None:
            world.exercised[OLDER_STATE] = wire.dynamodb.older_states
    return world


def _depend_on_nothing_but(seed: int, patch: pytest.MonkeyPatch, scheduler: Scheduler, world: World) -> None:
    clock = Clock(scheduler)
    for module in _modules_that_know_the_time():
        patch.setattr(module, "time", clock)
    random.seed(seed)
    ids = random.Random(f"ids of {seed}")
    patch.setattr(beside, "start", partial(Begun, scheduler))
    patch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=ids.getrandbits(128), version=4))
    patch.setattr(secrets, "token_hex", lambda length: ids.randbytes(length).hex())
    patch.setattr(ConnectionsApi, "post", lambda _, posts: world.post(posts))
    patch.setattr(ConnectionsApi, "close", lambda _, connection_id: world.close(connection_id))
    patch.setattr(ConnectionsApi, "close_all", lambda _, connection_ids: world.close_all(connection_ids))
    patch.setattr(get_message.app, "pages", Pages(world))
    patch.setattr(attachments, "attachments", lambda: world.bucket)
    for level in ("info", "warning", "error"):
        patch.setattr(logger, level, lambda *_, **__: None)


class Pages(PageCache):
    """The page cache of a warm container, which counts its hits."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def get(self, place: PageKey, now: int) -> Page | None:
        page = super().get(place, now)
        if page is not None:
            self._world.exercised["history: a page out of the cache"] += 1
        return page


def _modules_that_know_the_time() -> list[ModuleType]:
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in PACKAGES]
    return [module for module in [*ours, botocore.endpoint] if getattr(module, "time", None) is time]


def _conduct(world: World, history: History, operations: int, bookings: int, scenes: Sequence[Scene]) -> None:
    scheduler = world.scheduler
    phones: list[Phone] = []
    casts: list[Cast] = []
    working = [0]

    def work(act: Callable[[], None]) -> None:
        working[0] += 1

        def until_done() -> None:
            act()
            working[0] -= 1

        scheduler.start(until_done, world.random.uniform(0.0, 2.0))

    def wait() -> None:
        while working[0]:
            scheduler.pause(0.5)

    for number in range(bookings):
        booking = f"ride-{number + 1}"
        company = Company(world, booking)
        for sender, device in DEVICES:
            phone = Phone(world, booking, sender, f"{booking}-{sender}-{device}")
            phones.append(phone)
            scheduler.start(phone.connect)
            work(partial(phone.live, -(-operations // (bookings * len(DEVICES)))))
        casts.append(Cast(world, *phones[-len(DEVICES) :], company))
        work(partial(company.live, 2 if operations > 60 else 1))
    wait()
    for scene in scenes:
        for cast in casts:
            work(partial(scene, cast))
        wait()
    world.faults = CALM
    scheduler.pause(HEALING_SECONDS)
    for phone in phones:
        work(partial(_hang_up, world, phone))
    wait()
    for phone in phones:
        work(phone.rest)
    wait()
    for booking in sorted({phone.booking for phone in phones}):
        history.bookings[booking] = _read(world, booking)


def _hang_up(world: World, phone: Phone) -> None:
    found = _whole(world.rest("calls", query={"booking_code": phone.booking, "limit": "1"}))
    for it in found["calls"]:
        if it["state"] == "connected" and phone.sender != "agent":
            phone.call("end", {"call_id": it["call_id"]})


def _read(world: World, booking: str) -> Booking:
    """Everything that the public reads show."""
    query: dict[str, str] = {"booking_code": booking, "order": "asc", "limit": "100"}
    messages, page = _pages(world, "get_message", "messages", query)
    calls, _ = _pages(world, "calls", "calls", {"booking_code": booking})
    return Booking(
        messages=messages,
        calls=calls[::-1],
        head_seq=page["head_seq"],
        epoch=page["epoch"],
        receipts=page["receipts"],
        attachments={id: _is_served(world, booking, id) for id in world.bucket.uploaded_to(booking)},
    )


def _is_served(world: World, booking: str, id: str) -> bool:
    found = world.rest("attachment", query={"booking_code": booking, "id": id})
    assert found is not None
    return "url" in found


def _pages(world: World, name: str, what: str, query: dict[str, str]) -> tuple[list[Fields], Fields]:
    page = _whole(world.rest(name, query=query))
    found: list[Fields] = page[what]
    while page["next_cursor"] is not None:
        page = _whole(world.rest(name, query={**query, "cursor": page["next_cursor"]}))
        found += page[what]
    return found, page


def _whole(body: Fields | None) -> dict[str, Any]:
    assert body is not None, "nothing goes wrong any more"
    assert "error" not in body, body
    return body
