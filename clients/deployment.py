"""Finds a deployment: the local one by the file that `make run` writes, others by their CloudFormation stack's outputs.

`make config ENV=staging` prints the addresses for a front end. For the local one it also prints where the AWS CLI finds
endpoint and key. boto3 finds the account and the region as usual.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from clients.command import Command, Failed
from local.access import FILE
from local.stack import HOME, Stack

COMMAND = Command("config", "Prints the addresses of a deployment as JSON, for a front end.")


class NotFound(Failed):
    """There is no such deployment, or it is not running. The text says what to do."""


@dataclass(frozen=True)
class Deployment:
    """The addresses of a deployment. REST paths are `rest_url` and then /api/v1/…. `auth_mode`: `jwt` or `none`."""

    environment: str
    rest_url: str
    websocket_url: str
    auth_mode: str

    @classmethod
    def find(cls, environment: str) -> Self:
        """The deployment called `local`, `staging` or `production`. Raises NotFound."""
        if environment == "local":
            stack = Stack.read()
            if stack is None:
                raise NotFound("The local stack is not running: start it with `make run`")
            return cls(environment, stack.url, stack.websocket_url, stack.auth_mode)
        outputs = outputs_of(environment)
        return cls(environment, outputs["RestApiUrl"], outputs["WebSocketUrl"], outputs["AuthMode"])


def outputs_of(environment: str, home: Path = HOME) -> dict[str, str]:
    """The outputs of a deployment's stack. `home`: the folder of the local one. Raises NotFound."""
    if environment == "local":
        if (stack := Stack.read(home)) is None:
            raise NotFound("The local stack is not running: start it with `make run`")
        return stack.outputs
    try:
        stacks = boto3.client("cloudformation").describe_stacks(StackName=f"navietakie-{environment}")["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise NotFound(f"AWS says: {error}") from None
    return {each.get("OutputKey", ""): each.get("OutputValue", "") for each in stacks[0].get("Outputs", [])}


def main(argv: Sequence[str] = ()) -> None:
    """Prints the deployment that the option or environment variable ENV names, as JSON."""

    def config(told: Mapping[str, str]) -> None:
        printed = asdict(Deployment.find(told["env"]))
        if told["env"] == "local":
            printed["aws_config_file"] = str(HOME / FILE)
        print(json.dumps(printed, indent=2))

    COMMAND.run(argv, config)


if __name__ == "__main__":
    main(sys.argv[1:])
