"""Fixtures for all kinds of tests.

The running stack, behind its real doors: one for the session without tokens and one with, started at first use. After
the last test every line that their functions have logged is searched for what must not be there.
"""

import os
from collections.abc import Generator
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import botocore.session
import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # pyright: ignore[reportMissingTypeStubs]

from local.stack import Stack
from tests.contract.reads import READS
from tests.e2e import privacy
from tests.fakes.embedded import embedded_dynamodb
from tests.policies import recording, roles
from tests.running import Run, running

recording.start()
# Each test has sessions of its own, and each would list, read and parse botocore's files anew: half of all time.
botocore.session.create_loader = cache(botocore.session.create_loader)

# No deadline: the time of an example depends on how busy the machine is.
settings.register_profile("navietakie", deadline=None)
settings.load_profile("navietakie")


OWN_STACKS = {"test_broken_stack.py", "test_clock.py", "test_company.py", "test_machine_faults.py", "test_proxy.py"}


class _Scheduling(LoadScopeScheduling):
    """Gives the tests of a module to one worker. The end-to-end tests need fewer stacks if modules stay together, too.

    Those of the browser have to: Playwright's event loop lets no other run in its process. Marks of xdist's own
    `loadgroup` have no effect with pytest 9.2 (pytest-xdist, issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        module = PurePosixPath(nodeid.partition("::")[0])
        kind = module.parent.name
        if kind not in ("e2e", "browser"):
            return str(module)
        return "own stacks" if module.name in OWN_STACKS else kind


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """The one scheduler, whatever `--dist` says."""
    return _Scheduling(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, because many tests wait."""
    return (os.cpu_count() or 1) + 1


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
