"""The run: the code and its tests are loaded once. Each change is made in a fork, and its tests run there.

A change within a function replaces the code of the function. Another change, to a table or a default, takes effect only
at an import: then the fork forgets our modules, and loads the code and the tests of the change again.
"""

import gc
import importlib.machinery
import io
import json
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Literal

import coverage
import hypothesis
import pytest

from tests.mutants.finding import PROMISES, ROOT, Mutant, source

TESTS = ("tests/unit", "tests/contract", "tests/integration", "tests/security", "tests/crash")
"""The folders of tests that run the code in their own process, and quickly enough."""
DEPLOYED = frozenset({"stack", "jwt_stack", "local_run", "jwt_run", "dynamodb_endpoint"})
"""The fixtures of tests that run the code in another process, or take seconds to start."""
LIMIT_SECONDS = 30.0
"""The processor time for the tests of one change, by their times in the map: the first tests that fit are run."""
PATIENCE_SECONDS = 10
"""A test hangs if it takes more processor time than five times its usual one plus this, or waits ten times this."""
PYTEST = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--no-summary", "--tb=no"]

State = Literal["killed", "survived", "untested", "invalid"]


@dataclass(frozen=True)
class Outcome:
    """The result of a change, the test that killed it, and how many of its tests ran."""

    state: State
    by: str = ""
    tests: int = 0


@dataclass
class Map:
    """The tests of each line of each file, and how long each test took."""

    lines: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]

    def tests_of(self, mutant: Mutant, code: str, there: Container[str], kills: Mapping[str, int]) -> list[str]:
        """The tests for a change to `code`, as many of those that are `there` as fit the limit.

        For what runs at import, that is all tests of the file. First come tests that have killed changes in the same
        place (`kills` counts them), then those that are near, then quick ones. Near is a test whose name has words of
        the change, or whose file imports the changed one or, twice as near, is named after it. A test that takes an
        eighth of the limit comes late, however near. Where every change has to be seen, the limit is ten times as high.
        """
        by_line = self.lines.get(mutant.path, {})
        own = f"/test_{Path(mutant.path).stem}"
        limit = float(os.environ.get("LIMIT") or LIMIT_SECONDS) * (10 if mutant.group in PROMISES else 1)
        if _is_imported(mutant):
            found = {test for tests in by_line.values() for test in tests if test in there}
            # A test of a constant or of a field's limits runs no line. It is near: in a file that names the module.
            near = importing(mutant.path) | {test.partition("::")[0] for test in found}
            found |= {it for it in self.seconds if it in there and (own in it or it.partition("::")[0] in near)}
        else:
            found = {test for line in mutant.lines for test in by_line.get(line, ()) if test in there}

        named = Counter[str]()
        for word in _changed_words(mutant, code):
            naming = [test for test in found if word in test]
            if len(naming) * 4 < len(found):
                named.update(naming)

        def rank(test: str) -> tuple[float, bool, int, float, str]:
            seconds = self.seconds[test]
            near = named[test] + (test.partition("::")[0] in importing(mutant.path)) + 2 * (own in test)
            return -kills.get(test, 0) / (0.1 + seconds), seconds > limit / 8, -near, seconds, test

        fitting, seconds = list[str](), 0.0
        for test in sorted(found, key=rank):
            seconds += self.seconds[test]
            if fitting and seconds > limit:
                break
            fitting.append(test)
        return fitting


def _changed_words(mutant: Mutant, code: str) -> set[str]:
    """The words that are more often in the code before the change than after it, or less often."""
    was, becomes = (Counter(re.findall("[a-z]{4,}", side.lower())) for side in mutant.difference(code))
    return {*(was - becomes), *(becomes - was)}


@cache
def importing(path: str) -> frozenset[str]:
    """The files of tests that import the module at `path` by its name."""
    inside = path.removeprefix("functions/").removeprefix("layers/shared/")
    package, _, module = inside.removesuffix(".py").replace("/", ".").rpartition(".")
    package = re.escape(package)
    named = re.compile(rf"^(from|import) {package}(\.{module}| import (.*\W)?{module})\b", re.MULTILINE)
    files = (file for folder in TESTS for file in (ROOT / folder).rglob("*.py"))
    return frozenset(str(file.relative_to(ROOT)) for file in files if named.search(file.read_text()))


def _is_imported(mutant: Mutant) -> bool:
    """Whether the change is in code that runs at import: fields of a class, constants, tables, defaults."""
    return mutant.definition == "" or mutant.definition.rpartition(".")[2].lstrip("_")[:1].isupper()


class Mapper:
    """A plugin that makes the map, for all tests that are not `known`."""

    def __init__(self, say: Callable[[str], None], known: Container[str]) -> None:
        self._say = say
        self._known = known
        self._coverage = coverage.Coverage(
            data_file=None, config_file=False, source=[str(ROOT / "functions"), str(ROOT / "layers")]
        )
        self.seconds: dict[str, float] = {}
        self._failed = set[str]()

    def pytest_collection(self) -> None:
        _be_repeatable()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        usable = _usable(items)
        items[:] = [item for item in usable if item.nodeid not in self._known]
        self._say(f"  {len(items)} of {len(usable)} tests")

    def pytest_runtestloop(self) -> None:
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self._coverage.switch_context(item.nodeid)
        began = time.process_time()  # not the wall clock, which depends on how busy the machine is
        done = yield
        self.seconds[item.nodeid] = round(time.process_time() - began, 4)
        if len(self.seconds) % 50 == 0:
            self._say(f"  {len(self.seconds)} tests")
        return done

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)

    def map(self) -> Map:
        """The map. A test that fails on the unchanged code is left out, because it says nothing about changes."""
        self._coverage.stop()
        data = self._coverage.get_data()
        lines: dict[str, dict[int, list[str]]] = {}
        for file in data.measured_files():
            by_line = {
                line: [test for test in tests if test in self.seconds and test not in self._failed]
                for line, tests in data.contexts_by_lineno(file).items()
            }
            lines[str(Path(file).relative_to(ROOT))] = by_line
        for test in sorted(self._failed):
            self._say(f"  fails on the code as it is, and is left out: {test}")
        return Map(lines, self.seconds)


def made_map(kept: Path, digests: dict[str, str], paths: Sequence[str]) -> Map:
    """The map. Uses the `kept` map for tests whose own file and code are unchanged, by the `digests` of files.

    Code that tests share may have changed. At worst a change then survives although a test would kill it.
    """
    was = json.loads(kept.read_text()) if kept.exists() else {"paths": [], "digests": {}, "lines": {}, "seconds": {}}
    changed = {file for file in was["digests"].keys() | digests.keys() if was["digests"].get(file) != digests.get(file)}
    lines = {file: {int(line): tests for line, tests in it.items()} for file, it in was["lines"].items()}
    if not changed and was["paths"] == list(paths):
        return Map(lines, was["seconds"])
    again = {test for file in changed for tests in lines.get(file, {}).values() for test in tests}
    known = {test for test in was["seconds"] if test.partition("::")[0] not in changed and test not in again}
    print("Which test runs which line …", flush=True)
    made = _measured(known, paths)
    merged = Map(made.lines, {test: was["seconds"][test] for test in known} | made.seconds)
    for file, by_line in lines.items():
        for line, tests in by_line.items():
            if left := [test for test in tests if test in known]:
                merged.lines.setdefault(file, {}).setdefault(line, []).extend(left)
    state = {"paths": list(paths), "digests": digests, "lines": merged.lines, "seconds": merged.seconds}
    kept.write_text(json.dumps(state))
    return merged


def _measured(known: Container[str], paths: Sequence[str]) -> Map:
    """The map of tests that are not `known`, made in a process of its own: the threads that tests start end there."""
    with tempfile.TemporaryFile("w+") as made:
        pid = os.fork()
        if pid == 0:
            try:
                with quiet_pytest() as say:
                    mapper = Mapper(say, known)
                    pytest.main([*PYTEST, *paths], plugins=[mapper])
                    found = mapper.map()
                json.dump({"lines": found.lines, "seconds": found.seconds}, made)
                made.flush()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        made.seek(0)
        found = json.load(made)
    return Map(
        {file: {int(line): it for line, it in lines.items()} for file, lines in found["lines"].items()},
        found["seconds"],
    )


@contextmanager
def quiet_pytest() -> Generator[Callable[[str], None]]:
    """Hides what pytest prints. What is printed through this object is still shown."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(nowhere, 1)
    try:
        with os.fdopen(os.dup(kept), "w") as out:
            yield lambda text: print(text, file=out, flush=True)
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


class Running:
    """A plugin that runs changes instead of the tests, `jobs` at once."""

    def __init__(
        self,
        mutants: Sequence[Mutant],
        tests: Map,
        jobs: int,
        killed: Iterable[tuple[Mutant, str]],
        done: Callable[[Mutant, str, Outcome], None],
        skip: Callable[[Mutant, str], bool],
    ) -> None:
        self._kills = defaultdict[tuple[str, str], Counter[str]](Counter)
        for mutant, by in killed:
            self._kills[mutant.path, mutant.definition][by] += 1
        self._mutants = mutants
        self._tests = tests
        self._jobs = jobs
        self._done = done
        self._skip = skip

    def pytest_collection(self) -> None:
        _be_repeatable()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = _usable(items)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions = _functions()
        gc.collect()
        gc.freeze()
        pending, running = iter(self._mutants), dict[int, _Fork]()
        while True:
            while len(running) < self._jobs and (mutant := next(pending, None)) is not None:
                started = self._start(session, items, functions, mutant)
                if started is not None:
                    running[started.pid] = started
            if not running:
                return True
            ready = select.select([fork.told for fork in running.values()], [], [], 0.5)[0]
            for fork in list(running.values()):
                if fork.told in ready or time.monotonic() > fork.until:
                    del running[fork.pid]
                    outcome = fork.end(out_of_time=fork.told not in ready)
                    self._kills[fork.mutant.path, fork.mutant.definition][outcome.by] += 1
                    self._done(fork.mutant, fork.code, outcome)

    def _start(
        self, session: pytest.Session, items: dict[str, pytest.Item], functions: "Functions", mutant: Mutant
    ) -> "_Fork | None":
        code = mutant.code()
        if self._skip(mutant, code):
            return None
        tests = self._tests.tests_of(mutant, code, items, self._kills[mutant.path, mutant.definition])
        if not tests:
            self._done(mutant, code, Outcome("untested"))
            return None
        try:
            swaps = _swaps(mutant.path, code, functions)
        except SyntaxError:
            self._done(mutant, code, Outcome("invalid"))
            return None
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            watch = _Watch(self._tests.seconds)
            _in_fork(tell, lambda: _tried(session, [items[test] for test in tests], mutant.path, code, swaps, watch))
        os.close(tell)
        seconds = 60 * PATIENCE_SECONDS + 20 * sum(self._tests.seconds[test] for test in tests)
        return _Fork(pid, told, mutant, code, len(tests), time.monotonic() + seconds)


@dataclass(frozen=True)
class _Fork:
    pid: int
    told: int
    mutant: Mutant
    code: str
    tests: int
    until: float

    def end(self, *, out_of_time: bool) -> Outcome:
        said = "" if out_of_time else os.fdopen(self.told).read()
        if out_of_time:
            os.close(self.told)
            os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        if out_of_time:
            return Outcome("killed", "it did not end", self.tests)
        if said == "survived":
            return Outcome("survived", "", self.tests)
        return Outcome("killed", said or "it died, or did not end", self.tests)


def _in_fork(tell: int, act: Callable[[], str]) -> None:
    """Reports the result and ends the process."""
    os.setpgid(0, 0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    said = ""
    try:
        said = act()
    except BaseException as failure:  # noqa: BLE001 - whatever ends the tests has seen the change
        said = f"{type(failure).__name__}: {failure}"[:300]
    finally:
        os.write(tell, (said or "survived").encode(errors="replace"))
        os._exit(0)


def _tried(
    session: pytest.Session, items: list[pytest.Item], path: str, code: str, swaps: "Swaps | None", watch: "_Watch"
) -> str:
    """The name of the test that failed; empty if none did."""
    if swaps is None:
        return _tried_anew([item.nodeid for item in items], path, code, watch)
    for function, changed in swaps:
        function.__code__ = changed
    session.config.pluginmanager.register(watch)
    session.items = items
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if watch.failed:
            break
    return watch.failed


def _tried_anew(tests: list[str], path: str, code: str, watch: "_Watch") -> str:
    ours = ("navietakie", "send_message", "make_call", "get_message", "websocket", "tests", "local", "clients", "docs")
    for name in [
        name for name in sys.modules if name.partition(".")[0] in ours and not name.startswith("tests.mutants")
    ]:
        del sys.modules[name]
    target, load = str(ROOT / path), importlib.machinery.SourceFileLoader.get_code

    def get_code(self: Any, fullname: str) -> CodeType | None:
        if self.path != target:
            return load(self, fullname)
        return compile(code, target, "exec", dont_inherit=True)

    importlib.machinery.SourceFileLoader.get_code = get_code
    order = {test: number for number, test in enumerate(tests)}

    class Chosen:
        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            items[:] = sorted((item for item in items if item.nodeid in order), key=lambda it: order[it.nodeid])

    paths = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    sys.stdout = sys.stderr = io.StringIO()
    # Loading the files of all these tests takes longer than most tests, and the first file is often enough.
    for some in (paths[:1], paths[1:4], paths[4:]):
        if some:
            ended = pytest.main([*PYTEST, "-x", *some], plugins=[watch, Chosen()])
            if watch.failed or ended != pytest.ExitCode.OK:
                return watch.failed or f"pytest ended with {ended}"
    return ""


class _Watch:
    """Remembers which test failed first. Ends the process if a test hangs."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.failed = ""
        self._seconds = seconds

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        allowed = PATIENCE_SECONDS + round(5 * self._seconds[nodeid])
        signal.alarm(10 * allowed)
        resource.setrlimit(resource.RLIMIT_CPU, (round(time.process_time()) + allowed, resource.RLIM_INFINITY))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = f"import of {report.nodeid}"


def _usable(items: list[pytest.Item]) -> list[pytest.Item]:
    return [item for item in items if not DEPLOYED & set(getattr(item, "fixturenames", ()))]


def _be_repeatable() -> None:
    """Hypothesis: the same examples in every run, and no search for a smaller one after a failure."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, database=None, phases=phases)
    hypothesis.settings.load_profile("mutants")


type Place = tuple[str, str, int]
"""File, qualified name, and the number among functions of that name."""
type Functions = dict[Place, list[FunctionType]]
type Swaps = list[tuple[FunctionType, CodeType]]


def _functions() -> Functions:
    """The functions of the code that are in memory, by their place in it."""
    by_line = defaultdict[tuple[str, str, int], list[FunctionType]](list)
    for found in gc.get_objects():
        if isinstance(found, FunctionType) and found.__code__.co_filename.startswith(f"{ROOT}/"):
            code = found.__code__
            by_line[code.co_filename, code.co_qualname, code.co_firstlineno].append(found)
    places: Functions = {}
    for file in {file for file, _, _ in by_line}:
        path = str(Path(file).relative_to(ROOT))
        if not path.startswith(("functions/", "layers/")):
            continue
        for place, code in _outer(_compiled(path)).items():
            places[path, *place] = by_line.get((file, code.co_qualname, code.co_firstlineno), [])
    return places


def _swaps(path: str, changed: str, functions: Functions) -> Swaps | None:
    """The functions to replace; None if the change is outside functions in memory."""
    file = str(ROOT / path)
    before = _compiled(path)
    after = compile(changed, file, "exec", dont_inherit=True)
    if _at_import(before) != _at_import(after):
        return None
    old, new = _outer(before), _outer(after)
    swaps: Swaps = []
    for place, code in new.items():
        if code == old[place]:
            continue
        live = functions.get((path, *place), [])
        if not live or code.co_freevars != old[place].co_freevars:
            return None
        swaps += [(function, code) for function in live]
    return swaps


@cache
def _compiled(path: str) -> CodeType:
    return compile(source(path), str(ROOT / path), "exec", dont_inherit=True)


def _inner(code: CodeType) -> Iterator[CodeType]:
    return (each for each in code.co_consts if isinstance(each, CodeType))


def _is_function(code: CodeType) -> bool:
    """Whether code is a function's, and not of a class's body or a scope of type parameters, which run at import."""
    return bool(code.co_flags & 0x1) and not code.co_name.startswith("<generic parameters of")


def _outer(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """The functions that are not inside another function."""
    found: dict[tuple[str, int], CodeType] = {}
    for each in _inner(code):
        if _is_function(each):
            number = sum(1 for name, _ in found if name == each.co_qualname)
            found[each.co_qualname, number] = each
        else:
            found |= _outer(each)
    return found


def _at_import(code: CodeType) -> tuple[Any, ...]:
    """The code that runs when a module is imported, without the bodies of functions."""
    values = tuple(each for each in code.co_consts if not isinstance(each, CodeType))
    bodies = tuple(_at_import(each) for each in _inner(code) if not _is_function(each))
    names = tuple(each.co_qualname for each in _inner(code) if _is_function(each))
    return code.co_code, code.co_names, repr(values), bodies, names
