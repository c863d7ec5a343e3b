"""The company's hook: a Lambda function of its own that sees each message of a person before it is stored.

It is asked once a request, after all other checks, as the contract says. So it is not asked about a message that would
be refused anyway, or that is stored already. It answers

    {"action": "allow"}
    {"action": "replace", "message": "…", "metadata": {…}}     both optional; `"metadata": null` takes it away
    {"action": "deny", "reason": "…"}                          the reason is for the sender

If it fails, takes too long or answers anything else, the operator's setting `on_failure` decides.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from navietakie import settings
from navietakie.aws import clients
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.frames import encode, encode_content, message_frame
from navietakie.domain.message import Message, NewMessage, compact
from navietakie.domain.parsing import json_object
from navietakie.observability import count, logger
from navietakie.warm import cached

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

OnFailure = Literal["deny", "allow"]

REASON_CHARACTERS: Final = 200
"""What is kept of a reason."""
ANSWER_BYTES: Final = 256 * 1024
"""A longer answer is not read. The longest message with its metadata fits, even with every character escaped."""
FIXED_FIELDS: Final = ("event", "attachment")
"""The fields of `metadata` that steer the booking or name an upload: they were checked before, and stay as they are."""
TIMEOUT_MS: Final = 1_500


class NoAnswer(Exception):
    """The hook did not answer: it failed, took too long, or could not be reached."""


class BadAnswer(Exception):
    """An answer that is none of the three, or asks for what is not allowed. The error's text never quotes it."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Asks `invoke`, which takes the payload and answers with bytes, or raises NoAnswer."""

    invoke: Callable[[bytes], bytes]
    on_failure: OnFailure

    def screened(self, message: Message, new: NewMessage) -> NewMessage:
        """`new` as it may be stored; `message` is what it would be stored as.

        Raises `refused_by_hook`, or `unavailable` if the hook failed and `on_failure` is `deny`.
        """
        started = time.monotonic()
        outcome = "failed"
        try:
            answer = parsed(self.invoke(payload(message)))
            outcome = str(answer.get("action"))
            return judged(answer, message, new)
        except (NoAnswer, BadAnswer) as failure:
            outcome = "failed"
            logger.warning("the message hook failed: %s", failure, extra={"on_failure": self.on_failure})
            count("HookFailures")
            if self.on_failure == "allow":
                return new
            raise unavailable("The message hook") from failure
        finally:
            took_ms = round((time.monotonic() - started) * 1_000, 1)
            logger.append_keys(hook={"outcome": outcome, "elapsed_ms": took_ms})


def payload(message: Message) -> bytes:
    """What the hook is asked."""
    fields = ("booking_code", "sender", "sender_id", "client_message_id", "message", "message_type", "metadata")
    return encode({name: getattr(message, name) for name in fields})


def parsed(answer: bytes) -> Mapping[str, Any]:
    """The JSON object in an answer, within the limits of what clients may send; raises BadAnswer."""
    if len(answer) > ANSWER_BYTES:
        raise BadAnswer("its answer is too long")
    try:
        value: Any = json.loads(answer)
        if not isinstance(value, dict):
            raise BadAnswer("its answer is no object")
        # Escapes may have made it longer than a body may be: unescaped it has to fit.
        return json_object(encode(cast(dict[str, Any], value)).decode())
    except Refusal as refusal:
        raise BadAnswer(f"its answer is refused: {refusal.code}") from None
    except (ValueError, RecursionError):
        raise BadAnswer("its answer is no JSON") from None


def judged(answer: Mapping[str, Any], message: Message, new: NewMessage) -> NewMessage:
    """What `answer` makes of a message; raises `refused_by_hook` or BadAnswer."""
    match answer.get("action"):
        case "allow":
            return new
        case "deny":
            count("HookDenials")
            reason = answer.get("reason")
            details = {"reason": reason[:REASON_CHARACTERS]} if isinstance(reason, str) and reason else {}
            raise Refusal("refused_by_hook", "The message was refused", details=details)
        case "replace":
            count("HookReplacements")
            return _replaced(answer, message, new)
        case _:
            raise BadAnswer("its action is none that there is")


def _replaced(answer: Mapping[str, Any], message: Message, new: NewMessage) -> NewMessage:
    given = {name: answer[name] for name in ("message", "metadata") if name in answer}
    fields = {name: getattr(new, name) for name in type(new).model_fields}
    try:
        replaced = NewMessage.parse({**fields, **given})
        if _own(replaced.metadata) != _own(message.metadata):
            raise BadAnswer("its metadata has another event or attachment")
        stored = message.model_copy(update={"message": replaced.message, "metadata": replaced.metadata})
        encode_content(message_frame(stored), "message")
    except Refusal as refusal:
        raise BadAnswer(f"its replacement is refused: {refusal.code}") from None
    return replaced


def _own(metadata: Mapping[str, Any] | None) -> bytes:
    return compact({name: value for name, value in (metadata or {}).items() if name in FIXED_FIELDS})


def configured() -> Hook:
    """The configured hook."""
    on_failure = settings.optional("MESSAGE_HOOK_ON_FAILURE", "deny")
    if on_failure not in get_args(OnFailure):
        raise Refusal("internal", "The function is not configured: MESSAGE_HOOK_ON_FAILURE is neither deny nor allow")
    seconds = settings.number("MESSAGE_HOOK_TIMEOUT_MS", TIMEOUT_MS) / 1_000
    return Hook(invoker(settings.required("MESSAGE_HOOK_ARN"), seconds), cast(OnFailure, on_failure))


@cached
def invoker(arn: str, seconds: float) -> Callable[[bytes], bytes]:
    """Gives a function that invokes `arn` with a payload, and returns what that returns.

    It asks once, waits `seconds` in all, and raises NoAnswer.
    """
    client: LambdaClient = clients.client(
        "lambda", connect_timeout=seconds, read_timeout=seconds, attempts=1, in_all=True
    )

    def invoke(payload: bytes) -> bytes:
        try:
            answer = client.invoke(FunctionName=arn, InvocationType="RequestResponse", Payload=payload)
            returned = answer["Payload"].read()
        except clients.AWS_ERRORS as error:
            raise NoAnswer(clients.error_name(error)) from error
        if "FunctionError" in answer:
            raise NoAnswer("it raised an error")
        return returned

    return invoke
