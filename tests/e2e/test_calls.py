"""Calls on the running stack (ring, answer, hang up, time-out, cut), through real HTTP, WebSocket and timers."""

import itertools
import json
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import boto3
import pytest
from websockets.sync.client import ClientConnection

from local.stack import Stack
from navietakie.domain import instants
from tests.e2e.talking import ask, connected, hear, tell

_bookings = itertools.count(1)


class Ride:
    """A booking and its WebSockets."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.name = f"call-{next(_bookings)}-{time.time_ns()}"
        self.open = ExitStack()

    def connect(self, sender: str, **query: str) -> ClientConnection:
        wanted = "&".join(
            f"{name}={value}" for name, value in {"booking_code": self.name, "sender": sender, **query}.items()
        )
        return self.open.enter_context(connected(self.stack, wanted))

    def act(self, sender: str, action: str, call_id: str | None = None, **fields: str) -> Any:
        fields |= {"call_id": call_id} if call_id else {}
        body = {"booking_code": self.name, "sender": sender, "action": action, **fields}
        return ask(self.stack, None, "POST", "make_call", **body)

    def call(self, sender: str, action: str, call_id: str | None = None, **fields: str) -> Any:
        answer = self.act(sender, action, call_id, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["call"]

    def talk(self) -> Any:
        return self.call("passenger", "accept", self.call("driver", "initiate")["call_id"])

    def log(self) -> Any:
        return ask(self.stack, None, "GET", "calls", booking_code=self.name).json()["calls"]

    def history(self) -> Any:
        return ask(self.stack, None, "GET", "get_message", booking_code=self.name).json()["messages"]

    def check_one_end(self, reason: str) -> None:
        """Checks that one call is in the log, and its message once in the history."""
        (call,), (message,) = self.log(), self.history()
        assert call["end_reason"] == reason
        assert (message["message_type"], message["sender"], message["metadata"]) == ("call", "system", call)


@pytest.fixture
def ride(stack: Stack) -> Generator[Ride]:
    new = Ride(stack)
    with new.open:
        yield new


def ended(socket: ClientConnection, seconds: float = 30) -> Any:
    """The call in the frame that tells of its end. Skips other frames."""
    until = time.monotonic() + seconds
    while True:
        call = hear(socket, "call", max(0.0, until - time.monotonic()))["call"]
        if call["state"] == "ended":
            return call


@dataclass
class Waiting:
    """Stories that take long. All begin at once; each is checked by its own test."""

    unanswered: tuple[Ride, Any, ClientConnection, ClientConnection]
    cut: tuple[Ride, ClientConnection]
    returning: tuple[Ride, ClientConnection, Callable[[], None], float]
    """Its last entry is when the side that came back twice would have been lost, on the monotonic clock."""


@pytest.fixture(scope="module")
def waiting(stack: Stack) -> Generator[Waiting]:
    rides = [Ride(stack) for _ in range(3)]
    unanswered, cut, returning = rides
    with ExitStack() as all_open:
        for ride in rides:
            all_open.enter_context(ride.open)
        driver, passenger = unanswered.connect("driver"), unanswered.connect("passenger")
        rung = unanswered.call("driver", "initiate")

        leaver, stayer = cut.connect("driver"), cut.connect("passenger")
        cut.talk()
        leaver.close()

        first, other = returning.connect("driver"), returning.connect("passenger")
        returning.talk()
        first.close()
        second = returning.connect("driver")
        left_again = time.monotonic() + 15

        def come_and_go() -> None:
            time.sleep(max(0.0, left_again - time.monotonic()))
            second.close()
            time.sleep(10)
            returning.connect("driver")

        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(come_and_go)
            yield Waiting(
                unanswered=(unanswered, rung, driver, passenger),
                cut=(cut, stayer),
                returning=(returning, other, lambda: coming.result(), left_again + 35),
            )


@pytest.fixture(autouse=True)
def _begun(waiting: Waiting) -> None:
    """Begins the long stories before the short ones."""


def test_the_whole_story_over_rest_and_sockets_together(ride: Ride) -> None:
    driver = ride.connect("driver", device_id="phone")
    tablet, watch = ride.connect("passenger", device_id="tablet"), ride.connect("passenger", device_id="watch")
    tell(driver, "call", call_action="initiate", id="c1")
    ack = hear(driver, "ack")
    call_id = ack["call"]["call_id"]
    assert (ack["id"], ack["reached"], ack["ice_servers"]) == ("c1", 2, [])
    for socket in (tablet, watch):
        ringing = hear(socket, "call")
        assert (ringing["call"]["state"], ringing["sender"], ringing["call_id"]) == ("ringing", "driver", call_id)
    tell(watch, "sync")
    seen = hear(watch, "sync")["call"]
    assert (seen["call_id"], seen["state"], 0 < seen["ring_ms_left"] <= 45_000) == (call_id, "ringing", True)

    answered = ride.call("passenger", "accept", call_id, device_id="tablet")  # by REST, from the tablet
    assert (answered["state"], answered["answered_by"]) == ("connected", "tablet")
    for socket in (driver, tablet, watch):
        assert hear(socket, "call")["call"]["answered_by"] == "tablet"
    tell(watch, "call", call_action="accept", call_id=call_id, id="c2")
    late = hear(watch, "error")
    assert (late["id"], late["error"]["code"]) == ("c2", "illegal_transition")

    tell(driver, "signal", call_id=call_id, data={"type": "offer", "sdp": "…"})
    assert hear(tablet, "signal")["data"] == {"type": "offer", "sdp": "…"}
    tell(tablet, "signal", call_id=call_id, data={"type": "answer", "sdp": "…"})
    assert hear(driver, "signal")["sender"] == "passenger"
    tell(driver, "ping")
    assert hear(driver, "pong")["call"] == {
        "call_id": call_id,
        "state": "connected",
        "version": 2,
        "ring_ms_left": None,
    }

    tell(driver, "call", call_action="end", call_id=call_id, id="c3")
    assert hear(driver, "ack")["call"]["end_reason"] == "completed"
    assert ended(tablet)["version"] == 3
    message = hear(watch, "message")["message"]
    assert (message["message_type"], message["message"].startswith("Call ended, 0:")) == ("call", True)
    ride.check_one_end("completed")
    assert ride.history() == [message]


def test_devices_that_answer_at_once_are_told_who_won(ride: Ride) -> None:
    call_id = ride.call("driver", "initiate")["call_id"]
    with ThreadPoolExecutor(5) as pool:
        answers = list(
            pool.map(lambda number: ride.act("passenger", "accept", call_id, device_id=f"device-{number}"), range(5))
        )
    (winner,) = [answer.json()["call"] for answer in answers if answer.status_code == 200]
    for loser in (answer.json()["error"] for answer in answers if answer.status_code != 200):
        assert (loser["code"], loser["details"]["call"]["answered_by"]) == ("illegal_transition", winner["answered_by"])
    assert ride.call("passenger", "accept", call_id, device_id=winner["answered_by"]) == winner
    assert ride.call("driver", "end", call_id)["version"] == 3


def test_closing_the_booking_ends_its_call_within_seconds(ride: Ride) -> None:
    passenger = ride.connect("passenger")
    ride.talk()
    close = {"booking_code": ride.name, "sender": "system", "message_type": "system", "message": "The ride is over"}
    assert ask(ride.stack, None, "POST", "send_message", **close, metadata={"event": "booking_closed"}).is_success
    assert ended(passenger)["end_reason"] == "booking_closed"
    refused = ride.act("driver", "initiate")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "booking_closed")
    assert [message["message_type"] for message in ride.history()] == ["call", "system"]


def test_other_systems_hear_of_the_ring_and_of_the_end(ride: Ride) -> None:
    def client(service: str) -> Any:
        return boto3.client(service, **cast(Any, ride.stack.access.client))

    sqs = client("sqs")
    url = sqs.create_queue(QueueName=f"heard-{ride.name}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    (topic,) = [it["TopicArn"] for it in client("sns").list_topics()["Topics"] if "navietakie-events" in it["TopicArn"]]
    allowed = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**allowed, "Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    call_id = ride.call("driver", "initiate")["call_id"]
    ride.call("passenger", "reject", call_id)
    heard: list[Any] = []
    until = time.monotonic() + 20
    while len(heard) < 2 and time.monotonic() < until:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            event = json.loads(json.loads(message["Body"])["Message"])
            heard += [event] if event["booking_code"] == ride.name else []
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert [(event["type"], event["call_id"]) for event in heard] == [
        ("call.ringing", call_id),
        ("call.ended", call_id),
    ]
    assert heard[1]["end_reason"] == "declined"


def test_an_unanswered_call_ends_by_itself_and_both_see_it(waiting: Waiting) -> None:
    ride, rung, *sockets = waiting.unanswered
    rings_until = instants.from_text(rung["rings_until"])
    for socket in sockets:
        left = (rings_until - time.time_ns() // 1_000) / instants.SECOND
        call = ended(socket, max(0.1, left + 5))
        assert (call["end_reason"], call["ended_at"]) == ("no_answer", rung["rings_until"])
        assert hear(socket, "message")["message"]["message"] == "Missed call"
    message = ride.history()[0]
    assert instants.from_text(message["timestamp"]) - rings_until <= 5 * instants.SECOND
    ride.check_one_end("no_answer")


def test_a_cut_ends_a_connected_call_after_thirty_seconds(waiting: Waiting) -> None:
    ride, passenger = waiting.cut
    call = ended(passenger, 90)
    assert call["end_reason"] == "connection_lost"
    assert call["duration_seconds"] < 30
    ride.check_one_end("connection_lost")


def test_a_side_that_came_back_twice_goes_on_talking(waiting: Waiting) -> None:
    ride, passenger, back, lost_by = waiting.returning
    back()
    with pytest.raises(TimeoutError):
        ended(passenger, max(1.0, lost_by - time.monotonic()))
    (call,) = ride.log()
    assert call["state"] == "connected"
    assert ride.call("driver", "end", call["call_id"])["end_reason"] == "completed"
