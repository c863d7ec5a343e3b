"""A phone that is no browser, with websockets and aiortc. It is written only from docs/protocol.md.

It shows that the page is enough to write a client. So it uses no code of the client or the server.
"""

import asyncio
import json
import math
import re
import secrets
import threading
from array import array
from collections.abc import Callable, Coroutine
from typing import Any, Self
from urllib.parse import urlencode

import websockets
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError
from aiortc.sdp import candidate_from_sdp
from av import AudioFrame

REPEAT_SECONDS = 3
HELLO_SECONDS = 0.7
PATIENCE_SECONDS = 60
LOUD = 500  # of 32,767


class Tone(AudioStreamTrack):
    """A microphone that hears 440 Hz."""

    async def recv(self) -> AudioFrame:
        frame = await super().recv()
        assert isinstance(frame, AudioFrame)
        assert frame.pts is not None
        turns = (440 * at / frame.sample_rate for at in range(frame.pts, frame.pts + frame.samples))
        frame.planes[0].update(array("h", (int(12_000 * math.sin(2 * math.pi * turn)) for turn in turns)).tobytes())
        return frame


class Voice:
    """The sound of one call. The caller makes the offers, the callee the answers."""

    def __init__(self, ack: dict[str, Any], *, offers: bool, say: Callable[[dict[str, Any]], Any]) -> None:
        servers = [RTCIceServer(**server) for server in ack["ice_servers"]]
        policy = RTCIceTransportPolicy(ack.get("ice_transport_policy", "all"))
        self._configuration = RTCConfiguration(iceServers=servers, iceTransportPolicy=policy)
        self._offers, self._say = offers, say
        self._session, self._theirs = secrets.token_hex(16), None
        self._offer, self._answered = 0, 0
        self._early: list[dict[str, Any]] = []
        self._said: list[str] = []
        self._negotiation = asyncio.Lock()
        self.heard = 0
        self._listening: set[asyncio.Task[None]] = set()
        self.connection = self._build()

    async def begin(self) -> None:
        """Makes the first offer, or waits for one; repeats what may have been lost."""
        if self._offers:
            async with self._negotiation:
                await self._make_offer()
        wait = REPEAT_SECONDS if self._offers else HELLO_SECONDS
        while True:
            await asyncio.sleep(wait)
            wait = REPEAT_SECONDS
            async with self._negotiation:
                await self._repeat()

    async def take(self, data: dict[str, Any]) -> None:
        """Takes a signal of the other side's device."""
        self._said.append(json.dumps(data))
        async with self._negotiation:
            if data["session"] != self._theirs:
                known, self._theirs = self._theirs, data["session"]
                if known is not None:  # the other device has started again
                    await self.connection.close()
                    self.connection = self._build()
                    self._answered = 0
                    if self._offers:
                        await self._make_offer()
            match data:
                case {"hello": True} if self._offers:
                    await self._repeat()
                case {"restart": True} if self._offers:
                    await self._make_offer()
                case {"description": {"type": "offer"}} if not self._offers:
                    await self._answer(data)
                case {"description": {"type": "answer"}} if self._offers and data["offer"] == self._offer:
                    if self.connection.signalingState == "have-local-offer":
                        await self._accept(data["description"])
                case {"candidates": candidates}:
                    self._early += candidates
                    await self._take_candidates()
                case _:
                    pass

    async def close(self) -> None:
        for task in self._listening:
            task.cancel()
        await self.connection.close()

    def shown(self) -> set[str]:
        """The kinds of addresses that both ends have shown each other: host, srflx, relay."""
        return set(re.findall(r" typ (\w+)", "".join([self.connection.localDescription.sdp, *self._said])))

    def _build(self) -> RTCPeerConnection:
        connection = RTCPeerConnection(self._configuration)
        connection.addTrack(Tone())
        connection.on("track", self._listen)
        return connection

    def _listen(self, track: MediaStreamTrack) -> None:
        self._listening.add(asyncio.ensure_future(self._count(track)))

    async def _count(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                self.heard += int(max(array("h", bytes(frame.planes[0]))) > LOUD)
        except MediaStreamError:
            return

    async def _make_offer(self) -> None:
        self._offer += 1
        await self.connection.setLocalDescription(await self.connection.createOffer())
        await self._say_description(self._offer)

    async def _answer(self, data: dict[str, Any]) -> None:
        if data["offer"] != self._answered:
            await self._accept(data["description"])
            await self.connection.setLocalDescription(await self.connection.createAnswer())
            self._answered = data["offer"]
        await self._say_description(self._answered)

    async def _accept(self, description: dict[str, Any]) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(**description))
        await self._take_candidates()

    async def _take_candidates(self) -> None:
        if not self.connection.remoteDescription:
            return
        for each in self._early:
            if not each["candidate"]:
                continue  # there are no more
            candidate = candidate_from_sdp(each["candidate"].removeprefix("candidate:"))
            candidate.sdpMid, candidate.sdpMLineIndex = each["sdpMid"], each["sdpMLineIndex"]
            await self.connection.addIceCandidate(candidate)
        self._early = []

    async def _repeat(self) -> None:
        """Sends again what has no answer."""
        if self._offers and self.connection.signalingState == "have-local-offer":
            await self._say_description(self._offer)
        elif not self._offers and not self._answered:
            await self._say({"session": self._session, "hello": True})

    async def _say_description(self, offer: int) -> None:
        own = self.connection.localDescription
        description = {"type": own.type, "sdp": own.sdp}
        await self._say({"session": self._session, "offer": offer, "description": description})


class Peer:
    """One device of one side, on a thread of its own. A method returns when its work is done."""

    def __init__(self, websocket_url: str, booking: str, side: str) -> None:
        self._side, self._device = side, f"peer-{secrets.token_hex(4)}"
        self._url = f"{websocket_url}?{urlencode({'booking_code': booking, 'sender': side, 'device_id': self._device})}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._asked: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._news = threading.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self.messages: list[str] = []
        self.call: dict[str, Any] | None = None
        self.voice: Voice | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def say(self, text: str) -> None:
        """Sends a message."""
        self._do(self._ask("message", message=text))

    def ring(self) -> None:
        """Calls the other side."""
        self._do(self._join("initiate", client_call_id=secrets.token_hex(16)))

    def answer(self) -> None:
        """Answers the call that rings here."""
        assert self.call
        self._do(self._join("accept", call_id=self.call["call_id"]))

    def hang_up(self) -> None:
        """Ends the call."""
        assert self.call
        self._do(self._act("end", call_id=self.call["call_id"]))

    def wait(self, what: str, condition: Callable[[], Any]) -> None:
        """Waits until the condition holds. `what` names it in the error if it never does."""
        with self._news:
            assert self._news.wait_for(condition, PATIENCE_SECONDS), f"{self._side}: never came: {what}"

    @property
    def state(self) -> str | None:
        return self.call and self.call["state"]

    def listen(self) -> None:
        """Waits until half a second of sound has been heard."""
        voice = self.voice
        assert voice
        heard = voice.heard
        self._do(_until(lambda: voice.heard > heard + 25))

    def _do[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _open(self) -> None:
        self._socket = await websockets.connect(self._url)
        self._spawn(self._read())
        self._spawn(self._ping())
        await self._ask("sync")

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self.voice:
            await self.voice.close()
        await self._socket.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.ensure_future(work))

    async def _read(self) -> None:
        async for text in self._socket:
            frame = json.loads(text)
            match frame.get("type"):
                case "message":
                    self.messages.append(frame["message"]["message"])
                case "call":
                    await self._adopt(frame["call"])
                case "signal":
                    if self.voice and self.call and frame["call_id"] == self.call["call_id"]:
                        self._spawn(self.voice.take(frame["data"]))
                case "sync" if not frame["has_more"]:
                    await self._adopt(frame["call"])
                    self._answered(frame)
                case "ack" | "pong" | "error":
                    self._answered(frame)
                case _:
                    pass
            with self._news:
                self._news.notify_all()

    def _answered(self, frame: dict[str, Any]) -> None:
        asked = self._asked.pop(frame["id"], None)
        if asked:
            asked.set_result(frame)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(REPEAT_SECONDS)
            await self._ask("ping")

    async def _tell(self, action: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"action": action, **fields}))

    async def _ask(self, action: str, **fields: Any) -> dict[str, Any]:
        """Sends a frame with an id, and returns the answer."""
        id = secrets.token_hex(8)
        self._asked[id] = asyncio.get_running_loop().create_future()
        await self._tell(action, id=id, **fields)
        answer = await self._asked[id]
        assert answer["type"] != "error", answer["error"]
        return answer

    async def _act(self, action: str, **fields: Any) -> dict[str, Any]:
        ack = await self._ask("call", call_action=action, device_id=self._device, **fields)
        await self._adopt(ack["call"])
        return ack

    async def _join(self, action: str, **fields: Any) -> None:
        ack = await self._act(action, **fields)
        call_id = ack["call"]["call_id"]

        async def say(data: dict[str, Any]) -> None:
            await self._tell("signal", call_id=call_id, data=data)

        self.voice = Voice(ack, offers=ack["call"]["caller"] == self._side, say=say)
        await self._settle()

    async def _adopt(self, call: dict[str, Any] | None) -> None:
        """Takes the call from the server. Ignores it if it is not newer than what is known."""
        known = self.call
        if call is None or (known and known["call_id"] == call["call_id"] and known["version"] >= call["version"]):
            return
        self.call = call
        await self._settle()

    async def _settle(self) -> None:
        """Begins and ends the sound with the call."""
        if self.voice and self.state == "connected" and not self._began:
            self._began = True
            self._spawn(self.voice.begin())
        elif self.voice and self.state == "ended":
            await self.voice.close()
            self.voice = None

    _began = False


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.05)
