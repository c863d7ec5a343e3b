"""Starts the process of the embedded AWS for a test, without the rest of `make run`."""

import os
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.access import Access
from local.embedded import SERVER, free_ports
from local.stack import ROOT
from tests.running import PYTHON

START_SECONDS = 60
FIRST_PORT = 30_500 + os.getpid() % 2_000
"""Test processes that run at once begin to look for a free port at different places."""


def serve(port: int, folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Starts one, with key and log in `folder`. `variables`: environment variables that its functions get, too."""
    if not PYTHON.exists():
        pytest.skip("the embedded AWS is not installed: make setup")
    if not (folder / "aws.ini").exists():
        Access.new(f"http://127.0.0.1:{port}").write(folder)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "STACK": str(folder),
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "TMPDIR": str(folder),
        "LOCK": str(folder / "lock"),
        **variables,
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([PYTHON, "-P", "-m", SERVER], env=environment, cwd=folder, stdout=log, stderr=log)


@contextmanager
def serving(folder: Path, **variables: str) -> Generator[Access]:
    """A running embedded AWS, from its start to its stop."""
    process = serve(next(free_ports(FIRST_PORT, FIRST_PORT)), folder, **variables)
    access, log = Access.read(folder), folder / "log"
    try:
        end = time.monotonic() + START_SECONDS
        while f"Running on {access.endpoint}" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield access
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
