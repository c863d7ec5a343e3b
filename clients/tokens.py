"""`make token` and `make rotate-secret`: tokens for a local or a deployed stack, and a new secret to sign them.

What is wanted comes as environment variables, which is how make hands its own on. On standard output there is the
result and nothing else. Whoever may read the function's settings and the secret can make tokens: nobody else.
"""

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import boto3
import jwt
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field

from clients.deployment import NotFound, environment
from local.stack import HOME, Stack
from navietakie.domain.errors import Refusal
from navietakie.domain.message import BookingCode, Fields, Label, Sender
from navietakie.doors.identity import AUDIENCE

SECRETS = {"token": "TOKEN_SECRET_ARN", "proxy": "PROXY_SECRET_ARN"}
"""The settings of the websocket function that name them; a stack has the second in proxy mode only."""


class Wanted(Fields):
    """Whom a token is for. `ttl` in seconds."""

    booking: BookingCode
    role: Sender
    sub: Label
    ttl: Annotated[int, Field(ge=1, le=10 * 365 * 86_400)]


def token(secret: str, wanted: Wanted, now: float) -> str:
    """A token signed with `secret`, good from `now` (seconds since 1970) for its time."""
    claims = {
        "sub": wanted.sub,
        "booking_code": wanted.booking,
        "role": wanted.role,
        "iat": int(now),
        "exp": int(now) + wanted.ttl,
        "aud": AUDIENCE,
    }
    return jwt.encode(claims, secret, algorithm="HS256")


class DeployedSecret:
    """A secret of a stack, found through the settings of its websocket function. `environment`: local, staging, …

    A local stack is looked for in the folder `home`.
    """

    def __init__(self, environment: str, which: Literal["token", "proxy"] = "token", *, home: Path = HOME) -> None:
        where = aws_of(environment, home)
        name = f"navietakie-websocket-{environment}"
        functions: Any = boto3.client("lambda", **cast(Any, where))
        settings = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        if SECRETS[which] not in settings:
            raise Refusal("not_found", f"{name} has no {which} secret")
        self._arn = settings[SECRETS[which]]
        self._client: Any = boto3.client("secretsmanager", **cast(Any, where))

    def current(self) -> str:
        """The version that signs."""
        return self._client.get_secret_value(SecretId=self._arn)["SecretString"]

    def versions(self) -> list[str]:
        """The current version, and the one before it if there is one."""
        try:
            previous = self._client.get_secret_value(SecretId=self._arn, VersionStage="AWSPREVIOUS")["SecretString"]
        except self._client.exceptions.ResourceNotFoundException:
            return [self.current()]
        return [self.current(), previous]

    def rotate(self) -> None:
        """Makes a new version the current one. The last one stays valid, the one before it is worthless from now on."""
        self.put(self._client.get_random_password(PasswordLength=64, ExcludePunctuation=True)["RandomPassword"])

    def put(self, version: str) -> None:
        """Makes `version` the current one."""
        self._client.put_secret_value(SecretId=self._arn, SecretString=version)


def aws_of(environment: str, home: Path = HOME) -> dict[str, str]:
    """What boto3.client takes to reach the AWS of an environment: nothing but where it is the embedded one."""
    if environment != "local":
        return {}
    stack = Stack.read(home)
    if stack is None:
        raise Refusal("not_found", "The local stack is not running: start it with `make run`")
    return stack.access.client


def required(name: str) -> str:
    """What an environment variable says; raises the Refusal `invalid_request` where it is missing or empty."""
    if not (value := os.environ.get(name)):
        raise Refusal("invalid_request", f"{name} is missing")
    return value


def main(command: str, home: Path = HOME) -> None:
    """Runs `mint` or `rotate` as the environment says."""
    try:
        where = environment()
        if command == "mint":
            booking, role, ttl = required("BOOKING"), required("ROLE"), os.environ.get("TTL") or "3600"
            wanted = Wanted.parse(
                {
                    "booking": booking,
                    "role": role,
                    "sub": os.environ.get("SUB") or role,
                    "ttl": int(ttl) if ttl.isdecimal() else ttl,
                }
            )
            print(token(DeployedSecret(where, home=home).current(), wanted, time.time()))
        else:
            which = "proxy" if os.environ.get("SECRET") == "proxy" else "token"
            DeployedSecret(where, which, home=home).rotate()
            print(
                f"The {which} secret of {where} is a new one. What the last one signed stays valid until the "
                "next rotation, so go on signing with that for a minute: until then a running function may not know "
                "the new one. It forgets older ones within 15 minutes."
            )
    except (NotFound, Refusal) as reason:
        usage = "make token BOOKING=test ROLE=driver [TTL=3600] [SUB=…]" if command == "mint" else "make rotate-secret"
        sys.exit(f"{reason}\nUsage: {usage} [ENV=local|staging|production]")
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"AWS says: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
