"""An attacker's afternoon, first part: bad tokens at every door that takes one."""

import base64
import hashlib
import hmac
import io
import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import websocket.app
from navietakie import warm
from navietakie.observability import logger
from tests.security.conftest import ABSENT, FRAMES, HANDLERS, REQUESTS, Stack


def _by_hand(header: dict[str, Any], payload: dict[str, Any], key: bytes | None) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(payload).encode())}"
    return f"{signed}.{part(hmac.digest(key, signed.encode(), 'sha256')) if key else ''}"


def _claims(stack: Stack) -> dict[str, Any]:
    return jwt.decode(stack.token(), options={"verify_signature": False})


def _alg_none(stack: Stack) -> str:
    return _by_hand({"alg": "none", "typ": "JWT"}, _claims(stack), None)


def _alg_none_with_the_signature_of_another(stack: Stack) -> str:
    return _by_hand({"alg": "none", "typ": "JWT"}, _claims(stack), b"whatever")


RSA = rsa.generate_private_key(65537, 2048)
PUBLIC = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _signed_by_the_public_key(stack: Stack) -> str:
    return _by_hand({"alg": "HS256", "typ": "JWT"}, _claims(stack), PUBLIC)


def _rs256(stack: Stack) -> str:
    return jwt.encode(_claims(stack), RSA, algorithm="RS256", headers={"jku": "https://evil.example/keys"})


def _hs512(stack: Stack) -> str:
    return jwt.encode(_claims(stack), stack.secret * 2, algorithm="HS512")


BAD: dict[str, Callable[[Stack], str]] = {
    "none at all": lambda _: "",
    "alg none": _alg_none,
    "alg none, signed": _alg_none_with_the_signature_of_another,
    "public key as secret": _signed_by_the_public_key,
    "RS256": _rs256,
    "HS512": _hs512,
    "another secret": lambda stack: stack.token("another-" * 8),
    "no secret": lambda stack: _by_hand({"alg": "HS256"}, _claims(stack), b"\0"),
    "expired": lambda stack: stack.token(exp=int(time.time()) - 1),
    "expires now": lambda stack: stack.token(exp=int(time.time())),
    "other audience": lambda stack: stack.token(aud="another"),
    "no sub": lambda stack: stack.token(sub=None),
    "no booking": lambda stack: stack.token(booking_code=None),
    "no role": lambda stack: stack.token(role=None),
    "no exp": lambda stack: stack.token(exp=None),
    "no aud": lambda stack: stack.token(aud=None),
    "role unknown": lambda stack: stack.token(role="admin"),
    "oversized": lambda stack: stack.token(padding="x" * 5_000),
}


def test_a_bad_token_opens_no_door(stack: Stack, subtests: pytest.Subtests) -> None:
    query = {"booking_code": "mine", "sender": "driver"}
    for kind, make in BAD.items():
        token = make(stack)
        with subtests.test(kind=kind), stack.untouched():
            for route, fields in REQUESTS:
                status, body = stack.ask(route, {**query, **fields}, token)
                assert status == 401
                assert body["error"]["code"] == ("token_expired" if "expire" in kind else "unauthorized")
            assert stack.connect(query, Authorization=f"Bearer {token}") == 401
            assert stack.connect(query, Sec_WebSocket_Protocol=f"navietakie.v1, bearer.{token}") == 401
            assert stack.connect({**query, "token": token}) == 401


def test_a_good_token_opens_every_door(stack: Stack) -> None:
    for route, fields in REQUESTS:
        if fields != {"delivered": 1} and fields != {"read": 1}:
            expected = (404,) if (route, fields) in ABSENT else (200, 201)
            assert stack.ask(route, {"booking_code": "mine", **fields}, stack.token())[0] in expected, fields
    assert stack.ask(*REQUESTS[2], stack.token())[0] == 400  # 400, because it names no booking
    assert stack.connect({"booking_code": "mine", "token": stack.token()}) == 200


def test_a_token_in_the_body_or_the_query_of_a_request_counts_for_nothing(stack: Stack) -> None:
    with stack.untouched():
        for route, fields in REQUESTS:
            for place in ("token", "access_token", "authorization", "bearer"):
                asked = {"booking_code": "mine", "sender": "driver", **fields, place: stack.token()}
                assert stack.ask(route, asked)[0] == 401
                assert stack.ask(route, {**asked, "metadata": {place: stack.token()}})[0] == 401


def test_a_token_opens_no_other_booking(stack: Stack) -> None:
    with stack.untouched():
        for route, fields in REQUESTS:
            status, body = stack.ask(route, {"booking_code": "theirs", **fields}, stack.token())
            assert (status, body["error"]["code"]) == (403, "forbidden")
            assert "secret of theirs" not in json.dumps(body)
        for name in ("booking_code", "booking_id"):
            assert stack.connect({name: "theirs", "token": stack.token()}) == 403


def test_a_token_gives_no_other_role(stack: Stack) -> None:
    with stack.untouched():
        for route, fields in REQUESTS[:4]:
            for other in ("passenger", "system"):
                status, body = stack.ask(route, {"booking_code": "mine", "sender": other, **fields}, stack.token())
                assert (status, body["error"]["code"]) == (403, "forbidden")
        for other in ("passenger", "system"):
            assert stack.connect({"booking_code": "mine", "sender": other, "token": stack.token()}) == 403


def test_a_token_gives_no_other_name(stack: Stack) -> None:
    _, body = stack.ask(
        "POST /api/v1/send_message", {"booking_code": "mine", "message": "x", "sender_id": "boss"}, stack.token()
    )
    assert body["message"]["sender_id"] == "driver-7"
    assert stack.connect({"booking_code": "mine", "token": stack.token(), "sender_id": "boss"}) == 200
    (row,) = [row for row in stack.world.rows("connections") if row["connection_id"]["S"] == "new"]
    assert row["sender_id"]["S"] == "driver-7"


def test_a_connection_acts_only_as_its_own_booking_and_role(stack: Stack) -> None:
    with stack.untouched():
        for frame in FRAMES:
            for lie in ({"booking_code": "theirs"}, {"sender": "passenger"}, {"sender": "system"}, {"sender": ""}):
                (told,) = stack.say("d1", {**frame, **lie})
                assert (told["type"], told["error"]["code"]) == ("error", "forbidden")


def test_a_token_that_expires_while_connected_ends_everything(stack: Stack) -> None:
    stack.world.connect("d3", "driver", "mine", token_exp={"N": str(int(time.time()))})
    with stack.untouched():
        for frame in FRAMES:
            (told,) = stack.say("d3", {**frame, "id": "1"})
            assert (told["type"], told["id"], told["error"]["code"]) == ("error", "1", "token_expired")
    stack.ask("POST /api/v1/send_message", {"booking_code": "mine", "message": "x"}, stack.token())
    assert [frame["type"] for frame in stack.world.gateway.frames["d3"]] == []
    assert [frame["type"] for frame in stack.world.gateway.frames["p1"]] == ["message"]


def test_a_connection_keeps_the_expiry_of_its_token(stack: Stack) -> None:
    exp = int(time.time()) + 100
    assert stack.connect({"booking_code": "mine", "token": stack.token(exp=exp)}) == 200
    (row,) = [row for row in stack.world.rows("connections") if row["connection_id"]["S"] == "new"]
    assert row["token_exp"]["N"] == str(exp)


def test_only_system_closes_a_booking_or_writes_what_system_writes(stack: Stack) -> None:
    closing = {"message": "x", "message_type": "system", "metadata": {"event": "booking_closed"}}
    with stack.untouched():
        for kind in ("system", "call"):
            asked = {"booking_code": "mine", **closing, "message_type": kind}
            assert stack.ask("POST /api/v1/send_message", asked, stack.token())[0] == 403
            (told,) = stack.say("d1", {"action": "message", **closing, "message_type": kind})
            assert told["error"]["code"] == "forbidden"
    # An event in a message of another type closes nothing.
    asked = {"booking_code": "mine", **closing, "message_type": "text"}
    assert stack.ask("POST /api/v1/send_message", asked, stack.token())[0] == 201
    assert stack.ask("POST /api/v1/send_message", {"booking_code": "mine", "message": "x"}, stack.token())[0] == 201


def test_a_token_of_system_rings_nobody_and_reads_nothing_as_a_side(stack: Stack) -> None:
    system = stack.token(role="system")
    asked = {"booking_code": "mine", "action": "initiate"}
    assert stack.ask("POST /api/v1/make_call", asked, system)[0] == 403
    assert stack.ask("POST /api/v1/send_message", {"booking_code": "mine", "read": 1}, system)[0] == 403


def test_a_rotation_keeps_the_tokens_of_the_last_secret(stack: Stack) -> None:
    old = stack.token()
    secrets: Any = boto3.client("secretsmanager")
    secrets.put_secret_value(SecretId="tokens", SecretString="rotated-" * 8)
    warm.forget()
    asked = {"booking_code": "mine"}
    assert stack.ask("GET /api/v1/get_message", asked, old)[0] == 200
    assert stack.ask("GET /api/v1/get_message", asked, stack.token("rotated-" * 8))[0] == 200
    secrets.put_secret_value(SecretId="tokens", SecretString="another1" * 8)
    warm.forget()
    assert stack.ask("GET /api/v1/get_message", asked, old)[0] == 401


def test_without_the_secret_every_request_is_unavailable_with_a_wait(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:123456789012:secret:nobody")
    with stack.untouched():
        status, body = stack.ask("GET /api/v1/get_message", {"booking_code": "mine"}, stack.token())
        assert (status, body["error"]["code"]) == (503, "unavailable")
        assert "nobody" not in json.dumps(body)
        assert stack.connect({"booking_code": "mine", "token": stack.token()}) == 503


def test_a_token_valid_for_more_than_ten_years_is_refused(stack: Stack) -> None:
    now = int(time.time())
    for exp in (2**53, (now + 3600) * 1_000, now + 3_654 * 86_400):
        token = stack.token(exp=exp)
        with stack.untouched():
            status, body = stack.ask("POST /api/v1/send_message", {"booking_code": "mine", "message": "x"}, token)
            assert (status, body["error"]["code"]) == (401, "unauthorized")
            assert stack.connect({"booking_code": "mine", "token": token}) == 401
    assert (
        stack.ask("GET /api/v1/get_message", {"booking_code": "mine"}, stack.token(exp=now + 3_650 * 86_400))[0] == 200
    )


def test_tokens_that_differ_on_one_request_open_nothing_however_they_are_carried(stack: Stack) -> None:
    mine, also_mine = stack.token(), stack.token(sub="somebody-else")
    bearer = {"Authorization": f"Bearer {mine}"}
    offered = {"Sec_WebSocket_Protocol": f"navietakie.v1, bearer.{also_mine}"}
    with stack.untouched():
        assert stack.connect({"booking_code": "mine", "token": also_mine}, **bearer) == 401
        assert stack.connect({"booking_code": "mine"}, **bearer, **offered) == 401
        assert stack.connect({"booking_code": "mine", "token": mine}, **offered) == 401
        both = {"Sec_WebSocket_Protocol": f"bearer.{mine}, bearer.{also_mine}"}
        assert stack.connect({"booking_code": "mine"}, **both) == 401
        assert stack.connect({"booking_code": "mine", "token": mine}, Authorization="Basic x") == 401
    same = {"Sec_WebSocket_Protocol": f"navietakie.v1, bearer.{mine}"}
    assert stack.connect({"booking_code": "mine", "token": mine}, **bearer, **same) == 200


def test_two_authorization_headers_that_differ_open_nothing(stack: Stack) -> None:
    def ask(*tokens: str) -> int:
        event = {
            "httpMethod": "GET",
            "resource": "/api/v1/get_message",
            "queryStringParameters": {"booking_code": "mine"},
            "headers": {"Authorization": f"Bearer {tokens[-1]}"},
            "multiValueHeaders": {"Authorization": [f"Bearer {token}" for token in tokens]},
        }
        return HANDLERS["GET /api/v1/get_message"](event, None)["statusCode"]

    assert ask(stack.token("forged--" * 8), stack.token()) == 401
    assert ask(stack.token(), stack.token()) == 200


@pytest.mark.parametrize("name", ["booking_code", "sender", "token", "unheard_of"])
def test_a_parameter_that_is_given_twice_is_refused_at_the_handshake_too(stack: Stack, name: str) -> None:
    query = {"booking_code": ["mine"], "token": [stack.token()]}
    event: dict[str, Any] = {
        "requestContext": {"routeKey": "$connect", "eventType": "CONNECT", "connectionId": "new"},
        "queryStringParameters": {name: values[-1] for name, values in query.items()},
        "multiValueQueryStringParameters": query | {name: [*query.get(name, ["driver"]), "driver"]},
    }
    with stack.untouched():
        assert websocket.app.handler(event, None)["statusCode"] == 400


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    return log


def test_the_log_knows_a_person_by_role_and_by_a_hash_that_the_token_secret_keys(
    stack: Stack, log: io.StringIO
) -> None:
    def served() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        log.truncate(0)
        log.seek(0)
        return [line for line in lines if line["message"] == "served"]

    def ask(**changes: Any) -> dict[str, Any]:
        stack.ask("GET /api/v1/get_message", {"booking_code": "mine"}, stack.token(**changes))
        (line,) = served()
        return line

    mine = ask()
    assert (mine["role"], len(mine["who"])) == ("driver", 16)
    assert ask()["who"] == mine["who"]
    assert ask(sub="somebody-else")["who"] != mine["who"]
    assert stack.connect({"booking_code": "mine", "token": stack.token()}) == 200
    (connected,) = served()
    stack.say("new", {"action": "ping"})
    (pinged,) = served()
    assert [line["who"] for line in (connected, pinged)] == [mine["who"]] * 2
    assert [line["role"] for line in (connected, pinged)] == ["driver"] * 2
    assert "driver-7" not in json.dumps([mine, connected, pinged])
    unkeyed = hashlib.sha256(b"driver-7").hexdigest()
    assert not unkeyed.startswith(mine["who"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": 1}, "expired"),
        ({"aud": "another"}, "audience"),
        ({"role": "boss"}, "claims"),
        ({"secret": "forged--" * 8}, "signature"),
        ({"exp": 2**53}, "too_long"),
        ({"nbf": 4_102_444_800}, "not_yet"),
    ],
)
def test_the_log_says_why_a_token_was_refused_but_has_no_token(
    stack: Stack,
    log: io.StringIO,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    reason: str,
) -> None:
    token = stack.token(**changes)
    assert stack.ask("GET /api/v1/get_message", {"booking_code": "mine"}, token)[0] == 401
    assert f'"refused_because":"{reason}"' in log.getvalue()
    printed = log.getvalue() + capsys.readouterr().out
    assert token not in printed
    assert token.split(".")[1] not in printed
    assert ("TokensRefused" in printed) is (reason != "expired")
