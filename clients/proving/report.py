"""The report of a proof: JSON for programs, and a page with charts for people."""

import json
import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks import cost
from benchmarks.report import Bars, picture
from clients.proving.history import Event, Fields
from clients.proving.measures import SPANS, Measures, quantile
from clients.proving.processes import Samples, growth

SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
COLOURS: Final = ("#1f6feb", "#1a7f37", "#9a6700", "#cf222e", "#8250df", "#57606a")
STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: right }
td:first-child, th:first-child { text-align: left } tr { border-bottom: 1px solid #d0d7de }
svg { max-width: 100%; height: auto } pre { overflow: auto; background: #f6f8fa; padding: 1rem; font-size: 13px }
.kept { color: #1a7f37 } .broken { color: #cf222e } li { overflow-wrap: anywhere }
"""


@dataclass(frozen=True)
class Proof:
    """How the proof went. `broken`: the broken promises, in words; `frames`: the events before the first of them."""

    parameters: Fields
    measures: Measures
    seconds: float
    connected_minutes: float
    messages: int
    calls: int
    redactions: int
    reconnects: int
    rides_judged: int
    steps_done: int
    steps_planned: int
    broken: Sequence[str]
    frames: Sequence[Event]
    unread: Sequence[str]
    """Bookings that could not be judged: at the end the API did not answer."""
    renewed: int = 0
    """Tokens that a side replaced because they had expired or were revoked."""
    cold_starts: int | None = None
    """How many were seen; None if that is unknown."""
    samples: Samples = field(default_factory=Samples)
    """What the local stack's processes held; empty for a deployment in an account."""
    runs: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the account tells of the deployment."""

    @property
    def kept(self) -> bool:
        """Whether every promise was kept, and every ride could be judged."""
        return not self.broken and not self.unread and self.rides_judged > 0

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before all steps were done."""
        return self.steps_done < self.steps_planned

    def verdict(self) -> str:
        """The result in a sentence."""
        if self.broken:
            return f"{len(self.broken)} promises were broken"
        if not self.kept:
            return f"Not proven: {len(self.unread)} rides could not be read at the end"
        some = f"{self.steps_done:,} of {self.steps_planned:,} steps were done; " if self.stopped else ""
        return f"{some}Every promise was kept: nothing acknowledged was lost, none doubled, no hole, no ghost call"

    def times(self) -> dict[str, dict[str, float | int]]:
        """Milliseconds, by span and quantile."""
        return {
            name: {"count": len(took), **{label: _ms(quantile(took, share)) for label, share in SHARES.items()}}
            for name, took in self.measures.spans.items()
            if took
        }

    def dollars(self) -> float:
        """What the operations cost at AWS's list prices."""
        return dollars(self.measures.operations, self.connected_minutes)

    def as_json(self) -> Fields:
        """Everything, for programs."""
        return {
            "verdict": self.verdict(),
            "kept": self.kept,
            "parameters": self.parameters,
            "versions": {**self.runs, **versions()},
            "seconds": round(self.seconds, 1),
            "rides_judged": self.rides_judged,
            "messages": self.messages,
            "calls": self.calls,
            "redactions": self.redactions,
            "reconnects": self.reconnects,
            "tokens_renewed": self.renewed,
            "cold_starts": self.cold_starts,
            "steps": {"planned": self.steps_planned, "done": self.steps_done},
            "messages_per_second": round(self.messages / max(self.seconds, 0.001), 1),
            "milliseconds": self.times(),
            "errors": dict(self.measures.errors.most_common()),
            "operations": dict(sorted(self.measures.operations.items())),
            "dollars": round(self.dollars(), 6),
            "broken": list(self.broken),
            "unread": list(self.unread),
            "frames": [describe(event) for event in self.frames],
            "processes": self.samples.totals(),
        }

    def page(self) -> str:
        """Everything, for people."""
        times = self.times()
        bars = [
            Bars(SPANS[name], " ms", [(label, float(values[label])) for label in SHARES])
            for name, values in times.items()
        ]
        figures = {
            "Rides": f"{self.rides_judged:,}",
            "Messages stored": f"{self.messages:,}",
            "Calls": f"{self.calls:,}",
            "Redactions": f"{self.redactions:,}",
            "Connections cut and opened again": f"{self.reconnects:,}",
            "Tokens renewed: expired or revoked": f"{self.renewed:,}",
            "Cold starts seen": "unknown" if self.cold_starts is None else f"{self.cold_starts:,}",
            "Messages a second": f"{self.messages / max(self.seconds, 0.001):.1f}",
            "Seconds": f"{self.seconds:.0f}",
            "Cost at AWS's list prices": f"${self.dollars():.4f}",
        }
        lists = [f"<li>{escape(it)}</li>" for it in [*self.broken[:50], *(f"not judged: {it}" for it in self.unread)]]
        frames = "\n".join(json.dumps(describe(it), ensure_ascii=False) for it in self.frames)
        mark = "kept" if self.kept else "broken"
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Proof: {escape(self.verdict())}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Proof</h1>
<p class="{mark}"><strong>{escape(self.verdict())}.</strong></p>
<ul>{"".join(lists)}</ul>
{_table(("", ""), figures.items())}
<h2>How long it took, ms</h2>
{_table(("", "count", *SHARES), [(SPANS[name], *values.values()) for name, values in times.items()])}
{picture("Times as the devices saw them", bars) if bars else ""}
<h2>Throughput</h2>
{throughput(self.measures.acknowledged)}
{held(self.samples) if self.samples.held else ""}
<h2>Errors by number</h2>
<p>Errors are expected: closed and muted bookings and limits refuse requests, and lines were cut on purpose.</p>
{_table(("code", "times"), self.measures.errors.most_common())}
<h2>Operations</h2>
<p>The cost is calculated from these, at the list prices of docs/cost.md. A redaction is priced as a message.</p>
{_table(("operation", "times"), sorted(self.measures.operations.items()))}
<h2>Parameters and versions</h2>
{_table(("", ""), {**self.parameters, **self.runs, **versions()}.items())}
{f"<h2>What led to the first broken promise</h2><pre>{escape(frames)}</pre>" if self.frames else ""}
</body>
</html>
"""

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Writes both files and returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        as_json, page = folder / f"{name}.json", folder / f"{name}.html"
        as_json.write_text(json.dumps(self.as_json(), ensure_ascii=False, indent=1) + "\n", "utf-8")
        page.write_text(self.page(), "utf-8")
        return as_json, page


def dollars(operations: Mapping[str, int], connected_minutes: float) -> float:
    """What so many operations and minutes cost at AWS's list prices, by the requests that each makes."""
    asked = sum(cost.operation(name) * times for name, times in operations.items())
    return (asked + connected_minutes * cost.SOCKET_MINUTE) / 1_000_000


def describe(event: Event) -> Fields:
    """An event as JSON. Of all the messages that a device has, only the sequence numbers."""
    fields = {name: it for name, it in vars(event).items() if name != "booking"}
    if "messages" in fields:
        fields["messages"] = [message["seq"] for message in fields["messages"]]
    return {"event": type(event).__name__.lower(), **fields}


def versions() -> dict[str, str]:
    """The versions of what drove the rides."""
    return {
        "Python of the proof": platform.python_version(),
        "machine of the proof": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        **{f"{name} of the proof": version(name) for name in ("websockets", "aiohttp")},
    }


def throughput(acknowledged: Mapping[int, int]) -> str:
    """A chart of messages acknowledged in each second."""
    if not acknowledged:
        return "<p>No message was acknowledged.</p>"
    seconds = [(float(at), acknowledged.get(at, 0)) for at in range(max(acknowledged) + 1)]
    return chart("Messages acknowledged a second", "/s", {"": seconds})


def held(samples: Samples) -> str:
    """Charts and a table of the memory and the open files of each kind of process."""
    totals = samples.totals()
    memory = {name: [(at, value / 2**20) for at, value in kind["rss"]] for name, kind in totals.items()}
    files = {name: kind["descriptors"] for name, kind in totals.items() if kind["descriptors"]}
    each: dict[str, list[tuple[float, float]]] = {
        f"{it.name} {pid}": [(at, value / 2**20) for at, value in it.rss]
        for pid, it in samples.held.items()
        if it.name == "functions"
    }
    rows: list[tuple[str, ...]] = []
    for name, kind in sorted(totals.items()):
        for what, unit, by in (("rss", "MB", 2**20), ("descriptors", "open files", 1)):
            if found := growth(kind[what]):
                first, last = (value / by for value in found)
                rows.append((name, unit, f"{first:.0f}", f"{last:.0f}", f"{last - first:+.0f}"))
    return f"""<h2>Memory and open files</h2>
<p>The functions' processes are added up here, and shown one by one below. The proof's own process grows, because
it keeps everything that the devices saw. The table compares the median of the second fifth of the time with that of the
last.</p>
{_table(("process", "", "early", "late", "growth"), rows)}
{chart("Memory", " MB", memory)}
{chart("Memory of each of the functions' processes", " MB", each, legend=False)}
{chart("Open files", "", files) if files else ""}"""


def chart(title: str, unit: str, lines: Mapping[str, Sequence[tuple[float, float]]], *, legend: bool = True) -> str:
    """A chart of values over seconds, with one line per name."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    width, height = 700, 160
    seconds, most = max(1.0, *(at for at, _ in points)), max(1.0, *(value for _, value in points))
    drawn: list[str] = []
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(
            f"{40 + width * at / seconds:.1f},{20 + height - height * value / most:.1f}" for at, value in line
        )
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if legend and name:
            at = 44 + 170 * number
            drawn.append(f'<text x="{at}" y="{height + 62}" font-size="12" fill="{colour}">{escape(name)}</text>')
    return (
        f"<h3>{escape(title)}</h3>"
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 60} {height + 70}" role="img" '
        f'aria-label="{escape(title)}, up to {most:.0f}{unit}">{"".join(drawn)}'
        f'<text x="0" y="14" font-size="12">{most:.0f}{unit}</text>'
        f'<text x="40" y="{height + 42}" font-size="12">0 s</text>'
        f'<text x="{width}" y="{height + 42}" font-size="12">{seconds:.0f} s</text></svg>'
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1_000, 1) if not math.isnan(seconds) else seconds


def _table(head: Sequence[str], rows: Any) -> str:
    lines = ["".join(f"<th>{escape(it)}</th>" for it in head)] if any(head) else []
    lines += ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
