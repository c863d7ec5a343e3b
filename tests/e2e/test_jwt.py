"""Tokens on the running stack: what they allow and what not, through real HTTP and WebSocket."""

import base64
import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import boto3
import jwt
import pytest
from botocore.exceptions import ClientError
from websockets.exceptions import InvalidStatus

from clients import tokens
from clients.tokens import DeployedSecret, Wanted
from local.stack import Stack
from tests.e2e import privacy
from tests.e2e.talking import ask, connected, hear, tell
from tests.running import Run
from tests.template.stack import translations

Mint = Callable[..., str]


@pytest.fixture
def mint(jwt_run: tuple[Run, Stack]) -> Mint:
    """Makes tokens for the stack."""
    secret = DeployedSecret("local", home=jwt_run[0].home)

    def mint(booking: str, role: str, ttl: int = 600, ago: float = 0) -> str:
        wanted = Wanted.parse({"booking": booking, "role": role, "sub": f"{role}-1", "ttl": ttl})
        return tokens.token(secret.current(), wanted, time.time() - ago)

    return mint


def test_a_token_allows_everything_in_its_booking_and_role(jwt_stack: Stack, mint: Mint) -> None:
    driver, passenger = mint("ride-a", "driver"), mint("ride-a", "passenger")
    with (
        connected(jwt_stack, "booking_code=ride-a&sender=passenger", passenger) as theirs,
        connected(jwt_stack, f"booking_code=ride-a&token={driver}") as own,
    ):
        assert theirs.subprotocol == "navietakie.v1"
        sent = ask(jwt_stack, driver, "POST", "send_message", booking_code="ride-a", message="Privately by REST")
        assert (sent.status_code, sent.json()["message"]["sender"]) == (201, "driver")
        assert hear(theirs, "message")["message"]["sender_id"] == "driver-1"
        tell(own, "message", message="Privately by socket", id="m1")
        assert hear(own, "ack")["id"] == "m1"
        assert hear(theirs, "message")["message"]["message"] == "Privately by socket"
        tell(theirs, "read", seq=2)
        assert hear(own, "receipt")["seq"] == 2
        tell(theirs, "typing", on=True)
        assert hear(own, "typing")["on"] is True
        tell(own, "sync")
        assert len(hear(own, "sync")["messages"]) == 2
        tell(own, "ping")
        assert hear(own, "pong")["presence"] == {"driver": True, "passenger": True, "agent": False}
        tell(own, "call", call_action="initiate", id="c1")
        call = hear(own, "ack")["call"]
        answered = ask(
            jwt_stack, passenger, "POST", "make_call", booking_code="ride-a", action="accept", call_id=call["call_id"]
        )
        assert answered.json()["call"]["state"] == "connected"
        tell(own, "signal", call_id=call["call_id"], data={"sdp": "Privately signalled"})
        assert hear(theirs, "signal")["data"] == {"sdp": "Privately signalled"}
        tell(own, "call", call_action="end", call_id=call["call_id"], id="c2")
        assert hear(own, "ack")["call"]["end_reason"] == "completed"
    page = ask(jwt_stack, passenger, "GET", "get_message", booking_code="ride-a").json()
    assert page["head_seq"] == 3
    assert len(ask(jwt_stack, driver, "GET", "calls", booking_code="ride-a").json()["calls"]) == 1


def test_a_token_allows_nothing_else(jwt_stack: Stack, mint: Mint) -> None:
    owner, thief = mint("ride-b", "driver"), mint("ride-c", "driver")
    assert ask(jwt_stack, owner, "POST", "send_message", booking_code="ride-b", message="Not for thieves").is_success
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "send_message", {"message": "Stolen"}),
        ("POST", "send_message", {"read": 1}),
        ("POST", "make_call", {"action": "initiate"}),
        ("GET", "get_message", {}),
        ("GET", "calls", {}),
    ]
    for method, path, fields in asked:
        refused = ask(jwt_stack, thief, method, path, booking_code="ride-b", **fields)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        refused = ask(jwt_stack, None, method, path, booking_code="ride-b", sender="driver", **fields)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")
    for role in ("passenger", "system"):
        fields = {"booking_code": "ride-b", "sender": role, "message": "Stolen"}
        assert ask(jwt_stack, owner, "POST", "send_message", **fields).status_code == 403
    page = ask(jwt_stack, owner, "GET", "get_message", booking_code="ride-b").json()
    assert [each["message"] for each in page["messages"]] == ["Not for thieves"]


def test_only_a_valid_token_of_the_role_connects(jwt_stack: Stack, mint: Mint) -> None:
    good = mint("ride-d", "driver")
    claims = jwt.decode(good, options={"verify_signature": False})
    header, payload, signature = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    for status, query, token in (
        (400, "booking_code=ride-d&sender=nobody", good),
        (401, "booking_code=ride-d&sender=driver", None),
        (403, "booking_code=ride-e&sender=driver", good),
        (403, "booking_code=ride-d&sender=passenger", good),
        (401, "booking_code=ride-d", mint("ride-d", "driver", ttl=60, ago=120)),
        (401, "booking_code=ride-d", f"{none}.{payload}."),
        (401, "booking_code=ride-d", f"{header}.{payload}.{signature[::-1]}"),
        (401, "booking_code=ride-d", jwt.encode(claims, "another-" * 8, algorithm="HS256")),
        (403, f"booking_code=ride-d&token={mint('ride-e', 'driver')}", None),
    ):
        with pytest.raises(InvalidStatus) as refused, connected(jwt_stack, query, token):
            pass
        assert (query, refused.value.response.status_code) == (query, status)


def test_a_token_that_expires_while_connected_is_refused_and_hears_nothing_more(jwt_stack: Stack, mint: Mint) -> None:
    lasting = mint("ride-f", "driver")
    with (
        connected(jwt_stack, "booking_code=ride-f", mint("ride-f", "passenger", 600)) as witness,
        connected(jwt_stack, "booking_code=ride-f", (brief := mint("ride-f", "passenger", 8))) as socket,
    ):
        tell(socket, "ping")
        hear(socket, "pong")
        time.sleep(max(0.0, jwt.decode(brief, options={"verify_signature": False})["exp"] - time.time()))
        sent = ask(jwt_stack, lasting, "POST", "send_message", booking_code="ride-f", message="Too late for some")
        assert sent.is_success
        hear(witness, "message")
        tell(socket, "message", message="From beyond", id="late")
        told = json.loads(socket.recv(timeout=20))
        assert (told["type"], told["id"], told["error"]["code"]) == ("error", "late", "token_expired")
        refused = ask(jwt_stack, brief, "GET", "get_message", booking_code="ride-f")
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "token_expired")


def test_tokens_of_the_rotated_secret_and_of_the_one_before_are_both_valid(
    jwt_run: tuple[Run, Stack], mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, stack = jwt_run
    secret = DeployedSecret("local", home=run.home)
    before, first = mint("ride-g", "driver"), secret.current()
    monkeypatch.delenv("ENV", raising=False)
    tokens.main(["rotate"], run.home)
    try:
        after = mint("ride-g", "driver")
        assert secret.versions() == [secret.current(), first]
        assert secret.current() != first
        end = time.monotonic() + 70  # after a forged token a function asks for the secret again only a minute later
        while not (answer := ask(stack, after, "GET", "get_message", booking_code="ride-g")).is_success:
            assert time.monotonic() < end, answer.text
            time.sleep(1)
        assert ask(stack, before, "GET", "get_message", booking_code="ride-g").is_success
    finally:
        secret.put(first)  # all functions know this one, so later tests need not wait


def test_make_token_prints_a_token_and_nothing_else(
    jwt_run: tuple[Run, Stack], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, stack = jwt_run
    for name, value in {"BOOKING": "ride-h", "ROLE": "driver", "TTL": "60"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ENV", raising=False)
    tokens.main(["mint"], run.home)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert ask(stack, printed.strip(), "GET", "get_message", booking_code="ride-h").is_success
    claims = jwt.decode(printed.strip(), options={"verify_signature": False})
    assert claims["exp"] - time.time() <= 60


def test_a_stack_without_tokens_is_not_deployed_beyond_a_laptop(jwt_stack: Stack) -> None:
    formation: Any = boto3.client("cloudformation", **cast(Any, jwt_stack.access.client))
    for environment in ("staging", "production"):
        # The embedded AWS checks resource types before rules, and does not know all types.
        template = {part: translations()[environment][part] for part in ("Parameters", "Rules")}
        template["Resources"] = {"Topic": {"Type": "AWS::SNS::Topic"}}
        for mode, refused in (("none", True), ("jwt", False)):
            parameters = {"Environment": environment, "AuthMode": mode}
            deploy: dict[str, Any] = {
                "StackName": f"{environment}-{mode}",
                "TemplateBody": json.dumps(template),
                "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            }
            with pytest.raises(ClientError, match="AuthMode=none") if refused else nullcontext():
                formation.create_stack(**deploy)


def test_no_token_and_no_text_is_in_any_log(jwt_run: tuple[Run, Stack], mint: Mint) -> None:
    run, stack = jwt_run
    token = mint("ride-i", "driver")
    with connected(stack, f"booking_code=ride-i&token={token}") as socket:
        tell(socket, "message", message="Whispered over a socket", id="m1")
        hear(socket, "ack")
        tell(socket, "no such action", message="Whispered in vain")
        hear(socket, "error")
    ask(stack, token, "POST", "send_message", booking_code="ride-i", message="Whispered by REST")
    ask(stack, token, "POST", "send_message", booking_code="ride-j", message="Whispered elsewhere")
    ask(stack, token[:-2], "POST", "send_message", booking_code="ride-i", message="Whispered unsigned")
    end = time.monotonic() + 10
    while run.logged().count("ride-i") < 4 and time.monotonic() < end:  # the log lines come a moment later
        time.sleep(0.2)
    privacy.check(run, stack)
    for hidden in ("Whispered", token, token.rpartition(".")[2], os.sep + "?token="):
        assert hidden not in run.logged()
