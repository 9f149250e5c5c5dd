"""What a shell is told of what can be typed next."""

import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete
from commanding import invoke

from usage_tracker.cli import main
from usage_tracker.cli.completion import VARIABLE


def completed(*words: str) -> list[str]:
    """What the last word can become."""
    *before, last = words
    shell = ShellComplete(main, {}, "usage-tracker", VARIABLE)
    return [item.value for item in shell.get_completions(list(before), last)]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    result = invoke("completion", shell)
    assert result.exit_code == 0
    assert VARIABLE in result.stdout
    assert "usage-tracker" in result.stdout


def test_another_shell_is_met_with_those_that_there_are() -> None:
    result = invoke("completion", "csh")
    assert result.exit_code == 2
    assert "'bash'" in result.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["repo"], ["report"]),
        (["prices", "se"], ["set"]),
        (["events", "sh"], ["show"]),
        (["report", "--by", "mod"], ["model"]),
        (["report", "--by", "day,mod"], ["day,model"]),
        (["top", "proj"], ["project"]),
        (["report", "--where", "te"], ["team="]),
        (["export", "--where", "te"], ["team="]),
        (["report", "-o", "js"], ["json", "jsonl"]),
        (["report", "--since", "last"], ["last-week", "last-month"]),
        (["report", "--during", "last"], ["last-week", "last-month"]),
        (["report", "--compare", "p"], ["previous"]),
        (["report", "--compare", "a"], []),
        (["report", "--fields", "calls,err"], ["calls,errors"]),
        (["watch", "-z", "Europe/Berl"], ["Europe/Berlin"]),
        (["report", "--deb"], ["--debug"]),
    ],
    ids=" ".join,
)
def test_commands_options_and_values_are_completed(words: list[str], expected: list[str]) -> None:
    assert completed(*words) == expected


def test_a_command_that_is_not_there_breaks_nothing() -> None:
    assert "report" in completed("nonsense", "")


def test_completing_a_command_imports_none() -> None:
    script = (
        "import sys; from usage_tracker.cli import main; from click.shell_completion import ShellComplete; "
        "print(len(ShellComplete(main, {}, 'x', 'y').get_completions([], 're'))); "
        "print([name for name in sys.modules if name.startswith('usage_tracker.report')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "3\n[]\n"
