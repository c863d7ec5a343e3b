"""How long does a new container of each function work before it can answer its first request?"""

import os
import shutil
import statistics
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import FOLDER, Bars, Goal, Report, as_markdown, progress

ROOT = Path(__file__).parents[1]
FUNCTIONS = ("send_message", "make_call", "get_message", "websocket")
ROUNDS = 7
BY_THE_BOOK = """
from aws_lambda_powertools import Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
Tracer()
APIGatewayRestResolver()
"""
"""What a function by the book adds: tracing by SDK, and a resolver for its routes."""
CLIENTS = """
from navietakie.aws.gateway import connections_api
from navietakie.doors.identity import token_secret
from navietakie.aws.tables import dynamo
import jwt
dynamo.client()
token_secret()
connections_api("https://abc.execute-api.eu-central-1.amazonaws.com/staging")
"""
"""What the first request needs: the clients for tables and secret, the poster, and the library that checks tokens."""
TIMERS = """
from navietakie.aws.timers import timers
timers()
"""
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_SESSION_TOKEN": "test",
    "AWS_LAMBDA_FUNCTION_NAME": "bench",
    "ENVIRONMENT": "production",
    "TOKEN_SECRET_ARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:token",
    "CALL_TIMER_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/timers",
    "POWERTOOLS_SERVICE_NAME": "bench",
}


def built(folder: Path, platform: str) -> Path:
    """The layer and the functions as `sam build` makes them, compiled, in one folder."""
    environment = {**os.environ, "BUILD_FOR": platform}
    subprocess.run(["sh", ROOT / "layers/shared/build.sh", folder], env=environment, check=True)
    if platform == "host":
        for function in FUNCTIONS:
            shutil.copytree(ROOT / "functions" / function, folder / "python" / function)
            for left in (folder / "python" / function).rglob("__pycache__"):
                shutil.rmtree(left)
        subprocess.run([ROOT / "local/compile", folder, "/var/task"], check=True)
    return folder / "python"


def install(locked: str, folder: Path) -> None:
    """Puts the packages of a lock file, as they come, into a folder."""
    uv = [ROOT / "local/uv", "pip", "install", "--quiet", "--no-config", "--python", "3.13", "--require-hashes"]
    subprocess.run([*uv, "--no-deps", "--target", folder, "-r", ROOT / locked], check=True)


def installed(folder: Path) -> Path:
    """The same code as a plain `sam build` installs it: packages as they come, nothing compiled."""
    for locked in ("layers/shared/requirements.txt", "requirements/bench.txt"):
        install(locked, folder)
    copied = [ROOT / "layers/shared/navietakie", *(ROOT / "functions" / function for function in FUNCTIONS)]
    for source in copied:
        shutil.copytree(source, folder / source.name)
    for left in folder.rglob("__pycache__"):
        shutil.rmtree(left)
    return folder


def compiled(folder: Path, other: Path) -> Path:
    """A compiled copy of `folder`."""
    shutil.copytree(folder, other)
    subprocess.run([ROOT / "local/compile", other, "/var/task"], check=True)
    return other


def start(function: str, path: Path, before: str = "", *options: str) -> subprocess.CompletedProcess[str]:
    """Starts Python with only `path` and its own library, imports the function and makes its first clients."""
    code = f"""
import sys, time
begun = time.process_time()
sys.path.insert(0, {str(path)!r})
{before}
import {function}.app
{CLIENTS}{TIMERS if function == "make_call" else ""}
print(time.process_time() - begun)
"""
    command = [sys.executable, "-B", "-I", "-S", *options, "-c", code]
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{function} did not start:\n{ended.stderr}")
    return ended


def cpu(function: str, path: Path, before: str = "") -> float:
    """Seconds of CPU that such a start takes."""
    return float(start(function, path, before).stdout)


def what_is_left(function: str, path: Path) -> Counter[str]:
    """Microseconds of a start by package (`-X importtime`); the best of three."""
    runs: list[Counter[str]] = []
    for _ in range(3):
        spent = Counter[str]()
        for line in start(function, path, "", "-X", "importtime").stderr.splitlines():
            own, _, rest = line.removeprefix("import time:").partition("|")
            if own.strip().isdigit():
                module = rest.rpartition("|")[2].strip()
                spent[package(module, function)] += int(own)
        runs.append(spent)
    return min(runs, key=lambda run: run.total())


def package(module: str, function: str) -> str:
    """The package that a module is counted for."""
    top = module.partition(".")[0]
    if top in ("navietakie", function):
        return "NavieTakie"
    if top in sys.stdlib_module_names or top.startswith("_"):
        return "Python's library"
    return {"pydantic_core": "pydantic", "aws_lambda_powertools": "Powertools", "jwt": "PyJWT"}.get(
        top, top if top in ("botocore", "urllib3", "pydantic") else "others"
    )


def zipped(folder: Path) -> int:
    """Bytes of the layer's zip."""
    with TemporaryDirectory() as other:
        path = Path(other, "layer.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(folder.parent))
        return path.stat().st_size


def main() -> None:
    report = Report(
        "cold-start",
        "How much CPU does a cold start take, before the first request?",
        ("function", "as built, ms", "by the book, ms", "ratio"),
    )
    left: dict[str, Counter[str]] = {}
    with TemporaryDirectory() as folder:
        ours = built(Path(folder, "built"), "host")
        bare = installed(Path(folder, "bare"))
        whole = compiled(bare, Path(folder, "whole"))
        variants = {
            (function, name): (path, before)
            for function in FUNCTIONS
            for name, path, before in (("ours", ours, ""), ("book", bare, BY_THE_BOOK))
        }
        variants |= {
            ("send_message", "untrimmed"): (whole, ""),
            ("send_message", "uncompiled"): (bare, ""),
        }
        taken: dict[tuple[str, str], list[float]] = {key: [] for key in variants}
        for _ in progress(range(ROUNDS), "cold start, rounds"):
            for (function, name), (path, before) in variants.items():
                taken[function, name].append(cpu(function, path, before))
        medians = {key: statistics.median(values) for key, values in taken.items()}
        for function in FUNCTIONS:
            left[function] = what_is_left(function, ours)
        layer = zipped(built(Path(folder, "layer"), "lambda"))
    ratios: list[float] = []
    for function in FUNCTIONS:
        mine, book = medians[function, "ours"], medians[function, "book"]
        ratios.append(mine / book)
        report.rows.append((function, mine * 1e3, book * 1e3, mine / book))
    steps = [("as built", "ours"), ("untrimmed", "untrimmed"), ("and uncompiled", "uncompiled")]
    steps += [("and with Tracer and resolver", "book")]
    report.goals = [
        Goal("cold start, of the same uncompiled with Tracer and resolver, the worst function", "≤", 0.27, max(ratios)),
        Goal("the layer, zipped, for both architectures", "≤", 12, layer / 1e6, " MB"),
    ]
    report.bars = [
        Bars(
            "send_message, what makes the difference",
            " ms",
            [(label, medians["send_message", name] * 1e3) for label, name in steps],
        ),
        Bars("as built", " ms", [(function, medians[function, "ours"] * 1e3) for function in FUNCTIONS]),
    ]
    report.notes = [
        "Import, the clients of the first request and the token library, in a fresh Python; medians, in turns.",
        "By the book: packages as they come, nothing compiled, Powertools' Tracer and REST resolver on top.",
        "What is left, by package: imports.md.",
    ]
    report.publish()
    write_imports(left)


def write_imports(left: dict[str, Counter[str]]) -> None:
    """Writes docs/benchmarks/imports.md, and prints the same."""
    names = [name for name, _ in sum(left.values(), Counter[str]()).most_common()]
    rows = [(name, *(left[function][name] / 1e3 for function in FUNCTIONS)) for name in names]
    rows.append(("all", *(left[function].total() / 1e3 for function in FUNCTIONS)))
    table = as_markdown(("package", *FUNCTIONS), rows)
    text = f"""# What a cold start imports

Milliseconds per package and function as `python -X importtime` counts them, which makes everything slower: the
shares count, not the sums. Written by `make bench ONLY=cold_start`; `tests/meta/test_imports.py` guards the names.

{table}"""
    (FOLDER / "imports.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
