"""What a cold start imports, by name. Every new container pays for it, and no other test would notice one more."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("send_message", "make_call", "get_message", "websocket")

PACKAGES = {
    "annotated_types",
    "aws_lambda_powertools",
    "boto3",
    "botocore",
    "dateutil",
    "jmespath",
    "navietakie",
    "pydantic",
    "pydantic_core",
    "s3transfer",
    "six",
    "typing_extensions",
    "typing_inspection",
    "urllib3",
}
"""All imports besides Python's library and the function itself. `jwt` comes with the first token."""

IF_INSTALLED = {"OpenSSL", "certifi", "cffi", "cryptography"}
"""botocore imports these if they are installed. The layer has none of them."""

POWERTOOLS = {"exceptions", "logging", "metrics", "package_logger", "shared", "tracing", "utilities", "warnings"}
"""The imports from Powertools. The tracer is empty without its SDK, and one module of the utilities is imported."""

STANDARD_BUT_HEAVY = {
    "asyncio",
    "concurrent.futures.process",
    "ctypes",
    "http.cookiejar",
    "http.server",
    "pdb",
    "pydoc",
    "sqlite3",
    "unittest",
    "xmlrpc",
}

ELSEWHERE = {
    "send_message": {"navietakie.domain.call", "navietakie.domain.cursors", "navietakie.aws.tables.calls"},
    "get_message": {"navietakie.aws.publishing", "navietakie.aws.timers"},
    "websocket": {"navietakie.domain.cursors", "navietakie.aws.publishing", "websocket.proxy"},
}
"""Our modules that other functions need, or another mode."""

COLD_START = """
import json, sys
before = set(sys.modules)
sys.path[:0] = sys.argv[2:]
app = __import__(f"{sys.argv[1]}.app", fromlist=["handler"])
assert callable(app.handler)
from navietakie.aws.gateway import connections_api
from navietakie.aws.tables import dynamo
dynamo.client()
connections_api("https://abc.execute-api.eu-central-1.amazonaws.com/staging")
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@cache
def imported(function: str) -> frozenset[str]:
    """The modules that are loaded after a cold start of `function` and its first clients."""
    started = subprocess.run(
        [sys.executable, "-I", "-c", COLD_START, function, f"{ROOT}/functions", f"{ROOT}/layers/shared"],
        env={"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return frozenset(json.loads(started.stdout))


def within(modules: frozenset[str], package: str) -> set[str]:
    return {module for module in modules if module == package or module.startswith(f"{package}.")}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_cold_start_imports_these_packages_and_no_others(function: str) -> None:
    top = {module.partition(".")[0] for module in imported(function)} - sys.stdlib_module_names
    foreign = {name for name in top if not name.startswith("_")} - {function}
    assert foreign - IF_INSTALLED == PACKAGES


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_cold_start_imports_only_logger_and_metrics_of_powertools(function: str) -> None:
    parts = {module.split(".")[1] for module in within(imported(function), "aws_lambda_powertools") if "." in module}
    assert parts <= POWERTOOLS
    utilities = within(imported(function), "aws_lambda_powertools.utilities")
    assert utilities == {"aws_lambda_powertools.utilities", "aws_lambda_powertools.utilities.jmespath_utils"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_cold_start_imports_nothing_heavy_of_the_standard_library(function: str) -> None:
    assert not {module for heavy in STANDARD_BUT_HEAVY for module in within(imported(function), heavy)}


@pytest.mark.parametrize("function", ELSEWHERE)
def test_a_function_imports_nothing_that_is_for_another(function: str) -> None:
    assert not imported(function) & ELSEWHERE[function]
