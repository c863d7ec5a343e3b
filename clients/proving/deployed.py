"""What the AWS account knows about a deployment: which release runs there, how often its functions started cold."""

import re
from typing import Any, Final, cast

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from clients.tokens import aws_of
from local.stack import HOME, ROOT

FUNCTIONS: Final = ("send-message", "make-call", "get-message", "websocket")
COLD: Final = '"Init Duration"'
"""The search text for CloudWatch Logs: Lambda's REPORT line has it only after a cold start."""


def what_runs(environment: str, home: Any = HOME) -> dict[str, str]:
    """Release and runtime of a deployment, as far as the account tells, and the versions locked in this checkout.

    `home`: the folder of the local stack.
    """
    found: dict[str, str] = {}
    try:
        where = cast(Any, aws_of(environment, home))
        stacks: Any = boto3.client("cloudformation", **where)
        (stack,) = stacks.describe_stacks(StackName=f"navietakie-{environment}")["Stacks"]
        given = {it["ParameterKey"]: it.get("ParameterValue", "") for it in stack.get("Parameters", [])}
        found["release"] = given.get("Release", "unknown")
        functions: Any = boto3.client("lambda", **where)
        settings = functions.get_function_configuration(FunctionName=f"navietakie-websocket-{environment}")
        found["functions' runtime"] = f"{settings['Runtime']}, {settings['MemorySize']} MB"
    except (BotoCoreError, ClientError) as error:
        found["release"] = f"unknown: {error}"
    found["boto3 in the layer"] = _locked("boto3", "layers/shared/requirements.txt")
    if environment == "local":
        found["embedded AWS"] = f"MiniStack {_locked('ministack', 'requirements/tools.txt')}"
    return found


def _locked(package: str, file: str) -> str:
    version = re.search(rf"^{package}==(\S+)", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    return version[1] if version else "unknown"


def cold_starts(environment: str, since: float) -> int | None:
    """How many cold starts the functions' logs show since then (seconds since 1970). None if the logs cannot be read.

    Needs `logs:FilterLogEvents`. Logs reach CloudWatch a few seconds late, so the last ones may be missing.
    """
    client: Any = boto3.client("logs")
    try:
        return sum(
            len(page["events"])
            for name in FUNCTIONS
            for page in client.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws/lambda/navietakie-{name}-{environment}",
                startTime=int(since * 1000),
                filterPattern=COLD,
            )
        )
    except (BotoCoreError, ClientError):
        return None
