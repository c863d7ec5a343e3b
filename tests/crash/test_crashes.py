"""A function is killed before each of its requests in turn. A retry has to lead to the same end as one success.

The same for make_call is in tests/integration/test_call_crashes.py.
"""

import itertools

from make_call.app import handler as make_call
from navietakie.aws.tables.connections import connections
from navietakie.aws.tables.messages import messages
from send_message.app import handler as send_message
from tests.crash.writes import WRITES, Write, by_rest, close_and_open, for_each, outcome, stage
from tests.fakes import invocations
from tests.worlds.wire import World
from websocket.app import handler as websocket


@for_each(*WRITES, close_and_open)
def test_a_retry_ends_where_one_success_ends(world: World, write: Write) -> None:
    stage(world, "whole")
    write(world, "whole")
    whole = outcome(world, "whole")
    for number in itertools.count():
        ride = f"killed-{number}"
        stage(world, ride)
        with world.dying_before(number) as died:
            write(world, ride)
        write(world, ride)
        assert outcome(world, ride) == whole, f"killed before request {number}"
        if not died:
            break
    assert number >= 3, "there were requests to be killed between"


def test_a_message_whose_function_died_before_the_broadcast_is_in_the_history(world: World) -> None:
    stage(world, "ride")
    before = len(world.heard["ride-passenger"])
    body = {"booking_code": "ride", "sender": "driver", "message": "Hello"}
    with world.dying_before(3) as died:  # before this: the head is read, the message stored, the connections looked up
        world.ask(send_message, invocations.rest("send_message", body))
    assert died
    assert len(world.heard["ride-passenger"]) == before
    page = messages().page("ride", now=0, ascending=True, limit=10)
    assert [message.message for message in page.messages] == ["Hi", "Hello"]


def test_a_client_whose_connect_died_comes_back_and_leaves_no_ghost(world: World) -> None:
    for number in itertools.count():
        ride = f"killed-{number}"
        stage(world, ride)
        query = {"booking_code": ride, "sender": "driver"}
        with world.dying_before(number) as died:
            world.ask(websocket, invocations.connect(f"{ride}-first", query))
        world.gone.add(f"{ride}-first")  # API Gateway closes a connection whose `$connect` failed
        assert world.ask(websocket, invocations.connect(f"{ride}-second", query))["statusCode"] == 200
        world.ahead = 60_000_000_000
        by_rest(world, ride)
        world.ahead = 0
        assert outcome(world, ride)[5] == ["-driver", "-passenger", "-second"], f"killed before request {number}"
        if not died:
            break
    assert number >= 2


def test_a_leaving_whose_disconnect_died_is_noticed_by_the_next_frame_about_the_call(world: World) -> None:
    for number in itertools.count():
        ride = f"killed-{number}"
        stage(world, ride)
        rung = invocations.rest("make_call", {"booking_code": ride, "sender": "passenger", "action": "initiate"})
        call = world.ask(make_call, rung)["call"]
        world.gone.add(f"{ride}-driver")
        with world.dying_before(number) as died:
            world.ask(websocket, invocations.disconnect(f"{ride}-driver"))
        by_rest_of_the_driver = {
            "booking_code": ride,
            "sender": "driver",
            "action": "accept",
            "call_id": call["call_id"],
        }
        world.ask(make_call, invocations.rest("make_call", by_rest_of_the_driver))
        left = [
            body["side"] for _, body in world.wire.queued if body["booking_code"] == ride and body["kind"] == "left"
        ]
        assert "driver" in left, f"killed before request {number}"
        assert f"{ride}-driver" not in {connection.connection_id for connection in connections().of_booking(ride, 0)}
        if not died:
            break
    assert number >= 4
