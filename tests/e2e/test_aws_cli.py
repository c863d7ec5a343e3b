"""Runs the lines for the AWS CLI in docs/protocol.md as they are, in the folder of a running stack."""

import json
import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any, cast

import boto3
import pytest

from local.stack import ROOT, Stack

PAGE = ROOT / "docs" / "protocol.md"
ENDPOINTS_SINCE = {1: (1, 29), 2: (2, 13)}
"""The first version that reads `endpoint_url` from the file."""


def blocks() -> list[str]:
    """The blocks of the page that have lines for the AWS CLI, in order."""
    found = re.findall(r"^( *)```sh\n(.*?)^ *```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found if re.search(r"\baws ", block)]


@pytest.fixture
def aws() -> str:
    """The folder of an AWS CLI: this machine's if it is new enough, else the locked one, which is installed now."""
    if (program := shutil.which("aws")) is not None:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        version = re.match(r"aws-cli/(\d+)\.(\d+)", told.stdout)
        if version is not None and (int(version[1]), int(version[2])) >= ENDPOINTS_SINCE[int(version[1])]:
            return str(Path(program).parent)
    folder = ROOT / ".local" / "aws-cli"
    subprocess.run([ROOT / "local" / "venv", folder, "requirements/aws-cli.txt"], cwd=ROOT, check=True)
    return str(folder / "bin")


def test_the_lines_of_the_protocols_page_work_as_pasted(aws: str, stack: Stack, tmp_path: Path) -> None:
    (tmp_path / ".local").symlink_to(stack.home)
    environment = {"PATH": f"{aws}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    pasted = subprocess.run(
        ["sh", "-ec", "".join(blocks())], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert pasted.returncode == 0, pasted.stderr
    answer, _ = json.JSONDecoder().raw_decode(pasted.stdout)
    assert answer["statusCode"] == 201
    assert answer["body"]["message"]["message"] == "Hello"
    sns: Any = boto3.client("sns", **cast(Any, stack.access.client))
    found = sns.list_subscriptions_by_topic(TopicArn=stack.outputs["EventsTopicArn"])["Subscriptions"]
    (subscription,) = (each for each in found if each["Endpoint"].endswith(":function:push"))
    told = sns.get_subscription_attributes(SubscriptionArn=subscription["SubscriptionArn"])["Attributes"]
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    assert json.loads(told["FilterPolicy"]) == {"type": ["call.ringing", "message.undelivered"]}


def test_the_protocols_page_has_lines_to_paste() -> None:
    assert len(blocks()) == 2
