"""The page of scale follows from the counted requests, and its limits are those of the template and the client."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import scale_out
from benchmarks.cost import READ_UNIT, RIDE, WRITE_UNIT
from benchmarks.requests import REQUESTS

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_requests_ask_for() -> None:
    assert scale_out.PAGE.read_text("utf-8") == scale_out.page()


def test_the_tables_share_the_units_of_the_counted_requests() -> None:
    tables = scale_out.by_table(RIDE).values()
    for at, price, reads in ((0, READ_UNIT, True), (1, WRITE_UNIT, False)):
        counted = sum(scale_out.units(name, price, reads=reads) * times for name, times in RIDE.items())
        assert sum(table[at] for table in tables) == pytest.approx(counted)


@pytest.mark.parametrize("operation", RIDE)
def test_no_table_gives_back_units(operation: str) -> None:
    assert all(min(table) >= 0 for table in scale_out.by_table({**dict.fromkeys(RIDE, 0.0), operation: 1.0}).values())


def test_the_limits_of_the_template_are_the_templates() -> None:
    template = (ROOT / "template.yaml").read_text("utf-8")
    assert f"ApiThrottleRate: {{Type: Number, Default: {scale_out.API_RATE}," in template
    assert f"MaximumConcurrency: {scale_out.TIMERS_AT_ONCE}" in template


def test_clients_come_back_within_the_time_that_the_client_takes() -> None:
    clock = (ROOT / "web/navietakie/clock.js").read_text("utf-8")
    cap = re.search(r"cap = ([\d_]+)\)", clock)
    assert cap
    assert "ceiling * (0.5 + clock.random() / 2)" in clock
    assert [float(cap[1]) / 2_000, float(cap[1]) / 1_000] == list(scale_out.BACKOFF_SECONDS)


def test_the_operations_of_a_proof_may_replace_the_ride(tmp_path: Path) -> None:
    proof = {"rides_judged": 10, "operations": {"ping": 300, "message by WebSocket": 50, "something else": 7}}
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(proof))
    ride = scale_out.proved(str(path))
    assert (ride["ping"], ride["message by WebSocket"], ride["connect"]) == (30, 5, 0)
    assert set(ride) <= set(REQUESTS)


def test_more_frames_per_ride_use_up_a_quota_sooner() -> None:
    chatty = {**RIDE, "typing": 10 * RIDE["typing"]}
    assert scale_out.quotas(chatty)[0].rides < scale_out.quotas(RIDE)[0].rides
