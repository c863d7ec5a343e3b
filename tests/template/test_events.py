"""The files of events/: one for every route of the template, in the form of API Gateway, SQS and DynamoDB."""

import hashlib
import json
from typing import Any

import pytest

from tests.template.stack import ROOT, Stack

EVENTS: dict[str, Any] = {file.stem: json.loads(file.read_text()) for file in sorted((ROOT / "events").glob("*.json"))}


def of(kind: str) -> dict[str, Any]:
    """The events that come through one door."""
    return {name: event for name, event in EVENTS.items() if name.startswith(f"{kind}-")}


def test_every_rest_route_has_an_event() -> None:
    paths = Stack().properties("RestApi")["Body"]["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert {f"{event['httpMethod']} {event['resource']}" for event in of("rest").values()} == routes


def test_every_websocket_route_has_an_event() -> None:
    routes = {route["RouteKey"] for route in Stack().of_type("AWS::ApiGatewayV2::Route").values()}
    assert {event["requestContext"]["routeKey"] for event in of("ws").values()} == routes


def test_every_event_comes_through_a_known_door() -> None:
    assert set(EVENTS) == set(of("rest") | of("ws") | of("sqs") | of("stream") | of("direct"))


@pytest.mark.parametrize("name", of("rest"))
def test_a_rest_event_says_everything_twice_and_the_same(name: str) -> None:
    event = EVENTS[name]
    context = event["requestContext"]
    assert event["path"] == event["resource"] == context["resourcePath"]
    assert event["httpMethod"] == context["httpMethod"]
    assert context["path"] == f"/{context['stage']}{event['path']}"
    for one, many in (("headers", "multiValueHeaders"), ("queryStringParameters", "multiValueQueryStringParameters")):
        said: dict[str, str] = event[one] or {}
        assert {key: [value] for key, value in said.items()} == (event[many] or {})


@pytest.mark.parametrize("name", of("ws"))
def test_a_websocket_event_has_the_route_that_its_body_selects(name: str) -> None:
    event = EVENTS[name]
    context = event["requestContext"]
    if context["eventType"] != "MESSAGE":
        assert context["routeKey"] == f"${context['eventType'].lower()}"
        return
    known = {route["RouteKey"] for route in Stack().of_type("AWS::ApiGatewayV2::Route").values()}
    try:
        action = json.loads(event["body"])["action"]
    except ValueError:
        action = None
    assert context["routeKey"] == (action if action in known else "$default")


@pytest.mark.parametrize("name", of("stream"))
def test_a_stream_event_is_one_that_the_mapping_lets_through(name: str) -> None:
    stack = Stack(Environment="staging", MessageEvents="full")
    (record,) = EVENTS[name]["Records"]
    change = record["dynamodb"]
    assert change["StreamViewType"] == stack.properties("MessagesTable")["StreamSpecification"]["StreamViewType"]
    assert change["Keys"].items() <= change["NewImage"].items()
    table = record["eventSourceARN"].split("/")[1]
    assert table == stack.properties("MessagesTable")["TableName"]
    (chosen,) = stack.properties("MessageEventsSource")["FilterCriteria"]["Filters"]
    pattern = json.loads(chosen["Pattern"])
    assert record["eventName"] in pattern["eventName"]
    (rule,) = pattern["dynamodb"]["Keys"]["timestamp"]["S"]
    assert change["Keys"]["timestamp"]["S"].startswith(rule["prefix"])


@pytest.mark.parametrize("name", of("sqs"))
def test_a_queue_event_holds_a_timer_with_its_checksum(name: str) -> None:
    (record,) = EVENTS[name]["Records"]
    assert record["md5OfBody"] == hashlib.md5(record["body"].encode()).hexdigest()
    assert f"sqs-{json.loads(record['body'])['kind']}" == name
