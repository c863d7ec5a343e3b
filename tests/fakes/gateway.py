"""Plays API Gateway's @connections: takes posts over real HTTP, keeps them, and misbehaves on demand."""

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

Misbehaviour = Callable[[], int]
"""Returns the status to answer with. It may wait first."""


class Gateway:
    """`frames` holds what each connection was sent; `misbehave[id]` decides the status of its posts."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.frames: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.bodies: dict[str, list[bytes]] = defaultdict(list)
        self.closed: list[str] = []
        self.misbehave: dict[str, Misbehaviour] = {}

    def types(self, connection_id: str) -> list[str]:
        """The types of the frames that a connection got, in order."""
        return [frame["type"] for frame in self.frames[connection_id]]


@contextmanager
def gateway() -> Generator[Gateway]:
    """Runs a gateway on a free port of the loopback."""

    class Connections(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            connection_id = unquote(self.path.rpartition("/")[2])
            status = there.misbehave.get(connection_id, lambda: 200)()
            if status == 200:
                there.bodies[connection_id].append(body)
                there.frames[connection_id].append(json.loads(body))
            self._answer(status)

        def do_DELETE(self) -> None:
            there.closed.append(unquote(self.path.rpartition("/")[2]))
            self._answer(204)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Connections)
    server.daemon_threads = True
    there = Gateway(f"http://127.0.0.1:{server.server_port}/local")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
