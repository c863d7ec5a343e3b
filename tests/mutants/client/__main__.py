"""`make mutants-client`: all changes, or those of a branch; see docs/reliability.md for the figures.

CHANGED=1: in lines that a branch has changed against main. ONLY=calls: in files whose name holds this. JOBS=2: at once.
A run that was stopped goes on: what was killed stays killed while its code and the test that killed it are the same.
FORCE=1 tries everything again; that is needed when what stands in tests/client/support has changed.
"""

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.mutants.finding import ROOT, Mutant, changed_lines, source
from tests.mutants.reporting import Result, entries, report
from tests.mutants.running import Outcome

HERE = Path(__file__).parent
FOLDER = ROOT / ".local" / "mutants" / "client"
CLIENT = "web/navietakie"
GOAL = 0.9
"""The part of the changes that has to be seen."""
OUTCOMES = {"Killed": "killed", "Timeout": "killed", "Survived": "survived", "NoCoverage": "untested"}


def main() -> int:
    """1 where too many changes survive, or, of a branch, any."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    places, what = _chosen()
    print(f"{what} of the client: {' '.join(places) or 'nothing'}", flush=True)
    if not places:
        return 0
    subprocess.run([ROOT / "tests/package/tools", HERE], check=True)
    # One file at a time: Stryker keeps what it has found when it ends.
    for place in places:
        command = [HERE / "node_modules/.bin/stryker", "run", HERE / "stryker.config.mjs", "--mutate", place]
        if subprocess.run([*command, *(["--force"] if os.environ.get("FORCE") else [])], cwd=ROOT).returncode:
            return 1
    told = json.loads((FOLDER / "incremental.json").read_text())
    return _judged([it for it in results(told) if _is_in(it.mutant, places)], what)


def _chosen() -> tuple[list[str], str]:
    """The files to change, each perhaps with the lines, as Stryker wants them."""
    if os.environ.get("CHANGED"):
        lines = changed_lines("main", [f"{CLIENT}/*.js"])
        return [place for path in lines for place in _ranges(path, sorted(lines[path]))], "What this branch has changed"
    only = os.environ.get("ONLY", "")
    files = sorted(str(file.relative_to(ROOT)) for file in (ROOT / CLIENT).glob("*.js") if only in file.name)
    return files, f"What is in {only}" if only else "All"


def _ranges(path: str, lines: Sequence[int]) -> Iterator[str]:
    for _, run in groupby(enumerate(lines), lambda it: it[1] - it[0]):
        numbers = [number for _, number in run]
        yield f"{path}:{numbers[0]}-{numbers[-1]}"


def _is_in(mutant: Mutant, places: Sequence[str]) -> bool:
    for place in places:
        path, _, lines = place.partition(":")
        first, _, last = (lines or "0-1000000").partition("-")
        if mutant.path == path and int(first) <= mutant.lines.start and mutant.lines.stop - 1 <= int(last):
            return True
    return False


def results(told: dict[str, Any]) -> list[Result]:
    """The changes in a report of Stryker's to files that have not changed since."""
    no_difference = entries(HERE / "equivalent.toml")
    found: list[Result] = []
    for path, file in sorted(told["files"].items()):
        if file["source"] != source(path):
            continue
        for number, made in enumerate(file["mutants"]):
            if made["status"] not in OUTCOMES:
                continue
            start, end = made["location"]["start"], made["location"]["end"]
            lines = range(start["line"], end["line"] + 1)
            mutant = Mutant(path, made["mutatorName"], number, lines, definition="", group=path, inside="")
            difference = mutant.difference(_changed(source(path), start, end, made["replacement"]))
            because = next((entry.because for entry in no_difference if entry.fits(mutant, difference)), "")
            outcome = Outcome(OUTCOMES[made["status"]], tests=len(made.get("coveredBy", ())))
            found.append(Result(mutant, difference, outcome, because))
    return found


def _changed(text: str, start: dict[str, int], end: dict[str, int], replacement: str) -> str:
    lines = text.splitlines(keepends=True)
    before = "".join(lines[: start["line"] - 1]) + lines[start["line"] - 1][: start["column"] - 1]
    return before + replacement + lines[end["line"] - 1][end["column"] - 1 :] + "".join(lines[end["line"] :])


def _judged(found: Sequence[Result], what: str) -> int:
    groups = {path: f"`{Path(path).name}`" for path in sorted({it.mutant.path for it in found})}
    there = [it.mutant for it in found]
    text = report(found, there, f"{what} of the client, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}", groups)
    page = FOLDER / "report.md"
    page.write_text(text)
    print("\n" + text.partition("\n## ")[0])
    print(f"Every survivor: {page.relative_to(ROOT)}")
    judged = [it for it in found if not it.equivalent]
    survivors = [it for it in judged if it.outcome.state != "killed"]
    return 1 if len(survivors) > (0 if os.environ.get("CHANGED") else (1 - GOAL) * len(judged)) else 0


if __name__ == "__main__":
    sys.exit(main())
