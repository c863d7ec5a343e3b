"""What send_message's routes cost at the door."""

from collections.abc import Mapping
from typing import Any, Final

from navietakie.doors.budget import Budget


def cost_of_post(fields: Mapping[str, Any]) -> int:
    """What a request costs; a message costs nothing, since `MessageRate` is its limit."""
    given = {name for name, value in fields.items() if value is not None}
    if "message" in given:
        return 0
    return 5 if "attach" in given else 3 if "redact" in given else 1


SOCKET_COSTS: Final = {"message": 0, "delivered": 1, "read": 1, "redact": 3, "attach": 5}
budget = Budget({"POST /api/v1/send_message": cost_of_post, **SOCKET_COSTS})
