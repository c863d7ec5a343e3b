"""What the functions' roles allow, from the translated template."""

from collections.abc import Iterable

import pytest

from tests.policies import recording
from tests.policies.recording import Grant
from tests.template.stack import FUNCTIONS, Stack

ROLES = (*FUNCTIONS, "proxy")
HOOK = "arn:aws:lambda:eu-central-1:123456789012:function:hook"
TURN_SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:turn"
NAMES = {
    "<MessagesTable.Arn>": "messages",
    "<ConnectionsTable.Arn>": "connections",
    "<ConnectionsTable.Arn>/index/booking_code-index": "connections/booking_code-index",
    "<CallsTable.Arn>": "calls",
    "<CallTimerQueue.Arn>": "call-timers",
    "<EventsTopic>": "events",
    "<TokenSecret.Id>": "TOKEN_SECRET_ARN",
    "<ProxySecret.Id>": "PROXY_SECRET_ARN",
    TURN_SECRET: "TURN_SECRET_ARN",
    HOOK: "hook",
    "<AttachmentsBucket.Arn>/upload/*": "attachments/upload",
    "<AttachmentsBucket.Arn>/kept/*": "attachments/kept",
    "<MessageEventsTopic>": "message-events",
    "<MessageEventsDeadLetterQueue.Arn>": "message-events-dlq",
}
LAMBDAS_OWN = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
}
"""What Lambda itself does with a function's role: log, traces, and fetching from queue and stream."""


def granted(name: str) -> set[Grant]:
    """What a role allows to its function's code."""
    proxied = {"BackendUrl": "https://backend.example.com"} if name == "proxy" else {}
    switched_on = {"TurnSecretArn": TURN_SECRET, "MessageHookArn": HOOK, "MessageEvents": "full"}
    stack = Stack(Environment="staging", **switched_on, **proxied)
    return {
        (action, _name(statement["Resource"]))
        for statement in stack.statements("websocket" if name == "proxy" else name)
        for action in statement["Action"]
        if action not in LAMBDAS_OWN
    }


def _name(resource: str) -> str:
    return resource.split("/")[-3] if resource.endswith("/@connections/*") else NAMES[resource]


def excess(name: str) -> set[Grant]:
    """What a function has asked for in this process although its role does not allow it."""
    return recording.asked[name] - granted(name)


def are_judged(items: Iterable[pytest.Item]) -> bool:
    """Whether this session checks the roles: it does if it has the tests of the roles, so quick ones do not."""
    return any("policies" in item.path.parts for item in items)
