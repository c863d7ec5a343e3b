"""What a run exercised: how often each fault, transition, order and boundary case really happened."""

from collections import Counter
from collections.abc import Iterable

from clients.proving.history import Answered, Asked, Disowned, History, Told
from tests.chaos.world import Faults

REQUESTS = (
    "dynamodb.GetItem",
    "dynamodb.Query",
    "dynamodb.PutItem",
    "dynamodb.UpdateItem",
    "dynamodb.DeleteItem",
    "dynamodb.BatchGetItem",
    "dynamodb.TransactWriteItems",
    "sqs.SendMessage",
    "sns.Publish",
    "lambda.Invoke",
    "s3.HeadObject",
)
"""The requests at which a fault has to strike: the function dies, or the answer is lost. Then a client tries again."""
OLDER_STATE = "an older state was read"
TRANSITIONS = (
    "ringing",
    "answered by an accept",
    "answered by both calling at once",
    "ringing → declined",
    "ringing → cancelled",
    "ringing → no_answer",
    "ringing → booking_closed",
    "ringing → revoked",
    "connected → completed",
    "connected → connection_lost",
    "connected → max_duration",
    "connected → booking_closed",
    "connected → revoked",
)
"""The transitions of the table of calls that are visible from outside."""
REFUSALS = (
    "booking_closed",
    "call_in_progress",
    "forbidden",
    "idempotency_conflict",
    "illegal_transition",
    "muted",
    "not_found",
    "rate_limited",
    "refused_by_hook",
)
ORDERS = ("booking_closed", "booking_opened", "side_muted", "side_unmuted", "tokens_revoked")
BOUNDARIES = (
    "attachment: uploaded",
    "history: a page out of the cache",
    "history: a page with more behind it",
    "sync: more than a step missed",
    "sync: more than an answer holds",
    "sync: several frames",
)
EVENTS = ("a batch of the stream came again", "an event was told twice")
VERDICTS = ("allow", "deny", "replace", "hangs", "dies", "answers nonsense")
ROWS = (
    *(f"fault: {name}" for name in Faults.__dataclass_fields__),
    *(f"struck at: {name}" for name in REQUESTS),
    *(f"tried again after: {name}" for name in REQUESTS),
    OLDER_STATE,
    *(f"call: {name}" for name in TRANSITIONS),
    *(f"refused: {code}" for code in REFUSALS),
    *(f"order: {event}" for event in ORDERS),
    *(f"redacted by: {who}" for who in ("driver", "passenger", "agent", "system")),
    *(f"hook: {verdict}" for verdict in VERDICTS),
    "a repeat found the original",
    "a connection was not known any more",
    "told of a redaction",
    *BOUNDARIES,
    *EVENTS,
)
"""Everything that CI's seeds have to exercise together."""


def exercised(histories: Iterable[History]) -> Counter[str]:
    """How often each of ROWS happened in all these runs; 0 if never."""
    found: Counter[str] = Counter(dict.fromkeys(ROWS, 0))
    for history in histories:
        found.update(history.exercised)
        found.update(_of(history))
    return found


def table(found: Counter[str]) -> str:
    """The rows as text. Rows that never happened are marked."""
    return "\n".join(f"{found[row]:8,} {row}{'' if found[row] else '   ← never'}" for row in ROWS)


def _of(history: History) -> Counter[str]:
    found: Counter[str] = Counter()
    tries = {event.number: event for event in history.events if isinstance(event, Asked)}
    for event in history.events:
        if isinstance(event, Answered):
            if event.code is not None:
                found[f"refused: {event.code}"] += 1
            elif event.body.get("duplicate"):
                found["a repeat found the original"] += 1
            asked = tries[event.number]
            if asked.kind == "call" and event.code is None and event.body["call"]["state"] == "connected":
                action = asked.fields.get("call_action") or asked.fields["action"]
                if action in ("accept", "initiate"):
                    how = "an accept" if action == "accept" else "both calling at once"
                    found[f"call: answered by {how}"] += 1
        elif isinstance(event, Disowned):
            found["a connection was not known any more"] += 1
        elif isinstance(event, Told) and event.event["type"] == "message.redacted":
            found["told of a redaction"] += 1
    for booking in history.bookings.values():
        for call in booking.calls:
            found["call: ringing"] += 1
            found[f"call: {'connected' if call['answered_at'] else 'ringing'} → {call['end_reason']}"] += 1
        for message in booking.messages:
            about = message["metadata"] or {}
            if message["message_type"] == "system" and about.get("event") == "message_redacted":
                found[f"redacted by: {about['by']}"] += 1
            elif message["message_type"] == "system":
                found[f"order: {about.get('event')}"] += 1
    return found
