"""The topic of message events, and the queue of those that it will never take: what each failure means."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from navietakie.domain.errors import Refusal
from send_message.topic import DeadLetters, MessageTopic

EVENTS = [{"event_id": f"{number}", "type": "message.stored", "message": "Grüße"} for number in (1, 2)]
SOON = 60.0


def failure(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "Publish")


class Client:
    """Takes what it gets, or fails with the next of `failures`; None is no failure."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures, self.taken = list(failures), list[dict[str, Any]]()

    def publish(self, **request: Any) -> None:
        self._take(request)

    def send_message(self, **request: Any) -> None:
        self._take(request)

    def _take(self, request: dict[str, Any]) -> None:
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        self.taken.append(request)


def published(client: Client, deadline: float = SOON) -> Any:
    return MessageTopic(client, "the-topic").publish(EVENTS, time.monotonic() + deadline)  # type: ignore[arg-type]


def test_each_event_is_published_with_its_type_as_an_attribute() -> None:
    client = Client()
    assert published(client) == {}
    attribute = {"type": {"DataType": "String", "StringValue": "message.stored"}}
    assert [{**request, "Message": json.loads(request["Message"])} for request in client.taken] == [
        {"TopicArn": "the-topic", "Message": event, "MessageAttributes": attribute} for event in EVENTS
    ]


@pytest.mark.parametrize(
    "code", ["InvalidParameter", "InvalidParameterException", "InvalidParameterValue", "ValidationError"]
)
def test_an_event_that_is_at_fault_itself_is_named_and_the_next_goes_on(code: str) -> None:
    client = Client(failure(code))
    assert published(client) == {"1": code}
    assert len(client.taken) == 1


@pytest.mark.parametrize("error", [failure("Throttled"), EndpointConnectionError(endpoint_url="x")])
def test_a_topic_that_does_not_answer_is_unavailable(error: Exception) -> None:
    client = Client(error)
    with pytest.raises(Refusal) as refused:
        published(client)
    assert (refused.value.code, client.taken) == ("unavailable", [])


@pytest.mark.parametrize("deadline", [0, -1])
def test_nothing_is_published_from_the_deadline_on(deadline: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1_000.0)
    client = Client()
    with pytest.raises(Refusal) as refused:
        published(client, deadline)
    assert (refused.value.code, client.taken) == ("unavailable", [])


def test_a_letter_goes_to_the_queue_as_json() -> None:
    client = Client()
    DeadLetters(client, "the-queue").put({"reason": "x"})  # type: ignore[arg-type]
    assert client.taken == [{"QueueUrl": "the-queue", "MessageBody": '{"reason": "x"}'}]


@pytest.mark.parametrize("error", [failure("Throttled"), EndpointConnectionError(endpoint_url="x")])
def test_a_queue_that_does_not_answer_is_unavailable(error: Exception) -> None:
    with pytest.raises(Refusal) as refused:
        DeadLetters(Client(error), "the-queue").put({})  # type: ignore[arg-type]
    assert refused.value.code == "unavailable"
