"""botocore's requests, carried by the exchange that posts use.

urllib3 and http.client take as much CPU for a request of a few hundred bytes as the rest of botocore does, and the
exchange a sixth of it. Models, signatures, retries and errors stay botocore's.
"""

import ssl
from collections.abc import Callable, Iterator
from typing import Any, Final, cast
from urllib.parse import SplitResult, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)

from navietakie.wire.exchange import Endpoint, HttpResponse, answer_to, endpoint_of, host_of

ANSWER_BYTES: Final = 32 * 1024 * 1024
"""No answer of AWS that is read here is longer: a page of DynamoDB holds 1 MB of items."""


class HttpSession:
    """Sends requests as `botocore.httpsession.URLLib3Session` does. Threads may share one. Time-outs in seconds.

    `read_timeout` is for the whole answer, with `in_all` for connecting too. It raises what botocore tries again after.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        read_timeout: float,
        trust: Callable[[], ssl.SSLContext],
        in_all: bool = False,
    ) -> None:
        self._connect_timeout = read_timeout if in_all else connect_timeout
        self._read_timeout = None if in_all else read_timeout
        self._trust = trust
        self._endpoints: dict[tuple[str, str], Endpoint] = {}

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """The answer to `request`, whatever its status. Raises what botocore raises where there is none."""
        url = urlsplit(str(request.url))
        endpoint = self._endpoint(url.scheme, url.netloc)
        connection = endpoint.connection()
        try:
            answer = answer_to(_content(request, url), connection, self._connect_timeout, self._read_timeout)
            if not answer.whole:
                raise ConnectionResetError("closed before the end of its answer")
        except OSError as error:
            # It is not sent again here, not even after a kept connection: AWS may have acted on the request, and
            # whoever called botocore has to learn that there was more than one try.
            endpoint.close_idle()  # they are no younger than this one
            raise _kind(error, connection.established)(endpoint_url=request.url, error=error) from error
        return AWSResponse(str(request.url), answer.status, _headers(answer), _Body(answer.body))

    def close(self) -> None:
        """Closes the connections that are kept."""
        for endpoint in self._endpoints.values():
            endpoint.close_idle()

    def _endpoint(self, scheme: str, netloc: str) -> Endpoint:
        if (known := self._endpoints.get((scheme, netloc))) is not None:
            return known
        endpoint = endpoint_of(urlsplit(f"{scheme}://{netloc}"), self._trust, ANSWER_BYTES)
        return self._endpoints.setdefault((scheme, netloc), endpoint)


class _Body:
    """An answer's body as botocore reads it: at once, or what streams (what a Lambda function returned) by `read`."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, amt: int | None = None) -> bytes:
        part, self._content = self._content[:amt], b"" if amt is None else self._content[amt:]
        return part

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content


def _content(request: AWSPreparedRequest, url: SplitResult) -> bytes:
    """The request as it goes over the wire. Its host is the one that was signed: without a usual port."""
    target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    lines = [f"{request.method} {target} HTTP/1.1"]
    if "host" not in request.headers:
        lines.append(f"host: {host_of(url)}")
    for name, value in request.headers.items():
        lines.append(f"{name}: {value.decode('latin-1') if isinstance(value, bytes) else value}")
    body = cast(str | bytes, request.body or b"")  # nothing here sends files
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body.encode() if isinstance(body, str) else body)


def _kind(error: OSError, opened: bool) -> type[BotoCoreError]:
    if isinstance(error, TimeoutError):
        return ReadTimeoutError if opened else ConnectTimeoutError
    if isinstance(error, ssl.SSLError):
        return SSLError
    return ConnectionClosedError if opened else EndpointConnectionError


def _headers(answer: HttpResponse) -> Any:  # botocore takes any mapping, its types want urllib3's
    lines = (line.partition(":") for line in answer.fields.decode("latin-1").splitlines())
    return {name: value.strip() for name, _, value in lines}
