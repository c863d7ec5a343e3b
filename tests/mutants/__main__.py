"""`make mutants`: all changes, those of a branch, or a sample; see docs/reliability.md for the figures.

- CHANGED=1: only lines that the branch has changed against main.
- SAMPLE=60: so many at random (by SEED), and all changes of the groups in which every change has to be noticed.
- ONLY=domain/: only files with this in their path. GROUP=expression: only one group.
- TESTS="tests/contract tests/unit": only with these tests. JOBS=2: so many changes at once.
- LIMIT=90: how many seconds the tests of one change may take.

A run that was stopped goes on where it was: a change that was killed stays killed while its function stays the same.
"""

import datetime
import hashlib
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult

from tests.mutants.finding import PROMISES, ROOT, SOURCES, Mutant, changed_lines, files, mutants
from tests.mutants.reporting import Entry, Result, entries, of_promises, report
from tests.mutants.running import PYTEST, TESTS, Map, Outcome, Running, made_map, quiet_pytest

FOLDER = ROOT / ".local" / "mutants"
PAGE = FOLDER / "report.md"
REPORT_SECONDS = 30
"""How often the report is written during a run: one that is ended by a limit leaves what it has found."""
OUTCOMES = {
    "killed": (WorkerOutcome.NORMAL, TestOutcome.KILLED),
    "survived": (WorkerOutcome.NORMAL, TestOutcome.SURVIVED),
    "untested": (WorkerOutcome.NO_TEST, TestOutcome.SURVIVED),
    "invalid": (WorkerOutcome.EXCEPTION, TestOutcome.INCOMPETENT),
}


def main() -> int:
    """Returns 1 if a change survives that must not; with CHANGED=1, if any survives."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    every = mutants(files(), FOLDER / "places.json")
    chosen, what = _chosen(every)
    print(f"{len(chosen)} of {len(every)} changes: {what}", flush=True)
    title = f"{what}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    paths = os.environ.get("TESTS", "").split() or TESTS
    tests = made_map(FOLDER / "map.json", _digests(), paths)
    with use_db(str(FOLDER / "session.sqlite"), WorkDB.Mode.create) as db:
        results = _run(db, chosen, tests, paths, lambda found: PAGE.write_text(report(found, every, title)))
    PAGE.write_text(text := report(results, every, title))
    print("\n" + text.partition("\n## ")[0])
    print(f"Every survivor: {PAGE.relative_to(ROOT)}")
    bad = of_promises(results)
    if os.environ.get("CHANGED"):
        bad = [it for it in results if it.outcome.state == "survived" and not it.equivalent]
    return 1 if bad else 0


def _chosen(every: list[Mutant]) -> tuple[list[Mutant], str]:
    chosen, what = every, "all"
    if only := os.environ.get("ONLY"):
        chosen, what = [it for it in chosen if only in it.path], f"those in {only}"
    if group := os.environ.get("GROUP"):
        chosen, what = [it for it in chosen if it.group in group.split(",")], f"{what}, of {group}"
    if os.environ.get("CHANGED"):
        lines = changed_lines("main")
        chosen = [it for it in chosen if lines.get(it.path, set()) & set(it.lines)]
        return chosen, "what this branch has changed"
    if sample := os.environ.get("SAMPLE"):
        seed = os.environ.get("SEED", "date")
        seed = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}" if seed == "date" else seed
        rest = [it for it in chosen if it.group not in PROMISES]
        picked = set(random.Random(seed).sample(rest, min(int(sample), len(rest))))
        chosen = [it for it in chosen if it.group in PROMISES or it in picked]
        what = f"{sample} at random by {seed}, and all of {', '.join(PROMISES)}"
    return chosen, what


def _digests() -> dict[str, str]:
    """A digest of each file of the code and of the tests."""
    names = [file for folder in (*SOURCES, "tests") for file in (ROOT / folder).rglob("*.py")]
    return {str(name.relative_to(ROOT)): hashlib.sha256(name.read_bytes()).hexdigest() for name in names}


def _run(
    db: WorkDB, chosen: list[Mutant], tests: Map, paths: Sequence[str], show: Callable[[list[Result]], object]
) -> list[Result]:
    known = {item.job_id: result for item, result in db.completed_work_items}
    stored = {item.job_id for item in db.work_items}
    db.add_work_items(_item(it) for it in chosen if it.id not in stored)
    no_difference = entries()
    # A change that survived is tried again, because there may be a new test.
    results = [_of(it, known[it.id], no_difference) for it in chosen if it.id in known and _is_killed(known[it.id])]
    pending = [it for it in chosen if it.id not in known or not _is_killed(known[it.id])]
    began = shown = time.monotonic()

    def done(mutant: Mutant, code: str, outcome: Outcome, because: str = "") -> None:
        nonlocal shown
        difference = mutant.difference(code)
        worker, found = OUTCOMES[outcome.state]
        told = "\n".join(("-" + difference[0], "+" + difference[1]))
        if not because:
            db.set_result(mutant.id, WorkResult(worker, outcome.by, found, told))
        results.append(Result(mutant, difference, outcome, because))
        now = time.monotonic()
        if now - shown >= REPORT_SECONDS:
            shown = now
            show(results)
        survived = sum(it.outcome.state in ("survived", "untested") and not it.equivalent for it in results)
        line = f"{len(results)}/{len(chosen)} {now - began:.0f} s, {survived} survived"
        if outcome.state in ("survived", "untested") and not because:
            line += f"\n  {outcome.state}: {mutant.path}:{mutant.lines.start} {mutant.definition}"
            line += f"\n    - {difference[0]}\n    + {difference[1]}"
        say(line)

    def skipped(mutant: Mutant, code: str) -> bool:
        difference = mutant.difference(code)
        because = next((entry.because for entry in no_difference if entry.fits(mutant, difference)), "")
        if because:
            done(mutant, code, Outcome("survived"), because)
        return bool(because)

    if pending:
        with quiet_pytest() as say:
            jobs = int(os.environ.get("JOBS") or 2)
            killed = [(it.mutant, it.outcome.by) for it in results]
            running = Running(pending, tests, jobs, killed, done, skipped)
            pytest.main([*PYTEST, *paths], plugins=[running])
    assert len(results) == len(chosen), "pytest could not even begin: try `make unit`"
    return results


def _item(mutant: Mutant) -> WorkItem:
    start, end = (mutant.lines.start, 0), (mutant.lines.stop, 0)
    spec = MutationSpec(Path(mutant.path), mutant.operator, mutant.occurrence, start, end, {}, mutant.definition)
    return WorkItem.single(mutant.id, spec)


def _is_killed(result: WorkResult) -> bool:
    return result.test_outcome != TestOutcome.SURVIVED


def _of(mutant: Mutant, result: WorkResult, no_difference: Iterable[Entry]) -> Result:
    was, _, becomes = (result.diff or "").partition("\n")
    state = "killed" if result.test_outcome == TestOutcome.KILLED else "invalid"
    return Result(mutant, (was[1:], becomes[1:]), Outcome(state, result.output or ""))


if __name__ == "__main__":
    sys.exit(main())
