"""make_call's handler: its doors, frames, events and timers, and what it must not log."""

import base64
import hmac
import io
import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from get_message.app import handler as get_message
from make_call.app import handler
from make_call.timing import Timing
from navietakie.domain import instants
from navietakie.domain.call import GRACE
from navietakie.doors.serve import PATIENCE_SECONDS
from navietakie.observability import logger
from send_message.app import handler as send_message
from tests.worlds.moto import Context, World, deliver, fail
from websocket.app import handler as websocket

SECRET = "the secret that coturn shares"
FIELDS = {
    "call_id",
    "booking_code",
    "timestamp",
    "caller",
    "callee",
    "state",
    "end_reason",
    "answered_at",
    "ended_at",
    "duration_seconds",
    "rings_until",
    "ring_ms_left",
    "answered_by",
    "version",
}
TALKING = {"ice_servers", "ice_transport_policy"}
LONGEST_CALL = 4 * 3_600
"""In seconds."""


def act(world: World, sender: str, action: str, call_id: str | None = None, **fields: Any) -> tuple[int, Any]:
    body = {"booking_code": "test", "sender": sender, "action": action, "call_id": call_id, **fields}
    body = {name: value for name, value in body.items() if value is not None}
    return world.rest(handler, "POST", "/api/v1/make_call", body)[:2]


def done(world: World, sender: str, action: str, call_id: str | None = None, **fields: Any) -> Any:
    status, body = act(world, sender, action, call_id, **fields)
    assert status == 200, body
    return body["call"]


def talk(world: World) -> Any:
    return done(world, "passenger", "accept", done(world, "driver", "initiate")["call_id"])


def over_socket(world: World, connection_id: str, call_action: str, **fields: Any) -> Any:
    frame = {"action": "call", "id": "1", "call_action": call_action, **fields}
    (answer,) = world.socket(handler, connection_id, frame)
    return answer


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The functions' log."""
    written = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", written)
    return written


# --- REST, direct, WebSocket ------------------------------------------------------------------------------------------


def test_a_call_over_rest_from_the_ring_to_the_log(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    status, body = act(world, "driver", "initiate")
    assert (status, set(body), set(body["call"])) == (200, {"call", *TALKING, "reached"}, FIELDS)
    call = body["call"]
    assert (call["state"], call["caller"], call["callee"], call["version"]) == ("ringing", "driver", "passenger", 1)
    assert 0 < call["ring_ms_left"] <= 45_000
    assert (body["reached"], body["ice_servers"]) == (1, [])
    accepted = done(world, "passenger", "accept", call["call_id"], device_id="tablet")
    assert (accepted["state"], accepted["answered_by"], accepted["rings_until"]) == ("connected", "tablet", None)
    ended = done(world, "driver", "end", call["call_id"])
    assert (ended["state"], ended["end_reason"], ended["version"]) == ("ended", "completed", 3)
    status, body, _ = world.rest(handler, "GET", "/api/v1/calls", query={"booking_code": "test"})
    assert (status, body) == (200, {"calls": [ended], "next_cursor": None})
    (message,) = world.rest(get_message, "GET", "/api/v1/get_message", query={"booking_code": "test"})[1]["messages"]
    assert (message["message"], message["message_type"], message["sender"]) == ("Call ended, 0:00", "call", "system")
    assert message["metadata"] == ended
    for connection_id in ("d1", "p1"):
        assert world.gateway.types(connection_id) == ["call", "call", "call", "message"]
        assert world.gateway.frames[connection_id][-1]["message"] == message


def test_a_call_frame_says_who_did_what_with_which_device(world: World) -> None:
    world.connect("p1", "passenger")
    call = done(world, "driver", "initiate", device_id="phone")
    (frame,) = world.gateway.frames["p1"]
    shown = frame.pop("call")
    assert shown.pop("ring_ms_left") >= call.pop("ring_ms_left")
    assert shown == call
    assert frame.pop("ts") >= call["timestamp"]
    assert frame == {
        "v": 1,
        "type": "call",
        "booking_code": "test",
        "sender": "driver",
        "call_action": "initiate",
        "call_id": call["call_id"],
        "device_id": "phone",
    }


def test_a_call_over_sockets(world: World) -> None:
    world.connect("d1", "driver", device_id={"S": "phone"})
    world.connect("p1", "passenger")
    world.connect("p2", "passenger")
    ack = over_socket(world, "d1", "initiate")
    assert (ack["type"], ack["id"], ack["reached"], ack["ice_servers"]) == ("ack", "1", 2, [])
    call_id = ack["call"]["call_id"]
    assert [world.gateway.frames[name][-1]["device_id"] for name in ("p1", "p2")] == ["phone", "phone"]
    ack = over_socket(world, "p1", "accept", call_id=call_id)
    assert (ack["call"]["answered_by"], ack["reached"]) == ("p1", 1)
    assert world.gateway.frames["p2"][-1]["call"]["answered_by"] == "p1"
    late = over_socket(world, "p2", "accept", call_id=call_id)
    assert (late["type"], late["id"], late["error"]["code"]) == ("error", "1", "illegal_transition")
    assert late["error"]["details"]["call"]["answered_by"] == "p1"
    frame = {"action": "call", "id": "2", "call_action": "end", "call_id": call_id}
    assert {it["type"] for it in world.socket(handler, "p1", frame)} == {"message", "ack"}
    assert world.gateway.types("d1") == ["ack", "call", "call", "message"]
    assert world.gateway.types("p2") == ["call", "call", "error", "call", "message"]


def test_the_device_is_the_requests_else_the_connections_else_the_connection(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger", device_id={"S": "tablet"})
    for fields, device in (({"device_id": "watch"}, "watch"), ({}, "tablet")):
        call_id = over_socket(world, "d1", "initiate")["call"]["call_id"]
        assert over_socket(world, "p1", "accept", call_id=call_id, **fields)["call"]["answered_by"] == device
        done(world, "driver", "end", call_id)


def test_without_a_device_all_rest_requests_of_a_side_are_one(world: World) -> None:
    call = done(world, "driver", "initiate")
    assert done(world, "driver", "initiate")["call_id"] == call["call_id"]
    assert act(world, "driver", "initiate", device_id="phone")[0] == 409
    done(world, "passenger", "accept", call["call_id"])
    assert done(world, "passenger", "accept", call["call_id"])["version"] == 2


def test_direct_invocation_answers_like_rest(world: World) -> None:
    event = {"function_type": "make_call", "booking_code": "test", "sender": "driver", "action": "initiate"}
    answer = handler(event, Context())
    assert (answer["statusCode"], answer["body"]["call"]["state"]) == (200, "ringing")
    answer = handler({**event, "sender": "passenger", "action": "end", "call_id": "x"}, Context())
    assert (answer["statusCode"], answer["body"]["error"]["code"]) == (400, "invalid_request")
    assert handler({**event, "function_type": "send_message"}, Context())["statusCode"] == 400


# --- Refusals ---------------------------------------------------------------------------------------------------------


def test_every_refusal_of_a_call(world: World) -> None:
    def code(*how: Any, **fields: Any) -> tuple[int, str]:
        status, body = act(world, *how, **fields)
        return status, body["error"]["code"]

    assert code("driver", "dance") == (400, "invalid_request")
    assert code("driver", "accept") == (400, "invalid_request")
    assert code("driver", "accept", "../etc") == (400, "invalid_request")
    assert code("driver", "initiate", device_id="") == (400, "invalid_request")
    assert code("driver", "initiate", device_id="two\nlines") == (400, "invalid_request")
    assert code("system", "initiate") == (403, "forbidden")
    assert code("driver", "accept", "0" * 32) == (404, "not_found")
    first = done(world, "driver", "initiate")
    assert code("driver", "accept", first["call_id"]) == (409, "illegal_transition")
    done(world, "driver", "end", first["call_id"])
    second = talk(world)
    assert code("driver", "end", first["call_id"]) == (409, "illegal_transition")
    assert code("passenger", "initiate") == (409, "call_in_progress")
    done(world, "driver", "end", second["call_id"])
    close_booking(world)
    assert code("driver", "initiate") == (409, "booking_closed")


def test_a_refusal_shows_the_call_as_it_stands(world: World) -> None:
    call = done(world, "driver", "initiate")
    error = act(world, "driver", "accept", call["call_id"])[1]["error"]
    assert set(error["details"]["call"]) == FIELDS
    assert error["details"]["call"]["ring_ms_left"] > 40_000


def test_a_socket_names_its_own_field(world: World) -> None:
    world.connect("d1", "driver")
    for fields in ({}, {"call_action": "dance"}):
        (error,) = world.socket(handler, "d1", {"action": "call", **fields})
        assert error["error"]["code"] == "invalid_request"
        assert "call_action" in error["error"]["message"]
    world.connect("s1", "system")
    (error,) = world.socket(handler, "s1", {"action": "call", "call_action": "initiate"})
    assert error["error"]["code"] == "forbidden"


def test_without_the_timer_queue_nothing_is_stored_and_nobody_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect("p1", "passenger")
    monkeypatch.setenv("CALL_TIMER_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/000000000000/none")
    assert act(world, "driver", "initiate")[0] == 503
    assert (world.rows("calls"), world.gateway.frames["p1"]) == ([], [])


@pytest.mark.parametrize("error", ["ProvisionedThroughputExceededException", "InternalServerError"])
def test_a_database_that_stays_away_is_unavailable(world: World, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    world.connect("p1", "passenger")
    fail(monkeypatch, "TransactWriteItems", error)
    status, body = act(world, "driver", "initiate")
    assert (status, body["error"]["code"]) == (503, "unavailable")
    assert (world.rows("calls"), world.gateway.frames["p1"]) == ([], [])


def test_a_database_that_hiccups_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = fail(monkeypatch, "TransactWriteItems", "ProvisionedThroughputExceededException", times=2)
    assert act(world, "driver", "initiate")[0] == 200
    assert len(requests) == 3


# --- Signals ----------------------------------------------------------------------------------------------------------


def test_a_signal_goes_only_to_the_other_side(world: World) -> None:
    for name, sender in (("d1", "driver"), ("d2", "driver"), ("p1", "passenger"), ("p2", "passenger")):
        world.connect(name, sender)
    call_id = over_socket(world, "d1", "initiate")["call"]["call_id"]
    data = {"type": "offer", "sdp": "v=0\r\n…"}
    assert world.socket(handler, "d1", {"action": "signal", "id": "7", "call_id": call_id, "data": data}) == []
    assert world.gateway.types("d2") == ["call"]
    for name in ("p1", "p2"):
        frame = world.gateway.frames[name][-1]
        assert (frame["type"], frame["sender"], frame["call_id"], frame["data"]) == ("signal", "driver", call_id, data)


def test_a_signal_belongs_to_a_live_call(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")

    def refusal(**fields: Any) -> str:
        (error,) = world.socket(handler, "d1", {"action": "signal", **fields})
        return error["error"]["code"]

    assert refusal(call_id="0" * 32, data={}) == "not_found"
    assert refusal(call_id="x", data={}) == "invalid_request"
    assert refusal(data={}) == "invalid_request"
    call_id = done(world, "driver", "initiate")["call_id"]
    assert refusal(call_id=call_id) == "invalid_request"
    assert refusal(call_id=call_id, data="€" * 10_560) == "too_large"
    done(world, "driver", "end", call_id)
    assert refusal(call_id=call_id, data={}) == "illegal_transition"
    assert "signal" not in world.gateway.types("p1")


def test_a_signal_of_31_kilobytes_arrives(world: World) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    call_id = done(world, "driver", "initiate")["call_id"]
    data = "€" * 10_400
    assert world.socket(handler, "d1", {"action": "signal", "call_id": call_id, "data": data}) == []
    assert world.gateway.frames["p1"][-1]["data"] == data
    assert len(world.gateway.bodies["p1"][-1]) <= 31 * 1024


# --- ICE servers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def turn(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    secrets: Any = boto3.client("secretsmanager")
    arn = secrets.create_secret(Name="turn", SecretString=SECRET)["ARN"]
    servers = [{"urls": "stun:stun.example.com"}, {"urls": ["turn:turn.example.com?transport=udp"]}]
    monkeypatch.setenv("ICE_SERVERS", json.dumps(servers))
    monkeypatch.setenv("TURN_SECRET_ARN", arn)
    return world


def test_both_sides_get_turn_credentials_before_they_talk(turn: World, log: io.StringIO) -> None:
    turn.connect("p1", "passenger")
    servers = act(turn, "driver", "initiate")[1]["ice_servers"]
    assert servers[0] == {"urls": "stun:stun.example.com"}
    expiry, _, booking_code = servers[1]["username"].partition(":")
    assert (abs(int(expiry) - time.time() - LONGEST_CALL - 600) < 5, booking_code) == (True, "test")
    digest = hmac.digest(SECRET.encode(), servers[1]["username"].encode(), "sha1")
    assert servers[1]["credential"] == base64.b64encode(digest).decode()
    call_id = turn.gateway.frames["p1"][0]["call_id"]
    accepted = over_socket(turn, "p1", "accept", call_id=call_id)
    assert accepted["ice_servers"][1]["credential"]
    assert act(turn, "driver", "end", call_id)[1]["ice_servers"] == []
    assert '"message":"served"' in log.getvalue()
    assert SECRET not in log.getvalue()
    assert servers[1]["credential"] not in log.getvalue()
    assert all("ice_servers" not in frame for frame in turn.gateway.frames["p1"] if frame["type"] == "call")


def test_without_the_secret_no_call_begins_but_any_ends(turn: World, monkeypatch: pytest.MonkeyPatch) -> None:
    call = done(turn, "driver", "initiate")
    monkeypatch.setenv("TURN_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:000000000000:secret:none")
    status, body = act(turn, "passenger", "accept", call["call_id"])
    assert (status, body["error"]["code"]) == (503, "unavailable")
    assert done(turn, "driver", "end", call["call_id"])["end_reason"] == "cancelled"


def test_a_malformed_list_of_servers_is_named_as_the_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICE_SERVERS", '[{"urls": "http://turn"}]')
    status, body = act(world, "driver", "initiate")
    assert (status, body["error"]["code"]) == (500, "internal")
    assert "ICE_SERVERS" in body["error"]["message"]
    assert world.rows("calls") == []


def close_booking(world: World) -> None:
    close = {"booking_code": "test", "sender": "system", "message_type": "system", "message": "x"}
    world.rest(send_message, "POST", "/api/v1/send_message", {**close, "metadata": {"event": "booking_closed"}})


def test_either_side_gets_fresh_ice_servers_while_the_call_is_live(turn: World) -> None:
    turn.connect("d1", "driver")
    turn.connect("p1", "passenger")
    call = done(turn, "driver", "initiate")
    told = len(turn.gateway.frames["p1"])
    for sender in ("driver", "passenger"):
        status, body = act(turn, sender, "ice", call["call_id"])
        assert (status, set(body), body["call"]["state"]) == (200, {"call", *TALKING}, "ringing")
        assert body["ice_servers"][1]["credential"]
    done(turn, "passenger", "accept", call["call_id"])
    told += 1
    ack = over_socket(turn, "d1", "ice", call_id=call["call_id"])
    assert (ack["type"], ack["call"]["state"], ack["call"]["version"]) == ("ack", "connected", 2)
    assert ack["ice_servers"][1]["credential"]
    assert len(turn.gateway.frames["p1"]) == told


def test_fresh_ice_servers_are_for_a_live_call_in_an_open_booking(world: World) -> None:
    def code(call_id: str | None) -> tuple[int, str]:
        status, body = act(world, "driver", "ice", call_id)
        return status, body["error"]["code"]

    assert code(None) == (400, "invalid_request")
    assert code("0" * 32) == (404, "not_found")
    first, second = done(world, "driver", "initiate"), None
    done(world, "driver", "end", first["call_id"])
    assert code(first["call_id"]) == (409, "illegal_transition")
    second = done(world, "driver", "initiate")
    assert code(first["call_id"]) == (409, "illegal_transition")
    close_booking(world)
    assert code(second["call_id"]) == (409, "booking_closed")
    done(world, "driver", "end", second["call_id"])
    assert code(second["call_id"]) == (409, "booking_closed")


def test_a_repeat_gets_ice_servers_only_while_its_call_may_go_on(turn: World) -> None:
    call = done(turn, "driver", "initiate", client_call_id="one")
    again = act(turn, "driver", "initiate", client_call_id="one")[1]
    assert again["ice_servers"][1]["credential"]
    done(turn, "passenger", "accept", call["call_id"])
    close_booking(turn)
    status, again = act(turn, "passenger", "accept", call["call_id"])
    assert (status, again["call"]["state"], again["ice_servers"]) == (200, "connected", [])
    done(turn, "driver", "end", call["call_id"])
    status, again = act(turn, "driver", "initiate", client_call_id="one")
    assert (status, again["call"]["state"], again["ice_servers"]) == (200, "ended", [])


def test_the_policy_is_in_every_answer_with_ice_servers(turn: World, monkeypatch: pytest.MonkeyPatch) -> None:
    turn.connect("d1", "driver")
    assert over_socket(turn, "d1", "initiate")["ice_transport_policy"] == "all"
    monkeypatch.setenv("ICE_TRANSPORT_POLICY", "relay")
    call_id = turn.gateway.frames["d1"][-1]["call"]["call_id"]
    for sender, action in (("passenger", "accept"), ("driver", "ice"), ("driver", "end")):
        assert act(turn, sender, action, call_id)[1]["ice_transport_policy"] == "relay"


# --- Reports ----------------------------------------------------------------------------------------------------------

REPORT = {"setup_ms": 640, "relayed": True, "rtt_ms": 42.5, "jitter_ms": 3, "lost": 2, "received": 98, "seconds": 61}


def test_a_report_is_logged_and_measured_and_stored_nowhere(
    world: World, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    world.connect("p1", "passenger")
    call = talk(world)
    ended = done(world, "driver", "end", call["call_id"])
    before = (world.rows("calls"), world.rows("messages"), len(world.gateway.frames["p1"]))
    assert act(world, "driver", "report", call["call_id"], report=REPORT) == (200, {"call": ended})
    assert (world.rows("calls"), world.rows("messages"), len(world.gateway.frames["p1"])) == before
    (line,) = [line for line in map(json.loads, log.getvalue().splitlines()) if "report" in line]
    assert (line["call_id"], line["side"], line["report"]) == (call["call_id"], "driver", REPORT)
    measured = measurements(capsys.readouterr().out, "CallSetupTime")
    assert measured["relayed"] == "true"
    expected = {"CallsReported": 1, "CallSetupTime": 640, "CallRoundTrip": 42.5, "CallJitter": 3, "CallLoss": 2}
    assert {name: measured[name] for name in expected} == {name: [value] for name, value in expected.items()}


def measurements(printed: str, name: str) -> Any:
    """The line of metrics with this metric."""
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return next(line for line in lines if name in line)


@pytest.mark.parametrize(
    ("report", "answered", "failed"),
    [
        ({}, True, True),
        ({"received": 0}, True, True),
        ({"received": 12}, True, False),
        ({"setup_ms": 0}, True, False),
        ({}, False, False),
    ],
)
def test_an_answered_call_whose_devices_never_met_is_a_failed_set_up(
    world: World, capsys: pytest.CaptureFixture[str], report: Any, answered: bool, failed: bool
) -> None:
    call = talk(world) if answered else done(world, "driver", "initiate")
    done(world, "driver", "end", call["call_id"])
    capsys.readouterr()
    world.connect("d1", "driver")
    assert set(over_socket(world, "d1", "report", call_id=call["call_id"], report=report)) == {
        *("v", "type", "booking_code", "ts", "id", "call")
    }
    printed = capsys.readouterr().out
    assert measurements(printed, "CallReports")["CallReports"] == [1]
    assert ("CallSetupsFailed" in printed) == failed
    assert measurements(printed, "CallsReported")["relayed"] == "unknown"


def test_a_report_is_for_a_call_that_has_ended(world: World) -> None:
    def code(call_id: str | None, report: Any = REPORT) -> tuple[int, str]:
        status, body = act(world, "driver", "report", call_id, report=report)
        return status, body.get("error", {}).get("code")

    assert code("0" * 32) == (404, "not_found")
    first = done(world, "driver", "initiate")
    assert code(first["call_id"]) == (409, "illegal_transition")
    done(world, "driver", "end", first["call_id"])
    done(world, "driver", "initiate")
    close_booking(world)
    assert code(first["call_id"]) == (200, None)
    assert act(world, "system", "report", first["call_id"], report=REPORT)[0] == 403
    for bad in (None, 5, {"rtt_ms": -1}, {"relayed": 1}, {"lost": "2"}, {"seconds": True}):
        assert code(first["call_id"], bad) == (400, "invalid_request")


# --- Timers -----------------------------------------------------------------------------------------------------------


def test_a_ring_ends_by_its_timer_and_everybody_hears_of_it(world: World, later: Callable[[float], None]) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    call = done(world, "driver", "initiate")
    (timer,) = world.queued()
    assert timer == {"kind": "ring", "booking_code": "test", "call_id": call["call_id"]}
    later(44)
    assert deliver(handler, timer) == []
    assert world.queued() == [timer]
    later(3.1)
    assert deliver(handler, *[timer] * 5) == []
    assert world.queued() == []
    for name in ("d1", "p1"):
        ring, end, message = world.gateway.frames[name]
        assert (ring["type"], end["type"], message["type"]) == ("call", "call", "message")
        assert (end["sender"], end["call"]["end_reason"], end["call"]["ended_at"]) == (
            "system",
            "no_answer",
            call["rings_until"],
        )
        assert message["message"]["message"] == "Missed call"


def test_an_overdue_call_is_shown_as_its_end_will_be_stored(world: World, later: Callable[[float], None]) -> None:
    world.connect("p1", "passenger")
    done(world, "driver", "initiate")
    (timer,) = world.queued()
    later(45 + GRACE / instants.SECOND)
    synced = world.socket(get_message, "p1", {"action": "sync"})[-1]["call"]
    seen = world.socket(websocket, "p1", {"action": "ping"})[-1]["call"]
    deliver(handler, timer)
    (stored,) = world.rest(handler, "GET", "/api/v1/calls", query={"booking_code": "test"})[1]["calls"]
    assert synced == stored
    assert seen == {name: stored[name] for name in ("call_id", "state", "version", "ring_ms_left")}
    assert (stored["end_reason"], stored["version"]) == ("no_answer", 2)


def test_a_call_is_not_shown_once_it_has_expired(
    world: World, monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None]
) -> None:
    monkeypatch.setenv("RETENTION_DAYS", "1")
    done(world, "driver", "end", done(world, "driver", "initiate")["call_id"])

    def seen() -> list[Any]:
        world.connect("p1", "passenger")
        asked = [(get_message, "sync"), (websocket, "ping")]
        return [world.socket(handle, "p1", {"action": action})[-1]["call"] for handle, action in asked]

    assert [call["state"] for call in seen()] == ["ended", "ended"]
    later(86_401)
    assert seen() == [None, None]


def test_an_initiate_whose_answer_was_lost_rings_once_even_if_it_was_declined_meanwhile(world: World) -> None:
    world.connect("p1", "passenger")
    call = done(world, "driver", "initiate", client_call_id="mine")
    done(world, "passenger", "reject", call["call_id"])
    frames = len(world.gateway.frames["p1"])
    status, again = act(world, "driver", "initiate", client_call_id="mine")
    assert (status, again["call"]["call_id"], again["call"]["end_reason"]) == (200, call["call_id"], "declined")
    assert [frame["call"]["state"] for frame in world.gateway.frames["p1"][frames:] if frame["type"] == "call"] == [
        "ended"
    ]
    assert act(world, "driver", "initiate", client_call_id="é")[0] == 400


def test_a_repeated_initiate_is_answered_even_after_a_quick_accept(world: World) -> None:
    call = done(world, "driver", "initiate", client_call_id="mine")
    done(world, "passenger", "accept", call["call_id"])
    status, again = act(world, "driver", "initiate", client_call_id="mine")
    assert (status, again["call"]["state"], "ice_servers" in again) == (200, "connected", True)
    assert act(world, "driver", "initiate")[0] == 409


def test_a_client_that_comes_back_mid_ring_rings_on(world: World, later: Callable[[float], None]) -> None:
    world.connect("p1", "passenger")
    call = done(world, "driver", "initiate")
    later(30)
    for handle, action in ((get_message, "sync"), (websocket, "ping")):
        seen = world.socket(handle, "p1", {"action": action})[-1]["call"]
        assert (seen["call_id"], seen["state"]) == (call["call_id"], "ringing")
        assert 14_000 < seen["ring_ms_left"] <= 15_000


@pytest.mark.parametrize(("setting", "seconds"), [("5", 5), ("180", 180), ("1", 5), ("900", 180)])
def test_how_long_it_rings_is_a_setting_within_bounds(
    world: World, monkeypatch: pytest.MonkeyPatch, setting: str, seconds: int
) -> None:
    monkeypatch.setenv("RING_TIMEOUT_SECONDS", setting)
    call = done(world, "driver", "initiate")
    rings = instants.from_text(call["rings_until"]) - instants.from_text(call["timestamp"])
    assert rings == seconds * instants.SECOND


def test_the_log_stores_the_end_of_an_overdue_call(world: World, later: Callable[[float], None]) -> None:
    done(world, "driver", "initiate")
    later(60)
    (call,) = world.rest(handler, "GET", "/api/v1/calls", query={"booking_code": "test"})[1]["calls"]
    assert call["end_reason"] == "no_answer"
    assert len(world.rows("messages")) == 2


def test_bad_timers_come_again_and_do_not_stop_good_ones(world: World, later: Callable[[float], None]) -> None:
    done(world, "driver", "initiate")
    (timer,) = world.queued()
    later(60)
    assert deliver(handler, "no json", {"kind": "tea"}, timer, "[]", {"kind": "ring"}) == ["m0", "m1", "m3", "m4"]
    assert len(world.rows("messages")) == 2


def test_a_timer_that_is_no_json_is_logged_without_its_content(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    done(world, "driver", "initiate")
    (timer,) = world.queued()
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    assert deliver(handler, timer, "no json") == ["m1"]
    (line,) = [line for line in log.getvalue().splitlines() if "come again" in line]
    assert json.loads(line)["queue_message_id"] == "m1"
    assert "call_id" not in json.loads(line), "that was the timer before it"
    assert "no json" not in line


def test_timers_whose_turn_does_not_come_in_time_come_again(
    world: World, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    done(world, "driver", "initiate")
    (timer,) = world.queued()
    later(60)
    clock, on = time.monotonic, Timing.on

    def slowly(*what: Any, **how: Any) -> None:
        on(*what, **how)
        monkeypatch.setattr(time, "monotonic", lambda: clock() + PATIENCE_SECONDS)

    monkeypatch.setattr(Timing, "on", slowly)
    assert deliver(handler, timer, timer, timer) == ["m1", "m2"]
    assert len(world.rows("messages")) == 2


def test_a_timer_that_the_queue_gives_out_again_tells_again(world: World, later: Callable[[float], None]) -> None:
    world.connect("p1", "passenger")
    done(world, "driver", "initiate")
    (timer,) = world.queued()
    later(60)
    for received in (1, 1, 2):
        assert deliver(handler, timer, received=received) == []
    assert [frame["type"] for frame in world.gateway.frames["p1"]] == ["call", "call", "message", "call", "message"]
    assert len({event["event_id"] for event in world.published()}) == 2


def test_a_timer_that_meets_a_database_in_trouble_comes_again(
    world: World, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    done(world, "driver", "initiate")
    (timer,) = world.queued()
    later(60)
    with monkeypatch.context() as trouble:
        fail(trouble, "TransactWriteItems", "ThrottlingException")
        assert deliver(handler, timer) == ["m0"]
    assert deliver(handler, timer) == []
    assert world.rest(handler, "GET", "/api/v1/calls", query={"booking_code": "test"})[1]["calls"][0]["ended_at"]


def test_a_disconnect_during_a_call_ends_it_after_thirty_seconds(world: World, later: Callable[[float], None]) -> None:
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    call = talk(world)
    world.queued()
    world.lifecycle(websocket, "$disconnect", "d1")
    (left,) = world.queued()
    assert (left["kind"], left["side"], left["call_id"]) == ("left", "driver", call["call_id"])
    assert deliver(handler, left) == []
    assert world.queued() == [left]
    later(30.1)
    assert deliver(handler, left) == []
    ended = world.gateway.frames["p1"][-2]
    assert (ended["type"], ended["sender"], ended["call"]["end_reason"]) == ("call", "system", "connection_lost")
    assert world.gateway.types("p1")[-1] == "message"


def test_an_away_connection_is_not_reached_but_keeps_its_side_in_the_call(
    world: World, later: Callable[[float], None]
) -> None:
    world.connect("d1", "driver")
    for name in ("p1", "p2"):
        world.connect(name, "passenger")
    away = {"action": "away", "on": True}
    world.socket(websocket, "p1", away)
    status, body = act(world, "driver", "initiate")
    assert (status, body["reached"], world.gateway.types("p1")) == (200, 1, ["call"])
    done(world, "passenger", "accept", body["call"]["call_id"])
    world.queued()
    world.lifecycle(websocket, "$disconnect", "p2")
    (left,) = world.queued()
    later(30.1)
    assert deliver(handler, left) == []
    assert act(world, "driver", "ice", body["call"]["call_id"])[1]["call"]["state"] == "connected"


def test_a_connection_that_turns_out_to_be_gone_counts_as_left(world: World) -> None:
    for name, sender in (("d1", "driver"), ("p1", "passenger"), ("p2", "passenger")):
        world.connect(name, sender)
    world.gateway.misbehave["p1"] = lambda: 410
    call = done(world, "driver", "initiate")
    ring, left = world.queued()
    assert (ring["kind"], left["kind"], left["side"], left["call_id"]) == (
        "ring",
        "left",
        "passenger",
        call["call_id"],
    )
    assert world.connection_ids() == {"d1", "p2"}
    world.gateway.misbehave["p2"] = lambda: 410
    world.socket(handler, "d1", {"action": "signal", "call_id": call["call_id"], "data": {}})
    assert [timer["kind"] for timer in world.queued()] == ["left"]
    world.gateway.misbehave["d1"] = lambda: 410
    done(world, "driver", "end", call["call_id"])
    assert world.queued() == []


def test_closing_the_booking_ends_its_call(world: World) -> None:
    world.connect("p1", "passenger")
    talk(world)
    world.queued()
    close = {"booking_code": "test", "sender": "system", "message_type": "system", "message": "Bye"}
    status = world.rest(
        send_message, "POST", "/api/v1/send_message", {**close, "metadata": {"event": "booking_closed"}}
    )[0]
    assert status == 201
    (closing,) = world.queued()
    assert (closing["kind"], closing["event"], closing["look"]) == ("order", "booking_closed", 0)
    assert deliver(handler, closing) == []
    assert world.queued() == []
    assert [frame["call"]["end_reason"] for frame in world.gateway.frames["p1"] if frame["type"] == "call"][-1] == (
        "booking_closed"
    )


# --- Events, metrics, logs --------------------------------------------------------------------------------------------


def test_other_systems_hear_that_it_rings_and_that_it_ended(world: World) -> None:
    call = done(world, "driver", "initiate", device_id="phone")
    done(world, "driver", "initiate", device_id="phone")
    ringing, again = world.published()
    assert ringing["event_id"] == again["event_id"]
    assert {
        name: ringing[name] for name in ("type", "booking_code", "call_id", "caller", "callee", "to", "rings_until")
    } == {
        "type": "call.ringing",
        "to": "passenger",
        **{name: call[name] for name in ("booking_code", "call_id", "caller", "callee", "rings_until")},
    }
    done(world, "passenger", "accept", call["call_id"])
    assert world.published() == []
    done(world, "driver", "end", call["call_id"])
    (ended,) = world.published()
    assert (ended["type"], ended["end_reason"], ended["duration_seconds"]) == ("call.ended", "completed", 0)
    assert ended["event_id"] != ringing["event_id"]


def test_ended_calls_are_counted_by_reason_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    call = done(world, "driver", "initiate")
    for _ in range(2):
        done(world, "passenger", "reject", call["call_id"])
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "CallsEnded" in line]
    assert [(line["end_reason"], line["CallsEnded"]) for line in counted] == [("declined", [1.0])]


def test_a_log_line_tells_which_call_and_what_became_of_it(world: World, log: io.StringIO) -> None:
    call = done(world, "driver", "initiate")
    done(world, "passenger", "accept", call["call_id"])
    served = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(line["booking_code"], line["call_id"], line["call_state"], line["call_version"]) for line in served] == [
        ("test", call["call_id"], "ringing", 1),
        ("test", call["call_id"], "connected", 2),
    ]


# --- The log ----------------------------------------------------------------------------------------------------------


def test_the_log_is_paged(world: World) -> None:
    ids: list[str] = []
    for _ in range(3):
        ids.append(done(world, "driver", "initiate")["call_id"])
        done(world, "driver", "end", ids[-1])
    query = {"booking_code": "test", "limit": "2"}
    status, first, _ = world.rest(handler, "GET", "/api/v1/calls", query=query)
    assert (status, [call["call_id"] for call in first["calls"]]) == (200, ids[:0:-1])
    query["cursor"] = first["next_cursor"]
    rest = world.rest(handler, "GET", "/api/v1/calls", query=query)[1]
    assert ([call["call_id"] for call in rest["calls"]], rest["next_cursor"]) == (ids[:1], None)
    other = world.rest(handler, "GET", "/api/v1/calls", query={**query, "booking_code": "other"})
    assert (other[0], other[1]["error"]["code"]) == (400, "invalid_request")
    for bad in ({"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"cursor": "x"}):
        assert world.rest(handler, "GET", "/api/v1/calls", query={**query, **bad})[0] == 400
    assert world.rest(handler, "GET", "/api/v1/calls", query={})[0] == 400
