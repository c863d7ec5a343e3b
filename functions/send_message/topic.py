"""The topic of message events (SNS), and the queue for the ids of events that it will never take (SQS)."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from navietakie.aws import clients
from navietakie.domain.errors import unavailable
from navietakie.domain.frames import encode
from navietakie.warm import cached

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

NEVER: Final = frozenset({"InvalidParameter", "InvalidParameterException", "InvalidParameterValue", "ValidationError"})
"""The event itself is at fault: publishing it again would fail again."""


class MessageTopic:
    """Publishes events on an SNS topic, `type` as an attribute too."""

    def __init__(self, client: "SNSClient", arn: str) -> None:
        self._client = client
        self._arn = arn

    def publish(self, events: Sequence[Mapping[str, Any]], deadline: float) -> Mapping[str, str]:
        """Publishes `events`. Returns those that SNS will never take, by `event_id`, with the reason.

        Raises the Refusal `unavailable` if SNS does not answer or `deadline` (monotonic) has come. Some may then be
        published.
        """
        refused: dict[str, str] = {}
        for event in events:
            if time.monotonic() >= deadline:
                raise unavailable("The topic of message events")
            try:
                # One by one: the embedded AWS asks for an action of PublishBatch's own, which IAM does not know.
                self._client.publish(
                    TopicArn=self._arn,
                    Message=encode(event).decode(),
                    MessageAttributes={"type": {"DataType": "String", "StringValue": event["type"]}},
                )
            except clients.AWS_ERRORS as error:
                code = clients.error_name(error)
                if code not in NEVER:
                    raise unavailable("The topic of message events") from error
                refused[event["event_id"]] = code
        return refused


class DeadLetters:
    """Keeps ids in an SQS queue, for people to look at."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def put(self, letter: Mapping[str, Any]) -> None:
        """Puts `letter` into the queue; raises the Refusal `unavailable`."""
        try:
            self._client.send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(letter))
        except clients.AWS_ERRORS as error:
            raise unavailable("The dead-letter queue of message events") from error


@cached
def message_topic(arn: str) -> MessageTopic:
    """The topic `arn`. Nobody waits for what is published there: it may take its time."""
    return MessageTopic(clients.client("sns", connect_timeout=1, read_timeout=3, attempts=2), arn)


@cached
def dead_letters(queue_url: str) -> DeadLetters:
    """The queue at `queue_url`."""
    return DeadLetters(clients.client("sqs", connect_timeout=1, read_timeout=2, attempts=3), queue_url)
