"""What the devices of a ride will do. The seed decides it before anything begins, so a run can be repeated."""

import random
from dataclasses import dataclass
from typing import Final, Literal

from navietakie.domain.message import Side

Deed = Literal[
    "say",
    "say_by_rest",
    "say_and_lose_the_answer",
    "type",
    "read",
    "call",
    "cut",
    "redact",
    "look",
    "close",
    "mute",
    "revoke",
]
MIX: Final[dict[Deed, int]] = {
    "say": 60,
    "say_by_rest": 14,
    "say_and_lose_the_answer": 6,
}
BESIDE: Final[dict[Deed, float]] = {"type": 0.3, "read": 0.4, "cut": 0.03, "redact": 0.03, "look": 0.05}
"""How probable it is that something else is done right before a message."""
SIDES: Final[tuple[Side, Side]] = ("driver", "passenger")


@dataclass(frozen=True)
class Step:
    """`who` does something, `at` seconds after the ride's beginning at the earliest. `luck` decides the details."""

    at: float
    who: Side | Literal["system"]
    deed: Deed
    luck: float


def plan_of(seed: int, ride: int, messages: int, seconds: float) -> list[Step]:
    """All steps of one ride, in their order: so many messages, a call, an order or two, within so many seconds."""
    luck = random.Random(f"{seed} {ride}")
    steps: list[Step] = []

    def add(at: float, who: Side | Literal["system"], deed: Deed) -> None:
        steps.append(Step(at, who, deed, luck.random()))

    for _ in range(messages):
        at, who = luck.uniform(0, seconds), luck.choice(SIDES)
        for deed, often in BESIDE.items():
            if luck.random() < often:
                add(at - 0.001, who, deed)
        (deed,) = luck.choices(list(MIX), list(MIX.values()))
        add(at, who, deed)
    add(luck.uniform(0.1, 0.5) * seconds, luck.choice(SIDES), "call")
    add(luck.uniform(0.2, 0.7) * seconds, luck.choice(SIDES), "cut")
    add(luck.uniform(0.3, 0.9) * seconds, luck.choice(SIDES), "redact")
    add(luck.uniform(0.6, 0.9) * seconds, "system", luck.choice(("close", "mute", "revoke")))
    return sorted(steps, key=lambda it: it.at)
