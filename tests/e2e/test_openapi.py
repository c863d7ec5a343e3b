"""Schemathesis against the running stack: makes requests from docs/openapi.yaml, and checks the answers with it."""

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx

from local.stack import Stack
from tests.documents import openapi

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
MESSAGES = 3
TIMESTAMP = r"^20[0-9]{2}-0[1-9]-[01][1-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]0[0-9]:00)$"

# A schema cannot say that bytes are counted, that NUL is refused, and that a sender has to slow down.
CONFIGURATION = """
workers = 1
max-failures = 20
request-timeout = 60
suppress-health-check = ["all"]
[generation]
deterministic = true
max-examples = 15
allow-x00 = false
unique-inputs = true
no-shrink = true
database = "none"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "403", "404", "409", "413", "429"]
# API Gateway answers for other methods, and the same for all: there is no such resource.
unsupported_method.enabled = false
allow_header_conformance.enabled = false
[phases.stateful]
max-steps = 4
"""


def for_this_stack(stack: Stack) -> dict[str, Any]:
    """The document, narrowed to what is valid here: with a sender (there are no tokens), and receipts of messages."""
    booking = f"openapi-{uuid.uuid4().hex[:12]}"
    for number in range(MESSAGES):
        body = {"booking_code": booking, "sender": "driver", "message": f"{number}"}
        httpx.post(f"{stack.url}/api/v1/send_message", json=body, timeout=30).raise_for_status()
    document = openapi()
    del document["security"]
    schemas = document["components"]["schemas"]
    sending = ("SendMessage", "SendDelivered", "SendRead", "SendRedaction", "SendAttach")
    for name in (*sending, "InitiateCall", "ChangeCall", "ReportCall"):
        sender = schemas[name]["properties"]["sender"]
        sender |= sender.pop("anyOf")[0]
        schemas[name]["required"].append("sender")
    del schemas["Metadata"]["properties"]["attachment"]  # an attachment would have to be uploaded first
    for name, field in (("SendDelivered", "delivered"), ("SendRead", "read")):
        schemas[name]["properties"]["booking_code"] = {"const": booking}
        schemas[name]["properties"][field] = {"enum": list(range(1, MESSAGES + 1))}
    for response in document["components"]["responses"].values():
        problem = {"properties": {"code": {"enum": response["x-error-codes"]}}}
        content = response["content"]["application/json"]
        content["schema"] = {"allOf": [content["schema"], {"properties": {"error": problem}}]}
    for item in document["paths"].values():
        for operation in item.values():
            # A cursor has to belong to the booking, and a key has to equal the body's client_message_id.
            parameters = operation.get("parameters", [])
            operation["parameters"] = [it for it in parameters if it["name"] not in ("cursor", "Idempotency-Key")]
            for parameter in operation["parameters"]:
                if parameter["name"] == "booking_code":
                    parameter["example"] = booking
                if parameter["schema"].get("format") == "date-time":  # from 1970 on
                    parameter["schema"] = {"type": "string", "pattern": TIMESTAMP}
    return document


def test_the_running_stack_does_what_the_document_says(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(for_this_stack(stack)))
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    command = [SCHEMATHESIS, "--config-file", "schemathesis.toml", "run", "openapi.json", "--url", stack.url]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
