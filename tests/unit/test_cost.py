"""The page of costs follows from the counted requests, and a message costs no more than its goal."""

import re

from benchmarks import cost, ride
from benchmarks.requests import REQUESTS


def test_the_page_is_what_the_requests_cost() -> None:
    assert cost.PAGE.read_text() == cost.page()


def test_a_message_costs_at_most_1_9_times_the_unsafe_design() -> None:
    assert cost.requests(REQUESTS["message by REST"]) <= 1.9 * cost.requests(cost.UNSAFE)


def test_a_phone_pings_in_the_model_when_the_client_does() -> None:
    source = (ride.ROOT / "web/navietakie/sync.js").read_text()
    names = ("FIRST_PING_MS", "PING_MS", "PING_IN_CALL_MS", "UNPINGED_MS")
    found = [re.search(rf"^const {name} = ([\d_]+);", source, re.MULTILINE) for name in names]
    given = [float(match[1]) / 1_000 for match in found if match]
    assert given == [ride.FIRST_PING, ride.PING, ride.PING_IN_CALL, ride.UNPINGED]


def test_a_phone_that_hears_nothing_pings_every_minute_and_during_the_call_every_ten_seconds() -> None:
    in_a_call = (ride.CALL[1] - ride.CALL[0]) // ride.PING_IN_CALL
    assert ride.pings(()) == ride.SECONDS // 60 + in_a_call


def test_frames_that_tell_the_head_save_pings_but_never_all() -> None:
    chatter = range(0, ride.SECONDS, 10)
    assert ride.SECONDS // ride.UNPINGED < ride.pings(chatter) < ride.pings(ride.SPREAD) < ride.pings(())
