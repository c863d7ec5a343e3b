"""`make start-api`: the REST functions in Docker, on the tables of a running stack."""

import os
import signal
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from local.frontdoor import listen
from local.stack import ROOT, Stack
from local.start_api import IMAGE
from tests.running import PYTHON, Run


def reason_to_skip() -> str | None:
    try:
        images = subprocess.run(["docker", "images", "--quiet", IMAGE], capture_output=True, text=True, timeout=30)
        pulled = subprocess.run(["docker", "images", "--quiet", f"{IMAGE}-x86_64"], capture_output=True, text=True)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return "no Docker here"
    if images.returncode != 0:
        return "Docker does not run here"
    return None if images.stdout or pulled.stdout else f"{IMAGE} has not been pulled"


@pytest.fixture
def api(local_run: tuple[Run, Stack], tmp_path: Path) -> Generator[str]:
    """The address of a `sam local start-api` beside the running stack."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    with listen(0)[0] as free:
        port = free.getsockname()[1]
    log = tmp_path / "start-api.log"
    with log.open("wb") as out:
        command = [PYTHON, "-m", "local.start_api", "--home", local_run[0].home, "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while "Running on" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def test_functions_in_docker_share_the_tables_of_the_stack(api: str, stack: Stack) -> None:
    fields = {"booking_code": "in-docker", "message": "Hello", "sender": "driver"}
    sent = httpx.post(f"{api}/api/v1/send_message", json=fields, timeout=120)
    assert sent.status_code == 201, sent.text
    for base in (api, stack.url):
        page = httpx.get(f"{base}/api/v1/get_message?booking_code=in-docker", timeout=120)
        assert [message["message"] for message in page.json()["messages"]] == ["Hello"]
