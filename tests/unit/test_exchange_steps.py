"""What an exchange does with its socket: the events that it waits for, what it sends, and what it closes."""

import errno
import os
import select
import socket
import ssl
from typing import Any, cast

import pytest

from navietakie.wire import exchange
from navietakie.wire.exchange import Endpoint, HttpConnection, HttpResponse, Stale, answer_to

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
WHOLE = HttpResponse(200, b"Content-Length: 2\r\n", b"{}", whole=True)
ADDRESSES = [("10.0.0.1", 80), ("10.0.0.2", 80)]


class Socket:
    """A socket whose calls come to what a script says: an error, how many bytes are sent, or the bytes received."""

    def __init__(
        self,
        *,
        connects: Exception | None = None,
        refused: int = 0,
        shakes: list[Exception] | None = None,
        sends: list[Exception | int] | None = None,
        receives: list[Exception | bytes] | None = None,
    ) -> None:
        self._connects, self._refused, self._shakes = connects, refused, shakes or []
        self._sends, self._receives = sends or [], receives if receives is not None else [ANSWER]
        self.sent = b""
        self.did: list[Any] = []
        self.closed = False

    def setblocking(self, on: bool) -> None:
        self.did.append(("setblocking", on))

    def setsockopt(self, *option: int) -> None:
        self.did.append(option)

    def getsockopt(self, *option: int) -> int:
        assert option == (socket.SOL_SOCKET, socket.SO_ERROR)
        return self._refused

    def connect(self, address: Any) -> None:
        self.did.append(address)
        if self._connects is not None:
            raise self._connects

    def do_handshake(self) -> None:
        if self._shakes:
            raise self._shakes.pop(0)

    def send(self, data: memoryview) -> int:
        outcome = self._sends.pop(0) if self._sends else len(data)
        if isinstance(outcome, Exception):
            raise outcome
        self.sent += data[:outcome]
        return outcome

    def recv(self, _: int) -> bytes:
        outcome = self._receives.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def fileno(self) -> int:
        return -1 if self.closed else 5

    def close(self) -> None:
        self.closed = True


class Tls:
    """A TLS context whose connections are the sockets themselves."""

    def __init__(self) -> None:
        self.wrapped: list[dict[str, Any]] = []

    def wrap_socket(self, plain: Socket, **how: Any) -> Socket:
        self.wrapped.append(how)
        return plain


def endpoint_of(monkeypatch: pytest.MonkeyPatch, *sockets: Socket, tls: Tls | None = None) -> Endpoint:
    """An endpoint whose connections use these sockets, one after the other."""
    rest = list(sockets)

    def opened(family: int, kind: int) -> Socket:
        assert (family, kind) == (socket.AF_INET, socket.SOCK_STREAM)
        assert all(it.closed for it in sockets[: len(sockets) - len(rest)]), "the one before is still open"
        return rest.pop(0)

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in ADDRESSES]
    monkeypatch.setattr(socket, "socket", opened)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    return Endpoint("x.example", 80, cast(ssl.SSLContext | None, tls), largest=1_000)


def made(connection: HttpConnection, request: bytes = REQUEST) -> tuple[list[int], HttpResponse]:
    """The events that an exchange waits for, and its answer."""
    steps, events = connection.exchange(request), list[int]()
    while True:
        try:
            events.append(next(steps))
        except StopIteration as answered:
            return events, answered.value


def addresses(endpoint: Endpoint) -> list[Any]:
    return [address for _, address in endpoint.addresses()]


def test_a_new_connection_is_connected_without_waiting_and_sends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    used = Socket(connects=BlockingIOError())
    endpoint = endpoint_of(monkeypatch, used)
    events, answer = made(endpoint.connection())
    assert (events, answer, used.sent) == ([select.POLLOUT, select.POLLIN], WHOLE, REQUEST)
    assert used.did == [("setblocking", False), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), ADDRESSES[0]]
    assert (endpoint.idle, used.closed) == (1, False)


def test_sending_and_receiving_wait_as_long_as_the_socket_says(monkeypatch: pytest.MonkeyPatch) -> None:
    used = Socket(
        sends=[3, BlockingIOError(), 2, BlockingIOError()], receives=[BlockingIOError(), ANSWER[:9], ANSWER[9:]]
    )
    events, answer = made(endpoint_of(monkeypatch, used).connection())
    out, into = select.POLLOUT, select.POLLIN
    assert (events, answer, used.sent) == ([out, out, out, into, into], WHOLE, REQUEST)


def test_tls_waits_for_what_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TLS connection may have to read in order to write, and to write in order to read (RFC 8446, section 4.6.3)."""
    reads, writes = ssl.SSLWantReadError(), ssl.SSLWantWriteError()
    used = Socket(shakes=[reads, writes, writes, reads], sends=[reads, 4, writes], receives=[writes, reads, ANSWER])
    tls = Tls()
    endpoint = endpoint_of(monkeypatch, used, tls=tls)
    connection = endpoint.connection()
    events, answer = made(connection)
    out, into = select.POLLOUT, select.POLLIN
    assert events == [out, *(into, out, out, into), *(into, out), into, *(out, into)]
    assert (answer, used.sent, connection.established) == (WHOLE, REQUEST, True)
    assert tls.wrapped == [{"server_hostname": "x.example", "do_handshake_on_connect": False, "session": None}]


@pytest.mark.parametrize("how", [{"refused": errno.ECONNREFUSED}, {"connects": OSError(errno.ENETUNREACH, "no way")}])
def test_an_address_that_refuses_is_closed_and_tried_last_from_then_on(
    monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    first, second = Socket(**how), Socket()
    endpoint = endpoint_of(monkeypatch, first, second)
    assert made(endpoint.connection())[1] == WHOLE
    assert (first.closed, second.closed) == (True, False)
    assert (first.did[-1], second.did[-1]) == (*ADDRESSES,)
    assert addresses(endpoint) == ADDRESSES[::-1]


def test_where_every_address_refuses_the_last_error_is_raised_and_nothing_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sockets = [Socket(refused=errno.ECONNREFUSED), Socket(refused=errno.EHOSTUNREACH)]
    with pytest.raises(OSError, match=os.strerror(errno.EHOSTUNREACH)):
        made(endpoint_of(monkeypatch, *sockets).connection())
    assert [it.closed for it in sockets] == [True, True]


def test_a_new_connection_that_breaks_is_closed_and_its_address_stays_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = Socket(receives=[ConnectionResetError("reset")])
    endpoint = endpoint_of(monkeypatch, used)
    with pytest.raises(ConnectionResetError):
        made(endpoint.connection())
    assert (used.closed, endpoint.idle, addresses(endpoint)) == (True, 0, ADDRESSES)


def test_a_handshake_that_fails_puts_the_address_behind_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    used = Socket(shakes=[ssl.SSLError("no")])
    endpoint = endpoint_of(monkeypatch, used, tls=Tls())
    with pytest.raises(ssl.SSLError):
        made(endpoint.connection())
    assert (used.closed, addresses(endpoint)) == (True, ADDRESSES[::-1])


def test_a_kept_connection_that_breaks_is_stale_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    used = Socket(receives=[ANSWER, b""])
    connection = endpoint_of(monkeypatch, used).connection()
    assert made(connection)[0] == [select.POLLOUT, select.POLLIN]
    with pytest.raises(Stale):
        made(connection)
    assert used.closed


def test_an_answer_after_which_the_server_closes_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    used = Socket(receives=[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"])
    endpoint = endpoint_of(monkeypatch, used)
    assert made(endpoint.connection())[1].status == 200
    assert (used.closed, endpoint.idle) == (True, 0)


def test_giving_an_exchange_up_closes_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    used = Socket(receives=[BlockingIOError()])
    endpoint = endpoint_of(monkeypatch, used)
    steps = endpoint.connection().exchange(REQUEST)
    assert [next(steps), next(steps)] == [select.POLLOUT, select.POLLIN]
    steps.close()
    assert (used.closed, endpoint.idle) == (True, 0)


def test_the_answer_to_head_has_no_body_whatever_its_length_says(monkeypatch: pytest.MonkeyPatch) -> None:
    used = Socket(receives=[ANSWER[:-2]])
    endpoint = endpoint_of(monkeypatch, used)
    assert made(endpoint.connection(), b"HEAD / HTTP/1.1\r\n\r\n")[1] == WHOLE._replace(body=b"")
    assert endpoint.idle == 1


def test_whether_a_kept_connection_has_said_something_is_asked_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = endpoint_of(monkeypatch, Socket()).connection()
    made(connection)
    waited: list[float] = []

    class Poll:
        def register(self, descriptor: int, events: int) -> None:
            assert (descriptor, events) == (5, select.POLLIN)

        def poll(self, milliseconds: float) -> list[tuple[int, int]]:
            waited.append(milliseconds)
            return [(5, select.POLLIN)] * (len(waited) - 1)

    monkeypatch.setattr(exchange.select, "poll", Poll)
    assert [connection.readable(), connection.readable()] == [False, True]
    assert waited == [0, 0]


def test_one_request_waits_for_its_connection_and_then_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """`connect` counts until the connection is made; from then on, `read` does. Each wait takes half a second."""
    now, waited = [1_000.0], list[tuple[int, float]]()

    class Poll:
        def register(self, descriptor: int, events: int) -> None:
            self._events = events

        def poll(self, milliseconds: float) -> list[tuple[int, int]]:
            waited.append((self._events, milliseconds))
            now[0] += 0.5
            return [(5, self._events)]

    monkeypatch.setattr(exchange.select, "poll", Poll)
    monkeypatch.setattr(exchange.time, "monotonic", lambda: now[0])
    out, into = select.POLLOUT, select.POLLIN
    connection = endpoint_of(monkeypatch, Socket(receives=[BlockingIOError(), ANSWER, ANSWER])).connection()
    assert answer_to(REQUEST, connection, 2.0, 3.0) == WHOLE
    assert waited == [(out, 2_000.0), (into, 3_000.0), (into, 2_500.0)]
    waited.clear()
    assert answer_to(REQUEST, connection, 2.0, 3.0) == WHOLE
    assert waited == [(into, 3_000.0)]
    waited.clear()
    connection = endpoint_of(monkeypatch, Socket(receives=[BlockingIOError(), ANSWER])).connection()
    assert answer_to(REQUEST, connection, 2.0) == WHOLE
    assert waited == [(out, 2_000.0), (into, 1_500.0), (into, 1_000.0)]


def test_one_request_without_an_answer_in_time_is_a_timeout_and_its_connection_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, waited = [1_000.0], list[float]()

    class Poll:
        def register(self, *_: int) -> None: ...

        def poll(self, milliseconds: float) -> list[tuple[int, int]]:
            waited.append(milliseconds)
            now[0] += 1.5
            return [(5, select.POLLIN)] if milliseconds else []

    monkeypatch.setattr(exchange.select, "poll", Poll)
    monkeypatch.setattr(exchange.time, "monotonic", lambda: now[0])
    used = Socket(receives=[BlockingIOError()] * 9)
    with pytest.raises(TimeoutError, match="no answer in time") as raised:
        answer_to(REQUEST, endpoint_of(monkeypatch, used).connection(), 2.0)
    assert waited == [2_000.0, 500.0, 0.0]
    assert raised.traceback, "it keeps the exchange alive, so that nothing is closed because nobody refers to it"
    assert used.closed
