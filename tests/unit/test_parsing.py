"""JSON from clients: accepted within the limits, and refused beyond them with the name of the wrong field."""

import json
from typing import Any

import pytest

from navietakie.domain.errors import Refusal
from navietakie.domain.parsing import json_object


def padded(size: int, character: str = "x") -> str:
    """A JSON object of so many bytes."""
    filling = (size - len('{"a":""}')) // len(character.encode())
    text = '{"a":"' + character * filling + '"}'
    return text + " " * (size - len(text.encode()))


def nested(levels: int, kind: type) -> str:
    value: Any = 1
    for _ in range(levels - 1):
        value = {"a": value} if kind is dict else [value]
    return json.dumps({"a": value})


@pytest.mark.parametrize(
    "text",
    [
        padded(32_768),
        padded(32_768, "ü"),
        nested(32, dict),
        nested(32, list),
        json.dumps({"a": "[{" * 40}),
        json.dumps({"a": [[], {}] * 40}),
        '{"a": 1e308, "b": "\\ud83d\\ude00", "c": "\\\\u0000"}',
    ],
    ids=lambda text: text[:20],
)
def test_what_keeps_within_the_limits_is_taken_as_it_is(text: str) -> None:
    assert json_object(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        (padded(32_769), "too_large", None),
        (padded(32_769, "ü"), "too_large", None),
        (nested(33, dict), "invalid_request", "body"),
        (nested(33, list), "invalid_request", "body"),
        ("[" * 20_000, "invalid_request", "body"),
        ("[1]", "invalid_request", "body"),
        ('{"a": 1', "invalid_request", "body"),
        ('{"a": NaN}', "invalid_request", "body"),
        ('{"a": -Infinity}', "invalid_request", "body"),
        ('{"a": 1e309}', "invalid_request", "body"),
        ('{"a": "\ud800"}', "invalid_request", "body"),
        ('{"a": 1, "b": "\\ud800"}', "invalid_request", "b"),
        ('{"a": 1, "b": {"c": ["\\u0000"]}}', "invalid_request", "b"),
        ('{"b": {"c": {"d\\u0000": 1}}}', "invalid_request", "b"),
        ('{"b": [[1, "\\u0000"]]}', "invalid_request", "b"),
        ('{"b\\u0000": 1}', "invalid_request", "body"),
        ('{"b\\ud800": 1}', "invalid_request", "body"),
        (f'{{"{"n" * 64}": "\\u0000"}}', "invalid_request", "n" * 64),
        (f'{{"{"n" * 65}": "\\u0000"}}', "invalid_request", "body"),
        ('{"two words": "\\u0000"}', "invalid_request", "body"),
        ('{"naïve": "\\ud800"}', "invalid_request", "body"),
        ('{"naïve": "\\u0000"}', "invalid_request", "naïve"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_goes_beyond_them_is_refused_and_the_field_named(text: str, code: str, field: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        json_object(text)
    assert (refused.value.code, refused.value.details.get("field")) == (code, field)


def test_text_that_cannot_be_given_back_is_named_as_that() -> None:
    with pytest.raises(Refusal, match="body: holds a lone surrogate"):
        json_object('{"a": "\ud800"}')
