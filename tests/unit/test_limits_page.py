"""The limits on the security page have the numbers of the code."""

from pathlib import Path

import get_message.app
import make_call.app
import send_message.app
import websocket.app
from get_message import sync
from navietakie.aws.tables.messages import QUERY_BYTES
from navietakie.domain import instants
from navietakie.domain.conversation import TOLD_AGAIN
from navietakie.domain.frames import CONTENT_BYTES, FRAME_BYTES
from navietakie.domain.message import LARGEST_INTEGER, METADATA_BYTES
from navietakie.domain.parsing import BODY_BYTES, NESTING
from navietakie.doors import identity
from navietakie.doors.budget import UNITS_AT_ONCE, UNITS_PER_SECOND
from tests.template.stack import Stack

PAGE = (Path(__file__).parents[2] / "docs/security.md").read_text()
KB, MB = 1024, 1024 * 1024


def test_every_number_in_the_table_of_limits_is_that_of_the_code() -> None:
    assert (QUERY_BYTES, FRAME_BYTES, CONTENT_BYTES, BODY_BYTES, METADATA_BYTES) == (
        MB,
        32 * KB,
        31 * KB,
        32 * KB,
        4 * KB,
    )
    assert (sync.FRAMES, sync.FRAMES * FRAME_BYTES) == (8, 256 * KB)
    assert (UNITS_PER_SECOND, UNITS_AT_ONCE, TOLD_AGAIN) == (5, 400, 60 * instants.SECOND)
    assert (identity.LONGEST_DAYS, identity.TOKEN_BYTES, NESTING, LARGEST_INTEGER) == (3_653, 4 * KB, 32, 2**53 - 1)
    parameters = Stack(Environment="local").template["Parameters"]
    named = ("MessageRate", "MessageBurst", "CallRate", "CallBurst", "ConnectionsPerSide")
    defaults = {name: parameters[name]["Default"] for name in named}
    assert defaults == dict(zip(named, (5, 20, 6, 3, 10), strict=True))
    for told in (
        "| a page of history reads | 1 MB |",
        "| a `sync` answers with | 8 frames of 32 KB |",
        "| a body, a frame | 32 KB |",
        "| a message as a frame, a `signal` | 31 KB |",
        "| `metadata` | 4 KB, 32 levels |",
        "| a whole number that is passed on | ±(2^53 − 1) |",
        "| a token | 4 KB, 3,653 days |",
        "| the damper | 5 units a second, 400 at once |",
        "| messages, and repeats of messages | 5 a second (`MessageRate`), 20 at once (`MessageBurst`) |",
        "| new calls | 6 a minute (`CallRate`), 3 at once (`CallBurst`) |",
        "| connections | 10 (`ConnectionsPerSide`) |",
        "| a repeat is broadcast again | for a minute |",
    ):
        assert told in PAGE


def test_the_prices_on_the_page_are_those_at_the_door() -> None:
    prices = {**websocket.app.budget.costs, **make_call.app.budget.costs, **get_message.app.budget.costs}
    assert [prices[name] for name in ("ping", "typing", "away", "signal", "GET /api/v1/calls")] == [1] * 5
    assert [prices[name] for name in ("call", "$connect", "sync")] == [2, 4, 8]
    assert [send_message.app.budget.costs[name] for name in ("read", "redact", "attach")] == [1, 3, 5]
