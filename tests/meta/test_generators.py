"""The client that openapi-python-client makes from docs/openapi.yaml is complete, and typed."""

import json
import sys
from pathlib import Path

import pytest

from tests.generated import BIN, python_client, run

USE = """
from datetime import datetime
from typing import assert_never, assert_type

from client import Client
from client.api.calls import make_call
from client.api.messages import get_message, send_message
from client.models import (
    AttachmentForm,
    CallState,
    Error,
    ErrorCode,
    HistoryPage,
    InitiateCall,
    MadeCall,
    Message,
    Metadata,
    SendMessage,
    SentMessage,
    Side,
    StoredReceipt,
)

client = Client("http://127.0.0.1:8000")


def say(text: str) -> Message | ErrorCode | None:
    metadata = Metadata(quick_reply_id="here")
    metadata["colour"] = "green"
    answer = send_message.sync(client=client, body=SendMessage(message=text, booking_code="test", metadata=metadata))
    match answer:
        case SentMessage():
            return answer.message
        case Error():
            return answer.error.code
        case AttachmentForm() | StoredReceipt() | None:
            return None
        case _:
            assert_never(answer)


def last() -> datetime | None:
    page = get_message.sync(client=client, booking_code="test")
    return page.messages[0].timestamp if isinstance(page, HistoryPage) else None


def call() -> CallState | None:
    made = make_call.sync(client=client, body=InitiateCall("initiate", "test", sender=Side.DRIVER))
    return assert_type(made.call.state, CallState) if isinstance(made, MadeCall) else None
"""
"""Code that uses the client, with the names of the documents."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generated package `client`."""
    folder = tmp_path_factory.mktemp("generated")
    python_client(folder)
    return folder


def test_the_generated_client_and_its_strict_use_have_the_right_types(generated: Path) -> None:
    (generated / "use.py").write_text(f"# pyright: strict\n{USE}")
    (generated / "pyrightconfig.json").write_text(json.dumps({"include": ["client", "use.py"]}))
    run([str(BIN / "pyright"), "--pythonpath", sys.executable], generated)


def test_every_module_of_the_generated_client_can_be_imported_and_reads_a_message(generated: Path) -> None:
    code = """
import importlib, pkgutil, client
for module in pkgutil.walk_packages(client.__path__, "client."):
    importlib.import_module(module.name)
message = dict(
    message_id="1", booking_code="test", seq=1, timestamp="2026-11-22T07:47:24.806307Z", sender="driver",
    sender_id=None, message_type="text", message="Hello", redacted_at=None, client_message_id=None,
    metadata=dict(colour="green"),
)
read = client.models.Message.from_dict(message)
assert read.timestamp.microsecond == 806307
assert read.sender is client.models.Sender.DRIVER
assert read.metadata["colour"] == "green"
"""
    run([sys.executable, "-c", code], generated)
