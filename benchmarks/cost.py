"""What does it cost? Calculated from the counted requests and AWS's list prices. Writes docs/cost.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.report import Bars, Goal, Report
from benchmarks.requests import ATTACHED, REQUESTS, SWITCHED_ON
from benchmarks.ride import AT_ONCE, SPREAD, pings

PAGE: Final = Path(__file__).parents[1] / "docs" / "cost.md"

# Dollars per million, us-east-1, on demand, no free tier, as on AWS's pricing pages at the end of 2025.
WRITE_UNIT, READ_UNIT = 0.625, 0.125
REST_REQUEST, SOCKET_MESSAGE, SOCKET_MINUTE = 3.50, 1.00, 0.25
INVOCATION, GB_SECOND = 0.20, 13.3334  # arm64, the template's default
QUEUED, PUBLISHED = 0.40, 0.50
OBJECT_WRITTEN, OBJECT_READ = 5.00, 0.40
GB_MONTH, GB_OUT = 0.023, 0.09
"""Dollars for a GB in S3 for a month, and for a GB that leaves AWS."""

INVOCATION_GB_SECONDS: Final = 0.5 * 0.05
"""512 MB for 50 ms: an assumption, not a measurement."""

# Units of the table requests, for messages of up to 700 bytes: their items stay below 1 KB. A consistent read (head,
# call) costs 1, a lagging one below 4 KB (a connection's row, an index) 0.5. In a transaction a write costs 2.
PRICES: Final[Mapping[str, float]] = {
    "GetItem": READ_UNIT,
    "GetItem(lagging)": READ_UNIT / 2,
    "Query": READ_UNIT / 2,
    "PutItem": WRITE_UNIT,
    "UpdateItem": WRITE_UNIT,
    "DeleteItem": WRITE_UNIT,
    "TransactWriteItems(2)": 2 * 2 * WRITE_UNIT,
    "TransactWriteItems(3)": 3 * 2 * WRITE_UNIT,
    "TransactWriteItems(4)": 4 * 2 * WRITE_UNIT,
    "SendMessage": QUEUED,
    "Publish": PUBLISHED,
    "post": SOCKET_MESSAGE,
    "Invoke": INVOCATION,
    "HeadObject": OBJECT_READ,
    "CopyObject": OBJECT_WRITTEN,
    "DeleteObject": 0,
    "BatchGetItem(1)": READ_UNIT,
    "BatchGetItem(2)": 2 * READ_UNIT,
    "BatchGetItem(10)": 10 * READ_UNIT,
}
PAGES: Final = 8 * READ_UNIT
"""A page of 50 messages of 600 bytes, read consistently."""
UNSAFE: Final = {"PutItem": 1, "Query": 1, "post": 2}
"""The minimal design: it keeps no order, finds no repeats, and checks nothing."""

RIDE: Final[Mapping[str, int]] = {
    "connect": 2,
    "sync": 2,
    "ping": 2 * pings(SPREAD),
    "message by WebSocket, with an id": 20,
    "receipt by WebSocket": 40,
    "typing": 20,
    "away": 8,
    "call: initiate": 1,
    "call: signal": 12,
    "call: accept": 1,
    "call: end": 1,
    "call: report": 2,
    "disconnect": 2,
}
"""Thirty minutes, two phones: twenty messages, each delivered and read, each app twice in the background, one call. The
client gives every message an id, so that repeats are found."""
RIDE_MINUTES: Final = 60


def requests(made: Mapping[str, int]) -> float:
    """Dollars per million times all these requests."""
    return sum(PRICES[request] * count for request, count in made.items())


def operation(name: str) -> float:
    """Dollars per million of an operation, including API Gateway and the function."""
    by_rest = "REST" in name or name in ("newest page", "past page, again", "call log")
    way_in = REST_REQUEST if by_rest else 0 if name in ("connect", "disconnect") else SOCKET_MESSAGE
    page = PAGES - PRICES["Query"] if name in ("newest page", "sync") else 0
    return requests(REQUESTS[name]) + page + way_in + INVOCATION + INVOCATION_GB_SECONDS * GB_SECOND


def ride(pinged: int = RIDE["ping"], received: int = RIDE["receipt by WebSocket"]) -> float:
    """Dollars per million rides. `pinged` and `received`: how many pings and receipts the phones of one send."""
    done = {**RIDE, "ping": pinged, "receipt by WebSocket": received}
    return sum(operation(name) * times for name, times in done.items()) + RIDE_MINUTES * SOCKET_MINUTE


def rides() -> dict[str, float]:
    """Dollars per million rides, for several kinds of rides."""
    messages = RIDE["message by WebSocket, with an id"]
    marker = operation("message by WebSocket, with an id") - operation("message by WebSocket")
    return {
        "as the client goes about it": ride(),
        "the same without ids, so that a repeat is stored twice": ride() - messages * marker,
        "the conversation is on the screen when a message comes: `read` alone, no `delivered`": ride(
            received=RIDE["receipt by WebSocket"] // 2
        ),
        "all messages within five minutes, so that fewer pings are saved": ride(2 * pings(AT_ONCE)),
        "no ping saved by a frame that tells the head": ride(2 * pings(())),
    }


def call() -> float:
    """Dollars per million calls, with the twelve signals that set up the sound, and the reports of both devices."""
    return sum(operation(name) * RIDE[name] for name in RIDE if name.startswith("call"))


def scanning(online: int) -> float:
    """Dollars per million messages if the unsafe design found the two receivers by a Scan of all who are online."""
    rows_per_unit = 4_096 // 200
    units = max(1, -(-online // rows_per_unit)) / 2
    return requests(UNSAFE) - PRICES["Query"] + units * READ_UNIT


def designs() -> dict[str, float]:
    """Dollars per million messages to two connections by design, for the requests alone."""
    return {
        "NavieTakie by REST: in order, exactly once": requests(REQUESTS["message by REST"]),
        "NavieTakie by WebSocket, its ack included": requests(REQUESTS["message by WebSocket"]),
        "NavieTakie by REST, with an idempotency key": requests(REQUESTS["message by REST, with an id"]),
        "unsafe: put, query, posts": requests(UNSAFE),
        **{f"unsafe, with a Scan, {online:,} users online": scanning(online) for online in (2, 1_000, 100_000)},
    }


KEPT_MONTHS: Final = 3
SIZES: Final[Mapping[str, int]] = {"a photo of 300 KB": 300, "a voice note of 60 KB (20 s)": 60}


def attachment(kilobytes: int) -> float:
    """Dollars per million attachments: form, upload, message, one address, one read, and three months in the bucket."""
    asked = ("a form by REST", "message with an attachment by REST, with an id", "an address by REST")
    made = sum(requests(ATTACHED[name]) for name in asked)
    ways_in = len(asked) * (REST_REQUEST + INVOCATION + INVOCATION_GB_SECONDS * GB_SECOND)
    gigabytes = kilobytes * 1_000_000 / 1024**2
    return made + ways_in + OBJECT_WRITTEN + OBJECT_READ + gigabytes * (GB_OUT + KEPT_MONTHS * GB_MONTH)


def page() -> str:
    """docs/cost.md."""
    unsafe = requests(UNSAFE)
    beside = "\n".join(
        f"| {name} | {price:,.2f} | {price / unsafe:.{0 if price > 10 * unsafe else 2}f} |"
        for name, price in designs().items()
    )
    counted = "\n".join(
        f"| {name} | {', '.join(f'{count} {request}' for request, count in made.items())} | {requests(made):.2f} "
        f"| {operation(name):.2f} |"
        for name, made in REQUESTS.items()
    )
    switched_on = "\n".join(
        f"| {name} | {', '.join(f'{count} {request}' for request, count in made.items())} | {requests(made):.2f} |"
        for name, made in SWITCHED_ON.items()
    )
    attached = "\n".join(
        f"| {name} | {', '.join(f'{count} {request}' for request, count in made.items())} | {requests(made):.2f} |"
        for name, made in ATTACHED.items()
    )
    whole = "\n".join(f"| {name} | {attachment(size):,.2f} |" for name, size in SIZES.items())
    ways = "\n".join(f"| {name} | {price:.2f} |" for name, price in rides().items())
    pinged, received, said = (
        operation(name) * RIDE[name] for name in ("ping", "receipt by WebSocket", "message by WebSocket, with an id")
    )
    waiting = 0.5 * 0.01 * GB_SECOND
    return f"""# What it costs

Written by `make bench ONLY=cost` from the requests that [a test counts](../tests/integration/test_requests.py)
and the list prices of us-east-1 (on demand, no free tier; AWS's pricing pages of DynamoDB, API Gateway, Lambda,
SQS and SNS, end of 2025: look them up again before you plan with them). Prices are in dollars per million. They
do not include logs, data transfer and the storage of the tables. A function is assumed to run 50 ms with 512
MB.

## A message of up to 700 bytes to two connections, its requests alone

| design | $ | of the unsafe one |
| --- | ---: | ---: |
{beside}

The goal is 1.9 times the unsafe design, without a key. Order costs the transaction: a write in a transaction is
billed twice, and there are two writes. Exactly once costs the marker: with a key there are three writes.

## Everything together

| | $ per million |
| --- | ---: |
| messages by REST | {operation("message by REST"):.2f} |
| messages by WebSocket | {operation("message by WebSocket"):.2f} |
| calls, with twelve signals and two reports each | {call():.2f} |

## A ride

Thirty minutes, two phones, 60 connection minutes: {", ".join(f"{times} × {name}" for name, times in RIDE.items())}.

| | $ per million rides |
| --- | ---: |
{ways}

The messages are questions, one every three minutes, each answered after 20 s. The phone shows something else when one
comes: it says `delivered`, and `read` later. A [simulation](../benchmarks/ride.py) of the client's rule counts the
pings: a minute after the last frame that told the head, and every 10 s during the call of a minute. The client gives
every message an id. The id's marker is a third item in the transaction: it makes a repeat harmless.

The goal is $600. Of the price, ${pinged:.0f} are pings, ${received:.0f} receipts and ${said:.0f} messages.

## Each operation

`post` is a post to @connections, `TransactWriteItems(3)` one with three items. Each side has one connection.

| operation | requests | $ requests | $ with its way in and its function |
| --- | --- | ---: | ---: |
{counted}

## Photos and voice notes

| | requests | $ requests |
| --- | --- | ---: |
{attached}

| from the form to one reader, by REST | $ per million |
| --- | ---: |
{whole}

The upload is one more write to S3, and a read by the address is one more read. Most of a photo's price is the
data transfer out of AWS ({GB_OUT:.2f} $ a GB) and its {KEPT_MONTHS} months in the bucket ({GB_MONTH:.3f} $ a GB
and month).

## What is switched on

All of this is off by default and then costs nothing: the requests above are counted with all of it off.

| | requests | $ requests |
| --- | --- | ---: |
{switched_on}

**A hook** is one invocation of a function of yours; the price of its duration comes on top. With an id there is
one more GetItem, which looks for a repeat first. The message waits for the hook, and so does the function that
sends it: each 10 ms cost {waiting:.2f} $ per million messages with 512 MB. The log line `served` has the time
as `hook.elapsed_ms`. On the embedded AWS [the sample](examples/message_hook.py) took 54 to 76 ms when it was
warm, of which 50 are the emulator's wait for a log line, and 600 to 1,100 ms when it was cold. It was not
measured on AWS.

**Masking** makes no request. It takes some microseconds for a text without numbers, and some ten with numbers
([measured](benchmarks/masking.svg)).

**Message events** come from the table's stream, which Lambda reads without a charge, so sending a message takes
no longer. A batch has up to 100 messages that were written since the last batch: it costs one invocation of
send-message, a Publish for each message, and with `full` a read of each. SNS delivers to SQS and Lambda without
a charge.
"""


def main() -> None:
    PAGE.write_text(page())
    report = Report(
        "cost",
        "What do a message's requests cost, beside a design that stores unsafely?",
        ("design", "$ per million", "of the unsafe one's"),
    )
    unsafe = requests(UNSAFE)
    report.rows = [(name, price, price / unsafe) for name, price in designs().items()]
    report.goals = [
        Goal(
            f"price of a message by {way}, of the unsafe design's",
            "≤",
            1.9,
            requests(REQUESTS[f"message by {way}"]) / unsafe,
        )
        for way in ("REST", "WebSocket")
    ]
    report.goals.append(Goal("a million rides, every message with an id", "≤", 600, ride(), " $"))
    shown = [(name, price) for name, price in designs().items() if price < 10 * unsafe]
    report.bars = [Bars("dollars per million messages", " $", shown)]
    report.notes = [f"Everything else, from one operation to a whole ride: {PAGE.relative_to(PAGE.parents[1])}."]
    report.publish()


if __name__ == "__main__":
    main()
