"""Cursors are opaque, and bound to their booking."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navietakie.domain import cursors, instants
from navietakie.domain.errors import Refusal

booking_codes = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)


@given(booking_codes, st.integers(0, 4 * 10**15))
def test_a_cursor_leads_back_to_its_position(booking_code: str, instant: int) -> None:
    timestamp = instants.to_text(instant)
    assert cursors.decode(booking_code, cursors.encode(booking_code, timestamp)) == timestamp


@given(booking_codes, booking_codes)
def test_a_cursor_is_refused_for_another_booking(one: str, other: str) -> None:
    cursor = cursors.encode(one, "2026-03-01T10:00:00.000000Z")
    if one != other:
        with pytest.raises(Refusal, match="cursor"):
            cursors.decode(other, cursor)


@given(st.text(max_size=64))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        cursors.decode("test", text)
    assert refused.value.code == "invalid_request"
