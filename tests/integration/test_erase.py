"""Erases bookings from moto's tables, beside the functions' real handlers."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from clients import command, erase
from clients.erase import Stored
from get_message.app import handler as get_message
from make_call.app import handler as make_call
from navietakie.aws.tables import keys
from navietakie.domain.errors import Refusal
from send_message.app import handler as send_message
from tests.fakes import tables
from tests.worlds.moto import World, fail

CLOSE = {"sender": "system", "message_type": "system", "metadata": {"event": "booking_closed"}}
BUCKET = "navietakie-attachments-test"
SECRET = "meet me at the harbour"


def say(world: World, booking: str = "test", **fields: Any) -> None:
    body = {"booking_code": booking, "sender": "driver", "message": SECRET, **fields}
    status, answer, _ = world.rest(send_message, "POST", "/api/v1/send_message", body)
    assert status == 201, answer


def call(world: World, action: str, call_id: str | None = None) -> str:
    body = {"booking_code": "test", "sender": "driver", "action": action} | ({"call_id": call_id} if call_id else {})
    status, answer, _ = world.rest(make_call, "POST", "/api/v1/make_call", body)
    assert status == 200, answer
    return answer["call"]["call_id"]


def ride(world: World, booking: str = "test") -> None:
    """Makes a booking with all kinds of items: messages, a marker, the head."""
    say(world, booking, client_message_id="m1")
    say(world, booking)


def history(world: World) -> Any:
    return world.rest(get_message, "GET", "/api/v1/get_message", query={"booking_code": "test"})[1]


def left(world: World, booking: str = "test") -> Counter[str]:
    """How many items of a booking each table has."""
    kept = {name: [row for row in world.rows(name) if row["booking_code"]["S"] == booking] for name in tables.NAMES}
    return Counter({name: len(rows) for name, rows in kept.items()})


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    def run(**variables: str) -> None:
        with monkeypatch.context() as patch:
            for name in ("YES", "FORCE"):
                patch.delenv(name, raising=False)
            patch.setattr(command, "ENVIRONMENTS", (*command.ENVIRONMENTS, "test"))  # moto's tables have this name
            for name, value in {"BOOKING": "test", "ENV": "test", **variables}.items():
                patch.setenv(name, value)
            if variables.get("ENV", "test") == "test":
                patch.setattr(erase, "outputs_of", lambda *_: {"AttachmentsBucket": BUCKET})
                boto3.client("s3").create_bucket(Bucket=BUCKET)
            erase.main(home=tmp_path)

    return run


class Client:
    """DynamoDB's client. A test decides what happens to each BatchWriteItem."""

    def __init__(self, batch_write_item: Callable[[Any, dict[str, Any]], Any]) -> None:
        self._client: Any = boto3.client("dynamodb")
        self._batch_write_item = batch_write_item
        self.requests = Counter[str]()
        self._client.meta.events.register("before-call.dynamodb", self._count)

    def _count(self, model: Any, **_: Any) -> None:
        self.requests[model.name] += 1

    def batch_write_item(self, RequestItems: dict[str, Any]) -> Any:  # noqa: N803
        return self._batch_write_item(self._client, RequestItems)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def write_all(client: Any, requests: dict[str, Any]) -> Any:
    return client.batch_write_item(RequestItems=requests)


def write_none(client: Any, requests: dict[str, Any]) -> Any:
    return {"UnprocessedItems": requests}


def erased(client: Any) -> tuple[int, list[tuple[int, int]]]:
    """Erases the booking `test`. Returns how many items, and the progress that was reported."""
    told: list[tuple[int, int]] = []
    stored = Stored(client, "test", "test")
    found = stored.find(time.time_ns() // 1_000)
    return stored.erase(found, lambda done, total: told.append((done, total))), told


def test_a_dry_run_counts_and_erases_nothing(
    world: World, run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    ride(world)
    call(world, "end", call(world, "initiate"))
    before = left(world)
    capsys.readouterr()  # drop what the functions have printed
    run()
    printed = capsys.readouterr().out
    counts = [line.split(maxsplit=1) for line in printed.splitlines()[1:5]]
    assert counts == [["3", "messages"], ["2", "items of bookkeeping"], ["2", "items of calls"], ["0", "connections"]]
    assert left(world) == before == {"messages": 5, "calls": 2, "connections": 0}
    assert "YES=1" in printed


def test_after_the_erasure_nothing_of_the_booking_is_stored(
    world: World, run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    ride(world)
    ride(world, "another")
    call(world, "end", call(world, "initiate"))
    say(world, **CLOSE)
    world.connect("d1", "driver")
    world.connect("p1", "passenger", expires_at={"N": "1"})
    world.connect("d2", "driver", "another")
    epoch = history(world)["epoch"]
    run(YES="1")
    assert not left(world).total()
    assert left(world, "another") == {"messages": 4, "calls": 0, "connections": 1}
    page = history(world)
    assert (page["messages"], page["head_seq"], page["epoch"]) == ([], 0, None)
    printed = capsys.readouterr()
    assert "Erased: 10 items" in printed.out
    assert SECRET not in printed.out + printed.err

    say(world)
    page = history(world)
    assert [message["seq"] for message in page["messages"]] == [1]
    assert page["epoch"] != epoch
    run(YES="1", BOOKING="nobody")
    assert "nothing to erase" in capsys.readouterr().out


def test_its_attachments_go_and_those_of_others_stay(
    world: World, run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    ride(world)
    files: Any = boto3.client("s3")
    files.create_bucket(Bucket=BUCKET)
    ours = ["upload/test/driver/a", "kept/test/a", "kept/test/b"]
    others = ["upload/test2/driver/a", "kept/tes/a", "kept/another/test/a"]
    for key in (*ours, *others):
        files.put_object(Bucket=BUCKET, Key=key, Body=b"photo")
    run()
    assert "3 attachments" in capsys.readouterr().out
    run(YES="1")
    assert "Erased: 3 attachments" in capsys.readouterr().out
    assert [it["Key"] for it in files.list_objects_v2(Bucket=BUCKET)["Contents"]] == sorted(others)


def test_a_booking_in_use_is_erased_only_with_force(world: World, run: Callable[..., None]) -> None:
    ride(world)
    world.connect("d1", "driver")
    before = left(world)
    with pytest.raises(SystemExit, match="not closed"):
        run(YES="1")
    world.dynamodb.delete_item(TableName=tables.NAMES["connections"], Key=keys.connection("d1"))
    call(world, "initiate")
    with pytest.raises(SystemExit, match="A call is going on"):
        run(YES="1")
    assert left(world) == before + Counter(calls=1) - Counter(connections=1)
    run(YES="1", FORCE="1")
    assert not left(world).total()


def test_an_expired_connection_does_not_count(world: World, run: Callable[..., None]) -> None:
    ride(world)
    world.connect("d1", "driver", expires_at={"N": "1"})
    run(YES="1")
    assert not left(world).total()


def test_somebody_at_a_terminal_types_the_booking_code(
    world: World, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ride(world)
    typed = iter(["yes\n", "test\n"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: next(typed), raising=False)
    run()
    assert left(world) == {"messages": 4, "calls": 0, "connections": 0}
    run()
    assert not left(world).total()


def test_it_goes_through_every_page_and_never_scans(world: World) -> None:
    ride(world)
    for number in range(120):
        item = {**keys.in_booking("test", f"2026-11-22T07:46:53.{number:06}Z"), "message": {"S": "x" * 20_000}}
        world.dynamodb.put_item(TableName=tables.NAMES["messages"], Item=item)
    client = Client(write_all)
    count, told = erased(client)
    assert count == 124
    assert told[-1] == (123, 123)
    assert not left(world).total()
    assert client.requests["Query"] > 4  # one for each table, and one for who is connected
    assert set(client.requests) == {"GetItem", "Query", "BatchWriteItem", "DeleteItem"}


def test_keys_that_dynamodb_leaves_unprocessed_are_sent_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("clients.erase.time.sleep", pauses.append)
    for _ in range(10):
        say(world, client_message_id=str(len(world.rows("messages"))))

    def write_two(client: Any, requests: dict[str, Any]) -> Any:
        ((table, those),) = requests.items()
        client.batch_write_item(RequestItems={table: those[:2]})
        return {"UnprocessedItems": {table: those[2:]} if those[2:] else {}}

    count, told = erased(Client(write_two))
    assert count == 21
    assert told == [(done, 20) for done in range(2, 21, 2)]
    assert len(pauses) == 9
    assert not left(world).total()


def test_it_gives_up_if_nothing_is_deleted_and_can_be_run_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clients.erase.time.sleep", lambda _: None)
    ride(world)
    with pytest.raises(Refusal, match="Run it again"):
        erased(Client(write_none))
    assert left(world)["messages"] == 4
    erased(Client(write_all))
    assert not left(world).total()


def test_stopped_half_way_it_goes_on_where_it_was(
    world: World, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ride(world)
    with monkeypatch.context() as patch:
        fail(patch, "DeleteItem", "ThrottlingException")
        with pytest.raises(SystemExit, match="Run it again"):
            run(YES="1")
    (head,) = world.rows("messages")
    assert head["timestamp"]["S"] == keys.HEAD
    run(YES="1")
    assert not left(world).total()


def test_a_message_that_is_stored_meanwhile_goes_too(world: World) -> None:
    ride(world)
    late = iter([True])

    def write(client: Any, requests: dict[str, Any]) -> Any:
        if next(late, False):
            say(world, client_message_id="late")
        return client.batch_write_item(RequestItems=requests)

    count, told = erased(Client(write))
    assert count == 6
    assert told == [(3, 3), (5, 5)]
    assert not left(world).total()


def test_a_history_that_began_anew_under_the_same_seq_is_not_left_without_its_head(world: World) -> None:
    say(world)
    late = iter([True])

    def write(client: Any, requests: dict[str, Any]) -> Any:
        answer = client.batch_write_item(RequestItems=requests)
        if next(late, False):  # somebody else erases the head, and a new history begins
            client.delete_item(TableName=tables.NAMES["messages"], Key=keys.in_booking("test", keys.HEAD))
            say(world)
        return answer

    erased(Client(write))
    assert not left(world).total()


def test_it_gives_up_if_somebody_goes_on_writing(world: World) -> None:
    ride(world)

    def write(client: Any, requests: dict[str, Any]) -> Any:
        say(world)
        return client.batch_write_item(RequestItems=requests)

    with pytest.raises(Refusal, match="goes on writing"):
        erased(Client(write))
    seqs = [message["seq"] for message in history(world)["messages"]]
    assert seqs == [history(world)["head_seq"]]


def test_a_missing_booking_code_is_reported(run: Callable[..., None]) -> None:
    with pytest.raises(SystemExit, match=r"^BOOKING is missing\nUsage"):
        run(BOOKING="")


@pytest.mark.parametrize("booking", ["a#b", "../x"])
def test_an_invalid_booking_code_is_refused(world: World, run: Callable[..., None], booking: str) -> None:
    with pytest.raises(SystemExit, match=r"booking: .*\nUsage"):
        run(BOOKING=booking)


def test_a_local_stack_that_is_not_running_is_reported(run: Callable[..., None]) -> None:
    with pytest.raises(SystemExit, match="make run"):
        run(ENV="local")


def test_a_missing_table_is_reported(run: Callable[..., None]) -> None:
    with pytest.raises(SystemExit, match="database is not available"):
        run(ENV="staging")
