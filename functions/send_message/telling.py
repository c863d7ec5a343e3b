"""Every message as an event: each change in the stream of the messages table is published on a topic of its own.

Each event is published at least once. If the topic, the table or the queue does not answer, the whole batch fails, and
Lambda brings it again for 23 hours. A record that can never be published must not block those after it: its ids go to
the dead-letter queue, once all others of its batch are published.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NotRequired, cast

from navietakie import settings
from navietakie.aws.publishing import Published
from navietakie.aws.tables import keys
from navietakie.aws.tables.keys import Item
from navietakie.aws.tables.messages import MessageKey, MessageStore, message_of, messages
from navietakie.domain.errors import unavailable
from navietakie.domain.message import MessageType, Sender
from navietakie.observability import count, logger
from navietakie.retrying import tries
from send_message.topic import dead_letters, message_topic

_BROKEN: Final = (AttributeError, KeyError, TypeError, ValueError)
"""What reading a broken item raises."""


class MessageEventFields(Published):
    """What the events about a message have. With `MessageEvents` `full` the texts too, as they are when published."""

    seq: int
    message_id: str
    sender: Sender
    message_type: MessageType
    message: NotRequired[str]
    metadata: NotRequired[dict[str, Any] | None]
    sender_id: NotRequired[str | None]


class MessageStored(MessageEventFields):
    """A message was stored. `message` is empty if the message was redacted, has expired or was erased since."""

    type: Literal["message.stored"]


class MessageRedacted(MessageEventFields):
    """A message was redacted: delete its text."""

    type: Literal["message.redacted"]


MessageEvent = MessageStored | MessageRedacted
DeadLetter = Mapping[str, object]
"""Why an event can never be published, and as many of its ids as can be read."""

type Publish = Callable[[Sequence[MessageEvent], float], Mapping[str, str]]
"""Publishes events until a deadline, returns why some never can be, by `event_id`: `topic.MessageTopic.publish`."""
type SetAside = Callable[[DeadLetter], None]
"""Keeps a dead letter for people to look at: `topic.DeadLetters.put`."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Publishes events: with the message's content from `store`, or only the ids if there is no store."""

    publish: Publish
    set_aside: SetAside
    store: MessageStore | None

    def tell(self, changes: Sequence[Mapping[str, Any]], now: int, deadline: float) -> None:
        """Publishes an event for each of `changes`, or sets its ids aside. Raises the Refusal `unavailable`."""
        events: list[MessageEvent] = []
        dead: list[DeadLetter] = []
        for change in changes:
            try:
                event = event_of(change)
            except _BROKEN:
                dead.append({"reason": "it is no message", **ids_of(change)})
            else:
                events += [event] if event else []
        if self.store is not None:
            events = self._in_full(events, self.store, dead, now, deadline)
        refused = self.publish(events, deadline)
        dead += [{"reason": why, **_ids(event)} for event in events if (why := refused.get(event["event_id"]))]
        for letter in dead:
            self.set_aside(letter)
            logger.error("a message event can never be published", extra={"letter": letter})
        count("MessageEvents", len(events) - len(refused))
        count("MessageEventsDead", len(dead))

    def _in_full(
        self, events: list[MessageEvent], store: MessageStore, dead: list[DeadLetter], now: int, deadline: float
    ) -> list[MessageEvent]:
        """The events with the present content of their messages, which may be less than the stream has."""
        items = _read(store, {_key(event) for event in events}, deadline)
        whole: list[MessageEvent] = []
        for event in events:
            try:
                whole.append(in_full(event, items.get(_key(event)), now))
            except _BROKEN:
                dead.append({"reason": "it is no message", **_ids(event)})
        return whole


def _read(store: MessageStore, wanted: Collection[MessageKey], deadline: float) -> Mapping[MessageKey, Item]:
    found: dict[MessageKey, Item] = {}
    for _ in tries(deadline):
        if wanted:
            items, wanted = store.items_at(wanted)
            found |= items
        if not wanted:
            return found
    raise unavailable("The database")


def event_of(change: Mapping[str, Any]) -> MessageEvent | None:
    """The event about a record of the stream; None if there is none. Raises one of `_BROKEN` for a broken item."""
    record = change["dynamodb"]
    if record["Keys"]["timestamp"]["S"].startswith("#") or change["eventName"] == "REMOVE":
        return None  # bookkeeping; or a message that has expired
    image = record["NewImage"]
    if change["eventName"] == "MODIFY" and "redacted_at" not in image:
        return None
    what = "stored" if change["eventName"] == "INSERT" else "redacted"
    message_id = _text(image, "message_id")
    event: MessageEventFields = {
        "event_id": f"{message_id}-{what}",
        "booking_code": _text(image, "booking_code"),
        "timestamp": _text(image, "timestamp"),
        "seq": int(image["seq"]["N"]),
        "message_id": message_id,
        "sender": cast(Sender, _text(image, "sender")),
        "message_type": cast(MessageType, _text(image, "message_type")),
    }
    return {"type": "message.stored", **event} if what == "stored" else {"type": "message.redacted", **event}


def _text(image: Mapping[str, Any], name: str) -> str:
    value = image[name]["S"]
    if not isinstance(value, str) or not value:
        raise ValueError(name)
    return value


def in_full(event: MessageEvent, item: Item | None, now: int) -> MessageEvent:
    """The event with the message's content, which is empty if the message is gone, has expired or was redacted."""
    told = event.copy()
    if item is None or keys.has_expired(item, now):
        told["message"], told["metadata"], told["sender_id"] = "", None, None
        return told
    message = message_of(item)
    told["message"], told["metadata"], told["sender_id"] = message.message, message.metadata, message.sender_id
    return told


def ids_of(change: Mapping[str, Any]) -> DeadLetter:
    """The ids in a record: enough to find the item, and nothing of its content."""
    record: Any = change.get("dynamodb")
    found: dict[str, object] = {"booking_code": None, "timestamp": None, "sequence_number": None}
    if isinstance(record, Mapping):
        its = cast(Mapping[str, Any], record)
        keys: Any = its.get("Keys")
        for name in ("booking_code", "timestamp"):
            value: Any = cast(Mapping[str, Any], keys).get(name) if isinstance(keys, Mapping) else None
            found[name] = cast(Mapping[str, Any], value).get("S") if isinstance(value, Mapping) else None
        found["sequence_number"] = its.get("SequenceNumber")
    return found


def _ids(event: MessageEvent) -> DeadLetter:
    ids = {"event_id", "type", "booking_code", "timestamp", "seq", "message_id"}
    return {name: value for name, value in event.items() if name in ids}


def _key(event: MessageEvent) -> MessageKey:
    return event["booking_code"], event["timestamp"]


def telling() -> Telling:
    """The service, wired to the configured topic, queue and table."""
    full = settings.required("MESSAGE_EVENTS") == "full"
    topic = message_topic(settings.required("MESSAGE_EVENTS_TOPIC_ARN"))
    letters = dead_letters(settings.required("MESSAGE_EVENTS_DEAD_LETTER_QUEUE_URL"))
    return Telling(topic.publish, letters.put, messages() if full else None)
