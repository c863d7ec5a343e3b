"""How much may be asked for in a time: the one rule behind every limit that refuses with `rate_limited`. Pure.

It is GCRA (ITU-T I.371, annex A). Its whole state is one instant, the allowance: from then on a whole burst may come
again. The caller stores it, passes it in, and stores the one that it gets back.
"""

from dataclasses import dataclass

from navietakie.domain import instants
from navietakie.domain.errors import Refusal

CLOCK_SKEW = 2 * instants.SECOND
"""How far the clocks of two containers may differ before one of them counts as wrong."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`rate` units a second, with bursts of `burst`; a rate of 0 is no limit. `what` names the units in an error."""

    rate: float
    burst: int
    what: str = "messages"

    def admit(self, allowance: int, now: int, cost: int = 1) -> int:
        """The allowance after `cost` more units at `now`; raises `rate_limited` with the wait.

        What costs nothing is admitted where one unit would be. An allowance that no clock near ours can have written is
        cut back to what admits this request: a container whose clock runs ahead locks nobody out.
        """
        if self.rate <= 0:
            return allowance
        interval = round(instants.SECOND / self.rate)
        whole = interval * max(1, self.burst, cost)
        if allowance > now + whole + CLOCK_SKEW:
            allowance = now + whole - interval * max(1, cost)
        start = max(allowance, now)
        over = start + interval * max(1, cost) - now - whole
        if over > 0:
            wait_ms = -(-over // 1_000)
            raise Refusal("rate_limited", f"Too many {self.what} in a short time", retry_after_ms=wait_ms)
        return start + interval * cost


NO_LIMIT = RateLimit(0, 1)
"""Admits everything."""
