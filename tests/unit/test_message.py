"""What may be asked to be stored: texts that somebody can see, numbers that everybody reads alike."""

import json
from typing import Any

import pytest

from make_call.announcing import NewSignal
from navietakie.domain.errors import Refusal
from navietakie.domain.message import LARGEST_INTEGER, NewMessage

CALL_ID = "0" * 32


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "\n\t",
        "\u00a0\u2003\u3000",
        "\u2028\u2029",
        "\u200b\u200d\ufeff\u2060",
        "\u00ad",
        "\u202e\u2066",
        "\u115f\u1160",
        "\u2800",
        "\u3164\uffa0",
        "\u061c \U000e0020",
        "\x7f\x85",
    ],
    ids=ascii,
)
def test_a_text_that_nobody_can_see_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        NewMessage.parse({"message": text})
    assert (refused.value.code, refused.value.details) == ("invalid_request", {"field": "message"})


@pytest.mark.parametrize(
    "text", [".", "\u200b.", "   x", "👨\u200d👩\u200d👧", "می\u200cخواهم", "\ufe0f", "\u0301"], ids=ascii
)
def test_a_text_with_anything_to_see_is_taken_as_it_is(text: str) -> None:
    assert NewMessage.parse({"message": text}).message == text


@pytest.mark.parametrize("number", [LARGEST_INTEGER + 1, -LARGEST_INTEGER - 1, 10**400])
@pytest.mark.parametrize("around", ['{"a": %d}', '{"a": [{"b": [%d]}]}', '{"a": {"b": %d}}'])
def test_a_whole_number_that_some_clients_would_misread_is_refused(number: int, around: str) -> None:
    data = json.loads(around % number)
    with pytest.raises(Refusal) as refused:
        NewMessage.parse({"message": "x", "metadata": data})
    assert (refused.value.code, refused.value.details) == ("invalid_request", {"field": "metadata"})
    with pytest.raises(Refusal) as refused:
        NewSignal.parse({"call_id": CALL_ID, "data": data})
    assert (refused.value.code, refused.value.details) == ("invalid_request", {"field": "data"})


def test_a_signal_that_is_but_a_number_is_held_to_it_too() -> None:
    with pytest.raises(Refusal):
        NewSignal.parse({"call_id": CALL_ID, "data": 2**53})
    assert NewSignal.parse({"call_id": CALL_ID, "data": [1, True, None, "9" * 400]}).data[0] == 1


@pytest.mark.parametrize("number", [LARGEST_INTEGER, -LARGEST_INTEGER, True, 1e300, 0.1])
def test_numbers_that_every_client_reads_alike_are_passed_on(number: Any) -> None:
    assert NewMessage.parse({"message": "x", "metadata": {"a": number}}).metadata == {"a": number}
