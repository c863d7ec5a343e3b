"""How much work one person can cause with requests that no app would send. It is counted, not assumed.

`pytest -s` prints the figures of the table in docs/security.md.
"""

import time
from typing import Any

import botocore.client
import pytest

import get_message.app
import make_call.app
import send_message.app
import websocket.app
from navietakie.domain import instants
from tests.fakes import tables
from tests.worlds.moto import World, world

__all__ = ["world"]

MESSAGES = 450
TEXT = "漢" * 5_000 + "x" * 9_000  # 24 KB, the size of a message with as much metadata as possible
SEND, CALL = ("POST", "/api/v1/send_message"), ("POST", "/api/v1/make_call")


class Reads:
    """What was read: requests, and KB as DynamoDB counts them (including what a filter drops)."""

    def __init__(self) -> None:
        self.requests, self.kb = 0, 0


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    counted, ask = Reads(), botocore.client.BaseClient._make_api_call  # pyright: ignore

    def counting(self: Any, operation: str, parameters: Any) -> Any:
        answer = ask(self, operation, parameters)
        if operation in ("Query", "GetItem"):
            counted.requests += 1
            size = len(TEXT.encode()) // 1024 if parameters["TableName"] == tables.NAMES["messages"] else 0
            counted.kb += size * answer.get("ScannedCount", 0)
        return answer

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counting)
    return counted


@pytest.fixture(autouse=True)
def limits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MESSAGE_RATE", "CALL_RATE"):
        monkeypatch.delenv(name, raising=False)


def fill(world: World) -> None:
    """A history of 11 MB of a passenger's messages."""
    first = time.time_ns() // 1_000 - MESSAGES * instants.SECOND
    stamps = [instants.to_text(first + number * instants.SECOND) for number in range(MESSAGES)]
    for seq, timestamp in enumerate(stamps, 1):
        item = {
            "booking_code": {"S": "test"},
            "timestamp": {"S": timestamp},
            "message_id": {"S": f"{seq}"},
            "seq": {"N": f"{seq}"},
            "sender": {"S": "passenger"},
            "message_type": {"S": "text"},
            "message": {"S": TEXT},
            "expires_at": {"N": "4102444800"},
        }
        world.dynamodb.put_item(TableName=tables.NAMES["messages"], Item=item)
    head = {"seq": {"N": f"{MESSAGES}"}, "last_timestamp": {"S": stamps[-1]}, "epoch": {"S": "e"}}
    key = {"booking_code": {"S": "test"}, "timestamp": {"S": "#head"}}
    world.dynamodb.put_item(TableName=tables.NAMES["messages"], Item=head | key)


def told(world: World, connection_id: str) -> int:
    return len(world.gateway.frames[connection_id])


def test_a_sync_from_the_first_day_of_an_11_mb_history(world: World, reads: Reads) -> None:
    fill(world)
    world.connect("d1", "driver")
    before = reads.kb
    world.socket(get_message.app.handler, "d1", {"action": "sync", "after": "1970-01-01T00:00:00.000000Z"})
    frames, out = told(world, "d1"), sum(map(len, world.gateway.bodies["d1"])) // 1024
    print(f"FIGURES sync from 1970: {frames} frames, {out} KB out, {reads.kb - before} KB read")
    assert (frames <= 8, out <= 256, reads.kb - before <= 1024) == (True, True, True)


def test_a_page_under_a_filter_that_nothing_passes(world: World, reads: Reads) -> None:
    fill(world)
    before = reads.kb
    query = {"booking_code": "test", "sender": "driver"}
    _, body, _ = world.rest(get_message.app.handler, "GET", "/api/v1/get_message", query=query)
    read = reads.kb - before
    print(f"FIGURES filtered page: {len(body['messages'])} messages, {read} KB read")
    assert body["next_cursor"]
    assert read <= 1024 + 32


def test_a_hundred_sends_of_one_id(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: at_once)
    world.connect("d2", "driver")  # the passenger has no connection
    hello = {"booking_code": "test", "sender": "driver", "message": "Hello", "client_message_id": "a"}
    statuses = [world.rest(send_message.app.handler, *SEND, hello)[0] for _ in range(100)]
    posts = told(world, "d2")
    events = [each["type"] for each in world.published()]
    print(f"FIGURES 100 sends of one id: {posts} posts, {len(events)} events, {statuses.count(429)} refused")
    assert (posts, len(events)) == (21, 21)


def test_thirty_rings(world: World) -> None:
    world.connect("p1", "passenger")
    for _ in range(30):
        call = {"booking_code": "test", "sender": "driver"}
        status, body, _ = world.rest(make_call.app.handler, *CALL, call | {"action": "initiate"})
        if status == 200:
            ids = {"call_id": body["call"]["call_id"]}
            world.rest(make_call.app.handler, *CALL, call | {"action": "end"} | ids)
    kept = sum(1 for row in world.rows("messages") if row.get("message_type", {}).get("S") == "call")
    events = len(world.published())
    print(f"FIGURES 30 rings: {events} events, {kept} messages, {told(world, 'p1')} posts")
    assert kept <= 6


def test_a_hundred_sockets_of_one_side(world: World) -> None:
    world.connect("d1", "driver")
    query = {"booking_code": "test", "sender": "passenger"}
    for number in range(100):
        world.lifecycle(websocket.app.handler, "$connect", f"p{number}", query)
    presence = told(world, "d1")
    world.gateway.frames.clear()
    world.socket(websocket.app.handler, "d1", {"action": "typing", "on": True})
    posts = sum(len(frames) for frames in world.gateway.frames.values())
    print(f"FIGURES 100 sockets: {presence} presence frames, then {posts} posts for one typing")
    assert (presence, posts) == (1, 10)


def test_repeats_old_calls_and_typing_in_a_closed_booking(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at = [time.time_ns()]
    monkeypatch.setattr(time, "time_ns", lambda: at[0])
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    driver = {"booking_code": "test", "sender": "driver"}
    hello = driver | {"message": "Hello", "client_message_id": "a"}
    world.rest(send_message.app.handler, *SEND, hello)
    _, body, _ = world.rest(make_call.app.handler, *CALL, driver | {"action": "initiate"})
    hang_up = driver | {"action": "end", "call_id": body["call"]["call_id"]}
    world.rest(make_call.app.handler, *CALL, hang_up)
    closed = {"message": "Closed", "message_type": "system", "metadata": {"event": "booking_closed"}}
    world.rest(send_message.app.handler, *SEND, {"booking_code": "test", "sender": "system", **closed})

    def reached() -> int:
        """How many of a hundred frames of each kind reach the passenger."""
        before = told(world, "p1")
        for _ in range(100):
            world.rest(send_message.app.handler, *SEND, hello)
            world.rest(make_call.app.handler, *CALL, hang_up)
            world.socket(websocket.app.handler, "d1", {"action": "typing", "on": True})
        return told(world, "p1") - before

    at_once = reached()
    at[0] += 61 * 10**9
    later = reached()
    print(f"FIGURES closed booking: {at_once} frames at once, {later} a minute later")
    assert (at_once, later) == (26, 0)
