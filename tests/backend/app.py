"""A sample backend for proxy mode: checks who calls, keeps its own connections, answers, pushes, and fails on demand.

`create` makes it for tests; `make sample-backend` runs it beside `make run BACKEND_URL=http://127.0.0.1:9000`.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import unquote

import boto3
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse

from tests.backend.signatures import TOLERANCE_SECONDS, NotGenuine, check

Push = Callable[[str, bytes], None]
"""Posts a frame to a callback URL."""


@dataclass
class Backend:
    """The state of the backend, and how it behaves. Tests read and change it while it runs."""

    secrets: Callable[[], list[str]]
    push: Push
    clock: Callable[[], float] = time.time
    connections: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Registrations by connection id."""
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Every genuine event once: `kind`, `connection_id`, `headers`, `body`."""
    turned_away: int = 0
    """How many requests were not genuine."""
    behaviour: str = "well"
    """How to answer requests: "well", or a name that `_misbehave` knows. A frame may ask for another by `misbehave`."""
    seen: dict[str, float] = field(default_factory=dict[str, float])
    """When each event of the last minutes came, by `ce-id`."""

    def is_repeat(self, event_id: str) -> bool:
        """Whether this event came before. Remembers it if not."""
        now = self.clock()
        self.seen = {id: at for id, at in self.seen.items() if now - at <= 2 * TOLERANCE_SECONDS}
        repeat = event_id in self.seen
        self.seen[event_id] = now
        return repeat


def create(backend: Backend) -> FastAPI:
    """The application around `backend`."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    async def genuine(request: Request) -> dict[str, Any]:
        """The event, if the proxy has signed it."""
        headers, body = request.headers, await request.body()
        try:
            check(
                headers.get("x-navietakie-signature", ""),
                backend.secrets(),
                path=request.url.path,
                connection_id=headers.get("x-connection-id", ""),
                event_id=headers.get("ce-id", ""),
                body=body,
                now=backend.clock(),
            )
        except NotGenuine:
            backend.turned_away += 1
            raise HTTPException(401) from None
        return {
            "kind": request.url.path.rpartition("/")[2],
            "connection_id": headers["x-connection-id"],
            "headers": dict(headers),
            "body": json.loads(body),
        }

    Genuine = Annotated[dict[str, Any], Depends(genuine)]  # noqa: N806

    async def taken(event: Genuine) -> Response | None:
        """The answer to an event that is not to be acted on; None if it is."""
        if (answer := await _misbehave(str(event["body"].get("misbehave", backend.behaviour)))) is not None:
            return answer
        if backend.is_repeat(event["headers"]["ce-id"]):
            return Response(status_code=204)
        backend.events.append(event)
        return None

    Taken = Annotated[Response | None, Depends(taken)]  # noqa: N806

    @app.post("/api/ws/register")
    async def register(event: Genuine, answer: Taken) -> Response:
        if answer is not None:
            return answer
        registration = event["body"]
        if registration["type"] in ("401", "403", "418", "302"):
            return Response(status_code=int(registration["type"]))
        backend.connections[event["connection_id"]] = registration
        return JSONResponse({"registered": True})

    @app.post("/api/ws/disconnect")
    async def disconnect(event: Genuine, answer: Taken) -> Response:
        backend.connections.pop(event["connection_id"], None)
        return answer or Response(status_code=204)

    @app.post("/api/ws/message")
    async def message(event: Genuine, answer: Taken) -> Response:
        if answer is not None:
            return answer
        frame = event["body"]
        own = backend.connections.get(event["connection_id"], {})
        if frame.get("action") == "message":
            told = json.dumps({"type": "message", "message": frame.get("message")}, ensure_ascii=False).encode()
            for other in list(backend.connections.values()):
                if other is not own and other["booking_id"] == own.get("booking_id"):
                    await asyncio.to_thread(backend.push, other["callback_url"], told)
            return Response(status_code=204)
        return JSONResponse({"type": "echo", "of": frame})

    return app


async def _misbehave(how: str) -> Response | None:
    match how:
        case "slow":
            await asyncio.sleep(7)
            return Response(status_code=204)
        case "trickle":
            return StreamingResponse(_trickle(), media_type="application/json")
        case "huge":
            return JSONResponse("x" * 33_000)
        case "redirect":
            return RedirectResponse("/api/ws/elsewhere", 307)
        case "text":
            return PlainTextResponse("fine")
        case "null":
            return JSONResponse(None)
        case how if how.isdigit():
            return Response(status_code=int(how))
        case _:
            return None


async def _trickle() -> AsyncGenerator[bytes]:
    for _ in range(100):
        yield b" "
        await asyncio.sleep(0.2)


def push_as(credentials: Callable[[], Mapping[str, Any]]) -> Push:
    """Posts to callback URLs. Signs with what `credentials` (boto3's arguments) are at that moment."""

    def push(callback_url: str, frame: bytes) -> None:
        endpoint, _, connection_id = callback_url.rpartition("/@connections/")
        client: Any = boto3.client("apigatewaymanagementapi", endpoint_url=endpoint, **credentials())
        client.post_to_connection(ConnectionId=unquote(connection_id), Data=frame)

    return push
