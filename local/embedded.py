"""The embedded AWS: MiniStack, one process with one port. Its state is in a folder."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from local import logs
from local.access import REGION, Access
from local.stack import ROOT

PORTS = range(20_000, 30_000)  # below the ports that systems assign by themselves
SERVER = "local.serve_ministack"
LOCK = "embedded.lock"
TAKEN = "already in use"
START_SECONDS = 60
STOP_SECONDS = 30
ENVIRONMENTS = max(4, 2 * (os.cpu_count() or 1))
"""In how many environments at a time each function runs."""


class DidNotStart(Exception):
    """A part of the stack did not start. The text says where to look."""


class EmbeddedAws:
    """MiniStack on a free loopback port. When it is stopped, it saves its state below `home`.

    `variables` are environment variables that the functions get in addition to their own.
    """

    def __init__(self, home: Path, variables: Mapping[str, str]) -> None:
        self._home = home
        self._variables = variables
        self._lock = home / LOCK
        self._process: subprocess.Popen[bytes] | None = None
        self.log = home / "embedded.log"

    async def start(self) -> Access:
        """Starts it. Returns the access to it as soon as it answers. Raises DidNotStart."""
        last_port = await asyncio.to_thread(self._end_last)
        # The deployed functions know the port, because they post to connections there. So each folder keeps its port.
        own_port = PORTS.start + zlib.crc32(bytes(self._home)) % len(PORTS)
        for port in free_ports(last_port or own_port, own_port):
            access = Access.new(f"http://127.0.0.1:{port}")
            access.write(self._home)
            self._spawn(port)
            if await self._listens(access.endpoint):
                return access
            if self.alive() or TAKEN not in self.log.read_text(errors="replace"):
                break
        raise DidNotStart(f"The embedded AWS did not start; its log is {self.log}")

    def _spawn(self, port: int) -> None:
        folders = {name: self._home / "state" / name for name in ("services", "s3")}
        folders["tmp"] = self._new_scratch_folder()
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        logs.file_in(self._home).write_text("")
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "USER") if name in os.environ},
            "AUTH": "true",  # a function may do what its role allows, as on AWS
            "LAMBDA_ACCOUNT_CONCURRENCY": "0",  # the machine's memory sets no limit; serve_ministack lets requests wait
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(folders["services"]),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(folders["s3"]),
            "TMPDIR": str(folders["tmp"]),
            "LOCK": str(self._lock),
            "NO_PROXY": "127.0.0.1,localhost",
            "STACK": str(self._home),
            "PYTHONPATH": str(ROOT),
            # The workers inherit these.
            "NAVIETAKIE_FUNCTION_LOG": str(logs.file_in(self._home)),
            **self._variables,
        }
        with self.log.open("wb") as log:
            # Not in the terminal's process group: a Ctrl-C would end it before it has saved.
            self._process = subprocess.Popen(
                # -P: do not import modules from the folder that it starts in.
                [sys.executable, "-P", "-m", SERVER],
                env=environment,
                cwd=folders["tmp"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _listens(self, endpoint: str) -> bool:
        """Waits until it says that it listens. It is not enough that its port answers: that may be another stack."""
        for _ in range(START_SECONDS * 20):
            if f"Running on {endpoint}" in self.log.read_text(errors="replace"):
                return True
            if not self.alive():
                break
            await asyncio.sleep(0.05)
        return False

    def alive(self) -> bool:
        """Whether its process still runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> bool:
        """Ends it. Returns whether its state is saved; if not, the last saved state is untouched."""
        if self._process is None:
            return True
        self._process.terminate()
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._process = None
        return status == 0

    def _new_scratch_folder(self) -> Path:
        """The folder where it unpacks functions. The many small files of earlier runs are deleted meanwhile."""
        scratch = self._home / "scratch"
        old = list(scratch.glob("*"))
        if old:
            subprocess.Popen(["rm", "-rf", *old], start_new_session=True)
        return scratch / str(time.time_ns())

    def _end_last(self) -> int | None:
        """Ends the last one if a killed `make run` has left it running. Returns the last one's port."""
        end(self._home)
        with contextlib.suppress(FileNotFoundError, ValueError):  # ValueError: it died while it wrote this
            return json.loads(self._lock.read_text())["port"]
        return None


def end(home: Path) -> bool:
    """Ends the embedded AWS of the stack in `home`, if it runs, so that it saves. Returns whether it ran."""
    with contextlib.suppress(FileNotFoundError), (home / LOCK).open() as lock:
        if is_held(lock):
            pid = json.load(lock)["pid"]
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                for _ in range(STOP_SECONDS * 10):
                    if not is_held(lock):
                        break
                    time.sleep(0.1)
                else:
                    os.kill(pid, signal.SIGKILL)
            fcntl.flock(lock, fcntl.LOCK_SH)
            return True
    return False


def is_held(lock: IO[str]) -> bool:
    """Whether another process holds this lock file. The embedded AWS holds it as long as it lives."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(lock, fcntl.LOCK_UN)
    return False


def free_ports(first: int, then: int) -> Iterator[int]:
    """Ports to try: `first`, then those from `then` on."""
    for port in [first, *range(then, then + 200)]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
