"""What an order forbids at every door (muted, revoked, closed), and what an agent may do."""

import time
from typing import Any

import pytest

import make_call.app
from tests.security.conftest import FRAMES, REQUESTS, Stack
from tests.worlds.moto import deliver, later

__all__ = ["later"]

SEND = "POST /api/v1/send_message"
CALL = "POST /api/v1/make_call"


def order(stack: Stack, event: str, *, expect: int = 201, **metadata: Any) -> Any:
    said = {"message": event, "message_type": "system", "metadata": {"event": event, **metadata}}
    status, body = stack.ask(SEND, {"booking_code": "mine", **said}, stack.token(role="system"))
    assert status == expect, body
    return body


def outcome(stack: Stack, route: str, token: str, **fields: Any) -> tuple[int, str | None]:
    status, body = stack.ask(route, {"booking_code": "mine", **fields}, token)
    return status, body["error"]["code"] if "error" in body else None


def said(stack: Stack, connection_id: str, **frame: Any) -> str:
    """The code of the error that answers a frame; without an error, the type of the last frame that its sender got."""
    frames = stack.say(connection_id, frame)
    return (frames[-1].get("error") or {"code": frames[-1]["type"]})["code"] if frames else "nothing"


def test_a_muted_side_is_refused_by_every_door_while_its_reads_go_on(stack: Stack) -> None:
    order(stack, "side_muted", side="driver")
    token = stack.token()
    assert outcome(stack, SEND, token, message="Hello") == (403, "muted")
    assert outcome(stack, CALL, token, action="initiate") == (403, "muted")
    assert said(stack, "d1", action="message", message="Hello") == "muted"
    assert said(stack, "d1", action="typing", on=True) == "muted"
    assert said(stack, "d1", action="call", call_action="initiate") == "muted"
    assert said(stack, "d1", action="sync") == "sync"
    assert said(stack, "d1", action="ping") == "pong"
    assert outcome(stack, "GET /api/v1/get_message", token) == (200, None)
    assert outcome(stack, "GET /api/v1/calls", token) == (200, None)
    assert outcome(stack, SEND, token, read=1) == (200, None)
    _, page = stack.ask("GET /api/v1/get_message", {"booking_code": "mine"}, token)
    assert page["booking"] == {"closed_at": None, "muted": ["driver"]}
    assert outcome(stack, SEND, stack.token(role="passenger"), message="Hello") == (201, None)
    order(stack, "side_unmuted", side="driver")
    assert outcome(stack, SEND, token, message="Hello") == (201, None)


def test_a_muted_side_answers_a_call(stack: Stack) -> None:
    order(stack, "side_muted", side="driver")
    _, body = stack.ask(CALL, {"booking_code": "mine", "action": "initiate"}, stack.token(role="passenger"))
    assert outcome(stack, CALL, stack.token(), action="initiate") == (403, "muted")
    assert outcome(stack, CALL, stack.token(), action="accept", call_id=body["call"]["call_id"]) == (200, None)


@pytest.mark.parametrize("ahead", [None, 0, 5])
def test_a_revoked_token_opens_no_door(stack: Stack, ahead: int | None) -> None:
    stack.ask(SEND, {"booking_code": "mine", "message": "Hi", "client_message_id": "a"}, stack.token())
    order(stack, "tokens_revoked", side="driver")
    iat = None if ahead is None else int(time.time()) + ahead - 1
    token = stack.token(iat=iat)
    stack.everything()
    with stack.untouched():
        for route, fields in REQUESTS:
            assert outcome(stack, route, token, **fields) == (401, "unauthorized"), (route, fields)
        again = {"message": "Hi", "client_message_id": "a"}
        assert outcome(stack, SEND, token, **again) == (401, "unauthorized"), "not even a repeat"
        gone = "0" * 32
        for action in ("accept", "reject", "end", "ice"):
            assert outcome(stack, CALL, token, action=action, call_id=gone) == (401, "unauthorized"), action
        report: dict[str, Any] = {"action": "report", "call_id": gone, "report": {}}
        assert outcome(stack, CALL, token, **report) == (401, "unauthorized")
        assert stack.connect({"booking_code": "mine", "token": token}) == 401
        assert {timer["kind"] for timer in stack.world.queued()} == {"ring"}, "of a call that was not made"


def test_a_connection_whose_token_is_revoked_is_served_nothing_and_sent_nothing(stack: Stack) -> None:
    stack.world.connect("d3", "driver", "mine", token_exp={"N": str(2**40)}, token_iat={"N": str(int(time.time()))})
    order(stack, "tokens_revoked", side="driver")
    for frame in FRAMES:
        assert said(stack, "d3", **frame) == "unauthorized", frame
    stack.world.gateway.frames.clear()
    assert outcome(stack, SEND, stack.token(role="passenger"), message="Hello") == (201, None)
    assert stack.world.gateway.types("d3") == []
    assert stack.world.gateway.types("p1") == ["message"]
    assert said(stack, "p1", action="ping") == "pong"
    pong = stack.world.gateway.frames["p1"][-1]
    assert pong["presence"] == {"driver": False, "passenger": True, "agent": False}


def test_a_revocation_closes_the_connections_and_ends_the_call(stack: Stack) -> None:
    world = stack.world
    _, body = stack.ask(CALL, {"booking_code": "mine", "action": "initiate"}, stack.token(role="passenger"))
    world.queued()
    order(stack, "tokens_revoked", side="driver")
    (timer,) = world.queued()
    assert (timer["kind"], timer["event"], timer["look"]) == ("order", "tokens_revoked", 0)
    assert deliver(make_call.app.handler, timer) == []
    assert world.gateway.closed == ["d1"]
    (following,) = world.queued()
    assert following["look"] == 1
    log = stack.ask("GET /api/v1/calls", {"booking_code": "mine"}, stack.token(role="passenger"))[1]["calls"]
    assert [(call["call_id"], call["end_reason"]) for call in log] == [(body["call"]["call_id"], "revoked")]


def test_a_new_token_comes_in_after_a_revocation(stack: Stack, later: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    order(stack, "tokens_revoked", side="driver")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 10)
    later(10)
    token = stack.token(iat=int(time.time()))
    assert outcome(stack, SEND, token, message="Back") == (201, None)
    assert stack.connect({"booking_code": "mine", "token": token}) == 200
    assert said(stack, "new", action="ping") == "pong"


@pytest.mark.parametrize("side", [None, "system", "nobody", 1])
def test_a_malformed_order_is_stored_nowhere(stack: Stack, side: Any) -> None:
    with stack.untouched():
        for event in ("side_muted", "side_unmuted", "tokens_revoked"):
            body = order(stack, event, expect=400, side=side)
            assert body["error"]["details"]["field"] == "metadata.side"


def test_nobody_writes_orders_but_the_company_and_nobody_says_that_a_message_was_redacted(stack: Stack) -> None:
    said = {"message": "x", "message_type": "system", "metadata": {"event": "side_muted", "side": "passenger"}}
    with stack.untouched():
        for role in ("driver", "passenger", "agent"):
            assert outcome(stack, SEND, stack.token(role=role), **said) == (403, "forbidden")
        assert order(stack, "message_redacted", expect=403, seq=1)["error"]["code"] == "forbidden"


def test_an_event_that_is_not_known_is_a_plain_message(stack: Stack) -> None:
    assert order(stack, "ride_began", side="nobody")["message"]["metadata"] == {"event": "ride_began", "side": "nobody"}


def test_an_agent_reads_and_writes_and_is_seen_and_is_no_side(stack: Stack) -> None:
    token = stack.token(role="agent", sub="agent-1")
    assert stack.connect({"booking_code": "mine", "token": token}) == 200
    assert stack.world.gateway.frames["d1"][-1]["presence"] == {"driver": True, "passenger": True, "agent": True}
    assert said(stack, "new", action="message", message="How can I help?") == "ack"
    assert said(stack, "new", action="sync") == "sync"
    assert said(stack, "new", action="ping") == "pong"
    assert said(stack, "new", action="typing", on=True) in ("nothing", "pong", "sync", "ack")
    assert stack.world.gateway.types("d1")[-1] == "typing"
    for frame in ({"action": "read", "seq": 1}, {"action": "call", "call_action": "initiate"}):
        assert said(stack, "new", **frame) == "forbidden", frame
    assert said(stack, "new", action="signal", call_id="0" * 32, data={}) == "forbidden"
    assert outcome(stack, SEND, token, read=1) == (403, "forbidden")
    assert outcome(stack, CALL, token, action="initiate") == (403, "forbidden")
    assert outcome(stack, "GET /api/v1/calls", token) == (200, None)
    assert outcome(stack, "GET /api/v1/get_message", token) == (200, None)


def test_an_agent_hears_everything_but_signals(stack: Stack) -> None:
    assert stack.connect({"booking_code": "mine", "token": stack.token(role="agent")}) == 200
    call = stack.ask(CALL, {"booking_code": "mine", "action": "initiate"}, stack.token())[1]["call"]
    accept = {"booking_code": "mine", "action": "accept", "call_id": call["call_id"]}
    assert stack.ask(CALL, accept, stack.token(role="passenger"))[0] == 200
    stack.say("d1", {"action": "signal", "call_id": call["call_id"], "data": {"candidate": "x"}})
    stack.say("d1", {"action": "message", "message": "Hi"})
    assert stack.world.gateway.types("p1")[-2:] == ["signal", "message"]
    assert "signal" not in stack.world.gateway.types("new")
    assert stack.world.gateway.types("new")[-3:] == ["call", "call", "message"]


@pytest.mark.parametrize("role", ["driver", "passenger", "agent"])
def test_in_a_closed_booking_nobody_says_anything_and_everybody_reads(stack: Stack, role: str) -> None:
    stack.world.connect("a1", "agent", "mine")
    mine = {"driver": "d1", "passenger": "p1", "agent": "a1"}[role]
    order(stack, "booking_closed")
    token = stack.token(role=role)
    assert outcome(stack, SEND, token, message="Hello") == (409, "booking_closed")
    assert said(stack, mine, action="message", message="Hello") == "booking_closed"
    assert said(stack, mine, action="typing", on=True) == "booking_closed"
    assert said(stack, mine, action="ping") == "pong"
    assert outcome(stack, "GET /api/v1/get_message", token) == (200, None)
    assert order(stack, "still_here")["message"]["seq"] == 3
    order(stack, "booking_opened")
    assert outcome(stack, SEND, token, message="Hello") == (201, None)


def test_in_a_closed_booking_a_signal_of_its_ended_call_is_told_that_it_is_closed(stack: Stack) -> None:
    call = stack.ask(CALL, {"booking_code": "mine", "action": "initiate"}, stack.token())[1]["call"]
    stack.world.queued()
    order(stack, "booking_closed")
    assert deliver(make_call.app.handler, *stack.world.queued()) == []
    assert said(stack, "d1", action="signal", call_id=call["call_id"], data={}) == "booking_closed"
    for action, expected in (
        ("accept", "booking_closed"),
        ("reject", "illegal_transition"),
        ("end", "illegal_transition"),
    ):
        role = "passenger" if action != "end" else "driver"
        token = stack.token(role=role)
        assert outcome(stack, CALL, token, action=action, call_id=call["call_id"]) == (409, expected)
