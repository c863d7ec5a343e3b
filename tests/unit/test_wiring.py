"""What the functions make of their settings, and what they have ready before the first request."""

import importlib.util
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import get_message.app
import make_call.app
import send_message.app
import send_message.wiring
import websocket.app
from navietakie import warm
from navietakie.aws import publishing
from navietakie.aws.timers import timers
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors import identity, requests

SETTINGS = (
    *("RING_TIMEOUT_SECONDS", "CALL_RATE", "CALL_BURST", "MESSAGE_RATE", "MESSAGE_BURST", "MAX_ATTACHMENT_BYTES"),
    *("RETENTION_DAYS", "BACKEND_URL"),
)


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("app", "made"),
    [
        (get_message.app, {requests.ready, identity.ready}),
        (make_call.app, {requests.ready, identity.ready, timers, publishing.ready}),
        (send_message.app, {send_message.wiring.ready, identity.ready}),
        (websocket.app, {"ready", identity.ready}),
    ],
)
def test_a_start_makes_what_every_request_needs(app: Any, made: set[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ready: list[Callable[[], Any]] = []
    monkeypatch.setattr(warm, "ready", lambda *make: ready.extend(make))
    spec = importlib.util.spec_from_file_location("loaded_again", app.__file__)
    assert spec
    assert spec.loader
    spec.loader.exec_module(again := importlib.util.module_from_spec(spec))
    assert {*ready} == {getattr(again, it) if isinstance(it, str) else it for it in made}


def test_send_message_has_its_requests_and_its_events_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(requests, "ready", lambda: made.append("requests"))
    monkeypatch.setattr(publishing, "ready", lambda: made.append("events"))
    send_message.wiring.ready()
    assert made == ["requests", "events"]


@pytest.mark.parametrize(("backend", "made"), [("", "requests"), ("https://backend.example.com", "proxy")])
def test_websocket_has_its_requests_ready_or_those_to_the_backend(
    backend: str, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from websocket import proxy

    found: list[str] = []
    monkeypatch.setattr(requests, "ready", lambda: found.append("requests"))
    monkeypatch.setattr(proxy, "ready", lambda: found.append("proxy"))
    monkeypatch.setenv("BACKEND_URL", backend)
    websocket.app.ready()
    assert found == [made]


@pytest.fixture
def no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        *((make_call.app, name) for name in ("calls", "messages", "connections")),
        (send_message.wiring, "messages"),
    ):
        monkeypatch.setattr(module, name, lambda: None)


@pytest.mark.usefixtures("no_tables")
@pytest.mark.parametrize(("setting", "seconds"), [("", 45), ("30", 30), ("5", 5), ("4", 5), ("180", 180), ("181", 180)])
def test_a_call_rings_as_long_as_is_set_within_bounds(
    setting: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RING_TIMEOUT_SECONDS", setting)
    assert make_call.app.calling(any_broadcast()).ring_seconds == seconds


@pytest.mark.usefixtures("no_tables")
def test_a_side_begins_six_calls_a_minute_and_three_at_once_unless_it_is_set_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert make_call.app.calling(any_broadcast()).call_rate == RateLimit(0.1, 3, "calls")
    monkeypatch.setenv("CALL_RATE", "30")
    monkeypatch.setenv("CALL_BURST", "7")
    assert make_call.app.calling(any_broadcast()).call_rate == RateLimit(0.5, 7, "calls")


@pytest.mark.usefixtures("no_tables")
def test_all_calls_of_a_container_share_what_is_left_of_repeats_and_look_up_with_their_broadcast() -> None:
    broadcast = any_broadcast()
    service = make_call.app.calling(broadcast)
    assert service.repeats is make_call.app.repeats
    assert service.gather == broadcast.gather


def test_a_side_writes_five_messages_a_second_and_twenty_at_once_unless_it_is_set_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert send_message.wiring.rate_limit() == RateLimit(5, 20)
    monkeypatch.setenv("MESSAGE_RATE", "0.5")
    monkeypatch.setenv("MESSAGE_BURST", "7")
    assert send_message.wiring.rate_limit() == RateLimit(0.5, 7)


@pytest.mark.usefixtures("no_tables")
def test_what_is_stored_is_kept_for_ninety_days_unless_it_is_set_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_call.app.calling(any_broadcast()).retention_days == 90
    assert send_message.wiring.sending(any_broadcast()).retention_days == 90
    assert send_message.wiring.redacting(any_broadcast()).retention_days == 90
    monkeypatch.setenv("RETENTION_DAYS", "7")
    assert make_call.app.calling(any_broadcast()).retention_days == 7
    assert send_message.wiring.sending(any_broadcast()).retention_days == 7
    assert send_message.wiring.redacting(any_broadcast()).retention_days == 7


@pytest.mark.parametrize(("setting", "masks"), [("", False), ("off", False), ("on", True)])
def test_contacts_are_masked_where_that_is_switched_on(
    setting: str, masks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASK_CONTACTS", setting)
    monkeypatch.delenv("MESSAGE_HOOK_ARN", raising=False)
    mask, screen = send_message.wiring.before_storing()
    assert (mask is not None, screen) == (masks, None)


def test_an_attachment_has_ten_megabytes_at_most_unless_it_is_set_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert send_message.wiring.attaching().most_bytes == 10_485_760
    monkeypatch.setenv("MAX_ATTACHMENT_BYTES", "99")
    assert send_message.wiring.attaching().most_bytes == 99


@pytest.mark.usefixtures("no_tables")
@pytest.mark.parametrize(("deadline", "until"), [(1_001.0, 1_001.0), (1_002.0, 1_002.0), (1_010.0, 1_002.0)])
@pytest.mark.parametrize("again", [True, False])
def test_a_timer_may_try_for_two_seconds_within_its_invocation(
    deadline: float, until: float, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []

    class Timing:
        def __init__(self, *services: Any) -> None:
            pass

        def on(self, timer: Any, deadline: float, *, again: bool) -> None:
            tried.append((timer, deadline, again))

    monkeypatch.setattr(make_call.app, "Timing", Timing)
    monkeypatch.setattr(requests, "broadcast", lambda event: any_broadcast())
    monkeypatch.setattr(make_call.app.time, "monotonic", lambda: 1_000.0)
    timer = {"kind": "ring", "booking_code": "ride-1", "call_id": "c1"}
    make_call.app.on_timer(timer, again, deadline)
    assert tried == [(timer, until, again)]


def any_broadcast() -> Any:
    return SimpleNamespace(gather=None, poster=None)


DOORS: list[tuple[Any, dict[str, Any]]] = [
    (
        get_message.app,
        {
            "rest": {"GET /api/v1/get_message", "GET /api/v1/attachment"},
            "socket": {"sync"},
            "direct": {"get_message"},
            "repeatable": {"sender", "message_type"},
        },
    ),
    (
        make_call.app,
        {
            "rest": {"POST /api/v1/make_call", "GET /api/v1/calls"},
            "socket": {"call", "signal"},
            "direct": {"make_call"},
            "queue": make_call.app.on_timer,
        },
    ),
    (
        send_message.app,
        {
            "rest": {"POST /api/v1/send_message"},
            "socket": {"message", "redact", "attach", "delivered", "read"},
            "direct": {"send_message"},
            "stream": send_message.app.on_changes,
        },
    ),
    (websocket.app, {"lifecycle": {"$connect", "$disconnect"}, "socket": {"typing", "away", "ping"}}),
]


@pytest.mark.parametrize(("app", "doors"), DOORS, ids=lambda it: getattr(it, "__name__", ""))
def test_a_function_has_these_doors_and_a_budget(
    app: Any, doors: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[dict[str, Any]] = []
    monkeypatch.setattr(app, "serve", lambda event, context, **how: served.append(how))
    app.handler({}, None)
    (given,) = served
    assert given.pop("budget") is app.budget
    assert {name: it if callable(it) else {*it} for name, it in given.items()} == doors


def test_a_page_is_read_only_for_whom_the_rights_allow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(get_message.app, "messages", lambda: None)
    monkeypatch.setattr(get_message.app.History, "page", lambda self, code, query, **how: asked.append(how))
    request = requests.Request({"booking_code": "ride-1"}, 5, 7.0, {})
    get_message.app.get(request)
    assert asked == [{"now": 5, "deadline": 7.0, "allowed": request.check_rights}]


@pytest.mark.usefixtures("no_tables")
@pytest.mark.parametrize(("setting", "limit"), [("", 10), ("3", 3)])
def test_who_connects_takes_from_the_budget_and_may_have_ten_connections_unless_it_is_set_otherwise(
    setting: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[tuple[Any, ...]] = []
    taken: list[tuple[Any, ...]] = []

    class Attendance:
        def __init__(self, *_: Any) -> None:
            pass

        def join(self, joining: Any, now: int, messages: Any, limit: int) -> None:
            joined.append((joining.connection_id, now, limit))

    for name in ("connections", "messages"):
        monkeypatch.setattr(websocket.app, name, lambda: None)
    monkeypatch.setattr(websocket.app, "Attendance", Attendance)
    monkeypatch.setattr(requests, "broadcast", lambda event: any_broadcast())
    monkeypatch.setattr(websocket.app.budget, "take", lambda *of: taken.append(of), raising=False)
    monkeypatch.setenv("ALLOWED_ORIGINS", "*")
    monkeypatch.setenv("AUTH_MODE", "none")
    monkeypatch.setenv("ENVIRONMENT", "local")
    monkeypatch.setenv("CONNECTIONS_PER_SIDE", setting)
    query = {"booking_code": "ride-1", "sender": "driver"}
    event: Any = {"requestContext": {"connectionId": "c1"}, "queryStringParameters": query}
    assert websocket.app.on_connect(event, 5)["statusCode"] == 200
    assert joined == [("c1", 5, limit)]
    assert taken == [("$connect", query, "ride-1", "driver", 5)]
