"""Publishing events to a topic that misbehaves."""

import json
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from navietakie import warm
from navietakie.aws import publishing
from navietakie.observability import flush
from tests.fakes.peer import Peer, answer, hang_up, peer, reset

PUBLISHED = b"<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
THROTTLED = b"<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Generator[Peer]:
    with peer() as server:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
            "EVENTS_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:events",
        }.items():
            monkeypatch.setenv(name, value)
        warm.forget()
        yield server
        warm.forget()


def ring(event_id: str) -> None:
    publishing.publish(
        {
            "event_id": event_id,
            "type": "booking.closed",
            "booking_code": "ride-1",
            "timestamp": "2026-03-01T10:00:00.000000Z",
        }
    )


@pytest.mark.parametrize("behaviour", [hang_up, reset, answer(400, THROTTLED), answer(503)])
def test_an_event_is_tried_again(topic: Peer, behaviour: Any) -> None:
    topic.answers[""] = [answer(200, PUBLISHED), behaviour, answer(200, PUBLISHED)]
    ring("first")
    ring("second")
    assert len(topic.asked) == 3
    assert all(b"second" in asked.body for asked in topic.asked[1:])


def test_an_event_that_cannot_be_published_fails_nothing_and_is_counted(
    topic: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    topic.answers[""] = [answer(503)]
    ring("lost")
    flush()
    assert len(topic.asked) == 2
    assert '"EventsFailed":[1.0]' in capsys.readouterr().out


def test_an_event_goes_to_the_topic_with_what_subscribers_filter_by(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[dict[str, Any]] = []
    monkeypatch.setenv("EVENTS_TOPIC_ARN", "the-topic")
    monkeypatch.setattr(publishing, "_client", lambda: SimpleNamespace(publish=lambda **it: taken.append(it)))
    event: Any = {"event_id": "e1", "type": "call.ringing", "booking_code": "ride-1", "timestamp": "t", "to": "driver"}
    publishing.publish(event)
    attributes = {name: {"DataType": "String", "StringValue": event[name]} for name in ("type", "to")}
    assert taken == [{"TopicArn": "the-topic", "Message": json.dumps(event), "MessageAttributes": attributes}]


def test_a_start_makes_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(publishing, "_client", lambda: made.append("client"))
    publishing.ready()
    assert made == ["client"]


@pytest.mark.parametrize(
    ("topic_arn", "said"),
    [
        ("", {"event_type": "booking.closed"}),
        ("the-topic", {"event_type": "booking.closed", "booking_code": "ride-1"}),
    ],
)
def test_an_event_that_is_not_published_is_logged_with_its_ids(
    topic_arn: str, said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="x")

    warned: list[Any] = []
    monkeypatch.setenv("EVENTS_TOPIC_ARN", topic_arn)
    monkeypatch.setattr(publishing, "_client", lambda: SimpleNamespace(publish=fail))
    monkeypatch.setattr(publishing.logger, "warning", lambda _, *, extra: warned.append(extra))
    ring("e1")
    flush()
    assert warned == [said]
