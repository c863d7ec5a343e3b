"""The DynamoDB that all adapters of the tables are tested on."""

from collections.abc import Generator
from typing import Any

import pytest
from moto import mock_aws

from tests.fakes import tables
from tests.worlds.moto import aws


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """A client of DynamoDB on moto, where the tables are made and empty."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = aws("dynamodb")
        tables.create(client)
        yield client
