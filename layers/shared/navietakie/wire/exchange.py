"""HTTP/1.1 as far as we need it (RFC 9112): a request on a kept-alive connection, and its answer.

How it works:

- An `Endpoint` is one server. It keeps the free connections, the server's addresses for a minute, and the TLS session
  that a new connection resumes.
- An `HttpConnection` is one socket. Its `exchange` sends one request and reads one answer.
- An exchange does not wait. It is a generator: where it would wait, it yields the events of `select.poll` that it
  waits for. The caller polls `fileno()` for them and then calls `next`. So one thread can have many exchanges under
  way. The caller also keeps the time: to give an exchange up, it closes the generator. `answer_to` does this for a
  caller that has one request.
- A `Reader` puts an answer together from parts of any size: with a length, in chunks, or up to the end.

What an exchange does, on a kept connection and on a new one:

    kept:  send → read the answer
    new:   look up → connect, to the next address if one refuses → TLS → send → read the answer

Then the connection is kept for the next exchange, if the answer was read to its end and the server lets us. Otherwise
it is closed.

An exchange that fails raises OSError. `Stale` is the OSError of a kept connection that broke: the server may have
closed it while nobody used it, or it may have acted on the request. Only the caller knows whether it may send again.
Posts do, on a new connection (connections_api.py); AWS's requests leave it to botocore (aws/http_session.py); the proxy
sends each event on a connection of its own (websocket/proxy.py).
"""

import contextlib
import os
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Generator
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import SplitResult

IDLE_SECONDS: Final = 30.0
"""A connection that was unused for longer is not used: a frozen function does not notice that it was closed."""
ADDRESS_SECONDS: Final = 60.0
"""How long the host's addresses are kept; API Gateway changes them."""
_PART_BYTES: Final = 64 * 1024
_HEAD_BYTES: Final = 64 * 1024
_STATUS: Final = re.compile(rb"HTTP/1\.(\d) (\d{3})[ \r]")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r\n)")
_CODING: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r]*?)[ \t]*(?=\r\n)")
_CLOSE: Final = re.compile(rb"\r\nconnection:[^\r]*\bclose\b")
_CHUNK: Final = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;.*)?")


class HttpResponse(NamedTuple):
    """An answer. `fields` are its header lines as they came.

    `whole` is False for a body that was not read to its end, `too_long` says that this was because of its length.
    """

    status: int
    fields: bytes
    body: bytes
    whole: bool
    too_long: bool = False


Steps = Generator[int, None, HttpResponse]
"""Yields the events (of `select.poll`) that it waits for, returns the answer, raises OSError."""


class Stale(OSError):
    """A kept-alive connection broke without an answer: the server may have closed it, or have acted on the request."""


class Endpoint:
    """A server, the connections to it that are kept alive, and the TLS session that new ones resume.

    Of an answer's body up to `largest` bytes are read. Threads may share an endpoint.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, *, largest: int) -> None:
        self.host = host
        self.tls = tls
        self.largest = largest
        self.session: ssl.SSLSession | None = None
        self._port = port
        self._addresses: list[tuple[int, Any]] = []
        self._looked_up_at = 0.0
        self._looked_up_for = 0.0
        """How many seconds what came of the last look-up counts."""
        self._idle: list[HttpConnection] = []

    def connection(self) -> "HttpConnection":
        """A connection for one exchange: one that was kept if there is any."""
        # Not the monotonic clock, which may stand still while the function is frozen.
        now = time.time()
        while (connection := self._pop()) is not None:
            # abs, here and below: a clock that was set back by an hour must not make anything last an hour longer.
            if abs(now - connection.used_at) < IDLE_SECONDS and not connection.readable():
                return connection
            connection.close()
        return HttpConnection(self)

    def _pop(self) -> "HttpConnection | None":
        try:
            return self._idle.pop()
        except IndexError:
            return None  # asking first would leave another thread time to take the last one

    def keep(self, connection: "HttpConnection") -> None:
        """Keeps a connection for the next exchange."""
        connection.used_at = time.time()
        self._idle.append(connection)

    def close_idle(self) -> None:
        """Closes all kept connections: if one turned out dead, the others are probably dead too."""
        while (connection := self._pop()) is not None:
            connection.close()

    @property
    def idle(self) -> int:
        """How many connections are kept for the next exchange."""
        return len(self._idle)

    def addresses(self) -> list[tuple[int, Any]]:
        """Family and address of the host, as the resolver gave them; the last ones where it gives none now.

        Raises OSError. A failure is remembered for as long as it took: otherwise every new connection would wait for a
        slow resolver again.
        """
        begun = time.time()
        if abs(begun - self._looked_up_at) >= self._looked_up_for:
            try:
                found = socket.getaddrinfo(self.host, self._port, type=socket.SOCK_STREAM)
            except OSError:
                self._looked_up_at = time.time()
                self._looked_up_for = self._looked_up_at - begun
            else:
                self._addresses = [(family, address) for family, _, _, _, address in found]
                self._looked_up_at, self._looked_up_for = time.time(), ADDRESS_SECONDS
        if not self._addresses:
            raise OSError(f"{self.host} could not be looked up")
        return self._addresses

    def try_last(self, address: Any) -> None:
        """Puts an address behind the others, because it could not be reached."""
        self._addresses = sorted(self._addresses, key=lambda known: known[1] == address)


class HttpConnection:
    """A connection to an endpoint, opened by its first exchange."""

    used_at: float
    """When it was kept, on the wall clock."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.established = False
        """Whether it is connected, TLS included."""
        self._endpoint = endpoint
        self._socket: socket.socket | None = None
        self._address: Any = None

    def fileno(self) -> int:
        """What to poll; -1 when closed. An exchange changes it while it opens the connection."""
        return -1 if self._socket is None else self._socket.fileno()

    def readable(self) -> bool:
        """Whether something came that nobody asked for: usually the server has closed the connection."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Closes the connection."""
        if self._socket is not None:
            self._socket.close()

    def exchange(self, request: bytes) -> Steps:
        """Sends `request` and reads the answer; the connection is kept if it can be, else closed.

        Closing the generator closes the connection. Raises OSError (Stale) after it has closed the connection.
        """
        try:
            if self._socket is not None:
                try:
                    answer, keep = yield from self._ask(self._socket, request)
                except OSError as error:
                    raise Stale("a kept connection broke") from error
            else:
                connection = yield from self._connected()
                if self._endpoint.tls is not None:
                    connection = yield from self._secured(connection, self._endpoint.tls)
                self.established = True
                answer, keep = yield from self._ask(connection, request)
                if isinstance(connection, ssl.SSLSocket):
                    self._endpoint.session = connection.session  # TLS 1.3 tickets come with the first answer
        except BaseException:
            self.close()
            if not self.established:
                self._endpoint.try_last(self._address)
            raise
        if keep:
            self._endpoint.keep(self)
        else:
            self.close()
        return answer

    def _connected(self) -> Generator[int, None, socket.socket]:
        error = OSError("no address")
        for family, address in self._endpoint.addresses():
            self.close()
            self._address = address
            self._socket = connection = socket.socket(family, socket.SOCK_STREAM)
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                with contextlib.suppress(BlockingIOError):
                    connection.connect(address)
                yield select.POLLOUT
                if (code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) != 0:
                    raise OSError(code, os.strerror(code))
                return connection
            except OSError as refused:
                error = refused
                self._endpoint.try_last(address)
        raise error

    def _secured(self, connection: socket.socket, tls: ssl.SSLContext) -> Generator[int, None, ssl.SSLSocket]:
        endpoint = self._endpoint
        self._socket = secured = tls.wrap_socket(
            connection, server_hostname=endpoint.host, do_handshake_on_connect=False, session=endpoint.session
        )
        while True:
            try:
                secured.do_handshake()
                return secured
            except ssl.SSLWantReadError:
                yield select.POLLIN
            except ssl.SSLWantWriteError:
                yield select.POLLOUT

    def _ask(self, connection: socket.socket, request: bytes) -> Generator[int, None, tuple[HttpResponse, bool]]:
        unsent = memoryview(request)
        while unsent:
            try:
                unsent = unsent[connection.send(unsent) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                yield select.POLLOUT
            except ssl.SSLWantReadError:
                yield select.POLLIN
        reader = Reader(self._endpoint.largest, bodyless=request.startswith(b"HEAD "))
        yield select.POLLIN
        while True:
            try:
                part = connection.recv(_PART_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                yield select.POLLIN
            except ssl.SSLWantWriteError:
                yield select.POLLOUT
            else:
                if (read := reader.feed(part)) is not None:
                    return read


class Reader:
    """Puts an answer together from its parts. Of its body up to `largest` bytes are read.

    `bodyless`: it answers HEAD, so that its length is that of a body which does not come (RFC 9112, section 6.3).
    """

    def __init__(self, largest: int, *, bodyless: bool = False) -> None:
        self._largest = largest
        self._bodyless = bodyless
        self._received = bytearray()
        self._status = 0
        self._fields = b""
        self._keep = False
        self._length: int | Literal["chunked", "unknown", "unclear"] = "unclear"

    def feed(self, part: bytes) -> tuple[HttpResponse, bool] | None:
        """Takes the next part, empty where the server has closed; None while more has to come.

        At the end: the answer, and whether the connection can be used again. Raises OSError for what is no answer of
        HTTP/1.
        """
        self._received += part
        while self._status < 200:  # before the answer there may be interim ones
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                if not part or len(self._received) > _HEAD_BYTES:
                    raise OSError("not an HTTP answer")
                return None
            self._take_head(bytes(self._received[: end + 2]))
            del self._received[: end + 4]
        received, length = self._received, self._length
        read = None
        if length == "chunked":
            read = unchunked(received)
        elif length == "unknown":
            read = None if part else (received, len(received))
        elif length != "unclear" and len(received) >= length:
            read = received[:length], length
        if read is not None:
            body, end = read
            answer = HttpResponse(self._status, self._fields, bytes(body), whole=True)
            return answer, self._keep and bool(part) and end == len(received)
        too_long = len(received) > self._largest or (isinstance(length, int) and length > self._largest)
        if not part or length == "unclear" or too_long:
            return HttpResponse(self._status, self._fields, b"", whole=False, too_long=too_long), False
        return None

    def _take_head(self, head: bytes) -> None:
        start = _STATUS.match(head)
        if start is None:
            raise OSError("not an HTTP answer")
        minor, self._status = start[1], int(start[2])
        self._fields = head.partition(b"\r\n")[2]
        fields = b"\r\n" + self._fields.lower()
        self._keep = minor != b"0" and _CLOSE.search(fields) is None
        lengths = set(_LENGTH.findall(fields))
        if self._bodyless:
            self._length = 0
        elif codings := _CODING.findall(fields):
            self._length = "chunked" if codings == [b"chunked"] and not lengths else "unclear"
        elif self._status in (204, 304):
            self._length = 0
        elif len(lengths) == 1:
            self._length = int(lengths.pop())
        else:
            self._length = "unclear" if lengths else "unknown"


def unchunked(received: bytes | bytearray) -> tuple[bytes, int] | None:
    """The body that comes in chunks (RFC 9112, section 7.1) and where it ends; None while chunks are missing.

    Raises OSError for what are no chunks.
    """
    chunks: list[bytes] = []
    at = 0
    while (line_end := received.find(b"\r\n", at)) >= 0:
        size = _CHUNK.fullmatch(received, at, line_end)
        if size is None:
            raise OSError("not an HTTP answer")
        begin, end = line_end + 2, line_end + 2 + int(size[1], 16)
        if begin == end:  # the last one; fields may follow it
            end = received.find(b"\r\n\r\n", line_end)
            return None if end < 0 else (b"".join(chunks), end + 4)
        if len(received) < end + 2:
            break
        if received[end : end + 2] != b"\r\n":
            raise OSError("not an HTTP answer")
        chunks.append(bytes(received[begin:end]))
        at = end + 2
    return None


def endpoint_of(url: SplitResult, trust: Callable[[], ssl.SSLContext], largest: int) -> Endpoint:
    """The server of an http or https `url`, which `trust` verifies. Raises ValueError for a port that is no port."""
    tls = trust() if url.scheme == "https" else None
    return Endpoint(str(url.hostname), url.port or _usual_port(url), tls, largest=largest)


def host_of(url: SplitResult) -> str:
    """What `Host` says in a request to `url`, and what AWS's signatures are made with: no usual port."""
    return url.netloc.removesuffix(f":{_usual_port(url)}")


def _usual_port(url: SplitResult) -> int:
    return 443 if url.scheme == "https" else 80


def answer_to(request: bytes, connection: HttpConnection, connect: float, read: float | None = None) -> HttpResponse:
    """Sends `request` and waits for its answer: `connect` seconds for a new connection, then `read` seconds.

    Without `read` it waits `connect` seconds for both. Raises OSError, and TimeoutError where the time was up; the
    connection is closed then. A look-up of the host's name takes as long as it takes.
    """
    steps, established = connection.exchange(request), connection.established
    deadline = time.monotonic() + (read if established and read is not None else connect)
    try:
        while True:
            events = next(steps)
            if connection.established != established:
                established = True
                deadline = deadline if read is None else time.monotonic() + read
            poll = select.poll()
            poll.register(connection.fileno(), events)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1_000):
                steps.close()
                raise TimeoutError("no answer in time")
    except StopIteration as answered:
        return answered.value
