"""Access to the embedded AWS and to no other: this machine's own accounts and profiles are not used."""

import os
from functools import partial
from typing import Any

import boto3

from local.access import REGION, Access


def environment(access: Access) -> dict[str, str]:
    """The variables with which boto3, SAM and the AWS CLI ask the embedded AWS."""
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
    """Takes the machine's own AWS settings out of this process and of those that it starts."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]


def session(access: Access) -> boto3.Session:
    """boto3's session with the embedded AWS, as its root."""
    root: Any = boto3.Session(access.key_id, access.secret, region_name=REGION)
    root.client = partial(root.client, endpoint_url=access.endpoint)
    return root
