"""Fixtures for all kinds of tests.

The running stack, behind its real doors: one for the session without tokens and one with, started at first use. After
the last test every line that their functions have logged is searched for what must not be there.
"""

from collections.abc import Generator
from functools import cache
from pathlib import Path

import moto.core.loaders
import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import settings

from local.stack import ROOT, Stack
from tests.contract.reads import READS
from tests.e2e import privacy
from tests.fakes.embedded import embedded_dynamodb
from tests.policies import recording, roles
from tests.running import Run, running

recording.start()
# Each test has sessions of its own, and each session would read and parse botocore's files anew: a quarter of all time.
_load_file = JSONFileLoader().load_file
JSONFileLoader.load_file = staticmethod(cache(_load_file))


class _MotosFiles(JSONFileLoader):
    """The same files for moto alone: what it adds to them must not reach the clients of the code."""

    load_file = staticmethod(cache(_load_file))


moto.core.loaders.Loader.FILE_LOADER_CLASS = _MotosFiles

# No deadline: the time of an example depends on how busy the machine is.
settings.register_profile("navietakie", deadline=None)
settings.load_profile("navietakie")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """End-to-end and browser tests go to one worker each: Playwright's event loop lets no other run in its process."""
    for item in items:
        for folder in ("e2e", "browser"):
            if Path("tests", folder) in item.path.relative_to(ROOT).parents:
                item.add_marker(pytest.mark.xdist_group(folder))


@pytest.fixture(scope="session", autouse=True)
def least_privilege(request: pytest.FixtureRequest) -> Generator[None]:
    """At the end of the session compares all AWS requests with the functions' roles, and all reads with their table."""
    yield
    assert {name for name, found in recording.reads.items() if not found <= set(READS.get(name, ((), ""))[0])} == set()
    if roles.are_judged(request.session.items):
        assert {name: excess for name in recording.asked if (excess := roles.excess(name))} == {}


@pytest.fixture(scope="session")
def dynamodb_endpoint() -> Generator[str]:
    """The embedded AWS's DynamoDB, one for the session. Tests make tables with names of their own."""
    with embedded_dynamodb() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def local_run(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Run, Stack]]:
    """The running stack without tokens, with the process behind it."""
    with running(tmp_path_factory.mktemp("stack")) as found:
        yield found
        privacy.check(*found)


@pytest.fixture(scope="session")
def stack(local_run: tuple[Run, Stack]) -> Stack:
    """The stack without tokens; roles' policies are enforced. Tests use bookings of their own."""
    return local_run[1]


@pytest.fixture(scope="session")
def jwt_run(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Run, Stack]]:
    """The running stack that asks for tokens, with the process behind it."""
    with running(tmp_path_factory.mktemp("jwt-stack"), "--auth-mode", "jwt") as found:
        yield found
        privacy.check(*found)


@pytest.fixture(scope="session")
def jwt_stack(jwt_run: tuple[Run, Stack]) -> Stack:
    """The stack that asks for tokens."""
    return jwt_run[1]
