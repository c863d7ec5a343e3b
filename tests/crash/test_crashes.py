"""A function killed before each of its requests in turn: the retry ends where one success ends.

make_call's deaths are in tests/integration/test_call_crashes.py.
"""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from make_call.app import handler as make_call
from navietakie import instants
from navietakie.tables.connections import connections
from navietakie.tables.messages import messages
from send_message.app import handler as send_message
from tests.crash.conftest import Ground
from tests.fakes import invocations
from websocket.app import handler as websocket

Write = Callable[[Ground, str], None]


def by_rest(ground: Ground, ride: str) -> None:
    body = {"booking_code": ride, "sender": "driver", "message": "Hello", "client_message_id": "a"}
    assert ground.ask(send_message, invocations.rest("send_message", body))["message"]["seq"] == 2


def by_socket(ground: Ground, ride: str) -> None:
    frame = {"action": "message", "id": "a", "message": "Hello"}
    ground.ask(send_message, invocations.frame(f"{ride}-driver", frame))
    assert ground.heard[f"{ride}-driver"][-1]["type"] == "ack"


def close(ground: Ground, ride: str) -> None:
    _tell(ground, ride, "booking_closed")


def close_and_open(ground: Ground, ride: str) -> None:
    _tell(ground, ride, "booking_closed")
    _tell(ground, ride, "booking_opened")


def receipt_by_rest(ground: Ground, ride: str) -> None:
    body = {"booking_code": ride, "sender": "driver", "read": 1}
    assert ground.ask(send_message, invocations.rest("send_message", body))["receipts"]["driver"]["read"] == 1


def receipt_by_socket(ground: Ground, ride: str) -> None:
    ground.ask(send_message, invocations.frame(f"{ride}-driver", {"action": "delivered", "seq": 1}))


def _tell(ground: Ground, ride: str, event: str) -> None:
    body = {
        "booking_code": ride,
        "sender": "system",
        "message_type": "system",
        "message": event,
        "metadata": {"event": event},
        "client_message_id": event,
    }
    assert "message" in ground.ask(send_message, invocations.rest("send_message", body))


def stage(ground: Ground, ride: str) -> None:
    """A booking with a message, two connections, and one that is gone."""
    ground.ask(
        send_message, invocations.rest("send_message", {"booking_code": ride, "sender": "passenger", "message": "Hi"})
    )
    for name, sender in (("driver", "driver"), ("passenger", "passenger"), ("lost", "passenger")):
        ground.join(f"{ride}-{name}", ride, sender)
    ground.gone.add(f"{ride}-lost")


def outcome(ground: Ground, ride: str) -> Any:
    """All that must be the same however often the function died, once the next message has been sent."""
    later = {"booking_code": ride, "sender": "system", "message": "Later"}
    ground.ask(send_message, invocations.rest("send_message", later))
    now = instants.from_text("2026-03-01T08:00:00.000000Z")
    head = messages().head(ride)
    page = messages().page(ride, now=now, ascending=True, limit=100)
    history = [
        (message.seq, message.sender, message.message_type, message.message, message.client_message_id)
        for message in page.messages
    ]
    frames = ground.heard[f"{ride}-passenger"]
    heard = {frame["message"]["seq"] for frame in frames if frame["type"] == "message"}
    here = sorted(connection.connection_id.removeprefix(ride) for connection in connections().of(ride, now))
    queued = {body["kind"] for _, body in ground.wire.queued if body["booking_code"] == ride}
    return history, head.seq, bool(head.closed_at), head.receipts, heard, here, queued


@pytest.mark.parametrize(
    "write",
    [by_rest, by_socket, close, close_and_open, receipt_by_rest, receipt_by_socket],
    ids=lambda write: write.__name__,
)
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
        assert f"{ride}-driver" not in {connection.connection_id for connection in connections().of(ride, 0)}
        if not died:
            break
    assert number >= 4
