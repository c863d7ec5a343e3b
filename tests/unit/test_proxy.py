"""Proxy mode against a real HTTP server on loopback that misbehaves as backends may do."""

import datetime
import io
import ipaddress
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from navietakie import settings, warm
from navietakie.aws import secrets as stored_secrets
from navietakie.aws.secrets import Secret
from navietakie.domain.errors import Refusal
from navietakie.doors import requests
from navietakie.observability import logger
from navietakie.wire.exchange import Endpoint, HttpResponse, Reader
from tests.backend.signatures import check
from websocket import app, proxy
from websocket.proxy import Backend, BackendAnswer, SignedEvent

SIGNING, TOKENS = "proxy-secret-" * 4, "token-secret-" * 4
Behave = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Took:
    """A request that the backend has accepted."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    """A backend that follows `script`: one entry per request, the last one for ever."""

    script: list[Behave]
    took: list[Took] = field(default_factory=list[Took])
    url: str = ""


def says(status: int, body: bytes = b"", **headers: str) -> Behave:
    """Gives this answer."""

    def behave(to: BaseHTTPRequestHandler) -> None:
        to.send_response(status)
        to.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)

    return behave


def hangs(to: BaseHTTPRequestHandler) -> None:
    """Gives no answer until the client closes the connection."""
    to.connection.settimeout(10)
    to.connection.recv(1)


def trickles(to: BaseHTTPRequestHandler) -> None:
    """Sends its headers byte by byte, each before the socket's own time-out."""
    try:
        to.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
        for _ in range(200):
            to.wfile.write(b"x")
            to.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass


def dies_midway(to: BaseHTTPRequestHandler) -> None:
    """Ends in the middle of a number: the rest would be missing, and the text would still be JSON."""
    to.send_response(200)
    to.send_header("content-length", "10")
    to.end_headers()
    to.wfile.write(b"12345")


def in_chunks(body: bytes, *, end: bytes = b"0\r\n\r\n") -> Behave:
    """Answers 200 with `body` in chunks."""

    def behave(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("transfer-encoding", "chunked")
        to.end_headers()
        for start in range(0, len(body), 1_000):
            part = body[start : start + 1_000]
            to.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        to.wfile.write(end)

    return behave


def until_the_end(body: bytes) -> Behave:
    """Answers 200 with `body` and no length: the body ends with the connection."""

    def behave(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.end_headers()
        to.wfile.write(body)

    return behave


def dies(to: BaseHTTPRequestHandler) -> None:
    """Closes the connection without an answer."""


@contextmanager
def serving(*script: Behave, tls: ssl.SSLContext | None = None) -> Generator[Scripted]:
    """A backend on a free port of the loopback."""
    there = Scripted(list(script))

    class Backend(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            there.took.append(Took(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.close_connection = True
            (there.script.pop(0) if len(there.script) > 1 else there.script[0])(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:  # a client has given up
            pass

    server = Server(("127.0.0.1", 0), Backend)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    there.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Client:
    """The WebSocket client: the frames that it gets, and the events that it causes."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def post(self, posts: list[tuple[str, bytes]]) -> list[str]:
        assert [connection_id for connection_id, _ in posts] == ["L0SM9cOFvHcCIhw="]
        self.frames += [frame for _, frame in posts]
        return ["delivered"]

    @property
    def errors(self) -> list[str]:
        """The codes of the error frames it got."""
        return [json.loads(frame)["error"]["code"] for frame in self.frames]

    def says(self, text: str, **event: Any) -> None:
        """Sends a frame."""
        assert proxy.forward(_event("$default", body=text, **event), None) == {"statusCode": 200}

    def connects(self, query: dict[str, str] | None = None, **headers: str) -> dict[str, Any]:
        """The answer to `$connect`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return proxy.forward(_event("$connect", queryStringParameters=query, headers=named), None)

    def leaves(self) -> int:
        """The answer to `$disconnect`."""
        return proxy.forward(_event("$disconnect"), None)["statusCode"]


def _event(route: str, **parts: Any) -> dict[str, Any]:
    context = {"routeKey": route, "connectionId": "L0SM9cOFvHcCIhw=", "requestId": "event-1", "stage": "local"}
    return {"requestContext": context, "isBase64Encoded": False, **parts}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    it = Client()
    for name, value in {
        "ENVIRONMENT": "local",
        "AUTH_MODE": "none",
        "WEBSOCKET_ENDPOINT": "https://api.example/local",
        "PROXY_SECRET_ARN": "arn:proxy",
        "TOKEN_SECRET_ARN": "arn:token",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("ALLOWED_ORIGINS", "IN_VPC", "CONNECTIONS_TABLE", "DYNAMODB_TABLE", "CALLS_TABLE"):
        monkeypatch.delenv(name, raising=False)
    signing, tokens = Secret(lambda _: SIGNING), Secret(lambda _: TOKENS)
    secrets = {"arn:proxy": signing, "arn:token": tokens}
    monkeypatch.setattr(stored_secrets, "stored_secret", lambda arn: secrets[arn])
    monkeypatch.setattr(requests, "poster", lambda _: it)
    monkeypatch.setattr(proxy, "_pause", lambda _: 0.0)
    return it


@pytest.fixture
def against(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[..., Scripted]]:
    """Starts a backend with a script, and configures it."""
    running: list[Any] = []

    def start(*script: Behave) -> Scripted:
        server = serving(*script)
        there = server.__enter__()
        running.append(server)
        monkeypatch.setenv("BACKEND_URL", there.url)
        return there

    yield start
    for server in running:
        server.__exit__(None, None, None)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the time-outs ten times as short."""
    monkeypatch.setattr(proxy, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(proxy, "DISCONNECT_SECONDS", 0.2)


@dataclass
class Timed:
    """A backend that gives `answer` after `seconds` of a clock of its own. The log has what was waited for at most."""

    answer: BackendAnswer = field(default_factory=BackendAnswer)
    seconds: float = 0.0
    now: float = 1_000.0
    log: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def ask(self, seconds: float) -> BackendAnswer:
        self.log.append(("ask", seconds))
        self.now += self.seconds
        return self.answer

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.log.append(("pause", seconds))
        self.now += seconds


@pytest.fixture
def timed(client: Client, monkeypatch: pytest.MonkeyPatch) -> Timed:
    """Pauses half a second before the second try, and a second before the third."""
    it = Timed()
    monkeypatch.setenv("BACKEND_URL", "https://backend.example")
    monkeypatch.setattr(SignedEvent, "ask", lambda _, seconds: it.ask(seconds))
    monkeypatch.setattr(proxy, "time", it)
    monkeypatch.setattr(proxy, "_pause", lambda attempt: attempt / 2)
    return it


@pytest.fixture
def reasons(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The reasons for which BackendFailures was counted."""
    counted: list[str] = []

    def count_by(name: str, dimension: str, value: str) -> None:
        assert (name, dimension) == ("BackendFailures", "reason")
        counted.append(value)

    monkeypatch.setattr(proxy, "count_by", count_by)
    return counted


def metrics(printed: str) -> list[str]:
    """The names of the metrics in the output (CloudWatch's embedded metric format)."""
    lines = [json.loads(line) for line in printed.splitlines() if '"_aws"' in line]
    return [it["Name"] for line in lines for of in line["_aws"]["CloudWatchMetrics"] for it in of["Metrics"]]


# --- what the backend gets -----------------------------------------------------------------------------------------


def test_a_frame_reaches_the_backend_byte_for_byte(client: Client, against: Callable[..., Scripted]) -> None:
    backend = against(says(204))
    text = '{ "action":"anything", "text" : "żółw 🐢 \\u00e9", "n": 1.50 }'
    client.says(text)
    assert backend.took[0].body == text.encode()
    assert backend.took[0].path == "/api/ws/message"
    assert client.frames == []


@pytest.mark.usefixtures("client")
def test_with_a_backend_the_functions_handler_forwards(against: Callable[..., Scripted]) -> None:
    backend = against(says(204))
    assert app.handler(_event("$default", body="{}"), None) == {"statusCode": 200}
    assert [took.path for took in backend.took] == ["/api/ws/message"]


@pytest.mark.usefixtures("client")
def test_a_start_has_the_poster_and_the_secret_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(requests, "poster", made.append)
    monkeypatch.setattr(stored_secrets, "ready", made.append)
    proxy.ready()
    assert made == [{}, "arn:proxy"]


@pytest.mark.parametrize("action", ["$connect", "$disconnect"])
def test_a_frame_with_the_action_connect_or_disconnect_is_only_a_frame(
    client: Client, against: Callable[..., Scripted], action: str
) -> None:
    backend = against(says(204))
    event = _event(action, body=json.dumps({"action": action}))
    event["requestContext"]["eventType"] = "MESSAGE"
    assert proxy.forward(event, None) == {"statusCode": 200}
    assert [took.path for took in backend.took] == ["/api/ws/message"]


def test_an_event_is_a_signed_cloudevent(client: Client, against: Callable[..., Scripted]) -> None:
    backend = against(says(204))
    client.says("{}")
    took = backend.took[0]
    given = dict(took.headers)
    given.pop("x-navietakie-signature")
    assert given.pop("ce-time").endswith("Z")
    assert given == {
        "x-connection-id": "L0SM9cOFvHcCIhw=",
        "ce-id": "event-1",
        "ce-source": "https://api.example/local",
        "ce-type": "navietakie.websocket.message",
        "ce-specversion": "1.0",
        "content-type": "application/json",
        "content-length": "2",
        "host": urlsplit(backend.url).netloc,
        "user-agent": "NavieTakie",
        "accept-encoding": "identity",  # a compressed answer would be no frame
        "connection": "close",
    }
    check(
        took.headers["x-navietakie-signature"],
        [SIGNING],
        path="/api/ws/message",
        connection_id="L0SM9cOFvHcCIhw=",
        event_id="event-1",
        body=b"{}",
        now=time.time(),
    )


def test_the_signature_is_the_one_that_is_documented() -> None:
    # printf '1700000000./api/ws/message.abc=.id-1.{"a":1}' | openssl dgst -sha256 -hmac secret
    assert proxy.signature("secret", 1_700_000_000, "/api/ws/message", "abc=", "id-1", b'{"a":1}') == (
        "t=1700000000,v1=c4036777acf3338855dda85181988cfa140a2e8ca9d5e3306a66e456839dbe3a"
    )


def test_a_register_says_who_connects_and_where_to_answer(client: Client, against: Callable[..., Scripted]) -> None:
    backend = against(says(200, b"whatever"))
    query = {"booking_id": "ride-1", "sender": "driver", "type": "app", "token": "the backend's own", "x": "ä"}
    assert client.connects(query)["statusCode"] == 200
    assert backend.took[0].path == "/api/ws/register"
    assert backend.took[0].json == {
        "connection_id": "L0SM9cOFvHcCIhw=",
        "booking_id": "ride-1",
        "type": "app",
        "query": query,
        "callback_url": "https://api.example/local/@connections/L0SM9cOFvHcCIhw%3D",
    }


def test_a_connection_id_is_one_segment_of_its_callback_url(client: Client, against: Callable[..., Scripted]) -> None:
    backend = against(says(200))
    event = _event("$connect")
    event["requestContext"]["connectionId"] = "a/b+c="
    assert proxy.forward(event, None)["statusCode"] == 200
    assert backend.took[0].json["callback_url"] == "https://api.example/local/@connections/a%2Fb%2Bc%3D"


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    "odd", ["\r\nx-navietakie-signature: t=1,v1=forged", "\n", "\r", "\t", "\x01", "\x7f", "\x85", "ż"]
)
def test_a_value_that_would_not_stay_on_its_header_line_is_refused(
    odd: str, against: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = against(says(200))
    for place in ("connectionId", "requestId"):
        event = _event("$connect")
        event["requestContext"][place] += odd
        assert proxy.forward(event, None) == {"statusCode": 500}
    monkeypatch.setenv("WEBSOCKET_ENDPOINT", f"https://api.example/local{odd}")
    assert proxy.forward(_event("$connect"), None) == {"statusCode": 500}
    assert backend.took == []


def test_a_disconnect_names_the_connection(client: Client, against: Callable[..., Scripted]) -> None:
    backend = against(says(204))
    assert client.leaves() == 200
    assert (backend.took[0].path, backend.took[0].json) == (
        "/api/ws/disconnect",
        {"connection_id": "L0SM9cOFvHcCIhw="},
    )


def test_the_backend_urls_path_is_kept_and_signed(
    client: Client, against: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = against(says(204))
    monkeypatch.setenv("BACKEND_URL", f"{backend.url}/chat/v2/")
    client.says("{}")
    took = backend.took[0]
    assert took.path == "/chat/v2/api/ws/message"
    signature = took.headers["x-navietakie-signature"]
    ids = {"connection_id": "L0SM9cOFvHcCIhw=", "event_id": "event-1"}
    check(signature, [SIGNING], path="/chat/v2/api/ws/message", **ids, body=b"{}", now=time.time())


# --- who is let in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "shown"),
    [(200, 200), (201, 200), (204, 200), (401, 401), (403, 403), (400, 502), (404, 502), (302, 502)],
)
def test_register_decides_who_is_let_in(
    status: int, shown: int, client: Client, against: Callable[..., Scripted]
) -> None:
    against(says(status, b"", location="/elsewhere"))
    assert client.connects()["statusCode"] == shown
    assert client.frames == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("behave", [says(500), says(503), hangs, trickles, dies])
def test_a_register_that_fails_is_502(behave: Behave, client: Client, against: Callable[..., Scripted]) -> None:
    against(behave)
    assert client.connects()["statusCode"] == 502


def _token(**changes: Any) -> str:
    good = {"sub": "d-7", "booking_code": "ride-1", "role": "driver", "exp": 2_000_000_000, "aud": "navietakie"}
    return jwt.encode({**good, **changes}, TOKENS, algorithm="HS256")


def test_with_tokens_the_claims_take_the_tokens_place(
    client: Client, against: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_MODE", "jwt")
    backend = against(says(200))
    token = _token()
    ways: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"token": token, "x": "1"}, {}),
        ({"x": "1"}, {"Sec_WebSocket_Protocol": f"navietakie.v1, bearer.{token}"}),
        ({"x": "1"}, {"Authorization": f"Bearer {token}"}),
    ]
    for query, headers in ways:
        answer = client.connects(query, **headers)
        assert answer["statusCode"] == 200
        assert ("Sec-WebSocket-Protocol" in answer["headers"]) == ("Sec_WebSocket_Protocol" in headers)
    for took in backend.took:
        assert took.json["query"] == {"x": "1"}
        assert took.json["booking_id"] == "ride-1"
        assert took.json["claims"] == {
            "sub": "d-7",
            "booking_code": "ride-1",
            "role": "driver",
            "exp": 2_000_000_000,
            "aud": "navietakie",
        }
        assert token not in took.body.decode() + str(took.headers)


def test_the_claims_say_when_a_token_was_made_if_it_says_so(
    client: Client, against: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_MODE", "jwt")
    backend = against(says(200))
    client.connects({"token": _token(iat=1_700_000_000)})
    assert backend.took[0].json["claims"]["iat"] == 1_700_000_000


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 401),
        ({"token": _token(exp=1)}, 401),
        ({"token": _token(aud="another")}, 401),
        ({"token": _token(), "booking_code": "ride-2"}, 403),
        ({"token": _token(), "booking_id": "ride-2"}, 403),
        ({"token": _token(), "sender": "passenger"}, 403),
        ({"token": _token(), "booking_code": "ride-1", "booking_id": "ride-2"}, 400),
        ({"token": _token(), "booking_code": "../ride-1"}, 400),
    ],
)
def test_a_client_with_a_wrong_token_never_reaches_the_backend(
    query: dict[str, str],
    status: int,
    client: Client,
    against: Callable[..., Scripted],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTH_MODE", "jwt")
    backend = against(says(200))
    assert client.connects(query)["statusCode"] == status
    assert backend.took == []


def test_a_foreign_origin_is_refused_before_the_backend_hears_of_it(
    client: Client, against: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://app.example")
    backend = against(says(200))
    for origin in ("https://evil.example", "null", "", "https://app.example.evil.example"):
        assert client.connects(origin=origin)["statusCode"] == 403
    assert backend.took == []
    assert client.connects(origin="https://app.example")["statusCode"] == 200
    assert client.connects()["statusCode"] == 200


# --- what the client gets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b'{"type":"hello","text":"\xc5\xbc"}', b"[1, 2]", b'"text"', b" {} "])
def test_a_json_answer_becomes_a_frame_as_it_is(body: bytes, client: Client, against: Callable[..., Scripted]) -> None:
    against(says(200, body))
    client.says("{}")
    assert client.frames == [body]


@pytest.mark.parametrize("behave", [says(204), says(200), says(200, b" \n"), says(200, b"null")])
def test_an_answer_without_content_is_no_frame(
    behave: Behave, client: Client, against: Callable[..., Scripted]
) -> None:
    against(behave)
    client.says("{}")
    assert client.frames == []


@pytest.mark.parametrize("answers", [lambda body: says(200, body), in_chunks, until_the_end])
@pytest.mark.parametrize("more", [b" ", b" " * 200_000])
def test_an_answer_of_32_kb_is_a_frame_and_a_byte_more_is_an_error(
    answers: Callable[[bytes], Behave], more: bytes, client: Client, against: Callable[..., Scripted]
) -> None:
    fits = b'"' + b"x" * (32 * 1024 - 2) + b'"'
    against(answers(fits), answers(more + fits))
    client.says("{}")
    assert client.frames == [fits]
    client.frames.clear()
    client.says("{}")
    assert client.errors == ["too_large"]


def _chunked(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"".join(
        b"%x\r\n%s\r\n" % (len(part), part) for part in parts
    )


def test_a_frame_of_32_kb_is_read_even_if_it_comes_in_chunks_of_two_bytes() -> None:
    frame = b'"' + b"x" * (32 * 1024 - 2) + b'"'
    answer = _chunked(frame, 2) + b"0\r\n\r\n"
    reader = Reader(proxy.READ_BYTES)
    assert reader.feed(answer[:-1]) is None
    read = reader.feed(answer[-1:])
    assert read is not None
    assert read[0].body == frame


def test_no_more_than_128_kb_are_read_of_an_answer() -> None:
    answer = _chunked(b"x" * 32 * 1024, 1)
    head = len(_chunked(b"", 1))
    reader = Reader(proxy.READ_BYTES)
    assert reader.feed(answer[: head + 128 * 1024]) is None
    read = reader.feed(answer[head + 128 * 1024 :][:1])
    assert read is not None
    assert read[0].too_long


@pytest.mark.parametrize(
    ("answer", "told", "counted"),
    [
        (BackendAnswer(200, b"1"), "", []),
        (BackendAnswer(299, b"1"), "", []),
        (BackendAnswer(300, b"1"), "internal", ["3xx"]),
        (BackendAnswer(399, b"1"), "internal", ["3xx"]),
        (BackendAnswer(400, b"1"), "invalid_request", []),
        (BackendAnswer(499, b"1"), "invalid_request", []),
        (BackendAnswer(500, b"1"), "internal", ["5xx"]),
        (BackendAnswer(599, b"1"), "internal", ["5xx"]),
        (BackendAnswer(503), "unavailable", ["5xx"]),
        (BackendAnswer(failure="refused"), "unavailable", ["refused"]),
        (BackendAnswer(failure="timed_out"), "internal", ["timed_out"]),
        (BackendAnswer(failure="broken"), "internal", ["broken"]),
    ],
)
def test_what_is_a_failure_is_counted_by_its_reason_and_what_the_backend_decides_is_not(
    answer: BackendAnswer, told: str, counted: list[str], client: Client, timed: Timed, reasons: list[str]
) -> None:
    timed.answer = answer
    client.says("{}")
    assert client.errors == [told] if told else client.frames == [b"1"]
    assert reasons == counted


def test_2xx_alone_takes_an_event() -> None:
    assert [status for status in (0, 199, 200, 299, 300) if BackendAnswer(status).ok] == [200, 299]


@pytest.mark.parametrize(
    ("came", "reason"),
    [
        (ConnectionRefusedError(), "refused"),
        (TimeoutError(), "timed_out"),
        (ConnectionResetError(), "broken"),
        (ssl.SSLCertVerificationError(), "broken"),
        (HttpResponse(200, b"", b"12345", whole=False), "broken"),
    ],
    ids=lambda it: type(it).__name__,
)
def test_a_failure_without_an_answer_is_logged_with_its_reason_and_no_status(
    came: OSError | HttpResponse,
    reason: str,
    client: Client,
    against: Callable[..., Scripted],
    reasons: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer_to(*_: Any) -> HttpResponse:
        if isinstance(came, OSError):
            raise came
        return came

    log = io.StringIO()
    monkeypatch.setattr(logger.handlers[0], "stream", log)
    monkeypatch.setattr(proxy, "answer_to", answer_to)
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    against(says(204))
    assert client.connects()["statusCode"] == 502
    assert died == []
    failed = [it for it in map(json.loads, log.getvalue().splitlines()) if it["message"] == "the backend failed"]
    assert [(it["reason"], it["backend_status"]) for it in failed] == [(reason, 0)]
    assert reasons == [reason]


@pytest.mark.usefixtures("impatient")
def test_a_look_up_that_hangs_is_a_time_out_and_keeps_no_process_from_ending(
    client: Client, against: Callable[..., Scripted], reasons: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    against(says(204))
    looking_up: list[threading.Thread] = []
    answers = threading.Event()

    def hanging(*_: Any, **__: Any) -> Any:
        looking_up.append(threading.current_thread())
        answers.wait(60)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    client.says("{}")
    assert (client.errors, reasons) == (["internal"], ["timed_out"])
    assert [thread.daemon for thread in looking_up] == [True]
    answers.set()
    looking_up[0].join()


def test_no_connection_to_the_backend_is_kept(
    client: Client, against: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    against(says(204))  # and would let us keep it
    used: list[Endpoint] = []
    made = proxy.endpoint_of
    monkeypatch.setattr(proxy, "endpoint_of", lambda *of: used.append(made(*of)) or used[-1])
    client.says("{}")
    assert [endpoint.idle for endpoint in used] == [0]


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (says(500, b"Traceback (most recent call last)"), "internal"),
        (says(502), "internal"),
        (says(503), "unavailable"),
        (says(307, location="/elsewhere"), "internal"),
        (says(400), "invalid_request"),
        (says(401), "unauthorized"),
        (says(403), "forbidden"),
        (says(404), "not_found"),
        (says(413), "too_large"),
        (says(418), "invalid_request"),
        (says(429), "rate_limited"),
        (says(200, b"fine"), "internal"),
        (says(200, '{"type":"x"}'.encode("utf-16")), "internal"),
        (says(200, b"[" * 20_000), "internal"),
        (dies, "internal"),
        (dies_midway, "internal"),
        (in_chunks(b"12345", end=b""), "internal"),
    ],
)
def test_a_failure_is_an_error_frame_without_the_backends_words(
    behave: Behave, code: str, client: Client, against: Callable[..., Scripted]
) -> None:
    against(behave)
    client.says('{"id":"frame-1"}')
    assert client.errors == [code]
    told = json.loads(client.frames[0])
    assert told["id"] == "frame-1"
    assert "Traceback" not in client.frames[0].decode()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("behave", [hangs, trickles])
def test_a_backend_that_is_late_is_an_error_frame_in_time(
    behave: Behave, client: Client, against: Callable[..., Scripted]
) -> None:
    backend = against(behave)
    client.says('{"id":"late"}')
    assert client.errors == ["internal"]
    assert b"did not answer in time" in client.frames[0]
    assert len(backend.took) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_request"),
        ("{", "invalid_request"),
        ("[]", "invalid_request"),
        ("null", "invalid_request"),
        ('{"a":NaN}', "invalid_request"),
        ('{"a":"\\u0000"}', "invalid_request"),
        ('{"a":"\\ud800"}', "invalid_request"),
        ('{"a":' + "[" * 40 + "]" * 40 + "}", "invalid_request"),
        ('{"a":"' + "é" * 16_384 + '"}', "too_large"),
    ],
    ids=lambda text: text[:12],
)
def test_a_text_that_is_no_frame_never_reaches_the_backend(
    text: str, code: str, client: Client, against: Callable[..., Scripted]
) -> None:
    backend = against(says(204))
    client.says(text)
    assert client.errors == [code]
    assert backend.took == []


def test_a_binary_frame_is_refused(client: Client, against: Callable[..., Scripted]) -> None:
    backend = against(says(204))
    client.says("e30=", isBase64Encoded=True)
    assert client.errors == ["invalid_request"]
    assert b"not binary" in client.frames[0]
    assert backend.took == []


# --- trying again --------------------------------------------------------------------------------------------------


def test_a_503_is_tried_twice_more_with_the_same_event(client: Client, against: Callable[..., Scripted]) -> None:
    backend = against(says(503), says(503), says(200, b'{"type":"ok"}'))
    client.says("{}")
    assert client.frames == [b'{"type":"ok"}']
    assert len(backend.took) == 3
    assert len({took.headers["x-navietakie-signature"] for took in backend.took}) == 1


def test_a_503_is_tried_no_more_than_twice(client: Client, against: Callable[..., Scripted]) -> None:
    backend = against(says(503))
    client.says("{}")
    assert client.errors == ["unavailable"]
    assert len(backend.took) == 3


@pytest.mark.parametrize("behave", [says(500), says(502), says(504), says(429), says(307), dies, dies_midway])
def test_a_frame_that_the_backend_may_have_taken_is_not_sent_again(
    behave: Behave, client: Client, against: Callable[..., Scripted]
) -> None:
    backend = against(behave)
    client.says("{}")
    assert len(backend.took) == 1


def test_a_refused_connection_is_tried_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(says(204)) as gone:
        pass
    monkeypatch.setenv("BACKEND_URL", gone.url)
    pauses: list[int] = []
    monkeypatch.setattr(proxy, "_pause", lambda attempt: pauses.append(attempt) or 0.0)
    client.says("{}")
    assert client.errors == ["unavailable"]
    assert pauses == [1, 2]


@pytest.mark.parametrize(
    ("seconds", "log"),
    [
        (0.25, [("ask", 5.0), ("pause", 0.5), ("ask", 4.25), ("pause", 1.0), ("ask", 3.0)]),
        (2.0, [("ask", 5.0), ("pause", 0.5), ("ask", 2.5)]),
        (4.25, [("ask", 5.0), ("pause", 0.5), ("ask", 0.25)]),
        (4.5, [("ask", 5.0)]),  # after the pause no time would be left
        (5.0, [("ask", 5.0)]),
    ],
)
def test_a_client_waits_for_5_seconds_whatever_the_tries_take(
    seconds: float, log: list[tuple[str, float]], client: Client, timed: Timed
) -> None:
    timed.answer, timed.seconds = BackendAnswer(503), seconds
    client.says("{}")
    assert client.errors == ["unavailable"]
    assert timed.log == log


def test_a_disconnect_is_tried_for_4_seconds_each_time(client: Client, timed: Timed) -> None:
    timed.answer = BackendAnswer(failure="timed_out")
    assert client.leaves() == 502
    assert timed.log == [("ask", 4.0), ("pause", 0.5), ("ask", 4.0), ("pause", 1.0), ("ask", 4.0)]


@pytest.mark.parametrize(
    ("drawn", "pauses"), [(lambda low, _: low, [0.15, 0.45]), (lambda _, high: high, [0.3, 0.9])], ids=["least", "most"]
)
def test_the_second_pause_is_three_times_the_first_and_up_to_half_is_chance(
    drawn: Callable[[float, float], float], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", drawn)
    assert [proxy._pause(attempt) for attempt in (1, 2)] == pytest.approx(pauses)


@pytest.mark.parametrize("behave", [says(500), says(503), dies])
def test_a_disconnect_that_fails_is_tried_again(
    behave: Behave, client: Client, against: Callable[..., Scripted], capsys: pytest.CaptureFixture[str]
) -> None:
    backend = against(behave, behave, says(204))
    assert client.leaves() == 200
    assert len(backend.took) == 3
    assert "BackendDisconnectsLost" not in metrics(capsys.readouterr().out)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("behave", [says(500), hangs])
def test_a_disconnect_that_is_lost_is_counted(
    behave: Behave, client: Client, against: Callable[..., Scripted], capsys: pytest.CaptureFixture[str]
) -> None:
    backend = against(behave)
    assert client.leaves() == 502
    assert len(backend.took) == 3
    counted = metrics(capsys.readouterr().out)
    assert counted.count("BackendDisconnectsLost") == 1
    assert counted.count("BackendFailures") == 3


def test_redirects_are_not_followed(client: Client, against: Callable[..., Scripted]) -> None:
    with serving(says(200, b'{"type":"stolen"}')) as elsewhere:
        against(says(307, location=f"{elsewhere.url}/api/ws/message"))
        client.says("{}")
        assert elsewhere.took == []
    assert client.errors == ["internal"]


# --- the way there -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "backend.example",
        "//backend.example",
        "ftp://backend.example",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://backend.example:port",
        "https://backend.example?x=1",
        "https://backend.example#x",
        "https://user:secret@backend.example",
        "https://@backend.example",
        "https://backend.example:0",
        "https://[::1",
        "http://backend.example",
    ],
)
def test_only_an_https_url_is_accepted_for_the_backend(url: str) -> None:
    with pytest.raises(Refusal, match="BACKEND_URL") as refused:
        Backend.parse(url, private=False)
    assert "secret" not in refused.value.message


def test_http_is_for_private_networks() -> None:
    assert Backend.parse("http://10.0.0.7:9000", private=True) == Backend(urlsplit("http://10.0.0.7:9000"), "")
    assert Backend.parse("https://Backend.example/a/", private=False) == Backend(
        urlsplit("https://backend.example"), "/a"
    )


def test_the_path_to_the_backend_may_be_escaped_already() -> None:
    assert Backend.parse("https://backend.example/a%20b/ż c/", private=False).path == "/a%20b/%C5%BC%20c"


def test_a_host_name_may_have_letters_of_every_script() -> None:
    assert Backend.parse("https://żółw.example", private=False).url.netloc == "xn--w-uga1v8h.example"


@pytest.mark.parametrize(
    ("environment", "in_vpc", "allowed"),
    [("local", "", True), ("production", "true", True), ("production", "", False), ("staging", "false", False)],
)
def test_a_deployed_proxy_speaks_http_inside_a_vpc_alone(
    environment: str,
    in_vpc: str,
    allowed: bool,
    client: Client,
    against: Callable[..., Scripted],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = against(says(204))
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("IN_VPC", in_vpc)
    client.says("{}")
    assert (len(backend.took) == 1) is allowed
    assert client.errors == ([] if allowed else ["internal"])


def _certificate(folder: Path, address: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context with a self-signed certificate for an IP address, and the file with which to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, both = folder / "trusted.pem", folder / "server.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both.write_bytes(private + trusted.read_bytes())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(both)
    return server, trusted


@pytest.mark.parametrize(
    ("address", "trusting", "reached"),
    [("127.0.0.1", True, True), ("127.0.0.1", False, False), ("10.1.2.3", True, False)],
)
def test_https_is_verified(
    address: str, trusting: bool, reached: bool, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, trusted = _certificate(tmp_path, address)
    if trusting:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    warm.forget()
    with serving(says(200, b'{"type":"safe"}'), tls=server) as backend:
        monkeypatch.setenv("BACKEND_URL", backend.url)
        client.says("{}")
        assert (len(backend.took) == 1) is reached
    warm.forget()
    assert client.frames == [b'{"type":"safe"}'] if reached else client.errors == ["internal"]


@pytest.mark.parametrize("body", [b"NaN", b'{"a":NaN}', b"[-Infinity]"])
def test_a_number_that_json_does_not_have_is_no_frame(
    client: Client, against: Callable[..., Scripted], body: bytes
) -> None:
    against(says(200, body))
    client.says("{}")
    assert client.errors == ["internal"]


def test_no_frame_and_no_answer_is_in_a_log(
    client: Client,
    against: Callable[..., Scripted],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger.handlers[0], "stream", log)
    against(says(200), says(500, b"backend-words"), dies, says(200, b"not json: answer-words"))
    client.connects({"booking_id": "ride-1", "token": "query-token", "note": "query-words"})
    for _ in range(3):
        client.says('{"message":"frame-words"}')
    client.leaves()
    printed = log.getvalue() + "".join(capsys.readouterr())
    assert "ride-1" in printed
    assert printed.count('"served"') == 5
    for words in ("query-token", "query-words", "frame-words", "backend-words", "answer-words"):
        assert words not in printed


def test_the_settings_that_are_missing_are_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BACKEND_URL", raising=False)
    client.says("{}")
    assert "BACKEND_URL" in client.frames[0].decode()
    assert settings.optional("BACKEND_URL") == ""
