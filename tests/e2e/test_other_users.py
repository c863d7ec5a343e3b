"""Other users of this machine, beside a running `make run`: its ports need a key, and its files are closed to them."""

import hashlib
import http.client
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from clients.tokens import DeployedSecret
from local.access import REGION, Access
from local.stack import Stack
from tests.running import Run


def ports_of(group: int) -> set[tuple[str, int]]:
    """The addresses at which the processes of a stack listen: `make run`, and all that it has started."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # the process has just ended
            continue
    family = {group}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    inodes = set[str]()
    for process in family:
        for each in Path(f"/proc/{process}/fd").glob("*"):
            try:
                inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(each)))
            except OSError:
                continue
    found = set[tuple[str, int]]()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            address, port = fields[1].split(":")
            if fields[3] == "0A" and fields[9] in inodes:
                found.add((address, int(port, 16)))
    return found


LOOPBACK = {"0100007F", "00000000000000000000000001000000"}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="where a process listens, Linux alone says in a file")
def test_it_listens_at_the_front_door_and_at_the_guard_on_this_machine_alone(local_run: tuple[Run, Stack]) -> None:
    run, stack = local_run
    listening = ports_of(run.process.pid)
    assert {address for address, _ in listening} <= LOOPBACK
    assert {port for _, port in listening} == {urlsplit(stack.url).port, urlsplit(stack.aws).port}


def test_its_folder_and_its_secrets_are_its_owners_alone(local_run: tuple[Run, Stack]) -> None:
    home = local_run[0].home
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for name in ("aws.ini", "stack.json", "parameters.yaml"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600, name
    for file in [*(home / "state").rglob("*"), *(home / "scratch").glob("*")]:
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/_ministack/health",
        "/_ministack/config",
        "/_localstack/health",
        "/2015-03-31/functions/",
        "/2015-03-31/functions/navietakie-send-message-local/invocations",
        "/_aws/execute-api/{rest}/local/api/v1/get_message?booking_code=test",
        "/_aws/execute-api/{websocket}/local/@connections/any",
        "/navietakie-local-artifacts?list-type=2",
    ],
)
def test_without_the_key_no_request_gets_past_the_guard(stack: Stack, path: str) -> None:
    path = path.format(rest=stack.rest_api, websocket=stack.websocket_api)
    for method in ("GET", "POST", "OPTIONS", "PUT", "DELETE"):
        for headers in (
            {},
            {"authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request"},
            {"host": "localhost.localstack.cloud"},
            {"host": f"{stack.rest_api}.execute-api.localhost"},
        ):
            connection = http.client.HTTPConnection("127.0.0.1", urlsplit(stack.aws).port or 0, timeout=30)
            connection.request(method, path, b"{}", {"content-type": "application/x-amz-json-1.0", **headers})
            answer = connection.getresponse()
            answer.read()
            connection.close()
            assert answer.status == 403, (method, headers)
            assert answer.getheader("access-control-allow-origin") is None
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws{stack.aws[4:]}/_aws/execute-api/{stack.websocket_api}/local?booking_code=test&sender=driver")
    assert refused.value.response.status_code == 403


def guessed(stack: Stack, name: str) -> Access | None:
    """The credentials of a function as the embedded AWS itself derives them, from the names of function and role."""
    functions: Any = boto3.client("lambda", **cast(Any, stack.access.client))
    known = functions.get_function_configuration(FunctionName=name)
    digest = hashlib.sha256(f"{known['FunctionArn']}:{known['Role']}".encode()).hexdigest()
    return Access(stack.aws, f"ASIA{digest[:16].upper()}", hashlib.sha256(f"secret:{digest}".encode()).hexdigest())


KEYS: list[Callable[[Stack], Access | None]] = [
    lambda stack: Access(stack.aws, "test", "test"),
    lambda stack: Access(stack.aws, "000000000000", "test"),
    lambda stack: Access(stack.aws, stack.access.key_id, "test"),
    lambda stack: Access.new(stack.aws),
    lambda stack: guessed(stack, "navietakie-websocket-local"),
]


@pytest.mark.parametrize("key", KEYS, ids=["test", "account", "the id alone", "random", "guessed"])
def test_another_key_reads_nothing_and_runs_nothing(stack: Stack, key: Callable[[Stack], Access | None]) -> None:
    access = key(stack)
    assert access is not None
    how: Any = access.client
    code: Any = {"ZipFile": b""}
    role = "arn:aws:iam::000000000000:role/evil"
    table = f"navietakie-connections-{stack.stage}"
    tries: list[Callable[[], Any]] = [
        lambda: cast(Any, boto3.client("iam", **how)).create_role(RoleName="evil", AssumeRolePolicyDocument="{}"),
        lambda: cast(Any, boto3.client("lambda", **how)).create_function(
            FunctionName="evil", Runtime="python3.13", Role=role, Handler="a.b", Code=code
        ),
        lambda: cast(Any, boto3.client("lambda", **how)).invoke(FunctionName="navietakie-get-message-local"),
        lambda: cast(Any, boto3.client("dynamodb", **how)).scan(TableName=table),
        lambda: cast(Any, boto3.client("secretsmanager", **how)).list_secrets(),
        lambda: cast(Any, boto3.client("sts", **how)).get_caller_identity(),
        lambda: cast(Any, boto3.client("s3", **how)).list_buckets(),
    ]
    for attempt in tries:
        with pytest.raises(ClientError) as error:
            attempt()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_the_key_of_this_start_is_the_tools_own(local_run: tuple[Run, Stack]) -> None:
    """The project's tools and AWS's own read the key from the same file."""
    run, stack = local_run
    assert len(DeployedSecret("local", home=run.home).current()) == 64
    asked = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    environment = {"AWS_CONFIG_FILE": str(run.home / "aws.ini"), "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    python = Path(__file__).resolve().parents[2] / ".local/tools/bin/python"
    said = subprocess.run([python, "-c", asked], env=environment, capture_output=True, text=True, timeout=60)
    assert said.stdout.strip().endswith(":root"), said.stderr
    assert stack.access.secret not in run.said() + (run.home / "embedded.log").read_text() + run.logged()
    assert REGION in (run.home / "aws.ini").read_text()
