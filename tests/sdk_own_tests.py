"""Run an SDK's own tests without us and with us, and compare them test by test: `make sdk-own-tests`.

The tests are those of the SDK's source distribution that need no server beside them. What fails without us, for want of
the SDK's repository or of the internet, has to fail with us too.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from patch_orders import journaled
from sdk_own_tests_plugin import GUARDED, OUTCOMES, SPOOL

PROJECT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("tests/api_resources",)
"""They ask a mock server that is generated from the provider's specification."""
NOT_FOR_TESTS = ("mypy", "nox", "pyright", "ruff", "ty")
MORE_TRIES = 2
"""How often a test whose outcomes differ is run again both ways: some depend on time."""
FOREIGN = ("TRACKER_", "OPENAI_", "AZURE_", "ANTHROPIC_", "AWS_", "GOOGLE_", "OTEL_", "PYTEST_", "COVERAGE_", "XDG_")

Outcomes = dict[str, list[str]]


class Ran(NamedTuple):
    """What became of the tests of one run, and of us in it."""

    outcomes: Outcomes
    events: int
    guarded: dict[str, list[str]]
    """Errors of ours that the guard swallowed, and the tests in which it did."""


def main() -> int:
    options = parse()
    return max([compare(sdk, options.folder, options.keep) for sdk in options.sdk or [f"openai=={version('openai')}"]])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--sdk", action="append", help="such as openai==3.54.0; by default the openai installed here")
    parser.add_argument("--folder", type=Path, default=PROJECT / ".sdk-own-tests", help="for sources and environments")
    parser.add_argument("--keep", action="store_true", help="keep what both runs wrote, beside the sources")
    options = parser.parse_args()
    if any(sdk.count("==") != 1 for sdk in options.sdk or ()):
        parser.error("an SDK is said with its version, such as openai==3.54.0")
    return options


def compare(sdk: str, folder: Path, keep: bool) -> int:
    """Print what both runs gave; 1 if they differ, if an error of ours was swallowed, or if we saw no call at all."""
    home = folder.resolve() / sdk.replace("==", "-")
    source = unpacked(sdk, home)
    python = environment(sdk, home, source)
    without, tracked = run(python, source, home / "without"), run(python, source, home / "with", tracked=True)
    differing = again(python, source, home, without.outcomes, tracked.outcomes)
    print(f"{sdk}: without us {counts(without.outcomes)}")
    print(f"{sdk}: with us    {counts(tracked.outcomes)}; {tracked.events} events")
    for test in differing:
        print(f"  DIFFERS {test}: {without.outcomes.get(test)} without us, {tracked.outcomes.get(test)} with us")
    for error, tests in tracked.guarded.items():
        print(f"  SWALLOWED by the guard {len(tests)} times, first in {tests[0]}:\n{error}")
    if not tracked.events:
        print("  no event at all: we were not there")
    if not keep:
        for way in ("without", "with", "without-again", "with-again"):
            shutil.rmtree(home / way, ignore_errors=True)
    return int(bool(differing or tracked.guarded or not tracked.events))


def unpacked(sdk: str, home: Path) -> Path:
    """The folder of the SDK's source distribution, downloaded where it isn't there."""
    source = home / "source"
    if not source.exists():
        archives = home / "archive"
        name = sdk.partition("==")[0]
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name]
        subprocess.run([*download, "--dest", archives, sdk], check=True)
        (archive,) = archives.glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(archives, filter="data")
        (folder,) = (path for path in archives.iterdir() if path.is_dir())
        folder.rename(source)
    return source


def environment(sdk: str, home: Path, source: Path) -> Path:
    """The Python of an environment with the SDK, all its extras, what its developers test with, and us."""
    python, ready = home / "venv" / "bin" / "python", home / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home / "venv"], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--editable", PROJECT, *needed(sdk, source)], check=True)
        ready.touch()
    return python


def needed(sdk: str, source: Path) -> list[str]:
    said = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    rye = said.get("tool", {}).get("rye", {}).get("dev-dependencies", [])
    developers: Iterable[object] = said.get("dependency-groups", {}).get("dev", rye)
    tools = [tool for tool in developers if isinstance(tool, str) and not names_one_of(tool, NOT_FOR_TESTS)]
    extras = ",".join(extra.replace("_", "-") for extra in said["project"].get("optional-dependencies", {}))
    return [sdk.replace("==", f"[{extras}]=="), *tools, "pytest-xdist", "pytest-timeout"]


def names_one_of(requirement: str, names: tuple[str, ...]) -> bool:
    return any(requirement == name or requirement.startswith((f"{name}=", f"{name}>", f"{name} ")) for name in names)


def run(python: Path, source: Path, place: Path, tests: Iterable[str] = ("tests",), *, tracked: bool = False) -> Ran:
    """Run these tests. Raises FileNotFoundError where pytest did not come to its end; its output is in the place."""
    shutil.rmtree(place, ignore_errors=True)
    (place / "home").mkdir(parents=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    environ |= {"HOME": str(place / "home"), "PYTHONPATH": str(PROJECT / "tests"), OUTCOMES: str(place / "outcomes")}
    if tracked:
        environ[SPOOL] = str(place / "spool")
    command = [
        str(python), "-m", "pytest", "-p", "sdk_own_tests_plugin", "-p", "no:cacheprovider", "-n", "2", "--timeout=120",
        "--continue-on-collection-errors", *(f"--ignore={path}" for path in LEFT_OUT), *tests,
    ]  # fmt: skip
    with (place / "output").open("w") as output:
        subprocess.run(command, cwd=source, env=environ, stdout=output, stderr=subprocess.STDOUT, check=False)
    outcomes: Outcomes = json.loads((place / "outcomes").read_text(encoding="utf-8"))
    return Ran(outcomes, len(journaled(place / "spool")), swallowed(place / GUARDED))


def swallowed(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        said = json.loads(line)
        found.setdefault("".join(said["error"]), []).append(str(said["test"]))
    return found


def again(python: Path, source: Path, home: Path, without: Outcomes, tracked: Outcomes) -> list[str]:
    """The tests whose outcomes differ each time that they are run both ways."""
    differing = [test for test in without | tracked if without.get(test) != tracked.get(test)]
    for _ in range(MORE_TRIES):
        if not differing:
            break
        print(f"once more, for it differed: {', '.join(differing)}", flush=True)
        one, other = (
            run(python, source, home / f"{way}-again", differing, tracked=way == "with").outcomes
            for way in ("without", "with")
        )
        differing = [test for test in differing if one.get(test) != other.get(test)]
    return differing


def counts(outcomes: Outcomes) -> str:
    found = Counter(", ".join(each) for each in outcomes.values())
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(found.items()))


if __name__ == "__main__":
    sys.exit(main())
