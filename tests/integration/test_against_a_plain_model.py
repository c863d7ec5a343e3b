"""Compares the real functions with a slow and simple model of a conversation: a list, a dict, and no head.

Hypothesis makes the histories: messages and repeats, orders, receipts, redactions, pages by every filter, and syncs,
while the clock jumps. After each step both must have given the same answer. DynamoDB is the one in memory.
"""

import json
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import get_message.app
import get_message.sync
import send_message.app
from get_message.history import PageCache
from get_message.sync import Sync
from navietakie.aws.tables.messages import messages
from navietakie.domain import frames, instants
from navietakie.doors import serve
from tests.fakes import invocations
from tests.fakes.wire import wired

Fields = dict[str, Any]
SENDERS: Final = ("driver", "passenger", "agent", "system")
TYPES: Final = ("text", "call", "system")
HOUR: Final = 3_600 * instants.SECOND
DAY: Final = 24 * HOUR
NEWEST: Final = 5
"""How many messages a client gets if it has none. Small, so that histories are longer than that."""


@dataclass
class Model:
    """The answers of a booking, calculated from everything that was ever stored in it."""

    now: int
    stored: list[Fields] = field(default_factory=list[Fields])
    gone_at: list[int] = field(default_factory=list[int])
    """When each message expires, in seconds."""
    ids: dict[tuple[str, str], Fields] = field(default_factory=dict[tuple[str, str], Fields])
    read: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def send(self, sender: str, text: str, about: Fields | None, id: str | None, type: str) -> tuple[int, Any]:
        event = (about or {}).get("event") if type == "system" else None
        if type == "call" or (type == "system" and sender != "system") or event == "message_redacted":
            return 403, "forbidden"
        if event in ("side_muted", "side_unmuted") and (about or {}).get("side") not in ("driver", "passenger"):
            return 400, "invalid_request"
        known = self.ids.get((sender, id)) if id else None
        if known and known["until"] > self.now // instants.SECOND:
            if known["content"] not in (None, (type, text, about)):
                return 409, "idempotency_conflict"
            return 200, self.stored[known["place"]]
        if refusal := self._silenced(sender):
            return refusal
        self._append(sender, type, text, about, id)
        if id:
            until = (self.now + DAY) // instants.SECOND
            self.ids[sender, id] = {"place": len(self.stored) - 1, "content": (type, text, about), "until": until}
        return 201, self.stored[-1]

    def redact(self, sender: str, timestamp: str) -> tuple[int, Any]:
        place = next((n for n in self._visible() if self.stored[n]["timestamp"] == timestamp), None)
        if place is None:
            return 404, "not_found"
        it = self.stored[place]
        orders = ("booking_closed", "booking_opened", "side_muted", "side_unmuted", "message_redacted")
        if it["message_type"] == "system" and (it["metadata"] or {}).get("event") in orders:
            return 403, "forbidden"
        if sender not in ("system", it["sender"]):
            return 403, "forbidden"
        if it["redacted_at"]:
            return 200, next(notice for notice in self.stored if notice["timestamp"] == it["redacted_at"])
        if refusal := self._silenced(sender):
            return refusal
        about = {"event": "message_redacted", "seq": it["seq"], "timestamp": timestamp, "by": sender}
        self._append("system", "system", "Message removed", about, None)
        self.stored[place] = {**it, "message": "", "metadata": None, "redacted_at": self.stored[-1]["timestamp"]}
        known = self.ids.get((it["sender"], it["client_message_id"]))
        if known and known["place"] == place:
            known["content"] = None
        return 201, self.stored[-1]

    def receipt(self, sender: str, kind: str, seq: int) -> tuple[int, Any]:
        if sender not in ("driver", "passenger"):
            return 403, "forbidden"
        if seq > len(self.stored):
            return 400, "invalid_request"
        self.read[sender, kind] = max(seq, self.read.get((sender, kind), 0))
        return 200, self.receipts

    @property
    def receipts(self) -> Fields:
        def marks(side: str) -> Fields:
            read = self.read.get((side, "read"), 0)
            return {"delivered": max(read, self.read.get((side, "delivered"), 0)), "read": read}

        return {side: marks(side) for side in ("driver", "passenger")}

    @property
    def booking(self) -> Fields:
        closed, muted = None, dict[str, bool]()
        for it in self.stored:
            about: Fields = (it["metadata"] or {}) if it["message_type"] == "system" else {}
            match about.get("event"):
                case "booking_closed":
                    closed = closed or it["timestamp"]
                case "booking_opened":
                    closed = None
                case "side_muted" | "side_unmuted":
                    muted[about["side"]] = about["event"] == "side_muted"
                case _:
                    pass
        return {"closed_at": closed, "muted": [side for side in ("driver", "passenger") if muted.get(side)]}

    def matching(self, query: Fields) -> list[Fields]:
        """Everything that a query may return, in its order."""
        senders, types = query.get("sender", "").split(","), query.get("message_type", "").split(",")
        found = [
            it
            for it in map(self.stored.__getitem__, self._visible())
            if it["timestamp"] > query.get("after", "")
            and it["timestamp"] < query.get("before", "9")
            and (senders == [""] or it["sender"] in senders)
            and (types == [""] or it["message_type"] in types)
        ]
        return found if query.get("order") == "asc" else found[::-1]

    def missed(self, after: str | None) -> list[Fields]:
        found = [self.stored[n] for n in self._visible()]
        return found[-NEWEST:] if after is None else [it for it in found if it["timestamp"] > after]

    def _silenced(self, sender: str) -> tuple[int, Any] | None:
        if sender == "system":
            return None
        if self.booking["closed_at"]:
            return 409, "booking_closed"
        return (403, "muted") if sender in self.booking["muted"] else None

    def _append(self, sender: str, type: str, text: str, about: Fields | None, id: str | None) -> None:
        last = instants.from_text(self.stored[-1]["timestamp"]) if self.stored else 0
        message = {
            "booking_code": "test",
            "seq": len(self.stored) + 1,
            "timestamp": instants.to_text(max(self.now, last + 1)),
            "sender": sender,
            "sender_id": None,
            "message_type": type,
            "message": text,
            "redacted_at": None,
            "client_message_id": id,
            "metadata": about,
        }
        self.stored.append(message)
        self.gone_at.append((self.now + 90 * DAY) // instants.SECOND)

    def _visible(self) -> list[int]:
        return [n for n, at in enumerate(self.gone_at) if at > self.now // instants.SECOND]


class Clock:
    """Replaces the module `time` at the door."""

    def __init__(self) -> None:
        self.now = instants.from_text("2026-03-01T10:00:00.000000Z")

    def time_ns(self) -> int:
        return self.now * 1_000

    monotonic = staticmethod(time.monotonic)


class Both:
    """The functions and the model. Both get the same requests."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.model = Model(clock.now)
        self.ids: dict[int, str] = {}

    def wait(self, microseconds: int) -> None:
        self.clock.now += microseconds
        self.model.now = self.clock.now

    def send(self, sender: str, text: str, about: Fields | None, id: str | None, type: str = "text") -> None:
        fields: Fields = {"sender": sender, "message": text, "message_type": type}
        fields |= {"metadata": about} if about else {}
        fields |= {"client_message_id": id} if id else {}
        self._same_message(self._post(fields), self.model.send(sender, text, about, id, type))

    def redact(self, sender: str, place: int) -> None:
        stamps = [it["timestamp"] for it in self.model.stored]
        timestamp = stamps[place % len(stamps)] if stamps else instants.to_text(self.clock.now)
        answer = self._post({"sender": sender, "redact": timestamp})
        self._same_message(answer, self.model.redact(sender, timestamp))

    def receipt(self, sender: str, kind: str, back: int) -> None:
        seq = max(1, len(self.model.stored) - back)
        status, body = self._post({"sender": sender, kind: seq})
        expected = self.model.receipt(sender, kind, seq)
        assert (status, body["receipts"] if status == 200 else body["error"]["code"]) == expected

    def pages(self, limit: int, query: Fields) -> None:
        """All pages of a query, twice: the second time some may come from the cache."""
        for _ in range(2):
            left, cursor = self.model.matching(query), None
            while True:
                asked = {**query, "limit": limit, **({"cursor": cursor} if cursor else {})}
                event = {"function_type": "get_message", "booking_code": "test", **asked}
                answer = get_message.app.handler(event, invocations.Context())
                body = answer["body"]
                assert answer["statusCode"] == 200, body
                assert self._known(body["messages"]) == left[:limit]
                assert (body["head_seq"], body["receipts"]) == (len(self.model.stored), self.model.receipts)
                assert (body["booking"], body["epoch"] is None) == (self.model.booking, not self.model.stored)
                left, cursor = left[limit:], body["next_cursor"]
                assert (cursor is not None) == bool(left)
                if cursor is None:
                    break

    def sync(self, back: int | None) -> None:
        """Syncs from a message on, as often as it takes to get everything."""
        stamps = ["1970-01-01T00:00:00.000000Z", *(it["timestamp"] for it in self.model.stored)]
        after = None if back is None else stamps[max(0, len(stamps) - 1 - back)]
        expected, found = self.model.missed(after), list[Fields]()
        while True:
            head = messages().head("test")
            made = Sync(messages(), {}).frames(
                "test", after, {}, head, now=self.clock.now, deadline=time.monotonic() + 60
            )
            answer = [json.loads(frames.encode(frame)) for frame in made]
            assert [it["part"] for it in answer] == list(range(len(answer)))
            assert [it["has_more"] for it in answer] == [True] * (len(answer) - 1) + [False]
            assert len(answer) <= get_message.sync.FRAMES
            found += self._known(list(chain.from_iterable(it["messages"] for it in answer)))
            if answer[-1]["through_seq"] == len(self.model.stored):
                break
            assert answer[-1]["through"] > (after or "")
            after = answer[-1]["through"]
        assert found == expected

    def _post(self, fields: Fields) -> tuple[int, Any]:
        event = {"function_type": "send_message", "booking_code": "test", **fields}
        answer = send_message.app.handler(event, invocations.Context())
        return answer["statusCode"], answer["body"]

    def _same_message(self, answer: tuple[int, Any], expected: tuple[int, Any]) -> None:
        status, body = answer
        if status < 300:
            assert (status, self._known([body["message"]])) == (expected[0], [expected[1]])
            assert body["duplicate"] is (status == 200)
        else:
            assert (status, body["error"]["code"]) == expected

    def _known(self, found: list[Fields]) -> list[Fields]:
        """The result without the random ids. Checks that each message always has the same id, and no other has it."""
        for it in found:
            assert self.ids.setdefault(it["seq"], it["message_id"]) == it["message_id"]
        assert len(set(self.ids.values())) == len(self.ids)
        return [{name: value for name, value in it.items() if name != "message_id"} for it in found]


@pytest.fixture(scope="module", autouse=True)
def small() -> Generator[None]:
    """Makes frames of two or three messages, and reads as short."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (frames, get_message.sync):
            patch.setattr(module, "FRAME_BYTES", 1_300)
        patch.setattr(get_message.sync, "STEP", 3)
        patch.setattr(get_message.sync, "FIRST_PAGE", NEWEST)
        yield


def both() -> Iterator[Both]:
    """A new booking for both."""
    with pytest.MonkeyPatch.context() as patch, wired(patch):
        clock = Clock()
        patch.setattr(serve, "time", clock)
        patch.setattr(get_message.app, "pages", PageCache())
        yield Both(clock)


some_sender = st.sampled_from(SENDERS)
some_id = st.none() | st.sampled_from(["a", "b", "c"])
some_order = st.sampled_from(
    [
        {"event": "booking_closed"},
        {"event": "booking_opened"},
        {"event": "side_muted", "side": "driver"},
        {"event": "side_muted", "side": "passenger"},
        {"event": "side_muted", "side": "agent"},
        {"event": "side_unmuted", "side": "driver"},
        {"event": "message_redacted", "seq": 1},
        {"event": "arrived"},
    ]
)
some_query = st.fixed_dictionaries(
    {},
    optional={
        "order": st.sampled_from(["asc", "desc"]),
        "sender": st.sets(some_sender, min_size=1).map(lambda it: ",".join(sorted(it))),
        "message_type": st.sets(st.sampled_from(TYPES), min_size=1).map(lambda it: ",".join(sorted(it))),
    },
)
step = st.one_of(
    st.tuples(
        st.just("send"),
        some_sender,
        st.sampled_from(["Hello", "On my way", "‏أنا هنا"]),
        st.sampled_from([None, {"a": 1}, {"event": "booking_closed"}]),
        some_id,
        st.just("text"),
    ),
    st.tuples(
        st.just("send"), some_sender, st.just("Hello"), st.none(), some_id, st.sampled_from(["text", "text", *TYPES])
    ),
    st.tuples(
        st.just("send"), st.sampled_from(["system", "system", "driver"]), st.just("Order"), some_order, some_id,
        st.just("system"),
    ),
    st.tuples(st.just("redact"), some_sender, st.integers(0, 30)),
    st.tuples(st.just("receipt"), some_sender, st.sampled_from(["delivered", "read"]), st.integers(-1, 5)),
    st.tuples(st.just("pages"), st.sampled_from([1, 2, 3, 100]), some_query),
    st.tuples(st.just("pages_between"), st.integers(0, 30), st.integers(0, 30), some_query),
    st.tuples(st.just("sync"), st.none() | st.integers(0, 30)),
    st.tuples(st.just("wait"), st.sampled_from([1, instants.SECOND, -instants.SECOND, HOUR, 25 * HOUR, 91 * DAY])),
    st.tuples(st.just("wait"), st.just(-HOUR)),
)  # fmt: skip


def do(it: Both, name: str, *how: Any) -> None:
    if name == "pages_between":
        low, high, query = how
        stamps = [message["timestamp"] for message in it.model.stored] or [instants.to_text(it.clock.now)]
        edges = {"after": stamps[low % len(stamps)], "before": stamps[high % len(stamps)]}
        it.pages(2, {**query, **edges})
    else:
        getattr(it, name)(*how)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(st.lists(step, min_size=1, max_size=40))
def test_the_functions_answer_as_the_plain_model_does(steps: list[Any]) -> None:
    for it in both():
        for name, *how in steps:
            do(it, name, *how)
        it.sync(99)
        it.pages(100, {})


def test_every_filter_finds_what_the_plain_model_finds() -> None:
    for it in both():
        for number in range(24):
            it.send(SENDERS[number % 4], f"Message {number}", None, None, "system" if number % 8 == 7 else "text")
            it.wait(instants.SECOND)
        for number in (3, 8, 17):
            it.redact("system", number)
        for senders in _choices(SENDERS):
            for types in _choices(TYPES):
                query = {"sender": ",".join(senders), "message_type": ",".join(types)}
                it.pages(3, {name: value for name, value in query.items() if value})


def _choices(of: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(of, count) for count in range(len(of) + 1))
