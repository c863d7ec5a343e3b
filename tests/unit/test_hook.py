"""What happens to a message after each answer of the company's hook, and after its failures."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message, NewMessage
from send_message import hook
from send_message.hook import Hook, NoAnswer, payload

NEW = NewMessage.parse({"message": "Hello", "client_message_id": "m1", "sender_id": "driver-1", "metadata": {"a": 1}})


def message(new: NewMessage = NEW) -> Message:
    return Message(
        message_id="i",
        booking_code="test",
        seq=7,
        timestamp="2026-03-01T10:00:00.000000Z",
        sender="driver",
        message_type="text",
        sender_id=new.sender_id,
        client_message_id=new.client_message_id,
        message=new.message,
        metadata=new.metadata,
    )


def asked(answer: Any, on_failure: Any = "deny", new: NewMessage = NEW) -> NewMessage:
    """What happens to a message if the hook answers so: bytes as they are, an exception, or anything else as JSON."""

    def invoke(_: bytes) -> bytes:
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    return Hook(invoke, on_failure).screened(message(new), new)


def test_the_hook_gets_ids_and_content_and_nothing_else() -> None:
    assert json.loads(payload(message())) == {
        "booking_code": "test",
        "sender": "driver",
        "sender_id": "driver-1",
        "client_message_id": "m1",
        "message": "Hello",
        "message_type": "text",
        "metadata": {"a": 1},
    }


def test_allow_stores_what_was_sent() -> None:
    assert asked({"action": "allow", "whatever": [1]}) is NEW


@pytest.mark.parametrize(
    ("answer", "text", "metadata"),
    [
        ({"message": "Bye"}, "Bye", {"a": 1}),
        ({"metadata": {"b": 2}}, "Hello", {"b": 2}),
        ({"message": "Bye", "metadata": {}}, "Bye", {}),
        ({"metadata": None}, "Hello", None),
        ({}, "Hello", {"a": 1}),
    ],
)
def test_replace_replaces_what_it_gives(answer: dict[str, Any], text: str, metadata: Any) -> None:
    stored = asked({"action": "replace", **answer})
    assert (stored.message, stored.metadata) == (text, metadata)
    assert (stored.client_message_id, stored.sender_id) == ("m1", "driver-1")


@pytest.mark.parametrize(
    ("reason", "details"),
    [
        ("Please stay friendly.", {"reason": "Please stay friendly."}),
        ("x" * 201, {"reason": "x" * 200}),
        (None, {}),
        ("", {}),
        (["no", "text"], {}),
    ],
)
@pytest.mark.parametrize("on_failure", ["deny", "allow"])
def test_deny_refuses_with_the_reason(reason: Any, details: dict[str, str], on_failure: str) -> None:
    with pytest.raises(Refusal) as refused:
        asked({"action": "deny", "reason": reason}, on_failure)
    assert (refused.value.code, refused.value.status, refused.value.retryable) == ("refused_by_hook", 403, False)
    assert refused.value.details == details


def test_deny_needs_no_reason() -> None:
    with pytest.raises(Refusal) as refused:
        asked({"action": "deny"})
    assert refused.value.details == {}


ATTACHED = {"attachment": {"id": "a" * 32, "content_type": "image/png", "bytes": 9}}
NONSENSE: dict[str, Any] = {
    "it does not answer": NoAnswer("ReadTimeoutError"),
    "it raised an error": NoAnswer("it raised an error"),
    "nothing": b"",
    "no JSON": b"allow",
    "half of it": b'{"action": "all',
    "no UTF-8": b'{"action": "allow", "x": "\xff"}',
    "null": None,
    "a list": [{"action": "allow"}],
    "a text": "allow",
    "an empty object": {},
    "another action": {"action": "maybe"},
    "an action in capitals": {"action": "ALLOW"},
    "an action that is no text": {"action": ["allow"]},
    "NaN": b'{"action": "allow", "x": NaN}',
    "nested too deeply": b'{"action": "allow", "x": ' + b"[" * 40 + b"]" * 40 + b"}",
    "nested beyond all measure": b'{"action": "allow", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "too long": b'{"action": "allow", "x": "' + b"x" * 300_000 + b'"}',
    "a text that is none": {"action": "replace", "message": 7},
    "no text": {"action": "replace", "message": None},
    "an empty text": {"action": "replace", "message": ""},
    "too long a text": {"action": "replace", "message": "x" * 5_001},
    "a text with NUL": {"action": "replace", "message": "a\x00b"},
    "a text with a lone surrogate": b'{"action": "replace", "message": "\\ud800"}',
    "metadata that are none": {"action": "replace", "metadata": []},
    "too much metadata": {"action": "replace", "metadata": {"x": "x" * 5_000}},
    "a place beyond the Earth": {"action": "replace", "metadata": {"location": {"lat": 91, "lng": 0}}},
    "an event": {"action": "replace", "metadata": {"event": "booking_closed"}},
    "an attachment": {"action": "replace", "metadata": ATTACHED},
    "more than a body": {"action": "replace", "message": "x" + "\x01" * 4_999, "metadata": {"x": "\x01" * 650}},
    "more than a frame": {"action": "replace", "message": "x" + "\x01" * 4_999, "metadata": {"x": "x" * 1_950}},
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_an_answer_without_sense_counts_as_a_failure(answer: Any) -> None:
    assert asked(answer, "allow") is NEW
    with pytest.raises(Refusal) as refused:
        asked(answer, "deny")
    assert (refused.value.code, refused.value.retryable) == ("unavailable", True)
    assert refused.value.retry_after_ms


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("it raised an error", "it raised an error"),
        ("too long", "its answer is too long"),
        ("a list", "its answer is no object"),
        ("no JSON", "its answer is no JSON"),
        ("no UTF-8", "its answer is no JSON"),
        ("nested too deeply", "its answer is refused: invalid_request"),
        ("another action", "its action is none that there is"),
        ("an event", "its metadata has another event or attachment"),
        ("an empty text", "its replacement is refused: invalid_request"),
        ("more than a body", "its answer is refused: too_large"),
        ("more than a frame", "its replacement is refused: too_large"),
    ],
)
def test_a_failure_has_its_reason(answer: str, why: str) -> None:
    with pytest.raises(Refusal) as refused:
        asked(NONSENSE[answer], "deny")
    assert str(refused.value.__cause__) == why


@pytest.mark.parametrize(("spare", "why"), [(0, None), (-1, "its answer is too long")])
def test_the_longest_answer_has_256_kilobytes(spare: int, why: str | None) -> None:
    answer = b'{"action": "allow"}'
    answer += b" " * (262_144 - len(answer) - spare)
    if why is None:
        assert asked(answer) is NEW
    else:
        assert asked(answer, "allow") is NEW
        with pytest.raises(Refusal) as refused:
            asked(answer)
        assert str(refused.value.__cause__) == why


@pytest.mark.parametrize(
    ("answer", "outcome", "counted"),
    [
        ({"action": "allow"}, "allow", []),
        ({"action": "deny"}, "deny", ["HookDenials"]),
        ({"action": "replace"}, "replace", ["HookReplacements"]),
        ({"action": "maybe"}, "failed", ["HookFailures"]),
        (NoAnswer("ReadTimeoutError"), "failed", ["HookFailures"]),
    ],
)
def test_each_answer_is_counted_and_logged_with_the_time_that_it_took(
    answer: Any, outcome: str, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    logged: dict[str, Any] = {}
    moments = iter([1_000.0, 1_001.23456])
    monkeypatch.setattr(hook, "count", found.append)
    monkeypatch.setattr(hook.logger, "append_keys", lambda **keys: logged.update(keys))
    monkeypatch.setattr(hook.time, "monotonic", lambda: next(moments))
    with contextlib.suppress(Refusal):
        asked(answer)
    assert (found, logged) == (counted, {"hook": {"outcome": outcome, "elapsed_ms": 1_234.6}})


def test_the_message_of_an_attachment_may_change_and_the_attachment_may_not() -> None:
    new = NewMessage.parse({"message": "Look", "metadata": {**ATTACHED, "x": 1}})
    assert asked({"action": "replace", "message": "See"}, new=new).metadata == {**ATTACHED, "x": 1}
    assert asked({"action": "replace", "metadata": ATTACHED}, new=new).metadata == ATTACHED
    for metadata in (
        None,
        {},
        {"attachment": {"id": "b" * 32}},
        {"attachment": {**ATTACHED["attachment"], "bytes": 9.0}},
    ):
        assert asked({"action": "replace", "metadata": metadata}, "allow", new) is new


def test_an_escaped_answer_may_be_longer_than_a_body() -> None:
    text = "🥐" * 5_000
    assert asked({"action": "replace", "message": text}).message == text


def test_the_log_holds_no_word_of_a_message_or_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    new = NewMessage.parse({"message": "Privately said", "metadata": {"note": "Privately noted"}})
    for answer in NONSENSE.values():
        asked(answer, "allow", new)
        with pytest.raises(Refusal):
            asked(answer, "deny", new)
    with pytest.raises(Refusal):
        asked({"action": "deny", "reason": "Privately refused"}, new=new)
    assert "rivately" not in capsys.readouterr().out


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Hook]:
    def configured(**variables: str) -> Hook:
        for name, value in variables.items():
            monkeypatch.setenv(f"MESSAGE_HOOK_{name}", value)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        return hook.configured()

    return configured


@pytest.mark.parametrize(("setting", "seconds"), [("", 1.5), ("200", 0.2)])
def test_an_answer_may_take_a_second_and_a_half_unless_it_is_set_otherwise(
    setting: str, seconds: float, configure: Callable[..., Hook], monkeypatch: pytest.MonkeyPatch
) -> None:
    invokers: list[tuple[str, float]] = []
    monkeypatch.setattr(hook, "invoker", lambda *given: invokers.append(given))
    configure(ARN="the hook's", TIMEOUT_MS=setting)
    assert invokers == [("the hook's", seconds)]


def test_a_failing_hook_denies_by_default(configure: Callable[..., Hook]) -> None:
    arn = "arn:aws:lambda:eu-central-1:000000000000:function:hook"
    assert configure(ARN=arn).on_failure == "deny"
    assert configure(ARN=arn, ON_FAILURE="allow").on_failure == "allow"
    with pytest.raises(Refusal) as refused:
        configure(ARN=arn, ON_FAILURE="perhaps")
    assert "MESSAGE_HOOK_ON_FAILURE" in refused.value.message
