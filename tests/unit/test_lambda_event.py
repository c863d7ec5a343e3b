"""The headers and the query string of what Lambda hands over, however they are spelt and how often they are given."""

from typing import Any

import pytest

from navietakie.domain.errors import Refusal
from navietakie.doors.lambda_event import headers_of, normalized, query_of


@pytest.mark.parametrize(
    ("event", "taken"),
    [
        (None, {}),
        ([1], {}),
        ({"a": 1}, {"a": 1}),
        ({"a": 1, "requestContext": {"b": 2}}, {"a": 1, "requestContext": {"b": 2}}),
        ({"a": 1, "requestContext": "x"}, {"a": 1, "requestContext": {}}),
        ({"requestContext": None}, {"requestContext": {}}),
    ],
)
def test_an_event_is_an_object_and_so_is_its_context(event: object, taken: dict[str, Any]) -> None:
    assert normalized(event) == taken


@pytest.mark.parametrize(
    ("event", "headers"),
    [
        ({}, {}),
        ({"headers": None, "multiValueHeaders": None}, {}),
        ({"headers": {"X-Request": "1"}}, {"x-request": "1"}),
        ({"multiValueHeaders": {"X-Request": ["1", "2"]}}, {"x-request": "2"}),
        ({"headers": {"X-Request": "2"}, "multiValueHeaders": {"X-Request": ["1", "2"]}}, {"x-request": "2"}),
        ({"headers": {"X-Request": "2"}, "multiValueHeaders": {"X-Request": ["1"]}}, {"x-request": "2"}),
        ({"headers": {"X-A": "1"}, "multiValueHeaders": {"X-B": ["2"]}}, {"x-a": "1", "x-b": "2"}),
        ({"headers": {"X-A": None}, "multiValueHeaders": {"X-A": ["2"]}}, {"x-a": "2"}),
        ({"headers": {"X-A": None}, "multiValueHeaders": {"X-A": []}}, {}),
        ({"multiValueHeaders": {"X-A": "no list"}}, {}),
        ({"multiValueHeaders": {"Authorization": ["Bearer a", "Bearer b"]}}, {"authorization": "Bearer a, Bearer b"}),
        (
            {
                "headers": {"Authorization": "Bearer b"},
                "multiValueHeaders": {"Authorization": ["Bearer a", "Bearer b"]},
            },
            {"authorization": "Bearer a, Bearer b"},
        ),
        ({"multiValueHeaders": {"Authorization": ["Bearer a", "Bearer a"]}}, {"authorization": "Bearer a"}),
        (
            {"headers": {"Authorization": "Bearer a", "authorization": "Bearer b"}},
            {"authorization": "Bearer a, Bearer b"},
        ),
        (
            {"multiValueHeaders": {"Sec-WebSocket-Protocol": ["navietakie.v1", "bearer.a"]}},
            {"sec-websocket-protocol": "navietakie.v1, bearer.a"},
        ),
    ],
)
def test_the_last_value_of_a_header_counts_and_of_a_token_every_one(
    event: dict[str, Any], headers: dict[str, str]
) -> None:
    assert headers_of(event) == headers


@pytest.mark.parametrize(
    ("event", "query"),
    [
        ({}, {}),
        ({"queryStringParameters": {"limit": "5"}}, {"limit": "5"}),
        ({"multiValueQueryStringParameters": {"limit": ["5"]}}, {"limit": "5"}),
        ({"multiValueQueryStringParameters": {"sender": ["driver", "agent"]}}, {"sender": "driver,agent"}),
        ({"queryStringParameters": {"a": "1"}, "multiValueQueryStringParameters": {"b": ["2"]}}, {"a": "1", "b": "2"}),
    ],
)
def test_a_parameter_that_may_be_repeated_is_a_list(event: dict[str, Any], query: dict[str, str]) -> None:
    assert query_of(event, ("sender",)) == query


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"multiValueQueryStringParameters": {"limit": ["5", "6"]}}, "limit"),
        ({"multiValueQueryStringParameters": {"limit": ["5", "5"]}}, "limit"),
        (
            {"queryStringParameters": {"limit": "6"}, "multiValueQueryStringParameters": {"limit": ["5", "6"]}},
            "limit",
        ),
        ({"multiValueQueryStringParameters": {"n" * 64: ["5", "5"]}}, "n" * 64),
        ({"multiValueQueryStringParameters": {"n" * 65: ["5", "5"]}}, "query"),
        ({"multiValueQueryStringParameters": {"two words": ["5", "5"]}}, "query"),
        ({"queryStringParameters": {"cursor": "a\0"}}, "cursor"),
        ({"queryStringParameters": ["cursor"]}, "queryStringParameters"),
        ({"multiValueQueryStringParameters": "cursor"}, "multiValueQueryStringParameters"),
    ],
)
def test_a_parameter_that_is_given_twice_or_is_no_text_is_refused(event: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal) as refused:
        query_of(event)
    assert (refused.value.code, refused.value.details) == ("invalid_request", {"field": field})
