"""Which messages are accepted: texts with something visible, and numbers that all clients read alike."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from make_call.announcing import NewSignal
from navietakie.domain.errors import Refusal
from navietakie.domain.message import (
    LARGEST_INTEGER,
    BookingCode,
    Fields,
    Limit,
    Location,
    Message,
    NewMessage,
    other_side,
)

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


def test_a_signal_that_is_only_a_number_has_the_same_limit() -> None:
    with pytest.raises(Refusal):
        NewSignal.parse({"call_id": CALL_ID, "data": 2**53})
    assert NewSignal.parse({"call_id": CALL_ID, "data": [1, True, None, "9" * 400]}).data[0] == 1


@pytest.mark.parametrize("number", [LARGEST_INTEGER, -LARGEST_INTEGER, True, 1e300, 0.1])
def test_numbers_that_every_client_reads_alike_are_passed_on(number: Any) -> None:
    assert NewMessage.parse({"message": "x", "metadata": {"a": number}}).metadata == {"a": number}


def test_the_largest_whole_number_is_that_of_a_double() -> None:
    assert LARGEST_INTEGER == 9_007_199_254_740_991


class Counted(Fields):
    """A request that contains a number."""

    count: int
    limit: Limit | None = None


@pytest.mark.parametrize(
    ("field", "taken", "refused"),
    [
        ("message", ["x", "x" * 5_000, "😀" * 5_000], ["", "x" * 5_001, 5, None]),
        ("message_type", ["text", "call", "system"], ["order", ""]),
        ("sender_id", ["x", "x" * 128, "Zoë 🚕"], ["", "x" * 129, "a\x00", "a\x1f", "a\x7f", "a\n"]),
        ("client_message_id", ["x", " ", "~" * 64], ["", "x" * 65, "ü", "a\x1f", "a\x7f", "a\n", 7]),
        ("metadata", [{}, {"a": None}], [[], "x"]),
        ("metadata.location", [{"lat": -90, "lng": -180}, {"lat": 90.0, "lng": 180.0, "label": "Here"}], ["x", 1, []]),
        ("metadata.location.lat", [], [-90.001, 90.001, "1", None, True, float("nan")]),
        ("metadata.location.lng", [], [-180.001, 180.001, "1", None, True, float("nan")]),
        ("metadata.attachment", [{"id": "0af" + "0" * 29}], ["x", []]),
        ("metadata.attachment.id", [], ["0" * 31, "0" * 33, "G" * 32, None]),
        ("metadata.quick_reply_id", ["x", " " * 64], ["", "x" * 65, "ü", 7]),
    ],
)
def test_a_field_is_taken_up_to_its_limits_and_named_beyond_them(
    field: str, taken: list[Any], refused: list[Any]
) -> None:
    def asked(value: Any) -> dict[str, Any]:
        name, *inner = field.split(".")
        for part in reversed(inner):
            others = {"lat": 1.5, "lng": 1.5} if part in ("lat", "lng") else {}
            value = {**others, part: value}
        return {"message": "x", name: value}

    for value in taken:
        new, (name, *_) = NewMessage.parse(asked(value)), field.split(".")
        assert getattr(new, name) == asked(value)[name]
    for value in refused:
        with pytest.raises(Refusal) as caught:
            NewMessage.parse(asked(value))
        assert (caught.value.code, caught.value.details) == ("invalid_request", {"field": field}), value


def test_metadata_takes_up_to_4_kb_as_json_in_utf_8() -> None:
    full = {"a": "ü" * 2_044}
    assert NewMessage.parse({"message": "x", "metadata": full}).metadata == full
    with pytest.raises(Refusal) as refused:
        NewMessage.parse({"message": "x", "metadata": {"a": "ü" * 2_044 + "x"}})
    assert (refused.value.code, refused.value.details) == ("too_large", {"field": "metadata"})


def test_optional_fields_may_be_null_and_unknown_ones_are_ignored() -> None:
    plain = NewMessage.parse({"message": "x"})
    nothing = dict.fromkeys(("message_type", "metadata", "sender_id", "client_message_id"))
    assert NewMessage.parse({"message": "x", "later": 1, **nothing}) == plain
    assert (plain.message_type, plain.metadata, plain.attachment_id, plain.event) == ("text", None, None, None)


def test_types_are_not_converted() -> None:
    assert Counted.parse({"count": 7}) == Counted(count=7)
    for value in ("7", 7.0, True):
        with pytest.raises(Refusal):
            Counted.parse({"count": value})


def test_the_first_of_several_bad_fields_is_named() -> None:
    with pytest.raises(Refusal) as refused:
        NewMessage.parse({"message": 1, "message_type": 2, "sender_id": 3})
    assert refused.value.details == {"field": "message"}


def test_an_error_says_what_is_wrong_in_words_that_name_nothing_of_ours() -> None:
    with pytest.raises(Refusal) as refused:
        NewMessage.parse({"message": " "})
    assert refused.value.message == "message: holds nothing that can be seen"
    with pytest.raises(Refusal) as refused:
        NewMessage.parse({"message": "x", "metadata": {"location": 1}})
    assert refused.value.message == "metadata.location: Input should be an object"


@pytest.mark.parametrize(("given", "limit"), [(1, 1), (100, 100), ("1", 1), ("100", 100), ("007", 7)])
def test_a_limit_is_a_number_or_digits(given: Any, limit: int) -> None:
    assert Counted.parse({"count": 0, "limit": given}).limit == limit


@pytest.mark.parametrize("given", [0, 101, "0", "101", "-1", "+1", "1.0", "", "x", "1" * 10, 1.0, [1]])
def test_any_other_limit_is_refused(given: Any) -> None:
    with pytest.raises(Refusal) as refused:
        Counted.parse({"count": 0, "limit": given})
    assert refused.value.details == {"field": "limit"}


def test_a_booking_code_is_1_to_64_letters_digits_dashes_and_underscores_and_begins_with_neither() -> None:
    code = TypeAdapter[str](BookingCode)
    for good in ("a", "9", "Z" * 64, "a-_9"):
        assert code.validate_python(good) == good
    for bad in ("", "-a", "_a", "a" * 65, "a b", "a/b", "ä", "a\n"):
        with pytest.raises(ValidationError):
            code.validate_python(bad)


def test_a_photo_needs_no_words_and_nothing_else_does_without() -> None:
    photo = NewMessage.parse({"message": "", "metadata": {"attachment": {"id": "0" * 32}}})
    assert photo.attachment_id == "0" * 32
    with pytest.raises(Refusal) as refused:
        NewMessage.parse({"message": "", "metadata": {"quick_reply_id": "omw"}})
    assert refused.value.details == {"field": "message"}


def test_only_a_message_of_type_system_speaks_of_the_booking() -> None:
    stored = {"message_id": "i", "booking_code": "b", "seq": 1, "timestamp": "t", "sender": "system", "message": "x"}
    for kind, event in (("system", "ride_started"), ("text", None), ("call", None)):
        said = {"message_type": kind, "metadata": {"event": "ride_started"}}
        assert NewMessage.parse({"message": "x", **said}).event == event
        assert Message.model_validate({**stored, **said}).event == event
    assert Message.model_validate({**stored, "message_type": "system"}).event is None
    assert NewMessage.parse({"message": "x", "message_type": "system"}).event is None


def test_equal_contents_have_equal_digests_and_others_have_others() -> None:
    one = NewMessage.parse({"message": "ü", "metadata": {"a": 1, "b": [2]}, "client_message_id": "1", "sender_id": "x"})
    same = NewMessage.parse({"message": "ü", "metadata": {"b": [2], "a": 1}, "client_message_id": "2"})
    assert one.digest == same.digest
    others = [
        NewMessage.parse({"message": "u", "metadata": {"a": 1, "b": [2]}}),
        NewMessage.parse({"message": "ü", "metadata": {"a": 1, "b": [3]}}),
        NewMessage.parse({"message": "ü", "metadata": {"a": 1, "b": [2]}, "message_type": "call"}),
        NewMessage.parse({"message": "ü"}),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 5


def test_a_digest_that_an_earlier_release_stored_is_still_that_of_its_message() -> None:
    new = NewMessage.parse({"message": "On my way, ü", "metadata": {"b": 1, "a": [True, None]}})
    assert new.digest == "d58cd36cac629b717a101d2a8931a892"


def test_what_was_asked_for_and_what_was_stored_cannot_be_changed() -> None:
    stored = Message(
        message_id="i", booking_code="b", seq=1, timestamp="t", sender="driver", message_type="text", message="x"
    )
    place = Location(lat=1.0, lng=2.0)
    for each, name in ((stored, "message"), (NewMessage.parse({"message": "x"}), "message"), (place, "lat")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(each, name, "y")


def test_a_place_keeps_the_fields_that_a_client_adds_to_it() -> None:
    assert Location.model_validate({"lat": 1.0, "lng": 2.0, "label": "Here"}).model_dump()["label"] == "Here"


def test_the_sides_talk_to_each_other() -> None:
    assert (other_side("driver"), other_side("passenger")) == ("passenger", "driver")
