"""`make run`: the whole stack on this machine, until it is told to stop."""

import argparse
import asyncio
import contextlib
import errno
import fcntl
import hashlib
import math
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import deploy, descriptors, logs, parameters
from local.access import REGION, Access
from local.aws import hide_accounts
from local.embedded import DidNotStart, EmbeddedAws
from local.frontdoor import Behind, FrontDoor, address, listen
from local.parameters import Parameters
from local.stack import HOME, ROOT, Stack

HOW_TO = """
  REST        {url}/api/v1/…
  WebSocket   {websocket_url}?booking_code=…&sender=…
  Console     {url}/

Connect a passenger in another terminal:
  make chat BOOKING=test ROLE=passenger

Send the passenger a message, and read the conversation:
  curl -s {authorization}-X POST {url}/api/v1/send_message \\
    -H 'content-type: application/json' -d '{{"booking_code":"test","message":"Hello","sender":"driver"}}'
  curl -s {authorization}'{url}/api/v1/get_message?booking_code=test'

Ctrl-C stops it and keeps the data. What the functions log:
"""
NOT_SAVED = """It could not be saved, and {log} may say why.
What was stored since the start is lost; what was there at the start is there at the next one."""
SAY_AGAIN_SECONDS = 60
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The system's errors when nothing more can be written: the disk is full, or a limit is reached."""
SPACE_SECONDS = 5
NO_SPACE = """Nothing can be written below {home}: {reason}.
What is stored now is in memory alone, and what has to be started waits. Make space before you stop it."""
AUTHORIZATION = '-H "authorization: Bearer $(make -s token BOOKING=test ROLE=driver)" '


@dataclass(frozen=True)
class Options:
    """`home`: the folder that keeps the state. `port`: the front door's, or the next free one; 0 takes any."""

    home: Path
    port: int
    parameters: Parameters


async def run(options: Options) -> None:
    """Starts everything, says how to use it and shows what the functions log. Ends when it is cancelled."""
    begin = time.monotonic()
    say("NavieTakie on this machine")
    log = options.home / "deploy.log"
    log.write_text("")
    source = deploy.source_hash()
    sockets = listen(options.port)
    # URLs that a function signs for S3 name the front door, because the guard refuses browsers.
    aws = EmbeddedAws(options.home, {"ATTACHMENTS_ENDPOINT": address(sockets)})
    building = asyncio.create_task(deploy.build(source, log))
    try:
        with step("Embedded AWS") as note:
            access = await aws.start()
            note(access.endpoint)
        with step("Build") as note:
            built = await building
            note(str(built.parent.relative_to(ROOT)))
        with step("Deploy") as note:
            given = {**options.parameters, "WebSocketEndpoint": f"{access.endpoint}/_aws/execute-api"}
            fingerprint = f"{source} {given}"
            if await asyncio.to_thread(deploy.marked, access) == fingerprint:
                note("unchanged since the last time")
            else:
                # A published version keeps its settings, so other parameters need another release, too.
                release = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
                await deploy.deploy(built, access, {**given, "Release": release}, options.home, log)
                await asyncio.to_thread(deploy.mark, access, fingerprint)
                note(deploy.STACK)
            deployed = await asyncio.to_thread(deploy.describe, access)
        await serve(options, sockets, aws, access, deployed, begin)
    finally:
        for each in sockets:
            each.close()
        building.cancel()
        await asyncio.gather(building, return_exceptions=True)
        say("\nSaving and stopping")
        saved = await asyncio.to_thread(aws.stop)
        say("Stopped" if saved else f"Stopped. {NOT_SAVED.format(log=aws.log)}")


async def serve(
    options: Options,
    sockets: list[socket.socket],
    aws: EmbeddedAws,
    access: Access,
    deployed: deploy.Deployed,
    begin: float,
) -> None:
    """Opens the front door, yields the running stack, and closes the door at the end."""
    upstream = f"{access.endpoint}/_aws/execute-api"
    behind = Behind(
        rest=f"{upstream}/{deployed.rest_api}/{deployed.stage}",
        websocket=f"{upstream}/{deployed.websocket_api}/{deployed.stage}",
        storage=access.endpoint,
        key=access.front_door,
        buckets=deployed.buckets,
    )
    auth_mode = options.parameters["AuthMode"]
    front_door = FrontDoor(behind, ROOT / "web", parameters.origins(options.parameters))
    async with front_door.serve(sockets) as url:
        stack = Stack(
            home=str(options.home),
            url=url,
            websocket_url=f"ws{url.removeprefix('http')}/ws",
            aws=access.endpoint,
            region=REGION,
            auth_mode=auth_mode,
            rest_api=deployed.rest_api,
            websocket_api=deployed.websocket_api,
            stage=deployed.stage,
            outputs=deployed.outputs,
            pid=os.getpid(),
        )
        stack.write(options.home)
        try:
            port = sockets[0].getsockname()[1]
            if options.port not in (0, port):
                say(f"Port {options.port} is taken, so it is {port} this time")
            say(f"Ready after {time.monotonic() - begin:.1f} s")
            authorization = AUTHORIZATION if auth_mode == "jwt" else ""
            say(HOW_TO.format(url=stack.url, websocket_url=stack.websocket_url, authorization=authorization))
            await asyncio.gather(show_logs(options.home), watch(aws), watch_space(options.home))
        finally:
            (options.home / "stack.json").unlink(missing_ok=True)


async def show_logs(home: Path) -> None:
    """Prints what the functions log."""
    async for line in logs.follow(home):
        say(line)


async def watch(aws: EmbeddedAws) -> None:
    """Raises DidNotStart as soon as the embedded AWS has died."""
    while aws.alive():
        await asyncio.sleep(1)
    raise DidNotStart("The embedded AWS has stopped by itself")


async def watch_space(home: Path) -> None:
    """Says when nothing more can be written, and when it can again."""
    last = None
    while True:
        reason = await asyncio.to_thread(why_full, home)
        if reason and not last:
            say(NO_SPACE.format(home=home, reason=reason))
        if last and not reason:
            say(f"There is space below {home} again")
        last = reason
        await asyncio.sleep(SPACE_SECONDS)


def why_full(home: Path) -> str | None:
    """Why nothing can be written below `home`; None if it can."""
    probe = home / "space"
    try:
        probe.write_bytes(bytes(64 * 1024))  # it is gone before the system has carried it to the disk
    except OSError as failure:
        return failure.strerror if failure.errno in FULL else None
    finally:
        probe.unlink(missing_ok=True)
    return None


@contextlib.contextmanager
def step(name: str) -> Generator[Callable[[str], None]]:
    """Prints that a step begins; afterwards how long it took, and its notes."""
    begin = time.monotonic()
    notes: list[str] = []
    say(f"  {name} …")
    yield notes.append
    say(f"  {name}: {' '.join(notes)} ({time.monotonic() - begin:.1f} s)")


def say(text: str) -> None:
    """Prints, unless the terminal is gone: that must not keep the state from being saved."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)


class Complaints:
    """Prints one line when no more connections can be opened, instead of a trace every second."""

    def __init__(self) -> None:
        self._said = -math.inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        failure = context.get("exception")
        if not isinstance(failure, OSError) or failure.errno not in descriptors.EXHAUSTED:
            loop.default_exception_handler(context)
        elif time.monotonic() - self._said > SAY_AGAIN_SECONDS:
            self._said = time.monotonic()
            say(f"No more connections can be opened ({failure.strerror}): new ones wait until others end")


async def until_told(options: Options) -> None:
    """Runs until Ctrl-C, SIGTERM, or the terminal is closed."""
    running = asyncio.create_task(run(options))
    asyncio.get_running_loop().set_exception_handler(Complaints())

    def stop_once() -> None:
        if not running.cancelling():  # a second Ctrl-C must not interrupt the saving
            running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop_once)
    with contextlib.suppress(asyncio.CancelledError):
        await running


def port_number(text: str) -> int:
    """The port that PORT gives. Ends the program if no port can be opened there or just above."""
    if not (text.isdecimal() and int(text) < 2**16):
        sys.exit(f"PORT is a number up to {2**16 - 1}, not {text}")
    try:
        for each in listen(int(text)):
            each.close()
    except (OSError, OverflowError) as reason:  # below 1024 may need root; OverflowError: none is free
        sys.exit(f"PORT={text} cannot be opened: {reason}")
    return int(text)


def auth_mode(text: str) -> str:
    """The mode that AUTH_MODE names; empty if none is given. Ends the program if there is no such mode."""
    if text not in ("", "none", "jwt"):
        sys.exit(f"AUTH_MODE is none or jwt, not {text}")
    return text


def backend_url(text: str) -> str:
    """The address in BACKEND_URL; empty if none is given. Ends the program if the template would refuse it."""
    if not re.fullmatch(r"|https?://[^?#\s]+", text):
        sys.exit(f"BACKEND_URL is http://… or https://… without ? and #, not {text}")
    return text


def main() -> int:
    """Parses the command line and runs. Returns 1 if it did not start, or died."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--home", type=Path, default=HOME, help="the folder that keeps the state")
    parser.add_argument("--port", type=port_number, default=8000, help="where to look for a free port first")
    parser.add_argument("--auth-mode", type=auth_mode, default="", help="none or jwt")
    parser.add_argument("--backend-url", type=backend_url, default="", help="where to forward WebSocket events to")
    parser.add_argument("--parameters", type=parameters.read, default={}, help="a file with parameters of the template")
    arguments = parser.parse_args()
    given = parameters.local(arguments.parameters, arguments.auth_mode, arguments.backend_url)
    options = Options(arguments.home.resolve(), arguments.port, given)
    try:
        return run_alone(options)
    except OSError as failure:
        if failure.errno not in FULL:
            raise
        say(f"\nNothing can be written below {options.home}: {failure.strerror}")
        return 1


def run_alone(options: Options) -> int:
    """Runs, unless the stack of this folder runs already. Returns 1 then, and if it did not start, or died."""
    # Secrets and conversations are in this folder.
    os.umask(0o077)
    options.home.mkdir(parents=True, exist_ok=True)
    options.home.chmod(0o700)
    hide_accounts()
    descriptors.allow_all()
    with (options.home / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stack = Stack.read(options.home)
            say(f"It runs already{f', at {stack.url}' if stack else ''} (`make stop` stops it)")
            return 1
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            asyncio.run(until_told(options))
        except DidNotStart as failure:
            say(f"\n{failure}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
