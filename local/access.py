"""The key to the embedded AWS: new at each start, in a file that only its owner may read.

The file has AWS's own format, so the AWS CLI reads it too: `AWS_CONFIG_FILE=.local/aws.ini aws dynamodb
list-tables`.
"""

import configparser
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TextIO

FILE = "aws.ini"
REGION = "us-east-1"
PROFILE = "default"


@dataclass(frozen=True)
class Access:
    """How to reach an embedded AWS as its root: the endpoint and the key."""

    endpoint: str
    key_id: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls, endpoint: str) -> Self:
        """A new key that nobody else has."""
        # Not AKIA or ASIA: the embedded AWS would read an account out of such an id.
        return cls(endpoint, f"LOCAL{secrets.token_hex(8).upper()}", secrets.token_urlsafe(32))

    @classmethod
    def read(cls, home: Path) -> Self:
        """The access to the stack whose folder is `home`. Raises FileNotFoundError if none has ever run there."""
        file = configparser.RawConfigParser()
        file.read_string((home / FILE).read_text())
        profile = file[PROFILE]
        return cls(profile["endpoint_url"], profile["aws_access_key_id"], profile["aws_secret_access_key"])

    def write(self, home: Path) -> None:
        """Writes the key for the project's tools. Only the owner may read it."""
        file = configparser.RawConfigParser()
        file[PROFILE] = {
            "region": REGION,
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.key_id,
            "aws_secret_access_key": self.secret,
        }
        new = home / f"{FILE}.new"
        with private(new) as out:
            file.write(out)
        new.replace(home / FILE)

    @property
    def front_door(self) -> str:
        """The front door's key. It opens the stages of the APIs and signed requests to S3, and nothing else."""
        return hmac.new(self.secret.encode(), b"front door", hashlib.sha256).hexdigest()

    @property
    def credentials(self) -> dict[str, str]:
        """The arguments with which `boto3.client` signs."""
        return {
            "region_name": REGION,
            "aws_access_key_id": self.key_id,
            "aws_secret_access_key": self.secret,
        }

    @property
    def client(self) -> dict[str, str]:
        """All arguments of `boto3.client` besides the service's name."""
        return {"endpoint_url": self.endpoint, **self.credentials}


def private(file: Path) -> TextIO:
    """Opens a new file for writing that only its owner may read."""
    file.unlink(missing_ok=True)
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
