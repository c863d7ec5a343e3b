"""`make erase BOOKING=…`: deletes what a local or a deployed stack has stored of a booking, attachments included.

It counts first. Without YES=1 it is a dry run, unless somebody at a terminal confirms it. It reads only the keys of
messages. You may stop it and run it again at any time. It deletes the head last, and only if nothing was stored
meanwhile. So no message stays without a head; a new history would use its number again.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from clients.command import BOOKING, YES, Command, Failed, Option
from clients.deployment import outputs_of
from clients.tokens import aws_of
from local.stack import HOME
from navietakie.aws.tables import keys
from navietakie.aws.tables.calls import Calls
from navietakie.aws.tables.connections import Connections
from navietakie.aws.tables.keys import Item
from navietakie.aws.tables.messages import Messages
from navietakie.domain.call import as_seen
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal
from navietakie.domain.message import BookingCode, Fields

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

COMMAND: Final = Command(
    "erase",
    "Counts what is stored of a booking; erases it if you confirm.",
    (BOOKING, YES, Option("force", "1", "1: erase it although it is in use")),
    "Run it again to erase what is left.",
)
BATCH: Final = 25
"""The most items that one BatchWriteItem takes."""
FRUITLESS: Final = 10
"""It gives up after this many requests in a row that deleted nothing."""
ROUNDS: Final = 10
"""How often it begins again because something was stored meanwhile."""


class Wanted(Fields):
    """What is to be erased."""

    booking: BookingCode


@dataclass(frozen=True)
class Found:
    """What is stored of a booking. `items`: table and key of each, without the head."""

    head: Head
    items: list[tuple[str, Item]]
    counts: dict[str, int]
    in_use: str | None
    """Why somebody is likely to write again; None if that is unlikely."""


class Stored:
    """What an environment has stored of a booking."""

    def __init__(self, client: "DynamoDBClient", environment: str, booking: str) -> None:
        self._client = client
        self._booking = booking
        self._head = keys.in_booking(booking, keys.HEAD)
        self._tables = [f"navietakie-{each}-{environment}" for each in ("messages", "calls", "connections")]

    def find(self, now: int) -> Found:
        """Everything, with the head as it was before the items were read. `now` in microseconds since 1970."""
        messages, calls, connections = self._tables
        history = Messages(self._client, messages)
        # The head before the items: if a message is stored later, `_delete_head` fails, and the next round finds it.
        head = history.head(self._booking)
        call = Calls(self._client, calls, history).latest(self._booking)
        connected = Connections(self._client, connections).of_booking(self._booking, now)
        in_use = None
        if call is not None and as_seen(call, now).state != "ended":
            in_use = "A call is going on"
        elif connected and head.closed_at is None:
            in_use = "Somebody is connected, and the booking is not closed"
        said, called, rows = (list(self._keys(table)) for table in self._tables)
        texts = sum(key["timestamp"]["S"] > keys.FIRST_TIMESTAMP for key in said)
        counts = {
            "messages": texts,
            "items of bookkeeping": len(said) - texts,
            "items of calls": len(called),
            "connections": len(rows),
        }
        said = [key for key in said if key != self._head]
        # Deleted from the end: the connections go first, so that their clients soon stop writing.
        items = [(table, key) for table, those in zip(self._tables, (said, called, rows), strict=True) for key in those]
        return Found(head, items, counts, in_use)

    def erase(self, found: Found, progress: Callable[[int, int], None]) -> int:
        """Deletes what was found and what was stored since. Returns how many; `progress` gets (done, total).

        Raises the Refusal `unavailable` if others write faster than it deletes, or if DynamoDB throttles it.
        """
        done = 0
        for _ in range(ROUNDS):
            total = done + len(found.items)
            for deleted in self._delete(found.items):
                done += deleted
                progress(done, total)
            if self._delete_head(found.head):
                return done + (found.head.seq > 0)
            found = self.find(time.time_ns() // 1_000)
        raise Refusal("unavailable", "Somebody goes on writing. Close the booking, then run it again")

    def _keys(self, table: str) -> Iterator[Item]:
        """The keys of the booking's items in a table."""
        how: dict[str, Any] = {
            "ProjectionExpression": "booking_code, #timestamp",
            "ExpressionAttributeNames": {"#timestamp": "timestamp"},
            "ConsistentRead": True,
        }
        if table == self._tables[-1]:
            how = {"ProjectionExpression": "connection_id", "IndexName": keys.CONNECTIONS_OF_BOOKING}
        pages = self._client.get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression="booking_code = :booking_code",
            ExpressionAttributeValues={":booking_code": {"S": self._booking}},
            **cast(Any, how),
        )
        for page in pages:
            yield from page["Items"]

    def _delete(self, items: list[tuple[str, Item]]) -> Iterator[int]:
        """Deletes items, the last ones first. Yields how many each request has deleted."""
        waiting, fruitless = list(items), 0
        while waiting:
            batch, waiting[-BATCH:] = waiting[-BATCH:], []
            requests: dict[str, list[Any]] = {}
            for table, key in batch:
                requests.setdefault(table, []).append({"DeleteRequest": {"Key": key}})
            unprocessed = cast(Any, self._client.batch_write_item(RequestItems=requests).get("UnprocessedItems") or {})
            left = [(table, each["DeleteRequest"]["Key"]) for table, those in unprocessed.items() for each in those]
            waiting += left
            yield len(batch) - len(left)
            fruitless = fruitless + 1 if len(left) == len(batch) else 0
            if fruitless == FRUITLESS:
                raise Refusal("unavailable", "DynamoDB throttles the requests. Run it again to erase the rest")
            if left:
                time.sleep(random.uniform(0, 0.1 * 2**fruitless))

    def _delete_head(self, head: Head) -> bool:
        """Deletes the head if nothing was stored after it was read. Returns whether it did."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(booking_code)"}
        if head.seq:
            condition = {
                "ConditionExpression": "seq = :seq AND epoch = :epoch",
                "ExpressionAttributeValues": {":seq": {"N": str(head.seq)}, ":epoch": {"S": head.epoch}},
            }
        try:
            self._client.delete_item(TableName=self._tables[0], Key=self._head, **cast(Any, condition))
        except ClientError as error:
            # TransactionConflict: somebody else's transaction on the head is under way.
            if error.response.get("Error", {}).get("Code") in (
                "ConditionalCheckFailedException",
                "TransactionConflictException",
            ):
                return False
            raise
        return True


class Objects:
    """The attachments of a booking. A stack without a bucket has none."""

    PREFIXES: Final = ("upload", "kept")

    def __init__(self, client: "S3Client", bucket: str | None, booking: str) -> None:
        self._client = client
        self._bucket = bucket
        self._booking = booking

    def _pages(self) -> Iterator[tuple[str, list[str]]]:
        """The bucket and its keys, page by page. One request can delete a page."""
        if self._bucket is None:
            return
        for prefix in self.PREFIXES:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{prefix}/{self._booking}/"
            )
            for page in pages:
                if found := [it["Key"] for it in page.get("Contents", []) if "Key" in it]:
                    yield self._bucket, found

    def count(self) -> int:
        """How many there are."""
        return sum(len(found) for _, found in self._pages())

    def erase(self) -> int:
        """Deletes all and returns how many. Raises the Refusal `unavailable` if S3 keeps some."""
        done = 0
        for bucket, found in self._pages():
            answer = self._client.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in found], "Quiet": True}
            )
            if answer.get("Errors"):
                raise Refusal("unavailable", "S3 keeps some of the attachments. Run it again to erase the rest")
            done += len(found)
        return done


def bucket_of(outputs: Mapping[str, str]) -> str | None:
    """The attachments bucket among a stack's outputs; None if attachments are switched off."""
    return outputs.get("AttachmentsBucket") or None


def bar(done: int, total: int) -> None:
    """Draws the progress on standard error, if that is a terminal."""
    if sys.stderr.isatty():
        filled = 30 * done // max(1, total)
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r[{'█' * filled}{'·' * (30 - filled)}] {done:,} of {total:,}{end}")
        sys.stderr.flush()


def confirmed(booking: str, told: Mapping[str, str]) -> bool:
    """Whether to erase: YES=1 says so, or somebody at the terminal types the booking code."""
    if told["yes"] == "1":
        return True
    if not sys.stdin.isatty():
        return False
    print("There is no way back. Type the booking code to erase all of it: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() == booking


def main(argv: Sequence[str] = (), home: Path = HOME) -> None:
    """Erases the booking that BOOKING names from the environment ENV; see `make help`."""

    def look_and_erase(told: Mapping[str, str]) -> None:
        where = told["env"]
        booking = Wanted.parse({"booking": told["booking"]}).booking
        patient = Config(retries={"mode": "standard", "total_max_attempts": 8})
        access = cast(Any, aws_of(where, home))
        client: DynamoDBClient = boto3.client("dynamodb", config=patient, **access)
        stored = Stored(client, where, booking)
        found = stored.find(time.time_ns() // 1_000)
        objects = Objects(boto3.client("s3", config=patient, **access), bucket_of(outputs_of(where, home)), booking)
        attachments = objects.count()
        print(f"Stored of booking {booking} in {where} ({client.meta.region_name}):")
        for what, count in found.counts.items():
            print(f"{count:>10,} {what}")
        print(f"{attachments:>10,} attachments")
        if not any(found.counts.values()) and not attachments:
            print("There is nothing to erase.")
        elif found.in_use and told["force"] != "1":
            raise Failed(f"{found.in_use}: what is erased now may be written again. FORCE=1 erases all the same.")
        elif confirmed(booking, told):
            # The messages first: an attachment that no message names is shown to nobody.
            print(f"Erased: {stored.erase(found, bar):,} items.")
            # There may be more than were counted above: uploads of the last moment.
            if (gone := objects.erase()) or attachments:
                print(f"Erased: {gone:,} attachments.")
        else:
            print("Nothing was erased. YES=1 erases it.")

    try:
        COMMAND.run(argv, look_and_erase)
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run it again to erase what is left.")


if __name__ == "__main__":
    main(sys.argv[1:])
