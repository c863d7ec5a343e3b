"""Every message as an event, through the real handler: from the stream's records to what subscribers get."""

import json
from collections.abc import Generator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto.core.botocore_stubber import BotocoreStubber

from navietakie.aws.tables.messages import messages
from navietakie.domain.errors import Refusal
from send_message import app as send_message
from tests.fakes import tables
from tests.fakes.invocations import changes
from tests.worlds.moto import Context, World


class Subscriber:
    """A subscriber of the topic of message events, which also looks into the dead-letter queue."""

    def __init__(self, world: World) -> None:
        self.world = world
        sns: Any = boto3.client("sns")
        self.topic = sns.create_topic(Name="message-events")["TopicArn"]
        inbox = world.sqs.create_queue(QueueName="message-events-heard")["QueueUrl"]
        arn = world.sqs.get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)
        self.letters_url = world.sqs.create_queue(QueueName="message-events-dlq")["QueueUrl"]

    def envelopes(self) -> list[dict[str, Any]]:
        return self.world.drained("message-events-heard")

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(envelope["Message"]) for envelope in self.envelopes()]

    def letters(self) -> list[dict[str, Any]]:
        return self.world.drained("message-events-dlq")


@pytest.fixture
def subscriber(world: World, monkeypatch: pytest.MonkeyPatch) -> Generator[Subscriber]:
    there = Subscriber(world)
    monkeypatch.setenv("MESSAGE_EVENTS", "full")
    monkeypatch.setenv("MESSAGE_EVENTS_TOPIC_ARN", there.topic)
    monkeypatch.setenv("MESSAGE_EVENTS_DEAD_LETTER_QUEUE_URL", there.letters_url)
    return there


def say(text: str = "Privately", **fields: Any) -> dict[str, Any]:
    """Stores a message. Returns its item."""
    event = {"function_type": "send_message", "booking_code": "test", "sender": "driver", "message": text, **fields}
    sent = send_message.handler(event, Context())["body"]["message"]
    (item,) = messages().items_at([(sent["booking_code"], sent["timestamp"])])[0].values()
    return item


def brought(*images: dict[str, Any], name: str = "INSERT") -> Any:
    """Hands the function a batch. Returns its answer."""
    return send_message.handler(changes(*images, name=name), Context())


def test_every_stored_message_is_an_event_with_its_type_for_filters(world: World, subscriber: Subscriber) -> None:
    items = [say(f"Privately {number} 🥐", sender_id="d-1", metadata={"n": 1.0}) for number in range(25)]
    assert brought(*items) is None
    envelopes = subscriber.envelopes()
    assert {envelope["MessageAttributes"]["type"]["Value"] for envelope in envelopes} == {"message.stored"}
    heard = sorted((json.loads(envelope["Message"]) for envelope in envelopes), key=lambda event: event["seq"])
    assert [event["message"] for event in heard] == [f"Privately {number} 🥐" for number in range(25)]
    assert heard[0] == {
        "event_id": f"{items[0]['message_id']['S']}-stored",
        "type": "message.stored",
        "booking_code": "test",
        "timestamp": items[0]["timestamp"]["S"],
        "seq": 1,
        "message_id": items[0]["message_id"]["S"],
        "sender": "driver",
        "message_type": "text",
        "message": "Privately 0 🥐",
        "metadata": {"n": 1.0},
        "sender_id": "d-1",
    }
    assert subscriber.letters() == []


def test_with_ids_an_event_has_no_text(world: World, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESSAGE_EVENTS", "ids")
    brought(say("Privately", sender_id="d-1", metadata={"a": "Privately"}))
    (event,) = subscriber.heard()
    assert not {"message", "metadata", "sender_id"} & event.keys()


def test_a_message_that_is_redacted_before_its_event_has_no_text_in_it(world: World, subscriber: Subscriber) -> None:
    item = say("Privately")
    redacted = {**item, "message": {"S": ""}, "redacted_at": {"S": "2026-03-01T10:00:00.000000Z"}}
    world.dynamodb.put_item(TableName=tables.NAMES["messages"], Item=redacted)
    brought(item)
    brought(redacted, name="MODIFY")
    heard = subscriber.heard()
    assert {event["type"] for event in heard} == {"message.stored", "message.redacted"}
    assert {event["message"] for event in heard} == {""}


def test_a_broken_item_leaves_its_ids_and_the_others_go_on(world: World, subscriber: Subscriber) -> None:
    broken = {"booking_code": {"S": "test"}, "timestamp": {"S": "2026-01-01"}, "note": {"S": "Privately"}}
    assert brought(say("one"), broken, say("two")) is None
    assert {event["message"] for event in subscriber.heard()} == {"one", "two"}
    (letter,) = subscriber.letters()
    assert (letter["booking_code"], letter["timestamp"]) == ("test", "2026-01-01")
    assert "rivately" not in json.dumps(letter)


def test_a_message_that_the_topic_never_takes_leaves_its_ids(world: World, subscriber: Subscriber) -> None:
    item = say("one")
    huge = {**say("two"), "message": {"S": "x" * 300_000}}
    world.dynamodb.put_item(TableName=tables.NAMES["messages"], Item=huge)
    assert brought(item, huge) is None
    assert [event["message"] for event in subscriber.heard()] == ["one"]
    (letter,) = subscriber.letters()
    assert letter["message_id"] == huge["message_id"]["S"]
    assert "x" * 9 not in json.dumps(letter)


@pytest.mark.parametrize(
    ("code", "status"),
    [("Throttled", 429), ("InternalError", 500), ("AuthorizationError", 403), ("NotFound", 404), ("KMSDisabled", 400)],
)
def test_while_the_topic_fails_the_batch_comes_again(
    world: World,
    subscriber: Subscriber,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: str,
    status: int,
) -> None:
    items = [say(f"Privately {number}") for number in range(3)]
    answer = BotocoreStubber.__call__

    class Raw:
        def stream(self, *_: Any, **__: Any) -> Generator[bytes]:
            error = f"<Error><Code>{code}</Code><Message>Privately</Message></Error>"
            yield f"<ErrorResponse>{error}</ErrorResponse>".encode()

    def stub(self: Any, event_name: str, request: Any, **how: Any) -> Any:
        if event_name.startswith("before-send.sns."):
            return AWSResponse(request.url, status, {}, Raw())
        return answer(self, event_name, request, **how)

    with monkeypatch.context() as patch:
        patch.setattr(BotocoreStubber, "__call__", stub)
        patch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
        for _ in range(2):
            with pytest.raises(Refusal) as failed:
                brought(*items)
            assert failed.value.code == "unavailable"
            assert failed.value.__cause__ is None, "Lambda would print what it was raised from"
    assert brought(*items) is None
    assert {event["seq"] for event in subscriber.heard()} == {1, 2, 3}
    assert subscriber.letters() == []
    assert "rivately" not in capsys.readouterr().out


def test_a_function_that_is_told_of_changes_without_a_topic_says_what_is_missing(world: World) -> None:
    with pytest.raises(Refusal) as failed:
        brought(say())
    assert "MESSAGE_EVENTS" in failed.value.message
