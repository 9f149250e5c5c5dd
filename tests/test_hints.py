"""Commands that a command names: what it was told itself, they are told too."""

import re
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from commanding import invoke
from made_events import made_event, store_events
from migrated import migrated
from spooled import append

from usage_tracker.cli import main
from usage_tracker.cli.hints import repeating
from usage_tracker.cli.options import dsn_option
from usage_tracker.dsn import Dsn
from usage_tracker.journal import Journal, Spool


@pytest.fixture
def address(tmp_path: Path) -> str:
    """A store with one call that nobody knows the price of."""
    found = f"sqlite:///{tmp_path}/of mine.db"
    with migrated(found) as store:
        store_events(store, [made_event(datetime.now(UTC), cost=None, flags=["unpriced"], model="new")])
    return found


def run(*words: str, **environ: str) -> str:
    return invoke(*words, env=environ).output


def test_the_store_of_the_command_line_is_that_of_the_hints(address: str) -> None:
    assert f"`usage-tracker prices unpriced --dsn '{address}'` says why." in run("report", "--dsn", address)
    assert f"`usage-tracker prices unpriced --dsn '{address}'` says why." in run("report", "--dsn", address, "--chart")
    assert "`usage-tracker prices unpriced` says why." in run("report", TRACKER_DSN=address)


def test_so_is_one_that_a_report_is_asked_of_instead(address: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    for words in ((), ("--dsn", other)):
        said = run("report", "--from", address, *words, TRACKER_DSN=other)
        assert f"`usage-tracker prices unpriced --dsn '{address}'` says why." in said


def test_so_it_is_of_what_waits_in_the_journal(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(tmp_path / "spool"))
    append(Journal(Spool(tmp_path / "spool")), 1)
    for command in ("report", "watch"):
        assert f"`usage-tracker ship --dsn '{address}' --once` ships what it can." in run(command, "--dsn", address)


def test_so_is_the_price_book_where_a_command_takes_one(address: str, tmp_path: Path) -> None:
    (tmp_path / "book.toml").write_text('[[price]]\nmatch = "new"\ninput = 1\noutput = 1\n')
    said = run("prices", "unpriced", "--dsn", address, "--prices", str(tmp_path / "book.toml"))
    assert f"usage-tracker events show --dsn '{address}' " in said
    assert f"usage-tracker reprice --dsn '{address}' --prices {tmp_path}/book.toml --since all" in said


def test_errors_have_hints_too(address: str) -> None:
    said = run("events", "show", "--dsn", address, "00000000-0000-7000-8000-000000000000")
    assert f"`usage-tracker events --dsn '{address}' -o json` lists ids" in said


def hint(text: str, dsn: str) -> str:
    """What becomes of it in a command of ours that is told of that store."""

    @click.command()
    @dsn_option
    def command(dsn: Dsn) -> None:
        click.echo(repeating(text), nl=False)

    return CliRunner().invoke(command, ["--dsn", dsn], parent=click.Context(main)).output


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:s3cret@h/d",
        "postgresql://u@h/d?sslpassword=s3cret",
        "host=h password=s3cret",
        "clickhouse://u:s3cret@h/d",
    ],
)
def test_an_address_with_a_secret_is_left_to_who_typed_it(dsn: str) -> None:
    assert hint("see `usage-tracker report --by day`", dsn) == "see `usage-tracker report --dsn … --by day`"


@pytest.mark.parametrize("dsn", ["postgresql://u@h/d", "clickhouse://u@h:8123/d", "sqlite:////srv/100%25.db"])
def test_an_address_without_one_is_repeated(dsn: str) -> None:
    assert hint("see `usage-tracker budget list`", dsn) == f"see `usage-tracker budget list --dsn {dsn}`"


@pytest.mark.parametrize(
    "text", ["`usage-tracker run -- python app.py`", "`usage-tracker demo`", "usage-tracker-llm", "`usage-tracker`"]
)
def test_what_takes_no_store_is_left_as_it_is(text: str) -> None:
    assert hint(text, "sqlite:////a.db") == text


def test_where_a_table_has_no_room_only_what_there_is_is_advised(address: str) -> None:
    assert run("budget", "set", "--dsn", address, "--limit", "1").startswith("Added")

    def advised(*words: str) -> list[str]:
        shown = " ".join(run(*words, COLUMNS="1", TRACKER_DSN=address).split())
        return re.findall("No room for [^:]*: use a wider terminal(.*?)[.]", shown)

    of_budgets = " or `usage-tracker budget status -o json`"
    assert advised("report") == [" or -o json", of_budgets]
    assert advised() == ["", "", "", of_budgets]
    assert advised("watch") == ["", ""]
