"""The commands, their help and the README's table of them say the same."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from commanding import invoke

from usage_tracker.cli import main
from usage_tracker.cli.commands import COMMANDS, LazyGroup
from usage_tracker.cli.render import RENDERERS
from usage_tracker.report import DIMENSIONS, UNITS
from usage_tracker.report.ranges import PERIODS

README = (Path(__file__).parent.parent / "README.md").read_text()


def help_of(*words: str) -> str:
    result = invoke(*words, "--help", terminal_width=200)
    assert result.exit_code == 0
    return result.stdout


def all_commands(group: LazyGroup = main, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*before, name), command
        if isinstance(command, LazyGroup):
            yield from all_commands(command, *before, name)


EXAMPLE = re.compile(r"^[^\w|]*(?:[A-Z_]+=\S+ +)?usage-tracker((?: [^#>|<`\n]*)?)", re.MULTILINE)


def examples_in(text: str) -> list[str]:
    """The command lines in a text, without what follows them: remarks after a gap, pipes, redirections."""
    text = re.sub(r"\\\n *", "", text)
    found = (re.split(r" {3,}", words)[0].strip() for words in EXAMPLE.findall(text))
    return [words for words in found if "…" not in words]


def check(words: str) -> None:
    """Raise click.UsageError where the command line can't be understood."""
    try:
        context = main.make_context("usage-tracker", shlex.split(words))
        command: click.Command = main
        args = [*context._protected_args, *context.args]
        while isinstance(command, LazyGroup) and args:
            _, found, args = command.resolve_command(context, args)
            assert found is not None
            command, context = found, found.make_context("usage-tracker", args, parent=context)
            args = [*context._protected_args, *context.args] if isinstance(command, LazyGroup) else []
    except click.exceptions.Exit:
        pass


def test_the_table_in_the_readme_is_the_list_of_commands() -> None:
    [table] = re.findall(r"<!-- commands -->\n(.*?)<!-- /commands -->", README, re.DOTALL)
    rows = re.findall(r"^\| `usage-tracker ([a-z]+)` \| (.*) \|$", table, re.MULTILINE)
    assert rows == [(name, place.summary) for name, place in COMMANDS.items()]


def test_the_list_in_the_help_is_the_list_of_commands() -> None:
    shown = help_of()
    for name, place in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(place.summary)}$", shown, re.MULTILINE)


def test_the_help_of_report_names_all_that_it_takes() -> None:
    shown = help_of("report")
    for word in (*DIMENSIONS, *UNITS, *(word for word in PERIODS if word not in ("this-week", "last-week"))):
        assert word in shown
    assert "|".join(RENDERERS) in shown
    for option in (
        "--by",
        "--since",
        "--until",
        "--tz",
        "--where",
        "--top",
        "--compare",
        "--chart",
        "--fields",
        "--out",
    ):
        assert option in shown


def test_every_help_can_be_read_in_any_encoding() -> None:
    for words, _ in [((), main), *all_commands()]:
        result = CliRunner(charset="latin-1").invoke(main, [*words, "--help"], prog_name="usage-tracker")
        assert (result.exit_code, result.exception) == (0, None), words
    assert "Unknown figures are shown as -," in CliRunner(charset="latin-1").invoke(main, ["report", "--help"]).stdout


def test_every_option_says_what_it_is_for() -> None:
    silent = [
        (name, option.opts)
        for name, command in all_commands()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


TEXTS = [pytest.param(README, id="README"), pytest.param(main.help, id="usage-tracker")] + [
    pytest.param(command.help, id=" ".join(name)) for name, command in all_commands()
]


@pytest.mark.parametrize("text", TEXTS)
def test_every_example_can_be_typed(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"\b[a-z_]+\.(?:csv|json|jsonl|toml|sql)\b", text):
        (tmp_path / name).touch()
    for example in examples_in(text):
        try:
            check(example)
        except click.UsageError as error:
            pytest.fail(f"usage-tracker {example}: {error.format_message()}")


def test_a_wrong_example_would_be_noticed() -> None:
    with pytest.raises(click.UsageError):
        check("report --nonsense")
    with pytest.raises(click.UsageError):
        check("prices sett")
    assert examples_in("  usage-tracker report --by day      by the day\n$ X=1 usage-tracker ship | cat") == [
        "report --by day",
        "ship",
    ]
