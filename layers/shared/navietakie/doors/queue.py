"""The queue: a batch of SQS messages, of which each succeeds or comes again by itself."""

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from navietakie.domain.errors import Refusal
from navietakie.domain.parsing import json_object
from navietakie.doors.failures import refusal_of
from navietakie.doors.lambda_event import LambdaEvent
from navietakie.observability import logger

QueueRoute = Callable[[Mapping[str, Any], bool, float], None]
"""Takes what one message of the queue says, whether it was received before, and the deadline (monotonic)."""


def is_batch(event: LambdaEvent) -> bool:
    """Whether the event is a batch of SQS messages."""
    records = event.get("Records")
    return isinstance(records, list) and all(
        isinstance(record, Mapping) and {"messageId", "body"} <= cast(LambdaEvent, record).keys()
        for record in cast(list[Any], records)
    )


def respond(handle: QueueRoute, event: LambdaEvent, deadline: float, request_id: str) -> Mapping[str, Any]:
    """Messages that fail, or whose turn does not come in time, come again, alone (Lambda's ReportBatchItemFailures).

    Those that can never succeed fail too: they end in the dead-letter queue, where somebody sees them.
    """
    from aws_lambda_powertools.utilities import batch  # 150 ms of a cold start, which no other door needs

    def handle_record(record: Mapping[str, Any]) -> None:
        logger.clear_state()
        logger.append_keys(request_id=request_id, queue_message_id=record["messageId"])
        try:
            if time.monotonic() >= deadline:
                raise Refusal("unavailable", "No time was left for this message of the queue")
            again = int(record.get("attributes", {}).get("ApproximateReceiveCount", "1")) > 1
            handle(json_object(record["body"]), again, deadline)
        except Exception as error:
            logger.warning("a message of the queue has to come again", extra={"reason": refusal_of(error).code})
            raise

    processor = batch.BatchProcessor(event_type=batch.EventType.SQS, raise_on_entire_batch_failure=False)
    with processor(cast(list[dict[Any, Any]], event["Records"]), handle_record):
        processor.process()
    return cast(Mapping[str, Any], processor.response())
