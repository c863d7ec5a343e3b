"""Messages on the running stack are stored in order, received and healed, through real HTTP and WebSocket."""

import itertools
import json
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, cast

import boto3
import pytest
from websockets.sync.client import ClientConnection

from local.stack import Stack
from tests.e2e.talking import ask, connected, hear, tell

_bookings = itertools.count(1)


@pytest.fixture
def booking() -> str:
    return f"ride-{next(_bookings)}-{time.time_ns()}"


@pytest.fixture
def driver(stack: Stack, booking: str) -> Generator[ClientConnection]:
    with connected(stack, f"booking_code={booking}&sender=driver") as socket:
        yield socket


@pytest.fixture
def passenger(stack: Stack, booking: str) -> Generator[ClientConnection]:
    with connected(stack, f"booking_code={booking}&sender=passenger") as socket:
        yield socket


def send(stack: Stack, booking: str, text: str = "Hello", **fields: Any) -> Any:
    return ask(
        stack, None, "POST", "send_message", **{"booking_code": booking, "message": text, "sender": "driver", **fields}
    )


def dynamodb_of(stack: Stack) -> Any:
    """The embedded DynamoDB as root, to arrange what no client can."""
    return boto3.client("dynamodb", **cast(Any, stack.access.client))


def exhaust(stack: Stack, booking: str, sender: str) -> None:
    """Uses up a sender's allowance. A slow machine could not do that by sending."""
    dynamodb_of(stack).update_item(
        TableName=f"navietakie-messages-{stack.stage}",
        Key={"booking_code": {"S": booking}, "timestamp": {"S": "#head"}},
        UpdateExpression=f"SET {sender}_allowance = :full",
        ExpressionAttributeValues={":full": {"N": str(time.time_ns() // 1_000 + 5_500_000)}},
    )


def history(stack: Stack, booking: str, **query: Any) -> Any:
    return ask(stack, None, "GET", "get_message", booking_code=booking, **query).json()


def test_a_message_by_rest_is_stored_read_back_and_received_on_two_websockets(
    stack: Stack, booking: str, driver: ClientConnection, passenger: ClientConnection
) -> None:
    answer = send(stack, booking)
    assert answer.status_code == 201
    sent = answer.json()
    assert sent["delivery"] == {"connections": 2, "delivered": 2, "gone": 0, "failed": 0}
    assert answer.headers["x-request-id"]
    assert answer.headers["access-control-allow-origin"] == stack.url
    assert hear(driver, "message")["message"] == hear(passenger, "message")["message"] == sent["message"]
    assert history(stack, booking)["messages"] == [sent["message"]]


def test_six_parallel_senders_of_fifty_messages_leave_no_hole(stack: Stack, booking: str) -> None:
    send(stack, booking, "The first wakes the function")

    def write(sender: int) -> None:
        side = "driver" if sender % 2 else "passenger"
        for number in range(50):
            answer = send(stack, booking, f"{sender}-{number}", sender=side, client_message_id=f"{sender}-{number}")
            while answer.status_code in (429, 503):  # six at once are faster than the rate limit
                time.sleep(float(answer.headers["retry-after"]) / 4)
                answer = send(stack, booking, f"{sender}-{number}", sender=side, client_message_id=f"{sender}-{number}")
            assert answer.status_code in (200, 201), answer.text

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(6)))
    messages: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = history(stack, booking, order="asc", limit=100, **cursor)
        messages += page["messages"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [message["seq"] for message in messages] == list(range(1, 302))
    stamps = [message["timestamp"] for message in messages]
    assert stamps == sorted(set(stamps))
    texts = {message["message"] for message in messages[1:]}
    assert texts == {f"{sender}-{number}" for sender in range(6) for number in range(50)}


def test_a_receiver_that_is_gone_loses_its_row_and_hurts_nobody(
    stack: Stack, booking: str, driver: ClientConnection
) -> None:
    dynamodb: Any = dynamodb_of(stack)
    table = f"navietakie-connections-{stack.stage}"
    ghost = {"connection_id": {"S": f"ghost-{booking}"}}
    row = {
        "booking_code": {"S": booking},
        "sender": {"S": "passenger"},
        "connected_at": {"S": "2026-01-01T00:00:00.000000Z"},
        "expires_at": {"N": str(int(time.time()) + 600)},
    }
    dynamodb.put_item(TableName=table, Item=ghost | row)
    answer = send(stack, booking).json()
    assert answer["delivery"] == {"connections": 2, "delivered": 1, "gone": 1, "failed": 0}
    assert hear(driver, "message")["message"]["seq"] == 1
    assert "Item" not in dynamodb.get_item(TableName=table, Key=ghost, ConsistentRead=True)
    assert send(stack, booking).json()["delivery"]["connections"] == 1


def test_a_cut_client_syncs_to_exactly_what_is_stored(stack: Stack, booking: str) -> None:
    first = send(stack, booking, "Before the cut").json()["message"]
    texts = [f"{number} " + "ü" * 450 for number in range(60)]
    for number, text in enumerate(texts):
        while send(stack, booking, text, sender="passenger", client_message_id=str(number)).status_code == 429:
            time.sleep(0.2)
    with connected(stack, f"booking_code={booking}&sender=driver") as socket:
        tell(socket, "sync", after=first["timestamp"], id="s")
        frames = [hear(socket, "sync")]
        while frames[-1]["has_more"]:
            frames.append(hear(socket, "sync"))
    got = [message for frame in frames for message in frame["messages"]]
    assert [message["message"] for message in got] == texts
    assert [message["seq"] for message in got] == list(range(2, 62))
    assert len(frames) > 1
    assert frames[-1]["through_seq"] == frames[-1]["head_seq"] == 61
    assert all(frame["id"] == "s" for frame in frames)


def test_a_ping_reveals_a_push_that_never_came_and_sync_heals_it(
    stack: Stack, booking: str, driver: ClientConnection
) -> None:
    send(stack, booking, "Pushed")
    assert hear(driver, "message")["message"]["seq"] == 1
    own = ask_connection_id(stack, booking)
    send(stack, booking, "Kept back", **{"sender": "driver"})
    hear(driver, "message")
    excluded = ask_excluding(stack, booking, own)
    tell(driver, "ping", id="p")
    pong = hear(driver, "pong")
    assert pong["head_seq"] == excluded["seq"] == 3
    tell(driver, "sync", after=history(stack, booking, order="asc")["messages"][1]["timestamp"])
    assert hear(driver, "sync")["messages"] == [excluded]


def ask_connection_id(stack: Stack, booking: str) -> str:
    """The id of the booking's only connection."""
    dynamodb: Any = dynamodb_of(stack)
    (row,) = dynamodb.query(
        TableName=f"navietakie-connections-{stack.stage}",
        IndexName="booking_code-index",
        KeyConditionExpression="booking_code = :b",
        ExpressionAttributeValues={":b": {"S": booking}},
    )["Items"]
    return row["connection_id"]["S"]


def ask_excluding(stack: Stack, booking: str, connection_id: str) -> Any:
    """Sends a message that is not broadcast to one connection of its own side."""
    import httpx

    body = {"booking_code": booking, "message": "Nobody tells you", "sender": "driver"}
    headers = {"x-exclude-connection": connection_id}
    answer = httpx.post(f"{stack.url}/api/v1/send_message", json=body, headers=headers, timeout=60)
    assert answer.json()["delivery"]["connections"] == 0
    return answer.json()["message"]


def test_presence_typing_and_receipts_reach_the_other_side(
    stack: Stack, booking: str, driver: ClientConnection
) -> None:
    with connected(stack, f"booking_code={booking}&sender=passenger") as other:
        assert hear(driver, "presence")["online"] is True
        tell(other, "typing", on=True)
        assert hear(driver, "typing")["on"] is True
        tell(driver, "message", message="Here", id="m")
        seq = hear(driver, "ack")["message"]["seq"]
        assert hear(other, "message")["message"]["seq"] == seq
        for action in ("delivered", "read"):
            tell(other, action, seq=seq)
            receipt = hear(driver, "receipt")
            assert (receipt["action"], receipt["seq"], receipt["sender"]) == (action, seq, "passenger")
    assert hear(driver, "presence")["online"] is False
    assert history(stack, booking)["receipts"]["passenger"] == {"delivered": 1, "read": 1}


def test_every_error_code_over_rest(stack: Stack, booking: str) -> None:
    def code(answer: Any) -> tuple[int, str]:
        return answer.status_code, answer.json()["error"]["code"]

    def call(action: str, **fields: Any) -> Any:
        return ask(
            stack,
            None,
            "POST",
            "make_call",
            **{"booking_code": booking, "sender": "driver", "action": action, **fields},
        )

    assert code(send(stack, booking, "")) == (400, "invalid_request")
    assert code(send(stack, booking, message_type="call")) == (403, "forbidden")
    assert code(send(stack, booking, metadata={"a": "x" * 4_096})) == (413, "too_large")
    assert send(stack, booking, client_message_id="a").status_code == 201
    assert code(send(stack, booking, "Other", client_message_id="a")) == (409, "idempotency_conflict")
    assert code(call("accept", call_id="0" * 32)) == (404, "not_found")
    call_id = call("initiate").json()["call"]["call_id"]
    assert code(call("reject", call_id=call_id)) == (409, "illegal_transition")
    assert call("accept", call_id=call_id, sender="passenger").status_code == 200
    assert code(call("initiate", device_id="another")) == (409, "call_in_progress")
    assert call("end", call_id=call_id).status_code == 200
    exhaust(stack, booking, "passenger")
    limited = send(stack, booking, "Quick", sender="passenger")
    assert code(limited) == (429, "rate_limited")
    assert int(limited.headers["retry-after"]) >= 1
    closing = {"sender": "system", "message_type": "system", "metadata": {"event": "booking_closed"}}
    assert send(stack, booking, "Closed", **closing).status_code == 201
    assert code(send(stack, booking)) == (409, "booking_closed")
    assert code(call("initiate")) == (409, "booking_closed")


def test_every_error_code_over_websocket(stack: Stack, booking: str) -> None:
    with ExitStack() as sockets:
        driver = sockets.enter_context(connected(stack, f"booking_code={booking}&sender=driver"))
        passenger = sockets.enter_context(connected(stack, f"booking_code={booking}&sender=passenger"))

        def refused(socket: ClientConnection, action: str, **fields: Any) -> str:
            tell(socket, action, id="q", **fields)
            error = hear(socket, "error")
            assert error["id"] == "q"
            return error["error"]["code"]

        assert refused(driver, "message") == "invalid_request"
        assert refused(driver, "message", message="x", message_type="system") == "forbidden"
        assert refused(driver, "message", message="x", metadata={"a": "x" * 4_096}) == "too_large"
        driver.send(json.dumps({"action": "message", "message": "x", "pad": "é" * 16_500}, ensure_ascii=False))
        assert hear(driver, "error")["error"]["code"] == "too_large"
        tell(driver, "message", message="x", id="q")
        hear(driver, "ack")
        assert refused(driver, "message", message="y") == "idempotency_conflict"
        assert refused(driver, "call", call_action="end", call_id="0" * 32) == "not_found"
        tell(driver, "call", call_action="initiate", id="c")
        call_id = hear(driver, "ack")["call"]["call_id"]
        assert refused(driver, "call", call_action="accept", call_id=call_id) == "illegal_transition"
        tell(passenger, "call", call_action="accept", call_id=call_id, id="c")
        hear(passenger, "ack")
        assert refused(driver, "call", call_action="initiate") == "call_in_progress"
        exhaust(stack, booking, "passenger")
        assert refused(passenger, "message", message="Quick") == "rate_limited"
        closing = {"sender": "system", "message_type": "system", "metadata": {"event": "booking_closed"}}
        assert send(stack, booking, "Closed", **closing).status_code == 201
        tell(driver, "message", message="z", id="z")
        assert hear(driver, "error")["error"]["code"] == "booking_closed"
        for frame in ("no json", b'{"action": "ping"}'):
            driver.send(frame)
            assert hear(driver, "error")["error"]["code"] == "invalid_request"
        tell(driver, "ping", id="alive")
        assert hear(driver, "pong")["id"] == "alive"
