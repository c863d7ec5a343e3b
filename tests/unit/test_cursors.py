"""Cursors are opaque, and bound to their booking."""

import base64
import hashlib

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
def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        cursors.decode("test", text)
    assert refused.value.code == "invalid_request"


def test_a_cursor_that_an_earlier_release_gave_is_still_one() -> None:
    assert cursors.encode("ride-1", "2026-03-01T10:00:00.000001Z") == "AAZL84iHyAGLVkgrf4o3UA"
    assert cursors.decode("ride-1", "AAZL84iHyAGLVkgrf4o3UA") == "2026-03-01T10:00:00.000001Z"


@pytest.mark.parametrize("added", ["!", "\n", "A", "+", "!!!!"])
def test_a_cursor_with_anything_added_is_refused(added: str) -> None:
    for cursor in ("AAZL84iHyAGLVkgrf4o3UA" + added, "AAZL" + added + "84iHyAGLVkgrf4o3UA"):
        with pytest.raises(Refusal, match="cursor"):
            cursors.decode("ride-1", cursor)


def test_a_cursor_beyond_all_time_is_refused() -> None:
    position = (2**63).to_bytes(8)
    tag = hashlib.sha256(position + b"ride-1").digest()[:8]
    with pytest.raises(Refusal, match="cursor"):
        cursors.decode("ride-1", base64.urlsafe_b64encode(position + tag).decode().rstrip("="))
