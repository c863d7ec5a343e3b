"""The functions on a DynamoDB that lags: the next request after an answer has to see what the answer said.

Eventually consistent reads see nothing of what a test has written; in the last test a seed chooses what they see.
"""

from typing import Any

import pytest

from get_message.app import handler as get_message
from make_call.app import handler as make_call
from navietakie import warm
from navietakie.aws.tables.connections import connections
from navietakie.domain import instants
from send_message.app import handler as send_message
from tests.fakes import tables
from tests.fakes.dynamodb import DynamoDb, lag_of
from tests.worlds.moto import World
from websocket.app import handler as websocket

BOOKING = {"booking_code": "test"}


def say(world: World, text: str, client_message_id: str | None = None, **fields: Any) -> Any:
    body = {**BOOKING, "sender": "driver", "message": text, "client_message_id": client_message_id, **fields}
    status, answer, _ = world.rest(send_message, "POST", "/api/v1/send_message", body)
    assert status in (200, 201), answer
    return answer


def page(world: World) -> list[str]:
    _, body, _ = world.rest(get_message, "GET", "/api/v1/get_message", query={**BOOKING, "order": "asc"})
    assert len(body["messages"]) == body["head_seq"]
    return [message["message"] for message in body["messages"]]


def act(world: World, sender: str, action: str, call_id: str | None = None, **fields: Any) -> tuple[int, Any]:
    body = {**BOOKING, "sender": sender, "action": action, **({"call_id": call_id} if call_id else {}), **fields}
    status, answer, _ = world.rest(make_call, "POST", "/api/v1/make_call", body)
    return status, answer["call"] if status == 200 else answer["error"]


def join(world: World, connection_id: str = "d1", sender: str = "driver") -> None:
    answer = world.lifecycle(websocket, "$connect", connection_id, {**BOOKING, "sender": sender})
    assert answer["statusCode"] == 200


def test_this_world_really_lags(world: World, lagging: DynamoDb) -> None:
    world.connect("d1", "driver")
    table = tables.NAMES["connections"]
    key = {"connection_id": {"S": "d1"}}
    assert "Item" not in world.dynamodb.get_item(TableName=table, Key=key)
    assert "Item" in world.dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)
    now = instants.from_text("2026-03-01T10:00:00.000000Z")
    assert connections().of_booking("test", now) == []
    lagging.settle()
    assert "Item" in world.dynamodb.get_item(TableName=table, Key=key)
    assert len(connections().of_booking("test", now)) == 1
    world.dynamodb.delete_item(TableName=table, Key=key)
    assert "Item" in world.dynamodb.get_item(TableName=table, Key=key)
    assert len(connections().of_booking("test", now)) == 1


def test_the_first_frame_after_a_connect_comes_from_somebody_known(world: World, lagging: DynamoDb) -> None:
    join(world)
    (pong,) = world.socket(websocket, "d1", {"action": "ping", "id": "1"})
    assert (pong["type"], pong["presence"]["driver"]) == ("pong", True)


def test_what_was_just_stored_is_on_the_page_in_the_sync_and_in_the_pong(world: World, lagging: DynamoDb) -> None:
    join(world)
    first = say(world, "one")["message"]
    say(world, "two")
    assert page(world) == ["one", "two"]
    (newest,) = world.socket(get_message, "d1", {"action": "sync"})
    assert [message["message"] for message in newest["messages"]] == ["one", "two"]
    (missed,) = world.socket(get_message, "d1", {"action": "sync", "after": first["timestamp"]})
    assert ([message["message"] for message in missed["messages"]], missed["through_seq"]) == (["two"], 2)
    (pong,) = world.socket(websocket, "d1", {"action": "ping"})
    assert pong["head_seq"] == 2


def test_a_retry_right_after_its_first_try_is_a_repeat(world: World, lagging: DynamoDb) -> None:
    first = say(world, "one", "m1")
    again = say(world, "one", "m1")
    assert (again["duplicate"], again["message"]) == (True, first["message"])


def test_a_redacted_text_is_not_read_anywhere_after_the_answer(world: World, lagging: DynamoDb) -> None:
    message = say(world, "a secret", "m1")["message"]
    body = {**BOOKING, "sender": "driver", "redact": message["timestamp"]}
    assert world.rest(send_message, "POST", "/api/v1/send_message", body)[0] == 201
    assert page(world) == ["", "Message removed"]
    assert say(world, "a secret", "m1")["message"]["message"] == ""
    assert world.rest(send_message, "POST", "/api/v1/send_message", body)[0] == 200


def test_an_order_holds_from_the_moment_it_is_answered(world: World, lagging: DynamoDb) -> None:
    join(world)
    order = {"event": "side_muted", "side": "driver"}
    say(world, "Quiet", sender="system", message_type="system", metadata=order)
    body = {**BOOKING, "sender": "driver", "message": "Hello"}
    assert world.rest(send_message, "POST", "/api/v1/send_message", body)[1]["error"]["code"] == "muted"
    assert act(world, "driver", "initiate")[1]["code"] == "muted"
    (error,) = world.socket(websocket, "d1", {"action": "typing", "on": True})
    assert error["error"]["code"] == "muted"


def test_every_door_shows_a_call_as_the_last_answer_said(world: World, lagging: DynamoDb) -> None:
    join(world)

    def seen() -> Any:
        (pong,) = world.socket(websocket, "d1", {"action": "ping"})
        (sync,) = world.socket(get_message, "d1", {"action": "sync"})
        assert (pong["call"]["state"], pong["call"]["version"]) == (sync["call"]["state"], sync["call"]["version"])
        _, log, _ = world.rest(make_call, "GET", "/api/v1/calls", query=BOOKING)
        assert log["calls"][0]["state"] == sync["call"]["state"]
        return sync["call"]["state"]

    _, call = act(world, "driver", "initiate")
    assert seen() == "ringing"
    assert act(world, "passenger", "accept", call["call_id"])[0] == 200
    assert seen() == "connected"
    assert act(world, "driver", "end", call["call_id"])[0] == 200
    assert seen() == "ended"
    act(world, "driver", "initiate")
    status, error = act(world, "passenger", "accept", call["call_id"])
    assert (status, error["code"]) == (409, "illegal_transition")
    assert act(world, "driver", "report", call["call_id"], report={"setup_ms": 300})[0] == 200


@pytest.mark.parametrize("seed", range(5))
def test_two_sides_talk_and_call_and_nothing_is_lost_whatever_the_seed_shows(
    world: World, lagging: DynamoDb, seed: int
) -> None:
    lagging.lag = lag_of(seed)
    join(world)
    for number in range(12):
        sent = say(world, str(number), f"m{number}", sender=("driver", "passenger")[number % 2])
        assert sent["message"]["seq"] == number + 1
        say(world, str(number), f"m{number}", sender=("driver", "passenger")[number % 2])
        (sync,) = world.socket(get_message, "d1", {"action": "sync", "after": "2026-01-01T00:00:00Z"})
        assert [message["seq"] for message in sync["messages"]] == list(range(1, number + 2))
    for _ in range(3):
        _, call = act(world, "driver", "initiate")
        assert act(world, "passenger", "accept", call["call_id"])[0] == 200
        assert act(world, "driver", "end", call["call_id"])[0] == 200
    assert len(page(world)) == 15
    warm.forget()
    assert len(page(world)) == 15
