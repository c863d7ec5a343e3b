"""HTTP/1.1 as far as a post needs it: a request on a kept-alive connection, and the status of its answer.

Nothing here waits: an exchange is a generator that yields whenever it would, so that one thread has many under way.
"""

import os
import re
import select
import socket
import ssl
import time
from collections.abc import Generator
from typing import Any, Final

IDLE_SECONDS: Final = 30.0
"""A connection unused for longer is not trusted: while Lambda had the function frozen, nobody saw it closed."""
ADDRESS_SECONDS: Final = 60.0
"""How long the host's addresses are kept; API Gateway changes them."""
_ANSWER_BYTES: Final = 64 * 1024
_STATUS: Final = re.compile(rb"HTTP/1\.(\d) (\d{3})[ \r]")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r\n)")
_UNKEPT: Final = re.compile(rb"\r\n(?:transfer-encoding:|connection:[^\r]*\bclose\b)")

Steps = Generator[int, None, int]
"""Yields the events (of `select.poll`) that it waits for, returns the status of the answer, raises OSError."""


class Stale(OSError):
    """The server had closed a kept-alive connection before it was used again. Nothing was answered."""


class Endpoint:
    """A server, the connections to it that are kept alive, and the TLS session that new ones resume."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.host = host
        self.tls = tls
        self.session: ssl.SSLSession | None = None
        self._port = port
        self._addresses: list[tuple[int, Any]] = []
        self._resolved_at = 0.0
        self._idle: list[Line] = []

    def line(self) -> "Line":
        """A connection for one exchange: one that was kept if there is any."""
        # Not the monotonic clock, which may stand still while the function is frozen.
        oldest = time.time() - IDLE_SECONDS
        while self._idle:
            line = self._idle.pop()
            if line.used_at > oldest:
                return line
            line.close()
        return Line(self)

    def keep(self, line: "Line") -> None:
        """Keeps a connection for the next exchange."""
        line.used_at = time.time()
        self._idle.append(line)

    def forget_idle(self) -> None:
        """Closes what is kept: where one connection turned out dead, the others are no younger."""
        while self._idle:
            self._idle.pop().close()

    @property
    def kept(self) -> int:
        """How many connections are kept."""
        return len(self._idle)

    def addresses(self) -> list[tuple[int, Any]]:
        """Family and address of the host, as the resolver gave them. Raises OSError."""
        if not self._addresses or time.time() - self._resolved_at > ADDRESS_SECONDS:
            found = socket.getaddrinfo(self.host, self._port, type=socket.SOCK_STREAM)
            self._addresses = [(family, address) for family, _, _, _, address in found]
            self._resolved_at = time.time()
        return self._addresses


class Line:
    """A connection to an endpoint, opened by its first exchange."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.used_at = 0.0
        self._endpoint = endpoint
        self._socket: socket.socket | None = None

    def fileno(self) -> int:
        """What to poll; -1 when closed. An exchange changes it while it opens the connection."""
        return -1 if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """Closes the connection."""
        if self._socket is not None:
            self._socket.close()

    def exchange(self, request: bytes) -> Steps:
        """Sends `request` and reads the answer; the line is kept if it can be, else closed.

        Whoever gives an exchange up closes the line. Raises OSError (Stale), the line closed.
        """
        try:
            if self._socket is not None:
                try:
                    status, keep = yield from self._ask(self._socket, request)
                except OSError as error:
                    raise Stale("a kept connection was of no use any more") from error
            else:
                connection = yield from self._connected()
                if self._endpoint.tls is not None:
                    connection = yield from self._secured(connection, self._endpoint.tls)
                status, keep = yield from self._ask(connection, request)
                if isinstance(connection, ssl.SSLSocket):
                    self._endpoint.session = connection.session  # TLS 1.3 tickets come with the first answer
        except BaseException:
            self.close()
            raise
        if keep:
            self._endpoint.keep(self)
        else:
            self.close()
        return status

    def _connected(self) -> Generator[int, None, socket.socket]:
        error = OSError("no address")
        for family, address in self._endpoint.addresses():
            self.close()
            self._socket = connection = socket.socket(family, socket.SOCK_STREAM)
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                connection.connect(address)
            except BlockingIOError:
                yield select.POLLOUT
                if (code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) != 0:
                    error = OSError(code, os.strerror(code))
                    continue
            except OSError as refused:
                error = refused
                continue
            return connection
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

    def _ask(self, connection: socket.socket, request: bytes) -> Generator[int, None, tuple[int, bool]]:
        unsent = memoryview(request)
        while unsent:
            try:
                unsent = unsent[connection.send(unsent) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                yield select.POLLOUT
            except ssl.SSLWantReadError:
                yield select.POLLIN
        answer = b""
        yield select.POLLIN
        while True:
            try:
                part = connection.recv(_ANSWER_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                yield select.POLLIN
                continue
            except ssl.SSLWantWriteError:
                yield select.POLLOUT
                continue
            if not part and not answer:
                raise ConnectionResetError("closed before it answered")
            answer += part
            if (read := read_answer(answer, ended=not part)) is not None:
                return read


def read_answer(answer: bytes, *, ended: bool) -> tuple[int, bool] | None:
    """The status of an answer, and whether the connection can be used again; None while more has to come.

    It can be used again where the answer's end is known by a Content-Length. `ended`: the server has closed. Raises
    OSError for what is no answer of HTTP/1.
    """
    while True:
        head, found, body = answer.partition(b"\r\n\r\n")
        if not found:
            if ended or len(answer) > _ANSWER_BYTES:
                raise OSError("not an HTTP answer")
            return None
        start = _STATUS.match(head)
        if start is None:
            raise OSError("not an HTTP answer")
        minor, status = start[1], int(start[2])
        if status >= 200:
            break
        answer = body  # an interim answer: the real one follows
    fields = head.lower() + b"\r\n"
    lengths = set(_LENGTH.findall(fields))
    if status == 204 and not lengths:
        lengths = {b"0"}
    if ended or minor == b"0" or len(lengths) != 1 or _UNKEPT.search(fields):
        return status, False
    missing = int(lengths.pop()) - len(body)
    if missing > 0 and len(body) + missing <= _ANSWER_BYTES:
        return None
    return status, missing == 0
