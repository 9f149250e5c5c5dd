"""Which changes of our lines no test notices: `make mutants`.

mutmut makes the changes, each as another body of its function. Here the tests are collected once, and each change is
tried in a fork of the process that has them: by the tests that reach the function, the quickest first, until one fails.
A session of pytest for each change would take a second for itself.
"""

import argparse
import ast
import fnmatch
import gc
import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from mutmut.__main__ import create_mutants
from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils.file_utils import (
    change_cwd,
    copy_also_copy_files,
    copy_src_dir,
    setup_source_paths,
    walk_mutatable_files,
)

MAIN = os.getpid()
ROOT = Path(__file__).parent.parent
KILLED, SURVIVED, UNREACHED, ENDLESS = 1, 0, 33, 36
"""What mutmut keeps of a change; of the last, that its tests did not end."""
OWN_SERVERS = {"own_postgres", "own_postgres_server"}


class Reach(NamedTuple):
    """What a test does."""

    test: int
    seconds: float
    functions: list[str]


class Mutants:
    """A plugin that runs the tests once for each change in the place of once."""

    def __init__(
        self, patterns: Sequence[str], again: bool, most_seconds: float, files: list[SourceFileMutationData]
    ) -> None:
        self.patterns = patterns
        self.again = again
        self.most_seconds = most_seconds
        self.files = files
        self.failed = ""
        self.databases: object = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Without those that start a server of their own: each change would start it again."""
        items[:] = [item for item in items if OWN_SERVERS.isdisjoint(getattr(item, "fixturenames", ()))]

    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> object:
        """The databases are made on one server, and from one template, for all changes."""
        if fixturedef.argname != "postgres_databases" or self.databases is None:
            return None
        fixturedef.cached_result = self.databases, None, None
        return self.databases

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed += f"{report.nodeid}\n{report.longreprtext}\n"

    def chosen(self) -> Iterator[tuple[SourceFileMutationData, str]]:
        for file in self.files:
            wanted = [
                name
                for name, code in file.exit_code_by_key.items()
                if (code in (SURVIVED, UNREACHED) if self.again else code is None)
                and any(fnmatch.fnmatch(name, each) for each in self.patterns)
            ]
            yield from ((file, name) for name in without_idle(wanted, file))

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        needed = any("postgres_databases" in getattr(item, "fixturenames", ()) for item in session.items)
        if needed and "TRACKER_TEST_DSN" not in os.environ:
            from postgres_server import PostgresServer  # which imports the package, as it is in `mutants`

            server = PostgresServer()
            server.start()
            server.drop(server.create(migrated=True))  # makes the template
            self.databases = server
        self.try_each(session)
        return True

    def try_each(self, session: pytest.Session) -> None:
        gc.freeze()  # or the first collection of each child would copy all pages
        reached: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for test, seconds, functions in self.look(session.items):
            for function in functions:
                reached[function].append((seconds, test))
        chosen = sorted(
            ((sum(seconds for seconds, _ in reached[function_of(name)]), name, file) for file, name in self.chosen()),
            key=lambda each: each[:2],
        )
        print(f"{len(chosen)} changes to try, the quickest first", file=sys.stderr, flush=True)
        for at, (seconds, name, file) in enumerate(chosen, 1):
            tests = self.quickest(reached[function_of(name)])
            items = [session.items[test] for test in tests]
            code = self.outcome(name, items, min(seconds, self.most_seconds)) if items else UNREACHED
            file.exit_code_by_key[name] = code
            save(file)
            if code == SURVIVED:
                print(name, *diff(name, file), sep="\n", flush=True)
            if at % 100 == 0:
                print(f"{at} of {len(chosen)} tried", file=sys.stderr, flush=True)

    def quickest(self, tests: Sequence[tuple[float, int]]) -> Iterator[int]:
        """The tests, the quickest first, that can be run in the time."""
        spent = 0.0
        for seconds, test in sorted(tests):
            if spent <= self.most_seconds:
                yield test
            spent += seconds

    def look(self, items: Sequence[pytest.Item]) -> list[Reach]:
        """Run each test once, unchanged, and see which functions it reaches."""
        reading, writing = os.pipe()

        def work() -> int:
            found = []
            for first in items[:1]:
                run(first, items[1:])  # what the first one of a process does is no test's time
            state()._stats.clear()
            for number, item in enumerate(items):
                started = time.perf_counter()
                run(item, items[number + 1 :])
                found.append(Reach(number, time.perf_counter() - started, sorted(state()._stats)))
                state()._stats.clear()
            with open(writing, "w") as file:
                json.dump([self.failed, found], file)
            return 0

        child = forked("stats", work)
        os.close(writing)
        try:
            with open(reading) as file:
                failed, found = json.load(file)
        finally:
            kill(child)
            os.waitpid(child, 0)
        if failed:
            raise SystemExit(f"tests fail before anything is changed:\n{failed}")
        return [Reach(*each) for each in found]

    def outcome(self, name: str, items: Sequence[pytest.Item], seconds: float) -> int:
        longest = 10 + 10 * seconds

        def work() -> int:
            resource.setrlimit(resource.RLIMIT_CPU, (int(longest), int(longest)))  # also when nobody waits any more
            for number, item in enumerate(items):
                run(item, items[number + 1 :])
                if self.failed:
                    return KILLED
            return SURVIVED

        child, deadline = forked(name, work), time.monotonic() + longest
        try:
            while True:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    code = os.waitstatus_to_exitcode(status)
                    return code if code in (KILLED, SURVIVED) else KILLED
                if time.monotonic() > deadline:
                    return ENDLESS
                time.sleep(0.002)
        finally:
            kill(child)
            if not ended:
                os.waitpid(child, 0)


def function_of(name: str) -> str:
    return name.partition("__mutmut_")[0]


def diff(name: str, file: SourceFileMutationData) -> list[str]:
    with change_cwd(ROOT):
        return [line for line in get_diff_for_mutant(name, path=file.path).splitlines()[3:] if line[:1] in "+-"]


class Plainly(ast.NodeTransformer):
    """A function without what says nothing of it: the letters at the ends of sentences and SQL and the case of all of
    them, and whether `zip` looks at lengths, which are the same."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, str) and (" " in node.value or node.value.lower() in ("commit", "rollback")):
            node.value = node.value.removeprefix("XX").removesuffix("XX").lower()
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        node.keywords = [keyword for keyword in node.keywords if keyword.arg != "strict"]
        return node


def without_idle(names: Sequence[str], file: SourceFileMutationData) -> Iterator[str]:
    """The changes that change something."""
    if not names:
        return
    functions = {
        node.name: [ast.dump(Plainly().visit(part)) for part in (node.args, *node.body)]
        for node in ast.walk(ast.parse((ROOT / "mutants" / file.path).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for name in names:
        function = name.rpartition(".")[2]
        if functions[function] != functions[f"{function_of(function)}__mutmut_orig"]:
            yield name


def run(item: pytest.Item, rest: Sequence[pytest.Item]) -> None:
    if os.getpid() != MAIN != os.getppid():
        os._exit(KILLED)  # nobody waits for it any more
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=rest[0] if rest else None)


def forked(name: str, work: Callable[[], int]) -> int:
    """A child in which that change is made, and which says nothing."""
    child = os.fork()
    if child:
        return child
    code = KILLED
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(silent, descriptor)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()  # so that what its tests start ends with it
        set_mutant_under_test(name)
        code = work()
    finally:
        os._exit(code)


def kill(child: int) -> None:
    """That fork, and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def save(file: SourceFileMutationData) -> None:
    """As a whole or not at all, whenever the run is ended."""
    kept, file.meta_path = file.meta_path, f"{file.meta_path}.new"
    try:
        file.save()
        os.replace(file.meta_path, kept)
    finally:
        file.meta_path = kept


def remove_unfinished(made: Path) -> None:
    """What a run that was ended had only begun to write, which mutmut would take for whole; and what is only copied,
    which mutmut would not copy again."""
    for path in made.rglob("*"):
        if path.is_file() and path.suffix not in (".pyc", ".spans") and not is_whole(path):
            path.unlink()


def is_whole(path: Path) -> bool:
    """Whether that is a file with changes, or what goes with one. Its index is written last."""
    if path.suffix == ".meta":
        with suppress(ValueError):
            return bool(json.loads(path.read_text()))
        return False
    index = path.with_name(f"{path.name}.spans")
    return index.exists() and index.stat().st_mtime_ns >= path.stat().st_mtime_ns


def make_mutants() -> list[SourceFileMutationData]:
    files = []
    with redirect_stdout(StringIO()):
        (ROOT / "mutants").mkdir(exist_ok=True)
        remove_unfinished(ROOT / "mutants" / "usage_tracker")
        copy_src_dir()
        copy_also_copy_files()
        setup_source_paths()
        create_mutants(2)
    for path in sorted(walk_mutatable_files()):
        file = SourceFileMutationData(path=path)
        file.load()
        file.meta_path = file.meta_path.absolute()
        files.append(file)
    return files


def table(files: Sequence[SourceFileMutationData]) -> Iterator[str]:
    """Of what was tried so far, in this run or an earlier one."""
    yield "| file | tried | of | noticed | not | not reached |"
    yield "|---|---:|---:|---:|---:|---:|"
    tried: list[int | None] = []
    for file in files:
        codes = [*file.exit_code_by_key.values()]
        if any(code is not None for code in codes):
            yield row(f"`{str(file.path).removeprefix('usage_tracker/')}`", codes)
            tried += codes
    yield row("all of these", tried)


def row(name: str, codes: Sequence[int | None]) -> str:
    noticed = codes.count(KILLED) + codes.count(ENDLESS)
    tried = len(codes) - codes.count(None)
    return f"| {name} | {tried} | {len(codes)} | {noticed} | {codes.count(SURVIVED)} | {codes.count(UNREACHED)} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("patterns", nargs="*", default=["*"], help="such as 'usage_tracker.pricing.rates.*'")
    parser.add_argument("--again", action="store_true", help="what nothing noticed or reached, rather than the new")
    parser.add_argument("--quick", action="store_true", help="without the tests that try many examples")
    parser.add_argument("--seconds", type=float, default=10, help="the longest that the tests of a change take")
    parser.add_argument("--tests", nargs="+", metavar="FILE", help="rather than those that pyproject.toml names")
    parser.add_argument("-k", metavar="WORDS", default="not clickhouse", help="which tests, as for pytest")
    asked = parser.parse_args()
    os.chdir(ROOT)
    files = make_mutants()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was tried is told then, too
    plugin = Mutants(asked.patterns, asked.again, asked.seconds, files)
    words = [
        *(asked.tests or config().pytest_add_cli_args_test_selection),
        *config().pytest_add_cli_args,
        *("-p", "no:terminal", "-o", "addopts=", "--rootdir=.", "-k", asked.k),
        *(("-m", "not hypothesis") if asked.quick else ()),
    ]
    os.chdir("mutants")
    with TemporaryDirectory(prefix="mutants-") as temporary:
        code = pytest.main([*words, f"--basetemp={temporary}/tests"], plugins=[plugin])  # each fork makes it anew
    print(*table(files), sep="\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
