"""The front door in front of an upstream that each test controls."""

import asyncio
import gzip
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from yarl import URL

from local.frontdoor import Behind, FrontDoor, Limits, listen
from local.guard import FRONT_DOOR


class Upstream:
    """Plays the embedded AWS: keeps the requests, answers REST with `answer`, and greets each WebSocket."""

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
    """A front door in front of a new upstream. Yields the upstream, the door's address, and a client."""
    upstream = Upstream()
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/rest/{path:.*}", upstream.rest)
    app.router.add_route("*", "/s3/{path:.*}", upstream.rest)
    app.router.add_get("/socket", upstream.socket)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = listen(0)[0]
    await web.SockSite(runner, listener).start()
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    behind = Behind(f"{base}/rest", f"{base}/socket", f"{base}/s3", "the key", {"photos"})
    door = FrontDoor(behind, files, ["https://app.example"], limits)
    try:
        async with door.serve(listen(0)) as url, ClientSession(url) as client:
            yield upstream, url, client
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


def test_a_function_that_did_not_start_is_unavailable_and_asked_again(tmp_path: Path) -> None:
    async def failed(request: web.Request) -> web.Response:
        return web.json_response({"message": '{"errorMessage": "[Errno 28] No space left on device"}'}, status=502)

    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, _, client):
            upstream.answer = failed
            async with client.post("/api/v1/send_message") as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (503, "unavailable")
                assert answer.headers["retry-after"] == "1"

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


@pytest.mark.parametrize("path", ["/ws", "/ws/"])
def test_messages_pass_both_ways_as_what_they_are(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (_, _, client), client.ws_connect(f"{path}?booking_code=test") as socket:
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


def test_the_stage_learns_of_a_client_that_vanishes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, address, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
            writer.write(
                b"GET /ws HTTP/1.1\r\nHost: "
                + address.removeprefix("http://").encode()
                + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
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
            host = address.removeprefix("http://").encode()
            writer.write(b"GET /../secret HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 404")
            async with client.get("/%2e%2e/secret") as outside:
                assert outside.status == 404

    run(scenario())


def test_if_the_port_is_taken_the_next_one_is_used() -> None:
    taken = listen(0)
    port = taken[0].getsockname()[1]
    following = listen(port)
    try:
        assert following[0].getsockname()[1] > port
    finally:
        for each in [*taken, *following]:
            each.close()


def port_of(address: str) -> str:
    return address.rpartition(":")[2]


async def raw(address: str, *lines: str) -> tuple[int, str]:
    """Sends a request line and headers as they are. Returns status and text of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port_of(address)))
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
    answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


@pytest.mark.parametrize("path", ["/", "/api/v1/get_message", "/ws", "/photos/kept/a"])
def test_it_answers_only_to_this_machines_own_names(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, address, _):
            port = port_of(address)
            for host in ("evil.example", f"evil.example:{port}", "localhost", f"localhost.:{port}", "", "localhost:1"):
                status, text = await raw(address, f"GET {path} HTTP/1.1", f"Host: {host}")
                assert status in (400, 403), host
                assert "Host" in text or status == 400
            two = (f"Host: localhost:{port}", "Host: evil.example")
            assert (await raw(address, f"GET {path} HTTP/1.1", *two))[0] in (400, 403)
            assert upstream.requests == []
            for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", f"LocalHost:{port}"):
                assert (await raw(address, f"GET {path} HTTP/1.1", f"Host: {host}"))[0] != 403

    run(scenario())


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.mark.parametrize("path", ["/", "/api/v1/get_message", "/ws", "/photos/kept/a"])
def test_a_foreign_page_is_refused_at_every_path(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, address, client):
            here = (f"Host: localhost:{port_of(address)}", *(UPGRADE if path == "/ws" else ()))
            for origin in (
                "https://evil.example",
                "null",
                "http://localhost:1",
                f"https://localhost:{port_of(address)}",
            ):
                for method in ("GET", "POST", "OPTIONS"):
                    status, text = await raw(address, f"{method} {path} HTTP/1.1", *here, f"Origin: {origin}")
                    assert status in (403, 405), (method, origin)
                    assert "Origin" in text or status == 405
            async with client.get(path, headers={"origin": "https://evil.example"}) as answer:
                assert [name for name in answer.headers if name.lower().startswith("access-control")] == []
            if path != "/photos/kept/a":
                for site in ("cross-site", "same-site"):
                    status, text = await raw(address, f"GET {path} HTTP/1.1", *here, f"Sec-Fetch-Site: {site}")
                    assert status == 403
                    assert "Sec-Fetch-Site" in text
            assert upstream.requests == []

    run(scenario())


def test_its_own_pages_and_those_that_are_named_may_call(tmp_path: Path) -> None:
    async def any_page(request: web.Request) -> web.Response:
        return web.Response(headers={"access-control-allow-origin": "*"})

    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, address, client):
            upstream.answer = any_page
            for origin in (address, f"http://127.0.0.1:{port_of(address)}", "https://app.example"):
                headers = {"origin": origin, "sec-fetch-site": "cross-site"}
                async with client.get("/api/v1/get_message", headers=headers) as answer:
                    assert answer.headers["access-control-allow-origin"] == origin
                async with client.ws_connect("/ws", headers={"origin": origin}) as socket:
                    await socket.send_str("a")
                    assert await socket.receive_str() == "you said a"
            async with client.get("/api/v1/get_message") as answer:
                assert answer.headers["access-control-allow-origin"] == address

    run(scenario())


def test_a_link_leads_to_the_console_which_no_page_can_frame(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("the console")

    async def scenario() -> None:
        async with opened(tmp_path) as (_, _, client):
            link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
            async with client.get("/", headers=link) as page:
                assert page.status == 200
                assert page.headers["x-frame-options"] == "DENY"
                assert page.headers["content-security-policy"] == "frame-ancestors 'none'"
            for other in ("iframe", "script", "image", "object"):
                async with client.get("/", headers={**link, "sec-fetch-dest": other}) as refused:
                    assert refused.status == 403
            async with client.get("/api/v1/get_message", headers=link) as refused:
                assert refused.status == 403

    run(scenario())


@pytest.mark.parametrize("path", ["/%00", "/a%00b", "/" + "a" * 300])
def test_what_is_no_path_is_a_bad_request_or_not_there(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (_, address, client), client.get(URL(address + path, encoded=True)) as answer:
            assert answer.status == 400

    run(scenario())


def test_a_packed_body_broken_or_not_is_a_bad_request_as_on_aws(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, _, client):
            packed = gzip.compress(b'{"message":"a"}')
            for body in (packed, b"\xffno gzip at all", packed[:-6], packed[:9] + b"\xff" * 20):
                headers = {"content-encoding": "gzip", "content-type": "application/json"}
                async with client.post("/api/v1/send_message", data=body, headers=headers) as answer:
                    assert answer.status == 400
                    assert (await answer.json())["error"]["details"] == {"field": "body"}
            assert upstream.requests == []
            # If the unpacked body is text, the function has to refuse it, and the embedded AWS would not let it.
            headers = {"content-encoding": "gzip"}
            async with client.post("/api/v1/send_message", data=b"no gzip at all", headers=headers) as answer:
                assert answer.status == 200
            assert upstream.bodies == [b"no gzip at all"]
            assert "content-encoding" not in upstream.requests[0].headers

    run(scenario())
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("part", "instead", "status"),
    [
        ("Upgrade: websocket", "X: a", 426),
        ("Connection: Upgrade", "X: a", 400),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X: a", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: short", 400),
    ],
)
def test_a_refused_handshake_names_the_part(tmp_path: Path, part: str, instead: str, status: int) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, address, _):
            lines = [instead if each == part else each for each in UPGRADE]
            host = f"Host: localhost:{port_of(address)}"
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port_of(address)))
            writer.write("\r\n".join(["GET /ws HTTP/1.1", host, *lines, "", ""]).encode())
            assert (await reader.readline()).split()[1] == str(status).encode()
            said = await reader.readuntil(b"\r\n\r\n") + await reader.readline()
            assert part.partition(":")[0].lower() + ":" in said.decode().lower().splitlines()[-1]
            writer.close()
            assert upstream.requests == []

    run(scenario())


def test_a_connection_that_the_function_refuses_says_which_part(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, address, _):
            for status, part in ((400, "the query"), (401, "the token"), (403, "the booking or role")):
                upstream.refuse = status
                reader, writer = await asyncio.open_connection("127.0.0.1", int(port_of(address)))
                host = f"Host: localhost:{port_of(address)}"
                writer.write("\r\n".join(["GET /ws HTTP/1.1", host, *UPGRADE, "", ""]).encode())
                said = (await reader.readuntil(b"\r\n\r\n") + await reader.readline()).decode()
                writer.close()
                assert f"$connect refused {part}" in said

    run(scenario())


def test_it_sends_its_key_to_the_embedded_aws_and_a_client_cannot(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (upstream, _, client):
            forged = {FRONT_DOOR: "a client's"}
            async with client.get("/api/v1/get_message", headers=forged):
                pass
            async with client.ws_connect("/ws", headers=forged):
                pass
            async with client.get("/photos/kept/a", headers=forged):
                pass
            assert [each.headers.getall(FRONT_DOOR) for each in upstream.requests] == [["the key"]] * 3

    run(scenario())


def test_s3_is_open_only_for_forms_and_kept_objects(tmp_path: Path) -> None:
    async def photo(request: web.Request) -> web.Response:
        return web.Response(body=b"photo", headers={"access-control-allow-origin": "*", "content-type": "image/png"})

    async def scenario() -> None:
        async with opened(tmp_path, Limits(upload=100)) as (upstream, address, client):
            upstream.answer = photo
            url = URL(f"{address}/photos/kept/a%20b?X-Amz-Signature=a%2Fb", encoded=True)
            headers = {"origin": address, "range": "bytes=0-1"}
            async with client.get(url, headers=headers) as answer:
                assert await answer.read() == b"photo"
                assert answer.headers["access-control-allow-origin"] == address
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert "sandbox" in answer.headers["content-security-policy"]
            [got] = upstream.requests
            assert got.raw_path == "/s3/photos/kept/a%20b?X-Amz-Signature=a%2Fb"
            assert (got.headers["host"], got.headers["range"]) == (address.removeprefix("http://"), "bytes=0-1")
            async with client.post("/photos", data=b"form", headers={"content-type": "multipart/form-data"}) as answer:
                assert answer.status == 200
            assert upstream.bodies[1] == b"form"
            async with client.post("/photos", data=b"x" * 101) as answer:
                assert answer.status == 413
            asks = {"origin": address, "access-control-request-headers": "x-a"}
            async with client.options("/photos", headers=asks) as answer:
                assert answer.headers["access-control-allow-origin"] == address
                assert answer.headers["access-control-allow-headers"] == "x-a"
            for method, path in (
                *(("GET", each) for each in ("/photos", "/photos/upload/a", "/photos?list-type=2")),
                *((method, "/photos/kept/a") for method in ("PUT", "DELETE", "POST", "PATCH")),
                *(("PUT", each) for each in ("/photos", "/photos?cors", "/photos/upload/a")),
            ):
                async with client.request(method, path) as answer:
                    assert answer.status == 403, (method, path)
            for method in ("GET", "POST", "PUT"):
                async with client.request(method, "/others/kept/a") as answer:
                    assert answer.status in (404, 405)
            assert len(upstream.requests) == 2

    run(scenario())
