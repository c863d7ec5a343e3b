"""The embedded AWS's DynamoDB as a process of its own, for concurrent tests: its conditions hold, moto's do not."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".local/tools/bin/python"
START_SECONDS = 60


@contextmanager
def embedded_dynamodb() -> Generator[str]:
    """Runs it on a free port of the loopback, its data in memory; yields its endpoint."""
    if not PYTHON.exists():
        pytest.skip("the embedded AWS is not installed: make setup")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with TemporaryDirectory(prefix="navietakie-dynamodb-") as folder:
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "USER") if name in os.environ},
            "SERVICES": "dynamodb",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_REGION": "us-east-1",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "TMPDIR": folder,
            "PYTHONHASHSEED": "0",  # so that it always answers in the same order
        }
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [PYTHON, "-m", "ministack"],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        try:
            endpoint = f"http://127.0.0.1:{port}"
            end = time.monotonic() + START_SECONDS
            while not _answers(f"{endpoint}/_ministack/health"):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the embedded DynamoDB did not start: {log.read_text()[-2_000:]}")
                time.sleep(0.05)
            yield endpoint
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False
