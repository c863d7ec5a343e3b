"""Tables on the embedded AWS's DynamoDB, for many threads at once."""

import uuid
from collections.abc import Generator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.fakes import tables


@pytest.fixture
def dynamodb(dynamodb_endpoint: str) -> Any:
    """A client for as many threads as a test likes."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    return session.client("dynamodb", endpoint_url=dynamodb_endpoint, config=Config(max_pool_connections=64))


@pytest.fixture
def names(dynamodb: Any) -> Generator[dict[str, str]]:
    """The names of three new tables: `messages`, `connections`, `calls`."""
    own = {name: f"{name}-{uuid.uuid4().hex[:8]}" for name in tables.NAMES}
    tables.create(dynamodb, own)
    yield own
    for name in own.values():
        dynamodb.delete_table(TableName=name)
