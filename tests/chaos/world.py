"""The AWS around the real functions (Lambda, API Gateway's WebSockets, the timer queue), and its faults.

DynamoDB is at the other end of the wire. The seed decides here what happens to requests on their way there.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError

import get_message.app
import make_call.app
import send_message.app
import websocket.app
from clients.proving.history import Answered, Doubled, Event, Fields, Judged, TimerLost, Told
from clients.proving.history import Asked as Tried
from navietakie import settings
from navietakie.aws.attachments import StoredObject, kept_key, upload_key
from navietakie.aws.tables import keys
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.message import Sender
from navietakie.wire.connections_api import Outcome, Post
from tests.chaos.scheduler import SECOND, Scheduler, Strand
from tests.fakes import invocations
from tests.fakes.attachments import FakeAttachments
from tests.fakes.dynamodb import Lag
from tests.fakes.wire import Asked, Carry, Killed, Wire, answer, conflict, refused, timed_out

HANDLERS = {
    "send_message": send_message.app.handler,
    "make_call": make_call.app.handler,
    "get_message": get_message.app.handler,
    "websocket": websocket.app.handler,
}
ROUTES = {
    "message": "send_message",
    "redact": "send_message",
    "delivered": "send_message",
    "read": "send_message",
    "call": "make_call",
    "signal": "make_call",
    "sync": "get_message",
}
OWNERS = {"calls": "make_call", "attachment": "get_message"}
"""The function of each path that has another name."""
SKEWS = (0, 0, 300_000, -400_000, 900_000, -800_000)
"""By how much the clocks of the containers are ahead, in microseconds."""
READ_TIMEOUT = 3.0
VISIBILITY = 30.0
RECEIVES = 5
BATCH = 5
"""How many records of the stream come in a batch."""
HOOK_SECONDS = 1.5


@dataclass(frozen=True, kw_only=True)
class Faults:
    """The probability of each fault."""

    killed: float = 0.004
    """The function dies before, or right after, a request."""
    throttled: float = 0.02
    unreached: float = 0.004
    """The request times out on its way."""
    unanswered: float = 0.008
    """The request is done, and its answer gets lost."""
    conflict: float = 0.04
    stale: float = 0.15
    """An eventually consistent read shows an older state."""
    doubled: float = 0.02
    """Lambda runs an event twice."""
    answer_lost: float = 0.03
    """A REST answer does not get back to its client."""
    post_lost: float = 0.03
    """@connections says 200, and nothing arrives."""
    post_failed: float = 0.03
    """@connections answers 429 or 5xx to every try; half of these frames still arrive."""
    post_doubled: float = 0.02
    slow: float = 0.06
    """How often something takes up to 1.5 s instead of milliseconds, so that pushes overtake each other."""
    timer_lost: float = 0.05
    """A ring or left timer never comes."""
    timer_doubled: float = 0.1
    hasty: float = 0.1
    """A client is gone again before its `$connect` has ended."""
    silent_end: float = 0.15
    """A connection ends without a `$disconnect`."""
    hook_failed: float = 0.06
    """The message hook hangs, dies, or gives an answer without sense."""
    topic_stopped: float = 0.02
    """The topic of message events fails for a while, from some batch on."""
    batch_doubled: float = 0.05


CALM = Faults(**dict.fromkeys(Faults.__dataclass_fields__, 0.0))


class Phone(Protocol):
    """The client's end of a line."""

    def received(self, line: "Line", frame: Fields) -> None: ...

    def closed(self, line: "Line") -> None: ...


@dataclass(eq=False)
class Line:
    """A WebSocket. `broken`: the client's end is dead, unknown to API Gateway; `gone`: it knows, and answers 410."""

    id: str
    phone: Phone
    state: Literal["connecting", "open", "broken", "gone"] = "connecting"


def verdict_on(text: str) -> str:
    """What the hook does with a text; always the same."""
    if "insult" in text:
        return "deny"
    return "replace" if "number" in text else "allow"


def replaced(text: str) -> str:
    """The text with which the hook replaces another."""
    return text.replace("number", "······")


class Bucket(FakeAttachments):
    """The attachments bucket. Its requests take time and fail like others."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self._world = world
        self._uploaded: list[tuple[str, str]] = []

    def upload(
        self, booking_code: str, sender: Sender, id: str, content_type: str = "image/jpeg", size: int = 9
    ) -> None:
        super().upload(booking_code, sender, id, content_type, size)
        self._uploaded.append((booking_code, id))

    def uploaded_to(self, booking_code: str) -> list[str]:
        """The ids of everything that was ever uploaded to a booking."""
        return [id for booking, id in self._uploaded if booking == booking_code]

    def uploaded(self, booking_code: str, sender: Sender, id: str) -> StoredObject | None:
        self._passes("s3.HeadObject")
        return super().uploaded(booking_code, sender, id)

    def kept(self, booking_code: str, id: str) -> StoredObject | None:
        self._passes("s3.HeadObject")
        return super().kept(booking_code, id)

    def keep(self, booking_code: str, sender: Sender, id: str, upload: StoredObject) -> bool:
        self._passes("s3.CopyObject")
        key = kept_key(booking_code, id)
        if key in self.objects or self.objects.get(upload_key(booking_code, sender, id)) != upload:
            return False
        stored_at = self._world.scheduler.now // SECOND
        self.objects[key] = replace(upload, sender=sender, stored_at=stored_at)
        return True

    def delete(self, booking_code: str, sender: Sender, id: str) -> None:
        for key in (upload_key(booking_code, sender, id), kept_key(booking_code, id)):
            self._passes("s3.DeleteObject")
            self.objects.pop(key, None)

    def _passes(self, name: str) -> None:
        self._world.passes(name)


class World:
    """Runs the functions. `events` is the history as it grows."""

    def __init__(self, seed: int, scheduler: Scheduler, wire: Wire, faults: Faults) -> None:
        self.random = random.Random(seed)
        self.scheduler = scheduler
        self.faults = faults
        self.events: list[Event] = []
        self.exercised: Counter[str] = Counter()
        """How often each thing has happened."""
        self.bucket = Bucket(self)
        self.told = False
        """Whether message events are switched on."""
        self._wire = wire
        self._lines: dict[str, Line] = {}
        self._trying: dict[int, Any] = {}
        self._hurt: dict[int, set[str]] = defaultdict(set)
        """The requests at which a fault struck the function that served a try."""
        self._serving: dict[Strand, int] = {}
        self._held: dict[tuple[Any, str], float] = {}
        """Which client's next request of which name takes how long to arrive."""
        self._shards: dict[str, list[tuple[str, Fields]]] = {}
        """Per booking, the records of the messages table's stream that wait for their batch."""
        self._stopped_until = 0
        self._batch_began: dict[Strand, int] = {}
        self._known_events: set[str] = set()
        wire.way = self._way
        if wire.dynamodb is not None:
            wire.dynamodb.lag = Lag(self._age, lambda: scheduler.now)
            wire.dynamodb.changed = self._changed

    # --- what clients do

    def happens(self, probability: float) -> bool:
        """Draws whether something happens this time."""
        return self.random.random() < probability

    def strikes(self, fault: str, part: float = 1.0) -> bool:
        """Draws whether a fault strikes this time, and counts it."""
        if not self.happens(getattr(self.faults, fault) * part):
            return False
        self.exercised[f"fault: {fault}"] += 1
        return True

    def again(self, number: int) -> None:
        """Notes that a client repeats the try of this number."""
        for name in self._hurt[number]:
            self.exercised[f"tried again after: {name}"] += 1

    def number(self, client: Any) -> int:
        """A new number for a try of a client."""
        self._trying[number := len(self._trying) + 1] = client
        return number

    def tried(self, client: Any, kind: str, sender: str, fields: Fields) -> int:
        """Notes that a client asks for something. Returns the number of the try."""
        number = self.number(client)
        self._note(Tried, client, number=number, kind=kind, sender=sender, fields=fields)
        return number

    def answered(self, client: Any, number: int, code: str | None, body: Fields) -> None:
        """Notes the outcome of a try."""
        self._note(Answered, client, number=number, code=code, body=body)

    def _note(self, event: type[Event], client: Any, **fields: Any) -> None:
        self.events.append(event(at=self.scheduler.now, booking=client.booking, client=client.name, **fields))

    def rest(
        self, name: str, body: Fields | None = None, query: dict[str, str] | None = None, number: int = 0
    ) -> Fields | None:
        """A strand makes a REST request, the try of this number. Returns the answer's body, or None if none came."""
        self.scheduler.pause(self._latency())
        found = self._invoke(OWNERS.get(name, name), invocations.rest(name, body, query), number)
        self.scheduler.pause(self._latency())
        if found is None or self.strikes("answer_lost"):
            return None
        return json.loads(found["body"])

    def connect(self, phone: Phone, query: dict[str, str], number: int = 0) -> Line | None:
        """A strand opens a line, the try of this number. Returns None if it was refused, or has broken meanwhile."""
        line = Line(f"line-{len(self._lines) + 1}", phone)
        self._lines[line.id] = line
        if self.strikes("hasty"):
            self.scheduler.call(self._latency() * 3, partial(self.cut, line))
        found = self._invoke("websocket", invocations.connect(line.id, query), number)
        if found is None or found["statusCode"] != 200:
            line.state = "gone"
        if line.state == "connecting":
            line.state = "open"
            return line
        return None

    def send(self, line: Line, frame: Fields, number: int = 0) -> None:
        """A client sends a frame, the try of this number."""
        if line.state == "open":
            function = ROUTES.get(frame["action"], "websocket")
            event = invocations.frame(line.id, frame)
            event["requestContext"]["requestTimeEpoch"] = self.scheduler.now // 1_000
            self.scheduler.start(partial(self._take, line, function, event, number), self._latency())

    def cut(self, line: Line) -> None:
        """The network ends a line. API Gateway notices after a while, and sends `$disconnect` never, once or twice."""
        if line.state not in ("connecting", "open"):
            return
        line.state = "broken"
        seconds = self.random.choice((0.0, 0.05, 1.0, 8.0))
        self.scheduler.call(seconds, partial(setattr, line, "state", "gone"))
        if not self.strikes("silent_end"):
            for _ in range(1 + self.strikes("doubled", 5)):
                event = invocations.disconnect(line.id)
                self.scheduler.start(partial(self._invoke, "websocket", event), seconds + self._latency())

    def forget(self, phone: Phone) -> None:
        """Deletes the row of a phone's connection. Its line stays open."""
        assert self._wire.dynamodb is not None
        for line in self._lines.values():
            if line.phone is phone and line.state == "open":
                key = {"TableName": settings.required("CONNECTIONS_TABLE"), "Key": keys.connection(line.id)}
                self._wire.dynamodb("DeleteItem", key)

    def hold(self, phone: Phone, name: str, seconds: float) -> None:
        """The next request of this name that a function makes for this phone takes so long to arrive."""
        self._held[phone, name] = seconds

    # --- @connections: what the functions post

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        """Takes frames for connections. Each frame takes its own time."""
        outcomes: list[Outcome] = ["failed"] * len(posts)
        longest = 0.0
        # Sorted: an index promises no order, and the run must not depend on one.
        for place, (connection_id, body) in sorted(enumerate(posts), key=lambda it: it[1][0]):
            if self.strikes("killed", 0.5):
                raise Killed
            seconds = self._latency()
            longest = max(longest, seconds)

            def accept(place: int = place, connection_id: str = connection_id, body: bytes = body) -> None:
                outcomes[place] = self._accept(self._lines[connection_id], json.loads(body))

            self.scheduler.call(seconds, accept)
        self.scheduler.pause(longest + 0.000_001)
        if "failed" in outcomes:
            self.scheduler.pause(self.random.uniform(0.1, 5.0))
        return outcomes

    def close(self, connection_id: str) -> None:
        """Ends a connection."""
        self.scheduler.pause(self._latency())
        self._end(self._lines[connection_id])

    def close_all(self, connection_ids: Sequence[str]) -> list[Outcome]:
        """Ends several connections. Returns `gone` for one that is not open."""
        outcomes: list[Outcome] = []
        for connection_id in sorted(connection_ids):
            if self.strikes("killed", 0.5):
                raise Killed
            self.scheduler.pause(self._latency())
            outcomes.append(self._end(self._lines[connection_id]))
        by_id = dict(zip(sorted(connection_ids), outcomes, strict=True))
        return [by_id[connection_id] for connection_id in connection_ids]

    def _end(self, line: Line) -> Outcome:
        if line.state in ("connecting", "gone"):
            return "gone"
        if line.state == "open":
            line.state = "gone"
            self.scheduler.call(0.001, partial(line.phone.closed, line))
            event = invocations.disconnect(line.id)
            self.scheduler.start(partial(self._invoke, "websocket", event), self._latency())
        return "delivered"

    def _accept(self, line: Line, frame: Fields) -> Outcome:
        if line.state in ("connecting", "gone"):
            return "gone"
        if line.state == "broken":
            return "delivered"  # as far as API Gateway knows
        if self.strikes("post_lost"):
            return "delivered"
        failed = self.strikes("post_failed")
        if failed and self.happens(0.5):
            return "failed"
        for _ in range(1 + self.strikes("post_doubled")):
            self.scheduler.call(self._latency(), partial(self._arrive, line, frame))
        return "failed" if failed else "delivered"

    def _arrive(self, line: Line, frame: Fields) -> None:
        if line.state == "open":
            line.phone.received(line, frame)

    # --- Lambda

    def direct(self, function: str, event: Fields, number: int) -> Fields | None:
        """A strand invokes a function directly, the try of this number. Returns None if no answer came."""
        found = self._invoke(function, event, number)
        return None if found is None or self.strikes("answer_lost") else found["body"]

    def _take(self, line: Line, function: str, event: Fields, number: int) -> None:
        if self._invoke(function, event, number) is None:
            context = {"connectionId": line.id, "requestId": "died"}
            self._accept(line, {"message": "Internal server error", **context})  # API Gateway's own frame

    def _invoke(self, function: str, event: Fields, number: int = 0) -> Any:
        """Runs a function in some container. Returns None if it died."""
        if self.strikes("doubled"):
            if client := self._trying.get(number):
                self._note(Doubled, client, number=number)
            self.scheduler.start(partial(self._run, function, event), self._latency())
        return self._run(function, event, number)

    def _run(self, function: str, event: Fields, number: int = 0, died: list[bool] | None = None) -> Any:
        strand = self.scheduler.current
        assert strand is not None
        strand.skew = self.random.choice(SKEWS)
        self._serving[strand] = number
        try:
            return HANDLERS[function](event, invocations.Context())
        except Killed:
            if died is not None:
                died.append(True)
            return None
        finally:
            strand.skew = 0
            del self._serving[strand]

    def _deliver(self, body: Fields, received: int) -> None:
        answer = self._invoke("make_call", invocations.timers(body))
        if (answer is None or answer["batchItemFailures"]) and received < RECEIVES:
            self.scheduler.start(partial(self._deliver, body, received + 1), VISIBILITY)

    # --- the stream of the messages table

    def _changed(self, table: str, old: Fields | None, new: Fields) -> None:
        """Puts what was written into the stream, if there is one. Each booking's records come in order."""
        if not self.told or not table.startswith("messages"):
            return
        booking = new["booking_code"]["S"]
        waiting = self._shards.get(booking)
        if waiting is None:
            waiting = self._shards[booking] = []
            self.scheduler.start(partial(self._take_stream, booking), self.random.uniform(0.05, 0.5))
        waiting.append(("MODIFY" if old else "INSERT", new))

    def stop_topic(self, seconds: float) -> None:
        """Lets the topic of message events fail for so long."""
        self._stopped_until = self.scheduler.now + round(seconds * SECOND)

    def _take_stream(self, booking: str) -> None:
        strand = self.scheduler.current
        assert strand is not None
        waiting = self._shards[booking]
        while waiting:
            batch = waiting[:BATCH]
            self._batch_began[strand] = self.scheduler.now
            if self.strikes("topic_stopped"):
                self.stop_topic(self.random.uniform(1.0, 20.0))
            if not self._streamed(batch):
                self.exercised["a batch of the stream came again"] += 1
                self.scheduler.pause(self.random.uniform(0.5, 3.0))
                continue
            if self.strikes("batch_doubled"):
                self._streamed(batch)
            del waiting[: len(batch)]
            self.scheduler.pause(self._latency())
        del self._shards[booking]

    def _streamed(self, batch: Sequence[tuple[str, Fields]]) -> bool:
        events = [invocations.changes(image, name=name) for name, image in batch]
        whole = {**events[0], "Records": [record for event in events for record in event["Records"]]}
        died: list[bool] = []
        try:
            self._run("send_message", whole, died=died)
        except Refusal:  # Lambda brings the batch again
            return False
        return not died

    def _told(self, event: Fields) -> None:
        strand = self.scheduler.current
        assert strand is not None
        if event["event_id"] in self._known_events:
            self.exercised["an event was told twice"] += 1
        self._known_events.add(event["event_id"])
        began = self._batch_began[strand]
        booking = event["booking_code"]
        self.events.append(
            Told(at=self.scheduler.now, booking=booking, client=f"{booking}-stream", began=began, event=event)
        )

    # --- the message hook

    def _hook(self, asked: Asked) -> AWSResponse:
        said, booking = asked.fields, asked.fields["booking_code"]
        verdict = "fail" if self.strikes("hook_failed") else verdict_on(said["message"])
        how = self.random.choice(("hangs", "dies", "answers nonsense")) if verdict == "fail" else verdict
        self.exercised[f"hook: {how}"] += 1
        stored = {"allow": said["message"], "replace": replaced(said["message"])}.get(verdict)
        self.events.append(
            Judged(
                at=self.scheduler.now,
                booking=booking,
                client=f"{booking}-hook",
                sender=said["sender"],
                client_message_id=said["client_message_id"],
                message=said["message"],
                stored=stored,
                failed=verdict == "fail",
            )
        )
        match how:
            case "hangs":
                self.scheduler.pause(HOOK_SECONDS)
                raise timed_out(asked)
            case "dies":
                return AWSResponse(
                    "https://example.invalid", 200, {"X-Amz-Function-Error": "Unhandled"}, answer(200, {}).raw
                )
            case "answers nonsense":
                return answer(200, {"action": self.random.choice(("perhaps", "replace")), "message": 7})
            case "replace":
                return answer(200, {"action": "replace", "message": stored})
            case _:
                return answer(200, {"action": how})

    # --- between the functions and AWS

    def _way(self, asked: Asked, carry: Carry) -> AWSResponse:
        self.scheduler.pause(self._latency() + self._held.pop((self._served(), asked.name), 0.0))
        if asked.name == "lambda.Invoke":
            if self.strikes("killed", 5):
                self._struck(asked)
                raise Killed
            return self._hook(asked)
        if self.strikes("killed"):
            self._struck(asked)
            if self.happens(0.5):
                self._carried(asked, carry)
            raise Killed
        if self.strikes("throttled"):
            return refused(asked, "ThrottlingException")
        if asked.name in ("dynamodb.TransactWriteItems", "dynamodb.UpdateItem") and self.strikes("conflict"):
            return conflict(asked)
        if self._is_told(asked) and self.scheduler.now < self._stopped_until:
            return refused(asked, "InternalError", 500)
        if self.strikes("unreached"):
            self._struck(asked)
            self.scheduler.pause(1.0)
            raise ConnectTimeoutError(endpoint_url="https://example.invalid")
        response = self._carried(asked, carry)
        self.scheduler.pause(self._latency())
        if self.strikes("unanswered"):
            self._struck(asked)
            self.scheduler.pause(READ_TIMEOUT)
            raise timed_out(asked)
        return response

    def passes(self, name: str) -> None:
        """A request to the bucket. It takes a while, and a fault strikes before it is done."""
        self.scheduler.pause(self._latency())
        if self.strikes("killed", 5):
            self._struck(Asked(name, {}))
            raise Killed
        if self.strikes("unanswered", 5):
            self._struck(Asked(name, {}))
            raise unavailable("The attachments")

    def _struck(self, asked: Asked) -> None:
        self.exercised[f"struck at: {asked.name}"] += 1
        strand = self.scheduler.current
        if strand is not None and (number := self._serving.get(strand)):
            self._hurt[number].add(asked.name)

    def _served(self) -> Any:
        """The client for which a function works; None where it is for none."""
        strand = self.scheduler.current
        return None if strand is None else self._trying.get(self._serving.get(strand, 0))

    def _is_told(self, asked: Asked) -> bool:
        return asked.name == "sns.Publish" and asked.fields["TopicArn"].endswith(":message-events")

    def _carried(self, asked: Asked, carry: Carry) -> AWSResponse:
        response = carry()
        if asked.name == "sqs.SendMessage":
            self._queued(*self._wire.queued.pop())
        elif self._is_told(asked):
            self._told(json.loads(asked.fields["Message"]))
        return response

    def _queued(self, delay: int, body: Fields) -> None:
        if body["kind"] != "order" and self.strikes("timer_lost"):
            booking = body["booking_code"]
            client = f"{booking}-timers"
            self.events.append(
                TimerLost(at=self.scheduler.now, booking=booking, client=client, call_id=body["call_id"])
            )
            return
        for _ in range(1 + self.strikes("timer_doubled")):
            late = self.random.uniform(0.0, 0.5) + 5.0 * self.strikes("slow")
            self.scheduler.start(partial(self._deliver, body, 1), delay + late)

    def _age(self) -> float:
        """How old the state is that an eventually consistent read sees, in microseconds."""
        # If nothing lags, draw no random number either: the embedded DynamoDB draws none.
        return self.random.uniform(0.0, SECOND) if self.faults.stale and self.strikes("stale") else 0.0

    def _latency(self) -> float:
        if self.strikes("slow"):
            return self.random.uniform(0.05, 1.5)
        return self.random.uniform(0.001, 0.012)
