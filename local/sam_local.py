"""`make gate`: lets functions that `sam local` runs in Docker work with the running stack, until it is stopped.

A container reaches this machine at the address of Docker's bridge, where the embedded AWS does not listen. The gate
passes on what comes there. The guard of the embedded AWS then checks the signature.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import urlsplit

from local import deploy
from local.access import private
from local.aws import session
from local.embedded import DidNotStart
from local.frontdoor import listener
from local.guard import CONTAINERS
from local.stack import HOME, Stack

VARIABLES = "sam-local.json"
SIOCGIFADDR = 0x8915  # netdevice(7): the address of a network interface
CHUNK = 64 * 1024


@contextlib.asynccontextmanager
async def gate(endpoint: str, opening: socket.socket | None) -> AsyncGenerator[None]:
    """Passes connections at the socket `opening`, if there is one, on to the embedded AWS. Closes it in the end."""
    port = urlsplit(endpoint).port or 0
    if opening is None:
        yield
        return

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(CHUNK):
                sink.write(chunk)
                await sink.drain()
        sink.close()

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind = await asyncio.open_connection("127.0.0.1", port)
        except OSError:  # the stack has ended
            writer.close()
            return
        await asyncio.gather(carry(reader, behind[1]), carry(behind[0], writer))

    server = await asyncio.start_server(passed_on, sock=opening)
    try:
        yield
    finally:
        server.close()
        server.close_clients()


def bridge(endpoint: str) -> socket.socket | None:
    """On Linux, a socket where containers look for the embedded AWS: at Docker's bridge, with the same port.

    None elsewhere: Docker Desktop connects containers with this machine's 127.0.0.1.
    """
    if sys.platform != "linux":
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, SIOCGIFADDR, struct.pack("256s", b"docker0"))
        except OSError:  # no Docker
            return None
    return listener(socket.AF_INET, socket.inet_ntoa(answer[20:24]), urlsplit(endpoint).port or 0)


def write_variables(stack: Stack) -> None:
    """Writes the deployed functions' variables for `sam local --env-vars`, with addresses that work in a container."""
    aws = session(stack.access)
    functions = aws.client("lambda")
    port = urlsplit(stack.aws).port
    here = re.compile(rf"http://(127\.0\.0\.1|localhost):{port}\b")
    container_endpoint = f"http://{CONTAINERS}:{port}"
    variables: dict[str, dict[str, str]] = {}
    for resource in aws.client("cloudformation").describe_stack_resources(StackName=deploy.STACK)["StackResources"]:
        if resource["ResourceType"] == "AWS::Lambda::Function":
            name = resource.get("PhysicalResourceId", "")
            deployed = functions.get_function_configuration(FunctionName=name)
            settings = deployed.get("Environment", {}).get("Variables", {})
            variables[resource["LogicalResourceId"]] = {
                **{name: here.sub(container_endpoint, value) for name, value in settings.items()},
                "AWS_ENDPOINT_URL": container_endpoint,
                "ATTACHMENTS_ENDPOINT": stack.url,
            }
    with private(Path(stack.home) / VARIABLES) as out:
        out.write(json.dumps(variables, indent=2) + "\n")


def docker(*arguments: str) -> str:
    """The output of Docker's command line. Ends the program with the reason if Docker does not work."""
    if shutil.which("docker") is None:
        sys.exit("`sam local` runs functions in Docker, and there is no Docker here. (`make run` needs none.)")
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"`sam local` runs functions in Docker, which does not answer; is it running?\n{done.stderr}")
    return done.stdout.strip()


def running_stack(home: Path) -> Stack:
    """The stack that runs from `home`. Ends the program if none does."""
    if (stack := Stack.read(home)) is None:
        sys.exit("It works on the tables of the local stack: start that with `make run`, in another terminal.")
    return stack


def stopped() -> asyncio.Event:
    """An event that Ctrl-C, SIGTERM or the closing of the terminal sets."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def main() -> None:
    """Builds what a bare `sam local` runs, and opens the gate for it until it is told to stop."""
    parser = argparse.ArgumentParser(prog="make gate", description=__doc__)
    parser.add_argument("--home", type=Path, default=HOME, help="the folder of the running stack")
    home = parser.parse_args().home.resolve()
    docker("info")
    stack = running_stack(home)
    try:
        await deploy.build_for_docker(deploy.source_hash(), home / "sam-build.log")
    except DidNotStart as failure:
        sys.exit(str(failure))
    write_variables(stack)
    told = stopped()
    async with gate(stack.aws, bridge(stack.aws)):
        print(
            "`sam local` reaches the stack as long as this runs. In another terminal, with the key of this start:\n"
            f"  AWS_CONFIG_FILE={home / 'aws.ini'} {deploy.SAM} local start-api\n"
            "Ctrl-C closes the gate.",
            flush=True,
        )
        await told.wait()


if __name__ == "__main__":
    asyncio.run(main())
