"""The embedded AWS's process: MiniStack's ASGI application, served by uvicorn on httptools.

MiniStack's own start serves the same application by hypercorn on h11, which is a third of its CPU per message.
"""

import base64
import contextlib
import fcntl
import importlib
import json
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from typing import Any

import uvicorn

type Message = dict[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Application = Callable[[Message, Receive, Send], Awaitable[None]]

connect_status: ContextVar[int] = ContextVar("connect_status", default=0)
"""What the function has answered to the `$connect` of this connection; 0 before that."""


class Base64(str):
    """A binary frame as an event has it."""

    __slots__ = ()


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


def ministack() -> Application:
    """MiniStack's application, and two things about WebSockets that it leaves out.

    Whoever is refused at `$connect` sees the function's status, and the event of a binary frame says that it is one.
    """
    application: Application = importlib.import_module("ministack.app").app
    gateway: Any = importlib.import_module("ministack.services.apigateway")
    worker: Any = importlib.import_module("ministack.core.lambda_runtime").Worker
    invoke_route, invoke = gateway._invoke_ws_lambda, worker.invoke

    async def invoke_route_and_note(*given: Any, **named: Any) -> Any:
        answer: Message | None = await invoke_route(*given, **named)
        if not connect_status.get():  # its $connect is the first that a connection invokes
            connect_status.set(int((answer or {}).get("statusCode", 200)))
        return answer

    def mark_and_invoke(self: Any, event: Any, *given: Any, **named: Any) -> Any:
        match event:
            case {"body": Base64()}:
                event["isBase64Encoded"] = True
            case _:
                pass
        return invoke(self, event, *given, **named)

    gateway._invoke_ws_lambda, worker.invoke = invoke_route_and_note, mark_and_invoke

    async def served(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            receive, send = in_base64(receive), showing_status(send)
        await application(scope, receive, send)

    return served


def in_base64(receive: Receive) -> Receive:
    """The same, with binary frames as text."""

    async def received() -> Message:
        message = await receive()
        if (frame := message.get("bytes")) is not None:
            return {"type": "websocket.receive", "text": Base64(base64.b64encode(frame), "ascii")}
        return message

    return received


def showing_status(send: Send) -> Send:
    """The same, with the status of a refused `$connect` in place of ASGI's 403."""

    async def sent(message: Message) -> None:
        if message["type"] == "websocket.close" and (status := connect_status.get()) >= 300:
            await send({"type": "websocket.http.response.start", "status": status, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
        else:
            await send(message)

    return sent


def main() -> None:
    """Serves until SIGTERM; MiniStack saves its state when the server shuts its lifespan down."""
    allow_open_files()
    port = int(os.environ["GATEWAY_PORT"])
    config = uvicorn.Config(
        ministack,
        factory=True,
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
