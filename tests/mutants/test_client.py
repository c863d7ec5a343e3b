"""What Stryker reports of the client is read as the other mutants are."""

from typing import Any

from tests.mutants.client.__main__ import results
from tests.mutants.finding import ROOT
from tests.mutants.reporting import report

PATH = "web/navietakie/ids.js"
LINES = (ROOT / PATH).read_text().splitlines()
LINE = next(number for number, text in enumerate(LINES, 1) if "Uint8Array(16)" in text)


def made(status: str, was: str, becomes: str) -> dict[str, Any]:
    column = LINES[LINE - 1].index(was) + 1
    location = {"start": {"line": LINE, "column": column}, "end": {"line": LINE, "column": column + len(was)}}
    return {"status": status, "mutatorName": "Some", "replacement": becomes, "location": location, "coveredBy": ["1"]}


def told(*mutants: dict[str, Any], text: str = "\n".join([*LINES, ""])) -> dict[str, Any]:
    return {"files": {PATH: {"source": text, "mutants": list(mutants)}}}


def test_a_change_is_shown_with_its_line_before_and_after() -> None:
    (found,) = results(told(made("Survived", "Uint8Array(16)", "Uint8Array(0)")))
    was, becomes = found.difference
    assert was == LINES[LINE - 1].strip()
    assert becomes == was.replace("Uint8Array(16)", "Uint8Array(0)")
    assert (found.outcome.state, found.outcome.tests, found.mutant.lines.start) == ("survived", 1, LINE)


def test_a_change_that_hangs_the_tests_is_killed_and_one_that_does_not_load_is_none() -> None:
    states = ("Killed", "Timeout", "NoCoverage", "RuntimeError", "Ignored")
    found = results(told(*(made(state, "Uint8Array", "Other") for state in states)))
    assert [it.outcome.state for it in found] == ["killed", "killed", "untested"]
    page = report(found, [it.mutant for it in found], "some", {PATH: "`ids.js`"})
    assert "| `ids.js` | 3 | 3 | 0 | 2 | 1 | 66.7 % |" in page


def test_what_was_found_in_a_file_that_has_changed_since_is_void() -> None:
    assert results(told(made("Survived", "Uint8Array", "Other"), text="old")) == []
