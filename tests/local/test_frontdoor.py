"""The front door before an upstream that does as it is told."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from yarl import URL

from local.frontdoor import FrontDoor, Limits, listen


class Upstream:
    """Stands for the embedded AWS: keeps what it was asked, answers REST with `answer`, and greets each WebSocket."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.answer: Callable[[web.Request], Awaitable[web.Response]] = self._fine
        self.refuse: int | None = None
        self.closed_with: asyncio.Queue[int | None] = asyncio.Queue()
        self.sockets: list[web.WebSocketResponse] = []

    async def rest(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.bodies.append(await request.read())
        return await self.answer(request)

    async def socket(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.refuse:
            return web.Response(status=self.refuse)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.data == "close, please":
                await socket.close(code=4001)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            else:
                await socket.send_str(f"you said {message.data}")
        await self.closed_with.put(socket.close_code)
        return socket

    async def _fine(self, request: web.Request) -> web.Response:
        return web.json_response({"fine": True}, headers={"x-request-id": "of the function"})


@asynccontextmanager
async def opened(files: Path, limits: Limits = Limits()) -> AsyncGenerator[tuple[Upstream, str, ClientSession]]:  # noqa: B008
    """A front door before a new upstream: that, the door's address, and a client."""
    upstream = Upstream()
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/rest/{path:.*}", upstream.rest)
    app.router.add_get("/socket", upstream.socket)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = listen(0)[0]
    await web.SockSite(runner, listener).start()
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    door = FrontDoor(f"{base}/rest", f"{base}/socket", files, limits)
    try:
        async with door.serve(0) as port, ClientSession(f"http://127.0.0.1:{port}") as client:
            yield upstream, f"http://127.0.0.1:{port}", client
    finally:
        await runner.cleanup()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


async def next_close(socket: ClientWebSocketResponse) -> int | None:
    async for _ in socket:
        pass
    return socket.close_code


def test_a_request_arrives_as_it_was_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, address, client):
            path = "/api/v1/get_message?booking_code=a%2Fb&after=2026-01-01T00%3A00%3A00.000000Z"
            sent = {"origin": "https://app.example", "authorization": "Bearer x", "idempotency-key": "k"}
            async with client.post(URL(address + path, encoded=True), data=b"\x00body", headers=sent) as answer:
                assert answer.status == 200
                assert await answer.json() == {"fine": True}
            request = upstream.requests[0]
            assert request.raw_path == "/rest" + path
            assert {name: request.headers[name] for name in sent} == sent
            assert upstream.bodies == [b"\x00body"]

    run(scenario())


def test_an_answer_keeps_the_functions_request_id(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (_, _, client), client.get("/api/v1/get_message") as answer:
            assert answer.headers["x-request-id"] == "of the function"

    run(scenario())


def test_an_answer_without_a_request_id_gets_one(tmp_path: Path) -> None:
    async def silent(request: web.Request) -> web.Response:
        return web.Response(headers={"x-amzn-requestid": "of the platform"})

    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, _, client):
            upstream.answer = silent
            async with client.get("/api/v1/get_message") as answer:
                assert answer.headers["x-request-id"] == "of the platform"

    run(scenario())


def test_a_preflight_is_passed_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, _, client), client.options("/api/v1/send_message"):
            assert upstream.requests[0].method == "OPTIONS"

    run(scenario())


def test_an_unknown_path_is_not_found_in_our_words(tmp_path: Path) -> None:
    async def unknown(request: web.Request) -> web.Response:
        return web.json_response(
            {"message": "Missing Authentication Token"},
            status=403,
            headers={"x-amzn-ErrorType": "MissingAuthenticationTokenException"},
        )

    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, _, client):
            upstream.answer = unknown
            async with client.get("/api/v1/nothing") as answer:
                assert answer.status == 404
                error = (await answer.json())["error"]
                assert error["code"] == "not_found"
                assert error["request_id"] == answer.headers["x-request-id"]

    run(scenario())


def test_a_body_that_is_not_utf_8_is_refused_as_the_functions_would(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, _, client):
            async with client.post("/api/v1/send_message", data=b'{"message":"a\xff"}') as answer:
                error = (await answer.json())["error"]
                assert (answer.status, error["code"], error["details"]) == (400, "invalid_request", {"field": "body"})
            assert upstream.requests == []

    run(scenario())


def test_a_function_that_does_not_answer_in_time_is_a_504(tmp_path: Path) -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(10)
        return web.Response()

    async def scenario() -> None:
        async with opened(tmp_path, Limits(integration=0.05)) as (upstream, _, client):
            upstream.answer = slow
            async with client.get("/api/v1/get_message") as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (504, "unavailable")

    run(scenario())


def test_a_body_over_the_limit_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, Limits(body=100)) as (upstream, _, client):
            async with client.post("/api/v1/send_message", data=b"x" * 101) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (413, "too_large")
            async with client.post("/api/v1/send_message", data=b"x" * 100) as answer:
                assert answer.status == 200
            assert len(upstream.requests) == 1

    run(scenario())


def test_messages_pass_both_ways_as_what_they_are(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (_, _, client), client.ws_connect("/ws?booking_code=test") as socket:
            await socket.send_str("ünïcode")
            assert await socket.receive_str() == "you said ünïcode"
            await socket.send_bytes(b"\x00\xff")
            assert await socket.receive_bytes() == b"\x00\xff"

    run(scenario())


def test_a_connection_carries_its_query_and_headers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, address, client):
            protocols = ("navietakie.v1", "bearer.abc.def")
            sent = {"origin": "https://app.example", "authorization": "Bearer x"}
            url = URL(f"{address}/ws?booking_code=a%2Fb&sender=driver", encoded=True)
            async with client.ws_connect(url, headers=sent, protocols=protocols) as socket:
                assert socket.protocol == "navietakie.v1"
            request = upstream.requests[0]
            assert request.raw_path == "/socket?booking_code=a%2Fb&sender=driver"
            assert request.headers["sec-websocket-protocol"] == "navietakie.v1,bearer.abc.def"
            assert {name: request.headers[name] for name in sent} == sent

    run(scenario())


def test_a_subprotocol_that_is_not_ours_is_not_selected_and_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with (
            opened(tmp_path) as (_, _, client),
            client.ws_connect("/ws", protocols=("bearer.secret", "other")) as socket,
        ):
            assert socket.protocol is None

    run(scenario())
    assert "secret" not in caplog.text


def test_a_refused_connection_shows_the_status(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, _, client):
            upstream.refuse = 403
            with pytest.raises(WSServerHandshakeError) as refused:
                await client.ws_connect("/ws")
            assert refused.value.status == 403

    run(scenario())


def test_the_clients_close_code_reaches_the_stage(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, _, client):
            socket = await client.ws_connect("/ws")
            await socket.close(code=4321)
            assert await upstream.closed_with.get() == 4321

    run(scenario())


def test_the_stages_close_code_reaches_the_client(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (_, _, client), client.ws_connect("/ws") as socket:
            await socket.send_str("close, please")
            assert await next_close(socket) == 4001

    run(scenario())


def test_a_client_that_vanishes_is_told_to_the_stage(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, address, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
            writer.write(
                b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert (await reader.readline()).startswith(b"HTTP/1.1 101")
            writer.transport.abort()
            assert await upstream.closed_with.get() == 1001

    run(scenario())


@pytest.mark.parametrize("frame", ["x" * 33, "é" * 17, b"x" * 33])
def test_a_message_over_the_limit_closes_both_sides_with_1009(tmp_path: Path, frame: str | bytes) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, Limits(message=32)) as (upstream, _, client):
            socket = await client.ws_connect("/ws")
            await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
            assert await next_close(socket) == 1009
            assert await upstream.closed_with.get() == 1009

    run(scenario())


def test_a_message_at_the_limit_passes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, Limits(message=32, frame=32)) as (_, _, client), client.ws_connect("/ws") as socket:
            await socket.send_bytes(b"x" * 32)
            assert await socket.receive_bytes() == b"x" * 32

    run(scenario())


def test_a_frame_of_the_stage_over_the_limit_closes_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, Limits(frame=32)) as (_, _, client), client.ws_connect("/ws") as socket:
            await socket.send_str("x" * 30)  # the answer is longer
            assert await next_close(socket) == 1009

    run(scenario())


@pytest.mark.parametrize("limits", [Limits(idle=0.1), Limits(connection=0.1)])
def test_an_idle_or_an_old_connection_ends_with_1001(tmp_path: Path, limits: Limits) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, limits) as (upstream, _, client):
            socket = await client.ws_connect("/ws")
            assert await next_close(socket) == 1001
            assert await upstream.closed_with.get() == 1001

    run(scenario())


def test_connections_are_closed_with_1001_when_the_door_closes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with ClientSession() as outlives:
            async with opened(tmp_path) as (upstream, address, _):
                socket = await outlives.ws_connect(f"{address}/ws")
                closing = asyncio.create_task(next_close(socket))
            assert await closing == 1001
            assert await upstream.closed_with.get() == 1001

    run(scenario())


def test_files_are_served_and_nothing_beside_them(tmp_path: Path) -> None:
    files = tmp_path / "web"
    files.mkdir()
    (files / "index.html").write_text("the console")
    (files / "app.js").write_text("export {}")
    (tmp_path / "secret").write_text("no")

    async def scenario() -> None:
        async with opened(files) as (_, address, client):
            async with client.get("/") as page:
                assert await page.text() == "the console"
            async with client.get("/app.js") as script:
                assert "javascript" in script.headers["content-type"]
            reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
            writer.write(b"GET /../secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 404")
            async with client.get("/%2e%2e/secret") as outside:
                assert outside.status == 404

    run(scenario())


def test_a_taken_port_makes_it_the_next() -> None:
    taken = listen(0)
    port = taken[0].getsockname()[1]
    following = listen(port)
    try:
        assert following[0].getsockname()[1] > port
    finally:
        for each in [*taken, *following]:
            each.close()
