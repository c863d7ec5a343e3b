"""`make smoke ENV=staging`: does a deployment work? A short ride through its addresses, in a booking of its own."""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, ClientWebSocketResponse, WSMsgType

from clients.command import Command, Failed
from clients.deployment import Deployment
from clients.tokens import DeployedSecret, Wanted, token

PATIENCE = ClientTimeout(total=30)  # a cold start in a private network takes its time
SUBPROTOCOL = "navietakie.v1"
COMMAND = Command("smoke", "A short ride through a deployment's real addresses, in a booking of its own.")


@dataclass
class Ride:
    """One booking, seen from outside. `tokens` by role; empty if the deployment needs none."""

    deployment: Deployment
    booking: str
    tokens: Mapping[str, str]
    http: ClientSession

    async def request(self, method: str, path: str, role: str, **fields: str) -> tuple[int, dict[str, Any]]:
        """The status and JSON of a REST request of `role`."""
        sent = {"booking_code": self.booking, **fields}
        headers = {"authorization": f"Bearer {self.tokens[role]}"} if role in self.tokens else {}
        url = f"{self.deployment.rest_url}/api/v1/{path}"
        how: dict[str, Any] = {"params": sent} if method == "GET" else {"json": sent}
        async with self.http.request(method, url, headers=headers, **how) as answer:
            if "x-request-id" not in answer.headers:
                raise Failed(f"{method} {path} answered without x-request-id")
            return answer.status, await answer.json()

    async def connect(self, role: str) -> ClientWebSocketResponse:
        """A WebSocket of `role`."""
        protocols = [SUBPROTOCOL] + ([f"bearer.{self.tokens[role]}"] if role in self.tokens else [])
        query = {"booking_code": self.booking, "sender": role}
        socket = await self.http.ws_connect(self.deployment.websocket_url, params=query, protocols=protocols)
        if socket.protocol != SUBPROTOCOL:
            raise Failed("The WebSocket did not select the subprotocol")
        return socket


async def ride(deployment: Deployment, booking: str, tokens: Mapping[str, str]) -> None:
    """Sends, receives, reads, repeats and calls. Raises Failed at the first thing that is wrong."""
    async with ClientSession(timeout=PATIENCE) as http:
        it = Ride(deployment, booking, tokens, http)
        with step("a message by REST is stored"):
            status, first = await it.request("POST", "send_message", "driver", message="Hello", sender="driver")
            expect(status, 201)
        with step("two WebSockets open, and a ping is answered"):
            driver, passenger = await it.connect("driver"), await it.connect("passenger")
            for socket in (driver, passenger):
                await socket.send_json({"action": "ping"})
                expect((await frame(socket, "pong"))["head_seq"], 1)
        with step("a message by WebSocket reaches the other side"):
            await driver.send_json({"action": "message", "id": "smoke-1", "message": "I am here"})
            expect((await frame(driver, "ack"))["duplicate"], False)
            expect((await frame(passenger, "message"))["message"]["message"], "I am here")
        with step("a message that is sent again is stored once"):
            await driver.send_json({"action": "message", "id": "smoke-1", "message": "I am here"})
            expect((await frame(driver, "ack"))["duplicate"], True)
        with step("the history has both, in order"):
            status, page = await it.request("GET", "get_message", "passenger", order="asc")
            expect((status, [each["seq"] for each in page["messages"]]), (200, [1, 2]))
            expect(page["messages"][0], first["message"])
        with step("a call rings, is rejected, and is in the log"):
            status, made = await it.request("POST", "make_call", "driver", action="initiate", sender="driver")
            expect((status, made["call"]["state"]), (200, "ringing"))
            expect((await frame(passenger, "call"))["call"]["call_id"], made["call"]["call_id"])
            who = {"sender": "passenger", "call_id": made["call"]["call_id"]}
            status, ended = await it.request("POST", "make_call", "passenger", action="reject", **who)
            expect((status, ended["call"]["end_reason"]), (200, "declined"))
            status, log = await it.request("GET", "calls", "driver")
            expect((status, log["calls"][0]["state"]), (200, "ended"))
        with step("a wrong request is refused"):
            status, refused = await it.request("POST", "send_message", "driver", message="", sender="driver")
            expect((status, refused["error"]["code"]), (400, "invalid_request"))
            if tokens:
                status, refused = await it.request("GET", "get_message", "nobody")
                expect((status, refused["error"]["code"]), (401, "unauthorized"))
        await asyncio.gather(driver.close(), passenger.close())


async def frame(socket: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next frame of a type. Skips others."""
    try:
        async with asyncio.timeout(PATIENCE.total):
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                found = json.loads(message.data)
                if found.get("type") == kind:
                    return found
                if "type" not in found:  # a function has failed, or a route is throttled
                    raise Failed(f"API Gateway says: {found.get('message')} (request {found.get('requestId')})")
    except TimeoutError:
        raise Failed(f"no {kind} frame came") from None
    raise Failed(f"the WebSocket was closed ({socket.close_code}) before a {kind} frame came")


def expect(actual: object, wanted: object) -> None:
    """Raises Failed if they differ."""
    if actual != wanted:
        raise Failed(f"expected {wanted}, got {actual}")


@contextmanager
def step(what: str) -> Generator[None]:
    """Prints what is tried, and the result."""
    begin = time.monotonic()
    try:
        yield
    except (Failed, ClientError, TimeoutError, KeyError, LookupError) as failure:
        raise Failed(f"  ✗ {what}: {failure or type(failure).__name__}") from failure
    print(f"  ✓ {what} ({(time.monotonic() - begin) * 1000:.0f} ms)", flush=True)


def main(argv: Sequence[str] = ()) -> None:
    """Rides through the deployment that ENV names. Ends with the status 1 if something is wrong."""

    def check(told: Mapping[str, str]) -> None:
        deployment = Deployment.find(told["env"])
        booking = f"smoke-{uuid.uuid4().hex[:12]}"
        tokens: dict[str, str] = {}
        if deployment.auth_mode == "jwt":
            secret = DeployedSecret(deployment.environment).current()
            for role in ("driver", "passenger"):
                wanted = Wanted.parse({"booking": booking, "role": role, "sub": f"smoke-{role}", "ttl": 300})
                tokens[role] = token(secret, wanted, time.time())
        print(f"{deployment.environment}: {deployment.rest_url} and {deployment.websocket_url}, booking {booking}")
        asyncio.run(ride(deployment, booking, tokens))
        print("All checks passed.")

    COMMAND.run(argv, check)


if __name__ == "__main__":
    main(sys.argv[1:])
