"""A run: clients, faults and the real functions, for as long as the operations last, and then calm until all rest."""

import contextlib
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import botocore.endpoint
import pytest

import get_message.app
import get_message.sync
from clients.proving.history import Booking, Fields, History
from get_message.history import PageCache
from navietakie import beside
from navietakie.domain import frames, instants
from navietakie.observability import logger
from navietakie.wire.connections_api import ConnectionsApi
from tests.chaos.clients import Company, Phone
from tests.chaos.scheduler import Begun, Clock, Scheduler
from tests.chaos.world import CALM, Faults, World
from tests.fakes.wire import wired

START = instants.from_text("2026-03-01T08:00:00.000000Z")
PACKAGES = ("navietakie", "send_message", "make_call", "get_message", "websocket")
RING_SECONDS = 5
FRAME_BYTES = 2_000
"""So that a sync's answer takes several frames, which may get lost or overtake each other."""
HEALING_SECONDS = 45.0
"""Until every timer that is under way has come: a side may be away 30 s, a close may take 30 s to show."""
DEVICES = (("driver", "phone"), ("passenger", "phone"), ("passenger", "tablet"))

Break = Callable[[pytest.MonkeyPatch], None]
"""Breaks the code on purpose."""


def run(
    seed: int,
    *,
    endpoint: str | None = None,
    operations: int = 1_000,
    bookings: int = 4,
    faults: Faults | None = None,
    broken: Break = lambda _: None,
) -> History:
    """The history that this seed makes with at least so many operations, on the DynamoDB at `endpoint` or in memory."""
    history = History(seed=seed)
    world = stage(
        seed,
        lambda world: _conduct(world, history, operations, bookings),
        endpoint=endpoint,
        faults=faults,
        broken=broken,
    )
    history.events.extend(world.events)
    return history


def stage(
    seed: int,
    act: Callable[[World], None],
    *,
    endpoint: str | None = None,
    faults: Faults | None = None,
    broken: Break = lambda _: None,
) -> World:
    """Runs `act` as a strand of a world of this seed, until nothing is due any more."""
    others_luck = random.getstate()
    with pytest.MonkeyPatch.context() as patch, wired(patch, endpoint) as wire, contextlib.redirect_stdout(None):
        patch.setenv("RING_TIMEOUT_SECONDS", str(RING_SECONDS))
        for module in (frames, get_message.sync):
            patch.setattr(module, "FRAME_BYTES", FRAME_BYTES)
        scheduler = Scheduler(START)
        world = World(seed, scheduler, wire, faults or Faults())
        _depend_on_nothing_but(seed, patch, scheduler, world)
        broken(patch)
        scheduler.start(partial(act, world))
        try:
            scheduler.run()
        finally:
            random.setstate(others_luck)
    return world


def _depend_on_nothing_but(seed: int, patch: pytest.MonkeyPatch, scheduler: Scheduler, world: World) -> None:
    clock = Clock(scheduler)
    for module in _modules_that_know_the_time():
        patch.setattr(module, "time", clock)
    random.seed(seed)
    ids = random.Random(f"ids of {seed}")
    patch.setattr(beside, "begun", partial(Begun, scheduler))
    patch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=ids.getrandbits(128), version=4))
    patch.setattr(secrets, "token_hex", lambda length: ids.randbytes(length).hex())
    patch.setattr(ConnectionsApi, "post", lambda _, posts: world.post(posts))
    patch.setattr(ConnectionsApi, "close", lambda _, connection_id: world.close(connection_id))
    patch.setattr(ConnectionsApi, "close_all", lambda _, connection_ids: world.close_all(connection_ids))
    patch.setattr(get_message.app, "pages", PageCache())
    for level in ("info", "warning", "error"):
        patch.setattr(logger, level, lambda *_, **__: None)


def _modules_that_know_the_time() -> list[ModuleType]:
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in PACKAGES]
    return [module for module in [*ours, botocore.endpoint] if getattr(module, "time", None) is time]


def _conduct(world: World, history: History, operations: int, bookings: int) -> None:
    scheduler = world.scheduler
    phones: list[Phone] = []
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
        for sender, device in DEVICES:
            phone = Phone(world, booking, sender, f"{booking}-{sender}-{device}")
            phones.append(phone)
            scheduler.start(phone.connect)
            work(partial(phone.live, -(-operations // (bookings * len(DEVICES)))))
        work(partial(Company(world, booking).live, 2))
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
    for call in found["calls"]:
        if call["state"] == "connected":
            phone.call("end", {"call_id": call["call_id"]})


def _read(world: World, booking: str) -> Booking:
    """Everything, by the public reads alone."""
    query: dict[str, str] = {"booking_code": booking, "order": "asc", "limit": "100"}
    messages, page = _pages(world, "get_message", "messages", query)
    calls, _ = _pages(world, "calls", "calls", {"booking_code": booking})
    return Booking(
        messages=messages,
        calls=calls[::-1],
        head_seq=page["head_seq"],
        epoch=page["epoch"],
        receipts=page["receipts"],
    )


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
