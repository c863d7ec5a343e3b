"""The stream of a table: a batch of changes, which succeeds as a whole or comes again as a whole."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from navietakie.domain.errors import Refusal
from navietakie.doors.failures import refusal_of
from navietakie.doors.lambda_event import LambdaEvent

StreamRoute = Callable[[Sequence[Mapping[str, Any]], int, float], None]
"""Takes the changes of a batch, the time, and the deadline (monotonic)."""


def is_batch(event: LambdaEvent) -> bool:
    """Whether the event is a batch of a DynamoDB stream."""
    records = event.get("Records")
    return isinstance(records, list) and all(
        isinstance(record, Mapping) and cast(LambdaEvent, record).get("eventSource") == "aws:dynamodb"
        for record in cast(list[Any], records)
    )


def respond(handle: StreamRoute, event: LambdaEvent, now: int, deadline: float) -> None:
    """Hands the batch on. What fails fails the invocation: Lambda keeps the place in the stream, and tries again.

    Raises a Refusal, whose words are ours: Lambda writes them into the log.
    """
    try:
        handle(event["Records"], now, deadline)
    except Exception as error:
        refusal = refusal_of(error)
        raise Refusal(refusal.code, f"The batch has to come again: {refusal.message}") from None
