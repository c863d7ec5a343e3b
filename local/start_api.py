"""`make start-api`: the REST functions in Docker, by `sam local start-api`, on the tables of the running stack."""

import argparse
import asyncio
import os
import subprocess
import sys
from pathlib import Path

from local import aws
from local.deploy import SAM
from local.sam_local import VARIABLES, bridge, docker, gate, running_stack, stopped, write_variables
from local.stack import HOME, ROOT

IMAGE = "public.ecr.aws/lambda/python:3.13"


async def main() -> int:
    """Builds for Docker's architecture, and runs `sam local start-api` with the gate open. Returns its status."""
    parser = argparse.ArgumentParser(prog="make start-api", description=__doc__)
    parser.add_argument("--home", type=Path, default=HOME, help="the folder of the running stack")
    parser.add_argument("--port", type=int, default=3000)
    given = parser.parse_args()
    architecture = "arm64" if docker("info", "--format", "{{.Architecture}}") in ("aarch64", "arm64") else "x86_64"
    home = given.home.resolve()
    stack = running_stack(home)
    parameters = f"Environment=local AuthMode={stack.auth_mode} AllowedOrigins=* Architecture={architecture}"
    how = ["--parameter-overrides", parameters]
    where = ["--env-vars", str(home / VARIABLES), "--port", str(given.port)]
    image_is_here = docker("images", "--quiet", f"{IMAGE}-{architecture}") != ""
    aws.hide_accounts()
    os.environ.update(aws.environment(stack.access) | {"SAM_CLI_TELEMETRY": "0"})
    os.chdir(ROOT)
    subprocess.run([SAM, "build", *how], check=True)
    write_variables(stack)
    pull = ["--skip-pull-image"] if image_is_here else []
    told = stopped()
    async with gate(stack.aws, bridge(stack.aws)):
        sam = await asyncio.create_subprocess_exec(str(SAM), "local", "start-api", *where, *how, *pull)
        ended = asyncio.create_task(sam.wait())
        told_to_stop = asyncio.create_task(told.wait())
        await asyncio.wait([ended, told_to_stop], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            sam.terminate()  # Ctrl-C has reached it already; a second signal does no harm
        told_to_stop.cancel()
        return await ended


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
