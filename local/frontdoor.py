"""The front door: REST, WebSocket and console at one stable address, in front of the embedded AWS's stages.

It also does what API Gateway does and the embedded AWS does not: it refuses what is too large, and closes connections
that are idle or old. And it keeps out other web pages, which can reach a loopback port like any program here: it
answers only to this machine's own names (`Host`), and only to its own page (`Origin`, `Sec-Fetch-Site`). It logs
nothing, because query strings and headers carry tokens.
"""

import asyncio
import binascii
import contextlib
import errno
import logging
import socket
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable
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

from local.descriptors import EXHAUSTED
from local.guard import FRONT_DOOR

SUBPROTOCOL = "navietakie.v1"
CLOSE_SECONDS = 5

# Headers that belong to one hop (RFC 9110, section 7.6.1), or that the next hop makes itself.
OF_ONE_HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
    *("transfer-encoding", "upgrade", "host", "content-length"),
    *("sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-accept"),
}
REFUSED_PART = {
    400: "the query",
    401: "the token",
    403: "the booking or role: the token names others",
    429: "the connection: there are too many",
}
"""What `$connect` has refused, by status. The error code is only in the log, as on AWS."""
OF_PAGES = {
    "cache-control": "no-cache",
    "content-security-policy": "frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
OF_OBJECTS = {"content-security-policy": "default-src 'none'; sandbox", "x-content-type-options": "nosniff"}
"""An uploaded file has our address, but must not act as our page."""
# Close codes that describe a connection and may not be sent (RFC 6455, section 7.4.1).
NEVER_SENT = {WSCloseCode.ABNORMAL_CLOSURE: WSCloseCode.GOING_AWAY, 1005: WSCloseCode.OK, 1015: WSCloseCode.GOING_AWAY}


@dataclass(frozen=True)
class Limits:
    """API Gateway's quotas, in bytes and seconds."""

    body: int = 10 * 1024 * 1024
    message: int = 128 * 1024
    """From a client: a message in one or more frames, which are not visible here. Functions refuse more than 32 KB."""
    frame: int = 32 * 1024
    """To a client."""
    upload: int = 100 * 1024 * 1024
    """To S3. Each form has a lower limit of its own."""
    integration: float = 29
    idle: float = 10 * 60
    connection: float = 2 * 60 * 60


API_GATEWAY = Limits()

type _Side = web.WebSocketResponse | ClientWebSocketResponse


@dataclass(frozen=True)
class Behind:
    """Where the front door leads: the stages of both APIs, and S3. `key` opens them.

    Of S3 it opens only these `buckets`, and only for signed requests: forms, and presigned GETs below `kept/`.
    """

    rest: str
    websocket: str
    storage: str = ""
    key: str = ""
    buckets: Collection[str] = ()


class FrontDoor:
    """Serves REST below /api/, the WebSocket at /ws, S3 below its buckets' names, and the folder `files` elsewhere.

    Its own pages may call, and those of `origins`.
    """

    def __init__(
        self, behind: Behind, files: Path, origins: Collection[str] = (), limits: Limits = API_GATEWAY
    ) -> None:
        self._behind = behind
        self._files = files.resolve()
        self._origins = set(origins)
        self._hosts: set[str] = set()
        self._url = ""
        self._limits = limits
        self._connections: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def serve(self, sockets: list[socket.socket]) -> AsyncGenerator[str]:
        """Opens at these sockets, and yields its address."""
        # aiohttp's warnings quote the subprotocols that a client offers, and a token may be one.
        logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
        self._closing: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._url = address(sockets)
        for name in ("localhost", "127.0.0.1", "[::1]"):
            host = f"{name}{self._url.removeprefix('http://localhost')}"
            self._hosts.add(host)
            self._origins.add(f"http://{host}")
        async with ClientSession(
            connector=TCPConnector(limit=0),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            timeout=ClientTimeout(total=None),
        ) as self._client:
            app = web.Application(client_max_size=self._limits.body, middlewares=[self._from_here])
            app.router.add_route("*", "/api/{path:.*}", self._request)
            app.router.add_get("/ws", self._connection)
            app.router.add_get("/ws/", self._connection)  # clients that are generated from asyncapi.yaml ask for this
            app.router.add_route("*", "/{path:.*}", self._elsewhere)
            runner = web.AppRunner(
                app, access_log=None, handle_signals=False, shutdown_timeout=1, auto_decompress=False
            )
            await runner.setup()
            try:
                for each in sockets:
                    await web.SockSite(runner, each).start()
                yield self._url
            finally:
                # 1001 makes clients connect again, and every $disconnect still reaches its function.
                self._closing.set_result(WSCloseCode.GOING_AWAY)
                if self._connections:
                    await asyncio.wait(self._connections, timeout=CLOSE_SECONDS)
                await runner.cleanup()

    @web.middleware
    async def _from_here(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Lets in only requests that are meant for this machine and do not come from a foreign page."""
        if reason := self._foreign(request):
            if request.path.startswith("/api/"):
                refused = _error(403, "forbidden", reason)
                del refused.headers["access-control-allow-origin"]  # a foreign page may not even read the refusal
                return refused
            return web.Response(status=403, text=f"{reason}\n")
        try:
            return await handler(request)
        except OSError as failure:
            if failure.errno not in EXHAUSTED:
                raise
            return web.Response(status=503, text="Too many connections are open\n", headers={"retry-after": "1"})

    def _foreign(self, request: web.Request) -> str | None:
        """Why a request is refused; None if it comes from here."""
        if [each.lower() for each in request.headers.getall("host", [])] not in ([host] for host in self._hosts):
            return f"Host: this is {self._url}, and answers to no other name"
        if (origin := request.headers.get("origin")) is not None:
            # A page with an Origin is believed: browsers do not let a page lie about it.
            return None if origin in self._origins else "Origin: other web pages may not call"
        if request.headers.get("sec-fetch-site", "none") in ("none", "same-origin") or self._bucket(request):
            return None  # the signed URL is enough: an <img> in another page of ours has no Origin
        of_a_page = not request.path.startswith(("/api/", "/ws"))
        if of_a_page and request.method == "GET" and request.headers.get("sec-fetch-dest") == "document":
            return None  # somebody has followed a link to the console
        return "Sec-Fetch-Site: other web pages may not call"

    def _to_stage(self, request: web.Request) -> CIMultiDict[str]:
        """The headers for a stage."""
        headers = end_to_end(request.headers.items())
        headers["x-forwarded-for"] = request.remote or "127.0.0.1"
        headers["x-forwarded-proto"] = "http"
        headers[FRONT_DOOR] = self._behind.key
        return headers

    async def _request(self, request: web.Request) -> web.StreamResponse:
        url = URL(self._behind.rest + request.rel_url.raw_path, encoded=True).with_query(None)
        if query := request.rel_url.raw_query_string:
            url = URL(f"{url}?{query}", encoded=True)
        headers = self._to_stage(request)
        headers.popall("content-encoding", None)  # the embedded AWS would unpack the body, API Gateway does not
        try:
            body = await request.read()
            body.decode()  # the embedded AWS would replace bytes that are not UTF-8
            async with (
                asyncio.timeout(self._limits.integration),
                self._client.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer,
            ):
                headers = end_to_end(answer.headers.items())
                response = web.Response(status=answer.status, headers=headers, body=await answer.read())
                if headers.get("x-amzn-errortype") == "MissingAuthenticationTokenException":
                    # An unknown path. The embedded AWS ignores the answer for this in the template.
                    response = _error(404, "not_found", "There is no such path or method")
                elif answer.status == 502:  # no function answers that
                    response = _error(503, "unavailable", "The function could not be started, or has failed")
                    response.headers["retry-after"] = "1"
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
        if response.headers.get("access-control-allow-origin") == "*":
            # On a laptop the functions allow every page. Here it is decided which may call.
            response.headers["access-control-allow-origin"] = request.headers.get("origin", self._url)
            response.headers["vary"] = "origin"
        return response

    async def _connection(self, request: web.Request) -> web.StreamResponse:
        offered = [each.strip() for each in request.headers.get("sec-websocket-protocol", "").split(",")]
        client = web.WebSocketResponse(
            # The functions cannot choose a subprotocol through the embedded AWS, and browsers insist on one.
            protocols=[SUBPROTOCOL] if SUBPROTOCOL in offered else [],
            compress=False,
            max_msg_size=4 * self._limits.message,  # aiohttp does not say why it closes; below its limit we can
        )
        if refusal := _wrong_handshake(request):
            return refusal
        url = URL(f"{self._behind.websocket}?{request.rel_url.raw_query_string}", encoded=True)
        headers = self._to_stage(request)
        try:
            async with asyncio.timeout(self._limits.integration):
                stage = await self._client.ws_connect(url, headers=headers, compress=0, max_msg_size=0)
        except WSServerHandshakeError as refused:
            part = REFUSED_PART.get(refused.status, "it")
            text = f"$connect refused {part} ({refused.status}); `make logs` says more\n"
            return web.Response(status=refused.status, text=text)
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
        """Passes messages both ways until either side closes or a limit is reached. Then closes both alike."""
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
                    # A side went away while we wrote to it, so there is nobody to tell why.
                    code = WSCloseCode.GOING_AWAY if end.exception() else end.result()
                if done:
                    break
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        code = NEVER_SENT.get(code, code)
        await asyncio.gather(client.close(code=code), stage.close(code=code))

    def _bucket(self, request: web.Request) -> str | None:
        """The bucket that a path names, if it is one of ours."""
        name = request.path.split("/")[1]
        return name if name in self._behind.buckets else None

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        if bucket := self._bucket(request):
            return await self._object(request, bucket)
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="There are only pages here\n", headers={"allow": "GET, HEAD"})
        try:
            file = (self._files / request.match_info["path"]).resolve()
            if file.is_dir():
                file /= "index.html"
            found = file.is_relative_to(self._files) and file.is_file()
        except (ValueError, OSError):  # a NUL, or longer than a name may be
            return web.Response(status=400, text="That is no path\n")
        if not found:
            return web.Response(status=404, text="There is no such page; the API is below /api/v1/ and at /ws\n")
        return web.FileResponse(file, headers=OF_PAGES)

    async def _object(self, request: web.Request, bucket: str) -> web.StreamResponse:
        """Passes a request on to S3. The guard and the emulator check the signature, and what its signer may do."""
        cors = {"access-control-allow-origin": request.headers.get("origin", self._url), "vary": "origin"}
        url = URL(f"{self._behind.storage}{request.raw_path}", encoded=True)
        headers = end_to_end(request.headers.items())
        headers["host"] = request.headers["host"]  # it is part of what was signed
        headers[FRONT_DOOR] = self._behind.key
        match request.method:
            case "OPTIONS":
                asked = request.headers.get("access-control-request-headers", "")
                allowed = {"access-control-allow-methods": "GET, HEAD, POST", "access-control-allow-headers": asked}
                return web.Response(status=204, headers={**cors, **allowed})
            case "POST" if request.path.rstrip("/") == f"/{bucket}":
                pass
            case "GET" | "HEAD" if request.path.startswith(f"/{bucket}/kept/"):
                pass
            case _:
                return web.Response(status=403, text="Of S3 there are only signed forms, and presigned GETs of kept/\n")
        try:
            body = b""
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > self._limits.upload:
                    return web.Response(status=413, text="The upload is too large\n", headers=cors)
            async with self._client.request(
                request.method, url, headers=headers, data=body or None, allow_redirects=False
            ) as answer:
                headers = CIMultiDict(
                    (name, value)
                    for name, value in end_to_end(answer.headers.items()).items()
                    if not name.lower().startswith("access-control-")
                )
                headers.update({**OF_OBJECTS, **cors})
                return web.Response(status=answer.status, headers=headers, body=await answer.read())
        except ClientError:
            return web.Response(status=503, text="The embedded AWS does not answer\n", headers=cors)


def address(sockets: list[socket.socket]) -> str:
    """The address of a front door that listens at these sockets."""
    port = sockets[0].getsockname()[1]
    return "http://localhost" if port == 80 else f"http://localhost:{port}"


def _wrong_handshake(request: web.Request) -> web.Response | None:
    """The answer to a wrong handshake, which names the wrong header (RFC 6455, section 4.2.1). None if it is right."""

    def has(name: str, token: str) -> bool:
        return token in (each.strip().lower() for each in ",".join(request.headers.getall(name, [])).split(","))

    if not has("upgrade", "websocket"):
        text = "Upgrade: this is the WebSocket's address, and the request does not ask for one\n"
        return web.Response(status=426, text=text, headers={"upgrade": "websocket"})
    if not has("connection", "upgrade"):
        return web.Response(status=400, text="Connection: does not say `Upgrade`\n")
    if request.headers.get("sec-websocket-version") != "13":
        text = "Sec-WebSocket-Version: is not 13\n"
        return web.Response(status=426, text=text, headers={"upgrade": "websocket", "sec-websocket-version": "13"})
    try:
        key = binascii.a2b_base64(request.headers.get("sec-websocket-key", ""), strict_mode=True)
    except binascii.Error:
        key = b""
    return None if len(key) == 16 else web.Response(status=400, text="Sec-WebSocket-Key: is not 16 bytes in base64\n")


def listen(port: int, tries: int = 100) -> list[socket.socket]:
    """Sockets on the loopback addresses at `port` or the next free one. The first is IPv4's, which always exists.

    It takes both families: some programs try ::1 first for `localhost`, and would reach another server there.
    """
    for candidate in range(port, port + tries) if port else [0] * tries:
        sockets: list[socket.socket] = []
        try:
            sockets.append(listener(socket.AF_INET, "127.0.0.1", candidate))
            try:
                sockets.append(listener(socket.AF_INET6, "::1", sockets[0].getsockname()[1]))
            except OSError as failure:
                if failure.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):  # they mean: no IPv6
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
    """A socket that listens at `address`. Raises OSError."""
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


def end_to_end(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """The headers that a proxy passes on."""
    return CIMultiDict((name, value) for name, value in headers if name.lower() not in OF_ONE_HOP)


def _error(status: int, code: str, message: str, details: dict[str, str] | None = None) -> web.Response:
    request_id = str(uuid.uuid4())
    return web.json_response(
        {"error": {"code": code, "message": message, "details": details or {}, "request_id": request_id}},
        status=status,
        headers={"x-request-id": request_id, "access-control-allow-origin": "*"},  # `_request` sets whose
    )
