"""What a function signs for S3, through the front door to the embedded AWS. And what its own credentials allow."""

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from aiohttp import ClientSession, FormData
from botocore.exceptions import ClientError

from local.access import REGION, Access
from local.frontdoor import Behind, FrontDoor, address, listen
from tests.serving import serving

BUCKET = "photos"
FUNCTION = """
import os
import boto3
from botocore.config import Config

def handler(event, context):
    # The path has the bucket, not the host: there is one front door for all.
    how = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=os.environ["ATTACHMENTS_ENDPOINT"], config=how)
    form = s3.generate_presigned_post(
        "photos", event["key"], {"Content-Type": "image/png"},
        [{"Content-Type": "image/png"}, ["content-length-range", 1, 10]], ExpiresIn=event.get("seconds", 600),
    )
    url = s3.generate_presigned_url("get_object", {"Bucket": "photos", "Key": event.get("read", "kept/a photo")})
    return {"form": form, "url": url, "environment": dict(os.environ)}
"""
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/upload/*"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/kept/*"},
    ],
}


class Storage:
    """An embedded AWS with a bucket and a function that signs for it, behind a front door."""

    def __init__(self, access: Access, url: str, http: ClientSession) -> None:
        self.access, self.url, self.http = access, url, http
        how: Any = access.client
        self.s3: Any = boto3.client("s3", **how)
        self._lambda: Any = boto3.client("lambda", **how)
        iam: Any = boto3.client("iam", **how)
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_object(Bucket=BUCKET, Key="kept/a photo", Body=b"kept", ContentType="image/png")
        self.s3.put_object(Bucket=BUCKET, Key="other/a", Body=b"other")
        role = iam.create_role(RoleName="signs", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        iam.put_role_policy(RoleName="signs", PolicyName="signs", PolicyDocument=json.dumps(POLICY))
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("app.py", FUNCTION)
        self._lambda.create_function(
            FunctionName="signs",
            Runtime="python3.13",
            Role=role,
            Handler="app.handler",
            Code={"ZipFile": code.getvalue()},
        )

    async def signed(self, key: str = "upload/a", **event: Any) -> Any:
        """The form and the URL that the function has signed."""
        payload = json.dumps({"key": key, **event})
        answer = await asyncio.to_thread(self._lambda.invoke, FunctionName="signs", Payload=payload)
        return json.loads(answer["Payload"].read())

    async def post(self, form: Any, body: bytes = b"a photo", **fields: str) -> int:
        """Posts a form to its address. Returns the status."""
        data = FormData()
        for name, value in {**form["fields"], **fields}.items():
            data.add_field(name, value)
        data.add_field("file", body, filename="a.png", content_type="image/png")
        async with self.http.post(form["url"], data=data, headers={"origin": self.url}) as answer:
            return answer.status

    def keys(self) -> list[str]:
        """The keys in the bucket."""
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Storage]:
    sockets = listen(0)
    url = address(sockets)
    with serving(folder, ATTACHMENTS_ENDPOINT=url) as access:
        behind = Behind("", "", access.endpoint, access.front_door, {BUCKET})
        async with FrontDoor(behind, folder).serve(sockets), ClientSession() as http:
            yield await asyncio.to_thread(Storage, access, url, http)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 120))


def test_only_urls_and_forms_signed_by_a_function_pass_the_front_door(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as storage:
            signed = await storage.signed()
            assert signed["form"]["url"] == f"{storage.url}/{BUCKET}"
            assert signed["url"].startswith(f"{storage.url}/{BUCKET}/kept/a%20photo?")

            assert await storage.post(signed["form"]) == 204
            assert storage.s3.get_object(Bucket=BUCKET, Key="upload/a")["Body"].read() == b"a photo"
            async with storage.http.get(signed["url"]) as answer:
                assert (answer.status, await answer.read()) == (200, b"kept")
                assert answer.headers["content-type"] == "image/png"

            before = storage.keys()
            form = signed["form"]
            assert await storage.post(form, b"more than the form says") == 400
            assert await storage.post(form, **{"key": "upload/b"}) == 403
            assert await storage.post(form, **{"Content-Type": "text/html"}) == 403
            assert await storage.post(form, **{"x-amz-security-token": "another"}) == 400
            assert await storage.post({**form, "fields": {"key": "upload/b", "Content-Type": "image/png"}}) == 403
            assert await storage.post({**form, "fields": {**form["fields"], "x-amz-signature": "0" * 64}}) == 403
            assert await storage.post((await storage.signed("kept/b"))["form"]) == 403  # the role forbids it
            assert await storage.post((await storage.signed(seconds=-1))["form"]) == 403
            assert storage.keys() == before

            other = (await storage.signed(read="other/a"))["url"]
            for url in (
                f"{storage.url}/{BUCKET}/kept/a%20photo",
                signed["url"].replace("kept/a%20photo", "kept/b"),
                signed["url"][:-1] + ("0" if signed["url"][-1] != "0" else "1"),
                other,
                signed["url"].replace(storage.url, storage.access.endpoint),
                f"{storage.url}/{BUCKET}",
                f"{storage.access.endpoint}/{BUCKET}/kept/a%20photo",
            ):
                async with storage.http.get(url) as answer:
                    assert answer.status == 403, url

    run(scenario())


def test_a_functions_credentials_are_its_roles_and_cannot_be_guessed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as storage:
            environment = (await storage.signed())["environment"]
            own = {
                "endpoint_url": storage.access.endpoint,
                "region_name": REGION,
                "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
                "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
                "aws_session_token": environment["AWS_SESSION_TOKEN"],
            }
            s3: Any = boto3.client("s3", **cast(Any, own))
            assert s3.get_object(Bucket=BUCKET, Key="kept/a photo")["Body"].read() == b"kept"
            for refused in (
                lambda: s3.get_object(Bucket=BUCKET, Key="other/a"),
                lambda: cast(Any, boto3.client("iam", **cast(Any, own))).list_roles(),
                lambda: cast(Any, boto3.client("lambda", **cast(Any, own))).list_functions(),
            ):
                with pytest.raises(ClientError) as error:
                    refused()
                assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
            # A worker has nothing of root's key, and only the functions' own modules.
            everything = json.dumps(environment)
            assert storage.access.secret not in everything
            assert storage.access.key_id not in everything
            assert environment["PYTHONPATH"].endswith("local/worker")

    run(scenario())


def test_credentials_do_not_follow_from_the_names_of_function_and_role(tmp_path: Path) -> None:
    """The embedded AWS itself derives a function's credentials from these names."""

    async def scenario() -> None:
        async with opened(tmp_path) as storage:
            await storage.signed()
            account = "arn:aws:lambda:us-east-1:000000000000:function:signs"
            digest = hashlib.sha256(f"{account}:arn:aws:iam::000000000000:role/signs".encode()).hexdigest()
            guessed = {
                "endpoint_url": storage.access.endpoint,
                "region_name": REGION,
                "aws_access_key_id": f"ASIA{digest[:16].upper()}",
                "aws_secret_access_key": hashlib.sha256(f"secret:{digest}".encode()).hexdigest(),
                "aws_session_token": hashlib.sha256(f"token:{digest}".encode()).hexdigest(),
            }
            s3: Any = boto3.client("s3", **cast(Any, guessed))
            with pytest.raises(ClientError):
                s3.get_object(Bucket=BUCKET, Key="kept/a photo")

    run(scenario())
