"""The terminal's clients, before a WebSocket that says what a deployment may say."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession
from websockets import Subprotocol
from websockets.asyncio.server import ServerConnection, serve

from clients import smoke
from clients.chat import chat

OURS = Subprotocol(smoke.SUBPROTOCOL)
OF_THE_GATEWAY = {"message": "Internal server error", "connectionId": "abc=", "requestId": "r-1"}
MESSAGE = {"message_id": "m1", "timestamp": "2026-11-22T07:46:53.469476Z", "sender": "driver", "message": "Hello"}


@asynccontextmanager
async def saying(*frames: dict[str, Any]) -> AsyncGenerator[str]:
    """The URL of a WebSocket that answers the first frame with `frames` and closes."""

    async def answer(socket: ServerConnection) -> None:
        await socket.recv()
        for frame in frames:
            await socket.send(json.dumps(frame))

    async with serve(answer, "127.0.0.1", 0, subprotocols=[OURS]) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_chat_shows_each_message_once_and_other_frames_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run() -> None:
        call_ack = {"type": "ack", "call": {"state": "ringing"}}
        synced = {"type": "sync", "messages": [MESSAGE]}
        frames = (OF_THE_GATEWAY, {"type": "message", "message": MESSAGE}, synced, call_ack)
        async with saying(*frames) as url:
            await chat(url, [OURS])

    with open("/dev/null") as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        asyncio.run(run())
    gateway, message, ack = capsys.readouterr().out.splitlines()
    assert json.loads(gateway) == OF_THE_GATEWAY
    assert message == "07:46:53    driver: Hello"
    assert json.loads(ack)["call"] == {"state": "ringing"}


def test_the_smoke_test_says_what_api_gateway_said() -> None:
    async def run() -> None:
        async with (
            saying(OF_THE_GATEWAY) as url,
            ClientSession() as http,
            http.ws_connect(url, protocols=[OURS]) as socket,
        ):
            await socket.send_json({"action": "ping"})
            await smoke.frame(socket, "pong")

    with pytest.raises(smoke.Failed, match=r"Internal server error \(request r-1\)"):
        asyncio.run(run())
