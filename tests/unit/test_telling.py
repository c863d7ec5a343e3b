"""Messages as events: what a record of the stream becomes, and what happens if a service does not answer."""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from navietakie.aws.tables.messages import MessageKey, item_of
from navietakie.domain import instants
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.message import Message
from send_message import telling
from send_message.telling import MessageEvent, Telling

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
EXPIRES_AT = instants.to_seconds(NOW) + 1_000


def message(seq: int = 1, **fields: Any) -> Message:
    return Message(
        message_id=f"id-{seq}",
        booking_code="test",
        seq=seq,
        timestamp=instants.to_text(NOW + seq),
        sender="driver",
        message_type="text",
        **{"sender_id": "driver-1", "message": f"Privately {seq}", "metadata": {"a": seq}, **fields},
    )


def item(seq: int = 1, **fields: Any) -> dict[str, Any]:
    return item_of(message(seq, **fields), EXPIRES_AT)


def redacted(seq: int = 1) -> dict[str, Any]:
    return item(seq, message="", metadata=None) | {"redacted_at": {"S": instants.to_text(NOW + 99)}}


def change(image: Mapping[str, Any], name: str = "INSERT") -> dict[str, Any]:
    keys = {key: image[key] for key in ("booking_code", "timestamp") if key in image}
    record = {"Keys": keys, "NewImage": image, "SequenceNumber": "77"}
    return {"eventSource": "aws:dynamodb", "eventName": name, "dynamodb": record}


class Services:
    """The topic, the dead-letter queue and the table. Each may fail."""

    def __init__(self) -> None:
        self.published: list[MessageEvent] = []
        self.letters: list[Mapping[str, Any]] = []
        self.items: dict[MessageKey, Any] = {}
        self.refused: dict[str, str] = {}
        self.topic_is_gone = self.queue_is_gone = self.table_is_gone = False
        self.at_once = 100
        self.read: list[Collection[MessageKey]] = []

    def publish(self, events: Sequence[MessageEvent], deadline: float) -> Mapping[str, str]:
        if self.topic_is_gone:
            raise unavailable("The topic")
        self.published += [event for event in events if event["event_id"] not in self.refused]
        return self.refused

    def put(self, letter: Mapping[str, Any]) -> None:
        if self.queue_is_gone:
            raise unavailable("The queue")
        self.letters.append(letter)

    def items_at(self, wanted: Collection[MessageKey]) -> tuple[Mapping[MessageKey, Any], Collection[MessageKey]]:
        if self.table_is_gone:
            raise unavailable("The database")
        self.read.append(wanted)
        now, later = list(wanted)[: self.at_once], list(wanted)[self.at_once :]
        return {key: self.items[key] for key in now if key in self.items}, later

    def keep(self, *items: dict[str, Any]) -> None:
        self.items |= {(it["booking_code"]["S"], it["timestamp"]["S"]): it for it in items}

    def tell(self, *changes: dict[str, Any], full: bool = False, seconds: float = 5) -> None:
        Telling(self.publish, self.put, self if full else None).tell(changes, NOW, time.monotonic() + seconds)


@pytest.fixture
def services() -> Services:
    return Services()


IDS = {
    "event_id": "id-1-stored",
    "type": "message.stored",
    "booking_code": "test",
    "timestamp": instants.to_text(NOW + 1),
    "seq": 1,
    "message_id": "id-1",
    "sender": "driver",
    "message_type": "text",
}


def test_a_stored_message_is_published_with_its_ids(services: Services) -> None:
    services.tell(change(item()))
    assert services.published == [IDS]
    assert services.read == []


def test_with_full_a_message_is_read_again_and_published_with_its_content(services: Services) -> None:
    services.keep(item())
    services.tell(change(item()), full=True)
    assert services.published == [{**IDS, "message": "Privately 1", "metadata": {"a": 1}, "sender_id": "driver-1"}]


def test_a_redaction_is_an_event_of_its_own(services: Services) -> None:
    services.keep(redacted())
    services.tell(change(redacted(), "MODIFY"), full=True)
    told = {**IDS, "event_id": "id-1-redacted", "type": "message.redacted"}
    assert services.published == [{**told, "message": "", "metadata": None, "sender_id": "driver-1"}]


def test_a_message_that_was_redacted_meanwhile_is_published_without_its_text(services: Services) -> None:
    services.keep(redacted())
    services.tell(change(item()), change(redacted(), "MODIFY"), full=True)
    assert [event["type"] for event in services.published] == ["message.stored", "message.redacted"]
    assert "Privately" not in json.dumps(services.published)
    assert [len(wanted) for wanted in services.read] == [1], "the same item is asked for once"


@pytest.mark.parametrize("gone", [True, False], ids=["erased", "expired"])
def test_a_message_that_is_gone_meanwhile_is_published_without_content(services: Services, gone: bool) -> None:
    if not gone:
        services.keep(item() | {"expires_at": {"N": str(instants.to_seconds(NOW))}})
    services.tell(change(item()), full=True)
    assert services.published == [{**IDS, "message": "", "metadata": None, "sender_id": None}]


def test_heads_markers_and_expired_items_are_no_events(services: Services) -> None:
    head = {"booking_code": {"S": "test"}, "timestamp": {"S": "#head"}, "seq": {"N": "1"}}
    removed = change(item(), "REMOVE")
    del removed["dynamodb"]["NewImage"]
    services.tell(change(head), change(head, "MODIFY"), removed, change(item(), "MODIFY"))
    assert (services.published, services.letters) == ([], [])


BROKEN: dict[str, Any] = {
    "no message at all": {"booking_code": {"S": "test"}, "timestamp": {"S": "2026"}, "note": {"S": "Privately"}},
    "no seq": {name: value for name, value in item().items() if name != "seq"},
    "a seq that is none": item() | {"seq": {"S": "Privately"}},
    "an empty id": item() | {"message_id": {"S": ""}},
    "a sender that is no text": item() | {"sender": {"N": "7"}},
}


@pytest.mark.parametrize("image", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_record_leaves_its_ids_and_the_next_ones_go_on(services: Services, image: dict[str, Any]) -> None:
    services.tell(change(item(2)), change(image), change(item(3)))
    assert [event["seq"] for event in services.published] == [2, 3]
    key = {"booking_code": "test", "timestamp": image["timestamp"]["S"], "sequence_number": "77"}
    assert services.letters == [{"reason": "it is no message", **key}]


@pytest.mark.parametrize("record", [{}, None, {"Keys": None}, {"Keys": {"timestamp": None}}, {"Keys": {}}])
def test_an_empty_record_leaves_what_it_has_and_the_next_one_goes_on(services: Services, record: Any) -> None:
    services.tell({"eventSource": "aws:dynamodb", "dynamodb": record}, change(item()))
    assert len(services.published) == 1
    empty = {"booking_code": None, "timestamp": None, "sequence_number": None}
    assert services.letters == [{"reason": "it is no message", **empty}]


def test_what_was_published_and_what_never_can_be_are_counted(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str, float]] = []
    monkeypatch.setattr(telling, "count", lambda *of: counted.append(of))
    services.refused = {"id-1-stored": "InvalidParameter"}
    services.tell(*(change(item(seq)) for seq in (1, 2, 3)), change(BROKEN["no seq"]))
    assert counted == [("MessageEvents", 2), ("MessageEventsDead", 2)]


def test_an_item_that_cannot_be_read_any_more_leaves_its_ids(services: Services) -> None:
    services.keep(item(1) | {"metadata": {"S": "no JSON, privately"}}, item(2))
    services.tell(change(item(1)), change(item(2)), full=True)
    assert [event["seq"] for event in services.published] == [2]
    (letter,) = services.letters
    assert (letter["event_id"], letter["reason"]) == ("id-1-stored", "it is no message")
    assert "privately" not in json.dumps(letter)


def test_a_message_that_the_topic_refuses_for_good_leaves_its_ids(services: Services) -> None:
    services.refused = {"id-1-stored": "InvalidParameter"}
    services.keep(item(1), item(2))
    services.tell(change(item(1)), change(item(2)), full=True)
    assert [event["seq"] for event in services.published] == [2]
    ids = {name: IDS[name] for name in ("event_id", "type", "booking_code", "timestamp", "seq", "message_id")}
    assert services.letters == [{"reason": "InvalidParameter", **ids}]


@pytest.mark.parametrize("gone", ["topic_is_gone", "queue_is_gone", "table_is_gone"])
def test_if_topic_queue_or_table_does_not_answer_the_whole_batch_comes_again(services: Services, gone: str) -> None:
    setattr(services, gone, True)
    services.keep(item(1))
    batch = [change(item(1)), change(BROKEN["no seq"])]
    for _ in range(2):
        with pytest.raises(Refusal) as failed:
            services.tell(*batch, full=True)
        assert failed.value.code == "unavailable"
    assert services.letters == [], "no letter before all others are published: each try would leave one"
    setattr(services, gone, False)
    services.tell(*batch, full=True)
    assert {event["event_id"] for event in services.published} == {"id-1-stored"}
    assert len(services.letters) == 1


def test_a_table_that_returns_a_part_of_the_items_is_asked_again(services: Services) -> None:
    services.at_once = 2
    services.keep(*map(item, range(5)))
    services.tell(*[change(item(seq)) for seq in range(5)], full=True)
    assert [event["message"] for event in services.published] == [f"Privately {seq}" for seq in range(5)]
    services.at_once = 0
    with pytest.raises(Refusal):
        services.tell(change(item(1)), full=True, seconds=0.05)
