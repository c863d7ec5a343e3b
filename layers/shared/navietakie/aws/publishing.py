"""Events for the company's other systems, on an SNS topic: ids and roles, never a message's text."""

import json
from typing import TYPE_CHECKING, Final, TypedDict

from navietakie import settings
from navietakie.aws import clients
from navietakie.observability import count, logger
from navietakie.warm import cached

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

ATTRIBUTES: Final = ("type", "to")
"""Fields of an event that subscribers can filter by: what it is, and the side that it is meant for, if any."""


class Published(TypedDict):
    """What all events have, beside their `type`."""

    event_id: str
    booking_code: str
    timestamp: str


def publish(event: Published) -> None:
    """Publishes an event. Its `event_id` is the same however often it is published: consumers drop repeats by it.

    Tried twice, within 3 s. Never raises: what it reports has happened either way.
    """
    attributes = {name: str(value) for name, value in event.items() if name in ATTRIBUTES}
    topic = settings.optional("EVENTS_TOPIC_ARN")
    if not topic:
        what = {"event_type": attributes.get("type")}
        logger.warning("an event was not published: EVENTS_TOPIC_ARN is not set", extra=what)
        return
    try:
        _client().publish(
            TopicArn=topic,
            Message=json.dumps(event),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
    except clients.AWS_ERRORS:
        what = {"event_type": attributes.get("type"), "booking_code": event["booking_code"]}
        logger.warning("an event was not published", extra=what)
        count("EventsFailed")


def ready() -> None:
    """Makes the client."""
    _client()


@cached
def _client() -> "SNSClient":
    return clients.client("sns", connect_timeout=0.5, read_timeout=0.5, attempts=2)
