"""The embedded AWS's process: MiniStack's ASGI application, served by uvicorn on httptools.

MiniStack's own start serves the same application by hypercorn on h11, which is a third of its CPU per message.
"""

import contextlib
import fcntl
import json
import os
import resource
import socket
from collections.abc import Generator

import uvicorn


class Server(uvicorn.Server):
    """Says where it listens, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"Running on http://{self.config.host}:{self.config.port}", flush=True)


def allow_open_files() -> None:
    """As many as the system grants: each connection is one, each worker three, and a Mac begins at 256."""
    with contextlib.suppress(OSError, ValueError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def locked(port: int) -> Generator[None]:
    """Says who holds the state of this folder, at which port; raises BlockingIOError when another process does."""
    with open(os.environ["LOCK"], "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        json.dump({"pid": os.getpid(), "port": port}, lock)
        lock.flush()
        yield


def main() -> None:
    """Serves until SIGTERM; MiniStack saves its state when the server shuts its lifespan down."""
    allow_open_files()
    port = int(os.environ["GATEWAY_PORT"])
    config = uvicorn.Config(
        "ministack.app:app",
        host=os.environ["BIND_HOST"],
        port=port,
        loop="asyncio",
        http="httptools",
        ws="websockets-sansio",
        lifespan="on",
        log_level="warning",  # on `info` it logs query strings, and so tokens
        access_log=False,
        # What follows is as MiniStack's own server has it.
        server_header=False,
        date_header=False,
        proxy_headers=False,  # MiniStack reads them itself
        ws_ping_interval=None,  # a client that does not read would be cut off
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )
    with locked(port):
        Server(config).run()


if __name__ == "__main__":
    main()
