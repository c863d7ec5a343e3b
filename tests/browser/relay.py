"""A TURN server on the loopback: Debian's coturn, for as long as a test needs it."""

import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import Any

import pytest
import yaml

USER, PASSWORD = "ride", "loopback"
START_SECONDS = 30


@contextmanager
def turn_server(folder: Path) -> Generator[str]:
    """Its `turn:` URL, from its start to its stop."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("there is no coturn on this machine: apt install coturn")
    port = _free_port()
    log = folder / "turnserver.log"
    options = {
        "listening-ip": "127.0.0.1",
        "listening-port": port,
        "relay-ip": "127.0.0.1",
        "realm": "navietakie",
        "user": f"{USER}:{PASSWORD}",
        "db": folder / "turnserver.db",
        "pidfile": folder / "turnserver.pid",
        "log-file": log,
    }
    flags = ("-n", "--lt-cred-mech", "--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls", "--simple-log")
    arguments = [*flags, *(f"--{name}={value}" for name, value in options.items())]
    quiet: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([program, *arguments], cwd=folder, **quiet)
    try:
        _wait_for(port, process, log)
        yield f"turn:127.0.0.1:{port}?transport=udp"
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def parameters(folder: Path, url: str) -> Path:
    """A file of the template's parameters: this server, and the policy that nothing but a relay is used."""
    servers = [{"urls": url, "username": USER, "credential": PASSWORD}]
    file = folder / "relay.yaml"
    file.write_text(yaml.safe_dump({"IceServers": dumps(servers), "IceTransportPolicy": "relay"}))
    return file


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until the server takes TCP connections, which it does on the port of its UDP."""
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"coturn did not start:\n{log.read_text() if log.exists() else ''}")
