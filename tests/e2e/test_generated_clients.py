"""Clients that are generated from docs/openapi.yaml talk to the running stack: send, page, call, an error."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clients import tokens
from clients.tokens import DeployedSecret, Wanted
from local.stack import Stack
from tests.documents import ROOT
from tests.generated import python_client, run
from tests.running import Run

PACKAGE = ROOT / "tests" / "package"

USE = """
import sys
from client import AuthenticatedClient
from client.api.calls import list_calls, make_call
from client.api.messages import get_message, send_message
from client.models import (
    CallLogPage, CallState, ChangeCall, ChangeCallAction, EndReason, Error, ErrorCode, HistoryPage, InitiateCall,
    MadeCall, Metadata, SendMessage, Sender, SentMessage,
)

url, token, booking = sys.argv[1:]
client = AuthenticatedClient(url, token, timeout=60)


def send(text):
    metadata = Metadata(quick_reply_id="here")
    metadata["colour"] = "green"
    body = SendMessage(message=text, booking_code=booking, client_message_id="py-1", metadata=metadata)
    return send_message.sync_detailed(client=client, body=body)


sent = send("Hello \U0001f695")
assert sent.status_code == 201 and isinstance(sent.parsed, SentMessage), sent
message = sent.parsed.message
assert (message.seq, message.sender, message.message) == (1, Sender.DRIVER, "Hello \U0001f695")
assert message.metadata["colour"] == "green"
assert message.timestamp.tzinfo is not None

again = send("Hello \U0001f695")
assert again.status_code == 200 and again.parsed.duplicate and again.parsed.message == message, again
other = send("Bye")
assert other.status_code == 409 and isinstance(other.parsed, Error), other
assert other.parsed.error.code is ErrorCode.IDEMPOTENCY_CONFLICT

page = get_message.sync(client=client, booking_code=booking, limit=1)
assert isinstance(page, HistoryPage), page
assert (page.head_seq, page.messages) == (1, [message])

ring = make_call.sync(client=client, body=InitiateCall("initiate", booking))
assert isinstance(ring, MadeCall) and ring.call.state is CallState.RINGING, ring
end = ChangeCall(ChangeCallAction.END, booking, ring.call.call_id)
over = make_call.sync(client=client, body=end)
assert isinstance(over, MadeCall) and over.call.end_reason is EndReason.CANCELLED, over
late = make_call.sync(client=client, body=ChangeCall(ChangeCallAction.ACCEPT, booking, ring.call.call_id))
assert isinstance(late, Error) and late.error.code is ErrorCode.ILLEGAL_TRANSITION, late
log = list_calls.sync(client=client, booking_code=booking)
assert isinstance(log, CallLogPage) and [each.call_id for each in log.calls] == [ring.call.call_id], log

foreign = get_message.sync(client=client, booking_code="another")
assert isinstance(foreign, Error) and foreign.error.code is ErrorCode.FORBIDDEN, foreign
"""


@pytest.fixture
def token(jwt_run: tuple[Run, Stack]) -> Callable[[str], str]:
    """Makes a driver's token for a booking."""
    secret = DeployedSecret("local", home=jwt_run[0].home).current()

    def token(booking: str) -> str:
        wanted = Wanted.parse({"booking": booking, "role": "driver", "sub": "driver-1", "ttl": 600})
        return tokens.token(secret, wanted, time.time())

    return token


def test_the_client_of_openapi_python_client_talks_to_the_stack(
    jwt_stack: Stack, token: Callable[[str], str], tmp_path: Path
) -> None:
    python_client(tmp_path)
    (tmp_path / "use.py").write_text(USE)
    run([sys.executable, "use.py", jwt_stack.url, token("python-client"), "python-client"], tmp_path)


def test_the_client_of_openapi_typescript_talks_to_the_stack(jwt_stack: Stack, token: Callable[[str], str]) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no Node.js with npm on this machine")
    run([str(PACKAGE / "tools")], PACKAGE)
    booking = "typescript-client"
    told = json.loads(run([node, "support/talk.mjs", jwt_stack.url, token(booking), booking], PACKAGE))
    assert told == {
        "sent": [201, 1, "Hello \U0001f695", {"colour": "green"}],
        "again": [200, True, True],
        "other": [409, "idempotency_conflict"],
        "page": [1, [1], None],
        "call": ["ringing", "ended", "cancelled"],
        "late": [409, "illegal_transition"],
        "log": [True],
    }
