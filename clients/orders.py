"""`make order BOOKING=… EVENT=side_muted SIDE=driver`: an order to a booking of a local or a deployed stack.

It invokes the function directly, so IAM decides who may give orders. It sends the order again with the same id until
there is an answer; the order is stored once.
"""

import json
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import boto3
from botocore.config import Config

from clients.command import BOOKING, Command, Failed, Option
from clients.tokens import aws_of
from local.stack import HOME
from navietakie.domain.message import BookingCode, Fields, NewMessage, Participant
from navietakie.domain.orders import OrderEvent, order_in

TRIES: Final = 3
WORDS: Final[dict[OrderEvent, str]] = {
    "booking_closed": "The conversation is closed",
    "booking_opened": "The conversation is open again",
    "side_muted": "The {side} may not write for now",
    "side_unmuted": "The {side} may write again",
    "tokens_revoked": "The {side} has been signed out",
}
"""The text of each order that everybody in the booking reads, unless TEXT is given."""


COMMAND: Final = Command(
    "order",
    "Gives an order to a booking.",
    (
        BOOKING,
        Option("event", "|".join(WORDS), "what is ordered", None),
        Option("side", "driver", "driver, passenger or agent: whom it concerns"),
        Option("text", "…", "what everybody in the booking reads"),
    ),
)

Invoke = Callable[[dict[str, Any]], dict[str, Any]]


class Wanted(Fields):
    """What is to be ordered."""

    booking: BookingCode
    event: OrderEvent
    side: Participant | None = None
    text: str | None = None

    def payload(self, id: str) -> dict[str, Any]:
        """The order as send_message takes it. Raises `invalid_request` if it needs a side and has none."""
        text = self.text or WORDS[self.event].format(side=self.side)
        metadata = {"event": self.event, **({"side": self.side} if self.side else {})}
        order_in(NewMessage(message=text, message_type="system", metadata=metadata))
        return {
            "function_type": "send_message",
            "booking_code": self.booking,
            "sender": "system",
            "message_type": "system",
            "message": text,
            "client_message_id": id,
            "metadata": metadata,
        }


def give(wanted: Wanted, invoke: Invoke) -> dict[str, Any]:
    """Gives the order and returns the stored message. Raises Failed with what the function answered."""
    payload = wanted.payload(f"order-{uuid.uuid4().hex}")
    for attempt in range(1, TRIES + 1):
        answer = invoke(payload)
        body = cast(dict[str, Any], answer.get("body") or {})
        if answer.get("statusCode") in (200, 201):
            return body["message"]
        error = cast(dict[str, Any], body.get("error") or {"code": "internal", "message": "the function failed"})
        if error["code"] not in ("unavailable", "internal") or attempt == TRIES:
            raise Failed(f"{error['code']}: {error['message']}")
    raise AssertionError


def invoker(environment: str, home: Path = HOME) -> Invoke:
    """Invokes send_message of an environment."""
    patient = Config(connect_timeout=5, read_timeout=40, retries={"total_max_attempts": 3})
    functions: Any = boto3.client("lambda", config=patient, **cast(Any, aws_of(environment, home)))

    def invoke(payload: dict[str, Any]) -> dict[str, Any]:
        name = f"navietakie-send-message-{environment}"
        return json.loads(functions.invoke(FunctionName=name, Payload=json.dumps(payload))["Payload"].read())

    return invoke


def main(argv: Sequence[str] = (), home: Path = HOME) -> None:
    """Gives the order that the options or environment variables name."""

    def order(told: Mapping[str, str]) -> None:
        given = {name: told[name] or None for name in ("booking", "event", "side", "text")}
        wanted = Wanted.parse(given)
        stored = give(wanted, invoker(told["env"], home))
        print(f"{wanted.event} is message {stored['seq']} of {wanted.booking}, {stored['timestamp']}")

    COMMAND.run(argv, order)


if __name__ == "__main__":
    main(sys.argv[1:])
