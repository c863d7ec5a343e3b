"""`make chaos`: makes a history, a new one or that of SEED, and prints what the checker says about it."""

import os
import random
import sys
import time
from collections import Counter

from clients.proving.checker import problems
from tests.chaos import scenes
from tests.chaos.exercise import exercised, table
from tests.chaos.run import run


def main() -> int:
    """Prints what happened and what is wrong. Returns 1 if anything is."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
    operations, rides = int(os.environ.get("OPERATIONS") or 1_000), int(os.environ.get("RIDES") or 4)
    again = f"make chaos SEED={seed} OPERATIONS={operations} RIDES={rides}"
    print(again, flush=True)
    started = time.monotonic()
    history = run(seed, operations=operations, bookings=rides, scenes=scenes.ALL)
    found = problems(history)
    minutes = (history.events[-1].at - history.events[0].at) / 60_000_000
    print(f"{minutes:.0f} minutes of rides in {time.monotonic() - started:.0f} s:")
    for name, count in Counter(type(event).__name__.lower() for event in history.events).items():
        print(f"{count:8,} {name}")
    for name, booking in history.bookings.items():
        reasons = ", ".join(sorted({call["end_reason"] for call in booking.calls}))
        print(f"{name}: {booking.head_seq} messages, {len(booking.calls)} calls ({reasons})")
    print(table(exercised([history])))
    for problem in found:
        print(f"BROKEN  {problem}")
    print(f"{len(found)} promises are broken; {again} shows it again" if found else "Nothing is broken")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
