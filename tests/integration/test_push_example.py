"""The sample subscriber of docs/examples/push.py, against providers that the test plays."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from docs.examples.push import MESSAGE_SECONDS, Device, NotTaken, Subscriber, to_fcm
from docs.generator.schemas import ref
from navietakie.domain import instants
from tests.documents import asyncapi, check

BOOKING = "ride-7"
CALL = "0660d8af7210bfc70119767a843fc2b3"
ANDROID = Device("fcm", "android-1")
IPHONE = Device("apns", "iphone-1", voip="iphone-voip-1")


class Provider:
    """Google or Apple: keeps what it gets, and answers with the status that a test wants."""

    def __init__(self) -> None:
        self.got: list[tuple[str, httpx.Headers, Any]] = []
        self.status = 200

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.got.append((request.url.path, request.headers, json.loads(request.content)))
        return httpx.Response(self.status)


class Owned:
    """The table of devices."""

    def __init__(self) -> None:
        self.devices = {"passenger": [ANDROID, IPHONE]}

    def of(self, booking_code: str, side: str) -> list[Device]:
        return list(self.devices.get(side, [])) if booking_code == BOOKING else []

    def forget(self, device: Device) -> None:
        self.devices["passenger"].remove(device)


class Remembered:
    """The record of what was sent."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def has(self, key: str) -> bool:
        return key in self.keys

    def add(self, key: str) -> None:
        self.keys.add(key)


class Company:
    """A company with the sample subscriber, its table of devices, and both providers."""

    def __init__(self) -> None:
        self.fcm, self.apns, self.owned = Provider(), Provider(), Owned()
        providers = {"fcm.example": self.fcm, "apns.example": self.apns}
        self.subscriber = Subscriber(
            devices=self.owned,
            sent=Remembered(),
            client=httpx.Client(transport=httpx.MockTransport(lambda it: providers[it.url.host].answer(it))),
            authorize=lambda provider: f"bearer token-of-{provider}",
            addresses={"fcm": "https://fcm.example", "apns": "https://apns.example"},
            project="rides",
            bundle="com.example.rides",
        )

    def hears(self, *events: dict[str, Any]) -> None:
        """SNS invokes the function."""
        self.subscriber({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(e)}} for e in events]})


@pytest.fixture
def company() -> Company:
    return Company()


def event(type: str, **fields: Any) -> dict[str, Any]:
    now = time.time_ns() // 1_000
    common = {"booking_code": BOOKING, "timestamp": instants.to_text(now), "type": type}
    return common | {"to": "passenger"} | fields


def ringing(seconds: float = 45) -> dict[str, Any]:
    rings_until = instants.to_text(time.time_ns() // 1_000 + round(seconds * instants.SECOND))
    ids = {"call_id": CALL, "caller": "driver", "callee": "passenger"}
    return event("call.ringing", event_id=f"{CALL}-1", rings_until=rings_until, **ids)


def undelivered() -> dict[str, Any]:
    return event("message.undelivered", event_id="m-undelivered-passenger", message_id="m", seq=7, sender="driver")


def test_a_ringing_call_wakes_every_phone_of_the_callee_with_ids_only(company: Company) -> None:
    rings = ringing()
    company.hears(rings)
    ((path, headers, body),) = company.fcm.got
    assert (path, headers["authorization"]) == ("/v1/projects/rides/messages:send", "bearer token-of-fcm")
    ids = {name: rings[name] for name in ("type", "event_id", "booking_code", "call_id", "caller", "rings_until")}
    assert (body["message"]["token"], body["message"]["data"]) == ("android-1", ids)
    assert body["message"]["android"]["priority"] == "HIGH"
    ((path, headers, body),) = company.apns.got
    assert (path, body) == ("/3/device/iphone-voip-1", {"aps": {}, **ids})
    assert (headers["apns-push-type"], headers["apns-topic"]) == ("voip", "com.example.rides.voip")
    assert (headers["apns-priority"], headers["apns-collapse-id"]) == ("10", CALL)
    assert int(headers["apns-expiration"]) <= instants.from_text(rings["rings_until"]) / instants.SECOND


def test_an_undelivered_message_notifies_without_its_text(company: Company) -> None:
    company.hears(undelivered())
    ((_, _, body),) = company.fcm.got
    assert body["message"]["data"]["message_id"] == "m"
    assert body["message"]["android"] == {"priority": "HIGH", "ttl": f"{MESSAGE_SECONDS}s", "collapse_key": BOOKING}
    assert all(isinstance(value, str) for value in body["message"]["data"].values())
    ((path, headers, body),) = company.apns.got
    assert (path, headers["apns-push-type"]) == ("/3/device/iphone-1", "alert")
    assert headers["apns-topic"] == "com.example.rides"
    assert body["aps"] == {"alert": {"loc-key": "NEW_MESSAGE"}, "mutable-content": 1, "thread-id": BOOKING}
    assert (body["message_id"], body["seq"]) == ("m", 7)


@pytest.mark.parametrize("make", [ringing, undelivered])
def test_the_events_of_these_tests_match_the_documents(make: Callable[[], dict[str, Any]]) -> None:
    schema = {ringing: "CallRinging", undelivered: "MessageUndelivered"}[make]
    check(asyncapi(), ref(schema), make())


def test_an_event_that_comes_twice_is_sent_once(company: Company) -> None:
    company.hears(ringing(), ringing())
    company.hears(undelivered())
    company.hears(undelivered())
    assert (len(company.fcm.got), len(company.apns.got)) == (2, 2)


def test_a_provider_that_is_busy_gets_the_event_again_and_the_other_does_not(company: Company) -> None:
    company.apns.status = 503
    with pytest.raises(NotTaken):
        company.hears(undelivered())
    company.apns.status = 200
    company.hears(undelivered())
    assert (len(company.fcm.got), len(company.apns.got)) == (1, 2)


@pytest.mark.parametrize("status", [404, 410])
def test_a_device_without_the_app_is_forgotten(company: Company, status: int) -> None:
    company.fcm.status = status
    company.hears(undelivered())
    assert company.owned.devices["passenger"] == [IPHONE]


def test_a_ring_that_is_over_is_not_sent(company: Company) -> None:
    company.hears(ringing(seconds=-1))
    assert (company.fcm.got, company.apns.got) == ([], [])


def test_only_the_events_side_is_notified_and_other_events_are_ignored(company: Company) -> None:
    company.hears({**undelivered(), "to": "driver"}, event("call.ended", event_id="e"), event("booking.closed"))
    assert (company.fcm.got, company.apns.got) == ([], [])


def test_a_push_lives_as_long_as_the_ring() -> None:
    rings = ringing(45)
    now = instants.from_text(rings["rings_until"]) / instants.SECOND - 20
    assert to_fcm(rings, ANDROID, "rides", now).body["message"]["android"]["ttl"] == "20s"
