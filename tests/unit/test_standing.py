"""The standing of a booking, which is read from two tables and an index at once."""

import time
from typing import Any, cast

import pytest

from navietakie.aws.tables.calls import Calls
from navietakie.aws.tables.connections import Connection, Connections
from navietakie.aws.tables.messages import Messages
from navietakie.domain import instants
from navietakie.domain.errors import Refusal
from navietakie.doors.requests import SocketRequest, party_of
from navietakie.doors.standing import standing

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
DRIVER = Connection("d1", "test", "driver", instants.to_text(NOW), 2**40, token_exp=2**40, token_iat=1)
PASSENGER = {"connection_id": {"S": "p1"}, "booking_code": {"S": "test"}, "sender": {"S": "passenger"}}
EXPIRED = {
    "connection_id": {"S": "a1"},
    "booking_code": {"S": "test"},
    "sender": {"S": "agent"},
    "expires_at": {"N": "1"},
}
HEAD = {"booking_code": {"S": "test"}, "timestamp": {"S": "#head"}, "seq": {"N": "7"}}
LEFT = {"calls": {"Keys": [{"booking_code": {"S": "test"}, "timestamp": {"S": "#live"}}]}}


class Database:
    """A table that returns `heads` one after the other, each with the keys that it has left out."""

    def __init__(self, *heads: tuple[dict[str, Any], dict[str, Any]]) -> None:
        self.heads = list(heads)

    def batch_get_item(self, **asked: Any) -> Any:
        assert all(wanted["ConsistentRead"] for wanted in asked["RequestItems"].values())
        head, left = self.heads.pop(0)
        return {"Responses": {"messages": [head]}, "UnprocessedKeys": left}

    def query(self, **_: Any) -> Any:
        return {"Items": [PASSENGER, EXPIRED]}


def read(database: Database, seconds: float = 5.0) -> Any:
    client = cast(Any, database)
    request = SocketRequest(DRIVER, party_of(DRIVER, {}), {}, None, NOW, time.monotonic() + seconds, {})
    return standing(request, Calls(client, "calls", Messages(client, "messages")), Connections(client, "connections"))


def test_pong_and_sync_tell_presence_receipts_and_whether_the_booking_is_open() -> None:
    found = read(Database((HEAD | {"passenger_read": {"N": "5"}}, {})))
    assert (found.head.seq, found.call) == (7, None)
    assert found.fields_for(DRIVER, NOW) == {
        "presence": {"driver": True, "passenger": True, "agent": False},
        "receipts": {"driver": {"delivered": 0, "read": 0}, "passenger": {"delivered": 5, "read": 5}},
        "booking": {"closed_at": None, "muted": []},
    }


def test_rows_that_have_expired_are_found_and_are_nobodys_presence() -> None:
    """The row of a connection that did not end properly says that somebody was there."""
    found = read(Database((HEAD, {})))
    assert [row.connection_id for row in found.rows] == ["p1", "a1"]
    assert not found.fields_for(DRIVER, NOW)["presence"]["agent"]


def test_keys_that_dynamodb_left_out_are_read_again() -> None:
    database = Database((HEAD, LEFT), (HEAD | {"seq": {"N": "8"}}, {}))
    assert read(database).head.seq == 8


def test_keys_that_dynamodb_leaves_out_until_the_deadline_are_unavailable() -> None:
    with pytest.raises(Refusal) as refused:
        read(Database(*[(HEAD, LEFT)] * 1_000), seconds=0.05)
    assert refused.value.code == "unavailable"


def test_a_revoked_token_is_told_nothing() -> None:
    with pytest.raises(Refusal) as refused:
        read(Database((HEAD | {"driver_revoked_at": {"S": instants.to_text(NOW)}}, {})))
    assert refused.value.code == "unauthorized"
