"""`make mutants` makes exactly the changes that its operators describe."""

from typing import Any

import pytest
from cosmic_ray.mutating import mutate_code

from tests.mutants.operators import OPERATORS, OURS

EXAMPLES = [(operator, example) for operator in OURS for example in operator.examples()]


@pytest.mark.parametrize(("operator", "example"), EXAMPLES)
def test_an_operator_changes_its_examples_as_it_says(operator: Any, example: Any) -> None:
    changed = mutate_code(example.pre_mutation_code, operator(), example.occurrence)
    assert changed == example.post_mutation_code


def test_every_operator_is_there() -> None:
    assert len(OPERATORS) > 30
