"""What CONTRIBUTING.md tells the next engineer to type works as it stands there, and so does the change it names."""

import re
import subprocess
import sys
from ast import literal_eval
from pathlib import Path
from types import ModuleType

import pytest
from conftest import SLOW

from usage_tracker.providers import usage_fields

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ").partition("#")[0].strip()
    for kind, text in BLOCKS
    if kind == "console"
    for line in text.splitlines()
]


def test_each_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} == {"console", "diff"}
    assert all(line.startswith("$ ") for kind, text in BLOCKS if kind == "console" for line in text.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_work(command: str) -> None:
    """Of what installs or takes minutes, what would be done; the rest with the Python of this environment."""
    program, *words = command.split()
    if program == "make":
        done = subprocess.run(["make", "--dry-run", *words], check=False, cwd=ROOT, capture_output=True, text=True)
    else:
        assert program == ".venv/bin/pytest"
        alone = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run([*alone, *words], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_what_is_left_out_before_a_commit_is_there() -> None:
    files = {path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")}
    assert files >= SLOW


def first_change() -> dict[str, str]:
    """The files with it."""
    [diff] = [text for kind, text in BLOCKS if kind == "diff"]
    changed = {}
    for part in diff.split("--- ")[1:]:
        name, _, hunk = part.partition("\n")
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] == " ")
        whole = (ROOT / name).read_text(encoding="utf-8")
        assert whole.count(before) == 1, f"{name} has this no more:\n{before}"
        changed[name] = whole.replace(before, "".join(line[1:] for line in lines))
    return changed


def test_the_first_change_does_what_its_line_in_the_test_says() -> None:
    changed = first_change()
    source, tests = "usage_tracker/providers/usage_fields.py", "tests/test_usage_fields.py"
    assert changed.keys() == {source, tests}
    added = set(changed[tests].splitlines()) - set((ROOT / tests).read_text(encoding="utf-8").splitlines())
    [(spelling, column)] = [literal_eval(line.partition("#")[0].strip().rstrip(",")) for line in added]
    module = ModuleType("usage_tracker.providers.changed")
    exec(compile(changed[source], source, "exec"), vars(module))
    assert getattr(module.read_usage({"prompt_tokens": 10, **spelling}, "chat"), column) == 4
    assert getattr(usage_fields.read_usage({"prompt_tokens": 10, **spelling}, "chat"), column) is None
