"""One ride: two devices and the company carry out the plan. At the end the ride asks the API what is stored."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Final

from aiohttp import ClientError, ClientSession

from clients.deployment import Deployment
from clients.proving.device import NOBODY_KNOWS, RENEW, TRIES, Device, now
from clients.proving.history import Answered, Asked, Booking, Event, Fields
from clients.proving.keys import Keys
from clients.proving.measures import Measures
from clients.proving.plan import SIDES, Step
from clients.smoke import SUBPROTOCOL
from navietakie.domain.message import Sender

ORDERS: Final = {
    "close": ("booking_closed", "booking_opened"),
    "mute": ("side_muted", "side_unmuted"),
    "revoke": ("tokens_revoked",),
}
"""What the company orders; a moment later it takes back what can be taken back."""


class Ride:
    """One ride. `numbers` numbers the tries of all rides; `handshakes` bounds how many connections open at a time."""

    def __init__(
        self,
        deployment: Deployment,
        booking: str,
        keys: Keys,
        http: ClientSession,
        measures: Measures,
        numbers: Iterator[int],
        handshakes: asyncio.Semaphore,
        seed: int,
    ) -> None:
        self.deployment = deployment
        self.booking = booking
        self.handshakes = handshakes
        self.measures = measures
        self.events: list[Event] = []
        self.sent: dict[str, float] = {}
        """When each message was first sent, by its id, until it has arrived."""
        self.ringing = 0.0
        self.connected_seconds = 0.0
        self.keys = keys
        self._http = http
        self._numbers = numbers
        self._orders = 0
        self.devices = {side: Device(self, side, f"{seed} {booking} {side}") for side in SIDES}

    def number(self) -> int:
        """The number of the next try."""
        return next(self._numbers)

    def subprotocols(self, role: Sender) -> list[str]:
        """The subprotocols that a handshake of this role offers."""
        token = self.keys.of(role)
        return [SUBPROTOCOL, f"bearer.{token}"] if token else [SUBPROTOCOL]

    def arrived(self, message: Fields, at: str) -> None:
        """A message's frame came to a device of the side `at`."""
        if message["sender"] != at and (begun := self.sent.pop(str(message["client_message_id"]), None)):
            self.measures.took("received", begun)

    def rang(self) -> None:
        """A call's frame came."""
        if self.ringing:
            self.measures.took("ring", self.ringing)
            self.ringing = 0.0

    async def live(self, plan: list[Step], stopped: Callable[[], bool], done: Callable[[Step], None]) -> None:
        """Carries out the plan, each side in its order, until it is `stopped`."""
        for device in self.devices.values():
            device.start()
        while not all(device.connected for device in self.devices.values()) and not stopped():
            await asyncio.sleep(0.1)
        begun = time.monotonic()

        async def work(who: str) -> None:
            for step in (it for it in plan if it.who == who):
                while (left := begun + step.at - time.monotonic()) > 0 and not stopped():
                    await asyncio.sleep(min(left, 0.5))
                if stopped():
                    return
                await self._do(step)
                done(step)

        await asyncio.gather(*(work(who) for who in (*SIDES, "system")))

    async def _do(self, step: Step) -> None:
        if step.who == "system":
            await self._order(step)
            return
        device = self.devices[step.who]
        match step.deed:
            case "say":
                await device.say(by="socket")
            case "say_by_rest":
                await device.say(by="rest")
            case "say_and_lose_the_answer":
                await device.say(by="rest", lose=True)
            case "type":
                await device.start_typing()
            case "read":
                await device.read()
            case "call":
                await device.call()
            case "cut":
                await device.cut()
            case "redact":
                await device.redact()
            case _:
                await device.look()

    async def _order(self, step: Step) -> None:
        side = SIDES[step.luck < 0.5]
        for event in ORDERS[step.deed]:
            await self._tell(event, {} if step.deed == "close" else {"side": side})
            await asyncio.sleep(0.5 + step.luck)

    async def _tell(self, event: str, about: Fields) -> None:
        self._orders += 1
        fields = {
            "booking_code": self.booking,
            "sender": "system",
            "message_type": "system",
            "message": f"Order {self._orders} of a proof",
            "metadata": {"event": event, **about},
            "client_message_id": f"order-{self._orders}",
        }
        for _ in range(TRIES):
            number = self.number()
            self._note(Asked, number=number, kind="send", sender="system", fields=fields)
            self.measures.operations["message by REST, with an id"] += 1
            found = await self.post("send_message", "system", fields)
            code = "unknown" if found is None else found["error"]["code"] if "error" in found else None
            if found is not None and code not in NOBODY_KNOWS:
                self._note(Answered, number=number, code=code, body=found)
                if code not in RENEW:
                    return
            await asyncio.sleep(0.5)

    async def hang_up(self) -> None:
        """Ends the call if one is still live. Raises LookupError if the API does not answer."""
        async for page in self.pages("calls", {"limit": "1"}):
            for call in page["calls"]:
                if call["state"] != "ended":
                    await self.devices[call["caller"]].act("end", call["call_id"])
            return

    async def rest(self) -> Booking | None:
        """Lets both devices record what they know, and returns what the public API says; None if it does not answer."""
        await asyncio.gather(*(device.rest() for device in self.devices.values()))
        try:
            messages: list[Fields] = []
            calls: list[Fields] = []
            page: Fields = {}
            async for page in self.pages("get_message", {"order": "asc", "limit": "100"}):
                messages += page["messages"]
            async for log in self.pages("calls", {"limit": "100"}):
                calls += log["calls"]
        except LookupError:
            return None
        return Booking(
            messages=messages,
            calls=calls[::-1],
            head_seq=page["head_seq"],
            epoch=page["epoch"],
            receipts=page["receipts"],
        )

    async def close(self) -> None:
        """Disconnects both devices."""
        await asyncio.gather(*(device.close() for device in self.devices.values()))

    async def pages(self, path: str, query: dict[str, str]) -> AsyncGenerator[Fields]:
        """The pages of a list, as the driver reads it. Raises LookupError if one does not come."""
        cursor: str | None = ""
        while cursor is not None:
            asked = {"booking_code": self.booking, **query, **({"cursor": cursor} if cursor else {})}
            self.measures.operations["newest page" if path == "get_message" else "call log"] += 1
            for _ in range(TRIES):
                found = await self._request("GET", path, "driver", params=asked)
                if found is not None and "error" not in found:
                    break
                await asyncio.sleep(1)
            else:
                raise LookupError(path)
            yield found
            cursor = found["next_cursor"]

    async def post(self, path: str, role: Sender, body: Fields) -> Fields | None:
        """The answer to a POST; None if its outcome is unknown."""
        return await self._request("POST", path, role, json=body)

    async def _request(self, method: str, path: str, role: Sender, **how: Any) -> Fields | None:
        token = self.keys.of(role)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        try:
            url = f"{self.deployment.rest_url}/api/v1/{path}"
            async with self._http.request(method, url, headers=headers, **how) as answer:
                body: Fields = await answer.json()
        except (ClientError, TimeoutError, ValueError) as error:
            self.measures.errors[f"REST: {type(error).__name__}"] += 1
            return None
        if "error" in body:
            self.measures.errors[body["error"]["code"]] += 1
            if body["error"]["code"] in RENEW:
                self.keys.drop(role)
            return body
        if answer.status >= 300:  # not an answer of the API itself
            self.measures.errors[f"REST: {answer.status}"] += 1
            return None
        return body

    def _note(self, event: type[Event], **fields: Any) -> None:
        self.events.append(event(at=now(), booking=self.booking, client=f"{self.booking}-company", **fields))
