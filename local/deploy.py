"""The deploy into the embedded AWS: the same template as on AWS, by the stock `sam build` and `sam deploy`."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import yaml
from botocore.exceptions import ClientError

from local.access import REGION, Access, private
from local.aws import environment, session
from local.embedded import DidNotStart
from local.stack import ROOT

STACK = "navietakie-local"
BUCKET = "navietakie-local-artifacts"
MARK = "/navietakie/deployed"
BUILDS = ROOT / ".build" / "host"
BUILDS_KEPT = 4
SAM = Path(sys.executable).parent / "sam"


@dataclass(frozen=True)
class Deployed:
    """What a deploy made: the ids of both APIs, the names of the buckets, and the template's outputs."""

    rest_api: str
    websocket_api: str
    stage: str
    buckets: frozenset[str]
    outputs: dict[str, str]


def source_hash() -> str:
    """A fingerprint of everything that a build reads. The same fingerprint means the same build."""
    files = [
        *(ROOT / "functions").rglob("*.py"),
        *(ROOT / "layers").rglob("*.py"),
        *(ROOT / name for name in ("template.yaml", "samconfig.toml", "functions/Makefile", "local/compile")),
        *(ROOT / "layers" / "shared" / name for name in ("Makefile", "build.sh", "requirements.txt")),
    ]
    digest = hashlib.sha256(f"{sys.implementation.cache_tag} {sys.platform}".encode())
    for file in sorted(files):
        digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


async def build(source: str, log: Path) -> Path:
    """`sam build` for this machine; returns the built template. An earlier build of the same source is used again."""
    folder = BUILDS / source
    if not folder.exists():
        BUILDS.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix="new-", dir=BUILDS))
        try:
            arguments = ("--build-dir", str(new / "build"), "--cache-dir", str(new / "cache"), "--parallel")
            await _sam("build", *arguments, log=log, variables={"BUILD_FOR": "host"})
            (new / "build").rename(folder)
        except OSError:
            if not folder.exists():  # otherwise another process has built the same meanwhile
                raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
        builds = [each for each in BUILDS.iterdir() if len(each.name) == len(source)]
        for old in sorted(builds, key=lambda each: each.stat().st_mtime)[:-BUILDS_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    folder.touch()
    return folder / "template.yaml"


async def build_for_docker(source: str, log: Path) -> None:
    """A plain `sam build` for a bare `sam local`, if Docker runs and the source has changed."""
    made_of = ROOT / ".aws-sam" / "made-of"
    if made_of.exists() and made_of.read_text() == source and (ROOT / ".aws-sam" / "build").exists():
        return
    with contextlib.suppress(FileNotFoundError):
        quiet = asyncio.subprocess.DEVNULL
        asked = await asyncio.create_subprocess_exec("docker", "info", stdin=quiet, stdout=quiet, stderr=quiet)
        if await asked.wait() == 0:
            await _sam("build", log=log, variables={})
            made_of.write_text(source)


async def deploy(built: Path, access: Access, parameters: Mapping[str, str], home: Path, log: Path) -> None:
    """`sam deploy` of a built template. Then does what the embedded AWS ignores in a template."""
    aws = session(access)
    # In a file, because a value may have quotes and spaces, and may be a secret.
    file = home / "parameters.yaml"
    with private(file) as out:
        yaml.safe_dump(dict(parameters), out)
    await asyncio.to_thread(aws.client("s3").create_bucket, Bucket=BUCKET)
    await _sam(
        "deploy",
        *("--template-file", str(built), "--config-file", str(ROOT / "samconfig.toml"), "--config-env", "local"),
        *("--s3-bucket", BUCKET, "--region", REGION),
        *("--parameter-overrides", f"file://{file}"),
        log=log,
        variables=environment(access),
    )
    await asyncio.to_thread(_enable_expiry, aws)


def mark(access: Access, fingerprint: str) -> None:
    """Stores inside the embedded AWS what is deployed there, so that both are saved or neither is."""
    session(access).client("ssm").put_parameter(Name=MARK, Value=fingerprint, Type="String", Overwrite=True)


def marked(access: Access) -> str | None:
    """The fingerprint of what is deployed; None if nothing is."""
    try:
        return session(access).client("ssm").get_parameter(Name=MARK)["Parameter"].get("Value")
    except ClientError:
        return None


def describe(access: Access) -> Deployed:
    """What the last deploy made. Raises DidNotStart if the stack is incomplete."""
    formation = session(access).client("cloudformation")
    stack = formation.describe_stacks(StackName=STACK)["Stacks"][0]
    made: dict[str, list[str]] = defaultdict(list)
    for resource in formation.describe_stack_resources(StackName=STACK)["StackResources"]:
        made[resource["ResourceType"]].append(resource.get("PhysicalResourceId", ""))
    try:
        return Deployed(
            rest_api=made["AWS::ApiGateway::RestApi"][0],
            websocket_api=made["AWS::ApiGatewayV2::Api"][0],
            stage=made["AWS::ApiGatewayV2::Stage"][0],
            buckets=frozenset(made["AWS::S3::Bucket"]),
            outputs={each.get("OutputKey", ""): each.get("OutputValue", "") for each in stack.get("Outputs", [])},
        )
    except IndexError:
        raise DidNotStart("The deployed stack has no REST or no WebSocket API") from None


def _enable_expiry(aws: boto3.Session) -> None:
    dynamodb = aws.client("dynamodb")
    for resource in aws.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]:
        if resource["ResourceType"] == "AWS::DynamoDB::Table":
            dynamodb.update_time_to_live(
                TableName=resource.get("PhysicalResourceId", ""),
                TimeToLiveSpecification={"AttributeName": "expires_at", "Enabled": True},
            )


async def _sam(*arguments: str, log: Path, variables: Mapping[str, str]) -> None:
    """Runs SAM. If it fails, raises DidNotStart with the last lines of its output."""
    with log.open("ab") as out:
        begin = out.tell()
        process = await asyncio.create_subprocess_exec(
            *(str(SAM), *arguments),
            cwd=ROOT,
            env={**os.environ, "SAM_CLI_TELEMETRY": "0", **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:  # we are being stopped
                os.killpg(process.pid, signal.SIGTERM)
                await process.wait()
    if status != 0:
        said = log.read_bytes()[begin:].decode(errors="replace").strip().splitlines()
        raise DidNotStart("\n".join([f"sam {arguments[0]} failed:", *said[-25:]]))
