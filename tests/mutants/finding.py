"""Where the code can be changed: every place of every operator, except where a change means nothing."""

import ast
import difflib
import hashlib
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from tests.mutants.operators import OPERATORS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("functions", "layers/shared/navietakie")
PROMISES = ("expression", "request", "transition")
"""The groups in which every change has to be noticed: conditions, consistency of reads, and the table of calls."""


@dataclass(frozen=True)
class Mutant:
    """One change. `occurrence`: the number of the place among those of its operator in the file. `lines`: where it is.

    `inside`: the text of its function (outside functions, of its statement), and the number of the place in that text.
    """

    path: str
    operator: str
    occurrence: int
    lines: range
    definition: str
    group: str
    inside: str

    @property
    def place(self) -> tuple[str, int, tuple[int, int], tuple[str, str, str]]:
        """Identifies the change within its file."""
        where = self.definition, self.group, self.inside
        return self.operator, self.occurrence, (self.lines.start, self.lines.stop), where

    @property
    def id(self) -> str:
        """Identifies the change as long as its function stays the same."""
        text = f"{self.path} {self.definition} {self.operator} {self.inside}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def code(self) -> str:
        """The text of the file with the change."""
        changed = mutate_code(source(self.path), OPERATORS[self.operator], self.occurrence)
        assert changed is not None, self
        return changed

    def difference(self, changed: str) -> tuple[str, str]:
        """The old and the new text, without differences in white space."""
        lines = list(difflib.unified_diff(source(self.path).splitlines(), changed.splitlines(), n=0, lineterm=""))[2:]
        was, becomes = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
        return was, becomes


@cache
def source(path: str) -> str:
    """The text of a file."""
    return (ROOT / path).read_text()


@cache
def _digest(path: str) -> str:
    return hashlib.sha256(source(path).encode()).hexdigest()


def files() -> list[str]:
    """The files that ship."""
    found = (file for folder in SOURCES for file in (ROOT / folder).rglob("*.py") if ".build" not in file.parts)
    return sorted(str(file.relative_to(ROOT)) for file in found)


def mutants(paths: Iterable[str], kept: Path) -> list[Mutant]:
    """All changes in these files, the most important first. `kept`: a file for what is slow to find."""
    here = Path(__file__).parent
    rules = hashlib.sha256(b"".join((here / name).read_bytes() for name in ("finding.py", "operators.py"))).hexdigest()
    known = json.loads(kept.read_text()) if kept.exists() else {}
    found: list[Mutant] = []
    for path in paths:
        state, places = known.get(path, ("", []))
        if state != rules + _digest(path):
            state, places = rules + _digest(path), [it.place for it in _of(path)]
        known[path] = state, places
        found += [Mutant(path, name, number, range(*lines), *where) for name, number, lines, where in places]
    kept.write_text(json.dumps(known))
    order = {group: number for number, group in enumerate((*PROMISES, "rule", "service", "edge"))}
    return sorted(found, key=lambda it: (order[it.group], it.path, it.lines.start))


def _of(path: str) -> Iterator[Mutant]:
    tree = ast.parse(source(path))
    meaningless, statements, turned = _meaningless(tree), _statements(tree), _turned_round(tree)
    nodes, text, before = list(ast_nodes(get_ast(source(path)))), source(path).splitlines(), Counter[tuple[str, ...]]()
    for name, operator in OPERATORS.items():
        positions = (position for node in nodes for position in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(positions):
            if any(first <= start and end <= last for first, last in meaningless):
                continue
            if name == "AddNot" and (start, end) in turned:
                continue
            lines, definition, owner = _around(start, end, statements)
            inside = hashlib.sha256("\n".join(text[owner.start - 1 : owner.stop - 1]).encode()).hexdigest()
            before[name, definition, inside] += 1
            inside += f" {before[name, definition, inside]}"
            yield Mutant(path, name, occurrence, lines, definition, _group(path, name, definition), inside)


def _group(path: str, operator: str, definition: str) -> str:
    if operator == "ExpressionPart":
        return "expression"
    if "/aws/tables/" in path and (operator in ("DropArgument", "DropEntry") or definition == ""):
        return "request"
    if path.endswith("domain/call.py") and (operator == "SwapInTable" or definition == ""):
        return "transition"
    if "/domain/" in path:
        return "rule"
    return "service" if path.startswith("functions/") else "edge"


type Span = tuple[tuple[int, int], tuple[int, int]]


def _span(node: ast.expr | ast.stmt | ast.type_param) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def _meaningless(tree: ast.Module) -> list[Span]:
    """Where a change means nothing: annotations, docstrings, code for type checkers, texts of errors and logs.

    Also how many seconds an AWS client waits and how often it tries: one more or less breaks no promise.
    """
    found: list[Span] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            found.append(_span(node.annotation))
        if isinstance(node, ast.FunctionDef) and node.returns is not None:
            found.append(_span(node.returns))
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found += [
                _span(each)
                for each in node.decorator_list
                if _says(each, "overload|model_validator|contextmanager|dataclass")
            ]
        if isinstance(node, ast.ClassDef) and any(_says(base, "Protocol") for base in node.bases):
            found.append(_span(node))
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found += [_span(each) for each in node.type_params]
        if isinstance(node, ast.TypeAlias) or (isinstance(node, ast.If) and _says(node.test, "TYPE_CHECKING")):
            found.append(_span(node))
        if (
            isinstance(node, ast.Assign)
            and _says(node.value, "Literal")
            and isinstance(node.value, ast.Subscript | ast.BinOp)
        ):
            found.append(_span(node))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.Call):
            call = node.value
            if isinstance(call, ast.Constant) or _says(
                call.func, r"(logger|log)\.(debug|info|warning|error|append_keys)"
            ):
                found.append(_span(node))
        if isinstance(node, ast.Call) and _says(node.func, "cast|super"):
            found += [_span(each) for each in node.args[:1]]
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "clients.client":
            waits = ("connect_timeout", "read_timeout", "attempts")
            found += [_span(each.value) for each in node.keywords if each.arg in waits]
    return found


def _turned_round(tree: ast.Module) -> set[Span]:
    """The conditions that another operator already reverses: a single comparison, or a `not`."""
    return {
        _span(node)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Compare) and len(node.ops) == 1)
        or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))
    }


def _says(node: ast.AST, pattern: str) -> bool:
    return re.match(rf"({pattern})\b", ast.unparse(node)) is not None


@dataclass(frozen=True)
class _Statement:
    span: Span
    lines: range
    definition: str
    owner: range
    """The lines of its function; outside functions, its own lines."""


def _statements(tree: ast.Module) -> list[_Statement]:
    """Every statement without its body, the innermost last."""
    found: list[_Statement] = []

    def look(node: ast.AST, definition: str, owner: range | None) -> None:
        for child in ast.iter_child_nodes(node):
            inside = definition
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inside = f"{definition}.{child.name}".lstrip(".")
            if isinstance(child, ast.stmt | ast.match_case | ast.ExceptHandler):
                start = child.pattern if isinstance(child, ast.match_case) else child
                body = getattr(child, "body", None)
                last = (body[0].lineno - 1 if body else getattr(child, "end_lineno", None)) or start.lineno
                end = getattr(child, "end_lineno", None) or (body[-1].end_lineno if body else last)
                end_column = getattr(child, "end_col_offset", None) or 10_000
                span = (start.lineno, start.col_offset), (end, end_column)
                # The defaults of a function run where it is defined; the fields of a class run in the class.
                where = definition if isinstance(child, ast.FunctionDef) else inside
                lines = range(start.lineno, max(last, start.lineno) + 1)
                found.append(_Statement(span, lines, where, owner or lines))
            if isinstance(child, ast.FunctionDef):
                look(child, inside, range(child.lineno, (child.end_lineno or child.lineno) + 1))
            else:
                look(child, inside, owner)

    look(tree, "", None)
    return found


def _around(start: tuple[int, int], end: tuple[int, int], statements: list[_Statement]) -> tuple[range, str, range]:
    inner = [each for each in statements if each.span[0] <= start and end <= each.span[1]]
    if not inner:
        lines = range(start[0], end[0] + 1)
        return lines, "", lines
    return inner[-1].lines, inner[-1].definition, inner[-1].owner


def changed_lines(since: str, sources: Iterable[str] = SOURCES) -> dict[str, set[int]]:
    """The lines that are new or different since `since`, by file."""
    base = _git("merge-base", since, "HEAD").strip()
    found: dict[str, set[int]] = {}
    path = ""
    for line in _git("diff", "--unified=0", "--no-color", base, "--", *sources).splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ b/")
        elif match := re.match(r"@@ \S+ \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(match[1]), int(match[2] or 1)
            found.setdefault(path, set()).update(range(first, first + count))
    return found


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
