"""The guard of the embedded AWS: it checks who asks before a request reaches the emulator.

The emulator believes everybody who claims to be root, and runs their code. And every web page and every user of this
machine can reach a loopback port. So the guard stands in front of the emulator's application, in the same process and
on its only port. It lets three kinds of requests through:

- those signed with the key of this start (AWS Signature Version 4): the project's own tools, as root;
- those that a function has signed with the credentials of its role: the emulator enforces the role's policy;
- those of the front door, which sends a key of its own in a header: to the APIs' stages, and to S3 with a form or URL
  that a function has signed.

It refuses everything else, and every request of a browser: one with an `Origin` or `Sec-Fetch-Site`, and one for
another name than this machine's (`Host`).

`Guard._admitted` checks the front door's key; without that key, host, headers, key id and signature (`verify`). It
reads the body for the signature, and then passes it on (`again`). It removes the emulator's CORS headers from answers,
because they would let every web page read them.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from local.access import Access

type Message = dict[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Application = Callable[[Message, Receive, Send], Awaitable[None]]

FRONT_DOOR = "x-navietakie-front-door"
STAGES = "/_aws/execute-api/"
CONTAINERS = "host.docker.internal"
"""What a container calls the machine it runs on."""

SKEW = timedelta(minutes=15)
LONGEST = 7 * 24 * 3600
"""The longest time that a presigned URL may be valid, in seconds, as on AWS."""
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)
NOT_SIGNED = {"UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
FORM = re.compile(r"/[^/]+/?")
"""The path where S3 takes a form: the bucket's."""


class Refused(Exception):
    """The request is refused. The text says why."""


@dataclass(frozen=True)
class Credential:
    """A key whose signature is accepted. `token` is the session token of temporary credentials."""

    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Request:
    """The checked parts of an HTTP request. `path` and `query` are as sent; repeated headers are joined by commas."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, scope: Message) -> "Request":
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            headers[key] = f"{headers[key]},{text}" if key in headers else text
        path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
        return cls(scope.get("method", "GET"), path, scope["query_string"].decode("latin-1"), headers)

    def parameters(self) -> list[tuple[str, str]]:
        """The decoded parameters of the query, in their order."""
        pairs = [each.partition("=") for each in self.query.split("&") if each]
        return [(unquote(name, "latin-1"), unquote(value, "latin-1")) for name, _, value in pairs]


class Guard:
    """An ASGI application in front of another. `roles` has the functions' credentials, by key id."""

    def __init__(self, application: Application, access: Access, roles: Mapping[str, Credential]) -> None:
        self._application = application
        self._access = access
        self._roles = roles
        port = urlsplit(access.endpoint).port
        self._own = f"127.0.0.1:{port}"
        self._hosts = {self._own, f"localhost:{port}", f"{CONTAINERS}:{port}"}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        request = Request.of(scope)
        try:
            scope, receive, send = await self._admitted(scope, request, receive, send)
        except Refused as reason:
            await refuse(scope["type"], request, str(reason), send)
            return
        await self._application(scope, receive, send)

    async def _admitted(
        self, scope: Message, request: Request, receive: Receive, send: Send
    ) -> tuple[Message, Receive, Send]:
        """The request as the emulator will get it. Raises Refused."""
        if (shown := request.headers.get(FRONT_DOOR)) is not None:
            if not hmac.compare_digest(shown.encode("latin-1"), self._access.front_door.encode()):
                raise Refused("That is not the front door's key")
            self._check_front_door(scope["type"], request)
            return without(scope, FRONT_DOOR), receive, send
        if request.headers.get("host", "").lower() not in self._hosts:
            raise Refused("Host is not this machine's own name")
        for name in ("origin", "sec-fetch-site"):
            if name in request.headers:
                raise Refused(f"It comes from a web page ({name})")
        if scope["type"] == "websocket":
            raise Refused("WebSockets come through the front door")
        key_id = key_named(request)
        credential = self._credential(key_id)
        path = unquote(request.path)
        if credential.token is not None and path.startswith("/_") and not path.startswith(STAGES):
            raise Refused("Functions have no business with the emulator itself")
        body = await read(receive)
        verify(request, credential, body, datetime.now(UTC))
        if key_id == self._access.key_id:
            # The emulator may not know the name by which the request came.
            scope = without(scope, "host")
            scope["headers"].append((b"host", self._own.encode()))
        return scope, again(body, receive), without_cors(send)

    def _credential(self, key_id: str) -> Credential:
        """The credential with this id. Raises Refused if there is none."""
        if hmac.compare_digest(key_id.encode(), self._access.key_id.encode()):
            return Credential(self._access.secret)
        if (role := self._roles.get(key_id)) is None:
            raise Refused("The key is none of this start's (.local/aws.ini has that)")
        return role

    def _check_front_door(self, kind: str, request: Request) -> None:
        """Raises Refused if the front door may not ask for this."""
        if unquote(request.path).startswith(STAGES):
            if "/@connections" in unquote(request.path):
                raise Refused("Only functions post to connections")
            if claims_signature(request):
                raise Refused("The APIs take no AWS signature")
        elif kind == "websocket":
            raise Refused("There is no WebSocket there")
        elif request.method in ("GET", "HEAD"):
            verify(request, self._credential(key_named(request, presigned=True)), b"", datetime.now(UTC))
        elif not (
            request.method == "POST"
            and FORM.fullmatch(request.path)
            and not request.query
            and request.headers.get("content-type", "").lower().startswith("multipart/form-data")
            and "authorization" not in request.headers
        ):
            raise Refused("S3 takes presigned GETs and signed forms there")


def claims_signature(request: Request) -> bool:
    """Whether a request claims to be signed."""
    names = {name.lower() for name, _ in request.parameters()}
    return request.headers.get("authorization", "").upper().startswith("AWS") or not names.isdisjoint(
        ("x-amz-credential", "x-amz-algorithm", "x-amz-signature", "awsaccesskeyid")
    )


def key_named(request: Request, *, presigned: bool = False) -> str:
    """The key id that a request claims to be signed with. Raises Refused if there is none, or more than one.

    `presigned`: it must be in the query, where only S3 takes one.
    """
    in_query = [value for name, value in request.parameters() if name.lower() == "x-amz-credential"]
    authorization = request.headers.get("authorization")
    if any(name.lower() in ("awsaccesskeyid", "signature") for name, _ in request.parameters()):
        raise Refused("The request is not signed as AWS asks for (Signature Version 4)")
    match in_query, AUTHORIZATION.fullmatch(authorization or ""):
        case [], re.Match() as parts if not presigned:
            scope = parts[1]
        case [scope], None if authorization is None:
            if scope.split("/")[3:4] != ["s3"]:
                raise Refused("Only S3 takes a signature in the query")
        case _:
            raise Refused("The request is not signed (AWS Signature Version 4)")
    return scope.split("/")[0]


def verify(request: Request, credential: Credential, body: bytes, now: datetime) -> None:
    """Raises Refused unless the request is signed by `credential`, as AWS Signature Version 4 says, at about `now`."""
    parameters = request.parameters()
    if parts := AUTHORIZATION.fullmatch(request.headers.get("authorization", "")):
        scope, signed, signature = parts.groups()
        date, token = request.headers.get("x-amz-date", ""), request.headers.get("x-amz-security-token")
        seconds = None
    else:
        named = dict(parameters)
        if len(named) != len(parameters):
            raise Refused("A query parameter is there twice")
        scope, signed, signature, date = (
            named.get(f"X-Amz-{each}", "") for each in ("Credential", "SignedHeaders", "Signature", "Date")
        )
        token, seconds = named.get("X-Amz-Security-Token"), named.get("X-Amz-Expires", "")
        if named.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256":
            raise Refused("The algorithm is not AWS4-HMAC-SHA256")
        parameters = [(name, value) for name, value in parameters if name != "X-Amz-Signature"]
    _, day, region, service, end = (scope.split("/") + [""] * 5)[:5]
    if scope.count("/") != 4 or end != "aws4_request" or day != date[:8]:
        raise Refused("The signature's scope is malformed")
    check_time(date, seconds, now)
    if (token or "") != (credential.token or ""):
        raise Refused("The session token is not the one that was issued with this key")
    names = signed.split(";")
    if "host" not in names or names != sorted(names):
        raise Refused("The signature does not cover the host")
    canonical = "\n".join(
        [
            request.method,
            request.path if service == "s3" else quote(normal(request.path), safe="/~"),
            "&".join(f"{name}={value}" for name, value in sorted((quoted(n), quoted(v)) for n, v in parameters)),
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names),
            "",
            signed,
            payload(request, names, body, service, presigned=seconds is not None),
        ]
    )
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    key = f"AWS4{credential.secret}".encode()
    for each in (day, region, service, end):
        key = hmac.new(key, each.encode(), hashlib.sha256).digest()
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope.partition("/")[2], digest])
    if not hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest().encode(), signature.encode()):
        raise Refused("The signature is wrong")


def check_time(date: str, seconds: str | None, now: datetime) -> None:
    """Raises Refused unless a signature of `date` is valid at `now`. `seconds`: how long a presigned one is valid."""
    try:
        at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        life = SKEW if seconds is None else timedelta(seconds=min(int(seconds), LONGEST))
    except ValueError:
        raise Refused("The signature's date is malformed") from None
    if not at - SKEW <= now <= at + life:
        raise Refused("The signature has expired, or is from the future")


def payload(request: Request, signed: list[str], body: bytes, service: str, *, presigned: bool) -> str:
    """The digest of the body that was signed. Raises Refused if the body is a different one."""
    if presigned:
        return "UNSIGNED-PAYLOAD"
    digest = hashlib.sha256(body).hexdigest()
    said = request.headers.get("x-amz-content-sha256", digest)
    if service == "s3" and (said in NOT_SIGNED or said.startswith(STREAMING)) and "x-amz-content-sha256" in signed:
        return said
    if said != digest:
        raise Refused("The body is not the one that was signed")
    return digest


def quoted(text: str) -> str:
    """The text, quoted as in a canonical query."""
    return quote(text, safe="-_.~", encoding="latin-1")


def normal(path: str) -> str:
    """A path without `.`, `..` and empty segments (RFC 3986, section 5.2.4)."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def without(scope: Message, name: str) -> Message:
    """The same scope without one header."""
    return {**scope, "headers": [each for each in scope["headers"] if each[0].lower() != name.encode()]}


async def read(receive: Receive) -> bytes:
    """The whole body."""
    chunks: list[bytes] = []
    while (message := await receive())["type"] == "http.request":
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)
    raise Refused("The client has gone")


def again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that first gives the body, which was already read, and then what comes next."""
    waiting: Iterable[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def received() -> Message:
        for message in waiting:
            return message
        return await receive()

    return received


def without_cors(send: Send) -> Send:
    """The same `send` without the emulator's CORS headers, which would let every web page read the answer."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [each for each in message["headers"] if not each[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": headers}
        await send(message)

    return sent


async def refuse(kind: str, request: Request, reason: str, send: Send) -> None:
    """Answers 403 with the reason, in a form that AWS clients understand."""
    prefix = "websocket.http.response" if kind == "websocket" else "http.response"
    if request.headers.get("content-type", "").startswith(("application/x-amz-json", "application/json")):
        content, body = "application/json", json.dumps({"__type": "AccessDeniedException", "message": reason})
    else:
        error = f"<Error><Code>AccessDenied</Code><Message>{reason}</Message></Error>"
        content, body = (
            "text/xml",
            error if "s3" in signing_scope(request) else f"<ErrorResponse>{error}</ErrorResponse>",
        )
    headers = {"content-type": content, "content-length": str(len(body)), "date": formatdate(usegmt=True)}
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{prefix}.start", "status": 403, "headers": lines})
    await send({"type": f"{prefix}.body", "body": body.encode()})


def signing_scope(request: Request) -> list[str]:
    """The parts of the credential that a request names; empty if it names none."""
    parts = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    return parts[1].split("/") if parts else dict(request.parameters()).get("X-Amz-Credential", "").split("/")
