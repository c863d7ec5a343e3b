"""The messages table: a booking's history, its head, and the markers of what was already stored."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from navietakie import settings
from navietakie.aws.tables import dynamo, keys
from navietakie.aws.tables.dynamo import ConditionFailed, Contended, TransactionRefused, transact, translated
from navietakie.aws.tables.keys import Item
from navietakie.domain import instants
from navietakie.domain.conversation import Head, ReceiptKind
from navietakie.domain.message import PARTICIPANTS, SIDES, Message, NewMessage, Sender, Side
from navietakie.domain.orders import NO_TOKEN, Rights, revoked_before

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MessageKey = tuple[str, str]
"""The booking and the timestamp of a message: its key in the table."""
MARKER_LIFE = instants.DAY
ANY_CONTENT: Final = ""
"""The digest of a redacted message: every message with its id is a repeat."""
_BATCH: Final = 100
"""The most keys that one BatchGetItem takes."""
QUERY_BYTES = 1024 * 1024
"""The most that DynamoDB reads in one Query, however little passes the filter: 256 read units."""


@dataclass(frozen=True, slots=True)
class Marker:
    """Says that a sender's message with this `client_message_id` was stored at `timestamp` with these contents."""

    sender: Sender
    client_message_id: str
    timestamp: str
    digest: str

    def fits(self, new: NewMessage) -> bool:
        """Whether `new` is a repeat of what was stored."""
        return self.digest in (ANY_CONTENT, new.digest)


class HeadMoved(Exception):
    """Another message was stored first. Nothing was written. `head` is the new head, if it is known."""

    def __init__(self, head: Head | None) -> None:
        super().__init__("the head has moved")
        self.head = head


class AlreadyStored(Exception):
    """A message with this sender's `client_message_id` is there. Nothing was written."""

    def __init__(self, marker: Marker | None) -> None:
        super().__init__("the message is stored already")
        self.marker = marker


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a history. `position`: the timestamp after which the next page begins, None at the end."""

    messages: list[Message]
    position: str | None
    first_expiry: int | None = None
    """When the first of them expires, in seconds since 1970."""
    at_read_limit: bool = False
    """Whether it ends where QUERY_BYTES were read."""


class MessageStore(Protocol):
    """Where a booking's messages are kept, with their head and markers: `Messages`, and in tests a fake."""

    def head(self, booking_code: str) -> Head: ...

    def store(
        self,
        message: Message,
        *,
        before: Head,
        after: Head,
        expires_at: int,
        now: int,
        token: str,
        marker: Marker | None = None,
    ) -> None: ...

    def redact(
        self,
        original: Message,
        notice: Message,
        *,
        before: Head,
        after: Head,
        expires_at: int,
        token: str,
        marker: Marker | None = None,
    ) -> None: ...

    def marker(self, booking_code: str, sender: Sender, client_message_id: str, now: int) -> Marker | None: ...

    def message(self, booking_code: str, timestamp: str, *, now: int | None = None) -> Message | None: ...

    def items_at(self, wanted: Collection[MessageKey]) -> tuple[Mapping[MessageKey, Item], Collection[MessageKey]]: ...

    def page(
        self,
        booking_code: str,
        *,
        now: int,
        ascending: bool,
        limit: int | None,
        most: int | None = None,
        after: str | None = None,
        through: str | None = None,
        before: str | None = None,
        senders: frozenset[str] = frozenset(),
        types: frozenset[str] = frozenset(),
    ) -> Page: ...

    def move_receipt(
        self, booking_code: str, side: Side, kind: ReceiptKind, seq: int, iat: int | None = NO_TOKEN
    ) -> tuple[Head, bool]: ...

    def move_allowance(self, booking_code: str, sender: Sender, *, before: int | None, after: int) -> bool: ...


class Messages:
    """Reads and writes the messages table. Every method may raise the Refusal `unavailable`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self.table = table

    def head(self, booking_code: str) -> Head:
        """The head, strongly consistent; the empty one where nothing was said yet."""
        with translated():
            answer = self._client.get_item(
                TableName=self.table, Key=keys.in_booking(booking_code, keys.HEAD), ConsistentRead=True
            )
        return head_of(answer.get("Item") or {})

    def store(
        self,
        message: Message,
        *,
        before: Head,
        after: Head,
        expires_at: int,
        now: int,
        token: str,
        marker: Marker | None = None,
    ) -> None:
        """Stores `message` and moves the head from `before` to `after`, in one transaction, or nothing.

        Raises AlreadyStored, HeadMoved or Contended. A repeat with the same `token` within ten minutes succeeds without
        writing again (DynamoDB's ClientRequestToken).
        """
        writes = self.writes(message, before=before, after=after, expires_at=expires_at)
        if marker is not None:
            writes["marker"] = {"Put": self._marker_put(message.booking_code, marker, now)}
        if (failure := self._commit(message, writes, token)) is None:
            return
        if (stored := failure.found.get("marker")) is not None:
            raise AlreadyStored(_marker_of(stored) if stored else None)
        raise HeadMoved(head_in(failure))

    def redact(
        self,
        original: Message,
        notice: Message,
        *,
        before: Head,
        after: Head,
        expires_at: int,
        token: str,
        marker: Marker | None = None,
    ) -> None:
        """Takes the content out of `original` and stores `notice`, which says so, in one transaction, or nothing.

        `marker` is the original's, if it still has one: from then on any repeat of its id finds the original. Raises
        HeadMoved, also where the original or its marker is no longer as it was read, or Contended.
        """
        writes = self.writes(notice, before=before, after=after, expires_at=expires_at)
        writes["original"] = {"Update": self._content_out(original, notice.timestamp)}
        if marker is not None:
            writes["marker"] = {"Update": self._digest_out(original.booking_code, marker)}
        if (failure := self._commit(notice, writes, token)) is not None:
            raise HeadMoved(head_in(failure))

    def _commit(self, message: Message, writes: Mapping[str, Item], token: str) -> TransactionRefused | None:
        """Writes all of it, `message` among it, or nothing; what stood in the way, None if it is written.

        Raises Contended. Writes of an earlier try whose answer was lost count as made.
        """
        try:
            transact(self._client, writes, token)
        except Contended as contended:
            if not contended.retried or self.message(message.booking_code, message.timestamp) != message:
                raise
        except TransactionRefused as failure:
            mine = failure.found.get("message", {}).get("message_id") == {"S": message.message_id}
            return None if mine else failure
        return None

    def writes(self, message: Message, *, before: Head, after: Head, expires_at: int) -> dict[str, Item]:
        """The writes `message` and `head` that append a message: for a transaction that holds more."""
        return {
            "message": {
                "Put": {
                    "TableName": self.table,
                    "Item": item_of(message, expires_at),
                    "ConditionExpression": "attribute_not_exists(booking_code)",
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            },
            "head": {"Update": self._head_update(message.booking_code, before, after)},
        }

    def rights_check(self, booking_code: str, side: Side, iat: int | None, *, speaks: bool) -> Item:
        """The condition that the booking is open, the token of `side` is not revoked and, where it `speaks`, not muted.

        For a transaction on something that must not happen otherwise.
        """
        valid, values = _not_revoked(side, iat)
        conditions = ["attribute_not_exists(closed_at)", valid]
        if speaks:
            conditions.append(f"attribute_not_exists({side}_muted_at)")
        return {
            "ConditionCheck": {
                "TableName": self.table,
                "Key": keys.in_booking(booking_code, keys.HEAD),
                "ConditionExpression": " AND ".join(conditions),
                **({"ExpressionAttributeValues": values} if values else {}),
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def marker(self, booking_code: str, sender: Sender, client_message_id: str, now: int) -> Marker | None:
        """The marker of a stored message, strongly consistent; None when there is none or it has expired."""
        with translated():
            answer = self._client.get_item(
                TableName=self.table,
                Key=keys.in_booking(booking_code, keys.marker(sender, client_message_id)),
                ConsistentRead=True,
            )
        item = answer.get("Item")
        return None if not item or keys.has_expired(item, now) else _marker_of(item)

    def message(self, booking_code: str, timestamp: str, *, now: int | None = None) -> Message | None:
        """One message, strongly consistent; None where there is none, or it has expired by `now`."""
        with translated():
            answer = self._client.get_item(
                TableName=self.table, Key=keys.in_booking(booking_code, timestamp), ConsistentRead=True
            )
        item = answer.get("Item")
        if not item or (now is not None and keys.has_expired(item, now)):
            return None
        return message_of(item)

    def items_at(self, wanted: Collection[MessageKey]) -> tuple[Mapping[MessageKey, Item], Collection[MessageKey]]:
        """The items under these bookings and timestamps, strongly consistent, as far as they are there.

        Makes one request. The second value has the keys that it did not read.
        """
        keys_wanted = [keys.in_booking(*key) for key in wanted]
        asked = {"Keys": keys_wanted[:_BATCH], "ConsistentRead": True}
        with translated():
            answer = self._client.batch_get_item(RequestItems={self.table: cast(Any, asked)})
        found = {_key_of(item): item for item in cast(list[Item], answer["Responses"].get(self.table, []))}
        left = cast(Item, answer.get("UnprocessedKeys") or {}).get(self.table, {}).get("Keys", [])
        return found, [_key_of(key) for key in (*left, *keys_wanted[_BATCH:])]

    def page(
        self,
        booking_code: str,
        *,
        now: int,
        ascending: bool,
        limit: int | None,
        most: int | None = None,
        after: str | None = None,
        through: str | None = None,
        before: str | None = None,
        senders: frozenset[str] = frozenset(),
        types: frozenset[str] = frozenset(),
    ) -> Page:
        """Looks at up to `limit` items in one request, strongly consistent, and keeps those that match and live.

        DynamoDB reads QUERY_BYTES at most, with a `limit` and without. The first `most` that match are kept.
        `after` and `before` are exclusive timestamps, `through` is an inclusive upper one.
        """
        names = {"#timestamp": "timestamp"}
        values: Item = {
            ":booking_code": {"S": booking_code},
            ":low": {"S": f"{after} " if after else keys.FIRST_TIMESTAMP},
            ":high": {"S": through or keys.just_before(before)},
            ":now": {"N": str(instants.to_seconds(now))},
        }
        if values[":low"]["S"] > values[":high"]["S"]:  # DynamoDB refuses BETWEEN with its bounds crossed
            return Page([], None)
        filters = ["expires_at > :now"]
        for attribute, wanted in (("sender", senders), ("message_type", types)):
            if wanted:
                names[f"#{attribute}"] = attribute
                marks = {f":{attribute}{i}": {"S": value} for i, value in enumerate(sorted(wanted))}
                values |= marks
                filters.append(f"#{attribute} IN ({', '.join(marks)})")
        with translated():
            answer = self._client.query(
                TableName=self.table,
                KeyConditionExpression="booking_code = :booking_code AND #timestamp BETWEEN :low AND :high",
                FilterExpression=" AND ".join(filters),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ScanIndexForward=ascending,
                ConsistentRead=True,
                **cast(Any, {} if limit is None else {"Limit": limit}),
            )
        items = answer["Items"]
        position = cast(Item, answer.get("LastEvaluatedKey") or {}).get("timestamp", {}).get("S")
        at_read_limit = position is not None and limit != answer["ScannedCount"]
        if most is not None and len(items) > most:
            items = items[:most]
            position = cast(Item, items[-1])["timestamp"]["S"]
        expiries = [int(item["expires_at"].get("N", "0")) for item in items]
        return Page([message_of(item) for item in items], position, min(expiries, default=None), at_read_limit)

    def move_receipt(
        self, booking_code: str, side: Side, kind: ReceiptKind, seq: int, iat: int | None = NO_TOKEN
    ) -> tuple[Head, bool]:
        """Moves a receipt forward to `seq`; the head as it is then, and whether that moved it.

        It does not move where it stands at `seq` or beyond (`delivered` neither where `read` does), where `seq` was not
        given out yet, or where the side's token, issued at `iat`, is revoked.
        """
        kinds = ("delivered", "read") if kind == "delivered" else ("read",)  # what was read has arrived
        ahead = " AND ".join(f"(attribute_not_exists({side}_{each}) OR {side}_{each} < :seq)" for each in kinds)
        valid, values = _not_revoked(side, iat)
        try:
            with translated():
                answer = self._client.update_item(
                    TableName=self.table,
                    Key=keys.in_booking(booking_code, keys.HEAD),
                    UpdateExpression=f"SET {side}_{kind} = :seq",
                    ConditionExpression=f"seq >= :seq AND {ahead} AND {valid}",
                    ExpressionAttributeValues={":seq": {"N": str(seq)}, **values},
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except ConditionFailed as failure:
            return head_of(failure.item), False
        return head_of(answer.get("Attributes") or {}), True

    def move_allowance(self, booking_code: str, sender: Sender, *, before: int | None, after: int) -> bool:
        """Sets an allowance without a message, if it still is `before`; whether it was. Raises Contended."""
        name = f"{sender}_allowance"
        values = {":after": {"N": str(after)}} | ({} if before is None else {":before": {"N": str(before)}})
        try:
            with translated():
                self._client.update_item(
                    TableName=self.table,
                    Key=keys.in_booking(booking_code, keys.HEAD),
                    UpdateExpression=f"SET {name} = :after",
                    ConditionExpression=f"attribute_not_exists({name})" if before is None else f"{name} = :before",
                    ExpressionAttributeValues=values,
                )
        except ConditionFailed:
            return False
        return True

    def _head_update(self, booking_code: str, before: Head, after: Head) -> Item:
        values: Item = {
            ":seq": {"N": str(after.seq)},
            ":timestamp": {"S": after.timestamp},
            ":epoch": {"S": after.epoch},
        }
        sets = ["seq = :seq", "last_timestamp = :timestamp", "epoch = :epoch"]
        for sender, allowance in after.allowances.items():
            if before.allowances.get(sender) != allowance:
                sets.append(f"{sender}_allowance = :{sender}_allowance")
                values[f":{sender}_allowance"] = {"N": str(allowance)}
        if after.redactions != before.redactions:
            sets.append("redactions = :redactions")
            values[":redactions"] = {"N": str(after.redactions)}
        had, has = _attributes_of(before.rights), _attributes_of(after.rights)
        for name, at in has.items():
            if had.get(name) != at:
                sets.append(f"{name} = :{name}")
                values[f":{name}"] = {"S": at}
        removes = [name for name in had if name not in has]
        condition = "attribute_not_exists(seq)"  # there may be an allowance before the first message
        if before.seq:
            condition = "seq = :before AND epoch = :epoch"  # an erased booking may have begun anew
            values[":before"] = {"N": str(before.seq)}
        return {
            "TableName": self.table,
            "Key": keys.in_booking(booking_code, keys.HEAD),
            "UpdateExpression": f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else ""),
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def _content_out(self, original: Message, at: str) -> Item:
        return {
            "TableName": self.table,
            "Key": keys.in_booking(original.booking_code, original.timestamp),
            "UpdateExpression": "SET #message = :nothing, redacted_at = :at REMOVE metadata",
            "ConditionExpression": "message_id = :message_id AND attribute_not_exists(redacted_at)",
            "ExpressionAttributeNames": {"#message": "message"},
            "ExpressionAttributeValues": {
                ":nothing": {"S": ""},
                ":at": {"S": at},
                ":message_id": {"S": original.message_id},
            },
        }

    def _digest_out(self, booking_code: str, marker: Marker) -> Item:
        return {
            "TableName": self.table,
            "Key": keys.in_booking(booking_code, keys.marker(marker.sender, marker.client_message_id)),
            "UpdateExpression": "SET digest = :any",
            "ConditionExpression": "stored_at = :stored_at",
            "ExpressionAttributeValues": {":any": {"S": ANY_CONTENT}, ":stored_at": {"S": marker.timestamp}},
        }

    def _marker_put(self, booking_code: str, marker: Marker, now: int) -> Item:
        item: Item = {
            **keys.in_booking(booking_code, keys.marker(marker.sender, marker.client_message_id)),
            "sender": {"S": marker.sender},
            "client_message_id": {"S": marker.client_message_id},
            "stored_at": {"S": marker.timestamp},
            "digest": {"S": marker.digest},
            "expires_at": {"N": str(instants.to_seconds(now + MARKER_LIFE))},
        }
        return {
            "TableName": self.table,
            "Item": item,
            # An expired marker that the sweep has not reached yet is as good as gone.
            "ConditionExpression": "attribute_not_exists(booking_code) OR expires_at <= :now",
            "ExpressionAttributeValues": {":now": {"N": str(instants.to_seconds(now))}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }


def head_in(failure: TransactionRefused) -> Head | None:
    """The head that stood in the way; None where it did not, or there is none."""
    found = failure.found.get("head")
    return head_of(found) if found else None


def head_of(item: Mapping[str, Any]) -> Head:
    """The head in its item; the empty head where that has nothing."""
    numbers = {name: int(value["N"]) for name, value in item.items() if "N" in value}
    return Head(
        seq=numbers.get("seq", 0),
        timestamp=item.get("last_timestamp", {}).get("S", ""),
        epoch=item.get("epoch", {}).get("S"),
        rights=_rights_of({name: value["S"] for name, value in item.items() if "S" in value}),
        redactions=numbers.get("redactions", 0),
        allowances={name.removesuffix("_allowance"): n for name, n in numbers.items() if name.endswith("_allowance")},
        receipt_seqs={name: n for name, n in numbers.items() if name.endswith(("_delivered", "_read"))},
    )


def _not_revoked(side: Side, iat: int | None) -> tuple[str, Item]:
    """The condition on a head that the token of `side`, issued at `iat`, is not revoked, and its values."""
    revoked_at = f"{side}_revoked_at"
    if iat is None:
        return f"attribute_not_exists({revoked_at})", {}
    return f"(attribute_not_exists({revoked_at}) OR {revoked_at} < :iat)", {":iat": {"S": revoked_before(iat)}}


def _attributes_of(rights: Rights) -> dict[str, str]:
    """The attributes of the head for these rights: one if it is closed, one for each muted side and revoked role."""
    return {
        **({"closed_at": rights.closed_at} if rights.closed_at is not None else {}),
        **{f"{side}_muted_at": at for side, at in rights.muted.items()},
        **{f"{role}_revoked_at": at for role, at in rights.revoked.items()},
    }


def _rights_of(texts: Mapping[str, str]) -> Rights:
    return Rights(
        closed_at=texts.get("closed_at"),
        muted={side: at for side in SIDES if (at := texts.get(f"{side}_muted_at"))},
        revoked={role: at for role in PARTICIPANTS if (at := texts.get(f"{role}_revoked_at"))},
    )


def _key_of(item: Mapping[str, Any]) -> MessageKey:
    return item["booking_code"]["S"], item["timestamp"]["S"]


def item_of(message: Message, expires_at: int) -> Item:
    """The item of a message. `metadata` travels as JSON text: a number keeps value and type, `1.0` is no `1`."""
    item: Item = {
        **keys.in_booking(message.booking_code, message.timestamp),
        "message_id": {"S": message.message_id},
        "seq": {"N": str(message.seq)},
        "sender": {"S": message.sender},
        "message_type": {"S": message.message_type},
        "message": {"S": message.message},
        "expires_at": {"N": str(expires_at)},
    }
    if message.sender_id is not None:
        item["sender_id"] = {"S": message.sender_id}
    if message.redacted_at is not None:
        item["redacted_at"] = {"S": message.redacted_at}
    if message.client_message_id is not None:
        item["client_message_id"] = {"S": message.client_message_id}
    if message.metadata is not None:
        item["metadata"] = {"S": json.dumps(message.metadata, ensure_ascii=False, separators=(",", ":"))}
    return item


def message_of(item: Mapping[str, Any]) -> Message:
    """The message in its item."""
    return Message.model_construct(
        message_id=item["message_id"]["S"],
        booking_code=item["booking_code"]["S"],
        seq=int(item["seq"]["N"]),
        timestamp=item["timestamp"]["S"],
        sender=item["sender"]["S"],
        sender_id=item.get("sender_id", {}).get("S"),
        message_type=item["message_type"]["S"],
        message=item["message"]["S"],
        redacted_at=item.get("redacted_at", {}).get("S"),
        client_message_id=item.get("client_message_id", {}).get("S"),
        metadata=json.loads(item["metadata"]["S"]) if "metadata" in item else None,
    )


def _marker_of(item: Mapping[str, Any]) -> Marker:
    return Marker(
        sender=item["sender"]["S"],
        client_message_id=item["client_message_id"]["S"],
        timestamp=item["stored_at"]["S"],
        digest=item["digest"]["S"],
    )


def messages() -> Messages:
    """The configured messages table."""
    return Messages(dynamo.client(), settings.required("DYNAMODB_TABLE"))
