"""Which quota do N rides at once use up first, and what to ask AWS for? On paper, from the counted requests.

Nothing here is measured on AWS. The ride is that of cost.py, with the counted requests. The quotas are AWS's defaults.
`PROVED=proof.json make bench ONLY=scale_out` takes the operations of a ride from a report of `make prove` instead.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.cost import PRICES, READ_UNIT, RIDE, WRITE_UNIT
from benchmarks.report import Bars, Goal, Report, shown
from benchmarks.requests import REQUESTS
from benchmarks.ride import SECONDS

PAGE: Final = Path(__file__).parents[1] / "docs" / "scale.md"
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
PHONES: Final = 2
INVOCATION_SECONDS: Final = 0.05
"""As in cost.py: an assumption, not a measurement."""
LIFE_SECONDS: Final = 7_200
BACKOFF_SECONDS: Final = (15, 30)
"""After an outage of some minutes every client waits for a random time between these two before it tries again."""
CLOSED_AT_NIGHT: Final = 20_000
LOOKS: Final = 6
"""How often make-call looks after an order that closes a booking."""
TIMERS_AT_ONCE: Final = 5
"""The template's MaximumConcurrency of the call timer queue."""
API_RATE: Final = 1_000
"""The template's ApiThrottleRate: requests or frames per second, for each API."""
READ: Final = "GetItem", "GetItem(lagging)", "BatchGetItem(2)", "Query"

CALLS_READS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("ping", "sync", "disconnect", "call: initiate", "call: signal", "call: accept"), 1),
    **dict.fromkeys(("call: ice", "call: end", "call: report"), 1),
}
"""How many consistent reads of an operation are of the calls table; the others are of the messages table."""
CALLS_WRITES: Final[Mapping[str, float]] = {"call: initiate": 2, "call: accept": 2, "call: end": 4}
"""How many write units of an operation are of the calls table."""
CONNECTION_WRITES: Final = ("connect", "disconnect", "away")
"""The operations that write a connection's row. The index of connections has a throughput of its own."""


@dataclass(frozen=True)
class Quota:
    """A limit of an account and region, if nothing else is said, and what one ride uses of it per second."""

    what: str
    limit: float
    used: float
    ask: str
    source: str

    @property
    def rides(self) -> float:
        """How many rides at once use it up."""
        return self.limit / self.used


def function_of(operation: str) -> str:
    """The function that serves an operation."""
    if operation.startswith("call"):
        return "make-call"
    if operation == "sync":
        return "get-message"
    return "websocket" if operation in ("connect", "disconnect", "ping", "typing", "away") else "send-message"


def units(operation: str, price: float, *, reads: bool) -> float:
    """Capacity units of an operation's counted requests, reads or writes."""
    made = REQUESTS[operation].items()
    return sum(PRICES[name] * count for name, count in made if (name in READ) is reads and _is_table(name)) / price


def _is_table(request: str) -> bool:
    return request in READ or request.startswith(("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"))


def by_table(ride: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Read and write units of one ride, by table. Their sums are those of the counted requests."""
    sums = {name: [0.0, 0.0] for name in ("messages", "connections", "calls")}
    for operation, times in ride.items():
        made = REQUESTS[operation]
        read, written = (
            units(operation, price, reads=reads) for price, reads in ((READ_UNIT, True), (WRITE_UNIT, False))
        )
        own = 0.0 if operation == "connect" else made.get("GetItem(lagging)", 2) / 2
        looked_up = (min(1, made.get("Query", 0)) if operation == "sync" else made.get("Query", 0)) / 2
        connections = own + looked_up, written if operation in CONNECTION_WRITES else 0.0
        calls = CALLS_READS.get(operation, 0.0), CALLS_WRITES.get(operation, 0.0)
        for name, (reads, writes) in {"connections": connections, "calls": calls}.items():
            sums[name][0] += reads * times
            sums[name][1] += writes * times
        sums["messages"][0] += (read - connections[0] - calls[0]) * times
        sums["messages"][1] += (written - connections[1] - calls[1]) * times
    return {name: (reads, writes) for name, (reads, writes) in sums.items()}


def frames(ride: Mapping[str, float]) -> float:
    """How many frames the phones of one ride send."""
    return sum(times for name, times in ride.items() if name not in ("connect", "disconnect") and "REST" not in name)


def posts(ride: Mapping[str, float]) -> float:
    """How many frames the phones of one ride get."""
    return sum(REQUESTS[name].get("post", 0) * times for name, times in ride.items())


def timers(ride: Mapping[str, float]) -> float:
    """How many timers one ride queues."""
    return sum(REQUESTS[name].get("SendMessage", 0) * times for name, times in ride.items())


def concurrency(ride: Mapping[str, float]) -> dict[str, float]:
    """How many containers of each function one ride keeps busy."""
    busy = dict.fromkeys(("send-message", "make-call", "get-message", "websocket"), 0.0)
    for name, times in ride.items():
        busy[function_of(name)] += times * INVOCATION_SECONDS / SECONDS
    busy["make-call"] += timers(ride) * INVOCATION_SECONDS / SECONDS
    return busy


def quotas(ride: Mapping[str, float]) -> list[Quota]:
    """The quotas, the one that is used up first in front."""
    invocations = sum(concurrency(ride).values()) / INVOCATION_SECONDS
    per_table = by_table(ride)
    gateway = "API Gateway quotas"
    found = [
        Quota(
            "requests, frames and posts a second, API Gateway",
            10_000,
            (frames(ride) + posts(ride) + ride["connect"]) / SECONDS,
            "API Gateway: throttle quota",
            gateway,
        ),
        Quota(
            "frames a second, this template's own throttle",
            API_RATE,
            frames(ride) / SECONDS,
            "parameter `ApiThrottleRate`",
            "template.yaml",
        ),
        Quota(
            "new connections a second, API Gateway",
            500,
            ride["connect"] / SECONDS,
            "API Gateway: new connections",
            gateway,
        ),
        Quota(
            "concurrent executions, Lambda",
            1_000,
            sum(concurrency(ride).values()),
            "Lambda: concurrent executions",
            "Lambda quotas",
        ),
        Quota(
            "invocations a second, Lambda (ten for each concurrent execution)",
            10_000,
            invocations,
            "Lambda: concurrent executions",
            "Lambda quotas",
        ),
        Quota(
            "timers a second, this template's five at once",
            TIMERS_AT_ONCE / INVOCATION_SECONDS,
            timers(ride) / SECONDS,
            "`MaximumConcurrency` of the timer queue in template.yaml",
            "template.yaml",
        ),
    ]
    for name, (reads, writes) in per_table.items():
        for kind, used in (("read", reads), ("write", writes)):
            what = f"{kind} units a second, table {name}"
            found.append(
                Quota(what, 40_000, used / SECONDS, "DynamoDB: table throughput, and warm it", "DynamoDB quotas")
            )
    return sorted(found, key=lambda quota: quota.rides)


def proved(path: str) -> dict[str, float]:
    """The operations of one ride from a report of `make prove`: those whose requests are counted here."""
    report = json.loads(Path(path).read_text("utf-8"))
    rides = max(1, report["rides_judged"])
    return {**dict.fromkeys(RIDE, 0.0), **{k: v / rides for k, v in report["operations"].items() if k in REQUESTS}}


def page(ride: Mapping[str, float] = RIDE) -> str:
    """docs/scale.md."""
    first = quotas(ride)
    loads = "\n".join(
        f"| {what} | " + " | ".join(_figure(one * size) for size in SIZES) + " |" for what, one in _loads(ride).items()
    )
    ends = "\n".join(
        f"| {quota.what} | {quota.limit:,.0f} | {_figure(quota.rides)} | {quota.ask} | {quota.source} |"
        for quota in first
    )
    asks = "\n".join(f"| {size:,} | {_ends(first, size)} | {_asks(first, size)} |" for size in SIZES)
    soonest, latest = BACKOFF_SECONDS
    back = "\n".join(
        f"| {size:,} | {size * PHONES / (latest - soonest):,.0f} | {size * PHONES / 500 / 60:,.1f} min |"
        for size in SIZES
    )
    clearing = CLOSED_AT_NIGHT * LOOKS * INVOCATION_SECONDS / TIMERS_AT_ONCE / 60
    return f"""# How far it goes

Written by `make bench ONLY=scale_out`, on paper: a ride is [the one whose price is published](cost.md#a-ride), its
requests are the [counted ones](../tests/integration/test_requests.py), an invocation is taken to last 50 ms. Nothing
on this page was measured on AWS. `PROVED=proof.json make bench ONLY=scale_out` takes the operations of a ride from a
report of `make prove` instead.

## What N rides at once ask for

| a second, unless told otherwise | {" | ".join(f"{size:,}" for size in SIZES)} |
| --- | {" | ".join("---:" for _ in SIZES)} |
{loads}

A connection ends after two hours, a ride of thirty minutes sooner. The row counts what comes if all phones stay
connected for longer.

**The hottest partition** is one booking, however many there are: all its items have one key. Two sides that write as
fast as they may, five messages a second each with an id, take 60 write units, and their receipts 20 more. A partition
has 1,000.

## What ends first

![What ends first](benchmarks/scale-out.svg)

Defaults of AWS for an account and region, from its pages of quotas (API Gateway, Lambda, DynamoDB), as of November
2026: look them up again before you plan with them. New accounts may have less (Lambda 10), and some regions too (API
Gateway 2,500).

| quota | default | rides at once | to ask for | source |
| --- | ---: | ---: | --- | --- |
{ends}

| rides at once | what is used up | ask for |
| ---: | --- | --- |
{asks}

An on-demand table begins with 4,000 write and 12,000 read units a second, and doubles within half an hour of its last
peak. Warm it (`aws dynamodb update-table --warm-throughput …`) before a city starts. Lambda adds 1,000 containers of
a function in ten seconds.

## When everybody comes back at once

After an outage of some minutes every client tries again after 15 to 30 s, at random. What is more than 500
connections a second is refused, and tries again.

| rides at once | tries a second, the first | all are back, with 500 new connections a second |
| ---: | ---: | ---: |
{back}

## A job that closes {CLOSED_AT_NIGHT:,} bookings at night

Each close is one message with an id, and {LOOKS} timers that look whether the booking's call and connections have
ended. Five timers are worked on at once, so the looks take {clearing:,.0f} minutes, and timers of ringing calls wait
among them. Spread the job over an hour, or raise `MaximumConcurrency`. Its writes are no matter: in ten minutes 33 a
second.

## Beyond one account: cells

One account is one cell: an account and a stack each, with its own tables, APIs, secret and quotas. Cells share
nothing, so nothing that one does slows another down. Two cells of 100,000 rides are two stacks of the same template,
deployed one after the other.

- **Who belongs where.** The booking system picks a cell when it makes the booking, and keeps its name with the
  booking: by city, or by the fewest rides. A booking never changes its cell. Nothing in NavieTakie knows of cells.
- **How the apps find theirs.** The booking system hands out a token together with the cell's two addresses, the
  outputs of its stack. The token is signed with the cell's own secret, so it is worth nothing in another cell.
- **What is lost when one fails.** The conversations of its rides, until it is back; no other cell notices. New
  bookings go to the others at once. Take a quarter more cells than the load needs.
- **What a move costs.** A ride is over in thirty minutes, so a cell is emptied by giving it no new bookings. To move
  a live booking is not possible: its `seq` and its connections belong to the cell. Old conversations can be read
  until they expire; `make export` takes one out.
- **What it costs to have many.** Idle, a cell costs its alarms and its keys, some dollars a month; rides cost the
  same anywhere.
"""


def _loads(ride: Mapping[str, float]) -> dict[str, float]:
    """What one ride adds to each load."""
    tables = by_table(ride)
    return {
        "open connections (not a second)": PHONES,
        "connects": ride["connect"] / SECONDS,
        "reconnects after two hours": PHONES / LIFE_SECONDS,
        "frames in": frames(ride) / SECONDS,
        "posts out": posts(ride) / SECONDS,
        "messages": sum(times for name, times in ride.items() if name.startswith("message")) / SECONDS,
        "calls": ride["call: initiate"] / SECONDS,
        "timers": timers(ride) / SECONDS,
        **{f"read units, {name}": reads / SECONDS for name, (reads, _) in tables.items()},
        **{f"write units, {name}": writes / SECONDS for name, (_, writes) in tables.items()},
        **{f"containers of {name} at work (not a second)": busy for name, busy in concurrency(ride).items()},
    }


def _figure(value: float) -> str:
    return shown(float(value)) if value < 1_000 else f"{float(f'{value:.3g}'):,.0f}"


def _ends(found: list[Quota], size: int) -> str:
    used_up = [f"{quota.what} ({size / quota.rides:.1f} of it)" for quota in found if quota.rides < size]
    return "; ".join(used_up) or f"nothing; nearest: {found[0].what} ({size / found[0].rides:.2f} of it)"


def _asks(found: list[Quota], size: int) -> str:
    """What to ask for: twice the use, for every quota that is more than half used up."""
    needed: dict[str, float] = {}
    for quota in found:
        if quota.rides < 2 * size:
            more = {"concurrent executions, Lambda": 1.0}.get(quota.what, 0.1 if "ten for each" in quota.what else 1.0)
            if quota.ask.startswith("`Max"):
                more = INVOCATION_SECONDS
            needed[quota.ask] = max(needed.get(quota.ask, 0), 2 * size * quota.used * more)
    return "; ".join(f"{ask} {_figure(math.ceil(value))}" for ask, value in needed.items()) or "nothing"


def main() -> None:
    ride = proved(os.environ["PROVED"]) if os.environ.get("PROVED") else RIDE
    found = quotas(ride)
    PAGE.write_text(page(ride), "utf-8")
    report = Report(
        "scale-out",
        "How many rides at once does one account carry before its default quotas end?",
        ("quota", "default", "rides at once"),
    )
    report.rows = [(quota.what, int(quota.limit), int(quota.rides)) for quota in found]
    report.goals = [Goal("rides at once before the first default ends", "≥", 1_000, found[0].rides)]
    report.bars = [
        Bars(
            f"{size:,} rides at once: of a quota's default",
            " %",
            [(quota.what, 100 * size / quota.rides) for quota in found[:5]],
        )
        for size in SIZES
    ]
    report.notes = ["On paper: the counted requests, AWS's defaults, 50 ms an invocation. Everything: docs/scale.md."]
    report.publish()


if __name__ == "__main__":
    main()
