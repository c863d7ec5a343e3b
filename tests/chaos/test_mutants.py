"""Breaks the code on purpose: the checker has to report each broken promise.

`make chaos MUTANTS=1` measures with how many seeds it reports each.
"""

import re

import pytest

from clients.proving.checker import problems
from tests.chaos.mutants import MUTANTS, Mutant
from tests.chaos.run import run
from tests.policies import recording

SEEDS = range(1, 21)
"""These seeds are tried until one of them shows the mutant."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda it: it.name)
def test_every_mutant_breaks_a_promise_that_the_checker_reports(mutant: Mutant) -> None:
    assert any(is_seen(mutant, seed) for seed in SEEDS)


def test_there_is_a_mutant_for_every_promise() -> None:
    assert len(MUTANTS) == len({mutant.name for mutant in MUTANTS}) >= 40


def is_seen(mutant: Mutant, seed: int) -> bool:
    """Whether the checker reports that the code is broken, and in the expected way."""
    with recording.unnoticed():
        history = run(
            seed,
            operations=mutant.operations,
            bookings=1,
            scenes=mutant.scenes,
            hook=mutant.hook,
            broken=mutant.broken,
        )
    return any(re.search(mutant.said, problem) for problem in problems(history))
