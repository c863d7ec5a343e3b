"""Trying again: after a lost race, until a request's time is up."""

import random
import time
from collections.abc import Generator


def tries(deadline: float) -> Generator[int]:
    """Counts tries up to `deadline` (monotonic), with a growing, jittered pause between them; none begins after it."""
    attempt = 0
    while time.monotonic() < deadline:
        yield attempt
        pause = random.uniform(0, min(0.4, 0.01 * 2**attempt))
        if time.monotonic() + pause >= deadline:
            return
        time.sleep(pause)
        attempt += 1
