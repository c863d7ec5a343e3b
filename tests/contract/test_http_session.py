"""Our HTTP session keeps the contract of botocore's own, against a server that misbehaves."""

import socket
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Protocol
from unittest.mock import ANY

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import URLLib3Session

from navietakie.aws import clients
from navietakie.aws.http_session import HttpSession
from tests.fakes.peer import Peer, answer, client_tls, hang_up, peer, pieces, reset, server_tls, then_hang_up


class Session(Protocol):
    def send(self, request: AWSPreparedRequest) -> AWSResponse: ...


Make = Callable[..., Session]


def ours(timeout: float = 10, trusted: str | None = None) -> Session:
    return HttpSession(connect_timeout=timeout, read_timeout=timeout, trust=lambda: client_tls(trusted or "localhost"))


def theirs(timeout: float = 10, trusted: str | None = None) -> Session:
    session: Any = URLLib3Session(timeout=(timeout, timeout))
    if trusted:
        manager = session._manager
        manager.connection_pool_kw["ssl_context"] = client_tls(trusted)
        session._verify = True
        session._setup_ssl_cert = lambda *_: None
    return session


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine either."""
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    environment = {"DEFAULT_REGION": "eu-central-1", "ACCESS_KEY_ID": "AKIDEXAMPLE", "SECRET_ACCESS_KEY": "secret"}
    for name, value in environment.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture(params=[ours, theirs])
def session(request: pytest.FixtureRequest) -> Make:
    return request.param


@contextmanager
def fill(listener: socket.socket) -> Generator[None]:
    """Fills the queue of a server that accepts no connections, so that the next one waits."""
    with ExitStack() as waiting:
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield


@pytest.fixture
def server() -> Generator[Peer]:
    with peer() as running:
        yield running


def request(server: Peer, name: str = "a", body: bytes | str = b"{}", scheme: str = "http") -> AWSPreparedRequest:
    """A request, prepared as botocore's clients do it. The server finds its answers by `name`."""
    host = "localhost" if scheme == "https" else "127.0.0.1"
    headers: dict[str, Any] = {"X-Amz-Target": b"DynamoDB_20120810.GetItem", "Authorization": "AWS4-HMAC-SHA256 x"}
    made = AWSRequest(method="POST", url=f"{scheme}://{host}:{server.port}/{name}", data=body, headers=headers)
    return made.prepare()


def test_a_request_arrives_as_it_was_prepared(server: Peer, session: Make) -> None:
    session().send(request(server, "x/a?b=c%20d", "Action=Publish&Message=%C3%A9"))
    [asked] = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/x/a?b=c%20d", b"Action=Publish&Message=%C3%A9")
    assert asked.headers == {
        "host": f"127.0.0.1:{server.port}",
        "x-amz-target": "DynamoDB_20120810.GetItem",
        "authorization": "AWS4-HMAC-SHA256 x",
        "content-length": "29",
        **({"accept-encoding": "identity", "user-agent": ANY} if session is theirs else {}),
    }


def test_a_host_that_was_signed_with_the_request_is_sent_once(server: Peer, session: Make) -> None:
    given = request(server)
    given.headers["Host"] = "signed.example"
    session().send(given)
    assert server.asked[0].headers["host"] == "signed.example"
    assert server.asked[0].names.count("host") == 1


@pytest.mark.parametrize(
    ("given", "status", "body"),
    [
        (answer(200, b'{"Item":{}}'), 200, b'{"Item":{}}'),
        (answer(200, b"x" * 3_000_000), 200, b"x" * 3_000_000),
        (answer(400, b'{"__type":"ConditionalCheckFailedException"}'), 400, None),
        (answer(500), 500, b""),
        (pieces(b"HTTP/1.1 2", b"00 OK\r\nContent-", b"Length:5\r\n\r\nab", b"cde"), 200, b"abcde"),
        (pieces(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}", b"\r\n0\r\n\r\n"), 200, b"{}"),
        (then_hang_up(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), 200, b"until the end"),
        (pieces(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"), 200, b"{}"),
    ],
)
def test_an_answer_is_given_whole(server: Peer, session: Make, given: Any, status: int, body: bytes | None) -> None:
    server.answers["a"] = [given]
    sender = session()
    for _ in range(2):
        said = sender.send(request(server))
        assert said.status_code == status
        assert body is None or said.content == body


def test_headers_are_found_in_any_case(server: Peer, session: Make) -> None:
    server.answers["a"] = [answer(200, b"", "x-amzn-RequestId: one", "X-Amz-Crc32: 2745614147")]
    headers: Any = session().send(request(server)).headers
    assert (headers.get("x-amzn-requestid"), headers["X-AMZ-CRC32"]) == ("one", "2745614147")


def test_a_connection_is_used_again(server: Peer, session: Make) -> None:
    sender = session()
    for _ in range(3):
        sender.send(request(server))
    assert server.lines == 1


def test_a_connection_that_was_closed_while_idle_fails_nobody(server: Peer, session: Make) -> None:
    sender = session()
    sender.send(request(server))
    server.hang_up_all()
    assert sender.send(request(server)).status_code == 200


def test_a_request_on_a_kept_connection_that_breaks_is_not_repeated_unseen(server: Peer, session: Make) -> None:
    """AWS may have acted on it, and a conflict means something else after a second request."""
    server.answers["a"] = [answer(200), reset, answer(200)]
    sender = session()
    sender.send(request(server))
    with pytest.raises(ConnectionClosedError):
        sender.send(request(server))
    assert len(server.asked) == 2


@pytest.mark.parametrize("behaviour", [hang_up, reset])
def test_a_broken_connection_is_an_error_that_botocore_tries_again(server: Peer, session: Make, behaviour: Any) -> None:
    server.answers["a"] = [behaviour]
    with pytest.raises(ConnectionClosedError):
        session().send(request(server))


def test_an_answer_that_is_cut_off_is_an_error_that_botocore_tries_again(server: Peer) -> None:
    """urllib3 would pass it on, and DynamoDB's checksum would show it."""
    server.answers["a"] = [then_hang_up(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut off")]
    with pytest.raises(ConnectionClosedError):
        ours().send(request(server))


def test_what_is_no_http_is_an_error_that_botocore_tries_again(server: Peer, session: Make) -> None:
    server.answers["a"] = [then_hang_up(b"SSH-2.0-OpenSSH\r\n\r\n")]
    with pytest.raises(ConnectionClosedError):
        session().send(request(server))


def test_no_answer_in_time_is_a_read_time_out(server: Peer, session: Make) -> None:
    server.answers["a"] = [answer(200), server.hang]
    sender = session(0.3)
    sender.send(request(server))
    for _ in range(2):  # on a kept connection, and on a new one
        with pytest.raises(ReadTimeoutError):
            sender.send(request(server))


def test_a_port_without_a_server_is_a_connection_error(session: Make) -> None:
    with peer() as gone:
        pass
    with pytest.raises(EndpointConnectionError):
        session().send(request(gone))


def test_a_dead_address_is_skipped_for_the_next_one(
    server: Peer, session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, fill(full):
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
            for address in (full.getsockname(), ("127.0.0.1", server.port))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        sender = session(0.3)
        for _ in range(2):
            with suppress(ConnectTimeoutError):
                sender.send(request(server))
        assert len(server.asked) >= 1


def test_an_unknown_host_is_a_connection_error(session: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    made = AWSRequest(method="POST", url="http://nowhere.invalid/", data=b"{}", headers={}).prepare()
    with pytest.raises(EndpointConnectionError):
        session().send(made)


def test_a_connection_that_is_not_taken_in_time_is_a_connect_time_out(session: Make) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, fill(full):
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"
        with pytest.raises(ConnectTimeoutError):
            session(0.3).send(AWSRequest(method="POST", url=url, data=b"{}", headers={}).prepare())


def test_requests_go_through_tls(session: Make) -> None:
    with peer(server_tls()) as server:
        sender = session(trusted="localhost")
        for _ in range(2):
            assert sender.send(request(server, body=b"x" * 300_000, scheme="https")).status_code == 200
        assert server.lines == 1
        assert {len(asked.body) for asked in server.asked} == {300_000}


@pytest.mark.parametrize(
    ("shown", "trusted"), [("localhost", "elsewhere.example"), ("elsewhere.example", "elsewhere.example")]
)
def test_a_server_with_an_untrusted_or_foreign_certificate_is_sent_nothing(
    session: Make, shown: str, trusted: str
) -> None:
    with peer(server_tls(shown)) as server:
        with pytest.raises(SSLError):
            session(trusted=trusted).send(request(server, scheme="https"))
        assert server.asked == []


@pytest.mark.parametrize("behaviour", [hang_up, reset, answer(503), then_hang_up(b"HTTP/1.1 200 OK\r\nContent-")])
def test_botocore_repeats_a_request_after_a_passing_failure(
    server: Peer, monkeypatch: pytest.MonkeyPatch, behaviour: Any
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    server.answers[""] = [behaviour, answer(200, b'{"Item":{"seq":{"N":"7"}}}')]
    client = clients.client("dynamodb", connect_timeout=1, read_timeout=1, attempts=2)
    assert client.get_item(TableName="t", Key={"k": {"S": "x"}})["Item"] == {"seq": {"N": "7"}}
    assert [asked.headers["amz-sdk-request"] for asked in server.asked] == [
        f"attempt={attempt}; max=2" for attempt in (1, 2)
    ]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, HttpSession),
        ({"NO_PROXY": "127.0.0.1"}, HttpSession),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, URLLib3Session),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": ".amazonaws.com"}, HttpSession),
    ],
)
def test_our_clients_use_this_session_unless_they_need_a_proxy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: type
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = clients.client("dynamodb", connect_timeout=1, read_timeout=1, attempts=1)
    assert isinstance(client._endpoint.http_session, expected)
