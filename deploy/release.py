"""`sam deploy` of an environment, with the parameters of samconfig.toml and the release that they and the commit make.

A published version of a function keeps its settings: without another Release, a change of parameters alone would reach
the functions, but not the versions that the APIs call. `sam deploy` by itself knows no parameter that it could compute.
"""

import hashlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def release(commit: str, parameters: list[str]) -> str:
    """A name for what is deployed: the commit, and a fingerprint of the parameters."""
    return f"{commit}-{hashlib.sha256(json.dumps(sorted(parameters)).encode()).hexdigest()[:8]}"


def parameters_of(environment: str, config: str) -> list[str]:
    """The parameters of an environment in samconfig.toml, as `Name=value`."""
    return tomllib.loads(config)[environment]["deploy"]["parameters"]["parameter_overrides"]


def commit() -> str:
    """The commit that is checked out, short; `unknown` outside of git."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)  # noqa: S607
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def main(environment: str, more: list[str]) -> None:
    """Becomes `sam deploy`; `more` are options for it."""
    parameters = parameters_of(environment, (ROOT / "samconfig.toml").read_text())
    parameters.append(f"Release={release(commit(), parameters)}")
    sam = str(Path(sys.executable).with_name("sam"))
    os.execv(sam, [sam, "deploy", "--config-env", environment, *more, "--parameter-overrides", *parameters])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
