"""The WebSocket's door: which frames come in, what refuses the others, and what the connection is told."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from navietakie.aws.tables.connections import Connection
from navietakie.domain import instants
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors import websocket
from navietakie.doors.budget import NO_BUDGET, Budget
from navietakie.doors.requests import SocketRequest, party_of

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
OWN = Connection("c1", "ride-1", "driver", instants.to_text(NOW), 2**40, token_exp=instants.to_seconds(NOW) + 1)


@dataclass
class Api:
    """The table of connections and API Gateway; keeps what was posted and closed."""

    row: Connection | None = OWN
    posted: list[Any] = field(default_factory=list[Any])
    closed: list[str] = field(default_factory=list[str])
    handled: list[SocketRequest] = field(default_factory=list[SocketRequest])

    def get_maybe_stale(self, connection_id: str) -> Connection | None:
        assert connection_id == "c1"
        return self.row

    def post(self, posts: Any) -> None:
        self.posted += [(name, json.loads(body)) for name, body in posts]

    def close(self, connection_id: str) -> None:
        self.closed.append(connection_id)

    def respond(self, body: str, budget: Budget = NO_BUDGET, **event: Any) -> str:
        def refuse(request: SocketRequest) -> None:
            raise Refusal("muted", "No", details={"muted_at": "then"})

        def fail(request: SocketRequest) -> None:
            raise ValueError("a secret")

        routes = {"say": self.handled.append, "refuse": refuse, "fail": fail, "gone": self._not_found}
        context = {"connectionId": "c1"}
        return websocket.respond(routes, budget, {"requestContext": context, "body": body, **event}, NOW, 1.5)

    def _not_found(self, request: SocketRequest) -> None:
        raise Refusal("not_found", "No such call")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    it = Api()
    monkeypatch.setattr(websocket, "connections", lambda: it)
    monkeypatch.setattr(websocket.requests, "poster", lambda event: it)
    return it


def test_a_frame_of_a_known_connection_comes_in(api: Api) -> None:
    body = '{"action": "say", "id": "7", "sender": "driver", "a": 1}'
    assert api.respond(body) == "ok"
    fields = {"action": "say", "id": "7", "sender": "driver", "a": 1}
    event = {"requestContext": {"connectionId": "c1"}, "body": body}
    assert api.handled == [SocketRequest(OWN, party_of(OWN, {}), fields, "7", NOW, 1.5, event)]
    assert (api.posted, api.closed) == ([], [])


@pytest.mark.parametrize(
    ("body", "code", "details"),
    [
        ('{"action": "refuse", "id": "7"}', "muted", {"muted_at": "then"}),
        ('{"action": "fail", "id": "7"}', "internal", {}),
        ('{"action": "gone", "id": "7"}', "not_found", {}),
        ('{"action": "other", "id": "7"}', "invalid_request", {"field": "action"}),
        ('{"id": "7"}', "invalid_request", {"field": "action"}),
        ('{"action": "say", "id": "7", "sender": "passenger"}', "forbidden", {}),
        ('{"action": "say", "id": "7", "booking_code": "ride-2"}', "forbidden", {}),
    ],
)
def test_a_frame_that_is_refused_gets_an_error_with_its_id(
    api: Api, body: str, code: str, details: dict[str, Any]
) -> None:
    assert api.respond(body) == code
    ((name, error),) = api.posted
    assert (name, error["type"], error["id"], error["booking_code"]) == ("c1", "error", "7", "ride-1")
    assert (error["ts"], error["error"]["code"]) == (instants.to_text(NOW), code)
    assert error["error"]["details"] == details
    assert "secret" not in str(error)
    assert (api.handled, api.closed) == ([], [])


@pytest.mark.parametrize(("body", "event"), [("no JSON", {}), ("", {}), ("e30=", {"isBase64Encoded": True})])
def test_what_is_no_frame_gets_an_error_without_an_id(api: Api, body: str, event: dict[str, Any]) -> None:
    assert api.respond(body, **event) == "invalid_request"
    assert [error["id"] for _, error in api.posted] == [None]


def test_who_sends_binary_is_told_what_a_frame_is(api: Api) -> None:
    api.respond("e30=", isBase64Encoded=True)
    assert [error["error"]["message"] for _, error in api.posted] == ["Frames are JSON text, not binary"]


def test_a_connection_that_is_not_known_is_told_so_and_closed(api: Api) -> None:
    api.row = None
    assert api.respond('{"action": "say", "id": "7"}') == "not_found"
    assert [(error["error"]["code"], error["booking_code"]) for _, error in api.posted] == [("not_found", None)]
    assert (api.handled, api.closed) == ([], ["c1"])


def test_a_table_that_does_not_answer_closes_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> Any:
        raise unavailable("The database")

    monkeypatch.setattr(api, "get_maybe_stale", fail)
    assert api.respond('{"action": "say"}') == "unavailable"
    assert [error["error"]["retryable"] for _, error in api.posted] == [True]
    assert api.closed == []


def test_a_token_counts_until_it_expires(api: Api) -> None:
    api.row = replace(OWN, token_exp=instants.to_seconds(NOW))
    assert api.respond('{"action": "say"}') == "token_expired"
    assert (api.handled, api.closed, len(api.posted)) == ([], [], 1)


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        ('{"action": "say"}', 2),
        ('{"action": "other"}', 1),
        ("no JSON", 1),
        ('{"action": "free"}', 1),
        ('{"action": "say", "sender": "passenger"}', 2),
    ],
)
def test_every_frame_costs_something_whatever_becomes_of_it(api: Api, body: str, taken: int) -> None:
    budget = Budget({"say": 2, "free": 0}, RateLimit(1, 10))
    spent = 0
    while api.respond(body, budget) != "rate_limited":
        spent += taken
    assert spent == 10 // taken * taken


@pytest.mark.parametrize(
    ("context", "route"),
    [
        ({"routeKey": "$connect", "eventType": "CONNECT"}, "$connect"),
        ({"routeKey": "$disconnect", "eventType": "DISCONNECT"}, "$disconnect"),
        ({"routeKey": "$connect", "eventType": "MESSAGE"}, "$default"),
        ({"routeKey": "$default", "eventType": "MESSAGE"}, "$default"),
        ({"routeKey": "message", "eventType": "MESSAGE"}, "message"),
        ({}, "None"),
    ],
)
def test_a_frame_is_a_frame_whatever_its_action(context: dict[str, Any], route: str) -> None:
    assert websocket.route_key({"requestContext": context}) == route


@pytest.mark.parametrize(
    ("body", "id"),
    [
        ('{"id": "7"}', "7"),
        ('{"id": " ~"}', " ~"),
        (json.dumps({"id": "x" * 64}), "x" * 64),
        (json.dumps({"id": "x" * 65}), None),
        ('{"id": ""}', None),
        ('{"id": "ü"}', None),
        ('{"id": 7}', None),
        ('["id"]', None),
        ("no JSON", None),
        ("[" * 100_000, None),
        (None, None),
        ('{"id": "7", "a": "' + "x" * (128 * 1024 - 20) + '"}', "7"),
        ('{"id": "7", "a": "' + "x" * (128 * 1024 - 19) + '"}', None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_an_id_is_found_as_far_as_it_can_be_read(body: str | None, id: str | None) -> None:
    assert websocket.frame_id({"body": body}) == id


def test_a_coming_is_answered_with_a_status_alone() -> None:
    def come_in(event: Any, now: int) -> Any:
        return {"statusCode": 200, "headers": {"a": f"{event['b']} {now}"}}

    def stay_out(event: Any, now: int) -> Any:
        raise Refusal("forbidden", "No")

    def fail(event: Any, now: int) -> Any:
        raise ValueError("a secret")

    assert websocket.respond_lifecycle(come_in, {"b": 1}, 2) == ({"statusCode": 200, "headers": {"a": "1 2"}}, "200")
    assert websocket.respond_lifecycle(stay_out, {}, 2) == ({"statusCode": 403}, "forbidden")
    assert websocket.respond_lifecycle(fail, {}, 2) == ({"statusCode": 500}, "internal")
