"""The doors of make_call: what the service is asked for, on whose behalf, and what is answered."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

import make_call.app
from make_call.calling import Acted
from navietakie.aws.tables.connections import Connection
from navietakie.domain import instants
from navietakie.domain.call import Call
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal
from navietakie.domain.orders import NO_TOKEN, Rights
from navietakie.doors.requests import Party, Request, SocketRequest

NOW = instants.from_text("2026-03-01T10:00:00.123456Z")
CALL_ID = "c" * 32
ISSUED = 1_770_000_000
CALL = cast(Call, Call.model_construct(call_id=CALL_ID, state="connected", version=2))
OWN = Connection("d1", "ride-1", "driver", instants.to_text(NOW), 2**40, sender_id="driver-7")
NAMED = Connection("d1", "ride-1", "driver", instants.to_text(NOW), 2**40, sender_id="driver-7", device_id="phone")
SERVERS = [{"urls": ["turn:turn.example.com"], "username": "u", "credential": "c"}]


@dataclass
class World:
    """The service and the connections behind the doors, which keep what they were asked for."""

    asked: list[Any] = field(default_factory=list[Any])
    may_talk: bool = True
    revoked: bool = False
    rights_: Rights = field(default_factory=Rights)

    def act(self, booking_code: str, side: str, device: str, action: str, **how: Any) -> Acted:
        assert (booking_code, side, how.pop("deadline")) == ("ride-1", "driver", 9.0)
        self.asked.append((action, device, how))
        return Acted(CALL, 3, may_talk=self.may_talk)

    def rights(self, booking_code: str, side: str, iat: int | None) -> Rights:
        self.asked.append(("rights", booking_code, side, iat))
        if self.revoked:
            raise Refusal("unauthorized", "The token is revoked")
        return self.rights_

    def ended(self, booking_code: str, call_id: str, deadline: float) -> Call:
        self.asked.append(("ended", booking_code, call_id, deadline))
        return CALL

    def live_in_open_booking(
        self, booking_code: str, call_id: str, side: str, iat: int | None, deadline: float
    ) -> Call:
        self.asked.append(("live", booking_code, call_id, side, iat, deadline))
        return CALL

    def log_report(self, call: Call, side: str, report: Any) -> None:
        self.asked.append(("reported", side, report.model_dump(exclude_none=True)))

    def log(self, booking_code: str, query: Any, deadline: float) -> Any:
        self.asked.append(("log", booking_code, query.limit, query.cursor, deadline))
        return {"calls": [], "next_cursor": None}

    def head(self, booking_code: str) -> Head:
        self.asked.append(("head", booking_code))
        return Head(rights=self.rights_)

    def to_connection(self, connection: Connection, frame: Any, now: int) -> None:
        self.asked.append(("answered", connection.connection_id, frame, now))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    it = World()
    monkeypatch.setattr(make_call.app, "calling", lambda _: it)
    monkeypatch.setattr(make_call.app, "messages", lambda: it)
    monkeypatch.setattr(make_call.app.reporting, "log_report", it.log_report)
    monkeypatch.setattr(make_call.app.ice, "policy", lambda: "relay")

    def configured(booking_code: str, now: int) -> Any:
        assert (booking_code, now) == ("ride-1", NOW)
        return SERVERS

    monkeypatch.setattr(make_call.app.ice, "configured", configured)
    for kind in (Request, SocketRequest):
        monkeypatch.setattr(kind, "broadcast", lambda _: it)
    return it


def post(action: str, **fields: Any) -> tuple[int, Any]:
    body = {"booking_code": "ride-1", "sender": "driver", "sender_id": "driver-7", "action": action, **fields}
    return make_call.app.post(Request(body, NOW, 9.0, {}, {}))


def frame(action: str, *, own: Connection = OWN, iat: int | None = ISSUED, **fields: Any) -> SocketRequest:
    fields = {"action": "call", "call_action": action, **fields}
    return SocketRequest(own, Party("ride-1", "driver", "driver-7", iat), fields, "c-1", NOW, 9.0, {})


def test_a_call_by_rest_is_answered_with_what_the_device_needs_to_talk(world: World) -> None:
    made = {"call": CALL, "ice_servers": SERVERS, "ice_transport_policy": "relay", "reached": 3}
    assert post("initiate", client_call_id="mine") == (200, made)
    how = {"call_id": None, "client_call_id": "mine", "iat": NO_TOKEN, "origin": None}
    assert world.asked == [("initiate", "rest", how)]


def test_the_device_that_a_request_names_acts_and_otherwise_the_one_of_the_connection(world: World) -> None:
    post("accept", call_id=CALL_ID, device_id="tablet")
    for own, fields in ((OWN, {}), (NAMED, {}), (NAMED, {"device_id": "tablet"})):
        make_call.app.on_call(frame("accept", own=own, call_id=CALL_ID, **fields))
    acts = [asked for asked in world.asked if asked[0] == "accept"]
    assert [device for _, device, _ in acts] == ["tablet", "d1", "phone", "tablet"]
    assert [how["origin"] for *_, how in acts] == [None, OWN, NAMED, NAMED]
    assert [how["call_id"] for *_, how in acts] == [CALL_ID] * 4


def test_a_frame_acts_with_the_connections_token_and_is_acknowledged(world: World) -> None:
    make_call.app.on_call(frame("end", call_id=CALL_ID))
    (action, _, how), (answered, connection_id, ack, now) = world.asked
    assert (action, how["iat"], answered, connection_id, now) == ("end", ISSUED, "answered", "d1", NOW)
    assert (ack["type"], ack["id"], ack["call"], ack["reached"]) == ("ack", "c-1", CALL, 3)
    assert (ack["ice_servers"], ack["ice_transport_policy"]) == ([], "relay")


@pytest.mark.parametrize(
    ("action", "may_talk", "expected"),
    [
        ("initiate", True, SERVERS),
        ("accept", True, SERVERS),
        ("accept", False, []),
        ("end", True, []),
        ("reject", True, []),
    ],
)
def test_ice_servers_are_for_those_who_may_talk_after_an_act_that_begins_it(
    world: World, action: str, may_talk: bool, expected: Any
) -> None:
    world.may_talk = may_talk
    assert post(action, call_id=CALL_ID)[1]["ice_servers"] == expected


def test_fresh_ice_servers_are_for_a_live_call_in_an_open_booking(world: World) -> None:
    make_call.app.on_call(frame("ice", call_id=CALL_ID))
    assert world.asked[0] == ("live", "ride-1", CALL_ID, "driver", ISSUED, 9.0)
    ack = world.asked[1][2]
    assert (ack["call"], ack["ice_servers"], ack["ice_transport_policy"]) == (CALL, SERVERS, "relay")
    assert "reached" not in ack


def test_a_report_is_logged_for_an_ended_call_and_answered_with_the_call_alone(world: World) -> None:
    assert post("report", call_id=CALL_ID, report={"rtt_ms": 20}) == (200, {"call": CALL})
    assert world.asked == [
        ("rights", "ride-1", "driver", NO_TOKEN),
        ("ended", "ride-1", CALL_ID, 9.0),
        ("reported", "driver", {"rtt_ms": 20}),
    ]


def test_whose_token_is_revoked_reports_nothing(world: World) -> None:
    world.revoked = True
    with pytest.raises(Refusal, match="revoked"):
        make_call.app.on_call(frame("report", call_id=CALL_ID, report={"rtt_ms": 20}))
    assert world.asked == [("rights", "ride-1", "driver", ISSUED)]


def test_the_call_log_is_for_those_whose_token_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Rights] = []
    monkeypatch.setattr(Request, "check_rights", lambda _, rights: checked.append(rights))
    request = Request({"booking_code": "ride-1", "limit": 7}, NOW, 9.0, {}, {})
    assert make_call.app.get(request) == (200, {"calls": [], "next_cursor": None})
    assert world.asked == [("head", "ride-1"), ("log", "ride-1", 7, None, 9.0)]
    assert checked == [world.rights_]
