"""A thousand operations of twelve phones on the real functions, with everything going wrong that can.

Another history: `make chaos`, or `make chaos SEED=…` to see one again.
"""

from dataclasses import replace

from clients.proving.checker import problems
from clients.proving.history import Answered, Asked, Cut, History, Synced
from tests.chaos.run import run
from tests.chaos.world import CALM

SEED = 2026
OPERATIONS = 1_000


def test_nothing_that_was_promised_is_broken() -> None:
    history = run(SEED, operations=OPERATIONS)
    assert problems(history) == [], f"make chaos SEED={SEED}"
    _was_worth_it(history)


def test_a_connection_that_cannot_be_looked_up_is_not_disowned() -> None:
    throttled = replace(CALM, throttled=0.4)
    assert problems(run(3, operations=40, bookings=1, faults=throttled)) == []


def test_a_seed_replays_its_history_here_and_on_the_embedded_dynamodb(dynamodb_endpoint: str) -> None:
    once, again, elsewhere = (
        run(SEED, operations=30, bookings=1, endpoint=endpoint) for endpoint in (None, None, dynamodb_endpoint)
    )
    assert once.events == again.events
    assert once == elsewhere


def _was_worth_it(history: History) -> None:
    """A run in which little happened shows little."""
    answers = [event for event in history.events if isinstance(event, Answered)]
    asked = [event for event in history.events if isinstance(event, Asked)]
    assert {"booking_closed", "idempotency_conflict", "illegal_transition"} <= {event.code for event in answers}
    assert len(asked) > len(answers) + 100, "answers got lost, and tries were made again"
    assert sum(isinstance(event, Cut) for event in history.events) > 20
    assert sum(isinstance(event, Synced) for event in history.events) > 100
    reasons = {call["end_reason"] for booking in history.bookings.values() for call in booking.calls}
    assert {"cancelled", "no_answer", "completed"} <= reasons
    assert sum(bool(event.body.get("duplicate")) for event in answers) > 5
