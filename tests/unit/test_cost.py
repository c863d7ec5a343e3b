"""The page of costs is that of the counted requests, and a message stays within its goal."""

from benchmarks import cost
from benchmarks.requests import REQUESTS


def test_the_page_is_what_the_requests_cost() -> None:
    assert cost.PAGE.read_text() == cost.page()


def test_a_message_costs_at_most_1_9_times_the_unsafe_design() -> None:
    assert cost.requests(REQUESTS["message by REST"]) <= 1.9 * cost.requests(cost.UNSAFE)
