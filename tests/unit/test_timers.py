"""Timers in the queue: what they say, how long they wait, and what it means if the queue does not answer."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from navietakie.aws.timers import QueuedTimers
from navietakie.domain.errors import Refusal


class Queue:
    """Takes messages, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure, self.taken = failure, list[dict[str, Any]]()

    def send_message(self, **request: Any) -> None:
        if self.failure:
            raise self.failure
        self.taken.append(request)


@pytest.mark.parametrize(("delay", "waits"), [(-1, 0), (0, 0), (1, 1), (899, 899), (900, 900), (901, 900)])
def test_a_timer_waits_for_15_minutes_at_most(delay: int, waits: int) -> None:
    queue = Queue()
    QueuedTimers(queue, "the-queue").queue("ring", "ride-1", delay, call_id="c1")  # type: ignore[arg-type]
    (taken,) = queue.taken
    assert json.loads(taken.pop("MessageBody")) == {"kind": "ring", "booking_code": "ride-1", "call_id": "c1"}
    assert taken == {"QueueUrl": "the-queue", "DelaySeconds": waits}


@pytest.mark.parametrize(
    "failure",
    [ClientError({"Error": {"Code": "Throttled"}}, "SendMessage"), EndpointConnectionError(endpoint_url="x")],
)
def test_a_queue_that_does_not_answer_is_unavailable(failure: Exception) -> None:
    with pytest.raises(Refusal) as refused:
        QueuedTimers(Queue(failure), "the-queue").queue("ring", "ride-1", 1)  # type: ignore[arg-type]
    assert refused.value.code == "unavailable"
