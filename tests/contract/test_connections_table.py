"""What the table of connections promises: the DynamoDB adapter, on moto and on the DynamoDB in memory."""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from navietakie.aws.tables import dynamo
from navietakie.aws.tables.connections import (
    CONNECTION_LIFE,
    NEVER,
    TOMBSTONE_LIFE,
    YOUNG,
    Connection,
    Connections,
)
from navietakie.domain import instants
from navietakie.domain.errors import Refusal
from tests.fakes import tables
from tests.fakes.wire import wired

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
TABLE = tables.NAMES["connections"]
ROW = Connection("c1", "test", "driver", instants.to_text(NOW), instants.to_seconds(NOW) + 7_800)
NAMED = replace(ROW, sender_id="d-7", device_id="phone", token_exp=2**33, who="abc", token_iat=2**30)


@pytest.fixture(params=["moto", "fake"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    if request.param == "fake":
        with wired(monkeypatch):
            client = dynamo.client()
            tables.create(client)
            yield client
    else:
        yield request.getfixturevalue("moto")


@pytest.fixture
def store(client: Any) -> Connections:
    return Connections(client, TABLE)


def item(client: Any, connection_id: str = "c1") -> Any:
    return client.get_item(TableName=TABLE, Key={"connection_id": {"S": connection_id}}, ConsistentRead=True).get(
        "Item"
    )


def ids(store: Connections, now: int = NOW, **how: Any) -> list[str]:
    return sorted(connection.connection_id for connection in store.of_booking("test", now, **how))


@pytest.mark.parametrize("row", [ROW, NAMED])
def test_a_connection_comes_back_as_it_was_recorded(store: Connections, row: Connection) -> None:
    assert store.get("c1") is None
    assert store.record(row)
    assert store.get("c1") == row
    assert store.of_booking("test", NOW) == [row]


def test_a_second_try_to_record_the_same_row_succeeds_and_another_row_does_not(store: Connections) -> None:
    assert store.record(ROW)
    assert store.record(ROW)
    assert not store.record(replace(ROW, sender="passenger"))
    assert store.get("c1") == ROW


def test_a_connection_that_ended_before_it_was_recorded_stays_out_for_ten_minutes(
    client: Any, store: Connections
) -> None:
    store.remove("c1", NOW)
    tombstone = {"connection_id": {"S": "c1"}, "expires_at": {"N": str(instants.to_seconds(NOW) + 600)}}
    assert item(client) == tombstone
    assert not store.record(ROW)
    assert store.get("c1") is None
    store.remove_refused("c1")
    store.remove("c1", NOW)
    assert item(client) == tombstone


def test_a_row_lives_two_hours_and_ten_minutes() -> None:
    assert CONNECTION_LIFE == (2 * 3_600 + 10 * 60) * instants.SECOND


def test_a_row_that_comes_while_its_connection_is_removed_is_removed_too(
    client: Any, store: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, came = client.delete_item, list[bool]()

    def late(**how: Any) -> Any:
        try:
            return delete(**how)
        finally:
            came or came.append(store.record(ROW))

    monkeypatch.setattr(client, "delete_item", late)
    store.remove("c1", NOW)
    assert came == [True]
    assert item(client) is None


def test_a_removed_row_leaves_nothing(client: Any, store: Connections) -> None:
    store.record(ROW)
    store.remove("c1", NOW)
    assert item(client) is None


def test_taking_a_row_back_deletes_it_whatever_its_age(client: Any, store: Connections) -> None:
    store.record(ROW)
    store.remove_refused("c1")
    assert item(client) is None


def test_a_gone_connection_loses_its_row_once_that_is_older_than_30_seconds(store: Connections) -> None:
    store.record(ROW)
    assert store.remove_gone(ROW, NOW + 30 * instants.SECOND) is False
    assert store.get("c1") == ROW
    assert store.remove_gone(ROW, NOW + 30 * instants.SECOND + 1)
    assert store.get("c1") is None
    assert not store.remove_gone(ROW, NOW + 30 * instants.SECOND + 1)


def test_a_gone_row_that_does_not_say_how_old_it_is_goes_at_once(client: Any, store: Connections) -> None:
    client.put_item(
        TableName=TABLE, Item={"connection_id": {"S": "c1"}, "booking_code": {"S": "test"}, "sender": {"S": "driver"}}
    )
    (row,) = store.of_booking("test", NOW)
    assert (row.connected_at, row.expires_at) == ("", NEVER)
    assert store.remove_gone(row, NOW)
    assert store.of_booking("test", NOW) == []
    assert store.remove_gone(row, NOW) is False


@pytest.mark.parametrize("broken", [{"S": "soon"}, {"BOOL": True}])
def test_a_row_whose_token_does_not_say_when_belongs_to_one_that_has_expired(
    client: Any, store: Connections, broken: Any
) -> None:
    row = {"connection_id": {"S": "c1"}, "booking_code": {"S": "test"}, "sender": {"S": "driver"}}
    client.put_item(TableName=TABLE, Item=row | {"token_exp": broken, "token_iat": broken})
    found = store.get("c1")
    assert found
    assert (found.token_exp, found.token_iat) == (0, 0)


@pytest.mark.parametrize(
    ("connected_at", "token_exp", "iat"),
    [("", None, None), ("yesterday", None, None), (instants.to_text(NOW), None, instants.to_seconds(NOW)), ("", 5, 7)],
)
def test_without_a_token_a_connection_counts_as_issued_when_it_came(
    connected_at: str, token_exp: int | None, iat: int | None
) -> None:
    assert replace(ROW, connected_at=connected_at, token_exp=token_exp, token_iat=7).iat == iat


def test_a_row_that_was_just_written_is_found_and_one_of_somebody_else_is_not(client: Any, store: Connections) -> None:
    assert store.get_maybe_stale("c1") is None
    store.record(ROW)
    assert store.get_maybe_stale("c1") == ROW
    client.put_item(TableName=TABLE, Item={"connection_id": {"S": "c2"}, "note": {"S": "a tombstone"}})
    assert store.get_maybe_stale("c2") is None


def test_a_row_that_is_there_is_read_once_for_half_the_price(client: Any, store: Connections) -> None:
    store.record(ROW)
    asked = list[bool]()

    class Recording:
        def get_item(self, **request: Any) -> Any:
            asked.append(request["ConsistentRead"])
            return client.get_item(**request)

    assert Connections(Recording(), TABLE).get_maybe_stale("c1") == ROW  # type: ignore[arg-type]
    assert asked == [False]


def test_a_row_that_a_transaction_holds_cannot_be_marked_as_away() -> None:
    class Busy:
        def update_item(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "TransactionConflictException"}}, "UpdateItem")

    with pytest.raises(Refusal) as refused:
        Connections(Busy(), TABLE).set_away("c1", away=True, at=1)  # type: ignore[arg-type]
    assert refused.value.code == "unavailable"


def test_of_two_away_frames_the_later_sent_counts_and_a_change_is_reported(store: Connections) -> None:
    store.record(ROW)
    assert store.set_away("c1", away=True, at=5)
    assert store.get("c1") == replace(ROW, away=True)
    assert store.set_away("c1", away=True, at=6) is False
    assert store.set_away("c1", away=False, at=5) is False
    assert store.get("c1") == replace(ROW, away=True)
    assert store.set_away("c1", away=False, at=6)
    assert store.get("c1") == ROW


def test_a_connection_without_a_row_cannot_be_away(client: Any, store: Connections) -> None:
    assert store.set_away("c1", away=True, at=5) is False
    assert item(client) is None
    store.remove("c1", NOW)
    assert store.set_away("c1", away=True, at=5) is False


def test_a_booking_has_its_own_connections_that_may_receive(store: Connections) -> None:
    second = instants.to_seconds(NOW)
    store.record(ROW)
    store.record(replace(ROW, connection_id="elsewhere", booking_code="other"))
    store.record(replace(ROW, connection_id="expired", expires_at=second))
    store.record(replace(ROW, connection_id="until now", token_exp=second))
    store.record(replace(ROW, connection_id="for a second", token_exp=second + 1))
    assert ids(store) == ["c1", "for a second"]
    assert ids(store, expired=True) == ["c1", "expired", "for a second", "until now"]


def test_a_row_lives_ten_minutes_longer_than_a_connection_can() -> None:
    assert (CONNECTION_LIFE, TOMBSTONE_LIFE, YOUNG) == (7_800_000_000, 600_000_000, 30_000_000)


def test_every_page_of_the_index_is_read_from_where_the_last_one_ended() -> None:
    asked = list[Any]()
    pages: list[Any] = [{"Items": [], "LastEvaluatedKey": {"page": 1}}, {"Items": [], "LastEvaluatedKey": {}}]

    class Client:
        def query(self, **how: Any) -> Any:
            asked.append(how.get("ExclusiveStartKey"))
            return pages.pop(0)

    client: Any = Client()
    assert Connections(client, TABLE).of_booking("test", NOW) == []
    assert asked == [None, {"page": 1}]
