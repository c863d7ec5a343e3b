"""One device of a ride on a real WebSocket. It heals as the contract says, and records what it asks for and sees."""

import asyncio
import contextlib
import json
import random
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import websockets

from clients.proving.history import Answered, Asked, Cut, Disowned, Event, Fields, Heard, Opened, Rested, Synced
from clients.proving.view import View, disowns
from navietakie.domain.message import Side

if TYPE_CHECKING:
    from clients.proving.ride import Ride

ANSWER_SECONDS: Final = 35.0
"""Seconds after which an answer counts as lost: API Gateway waits 29 s for a function."""
OVERTAKING_SECONDS: Final = 0.3
TRIES: Final = 8
NOBODY_KNOWS: Final = ("unavailable", "internal", "unknown")
"""The codes after which nobody knows whether the request was carried out."""
RENEW: Final = ("token_expired", "unauthorized")
"""The codes for a token that is no longer valid. The device gets another one and asks again."""
AGAIN: Final = (*NOBODY_KNOWS, *RENEW, "rate_limited")


def now() -> int:
    """Microseconds of a clock that never goes back."""
    return time.monotonic_ns() // 1_000


class Device:
    """A phone and its user. `say`, `read`, `call`, … are what the user does. While `connected`, it heals by itself."""

    def __init__(self, ride: "Ride", sender: Side, seed: str) -> None:
        self.ride = ride
        self.sender: Side = sender
        self.name = f"{ride.booking}-{sender}"
        self.view = View()
        self._random = random.Random(seed)
        self._socket: websockets.ClientConnection | None = None
        self._line = ""
        self._lines = 0
        self._unanswered = 0
        """How many requests in a row got no answer: if many did not, trying again at once does not help."""
        self._ids = 0
        self._over = False
        self._open = asyncio.Event()
        self._pending: dict[str, asyncio.Future[Fields]] = {}
        self._parts: dict[int, Fields] = {}
        self._syncing = asyncio.Lock()
        self._healing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the line

    def start(self) -> None:
        """Connects, and connects again whenever the line ends."""
        self._begin(self._keep_connected())

    async def _keep_connected(self) -> None:
        query = urlencode({"booking_code": self.ride.booking, "sender": self.sender, "device_id": self.name})
        failures = 0
        while not self._over:
            begun = time.monotonic()
            try:
                async with self.ride.handshakes:
                    begun = time.monotonic()
                    socket = await websockets.connect(
                        f"{self.ride.deployment.websocket_url}?{query}",
                        subprotocols=[websockets.Subprotocol(it) for it in self.ride.subprotocols(self.sender)],
                        ping_interval=None,
                        open_timeout=60,
                        close_timeout=2,
                    )
            except (OSError, TimeoutError, websockets.WebSocketException) as error:
                failures += 1
                refused = isinstance(error, websockets.InvalidStatus)
                why = str(error.response.status_code) if refused else type(error).__name__
                if why == "401":
                    self.ride.keys.drop(self.sender)
                self.ride.measures.errors[f"connect: {why}"] += 1
                await asyncio.sleep(self._random.uniform(0.2, 0.5) * 2 ** min(failures, 5))
                continue
            failures = 0
            self.ride.measures.took("connect", begun)
            self.ride.measures.operations["connect"] += 1
            self._lines += 1
            self._socket, self._line = socket, f"{self.name}-{self._lines}"
            self._note(Opened, connection=self._line, sender=self.sender)
            self._open.set()
            self._heal()
            opened = time.monotonic()
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    self._received(json.loads(await socket.recv()))
            self._note(Cut, connection=self._line, sender=self.sender)
            self.ride.connected_seconds += time.monotonic() - opened
            self.ride.measures.operations["disconnect"] += 1
            self._socket = None
            self._open.clear()
            for future in self._pending.values():
                future.cancel()
            await asyncio.sleep(self._random.uniform(0.05, 0.5) * 2 ** min(self._unanswered, 6))

    @property
    def connected(self) -> bool:
        """Whether a line is open."""
        return self._open.is_set()

    async def cut(self) -> None:
        """Loses the network at once, without a closing handshake."""
        if self._socket is not None:
            self._note(Cut, connection=self._line, sender=self.sender)
            self._socket.transport.abort()
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Disconnects for good."""
        self._over = True
        if self._socket is not None:
            await self._socket.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _received(self, frame: Fields) -> None:
        kind = frame.get("type")
        waiting = self._pending.get(str(frame.get("id")))
        match kind:
            case "message":
                self._note(Heard, frame=frame)
                self.ride.arrived(frame["message"], self.sender)
                self._offer(frame["message"])
            case "ack" if "message" in frame:
                self._offer(frame["message"])
            case "ack" | "call":
                self._note(Heard, frame=frame)
                self.view.hear_call(frame["call"])
                if kind == "call" and frame.get("call_action") == "initiate" and frame["sender"] != self.sender:
                    self.ride.rang()
                    self._begin(self._take_call(frame["call"]))
            case "receipt":
                self.view.hear_receipts(frame["receipts"])
            case "sync":
                waiting = self._part(frame)
            case "error":
                self._failed(frame)
            case None:  # API Gateway's own frame: a function has failed, or a route is throttled
                self.ride.measures.errors[f"API Gateway: {frame.get('message')}"] += 1
            case _:
                pass
        if waiting is not None and not waiting.done():
            waiting.set_result(frame)

    def _failed(self, frame: Fields) -> None:
        code = frame["error"]["code"]
        self.ride.measures.errors[code] += 1
        if code == "internal":
            self._note(Heard, frame=frame)
        if code in RENEW:
            self.ride.keys.drop(self.sender)
        if disowns(frame):
            self._note(Disowned, connection=self._line)
        if (disowns(frame) or code in RENEW) and self._socket is not None:
            self._socket.transport.abort()

    # --- healing

    def _part(self, frame: Fields) -> "asyncio.Future[Fields] | None":
        """Takes a frame of a sync. Returns the future of whoever waits for the sync, once all its frames are here."""
        waiting = self._pending.get(str(frame["id"]))
        if waiting is None:
            return None
        self.view.admit(frame)
        self._parts[frame["part"]] = frame
        last = next((it for it in self._parts.values() if not it["has_more"]), None)
        return waiting if last is not None and len(self._parts) == last["part"] + 1 else None

    def _heal(self) -> None:
        if self._healing is None or self._healing.done():
            self._healing = self._begin(self._until_whole())

    async def _until_whole(self) -> None:
        """Syncs until nothing is missing."""
        again = True
        while again and not self._over:
            again = not await self.sync() or self.view.hole
            if again:
                await asyncio.sleep(OVERTAKING_SECONDS)

    async def sync(self) -> bool:
        """Asks for everything after the last message before any hole. Returns whether the whole answer came."""
        async with self._syncing:
            self._parts = {}
            after = self.view.after
            self.ride.measures.operations["sync"] += 1
            frame = await self._ask({"action": "sync", **({"after": after} if after else {})})
            if frame is None or frame["type"] != "sync":
                return False
            for part in self._parts.values():
                if not part["has_more"]:
                    self.view.stands(part)
            it = self.view
            if it.floor is not None and not it.hole:
                self._note(Synced, floor=it.floor, through=it.through, messages=tuple(it.messages))
            return True

    def _offer(self, message: Fields) -> None:
        self.view.offer(message)
        if self.view.hole:
            self._begin(self._look_for_hole())

    async def _look_for_hole(self) -> None:
        await asyncio.sleep(OVERTAKING_SECONDS)
        if self.view.hole:
            self._heal()

    # --- what its user does

    async def say(self, *, by: str, lose: bool = False) -> None:
        """Sends a message until it is stored or refused, always with the same id. `lose`: loses the first answer."""
        id = self._id("m")
        text = f"{id} of {self.name}: {'what a ride has to say '[: self._random.randint(1, 22)]}"
        self.ride.sent[id] = time.monotonic()
        for attempt in range(TRIES):
            self.ride.sent.setdefault(id, time.monotonic())
            if by == "socket" and self._socket is not None:
                code = await self._by_socket("send", {"action": "message", "message": text}, id)
            else:
                fields = {"message": text, "client_message_id": id}
                code = await self.by_rest("send", fields, lose=lose and attempt == 0)
            if code == "rate_limited":
                await asyncio.sleep(self._random.uniform(0.5, 2.0))
            elif code in RENEW:
                await asyncio.sleep(self._random.uniform(1.0, 2.0))
            elif code in NOBODY_KNOWS:
                await asyncio.sleep(self._random.uniform(0.05, 0.5) * 2 ** min(attempt, 5))
            else:
                return
        self.ride.measures.errors["given up"] += 1

    async def read(self) -> None:
        """Sends a receipt: how far it has got or read."""
        if (seq := self.view.through) and self._socket is not None:
            kind = self._random.choice(("read", "delivered"))
            self._tried("receipt", {kind: seq})
            self.ride.measures.operations["receipt by WebSocket"] += 1
            await self._send({"action": kind, "seq": seq})

    async def start_typing(self) -> None:
        """Types."""
        self.ride.measures.operations["typing"] += 1
        await self._send({"action": "typing", "on": True})

    async def redact(self) -> None:
        """Redacts a message of its own."""
        own = [
            it for it in self.view.messages if it["sender"] == self.sender and it["message"] and it["client_message_id"]
        ]
        if not own:
            return
        timestamp = self._random.choice(own)["timestamp"]
        for _ in range(TRIES):
            fields = {"action": "redact", "timestamp": timestamp}
            if await self._by_socket("redact", fields, self._id("r")) not in AGAIN:
                return
            await asyncio.sleep(self._random.uniform(0.2, 1.0))

    async def call(self) -> None:
        """Calls the other side, and ends the call after a while, answered or not."""
        self.ride.ringing = time.monotonic()
        if await self.act("initiate") is not None:
            return
        for _ in range(30):
            await asyncio.sleep(0.1)
            if (call := self.view.call) is None or call["state"] != "ringing":
                break
        call = self.view.call
        if call is not None and call["state"] == "connected":
            for number in range(3):
                self.ride.measures.operations["call: signal"] += 1
                data = {"candidate": number}
                await self._send({"action": "signal", "call_id": call["call_id"], "data": data})
            await asyncio.sleep(self._random.uniform(0.5, 2.0))
        if call is not None:
            await self.act("end", call["call_id"])

    async def _take_call(self, call: Fields) -> None:
        """Answers the call, declines it, or lets it ring."""
        action = self._random.choice(("accept", "accept", "accept", "reject", None))
        await asyncio.sleep(self._random.uniform(0.1, 1.0))
        if action is not None:
            await self.act(action, call["call_id"])

    async def act(self, action: str, call_id: str | None = None) -> str | None:
        """Acts on a call. Returns the error's code, or None if there is no error."""
        fields = {"action": "call", "call_action": action, **({"call_id": call_id} if call_id else {})}
        code: str | None = "unknown"
        for _ in range(TRIES):
            code = await self._by_socket("call", fields, self._id("call"))
            if code not in AGAIN:
                return code
            await asyncio.sleep(self._random.uniform(0.2, 1.0))
        return code

    async def look(self) -> bool:
        """Pings. Returns whether an answer came."""
        number = self._tried("look", {})
        self.ride.measures.operations["ping"] += 1
        frame = await self._ask({"action": "ping"})
        if frame is None or frame["type"] != "pong":
            return False
        self._answered(number, None, frame)
        if self.view.floor is not None and self.view.stands(frame):
            self._heal()
        return True

    async def rest(self) -> bool:
        """Asks for everything, and records how the device stands at the end. Returns whether it could."""
        for _ in range(TRIES):
            if await self.look() and await self.sync() and not self.view.hole:
                it = self.view
                receipts = it.receipts
                self._note(Rested, floor=it.floor or 0, messages=tuple(it.messages), receipts=receipts, call=it.call)
                return True
            await asyncio.sleep(0.5)
        return False

    # --- asking

    async def _send(self, frame: Fields) -> bool:
        if self._socket is None:
            return False
        try:
            await self._socket.send(json.dumps(frame))
        except websockets.ConnectionClosed:
            return False
        return True

    async def _ask(self, frame: Fields, id: str | None = None) -> Fields | None:
        """Waits for a line, sends a frame, and returns the answer, or None if none comes."""
        id = id or self._id(frame["action"])
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._open.wait()
                future = self._pending[id] = asyncio.get_running_loop().create_future()
                if not await self._send({**frame, "id": id}):
                    return None
                found = await future
                self._unanswered = 0
                return found
        except TimeoutError:
            self._unanswered += 1
            self.ride.measures.errors["no answer"] += 1
            if self._socket is not None:
                self._socket.transport.abort()  # no answer: the line is dead
            return None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return None  # the line broke
        finally:
            self._pending.pop(id, None)

    async def _by_socket(self, kind: str, frame: Fields, id: str) -> str | None:
        """Asks by WebSocket. Returns the error's code, or None if there is no error."""
        await self._open.wait()
        named = {"client_message_id": id} if kind == "send" else {"device_id": self.name}
        number = self._tried(kind, {**{name: it for name, it in frame.items() if name != "action"}, **named})
        action = frame.get("call_action")
        self.ride.measures.operations[_priced(kind, action)] += 1
        begun = time.monotonic()
        found = await self._ask(frame, id)
        if found is None:
            return "unknown"
        if kind == "send" and found["type"] == "ack":
            self.ride.measures.took("ack", begun)
        return self._conclude(number, kind, found)

    async def by_rest(self, kind: str, fields: Fields, *, lose: bool = False) -> str | None:
        """Sends a message by REST. Returns the error's code, or None if it is stored."""
        body = {"booking_code": self.ride.booking, "sender": self.sender, **fields}
        number = self._tried(kind, body)
        self.ride.measures.operations["message by REST, with an id"] += 1
        asking = asyncio.create_task(self.ride.post("send_message", self.sender, body))
        if lose:
            await asyncio.sleep(self._random.uniform(0.002, 0.05))
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            return "unknown"
        begun = time.monotonic()
        found = await asking
        if found is None:
            return "unknown"
        if "error" not in found:
            self.ride.measures.took("answer", begun)
        return self._conclude(number, kind, found)

    def _conclude(self, number: int, kind: str, found: Fields) -> str | None:
        code = found["error"]["code"] if "error" in found else None
        if code in ("unavailable", "internal"):
            return code
        self._answered(number, code, found)
        if code is None and kind in ("send", "redact"):
            self._offer(found["message"])
            if not found.get("duplicate"):
                self.ride.measures.stored()
        details: Fields = found.get("error", {}).get("details") or {}
        call: Fields | None = found.get("call") or details.get("call")
        if call is not None:
            self.view.hear_call(call)
        return code

    # --- the history

    def _id(self, kind: str) -> str:
        self._ids += 1
        return f"{self.sender}-{kind}-{self._ids}"

    def _tried(self, kind: str, fields: Fields) -> int:
        number = self.ride.number()
        self._note(Asked, number=number, kind=kind, sender=self.sender, fields=fields)
        return number

    def _answered(self, number: int, code: str | None, body: Fields) -> None:
        self._note(Answered, number=number, code=code, body=body)

    def _note(self, event: type[Event], **fields: Any) -> None:
        self.ride.events.append(event(at=now(), booking=self.ride.booking, client=self.name, **fields))

    def _begin(self, doing: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _priced(kind: str, action: str | None) -> str:
    """The name of an operation in the price list. A redaction costs what it stores: a message."""
    if kind == "call":
        return f"call: {action}" if action in ("initiate", "accept") else "call: end"
    return "message by WebSocket"
