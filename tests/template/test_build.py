"""What `sam build` makes of layer and functions: compiled, for the right processors, and no more than is needed."""

import importlib.util
import marshal
import os
import re
import struct
import subprocess
import zipfile
from pathlib import Path
from types import CodeType

import pytest

ROOT = Path(__file__).resolve().parents[2]
MACHINES = {"x86_64-linux-gnu": 62, "aarch64-linux-gnu": 183}
"""The e_machine of an ELF file, by CPython's name of the platform."""
UNCHECKED_HASH = 0b01
"""The flags of a .pyc that Python never checks against its source (PEP 552)."""
PACKAGES = {
    "SendMessageFunction": "send_message",
    "MakeCallFunction": "make_call",
    "GetMessageFunction": "get_message",
    "WebSocketFunction": "websocket",
}


def build_layer(folder: Path, build_for: str) -> Path:
    command = ["make", "-f", ROOT / "layers/shared/Makefile", "build-SharedLayer"]
    made(command, folder, BUILD_FOR=build_for)
    return folder


def made(command: list[str | Path], folder: Path, **variables: str) -> None:
    """Runs make as SAM does: in another folder, with the project's Makefile."""
    environment = {**os.environ, "ARTIFACTS_DIR": str(folder), **variables}
    done = subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer as it is deployed to AWS."""
    return build_layer(tmp_path_factory.mktemp("for-lambda") / "layer", "lambda")


@pytest.fixture(scope="module")
def host_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer for this machine."""
    return build_layer(tmp_path_factory.mktemp("for-host") / "layer", "host")


@pytest.fixture(scope="module", params=list(PACKAGES))
def function(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A built function: its package's name, and its folder."""
    source = tmp_path_factory.mktemp("source")
    subprocess.run(["cp", "-R", f"{ROOT}/functions/.", source], check=True)
    folder = source / "built"
    folder.mkdir()
    command: list[str | Path] = ["make", "-C", source, "-f", ROOT / "functions/Makefile", f"build-{request.param}"]
    made(command, folder)
    return PACKAGES[request.param], folder


def test_every_compiled_module_is_there_for_both_architectures_of_lambda(layer: Path) -> None:
    modules: dict[str, dict[str, int]] = {}
    for file in layer.rglob("*.so"):
        module, interpreter, platform = file.name.removesuffix(".so").replace(".cpython-313-", ".cp313.").split(".")
        assert interpreter == "cp313"
        (machine,) = struct.unpack_from("<H", file.read_bytes(), 18)
        modules.setdefault(module, {})[platform] = machine
    assert modules == {"_pydantic_core": MACHINES}


def test_every_wheel_runs_on_lambda(layer: Path) -> None:
    tags = {
        line.removeprefix("Tag: ")
        for wheel in layer.rglob("*.dist-info/WHEEL")
        for line in wheel.read_text().splitlines()
        if line.startswith("Tag: ")
    }
    bound = {tag for tag in tags if not tag.endswith("-none-any")}
    assert tags - bound
    assert bound
    # Amazon Linux 2023 has glibc 2.34; manylinux2014 wants 2.17.
    assert all(re.fullmatch(r"cp313-cp313-manylinux(2014|_2_(1\d|2\d|3[0-4]))_(x86_64|aarch64)", tag) for tag in bound)


@pytest.mark.parametrize("which", ["layer", "host_layer"])
def test_all_of_the_layer_is_compiled_for_the_runtime(which: str, request: pytest.FixtureRequest) -> None:
    assert_compiled(request.getfixturevalue(which), "/opt/")


def test_all_of_a_function_is_compiled_for_the_runtime(function: tuple[str, Path]) -> None:
    assert_compiled(function[1], "/var/task/")


def assert_compiled(folder: Path, prefix: str) -> None:
    sources = list(folder.rglob("*.py"))
    assert sources
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        content = compiled.read_bytes()
        assert content[:4] == importlib.util.MAGIC_NUMBER
        assert struct.unpack_from("<I", content, 4) == (UNCHECKED_HASH,), source
        assert content[8:16] == importlib.util.source_hash(source.read_bytes()), source
        code: CodeType = marshal.loads(content[16:])
        assert code.co_filename == f"{prefix}{source.relative_to(folder)}"


def test_a_function_holds_only_its_own_package(function: tuple[str, Path]) -> None:
    package, folder = function
    assert [entry.name for entry in folder.iterdir()] == [package]
    built = {file.relative_to(folder) for file in folder.rglob("*.py")}
    assert built == {file.relative_to(ROOT / "functions") for file in (ROOT / "functions" / package).rglob("*.py")}


def test_builds_in_different_places_are_equal(layer: Path, host_layer: Path) -> None:
    ours = {file.relative_to(layer): file.read_bytes() for file in layer.rglob("*.pyc")}
    theirs = {file.relative_to(host_layer): file.read_bytes() for file in host_layer.rglob("*.pyc")}
    assert ours == theirs


def test_the_layer_is_at_most_12_mb(layer: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "layer.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in layer.rglob("*"):
            archive.write(file, file.relative_to(layer))
    assert (tmp_path / "layer.zip").stat().st_size <= 12_000_000


def test_the_trimmed_layer_has_everything_that_a_function_needs(host_layer: Path, function: tuple[str, Path]) -> None:
    package, folder = function
    code = f"""
import importlib, pkgutil, sys
import botocore.session, jwt, navietakie, {package}
for ours in (navietakie, {package}):
    for module in pkgutil.walk_packages(ours.__path__, ours.__name__ + "."):
        importlib.import_module(module.name)
for service in ("dynamodb", "lambda", "secretsmanager", "sns", "sqs"):
    client = botocore.session.get_session().create_client(service, region_name="eu-west-1")
    assert client.meta.endpoint_url.startswith("https://")
assert not [path for path in sys.path if path.endswith("site-packages")]
"""
    environment = {"PYTHONPATH": f"{folder}:{host_layer}/python", "PATH": os.environ["PATH"]}
    command = [ROOT / ".venv/bin/python", "-S", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
