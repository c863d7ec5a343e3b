"""coturn (if it is installed) on loopback, with the configuration of docs/calls.md."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from make_call import ice
from tests.documents import ROOT

SECRET = "the secret that coturn shares"
HOST = "turn.example.com"
INSTALLED = all(shutil.which(tool) for tool in ("turnserver", "turnutils_uclient", "openssl"))


def fenced(language: str) -> str:
    """The only block in this language under the heading `coturn` of docs/calls.md."""
    section = (ROOT / "docs" / "calls.md").read_text().split("### coturn", 1)[1]
    (block,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return block


@dataclass(frozen=True)
class Coturn:
    """A running coturn on loopback."""

    plain: int
    secure: int

    def servers(self) -> list[dict[str, Any]]:
        """The ICE servers as a call's answer names them: this coturn, with credentials for hours."""
        listed = json.dumps([{"urls": f"turn:127.0.0.1:{self.plain}"}])
        return ice.for_call(ice.parse(listed), SECRET, "ride-7", time.time_ns() // 1_000)

    def check(self, script: str) -> str:
        """The output of lines of the page, with this server in place of the page's."""
        script = script.replace(HOST, "127.0.0.1").replace("3478", str(self.plain)).replace("5349", str(self.secure))
        command = ["sh", "-c", f"TURN_SECRET='{SECRET}'\n{script}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        return done.stdout + done.stderr


@contextmanager
def running(folder: Path) -> Generator[Coturn]:
    """A coturn that keeps its files in `folder`."""
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
    """The page's configuration, changed as loopback needs it."""
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
