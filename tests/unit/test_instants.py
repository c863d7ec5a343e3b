"""Instants and their texts."""

import pytest

from navietakie.domain import instants


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000000Z"),
        ("2026-01-31T08:00:00.1+02:00", "2026-01-31T06:00:00.100000Z"),
        ("1970-01-01T00:00:00+00:00", "1970-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("2026-01-31t08:00:00.123456789z", "2026-01-31T08:00:00.123456Z"),
        ("1969-12-31T23:59:59Z", "1970-01-01T00:00:00.000000Z"),
        ("1970-01-01T00:00:00+01:00", "1970-01-01T00:00:00.000000Z"),
        ("0001-01-01T00:00:00+10:00", "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_a_timestamp_is_normalized(text: str, normal: str) -> None:
    assert instants.normalized(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2026-01-31T08:00:00",
        "2026-02-30T08:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "20260131T080000Z",
        "2026-01-31T08:00Z",
        "2026-W05-6T08:00:00Z",
        "2026-01-31T08:00:00,5Z",
    ],
)
def test_a_text_that_is_no_timestamp_of_ours_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        instants.normalized(text)


@pytest.mark.parametrize("instant", [0, 1, 1_769_846_400_000_001, 253_402_300_799_999_999])
def test_the_text_names_the_instant(instant: int) -> None:
    assert instants.from_text(instants.to_text(instant)) == instant


@pytest.mark.parametrize(
    "text", ["2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000000+00:00", "２026-01-31T08:00:00.000000Z"]
)
def test_a_timestamp_in_another_format_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="looks like"):
        instants.from_text(text)


def test_a_day_has_86_400_seconds_and_a_second_a_million_microseconds() -> None:
    assert (instants.SECOND, instants.DAY) == (1_000_000, 86_400_000_000)


def test_what_is_kept_for_days_expires_in_whole_seconds_rounded_down() -> None:
    assert instants.to_seconds(1_999_999) == 1
    assert instants.expiry(1_999_999, 2) == 2 * 86_400 + 1
