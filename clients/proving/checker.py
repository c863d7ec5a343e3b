"""Judges a history by what the contract promises. It knows nothing of how the promises are kept."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
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
    Judged,
    Opened,
    Read,
    Rested,
    Synced,
    TimerLost,
    Told,
)

STATES: Mapping[str | None, set[str]] = {
    None: {"ringing"},
    "ringing": {"connected", "ended"},
    "connected": {"ended"},
    "ended": set(),
}
UNANSWERED = {"declined", "cancelled", "no_answer", "booking_closed", "revoked"}
ANSWERED = {"completed", "connection_lost", "max_duration", "booking_closed", "revoked"}
STORED = ("seq", "message_id", "timestamp", "sender", "message_type", "message", "client_message_id", "metadata")
SETTLED = ("call_id", "caller", "state", "end_reason", "answered_by", "answered_at", "ended_at", "version")


def problems(history: History) -> list[str]:
    """Every broken promise, in words. Empty if all were kept."""
    found: list[str] = []
    for name, booking in history.bookings.items():
        events = [event for event in history.events if event.booking == name]
        tries = {event.number: event for event in events if isinstance(event, Asked)}
        answers = [(tries[it.number], it) for it in events if isinstance(it, Answered)]
        for check in (
            _no_surprise(events),
            _sequence(booking),
            _stored_once(booking, events, tries, answers),
            _nothing_else_stored(booking, events, tries, answers),
            _in_real_time(events, tries, answers),
            _closed_is_closed(booking),
            _muted_is_mute(booking),
            _redactions(booking, events, tries, answers),
            _redacted_is_gone(events, answers),
            _attachments(booking, tries),
            _hook(history, booking, events, tries),
            _events(history, booking, events),
            _views(booking, events),
            _receipts(booking, tries, answers),
            _calls(booking, events, answers),
            _reasons(history, booking, events, tries),
            _ends_in_time(booking, events),
            _connections(booking, events),
            _orders_end_calls(booking),
            _lost_sides(history, booking, events),
        ):
            found += [f"{name}: {problem}" for problem in check]
    return found


Answers = list[tuple[Asked, Answered]]
Problems = Iterator[str]


def _no_surprise(events: list[Event]) -> Problems:
    """A fault outside is answered `unavailable`. `internal` would mean an error in our own code."""
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


def _stored_once(booking: Booking, events: list[Event], tries: Mapping[int, Asked], answers: Answers) -> Problems:
    """Each acknowledged message is stored as it was acknowledged. No client_message_id is stored twice."""
    texts: dict[Any, set[str]] = defaultdict(set)
    replaced = _replaced(events)
    for asked in tries.values():
        if asked.kind == "send":
            texts[_message_of(asked)] |= {asked.fields["message"], *replaced[asked.fields["message"]]}
    by_id = {message["message_id"]: message for message in booking.messages}
    for asked, answer in answers:
        if asked.kind != "send" or answer.code is not None:
            continue
        message = answer.body["message"]
        # An ack on a WebSocket does not say which try it answers: it may be a late or second ack of an earlier one.
        on_a_socket = "booking_code" not in asked.fields
        text: str = asked.fields["message"]
        sent = texts[_message_of(asked)] if on_a_socket else {text, *replaced[text]}
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
    """Somebody sent each stored message, and not every try was refused. Only the server writes about calls."""
    refused = {answer.number for _, answer in answers if answer.code is not None}
    refused -= {event.number for event in events if isinstance(event, Doubled)}
    alive: dict[Any, list[Asked]] = defaultdict(list)
    replaced = _replaced(events)
    for number, asked in tries.items():
        if asked.kind == "send" and number not in refused:
            for text in (asked.fields["message"], *replaced[asked.fields["message"]]):
                alive[asked.sender, asked.fields.get("client_message_id"), text].append(asked)
    for message in booking.messages:
        if message["message_type"] == "call" or _event_of(message) == "message_redacted":
            continue
        key = (message["sender"], message["client_message_id"])
        texts = {text for *those, text in alive if tuple(those) == key} if _redacted(message) else {message["message"]}
        if not any(alive.get((*key, text)) for text in texts):
            yield f"seq {message['seq']} is there, and nobody sent it or all tries were refused"
    unnamed = Counter((it["sender"], it["message"]) for it in booking.messages if it["client_message_id"] is None)
    doubled = {event.number for event in events if isinstance(event, Doubled)}
    for (sender, text), times in unnamed.items():
        sent = [1 + (it.number in doubled) for it in alive.get((sender, None, text), [])]
        if sent and times > sum(sent):
            yield f"{text!r} is there {times} times, and was sent {sum(sent)} times"


def _in_real_time(events: list[Event], tries: Mapping[int, Asked], answers: Answers) -> Problems:
    """A message that was sent after another's ack comes after it. Whoever asks after the ack gets to know of it."""
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
        # An answer does not say which try it belongs to: the first try may have stored the message.
        seq, sent_at = answer.body["message"]["seq"], since[_message_of(asked)]
        later = [known for at, known in acknowledged if at < sent_at and known > seq]
        if later:
            yield f"seq {seq} was sent after {later[0]} had been acknowledged"
    for asked, answer in answers:
        if asked.kind == "look":
            unseen = [seq for at, seq in acknowledged if at < asked.at and seq > answer.body["head_seq"]]
            if unseen:
                yield f"{asked.client} was told of {answer.body['head_seq']} after {unseen[0]} had been acknowledged"
    for event in events:
        if isinstance(event, Read):
            before = [seq for at, seq in acknowledged if at < event.began]
            last = max((message["seq"] for message in event.messages), default=0)
            if event.newest and (unseen := [seq for seq in before if seq > last]):
                yield f"{event.client} read up to {last} after {unseen[0]} had been acknowledged"
            if event.head is not None and (unseen := [seq for seq in before if seq > event.head]):
                yield f"{event.client} read that the last is {event.head} after {unseen[0]} had been acknowledged"


def _closed_is_closed(booking: Booking) -> Problems:
    """Between a close and the next opening, no message of a side or an agent is stored, and none of them redacts."""
    closed = False
    for message in booking.messages:
        event = _event_of(message)
        if event in ("booking_closed", "booking_opened"):
            closed = event == "booking_closed"
        elif closed and _author_of(message) != "system":
            yield f"seq {message['seq']} was stored in the closed booking"


def _muted_is_mute(booking: Booking) -> Problems:
    """Between the order that mutes a side and the order that unmutes it, none of its messages is stored."""
    muted: set[str] = set()
    for message in booking.messages:
        event = _event_of(message)
        if event == "side_muted":
            muted.add(message["metadata"]["side"])
        elif event == "side_unmuted":
            muted.discard(message["metadata"]["side"])
        elif _author_of(message) in muted:
            yield f"seq {message['seq']} was stored while its side was muted"


def _redactions(booking: Booking, events: list[Event], tries: Mapping[int, Asked], answers: Answers) -> Problems:
    """A redacted message is empty, stays in its place, and has one notice, by who may redact. No other is empty."""
    notices = [message["metadata"] for message in booking.messages if _event_of(message) == "message_redacted"]
    noted = [notice["seq"] for notice in notices]
    if len(noted) != len(set(noted)):
        yield f"the redactions of {noted} are noted more than once"
    by_seq = {message["seq"]: message for message in booking.messages}
    empty = {seq for seq, message in by_seq.items() if _redacted(message)}
    if empty != set(noted):
        yield f"seq {sorted(empty)} are redacted, and the notices name {sorted(noted)}"
    refused = {answer.number for _, answer in answers if answer.code is not None}
    refused -= {event.number for event in events if isinstance(event, Doubled)}
    wanted = {
        (it.sender, it.fields.get("timestamp"))
        for it in tries.values()
        if it.kind == "redact" and it.number not in refused
    }
    orders = {
        it.fields.get("client_message_id") for it in tries.values() if it.sender == "system" and it.kind == "send"
    }
    for notice in notices:
        original = by_seq.get(notice["seq"], {})
        if notice["by"] not in ("system", original.get("sender")):
            yield f"seq {notice['seq']} was redacted by {notice['by']}, who had not sent it"
        if (notice["by"], original.get("timestamp")) not in wanted:
            yield f"seq {notice['seq']} was redacted, and {notice['by']} had not asked for it or was refused"
        is_order = original.get("sender") == "system" and original.get("client_message_id") in orders
        if is_order or original.get("message_type") == "call":
            yield f"seq {notice['seq']} was redacted, and is part of the record"
    for message in by_seq.values():
        if _redacted(message) and (message["message"] or message["metadata"]):
            yield f"seq {message['seq']} is redacted, and its content is there"
    for asked, answer in answers:
        if asked.kind == "redact" and answer.code is None and answer.body["message"]["metadata"]["seq"] not in empty:
            yield f"{asked.client} was told that a message is redacted, and it is not: {answer.body['message']}"


UNDER_WAY = 60_000_000
"""Microseconds after which no invocation is still under way: no function runs as long."""


def _redacted_is_gone(events: list[Event], answers: Answers) -> Problems:
    """A request that begins after a redaction's answer never gets the old text. A repeat gets the redacted one."""
    since: dict[int, int] = {}
    for asked, answer in answers:
        if asked.kind == "redact" and answer.code is None:
            seq = answer.body["message"]["metadata"]["seq"]
            since[seq] = min(answer.at, since.get(seq, answer.at))
    seen: list[tuple[Event, int, Fields]] = []
    for event in events:
        if isinstance(event, Read):
            seen += [(event, event.began, message) for message in event.messages]
        elif isinstance(event, Told):
            seen.append((event, event.began, {"message": "", "metadata": None, **event.event}))
        elif isinstance(event, Heard) and event.frame["type"] == "message":
            seen.append((event, event.at - UNDER_WAY, event.frame["message"]))
    ids: dict[Any, int] = {}
    for asked, answer in answers:
        if asked.kind == "send" and answer.code is None:
            message = answer.body["message"]
            ids[asked.sender, message["client_message_id"]] = message["seq"]
            # An ack on a WebSocket does not say which try it answers.
            began = asked.at if "booking_code" in asked.fields else answer.at - UNDER_WAY
            seen.append((answer, began, message))
    for event, began, message in seen:
        at = since.get(message["seq"])
        if at is not None and began > at and (message["message"] or message["metadata"]):
            yield f"{event.client} got the text of seq {message['seq']} after its redaction had been acknowledged"
    for asked, answer in answers:
        at = since.get(ids.get((asked.sender, asked.fields.get("client_message_id")), 0))
        if asked.kind == "send" and answer.code == "idempotency_conflict" and at is not None and asked.at > at:
            yield f"{asked.client} was refused a repeat of a redacted message"


def _attachments(booking: Booking, tries: Mapping[int, Asked]) -> Problems:
    """An attachment that a stored message names is served, until a message that names it is redacted."""
    redactable = {it.fields.get("timestamp") for it in tries.values() if it.kind == "redact"}
    sends: dict[Any, list[tuple[str | None, str | None]]] = defaultdict(list)
    for asked in tries.values():
        if asked.kind == "send":
            about: Fields = asked.fields.get("metadata") or {}
            its: Fields = about.get("attachment") or {}
            sends[asked.sender, asked.fields.get("client_message_id")].append(
                (asked.fields.get("message"), its.get("id"))
            )
    holders: dict[Any, list[Fields]] = defaultdict(list)
    doubtful: dict[Any, list[Fields]] = defaultdict(list)  # messages that perhaps name it
    for message in booking.messages:
        # If one try was refused, another text may be stored under its id. Redactions and the hook change texts.
        said = sends[message["sender"], message["client_message_id"]]
        ids = {id for text, id in said if text == message["message"]} or {id for _, id in said}
        for id in ids - {None}:
            (holders if len(ids) == 1 else doubtful)[id].append(message)
    for id, messages in holders.items():
        if any(map(_redacted, messages)):
            if booking.attachments.get(id, False):
                yield f"attachment {id} is served, and a message that names it is redacted"
        elif not booking.attachments.get(id, False) and not any(
            _redacted(it) or it["timestamp"] in redactable for it in (*messages, *doubtful[id])
        ):
            yield f"attachment {id} is not served, and nobody redacted a message that names it"
        for message in messages:
            its = _about(message).get("attachment", {})
            if not _redacted(message) and not {"id", "content_type", "bytes"} <= its.keys():
                yield f"seq {message['seq']} names an attachment, and does not say what it is"


def _hook(history: History, booking: Booking, events: list[Event], tries: Mapping[int, Asked]) -> Problems:
    """Messages of people are stored as the message hook left them. The hook is asked once per request."""
    if history.hook is None:
        return
    let: dict[Any, set[str]] = defaultdict(set)
    asked_about: Counter[Any] = Counter()
    for event in events:
        if isinstance(event, Judged):
            key = (event.sender, event.client_message_id)
            asked_about[key] += 1
            if event.stored is not None:
                let[key].add(event.stored)
            elif event.failed and history.hook == "allow":
                let[key].add(event.message)
    for message in booking.messages:
        key = (message["sender"], message["client_message_id"])
        if message["sender"] == "system":
            continue
        if not let[key] or (not _redacted(message) and message["message"] not in let[key]):
            yield f"seq {message['seq']} was stored, and the hook had not let {message['message']!r} be"
    doubled = {event.number for event in events if isinstance(event, Doubled)}
    requests = Counter[Any]()
    for number, it in tries.items():
        if it.kind == "send":
            requests[it.sender, it.fields.get("client_message_id")] += 1 + (number in doubled)
    for key, times in asked_about.items():
        if times > requests[key]:
            yield f"the hook was asked {times} times about {key}, which was sent {requests[key]} times"


def _events(history: History, booking: Booking, events: list[Event]) -> Problems:
    """Every message and every redaction was published as an event, and nothing else."""
    if not history.told:
        return
    whole = {message["message_id"]: message for message in booking.messages}
    told = [event.event for event in events if isinstance(event, Told)]
    known = {event["event_id"] for event in told}
    for id, message in whole.items():
        wanted = [f"{id}-stored", *([f"{id}-redacted"] if _redacted(message) else [])]
        for event_id in wanted:
            if event_id not in known:
                yield f"seq {message['seq']} was never told of: {event_id}"
    for event in told:
        stored = whole.get(event["message_id"], {})
        names = ("seq", "timestamp", "sender", "message_type")
        if _of(stored, names) != _of(event, names) or (
            not _redacted(stored) and "message" in event and event["message"] != stored.get("message")
        ):
            yield f"an event told of seq {event['seq']}, which is not there as it was"
        if event["type"] == "message.redacted" and not _redacted(stored):
            yield f"an event told of a redaction of seq {event['seq']}, which there was not"


def _replaced(events: list[Event]) -> Mapping[str, set[str]]:
    """Each text, with all texts that the message hook has made of it."""
    found: dict[str, set[str]] = defaultdict(set)
    for event in events:
        if isinstance(event, Judged) and event.stored is not None:
            found[event.message].add(event.stored)
    return found


def _about(message: Fields) -> Fields:
    return message["metadata"] or {}


def _author_of(message: Fields) -> Any:
    """Who wrote the message. For the notice of a redaction: who redacted."""
    return message["metadata"]["by"] if _event_of(message) == "message_redacted" else message["sender"]


def _redacted(message: Fields) -> bool:
    return message.get("redacted_at") is not None


def _same(stored: Fields, seen: Fields) -> bool:
    """Whether `seen` is the stored message, or what it was before a redaction."""
    names = [name for name in STORED if not (_redacted(stored) and name in ("message", "metadata"))]
    return all(stored.get(name) == seen.get(name) for name in names)


def _event_of(message: Fields) -> Any:
    about: Fields = message["metadata"] or {}
    return about.get("event") if message["message_type"] == "system" else None


def _views(booking: Booking, events: list[Event]) -> Problems:
    """After a sync a client has what is stored. Every pushed message is stored. At the end all clients agree."""
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
    """A receipt is never further than its side has said, and never moves back."""
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
    """Each call took a legal path, has ended, and left one message. It began after the one before had ended."""
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
    left = [_about(message) for message in booking.messages if message["message_type"] == "call"]
    named = [it.get("call_id") for it in left]
    if named != [call["call_id"] for call in booking.calls]:
        yield f"the calls {list(logged)} left messages of {named}"
    for it in left:
        call_id = it.get("call_id")
        if _of(it, SETTLED) != _of(logged.get(call_id, {}), SETTLED):
            yield f"call {call_id} has another message than log entry"
    for asked, answer in answers:
        action = asked.fields.get("call_action") or asked.fields.get("action")
        if asked.kind == "call" and answer.code is None and action == "accept":
            by = answer.body["call"]["answered_by"]
            if by != asked.fields["device_id"]:
                yield f"{asked.client} was told that it accepted a call that {by} did"


def _reasons(history: History, booking: Booking, events: list[Event], tries: Mapping[int, Asked]) -> Problems:
    """Each call ended for a reason that somebody gave."""
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
            "max_duration": _talked(call) >= history.longest_call,
            "no_answer": (call["ended_at"] or "") > call["timestamp"],
        }
        if not holds.get(call["end_reason"], False):
            yield f"call {call['call_id']} ended for {call['end_reason']}, and nobody gave that reason"
        if call["answered_at"] and not given & {f"accept by {callee}"} and not acts[None] & {f"initiate by {callee}"}:
            yield f"call {call['call_id']} was answered, and nobody answered it"


TIMERS = 100_000_000
"""Within this a timer has ended a call whose time is up. It comes again after half a minute if make-call died."""


def _ends_in_time(booking: Booking, events: list[Event]) -> Problems:
    """A call that nobody answers ends although nobody looks at it: its message comes soon after its time was up."""
    lost = {event.call_id for event in events if isinstance(event, TimerLost)}
    for message in booking.messages:
        if message["message_type"] == "call":
            call = _about(message)
            if call.get("end_reason") == "no_answer" and call["call_id"] not in lost:
                late = _instant(message["timestamp"]) - _instant(call["ended_at"])
                if late > TIMERS:
                    yield f"call {call['call_id']} was over, and went on ringing for {late // 1_000_000} s"


def _connections(booking: Booking, events: list[Event]) -> Problems:
    """The server disowns a connection only if it was cut, or if an order revoked its side's tokens."""
    revoked = {it["metadata"]["side"] for it in booking.messages if _event_of(it) == "tokens_revoked"}
    senders = {event.connection: event.sender for event in events if isinstance(event, Opened)}
    cut = {event.connection for event in events if isinstance(event, Cut)}
    for event in events:
        if isinstance(event, Disowned) and event.connection not in cut:
            if senders.get(event.connection) in revoked:
                continue
            yield f"{event.client} was disowned on {event.connection}, to which nothing had happened"


CLOCKS = 2_000_000
"""By how much clocks may differ, in microseconds."""
DECIDED = 12_000_000
"""Microseconds within which a function has written what it decided, or has given up."""
SOON = 65_000_000
"""Microseconds within which an order has ended a call: make-call looks for half a minute, and once more if it died."""


def _orders_end_calls(booking: Booking) -> Problems:
    """In a closed booking no call begins, is answered or goes on. A muted side begins none. A revoked side has none."""
    ordered: list[tuple[str, Any, int, int]] = []
    """Each order in force: what it orders, for which side, from when to when."""
    begun: dict[Any, int] = {}
    forever = 2**62
    for message in booking.messages:
        event, at, about = _event_of(message), _instant(message["timestamp"]), _about(message)
        match event:
            case "booking_closed":
                begun.setdefault("closed", at)
            case "side_muted":
                begun.setdefault(("muted", about["side"]), at)
            case "booking_opened" if "closed" in begun:
                ordered.append(("closed", None, begun.pop("closed"), at))
            case "side_unmuted" if ("muted", about["side"]) in begun:
                ordered.append(("muted", about["side"], begun.pop(("muted", about["side"])), at))
            case "tokens_revoked" if about["side"] != "agent":
                ordered.append(("revoked", about["side"], at, forever))
            case _:
                pass
    for key, at in begun.items():
        ordered.append(("closed", None, at, forever) if key == "closed" else ("muted", key[1], at, forever))
    for call in booking.calls:
        start, end = _instant(call["timestamp"]), _instant(call["ended_at"]) if call["ended_at"] else forever
        answered = _instant(call["answered_at"]) if call["answered_at"] else 0
        for what, side, since, until in ordered:
            low, high = since + CLOCKS, until - DECIDED  # a decision may be written a moment after the order
            if what == "closed" and low < start < high:
                yield f"call {call['call_id']} began in the closed booking"
            if what == "closed" and low < answered < high:
                yield f"call {call['call_id']} was answered in the closed booking"
            if what == "muted" and side == call["caller"] and low < start < high:
                yield f"call {call['call_id']} was begun by the muted {side}"
            if what in ("closed", "revoked") and start < since - CLOCKS and since + SOON < min(end, high):
                yield f"call {call['call_id']} went on after the order: {what}"


def _lost_sides(history: History, booking: Booking, events: list[Event]) -> Problems:
    """A call ends as lost only if a side had no connection for half a minute."""
    if not history.one_clock:
        return
    open_since: dict[str, tuple[str, int]] = {}
    here: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        if isinstance(event, Opened):
            open_since[event.connection] = (event.sender, event.at)
        elif isinstance(event, Cut) and event.connection in open_since:
            sender, since = open_since.pop(event.connection)
            here[sender].append((since, event.at))
    for sender, since in open_since.values():
        here[sender].append((since, 2**62))
    known: dict[str, int] = {}
    for event in events:
        call: Fields = {}
        if isinstance(event, Heard):
            call = event.frame.get("call") or {}
        elif isinstance(event, Answered):
            call = event.body.get("call") or {}
        if call.get("state") == "ended":
            known.setdefault(call["call_id"], event.at)
    for call in booking.calls:
        if call["end_reason"] == "connection_lost" and call["call_id"] in known:
            looked = (_instant(call["ended_at"]) + 30_000_000 - CLOCKS, known[call["call_id"]])
            if all(_is_covered(looked, here[side]) for side in ("driver", "passenger")):
                yield f"call {call['call_id']} ended as lost, and both sides were there"


def _is_covered(span: tuple[int, int], by: list[tuple[int, int]]) -> bool:
    """Whether somebody was connected all the time. A connection counts from a moment after it opened."""
    at, end = span
    for since, until in sorted(by):
        if since + CLOCKS <= at < until:
            at = until
    return at > end


def _talked(call: Fields) -> int:
    """How long the call was connected, in microseconds."""
    return _instant(call["ended_at"]) - _instant(call["answered_at"]) if call["answered_at"] and call["ended_at"] else 0


def _instant(timestamp: str) -> int:
    """Microseconds since 1970."""
    parsed = datetime.fromisoformat(timestamp)
    return round((parsed - datetime.fromtimestamp(0, UTC)) / timedelta(microseconds=1))


def _message_of(asked: Asked) -> Any:
    """Identifies a message: the same for all tries to send it."""
    id = asked.fields.get("client_message_id")
    return asked.number if id is None else (asked.sender, id)


def _of(fields: Fields, names: tuple[str, ...]) -> Fields:
    return {name: fields.get(name) for name in names}
