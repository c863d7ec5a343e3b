"""Posts to a server that misbehaves. No test asserts a duration: a post that must not wait would wait for ever."""

import io
import re
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from navietakie.domain.errors import Refusal
from navietakie.observability import logger
from navietakie.wire import connections_api, exchange
from navietakie.wire.connections_api import ATTEMPTS, MAX_IN_FLIGHT, MIN_IN_FLIGHT, ConnectionsApi, Post
from navietakie.wire.sigv4 import Signer, SigningKeys
from tests.fakes.peer import Asked, Peer, answer, client_tls, hang_up, peer, pieces, reset, server_tls, then_hang_up

KEYS = SigningKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjE+/==")


def api(server: Peer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> ConnectionsApi:
    scheme = "https" if tls else "http"
    return ConnectionsApi(
        f"{scheme}://{host}:{server.port}/local", "eu-central-1", lambda: KEYS, lambda: tls or client_tls()
    )


def posts(*connection_ids: str) -> list[Post]:
    return [(connection_id, b'{"v":1}') for connection_id in connection_ids]


def many(count: int) -> list[Post]:
    return posts(*(f"c{number}" for number in range(count)))


@pytest.fixture
def server() -> Generator[Peer]:
    with peer() as running:
        yield running


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the time-outs of posts, so that their tests end soon."""
    monkeypatch.setattr(connections_api, "POST_SECONDS", 0.4)


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allows no second try, so that a needed one shows as a failure."""
    monkeypatch.setattr(connections_api, "ATTEMPTS", 1)


class Gate:
    """Holds every answer until `count` requests are under way at once. Hangs up after 20 s."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count)

    def __call__(self, _: Asked) -> Sequence[bytes]:
        try:
            self._barrier.wait(20)
        except threading.BrokenBarrierError:
            return [b""]
        return answer(200)(_)


# --- what is sent


def test_a_post_is_what_boto3_would_send(server: Peer) -> None:
    body = '{"text":"Grüße 🚕"}'.encode()
    assert api(server).post([("L0SM9cOFvHcCIhw=", body), ("a/b+c", b"")]) == ["delivered", "delivered"]
    for asked in server.asked:
        assert asked.body == {"L0SM9cOFvHcCIhw=": body, "a/b+c": b""}[asked.connection_id]
        url = f"http://127.0.0.1:{server.port}{asked.path}"
        expected = AWSRequest(method="POST", url=url, data=asked.body)
        instant = datetime.strptime(asked.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        with patch("botocore.auth.get_current_datetime", return_value=instant):
            SigV4Auth(Credentials(*KEYS), "execute-api", "eu-central-1").add_auth(expected)
        signed = {name.lower(): value for name, value in expected.headers.items()}
        assert {name: asked.headers[name] for name in signed} == signed
    assert {asked.path for asked in server.asked} == {
        "/local/@connections/L0SM9cOFvHcCIhw%3D",
        "/local/@connections/a%2Fb%2Bc",
    }


def test_posts_to_one_connection_are_made_in_order(server: Peer) -> None:
    server.answers["a"] = [answer(503), answer(200)]
    batch = [(connection_id, str(number).encode()) for number in range(9) for connection_id in ("a", "b", "c")]
    assert api(server).post(batch) == ["delivered"] * len(batch)
    bodies = {id: [int(asked.body) for asked in server.asked if asked.connection_id == id] for id in ("a", "b", "c")}
    assert bodies == {"a": [0, *range(9)], "b": [*range(9)], "c": [*range(9)]}


def test_a_connection_that_is_gone_is_asked_once(server: Peer) -> None:
    server.answers["a"] = [answer(410)]
    assert api(server).post([("a", b"1"), ("b", b"1"), ("a", b"2"), ("b", b"2")]) == [
        *("gone", "delivered", "gone", "delivered"),
    ]
    assert [asked.connection_id for asked in server.asked].count("a") == 1


def test_a_failed_post_does_not_stop_the_next_one_to_the_same_connection(server: Peer) -> None:
    server.answers["a"] = [answer(403), answer(200)]
    assert api(server).post([("a", b"1"), ("a", b"2")]) == ["failed", "delivered"]


@pytest.mark.usefixtures("one_attempt")
def test_the_usual_port_is_not_in_the_host_header(monkeypatch: pytest.MonkeyPatch) -> None:
    signed: list[str] = []

    def signer(host: str, *how: Any) -> Signer:
        signed.append(host)
        return Signer(host, *how)

    def nowhere(*_: Any, **__: Any) -> Any:
        raise OSError("no such host")

    monkeypatch.setattr(connections_api, "Signer", signer)
    monkeypatch.setattr("socket.getaddrinfo", nowhere)
    for url in ("https://x.example.org/s", "https://x.example.org:443/s", "http://x.example.org:80/s"):
        assert ConnectionsApi(url, "us-east-1", lambda: KEYS).post([("a", b"{}")]) == ["failed"]
    assert signed == 3 * ["x.example.org"]


def test_without_posts_no_keys_are_asked_for() -> None:
    def no_keys() -> SigningKeys:
        raise AssertionError

    assert ConnectionsApi("http://127.0.0.1:1/local", "us-east-1", no_keys).post([]) == []


def test_an_endpoint_that_is_no_url_is_named() -> None:
    for endpoint in ("example.org/local", "", "ftp://example.org/"):
        with pytest.raises(Refusal, match="WEBSOCKET_ENDPOINT"):
            ConnectionsApi(endpoint, "us-east-1", lambda: KEYS)


def test_keys_are_asked_for_at_every_batch(server: Peer) -> None:
    given = iter([SigningKeys("FIRST", "one"), SigningKeys("SECOND", "two")])
    poster = ConnectionsApi(f"http://127.0.0.1:{server.port}", "us-east-1", lambda: next(given))
    poster.post(posts("a"))
    poster.post(posts("a"))
    used = [re.search(r"Credential=(\w+)/", asked.headers["authorization"]) for asked in server.asked]
    assert [it and it[1] for it in used] == ["FIRST", "SECOND"]


def test_without_keys_posts_fail_and_nothing_is_raised(server: Peer) -> None:
    def no_keys() -> SigningKeys:
        raise Refusal("internal", "no credentials")

    assert ConnectionsApi(f"http://127.0.0.1:{server.port}", "us-east-1", no_keys).post(many(2)) == ["failed"] * 2
    assert server.asked == []


def test_a_connection_is_closed_with_delete(server: Peer) -> None:
    server.answers["x="] = [pieces(b"HTTP/1.1 204 No Content\r\n\r\n")]
    poster = api(server)
    poster.close("x=")
    poster.close("x=")
    assert [(it.method, it.path, it.line) for it in server.asked] == [("DELETE", "/local/@connections/x%3D", 0)] * 2


# --- what comes back


@given(st.lists(st.sampled_from([200, 202, 204, 400, 403, 404, 410, 413]), max_size=30))
def test_outcomes_are_in_the_order_of_the_posts(statuses: list[int]) -> None:
    with peer() as server:
        for number, status in enumerate(statuses):
            server.answers[f"c{number}"] = [answer(status)]
        expected = ["delivered" if s < 300 else "gone" if s == 410 else "failed" for s in statuses]
        assert api(server).post(many(len(statuses))) == expected
        assert len(server.asked) == len(statuses)  # none of these is tried again


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(server: Peer, status: int) -> None:
    server.answers["a"] = [answer(status, b'{"message":"Limit exceeded"}'), answer(200)]
    assert api(server).post(posts("a")) == ["delivered"]
    assert server.tries("a") == 2


@pytest.mark.parametrize("behaviour", [answer(500), reset, hang_up, pieces(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")])
def test_a_lasting_failure_is_given_up_after_three_tries(server: Peer, behaviour: Any) -> None:
    server.answers["bad"] = [behaviour]
    assert api(server).post(posts("bad")) == ["failed"]
    assert server.tries("bad") == ATTEMPTS


@pytest.mark.parametrize("behaviour", [answer(500), reset, hang_up])
def test_a_lasting_failure_affects_no_other_connection(server: Peer, behaviour: Any) -> None:
    """On a kept connection a failure may be the connection's, so each try may use another one, once."""
    server.answers["c1"] = [behaviour]
    poster = api(server)
    for batch in (1, 2):
        assert poster.post(many(200)) == ["delivered", "failed", *["delivered"] * 198]
        assert ATTEMPTS * batch <= server.tries("c1") <= 2 * ATTEMPTS * batch


def test_a_refused_request_is_logged_without_its_body(server: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    server.answers["a"] = [answer(403, b'{"message":"Forbidden"}')]
    api(server).post([("a", b'{"message":"secret words"}')])
    assert '"status":403' in log.getvalue()
    assert "secret" not in log.getvalue()
    assert "IQoJ" not in log.getvalue()


def test_without_a_server_posts_fail_and_nothing_is_raised() -> None:
    with socket.socket() as unheard:  # bound, but not listening
        unheard.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        assert ConnectionsApi(endpoint, "us-east-1", lambda: KEYS).post(many(3)) == ["failed"] * 3


def test_an_unknown_host_fails_and_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert ConnectionsApi("http://nowhere.invalid", "us-east-1", lambda: KEYS).post(many(2)) == ["failed"] * 2


def test_a_resolver_that_takes_the_whole_budget_is_not_asked_for_every_post(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def slow(*_: Any, **__: Any) -> Any:
        asked.append(3.0)
        raise socket.gaierror("Temporary failure in name resolution")

    clock = SimpleNamespace(monotonic=lambda: sum(asked), strftime=time.strftime, gmtime=time.gmtime)
    monkeypatch.setattr(connections_api, "time", clock)
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    assert ConnectionsApi("http://nowhere.invalid", "us-east-1", lambda: KEYS).post(many(20)) == ["failed"] * 20
    assert sum(asked) < connections_api.BUDGET_SECONDS + 3.0


def test_the_next_address_of_the_host_is_tried(
    server: Peer, monkeypatch: pytest.MonkeyPatch, one_attempt: None
) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
            for address in (unheard.getsockname(), ("127.0.0.1", server.port))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert api(server).post(many(10)) == ["delivered"] * 10


@pytest.mark.usefixtures("impatient")
def test_an_address_that_never_answers_is_tried_last_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # It accepts connections, but makes no TLS handshake.
    with socket.create_server(("127.0.0.1", 0)) as silent, peer(server_tls()) as server:
        addresses = [silent.getsockname(), ("127.0.0.1", server.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        poster = api(server, client_tls(), "localhost")
        assert poster.post(many(3)) == ["delivered"] * 3
        server.hang_up_all()
        monkeypatch.setattr(connections_api, "ATTEMPTS", 1)
        assert poster.post(many(3)) == ["delivered"] * 3


# --- nobody waits for anybody


@pytest.mark.usefixtures("impatient")
def test_one_hanging_receiver_delays_no_other(server: Peer) -> None:
    arrived = threading.Event()

    def last(asked: Asked) -> Sequence[bytes]:
        arrived.set()
        return answer(200)(asked)

    def hangs_while_others_wait(asked: Asked) -> Sequence[bytes]:
        assert arrived.wait(20)
        return server.hang(asked)

    server.answers |= {"c0": [hangs_while_others_wait], "c29": [last]}
    assert api(server).post(many(30)) == ["failed"] + ["delivered"] * 29
    assert 1 <= server.tries("c0") <= ATTEMPTS


@pytest.mark.usefixtures("impatient")
def test_many_hanging_receivers_delay_no_other(server: Peer) -> None:
    hanging = [f"c{number}" for number in range(0, 80, 2)]
    server.answers |= {connection_id: [server.hang] for connection_id in hanging}
    assert api(server).post(many(80)) == ["failed", "delivered"] * 40


def test_slow_receivers_are_posted_to_at_once(server: Peer) -> None:
    gate = Gate(MAX_IN_FLIGHT)
    server.answers |= {f"c{number}": [gate] for number in range(MAX_IN_FLIGHT)}
    assert api(server).post(many(MAX_IN_FLIGHT)) == ["delivered"] * MAX_IN_FLIGHT


def test_two_receivers_are_posted_to_at_once(server: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_api, "SLOW_SECONDS", 60.0)
    gate = Gate(2)
    server.answers |= {"a": [gate], "b": [gate]}
    assert api(server).post(posts("a", "b")) == ["delivered"] * 2


def test_quick_receivers_share_few_connections(server: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_api, "SLOW_SECONDS", 60.0)
    poster = api(server)
    assert poster.post(many(200)) == ["delivered"] * 200
    assert poster.post(many(200)) == ["delivered"] * 200
    assert server.lines == MIN_IN_FLIGHT


def test_no_thread_is_started(server: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    poster = api(server)
    by_caller: list[str] = []
    start = threading.Thread.start

    def seen(thread: threading.Thread) -> None:
        by_caller.append(threading.current_thread().name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", seen)
    assert poster.post(many(50)) == ["delivered"] * 50
    assert threading.main_thread().name not in by_caller


def test_all_posts_have_an_outcome_when_the_budget_is_spent(server: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_api, "BUDGET_SECONDS", 0.3)
    monkeypatch.setattr(connections_api, "MAX_IN_FLIGHT", 8)
    server.answers |= {f"c{number}": [server.hang] for number in range(1, 100)}
    assert api(server).post(many(100)) == ["delivered"] + ["failed"] * 99
    assert {server.tries(f"c{number}") for number in range(100)} <= {0, 1}


def test_threads_may_share_a_poster(server: Peer) -> None:
    poster = api(server)
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda _: poster.post(many(20)), range(40)))
    assert outcomes == [["delivered"] * 20] * 40
    assert len(server.asked) == 800


# --- connections that are kept


def kept_after(server: Peer, monkeypatch: pytest.MonkeyPatch, *script: Any) -> bool:
    """Whether a connection is used again after this answer."""
    monkeypatch.setattr(connections_api, "ATTEMPTS", 1)
    server.answers["a"] = [*script, answer(200)]
    poster = api(server)
    assert poster.post(posts("a")) == ["delivered"]
    assert poster.post(posts("a")) == ["delivered"]
    return server.asked[-1].line == 0


@pytest.mark.parametrize(
    "given",
    [
        answer(200),
        answer(200, b"x" * 60_000),
        pieces(b"HTTP/1.1 2", b"00 OK\r\nContent-", b"Length:5\r\n\r\nab", b"cde"),
        pieces(b"HTTP/1.1 204 No Content\r\n\r\n"),
        pieces(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        pieces(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", b"HTTP/1.1 200\r\nCONTENT-LENGTH:\t2 \r\n\r\n{}"),
        answer(200, b"", "Content-Length: 0"),
        pieces(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r", b"\n{}\r\n0\r\n\r", b"\n"),
        pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n", b"x" * 65_536),
    ],
)
def test_a_connection_is_used_again(server: Peer, monkeypatch: pytest.MonkeyPatch, given: Any) -> None:
    assert kept_after(server, monkeypatch, given)


@pytest.mark.parametrize(
    "given",
    [
        answer(200, b"", "Connection: close"),
        answer(200, b"", "Connection: x, Close"),
        then_hang_up(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        then_hang_up(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"),
        then_hang_up(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut off"),
        pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 7\r\n\r\nabcdefg"),
        pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        pieces(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n", b"x" * 65_537),
    ],
)
def test_an_http_connection_in_an_uncertain_state_is_not_used_again(
    server: Peer, monkeypatch: pytest.MonkeyPatch, given: Any
) -> None:
    assert not kept_after(server, monkeypatch, given)


@pytest.mark.usefixtures("one_attempt")
def test_connections_that_were_closed_while_idle_fail_no_post(server: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(20)
    server.answers |= {f"c{number}": [gate] for number in range(20)}
    poster = api(server)
    assert poster.post(many(20)) == ["delivered"] * 20
    server.hang_up_all()
    assert poster.post(many(20)) == ["delivered"] * 20
    assert [server.tries(f"c{number}") for number in range(20)] == [2] * 20


@pytest.mark.usefixtures("one_attempt")
def test_connections_that_were_reset_while_idle_fail_no_post(server: Peer) -> None:
    server.answers["a"] = [answer(200), reset, answer(200)]
    poster = api(server)
    assert poster.post(posts("a")) == ["delivered"]
    assert poster.post(posts("a")) == ["delivered"]
    assert [it.line for it in server.asked] == [0, 0, 1]


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_the_network_lost_is_not_tried_twice(server: Peer) -> None:
    server.answers["a"] = [answer(200), server.hang, answer(200)]
    poster = api(server)
    assert poster.post(posts("a")) == ["delivered"]
    assert poster.post(posts("a")) == ["delivered"]
    assert [it.line for it in server.asked] == [0, 0, 1]


@pytest.mark.usefixtures("one_attempt")
def test_a_connection_idle_for_long_is_not_used(server: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = deque([1_000.0])
    monkeypatch.setattr(exchange.time, "time", lambda: clock[0])
    poster = api(server)
    for pause, line in [(0.0, 0), (exchange.IDLE_SECONDS - 1, 0), (exchange.IDLE_SECONDS + 1, 1), (-3_600, 2)]:
        clock[0] += pause
        assert poster.post(posts("a")) == ["delivered"]
        assert server.asked[-1].line == line


def test_addresses_are_looked_up_again_after_a_while(server: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = 0
    look_up = socket.getaddrinfo

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal lookups
        lookups += 1
        return look_up(*arguments, **options)

    clock = deque([1_000.0])
    monkeypatch.setattr(exchange.time, "time", lambda: clock[0])
    monkeypatch.setattr(socket, "getaddrinfo", counted)
    poster = api(server)
    server.answers |= {f"c{number}": [answer(200, b"", "Connection: close")] for number in range(5)}
    for pause, expected in [(0.0, 1), (exchange.ADDRESS_SECONDS - 1, 1), (2.0, 2)]:
        clock[0] += pause
        assert poster.post(many(5)) == ["delivered"] * 5
        assert lookups == expected


# --- TLS


def test_frames_go_through_tls() -> None:
    with peer(server_tls()) as server:
        assert (
            api(server, client_tls(), "localhost").post([(f"c{n}", b"x" * 32_000) for n in range(20)])
            == ["delivered"] * 20
        )
        assert {len(asked.body) for asked in server.asked} == {32_000}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_new_connection_resumes_the_tls_session(version: ssl.TLSVersion) -> None:
    with peer(server_tls()) as server:
        trust = client_tls()
        trust.minimum_version = trust.maximum_version = version
        server.answers["a"] = [answer(200, b"", "Connection: close")]
        poster = api(server, trust, "localhost")
        for _ in range(3):
            assert poster.post(posts("a")) == ["delivered"]
        assert server.resumed == [False, True, True]


@pytest.mark.usefixtures("one_attempt")
def test_tls_connections_that_were_closed_while_idle_fail_nobody() -> None:
    with peer(server_tls()) as server:
        poster = api(server, client_tls(), "localhost")
        assert poster.post(many(4)) == ["delivered"] * 4
        server.hang_up_all()
        assert poster.post(many(4)) == ["delivered"] * 4


@pytest.mark.parametrize(
    ("shown", "trusted"), [("localhost", "elsewhere.example"), ("elsewhere.example", "elsewhere.example")]
)
def test_a_server_with_an_untrusted_or_foreign_certificate_is_sent_nothing(shown: str, trusted: str) -> None:
    with peer(server_tls(shown)) as server:
        assert api(server, client_tls(trusted), "localhost").post(posts("a")) == ["failed"]
        assert server.asked == []


@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_shakes_hands_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"https://localhost:{silent.getsockname()[1]}"
        poster = ConnectionsApi(endpoint, "us-east-1", lambda: KEYS, client_tls)
        assert poster.post(posts("a")) == ["failed"]


def test_plain_http_behind_https_is_given_up(server: Peer) -> None:
    assert api(server, client_tls(), "localhost").post(posts("a")) == ["failed"]
    assert server.asked == []
