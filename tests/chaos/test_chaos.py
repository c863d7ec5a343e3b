"""Rides of four phones on the real functions, with every kind of fault, and the scenes at their end.

`make chaos` makes another history, `make chaos SEED=…` the same one again.
"""

from dataclasses import replace
from functools import cache

import pytest

from clients.proving.checker import problems
from clients.proving.history import History
from tests.chaos import scenes
from tests.chaos.exercise import ROWS, exercised
from tests.chaos.run import run
from tests.chaos.world import CALM, Faults

RUNS = {2025: (240, 1), 4: (160, 1), 8: (160, 1)}
"""CI's seeds, with the operations and rides of each. One runs without a message hook, two with one."""


@cache
def history_of(seed: int) -> History:
    operations, bookings = RUNS[seed]
    return run(seed, operations=operations, bookings=bookings, scenes=scenes.ALL)


@pytest.mark.parametrize("seed", RUNS)
def test_every_promise_is_kept_in_a_random_history(seed: int) -> None:
    operations, bookings = RUNS[seed]
    assert problems(history_of(seed)) == [], f"make chaos SEED={seed} OPERATIONS={operations} RIDES={bookings}"


def test_the_seeds_together_exercise_every_case() -> None:
    """A run in which little happened proves little."""
    found = exercised(map(history_of, RUNS))
    assert [row for row in ROWS if not found[row]] == []


def test_a_connection_that_cannot_be_looked_up_is_not_disowned() -> None:
    throttled = replace(CALM, throttled=0.4)
    assert problems(run(3, operations=40, bookings=1, faults=throttled)) == []


def test_a_seed_replays_its_history_here_and_on_the_embedded_dynamodb(dynamodb_endpoint: str) -> None:
    once, again = (run(2025, operations=30, bookings=1, scenes=[scenes.talks_at_once]) for _ in range(2))
    assert once.events == again.events
    # The embedded DynamoDB never lags, and its stream comes at times of its own.
    here, elsewhere = (
        run(2025, operations=30, bookings=1, endpoint=endpoint, faults=replace(Faults(), stale=0.0), told=False)
        for endpoint in (None, dynamodb_endpoint)
    )
    assert here == elsewhere
