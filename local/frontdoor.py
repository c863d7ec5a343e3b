"""The front door: REST, WebSocket and console at one stable address, in front of the embedded AWS's stages.

It also does what API Gateway does and the embedded AWS does not: refuse what is too large, end what is idle or old.
It logs nothing: query strings and headers carry tokens.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import uuid
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    DummyCookieJar,
    TCPConnector,
    WSCloseCode,
    WSMsgType,
    WSServerHandshakeError,
    web,
)
from multidict import CIMultiDict
from yarl import URL

SUBPROTOCOL = "navietakie.v1"
CLOSE_SECONDS = 5

# What belongs to one hop (RFC 9110, section 7.6.1), or is made anew for the next.
OF_ONE_HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
    *("transfer-encoding", "upgrade", "host", "content-length"),
    *("sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-accept"),
}
# Close codes that say something about a connection and are never sent (RFC 6455, section 7.4.1).
NEVER_SENT = {WSCloseCode.ABNORMAL_CLOSURE: WSCloseCode.GOING_AWAY, 1005: WSCloseCode.OK, 1015: WSCloseCode.GOING_AWAY}


@dataclass(frozen=True)
class Limits:
    """API Gateway's quotas, in bytes and seconds."""

    body: int = 10 * 1024 * 1024
    message: int = 128 * 1024
    """From a client: it may come in several frames, which are not seen here. Above 32 KB the functions refuse it."""
    frame: int = 32 * 1024
    """To a client."""
    integration: float = 29
    idle: float = 10 * 60
    connection: float = 2 * 60 * 60


API_GATEWAY = Limits()

type _Side = web.WebSocketResponse | ClientWebSocketResponse


class FrontDoor:
    """Serves `rest_upstream` below /api/, `websocket_upstream` at /ws, and the folder `files` elsewhere."""

    def __init__(self, rest_upstream: str, websocket_upstream: str, files: Path, limits: Limits = API_GATEWAY) -> None:
        self._rest = rest_upstream
        self._websocket = websocket_upstream
        self._files = files.resolve()
        self._limits = limits
        self._connections: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def serve(self, port: int) -> AsyncGenerator[int]:
        """Listens on this machine alone, at `port` or the next free one (0: any), and yields which it is."""
        # Its warnings quote the subprotocols offered, and a token may be one.
        logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
        self._closing: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        async with ClientSession(
            connector=TCPConnector(limit=0),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            timeout=ClientTimeout(total=None),
        ) as self._client:
            app = web.Application(client_max_size=self._limits.body)
            app.router.add_route("*", "/api/{path:.*}", self._request)
            app.router.add_get("/ws", self._connection)
            app.router.add_get("/{path:.*}", self._file)
            runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
            await runner.setup()
            sockets = listen(port)
            try:
                for each in sockets:
                    await web.SockSite(runner, each).start()
                yield sockets[0].getsockname()[1]
            finally:
                # A client that hears 1001 comes back; and every $disconnect still reaches its function.
                self._closing.set_result(WSCloseCode.GOING_AWAY)
                if self._connections:
                    await asyncio.wait(self._connections, timeout=CLOSE_SECONDS)
                await runner.cleanup()

    async def _request(self, request: web.Request) -> web.StreamResponse:
        url = URL(self._rest + request.rel_url.raw_path, encoded=True).with_query(None)
        if query := request.rel_url.raw_query_string:
            url = URL(f"{url}?{query}", encoded=True)
        try:
            body = await request.read()
            body.decode()  # the embedded AWS would put replacement characters into what is not UTF-8
            async with (
                asyncio.timeout(self._limits.integration),
                self._client.request(
                    request.method, url, headers=_passed_on(request), data=body, allow_redirects=False
                ) as answer,
            ):
                headers = end_to_end(answer.headers.items())
                response = web.Response(status=answer.status, headers=headers, body=await answer.read())
                if headers.get("x-amzn-errortype") == "MissingAuthenticationTokenException":
                    # A path it does not know. What the template has API Gateway say is ignored by the embedded AWS.
                    response = _error(404, "not_found", "There is no such path or method")
        except web.HTTPRequestEntityTooLarge:
            response = _error(413, "too_large", "The request is too large")
        except UnicodeDecodeError:
            response = _error(400, "invalid_request", "body: is not UTF-8", {"field": "body"})
        except TimeoutError:
            response = _error(504, "unavailable", "The function did not answer in time")
        except ClientError:
            response = _error(503, "unavailable", "The embedded AWS does not answer")
        if "x-request-id" not in response.headers:
            response.headers["x-request-id"] = response.headers.get("x-amzn-requestid", str(uuid.uuid4()))
        return response

    async def _connection(self, request: web.Request) -> web.StreamResponse:
        offered = [each.strip() for each in request.headers.get("sec-websocket-protocol", "").split(",")]
        client = web.WebSocketResponse(
            # The functions cannot choose one through the embedded AWS, and browsers insist that one is chosen.
            protocols=[SUBPROTOCOL] if SUBPROTOCOL in offered else [],
            compress=False,
            max_msg_size=4 * self._limits.message,  # beyond its own limit it tells nobody why
        )
        if not client.can_prepare(request):
            return web.Response(status=426, text="This is the WebSocket's address\n", headers={"upgrade": "websocket"})
        url = URL(f"{self._websocket}?{request.rel_url.raw_query_string}", encoded=True)
        try:
            async with asyncio.timeout(self._limits.integration):
                stage = await self._client.ws_connect(url, headers=_passed_on(request), compress=0, max_msg_size=0)
        except WSServerHandshakeError as refused:
            return web.Response(status=refused.status, text="The connection was refused\n")
        except (ClientError, TimeoutError):
            return web.Response(status=502, text="The embedded AWS does not answer\n")
        if task := asyncio.current_task():
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            await client.prepare(request)
            await self._join(client, stage)
        finally:
            await stage.close(code=WSCloseCode.GOING_AWAY)
        return client

    async def _join(self, client: web.WebSocketResponse, stage: ClientWebSocketResponse) -> None:
        """Passes messages both ways until either side closes or a limit is reached, then closes both alike."""
        now = asyncio.get_running_loop().time
        begin = passed = now()

        async def carry(source: _Side, sink: _Side, limit: int) -> int:
            nonlocal passed
            async for message in source:
                passed = now()
                data = message.data
                if len(data.encode() if message.type is WSMsgType.TEXT else data) > limit:
                    return WSCloseCode.MESSAGE_TOO_BIG
                await (sink.send_str(data) if message.type is WSMsgType.TEXT else sink.send_bytes(data))
            return source.close_code or WSCloseCode.ABNORMAL_CLOSURE

        ways = {
            asyncio.create_task(carry(client, stage, self._limits.message)),
            asyncio.create_task(carry(stage, client, self._limits.frame)),
        }
        code: int = WSCloseCode.GOING_AWAY
        try:
            while (left := min(passed + self._limits.idle, begin + self._limits.connection) - now()) > 0:
                ends = {*ways, self._closing}
                done, _ = await asyncio.wait(ends, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                for end in done:
                    # A side that went while we wrote to it: nobody is left to say why.
                    code = WSCloseCode.GOING_AWAY if end.exception() else end.result()
                if done:
                    break
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        code = NEVER_SENT.get(code, code)
        await asyncio.gather(client.close(code=code), stage.close(code=code))

    async def _file(self, request: web.Request) -> web.StreamResponse:
        file = (self._files / request.match_info["path"]).resolve()
        if file.is_dir():
            file /= "index.html"
        if not file.is_relative_to(self._files) or not file.is_file():
            return web.Response(status=404, text="There is no such page; the API is below /api/v1/ and at /ws\n")
        return web.FileResponse(file, headers={"cache-control": "no-cache"})


def listen(port: int, tries: int = 100) -> list[socket.socket]:
    """Sockets on the loopback addresses at `port` or the next free one. The first is IPv4's, which there always is.

    Both families, because `localhost` means ::1 first to some programs, and another's server there would answer them.
    """
    for candidate in range(port, port + tries) if port else [0] * tries:
        sockets: list[socket.socket] = []
        try:
            sockets.append(listener(socket.AF_INET, "127.0.0.1", candidate))
            try:
                sockets.append(listener(socket.AF_INET6, "::1", sockets[0].getsockname()[1]))
            except OSError as failure:
                if failure.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):  # which say: no IPv6 here
                    raise
        except OSError as failure:
            for each in sockets:
                each.close()
            if failure.errno != errno.EADDRINUSE:
                raise
            continue
        return sockets
    raise OSError(errno.EADDRINUSE, f"No port from {port} to {port + tries - 1} is free")


def listener(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    """A socket that listens at `address`; raises OSError."""
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((address, port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


def _passed_on(request: web.Request) -> CIMultiDict[str]:
    headers = end_to_end(request.headers.items())
    headers["x-forwarded-for"] = request.remote or "127.0.0.1"
    headers["x-forwarded-proto"] = "http"
    return headers


def end_to_end(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """The headers that a proxy passes on."""
    return CIMultiDict((name, value) for name, value in headers if name.lower() not in OF_ONE_HOP)


def _error(status: int, code: str, message: str, details: dict[str, str] | None = None) -> web.Response:
    request_id = str(uuid.uuid4())
    return web.json_response(
        {"error": {"code": code, "message": message, "details": details or {}, "request_id": request_id}},
        status=status,
        headers={"x-request-id": request_id, "access-control-allow-origin": "*"},
    )
