"""The rules about folders, checked by the code's imports."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTIONS = {"send_message", "make_call", "get_message", "websocket"}
LAYER = ROOT / "layers/shared/navietakie"
WORLD = {"boto3", "botocore", "os", "time", "random", "socket", "http", "urllib", "threading", "uuid", "secrets"}
SOURCES = sorted([*LAYER.rglob("*.py"), *(ROOT / "functions").rglob("*.py")])


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports anywhere in it. `from a import b` counts as `a` and as `a.b`."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sorted(LAYER.rglob("*.py")), ids=name)
def test_the_layer_never_imports_a_function(path: Path) -> None:
    assert not packages(path) & FUNCTIONS


@pytest.mark.parametrize("path", sorted((ROOT / "functions").rglob("*.py")), ids=name)
def test_functions_never_import_each_other(path: Path) -> None:
    own = path.relative_to(ROOT / "functions").parts[0]
    assert not packages(path) & (FUNCTIONS - {own})


@pytest.mark.parametrize("path", sorted((LAYER / "domain").rglob("*.py")), ids=name)
def test_the_domain_is_pure(path: Path) -> None:
    assert not packages(path) & WORLD
    assert all(each.startswith("navietakie.domain") for each in imports(path) if each.startswith("navietakie"))
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert not calls & {"datetime.now", "datetime.utcnow", "date.today", "open", "print", "input"}


@pytest.mark.parametrize(("folder", "above"), [("wire", ("aws", "doors")), ("aws", ("doors",))])
def test_a_folder_imports_no_folder_above_it(folder: str, above: tuple[str, ...]) -> None:
    forbidden = tuple(f"navietakie.{each}" for each in above)
    for path in sorted((LAYER / folder).rglob("*.py")):
        assert not [each for each in imports(path) if each.startswith(forbidden)], name(path)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_only_aws_imports_boto3_and_botocore(path: Path) -> None:
    assert path.is_relative_to(LAYER / "aws") or not packages(path) & {"boto3", "botocore"}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_there_is_one_way_of_http_and_it_is_under_wire(path: Path) -> None:
    ways = {"socket", "select", "selectors", "http", "urllib3", "requests", "httpx", "asyncio", "urllib.request"}
    found = {each for each in imports(path) if each in ways or each.partition(".")[0] in ways}
    assert path.is_relative_to(LAYER / "wire") or not found


@pytest.mark.parametrize("path", sorted(LAYER.rglob("*.py")), ids=name)
def test_code_that_only_one_function_uses_is_not_in_the_layer(path: Path) -> None:
    if path.name == "__init__.py":
        return
    module = ".".join(("navietakie", *path.relative_to(LAYER).with_suffix("").parts))
    users = {user.relative_to(ROOT / "functions").parts[0] for user in reached_from_functions(module)}
    assert len(users) > 1, f"{module} is used by {users or 'nobody'}"


def reached_from_functions(module: str) -> set[Path]:
    """The files of functions that import `module`, directly or through the layer."""
    wanted, seen = {module}, set[str]()
    users: set[Path] = set()
    while wanted:
        current = wanted.pop()
        seen.add(current)
        for path in SOURCES:
            if current not in imports(path):
                continue
            if path.is_relative_to(LAYER):
                importer = ".".join(("navietakie", *path.relative_to(LAYER).with_suffix("").parts))
                wanted |= {importer} - seen
            else:
                users.add(path)
    return users


def test_keys_are_spelled_in_one_file() -> None:
    for path in SOURCES:
        if path.name == "keys.py":
            continue
        texts = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not {text for text in texts if text.startswith(("#head", "#live", "#id"))}, path


def test_every_handler_is_one_screen() -> None:
    for function in FUNCTIONS:
        lines = (ROOT / "functions" / function / "app.py").read_text().splitlines()
        assert len(lines) <= 150, function


def test_only_the_settings_read_the_environment() -> None:
    for path in SOURCES:
        if path.name != "settings.py":
            assert not re.search(r"\bos\.(environ|getenv)", path.read_text()), path
            assert "getenv" not in path.read_text(), path


@pytest.mark.parametrize("path", sorted((ROOT / "functions").rglob("*.py")), ids=name)
def test_every_answer_frame_and_event_has_a_type_of_its_own(path: Path) -> None:
    returned = {
        node.name: ast.unparse(node.returns)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.returns is not None
    }
    assert not {function for function, it in returned.items() if "dict[str, Any]" in it}
