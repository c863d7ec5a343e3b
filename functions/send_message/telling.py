"""Every message as an event: what the stream of the messages table tells is published on a topic of its own.

At least once. Where the topic, the table or the queue does not answer, the whole batch fails and Lambda brings it
again, for as long as the stream has it. A record that can never be published is another matter: it must not stand in
the way of those behind it. Its ids go to the dead-letter queue, once all others of its batch are published.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, cast

from navietakie import settings
from navietakie.aws.tables.keys import Item
from navietakie.aws.tables.messages import message_of, messages
from navietakie.domain import instants
from navietakie.domain.errors import unavailable
from navietakie.observability import count, logger
from navietakie.retrying import tries
from send_message.topic import dead_letters, message_topic

Content = Literal["ids", "full"]
Key = tuple[str, str]
"""The booking and the timestamp of a message: its key in the table."""
Event = dict[str, Any]

_BROKEN: Final = (AttributeError, KeyError, TypeError, ValueError)
"""What an item raises that is no message of ours."""


class Topic(Protocol):
    """Where events go: `topic.MessageTopic`."""

    def publish(self, events: Sequence[Event], deadline: float) -> Mapping[str, str]: ...


class Letters(Protocol):
    """Where the ids go of what cannot be published: `topic.DeadLetters`."""

    def put(self, letter: Mapping[str, Any]) -> None: ...


class Table(Protocol):
    """Where messages are read anew: `tables.messages.Messages`."""

    def anew(self, wanted: Collection[Key]) -> tuple[Mapping[Key, Item], Collection[Key]]: ...


@dataclass(frozen=True, slots=True)
class Telling:
    """Publishes on `topic`: with what `table` holds of a message, or without it the ids alone."""

    topic: Topic
    letters: Letters
    table: Table | None

    def tell(self, changes: Sequence[Mapping[str, Any]], now: int, deadline: float) -> None:
        """Publishes what `changes` of the table tell, or sets their ids aside. Raises the Refusal `unavailable`."""
        events: list[Event] = []
        dead: list[dict[str, Any]] = []
        for change in changes:
            try:
                event = event_of(change)
            except _BROKEN:
                dead.append({"reason": "it is no message", **ids_of(change)})
            else:
                events += [event] if event else []
        if self.table is not None:
            events = self._in_full(events, self.table, dead, now, deadline)
        refused = self.topic.publish(events, deadline)
        dead += [{"reason": why, **_ids(event)} for event in events if (why := refused.get(event["event_id"]))]
        for letter in dead:
            self.letters.put(letter)
            logger.error("a message event can never be published", extra={"letter": letter})
        count("MessageEvents", len(events) - len(refused))
        count("MessageEventsDead", len(dead))

    def _in_full(
        self, events: list[Event], table: Table, dead: list[dict[str, Any]], now: int, deadline: float
    ) -> list[Event]:
        """The events with what their messages hold now, which may be less than when the stream noted them."""
        items = _read(table, {_key(event) for event in events}, deadline)
        whole: list[Event] = []
        for event in events:
            try:
                whole.append(event | content_of(items.get(_key(event)), now))
            except _BROKEN:
                dead.append({"reason": "it is no message", **_ids(event)})
        return whole


def _read(table: Table, wanted: Collection[Key], deadline: float) -> Mapping[Key, Item]:
    found: dict[Key, Item] = {}
    for _ in tries(deadline):
        if wanted:
            items, wanted = table.anew(wanted)
            found |= items
        if not wanted:
            return found
    raise unavailable("The database")


def event_of(change: Mapping[str, Any]) -> Event | None:
    """The event that a record of the stream is; None where it is none. Raises one of `_BROKEN` for a broken item."""
    record = change["dynamodb"]
    if record["Keys"]["timestamp"]["S"].startswith("#") or change["eventName"] == "REMOVE":
        return None  # bookkeeping; or a message that has expired
    image = record["NewImage"]
    if change["eventName"] == "MODIFY" and "redacted_at" not in image:
        return None
    what = "stored" if change["eventName"] == "INSERT" else "redacted"
    message_id = _text(image, "message_id")
    return {
        "event_id": f"{message_id}-{what}",
        "type": f"message.{what}",
        "booking_code": _text(image, "booking_code"),
        "timestamp": _text(image, "timestamp"),
        "seq": int(image["seq"]["N"]),
        "message_id": message_id,
        "sender": _text(image, "sender"),
        "message_type": _text(image, "message_type"),
    }


def _text(image: Mapping[str, Any], name: str) -> str:
    value = image[name]["S"]
    if not isinstance(value, str) or not value:
        raise ValueError(name)
    return value


def content_of(item: Item | None, now: int) -> dict[str, Any]:
    """What `full` adds. A message that is gone or has expired is told of like a redacted one: without its content."""
    if item is None or int(item["expires_at"]["N"]) <= instants.to_seconds(now):
        return {"message": "", "metadata": None, "sender_id": None}
    message = message_of(item)
    return {"message": message.message, "metadata": message.metadata, "sender_id": message.sender_id}


def ids_of(change: Mapping[str, Any]) -> dict[str, Any]:
    """What there is of ids in a record: enough to find the item, and nothing of its content."""
    record: Any = change.get("dynamodb")
    found: dict[str, Any] = {"booking_code": None, "timestamp": None, "sequence_number": None}
    if isinstance(record, Mapping):
        its = cast(Mapping[str, Any], record)
        keys: Any = its.get("Keys")
        for name in ("booking_code", "timestamp"):
            value: Any = cast(Mapping[str, Any], keys).get(name) if isinstance(keys, Mapping) else None
            found[name] = cast(Mapping[str, Any], value).get("S") if isinstance(value, Mapping) else None
        found["sequence_number"] = its.get("SequenceNumber")
    return found


def _ids(event: Event) -> dict[str, Any]:
    return {name: event[name] for name in ("event_id", "type", "booking_code", "timestamp", "seq", "message_id")}


def _key(event: Event) -> Key:
    return event["booking_code"], event["timestamp"]


def telling() -> Telling:
    """The service, wired to the configured topic, queue and table."""
    full = settings.required("MESSAGE_EVENTS") == "full"
    topic = message_topic(settings.required("MESSAGE_EVENTS_TOPIC_ARN"))
    letters = dead_letters(settings.required("MESSAGE_EVENTS_DEAD_LETTER_QUEUE_URL"))
    return Telling(topic, letters, messages() if full else None)
