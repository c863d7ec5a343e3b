"""The clients of a ride: phones that heal as docs/protocol.md says, and the company's own system."""

from collections.abc import Callable
from functools import partial
from typing import Any

from clients.proving.history import Cut, Disowned, Fields, Heard, Opened, Read, Rested, Synced
from clients.proving.view import View, disowns
from tests.chaos.scheduler import SECOND, Strand
from tests.chaos.world import Line, World

ANSWER_SECONDS = 5.0
OVERTAKING_SECONDS = 0.3
FIRST_PING_SECONDS = 3.0
PING_SECONDS = 60.0
PING_IN_CALL_SECONDS = 10.0
TRIES = 6
SYNC_STEP = 3
"""How many messages a sync of this world reads at once."""
ACTIONS = {"send": "message", "call": "call", "redact": "redact"}


class Phone:
    """A device of a side or an agent. `live` is its user. The rest answers frames and timers as the contract says."""

    def __init__(self, world: World, booking: str, sender: str, name: str) -> None:
        self.world = world
        self.booking = booking
        self.sender = sender
        self.name = name
        self.view = View()
        self.over = False
        self._line: Line | None = None
        self._asked = ""
        """The id of the sync under way."""
        self._asked_at = 0
        self._parts: set[int] = set()
        """The parts of its answer that have come."""
        self._size: int | None = None
        """How many parts there are, once the last one has come."""
        self._again = False
        self._hole_watched = False
        self._awaited: tuple[str, Strand] | None = None
        self._answer: Fields | None = None
        self._pinged = ""
        self._looks: dict[str, int] = {}
        self._away_until = 0
        self._hidden = self._shown_away = False
        self._messages = 0
        self._others = 0
        self._number = 0
        """The number of the latest try."""

    # --- the line

    def connect(self) -> None:
        """Opens a line, again and again until one is open."""
        number = 0
        while self._line is None and not self.over:
            self.world.again(number)
            number = self.world.number(self)
            query = {"booking_code": self.booking, "sender": self.sender, "device_id": self.name}
            line = self.world.connect(self, query, number)
            if line is not None:
                self._line = line
                self._note(Opened, connection=line.id, sender=self.sender)
                self.sync()
                self._after(FIRST_PING_SECONDS, partial(self._ping_on, line))
                return
            self.world.scheduler.pause(self.world.random.uniform(0.1, 2.0))

    def drop(self) -> None:
        """The network cuts the line. The phone may notice at once, or only when nothing answers any more."""
        line = self._line
        if line is None:
            return
        self._note(Cut, connection=line.id, sender=self.sender)
        self.world.cut(line)
        if self.world.happens(0.6):
            self._lost(line)

    def go_away(self, seconds: float | None = None) -> None:
        """Stays without a line for a while."""
        away = seconds or self.world.random.uniform(5.0, 45.0)
        self._away_until = self.world.scheduler.now + round(away * SECOND)
        self.drop()

    def lose_row(self) -> None:
        """Loses the row of its connection, as by an erasure. The line stays open."""
        if self._line is not None:
            self._note(Cut, connection=self._line.id, sender=self.sender)
            self.world.forget(self)

    def closed(self, line: Line) -> None:
        """The server has closed the line."""
        if line is self._line:  # otherwise it was already lost or disowned
            self._note(Cut, connection=line.id, sender=self.sender)
        self._lost(line)

    def received(self, line: Line, frame: Fields) -> None:
        """A frame came."""
        if line is not self._line:
            return
        if self._awaited is not None and frame.get("id") == self._awaited[0]:
            self._answer = frame
            self.world.scheduler.wake(self._awaited[1])
        match frame.get("type"):
            case "message":
                self._note(Heard, frame=frame)
                self._offer(frame["message"])
            case "ack" if "message" in frame:
                self._offer(frame["message"])
            case "ack" | "call":
                self._note(Heard, frame=frame)
                self.view.hear_call(frame["call"])
            case "receipt":
                self._note(Heard, frame=frame)
                self.view.hear_receipts(frame["receipts"])
            case "sync":
                self._synced(frame)
            case "pong":
                self._ponged(frame)
            case "error" if frame["error"]["code"] == "internal":
                self._note(Heard, frame=frame)
            case "error" if disowns(frame):
                self._note(Disowned, connection=line.id)
                self._lost(line)
            case "error" if self._asked and frame.get("id") == self._asked:
                self._asked = ""
                self._after(0.5, self.sync)
            case _:
                pass

    def _lost(self, line: Line) -> None:
        if line is not self._line:
            return
        self._line, self._asked, self._again, self._pinged = None, "", False, ""
        if not self.over:
            away = max(0.0, (self._away_until - self.world.scheduler.now) / SECOND)
            self.world.scheduler.start(self.connect, away + self.world.random.uniform(0.05, 1.5))

    # --- healing

    def sync(self) -> None:
        """Asks for everything after the last message before any hole."""
        if self._asked:
            self._again = True
            return
        if self._line is None:
            return
        id = self._id("sync")
        after = self.view.after
        self._asked, self._parts, self._size = id, set(), None
        self._asked_at = self.world.scheduler.now
        number = self.world.number(self)
        self.world.send(self._line, {"action": "sync", "id": id, **({"after": after} if after else {})}, number)
        self._after(ANSWER_SECONDS, partial(self._sync_overdue, id, number))

    def _sync_overdue(self, id: str, number: int = 0) -> None:
        if self._asked == id:
            self.world.again(number)
            self._asked = ""
            self.sync()

    def _synced(self, frame: Fields) -> None:
        if frame["id"] != self._asked:
            return
        if self._is_another_life(frame):
            return
        self._note(Read, began=self._asked_at, messages=tuple(frame["messages"]), head=frame["head_seq"])
        before = self.view.through
        self.view.admit(frame)
        self._parts.add(frame["part"])
        if frame["part"]:
            self.world.exercised["sync: several frames"] += 1
        if self.view.through - before > SYNC_STEP:
            self.world.exercised["sync: more than a step missed"] += 1
        if not frame["has_more"]:
            if frame["through_seq"] < frame["head_seq"]:
                self.world.exercised["sync: more than an answer holds"] += 1
            self._size = frame["part"] + 1
            self.view.stands(frame)
            self._after(OVERTAKING_SECONDS, partial(self._sync_overdue, self._asked))
        if len(self._parts) != self._size:
            return
        self._asked = ""
        if not self.view.hole:
            it = self.view
            assert it.floor is not None
            self._note(Synced, floor=it.floor, through=it.through, messages=tuple(it.messages))
        if self._again or self.view.hole:
            self._again = False
            self._after(0.05, self.sync)

    def _offer(self, message: Fields) -> None:
        self.view.offer(message)
        if self.view.hole and not self._hole_watched:
            self._hole_watched = True
            self._after(OVERTAKING_SECONDS, self._look_for_hole)

    def _look_for_hole(self) -> None:
        self._hole_watched = False
        if self.view.hole:
            self.sync()

    def _ping_on(self, line: Line) -> None:
        """Pings as long as the line lasts."""
        if line is not self._line:
            return
        self.ping()
        live = self.view.call is not None and self.view.call["state"] != "ended"
        self._after(PING_IN_CALL_SECONDS if live else PING_SECONDS, partial(self._ping_on, line))

    def ping(self) -> None:
        """Pings, unless an answer is already due. A line that does not answer is dead."""
        line = self._line
        if line is None or self._pinged:
            return
        id = self._id("ping")
        self._pinged = id
        self._looks[id] = self.world.tried(self, "look", self.sender, {})
        self.world.send(line, {"action": "ping", "id": id})
        self._after(2 * ANSWER_SECONDS, partial(self._ping_overdue, line, id))

    def _ping_overdue(self, line: Line, id: str) -> None:
        if line is self._line and self._pinged == id:
            self._note(Cut, connection=line.id, sender=self.sender)
            self.world.cut(line)
            self._lost(line)

    def _ponged(self, frame: Fields) -> None:
        if frame["id"] == self._pinged:
            self._pinged = ""
        if (number := self._looks.pop(frame["id"], None)) is not None:
            self.world.answered(self, number, None, frame)
        self._shown_away = frame["away"]
        if self._shown_away != self._hidden:
            self._say_away()
        if self.view.floor is None or self._is_another_life(frame):
            return
        if self.view.stands(frame):
            self.sync()

    def _is_another_life(self, frame: Fields) -> bool:
        if self.view.epoch in (None, frame["epoch"]):
            return False
        self._asked = ""
        self.view.start_over()
        self.sync()
        return True

    # --- what its user does

    def live(self, operations: int) -> None:
        """Does so many things, one after the other."""
        doings: list[tuple[int, Callable[[], None]]] = [
            (40, self.say),
            (6, self.leaf_through),
            (5, self.sync),
            (5, self.ping),
            (4, self.drop),
            (1, self.go_away),
            (4, self.say_once),
            (3, self.say_otherwise),
            (4, self.redact),
            (2, self.say_with_photo),
            (2, self.type),
            (2, self.hide),
        ]
        if self.sender == "agent":
            doings += [(2, self.try_what_is_a_sides)]
        else:
            doings += [(14, self.move_receipt), (14, self.act_on_call), (3, self.signal)]
        weights = [weight for weight, _ in doings]
        for _ in range(operations):
            self.world.scheduler.pause(self.world.random.choice((0.0, 0.01, 0.05, 0.3, 1.0, 2.5)))
            (doing,) = self.world.random.choices([doing for _, doing in doings], weights)
            doing()

    def say(self, about: str = "") -> None:
        """Sends a message until it is stored or refused, by socket or REST, always under the same id."""
        id = self._id("m")
        about = about or self.world.random.choice((" here is my number", " what an insult", *("",) * 14))
        self._send(id, f"{id} of {self.name}{about}")

    def say_with_photo(self) -> None:
        """Uploads a photo and sends it, sometimes twice, with or without a text."""
        party = {"booking_code": self.booking, "sender": self.sender}
        found = self.world.rest("send_message", {**party, "attach": {"content_type": "image/jpeg", "bytes": 9}})
        if found is None or "error" in found:
            return
        attachment = found["attachment"]["id"]
        self.world.bucket.upload(self.booking, self.sender, attachment)
        self.world.exercised["attachment: uploaded"] += 1
        for _ in range(self.world.random.choice((1, 1, 2))):
            id = self._id("m")
            text = self.world.random.choice(("", f"{id} shows"))
            self._send(id, text, {"attachment": {"id": attachment}})

    def redact(self) -> None:
        """Redacts a message of its own, or tries to redact one that it may not."""
        own = [it for it in self.view.messages if it["sender"] == self.sender and it["message_type"] == "text"]
        found = own if self.world.happens(0.85) else self.view.messages
        if found:
            self.take_back(self.world.random.choice(found[-12:])["timestamp"])

    def take_back(self, timestamp: str) -> str | None:
        """Redacts a message until that is done or refused."""
        number = 0
        for _ in range(TRIES):
            self.world.again(number)
            if self._line is not None and self.world.happens(0.6):
                code = self._by_socket("redact", {"timestamp": timestamp}, id=self._id("redact"))
            else:
                body = {"booking_code": self.booking, "sender": self.sender, "redact": timestamp}
                code = self._by_rest("redact", body, {"timestamp": timestamp})
            number = self._number
            if code not in ("unavailable", "unknown"):
                return code
            self.world.scheduler.pause(self.world.random.uniform(0.1, 1.0))
        return "unknown"

    def try_what_is_a_sides(self) -> None:
        """Sends a receipt or calls, which an agent may not do."""
        party = {"booking_code": self.booking, "sender": self.sender}
        if self.world.happens(0.5):
            self._by_rest("receipt", {**party, "read": max(1, self.view.through)})
        else:
            self._by_rest("call", {**party, "action": "initiate", "device_id": self.name})

    def say_once(self) -> None:
        """Sends a message without an id, once."""
        self._by_rest("send", {"message": self._id("once"), "booking_code": self.booking, "sender": self.sender})

    def say_otherwise(self) -> None:
        """Sends another text with an id that was already used."""
        if self._messages:
            id = f"{self.name}-m-{self.world.random.randint(1, self._messages)}"
            self._send(id, "other words")

    def _send(self, id: str, text: str, metadata: Fields | None = None) -> None:
        what = {"message": text, **({"metadata": metadata} if metadata else {})}
        number = 0
        for _ in range(TRIES):
            self.world.again(number)
            if self._line is not None and self.world.happens(0.75):
                code = self._by_socket("send", what, id=id)
            else:
                fields = {"booking_code": self.booking, "sender": self.sender, **what}
                code = self._by_rest("send", {**fields, "client_message_id": id})
            number = self._number
            if code not in ("unavailable", "unknown"):
                return
            self.world.scheduler.pause(self.world.random.uniform(0.1, 2.0))

    def move_receipt(self, kind: str = "", *, by_rest: bool = False) -> None:
        """Sends a receipt: how far it has got or read. `kind`: `delivered` or `read`; empty: one of them."""
        seq = self.view.through - self.world.random.choice((0, 0, 0, 1, 5))
        if seq < 1:
            return
        kind = kind or self.world.random.choice(("delivered", "read"))
        if self._line is not None and not by_rest and self.world.happens(0.7):
            number = self.world.tried(self, "receipt", self.sender, {kind: seq})
            self.world.send(self._line, {"action": kind, "seq": seq}, number)
        else:
            for _ in range(TRIES):
                body = {"booking_code": self.booking, "sender": self.sender, kind: seq}
                if self._by_rest("receipt", body) not in ("unavailable", "unknown"):
                    return
                self.world.again(self._number)
                self.world.scheduler.pause(self.world.random.uniform(0.1, 1.0))

    def act_on_call(self) -> None:
        """Calls, answers, hangs up, or tries what is not allowed. Repeats the same request if no answer comes."""
        call = self.view.call
        live = call is not None and call["state"] != "ended"
        usual = "initiate"
        if call is not None and live:
            own = call["caller"] == self.sender
            usual = self.world.random.choice(("accept", "accept", "reject"))
            if own or call["state"] == "connected":
                usual = "end"
            if call["state"] == "connected" and self.world.happens(0.6):
                self.signal()
                return
            if call["state"] == "connected" and self.world.happens(0.2):
                self.call("ice", {"call_id": call["call_id"]})
                return
        action = (
            usual if self.world.happens(0.85) else self.world.random.choice(("initiate", "accept", "reject", "end"))
        )
        if action == "initiate":
            self.call(action, {})
        elif call is not None:
            self.call(action, {"call_id": call["call_id"]})

    def call(self, action: str, fields: Fields) -> str | None:
        """Acts on a call. Returns the error's code, or None if there is no error."""
        number = 0
        for _ in range(TRIES):
            self.world.again(number)
            if self._line is not None and self.world.happens(0.7):
                code = self._by_socket("call", {"call_action": action, **fields}, id=self._id("call"))
            else:
                party = {"booking_code": self.booking, "sender": self.sender, "device_id": self.name}
                code = self._by_rest("call", {**party, "action": action, **fields})
            number = self._number
            if code not in ("unavailable", "unknown"):
                return code
            self.world.scheduler.pause(self.world.random.uniform(0.1, 1.0))
        return "unknown"

    def repeat(self, message: Fields) -> None:
        """Sends with the id of a stored message, by REST."""
        if message["client_message_id"] is not None:
            party = {"booking_code": self.booking, "sender": self.sender}
            self._by_rest(
                "send", {**party, "message": message["message"], "client_message_id": message["client_message_id"]}
            )

    def leaf_through(self) -> None:
        """Reads the history page by page, the newest first or from the beginning."""
        if self.world.happens(0.4):
            self.leaf_from_the_beginning()
        else:
            self._leaf(str(self.world.random.choice((5, 20, 100))), "desc")

    def leaf_from_the_beginning(self) -> None:
        """Reads the oldest messages, in the same pages each time, so that the cache may answer."""
        self._leaf("5", "asc")

    def read_newest(self) -> None:
        """Reads the newest page."""
        self._leaf("5", "desc", most=0)

    def _leaf(self, limit: str, order: str, most: int = 60) -> None:
        found: list[Fields] = []
        query = {"booking_code": self.booking, "limit": limit, "order": order}
        while True:
            began = self.world.scheduler.now
            body = self.world.rest("get_message", query=query)
            if body is None or "error" in body:
                return
            newest = not found and order == "desc"
            messages, head = tuple(body["messages"]), body["head_seq"]
            self._note(Read, began=began, messages=messages, newest=newest, head=head)
            found += body["messages"]
            if body["next_cursor"] is None or len(found) > most:
                break
            self.world.exercised["history: a page with more behind it"] += 1
            query = {**query, "cursor": body["next_cursor"]}
        if found and order == "asc":
            self._note(Synced, floor=0, through=found[-1]["seq"], messages=tuple(found))
        elif found:
            floor = 0 if body["next_cursor"] is None else found[-1]["seq"] - 1
            self._note(Synced, floor=floor, through=found[0]["seq"], messages=tuple(reversed(found)))

    def signal(self) -> None:
        """Sends a candidate to the other side, if there is a call."""
        if self._line is not None and self.view.call is not None:
            frame = {"action": "signal", "call_id": self.view.call["call_id"], "data": {"candidate": self.name}}
            self.world.send(self._line, frame)

    def hide(self) -> None:
        """Goes to the background, or comes back."""
        self._hidden = not self._hidden
        self._say_away()

    def _say_away(self) -> None:
        if self._line is not None:
            self.world.send(self._line, {"action": "away", "on": self._hidden})

    def type(self) -> None:
        """Types."""
        if self._line is not None:
            self.world.send(self._line, {"action": "typing", "on": True})

    def rest(self) -> None:
        """Heals when there are no more faults, and then records what it knows."""
        scheduler = self.world.scheduler
        for _ in range(3):
            self.ping()
            scheduler.pause(2 * ANSWER_SECONDS + 1)
            while self._line is None or self._asked:
                scheduler.pause(0.5)
        self.over = True
        it = self.view
        self._note(
            Rested,
            floor=it.floor or 0,
            messages=tuple(it.messages),
            receipts=it.receipts,
            call=it.call,
            hidden=self._hidden,
            away=self._shown_away,
        )

    def _by_socket(self, kind: str, fields: Fields, *, id: str) -> str | None:
        line, strand = self._line, self.world.scheduler.current
        assert line is not None
        assert strand is not None
        named = {"client_message_id": id} if kind == "send" else {"device_id": self.name}
        number = self._number = self.world.tried(self, kind, self.sender, {**fields, **named})
        self._awaited, self._answer = (id, strand), None
        self.world.send(line, {"action": ACTIONS[kind], "id": id, **fields}, number)
        self.world.scheduler.pause(ANSWER_SECONDS)
        frame, self._awaited = self._answer, None
        if frame is None:
            self.ping()  # finds out whether the line is dead
            return "unknown"
        return self._conclude(number, frame)

    def _by_rest(self, kind: str, body: Fields, noted: Fields | None = None) -> str | None:
        number = self._number = self.world.tried(self, kind, self.sender, {**body, **(noted or {})})
        found = self.world.rest("make_call" if kind == "call" else "send_message", body, number=number)
        return "unknown" if found is None else self._conclude(number, found)

    def _conclude(self, number: int, found: Fields) -> str | None:
        """Takes an answer. Returns the error's code, or None if there is no error."""
        code = found["error"]["code"] if "error" in found else None
        if code == "unavailable":
            return code  # the same as no answer: it may have happened
        self.world.answered(self, number, code, found)
        call = found.get("call") or (found.get("error", {}).get("details") or {}).get("call")
        if call is not None:
            self.view.hear_call(call)
        return code

    def _id(self, kind: str) -> str:
        if kind == "m":
            self._messages += 1
            return f"{self.name}-m-{self._messages}"
        self._others += 1
        return f"{self.name}-{kind}-{self._others}"

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self.world.scheduler.call(seconds, lambda: None if self.over else act())

    def _note(self, event: Any, **fields: Any) -> None:
        self.world.events.append(event(at=self.world.scheduler.now, booking=self.booking, client=self.name, **fields))


class Company:
    """The company's system: it gives orders and redacts, by direct invocation."""

    def __init__(self, world: World, booking: str) -> None:
        self.world = world
        self.booking = booking
        self.name = f"{booking}-company"
        self._ids = 0

    def live(self, times: int) -> None:
        """So many times closes and opens the booking, mutes a side for a while, redacts, or revokes a side's tokens."""
        for _ in range(times):
            self.world.scheduler.pause(self.world.random.uniform(5.0, 40.0))
            self.tell("booking_closed")
            self.world.scheduler.pause(self.world.random.uniform(3.0, 12.0))
            self.tell("booking_opened")
            side = self.world.random.choice(("driver", "passenger"))
            self.world.scheduler.pause(self.world.random.uniform(1.0, 8.0))
            self.tell("side_muted", side=side)
            self.redact()
            self.world.scheduler.pause(self.world.random.uniform(2.0, 8.0))
            self.tell("side_unmuted", side=side)
            self.world.scheduler.pause(self.world.random.uniform(1.0, 8.0))
            self.tell("tokens_revoked", side=self.world.random.choice((side, side, "agent")))

    def redact(self) -> None:
        """Redacts one of the newest messages, if that is allowed."""
        page = self.world.rest("get_message", query={"booking_code": self.booking, "limit": "20"})
        if page and page.get("messages"):
            self.take_back(self.world.random.choice(page["messages"])["timestamp"])

    def take_back(self, timestamp: str) -> None:
        """Redacts a message until that is done or refused."""
        fields = {"booking_code": self.booking, "sender": "system", "redact": timestamp}
        for _ in range(TRIES):
            number = self.world.tried(self, "redact", "system", {**fields, "timestamp": timestamp})
            found = self.world.direct("send_message", {"function_type": "send_message", **fields}, number)
            if found is not None:
                code = found["error"]["code"] if "error" in found else None
                if code != "unavailable":
                    self.world.answered(self, number, code, found)
                    return
            self.world.scheduler.pause(1.0)

    def tell(self, event: str, **metadata: Any) -> None:
        """Sends a system message until it is stored."""
        self._ids += 1
        fields = {
            "booking_code": self.booking,
            "sender": "system",
            "message_type": "system",
            "message": event,
            "metadata": {"event": event, **metadata},
            "client_message_id": f"{self.name}-m-{self._ids}",
        }
        while True:
            number = self.world.tried(self, "send", "system", fields)
            found = self.world.direct("send_message", {"function_type": "send_message", **fields}, number)
            if found is not None and "error" not in found:
                self.world.answered(self, number, None, found)
                return
            self.world.scheduler.pause(1.0)
