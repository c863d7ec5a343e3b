"""The connections table: one row per WebSocket, found by booking through an index."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict, cast, get_args

from navietakie import settings
from navietakie.aws.tables import dynamo, keys
from navietakie.aws.tables.dynamo import ConditionFailed, Contended, translated
from navietakie.aws.tables.keys import Item
from navietakie.domain import instants
from navietakie.domain.errors import unavailable
from navietakie.domain.message import Sender
from navietakie.domain.orders import Rights
from navietakie.observability import logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONNECTION_LIFE = 130 * 60 * instants.SECOND
"""2 h 10 min: API Gateway ends a connection after 2 h."""
YOUNG = 30 * instants.SECOND
"""A younger connection may still be in its `$connect`, during which API Gateway answers 410 to posts."""
TOMBSTONE_LIFE = 10 * 60 * instants.SECOND
NEVER: Final = 2**63
"""The `expires_at` of a row that has none."""
SENDERS: Final = frozenset(get_args(Sender))


@dataclass(frozen=True, slots=True)
class Connection:
    """One WebSocket of a booking. `token_exp` and `token_iat` in seconds since 1970; None without tokens.

    `connected_at` is empty where the row has none: another program has put that row. `away`: its app is in the
    background. It gets every frame, but is not present.
    """

    connection_id: str
    booking_code: str
    sender: Sender
    connected_at: str
    expires_at: int
    sender_id: str | None = None
    device_id: str | None = None
    token_exp: int | None = None
    away: bool = False
    who: str | None = None
    """Stands for the person in the log, where there are tokens."""
    token_iat: int | None = None

    @property
    def iat(self) -> int | None:
        """When its token was issued, None where that is not known. Without tokens it is when it connected."""
        if self.token_exp is not None:
            return self.token_iat
        try:
            return instants.to_seconds(instants.from_text(self.connected_at))
        except ValueError:
            return None  # no row of ours has such a time

    def revoked(self, rights: Rights) -> bool:
        """Whether its token is revoked."""
        return bool(rights.revoked) and rights.revokes(self.sender, self.iat)

    def token_expired(self, now: int) -> bool:
        """Whether the token that opened it has run out; no leeway."""
        return self.token_exp is not None and self.token_exp <= instants.to_seconds(now)

    def receives(self, now: int) -> bool:
        """Whether frames may still be sent to it."""
        return self.expires_at > instants.to_seconds(now) and not self.token_expired(now)


def without_revoked(connections: Iterable[Connection], rights: Rights) -> list[Connection]:
    """Those whose tokens are not revoked."""
    return [connection for connection in connections if not connection.revoked(rights)]


class Presence(TypedDict):
    """Who has a present connection, one whose app is not in the background."""

    driver: bool
    passenger: bool
    agent: bool


def presence(connections: Iterable[Connection], own: Connection | None = None) -> Presence:
    """Who has a present connection; `system` is never seen.

    `own` counts as it is given: the index may show an older state of it.
    """
    known = {connection.connection_id: connection for connection in connections}
    if own is not None:
        known[own.connection_id] = own
    here = {connection.sender for connection in known.values() if not connection.away}
    return {"driver": "driver" in here, "passenger": "passenger" in here, "agent": "agent" in here}


class ConnectionStore(Protocol):
    """Where the rows of connections are kept: `Connections`, and in tests a fake."""

    def get(self, connection_id: str) -> Connection | None: ...

    def of_booking(self, booking_code: str, now: int, *, expired: bool = False) -> list[Connection]: ...

    def record(self, connection: Connection) -> bool: ...

    def set_away(self, connection_id: str, *, away: bool, at: int) -> bool: ...

    def remove(self, connection_id: str, now: int) -> None: ...

    def remove_gone(self, connection: Connection, now: int) -> bool: ...

    def remove_refused(self, connection_id: str) -> None: ...


class Connections:
    """Reads and writes the connections table. Every method may raise the Refusal `unavailable`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def get(self, connection_id: str) -> Connection | None:
        """The row of a connection, strongly consistent; None for a tombstone, or a row that names no sender."""
        item = self._item(connection_id, consistent=True)
        return _connection_of(item) if item and "booking_code" in item else None

    def get_maybe_stale(self, connection_id: str) -> Connection | None:
        """The row of a connection, for half the price: its `away` may be as it was a moment ago, and the rest is right.

        Nothing else of a row ever changes. A row that has been deleted a moment ago may be found; where none is found
        it is looked for again as `get` does, because it may just have been written.
        """
        item = self._item(connection_id, consistent=False)
        return _connection_of(item) if item and "booking_code" in item else self.get(connection_id)

    def _item(self, connection_id: str, *, consistent: bool) -> Mapping[str, Any] | None:
        with translated():
            answer = self._client.get_item(
                TableName=self._table, Key=keys.connection(connection_id), ConsistentRead=consistent
            )
        return answer.get("Item")

    def of_booking(self, booking_code: str, now: int, *, expired: bool = False) -> list[Connection]:
        """Every connection of a booking that may receive, all pages of the index (which may lag by a moment).

        With `expired` also those that may not any more, as long as their rows are there. Rows that another program has
        put are used as far as possible.
        """
        found: list[Connection] = []
        start: Item = {}
        while True:
            with translated():
                answer = self._client.query(
                    TableName=self._table,
                    IndexName=keys.CONNECTIONS_OF_BOOKING,
                    KeyConditionExpression="booking_code = :booking_code",
                    ExpressionAttributeValues={":booking_code": {"S": booking_code}},
                    **cast(Any, {"ExclusiveStartKey": start} if start else {}),
                )
            rows = filter(None, map(_connection_of, answer["Items"]))
            found += [connection for connection in rows if expired or connection.receives(now)]
            start = answer.get("LastEvaluatedKey") or {}
            if not start:
                return found

    def record(self, connection: Connection) -> bool:
        """Writes the row of a new connection; False if it has been disconnected already."""
        try:
            with translated():
                self._client.put_item(
                    TableName=self._table,
                    Item=_item_of(connection),
                    ConditionExpression="attribute_not_exists(connection_id)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except ConditionFailed as failure:
            return failure.item == _item_of(connection)  # an earlier try, whose answer was lost
        return True

    def set_away(self, connection_id: str, *, away: bool, at: int) -> bool:
        """Notes whether a connection is away, as said at `at` (milliseconds); whether that changed it.

        It changes nothing where there is no row, or something later was said.
        """
        try:
            with translated():
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=keys.connection(connection_id),
                    UpdateExpression="SET away = :away, away_at = :at",
                    ConditionExpression=(
                        "attribute_exists(booking_code) AND (attribute_not_exists(away_at) OR away_at <= :at)"
                    ),
                    ExpressionAttributeValues={":away": {"BOOL": away}, ":at": {"N": str(at)}},
                    ReturnValues="ALL_OLD",
                )
        except ConditionFailed:
            return False
        except Contended as contended:
            raise unavailable("The database") from contended
        return _is_away(answer.get("Attributes") or {}) != away

    def remove(self, connection_id: str, now: int) -> None:
        """Deletes the row of a connection that has ended.

        Where there is none, `$disconnect` may have overtaken `$connect`: a tombstone keeps the late row out.
        """
        if self._delete(connection_id):
            return
        tombstone = {
            **keys.connection(connection_id),
            "expires_at": {"N": str(instants.to_seconds(now + TOMBSTONE_LIFE))},
        }
        try:
            with translated():
                self._client.put_item(
                    TableName=self._table, Item=tombstone, ConditionExpression="attribute_not_exists(booking_code)"
                )
        except ConditionFailed:  # the row came between the two
            self._delete(connection_id)

    def remove_gone(self, connection: Connection, now: int) -> bool:
        """Deletes the row of a connection that answered 410, unless it is younger than 30 s; whether it is gone."""
        if not connection.connected_at:
            return self._delete(connection.connection_id)
        try:
            with translated():
                self._client.delete_item(
                    TableName=self._table,
                    Key=keys.connection(connection.connection_id),
                    ConditionExpression="connected_at < :young",
                    ExpressionAttributeValues={":young": {"S": instants.to_text(now - YOUNG)}},
                )
        except ConditionFailed:
            return False
        return True

    def remove_refused(self, connection_id: str) -> None:
        """Deletes the row of a connection that must not be in the booking, however young it is."""
        self._delete(connection_id)

    def _delete(self, connection_id: str) -> bool:
        try:
            with translated():
                self._client.delete_item(
                    TableName=self._table,
                    Key=keys.connection(connection_id),
                    ConditionExpression="attribute_exists(booking_code)",
                )
        except ConditionFailed:
            return False
        return True


def _item_of(connection: Connection) -> Item:
    item: Item = {
        **keys.connection(connection.connection_id),
        "booking_code": {"S": connection.booking_code},
        "sender": {"S": connection.sender},
        "connected_at": {"S": connection.connected_at},
        "expires_at": {"N": str(connection.expires_at)},
    }
    if connection.sender_id is not None:
        item["sender_id"] = {"S": connection.sender_id}
    if connection.device_id is not None:
        item["device_id"] = {"S": connection.device_id}
    if connection.token_exp is not None:
        item["token_exp"] = {"N": str(connection.token_exp)}
    if connection.who is not None:
        item["who"] = {"S": connection.who}
    if connection.token_iat is not None:
        item["token_iat"] = {"N": str(connection.token_iat)}
    return item


def _connection_of(item: Mapping[str, Any]) -> Connection | None:
    """The connection in its row; None where that names no sender. Anything else that is wrong with a row is ignored."""
    connection_id, sender = item["connection_id"]["S"], item.get("sender", {}).get("S")
    if sender not in SENDERS:
        logger.warning("a row without a sender is not used", extra={"connection_id": connection_id})
        return None
    return Connection(
        connection_id=connection_id,
        booking_code=item["booking_code"]["S"],
        sender=sender,
        connected_at=item.get("connected_at", {}).get("S", ""),
        expires_at=_seconds(item, "expires_at", NEVER),
        sender_id=item.get("sender_id", {}).get("S"),
        device_id=item.get("device_id", {}).get("S"),
        token_exp=_seconds(item, "token_exp", 0) if "token_exp" in item else None,
        away=_is_away(item),
        who=item.get("who", {}).get("S"),
        token_iat=_seconds(item, "token_iat", 0) if "token_iat" in item else None,
    )


def _is_away(item: Mapping[str, Any]) -> bool:
    return bool(item.get("away", {}).get("BOOL"))


def _seconds(item: Mapping[str, Any], name: str, otherwise: int) -> int:
    number = item.get(name, {}).get("N")
    return otherwise if number is None else int(float(number))


def connections() -> Connections:
    """The configured connections table."""
    return Connections(dynamo.client(), settings.required("CONNECTIONS_TABLE"))
