"""`make prove ENV=local RIDES=20 MINUTES=1`: many rides at once through a deployment's real addresses, and a judgement.

First it says what it will do and what that costs, and asks. Then devices chat, call, type and read. Connections break
silently, answers get lost, requests are repeated, messages redacted, bookings closed, sides muted. Tokens expire and
are revoked. At the end the checker of the chaos tests compares what every client saw with what the public API says. All
this happens in bookings of its own.
"""

import asyncio
import itertools
import json
import re
import secrets
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import cost
from clients.command import YES, Command, Failed, Option, whole
from clients.deployment import Deployment
from clients.proving.checker import problems
from clients.proving.deployed import cold_starts, what_runs
from clients.proving.history import Booking, Event, History
from clients.proving.keys import Keys, minting
from clients.proving.measures import Measures
from clients.proving.plan import Step, plan_of
from clients.proving.processes import Samples, watch
from clients.proving.report import Proof, describe
from clients.proving.ride import Ride
from clients.tokens import DeployedSecret
from local.stack import Stack

COMMAND: Final = Command(
    "prove",
    "Drives many rides at once through a deployment, and judges whether every promise was kept.",
    (
        Option("rides", "20", "how many at once", "20"),
        Option("minutes", "1", "how long they last, at least", "1"),
        Option("messages", "20", "how many messages each ride sends a minute", "20"),
        Option("seed", "7", "repeats the plan of an earlier proof (default: a new plan)"),
        Option("to", "proof", "the folder to write to", "proof"),
        YES,
    ),
)
PATIENCE: Final = ClientTimeout(total=60)
STARTS_A_SECOND: Final = 20
"""The most rides that begin in one second."""
ARRIVING: Final = 0.1
"""All rides have begun after this share of the time. Each lasts the whole time, so for a while all run at once."""
HANDSHAKES: Final = 8
"""How many connections may be opening at a time: if all opened at once, each would meet a cold function."""
HEALING_SECONDS: Final = 3.0
READERS: Final = 10
"""How many rides are brought to their end at once."""
FRAMES: Final = 40
"""How many events are shown with a broken promise."""
WIDTH: Final = 400
"""How many characters of each event are printed; the report has all."""


@dataclass(frozen=True)
class Wish:
    """What is to be proven."""

    rides: int
    minutes: float
    messages: int
    seed: int

    def plans(self) -> list[list[Step]]:
        """The plan of each ride."""
        each = round(self.messages * self.minutes)
        return [plan_of(self.seed, ride, each, self.minutes * 60) for ride in range(1, self.rides + 1)]

    def announced(self, deployment: Deployment) -> str:
        """What the proof will do and cost, in words."""
        planned = self.rides * round(self.minutes * self.messages)
        ride = 4 * cost.operation("connect") + 4 * cost.operation("sync") + cost.call()
        each = cost.operation("message by WebSocket") + cost.operation("receipt by WebSocket")
        minutes = 2 * self.rides * (self.minutes + 1) * cost.SOCKET_MINUTE
        dollars = (self.rides * ride + planned * each + minutes) / 1_000_000
        return (
            f"{deployment.environment}: {deployment.rest_url}, {deployment.websocket_url}\n"
            f"{self.rides:,} rides at once, with {2 * self.rides:,} WebSockets, for {self.minutes} min or more: about "
            f"{planned:,} messages, {self.rides:,} calls, cuts, lost answers, redactions, orders.\n"
            f"All in bookings of its own, which stay until they expire. At AWS's list prices about ${dollars:.4f}, "
            f"without logs and free tier.\n"
            f"To repeat it: make prove ENV={deployment.environment} RIDES={self.rides} MINUTES={self.minutes} "
            f"MESSAGES={self.messages} SEED={self.seed}"
        )


async def proven(
    deployment: Deployment, wish: Wish, secret: str | None, progress: Progress, stack: Stack | None = None
) -> Proof:
    """Drives the rides to their end, or until Ctrl-C, and judges them. Of a local `stack`, samples the processes."""
    samples, at_first = Samples(), time.time()
    handshakes = asyncio.Semaphore(HANDSHAKES)
    measures, numbers, run = Measures(), itertools.count(1), secrets.token_hex(4)
    plans = wish.plans()
    planned = sum(map(len, plans))
    bar = progress.add_task("steps", total=planned)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    done = 0

    def one_more(step: Step) -> None:
        nonlocal done
        done += 1
        progress.update(bar, advance=1)

    between = max(1 / STARTS_A_SECOND, ARRIVING * wish.minutes * 60 / wish.rides)
    begun = time.monotonic()
    async with ClientSession(timeout=PATIENCE, connector=TCPConnector(limit=max(50, wish.rides))) as http:
        rides: list[Ride] = []

        async def drive(number: int, plan: list[Step]) -> None:
            await asyncio.sleep(number * between)
            if stop.is_set():
                return
            booking = f"prove-{run}-{number + 1}"
            keys = Keys(None if secret is None else minting(secret, booking, wish.minutes * 60))
            ride = Ride(deployment, booking, keys, http, measures, numbers, handshakes, wish.seed)
            rides.append(ride)
            await ride.live(plan, stop.is_set, one_more)

        async with asyncio.TaskGroup() as driving:
            beside = [driving.create_task(_print_lines(progress, measures))]
            if stack is not None:
                beside.append(driving.create_task(watch(stack, samples, wish.minutes * 60)))
            await asyncio.gather(*(drive(number, plan) for number, plan in enumerate(plans)))
            for each in beside:
                each.cancel()
        seconds = time.monotonic() - begun
        loop.remove_signal_handler(signal.SIGINT)
        await asyncio.sleep(HEALING_SECONDS)
        history, unread = History(seed=wish.seed), list[str]()
        resting = progress.add_task("judging", total=len(rides))
        readers = asyncio.Semaphore(READERS)

        async def settle(ride: Ride) -> None:
            async with readers:
                booking = await _end_of(ride)
                await ride.close()
            if booking is None:
                unread.append(ride.booking)
            else:
                history.bookings[ride.booking] = booking
            progress.update(resting, advance=1)

        await asyncio.gather(*map(settle, rides))
    history.events.extend(event for ride in rides for event in ride.events)
    broken = _judged(history, rides)
    stored = [message for booking in history.bookings.values() for message in booking.messages]
    return Proof(
        parameters={
            "environment": deployment.environment,
            "auth_mode": deployment.auth_mode,
            "rides": wish.rides,
            "minutes": wish.minutes,
            "messages_per_minute": wish.messages,
            "seed": wish.seed,
            "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        },
        measures=measures,
        seconds=seconds,
        connected_minutes=sum(ride.connected_seconds for ride in rides) / 60,
        messages=len(stored),
        calls=sum(len(booking.calls) for booking in history.bookings.values()),
        redactions=sum(message["redacted_at"] is not None for message in stored),
        reconnects=max(0, measures.operations["connect"] - 2 * len(rides)),
        rides_judged=len(history.bookings),
        steps_done=done,
        steps_planned=planned,
        broken=broken,
        frames=events_about(broken[0], history) if broken else (),
        unread=unread,
        renewed=sum(ride.keys.renewed for ride in rides),
        cold_starts=samples.started if stack is not None else cold_starts(deployment.environment, at_first),
        samples=samples,
    )


def _judged(history: History, rides: Sequence[Ride]) -> list[str]:
    """The broken promises. One ride at a time, because the checker compares no bookings with each other."""
    found: list[str] = []
    for ride in rides:
        if (booking := history.bookings.get(ride.booking)) is not None:
            one = History(seed=history.seed, events=ride.events, bookings={ride.booking: booking})
            found += problems(one)
    return found


async def _end_of(ride: Ride) -> Booking | None:
    try:
        await ride.hang_up()
    except LookupError:
        return None
    return await ride.rest()


async def _print_lines(progress: Progress, measures: Measures) -> None:
    """Where there is no terminal for a progress bar, prints a line now and then."""
    while True:
        await asyncio.sleep(10)
        if progress.disable:
            stored = sum(measures.acknowledged.values())
            print(f"{time.monotonic() - measures.begun:4.0f} s: {stored:,} messages", file=sys.stderr, flush=True)


def events_about(problem: str, history: History) -> list[Event]:
    """What happened before a promise was broken, from the ride's events.

    The last events that carry an id that `problem` names; else the last with a `seq` that it names; else the last.
    """
    booking, _, text = problem.partition(": ")
    events = [event for event in history.events if event.booking == booking]
    named = {it for it in re.findall(r"[\w-]{9,}", text) if any(map(str.isdigit, it)) and not it.startswith(booking)}
    seqs = re.findall(r"\d+", text)
    told = {id(event): str({**describe(event), "client": ""}) for event in events}
    for pattern in (
        rf"(?<![\w-])({'|'.join(map(re.escape, named))})(?![\w-])" if named else "",
        rf"'seq': ({'|'.join(seqs)})\b" if seqs else "",
    ):
        if pattern and (about := [event for event in events if re.search(pattern, told[id(event)])]):
            return about[-FRAMES:]
    return events[-FRAMES:]


def print_figures(proof: Proof) -> None:
    """Prints what the proof has measured and found."""
    print(f"\n{proof.rides_judged:,} rides in {proof.seconds:.0f} s, about ${proof.dollars():.4f}:")
    print(f"{proof.messages:,} messages, {proof.calls:,} calls, ", end="")
    print(
        f"{proof.redactions:,} redactions, {proof.reconnects:,} reconnects, {proof.renewed:,} tokens renewed, ", end=""
    )
    print(f"{'unknown' if proof.cold_starts is None else f'{proof.cold_starts:,}'} cold starts")
    for name, values in proof.times().items():
        print(f"  {name:<9}", "  ".join(f"{label} {value:,}" for label, value in values.items()), "ms")
    for code, times in proof.measures.errors.most_common():
        print(f"  {times:>7,} {code}")
    if proof.broken:
        print(f"\nBROKEN  {proof.broken[0]}")
        for event in proof.frames:
            print(f"  {json.dumps(describe(event), ensure_ascii=False)[:WIDTH]}")
    sys.stdout.flush()


def main(argv: Sequence[str] = ()) -> None:
    """Asks, then proves. Ends with the status 1 if a promise was broken or the user said no."""

    def prove(told: Mapping[str, str]) -> None:
        wish = Wish(
            rides=whole(told, "rides", 1, 2_000),
            minutes=whole(told, "minutes", 1, 24 * 60),
            messages=whole(told, "messages", 1, 120),
            seed=whole(told, "seed", 0, 2**31) if told["seed"] else secrets.randbelow(1_000_000),
        )
        deployment = Deployment.find(told["env"])
        print(wish.announced(deployment))
        if told["yes"] != "1" and not _agreed():
            raise Failed("Nothing was done. YES=1 begins without asking.")
        secret = DeployedSecret(deployment.environment).current() if deployment.auth_mode == "jwt" else None
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        quiet = not sys.stderr.isatty()
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
            stack = Stack.read() if deployment.environment == "local" else None
            proof = asyncio.run(proven(deployment, wish, secret, progress, stack))
        proof = replace(proof, runs=what_runs(deployment.environment))
        print_figures(proof)
        for path in proof.write(Path(told["to"])):
            print(path)
        if not proof.kept:
            raise Failed(proof.verdict())
        print(f"{proof.verdict()}.")

    try:
        COMMAND.run(argv, prove)
    except KeyboardInterrupt:
        sys.exit("\nStopped.")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


if __name__ == "__main__":
    main(sys.argv[1:])
