"""An attacker's afternoon, third part: somebody else sends the sample backend what the proxy has signed."""

import json
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.backend.app import Backend, create
from websocket.proxy import signature

CURRENT, PREVIOUS = "current-" * 8, "previous-" * 8


class Proxy:
    """A genuine event, which tests then change."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))
        self.backend = Backend(lambda: [CURRENT, PREVIOUS], lambda _url, _frame: None, lambda: self.now)
        self.client = TestClient(create(self.backend), follow_redirects=False)

    def sends(self, *, secret: str = CURRENT, at: str | None = None, event_id: str = "e1", **changes: Any) -> int:
        """The status of an event. `changes` are made after it was signed."""
        path, connection_id, body = "/api/ws/message", "c1", b'{"action":"message","message":"x"}'
        headers = {
            "content-type": "application/json",
            "x-connection-id": connection_id,
            "ce-id": event_id,
            "x-navietakie-signature": signature(secret, int(self.now), path, connection_id, event_id, body),
        }
        sent = changes.pop("body", body)
        self.now += changes.pop("later", 0)
        headers |= {name.replace("_", "-"): value for name, value in changes.items()}
        return self.client.post(at or path, content=sent, headers=headers).status_code

    @property
    def taken(self) -> int:
        """How many events the backend has acted on."""
        return len(self.backend.events)


def test_a_signature_by_the_current_or_the_previous_secret_is_accepted() -> None:
    proxy = Proxy()
    assert proxy.sends() == 204
    assert proxy.sends(secret=PREVIOUS, event_id="e2") == 204
    assert proxy.taken == 2


def test_a_signature_by_another_secret_is_refused() -> None:
    proxy = Proxy()
    for secret in ("another-" * 8, "", CURRENT[:-1]):
        assert proxy.sends(secret=secret) == 401
    assert proxy.taken == 0


@pytest.mark.parametrize(
    "change",
    [
        {"body": b'{"action":"message","message":"y"}'},
        {"body": b'{"action":"message","message":"x"} '},
        {"x_connection_id": "c2"},
        {"ce_id": "e2"},
        {"at": "/api/ws/disconnect"},
        {"at": "/api/ws/register"},
        {"x_navietakie_signature": ""},
        {"x_navietakie_signature": "t=0,v1="},
        {"x_navietakie_signature": f"t={'9' * 40},v1={'0' * 64}"},
        {"x_navietakie_signature": f"t=1,v1={'0' * 64},v1={'1' * 64}"},
    ],
    ids=str,
)
def test_a_signature_is_valid_only_for_its_own_request(change: dict[str, Any]) -> None:
    proxy = Proxy()
    assert proxy.sends(**change) == 401
    assert proxy.taken == 0


def test_a_signature_is_worthless_after_five_minutes() -> None:
    proxy = Proxy()
    assert proxy.sends(later=301) == 401
    assert proxy.sends(event_id="e2", later=-301) == 401
    assert proxy.sends(event_id="e3", later=299) == 204


def test_a_replay_within_five_minutes_is_answered_and_not_acted_on() -> None:
    proxy = Proxy()
    assert proxy.sends() == 204
    assert proxy.sends() == 204
    assert proxy.sends(later=200) == 204
    assert proxy.taken == 1


def test_a_retry_after_a_failure_of_the_backend_is_acted_on() -> None:
    proxy = Proxy()
    proxy.backend.behaviour = "503"
    assert proxy.sends() == 503
    proxy.backend.behaviour = "well"
    assert proxy.sends() == 204
    assert proxy.taken == 1


def test_the_field_separator_moves_nothing_from_one_field_to_the_next() -> None:
    proxy = Proxy()
    body = json.dumps({"action": "message"}).encode()
    t = int(proxy.now)
    signed = signature(CURRENT, t, "/api/ws/message", "c1", "e1", b"e2." + body)
    headers = {"x-connection-id": "c1", "ce-id": "e1.e2", "x-navietakie-signature": signed}
    assert proxy.client.post("/api/ws/message", content=body, headers=headers).status_code == 401
