"""The REST door: what a request brings, whom its budget is, and the headers of every answer."""

import base64
import json
from typing import Any

import pytest

from navietakie.domain.errors import Refusal
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors import rest
from navietakie.doors.budget import NO_BUDGET, Budget
from navietakie.doors.identity import Identity
from navietakie.doors.requests import Request


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENVIRONMENT": "local", "AUTH_MODE": "none", "ALLOWED_ORIGINS": "https://a.example"}.items():
        monkeypatch.setenv(name, value)


def refuse(_: Request) -> rest.Response:
    raise Refusal("rate_limited", "Too many", retry_after_ms=1_500)


def answered(route: str) -> dict[str, Any]:
    routes = {"POST /a": lambda _: (201, {"a": 1}), "POST /b": refuse}
    method, path = route.split()
    event = {"httpMethod": method, "resource": path, "headers": {"Origin": "https://a.example"}, "body": "{}"}
    return rest.respond(routes, (), NO_BUDGET, route, event, 0, 0.0, "the-request")


@pytest.mark.parametrize("route", ["POST /a", "POST /b", "POST /unknown", "OPTIONS /a"])
def test_every_answer_lets_a_page_of_the_company_read_it_and_nobody_keep_it(
    monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example")
    assert (
        answered(route)["headers"].items()
        >= {
            "Access-Control-Allow-Origin": "https://a.example",
            "Access-Control-Expose-Headers": "x-request-id, Retry-After",
            "Cache-Control": "no-store",
            "Content-Type": "application/json; charset=utf-8",
            "Strict-Transport-Security": "max-age=63072000",
            "Vary": "Origin",
            "X-Content-Type-Options": "nosniff",
            "x-request-id": "the-request",
        }.items()
    )


def test_a_refusal_with_a_wait_has_retry_after() -> None:
    answer = answered("POST /b")
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (429, "2")


@pytest.mark.parametrize(
    ("event", "route"),
    [
        ({"resource": "/a", "path": "/a"}, "POST /a"),
        ({"resource": "/a", "path": "/live/a"}, "POST /a"),
        ({"resource": "/{proxy+}", "path": "/a/"}, "POST /a"),
        ({"resource": "/{proxy+}", "path": "/c"}, "POST /{proxy+}"),
        ({"path": "/c"}, "POST /c"),
        ({"resource": None, "path": None}, "POST "),
    ],
)
def test_a_route_is_found_by_its_resource_or_its_path(event: dict[str, Any], route: str) -> None:
    assert rest.route_of({"httpMethod": "POST", **event}, ["POST /a", "GET /b"]) == route


def asked(event: dict[str, Any], route: str = "POST /a", budget: Budget = NO_BUDGET) -> tuple[dict[str, Any], Any]:
    """The answer, and the request that the route got."""
    got = list[Request]()

    def take(request: Request) -> rest.Response:
        got.append(request)
        return 200, {}

    event = {"httpMethod": route.partition(" ")[0], **event}
    routes = {"POST /a": take, "GET /a": take}
    answer: Any = rest.respond(routes, ("sender",), budget, route, event, 5, 1.5, "the-request")
    return answer, got[0] if got else None


def test_a_request_brings_its_fields_its_headers_and_its_times() -> None:
    event = {"headers": {"X-A": "1"}, "body": '{"a": "ü"}'}
    answer, got = asked(event)
    assert (answer["statusCode"], answer["body"]) == (200, "{}")
    assert (got.fields, got.headers, got.now, got.deadline, got.identity) == ({"a": "ü"}, {"x-a": "1"}, 5, 1.5, None)
    assert got.event == {"httpMethod": "POST", **event}


def test_a_page_is_asked_for_by_its_query_and_a_body_may_come_in_base64() -> None:
    query = {"multiValueQueryStringParameters": {"sender": ["driver", "agent"], "limit": ["5"]}, "body": "no JSON"}
    assert asked(query, "GET /a")[1].fields == {"sender": "driver,agent", "limit": "5"}
    encoded = base64.b64encode('{"a": "ü"}'.encode()).decode()
    assert asked({"body": encoded, "isBase64Encoded": True})[1].fields == {"a": "ü"}


@pytest.mark.parametrize(
    ("event", "route", "status", "code", "field"),
    [
        ({"body": None}, "POST /a", 400, "invalid_request", "body"),
        ({"body": "[]"}, "POST /a", 400, "invalid_request", "body"),
        ({"body": "/w==", "isBase64Encoded": True}, "POST /a", 400, "invalid_request", "body"),
        ({"body": "e30=!", "isBase64Encoded": True}, "POST /a", 400, "invalid_request", "body"),
        ({"body": "{}", "headers": "x"}, "POST /a", 400, "invalid_request", "headers"),
        ({"multiValueQueryStringParameters": {"limit": ["5", "6"]}}, "GET /a", 400, "invalid_request", "limit"),
        ({"body": "{}"}, "PUT /a", 404, "not_found", None),
    ],
)
def test_what_is_no_request_of_ours_gets_an_error(
    event: dict[str, Any], route: str, status: int, code: str, field: str | None
) -> None:
    answer, got = asked(event, route)
    error = json.loads(answer["body"])["error"]
    assert (got, answer["statusCode"], error["code"], error["details"].get("field")) == (None, status, code, field)
    assert (error["request_id"], bool(error["message"])) == ("the-request", True)
    assert "Retry-After" not in answer["headers"]


def test_an_error_says_in_its_details_too_how_long_to_wait() -> None:
    assert json.loads(answered("POST /b")["body"])["error"]["details"] == {"retry_after_ms": 1_500}


def test_a_preflight_lists_the_methods_of_its_path() -> None:
    answer = answered("OPTIONS /a")
    assert (answer["statusCode"], answer["body"]) == (204, "")
    assert answer["headers"]["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    assert answer["headers"]["Access-Control-Max-Age"] == "7200"
    allowed = set(answer["headers"]["Access-Control-Allow-Headers"].split(", "))
    assert {"authorization", "content-type", "idempotency-key", "x-exclude-connection"} <= allowed


@pytest.mark.parametrize(
    ("allowed", "origin", "headers"),
    [
        ("*", "https://b.example", {"Access-Control-Allow-Origin": "*"}),
        (
            "https://a.example",
            "https://a.example",
            {"Vary": "Origin", "Access-Control-Allow-Origin": "https://a.example"},
        ),
        ("https://a.example", "https://b.example", {"Vary": "Origin"}),
        ("https://a.example", None, {"Vary": "Origin"}),
    ],
)
def test_a_page_from_elsewhere_may_not_read_the_answer(
    monkeypatch: pytest.MonkeyPatch, allowed: str, origin: str | None, headers: dict[str, str]
) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", allowed)
    answer, _ = asked({"body": "{}", "headers": {"Origin": origin} if origin else {}})
    cors = {name: value for name, value in answer["headers"].items() if name in ("Vary", "Access-Control-Allow-Origin")}
    assert cors == headers


@pytest.mark.parametrize(("booking_code", "sender"), [("r1", "agent"), ("r2", "driver")])
def test_each_role_of_each_booking_has_a_budget_of_its_own(booking_code: str, sender: str) -> None:
    budget = Budget({"POST /a": 2}, RateLimit(1, 3))
    own = {"body": '{"booking_code": "r1", "sender": "driver"}'}
    assert [asked(own, budget=budget)[0]["statusCode"] for _ in range(2)] == [200, 429]
    others = {"body": json.dumps({"booking_code": booking_code, "sender": sender})}
    assert asked(others, budget=budget)[0]["statusCode"] == 200


def test_with_a_token_it_is_the_bearers_budget_whatever_a_request_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest.identity, "of_rest", lambda _: Identity("driver-7", "r1", "driver", 2**40))
    budget = Budget({"POST /a": 2}, RateLimit(1, 3))
    for name, status in (("x", 200), ("y", 429)):
        body = json.dumps({"booking_code": name, "sender": name})
        assert asked({"body": body}, budget=budget)[0]["statusCode"] == status
    assert budget.take("POST /a", {}, "r1", "passenger", 5) == 2


def test_a_filter_by_sender_is_not_who_asks() -> None:
    budget = Budget({"GET /a": 2}, RateLimit(1, 3))
    for sender, status in (("driver", 200), ("passenger", 429)):
        event = {"queryStringParameters": {"booking_code": "r1", "sender": sender}}
        assert asked(event, "GET /a", budget)[0]["statusCode"] == status


def test_names_that_are_too_long_to_keep_are_cut() -> None:
    budget = Budget({"POST /a": 2}, RateLimit(1, 3))
    for ending, status in (("x", 200), ("y", 429)):
        body = json.dumps({"booking_code": "b" * 64 + ending, "sender": "s" * 64 + ending})
        assert asked({"body": body}, "POST /a", budget)[0]["statusCode"] == status
    for name in ("b" * 63 + "x", "b" * 63 + "y"):
        assert asked({"body": json.dumps({"booking_code": name})}, "POST /a", budget)[0]["statusCode"] == 200
