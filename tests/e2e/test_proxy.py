"""Proxy mode on the deployed stack: WebSocket clients on one side, the sample backend on the other."""

import json
import socket
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import boto3
import pytest
import uvicorn
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from clients import tokens
from clients.tokens import DeployedSecret, Wanted
from local.stack import Stack
from tests.backend.app import Backend, create, push_as
from tests.e2e import privacy
from tests.e2e.talking import connected
from tests.running import Run, running


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(backend: Backend, port: int) -> Generator[None]:
    """The sample backend over HTTP."""
    server = uvicorn.Server(uvicorn.Config(create(backend), port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


class Proxied:
    """The running stack in proxy mode, with the backend behind it and its tokens."""

    def __init__(self, run: Run, stack: Stack, backend: Backend, port: int) -> None:
        self.run, self.stack, self.backend, self.port = run, stack, backend, port
        self._secret = DeployedSecret("local", home=run.home)

    def token(self, booking: str, role: str) -> str:
        """A token for this stack."""
        wanted = Wanted.parse({"booking": booking, "role": role, "sub": f"{role}-1", "ttl": 600})
        return tokens.token(self._secret.current(), wanted, time.time())

    @contextmanager
    def client(self, booking: str, role: str) -> Generator[ClientConnection]:
        """A connected client."""
        with connected(self.stack, f"booking_id={booking}&type=app", self.token(booking, role)) as it:
            yield it

    def events(self, booking: str) -> list[str]:
        """The kinds of events that the backend has accepted for a booking, in order."""
        ids = {
            event["connection_id"]
            for event in self.backend.events
            if event["kind"] == "register" and event["body"]["booking_id"] == booking
        }
        return [event["kind"] for event in self.backend.events if event["connection_id"] in ids]


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Generator[Proxied]:
    """A stack in proxy mode that asks for tokens. The backend runs until a test stops it."""
    port = _free_port()
    home = tmp_path_factory.mktemp("proxied-stack")
    options = ("--auth-mode", "jwt", "--backend-url", f"http://127.0.0.1:{port}")
    with running(home, *options) as (run, stack):
        known = DeployedSecret("local", "proxy", home=run.home)
        backend = Backend(known.versions, push_as(lambda: stack.access.credentials))
        yield Proxied(run, stack, backend, port)
        privacy.check(run, stack)


@pytest.fixture
def up(proxied: Proxied) -> Generator[Proxied]:
    """The same stack, with the backend running."""
    with serving(proxied.backend, proxied.port):
        yield proxied


def ask(client: ClientConnection, seconds: float = 20, **frame: Any) -> dict[str, Any]:
    """Sends a frame. Returns the next frame that comes."""
    client.send(json.dumps(frame, ensure_ascii=False))
    return json.loads(client.recv(timeout=seconds))


def test_a_client_talks_to_the_backend_and_back(up: Proxied) -> None:
    with up.client("talk", "driver") as driver, up.client("talk", "passenger") as passenger:
        assert driver.subprotocol == "navietakie.v1"
        for action in ("anything", "ping", "sync", "call", "typing"):  # in proxy mode every route goes to the backend
            assert ask(driver, action=action, text="żółw 🐢") == {
                "type": "echo",
                "of": {"action": action, "text": "żółw 🐢"},
            }
        driver.send(json.dumps({"action": "message", "message": "Through the backend"}))
        assert json.loads(passenger.recv(timeout=20)) == {"type": "message", "message": "Through the backend"}
    registered = [event for event in up.backend.events if event["body"].get("booking_id") == "talk"]
    assert [event["body"]["claims"]["role"] for event in registered] == ["driver", "passenger"]
    assert registered[0]["body"]["query"] == {"booking_id": "talk", "type": "app"}
    end = time.monotonic() + 20
    while up.events("talk").count("disconnect") < 2 and time.monotonic() < end:
        time.sleep(0.1)
    assert up.events("talk").count("disconnect") == 2
    assert up.backend.turned_away == 0
    ids = [event["headers"]["ce-id"] for event in up.backend.events]
    assert len(set(ids)) == len(ids)


def test_a_token_reaches_neither_the_backend_nor_a_log(up: Proxied) -> None:
    token = up.token("quiet", "driver")
    with connected(up.stack, f"booking_id=quiet&token={token}") as client:
        assert ask(client, action="x", text="Whispered to the backend")["type"] == "echo"
    (registered,) = [event for event in up.backend.events if event["body"].get("booking_id") == "quiet"]
    assert token not in json.dumps(registered)
    end = time.monotonic() + 10
    while "quiet" not in up.run.logged() and time.monotonic() < end:
        time.sleep(0.2)
    assert "quiet" in up.run.logged()
    assert token.rpartition(".")[2] not in up.run.logged()
    assert "Whispered" not in up.run.logged()


def test_a_client_that_the_token_check_or_the_backend_refuses_cannot_connect(up: Proxied) -> None:
    own = up.token("mine", "driver")
    for status, query in (
        (403, f"booking_id=mine&token={up.token('theirs', 'driver')}"),
        (401, "booking_id=mine"),
        (403, f"booking_id=mine&type=403&token={own}"),
        (401, f"booking_id=mine&type=401&token={own}"),
        (502, f"booking_id=mine&type=302&token={own}"),
    ):
        with pytest.raises(InvalidStatus) as refused, connected(up.stack, query):
            pass
        assert (query, refused.value.response.status_code) == (query, status)
    assert up.events("mine") == ["register"] * 3
    assert not [it for it in up.backend.connections.values() if it["booking_id"] == "mine"]


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("500", "internal"),
        ("redirect", "internal"),
        ("huge", "too_large"),
        ("text", "internal"),
        ("slow", "internal"),
        ("trickle", "internal"),
        ("503", "unavailable"),
    ],
)
def test_a_backend_that_misbehaves_costs_an_error_frame(up: Proxied, how: str, code: str) -> None:
    with up.client("bad-day", "driver") as client:
        told = ask(client, action="x", id="m1", misbehave=how)
        assert (told["type"], told["id"], told["error"]["code"]) == ("error", "m1", code)
        assert ask(client, action="y") == {"type": "echo", "of": {"action": "y"}}


def test_a_text_that_is_no_frame_never_reaches_the_backend(up: Proxied) -> None:
    with up.client("no-frame", "driver") as client:
        for frame in ("[]", "{", "null", '{"a":"\\ud800"}', b'{"action":"x"}'):
            client.send(frame)
            assert json.loads(client.recv(timeout=20))["error"]["code"] == "invalid_request"
    assert "message" not in up.events("no-frame")


def test_the_backends_death_costs_error_frames_only(proxied: Proxied) -> None:
    with ExitStack() as clients:
        with serving(proxied.backend, proxied.port):
            client = clients.enter_context(proxied.client("outage", "driver"))
            leaver = clients.enter_context(proxied.client("outage", "passenger"))
            assert ask(client, action="before")["type"] == "echo"
        for number in range(5):
            told = ask(client, action="during", id=str(number))
            assert (told["id"], told["error"]["code"], told["error"]["retryable"]) == (str(number), "unavailable", True)
        with pytest.raises(InvalidStatus) as refused, proxied.client("outage", "driver"):
            pass
        assert refused.value.response.status_code == 502
        leaver.close()
        end = time.monotonic() + 20
        while "BackendDisconnectsLost" not in proxied.run.logged() and time.monotonic() < end:
            time.sleep(0.2)
        assert "BackendDisconnectsLost" in proxied.run.logged()
        with serving(proxied.backend, proxied.port):
            assert ask(client, action="after") == {"type": "echo", "of": {"action": "after"}}


def test_after_a_rotation_the_backend_takes_what_either_secret_has_signed(up: Proxied) -> None:
    with up.client("rotation", "driver") as client:
        assert ask(client, action="before")["type"] == "echo"
        DeployedSecret("local", "proxy", home=up.run.home).rotate()
        assert ask(client, action="after")["type"] == "echo"
    assert up.backend.turned_away == 0


def test_the_function_may_touch_no_table(proxied: Proxied) -> None:
    where: Any = proxied.stack.access.client
    functions: Any = boto3.client("lambda", **where)
    function = functions.get_function_configuration(FunctionName="navietakie-websocket-local")
    iam: Any = boto3.client("iam", **where)
    role = function["Role"].rpartition("/")[2]
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policies = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    assert "secretsmanager:GetSecretValue" in json.dumps(policies)
    assert "dynamodb" not in json.dumps(policies)
    assert not [name for name in function["Environment"]["Variables"] if name.endswith("_TABLE")]
