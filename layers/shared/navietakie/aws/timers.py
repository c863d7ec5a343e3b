"""The call timer queue: messages that come back to make-call after a delay (SQS DelaySeconds, to the second).

Three kinds, each with the booking and fields of its own. One that comes late, twice or for a call that is over does
nothing; one that comes early queues the rest of its time.

- `ring` (`call_id`): the call may have rung long enough. Queued before the call is written.
- `left` (`call_id`, `side`, `left_at` in microseconds): a connection of that side ended during the live call.
  make-call notes it and looks 30 s later whether the side has a connection.
- `order` (`event`, `look`): an order that ends a call or cuts connections is about to be written. Queued before that;
  make-call looks on the head what is ordered, six times within 30 s, and does what the order demands.
"""

import json
from typing import TYPE_CHECKING, Any, Protocol

from navietakie import settings
from navietakie.aws import clients
from navietakie.domain.errors import unavailable
from navietakie.warm import cached

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class Timers(Protocol):
    """Something that delivers a timer at least once after its delay."""

    def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        """Queues a timer. Raises the Refusal `unavailable`: what depends on the timer must not happen then."""
        ...


class QueuedTimers:
    """Timers in SQS."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def queue(self, kind: str, booking_code: str, delay_seconds: int, **fields: Any) -> None:
        """Queues a timer of `kind`, delivered after `delay_seconds` (0 to 900)."""
        body = json.dumps({"kind": kind, "booking_code": booking_code, **fields})
        try:
            self._client.send_message(
                QueueUrl=self._queue_url, MessageBody=body, DelaySeconds=max(0, min(900, delay_seconds))
            )
        except clients.AWS_ERRORS as error:
            raise unavailable("The timer queue") from error


@cached
def queued_timers(queue_url: str) -> QueuedTimers:
    """The timers in the queue at `queue_url`, one per process."""
    return QueuedTimers(clients.client("sqs", connect_timeout=1, read_timeout=2, attempts=3), queue_url)


def timers() -> QueuedTimers:
    """The timers in the configured queue."""
    return queued_timers(settings.required("CALL_TIMER_QUEUE_URL"))
