"""Reading answers, without a server. Python's own client says what is right."""

import io
import socket
from collections.abc import Iterable
from http.client import HTTPResponse
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navietakie.wire import exchange
from navietakie.wire.exchange import Endpoint, HttpConnection, HttpResponse, Reader, unchunked

LARGEST = 1_000

FIELDS = st.lists(st.sampled_from(["Date: now", "x-amzn-RequestId: 1", "Content-Type: application/json"]), max_size=3)
STATUSES = st.integers(200, 599).filter(lambda status: status not in (204, 304))


class Wire:
    """A socket for `http.client`."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._content)


def by_length(body: bytes) -> tuple[str, bytes]:
    return f"Content-Length: {len(body)}", body


def by_chunks(body: bytes, sizes: Iterable[int], trailer: bytes) -> tuple[str, bytes]:
    content, rest = b"", body
    for size in sizes:
        if part := rest[:size]:
            content += b"%x;x=y\r\n%s\r\n" % (len(part), part)
            rest = rest[size:]
    if rest:
        content += b"%X\r\n%s\r\n" % (len(rest), rest)
    return "Transfer-Encoding: Chunked", content + b"0\r\n" + trailer + b"\r\n"


BODIES = st.binary(max_size=300)
FRAMED = st.one_of(
    st.builds(by_length, BODIES),
    st.builds(by_chunks, BODIES, st.lists(st.integers(1, 40), max_size=5), st.sampled_from([b"", b"Checksum: 1\r\n"])),
)


def fed(content: bytes, cuts: Iterable[int] = (), *, ended: bool = False) -> tuple[HttpResponse, bool] | None:
    """Feeds a reader with `content` in parts. Returns what it has read."""
    reader = Reader(LARGEST)
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(content)), len(content)]
    for begin, end in pairwise(edges):
        if begin < end and (read := reader.feed(content[begin:end])) is not None:
            assert end == len(content), "read before it was there"
            return read
    return reader.feed(b"") if ended else None


class Resolver:
    """A resolver. Each look-up gives the next of `answers` (None: it fails), and takes `seconds` of its own clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str | None, seconds: float) -> None:
        self.answers, self.seconds, self.now, self.asked = list(answers), seconds, 1_790_000_000.0, 0
        monkeypatch.setattr(exchange, "time", self)
        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)

    def time(self) -> float:
        return self.now

    def look_up(self, *_: Any, type: int = 0) -> Any:
        self.asked += 1
        self.now += self.seconds
        if (address := self.answers.pop(0)) is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        kinds = [type] if type else [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW]
        return [(socket.AF_INET, kind, 0, "", (address, 80)) for kind in kinds]


class Idle(HttpConnection):
    """A connection that can be kept. `spoken`: something came that nobody asked for."""

    def __init__(self, endpoint: Endpoint, *, spoken: bool = False) -> None:
        super().__init__(endpoint)
        self.spoken, self.closed = spoken, False

    def readable(self) -> bool:
        return self.spoken

    def close(self) -> None:
        self.closed = True


def addresses(endpoint: Endpoint) -> list[str]:
    return [address for _, (address, _) in endpoint.addresses()]


def test_a_slow_resolver_is_not_waited_for_with_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch, None, "10.0.0.1", seconds=1.0)
    endpoint = Endpoint("x.example", 80, None, largest=0)
    for _ in range(20):
        with pytest.raises(OSError, match="could not be looked up"):
            endpoint.addresses()
    assert resolver.asked == 1
    resolver.now += 1.0
    assert addresses(endpoint) == ["10.0.0.1"]


def test_a_failure_that_comes_at_once_is_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch, None, "10.0.0.1", seconds=0.0)
    endpoint = Endpoint("x.example", 80, None, largest=0)
    with pytest.raises(OSError, match="could not be looked up"):
        endpoint.addresses()
    assert addresses(endpoint) == ["10.0.0.1"]


def test_the_last_addresses_are_kept_while_there_are_no_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch, "10.0.0.1", None, "10.0.0.2", seconds=1.0)
    endpoint = Endpoint("x.example", 80, None, largest=0)
    found = [addresses(endpoint)]
    resolver.now += 59.5
    found += [addresses(endpoint)]
    assert resolver.asked == 1
    resolver.now += 0.5  # it is a minute now
    found += [addresses(endpoint), addresses(endpoint)]
    assert resolver.asked == 2
    resolver.now += 1.0
    assert [*found, addresses(endpoint)] == [*[["10.0.0.1"]] * 4, ["10.0.0.2"]]


def test_addresses_are_looked_up_again_when_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch, "10.0.0.1", "10.0.0.2", seconds=1.0)
    endpoint = Endpoint("x.example", 80, None, largest=0)
    found = [addresses(endpoint)]
    resolver.now -= 3_600
    assert [*found, addresses(endpoint)] == [["10.0.0.1"], ["10.0.0.2"]]


def test_a_kept_connection_is_used_within_30_seconds_and_closed_after_that(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch, seconds=0.0)
    endpoint = Endpoint("x.example", 80, None, largest=0)
    kept = Idle(endpoint)
    for pause, is_used in [(0.0, True), (29.5, True), (-29.5, True), (30.0, False)]:
        endpoint.keep(kept)
        resolver.now += pause
        assert (endpoint.connection() is kept) == is_used
        assert kept.closed != is_used
        assert endpoint.idle == 0


def test_a_kept_connection_that_says_something_unasked_is_closed_and_the_next_one_used() -> None:
    endpoint = Endpoint("x.example", 80, None, largest=0)
    quiet, spoken = Idle(endpoint), Idle(endpoint, spoken=True)
    endpoint.keep(quiet)
    endpoint.keep(spoken)
    assert endpoint.connection() is quiet
    assert (quiet.closed, spoken.closed) == (False, True)


def test_all_kept_connections_are_closed_at_once() -> None:
    endpoint = Endpoint("x.example", 80, None, largest=0)
    kept = [Idle(endpoint) for _ in range(3)]
    for connection in kept:
        endpoint.keep(connection)
    endpoint.close_idle()
    assert [connection.closed for connection in kept] == [True] * 3
    assert endpoint.idle == 0


def test_a_connection_that_is_not_open_has_no_descriptor() -> None:
    assert HttpConnection(Endpoint("x.example", 80, None, largest=0)).fileno() == -1


@given(STATUSES, FRAMED, FIELDS, st.lists(st.integers(1, 600), max_size=6))
def test_an_answer_is_read_wherever_it_is_cut(
    status: int, framed: tuple[str, bytes], fields: list[str], cuts: list[int]
) -> None:
    framing, content = framed
    whole = "\r\n".join([f"HTTP/1.1 {status} Whatever", *fields, framing]).encode() + b"\r\n\r\n" + content
    expected = HTTPResponse(Wire(whole))  # type: ignore[arg-type]
    expected.begin()
    answer, keep = fed(whole, cuts) or pytest.fail("not read to its end")
    assert (answer.status, answer.body) == (expected.status, expected.read())
    assert answer.whole
    assert keep
    assert answer.fields.decode().splitlines() == [*fields, framing]
    with_more, kept = fed(whole + b"x") or pytest.fail("not read to its end")
    assert (with_more, kept) == (answer, False)
    assert fed(whole[:-1]) is None
    if content:
        cut_off, kept = fed(whole[:-1], ended=True) or pytest.fail("the end was not noticed")
        assert (cut_off.status, cut_off.whole, kept) == (status, False, False)


@pytest.mark.parametrize("status", [100, 103, 199])
def test_an_interim_answer_is_followed_by_the_answer(status: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    read = fed(b"HTTP/1.1 %d Wait\r\n\r\n" % status + answer)
    assert read == (HttpResponse(200, b"Content-Length: 0\r\n", b"", True), True)


def test_a_connection_of_http_1_0_is_not_used_again() -> None:
    read = fed(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    assert read == (HttpResponse(200, b"Content-Length: 2\r\n", b"{}", True), False)


def test_an_answer_without_a_head_is_an_error() -> None:
    with pytest.raises(OSError, match="not an HTTP answer"):
        Reader(LARGEST).feed(b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")


def test_a_body_of_just_the_greatest_length_is_waited_for() -> None:
    reader = Reader(10)
    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345") is None
    read = reader.feed(b"67890")
    assert read == (HttpResponse(200, b"Content-Length: 10\r\n", b"1234567890", True), True)


def test_a_chunk_that_is_cut_before_its_last_byte_is_waited_for() -> None:
    assert unchunked(b"2\r\nab\r") is None
    assert unchunked(b"2\r\nab\r\n0\r\n\r") is None
    assert unchunked(b"2\r\nab\r\n0\r\n\r\n") == (b"ab", 12)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    assert fed(b"HTTP/1.1 200 OK\r\n\r\nuntil", ended=True) == (HttpResponse(200, b"", b"until", True), False)


@pytest.mark.parametrize("framing", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
def test_a_body_that_is_cut_off_is_not_whole(framing: bytes) -> None:
    read = fed(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n5\r\nabc", ended=True)
    assert read == (HttpResponse(200, framing + b"\r\n", b"", False), False)


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
    ],
)
def test_a_body_of_unclear_length_is_not_read(framing: bytes) -> None:
    read = fed(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n1\r\n")
    assert read == (HttpResponse(200, framing + b"\r\n", b"", False), False)


def test_a_body_of_too_great_a_length_is_not_read() -> None:
    read = fed(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n1\r\n")
    assert read == (HttpResponse(200, b"Content-Length: 1001\r\n", b"", False, too_long=True), False)


@pytest.mark.parametrize("framing", [b"x: y", b"Transfer-Encoding: chunked"])
def test_a_body_that_never_ends_is_not_read_for_ever(framing: bytes) -> None:
    answer, keep = fed(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\nfff\r\n" + b"x" * 1_000) or pytest.fail("read on")
    assert (answer.whole, answer.too_long, keep) == (False, True, False)


@pytest.mark.parametrize("chunk", [b"x\r\n", b"-1\r\n", b"\r\n", b"0x1\r\n", b"fffffffff\r\n", b"1\r\naaa"])
def test_malformed_chunks_are_an_error(chunk: bytes) -> None:
    with pytest.raises(OSError, match="not an HTTP answer"):
        fed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    read = fed(f"HTTP/1.1 {status} Whatever\r\n\r\n".encode())
    assert read == (HttpResponse(status, b"", b"", True), True)


@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_are_an_answer_or_an_error(noise: bytes, ended: bool) -> None:
    for content in (noise, b"HTTP/1.1 200 OK\r\n" + noise + b"\r\n\r\n"):
        try:
            read = fed(content, ended=ended)
        except OSError:
            continue
        assert read is not None or not ended


def test_a_head_of_64_kib_is_read_and_a_longer_one_is_an_error() -> None:
    head = b"HTTP/1.1 200 OK\r\nx: ".ljust(65_536, b"x")
    reader = Reader(LARGEST)
    assert reader.feed(head) is None
    with pytest.raises(OSError, match="not an HTTP answer"):
        reader.feed(b"x")


def test_an_endless_head_is_an_error() -> None:
    with pytest.raises(OSError, match="not an HTTP answer"):
        fed(b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000)
