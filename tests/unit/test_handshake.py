"""What a client brings to its `$connect`: one token, however it is carried, and the subprotocols that it offers."""

import pytest

from navietakie.domain.errors import Refusal
from navietakie.doors import identity
from navietakie.doors.identity import Identity
from websocket.handshake import bearer_of, selected_subprotocol

SOMEBODY = Identity("driver-7", "ride-1", "driver", 2**40)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """With tokens; collects the headers of which the bearer was asked."""
    headers = list[dict[str, str]]()

    def of_rest(given: dict[str, str]) -> Identity:
        headers.append(given)
        return SOMEBODY

    monkeypatch.setenv("ENVIRONMENT", "local")
    monkeypatch.setenv("AUTH_MODE", "jwt")
    monkeypatch.setattr(identity, "of_rest", of_rest)
    return headers


@pytest.mark.parametrize(
    ("headers", "query", "authorization"),
    [
        ({}, {"token": "abc"}, "Bearer abc"),
        ({"authorization": "Bearer abc"}, {}, "Bearer abc"),
        ({"authorization": "bearer  abc "}, {}, "Bearer abc"),
        ({"authorization": "Basic abc"}, {}, "Basic abc"),
        ({"sec-websocket-protocol": "navietakie.v1, bearer.abc"}, {}, "Bearer abc"),
        ({"sec-websocket-protocol": "bearer.abc"}, {"token": "abc"}, "Bearer abc"),
        ({"sec-websocket-protocol": "bearer.abc", "authorization": "Bearer abc"}, {"token": "abc"}, "Bearer abc"),
        ({"sec-websocket-protocol": "bearer."}, {"token": ""}, None),
        ({"sec-websocket-protocol": "navietakie.v1"}, {}, None),
        ({}, {}, None),
    ],
)
def test_a_token_is_taken_however_it_is_carried(
    asked: list[dict[str, str]], headers: dict[str, str], query: dict[str, str], authorization: str | None
) -> None:
    assert bearer_of(headers, query) is SOMEBODY
    assert asked == [{"authorization": authorization} if authorization else {}]


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"sec-websocket-protocol": "bearer.abc"}, {"token": "abd"}),
        ({"authorization": "Bearer abc"}, {"token": "abd"}),
        ({"authorization": "Basic abc"}, {"token": "abc"}),
        ({"sec-websocket-protocol": "bearer.abc, bearer.abd"}, {}),
    ],
)
def test_two_tokens_that_differ_are_refused(
    asked: list[dict[str, str]], headers: dict[str, str], query: dict[str, str]
) -> None:
    with pytest.raises(Refusal) as refused:
        bearer_of(headers, query)
    assert (refused.value.code, asked) == ("unauthorized", [])


def test_without_tokens_none_is_looked_for(asked: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_MODE", "none")
    assert bearer_of({"authorization": "Bearer abc"}, {"token": "abd"}) is None
    assert asked == []


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        ("navietakie.v1", {"Sec-WebSocket-Protocol": "navietakie.v1"}),
        ("bearer.abc,navietakie.v1", {"Sec-WebSocket-Protocol": "navietakie.v1"}),
        ("bearer.abc", {}),
        ("", {}),
    ],
)
def test_the_subprotocol_of_ours_is_selected_where_it_is_offered(offered: str, selected: dict[str, str]) -> None:
    assert selected_subprotocol({"sec-websocket-protocol": offered}) == selected
    assert selected_subprotocol({}) == {}
