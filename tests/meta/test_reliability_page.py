"""docs/reliability.md names a test for each fault: each of them has to exist."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAULTS = 37


@cache
def named_in(file: str) -> set[str]:
    path = ROOT / "tests" / file
    assert path.exists(), file
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_a_test_that_exists() -> None:
    rows = [line for line in (ROOT / "docs/reliability.md").read_text().splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, FAULTS + 1))
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        assert named, row
        assert [name for file, name in named if name not in named_in(file)] == []


def test_every_promise_has_its_mutants_and_every_mutant_its_promise() -> None:
    text = (ROOT / "docs/reliability.md").read_text()
    page = text.partition("### Promises and their mutants")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| ")][2:]
    named = [name for _, mutants in rows for name in re.findall(r"`(\w+)`", mutants)]
    assert all(promise.strip() and "`" in mutants for promise, mutants in rows)
    broken = [
        node.name
        for node in ast.parse((ROOT / "tests/chaos/mutants.py").read_text()).body
        if isinstance(node, ast.FunctionDef) and any("mutant(" in ast.unparse(it) for it in node.decorator_list)
    ]
    assert sorted(named) == sorted(broken)


def test_every_file_of_tests_that_is_named_exists() -> None:
    for file in re.findall(r"`((?:chaos|integration)/test_\w+\.py)`", (ROOT / "docs/reliability.md").read_text()):
        assert named_in(file)
