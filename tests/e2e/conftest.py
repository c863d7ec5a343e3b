"""What end-to-end tests share."""

from pathlib import Path

import pytest

from tests.running import running


@pytest.fixture(scope="session")
def stopped_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stack that was deployed and stopped: its next start deploys nothing."""
    home = tmp_path_factory.mktemp("stopped")
    with running(home):
        pass
    return home
