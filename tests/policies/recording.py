"""Records what each function asks AWS for, in every test of a session: the function whose code is on the stack.

Also records the consistency of each adapter's reads.
"""

import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.handlers

from navietakie import beside
from navietakie.aws.attachments import Attachments
from navietakie.wire.connections_api import ConnectionsApi

FUNCTIONS = f"{Path(__file__).resolve().parents[2]}/functions/"
ADAPTERS = f"{Path(__file__).resolve().parents[2]}/layers/shared/navietakie/aws/tables/"
READS = ("GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems")
TABLES = ("messages", "connections", "calls")
IN_TRANSACTION = {"Put": "PutItem", "Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem"}
SECRETS = ("TOKEN_SECRET_ARN", "TURN_SECRET_ARN", "PROXY_SECRET_ARN")

Grant = tuple[str, str]
"""An action and its resource: `dynamodb:GetItem` and `messages`."""

_beside = threading.local()
"""What runs beside a function has none of that function's code on its stack."""
asked: defaultdict[str, set[Grant]] = defaultdict(set)
"""By function, as the template names it, and `proxy` for websocket in proxy mode."""
reads: defaultdict[str, set[str]] = defaultdict(set)
"""By adapter and method, `Messages.head`: `strong`, `eventual`."""

operations: defaultdict[str, set[str]] = defaultdict(set)
"""By service, with botocore's name: the operations whose models were read, for a request or a form."""


@contextmanager
def unnoticed() -> Generator[None]:
    """Stops recording for a while: for code that is broken on purpose."""
    kept = [({name: set(found) for name, found in each.items()}, each) for each in (asked, reads)]
    try:
        yield
    finally:
        for before, each in kept:
            each.clear()
            each.update(before)


def start() -> None:
    """Records every request of this process from now on."""
    botocore.handlers.BUILTIN_HANDLERS.append(("before-parameter-build", _request))
    real = ConnectionsApi._ask

    def ask(self: ConnectionsApi, method: str, posts: Sequence[Any]) -> Any:
        if posts and (name := _function()) is not None:
            asked[name].add(("execute-api:ManageConnections", method))
        return real(self, method, posts)

    ConnectionsApi._ask = ask
    signed = Attachments.form

    def form(self: Attachments, *args: Any, **how: Any) -> Any:
        if (name := _function()) is not None:
            asked[name].add(("s3:PutObject", "attachments/upload"))  # a form needs the signer's right to put
        return signed(self, *args, **how)

    Attachments.form = form
    begin = beside.start

    def begun(act: Callable[[], Any]) -> Any:
        name = _function()

        def named() -> Any:
            _beside.function = name
            return act()

        return begin(named)

    beside.start = begun


def _request(params: dict[str, Any], model: Any, **_: Any) -> None:
    if model.name in READS and (method := _method()) is not None:
        for asked_for in params.get("RequestItems", {"": params}).values():
            reads[method].add("strong" if asked_for.get("ConsistentRead") else "eventual")
    name = _function()
    if name is None:
        return
    operations[model.service_model.service_name].add(model.name)
    if model.name == "TransactWriteItems":
        for write in params["TransactItems"]:
            ((kind, its),) = write.items()
            asked[name].add((f"dynamodb:{IN_TRANSACTION[kind]}", _table(its)))
        return
    match model.service_model.service_name:
        case "s3" if "Key" not in params:
            return  # this is the signing of a form, which is recorded elsewhere
        case "s3" if model.name == "CopyObject":
            asked[name].add(("s3:GetObject", _prefix(params["CopySource"])))
            grant = "s3:PutObject", _prefix(params)
        case "s3":
            grant = f"s3:{model.name.replace('HeadObject', 'GetObject')}", _prefix(params)
        case "dynamodb" if "RequestItems" in params:
            asked[name] |= {
                (f"dynamodb:{model.name}", _table({"TableName": table})) for table in params["RequestItems"]
            }
            return
        case "dynamodb":
            grant = f"dynamodb:{model.name}", _table(params)
        case "sqs":
            grant = f"sqs:{model.name}", _queue(params["QueueUrl"])
        case "sns":
            grant = f"sns:{model.name}", params["TopicArn"].rpartition(":")[2]
        case "lambda":
            grant = f"lambda:{model.name}Function", "hook"
        case "secretsmanager":
            grant = f"secretsmanager:{model.name}", _secret(params["SecretId"])
        case other:
            grant = f"{other}:{model.name}", "?"
    asked[name].add(grant)


def _queue(url: str) -> str:
    return "call-timers" if url == os.environ.get("CALL_TIMER_QUEUE_URL") else url.rpartition("/")[2]


def _prefix(params: Any) -> str:
    key = params["Key"] if isinstance(params, dict) else str(params).partition("/")[2]
    return f"attachments/{key.partition('/')[0]}"


def _table(params: dict[str, Any]) -> str:
    (table,) = (table for table in TABLES if table in params["TableName"])
    return f"{table}/{params['IndexName']}" if "IndexName" in params else table


def _secret(arn: str) -> str:
    return next(name for name in SECRETS if os.environ.get(name) == arn)


def _function() -> str | None:
    """The function whose code is asking; None if it is a test."""
    if (name := getattr(_beside, "function", None)) is not None:
        return name
    frame = sys._getframe()
    owner: str | None = None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(FUNCTIONS):
            folder, name = file.removeprefix(FUNCTIONS).split("/")[:2]
            if name == "proxy.py":
                return "proxy"  # whatever it has called on the way, also the handshake
            owner = owner or folder.replace("_", "-")
        frame = frame.f_back
    return owner


def _method() -> str | None:
    """The public method of an adapter that is asking."""
    frame = sys._getframe()
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(ADAPTERS) and not code.co_name.startswith("_"):
            return code.co_qualname
        frame = frame.f_back
    return None
