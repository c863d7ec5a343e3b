"""The Python client that openapi-python-client makes from docs/openapi.yaml."""

import subprocess
import sys
from pathlib import Path

from tests.documents import ROOT

BIN = Path(sys.executable).parent


def python_client(folder: Path) -> None:
    """Makes the package `client` in `folder`; fails if the generator has to leave anything out."""
    document = str(ROOT / "docs" / "openapi.yaml")
    (folder / "generator.yaml").write_text("post_hooks: []\n")  # no hooks: they would format the code
    options = ["--meta=none", "--output-path=client", "--config=generator.yaml", "--fail-on-warning"]
    run([str(BIN / "openapi-python-client"), "generate", "--path", document, *options], folder)
    (folder / "client" / "py.typed").touch()


def run(command: list[str], folder: Path) -> str:
    """The output of a program. Fails with its error output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
