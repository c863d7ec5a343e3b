"""The environment variables of the functions: what counts where one is missing, empty or malformed."""

from typing import Any

import pytest

from navietakie import settings
from navietakie.domain.errors import Refusal


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "ENVIRONMENT",
        "AUTH_MODE",
        "ALLOWED_ORIGINS",
        "RETENTION_DAYS",
        "WEBSOCKET_ENDPOINT",
        "API_GATEWAY_ENDPOINT",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "A",
        "B",
    ):
        monkeypatch.delenv(name, raising=False)


def test_the_first_variable_that_is_set_counts_and_all_are_named_where_none_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refusal, match="A or B is not set") as refused:
        settings.required("A", "B")
    assert refused.value.code == "internal"
    monkeypatch.setenv("B", "2")
    assert settings.required("A", "B") == "2"
    monkeypatch.setenv("A", "")
    assert settings.required("A", "B") == "2"
    monkeypatch.setenv("A", "1")
    assert settings.required("A", "B") == "1"


def test_an_empty_variable_is_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (settings.optional("A"), settings.optional("A", "x")) == ("", "x")
    monkeypatch.setenv("A", "")
    assert (settings.optional("A", "x"), settings.number("A", 1.5)) == ("x", 1.5)
    monkeypatch.setenv("A", "2.5")
    assert (settings.optional("A", "x"), settings.number("A", 1.5)) == ("2.5", 2.5)
    monkeypatch.setenv("A", "many")
    with pytest.raises(Refusal, match="A is not a number") as refused:
        settings.number("A", 1.5)
    assert refused.value.code == "internal"


@pytest.mark.parametrize(
    ("environment", "asked_for", "mode"),
    [
        ("local", "", "none"),
        ("local", "none", "none"),
        ("local", "jwt", "jwt"),
        ("staging", "none", "jwt"),
        ("production", "", "jwt"),
    ],
)
def test_only_on_a_laptop_there_may_be_no_tokens(
    monkeypatch: pytest.MonkeyPatch, environment: str, asked_for: str, mode: str
) -> None:
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("AUTH_MODE", asked_for)
    assert (settings.environment(), settings.auth_mode()) == (environment, mode)


@pytest.mark.parametrize(
    ("environment", "listed", "allowed"),
    [
        ("local", "", {"*"}),
        ("local", "https://a.example", {"https://a.example"}),
        ("local", "*", {"*"}),
        ("production", "", set[str]()),
        ("production", "*", set[str]()),
        ("production", " https://a.example , ,https://b.example,*", {"https://a.example", "https://b.example"}),
    ],
)
def test_any_origin_may_call_on_a_laptop_alone(
    monkeypatch: pytest.MonkeyPatch, environment: str, listed: str, allowed: set[str]
) -> None:
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("ALLOWED_ORIGINS", listed)
    assert settings.allowed_origins() == allowed


def test_messages_are_kept_for_ninety_days_unless_it_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.retention_days() == 90
    monkeypatch.setenv("RETENTION_DAYS", "7")
    assert settings.retention_days() == 7


def test_how_lambda_starts_the_container_may_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.initialization() == ""
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    assert settings.initialization() == "snap-start"


SOCKET: dict[str, Any] = {"connectionId": "c1", "domainName": "ws.example", "stage": "live"}


@pytest.mark.parametrize(
    ("variables", "context", "endpoint"),
    [
        ({}, SOCKET, "https://ws.example/live"),
        ({"WEBSOCKET_ENDPOINT": "https://own.example/live/"}, SOCKET, "https://own.example/live"),
        ({"API_GATEWAY_ENDPOINT": "http://localhost:4566"}, SOCKET, "http://localhost:4566"),
        (
            {"WEBSOCKET_ENDPOINT": "https://a.example", "API_GATEWAY_ENDPOINT": "https://b.example"},
            {},
            "https://a.example",
        ),
    ],
)
def test_connections_are_posted_to_where_it_says_or_where_the_frame_came_from(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], context: dict[str, Any], endpoint: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert settings.connections_endpoint({"requestContext": context}) == endpoint


@pytest.mark.parametrize("event", [None, {}])
def test_without_either_the_settings_are_named(event: dict[str, Any] | None) -> None:
    with pytest.raises(Refusal, match="WEBSOCKET_ENDPOINT or API_GATEWAY_ENDPOINT"):
        settings.connections_endpoint(event)


@pytest.mark.parametrize("missing", SOCKET)
def test_an_event_that_came_by_no_websocket_names_no_endpoint(missing: str) -> None:
    context = {name: value for name, value in SOCKET.items() if name != missing}
    with pytest.raises(Refusal, match="is not set"):
        settings.connections_endpoint({"requestContext": context})
