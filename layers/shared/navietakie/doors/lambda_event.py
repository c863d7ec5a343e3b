"""What Lambda hands to a function: the parts that the events of several doors have in common."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, cast

from navietakie.domain.errors import invalid
from navietakie.domain.parsing import NAME_CHARACTERS, refuse_odd_text

_SUMMED: Final = frozenset({"authorization", "sec-websocket-protocol"})

LambdaEvent = Mapping[str, Any]
"""An event as Lambda hands it over: by API Gateway, from a queue, or whatever a direct invocation holds."""


def normalized(event: object) -> LambdaEvent:
    """The event, empty where it is not an object; its request context likewise. A direct event may be any JSON."""
    it = cast(LambdaEvent, event if isinstance(event, Mapping) else {})
    return it if isinstance(it.get("requestContext", {}), Mapping) else {**it, "requestContext": {}}


def headers_of(event: LambdaEvent) -> dict[str, str]:
    """The headers of a request or a `$connect`, their names in lower case.

    If a header comes several times, its last value counts. Headers that carry tokens are a list of all their values
    (RFC 9110, section 5.3), so that no second token is overlooked.
    """
    found: dict[str, list[str]] = {}
    for name, values in _values(event, "headers", "multiValueHeaders"):
        found.setdefault(name.lower(), []).extend(values)
    return {name: ", ".join(dict.fromkeys(each)) if name in _SUMMED else each[-1] for name, each in found.items()}


def query_of(event: LambdaEvent, repeatable: Collection[str] = ()) -> dict[str, str]:
    """The query string of a request or a `$connect`. Several values of a `repeatable` parameter are joined by commas.

    Raises `invalid_request` for NUL, and for any other parameter that is given twice: API Gateway and a proxy in front
    of it may disagree about which one counts.
    """
    query: dict[str, str] = {}
    for name, values in _values(event, "queryStringParameters", "multiValueQueryStringParameters"):
        query[name] = ",".join(values)
        refuse_odd_text({name: query[name]})
        if len(values) > 1 and name not in repeatable:
            raise invalid(name if name.isidentifier() and len(name) <= NAME_CHARACTERS else "query", "is given twice")
    return query


def _values(event: LambdaEvent, single: str, multiple: str) -> Iterator[tuple[str, list[str]]]:
    """Names and all their values. API Gateway sends the last value of each in one way, and all of them in another."""
    one, many = _mapping(event, single), _mapping(event, multiple)
    for name in dict.fromkeys((*many, *one)):
        listed: Any = many.get(name)
        values = [str(value) for value in cast(list[Any], listed)] if isinstance(listed, list) else []
        if len(values) > 1 or one.get(name) is None:
            if values:
                yield name, values
        else:
            yield name, [str(one[name])]


def _mapping(event: LambdaEvent, name: str) -> Mapping[str, Any]:
    value: Any = event.get(name) or {}
    if not isinstance(value, Mapping):
        raise invalid(name, "Input should be an object")
    return cast(Mapping[str, Any], value)
