"""What every kind of test may ask for."""

from collections.abc import Generator

import pytest

from tests.fakes.embedded import embedded_dynamodb


@pytest.fixture(scope="session")
def dynamodb_endpoint() -> Generator[str]:
    """The embedded AWS's DynamoDB, one for the session. Tests make tables with names of their own."""
    with embedded_dynamodb() as endpoint:
        yield endpoint
