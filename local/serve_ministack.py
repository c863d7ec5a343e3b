"""The embedded AWS's process: MiniStack's ASGI application behind the guard, served by uvicorn on httptools.

MiniStack's own start serves the same application by hypercorn on h11, which is a third of its CPU per message.
"""

import base64
import contextlib
import fcntl
import hashlib
import hmac
import importlib
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Generator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import uvicorn

from local import descriptors
from local.access import Access
from local.embedded import ENVIRONMENTS
from local.guard import Application, Credential, Guard, Message, Receive, Send

WORKER = Path(__file__).parent / "worker"
CLOSED_SECONDS = 10
"""How long no other environment of a function is tried after one could not be started."""

connect_status: ContextVar[int] = ContextVar("connect_status", default=0)
"""The status with which the function has answered the `$connect` of this connection; 0 before that."""


class Base64(str):
    """A binary frame, in base64 as in Lambda's events."""

    __slots__ = ()


class Server(uvicorn.Server):
    """Prints where it listens, as soon as it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"Running on http://{self.config.host}:{self.config.port}", flush=True)


@contextlib.contextmanager
def locked(port: int) -> Generator[None]:
    """Holds the state of this folder, and notes pid and port. Raises BlockingIOError if another process holds it."""
    with open(os.environ["LOCK"], "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        json.dump({"pid": os.getpid(), "port": port}, lock)
        lock.flush()
        yield


def ministack() -> Application:
    """MiniStack's application, with two things about WebSockets that it leaves out.

    A client that `$connect` refuses sees the function's status, and the event of a binary frame says that it is binary.
    """
    application: Application = importlib.import_module("ministack.app").app
    gateway: Any = importlib.import_module("ministack.services.apigateway")
    worker: Any = importlib.import_module("ministack.core.lambda_runtime").Worker
    invoke_route, invoke = gateway._invoke_ws_lambda, worker.invoke

    async def invoke_route_and_note(*given: Any, **named: Any) -> Any:
        answer: Message | None = await invoke_route(*given, **named)
        if not connect_status.get():  # the first invocation of a connection is its $connect
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


def roles() -> dict[str, Credential]:
    """The credentials of the functions' roles, by key id. A worker's are in it as soon as the worker has them.

    MiniStack derives them from the names of function and role, as anybody could. Here a secret of this start goes in.
    """
    runtime: Any = importlib.import_module("ministack.core.lambda_runtime")
    sts: Any = importlib.import_module("ministack.services.sts")
    functions: Any = importlib.import_module("ministack.services.lambda_svc")
    issued: dict[str, Credential] = {}
    guessable, start, one_at_a_time = runtime.execution_credentials, secrets.token_bytes(32), threading.Lock()

    def unguessable(config: Message) -> dict[str, str]:
        def made(what: str) -> str:
            return hmac.new(
                start, f"{what} {config['FunctionArn']} {config['Role']}".encode(), hashlib.sha256
            ).hexdigest()

        key_id, secret, token = f"ASIA{made('key')[:16].upper()}", made("secret"), made("token")
        with one_at_a_time:
            session = sts._sessions.pop(guessable(config)["AWS_ACCESS_KEY_ID"])
            sts.register_session(key_id, {**session, "SecretAccessKey": secret, "SessionToken": token})
            issued[key_id] = Credential(secret, token)
        return {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}

    runtime.execution_credentials = functions.execution_credentials = unguessable
    return issued


def let_a_rush_wait() -> None:
    """Makes each function run in a few environments at a time: requests wait while all are busy.

    MiniStack starts another process when all are busy, as AWS does. A rush of requests would start hundreds on this
    machine, and they would starve each other and MiniStack. And it gives a frame to a worker that may be busy.

    An environment needs space on the disk, for the function's code. If none can be started, those that run go on, and
    requests wait for them. MiniStack would end them all.
    """
    runtime: Any = importlib.import_module("ministack.core.lambda_runtime")
    functions: Any = importlib.import_module("ministack.services.lambda_svc")
    execute, acquire = functions._execute_function_warm, runtime.acquire_worker
    rooms: dict[str, threading.Semaphore] = {}

    def room(name: str) -> threading.Semaphore:
        return rooms.setdefault(name, threading.Semaphore(ENVIRONMENTS))

    def forget(worker: Any) -> bool:
        """Takes a worker that did not start out of its pool. Returns whether another runs."""
        others: list[Any] = []
        with runtime._lock:
            for pool in runtime._workers.values():
                if worker in pool:
                    pool.remove(worker)
                    others = list(pool)
        runtime.kill_workers([worker])
        return any(each._proc is not None and each._proc.poll() is None for each in others)

    def acquire_running(name: str, *given: Any, **named: Any) -> Any:
        """A worker that runs, for a caller in the room. Raises OSError or RuntimeError if there is none."""
        while True:
            worker, how = acquire(name, *given, **named)
            try:
                runtime.ensure_spawned(worker)
            except (OSError, RuntimeError):
                if not forget(worker):
                    raise
                # The room gets smaller by one for a while.
                later = threading.Timer(CLOSED_SECONDS, room(name).release)
                later.daemon = True
                later.start()
                room(name).acquire()
            else:
                return worker, how

    def execute_in_turn(function: Message, *given: Any) -> Any:
        config: Message = function.get("config") or function
        with room(config["FunctionName"]):
            try:
                return execute(function, *given)
            except (OSError, RuntimeError) as failure:
                return {
                    "body": {"errorMessage": str(failure), "errorType": type(failure).__name__},
                    "error": True,
                    "log": "",
                }

    class Leased:
        """A worker for one frame: taken when it is free, and given back."""

        def __init__(self, name: str, *given: Any, **named: Any) -> None:
            self._name, self._given, self._named = name, given, named

        def invoke(self, event: Message, *given: Any, **named: Any) -> Message:
            """What the function answers. If it fails, the status and the frame of API Gateway."""
            answer: Message = {}
            with contextlib.suppress(OSError, RuntimeError), room(self._name):
                worker, _ = acquire_running(self._name, *self._given, **self._named)
                try:
                    answer = worker.invoke(event, *given, **named)
                finally:
                    runtime.release_worker(worker)
            if answer.get("status") == "ok":
                return answer
            frame = {name: event["requestContext"].get(name) for name in ("connectionId", "requestId")}
            body = json.dumps({"message": "Internal server error", **frame})
            return {"status": "ok", "result": {"statusCode": 502, "body": body}}

    functions._execute_function_warm, functions.acquire_worker = execute_in_turn, acquire_running
    runtime.get_or_create_worker = Leased


def unpack_once() -> None:
    """Makes the environments of all functions share what an archive unpacks to. They only read it, as on AWS.

    MiniStack unpacks function and layer again for each environment: 1,600 files, and the disk is busy for seconds.
    """
    runtime: Any = importlib.import_module("ministack.core.lambda_runtime")
    shared, one_at_a_time = Path(tempfile.mkdtemp(prefix="unpacked-")), threading.Lock()

    class Archive(zipfile.ZipFile):
        def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
            """Makes the empty folder `path` a link to the files."""
            with open(str(self.filename), "rb") as file:
                files = shared / hashlib.file_digest(file, "sha256").hexdigest()
            with one_at_a_time:
                if not files.exists():
                    new = Path(tempfile.mkdtemp(dir=shared))
                    try:
                        super().extractall(new, members, pwd)
                    except OSError:
                        shutil.rmtree(new, ignore_errors=True)
                        raise
                    new.rename(files)
            Path(path).rmdir()
            Path(path).symlink_to(files)

    class Zips:
        """The module `zipfile`, with this archive."""

        ZipFile = Archive

        def __getattr__(self, name: str) -> Any:
            return getattr(zipfile, name)

    runtime.zipfile = Zips()


def survive_a_clock_set_back() -> None:
    """Forgets what was taken of the REST API's rate when the clock was set back.

    MiniStack would take the time for negative, and refuse every request until the clock has caught up.
    """
    rest: Any = importlib.import_module("ministack.services.apigateway_v1")
    take = rest._take_token

    def taken(slot: Any, limits: Any) -> bool:
        if slot in rest._throttle_state and rest._throttle_state[slot][1] > time.time():
            del rest._throttle_state[slot]
        return take(slot, limits)

    rest._take_token = taken


def want_signed_forms() -> None:
    """Makes S3 refuse a form without a signature. MiniStack would accept it as root's."""
    s3: Any = importlib.import_module("ministack.services.s3")

    def refused(_policy: str, _size: int) -> Any:
        return s3._error("AccessDenied", "The form is not signed", 403)

    s3._enforce_post_policy_size = refused  # the only check that MiniStack makes of unsigned forms


class Failures(logging.Handler):
    """Collects what MiniStack could not save. MiniStack itself only logs that and goes on."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.notes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.notes.append(record.getMessage())


def save_all_or_nothing() -> list[str]:
    """Makes MiniStack save the states of all services, or keep all of the last save: a mixture would not fit together.

    Returns a list that gets the reasons if nothing was saved.
    """
    application: Any = importlib.import_module("ministack.app")
    persistence: Any = importlib.import_module("ministack.core.persistence")
    save_all, failures = application.save_all, Failures()
    logging.getLogger("persistence").addHandler(failures)
    write_objects = keep_objects_that_no_file_took()

    def saved(services: dict[str, Any]) -> None:
        failures.notes.clear()
        try:
            begin_save(kept := Path(persistence.STATE_DIR))
            save_all(services)
            failures.notes.extend(f"S3 object {name}" for name in write_objects())
            if failures.notes:
                restore_last(kept)
            else:
                end_save(kept)
        except OSError as failure:
            failures.notes.append(str(failure))

    application.save_all = saved
    return failures.notes


def keep_objects_that_no_file_took() -> Callable[[], list[str]]:
    """Makes S3 remember objects that it could not write to their files, and still has in memory.

    MiniStack writes an object when it is put, and if it cannot, only logs that and goes on. Returns a function that
    writes them again, and returns the names of those that still have no file.
    """
    s3: Any = importlib.import_module("ministack.services.s3")
    persist = s3._persist_object
    pending: dict[tuple[str, str], Any] = {}

    def persisted(bucket: str, key: str, record: Any) -> None:
        persist(bucket, key, record)
        pending.pop((bucket, key), None)
        if record["body"] is not None:  # otherwise a file has it
            pending[bucket, key] = record

    def written() -> list[str]:
        for (bucket, key), record in list(pending.items()):
            if s3._buckets.get(bucket, {}).get("objects", {}).get(key) is record:
                persisted(bucket, key, record)
            else:  # it was deleted
                del pending[bucket, key]
        return ["/".join(each) for each in pending]

    s3._persist_object = persisted
    return written


def begin_save(kept: Path) -> None:
    """Puts the last state aside. That needs no space, because MiniStack writes new files and never changes one."""
    new = kept.with_name(f"{kept.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(kept, new, copy_function=os.link)
    new.rename(last_of(kept))


def end_save(kept: Path) -> None:
    """Makes the new state count, by a rename, and deletes the last one."""
    gone = kept.with_name(f"{kept.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    last_of(kept).rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def restore_last(kept: Path) -> None:
    """Puts the last state back, if it was put aside and the save has failed or was killed."""
    if last_of(kept).exists():
        shutil.rmtree(kept, ignore_errors=True)
        last_of(kept).rename(kept)


def last_of(kept: Path) -> Path:
    """Where the last state is while a new one is being saved."""
    return kept.with_name(f"{kept.name}.last")


def in_base64(receive: Receive) -> Receive:
    """The same `receive`, with binary frames as base64."""

    async def received() -> Message:
        message = await receive()
        if (frame := message.get("bytes")) is not None:
            return {"type": "websocket.receive", "text": Base64(base64.b64encode(frame), "ascii")}
        return message

    return received


def showing_status(send: Send) -> Send:
    """The same `send`, with the status of a refused `$connect` in place of ASGI's 403."""

    async def sent(message: Message) -> None:
        if message["type"] == "websocket.close" and (status := connect_status.get()) >= 300:
            await send({"type": "websocket.http.response.start", "status": status, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
        else:
            await send(message)

    return sent


def main() -> None:
    """Serves until SIGTERM. MiniStack saves its state when the server shuts its lifespan down."""
    descriptors.allow_all()
    port = int(os.environ["GATEWAY_PORT"])
    access = Access.read(Path(os.environ.pop("STACK")))
    # MiniStack gets root's key. Its workers get their roles' keys instead, and their own modules.
    os.environ |= {
        "AWS_ACCESS_KEY_ID": access.key_id,
        "AWS_SECRET_ACCESS_KEY": access.secret,
        "PYTHONPATH": str(WORKER),
    }

    unsaved: list[str] = []
    if folder := os.environ.get("STATE_DIR"):
        restore_last(Path(folder))

    def guarded() -> Guard:
        nonlocal unsaved
        application = ministack()
        unsaved = save_all_or_nothing()
        want_signed_forms()
        survive_a_clock_set_back()
        let_a_rush_wait()
        unpack_once()
        return Guard(application, access, roles())

    config = uvicorn.Config(
        guarded,
        factory=True,
        host=os.environ["BIND_HOST"],
        port=port,
        loop="asyncio",
        http="httptools",
        ws="websockets-sansio",
        lifespan="on",
        log_level="warning",  # `info` would log query strings, and with them tokens
        access_log=False,
        # The rest is as in MiniStack's own server.
        server_header=False,
        date_header=False,
        proxy_headers=False,  # MiniStack reads them itself
        ws_ping_interval=None,  # pings would disconnect a client that does not read
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )
    # After its shutdown uvicorn raises the signal again, which would end us before we say whether all was saved.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())
    with locked(port):
        try:
            Server(config).run()
        finally:
            if unsaved:
                sys.exit("\n".join(["Nothing was saved:", *unsaved]))


if __name__ == "__main__":
    main()
