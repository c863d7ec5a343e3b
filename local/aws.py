"""Talking to the embedded AWS, and to no other: this machine's own accounts and profiles are out of sight."""

import os
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

REGION = "us-east-1"


def environment(endpoint: str) -> dict[str, str]:
    """The variables with which boto3, SAM and the AWS CLI ask the embedded AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def hide_accounts() -> None:
    """Takes the machine's own AWS settings out of this process and of those that it starts."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]


class EmbeddedClients:
    """boto3's clients of the embedded AWS at `endpoint`. Its root keys are `test` and `test`."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._session = boto3.Session("test", "test", region_name=REGION)

    @property
    def cloudformation(self) -> "CloudFormationClient":
        return self._session.client("cloudformation", endpoint_url=self._endpoint)

    @property
    def dynamodb(self) -> "DynamoDBClient":
        return self._session.client("dynamodb", endpoint_url=self._endpoint)

    @property
    def functions(self) -> "LambdaClient":
        return self._session.client("lambda", endpoint_url=self._endpoint)

    @property
    def s3(self) -> "S3Client":
        return self._session.client("s3", endpoint_url=self._endpoint)

    @property
    def ssm(self) -> "SSMClient":
        return self._session.client("ssm", endpoint_url=self._endpoint)
