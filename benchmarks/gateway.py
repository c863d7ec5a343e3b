"""A server that answers every request with an empty 200 after a delay, as cheaply as Python can."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fakes.peer import certificate

_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class _Connection(asyncio.Protocol):
    def __init__(self, delay: float) -> None:
        self._delay = delay
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
            _, _, length = head.lower().partition(b"content-length:")
            size = int(length.split(b"\r\n", 1)[0] or 0)
            if len(rest) < size:
                return
            self._received = rest[size:]
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._transport.write, ANSWER)
            else:
                self._transport.write(ANSWER)


async def _serve(delay: float, folder: str) -> None:
    tls = None
    if folder:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(Path(folder, "certificate.pem"), Path(folder, "key.pem"))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(delay), "127.0.0.1", 0, ssl=tls, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def gateway(delay_ms: float = 0, *, tls: bool = False, core: int | None = None) -> Generator[int]:
    """The port of such a server in a process of its own, on a processor core of its own where that can be asked for."""
    with TemporaryDirectory() as folder:
        if tls:
            for name, content in zip(("certificate.pem", "key.pem"), certificate("localhost"), strict=True):
                Path(folder, name).write_bytes(content)
        command = [sys.executable, "-m", "benchmarks.gateway", str(delay_ms / 1_000), folder if tls else ""]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                port = int(process.stdout.readline())
                pin(core, process.pid)
                yield port
            finally:
                process.terminate()


def pin(core: int | None, pid: int = 0) -> None:
    """Keeps a process (0: this one) on one core, where the system lets us: then one's work is not the other's time."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {sorted(_CORES)[core % len(_CORES)]})


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), sys.argv[2]))
