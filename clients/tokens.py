"""`make token` and `make rotate-secret`: tokens for a local or a deployed stack, and a new secret to sign them.

They take options, or environment variables, as make passes its own on. They print only the result on standard output.
To make tokens, one must be allowed to read the function's settings and the secret.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import boto3
import jwt
from pydantic import Field

from clients.command import BOOKING, Command, Failed, Option
from local.stack import HOME, Stack
from navietakie.domain.errors import Refusal
from navietakie.domain.message import BookingCode, Fields, Label, Sender
from navietakie.doors.identity import AUDIENCE

SECRETS = {"token": "TOKEN_SECRET_ARN", "proxy": "PROXY_SECRET_ARN"}
"""The websocket function's settings that name the secrets. A stack has the second one only in proxy mode."""
MINT = Command(
    "token",
    "Prints a token.",
    (
        BOOKING,
        Option("role", "driver", "driver, passenger, agent or system", None),
        Option("ttl", "3600", "how many seconds it is valid", "3600"),
        Option("sub", "…", "whom it is for (default: the role)"),
    ),
)
ROTATE = Command(
    "rotate-secret",
    "Makes a new secret to sign with; the last one stays valid.",
    (Option("secret", "proxy", "token or proxy", "token"),),
)


class Wanted(Fields):
    """The person that a token is for. `ttl` in seconds."""

    booking: BookingCode
    role: Sender
    sub: Label
    ttl: Annotated[int, Field(ge=1, le=10 * 365 * 86_400)]


def token(secret: str, wanted: Wanted, now: float) -> str:
    """A token signed with `secret`, valid from `now` (seconds since 1970) for its `ttl`."""
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

    `home`: the folder of the local stack.
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
        """The version that signs now."""
        return self._client.get_secret_value(SecretId=self._arn)["SecretString"]

    def versions(self) -> list[str]:
        """The current version, and the one before it if there is one."""
        try:
            previous = self._client.get_secret_value(SecretId=self._arn, VersionStage="AWSPREVIOUS")["SecretString"]
        except self._client.exceptions.ResourceNotFoundException:
            return [self.current()]
        return [self.current(), previous]

    def rotate(self) -> None:
        """Makes a new version the current one. The last one stays valid, the one before it does not."""
        self.put(self._client.get_random_password(PasswordLength=64, ExcludePunctuation=True)["RandomPassword"])

    def put(self, version: str) -> None:
        """Makes `version` the current one."""
        self._client.put_secret_value(SecretId=self._arn, SecretString=version)


def aws_of(environment: str, home: Path = HOME) -> dict[str, str]:
    """The arguments with which boto3.client reaches an environment. Empty, except for the embedded AWS."""
    if environment != "local":
        return {}
    stack = Stack.read(home)
    if stack is None:
        raise Refusal("not_found", "The local stack is not running: start it with `make run`")
    return stack.access.client


def main(argv: Sequence[str], home: Path = HOME) -> None:
    """Runs `mint` or `rotate`, whichever the first argument says, with the other arguments or environment variables."""

    def mint(told: Mapping[str, str]) -> None:
        ttl = told["ttl"]
        wanted = Wanted.parse(
            {
                "booking": told["booking"],
                "role": told["role"],
                "sub": told["sub"] or told["role"],
                "ttl": int(ttl) if ttl.isdecimal() else ttl,
            }
        )
        print(token(DeployedSecret(told["env"], home=home).current(), wanted, time.time()))

    def rotate(told: Mapping[str, str]) -> None:
        which = told["secret"]
        if which not in ("token", "proxy"):
            raise Failed(f"SECRET is token or proxy, not {which}")
        DeployedSecret(told["env"], which, home=home).rotate()
        print(
            f"The {which} secret of {told['env']} is a new one. What the last one signed stays valid until the "
            "next rotation, so go on signing with that for a minute: until then a running function may not know "
            "the new one. It forgets older ones within 15 minutes."
        )

    command, act = {"mint": (MINT, mint), "rotate": (ROTATE, rotate)}[argv[0]]
    command.run(argv[1:], act)


if __name__ == "__main__":
    main(sys.argv[1:] if sys.argv[1:2] in (["mint"], ["rotate"]) else ["mint", *sys.argv[1:]])
