"""The doors of get_message: what is looked up for whom, what a page costs, and what a sync sends and logs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import get_message.app
from get_message.app import cost_of_page
from get_message.attachment import URL_SECONDS
from navietakie.aws.tables.connections import Connection
from navietakie.domain import instants
from navietakie.domain.conversation import Head
from navietakie.domain.orders import Rights
from navietakie.doors.requests import Party, Request, SocketRequest
from navietakie.doors.standing import Standing
from navietakie.observability import logger

NOW = instants.from_text("2026-03-01T10:00:00.123456Z")
AFTER = instants.to_text(NOW - 1)
OWN = Connection("d1", "ride-1", "driver", instants.to_text(NOW), 2**40, sender_id="driver-7")
RIGHTS = Rights(muted={"driver": "then"})
HEAD = Head(seq=5, rights=RIGHTS)


@dataclass
class World:
    """The services behind the doors, which keep what they were asked for."""

    asked: list[Any] = field(default_factory=list[Any])
    outcomes: list[str] = field(default_factory=list[str])
    """What sending comes to, frame by frame; then `delivered`."""

    def head(self, booking_code: str) -> Head:
        self.asked.append(("head", booking_code))
        return HEAD

    def page(self, booking_code: str, query: Any, *, now: int, deadline: float, allowed: Any) -> Any:
        self.asked.append(("page", booking_code, query.limit, now, deadline))
        allowed(RIGHTS)
        return {"messages": []}

    def frames(self, booking_code: str, after: int, state: Any, head: Head, **how: Any) -> Iterator[Any]:
        self.asked.append(("frames", booking_code, after, state["call"], state["booking"], head, how))
        yield from ({"messages": ["m"] * count} for count in (3, 2, 1))

    def to_connection(self, connection: Connection, frame: Any, now: int) -> str:
        self.asked.append(("sent", connection.connection_id, len(frame["messages"]), now))
        return self.outcomes.pop(0) if self.outcomes else "delivered"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    it = World()
    monkeypatch.setattr(get_message.app, "messages", lambda: it)
    for name in ("calls", "connections"):
        monkeypatch.setattr(get_message.app, name, lambda: None)
    monkeypatch.setattr(get_message.app, "History", lambda *_: it)
    monkeypatch.setattr(get_message.app, "Sync", lambda *_: it)
    monkeypatch.setattr(get_message.app, "standing", lambda *_: Standing(HEAD, None, [OWN]))
    monkeypatch.setattr(SocketRequest, "broadcast", lambda _: it)
    monkeypatch.setattr(Request, "check_rights", lambda _, rights: it.asked.append(("checked", rights)))
    return it


def sync() -> dict[str, Any]:
    """Syncs. Returns what the log's line gets."""
    party = Party("ride-1", "driver", "driver-7", None)
    logger.append_keys(messages=None, head_seq=None)
    fields = {"action": "sync", "after": AFTER}
    get_message.app.on_sync(SocketRequest(OWN, party, fields, "c-1", NOW, 9.0, {}))
    return {name: logger.get_current_keys()[name] for name in ("messages", "head_seq")}


@pytest.mark.parametrize(
    ("fields", "cost"),
    [({}, 1), ({"limit": 100}, 1), ({"message_type": "text"}, 4), ({"sender": "driver"}, 4), ({"sender": ""}, 1)],
)
def test_a_page_with_a_filter_costs_four_units_and_another_one(fields: dict[str, Any], cost: int) -> None:
    assert cost_of_page(fields) == cost


def test_what_each_request_costs() -> None:
    costs = {route: cost for route, cost in get_message.app.budget.costs.items() if isinstance(cost, int)}
    assert costs == {"GET /api/v1/attachment": 1, "sync": 8}
    assert get_message.app.budget.costs["GET /api/v1/get_message"] is cost_of_page


def test_a_page_is_for_those_whose_rights_allow_it(world: World) -> None:
    request = Request({"booking_code": "ride-1", "limit": 7}, NOW, 9.0, {}, {})
    assert get_message.app.get(request) == (200, {"messages": []})
    assert world.asked == [("page", "ride-1", 7, NOW, 9.0), ("checked", RIGHTS)]


def test_an_address_of_an_attachment_is_for_those_whose_rights_allow_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("navietakie.aws.attachments.attachments", lambda: "the store")
    monkeypatch.setattr(get_message.app, "address", lambda *given, **how: (*given, how))
    monkeypatch.setenv("RETENTION_DAYS", "7")
    request = Request({"booking_code": "ride-1", "id": "a"}, NOW, 9.0, {}, {})
    status, (store, booking_code, query, how) = get_message.app.get_attachment(request)  # type: ignore[misc]
    assert (status, store, booking_code, query.id) == (200, "the store", "ride-1", "a")
    assert how == {"now": NOW, "retention_days": 7}
    assert world.asked == [("head", "ride-1"), ("checked", RIGHTS)]


def test_an_address_of_an_attachment_works_for_fifteen_minutes() -> None:
    assert URL_SECONDS == 15 * 60


def test_a_sync_sends_every_frame_and_logs_how_many_messages(world: World) -> None:
    assert sync() == {"messages": 6, "head_seq": 5}
    assert world.asked[0] == ("frames", "ride-1", AFTER, None, RIGHTS.booking, HEAD, {"now": NOW, "deadline": 9.0})
    assert world.asked[1:] == [("sent", "d1", count, NOW) for count in (3, 2, 1)]


@pytest.mark.parametrize("outcome", ["failed", "gone"])
def test_a_sync_ends_at_the_first_frame_that_does_not_arrive(world: World, outcome: str) -> None:
    world.outcomes = ["delivered", outcome]
    assert sync() == {"messages": 3, "head_seq": 5}
    assert len(world.asked) == 3
