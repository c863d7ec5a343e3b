"""The AWS around the real functions, and what goes wrong in it: Lambda, API Gateway's WebSockets, the timer queue.

DynamoDB is at the other end of the wire; what happens to requests on their way there is decided here, by the seed.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError

import get_message.app
import make_call.app
import send_message.app
import websocket.app
from clients.proving.history import Answered, Doubled, Event, Fields
from clients.proving.history import Asked as Tried
from navietakie.wire.connections_api import Outcome, Post
from tests.chaos.scheduler import SECOND, Scheduler
from tests.fakes import invocations
from tests.fakes.wire import Asked, Carry, Killed, Wire, answer, conflict, refused, timed_out

HANDLERS = {
    "send_message": send_message.app.handler,
    "make_call": make_call.app.handler,
    "get_message": get_message.app.handler,
    "websocket": websocket.app.handler,
}
ROUTES = {
    "message": "send_message",
    "delivered": "send_message",
    "read": "send_message",
    "call": "make_call",
    "signal": "make_call",
    "sync": "get_message",
}
SKEWS = (0, 0, 300_000, -400_000, 900_000, -800_000)
"""How far the clocks of the containers are ahead, in microseconds."""
READ_TIMEOUT = 3.0
VISIBILITY = 30.0
RECEIVES = 5


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How often what goes wrong: probabilities."""

    killed: float = 0.004
    """The function dies before, or right after, a request."""
    throttled: float = 0.02
    unreached: float = 0.004
    """The request times out on its way."""
    unanswered: float = 0.008
    """The request is done, and its answer gets lost."""
    conflict: float = 0.04
    stale: float = 0.15
    """A read that need not be consistent is not."""
    doubled: float = 0.02
    """Lambda runs an event twice."""
    answer_lost: float = 0.03
    """A REST answer does not get back to its client."""
    post_lost: float = 0.03
    """@connections says 200, and nothing arrives."""
    post_failed: float = 0.03
    """429 or 5xx to the end; half of these frames arrive all the same."""
    post_doubled: float = 0.02
    slow: float = 0.06
    """How often what takes milliseconds takes up to a second and a half: pushes overtake each other."""
    timer_lost: float = 0.05
    """A ring or left timer never comes."""
    timer_doubled: float = 0.1
    hasty: float = 0.1
    """A client is gone again before its `$connect` is through."""
    silent_end: float = 0.15
    """A connection ends without a `$disconnect`."""


CALM = Faults(**dict.fromkeys(Faults.__dataclass_fields__, 0.0))


class Phone(Protocol):
    """What is at a client's end of a line."""

    def received(self, line: "Line", frame: Fields) -> None: ...

    def closed(self, line: "Line") -> None: ...


@dataclass(eq=False)
class Line:
    """A WebSocket. `broken`: the client's end is dead, unknown to API Gateway; `gone`: it knows, and answers 410."""

    id: str
    phone: Phone
    state: Literal["connecting", "open", "broken", "gone"] = "connecting"


class World:
    """Runs the functions. `events` is the history as it grows."""

    def __init__(self, seed: int, scheduler: Scheduler, wire: Wire, faults: Faults) -> None:
        self.random = random.Random(seed)
        self.scheduler = scheduler
        self.faults = faults
        self.events: list[Event] = []
        self._wire = wire
        self._lines: dict[str, Line] = {}
        self._trying: dict[int, Any] = {}
        self._earlier: dict[str, list[tuple[int, Fields]]] = {}
        wire.way = self._way

    # --- what clients do

    def happens(self, probability: float) -> bool:
        """Whether it happens this time."""
        return self.random.random() < probability

    def tried(self, client: Any, kind: str, sender: str, fields: Fields) -> int:
        """Notes that a client asks for something; the number of the try."""
        number = len(self._trying) + 1
        self._trying[number] = client
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
        """A REST request of a strand, the try of this number; the body of its answer, None where none came."""
        self.scheduler.pause(self._latency())
        found = self._invoke("make_call" if name == "calls" else name, invocations.rest(name, body, query), number)
        self.scheduler.pause(self._latency())
        if found is None or self.happens(self.faults.answer_lost):
            return None
        return json.loads(found["body"])

    def connect(self, phone: Phone, query: dict[str, str]) -> Line | None:
        """A strand opens a line; None where it was refused, or has broken meanwhile."""
        line = Line(f"line-{len(self._lines) + 1}", phone)
        self._lines[line.id] = line
        if self.happens(self.faults.hasty):
            self.scheduler.call(self._latency() * 3, partial(self.cut, line))
        found = self._invoke("websocket", invocations.connect(line.id, query))
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
        """The network ends a line; API Gateway finds out after a while, and tells nobody, once or twice."""
        if line.state not in ("connecting", "open"):
            return
        line.state = "broken"
        seconds = self.random.choice((0.0, 0.05, 1.0, 8.0))
        self.scheduler.call(seconds, partial(setattr, line, "state", "gone"))
        if not self.happens(self.faults.silent_end):
            for _ in range(1 + self.happens(self.faults.doubled * 5)):
                event = invocations.disconnect(line.id)
                self.scheduler.start(partial(self._invoke, "websocket", event), seconds + self._latency())

    # --- @connections: what the functions post

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        """Takes frames for connections, each on its own way."""
        outcomes: list[Outcome] = ["failed"] * len(posts)
        longest = 0.0
        # Sorted: an index promises no order, and the run may depend on none.
        for place, (connection_id, body) in sorted(enumerate(posts), key=lambda it: it[1][0]):
            if self.happens(self.faults.killed / 2):
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
        """Ends several; `gone` is one that is not open."""
        outcomes: list[Outcome] = []
        for connection_id in sorted(connection_ids):
            if self.happens(self.faults.killed / 2):
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
            return "delivered"  # for all that API Gateway knows
        if self.happens(self.faults.post_lost):
            return "delivered"
        failed = self.happens(self.faults.post_failed)
        if failed and self.happens(0.5):
            return "failed"
        for _ in range(1 + self.happens(self.faults.post_doubled)):
            self.scheduler.call(self._latency(), partial(self._arrive, line, frame))
        return "failed" if failed else "delivered"

    def _arrive(self, line: Line, frame: Fields) -> None:
        if line.state == "open":
            line.phone.received(line, frame)

    # --- Lambda

    def direct(self, function: str, event: Fields, number: int) -> Fields | None:
        """A direct invocation by a strand, the try of this number; None where no answer came."""
        found = self._invoke(function, event, number)
        return None if found is None or self.happens(self.faults.answer_lost) else found["body"]

    def _take(self, line: Line, function: str, event: Fields, number: int) -> None:
        if self._invoke(function, event, number) is None:
            context = {"connectionId": line.id, "requestId": "died"}
            self._accept(line, {"message": "Internal server error", **context})  # API Gateway's own words

    def _invoke(self, function: str, event: Fields, number: int = 0) -> Any:
        """Runs a function in some container; None where it died."""
        if self.happens(self.faults.doubled):
            if client := self._trying.get(number):
                self._note(Doubled, client, number=number)
            self.scheduler.start(partial(self._run, function, event), self._latency())
        return self._run(function, event)

    def _run(self, function: str, event: Fields) -> Any:
        strand = self.scheduler.current
        assert strand is not None
        strand.skew = self.random.choice(SKEWS)
        try:
            return HANDLERS[function](event, invocations.Context())
        except Killed:
            return None
        finally:
            strand.skew = 0

    def _deliver(self, body: Fields, received: int) -> None:
        answer = self._invoke("make_call", invocations.timers(body))
        if (answer is None or answer["batchItemFailures"]) and received < RECEIVES:
            self.scheduler.start(partial(self._deliver, body, received + 1), VISIBILITY)

    # --- between the functions and AWS

    def _way(self, asked: Asked, carry: Carry) -> AWSResponse:
        self.scheduler.pause(self._latency())
        faults = self.faults
        if self.happens(faults.killed):
            if self.happens(0.5):
                self._carried(asked, carry)
            raise Killed
        if self.happens(faults.throttled):
            return refused(asked, "ThrottlingException")
        if asked.name in ("dynamodb.TransactWriteItems", "dynamodb.UpdateItem") and self.happens(faults.conflict):
            return conflict(asked)
        if self.happens(faults.unreached):
            self.scheduler.pause(1.0)
            raise ConnectTimeoutError(endpoint_url="https://example.invalid")
        response = self._carried(asked, carry)
        self.scheduler.pause(self._latency())
        if self.happens(faults.unanswered):
            self.scheduler.pause(READ_TIMEOUT)
            raise timed_out(asked)
        return response

    def _carried(self, asked: Asked, carry: Carry) -> AWSResponse:
        response = carry()
        if asked.name == "sqs.SendMessage":
            self._queued(*self._wire.queued.pop())
        elif asked.name in ("dynamodb.GetItem", "dynamodb.Query") and not asked.fields.get("ConsistentRead"):
            return self._lagging(asked, response)
        return response

    def _queued(self, delay: int, body: Fields) -> None:
        if body["kind"] != "order" and self.happens(self.faults.timer_lost):
            return
        for _ in range(1 + self.happens(self.faults.timer_doubled)):
            late = self.random.uniform(0.0, 0.5) + 5.0 * self.happens(self.faults.slow)
            self.scheduler.start(partial(self._deliver, body, 1), delay + late)

    def _lagging(self, asked: Asked, response: AWSResponse) -> AWSResponse:
        """What is read from an index, or not consistently, is now and then as it was a moment ago."""
        what = json.dumps(asked.fields, sort_keys=True)
        recent = [it for it in self._earlier.get(what, []) if it[0] > self.scheduler.now - SECOND]
        self._earlier[what] = [*recent, (self.scheduler.now, json.loads(response.content))]
        if recent and self.happens(self.faults.stale):
            return answer(200, recent[0][1])
        return response

    def _latency(self) -> float:
        if self.happens(self.faults.slow):
            return self.random.uniform(0.05, 1.5)
        return self.random.uniform(0.001, 0.012)
