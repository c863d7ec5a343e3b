"""What Lambda hands to a function: the parts that the events of several doors have in common."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from navietakie.domain.errors import invalid
from navietakie.domain.parsing import refuse_odd_text

LambdaEvent = Mapping[str, Any]
"""An event as Lambda hands it over: by API Gateway, from a queue, or whatever a direct invocation holds."""


def normalized(event: object) -> LambdaEvent:
    """The event, empty where it is no object, its request context likewise: a direct invocation may be any JSON."""
    it = cast(LambdaEvent, event if isinstance(event, Mapping) else {})
    return it if isinstance(it.get("requestContext", {}), Mapping) else {**it, "requestContext": {}}


def headers_of(event: LambdaEvent) -> dict[str, str]:
    """The headers of a request or a `$connect`, their names in lower case."""
    return {name.lower(): value for name, value in _pairs(event, "headers", "multiValueHeaders")}


def query_of(event: LambdaEvent) -> dict[str, str]:
    """The query string of a request or a `$connect`; raises `invalid_request` for NUL in it."""
    query = dict(_pairs(event, "queryStringParameters", "multiValueQueryStringParameters"))
    refuse_odd_text(query)
    return query


def _pairs(event: LambdaEvent, single: str, multiple: str) -> Iterator[tuple[str, str]]:
    """Names and values; where a name has several the last, as API Gateway has it, which sends them in both ways."""
    for name, values in _mapping(event, multiple).items():
        if isinstance(values, list) and values:
            yield name, str(cast(list[Any], values)[-1])
    for name, value in _mapping(event, single).items():
        if value is not None:
            yield name, str(value)


def _mapping(event: LambdaEvent, name: str) -> Mapping[str, Any]:
    value: Any = event.get(name) or {}
    if not isinstance(value, Mapping):
        raise invalid(name, "Input should be an object")
    return cast(Mapping[str, Any], value)
