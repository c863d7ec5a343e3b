"""What a company may switch on for each message: masking, a hook, and an event.

On a stack of its own, with the roles enforced. The hook is the sample of the documentation, deployed as another Lambda
function. A queue subscribes to the topic of message events.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.aws import session
from local.stack import ROOT, Stack
from tests.e2e import privacy
from tests.e2e.talking import ask
from tests.running import Run, running

ACCOUNT = "000000000000"
NAME = "company-hook"
SECONDS = 60
"""How many seconds an event may take: the emulator polls, and the machine may be busy."""


@dataclass
class Company:
    """The company's side: its hook, its queue, and the keys to the embedded AWS."""

    run: Run
    stack: Stack
    aws: Any
    inbox: str
    letters: str

    def say(self, booking: str, text: str, sender: str = "driver", **fields: Any) -> tuple[int, Any]:
        """Sends a message by REST."""
        sent = ask(
            self.stack, None, "POST", "send_message", booking_code=booking, sender=sender, message=text, **fields
        )
        return sent.status_code, sent.json()

    def heard(self, url: str, enough: Callable[[list[Any]], bool]) -> list[Any]:
        """Waits until there are enough messages in a queue, and takes them out."""
        sqs, found, end = self.aws.client("sqs"), [], time.monotonic() + SECONDS
        while not enough(found) and time.monotonic() < end:
            got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
            for each in got:
                body = json.loads(each["Body"])
                found.append(json.loads(body["Message"]) if "TopicArn" in body else body)
                sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return found

    def events(self, booking: str, number: int) -> list[Any]:
        """Waits for so many different message events of a booking. Returns them in the order of `seq`."""

        def own(found: list[Any]) -> dict[str, Any]:
            return {event["event_id"]: event for event in found if event["booking_code"] == booking}

        found = own(self.heard(self.inbox, lambda found: len(own(found)) >= number))
        return sorted(found.values(), key=lambda event: (event["seq"], event["type"] == "message.redacted"))


def zipped(source: str) -> bytes:
    """A deployment package of one module."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("message_hook.py", source)
    return content.getvalue()


def taking(queue: str, topic: str) -> dict[str, Any]:
    """The policy with which a queue takes messages from a topic."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Generator[Company]:
    """The stack with everything switched on, and the company's hook and queue."""
    home: Path = tmp_path_factory.mktemp("company-stack")
    given = home.parent / "company.yaml"
    given.write_text(
        f"MessageHookArn: arn:aws:lambda:us-east-1:{ACCOUNT}:function:{NAME}\n"
        "MessageHookTimeoutMs: 3000\nMaskContacts: 'on'\nMessageEvents: full\n"
    )
    with running(home, "--parameters", str(given)) as (run, stack):
        aws = session(stack.access)
        sqs: Any = aws.client("sqs")
        inbox = sqs.create_queue(QueueName="archive")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topic = stack.outputs["MessageEventsTopicArn"]
        sqs.set_queue_attributes(QueueUrl=inbox, Attributes={"Policy": json.dumps(taking(arn, topic))})
        aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        role = aws.client("iam").create_role(
            RoleName=NAME,
            AssumeRolePolicyDocument=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "lambda.amazonaws.com"},
                            "Action": "sts:AssumeRole",
                        }
                    ],
                }
            ),
        )["Role"]["Arn"]
        aws.client("lambda").create_function(
            FunctionName=NAME,
            Runtime="python3.13",
            Handler="message_hook.handler",
            Role=role,
            Code={"ZipFile": zipped((ROOT / "docs/examples/message_hook.py").read_text())},
            Timeout=3,
        )
        company = Company(run, stack, aws, inbox, stack.outputs["MessageEventsDeadLetterQueueUrl"])
        end = time.monotonic() + SECONDS  # a cold hook takes longer than the time-out
        while company.say("warm-up", "Warming up")[0] == 503 and time.monotonic() < end:
            pass
        yield company
        privacy.check(run, stack)


def test_the_sample_hook_allows_replaces_and_denies(company: Company) -> None:
    status, sent = company.say("ride-h", "On my way", client_message_id="m1")
    assert (status, sent["message"]["message"]) == (201, "On my way")
    status, sent = company.say("ride-h", "Look at https://example.com/x now", client_message_id="m2")
    assert (status, sent["message"]["message"]) == (201, "Look at [link removed] now")
    status, again = company.say("ride-h", "Look at https://example.com/x now", client_message_id="m2")
    assert (status, again["duplicate"], again["message"]) == (200, True, sent["message"])
    status, refused = company.say("ride-h", "You idiot", client_message_id="m3")
    assert (status, refused["error"]["code"]) == (403, "refused_by_hook")
    assert refused["error"]["details"] == {"reason": "Please stay friendly."}
    status, sent = company.say("ride-h", "What an idiot, says support", "system")
    assert (status, sent["message"]["seq"]) == (201, 3)


def test_contacts_are_masked_in_what_sides_write(company: Company) -> None:
    _, sent = company.say("ride-m", "Call ٠١٧٠ 1234567 or tom@example.com, 12,50 € at 10:15", client_message_id="m1")
    assert sent["message"]["message"] == f"Call {'•' * 12} or {'•' * 15}, 12,50 € at 10:15"
    page = ask(company.stack, None, "GET", "get_message", booking_code="ride-m").json()
    assert [each["message"] for each in page["messages"]] == [sent["message"]["message"]]


def test_every_message_is_an_event(company: Company) -> None:
    said = [company.say("ride-e", f"Message {number}")[1]["message"] for number in range(12)]
    heard = company.events("ride-e", 12)
    assert [event["seq"] for event in heard] == list(range(1, 13))
    assert {event["type"] for event in heard} == {"message.stored"}
    for event, message in zip(heard, said, strict=True):
        for name in ("message_id", "timestamp", "sender", "message_type", "message", "metadata", "sender_id"):
            assert event[name] == message[name]


def test_a_redaction_is_an_event_without_the_text(company: Company) -> None:
    said = company.say("ride-r", "To be taken out")[1]["message"]
    answered = ask(
        company.stack,
        None,
        "POST",
        "send_message",
        booking_code="ride-r",
        sender="driver",
        redact=said["timestamp"],
    )
    assert answered.status_code == 201
    heard = company.events("ride-r", 3)
    assert [(event["seq"], event["type"]) for event in heard] == [
        (1, "message.stored"),
        (1, "message.redacted"),
        (2, "message.stored"),
    ]
    assert heard[1]["message"] == ""
    assert heard[1]["metadata"] is None


def test_a_broken_item_leaves_its_ids_and_the_next_ones_go_on(company: Company) -> None:
    key = {"booking_code": {"S": "ride-p"}, "timestamp": {"S": "2026-01-01T00:00:00.000000Z"}}
    company.aws.client("dynamodb").put_item(
        TableName=company.stack.outputs["MessagesTable"], Item={**key, "note": {"S": "Written by hand"}}
    )
    said = company.say("ride-p", "Behind the broken one")[1]["message"]
    assert [event["message_id"] for event in company.events("ride-p", 1)] == [said["message_id"]]
    (letter,) = company.heard(company.letters, lambda found: len(found) == 1)
    assert (letter["booking_code"], letter["timestamp"]) == ("ride-p", "2026-01-01T00:00:00.000000Z")
    assert "hand" not in json.dumps(letter)


def test_while_the_topic_is_gone_nothing_is_lost(company: Company) -> None:
    """Deletes the topic and makes it again: messages that were stored meanwhile are published then."""
    sns, topic = company.aws.client("sns"), company.stack.outputs["MessageEventsTopicArn"]
    (subscription,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.delete_topic(TopicArn=topic)
    said = [company.say("ride-t", f"Message {number}")[1]["message"] for number in range(3)]
    end = time.monotonic() + SECONDS
    while "The batch has to come again" not in company.run.logged() and time.monotonic() < end:
        if "The topic of message events is not available" in company.run.logged():
            break
        time.sleep(0.1)
    assert sns.create_topic(Name=topic.rpartition(":")[2])["TopicArn"] == topic
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=subscription["Endpoint"])
    assert [event["message_id"] for event in company.events("ride-t", 3)] == [each["message_id"] for each in said]


def test_a_hook_that_fails_costs_a_retry_and_nothing_else(company: Company) -> None:
    functions = company.aws.client("lambda")
    for source in ("def handler(event, context):\n    return 1 / 0\n", "handler = lambda event, context: ['?']\n"):
        functions.update_function_code(FunctionName=NAME, ZipFile=zipped(source))
        status, refused = company.say("ride-f", "Hello", client_message_id="m1")
        assert (status, refused["error"]["code"]) == (503, "unavailable")
    sample = (ROOT / "docs/examples/message_hook.py").read_text()
    functions.update_function_code(FunctionName=NAME, ZipFile=zipped(sample))
    end = time.monotonic() + SECONDS
    while (sent := company.say("ride-f", "Hello", client_message_id="m1"))[0] == 503 and time.monotonic() < end:
        pass
    assert (sent[0], sent[1]["message"]["seq"]) == (201, 1)
