"""The message hook over HTTP, against a Lambda service that answers, hangs, breaks off, or gives nonsense."""

import json
import socket
from collections.abc import Callable, Generator
from typing import Any

import pytest

from navietakie import warm
from send_message import app as send_message
from tests.fakes.peer import Answer, Peer, answer, hang_up, peer, reset, then_hang_up
from tests.worlds.moto import World

ARN = "arn:aws:lambda:us-east-1:123456789012:function:company-hook:live"
ASKED = "invocations"
"""The last part of the path of Lambda's Invoke. The peer finds its answers by it."""


def returned(value: Any, *fields: str) -> Answer:
    """The answer with what a function has returned."""
    return answer(200, json.dumps(value).encode(), "x-amz-executed-version: 1", *fields)


def raised(value: Any) -> Answer:
    """Lambda's answer if the function failed: also a 200."""
    return returned(value, "x-amz-function-error: Unhandled")


ALLOW = {"action": "allow"}


@pytest.fixture
def lambdas(world: World, monkeypatch: pytest.MonkeyPatch) -> Generator[Peer]:
    """The server that plays Lambda's API."""
    with peer() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{running.port}")
        monkeypatch.setenv("MESSAGE_HOOK_ARN", ARN)
        monkeypatch.setenv("MESSAGE_HOOK_TIMEOUT_MS", "3000")
        warm.forget()
        running.answers[ASKED] = [returned(ALLOW)]
        yield running


Say = Callable[..., tuple[int, Any]]


@pytest.fixture
def say(world: World) -> Say:
    def said(text: str = "Hello", sender: str = "driver", **fields: Any) -> tuple[int, Any]:
        body = {"booking_code": "test", "sender": sender, "message": text, **fields}
        status, answered, _ = world.rest(send_message.handler, "POST", "/api/v1/send_message", body)
        return status, answered

    return said


def stored(world: World) -> list[str]:
    """The stored texts."""
    return [row["message"]["S"] for row in world.rows("messages") if "message" in row]


def test_the_function_is_invoked_once_with_the_message(world: World, lambdas: Peer, say: Say) -> None:
    assert say("Hello", sender_id="d-1", metadata={"a": 1}, client_message_id="m1")[0] == 201
    (asked,) = lambdas.asked
    assert (asked.method, asked.headers["x-amz-invocation-type"]) == ("POST", "RequestResponse")
    assert asked.path == f"/2015-03-31/functions/{ARN.replace(':', '%3A')}/invocations"
    assert json.loads(asked.body) == {
        "booking_code": "test",
        "sender": "driver",
        "sender_id": "d-1",
        "client_message_id": "m1",
        "message": "Hello",
        "message_type": "text",
        "metadata": {"a": 1},
    }


def test_everybody_gets_the_text_that_the_hook_gave(world: World, lambdas: Peer, say: Say) -> None:
    lambdas.answers[ASKED] = [returned({"action": "replace", "message": "Bye 🥐", "metadata": {"b": 2}})]
    world.connect("p1", "passenger")
    status, sent = say("Hello", client_message_id="m1")
    (frame,) = world.gateway.frames["p1"]
    for message in (sent["message"], frame["message"]):
        assert (message["message"], message["metadata"]) == ("Bye 🥐", {"b": 2})
    status, again = say("Hello", client_message_id="m1")
    assert (status, again["duplicate"], again["message"]) == (200, True, sent["message"])
    assert say("Bye 🥐", metadata={"b": 2}, client_message_id="m1")[0] == 409
    assert len(lambdas.asked) == 1


def test_a_message_that_the_hook_denies_is_refused_at_every_door(world: World, lambdas: Peer, say: Say) -> None:
    lambdas.answers[ASKED] = [returned({"action": "deny", "reason": "Please stay friendly."})]
    world.connect("d1", "driver")
    world.connect("p1", "passenger")
    status, refused = say(client_message_id="m1")
    assert (status, refused["error"]["code"]) == (403, "refused_by_hook")
    assert refused["error"]["details"] == {"reason": "Please stay friendly."}
    (error,) = world.socket(send_message.handler, "d1", {"action": "message", "message": "Hello", "id": "m1"})
    assert (error["type"], error["id"], error["error"]["code"]) == ("error", "m1", "refused_by_hook")
    assert error["error"]["retryable"] is False
    direct = {"function_type": "send_message", "booking_code": "test", "sender": "driver", "message": "Hello"}
    assert send_message.handler(direct, None)["statusCode"] == 403
    assert (world.rows("messages"), world.gateway.frames["p1"]) == ([], [])


def test_the_hook_is_not_asked_about_system_messages_and_receipts(world: World, lambdas: Peer, say: Say) -> None:
    lambdas.answers[ASKED] = [returned({"action": "deny"})]
    assert say(sender="system")[0] == 201
    body = {"booking_code": "test", "sender": "driver", "read": 1}
    assert world.rest(send_message.handler, "POST", "/api/v1/send_message", body)[0] == 200
    assert lambdas.asked == []


def hangs(lambdas: Peer) -> Answer:
    return lambdas.hang


WRONG: dict[str, Callable[[Peer], Answer]] = {
    "it hangs": hangs,
    "it hangs in the middle": lambda _: lambda _: [b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"],
    "it dies": lambda _: hang_up,
    "it dies hard": lambda _: reset,
    "it dies in the middle": lambda _: then_hang_up(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"),
    "it raises": lambda _: raised({"errorMessage": "Privately: Hello", "errorType": "ValueError"}),
    "it runs out of time": lambda _: raised({"errorMessage": "Task timed out after 3.00 seconds"}),
    "it lies: it raised, and allows": lambda _: raised(ALLOW),
    "it lies: another action": lambda _: returned({"action": "store"}),
    "it answers nonsense": lambda _: answer(200, b"<html>"),
    "it answers nothing": lambda _: answer(200),
    "it answers without end": lambda _: answer(200, b" " * 1_000_000),
    "it is throttled": lambda _: answer(
        429, b'{"message":"Rate Exceeded."}', "x-amzn-errortype: TooManyRequestsException"
    ),
    "it is not there": lambda _: answer(404, b"{}", "x-amzn-errortype: ResourceNotFoundException"),
    "it is forbidden": lambda _: answer(403, b"{}", "x-amzn-errortype: AccessDeniedException"),
    "Lambda is out of order": lambda _: answer(500, b"{}", "x-amzn-errortype: ServiceException"),
    "Lambda speaks no HTTP": lambda _: lambda _: [b"220 smtp.example.com\r\n\r\n"],
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_failing_hook_has_only_the_effect_that_the_policy_says(
    world: World,
    lambdas: Peer,
    say: Say,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: Callable[[Peer], Answer],
) -> None:
    patient = wrong not in (WRONG["it hangs"], WRONG["it hangs in the middle"])
    monkeypatch.setenv("MESSAGE_HOOK_TIMEOUT_MS", "3000" if patient else "150")
    lambdas.answers[ASKED] = [wrong(lambdas)]
    status, body = say("Privately denied", client_message_id="m1")
    assert (status, body["error"]["code"]) == (503, "unavailable")
    assert world.rows("messages") == []
    monkeypatch.setenv("MESSAGE_HOOK_ON_FAILURE", "allow")
    status, body = say("Privately allowed", client_message_id="m2")
    assert (status, stored(world)) == (201, ["Privately allowed"])
    assert len(lambdas.asked) == 2, "each was asked about once"
    lambdas.answers[ASKED] = [returned(ALLOW)]
    monkeypatch.setenv("MESSAGE_HOOK_TIMEOUT_MS", "3000")
    status, body = say("Privately denied", client_message_id="m1")
    assert (status, body["duplicate"], body["message"]["seq"]) == (201, False, 2)
    assert "rivately" not in capsys.readouterr().out


def test_if_the_hook_cannot_be_reached_the_policy_decides(
    world: World, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MESSAGE_HOOK_ARN", ARN)
    warm.forget()
    assert say()[0] == 503
    monkeypatch.setenv("MESSAGE_HOOK_ON_FAILURE", "allow")
    assert say()[0] == 201


def test_one_time_out_covers_connecting_and_answering(world: World, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESSAGE_HOOK_ARN", ARN)
    monkeypatch.setenv("MESSAGE_HOOK_TIMEOUT_MS", "200")
    made: list[dict[str, Any]] = []
    from navietakie.aws import clients

    real = clients.HttpSession
    monkeypatch.setattr(clients, "HttpSession", lambda **how: made.append(how) or real(**how))
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")
    warm.forget()
    assert say()[0] == 503
    assert [(how["read_timeout"], how["in_all"]) for how in made if how["in_all"]] == [(0.2, True)]


def test_without_a_hook_lambda_is_never_asked(
    world: World, lambdas: Peer, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MESSAGE_HOOK_ARN")
    assert say(client_message_id="m1")[0] == 201
    assert lambdas.asked == []


def test_contacts_are_masked_before_the_hook_sees_them(
    world: World, lambdas: Peer, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASK_CONTACTS", "on")
    _, sent = say("Call 0170 1234567", client_message_id="m1", metadata={"note": "0170 1234567"})
    assert sent["message"]["message"] == "Call ••••••••••••"
    assert sent["message"]["metadata"] == {"note": "0170 1234567"}
    assert json.loads(lambdas.asked[0].body)["message"] == "Call ••••••••••••"
    assert say("Call 0170 1234567", client_message_id="m1", metadata={"note": "0170 1234567"})[1]["duplicate"]
    assert say("Call 0170 7654321", client_message_id="m1", metadata={"note": "0170 1234567"})[0] == 409
    assert say("Call 0170 1234567", sender="system")[1]["message"]["message"] == "Call 0170 1234567"
