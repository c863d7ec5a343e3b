"""What each request costs at the door, as the protocol's page says it."""

from collections.abc import Mapping
from typing import Any

import pytest

import get_message.app
import make_call.app
import send_message.costs
import websocket.app
from navietakie.doors.budget import Budget

NOW = 1_000_000
PAGE, POST = "GET /api/v1/get_message", "POST /api/v1/send_message"
WANTED = {"content_type": "image/jpeg", "bytes": 9}


@pytest.mark.parametrize(
    ("budget", "route", "fields", "units"),
    [
        (get_message.app.budget, PAGE, {}, 1),
        (get_message.app.budget, PAGE, {"message_type": "system"}, 4),
        (get_message.app.budget, PAGE, {"sender": "driver"}, 4),
        (get_message.app.budget, "GET /api/v1/attachment", {}, 1),
        (get_message.app.budget, "sync", {}, 8),
        (make_call.app.budget, "POST /api/v1/make_call", {}, 2),
        (make_call.app.budget, "GET /api/v1/calls", {}, 1),
        (make_call.app.budget, "call", {}, 2),
        (make_call.app.budget, "signal", {}, 1),
        (websocket.app.budget, "$connect", {}, 4),
        (websocket.app.budget, "typing", {}, 1),
        (websocket.app.budget, "away", {}, 1),
        (websocket.app.budget, "ping", {}, 1),
        (send_message.costs.budget, POST, {"message": "Hello"}, 0),
        (send_message.costs.budget, POST, {"message": None, "delivered": 3}, 1),
        (send_message.costs.budget, POST, {"read": 3}, 1),
        (send_message.costs.budget, POST, {"redact": "2026-03-01T08:00:00.000000Z"}, 3),
        (send_message.costs.budget, POST, {"attach": WANTED}, 5),
        (send_message.costs.budget, "message", {}, 0),
        (send_message.costs.budget, "delivered", {}, 1),
        (send_message.costs.budget, "read", {}, 1),
        (send_message.costs.budget, "redact", {}, 3),
        (send_message.costs.budget, "attach", {}, 5),
    ],
)
def test_a_request_costs_what_the_protocol_says(
    budget: Budget, route: str, fields: Mapping[str, Any], units: int
) -> None:
    booking = f"costs of {route} {sorted(fields)}"
    assert budget.take(route, fields, booking, "driver", NOW) == units
