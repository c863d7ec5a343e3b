"""The calls table: a booking's latest call under `#live`, and the log of the ended ones under their start."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from navietakie import settings
from navietakie.aws.tables import dynamo, keys
from navietakie.aws.tables.dynamo import ConditionFailed, Contended, TransactionRefused, transact, translated
from navietakie.aws.tables.keys import Item
from navietakie.aws.tables.messages import HeadMoved, Messages, head_in, head_of, messages
from navietakie.domain import instants
from navietakie.domain.call import Act, Call, as_seen, started_at
from navietakie.domain.conversation import Head
from navietakie.domain.message import SIDES, Message, Side, other_side
from navietakie.domain.orders import NO_TOKEN

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TEXTS: Final = ("call_id", "caller", "state", "end_reason", "answered_at", "ended_at", "rings_until", "answered_by")


class VersionConflict(Exception):
    """The call was changed or replaced since it was read. Nothing was written. `call` is the present one, if any.

    `head` is the booking's, where that has moved as well.
    """

    def __init__(self, call: Call | None, head: Head | None = None) -> None:
        super().__init__("the call has moved")
        self.call = call
        self.head = head


@dataclass(frozen=True, slots=True)
class LogPage:
    """Ended calls, the newest first. `more`: there are older ones."""

    calls: list[Call]
    more: bool


class CallStore(Protocol):
    """Where a booking's calls are kept: `Calls`, and in tests a fake."""

    def latest(self, booking_code: str) -> Call | None: ...

    def with_head(self, booking_code: str, now: int) -> tuple[Head, Call | None]: ...

    def logged(self, booking_code: str, call_id: str, now: int) -> Call | None: ...

    def log(self, booking_code: str, *, now: int, limit: int, before: str | None = None) -> LogPage: ...

    def store_live(self, before: Call | None, after: Call, iat: int | None = NO_TOKEN) -> None: ...

    def store_end(
        self, before: Call, after: Call, message: Message, *, head: Head, head_after: Head, expires_at: int
    ) -> None: ...

    def note_left(self, booking_code: str, call_id: str, side: Side, left_at: int) -> Call | None: ...


class Calls:
    """Reads and writes the calls table. Every method may raise the Refusal `unavailable`.

    `messages` has the head, which says whether the booking is open, and takes the message of an ended call.
    """

    def __init__(self, client: "DynamoDBClient", table: str, messages: Messages) -> None:
        self._client = client
        self._table = table
        self._messages = messages

    def latest(self, booking_code: str) -> Call | None:
        """The booking's latest call as it is stored, live or ended; strongly consistent."""
        item = self._get(booking_code, keys.LIVE)
        return _call_of(item) if item else None

    def with_head(self, booking_code: str, now: int) -> tuple[Head, Call | None]:
        """The booking's head, and its latest call as readers see it at `now` (None once it has expired).

        Strongly consistent, in one request. Raises Contended where DynamoDB did not get to both.
        """
        head, live = keys.in_booking(booking_code, keys.HEAD), keys.in_booking(booking_code, keys.LIVE)
        wanted = {
            self._messages.table: {"Keys": [head], "ConsistentRead": True},
            self._table: {"Keys": [live], "ConsistentRead": True},
        }
        with translated():
            answer = self._client.batch_get_item(RequestItems=cast(Any, wanted))
        if answer.get("UnprocessedKeys"):
            raise Contended
        found = cast(dict[str, list[Item]], answer["Responses"])
        heads, lives = found.get(self._messages.table), found.get(self._table)
        call = as_seen(_call_of(lives[0]), now) if lives and not keys.has_expired(lives[0], now) else None
        return head_of(heads[0] if heads else {}), call

    def logged(self, booking_code: str, call_id: str, now: int) -> Call | None:
        """An ended call, strongly consistent; None where there is none with this id, or it has expired."""
        item = self._get(booking_code, instants.to_text(started_at(call_id)))
        if not item or item["call_id"]["S"] != call_id or keys.has_expired(item, now):
            return None
        return _call_of(item)

    def log(self, booking_code: str, *, now: int, limit: int, before: str | None = None) -> LogPage:
        """Up to `limit` ended calls that began before the timestamp `before`, strongly consistent."""
        with translated():
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="booking_code = :booking_code AND #timestamp BETWEEN :low AND :high",
                ExpressionAttributeNames={"#timestamp": "timestamp"},
                ExpressionAttributeValues={
                    ":booking_code": {"S": booking_code},
                    ":low": {"S": keys.FIRST_TIMESTAMP},
                    ":high": {"S": keys.just_before(before)},
                },
                ScanIndexForward=False,
                ConsistentRead=True,
                Limit=limit + 1,
            )
        # Calls end in the order in which they began: if one has expired, all older ones have.
        alive = [item for item in answer["Items"] if not keys.has_expired(item, now)]
        return LogPage([_call_of(item) for item in alive[:limit]], more=len(alive) > limit)

    def store_live(self, before: Call | None, after: Call, iat: int | None = NO_TOKEN) -> None:
        """Writes a call that begins or is answered, on condition that its side may do that.

        `before` is the latest call as it was read, `iat` when the side's token was issued. Raises VersionConflict,
        Contended, or the Refusal `unauthorized`, `booking_closed` or `muted`.
        """
        by, speaks = cast(Side, after.act.by), after.act.event == "initiate"
        if before is not None and before.call_id == after.call_id:
            call = {"Update": self._change(before, after)}
        else:
            call = {"Put": self._begin(before, after)}
        head = self._messages.rights_check(after.booking_code, by, iat, speaks=speaks)
        try:
            transact(self._client, {"call": call, "head": head})
        except TransactionRefused as failure:
            _raise_if_the_call_had_changed(failure)
            rights = head_of(failure.found["head"]).rights
            rights.check_token(by, iat)
            rights.check_open()
            rights.check_not_muted(by)
            raise

    def store_end(
        self, before: Call, after: Call, message: Message, *, head: Head, head_after: Head, expires_at: int
    ) -> None:
        """Writes the end of a call: the live item, its log item, its `message` and the head, all or nothing.

        Raises VersionConflict, Contended, or HeadMoved where another message was stored first.
        """
        expiry = {"expires_at": {"N": str(expires_at)}}
        log = {"TableName": self._table, "Item": _item_of(after, after.timestamp) | expiry}
        writes = {
            "call": {"Update": self._change(before, after, expiry)},
            "log": {"Put": log},
            **self._messages.writes(message, before=head, after=head_after, expires_at=expires_at),
        }
        try:
            transact(self._client, writes)
        except TransactionRefused as failure:
            _raise_if_the_call_had_changed(failure)
            raise HeadMoved(head_in(failure)) from failure

    def note_left(self, booking_code: str, call_id: str, side: Side, left_at: int) -> Call | None:
        """Stores when a connection of `side` left during this live call, if that is the latest such time.

        Returns the call; None where a later time is stored, or the call is not live any more.
        Raises Contended.
        """
        try:
            with translated():
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=keys.in_booking(booking_code, keys.LIVE),
                    UpdateExpression="SET #left = :left",
                    ConditionExpression=(
                        "call_id = :call_id AND #state <> :ended AND (attribute_not_exists(#left) OR #left <= :left)"
                    ),
                    ExpressionAttributeNames={"#left": _left_at_of(side), "#state": "state"},
                    ExpressionAttributeValues={
                        ":left": {"N": str(left_at)},
                        ":call_id": {"S": call_id},
                        ":ended": {"S": "ended"},
                    },
                    ReturnValues="ALL_NEW",
                )
        except ConditionFailed:
            return None
        return _call_of(answer.get("Attributes") or {})

    def _get(self, booking_code: str, sort_key: str) -> Mapping[str, Any] | None:
        with translated():
            answer = self._client.get_item(
                TableName=self._table, Key=keys.in_booking(booking_code, sort_key), ConsistentRead=True
            )
        return answer.get("Item")

    def _begin(self, before: Call | None, after: Call) -> Item:
        return {
            "TableName": self._table,
            "Item": _item_of(after, keys.LIVE),
            **(_unchanged(before) if before else {"ConditionExpression": "attribute_not_exists(booking_code)"}),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def _change(self, before: Call, after: Call, extra: Item | None = None) -> Item:
        """Writes only what differs, so that a leaving that was stored on the item meanwhile stays."""
        old, new = _item_of(before, keys.LIVE), _item_of(after, keys.LIVE) | (extra or {})
        changed = {name: value for name, value in new.items() if old.get(name) != value}
        gone = [name for name in old if name not in new]
        sets = ", ".join(f"#{name} = :{name}" for name in changed)
        removes = ", ".join(f"#{name}" for name in gone)
        condition = _unchanged(before)
        return {
            "TableName": self._table,
            "Key": keys.in_booking(before.booking_code, keys.LIVE),
            "UpdateExpression": f"SET {sets}" + (f" REMOVE {removes}" if removes else ""),
            "ConditionExpression": condition["ConditionExpression"],
            "ExpressionAttributeNames": {f"#{name}": name for name in (*changed, *gone)},
            "ExpressionAttributeValues": {
                **{f":{name}": value for name, value in changed.items()},
                **condition["ExpressionAttributeValues"],
            },
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }


def _unchanged(call: Call) -> Item:
    """The condition that the live item is still this call in this version."""
    return {
        "ConditionExpression": "call_id = :this_call AND version = :this_version",
        "ExpressionAttributeValues": {":this_call": {"S": call.call_id}, ":this_version": {"N": str(call.version)}},
    }


def _raise_if_the_call_had_changed(failure: TransactionRefused) -> None:
    if (call := failure.found.get("call")) is not None:
        raise VersionConflict(_call_of(call) if call else None, head_in(failure)) from failure


def _item_of(call: Call, sort_key: str) -> Item:
    texts = {name: {"S": value} for name in _TEXTS if (value := getattr(call, name)) is not None}
    item: Item = {
        **keys.in_booking(call.booking_code, sort_key),
        **texts,
        "version": {"N": str(call.version)},
        "event": {"S": call.act.event},
    }
    optional = {
        "actor": call.act.by,
        "device": call.act.device,
        "history": call.history,
        **{_initiate_of(side): name for side, name in call.initiates.items()},
    }
    item |= {_connected_of(side): {"BOOL": True} for side in call.connected}
    if sort_key == keys.LIVE:
        item |= {_allowance_of(side): {"N": str(instant)} for side, instant in call.allowances.items()}
    return item | {name: {"S": value} for name, value in optional.items() if value is not None}


def _call_of(item: Mapping[str, Any]) -> Call:
    text = {name: value["S"] for name, value in item.items() if "S" in value}
    answered_at, ended_at = text.get("answered_at"), text.get("ended_at")
    duration = instants.from_text(ended_at) - instants.from_text(answered_at) if answered_at and ended_at else 0
    return Call.model_construct(
        **{name: text.get(name) for name in _TEXTS},
        booking_code=text["booking_code"],
        timestamp=instants.to_text(started_at(text["call_id"])),
        callee=other_side(text["caller"]),
        duration_seconds=duration // instants.SECOND,
        version=int(item["version"]["N"]),
        act=Act(text["event"], text.get("actor"), text.get("device")),
        initiates={side: text[name] for side in SIDES if (name := _initiate_of(side)) in text},
        history=text.get("history"),
        connected=frozenset(side for side in SIDES if _connected_of(side) in item),
        left_at={side: int(item[name]["N"]) for side in SIDES if (name := _left_at_of(side)) in item},
        allowances={side: int(item[name]["N"]) for side in SIDES if (name := _allowance_of(side)) in item},
    )


def _initiate_of(side: Side) -> str:
    return f"{side}_client_call_id"


def _connected_of(side: Side) -> str:
    return f"{side}_connected"


def _left_at_of(side: Side) -> str:
    return f"{side}_left_at"


def _allowance_of(side: Side) -> str:
    return f"{side}_call_allowance"


def calls() -> Calls:
    """The configured calls table."""
    return Calls(dynamo.client(), settings.required("CALLS_TABLE"), messages())
