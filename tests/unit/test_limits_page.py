"""The limits as the security page tells them: the numbers are the code's, and the reference client stays below."""

from collections.abc import Iterable
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
from navietakie.doors.budget import LIMIT, UNITS_AT_ONCE, UNITS_PER_SECOND, Budget
from tests.template.stack import Stack

PAGE = (Path(__file__).parents[2] / "docs/security.md").read_text()
WORDS = " ".join(PAGE.split())
KB, MB = 1024, 1024 * 1024


def test_every_number_in_the_table_of_limits_is_the_one_that_holds() -> None:
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


def highest(budget: Budget, trace: Iterable[tuple[float, str]]) -> int:
    """The most units that are out at once while requests come at these seconds; fails where one is refused."""
    allowance, most, start = 0, 0, 1_800_000_000 * instants.SECOND
    for seconds, route in sorted(trace):
        cost = budget.costs[route]
        assert isinstance(cost, int)
        now = start + round(seconds * instants.SECOND)
        allowance = LIMIT.admit(allowance, now, cost)
        most = max(most, -(-(allowance - now) * UNITS_PER_SECOND // instants.SECOND))
    return most


def test_a_lively_ride_never_meets_the_damper() -> None:
    """Forty minutes of one side: 120 messages each way, typed and read, six lines, three calls of five minutes.

    Its client is the reference client: on each new line a `sync`, a ping 3 s later and every 60 s, 10 s in a call.
    """
    lines, calls = [number * 400.0 for number in range(6)], [300.0, 900.0, 1_800.0]
    said = [number * 20.0 for number in range(120)]
    pings = (
        [line + 3 for line in lines] + [n * 60.0 for n in range(40)] + [c + n * 10.0 for c in calls for n in range(30)]
    )
    socket = [(at, "$connect") for at in lines] + [(at, "ping") for at in pings]
    socket += [(at + pause, "typing") for at in said for pause in (-3.0, -1.0, 0.0)]
    socket += [(line + 60, "away") for line in lines] + [(line + 90, "away") for line in lines]
    acts = [(call + at, "call") for call in calls for at in (0.0, 0.1, 300.0, 301.0)]
    signals = [(call + 0.2 + number * 0.02, "signal") for call in calls for number in range(60)]
    receipts = [(at + 7, kind) for at in said for kind in ("delivered", "read")]
    syncs = [(line + pause, "sync") for line in lines for pause in (0.0, 3.2)]
    found = {
        "websocket": highest(websocket.app.budget, [each for each in socket if each[0] >= 0]),
        "make-call": highest(make_call.app.budget, acts + signals),
        "send-message": highest(send_message.app.budget, receipts),
        "get-message": highest(get_message.app.budget, syncs),
    }
    assert found == FOUND
    for name, units in found.items():
        assert f"{units} in `{name}`" in WORDS


FOUND = {"websocket": 6, "make-call": 58, "send-message": 2, "get-message": 8}


def test_catching_up_with_11_mb_never_meets_the_damper() -> None:
    """Syncs of 8 frames without a pause between them, as if every answer came at once."""
    syncs = -(-11 * MB // (sync.FRAMES * FRAME_BYTES))
    units = highest(get_message.app.budget, [(0.0, "sync")] * syncs)
    assert (syncs, units) == (44, 352)
    assert f"needs {syncs} syncs, which are {units} units" in WORDS
