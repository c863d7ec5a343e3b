"""What a proof measures: how long things took, which errors came, and how many operations of each kind it made."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

SPANS: Final = {
    "connect": "connect: from the handshake's first byte to the open WebSocket",
    "ack": "send → ack: a message by WebSocket to its acknowledgement",
    "answer": "send → answer: a message by REST to its answer",
    "received": "send → received: a message to its frame on the other side's device",
    "ring": "ring → frame: a call to its frame on the other side's device",
}
"""What each measured time means; in seconds."""


@dataclass
class Measures:
    """Grows while a proof runs. `operations` have the names of the price list."""

    spans: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in SPANS})
    errors: Counter[str] = field(default_factory=Counter[str])
    operations: Counter[str] = field(default_factory=Counter[str])
    acknowledged: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Messages acknowledged in each second since the beginning."""
    begun: float = field(default_factory=time.monotonic)

    def took(self, span: str, since: float) -> None:
        """Notes that something took from `since` (monotonic) until now."""
        self.spans[span].append(time.monotonic() - since)

    def stored(self) -> None:
        """Notes that a message was acknowledged."""
        self.acknowledged[int(time.monotonic() - self.begun)] += 1


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that `share` of them do not exceed (nearest rank). NaN if there are no values."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
