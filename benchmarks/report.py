"""The report of a benchmark: a table on the terminal, numbers (JSON) and a picture (SVG) in docs/benchmarks/."""

import json
import os
import platform
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"


@dataclass(frozen=True)
class Goal:
    """A figure to reach, and the figure that was reached."""

    what: str
    bound: Literal["≤", "≥"]
    limit: float
    reached: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal was reached."""
        return self.reached <= self.limit if self.bound == "≤" else self.reached >= self.limit

    def __str__(self) -> str:
        return f"{self.what}: {shown(self.reached)}{self.unit} ({self.bound} {shown(self.limit)}{self.unit})"


@dataclass(frozen=True)
class Bars:
    """One group of bars in the picture. The first bar is ours, and so is any that is named NavieTakie."""

    title: str
    unit: str
    values: Sequence[tuple[str, float]]


@dataclass
class Report:
    """The answer to one question. The first cell of a row names what the row is about."""

    name: str
    question: str
    columns: Sequence[str]
    rows: list[Sequence[Any]] = field(default_factory=list[Sequence[Any]])
    goals: list[Goal] = field(default_factory=list[Goal])
    bars: list[Bars] = field(default_factory=list[Bars])
    notes: list[str] = field(default_factory=list[str])

    def publish(self) -> None:
        """Prints the table and writes the files."""
        print(f"\n{self.question}\n")
        print(as_text(self.columns, self.rows))
        for goal in self.goals:
            mark = "reached" if goal.met else "MISSED"
            print(
                f"  {mark}: {goal.what}: {shown(goal.reached)}{goal.unit} ({goal.bound} {shown(goal.limit)}{goal.unit})"
            )
        for note in self.notes:
            print(f"  {note}")
        FOLDER.mkdir(parents=True, exist_ok=True)
        content = {
            "question": self.question,
            "measured": time.strftime("%Y-%m-%d", time.gmtime()),
            "machine": machine(),
            "columns": list(self.columns),
            "rows": [[_rounded(cell) for cell in row] for row in self.rows],
            "goals": [
                {
                    "what": goal.what,
                    "bound": goal.bound,
                    "limit": goal.limit,
                    "reached": _rounded(goal.reached),
                    "unit": goal.unit,
                    "met": goal.met,
                }
                for goal in self.goals
            ],
            "notes": self.notes,
        }
        text = json.dumps(content, ensure_ascii=False, indent=1)
        (FOLDER / f"{self.name}.json").write_text(f"{text}\n", "utf-8")
        (FOLDER / f"{self.name}.svg").write_text(picture(self.question, self.bars), "utf-8")


def machine() -> str:
    """The machine on which the numbers were measured."""
    processor = f"{os.cpu_count()} cores of a shared {platform.machine()} machine"
    return f"{processor}, {platform.system()}, Python {platform.python_version()}"


def shown(value: Any) -> str:
    """A number with three significant digits; other cells as they are."""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def as_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table for the terminal: the first column to the left, the others to the right."""
    table = [list(columns), *[[shown(cell) for cell in row] for row in rows]]
    widths = [max(len(row[at]) for row in table) for at in range(len(columns))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in table]
    return "\n".join(["  " + lines[0], "  " + "-" * len(lines[0]), *("  " + line for line in lines[1:])]) + "\n"


def as_markdown(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The same table for a document, in Markdown."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *[[shown(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def progress[T](steps: Sequence[T], what: str) -> Iterator[T]:
    """The steps of a long run, while it counts them on the terminal."""
    for number, step in enumerate(steps, 1):
        if sys.stderr.isatty():
            print(f"\r{what}: {number}/{len(steps)} \033[K", end="", file=sys.stderr, flush=True)
        yield step
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    else:
        print(f"{what}: {len(steps)} done", file=sys.stderr, flush=True)


STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1b1f24 }
.title { font-size: 15px; font-weight: 600 }
.group { font-weight: 600 }
.bar { fill: #9aa4b1 }
.ours { fill: #1f6feb }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar { fill: #5b6572 } .ours { fill: #58a6ff } }
"""


TITLE_WIDTH = 76


def picture(title: str, groups: Sequence[Bars]) -> str:
    """Groups of horizontal bars, each with a scale of its own."""
    width, line = 330, 24
    longest = max((len(label) for group in groups for label, _ in group.values), default=0)
    left = max(250, 26 + 7 * longest)
    parts: list[str] = []
    y = 30
    for text in textwrap.wrap(title, TITLE_WIDTH):
        parts.append(f'<text class="title" x="16" y="{y}">{escape(text)}</text>')
        y += 20
    y -= 20
    for group in groups:
        y += 38
        parts.append(f'<text class="group" x="16" y="{y}">{escape(group.title)}</text>')
        largest = max((value for _, value in group.values), default=0) or 1
        for number, (label, value) in enumerate(group.values):
            y += line
            length = max(1.5, width * value / largest)
            style = "bar ours" if number == 0 or label.startswith("NavieTakie") else "bar"
            parts.append(f'<text x="{left - 10}" y="{y}" text-anchor="end">{escape(label)}</text>')
            parts.append(f'<rect class="{style}" x="{left}" y="{y - 13}" width="{length:.1f}" height="17" rx="2"/>')
            parts.append(f'<text x="{left + length + 8:.1f}" y="{y}">{escape(shown(value) + group.unit)}</text>')
    box = f"0 0 {left + width + 140} {y + 24}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )
