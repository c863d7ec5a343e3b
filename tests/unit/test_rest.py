"""The headers of every REST answer."""

from typing import Any

import pytest

from navietakie.domain.errors import Refusal
from navietakie.doors import rest
from navietakie.doors.budget import NO_BUDGET
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
