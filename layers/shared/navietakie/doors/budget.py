"""The damper at the door: what one role of one booking may ask of a function's container, in units of work.

It comes before every read but that of the connection's row, and counts in memory. So it costs nothing, and bounds what
the bearer of a token can use up here. `system` is the company itself, and exempt.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from navietakie import warm
from navietakie.domain.errors import Refusal
from navietakie.domain.rate_limit import NO_LIMIT, RateLimit

UNITS_PER_SECOND: Final = 5
UNITS_AT_ONCE: Final = 400
LIMIT: Final = RateLimit(UNITS_PER_SECOND, UNITS_AT_ONCE, "requests")
UNLISTED_COST: Final = 1
"""What a request costs that is not in the list, an unknown one included."""
ASKERS_REMEMBERED: Final = 10_000
"""How many bookings and roles are remembered at once."""

Cost = int | Callable[[Mapping[str, Any]], int]
"""Units; or a function that gets a request's fields and returns its units."""


class Allowances:
    """What each role of each booking may still ask for under some limit, kept in this container alone."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], int] = {}
        warm.on_forget(self._kept.clear)

    def take(self, limit: RateLimit, booking_code: str, role: str, now: int, units: int = 1) -> None:
        """Takes `units` from what `limit` leaves a role; raises `rate_limited`."""
        if role == "system":
            return
        key = booking_code, role
        self._kept[key] = limit.admit(self._kept.get(key, 0), now, units)
        if len(self._kept) > ASKERS_REMEMBERED:
            self._forget_whole(now)

    def _forget_whole(self, now: int) -> None:
        """Forgets those whose allowance is whole again; if there are still too many, the oldest."""
        for key in [key for key, allowance in self._kept.items() if allowance <= now]:
            del self._kept[key]
        while len(self._kept) > ASKERS_REMEMBERED:
            del self._kept[next(iter(self._kept))]


class Budget:
    """The damper of one function. `costs` by method and path, by action, or by route key.

    A request that costs nothing has a limit of its own. If it is refused, it costs one unit.
    """

    def __init__(self, costs: Mapping[str, Cost], limit: RateLimit = LIMIT) -> None:
        self.costs = costs
        self._limit = limit
        self._allowances = Allowances()

    def take(self, route: str, fields: Mapping[str, Any], booking_code: str, role: str, now: int) -> int:
        """Takes what a request costs, and says how much that is; raises `rate_limited`."""
        cost = self.costs.get(route, UNLISTED_COST)
        units = cost if isinstance(cost, int) else cost(fields)
        self._allowances.take(self._limit, booking_code, role, now, units)
        return units

    @contextmanager
    def taken(self, route: str, fields: Mapping[str, Any], booking_code: str, role: str, now: int) -> Generator[None]:
        """Takes what a request costs before the request in its `with` block begins; raises `rate_limited`."""
        units = self.take(route, fields, booking_code, role, now)
        try:
            yield
        except Refusal:
            if not units:
                with suppress(Refusal):
                    self._allowances.take(self._limit, booking_code, role, now, UNLISTED_COST)
            raise


NO_BUDGET: Final = Budget({}, NO_LIMIT)
"""Lets everything through, where there is another limit."""
