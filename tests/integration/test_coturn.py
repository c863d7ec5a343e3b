"""coturn, where it is installed: it runs with docs/calls.md's configuration, and takes the credentials of a call."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from make_call import ice
from tests.documents import ROOT

SECRET = "the secret that coturn shares"
HOST = "turn.example.com"
TOOLS = ("turnserver", "turnutils_uclient", "openssl")

pytestmark = pytest.mark.skipif(
    not all(shutil.which(tool) for tool in TOOLS), reason="coturn is not installed (Debian: apt-get install coturn)"
)


def fenced(language: str) -> str:
    """The one block in this language under the heading `coturn` of docs/calls.md."""
    section = (ROOT / "docs" / "calls.md").read_text().split("### coturn", 1)[1]
    (block,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return block


@dataclass(frozen=True)
class Coturn:
    """A coturn of this test's own, on loopback."""

    plain: int
    secure: int

    def check(self, script: str) -> str:
        """What lines of the page print, asked of this server and not of the page's."""
        script = script.replace(HOST, "127.0.0.1").replace("3478", str(self.plain)).replace("5349", str(self.secure))
        command = ["sh", "-c", f"TURN_SECRET='{SECRET}'\n{script}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Generator[Coturn]:
    folder = tmp_path_factory.mktemp("coturn")
    certificate = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run(["openssl", *certificate, *files], check=True, capture_output=True)
    server = Coturn(free_port(), free_port())
    (folder / "turnserver.conf").write_text(configuration(folder, server))
    with (folder / "log").open("w") as log:
        command = ["turnserver", "-c", str(folder / "turnserver.conf")]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            await_port(server.plain, process, folder / "log")
            yield server
        finally:
            process.terminate()
            process.wait(20)


def configuration(folder: Path, server: Coturn) -> str:
    """The page's configuration, with what has to differ on loopback."""
    text = fenced("ini").replace("THE-SECRET-BEHIND-TurnSecretArn", SECRET)
    text = text.replace(f"/etc/letsencrypt/live/{HOST}", str(folder))
    text = text.replace("=3478", f"={server.plain}").replace("=5349", f"={server.secure}")
    text = text.replace("denied-peer-ip=127.0.0.0-127.255.255.255", "allow-loopback-peers")
    own = {"userdb": folder / "db", "pidfile": folder / "pid", "log-file": "stdout"}
    loopback = {"listening-ip": "127.0.0.1", "relay-ip": "127.0.0.1"}
    return text + "".join(f"{name}={value}\n" for name, value in (own | loopback).items())


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def await_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Waits until somebody listens."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


def checks() -> tuple[str, list[str]]:
    """The page's lines: those that make the credentials, and the three that check."""
    lines = [line for line in fenced("sh").splitlines() if line]
    return "\n".join(lines[:2]), lines[2:]


def received(printed: str) -> int:
    """How many packets came back through the relay."""
    return max(map(int, re.findall(r"tot_recv_msgs=(\d+)", printed)), default=0)


def test_the_three_checks_of_the_page_say_what_it_promises(coturn: Coturn) -> None:
    credentials, (udp, tls, stranger) = checks()
    for relayed in (udp, tls):
        printed = coturn.check(f"{credentials}\n{relayed}")
        assert "Total lost packets" in printed, printed
        assert received(printed) > 0, printed
    printed = coturn.check(f"{credentials}\n{stranger}")
    assert "Cannot complete Allocation" in printed
    assert received(printed) == 0


def test_coturn_takes_the_credentials_of_a_call_and_none_that_have_expired(coturn: Coturn) -> None:
    def answer(now: int) -> str:
        (server,) = ice.for_call(ice.parse('[{"urls": "turn:turn.example.com"}]'), SECRET, "ride-7", now)
        user, password = server["username"], server["credential"]
        return coturn.check(f"turnutils_uclient -y -n 2 -u '{user}' -w '{password}' -p 3478 {HOST}")

    now = time.time_ns() // 1_000
    assert received(answer(now)) > 0
    assert "Cannot complete Allocation" in answer(now - ice.CREDENTIAL_LIFE - 1_000_000)


def test_the_pages_parameters_name_the_server_that_it_configures() -> None:
    (servers,) = re.findall(r"IceServers: '(.*)'", fenced("yaml"))
    (server,) = ice.parse(servers)
    assert server.relays
    ports = re.findall(r"listening-port=(\d+)", fenced("ini"))
    assert [url for url in server.urls if not any(f"{HOST}:{port}" in url for port in ports)] == []
