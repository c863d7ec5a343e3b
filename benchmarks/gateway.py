"""A server that answers as cheaply as Python can: an empty 200 after a delay, or AWS's answer for `x-amz-target`."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.fakes.peer import certificate

_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class _Connection(asyncio.Protocol):
    def __init__(self, delay: float, answers: Mapping[bytes, bytes]) -> None:
        self._delay = delay
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            head, found, rest = self._received.partition(b"\r\n\r\n")
            if not found:
                return
            head = head.lower()
            size = int(_field(head, b"content-length") or 0)
            if len(rest) < size:
                return
            self._received = rest[size:]
            answer = self._answers.get(_field(head, b"x-amz-target"), ANSWER)
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)
            else:
                self._transport.write(answer)


def _field(head: bytes, name: bytes) -> bytes:
    return head.partition(b"\r\n" + name + b":")[2].partition(b"\r\n")[0].strip()


async def _serve(delay: float, folder: Path) -> None:
    tls = None
    if (folder / "key.pem").exists():
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    answers: dict[bytes, bytes] = {}
    for target, value in json.loads((folder / "answers.json").read_text()).items():
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {len(body)}\r\n\r\n"
        answers[target.lower().encode()] = head.encode() + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(delay, answers), "127.0.0.1", 0, ssl=tls, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def gateway(
    delay_ms: float = 0, *, tls: bool = False, core: int | None = None, answers: Mapping[str, Any] | None = None
) -> Generator[int]:
    """Starts such a server in a process of its own and yields its port. If possible, it has a core of its own, too."""
    with TemporaryDirectory() as folder:
        Path(folder, "answers.json").write_text(json.dumps(answers or {}))
        if tls:
            for name, content in zip(("certificate.pem", "key.pem"), certificate("localhost"), strict=True):
                Path(folder, name).write_bytes(content)
        command = [sys.executable, "-m", "benchmarks.gateway", str(delay_ms / 1_000), folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                port = int(process.stdout.readline())
                pin(core, process.pid)
                yield port
            finally:
                process.terminate()


def pin(core: int | None, pid: int = 0) -> None:
    """Keeps a process (0: this one) on one core, if the system allows it, so that two do not disturb each other."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {sorted(_CORES)[core % len(_CORES)]})


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), Path(sys.argv[2])))
