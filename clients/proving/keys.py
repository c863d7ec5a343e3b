"""The tokens of a ride. They are valid for a while; one that has expired or was refused is replaced."""

import time
from collections.abc import Callable
from typing import Final

from clients.tokens import Wanted, token
from navietakie.domain.message import Sender

SHORTEST_SECONDS: Final = 15
LIVES: Final = 3
"""How many tokens each side of a ride uses up at least."""

Mint = Callable[[Sender], str]


class Keys:
    """The tokens by role. `mint` makes one; None: the deployment needs none. `renewed` counts replaced tokens."""

    def __init__(self, mint: Mint | None) -> None:
        self._mint = mint
        self._current: dict[Sender, str] = {}
        self.renewed = 0

    def of(self, role: Sender) -> str | None:
        """The role's token. It is not checked for expiry: whoever is refused with it calls `drop`."""
        if self._mint is None:
            return None
        if role not in self._current:
            self._current[role] = self._mint(role)
        return self._current[role]

    def drop(self, role: Sender) -> None:
        """Forgets a token that was refused."""
        if self._current.pop(role, None) is not None:
            self.renewed += 1


def minting(secret: str, booking: str, seconds: float) -> Mint:
    """Makes tokens for a booking. They expire several times in a ride of so many seconds."""
    life = max(SHORTEST_SECONDS, round(seconds / LIVES))

    def mint(role: Sender) -> str:
        wanted = Wanted.parse({"booking": booking, "role": role, "sub": f"prove-{role}", "ttl": life})
        return token(secret, wanted, time.time())

    return mint
