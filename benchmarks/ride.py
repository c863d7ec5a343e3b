"""A ride of thirty minutes: what its two phones do and when, and when they ping.

What people do is an assumption, written down here. The phones ping by the rule of the reference client
(web/navietakie/sync.js): a minute after the last frame that told it where the conversation stands, but four minutes
after the last pong at the latest, and every ten seconds during a call.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

FIRST_PING, PING, PING_IN_CALL, UNPINGED = 3.0, 60.0, 10.0, 240.0
"""Seconds, the same as in the client."""
SECONDS: Final = 1_800
CALL: Final = (720.0, 788.0)
"""The one call rings for 8 s and lasts a minute."""
SPREAD: Final[Sequence[float]] = sorted(chain.from_iterable((at, at + 20) for at in range(90, SECONDS, 180)))
"""Twenty messages: a question every three minutes, and its answer 20 s later."""
AT_ONCE: Final[Sequence[float]] = [60.0 + 12 * number for number in range(20)]
"""The same twenty within the first five minutes, before the passenger is picked up."""


def heads(messages: Sequence[float]) -> list[float]:
    """When a phone learns the head: from messages and acks, and from receipts for its own messages."""
    return sorted(
        chain.from_iterable((at, at + 0.5, at + 3.0) if number % 2 else (at,) for number, at in enumerate(messages))
    )


def pings(messages: Sequence[float]) -> int:
    """How often one phone pings in a ride with these messages."""
    told, ponged, due, count = heads(messages), float("-inf"), FIRST_PING, 0
    while due < SECONDS or told:
        if told and told[0] <= due:
            at = told.pop(0)
            if ponged > 0 and not in_call(at):
                due = _for_the_call(at, at + min(PING, max(0.0, ponged + UNPINGED - at)))
        else:
            count, ponged = count + 1, due
            due = _for_the_call(due, due + (PING_IN_CALL if in_call(due) else PING))
    return count


def _for_the_call(at: float, due: float) -> float:
    """Brings a ping forward if a call needs it earlier."""
    return min(due, CALL[0] + PING_IN_CALL) if at < CALL[0] else due


def in_call(at: float) -> bool:
    """Whether the call is live then."""
    return CALL[0] <= at < CALL[1]
