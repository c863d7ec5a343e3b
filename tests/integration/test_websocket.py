"""websocket's handler: connects and disconnects, typing, pings, and unknown frames."""

import io
import time
from typing import Any

import pytest

import make_call.app
from navietakie.aws.tables import dynamo
from navietakie.aws.tables.calls import calls
from navietakie.aws.tables.connections import connections
from navietakie.aws.tables.messages import messages
from navietakie.observability import logger
from tests.fakes import tables
from tests.integration.test_get_message import write
from tests.worlds.moto import World
from websocket.app import handler

DRIVER = {"booking_code": "test", "sender": "driver"}


def connect(world: World, connection_id: str, query: dict[str, str] | None = None, **how: Any) -> int:
    return world.lifecycle(handler, "$connect", connection_id, DRIVER if query is None else query, **how)["statusCode"]


def disconnect(world: World, connection_id: str) -> int:
    return world.lifecycle(handler, "$disconnect", connection_id)["statusCode"]


def test_a_connection_is_recorded_the_others_are_told_and_the_new_one_gets_nothing(world: World) -> None:
    world.connect("p1", "passenger")
    assert connect(world, "d1", {**DRIVER, "device_id": "phone", "sender_id": "driver-7"}) == 200
    (row,) = [row for row in world.rows("connections") if row["connection_id"]["S"] == "d1"]
    assert (row["booking_code"]["S"], row["sender"]["S"], row["device_id"]["S"]) == ("test", "driver", "phone")
    assert 7_790 <= int(row["expires_at"]["N"]) - time.time() <= 7_800
    (frame,) = world.gateway.frames["p1"]
    assert (frame["type"], frame["sender"], frame["online"]) == ("presence", "driver", True)
    assert world.gateway.frames["d1"] == []


def test_a_row_that_a_lagging_read_does_not_show_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client, asked = dynamo.client(), list[bool]()
    real = client.get_item

    def lagging(**how: Any) -> Any:
        if "connection_id" not in how["Key"]:
            return real(**how)
        asked.append(how["ConsistentRead"])
        return real(**how) if how["ConsistentRead"] else {}

    monkeypatch.setattr(client, "get_item", lagging)
    assert connect(world, "d1") == 200
    assert [frame["type"] for frame in world.socket(handler, "d1", {"action": "ping"})] == ["pong"]
    assert [frame["type"] for frame in world.socket(handler, "d2", {"action": "ping"})] == ["error"]
    assert asked == [False, True, False, True]


def test_booking_id_is_another_name_of_booking_code(world: World) -> None:
    assert connect(world, "d1", {"booking_id": "test", "sender": "driver", "type": "app"}) == 200
    assert world.connection_ids() == {"d1"}


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"booking_code": "test"},
        {"sender": "driver"},
        {"booking_code": "a/b", "sender": "driver"},
        {"booking_code": "test", "booking_id": "other", "sender": "driver"},
        {"booking_code": "test", "sender": "boss"},
        {"booking_code": "test", "sender": "driver", "device_id": "x" * 129},
    ],
)
def test_a_connect_without_its_parameters_is_refused(world: World, query: dict[str, str]) -> None:
    assert connect(world, "d1", query) == 400
    assert world.rows("connections") == []


def test_a_setting_that_keeps_everybody_out_is_named_in_the_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    monkeypatch.delenv("CONNECTIONS_TABLE")
    assert connect(world, "d1") == 500
    assert "CONNECTIONS_TABLE" in log.getvalue()


def test_the_subprotocol_is_selected_when_offered(world: World) -> None:
    offered = {"Sec-WebSocket-Protocol": "navietakie.v1, bearer.x"}
    answer = world.lifecycle(handler, "$connect", "d1", DRIVER, headers=offered)
    assert answer["headers"] == {"Sec-WebSocket-Protocol": "navietakie.v1"}
    assert world.lifecycle(handler, "$connect", "d2", DRIVER)["headers"] == {}


def test_a_page_from_elsewhere_may_not_connect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://app.example")
    assert connect(world, "d1", headers={"Origin": "https://evil.example"}) == 403
    assert connect(world, "d2", headers={"origin": "null"}) == 403
    assert connect(world, "d3", headers={"Origin": "https://app.example"}) == 200
    assert connect(world, "d4") == 200
    assert world.connection_ids() == {"d3", "d4"}


def test_leaving_deletes_the_row_and_the_last_of_a_side_is_told(world: World) -> None:
    for connection_id, sender in (("d1", "driver"), ("d2", "driver"), ("p1", "passenger")):
        world.connect(connection_id, sender)
    assert disconnect(world, "d1") == 200
    assert world.gateway.frames["p1"] == []
    disconnect(world, "d2")
    (frame,) = world.gateway.frames["p1"]
    assert (frame["sender"], frame["online"], frame["presence"]) == (
        "driver",
        False,
        {"driver": False, "passenger": True, "agent": False},
    )
    assert world.connection_ids() == {"p1"}


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_disconnect_before_its_connect_leaves_no_ghost(world: World, times: int) -> None:
    for _ in range(times):
        assert disconnect(world, "d1") == 200
    assert connect(world, "d1") == 404
    assert world.connection_ids() == set()


def test_a_disconnect_twice_or_without_a_connect_is_harmless(world: World) -> None:
    connect(world, "d1")
    assert [disconnect(world, "d1"), disconnect(world, "d1"), disconnect(world, "never")] == [200, 200, 200]
    assert world.connection_ids() == set()


@pytest.mark.parametrize("row", [{}, {"sender": {"S": "driver"}}])
def test_a_malformed_row_does_not_stop_connects_and_disconnects(world: World, row: dict[str, Any]) -> None:
    world.put_row("odd", **row)
    world.connect("p1", "passenger")
    assert [connect(world, "d1"), disconnect(world, "d1"), disconnect(world, "odd")] == [200, 200, 200]
    assert world.connection_ids() == {"p1"}


def test_typing_goes_to_the_others(world: World) -> None:
    for connection_id, sender in (("d1", "driver"), ("d2", "driver"), ("p1", "passenger")):
        world.connect(connection_id, sender)
    assert world.socket(handler, "d1", {"action": "typing", "on": True}) == []
    for connection_id in ("d2", "p1"):
        (frame,) = world.gateway.frames[connection_id]
        assert (frame["type"], frame["sender"], frame["on"]) == ("typing", "driver", True)


def away(world: World, connection_id: str, on: bool, **how: Any) -> None:
    assert world.socket(handler, connection_id, {"action": "away", "on": on}, **how) == []


def pong(world: World, connection_id: str) -> Any:
    (frame,) = world.socket(handler, connection_id, {"action": "ping"})
    return frame


def test_an_app_in_the_background_is_not_present_and_gets_every_frame(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    away(world, "p1", True)
    (frame,) = world.gateway.frames["d1"]
    assert (frame["type"], frame["sender"], frame["online"]) == ("presence", "passenger", False)
    assert frame["presence"] == pong(world, "p1")["presence"]
    assert (frame["presence"]["driver"], frame["presence"]["passenger"]) == (True, False)
    assert (pong(world, "p1")["away"], pong(world, "d1")["away"]) == (True, False)
    world.socket(handler, "d1", {"action": "typing", "on": True})
    assert world.gateway.types("p1")[-1] == "typing"
    away(world, "p1", False)
    assert world.gateway.frames["d1"][-1]["online"] is True
    assert pong(world, "p1")["away"] is False


def test_presence_is_told_only_where_it_changes(world: World) -> None:
    world.connect("d1", "driver")
    for name in ("p1", "p2"):
        world.connect(name, "passenger")
    away(world, "p1", True)
    away(world, "p1", True)
    assert world.gateway.frames["d1"] == []
    away(world, "p2", True)
    assert [frame["online"] for frame in world.gateway.frames["d1"]] == [False]
    disconnect(world, "p2")
    assert len(world.gateway.frames["d1"]) == 1
    assert connect(world, "p3", {"booking_code": "test", "sender": "passenger"}) == 200
    assert connect(world, "p4", {"booking_code": "test", "sender": "passenger"}) == 200
    assert [frame["online"] for frame in world.gateway.frames["d1"]] == [False, True]


def test_of_two_away_frames_the_later_sent_counts_in_any_order_of_arrival(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    away(world, "p1", False, sent_at=2_000)
    away(world, "p1", True, sent_at=1_000)
    assert (pong(world, "p1")["away"], world.gateway.frames["d1"]) == (False, [])
    away(world, "p1", True, sent_at=3_000)
    assert pong(world, "p1")["away"] is True


def test_away_is_written_only_where_there_is_a_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.connect("p1", "passenger")
    row = connections().get("p1")
    disconnect(world, "p1")
    monkeypatch.setattr("navietakie.aws.tables.connections.Connections.get", lambda self, connection_id: row)
    away(world, "p1", True)
    assert world.connection_ids() == set()


@pytest.mark.parametrize("fields", [{}, {"on": None}, {"on": 1}, {"on": "true"}])
def test_away_says_yes_or_no(world: World, fields: Any) -> None:
    world.connect("d1", "driver")
    (error,) = world.socket(handler, "d1", {"action": "away", **fields})
    assert (error["error"]["code"], error["error"]["details"]) == ("invalid_request", {"field": "on"})


def test_a_ping_is_answered_with_the_standing(world: World) -> None:
    world.connect("d1", "driver")
    write(4)
    messages().move_receipt("test", "passenger", "delivered", 3)
    (pong,) = world.socket(handler, "d1", {"action": "ping", "id": "1"})
    assert (pong["type"], pong["id"], pong["head_seq"], pong["epoch"]) == ("pong", "1", 4, "the-epoch")
    assert pong["receipts"]["passenger"] == {"delivered": 3, "read": 0}
    assert pong["presence"] == {"driver": True, "passenger": False, "agent": False}
    assert pong["booking"] == {"closed_at": None, "muted": []}
    assert (pong["call"], pong["connection_id"]) == (None, "d1")
    assert calls().latest("test") is None


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ('{"action":"typing"}', "on"),
        ('{"action":"typing","on":1}', "on"),
        ('{"action":"unheard-of"}', "action"),
        ('{"action":5}', "action"),
        ("{}", "action"),
        ("pling", "body"),
        ('"ping"', "body"),
    ],
)
def test_an_unknown_action_or_a_malformed_frame_gets_an_error(world: World, raw: str, field: str) -> None:
    world.connect("d1", "driver")
    (error,) = world.socket(handler, "d1", raw=raw)
    assert (error["type"], error["error"]["code"]) == ("error", "invalid_request")
    assert error["error"]["details"] == {"field": field}
    assert world.connection_ids() == {"d1"}


@pytest.mark.parametrize("action", ["$connect", "$disconnect", "$default"])
def test_a_frame_with_the_action_connect_or_disconnect_is_only_a_frame(world: World, action: str) -> None:
    world.connect("d1", "driver")
    (error,) = world.socket(handler, "d1", {"action": action, "id": "1"})
    assert (error["id"], error["error"]["details"]) == ("1", {"field": "action"})
    assert world.connection_ids() == {"d1"}


def test_the_eleventh_connection_of_a_side_takes_the_oldest_ones_place(world: World) -> None:
    for number in range(10):
        world.connect(f"d{number}", "driver", connected_at={"S": f"2026-03-01T10:00:0{number}.000000Z"})
    world.connect("p1", "passenger")
    assert connect(world, "d10") == 200
    assert world.connection_ids() == {"p1", *(f"d{number}" for number in range(1, 11))}
    (told,) = world.gateway.frames["d0"]
    assert (told["type"], told["error"]["code"], told["error"]["retryable"]) == ("error", "connection_replaced", False)
    assert world.gateway.closed == ["d0"]
    assert world.gateway.frames["p1"] == []  # the side was present before, and still is


def connected_call(world: World) -> str:
    call = {"booking_code": "test", "sender": "driver", "action": "initiate"}
    _, body, _ = world.rest(make_call.app.handler, "POST", "/api/v1/make_call", call)
    call_id = body["call"]["call_id"]
    accept = {"booking_code": "test", "sender": "passenger", "action": "accept", "call_id": call_id}
    assert world.rest(make_call.app.handler, "POST", "/api/v1/make_call", accept)[0] == 200
    world.queued()
    return call_id


def test_a_ping_in_a_call_finds_that_the_other_sides_token_has_run_out(world: World) -> None:
    world.connect("d1", "driver")
    exp = int(time.time()) - 5
    world.connect("p1", "passenger", token_exp={"N": str(exp)})
    call_id = connected_call(world)
    world.socket(handler, "d1", {"action": "ping"})
    (left,) = world.queued()
    assert (left["kind"], left["call_id"], left["side"], left["left_at"]) == ("left", call_id, "passenger", exp * 10**6)
    world.connect("p2", "passenger", token_exp={"N": str(exp + 3_600)})
    world.socket(handler, "d1", {"action": "ping"})
    assert world.queued() == []


def test_a_side_that_never_had_a_connection_is_not_looked_for(world: World) -> None:
    world.connect("d1", "driver")
    connected_call(world)
    world.socket(handler, "d1", {"action": "ping"})
    assert world.queued() == []


def test_a_side_that_took_the_call_over_a_websocket_is_looked_for_even_if_its_row_is_gone(world: World) -> None:
    for connection_id, sender in (("d1", "driver"), ("p1", "passenger")):
        world.connect(connection_id, sender)
    (ack,) = world.socket(make_call.app.handler, "d1", {"action": "call", "call_action": "initiate"})
    ids = {"call_id": ack["call"]["call_id"]}
    world.socket(make_call.app.handler, "p1", {"action": "call", "call_action": "accept", **ids})
    world.queued()
    world.socket(handler, "d1", {"action": "ping"})
    assert world.queued() == []
    world.dynamodb.delete_item(TableName=tables.NAMES["connections"], Key={"connection_id": {"S": "p1"}})
    world.socket(handler, "d1", {"action": "ping"})
    (left,) = world.queued()
    assert (left["kind"], left["call_id"], left["side"]) == ("left", ids["call_id"], "passenger")
