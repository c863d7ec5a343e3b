"""The report of a run as a page of Markdown, and the changes that make no difference, each with the reason."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.finding import PROMISES, Mutant
from tests.mutants.running import Outcome

EQUIVALENT = Path(__file__).parent / "equivalent.toml"
GROUPS = {
    "expression": "parts of DynamoDB's expressions",
    "request": "fields of DynamoDB's requests, consistency among them",
    "transition": "the table of calls",
    "rule": "`domain/`",
    "service": "`functions/`",
    "edge": "the rest of the layer",
}


@dataclass(frozen=True)
class Entry:
    """A change in `equivalent.toml`, or several of one kind: then `becomes` is a pattern."""

    file: str
    was: str
    becomes: str
    because: str

    def fits(self, mutant: Mutant, difference: tuple[str, str]) -> bool:
        """Whether it means this change."""
        was, becomes = difference
        return mutant.path.endswith(self.file) and self.was == was and re.fullmatch(self.becomes, becomes) is not None


def entries(file: Path = EQUIVALENT) -> list[Entry]:
    """The content of `equivalent.toml`."""
    return [Entry(**entry) for entry in tomllib.loads(file.read_text()).get("equivalent", [])]


@dataclass(frozen=True)
class Result:
    """A change and its result; `equivalent`: the reason why it makes no difference, if it makes none."""

    mutant: Mutant
    difference: tuple[str, str]
    outcome: Outcome
    equivalent: str = ""


def report(
    results: Sequence[Result], all_of_them: Iterable[Mutant], what: str, groups: Mapping[str, str] = GROUPS
) -> str:
    """The page in Markdown. `groups`: the groups of changes that are counted together, and their names."""
    existing = Counter(mutant.group for mutant in all_of_them)
    lines = [f"# Mutants: {what}", "", "| changes in | there are | tried | no difference | killed | survived | score |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for group, name in [*groups.items(), ("", "all")]:
        of_group = [it for it in results if group in ("", it.mutant.group) and it.outcome.state != "invalid"]
        equivalent = sum(bool(it.equivalent) for it in of_group)
        killed = sum(it.outcome.state == "killed" and not it.equivalent for it in of_group)
        judged = len(of_group) - equivalent
        there = existing[group] if group else existing.total()
        score = f"{100 * killed / judged:.1f} %" if judged else "–"
        lines.append(f"| {name} | {there} | {len(of_group)} | {equivalent} | {killed} | {judged - killed} | {score} |")
    lines += ["", "Score: killed / (tried − no difference). A change that no test runs counts as survived."]
    for title, states in (("Survivors", ("survived",)), ("Run by no test", ("untested",))):
        found = [it for it in results if it.outcome.state in states and not it.equivalent]
        if found:
            lines += ["", f"## {title}", ""]
        for it in found:
            where = f"{it.mutant.path}:{it.mutant.lines.start}"
            kind = f"{it.mutant.group}, {it.mutant.operator}, {it.outcome.tests} tests"
            lines += [
                f"- `{where}` {it.mutant.definition} ({kind})",
                "  ```diff",
                f"  - {it.difference[0]}",
                f"  + {it.difference[1]}",
                "  ```",
            ]
    return "\n".join(lines) + "\n"


def of_promises(results: Iterable[Result]) -> list[Result]:
    """The survivors that are not allowed, because a promise depends on their places."""
    return [
        it
        for it in results
        if it.mutant.group in PROMISES and it.outcome.state in ("survived", "untested") and not it.equivalent
    ]
