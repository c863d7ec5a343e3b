"""The answer to each request in turn gets lost. Everything has to end as if it had come."""

import itertools
from collections.abc import Generator

import pytest

from navietakie.aws.tables.calls import calls
from navietakie.aws.tables.connections import connections
from navietakie.aws.tables.messages import messages
from send_message.app import handler as send_message
from tests.crash.writes import WRITES, Write, for_each, outcome, stage, take_step
from tests.fakes import invocations
from tests.fakes.wire import conflict
from tests.worlds.wire import World, over_http
from websocket.app import handler as websocket


@pytest.fixture(params=["timed out", "reset"])
def world(world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Generator[World]:
    if request.param == "timed out":
        yield world
    else:
        with over_http(world.wire, monkeypatch):
            yield world


@for_each(*WRITES)
def test_a_retry_finds_what_was_written_although_the_answer_was_lost(world: World, write: Write) -> None:
    stage(world, "whole")
    write(world, "whole")
    whole = outcome(world, "whole")
    for number in itertools.count():
        ride = f"lost-{number}"
        stage(world, ride)
        with world.losing_the_answer(number) as lost:
            write(world, ride)
        assert outcome(world, ride) == whole, lost
        if not lost:
            break
    assert number >= 3, "there were answers to be lost"


def test_a_conflict_after_a_lost_answer_stores_no_second_message(world: World) -> None:
    stage(world, "ride")
    body = {"booking_code": "ride", "sender": "driver", "message": "Hello"}
    with world.losing_the_answer(0, of="dynamodb.TransactWriteItems", then=conflict) as lost:
        answer = world.ask(send_message, invocations.rest("send_message", body))
    assert [request.name for request in lost] == ["dynamodb.TransactWriteItems"]
    assert (answer["message"]["seq"], answer["duplicate"]) == (2, False)
    assert messages().head("ride").seq == 2


def test_a_connect_whose_answer_was_lost_is_let_in(world: World) -> None:
    for number in itertools.count():
        query = {"booking_code": f"lost-{number}", "sender": "driver"}
        with world.losing_the_answer(number) as lost:
            answer = world.ask(websocket, invocations.connect(f"line-{number}", query))
        assert answer["statusCode"] == 200, lost
        assert [connection.connection_id for connection in connections().of_booking(f"lost-{number}", 0)] == [
            f"line-{number}"
        ]
        if not lost:
            break
    assert number >= 2


def test_a_disconnect_during_a_call_is_noticed_although_an_answer_was_lost(world: World) -> None:
    for number in itertools.count():
        ride = f"lost-{number}"
        stage(world, ride)
        take_step(world, ride, "passenger", "initiate")
        world.heard.clear()
        with world.losing_the_answer(number) as lost:
            world.ask(websocket, invocations.disconnect(f"{ride}-driver"))
        online = [frame["online"] for frame in world.heard[f"{ride}-passenger"]]
        timers = [timer for _, timer in world.wire.queued if timer["booking_code"] == ride]
        left = [timer["side"] for timer in timers if timer["kind"] == "left"]
        assert online == [False], lost
        assert "driver" in left, lost
        if not lost:
            break
    assert number >= 4


@pytest.mark.parametrize(
    "acts",
    [
        ["driver initiate"],
        ["driver initiate", "passenger accept"],
        ["driver initiate", "passenger initiate"],
        ["driver initiate", "passenger reject"],
        ["driver initiate", "driver end"],
        ["driver initiate", "passenger accept", "driver end"],
    ],
    ids=lambda acts: acts[-1] if len(acts) < 3 else "hang up",
)
def test_a_call_takes_each_step_once(world: World, acts: list[str]) -> None:
    for number in itertools.count():
        ride = f"lost-{number}"
        stage(world, ride)
        for act in acts[:-1]:
            take_step(world, ride, *act.split())
        with world.losing_the_answer(number) as lost:
            take_step(world, ride, *acts[-1].split())
        call = calls().latest(ride)
        assert call is not None
        assert call.version == len(acts), lost
        assert messages().head(ride).seq == (2 if call.state == "ended" else 1), lost
        if not lost:
            break
    assert number >= 3
