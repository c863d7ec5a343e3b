"""Writes the figures from the benchmarks' JSON files into docs/benchmarks/README.md."""

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.report import FOLDER, shown

REPORTS = ("fan-out", "cold-start", "first-answer", "warm-path", "scale", "scale-out", "cost", "end-to-end", "masking")
PAGE = FOLDER / "README.md"
TABLE = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)


def rows(name: str, content: dict[str, Any]) -> list[str]:
    """One line of the table per goal."""
    links = f"[benchmark](../../benchmarks/{name.replace('-', '_')}.py), [picture]({name}.svg), [numbers]({name}.json)"
    found: list[str] = []
    for goal in content["goals"]:
        reached = f"{shown(float(goal['reached']))}{goal['unit']}"
        reached = f"**{reached}**" if goal["met"] else f"{reached}, not reached"
        limit = f"{goal['bound']} {shown(float(goal['limit']))}{goal['unit']}"
        found.append(f"| {goal['what']} | {limit} | {reached} | {links} |")
        links = "the same"
    return found


def table(folder: Path = FOLDER) -> str:
    """The goals, and the figures that were reached."""
    lines = ["| question | goal | reached | how |", "| --- | ---: | ---: | --- |"]
    for name in REPORTS:
        lines += rows(name, json.loads((folder / f"{name}.json").read_text("utf-8")))
    return "\n".join(lines) + "\n"


def main() -> None:
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text("utf-8")), "utf-8")
    print(f"\nThe figures are in {PAGE.relative_to(FOLDER.parents[1])}")


if __name__ == "__main__":
    main()
