"""Access to the embedded AWS only: the AWS accounts and profiles of this machine are not used."""

import os
from functools import partial
from typing import Any

import boto3

from local.access import REGION, Access


def environment(access: Access) -> dict[str, str]:
    """The environment variables that lead boto3, SAM and the AWS CLI to the embedded AWS."""
    return {
        "AWS_ENDPOINT_URL": access.endpoint,
        "AWS_ACCESS_KEY_ID": access.key_id,
        "AWS_SECRET_ACCESS_KEY": access.secret,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def hide_accounts() -> None:
    """Removes this machine's own AWS settings from this process and from those that it starts."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]


def session(access: Access) -> boto3.Session:
    """A boto3 session with the embedded AWS, as root."""
    root: Any = boto3.Session(access.key_id, access.secret, region_name=REGION)
    root.client = partial(root.client, endpoint_url=access.endpoint)
    return root
