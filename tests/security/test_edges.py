"""An attacker's afternoon, second part: a client with a valid token tries to break something."""

import io
import json
import logging
from typing import Any

import pytest

from navietakie.observability import logger
from tests.security.conftest import ACTIONS, FRAMES, HANDLERS, REQUESTS, Stack

SEND, CALL, READ, CALLS = (
    "POST /api/v1/send_message",
    "POST /api/v1/make_call",
    "GET /api/v1/get_message",
    "GET /api/v1/calls",
)
TRICKS = [
    "",
    ".",
    "..",
    "../theirs",
    "mine/../theirs",
    "mine%2F..%2Ftheirs",
    "/theirs",
    "theirs/",
    "#head",
    "#live",
    "mine#head",
    "#id#driver#x",
    "mine\n",
    "mine\r\nx-evil: 1",
    "mine\0",
    "mine ",
    " mine",
    "-mine",
    "_mine",
    "mine\u200b",
    "ｍｉｎｅ",
    "mіne",  # Cyrillic і
    "x" * 65,
    "x" * 2_048,
    "{mine}",
    "mine' OR '1'='1",
    "${jndi:ldap://evil.example}",
]


def test_a_malicious_booking_code_is_refused_at_every_door(stack: Stack, subtests: pytest.Subtests) -> None:
    for booking_code in TRICKS:
        with subtests.test(booking_code=booking_code), stack.untouched():
            for route, fields in REQUESTS:
                status, body = stack.ask(route, {"booking_code": booking_code, **fields}, stack.token())
                assert (status, body["error"]["code"]) == (400, "invalid_request")
            assert stack.connect({"booking_code": booking_code, "token": stack.token()}) == 400


def test_a_booking_code_that_is_no_text_is_refused(stack: Stack) -> None:
    with stack.untouched():
        for booking_code in (None, 1, True, ["mine"], {"S": "mine"}, {"$ne": None}):
            for route, fields in REQUESTS[:4]:
                assert stack.ask(route, {"booking_code": booking_code, **fields}, stack.token())[0] == 400


def test_a_malicious_booking_code_cannot_forge_a_log_line(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger.handlers[0], "stream", log)
    for trick in TRICKS:
        stack.ask(SEND, {"booking_code": trick, "message": "x"}, stack.token())
    assert len(log.getvalue().splitlines()) == len(TRICKS)
    assert all(json.loads(line)["message"] == "served" for line in log.getvalue().splitlines())


def test_deep_nesting_is_a_clean_error(stack: Stack) -> None:
    with stack.untouched():
        for depth in (33, 1_000, 5_000, 15_000):
            lists = "[" * depth + "]" * depth
            objects = '{"":' * min(depth, 6_000) + "0" + "}" * min(depth, 6_000)
            for deep in (lists, objects):
                for route, _ in REQUESTS[:4]:
                    raw = f'{{"booking_code":"mine","message":"x","action":"initiate","metadata":{{"a":{deep}}}}}'
                    status, body = stack.ask(route, {}, stack.token(), raw)
                    assert (status, body["error"]["code"]) == (400, "invalid_request")
                for action, handler in ACTIONS.items():
                    raw = f'{{"action":"{action}","message":"x","metadata":{{"a":{deep}}}}}'
                    (told,) = stack.world.socket(handler, "d1", raw=raw)
                    assert told["error"]["code"] == "invalid_request"


def test_a_direct_invocation_is_held_to_the_same_limits(stack: Stack) -> None:
    deep: Any = 0
    for _ in range(5_000):
        deep = [deep]
    handler = HANDLERS[SEND]
    good = {"function_type": "send_message", "booking_code": "mine", "sender": "driver", "message": "x"}
    with stack.untouched():
        for bad, status in (
            ({"metadata": {"a": deep}}, 400),
            ({"metadata": {"a": float("nan")}}, 400),
            ({"metadata": {"a": float("inf")}}, 400),
            ({"metadata": {"a": "\ud800"}}, 400),
            ({"metadata": {"\0": 1}}, 400),
            ({"padding": "é" * 16_384}, 413),
            ({"metadata": {"a": 2**53}}, 400),
            ({"message": "\u200b \u2800"}, 400),
            ({"booking_code": "mine#head"}, 400),
        ):
            assert handler({**good, **bad}, None)["statusCode"] == status


@pytest.mark.parametrize("letter", ["x", "é", "漢", "🐢"])
def test_sizes_are_bytes_and_a_byte_too_many_is_too_large(stack: Stack, letter: str) -> None:
    def padded(fields: dict[str, Any], size: int) -> str:
        room = size - len(json.dumps({**fields, "padding": ""}).encode())
        count, rest = divmod(room, len(letter.encode()))
        return json.dumps({**fields, "padding": letter * count + "x" * rest}, ensure_ascii=False)

    with stack.untouched():
        for route, fields in REQUESTS[:4]:
            raw = padded({"booking_code": "mine", **fields}, 32 * 1024 + 1)
            status, body = stack.ask(route, {}, stack.token(), raw)
            assert (len(raw.encode()), status, body["error"]["code"]) == (32 * 1024 + 1, 413, "too_large")
        for frame in FRAMES:
            (told,) = stack.world.socket(ACTIONS[frame["action"]], "d1", raw=padded(frame, 32 * 1024 + 1))
            assert told["error"]["code"] == "too_large"
    raw = padded({"booking_code": "mine", "message": "x"}, 32 * 1024)
    assert stack.ask(SEND, {}, stack.token(), raw)[0] == 201


def test_a_cursor_of_another_booking_is_refused_at_every_door(stack: Stack) -> None:
    for booking_code in ("mine", "theirs"):
        token = stack.token(booking_code=booking_code)
        for _ in range(2):
            stack.ask(SEND, {"booking_code": booking_code, "message": "x"}, token)
            call = stack.ask(CALL, {"booking_code": booking_code, "action": "initiate"}, token)[1]["call"]
            end = {"booking_code": booking_code, "action": "end", "call_id": call["call_id"]}
            assert stack.ask(CALL, end, token)[0] == 200
    for route in (READ, CALLS):
        theirs = {"booking_code": "theirs", "limit": 1}
        cursor = stack.ask(route, theirs, stack.token(booking_code="theirs"))[1]["next_cursor"]
        own = stack.ask(route, {"booking_code": "mine", "limit": 1}, stack.token())[1]["next_cursor"]
        for stolen in (cursor, own[:-1], own + "A", own.swapcase(), "A" * len(own), "=", "é", "../..", "x" * 4_000):
            status, body = stack.ask(route, {"booking_code": "mine", "cursor": stolen}, stack.token())
            assert (status, body["error"]["details"]["field"]) == (400, "cursor")
        assert stack.ask(route, {"booking_code": "mine", "cursor": own}, stack.token())[0] == 200


def test_a_call_of_another_booking_is_not_found(stack: Stack) -> None:
    token = stack.token(booking_code="theirs")
    call = stack.ask(CALL, {"booking_code": "theirs", "action": "initiate"}, token)[1]["call"]
    stack.everything()
    with stack.untouched():
        for action in ("accept", "reject", "end"):
            asked = {"booking_code": "mine", "action": action, "call_id": call["call_id"]}
            status, body = stack.ask(CALL, asked, stack.token())
            assert (status, body["error"]["code"]) == (404, "not_found")
        (told,) = stack.say("d1", {"action": "signal", "call_id": call["call_id"], "data": {"sdp": "x"}})
        assert told["error"]["code"] == "not_found"


def test_nobody_keeps_a_message_from_the_other_side(stack: Stack) -> None:
    asked = {"booking_code": "mine", "message": "x"}
    for excluded in ("p1", "p2", "d2", "*", "p1,d1", "p1\r\nX-Exclude-Connection: d1"):
        stack.world.gateway.frames.clear()
        assert stack.ask(SEND, asked, stack.token(), X_Exclude_Connection=excluded)[0] == 201
        assert stack.world.gateway.types("p1") == ["message"]
        assert stack.world.gateway.types("d1") == ["message"]
        assert stack.world.gateway.types("p2") == stack.world.gateway.types("d2") == []
    stack.ask(SEND, asked, stack.token(), X_Exclude_Connection="d1")
    assert stack.world.gateway.types("d1") == ["message"]


def test_an_idempotency_key_is_printable_or_refused(stack: Stack) -> None:
    with stack.untouched():
        for key in ("", "x" * 65, "a\r\nx-evil: 1", "a\nb", "é", "a\0b", "a\tb", "\x7f"):
            asked = {"booking_code": "mine", "message": "x"}
            status, body = stack.ask(SEND, asked, stack.token(), Idempotency_Key=key)
            assert (status, body["error"]["details"]["field"]) == (400, "client_message_id")


def test_an_idempotency_key_reaches_no_other_senders_message(stack: Stack) -> None:
    passenger = stack.token(role="passenger", sub="passenger-3")
    asked = {"booking_code": "mine", "message": "x"}
    first = stack.ask(SEND, asked, passenger, Idempotency_Key="1")[1]["message"]
    for key in ("1", "#id#passenger#1", "passenger#1"):
        body = stack.ask(SEND, asked, stack.token(), Idempotency_Key=key)[1]
        assert not body["duplicate"]
        assert body["message"]["message_id"] != first["message_id"]


def _headers(stack: Stack, route: str, fields: dict[str, Any], **sent: str) -> dict[str, str]:
    method, _, path = route.partition(" ")
    how: dict[str, Any] = {"query": fields} if method == "GET" else {"body": fields}
    return stack.world.rest(HANDLERS[route], method, path, **how, headers=sent)[2]


ORIGINS = [
    "https://evil.example",
    "null",
    "",
    "*",
    "http://app.example",
    "https://app.example:8443",
    "https://app.example.evil.example",
    "https://evilapp.example",
    "https://app.example/",
    "https://app.example, https://evil.example",
    "https://app.example\r\nx-evil: 1",
    "HTTPS://APP.EXAMPLE",
]


def test_a_foreign_origin_may_neither_connect_nor_read(stack: Stack, subtests: pytest.Subtests) -> None:
    token = stack.token()
    for origin in ORIGINS:
        with subtests.test(origin=origin), stack.untouched():
            assert stack.connect({"booking_code": "mine", "token": token}, Origin=origin) == 403
            headers = _headers(stack, READ, {"booking_code": "mine"}, origin=origin, authorization=f"Bearer {token}")
            assert "Access-Control-Allow-Origin" not in headers
            assert "evil" not in json.dumps(headers)
            assert headers["Vary"] == "Origin"


def test_a_star_means_every_origin_only_on_a_laptop(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", "*")
    with stack.untouched():
        assert stack.connect({"booking_code": "mine", "token": stack.token()}, Origin="https://evil.example") == 403
    assert "Access-Control-Allow-Origin" not in _headers(stack, READ, {}, origin="https://evil.example")


def test_every_answer_has_the_security_headers(stack: Stack) -> None:
    token = {"authorization": f"Bearer {stack.token()}", "origin": "https://app.example"}
    for sent, fields in ((token, {"booking_code": "mine"}), (token, {}), ({"origin": "https://app.example"}, {})):
        for route in HANDLERS:
            headers = _headers(stack, route, fields, **sent)
            assert headers["Access-Control-Allow-Origin"] == "https://app.example"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert headers["Strict-Transport-Security"].startswith("max-age=")
            assert headers["Content-Type"].startswith("application/json")
            assert headers["x-request-id"] == "rest-request"


def test_a_request_cannot_pretend_to_be_another_kind_of_event(stack: Stack) -> None:
    forged = {
        "function_type": "send_message",
        "requestContext": {"connectionId": "p1", "routeKey": "message"},
        "Records": [{"body": "{}"}],
        "body": '{"action":"message","message":"forged"}',
    }
    with stack.untouched():
        asked = {"booking_code": "mine", "sender": "driver", "message": "x", **forged}
        assert stack.ask(SEND, asked)[0] == 401
        (told,) = stack.say("d1", {"action": "typing", **forged})
        assert told["error"]["code"] == "invalid_request"


def test_no_token_and_no_text_is_in_any_log(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger.handlers[0], "stream", log)
    logger.setLevel(logging.DEBUG)
    token = stack.token()
    for route, fields in REQUESTS:
        for booking_code in ("mine", "theirs", "#"):
            stack.ask(route, {"booking_code": booking_code, **fields, "message": "hush-hush"}, token)
    for query in ({"booking_code": "mine", "token": token}, {"booking_code": "hush-hush#", "token": token}):
        stack.connect(query)
    for frame in FRAMES:
        stack.say("d1", {**frame, "message": "hush-hush", "data": "hush-hush"})
    stack.world.socket(ACTIONS["ping"], "d1", raw='{"action":"hush-hush"}')
    logger.setLevel(logging.INFO)
    printed = log.getvalue()
    assert printed.count('"served"') == len(REQUESTS) * 3 + 2 + len(FRAMES) + 1
    assert "hush-hush" not in printed
    assert token not in printed
    assert token.rpartition(".")[2] not in printed
