"""What the session makes of its time-outs, its connections and an answer's body; its contract is tested on sockets."""

import ssl
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import EndpointConnectionError

from navietakie.aws import http_session
from navietakie.aws.http_session import HttpSession
from navietakie.wire.exchange import HttpResponse


class Endpoints:
    """Endpoints that were made, how long an answer is waited for, and whose connections were closed."""

    def __init__(self) -> None:
        self.made: list[tuple[str, int]] = []
        self.waited: list[tuple[float, float | None]] = []
        self.closed: list[str] = []
        self.failure: OSError | None = None

    def endpoint_of(self, url: Any, trust: Any, limit: int) -> Any:
        self.made.append((url.geturl(), limit))
        endpoints = self

        class Endpoint:
            established = False

            def connection(self) -> Any:
                return self

            def close_idle(self) -> None:
                endpoints.closed.append(url.netloc)

        return Endpoint()

    def answer_to(self, content: bytes, connection: Any, connect: float, read: float | None) -> HttpResponse:
        self.waited.append((connect, read))
        if self.failure:
            raise self.failure
        return HttpResponse(200, b"", b"abcde", whole=True)


@pytest.fixture
def endpoints(monkeypatch: pytest.MonkeyPatch) -> Endpoints:
    it = Endpoints()
    monkeypatch.setattr(http_session, "endpoint_of", it.endpoint_of)
    monkeypatch.setattr(http_session, "answer_to", it.answer_to)
    return it


def session(**how: Any) -> HttpSession:
    return HttpSession(connect_timeout=1, read_timeout=3, trust=ssl.create_default_context, **how)


def ask(session: HttpSession, host: str = "one.example") -> Any:
    return session.send(AWSRequest(method="POST", url=f"https://{host}/", data=b"{}", headers={}).prepare())


@pytest.mark.parametrize(("how", "waited"), [({}, (1, 3)), ({"in_all": False}, (1, 3)), ({"in_all": True}, (3, None))])
def test_the_time_outs_are_for_connecting_and_the_answer_or_for_both_together(
    how: dict[str, Any], waited: Any, endpoints: Endpoints
) -> None:
    ask(session(**how))
    assert endpoints.waited == [waited]


def test_each_host_has_one_endpoint_whose_answers_have_32_megabytes_at_most(endpoints: Endpoints) -> None:
    asking = session()
    for host in ("one.example", "other.example", "one.example"):
        ask(asking, host)
    assert endpoints.made == [("https://one.example", 33_554_432), ("https://other.example", 33_554_432)]


def test_after_a_failure_no_kept_connection_is_used_again(endpoints: Endpoints) -> None:
    asking = session()
    ask(asking)
    assert endpoints.closed == []
    endpoints.failure = ConnectionRefusedError()
    with pytest.raises(EndpointConnectionError):
        ask(asking)
    assert endpoints.closed == ["one.example"]


def test_closing_closes_the_kept_connections_to_all_hosts(endpoints: Endpoints) -> None:
    asking = session()
    for host in ("one.example", "other.example"):
        ask(asking, host)
    asking.close()
    assert endpoints.closed == ["one.example", "other.example"]


def test_a_body_can_be_read_in_parts_and_at_once(endpoints: Endpoints) -> None:
    raw = ask(session()).raw
    assert (raw.read(2), raw.read(), raw.read()) == (b"ab", b"cde", b"")
    assert list(ask(session()).raw.stream()) == [b"abcde"]
