"""Searches every line that the functions of a stack have logged for what must not be in a log."""

import re
from typing import Any, cast

import boto3

from local.stack import Stack
from tests.running import Run

TOKEN = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+")
SHORTEST = 5
"""Shorter texts may be in a log by chance, as a part of an id or a number."""


def check(run: Run, stack: Stack) -> None:
    """Fails if a token, a query string or the text of a stored message is in a log line of this stack.

    The texts are those in the messages table, so every test of the suite adds some.
    """
    log = run.logged()
    assert TOKEN.findall(log) == []
    assert re.findall(r"[?&](?:token|booking_code|booking_id)=[^\s\"]*", log) == []
    spoken = {text for text in _texts(stack) if len(text) >= SHORTEST}
    assert [text for text in spoken if text in log] == []


def _texts(stack: Stack) -> set[str]:
    dynamodb: Any = boto3.client("dynamodb", **cast(Any, stack.access.client))
    pages = dynamodb.get_paginator("scan").paginate(TableName=f"navietakie-messages-{stack.stage}")
    return {item["message"]["S"] for page in pages for item in page["Items"] if "message" in item}
