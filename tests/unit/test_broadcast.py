"""A broadcast keeps its promises, whatever happens to its posts and to the tables."""

import io
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from navietakie import beside
from navietakie import broadcast as module
from navietakie.aws import clients
from navietakie.aws.gateway import connections_api
from navietakie.aws.tables.connections import Connection
from navietakie.broadcast import Broadcast, all_but
from navietakie.domain import instants
from navietakie.domain.errors import unavailable
from navietakie.domain.message import Sender
from navietakie.observability import logger
from navietakie.wire.connections_api import Outcome, Post
from tests.fakes.peer import peer

NOW = 1_790_000_000 * instants.SECOND
FRAME = {"v": 1, "type": "message"}


def connection(connection_id: str, sender: Sender = "passenger") -> Connection:
    return Connection(
        connection_id=connection_id,
        booking_code="ride-1",
        sender=sender,
        connected_at=instants.to_text(NOW - instants.DAY),
        expires_at=instants.to_seconds(NOW) + 60,
    )


@dataclass
class Rows:
    """The rows of a booking. Instead of finding or deleting rows it raises `broken`, if that is set."""

    found: list[Connection] = field(default_factory=list[Connection])
    removed: list[str] = field(default_factory=list[str])
    broken: Exception | None = None
    undeletable: Exception | None = None
    looks: int = 0
    tries: int = 0

    def of_booking(self, booking_code: str, now: int, *, expired: bool = False) -> list[Connection]:
        self.looks += 1
        if self.broken:
            raise self.broken
        return [row for row in self.found if row.booking_code == booking_code]

    def remove_gone(self, connection: Connection, now: int) -> bool:
        self.tries += 1
        if self.undeletable:
            raise self.undeletable
        self.removed.append(connection.connection_id)
        return True


@dataclass
class Gateway:
    """Takes posts. `outcomes` by connection id; others are delivered."""

    outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    posted: list[list[Post]] = field(default_factory=list[list[Post]])

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        self.posted.append(list(posts))
        return [self.outcomes.get(connection_id, "delivered") for connection_id, _ in posts]

    def close(self, connection_id: str) -> None:
        raise AssertionError


DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "Query")


def test_everyone_in_the_booking_gets_the_frame() -> None:
    gateway = Gateway()
    rows = Rows([connection("a"), connection("b", "driver"), connection("c")])
    outcomes = Broadcast(rows, gateway).to_booking("ride-1", FRAME, NOW)
    assert gateway.posted == [[(name, b'{"v":1,"type":"message"}') for name in "abc"]]
    assert outcomes.delivery() == {"connections": 3, "delivered": 3, "gone": 0, "failed": 0}
    assert (outcomes.reached("driver"), outcomes.reached("passenger")) == (1, 2)


def test_only_rows_of_gone_connections_are_deleted() -> None:
    gateway = Gateway({"a": "gone", "c": "failed"})
    rows = Rows([connection("a", "driver"), connection("b"), connection("c")])
    outcomes = Broadcast(rows, gateway).to_booking("ride-1", FRAME, NOW)
    assert rows.removed == ["a"]
    assert outcomes.delivery() == {"connections": 3, "delivered": 1, "gone": 1, "failed": 1}
    assert [gone.connection_id for gone in outcomes.gone("driver")] == ["a"]
    assert outcomes.gone("passenger") == []


@pytest.mark.parametrize("failure", [unavailable("The database"), DENIED, KeyError("sender")])
def test_a_row_that_cannot_be_deleted_fails_nothing(failure: Exception) -> None:
    rows = Rows([connection("a"), connection("b"), connection("c")], undeletable=failure)
    outcomes = Broadcast(rows, Gateway({"a": "gone", "c": "gone"})).to_booking("ride-1", FRAME, NOW)
    assert outcomes.delivery() == {"connections": 3, "delivered": 1, "gone": 2, "failed": 0}
    assert rows.tries == 1, "the next broadcast tries again"


@pytest.mark.parametrize("failure", [unavailable("The database"), DENIED, KeyError("sender")])
def test_connections_that_cannot_be_found_fail_nothing(failure: Exception) -> None:
    asking = connection("asking")
    gateway = Gateway()
    outcomes = Broadcast(Rows(broken=failure), gateway).to_booking("ride-1", FRAME, NOW, answers=[(asking, {"ack": 1})])
    assert outcomes.delivery() == {"connections": 0, "delivered": 0, "gone": 0, "failed": 0, "error": "unavailable"}
    assert gateway.posted == [[("asking", b'{"ack":1}')]]


def test_connections_that_cannot_be_found_are_logged_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    logged, counted = list[Any](), list[str]()
    monkeypatch.setattr(module, "count", lambda name, value=1: counted.extend([name] * value))
    monkeypatch.setattr(logger, "error", lambda *_, extra: logged.append(extra))
    Broadcast(Rows(broken=DENIED), Gateway()).to_booking("ride-1", FRAME, NOW)
    assert logged == [{"booking_code": "ride-1", "error_type": "AccessDeniedException"}]
    assert counted == ["Failures"]


def test_deliveries_are_counted_by_what_came_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = dict[str, int]()
    monkeypatch.setattr(module, "count", lambda name, value=1: counted.update({name: value}))
    rows = [connection(f"c{number}") for number in range(6)]
    gateway = Gateway({"c0": "gone", "c1": "failed", "c2": "failed"})
    Broadcast(Rows(rows), gateway).to_booking("ride-1", FRAME, NOW)
    assert counted == {"Deliveries": 3, "DeliveriesGone": 1, "DeliveriesFailed": 2}


def test_after_the_deadline_nobody_is_looked_up_and_the_answer_is_posted_all_the_same() -> None:
    asking = connection("asking")
    gateway = Gateway()
    broadcast = Broadcast(Rows([asking, connection("other")]), gateway, deadline=time.monotonic())
    outcomes = broadcast.to_booking("ride-1", FRAME, NOW, answers=[(asking, {"ack": 1})])
    assert outcomes.delivery() == {"connections": 0, "delivered": 0, "gone": 0, "failed": 0, "error": "unavailable"}
    assert gateway.posted == [[("asking", b'{"ack":1}')]]


def test_the_senders_answer_replaces_the_frame_and_does_not_count() -> None:
    asking, other = connection("asking", "driver"), connection("other")
    gateway = Gateway({"asking": "gone"})
    rows = Rows([asking, other])
    outcomes = Broadcast(rows, gateway).to_booking("ride-1", FRAME, NOW, answers=[(asking, {"ack": 1})])
    [posted] = gateway.posted
    assert [(name, json.loads(body)) for name, body in posted] == [("asking", {"ack": 1}), ("other", FRAME)]
    assert outcomes.delivery() == {"connections": 1, "delivered": 1, "gone": 0, "failed": 0}
    assert rows.removed == ["asking"]


def test_a_second_frame_goes_out_in_the_same_batch_and_does_not_count_in_the_delivery() -> None:
    gateway = Gateway({"b": "gone"})
    rows = Rows([connection("a", "driver"), connection("b")])
    delivery = Broadcast(rows, gateway).to_booking("ride-1", b"call", NOW, to=all_but("a"), then=FRAME)
    message = b'{"v":1,"type":"message"}'
    assert gateway.posted == [[("b", b"call"), ("a", message), ("b", message)]]
    assert delivery.delivery() == {"connections": 1, "delivered": 0, "gone": 1, "failed": 0}
    assert (rows.looks, rows.removed) == (1, ["b"])


def test_an_excluded_connection_gets_nothing() -> None:
    gateway = Gateway()
    rows = Rows([connection("a"), connection("b")])
    Broadcast(rows, gateway).to_booking("ride-1", FRAME, NOW, to=all_but("a"))
    assert [name for name, _ in gateway.posted[0]] == ["b"]


def test_only_a_connection_of_the_senders_own_side_can_be_excluded() -> None:
    gateway = Gateway()
    rows = Rows([connection("a", "driver"), connection("b", "passenger")])
    for excluded in ("a", "b"):
        Broadcast(rows, gateway).to_booking("ride-1", FRAME, NOW, to=all_but(excluded, of="driver"))
    assert [[name for name, _ in posts] for posts in gateway.posted] == [["b"], ["a", "b"]]


def test_a_frame_can_go_to_one_connection_alone() -> None:
    gateway = Gateway({"b": "gone"})
    rows = Rows([connection("a"), connection("b")])
    broadcast = Broadcast(rows, gateway)
    assert broadcast.to_connection(connection("a"), FRAME, NOW) == "delivered"
    assert broadcast.to_connection(connection("b"), FRAME, NOW) == "gone"
    assert rows.removed == ["b"]


def test_connections_that_were_gathered_are_not_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", math.inf)
    rows, gateway = Rows([connection("a")]), Gateway()
    broadcast = Broadcast(rows, gateway)
    broadcast.gather("ride-1", NOW)
    assert broadcast.to_booking("ride-1", FRAME, NOW).count_of("delivered") == 1
    assert rows.looks == 1
    assert broadcast.to_booking("ride-1", FRAME, NOW).count_of("delivered") == 1
    assert rows.looks == 2, "they serve one broadcast"


def test_connections_that_were_gathered_too_long_ago_are_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", -1.0)
    rows, gateway = Rows([]), Gateway()
    broadcast = Broadcast(rows, gateway)
    broadcast.gather("ride-1", NOW)
    beside.settle()
    rows.found.append(connection("meanwhile"))
    assert broadcast.to_booking("ride-1", FRAME, NOW).count_of("delivered") == 1


@pytest.mark.parametrize(("milliseconds", "looks"), [(0, 1), (50, 1), (51, 2), (1_000, 2)])
def test_connections_that_were_gathered_are_good_for_fifty_milliseconds(
    monkeypatch: pytest.MonkeyPatch, milliseconds: int, looks: int
) -> None:
    rows = Rows([connection("a")])
    broadcast = Broadcast(rows, Gateway())
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    broadcast.gather("ride-1", NOW)
    beside.settle()
    monkeypatch.setattr(time, "monotonic", lambda: milliseconds / 1_000)
    assert broadcast.to_booking("ride-1", FRAME, NOW).count_of("delivered") == 1
    assert rows.looks == looks


def test_at_the_deadline_it_is_too_late_to_gather_or_to_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    rows = Rows([connection("a")])
    broadcast = Broadcast(rows, Gateway(), deadline=5.0)
    broadcast.gather("ride-1", NOW)
    beside.settle()
    assert not broadcast.to_booking("ride-1", FRAME, NOW).complete
    assert rows.looks == 0


def test_connections_of_another_booking_are_not_taken_for_this_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", math.inf)
    broadcast = Broadcast(Rows([connection("a")]), Gateway())
    broadcast.gather("ride-2", NOW)
    assert broadcast.to_booking("ride-1", FRAME, NOW).count_of("delivered") == 1


def test_connections_that_cannot_be_gathered_fail_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", math.inf)
    asking, gateway = connection("asking"), Gateway()
    broadcast = Broadcast(Rows(broken=unavailable("The database")), gateway)
    broadcast.gather("ride-1", NOW)
    delivery = broadcast.to_booking("ride-1", FRAME, NOW, answers=[(asking, {"ack": 1})])
    assert delivery.delivery() == {"connections": 0, "delivered": 0, "gone": 0, "failed": 0, "error": "unavailable"}
    assert gateway.posted == [[("asking", b'{"ack":1}')]]


def test_after_the_deadline_nobody_is_gathered() -> None:
    rows = Rows([connection("a")])
    Broadcast(rows, Gateway(), deadline=time.monotonic()).gather("ride-1", NOW)
    beside.settle()
    assert rows.looks == 0


class Credentials:
    """Credentials as botocore finds them. A refresh raises `failure`, if that is set."""

    def __init__(self, access_key: str | None = "AKID", failure: Exception | None = None) -> None:
        self.access_key, self.secret_key, self.token = access_key, "secret", "token"
        self.failure = failure

    def get_frozen_credentials(self) -> "Credentials":
        if self.failure:
            raise self.failure
        return self


class Session:
    def __init__(self, credentials: Credentials | None) -> None:
        self.credentials = credentials

    def get_credentials(self) -> Credentials | None:
        return self.credentials


def test_the_functions_own_credentials_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "session", lambda: Session(Credentials()))
    with peer() as server:
        assert connections_api.__wrapped__(f"http://127.0.0.1:{server.port}/s").post([("a", b"{}")]) == ["delivered"]
    sent = server.asked[0].headers
    assert "Credential=AKID/" in sent["authorization"]
    assert sent["x-amz-security-token"] == "token"


@pytest.mark.parametrize(
    "credentials", [None, Credentials(access_key=None), Credentials(failure=RuntimeError("still expired"))]
)
def test_missing_credentials_fail_posts_and_raise_nothing(
    monkeypatch: pytest.MonkeyPatch, credentials: Credentials | None
) -> None:
    monkeypatch.setattr(clients, "session", lambda: Session(credentials))
    log = io.StringIO()
    monkeypatch.setattr(logger.handlers[0], "stream", log)
    with peer() as server:
        assert connections_api.__wrapped__(f"http://127.0.0.1:{server.port}/s").post([("a", b"{}")]) == ["failed"]
    assert server.asked == []
    assert "nothing was posted: The function" in log.getvalue()
    assert "credentials" in log.getvalue()
