"""The guard in front of the embedded AWS: which requests reach the emulator, and which do not."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local import guard
from local.access import Access
from local.guard import FRONT_DOOR, Credential, Guard, Message

ENDPOINT = "http://127.0.0.1:20316"
ACCESS = Access.new(ENDPOINT)
ROLE = Credential("the role's secret", "the role's token")
ROOT = Credentials(ACCESS.key_id, ACCESS.secret)
FUNCTION = Credentials("ASIAROLE", ROLE.secret, ROLE.token)
STAGE = "/_aws/execute-api/api1/local"

type Headers = dict[str, str]


def asked(
    method: str,
    url: str,
    headers: Headers,
    body: bytes = b"",
    kind: str = "http",
    answer: tuple[tuple[bytes, bytes], ...] = (),
) -> tuple[int, Message | None, Headers]:
    """Sends a request to a guard. Returns the status, what the emulator got (or None), and the answer's headers."""
    seen: list[Message] = []
    sent: list[Message] = []

    async def emulator(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        got = b""
        while kind == "http" and (message := await receive())["type"] == "http.request":
            got += message["body"]
            if not message.get("more_body"):
                break
        seen.append({**scope, "body": got})
        await send({"type": "http.response.start", "status": 200, "headers": list(answer)})

    async def send(message: Message) -> None:
        sent.append(message)

    chunks = [(body[:3], True), (body[3:], False)]
    waiting = [{"type": "http.request", "body": chunk, "more_body": more} for chunk, more in chunks]

    async def receive() -> Message:
        return waiting.pop(0)

    parts = urlsplit(url)
    scope = {
        "type": kind,
        "method": method,
        "path": guard.unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [
            (name.lower().encode(), value.encode()) for name, value in {"host": parts.netloc, **headers}.items()
        ],
    }
    asyncio.run(Guard(emulator, ACCESS, {"ASIAROLE": ROLE})(scope, receive, send))
    got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], seen[0] if seen else None, got


def signed(
    method: str,
    url: str,
    body: bytes = b"",
    by: Credentials = ROOT,
    service: str = "dynamodb",
    headers: Headers | None = None,
) -> Headers:
    """The headers with which botocore signs a request."""
    request = AWSRequest(method, url, headers or {}, body)
    (S3SigV4Auth if service == "s3" else SigV4Auth)(by, service, "us-east-1").add_auth(request)
    return dict(request.headers.items())


@pytest.mark.parametrize("by", [ROOT, FUNCTION], ids=["root", "function"])
@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("POST", "/", "dynamodb"),
        ("POST", f"{STAGE}/@connections/a%3D%2Fb%3D", "execute-api"),
        ("GET", "/2015-03-31/functions/a:b/../c//d?b=%2F&a=1&a=0&empty=", "lambda"),
        ("PUT", "/bucket/a%20key/../with%C3%BC/~dots?x-id=PutObject", "s3"),
    ],
)
def test_a_signed_request_reaches_the_emulator_unchanged(by: Credentials, method: str, path: str, service: str) -> None:
    body = b'{"a": "\xc3\xbc"}'
    headers = signed(
        method, ENDPOINT + path, body, by, service, {"content-type": "text/plain;  a=b", "x-amz-meta": "ü"}
    )
    status, seen, _ = asked(method, ENDPOINT + path, headers, body)
    assert (status, seen and seen["body"]) == (200, body)
    assert seen is not None
    assert seen["raw_path"].decode() == path.partition("?")[0]


def test_a_container_may_use_dockers_name_for_this_machine() -> None:
    url = "http://host.docker.internal:20316/"
    status, seen, _ = asked("POST", url, signed("POST", url, b"{}"), b"{}")
    assert status == 200
    assert seen is not None
    assert (b"host", b"127.0.0.1:20316") in seen["headers"]
    assert len([name for name, _ in seen["headers"] if name == b"host"]) == 1


OTHER_KEYS = [
    Credentials("test", "test"),
    Credentials("000000000000", "test"),
    Credentials("ASIAROLE", "test", ROLE.token),
    Credentials("ASIAROLE", ROLE.secret),
    Credentials("ASIAROLE", ROLE.secret, "another token"),
    Credentials("ASIAROLE", ROLE.secret, ""),
    Credentials(ACCESS.key_id, "test"),
    Credentials(ACCESS.key_id, ACCESS.secret, "a token"),
    Credentials("ASIAROLE", ACCESS.secret, ROLE.token),
    Credentials(ACCESS.key_id, ROLE.secret),
]


@pytest.mark.parametrize("by", OTHER_KEYS, ids=range(len(OTHER_KEYS)))
def test_a_request_signed_with_another_key_is_refused(by: Credentials) -> None:
    for service in ("dynamodb", "s3", "sts"):
        headers = signed("POST", f"{ENDPOINT}/", b"{}", by, service)
        assert asked("POST", f"{ENDPOINT}/", headers, b"{}")[:2] == (403, None)


def test_a_signature_is_valid_for_its_own_request_only() -> None:
    url = f"{ENDPOINT}/path?a=1"
    headers = signed("POST", url, b"{}", headers={"x-amz-target": "DynamoDB.GetItem"})
    assert asked("POST", url, headers, b"{}")[0] == 200
    for other in (
        asked("PUT", url, headers, b"{}"),
        asked("POST", f"{ENDPOINT}/path?a=2", headers, b"{}"),
        asked("POST", f"{ENDPOINT}/other?a=1", headers, b"{}"),
        asked("POST", url, headers, b"[]"),
        asked("POST", url, {**headers, "x-amz-target": "DynamoDB.DeleteTable"}, b"{}"),
        asked("POST", "http://localhost:20316/path?a=1", headers, b"{}"),
        asked("POST", url, {**headers, "x-amz-content-sha256": hashlib.sha256(b"{}").hexdigest()}, b"[]"),
        asked("POST", url, {**headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, b"[]"),
    ):
        assert other[:2] == (403, None)


def test_a_signature_that_does_not_cover_the_host_is_refused() -> None:
    headers = signed("POST", f"{ENDPOINT}/", b"{}")
    headers["Authorization"] = headers["Authorization"].replace("SignedHeaders=host;", "SignedHeaders=")
    assert asked("POST", f"{ENDPOINT}/", headers, b"{}")[:2] == (403, None)


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_signature_that_has_expired_or_is_from_the_future_is_refused(
    minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = signed("POST", f"{ENDPOINT}/", b"{}")

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + timedelta(minutes=minutes)

    monkeypatch.setattr(guard, "datetime", Clock)
    assert asked("POST", f"{ENDPOINT}/", headers, b"{}")[:2] == (403, None)


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request, Signature=00"},
        {"authorization": "AWS test:signature"},
        {"authorization": f"Bearer {ACCESS.secret}"},
        {FRONT_DOOR: ACCESS.secret},
        {FRONT_DOOR: ""},
    ],
    ids=range(6),
)
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/_ministack/health",
        "/_ministack/reset",
        "/2015-03-31/functions/",
        f"{STAGE}/api/v1/get_message",
        f"{STAGE}/@connections/a",
        "/bucket/kept/key",
        "/?Action=CreateRole&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=test/20260101/us-east-1/iam/aws4_request"
        f"&X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature={'0' * 64}",
        "/?AWSAccessKeyId=test&Signature=abc",
    ],
)
def test_an_unsigned_request_is_refused_at_every_path(path: str, forged: Headers) -> None:
    for method in ("GET", "POST", "OPTIONS", "PUT", "HEAD"):
        assert asked(method, ENDPOINT + path, forged)[:2] == (403, None)
    assert asked("GET", ENDPOINT + path, forged, kind="websocket")[:2] == (403, None)


@pytest.mark.parametrize(
    "odd",
    [
        {"host": "evil.example:20316"},
        {"host": "127.0.0.1:8000"},
        {"origin": "http://localhost:8000"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "none"},
    ],
    ids=str,
)
def test_a_browser_is_refused_even_with_the_key(odd: Headers) -> None:
    headers = signed("POST", f"{ENDPOINT}/", b"{}", headers=odd)
    assert asked("POST", f"{ENDPOINT}/", {**headers, **odd}, b"{}")[:2] == (403, None)


def test_no_answer_has_cors_headers_that_let_a_page_read_it() -> None:
    answer = ((b"Access-Control-Allow-Origin", b"*"), (b"access-control-expose-headers", b"*"), (b"etag", b"1"))
    headers = signed("POST", f"{ENDPOINT}/", b"{}")
    assert asked("POST", f"{ENDPOINT}/", headers, b"{}", answer=answer)[2] == {"etag": "1"}
    assert [name for name in asked("POST", f"{ENDPOINT}/", {})[2] if name.startswith("access-control")] == []


def test_a_function_reaches_aws_and_the_connections_but_not_the_emulator_itself() -> None:
    for path, expected in ((f"{STAGE}/@connections/a", 200), ("/_ministack/reset", 403), ("/%5Fministack/reset", 403)):
        headers = signed("POST", ENDPOINT + path, b"{}", FUNCTION)
        assert asked("POST", ENDPOINT + path, headers, b"{}")[0] == expected


def presigned(method: str, url: str, by: Credentials = FUNCTION, service: str = "s3", seconds: int = 900) -> str:
    request = AWSRequest(method, url)
    (S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth)(by, service, "us-east-1", seconds).add_auth(request)
    return request.url or ""


DOOR = {FRONT_DOOR: ACCESS.front_door}


def test_the_front_door_reaches_the_stages_with_what_pages_send_and_without_its_key() -> None:
    sent = {**DOOR, "origin": "http://localhost:8000", "authorization": "Bearer x"}
    for kind in ("http", "websocket"):
        status, seen, _ = asked("GET", f"{ENDPOINT}{STAGE}/api/v1/get_message?booking_code=a", sent, kind=kind)
        assert status == 200
        assert seen is not None
        assert FRONT_DOOR.encode() not in dict(seen["headers"])
        assert dict(seen["headers"])[b"origin"] == b"http://localhost:8000"


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", f"{STAGE}/@connections/a", {}),
        ("POST", f"{STAGE}/%40connections/a", {}),
        ("GET", f"{STAGE}/api?X-Amz-Credential=test/a", {}),
        ("GET", f"{STAGE}/api", {"authorization": "AWS4-HMAC-SHA256 Credential=test/2026/a/b/aws4_request"}),
        ("POST", "/", {}),
        ("GET", "/", {}),
        ("POST", "/_ministack/reset", {}),
        ("GET", "/bucket/kept/key", {}),
        ("PUT", "/bucket/kept/key", {}),
        ("DELETE", "/bucket/kept/key", {}),
        ("POST", "/bucket", {"content-type": "application/xml"}),
        ("POST", "/bucket?delete", {"content-type": "multipart/form-data; boundary=a"}),
        ("POST", "/bucket/key", {"content-type": "multipart/form-data; boundary=a"}),
        ("POST", "/bucket", {"content-type": "multipart/form-data; boundary=a", "authorization": "AWS test:a"}),
    ],
)
def test_the_front_door_reaches_nothing_else(method: str, path: str, headers: Headers) -> None:
    assert asked(method, ENDPOINT + path, {**DOOR, **headers})[:2] == (403, None)


def test_the_front_door_passes_s3_what_a_function_has_signed_for_its_address() -> None:
    url = presigned("GET", "http://localhost:8000/bucket/kept/a%20photo")
    assert asked("GET", url, DOOR)[0] == 200
    for other in (
        asked("GET", url, {}),
        asked("HEAD", url, DOOR),
        asked("GET", url.replace("photo", "phot0"), DOOR),
        asked("GET", url.replace("localhost", "127.0.0.1"), DOOR),
        asked("GET", url + "&X-Amz-Expires=604800", DOOR),
        asked("GET", presigned("GET", "http://localhost:8000/bucket/kept/a", Credentials("test", "test")), DOOR),
        asked("GET", presigned("GET", "http://localhost:8000/bucket/kept/a", service="lambda"), DOOR),
        asked("GET", presigned("GET", "http://localhost:8000/bucket/kept/a", seconds=-1000), DOOR),
    ):
        assert other[:2] == (403, None)
    form = {**DOOR, "content-type": "multipart/form-data; boundary=x"}
    assert asked("POST", "http://localhost:8000/bucket", form, b"--x--")[0] == 200


def test_a_refusal_is_one_that_an_aws_client_reads() -> None:
    _, _, headers = asked("POST", f"{ENDPOINT}/", {"content-type": "application/x-amz-json-1.0"})
    assert headers["content-type"] == "application/json"
    assert asked("POST", f"{ENDPOINT}/", {})[2]["content-type"] == "text/xml"
