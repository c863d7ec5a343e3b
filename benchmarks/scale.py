"""Does a long history, or a crowd of foreign connections, make anything dearer?"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any, Final

from benchmarks.report import Bars, Goal, Report, progress
from get_message.history import History, HistoryQuery, PageCache
from get_message.sync import Sync
from navietakie.aws import clients
from navietakie.aws.tables.connections import Connection, Connections, _item_of
from navietakie.aws.tables.messages import Messages, item_of
from navietakie.domain import instants
from navietakie.domain.conversation import Head
from navietakie.domain.message import Message
from tests.fakes import tables
from tests.fakes.embedded import embedded_dynamodb

SMALL, LARGE = 100, 100_000
RARE: Final = 500
"""One of so many messages is of type `call`."""
START: Final = 1_780_000_000 * instants.SECOND
NOW: Final = START + LARGE * instants.SECOND
EXPIRES: Final = instants.to_seconds(NOW) + 90 * 86_400
Item = dict[str, Any]


def message(booking_code: str, seq: int) -> Message:
    """A message of a history. All have the same size, apart from the digits of `seq`."""
    return Message(
        message_id=f"{seq:032x}",
        booking_code=booking_code,
        seq=seq,
        timestamp=instants.to_text(START + seq * instants.SECOND),
        sender="driver" if seq % 2 else "system",
        message_type="call" if seq % RARE == 0 else "text",
        message="I am at the corner, next to the bakery".ljust(200),
    )


def head_item(booking_code: str, count: int) -> Item:
    """The head after `count` messages."""
    return {
        "booking_code": {"S": booking_code},
        "timestamp": {"S": "#head"},
        "seq": {"N": str(count)},
        "last_timestamp": {"S": instants.to_text(START + count * instants.SECOND)},
        "epoch": {"S": "0123456789abcdef"},
    }


def connection(number: int, booking_code: str) -> Item:
    """The row of a connection."""
    return _item_of(
        Connection(
            connection_id=f"L0SM9cOF{number:07d}=",
            booking_code=booking_code,
            sender="driver" if number % 2 else "passenger",
            connected_at=instants.to_text(NOW - 60 * instants.SECOND),
            expires_at=instants.to_seconds(NOW) + 7_200,
        )
    )


def seed(client: Any, table: str, items: Iterable[Item], what: str) -> None:
    """Writes items, 25 per request."""
    batches = list(batched(items, 25, strict=False))
    for batch in progress(batches, f"scale, {what}"):
        client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item}} for item in batch]})


def size(item: Item) -> int:
    """Bytes of an item as DynamoDB counts them: names and values (Developer Guide, "item sizes and formats")."""
    return sum(
        len(name) + (len(value["S"].encode()) if "S" in value else 1 + math.ceil(len(value["N"]) / 2))
        for name, value in item.items()
    )


@dataclass(frozen=True)
class Read:
    """What an operation read: its requests, the items that DynamoDB looked at, and their read units."""

    requests: Counter[str]
    items: int
    units: float

    def __str__(self) -> str:
        return ", ".join(f"{times} {name}" for name, times in sorted(self.requests.items()))


class Meter:
    """Counts what a client's requests read."""

    def __init__(self, client: Any) -> None:
        self._seen: list[tuple[str, bool, int, int]] = []
        client.meta.events.register("provide-client-params.dynamodb.*", self._asked)
        client.meta.events.register("after-call.dynamodb.*", self._answered)
        self._consistent = False

    def _asked(self, params: dict[str, Any], **_: Any) -> None:
        self._consistent = bool(params.get("ConsistentRead"))

    def _answered(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        if model.name == "Query":
            items: Sequence[Item] = parsed["Items"]
            looked_at = parsed["ScannedCount"]
        else:
            items = [parsed["Item"]] if "Item" in parsed else []
            looked_at = len(items)
        each = sum(map(size, items)) / len(items) if items else size(item_of(message("long-ride", LARGE), EXPIRES))
        self._seen.append((model.name, self._consistent, looked_at, round(each * looked_at)))

    def read(self, act: Callable[[], Any]) -> Read:
        """What `act` reads."""
        self._seen.clear()
        act()
        units = sum((1 if fixed else 0.5) * max(1, math.ceil(total / 4_096)) for _, fixed, _, total in self._seen)
        return Read(Counter(name for name, *_ in self._seen), sum(count for *_, count, _ in self._seen), units)


def history_reads(store: Messages, booking_code: str, count: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The reads of a history of `count` messages, by name."""

    def page(**query: Any) -> Any:
        asked = HistoryQuery.parse({"limit": 50, **query})
        answer = History(store, PageCache()).page(booking_code, asked, now=NOW, deadline=math.inf)
        assert answer["messages"] or query
        return answer

    def at(seq: int) -> str:
        return instants.to_text(START + seq * instants.SECOND)

    def sync() -> None:
        head: Head = store.head(booking_code)
        frames = Sync(store, {"type": "sync"}).frames(
            booking_code, at(count - 10), {}, head, now=NOW, deadline=math.inf
        )
        assert sum(len(frame["messages"]) for frame in frames) == 10

    yield "newest page of 50", page
    yield "page of 50 from the middle", lambda: page(before=at(count // 2 + 1))
    yield "page of 50 of one sender, half of all", lambda: page(sender="driver")
    yield "page of 10 of a type, one in 500", lambda: page(message_type="call", limit=10)
    yield "sync of the last 10", sync


def main() -> None:
    report = Report(
        "scale",
        "Does a long history, or a crowd of foreign connections, make anything dearer?",
        ("reads", "with 100: requests", "items", "units", "with 100,000: requests", "items", "units"),
    )
    found: dict[str, dict[int, Read]] = {}
    with embedded_dynamodb() as endpoint:
        client: Any = clients.session().client(
            "dynamodb",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        tables.create(client)
        meter = Meter(client)
        store = Messages(client, tables.NAMES["messages"])
        rows = Connections(client, tables.NAMES["connections"])
        for count, booking_code in ((SMALL, "short-ride"), (LARGE, "long-ride")):
            items = (item_of(message(booking_code, seq), EXPIRES) for seq in range(1, count + 1))
            seed(client, tables.NAMES["messages"], [head_item(booking_code, count), *items], f"{count:,} messages")
            for what, act in history_reads(store, booking_code, count):
                found.setdefault(what, {})[count] = meter.read(act)
            numbers = range(2, count + 2) if count == SMALL else range(SMALL + 2, count + 2)
            foreign = (connection(number, f"other-{number}") for number in numbers)
            own = [connection(number, "long-ride") for number in range(2)]
            seed(client, tables.NAMES["connections"], [*own, *foreign], f"{count:,} connections")
            what = "the connections for a broadcast, two"
            found.setdefault(what, {})[count] = meter.read(lambda: rows.of_booking("long-ride", NOW))
            assert len(rows.of_booking("long-ride", NOW)) == 2
    for what, by_count in found.items():
        small, large = by_count[SMALL], by_count[LARGE]
        report.rows.append((what, str(small), small.items, small.units, str(large), large.items, large.units))
    bounded = [what for what in found if "one in 500" not in what]
    worst = max(found[what][LARGE].units / found[what][SMALL].units for what in bounded)
    report.goals = [Goal("read units with 100,000, of those with 100, all but the rare type", "≤", 1, worst)]
    report.bars = [
        Bars(what, " units", [(f"{n:,}", by_count[n].units) for n in (LARGE, SMALL)])
        for what, by_count in found.items()
    ]
    report.notes = [
        "On the embedded DynamoDB: requests and items are counted, units worked out from the items' bytes as AWS does.",
        "A page of a rare type reads past what it skips, up to ten queries of 1 MB; then it answers with a cursor.",
    ]
    report.publish()


if __name__ == "__main__":
    main()
