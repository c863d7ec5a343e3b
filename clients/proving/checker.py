"""Judges a history by what the contract promises. It knows nothing of how the promises are kept."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from clients.proving.history import (
    Answered,
    Asked,
    Booking,
    Cut,
    Disowned,
    Doubled,
    Event,
    Fields,
    Heard,
    History,
    Opened,
    Rested,
    Synced,
)

STATES: Mapping[str | None, set[str]] = {
    None: {"ringing"},
    "ringing": {"connected", "ended"},
    "connected": {"ended"},
    "ended": set(),
}
UNANSWERED = {"declined", "cancelled", "no_answer", "booking_closed", "revoked"}
ANSWERED = {"completed", "connection_lost", "booking_closed", "revoked"}
STORED = ("seq", "message_id", "timestamp", "sender", "message_type", "message", "client_message_id", "metadata")
SETTLED = ("call_id", "caller", "state", "end_reason", "answered_by", "answered_at", "ended_at", "version")


def problems(history: History) -> list[str]:
    """Everything that is not as promised, in words; empty where all is well."""
    found: list[str] = []
    for name, booking in history.bookings.items():
        events = [event for event in history.events if event.booking == name]
        tries = {event.number: event for event in events if isinstance(event, Asked)}
        answers = [(tries[it.number], it) for it in events if isinstance(it, Answered)]
        for check in (
            _no_surprise(events),
            _sequence(booking),
            _stored_once(booking, tries, answers),
            _nothing_else_stored(booking, events, tries, answers),
            _in_real_time(tries, answers),
            _closed_is_closed(booking),
            _muted_is_mute(booking),
            _redactions(booking, answers),
            _views(booking, events),
            _receipts(booking, tries, answers),
            _calls(booking, events, answers),
            _reasons(booking, events, tries),
            _connections(booking, events),
        ):
            found += [f"{name}: {problem}" for problem in check]
    return found


Answers = list[tuple[Asked, Answered]]
Problems = Iterator[str]


def _no_surprise(events: list[Event]) -> Problems:
    """Whatever fails out there, nothing is wrong inside: that would be `internal`, and is `unavailable` at most."""
    for event in events:
        if isinstance(event, Answered) and event.code == "internal":
            yield f"{event.client} was answered {event.body}"
        if isinstance(event, Heard) and event.frame["type"] == "error":
            yield f"{event.client} heard {event.frame}"


def _sequence(booking: Booking) -> Problems:
    """1, 2, 3, … without a hole or a repeat, and timestamps that rise with it."""
    seqs = [message["seq"] for message in booking.messages]
    if seqs != list(range(1, len(seqs) + 1)):
        yield f"the sequence is {seqs}"
    if booking.head_seq != len(seqs):
        yield f"the head is {booking.head_seq}, and there are {len(seqs)} messages"
    stamps = [message["timestamp"] for message in booking.messages]
    for one, next_one in pairwise(stamps):
        if one >= next_one:
            yield f"{next_one} comes after {one}"
    if len({message["message_id"] for message in booking.messages}) != len(seqs):
        yield "two messages have one id"


def _stored_once(booking: Booking, tries: Mapping[int, Asked], answers: Answers) -> Problems:
    """What was acknowledged is there as it was acknowledged; no client_message_id is there twice."""
    texts: dict[Any, set[str]] = defaultdict(set)
    for asked in tries.values():
        if asked.kind == "send":
            texts[_message_of(asked)].add(asked.fields["message"])
    by_id = {message["message_id"]: message for message in booking.messages}
    for asked, answer in answers:
        if asked.kind != "send" or answer.code is not None:
            continue
        message = answer.body["message"]
        # A socket's ack names no try: it may be a late or second one, to what was sent under this id before.
        on_a_socket = "booking_code" not in asked.fields
        sent = texts[_message_of(asked)] if on_a_socket else {asked.fields["message"]}
        stored = by_id.get(message["message_id"], {})
        if message["message"] not in sent and not _redacted(stored):
            yield f"{asked.client} sent {asked.fields['message']!r} and {message['message']!r} was acknowledged"
        if not _same(stored, message):
            yield f"seq {message['seq']} was acknowledged to {asked.client}, and is not there as it was"
    seen: dict[Any, int] = {}
    for message in booking.messages:
        key = (message["sender"], message["client_message_id"])
        if key[1] is not None and key in seen:
            yield f"seq {seen[key]} and {message['seq']} both hold {key}"
        seen[key] = message["seq"]


def _nothing_else_stored(
    booking: Booking, events: list[Event], tries: Mapping[int, Asked], answers: Answers
) -> Problems:
    """Every message was sent by somebody and not refused each time; only the server writes of calls."""
    refused = {answer.number for _, answer in answers if answer.code is not None}
    refused -= {event.number for event in events if isinstance(event, Doubled)}
    alive: dict[Any, list[Asked]] = defaultdict(list)
    for number, asked in tries.items():
        if asked.kind == "send" and number not in refused:
            alive[asked.sender, asked.fields.get("client_message_id"), asked.fields["message"]].append(asked)
    for message in booking.messages:
        if message["message_type"] == "call":
            continue
        if _event_of(message) == "message_redacted":
            continue
        key = (message["sender"], message["client_message_id"])
        texts = {text for *those, text in alive if tuple(those) == key} if _redacted(message) else {message["message"]}
        if not any(alive.get((*key, text)) for text in texts):
            yield f"seq {message['seq']} is there, and nobody sent it or all tries were refused"


def _in_real_time(tries: Mapping[int, Asked], answers: Answers) -> Problems:
    """What was sent after another's acknowledgement comes after it; who looks after it is told of it."""
    acknowledged = sorted(
        (answer.at, answer.body["message"]["seq"])
        for asked, answer in answers
        if asked.kind == "send" and answer.code is None
    )
    since: dict[Any, int] = {}
    for asked in tries.values():
        since.setdefault(_message_of(asked), asked.at)
    for asked, answer in answers:
        if asked.kind != "send" or answer.code is not None:
            continue
        # An answer names no try: what it acknowledges may have been asked for by the first one.
        seq, sent_at = answer.body["message"]["seq"], since[_message_of(asked)]
        later = [known for at, known in acknowledged if at < sent_at and known > seq]
        if later:
            yield f"seq {seq} was sent after {later[0]} had been acknowledged"
    for asked, answer in answers:
        if asked.kind == "look":
            unseen = [seq for at, seq in acknowledged if at < asked.at and seq > answer.body["head_seq"]]
            if unseen:
                yield f"{asked.client} was told of {answer.body['head_seq']} after {unseen[0]} had been acknowledged"


def _closed_is_closed(booking: Booking) -> Problems:
    """Between a close and the next opening neither side has a message."""
    closed = False
    for message in booking.messages:
        event = _event_of(message)
        if event in ("booking_closed", "booking_opened"):
            closed = event == "booking_closed"
        elif closed and message["sender"] != "system":
            yield f"seq {message['seq']} was stored in the closed booking"


def _muted_is_mute(booking: Booking) -> Problems:
    """Between the order that mutes a side and the one that lets it speak again it has no message."""
    muted: set[str] = set()
    for message in booking.messages:
        event = _event_of(message)
        if event == "side_muted":
            muted.add(message["metadata"]["side"])
        elif event == "side_unmuted":
            muted.discard(message["metadata"]["side"])
        elif message["sender"] in muted:
            yield f"seq {message['seq']} was stored while its side was muted"


def _redactions(booking: Booking, answers: Answers) -> Problems:
    """What was redacted is empty, said so once, and stays where it was; nothing else is empty."""
    noted = [message["metadata"]["seq"] for message in booking.messages if _event_of(message) == "message_redacted"]
    if len(noted) != len(set(noted)):
        yield f"the redactions of {noted} are noted more than once"
    empty = {message["seq"] for message in booking.messages if _redacted(message)}
    if empty != set(noted):
        yield f"seq {sorted(empty)} are redacted, and the notices name {sorted(noted)}"
    for message in booking.messages:
        if _redacted(message) and (message["message"] or message["metadata"]):
            yield f"seq {message['seq']} is redacted, and its content is there"
    for asked, answer in answers:
        if asked.kind == "redact" and answer.code is None and answer.body["message"]["metadata"]["seq"] not in empty:
            yield f"{asked.client} was told that a message is redacted, and it is not: {answer.body['message']}"


def _redacted(message: Fields) -> bool:
    return message.get("redacted_at") is not None


def _same(stored: Fields, seen: Fields) -> bool:
    """Whether somebody saw what is stored, or what was stored before its content was redacted."""
    names = [name for name in STORED if not (_redacted(stored) and name in ("message", "metadata"))]
    return all(stored.get(name) == seen.get(name) for name in names)


def _event_of(message: Fields) -> Any:
    about: Fields = message["metadata"] or {}
    return about.get("event") if message["message_type"] == "system" else None


def _views(booking: Booking, events: list[Event]) -> Problems:
    """What a client has after a sync is what the table holds; what was pushed is stored; all agree at the end."""
    stored = {message["seq"]: _of(message, STORED) for message in booking.messages}
    whole = {message["seq"]: message for message in booking.messages}
    for event in events:
        if isinstance(event, Heard) and event.frame["type"] == "message":
            message = event.frame["message"]
            if not _same(whole.get(message["seq"], {}), message):
                yield f"{event.client} heard of a seq {message['seq']} that is not stored"
        if isinstance(event, Synced):
            seqs = list(range(event.floor + 1, event.through + 1))
            had = [message["seq"] for message in event.messages]
            if had != seqs or not all(_same(whole.get(it["seq"], {}), it) for it in event.messages):
                yield f"{event.client} synced to {event.floor + 1}–{event.through}, and had {had}"
        if isinstance(event, Rested):
            expected = [stored[seq] for seq in range(event.floor + 1, booking.head_seq + 1) if seq in stored]
            if [_of(message, STORED) for message in event.messages] != expected:
                yield f"{event.client} rests with {len(event.messages)} messages behind {event.floor}, of {len(stored)}"
            if event.away != event.hidden:
                yield f"{event.client} rests with its app hidden: {event.hidden}, and is away: {event.away}"
            if event.receipts != booking.receipts:
                yield f"{event.client} rests with the receipts {event.receipts}, which are {booking.receipts}"
            last = booking.calls[-1] if booking.calls else None
            if _of(event.call or {}, SETTLED) != _of(last or {}, SETTLED):
                yield f"{event.client} rests with the call {event.call}, which is {last}"


def _receipts(booking: Booking, tries: Mapping[int, Asked], answers: Answers) -> Problems:
    """A receipt is as far as its side has said, and never behind what was acknowledged."""
    asked: dict[Any, int] = defaultdict(int)
    for it in tries.values():
        if it.kind == "receipt":
            for kind in ("delivered", "read"):
                seq = it.fields.get(kind, 0)
                asked[it.sender, kind] = max(asked[it.sender, kind], seq)
                if kind == "read":
                    asked[it.sender, "delivered"] = max(asked[it.sender, "delivered"], seq)
    for side, marks in booking.receipts.items():
        for kind, seq in marks.items():
            if seq > asked[side, kind]:
                yield f"{side} has {kind} {seq}, and said {asked[side, kind]}"
    known = [(it.at, answer) for it, answer in answers if it.kind in ("receipt", "look") and answer.code is None]
    for _, answer in known:
        later = [other.body["receipts"] for asked_at, other in known if asked_at > answer.at]
        for side, marks in answer.body["receipts"].items():
            for kind, seq in marks.items():
                if any(seq > receipts[side][kind] for receipts in [*later, booking.receipts]):
                    yield f"{kind} of {side} was {seq}, and has moved back"


def _calls(booking: Booking, events: list[Event], answers: Answers) -> Problems:
    """Each call took one legal path, has ended, and left one message; of two, the first had ended before."""
    logged = {call["call_id"]: call for call in booking.calls}
    seen: dict[str, dict[int, Fields]] = defaultdict(dict)
    told = [answer.body["call"] for asked, answer in answers if asked.kind == "call" and answer.code is None]
    told += [it.frame["call"] for it in events if isinstance(it, Heard) and it.frame["type"] in ("call", "ack")]
    for call in [*told, *booking.calls]:
        known = seen[call["call_id"]].setdefault(call["version"], call)
        if _of(known, SETTLED) != _of(call, SETTLED):
            yield f"call {call['call_id']} is both {_of(known, SETTLED)} and {_of(call, SETTLED)}"
    for call_id, versions in seen.items():
        if call_id not in logged:
            yield f"call {call_id} is not in the log"
        last = None
        for version in sorted(versions):
            state = versions[version]["state"]
            if state not in STATES[last] and not (last is None and version > 1):
                yield f"call {call_id} went from {last} to {state}"
            last = state
    for call in booking.calls:
        reasons = ANSWERED if call["answered_at"] else UNANSWERED
        if call["state"] != "ended" or call["end_reason"] not in reasons:
            yield f"call {call['call_id']} is {call['state']} for {call['end_reason']}"
    left = [message["metadata"] for message in booking.messages if message["message_type"] == "call"]
    if [it["call_id"] for it in left] != [call["call_id"] for call in booking.calls]:
        yield f"the calls {list(logged)} left messages of {[it['call_id'] for it in left]}"
    for it in left:
        if _of(it, SETTLED) != _of(logged.get(it["call_id"], {}), SETTLED):
            yield f"call {it['call_id']} has another message than log entry"
    for asked, answer in answers:
        action = asked.fields.get("call_action") or asked.fields.get("action")
        if asked.kind == "call" and answer.code is None and action == "accept":
            by = answer.body["call"]["answered_by"]
            if by != asked.fields["device_id"]:
                yield f"{asked.client} was told that it accepted a call that {by} did"


def _reasons(booking: Booking, events: list[Event], tries: Mapping[int, Asked]) -> Problems:
    """A call ended for a reason that somebody gave."""
    acts: dict[Any, set[str]] = defaultdict(set)
    for it in tries.values():
        if it.kind == "call":
            action = it.fields.get("call_action") or it.fields["action"]
            acts[it.fields.get("call_id")].add(f"{action} by {it.sender}")
    closed = any(_event_of(message) == "booking_closed" for message in booking.messages)
    cut = {event.sender for event in events if isinstance(event, Cut)}
    for call in booking.calls:
        caller, callee = call["caller"], call["callee"]
        given = acts[call["call_id"]]
        holds = {
            "declined": f"reject by {callee}" in given,
            "cancelled": f"end by {caller}" in given,
            "completed": bool(given & {f"end by {caller}", f"end by {callee}"}),
            "booking_closed": closed,
            "connection_lost": bool(cut),
            "revoked": any(_event_of(message) == "tokens_revoked" for message in booking.messages),
            "no_answer": call["ended_at"] > call["timestamp"],
        }
        if not holds.get(call["end_reason"], False):
            yield f"call {call['call_id']} ended for {call['end_reason']}, and nobody gave that reason"
        if call["answered_at"] and not given & {f"accept by {callee}"} and not acts[None] & {f"initiate by {callee}"}:
            yield f"call {call['call_id']} was answered, and nobody answered it"


def _connections(booking: Booking, events: list[Event]) -> Problems:
    """Nobody is disowned whose connection nothing has happened to, nor been ordered for its side."""
    revoked = {it["metadata"]["side"] for it in booking.messages if _event_of(it) == "tokens_revoked"}
    senders = {event.connection: event.sender for event in events if isinstance(event, Opened)}
    cut = {event.connection for event in events if isinstance(event, Cut)}
    for event in events:
        if isinstance(event, Disowned) and event.connection not in cut:
            if senders.get(event.connection) in revoked:
                continue
            yield f"{event.client} was disowned on {event.connection}, to which nothing had happened"


def _message_of(asked: Asked) -> Any:
    """The same for all tries to send one message."""
    id = asked.fields.get("client_message_id")
    return asked.number if id is None else (asked.sender, id)


def _of(fields: Fields, names: tuple[str, ...]) -> Fields:
    return {name: fields.get(name) for name in names}
