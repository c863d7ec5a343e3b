"""`make start-api`: the REST functions in Docker, by `sam local start-api`, on the tables of the running stack."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from local import aws
from local.deploy import SAM
from local.sam_local import VARIABLES
from local.stack import HOME, ROOT, Stack

IMAGE = "public.ecr.aws/lambda/python:3.13"


def docker(*arguments: str) -> str:
    """What Docker's command line says; ends the program with the reason where there is no working Docker."""
    if shutil.which("docker") is None:
        sys.exit("`sam local` runs functions in Docker, and there is no Docker here. (`make run` needs none.)")
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"`sam local` runs functions in Docker, which does not answer; is it running?\n{done.stderr}")
    return done.stdout.strip()


def main() -> None:
    """Builds for Docker's architecture and becomes `sam local start-api`."""
    parser = argparse.ArgumentParser(prog="make start-api", description=__doc__)
    parser.add_argument("--home", type=Path, default=HOME, help="the folder of the running stack")
    parser.add_argument("--port", type=int, default=3000)
    given = parser.parse_args()
    architecture = "arm64" if docker("info", "--format", "{{.Architecture}}") in ("aarch64", "arm64") else "x86_64"
    stack = Stack.read(given.home)
    if stack is None:
        sys.exit("It works on the tables of the local stack: start that with `make run`, in another terminal.")
    parameters = f"Environment=local AuthMode={stack.auth_mode} AllowedOrigins=* Architecture={architecture}"
    how = ["--parameter-overrides", parameters]
    where = ["--env-vars", str((given.home / VARIABLES).resolve()), "--port", str(given.port)]
    image_is_here = docker("images", "--quiet", f"{IMAGE}-{architecture}") != ""
    aws.hide_accounts()
    os.environ.update(aws.environment(stack.aws) | {"SAM_CLI_TELEMETRY": "0"})
    os.chdir(ROOT)
    subprocess.run([SAM, "build", *how], check=True)
    pull = ["--skip-pull-image"] if image_is_here else []
    os.execv(SAM, [str(SAM), "local", "start-api", *where, *how, *pull])  # noqa: S606


if __name__ == "__main__":
    main()
