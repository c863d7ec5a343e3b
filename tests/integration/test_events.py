"""The sample events through the real handlers, as `sam local invoke --event events/…` sends them."""

import importlib
import json
import os
from typing import Any

import pytest

from tests.template.stack import REST_ROUTES, ROOT, SOCKET_ROUTES
from tests.worlds.moto import Context, World

CONNECTION = "Zk3TfeRsliACGzA="
"""The connection of the WebSocket events: the driver's, in the booking `test`."""
SEEN: dict[str, Any] = {
    "rest-send_message": 201,
    "rest-send_message-receipt": 200,
    "rest-send_message-options": 204,
    "rest-get_message": 200,
    "rest-get_message-options": 204,
    "rest-attachment": 404,
    "rest-attachment-options": 204,
    "rest-make_call": 200,
    "rest-make_call-options": 204,
    "rest-calls": 200,
    "rest-calls-options": 204,
    "ws-connect": 200,
    "ws-disconnect": 200,
    "ws-message": ["ack"],
    "ws-delivered": [],
    "ws-read": [],
    "ws-redact": ["not_found"],
    "ws-attach": ["not_found"],
    "ws-call": ["ack"],
    "ws-call-ice": ["not_found"],
    "ws-call-report": ["not_found"],
    "ws-signal": ["not_found"],
    "ws-sync": ["sync"],
    "ws-typing": [],
    "ws-away": [],
    "ws-ping": ["pong"],
    "ws-unknown": ["invalid_request"],
    "ws-invalid": ["invalid_request"],
    "sqs-ring": {"batchItemFailures": []},
    "sqs-left": {"batchItemFailures": []},
    "sqs-order": {"batchItemFailures": []},
    "stream-stored": None,
    "stream-redacted": None,
    "direct-send_message": 201,
    "direct-get_message": 200,
    "direct-make_call": 200,
}
"""For each event the status of the answer, the frames that its sender gets (for an error its code), or the answer."""


def invoke(event: dict[str, Any]) -> Any:
    """Calls the handler that the template routes the event to."""
    context = event.get("requestContext", {})
    if "routeKey" in context:
        function = SOCKET_ROUTES[context["routeKey"]]
    elif "httpMethod" in event:
        functions = {route.split()[1]: name for route, name in REST_ROUTES.items()}
        function = functions[event["resource"]]
    else:
        streamed = any("dynamodb" in record for record in event.get("Records", []))
        function = event.get("function_type", "send-message" if streamed else "make-call")
    app = importlib.import_module(f"{function.replace('-', '_')}.app")
    return app.handler(event, Context())


def sample(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def test_every_event_is_tried() -> None:
    assert {file.stem for file in (ROOT / "events").glob("*.json")} == set(SEEN)


def frames_of(world: World) -> list[dict[str, Any]]:
    """The frames that the connection got."""
    return world.gateway.frames[CONNECTION]


@pytest.mark.parametrize("name", SEEN)
def test_an_event_does_what_its_name_says(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MESSAGE_EVENTS", "full")
    monkeypatch.setenv("MESSAGE_EVENTS_TOPIC_ARN", os.environ["EVENTS_TOPIC_ARN"])
    monkeypatch.setenv("MESSAGE_EVENTS_DEAD_LETTER_QUEUE_URL", os.environ["CALL_TIMER_QUEUE_URL"])
    invoke(sample("rest-send_message"))  # so that there is a message for the receipt
    if name != "ws-connect":
        world.connect(CONNECTION, "driver")
    answer = invoke(sample(name))
    said = [frame["error"]["code"] if frame["type"] == "error" else frame["type"] for frame in frames_of(world)]
    if isinstance(SEEN[name], int):
        assert answer["statusCode"] == SEEN[name]
    else:
        assert SEEN[name] in (said, answer)
