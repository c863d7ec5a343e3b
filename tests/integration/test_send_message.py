"""send_message's handler, from event to answer, on moto and a real HTTP gateway."""

import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from make_call.app import handler as make_call
from navietakie.aws.tables import dynamo
from navietakie.domain import instants
from navietakie.observability import logger
from send_message.app import handler
from tests.fakes import tables
from tests.worlds.moto import World, fail
from websocket.app import handler as websocket

PATH = "/api/v1/send_message"
HELLO = {"booking_code": "test", "message": "Hello", "sender": "driver"}


def post(world: World, body: Any = None, **how: Any) -> tuple[int, Any, dict[str, str]]:
    return world.rest(handler, "POST", PATH, {**HELLO, **(body or {})}, **how)


def code(answer: tuple[int, Any, dict[str, str]]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


def stored(world: World) -> list[dict[str, Any]]:
    items = [item for item in world.rows("messages") if not item["timestamp"]["S"].startswith("#")]
    return sorted(items, key=lambda item: item["timestamp"]["S"])


def test_a_message_is_stored_and_received_by_both_sides(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    status, body, headers = post(world)
    assert status == 201
    assert body["duplicate"] is False
    assert body["delivery"] == {"connections": 2, "delivered": 2, "gone": 0, "failed": 0}
    assert body["message"]["seq"] == 1
    assert body["message"]["message"] == "Hello"
    for connection_id in ("d1", "p1"):
        (frame,) = world.gateway.frames[connection_id]
        assert (frame["v"], frame["type"], frame["booking_code"], frame["sender"]) == (1, "message", "test", "driver")
        assert frame["message"] == body["message"]
    assert headers["x-request-id"] == "rest-request"
    assert headers["Access-Control-Allow-Origin"] == "*"


def test_a_message_over_websocket_is_acknowledged_to_its_sender_and_pushed_to_the_others(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("d2", "driver")
    world.connect("p1", "passenger")
    (ack,) = world.socket(handler, "d1", {"action": "message", "message": "Hi", "id": "c-1"})
    assert (ack["type"], ack["id"], ack["duplicate"]) == ("ack", "c-1", False)
    assert ack["message"]["client_message_id"] == "c-1"
    assert world.gateway.types("d1") == ["ack"]
    assert world.gateway.types("d2") == world.gateway.types("p1") == ["message"]
    assert world.gateway.frames["p1"][0]["message"] == ack["message"]


def test_a_duplicate_is_answered_200_and_broadcast_again(world: World) -> None:
    world.connect("p1", "passenger")
    first = post(world, headers={"Idempotency-Key": "k 1"})
    again = post(world, {"client_message_id": "k 1"})
    assert (first[0], again[0], again[1]["duplicate"]) == (201, 200, True)
    assert again[1]["message"] == first[1]["message"]
    assert len(stored(world)) == 1
    assert [frame["message"]["message_id"] for frame in world.gateway.frames["p1"]] == [
        first[1]["message"]["message_id"]
    ] * 2


def test_an_idempotency_key_that_differs_from_the_body_is_refused(world: World) -> None:
    assert code(post(world, {"client_message_id": "a"}, headers={"idempotency-key": "b"})) == (400, "invalid_request")


def test_other_content_under_the_same_id_is_a_conflict(world: World) -> None:
    post(world, {"client_message_id": "a"})
    assert code(post(world, {"client_message_id": "a", "message": "Bye"})) == (409, "idempotency_conflict")
    assert [item["message"]["S"] for item in stored(world)] == ["Hello"]


def test_the_row_of_a_gone_connection_is_deleted_and_the_others_get_the_frame(world: World) -> None:
    for number in (1, 2, 3):
        world.connect(f"c{number}", "passenger")
    world.gateway.misbehave["c1"] = lambda: 410
    status, body, _ = post(world)
    assert (status, body["delivery"]) == (201, {"connections": 3, "delivered": 2, "gone": 1, "failed": 0})
    assert world.connection_ids() == {"c2", "c3"}
    assert world.gateway.types("c2") == world.gateway.types("c3") == ["message"]


def test_a_gone_receiver_does_not_delete_the_senders_row(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    world.gateway.misbehave["p1"] = lambda: 410
    world.socket(handler, "d1", {"action": "message", "message": "Hi"})
    assert world.connection_ids() == {"d1"}


def test_a_young_row_survives_its_410(world: World) -> None:
    now = instants.to_text(time.time_ns() // 1_000)
    world.connect("p1", "passenger", connected_at={"S": now})
    world.gateway.misbehave["p1"] = lambda: 410
    assert post(world)[1]["delivery"]["gone"] == 1
    assert world.connection_ids() == {"p1"}


def test_a_410_whose_delete_fails_is_still_a_success(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.connect("p1", "passenger")
    world.gateway.misbehave["p1"] = lambda: 410
    fail(monkeypatch, "DeleteItem", "ProvisionedThroughputExceededException")
    assert post(world)[0] == 201
    assert world.connection_ids() == {"p1"}


def test_a_slow_a_failing_and_a_refusing_receiver_delay_nobody_and_keep_their_rows(world: World) -> None:
    for connection_id in ("fine", "slow", "broken", "limited"):
        world.connect(connection_id, "passenger")
    at: dict[str, float] = {}

    def fine() -> int:
        at["fine"] = time.monotonic()
        return 200

    def slow() -> int:
        time.sleep(1.0)
        at["slow"] = time.monotonic()
        return 200

    world.gateway.misbehave.update(fine=fine, slow=slow, broken=lambda: 500, limited=lambda: 429)
    _, body, _ = post(world)
    assert body["delivery"] == {"connections": 4, "delivered": 2, "gone": 0, "failed": 2}
    assert at["fine"] < at["slow"]
    assert len(world.connection_ids()) == 4


def test_expired_rows_and_rows_past_their_token_are_not_posted_to(world: World) -> None:
    world.connect("old", "passenger", expires_at={"N": "1"})
    world.connect("past", "passenger", token_exp={"N": str(int(time.time()) - 1)})
    world.connect("good", "passenger", token_exp={"N": str(int(time.time()) + 60)})
    assert post(world)[1]["delivery"]["connections"] == 1
    assert list(filter(None, world.gateway.frames.values())) == [world.gateway.frames["good"]]


FOREIGN = {"sender": {"S": "passenger"}, "connected_at": {"S": "2026-01-01T00:00:00.000000Z"}}


@pytest.mark.parametrize(
    "row",
    [
        {"sender": {"S": "passenger"}, "expires_at": {"N": "4000000000"}},
        {**FOREIGN, "connected_at": {"N": "5"}},
        FOREIGN,
        {**FOREIGN, "expires_at": {"S": "tomorrow"}},
        {**FOREIGN, "expires_at": {"N": "4000000000.5"}},
        {**FOREIGN, "sender_id": {"NULL": True}, "device_id": {"L": []}},
    ],
)
def test_a_row_that_somebody_else_has_put_receives_and_is_deleted_when_it_is_gone(
    world: World, row: dict[str, Any]
) -> None:
    world.connect("p1", "passenger")
    world.put_row("odd", **row)
    status, body, _ = post(world)
    assert (status, body["delivery"]) == (201, {"connections": 2, "delivered": 2, "gone": 0, "failed": 0})
    world.gateway.misbehave["odd"] = lambda: 410
    assert post(world)[1]["delivery"] == {"connections": 2, "delivered": 1, "gone": 1, "failed": 0}
    assert world.connection_ids() == {"p1"}


@pytest.mark.parametrize(
    "row", [{}, {"sender": {"N": "1"}}, {"sender": {"S": "dispatcher"}}, {**FOREIGN, "token_exp": {"S": "never"}}]
)
def test_a_row_that_cannot_be_used_does_not_stop_the_message(world: World, row: dict[str, Any]) -> None:
    world.connect("p1", "passenger")
    world.put_row("odd", **row)
    status, body, _ = post(world)
    assert (status, body["delivery"]) == (201, {"connections": 1, "delivered": 1, "gone": 0, "failed": 0})
    assert world.gateway.frames["odd"] == []


def test_a_connection_whose_row_names_no_sender_is_told_and_closed(world: World) -> None:
    world.put_row("odd")
    (error,) = world.socket(handler, "odd", {"action": "message", "message": "x", "id": "1"})
    assert (error["id"], error["error"]["code"]) == ("1", "not_found")
    assert world.gateway.closed == ["odd"]


def test_every_page_of_connections_is_posted_to(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(25):
        world.connect(f"c{number}", "passenger")
    events = dynamo.client().meta.events

    def small_pages(params: dict[str, Any], **_: Any) -> None:
        params["Limit"] = 10

    events.register("before-parameter-build.dynamodb.Query", small_pages)
    assert post(world)[1]["delivery"]["delivered"] == 25


def test_a_message_whose_connections_cannot_be_looked_up_is_accepted_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect("p1", "passenger")
    fail(monkeypatch, "Query", "ThrottlingException")
    status, body, _ = post(world)
    assert (status, body["delivery"]["connections"], body["delivery"]["error"]) == (201, 0, "unavailable")
    assert len(stored(world)) == 1


def test_a_throttled_store_is_retried_and_stores_one_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fail(monkeypatch, "TransactWriteItems", "ThrottlingException", times=2)
    assert post(world)[0] == 201
    assert len(calls) == 3
    assert len(stored(world)) == 1


def test_a_store_that_stays_throttled_is_unavailable_and_nothing_is_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect("p1", "passenger")
    fail(monkeypatch, "TransactWriteItems", "ThrottlingException")
    answer = post(world)
    assert code(answer) == (503, "unavailable")
    assert answer[2]["Retry-After"] == "1"
    assert stored(world) == []
    assert world.gateway.frames["p1"] == []


def test_a_stored_message_whose_answer_is_lost_is_found_by_the_retry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is done, its answer gets lost, and botocore repeats the same bytes."""
    real = dynamo.client().transact_write_items
    lost: list[int] = []

    def lose_the_first(**how: Any) -> Any:
        if not lost:
            real(**how)
            lost.append(1)
        return real(**how)

    monkeypatch.setattr(dynamo.client(), "transact_write_items", lose_the_first)
    answer = post(world, {"client_message_id": "a"})
    assert (answer[0], answer[1]["duplicate"], len(stored(world))) == (201, False, 1)


def test_one_connection_of_the_own_side_can_be_left_out(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("d2", "driver")
    world.connect("p1", "passenger")
    post(world, headers={"X-Exclude-Connection": "d1"})
    assert (world.gateway.types("d1"), world.gateway.types("d2")) == ([], ["message"])
    post(world, headers={"X-Exclude-Connection": "p1"})
    assert world.gateway.types("p1") == ["message", "message"]


def test_receipts_are_stored_answered_and_pushed_once(world: World) -> None:
    world.connect("d1", "driver")
    post(world)
    receipt = {"booking_code": "test", "sender": "passenger", "read": 1}
    status, body, _ = world.rest(handler, "POST", PATH, receipt)
    assert (status, body) == (
        200,
        {"receipts": {"driver": {"delivered": 0, "read": 0}, "passenger": {"delivered": 1, "read": 1}}},
    )
    assert world.rest(handler, "POST", PATH, receipt)[1] == body
    frame = world.gateway.frames["d1"][-1]
    assert world.gateway.types("d1") == ["message", "receipt"]
    assert (frame["sender"], frame["action"], frame["seq"]) == ("passenger", "read", 1)
    assert frame["receipts"] == body["receipts"]


def test_delivered_below_what_was_read_is_told_to_nobody(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    for _ in range(5):
        post(world)
    assert world.socket(handler, "p1", {"action": "read", "seq": 5}) == []
    told = world.gateway.types("d1")
    assert told[-1] == "receipt"
    assert world.socket(handler, "p1", {"action": "delivered", "seq": 3}) == []
    receipt = {"booking_code": "test", "sender": "passenger", "delivered": 3}
    _, body, _ = world.rest(handler, "POST", PATH, receipt)
    assert body["receipts"]["passenger"] == {"delivered": 5, "read": 5}
    assert world.gateway.types("d1") == told


def test_a_repeat_within_a_minute_is_told_to_all_again_and_a_later_one_answered_to_its_sender_alone(
    world: World, later: Callable[[float], None]
) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    hello = {"action": "message", "message": "Hi", "id": "c-1"}

    def say() -> tuple[list[str], list[str]]:
        had = len(world.gateway.types("p1"))
        return [frame["type"] for frame in world.socket(handler, "d1", hello)], world.gateway.types("p1")[had:]

    assert say() == (["ack"], ["message"])
    later(59)
    assert say() == (["ack"], ["message"])
    later(2)
    assert say() == (["ack"], [])
    repeat = {"message": "Hi", "client_message_id": "c-1"}
    status, body, _ = post(world, repeat)
    assert (status, body["duplicate"], body["delivery"]["connections"]) == (200, True, 0)
    assert world.gateway.types("p1") == ["message"] * 2


def test_receipts_over_websocket_reach_the_others_and_not_the_sender(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    post(world)
    assert world.socket(handler, "p1", {"action": "delivered", "seq": 1}) == []
    assert world.gateway.types("d1") == ["message", "receipt"]


@pytest.mark.parametrize(
    "receipt", [{"read": 2}, {"read": 0}, {"read": True}, {"read": 1, "delivered": 1}, {"read": "1"}]
)
def test_a_receipt_for_what_does_not_exist_is_refused(world: World, receipt: dict[str, Any]) -> None:
    post(world)
    answer = world.rest(handler, "POST", PATH, {"booking_code": "test", "sender": "passenger", **receipt})
    assert code(answer) == (400, "invalid_request")
    assert answer[1]["error"]["details"]["field"] == ("delivered" if "delivered" in receipt else "read")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"booking_code": None}, "booking_code"),
        ({"booking_code": "a#b"}, "booking_code"),
        ({"booking_code": "../x"}, "booking_code"),
        ({"booking_code": "a\n"}, "booking_code"),
        ({"booking_code": "x" * 65}, "booking_code"),
        ({"booking_code": "_x"}, "booking_code"),
        ({"sender": "dispatcher"}, "sender"),
        ({"sender": None}, "sender"),
        ({"message": ""}, "message"),
        ({"message": "x" * 5_001}, "message"),
        ({"message": 7}, "message"),
        ({"message_type": "image"}, "message_type"),
        ({"client_message_id": ""}, "client_message_id"),
        ({"client_message_id": "x" * 65}, "client_message_id"),
        ({"client_message_id": "ü"}, "client_message_id"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"location": {"lat": 91, "lng": 0}}}, "metadata.location.lat"),
        ({"metadata": {"location": {"lat": True, "lng": 0}}}, "metadata.location.lat"),
        ({"metadata": {"location": {"lat": 1}}}, "metadata.location.lng"),
        ({"metadata": {"location": "here"}}, "metadata.location"),
        ({"metadata": {"quick_reply_id": 5}}, "metadata.quick_reply_id"),
    ],
)
def test_a_bad_field_is_named(world: World, change: dict[str, Any], field: str) -> None:
    answer = post(world, change)
    assert code(answer) == (400, "invalid_request")
    assert answer[1]["error"]["details"]["field"] == field
    assert answer[1]["error"]["message"].startswith(f"{field}: ")
    assert "Location" not in answer[1]["error"]["message"]
    assert stored(world) == []


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"text"',
        '{"booking_code": NaN}',
        "[" * 20_000,
        '{"a":' * 5_000,
        '{"booking_code":"test","sender":"driver","message":"\\ud800"}',
        '{"booking_code":"test","sender":"driver","message":"a\\u0000b"}',
        '{"booking_code":"test","sender":"driver","message":"x","metadata":{"\\u0000":1}}',
        '{"booking_code":"test","sender":"driver","message":"x","metadata":{"a":1e999}}',
    ],
)
def test_a_body_that_is_no_json_object_or_has_an_invalid_text_is_refused(world: World, raw: str) -> None:
    assert code(world.rest(handler, "POST", PATH, raw=raw)) == (400, "invalid_request")
    assert stored(world) == []


@pytest.mark.parametrize("odd", ["\\u0000", "\\ud800"])
@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ('{"booking_code":"test","sender":"driver","message":"a?b"}', "message"),
        ('{"booking_code":"test","sender":"driver","message":"x","metadata":{"a":[{"b":"?"}]}}', "metadata"),
        ('{"booking_code":"test","sender":"driver","message":"x","metadata":{"?":1}}', "metadata"),
        ('{"booking_code":"test","sender":"driver","message":"x","?":1}', "body"),
    ],
)
def test_a_text_that_cannot_be_returned_unchanged_is_refused_with_its_field(
    world: World, raw: str, field: str, odd: str
) -> None:
    status, body, _ = world.rest(handler, "POST", PATH, raw=raw.replace("?", odd))
    assert (status, body["error"]["details"]) == (400, {"field": field})
    assert stored(world) == []


def test_a_message_that_is_null_is_missing(world: World) -> None:
    world.rest(handler, "POST", PATH, {"booking_code": "test", "sender": "passenger", "message": "Hello"})
    receipt = {"booking_code": "test", "sender": "driver", "read": 1, "message": None}
    status, body, _ = world.rest(handler, "POST", PATH, receipt)
    assert (status, body["receipts"]["driver"]["read"]) == (200, 1)


def test_an_escaped_backslash_before_u0000_is_text(world: World) -> None:
    raw = '{"booking_code":"test","sender":"driver","message":"\\\\u0000"}'
    assert world.rest(handler, "POST", PATH, raw=raw)[1]["message"]["message"] == "\\u0000"


@pytest.mark.parametrize(
    "text", ["👩‍👩‍👧‍👦 שלום עולם", "\u202eabc", "e\u0301 é", "  spaces\t\n", "\ufeffa", "\U0010ffff"]
)
def test_text_is_stored_byte_for_byte(world: World, text: str) -> None:
    world.connect("p1", "passenger")
    assert post(world, {"message": text})[1]["message"]["message"] == text
    assert stored(world)[0]["message"]["S"] == text
    assert text in world.gateway.bodies["p1"][0].decode() or json.dumps(text)[1:-1].isascii()
    assert world.gateway.frames["p1"][0]["message"]["message"] == text


def test_a_body_of_one_byte_too_many_is_too_large_in_bytes_of_utf8(world: World) -> None:
    def body_of(size: int) -> str:
        frame = json.dumps({**HELLO, "pad": ""}, ensure_ascii=False)
        room = size - len(frame.encode())
        return json.dumps({**HELLO, "pad": "é" * (room // 2) + "x" * (room % 2)}, ensure_ascii=False)

    assert len(body_of(32_768).encode()) == 32_768
    assert world.rest(handler, "POST", PATH, raw=body_of(32_768))[0] == 201
    assert code(world.rest(handler, "POST", PATH, raw=body_of(32_769))) == (413, "too_large")


def test_metadata_above_4_kb_is_too_large(world: World) -> None:
    assert code(post(world, {"metadata": {"a": "x" * 4_096}})) == (413, "too_large")
    assert post(world, {"metadata": {"a": "x" * 4_088}})[0] == 201


def test_too_many_messages_are_told_when_to_come_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESSAGE_RATE", "0.1")
    monkeypatch.setenv("MESSAGE_BURST", "2")
    assert [post(world)[0] for _ in range(2)] == [201, 201]
    answer = post(world)
    assert code(answer) == (429, "rate_limited")
    assert 1 <= int(answer[2]["Retry-After"]) <= 10
    world.connect("d1", "driver")
    (error,) = world.socket(handler, "d1", {"action": "message", "message": "x", "id": "c"})
    assert (error["type"], error["id"], error["error"]["code"]) == ("error", "c", "rate_limited")
    assert error["error"]["retryable"] is True
    assert 0 < error["error"]["retry_after_ms"] <= 10_000


def test_closing_queues_a_timer_publishes_and_refuses_the_sides_until_reopened(world: World) -> None:
    system = {"sender": "system", "message_type": "system"}
    assert post(world, {**system, "metadata": {"event": "booking_closed"}})[0] == 201
    assert [(timer["kind"], timer["booking_code"]) for timer in world.queued()] == [("order", "test")]
    assert [event["type"] for event in world.published()] == ["booking.closed"]
    assert code(post(world)) == (409, "booking_closed")
    post(world, {**system, "metadata": {"event": "booking_opened"}})
    assert post(world)[0] == 201


def test_a_message_that_reaches_nobody_on_the_other_side_is_published_without_its_text(world: World) -> None:
    world.connect("d1", "driver")
    body = post(world, {"message": "secret words"})[1]
    (event,) = world.published()
    assert (event["type"], event["message_id"]) == ("message.undelivered", body["message"]["message_id"])
    assert "secret" not in json.dumps(event)
    assert (event["event_id"], event["to"]) == (f"{body['message']['message_id']}-undelivered-passenger", "passenger")


def test_an_app_in_the_background_takes_the_message_and_a_push_is_asked_for_until_it_is_back(world: World) -> None:
    world.connect("p1", "passenger")
    world.socket(websocket, "p1", {"action": "away", "on": True}, sent_at=1_000)
    assert post(world)[1]["delivery"] == {"connections": 1, "delivered": 1, "gone": 0, "failed": 0}
    assert world.gateway.types("p1") == ["message"]
    assert [(event["type"], event["to"]) for event in world.published()] == [("message.undelivered", "passenger")]
    world.socket(websocket, "p1", {"action": "away", "on": False}, sent_at=2_000)
    post(world)
    assert world.published() == []


def test_a_message_of_an_agent_is_missed_by_each_side_that_it_does_not_reach(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("a1", "agent")
    post(world, {"sender": "agent"})
    assert [(event["type"], event["to"]) for event in world.published()] == [("message.undelivered", "passenger")]
    world.connect("p1", "passenger")
    post(world)
    assert world.published() == []


def test_direct_invocation_answers_with_the_body_as_an_object(world: World) -> None:
    answer = handler({"function_type": "send_message", **HELLO}, None)
    assert answer["statusCode"] == 201
    assert answer["body"]["message"]["seq"] == 1
    wrong = handler({"function_type": "get_message", **HELLO}, None)
    assert (wrong["statusCode"], wrong["body"]["error"]["code"]) == (400, "invalid_request")
    assert handler({"function_type": "send_message", **HELLO, "message": "\ud800"}, None)["statusCode"] == 400
    assert handler({"function_type": "send_message", **HELLO, "message": "a\0"}, None)["statusCode"] == 400
    for payload in ([], "send_message", None):
        assert handler(payload, None)["body"]["error"]["details"] == {"field": "function_type"}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("{", "invalid_request"),
        ("[1]", "invalid_request"),
        ("null", "invalid_request"),
        ('{"action":"dance"}', "invalid_request"),
        ('{"action":"message"}', "invalid_request"),
        ('{"message":"no action"}', "invalid_request"),
        ('{"action":"message","message":"x","id":""}', "invalid_request"),
        ('{"action":"message","message":"x","sender":"passenger"}', "forbidden"),
        ('{"action":"message","message":"x","booking_code":"other"}', "forbidden"),
        ('{"action":"message","message":"x","message_type":"system"}', "forbidden"),
        ('{"action":"message","message":"' + "é" * 17_000 + '"}', "too_large"),
    ],
)
def test_a_bad_frame_gets_an_error_and_the_connection_lives_on(world: World, raw: str, expected: str) -> None:
    world.connect("d1", "driver")
    (error,) = world.socket(handler, "d1", raw=raw)
    assert (error["type"], error["error"]["code"]) == ("error", expected)
    assert world.gateway.closed == []
    assert stored(world) == []


@pytest.mark.parametrize(
    "odd",
    [
        '"message":"a\\u0000b"',
        '"message":"\\ud800"',
        '"x":NaN',
        '"x":' + "[" * 33 + "]" * 33,
        '"x":"' + "é" * 17_000 + '"',
        '"x":"' + "y" * 100_000 + '"',
    ],
)
def test_an_error_repeats_the_id_of_a_frame_whatever_else_is_wrong_with_it(world: World, odd: str) -> None:
    world.connect("d1", "driver")
    (error,) = world.socket(handler, "d1", raw=f'{{"action":"message","id":"m 1",{odd}}}')
    assert (error["type"], error["id"]) == ("error", "m 1")


@pytest.mark.parametrize("given", ["", "x" * 65, "é", "a\nb", "\x7f", 5, None, ["m"], {"m": 1}])
def test_an_invalid_id_is_not_repeated(world: World, given: Any) -> None:
    world.connect("d1", "driver")
    (error,) = world.socket(handler, "d1", {"action": "unheard-of", "id": given})
    assert (error["type"], error["id"]) == ("error", None)


@pytest.mark.parametrize(
    "raw", ["", "{", '["id"]', '{"id":"m1","x":' * 3_000, '{"id":"m1","x":"' + "y" * 140_000 + '"}']
)
def test_an_id_that_is_not_to_be_read_is_null(world: World, raw: str) -> None:
    world.connect("d1", "driver")
    (error,) = world.socket(handler, "d1", raw=raw)
    assert (error["type"], error["id"]) == ("error", None)


def test_an_error_about_a_very_long_field_name_fits_into_a_frame(world: World) -> None:
    world.connect("d1", "driver")
    (error,) = world.socket(handler, "d1", raw='{"action":"message","' + "a" * 32_000 + '":"\\u0000"}')
    assert error["error"]["details"] == {"field": "body"}
    assert len(world.gateway.bodies["d1"][-1]) < 1_000


def test_null_means_the_same_as_a_missing_optional_field(world: World) -> None:
    nulls = dict.fromkeys(("message_type", "client_message_id", "metadata", "sender_id", "delivered", "read"))
    assert post(world, nulls)[1]["message"]["message_type"] == "text"
    world.connect("d1", "driver")
    frame = {"action": "message", "message": "Hi", "id": None, "sender": None, "booking_code": None, **nulls}
    (ack,) = world.socket(handler, "d1", frame)
    assert (ack["type"], ack["message"]["message"]) == ("ack", "Hi")
    assert code(post(world, {"message": None})) == (400, "invalid_request")


def test_a_binary_frame_gets_an_error(world: World) -> None:
    world.connect("d1", "driver")
    (error,) = world.socket(handler, "d1", raw="AAAA", base64=True)
    assert error["error"]["code"] == "invalid_request"


def test_a_connection_without_a_row_is_told_and_closed(world: World) -> None:
    (error,) = world.socket(handler, "ghost", {"action": "message", "message": "x"})
    assert error["type"] == "error"
    assert world.gateway.closed == ["ghost"]
    assert stored(world) == []


def test_a_connection_whose_token_has_run_out_gets_token_expired(world: World) -> None:
    world.connect("d1", "driver", token_exp={"N": str(int(time.time()))})
    (error,) = world.socket(handler, "d1", {"action": "message", "message": "x", "id": "7"})
    assert error["error"]["code"] == "token_expired"
    assert stored(world) == []


@pytest.mark.parametrize(
    "event",
    [
        {"requestContext": "x"},
        {"requestContext": [1]},
        {"requestContext": None},
        {"Records": 5},
        {"Records": [5]},
        {"Records": [{"messageId": "m"}]},
        {"httpMethod": "POST", "resource": PATH, "headers": [1]},
        {"httpMethod": "POST", "resource": PATH, "multiValueHeaders": "x"},
        {"httpMethod": "POST", "resource": [1]},
        {"httpMethod": 5},
    ],
)
@pytest.mark.parametrize("backend", ["", "https://backend.example"])
def test_an_invalid_event_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, event: dict[str, Any], backend: str
) -> None:
    monkeypatch.setenv("BACKEND_URL", backend)
    for function in (handler, make_call, websocket):
        answer = function(event, None)
        body = answer["body"] if isinstance(answer["body"], dict) else json.loads(answer["body"])
        assert (answer["statusCode"], body["error"]["code"]) in ((400, "invalid_request"), (404, "not_found"))


def test_a_direct_invocation_may_have_any_request_context(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEBSOCKET_ENDPOINT")
    for context in ("connectionId domainName", ["connectionId", "domainName"], {"domainName": "example.invalid"}, None):
        answer = handler({"function_type": "send_message", **HELLO, "requestContext": context}, None)
        assert "WEBSOCKET_ENDPOINT" in answer["body"]["error"]["message"]


@pytest.mark.parametrize(
    "where",
    [
        {"resource": "/{proxy+}", "path": PATH},
        {"resource": "/{proxy+}", "path": f"{PATH}/"},
        {"resource": "/unheard-of", "path": PATH},
        {"path": PATH},
        {"resource": PATH, "path": "/a-base-path/send"},
    ],
)
def test_a_request_is_known_by_its_resource_or_else_by_its_path(world: World, where: dict[str, str]) -> None:
    lists = {"Idempotency-Key": ["a", "b"]}
    event = {"httpMethod": "POST", "body": json.dumps(HELLO), "multiValueHeaders": lists, **where}
    answer = handler(event, None)
    assert (answer["statusCode"], json.loads(answer["body"])["message"]["client_message_id"]) == (201, "b")
    assert (
        handler({"httpMethod": "OPTIONS", **where}, None)["headers"]["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    )


def test_a_direct_invocation_is_told_how_long_to_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, "TransactWriteItems", "ThrottlingException")
    answer = handler({"function_type": "send_message", **HELLO}, None)
    assert (answer["statusCode"], answer["body"]["error"]["details"]) == (503, {"retry_after_ms": 1_000})


def test_an_unknown_resource_is_not_found(world: World) -> None:
    assert code(world.rest(handler, "POST", "/api/v1/other", {})) == (404, "not_found")


def test_a_preflight_is_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example, https://b.example")
    status, _, headers = world.rest(handler, "OPTIONS", PATH, headers={"Origin": "https://b.example"})
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == "https://b.example"
    assert headers["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    assert {"traceparent", "baggage"} <= set(headers["Access-Control-Allow-Headers"].split(", "))
    _, _, headers = world.rest(handler, "OPTIONS", PATH, headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("name", ["DYNAMODB_TABLE", "CONNECTIONS_TABLE", "WEBSOCKET_ENDPOINT", "ENVIRONMENT"])
def test_a_missing_setting_is_named_and_nothing_is_stored(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    monkeypatch.delenv(name)
    answer = post(world)
    assert code(answer) == (500, "internal")
    assert name in answer[1]["error"]["message"]
    assert name in log.getvalue()
    assert stored(world) == []


def test_a_table_that_is_away_for_a_restore_is_unavailable(world: World) -> None:
    world.dynamodb.delete_table(TableName=tables.NAMES["messages"])
    answer = post(world)
    assert code(answer) == (503, "unavailable")
    assert answer[2]["Retry-After"] == "1"


def test_an_unexpected_error_tells_the_client_nothing_and_the_log_no_text(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(**_: Any) -> None:
        raise RuntimeError("with the words of the message: Hello")

    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    monkeypatch.setattr(dynamo.client(), "get_item", explode)
    answer = post(world)
    assert code(answer) == (500, "internal")
    assert "RuntimeError" not in json.dumps(answer[1])
    assert answer[1]["error"]["request_id"] == "rest-request"
    assert "RuntimeError" in log.getvalue()
    assert "Hello" not in log.getvalue()


def test_a_frame_that_cannot_be_stored_now_is_told_when_to_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect("d1", "driver")
    fail(monkeypatch, "TransactWriteItems", "ThrottlingException")
    (error,) = world.socket(handler, "d1", {"action": "message", "message": "x", "id": "7"})
    assert (error["id"], error["error"]["code"], error["error"]["retryable"]) == ("7", "unavailable", True)
    assert error["error"]["retry_after_ms"] == 1_000
    assert stored(world) == []


def test_a_frame_whose_connection_cannot_be_looked_up_is_answered_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect("d1", "driver")
    fail(monkeypatch, "GetItem", "ThrottlingException")
    (error,) = world.socket(handler, "d1", {"action": "message", "message": "x", "id": "7"})
    assert (error["id"], error["error"]["code"]) == ("7", "unavailable")
    assert world.gateway.closed == []


def test_a_frame_that_meets_a_mistake_of_ours_gets_internal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.connect("d1", "driver")

    def explode(**_: Any) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(dynamo.client(), "transact_write_items", explode)
    (error,) = world.socket(handler, "d1", {"action": "message", "message": "x", "id": "7"})
    assert (error["id"], error["error"]["code"]) == ("7", "internal")
    assert "a mistake" not in json.dumps(error)
