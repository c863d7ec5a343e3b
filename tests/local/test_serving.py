"""The process of the embedded AWS: what its server adds to MiniStack."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from local.embedded import SERVER, TAKEN, free_ports, is_held
from tests.running import PYTHON


def serve(port: int, folder: Path) -> subprocess.Popen[bytes]:
    if not PYTHON.exists():
        pytest.skip("the embedded AWS is not installed: make setup")
    environment = {
        "PATH": os.environ["PATH"],
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "TMPDIR": str(folder),
        "LOCK": str(folder / "lock"),
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([PYTHON, "-P", SERVER], env=environment, cwd=folder, stdout=log, stderr=log)


@pytest.fixture
def served(tmp_path: Path) -> Generator[tuple[int, Path]]:
    """The port of a running one, and its log."""
    port = next(free_ports(30_500, 30_500))
    process = serve(port, tmp_path)
    log = tmp_path / "log"
    try:
        end = time.monotonic() + 60
        while f"Running on http://127.0.0.1:{port}" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield port, log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_who_signs_nothing_is_refused_and_no_server_is_named(served: tuple[int, Path]) -> None:
    port, _ = served
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"x-amz-target": "DynamoDB_20120810.ListTables", "content-type": "application/x-amz-json-1.0"}
    connection.request("POST", "/", "{}", headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.status in (400, 403)
    assert answer.getheader("server") is None
    assert len(answer.headers.get_all("date", [])) == 1
    connection.close()


def test_a_query_string_is_in_no_log(served: tuple[int, Path]) -> None:
    port, log = served
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{port}/_aws/execute-api/none/local?token=secret")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/_aws/execute-api/none/local/x?token=secret")
    connection.getresponse().read()
    connection.close()
    assert "secret" not in log.read_text()


def test_a_taken_port_is_named_as_the_reason(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = serve(taken.getsockname()[1], tmp_path)
        assert process.wait(60) != 0
    assert TAKEN in (tmp_path / "log").read_text()


def test_one_alone_holds_the_state_of_a_folder_as_long_as_it_lives(served: tuple[int, Path], tmp_path: Path) -> None:
    port, _ = served
    lock = tmp_path / "lock"
    holder = json.loads(lock.read_text())
    assert holder["port"] == port
    with lock.open() as reader:
        assert is_held(reader)
        second = serve(next(free_ports(30_500, 30_500)), tmp_path)
        assert second.wait(60) != 0
        assert json.loads(lock.read_text()) == holder
        os.kill(holder["pid"], signal.SIGKILL)
        for _ in range(100):
            if not is_held(reader):
                break
            time.sleep(0.05)
        assert not is_held(reader)
