"""A function killed before each of its requests in turn: the retry ends where one success ends.

make_call's deaths are in tests/integration/test_call_crashes.py.
"""

import itertools

from make_call.app import handler as make_call
from navietakie.aws.tables.connections import connections
from navietakie.aws.tables.messages import messages
from send_message.app import handler as send_message
from tests.crash.conftest import Ground
from tests.crash.writes import WRITES, Write, by_rest, close_and_open, for_each, outcome, stage
from tests.fakes import invocations
from websocket.app import handler as websocket


@for_each(*WRITES, close_and_open)
def test_a_retry_ends_where_one_success_ends(ground: Ground, write: Write) -> None:
    stage(ground, "whole")
    write(ground, "whole")
    whole = outcome(ground, "whole")
    for number in itertools.count():
        ride = f"killed-{number}"
        stage(ground, ride)
        with ground.dying_before(number) as died:
            write(ground, ride)
        write(ground, ride)
        assert outcome(ground, ride) == whole, f"killed before request {number}"
        if not died:
            break
    assert number >= 3, "there were requests to be killed between"


def test_a_message_whose_function_died_before_telling_of_it_is_in_the_history(ground: Ground) -> None:
    stage(ground, "ride")
    before = len(ground.heard["ride-passenger"])
    body = {"booking_code": "ride", "sender": "driver", "message": "Hello"}
    with ground.dying_before(2) as died:  # the head is read, the message is stored
        ground.ask(send_message, invocations.rest("send_message", body))
    assert died
    assert len(ground.heard["ride-passenger"]) == before
    page = messages().page("ride", now=0, ascending=True, limit=10)
    assert [message.message for message in page.messages] == ["Hi", "Hello"]


def test_a_client_whose_connect_died_comes_back_and_leaves_no_ghost(ground: Ground) -> None:
    for number in itertools.count():
        ride = f"killed-{number}"
        stage(ground, ride)
        query = {"booking_code": ride, "sender": "driver"}
        with ground.dying_before(number) as died:
            ground.ask(websocket, invocations.connect(f"{ride}-first", query))
        ground.gone.add(f"{ride}-first")  # API Gateway lets nobody in whose `$connect` failed
        assert ground.ask(websocket, invocations.connect(f"{ride}-second", query))["statusCode"] == 200
        ground.ahead = 60_000_000_000
        by_rest(ground, ride)
        ground.ahead = 0
        assert outcome(ground, ride)[5] == ["-driver", "-passenger", "-second"], f"killed before request {number}"
        if not died:
            break
    assert number >= 2


def test_a_leaving_whose_disconnect_died_is_noticed_by_the_next_frame_about_the_call(ground: Ground) -> None:
    for number in itertools.count():
        ride = f"killed-{number}"
        stage(ground, ride)
        rung = invocations.rest("make_call", {"booking_code": ride, "sender": "passenger", "action": "initiate"})
        call = ground.ask(make_call, rung)["call"]
        ground.gone.add(f"{ride}-driver")
        with ground.dying_before(number) as died:
            ground.ask(websocket, invocations.disconnect(f"{ride}-driver"))
        by_rest_of_the_driver = {
            "booking_code": ride,
            "sender": "driver",
            "action": "accept",
            "call_id": call["call_id"],
        }
        ground.ask(make_call, invocations.rest("make_call", by_rest_of_the_driver))
        left = [
            body["side"] for _, body in ground.wire.queued if body["booking_code"] == ride and body["kind"] == "left"
        ]
        assert "driver" in left, f"killed before request {number}"
        assert f"{ride}-driver" not in {connection.connection_id for connection in connections().of_booking(ride, 0)}
        if not died:
            break
    assert number >= 4
