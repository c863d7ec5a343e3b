"""The errors that clients see: their codes, statuses, and when to try again."""

from typing import get_args

import pytest

from navietakie.domain.errors import Code, Refusal, invalid, unavailable

ERRORS = {
    "invalid_request": (400, False),
    "unauthorized": (401, False),
    "token_expired": (401, False),
    "forbidden": (403, False),
    "muted": (403, False),
    "refused_by_hook": (403, False),
    "not_found": (404, False),
    "idempotency_conflict": (409, False),
    "illegal_transition": (409, False),
    "call_in_progress": (409, False),
    "booking_closed": (409, False),
    "connection_replaced": (409, False),
    "too_large": (413, False),
    "rate_limited": (429, True),
    "internal": (500, True),
    "unavailable": (503, True),
}
"""Status of each code, and whether the same request may succeed later; the same as in docs/protocol.md."""


@pytest.mark.parametrize("code", get_args(Code))
def test_every_code_has_its_status_and_says_whether_to_try_again(code: Code) -> None:
    refusal = Refusal(code, "No")
    assert (refusal.status, refusal.retryable) == ERRORS[code]
    assert (str(refusal), refusal.message, refusal.details, refusal.retry_after_ms) == ("No", "No", {}, None)


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(None, None), (0, 1), (1, 1), (1_000, 1), (1_001, 2), (2_000, 2), (59_001, 60)]
)
def test_retry_after_is_in_whole_seconds_rounded_up_and_at_least_one(
    milliseconds: int | None, seconds: int | None
) -> None:
    assert Refusal("rate_limited", "No", retry_after_ms=milliseconds).retry_after_seconds == seconds


def test_a_bad_field_is_named_for_people_and_for_programs() -> None:
    refusal = invalid("metadata.side", "must be one of driver, passenger")
    assert (refusal.code, refusal.details) == ("invalid_request", {"field": "metadata.side"})
    assert refusal.message == "metadata.side: must be one of driver, passenger"


def test_what_is_not_available_may_be_asked_again_a_second_later() -> None:
    assert (unavailable("The store").code, unavailable("The store").retry_after_ms) == ("unavailable", 1_000)
    assert unavailable("The store", 250).retry_after_ms == 250
