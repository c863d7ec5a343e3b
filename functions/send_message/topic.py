"""The topic of message events (SNS), and the queue for the ids of what it will never take (SQS)."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from navietakie.aws import clients
from navietakie.domain.errors import unavailable
from navietakie.domain.frames import encode
from navietakie.warm import kept

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

BATCH: Final = 10
BATCH_BYTES: Final = 240 * 1024
"""SNS takes ten messages or 256 KB at once, attributes included."""
NEVER: Final = frozenset(
    {"BatchRequestTooLong", "InvalidParameter", "InvalidParameterException", "InvalidParameterValue", "ValidationError"}
)
"""What is wrong with a message itself: it will be wrong again the next time."""


class MessageTopic:
    """Publishes events on an SNS topic, `type` as an attribute too."""

    def __init__(self, client: "SNSClient", arn: str) -> None:
        self._client = client
        self._arn = arn

    def publish(self, events: Sequence[Mapping[str, Any]], deadline: float) -> Mapping[str, str]:
        """Publishes `events`; those that SNS will never take, by `event_id`, with the reason.

        Raises the Refusal `unavailable` where SNS does not answer, or `deadline` (monotonic) has come: some of them may
        be published then.
        """
        refused: dict[str, str] = {}
        for batch in _batches(events):
            if time.monotonic() >= deadline:
                raise unavailable("The topic of message events")
            refused |= self._publish(batch)
        return refused

    def _publish(self, batch: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        entries = [
            {
                "Id": str(index),
                "Message": encode(event).decode(),
                "MessageAttributes": {"type": {"DataType": "String", "StringValue": event["type"]}},
            }
            for index, event in enumerate(batch)
        ]
        try:
            answer = self._client.publish_batch(TopicArn=self._arn, PublishBatchRequestEntries=cast(Any, entries))
        except clients.Failed as error:
            code = clients.name_of(error)
            if code not in NEVER:
                raise unavailable("The topic of message events") from error
            if len(batch) == 1:
                return {batch[0]["event_id"]: code}
            return {id: why for event in batch for id, why in self._publish([event]).items()}  # which of them was it?
        refused: dict[str, str] = {}
        for failed in answer.get("Failed") or []:
            if failed["Code"] not in NEVER:
                raise unavailable("The topic of message events")
            refused[batch[int(failed["Id"])]["event_id"]] = failed["Code"]
        return refused


def _batches(events: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """The events in turn, as many at once as SNS takes; one that is too long for it comes alone."""
    batch: list[Mapping[str, Any]] = []
    room = BATCH_BYTES
    for event in events:
        size = len(encode(event)) + 100
        if batch and (len(batch) == BATCH or size > room):
            yield batch
            batch, room = [], BATCH_BYTES
        batch.append(event)
        room -= size
    if batch:
        yield batch


class DeadLetters:
    """Keeps ids in an SQS queue, for people to look at."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def put(self, letter: Mapping[str, Any]) -> None:
        """Puts `letter` into the queue; raises the Refusal `unavailable`."""
        try:
            self._client.send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(letter))
        except clients.Failed as error:
            raise unavailable("The dead-letter queue of message events") from error


@kept
def message_topic(arn: str) -> MessageTopic:
    """The topic `arn`. Nobody waits for what is published there: it may take its time."""
    return MessageTopic(clients.client("sns", connect_timeout=1, read_timeout=3, attempts=2), arn)


@kept
def dead_letters(queue_url: str) -> DeadLetters:
    """The queue at `queue_url`."""
    return DeadLetters(clients.client("sqs", connect_timeout=1, read_timeout=2, attempts=3), queue_url)
