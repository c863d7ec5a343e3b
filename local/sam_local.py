"""What lets functions that `sam local` runs in Docker work with the running stack: its tables, queues and connections.

A container reaches the embedded AWS through a gate of its own: not at this machine's 127.0.0.1, and with whatever
credentials `sam local` found, which the embedded AWS does not know.
"""

import contextlib
import fcntl
import json
import re
import socket
import struct
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, DummyCookieJar, web
from yarl import URL

from local.aws import session
from local.deploy import STACK
from local.frontdoor import end_to_end, listen, listener

CREDENTIAL = re.compile(r"Credential=[^/]+/")
# What a container calls the machine it runs on; samconfig.toml gives it the name where Docker does not.
HOST = "host.docker.internal"
VARIABLES = "sam-local.json"
SIOCGIFADDR = 0x8915  # netdevice(7): the address of a network interface


@contextlib.asynccontextmanager
async def gate(endpoint: str, first_port: int) -> AsyncGenerator[int]:
    """Passes requests on to the embedded AWS as its root, for containers of this machine; yields the port.

    It is the first free one from `first_port` on, so that mostly it is the same the next time.
    """

    async def passed_on(request: web.Request) -> web.Response:
        headers = end_to_end(request.headers.items())
        headers["authorization"] = CREDENTIAL.sub("Credential=test/", headers.get("authorization", ""))
        headers.popall("x-amz-security-token", None)
        url = URL(f"{endpoint}{request.raw_path}", encoded=True)
        try:
            async with client.request(request.method, url, headers=headers, data=await request.read()) as answer:
                return web.Response(
                    status=answer.status, headers=end_to_end(answer.headers.items()), body=await answer.read()
                )
        except ClientError:
            return web.Response(status=502)

    async with ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False) as client:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", passed_on)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        try:
            sockets = listen(first_port)
            port = sockets[0].getsockname()[1]
            for each in sockets:
                await web.SockSite(runner, each).start()
            if (bridge := bridge_address()) is not None:
                await web.SockSite(runner, listener(socket.AF_INET, bridge, port)).start()
            yield port
        finally:
            await runner.cleanup()


def bridge_address() -> str | None:
    """Where containers find this machine on a Linux; None elsewhere. (Docker Desktop leads them to its 127.0.0.1.)"""
    if sys.platform != "linux":
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket, contextlib.suppress(OSError):
        answer = fcntl.ioctl(any_socket, SIOCGIFADDR, struct.pack("256s", b"docker0"))
        return socket.inet_ntoa(answer[20:24])
    return None


def write_variables(endpoint: str, gate_port: int, file: Path) -> None:
    """The deployed functions' variables in the form of `sam local --env-vars`, with the addresses of a container."""
    aws = session(endpoint)
    functions = aws.client("lambda")
    here = re.compile(rf"http://(127\.0\.0\.1|localhost):{urlsplit(endpoint).port}\b")
    container_endpoint = f"http://{HOST}:{gate_port}"
    variables: dict[str, dict[str, str]] = {}
    for resource in aws.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]:
        if resource["ResourceType"] == "AWS::Lambda::Function":
            name = resource.get("PhysicalResourceId", "")
            deployed = functions.get_function_configuration(FunctionName=name)
            settings = deployed.get("Environment", {}).get("Variables", {})
            variables[resource["LogicalResourceId"]] = {
                **{name: here.sub(container_endpoint, value) for name, value in settings.items()},
                "AWS_ENDPOINT_URL": container_endpoint,
            }
    file.write_text(json.dumps(variables, indent=2) + "\n")
