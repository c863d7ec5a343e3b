"""The process of the embedded AWS, and what its server adds to MiniStack."""

import errno
import http.client
import io
import json
import os
import resource
import signal
import socket
import time
import zipfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from local.access import Access
from local.embedded import ENVIRONMENTS, TAKEN, free_ports, is_held
from local.guard import FRONT_DOOR
from tests.serving import FIRST_PORT, serve, serving


@pytest.fixture
def served(tmp_path: Path) -> Generator[tuple[int, Path]]:
    """The port of a running process, and its log."""
    with serving(tmp_path) as access:
        yield urlsplit(access.endpoint).port or 0, tmp_path / "log"


# The two tests with this function fail if a new MiniStack has moved a name that our process wraps.
FUNCTION = """
import json

def handler(event, context):
    if event["requestContext"]["eventType"] == "CONNECT":
        return {"statusCode": int(event["queryStringParameters"]["answer"])}
    return {"statusCode": 500, "body": json.dumps([event["body"], event["isBase64Encoded"]])}
"""


@pytest.fixture
def stage(served: tuple[int, Path], tmp_path: Path) -> str:
    """A WebSocket API whose function answers `$connect` with the status `answer`, and a frame with its event."""
    return socket_api(Access.read(tmp_path), FUNCTION)


def client(access: Access, service: str) -> Any:
    how: Any = access.client
    return boto3.client(service, config=Config(max_pool_connections=RUSH, read_timeout=60), **how)


def function(access: Access, source: str) -> str:
    """The ARN of a new function."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", source)
    role = client(access, "iam").create_role(RoleName="answers", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    return client(access, "lambda").create_function(
        FunctionName="answers",
        Runtime="python3.13",
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": code.getvalue()},
        Timeout=30,
    )["FunctionArn"]


def socket_api(access: Access, source: str) -> str:
    """The address of a WebSocket API with this function behind it."""
    gateway = client(access, "apigatewayv2")
    api = gateway.create_api(Name="answers", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function(access, source)}/invocations"
    integration = gateway.create_integration(
        ApiId=api["ApiId"], IntegrationType="AWS_PROXY", IntegrationUri=uri, IntegrationMethod="POST"
    )
    target = f"integrations/{integration['IntegrationId']}"
    for route in ("$connect", "$default"):
        gateway.create_route(ApiId=api["ApiId"], RouteKey=route, Target=target)
    gateway.create_stage(ApiId=api["ApiId"], StageName="test", AutoDeploy=True)
    return f"ws{access.endpoint.removeprefix('http')}/_aws/execute-api/{api['ApiId']}/test"


def test_a_refused_connection_shows_the_functions_status(stage: str, tmp_path: Path) -> None:
    for status in (400, 401, 403, 502):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{stage}?answer={status}", open_timeout=30, additional_headers=door(tmp_path))
        assert refused.value.response.status_code == status


def door(folder: Path) -> dict[str, str]:
    """The headers by which the guard knows the front door."""
    return {FRONT_DOOR: Access.read(folder).front_door}


def test_a_binary_frame_reaches_the_function_in_base64_and_marked(stage: str, tmp_path: Path) -> None:
    with connect(f"{stage}?answer=200", open_timeout=30, additional_headers=door(tmp_path)) as client:
        for frame, event in (("żółw", ["żółw", False]), (b"\x00\xff{", ["AP97", True]), ("AP97", ["AP97", False])):
            client.send(frame)
            assert json.loads(client.recv(30)) == event


FAILING = """
def handler(event, context):
    if event["body"]:
        exit()
    return {}
"""


@pytest.mark.usefixtures("served")
def test_a_frame_at_which_the_function_fails_is_answered_as_by_api_gateway(tmp_path: Path) -> None:
    address = socket_api(Access.read(tmp_path), FAILING)
    with connect(address, open_timeout=30, additional_headers=door(tmp_path)) as client:
        for _ in range(2):
            client.send("{}")
            frame = json.loads(client.recv(30))
            assert frame.pop("connectionId")
            assert frame.pop("requestId")
            assert frame == {"message": "Internal server error"}


SLOW = """
import json, os, time

def handler(event, context):
    time.sleep(0.3)
    return {"statusCode": 200, "body": json.dumps(os.getpid())}
"""
RUSH = 3 * ENVIRONMENTS


@pytest.mark.usefixtures("served")
def test_a_rush_of_requests_waits_for_a_few_environments(tmp_path: Path) -> None:
    access = Access.read(tmp_path)
    name, lambdas = function(access, SLOW), client(access, "lambda")

    def invoked(_: int) -> int:
        return json.loads(json.loads(lambdas.invoke(FunctionName=name)["Payload"].read())["body"])

    with ThreadPoolExecutor(RUSH) as pool:
        answered_by = list(pool.map(invoked, range(RUSH)))
    assert len(answered_by) == RUSH
    assert 1 < len(set(answered_by)) <= ENVIRONMENTS


SHOWING = """
import json, os, time

def handler(event, context):
    time.sleep(0.3)
    return {"pid": os.getpid(), "root": os.path.realpath(os.getcwd()), "file": os.path.realpath(__file__)}
"""


@pytest.mark.usefixtures("served")
def test_the_environments_of_a_function_share_its_files(tmp_path: Path) -> None:
    access = Access.read(tmp_path)
    name, lambdas = function(access, SHOWING), client(access, "lambda")
    with ThreadPoolExecutor(ENVIRONMENTS) as pool:
        answers = list(pool.map(lambda _: lambdas.invoke(FunctionName=name)["Payload"].read(), range(ENVIRONMENTS)))
    told = [json.loads(answer) for answer in answers]
    assert len({each["pid"] for each in told}) > 1
    (root,) = {each["root"] for each in told}
    assert {each["file"] for each in told} == {f"{root}/app.py"}


@pytest.mark.usefixtures("served")
def test_a_rush_of_frames_waits_too_but_no_frame_waits_while_an_environment_is_free(tmp_path: Path) -> None:
    address = socket_api(Access.read(tmp_path), SLOW)
    with ExitStack() as opened:
        sockets = [
            opened.enter_context(connect(address, open_timeout=60, additional_headers=door(tmp_path)))
            for _ in range(ENVIRONMENTS + 2)
        ]
        for each in sockets:
            each.send("{}")
        answered_by = {json.loads(each.recv(60)) for each in sockets}
    assert 1 < len(answered_by) <= ENVIRONMENTS


@contextmanager
def full_disk(folder: Path) -> Generator[None]:
    """No file of the process whose lock is in `folder` may grow, nor of those that it starts."""
    pid = json.loads((folder / "lock").read_text())["pid"]
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


on_linux = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux alone limits another process")


@on_linux
@pytest.mark.usefixtures("served")
def test_while_no_other_environment_can_be_started_a_rush_waits_for_the_one_that_runs(tmp_path: Path) -> None:
    access = Access.read(tmp_path)
    name, lambdas = function(access, SLOW), client(access, "lambda")

    def answered_by(count: int) -> set[bytes]:
        with ThreadPoolExecutor(count) as pool:
            answers = list(pool.map(lambda _: lambdas.invoke(FunctionName=name), range(count)))
        assert not any("FunctionError" in answer for answer in answers)
        return {answer["Payload"].read() for answer in answers}

    with full_disk(tmp_path):
        refused = lambdas.invoke(FunctionName=name)
        assert os.strerror(errno.EFBIG) in refused["Payload"].read().decode()
        assert "FunctionError" in refused
    first = answered_by(1)
    with full_disk(tmp_path):
        assert answered_by(RUSH) == first
    end = time.monotonic() + 60
    while len(answered_by(RUSH)) == 1:
        assert time.monotonic() < end


def test_an_unsigned_request_is_refused_without_a_server_header(served: tuple[int, Path]) -> None:
    port, _ = served
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"x-amz-target": "DynamoDB_20120810.ListTables", "content-type": "application/x-amz-json-1.0"}
    connection.request("POST", "/", "{}", headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 403
    assert answer.getheader("server") is None
    assert len(answer.headers.get_all("date", [])) == 1
    connection.close()


def test_a_query_string_is_in_no_log(served: tuple[int, Path], tmp_path: Path) -> None:
    port, log = served
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{port}/_aws/execute-api/none/local?token=secret", additional_headers=door(tmp_path))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/_aws/execute-api/none/local/x?token=secret", headers=door(tmp_path))
    connection.getresponse().read()
    connection.close()
    assert "secret" not in log.read_text()


def test_a_taken_port_is_named_as_the_reason(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = serve(taken.getsockname()[1], tmp_path)
        assert process.wait(60) != 0
    assert TAKEN in (tmp_path / "log").read_text()


def test_only_one_process_at_a_time_holds_the_state_of_a_folder(served: tuple[int, Path], tmp_path: Path) -> None:
    port, _ = served
    lock = tmp_path / "lock"
    holder = json.loads(lock.read_text())
    assert holder["port"] == port
    with lock.open() as reader:
        assert is_held(reader)
        second = serve(next(free_ports(FIRST_PORT, FIRST_PORT)), tmp_path)
        assert second.wait(60) != 0
        assert json.loads(lock.read_text()) == holder
        os.kill(holder["pid"], signal.SIGKILL)
        for _ in range(100):
            if not is_held(reader):
                break
            time.sleep(0.05)
        assert not is_held(reader)


def table(access: Access) -> Any:
    """DynamoDB with a table. It is made at the first call."""
    client: Any = boto3.client("dynamodb", **cast(Any, access.client))
    if "kept" not in client.list_tables()["TableNames"]:
        key = {"AttributeName": "key", "KeyType": "HASH"}
        attribute = {"AttributeName": "key", "AttributeType": "S"}
        client.create_table(
            TableName="kept", KeySchema=[key], AttributeDefinitions=[attribute], BillingMode="PAY_PER_REQUEST"
        )
    return client


def kept(access: Access) -> list[str]:
    """The items of the table."""
    return sorted(item["key"]["S"] for item in table(access).scan(TableName="kept")["Items"])


def keep(access: Access, key: str) -> None:
    table(access).put_item(TableName="kept", Item={"key": {"S": key}, "filling": {"S": "x" * 4_000}})


def persistent(folder: Path) -> AbstractContextManager[Access]:
    state = folder / "state" / "services"
    state.mkdir(parents=True, exist_ok=True)
    (folder / "aws.ini").unlink(missing_ok=True)
    objects = {"S3_PERSIST": "1", "S3_DATA_DIR": str(folder / "state" / "s3")}
    return serving(folder, PERSIST_STATE="1", STATE_DIR=str(state), **objects)


@on_linux
def test_an_object_that_no_file_took_is_written_when_the_state_is_saved(tmp_path: Path) -> None:
    def photos(access: Access) -> dict[str, bytes]:
        listed = client(access, "s3").list_objects_v2(Bucket="photos")["Contents"]
        return {
            each["Key"]: client(access, "s3").get_object(Bucket="photos", Key=each["Key"])["Body"].read()
            for each in listed
        }

    with persistent(tmp_path) as access:
        s3 = client(access, "s3")
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="changed", Body=b"before")
        with full_disk(tmp_path):
            for key in ("changed", "new", "deleted"):
                s3.put_object(Bucket="photos", Key=key, Body=b"now", ContentType="image/png")
            s3.delete_object(Bucket="photos", Key="deleted")
        assert photos(access) == {"changed": b"now", "new": b"now"}
    assert "Nothing was saved" not in (tmp_path / "log").read_text()
    with persistent(tmp_path) as access:
        assert photos(access) == {"changed": b"now", "new": b"now"}
        assert client(access, "s3").head_object(Bucket="photos", Key="new")["ContentType"] == "image/png"


@on_linux
def test_a_state_that_cannot_be_saved_leaves_the_last_one_whole_and_says_so(tmp_path: Path) -> None:
    with persistent(tmp_path) as access:
        keep(access, "first")
    log, lock = tmp_path / "log", tmp_path / "lock"
    assert "Nothing was saved" not in log.read_text()
    before = {file.name: file.read_bytes() for file in (tmp_path / "state" / "services").iterdir()}
    assert b"first" in before["dynamodb.json"]

    with persistent(tmp_path) as access:
        for number in range(50):
            keep(access, f"second-{number}")
        # From now on no file may grow beyond this. As on a full disk, small files are written and others fail.
        resource.prlimit(json.loads(lock.read_text())["pid"], resource.RLIMIT_FSIZE, (100_000, 100_000))
    assert "Nothing was saved" in log.read_text()
    assert {file.name: file.read_bytes() for file in (tmp_path / "state" / "services").iterdir()} == before

    with persistent(tmp_path) as access:
        assert kept(access) == ["first"]


@pytest.mark.parametrize("left", ["half of it", "nothing", "all of it"])
def test_a_killed_save_leaves_the_last_state(tmp_path: Path, left: str) -> None:
    with persistent(tmp_path) as access:
        keep(access, "first")
    state = tmp_path / "state" / "services"
    state.rename(state.with_name("services.last"))
    if left != "nothing":
        state.mkdir()
        (state / "dynamodb.json").write_text('{"__ministack_format__": 2, "payl' if left == "half of it" else "{}")
    with persistent(tmp_path) as access:
        assert kept(access) == ["first"]
    assert [file.name for file in state.parent.iterdir()] == ["services"]
