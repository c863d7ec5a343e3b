"""How much work the bearer of a token can cause is bounded: per request, per connection, and per time."""

import time
from typing import Any

import pytest

import get_message.app
import make_call.app
import send_message.app
import websocket.app
from navietakie.doors.budget import UNITS_AT_ONCE
from send_message.costs import cost_of_post
from tests.security.conftest import FRAMES, Stack

BUDGETS = {
    "get_message": get_message.app.budget,
    "make_call": make_call.app.budget,
    "send_message": send_message.app.budget,
    "websocket": websocket.app.budget,
}


def exhaust(stack: Stack, booking_code: str = "mine", role: str = "driver", left: int = 0) -> None:
    """Uses up what a role may ask of each function at once, except the units that are to be `left`."""
    ahead = 0 if left else 1_500_000  # so that no unit has come back by the next request
    now = time.time_ns() // 1_000 + ahead
    for budget in BUDGETS.values():
        for _ in range(UNITS_AT_ONCE - left):
            budget.take("unknown", {}, booking_code, role, now)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame["action"])
def test_too_many_frames_get_an_error_with_a_wait(stack: Stack, frame: dict[str, Any]) -> None:
    exhaust(stack)
    with stack.untouched():
        (told,) = stack.say("d1", {**frame, "id": "1"})
        assert (told["type"], told["id"], told["error"]["code"]) == ("error", "1", "rate_limited")
        assert told["error"]["retryable"]
        assert told["error"]["retry_after_ms"] > 0


@pytest.mark.parametrize(
    ("route", "fields"),
    [
        ("POST /api/v1/send_message", {"message": "Hello"}),
        ("POST /api/v1/send_message", {"read": 1}),
        ("POST /api/v1/make_call", {"action": "initiate"}),
        ("GET /api/v1/get_message", {}),
        ("GET /api/v1/calls", {}),
    ],
)
def test_too_many_requests_by_rest_get_429(stack: Stack, route: str, fields: dict[str, Any]) -> None:
    exhaust(stack)
    with stack.untouched():
        status, body = stack.ask(route, {"booking_code": "mine", **fields}, stack.token())
        assert (status, body["error"]["code"]) == (429, "rate_limited")
        assert body["error"]["details"]["retry_after_ms"] > 0


def test_too_many_handshakes_get_429(stack: Stack) -> None:
    exhaust(stack)
    with stack.untouched():
        assert stack.connect({"booking_code": "mine", "token": stack.token()}) == 429


def test_a_damped_side_does_not_affect_the_other_side_other_rides_or_the_company(stack: Stack) -> None:
    exhaust(stack)
    (told,) = stack.say("p1", {"action": "ping"})
    assert told["type"] == "pong"
    (told,) = stack.say("d2", {"action": "ping"})
    assert told["type"] == "pong"
    exhaust(stack, role="system")
    system = stack.token(role="system")
    assert stack.ask("POST /api/v1/send_message", {"booking_code": "mine", "message": "Hello"}, system)[0] == 201


def test_a_forged_token_takes_nothing_from_its_booking(stack: Stack) -> None:
    exhaust(stack, left=1)
    for _ in range(3):
        assert stack.ask("GET /api/v1/calls", {"booking_code": "mine"}, stack.token("forged--" * 8))[0] == 401
    assert stack.ask("GET /api/v1/calls", {"booking_code": "mine"}, stack.token())[0] == 200


def test_frames_that_nobody_can_read_cost_as_well(stack: Stack) -> None:
    exhaust(stack, left=1)
    codes = [stack.world.socket(websocket.app.handler, "d1", raw="{")[-1]["error"]["code"] for _ in range(2)]
    assert codes == ["invalid_request", "rate_limited"]


def test_messages_have_their_own_limit_and_stored_ones_cost_the_damper_nothing(stack: Stack) -> None:
    exhaust(stack, left=1)
    hello: dict[str, Any] = {"action": "message", "message": "Hello"}
    told = [stack.say("d1", frame)[-1] for frame in (hello, hello, hello | {"message": ""}, hello)]
    assert [frame["type"] for frame in told] == ["ack", "ack", "error", "error"]
    assert [frame["error"]["code"] for frame in told[2:]] == ["invalid_request", "rate_limited"]


def test_every_route_has_its_price() -> None:
    priced = {name: set(budget.costs) for name, budget in BUDGETS.items()}
    assert priced == {
        "send_message": {"POST /api/v1/send_message", "message", "delivered", "read", "redact", "attach"},
        "make_call": {"POST /api/v1/make_call", "GET /api/v1/calls", "call", "signal"},
        "get_message": {"GET /api/v1/get_message", "GET /api/v1/attachment", "sync"},
        "websocket": {"$connect", "typing", "away", "ping"},
    }
    page, post = get_message.app.cost_of_page, cost_of_post
    assert [page({}), page({"sender": "driver"}), page({"message_type": "call"})] == [1, 4, 4]
    posts: list[dict[str, Any]] = [
        {"message": "x"},
        {"read": 1},
        {"delivered": 1},
        {"redact": "x"},
        {"attach": {}},
        {"attach": {}, "message": None},
    ]
    assert [post(each) for each in posts] == [0, 1, 1, 3, 5, 5]
