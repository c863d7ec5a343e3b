"""One invocation: which door it comes through, how long it may take, and what is logged of it."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from navietakie.doors import serve as module
from navietakie.doors.requests import Request
from navietakie.doors.serve import serve
from tests.fakes import invocations

ASKED = {"httpMethod": "POST", "resource": "/a", "path": "/a", "body": "{}"}


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "local")
    monkeypatch.setenv("AUTH_MODE", "none")


class Clock:
    """The monotonic clock, and a route that takes some time by it."""

    def __init__(self, takes: float = 0.0) -> None:
        self.now = 100.0
        self._takes = takes
        self.asked: list[Request] = []

    def handle(self, request: Request) -> Any:
        self.asked.append(request)
        self.now += self._takes
        return 200, {}


@pytest.mark.parametrize(
    ("left_ms", "seconds"),
    [(30_000, 10), (12_000, 10), (11_000, 9), (5_000, 3), (2_500, 0.5), (2_000, 0.5), (0, 0.5), (None, 10)],
)
def test_a_request_goes_on_for_ten_seconds_or_until_two_before_the_functions_time_is_up_but_half_a_second_at_least(
    monkeypatch: pytest.MonkeyPatch, left_ms: int | None, seconds: float
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    context = SimpleNamespace() if left_ms is None else SimpleNamespace(get_remaining_time_in_millis=lambda: left_ms)
    serve(ASKED, context, rest={"POST /a": clock.handle})
    assert [it.deadline - 100 for it in clock.asked] == [seconds]


@pytest.mark.parametrize(
    ("of_event", "of_context", "told"),
    [("event", "context", "event"), (None, "context", "context"), ("event", None, "event"), (None, None, "none")],
)
def test_a_request_has_the_id_that_the_gateway_gave_it_or_else_lambda(
    of_event: str | None, of_context: str | None, told: str
) -> None:
    event = {**ASKED, "requestContext": {"requestId": of_event} if of_event else {}}
    context = SimpleNamespace(aws_request_id=of_context) if of_context else SimpleNamespace()
    assert serve(event, context, rest={"POST /a": Clock().handle})["headers"]["x-request-id"] == told


def test_behind_a_greedy_resource_the_path_counts() -> None:
    event = {**ASKED, "resource": "/{proxy+}"}
    assert serve(event, invocations.Context(), rest={"POST /a": Clock().handle})["statusCode"] == 200
    assert serve(event, invocations.Context())["statusCode"] == 404


def test_a_batch_of_a_stream_goes_to_the_function_that_takes_one() -> None:
    changes, taken = [{"eventSource": "aws:dynamodb"}], list[Any]()
    event = {"Records": changes}
    assert serve(event, invocations.Context(), stream=lambda *what: taken.append(what[0])) is None
    assert taken == [changes]
    assert serve(event, invocations.Context())["body"]["error"]["code"] == "invalid_request"


def test_a_batch_of_a_queue_goes_to_the_function_that_takes_one() -> None:
    event, taken = invocations.timers({"kind": "ring"}), list[Any]()
    answer = serve(event, invocations.Context(), queue=lambda *what: taken.append(what[0]))
    assert (answer, taken) == ({"batchItemFailures": []}, [{"kind": "ring"}])
    assert serve(event, invocations.Context())["body"]["error"]["code"] == "invalid_request"


def test_the_log_says_what_an_invocation_was_how_it_ended_and_after_how_many_milliseconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, logged = Clock(takes=1.2345678), list[Any]()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(module.logger, "info", lambda what, extra: logged.append((what, extra)))
    serve(ASKED, invocations.Context(), rest={"POST /a": clock.handle})
    assert logged == [("served", {"route": "POST /a", "outcome": "200", "elapsed_ms": 1_234.6})]
