"""Events for the company's other systems, on an SNS topic: ids and roles, never a message's text."""

import json
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from navietakie import settings
from navietakie.aws import clients
from navietakie.domain import instants
from navietakie.domain.message import Side
from navietakie.observability import count, logger
from navietakie.warm import kept

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

EventType = Literal["call.ringing", "call.ended", "message.undelivered", "booking.closed"]


def publish(
    type: EventType, booking_code: str, now: int, *, event_id: str, to: Side | None = None, **fields: Any
) -> None:
    """Publishes an event. `event_id` is the same however often it is published: consumers drop repeats by it.

    `to` is the side that it is meant for, if any: a push service filters by it, as by the type.

    Tried twice, within 3 s. Never raises: what it reports has happened either way.
    """
    topic = settings.optional("EVENTS_TOPIC_ARN")
    if not topic:
        logger.warning("an event was not published: EVENTS_TOPIC_ARN is not set", extra={"event_type": type})
        return
    event = {
        "event_id": event_id,
        "type": type,
        "booking_code": booking_code,
        "timestamp": instants.to_text(now),
        **({"to": to} if to else {}),
        **fields,
    }
    attributes = {"type": type, **({"to": to} if to else {})}
    try:
        _client().publish(
            TopicArn=topic,
            Message=json.dumps(event),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
    except (ClientError, BotoCoreError):
        logger.warning("an event was not published", extra={"event_type": type, "booking_code": booking_code})
        count("EventsFailed")


@kept
def _client() -> "SNSClient":
    return clients.client("sns", connect_timeout=0.5, read_timeout=0.5, attempts=2)
