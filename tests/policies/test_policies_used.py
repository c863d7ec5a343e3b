"""Each role allows what its function asks for, and each function asks for everything that its role allows.

The tour asks for everything once. At the end of a session, what all other tests have asked for is compared as well.
"""

import http.server
import runpy
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest

import get_message.app
import make_call.app
import send_message.app
import websocket.app
from navietakie.aws.tables.connections import Connection, connections
from navietakie.domain import instants
from tests.fakes import invocations
from tests.fakes.gateway import Gateway, gateway
from tests.fakes.wire import DEAD_LETTERS, SECRET, Wire, restart, wired
from tests.policies import recording
from tests.policies.roles import HOOK, ROLES, TURN_SECRET, excess, granted


class Tour:
    """A booking with tokens, the functions, and a gateway with real HTTP."""

    def __init__(self, wire: Wire, gateway: Gateway, patch: pytest.MonkeyPatch) -> None:
        self.wire = wire
        self.gateway = gateway
        self.patch = patch

    def token(self, role: str) -> str:
        claims = {"sub": f"{role}-1", "booking_code": "test", "role": role, "aud": "navietakie"}
        return jwt.encode({**claims, "exp": int(time.time()) + 600}, SECRET, "HS256")

    def rest(self, handler: Any, name: str, role: str, body: Any = None, query: Any = None) -> Any:
        event = invocations.rest(name, body, query, Authorization=f"Bearer {self.token(role)}")
        answer = handler(event, invocations.Context())
        assert answer["statusCode"] in (200, 201), answer
        return answer

    def frame(self, handler: Any, connection_id: str, **fields: Any) -> None:
        assert handler(invocations.frame(connection_id, fields), invocations.Context()) == {"statusCode": 200}

    def join(self, connection_id: str, sender: Any, gone: bool = False) -> None:
        at = time.time_ns() // 1_000 - 60 * instants.SECOND
        connections().record(Connection(connection_id, "test", sender, instants.to_text(at), 2**40))
        if gone:
            self.gateway.misbehave[connection_id] = lambda: 410

    def send_messages(self) -> None:
        handler = send_message.app.handler
        self.join("driver", "driver")
        self.join("lost", "passenger", gone=True)
        said = {"booking_code": "test", "message": "Hello", "client_message_id": "a"}
        self.rest(handler, "send_message", "driver", said)
        self.rest(handler, "send_message", "driver", said)
        self.rest(handler, "send_message", "passenger", {"booking_code": "test", "read": 1})
        self.frame(handler, "driver", action="message", message="Hi")
        self.frame(handler, "nobody", action="message", message="Hi")
        closed = {"message_type": "system", "message": "Closed", "metadata": {"event": "booking_closed"}}
        self.rest(handler, "send_message", "system", {"booking_code": "test", **closed})

    def send_photos(self) -> None:
        handler = send_message.app.handler
        self.patch.setenv("ATTACHMENTS_BUCKET", "attachments")
        asked = {"booking_code": "test", "attach": {"content_type": "image/jpeg", "bytes": 9}}
        form = invocations.json.loads(self.rest(handler, "send_message", "driver", asked)["body"])
        id = form["attachment"]["id"]
        attached = {"message": "", "metadata": {"attachment": {"id": id}}}
        sent = self.rest(handler, "send_message", "driver", {"booking_code": "test", **attached})
        timestamp = invocations.json.loads(sent["body"])["message"]["timestamp"]
        self.rest(get_message.app.handler, "attachment", "driver", query={"booking_code": "test", "id": id})
        self.rest(handler, "send_message", "driver", {"booking_code": "test", "redact": timestamp})

    def look_before_and_tell_after(self) -> None:
        handler = send_message.app.handler
        self.patch.setenv("MESSAGE_HOOK_ARN", HOOK)
        self.patch.setenv("MESSAGE_EVENTS", "full")
        self.patch.setenv("MESSAGE_EVENTS_TOPIC_ARN", "arn:aws:sns:us-east-1:000000000000:message-events")
        self.patch.setenv("MESSAGE_EVENTS_DEAD_LETTER_QUEUE_URL", DEAD_LETTERS)
        self.rest(handler, "send_message", "driver", {"booking_code": "test", "message": "Hello"})
        broken = {"booking_code": {"S": "test"}, "timestamp": {"S": "2026"}}
        stored = invocations.sample("stream-stored")["Records"][0]["dynamodb"]["NewImage"]
        assert handler(invocations.changes(broken, stored), invocations.Context()) is None
        assert (len(self.wire.told), len(self.wire.letters)) == (1, 1)

    def make_calls(self) -> None:
        handler = make_call.app.handler
        self.patch.setenv("TURN_SECRET_ARN", TURN_SECRET)
        self.patch.setenv("ICE_SERVERS", '[{"urls": "turn:turn.example.com"}]')
        make_call.app.handler(invocations.timers(), invocations.Context())
        self.join("driver", "driver")
        self.join("lost", "passenger", gone=True)
        initiate = {"booking_code": "test", "action": "initiate"}
        self.rest(handler, "make_call", "driver", initiate)
        self.rest(handler, "make_call", "passenger", initiate)
        for _, timer in list(self.wire.queued):
            assert handler(invocations.timers(timer), invocations.Context()) == {"batchItemFailures": []}
        self.frame(handler, "nobody", action="call", call_action="initiate")
        (call,) = self.calls()
        self.frame(handler, "driver", action="call", call_action="ice", call_id=call["call_id"])
        self.frame(handler, "driver", action="call", call_action="end", call_id=call["call_id"])
        self.frame(handler, "driver", action="call", call_action="report", call_id=call["call_id"], report={})
        assert self.calls()[0]["state"] == "ended"
        revoked = {"event": "tokens_revoked", "side": "driver"}
        order = {"booking_code": "test", "message_type": "system", "message": "Out", "metadata": revoked}
        self.rest(send_message.app.handler, "send_message", "system", order)
        (timer,) = [timer for _, timer in self.wire.queued if timer["kind"] == "order"]
        assert handler(invocations.timers(timer), invocations.Context()) == {"batchItemFailures": []}

    def calls(self) -> Any:
        body = self.rest(make_call.app.handler, "calls", "driver", query={"booking_code": "test"})["body"]
        return invocations.json.loads(body)["calls"]

    def get_messages(self) -> None:
        handler = get_message.app.handler
        self.rest(send_message.app.handler, "send_message", "driver", {"booking_code": "test", "message": "Hello"})
        restart(self.wire)  # each function has a process of its own
        self.rest(handler, "get_message", "driver", query={"booking_code": "test"})
        self.join("lost", "passenger", gone=True)
        self.frame(handler, "lost", action="sync")
        self.frame(handler, "nobody", action="sync")

    def come_and_go(self) -> None:
        handler, context = websocket.app.handler, invocations.Context()
        query = {"booking_code": "test", "token": self.token("driver")}
        assert handler(invocations.connect("driver", query), context)["statusCode"] == 200
        self.join("passenger", "passenger")
        self.frame(handler, "driver", action="ping")
        self.frame(handler, "driver", action="away", on=True)
        self.frame(handler, "nobody", action="ping")
        self.rest(make_call.app.handler, "make_call", "driver", {"booking_code": "test", "action": "initiate"})
        for connection_id in ("driver", "never"):
            assert handler(invocations.disconnect(connection_id), context)["statusCode"] == 200
        assert ("left", "driver") in {(body["kind"], body.get("side")) for _, body in self.wire.queued}

    def pass_on(self) -> None:
        self.patch.setenv("PROXY_SECRET_ARN", "the proxy's")
        with backend() as url:
            self.patch.setenv("BACKEND_URL", url)
            query = {"booking_code": "test", "token": self.token("driver")}
            handler, context = websocket.app.handler, invocations.Context()
            assert handler(invocations.connect("driver", query), context)["statusCode"] == 200
            self.frame(handler, "driver", action="anything")
            self.patch.delenv("BACKEND_URL")
        assert self.gateway.frames["driver"] == [{"hello": "driver"}]


@contextmanager
def backend() -> Generator[str]:
    """An HTTP backend that answers."""

    class Backend(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"hello": "driver"}')

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module", autouse=True)
def tour() -> None:
    """Asks for everything that the functions offer."""
    for each in (
        Tour.send_messages,
        Tour.send_photos,
        Tour.look_before_and_tell_after,
        Tour.make_calls,
        Tour.get_messages,
        Tour.come_and_go,
        Tour.pass_on,
    ):
        with pytest.MonkeyPatch.context() as patch, wired(patch) as wire, gateway() as there:
            patch.setenv("AUTH_MODE", "jwt")
            patch.setenv("TOKEN_SECRET_ARN", "the tokens'")
            patch.setenv("WEBSOCKET_ENDPOINT", there.endpoint)
            each(Tour(wire, there, patch))


@pytest.mark.parametrize("name", ROLES)
def test_whatever_a_function_asks_for_is_granted(name: str) -> None:
    assert excess(name) == set()


@pytest.mark.parametrize("name", ROLES)
def test_whatever_is_granted_is_asked_for(name: str) -> None:
    assert granted(name) - recording.asked[name] == set()


def test_the_recording_sees_which_function_asks() -> None:
    assert set(recording.asked) == set(ROLES)
    assert ("dynamodb:ConditionCheckItem", "messages") in recording.asked["make-call"]


def test_the_layer_has_exactly_the_operations_that_functions_use() -> None:
    trim = runpy.run_path(str(Path(__file__).parents[2] / "layers/shared/trim.py"))
    assert recording.operations == trim["OPERATIONS"]
