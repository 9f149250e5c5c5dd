"""`usage-tracker watch`: one screen of what is being spent now."""

import os
import pty
import signal
import subprocess
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from commanding import invoke
from made_events import made_event, store_events
from migrated import migrated

from usage_tracker.cli.watch import CLOSE, HOME, OPEN, screen
from usage_tracker.dsn import parse_dsn
from usage_tracker.report import parse_condition
from usage_tracker.stores import open_store

NOW = datetime(2026, 8, 16, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def address(tmp_path: Path) -> str:
    """Half a minute ago one call of a dollar, five minutes ago another, this morning one of ten."""
    found = f"sqlite:///{tmp_path}/usage.db"
    with migrated(found) as store:
        ages = [(30, "1", "a"), (300, "1", "b"), (6 * 3600, "10", "a")]
        store_events(
            store,
            [made_event(NOW - age * SECOND, cost=cost, model=model, project=model) for age, cost, model in ages],
        )
    return found


def rest(terminal: int) -> bytes:
    """All that is still written there, until nobody has it open any more."""
    seen = b""
    with suppress(OSError):  # as a terminal's end is told
        while said := os.read(terminal, 1 << 16):
            seen += said
    os.close(terminal)
    return seen


def lines(address: str, *where: str) -> list[list[str]]:
    shown = "".join(screen(parse_dsn(address), tuple(map(parse_condition, where)), UTC, NOW))
    return [line.split() for line in shown.splitlines()]


def test_rates_are_those_of_the_last_minutes_and_of_today(address: str) -> None:
    shown = lines(address)
    assert ["Last", "minute", "1", "0", "1.0", "1.8", "$60.00", "$1.00"] in shown
    assert ["Last", "10", "minutes", "2", "0", "0.2", "0.4", "$12.00", "$2.00"] in shown
    assert ["Today", "3", "0", "0.0", "0.0", "$1.00", "$12.00"] in shown


def test_the_models_of_the_last_minutes_are_listed(address: str) -> None:
    shown = lines(address)
    listed = shown[shown.index(["Last", "10", "minutes", "by", "model"]) + 4 :]
    assert listed == [["a", "1", "100", "10", "$1.0000"], ["b", "1", "100", "10", "$1.0000"]]


def test_conditions_choose_whose_spending_is_watched(address: str) -> None:
    assert ["Last", "10", "minutes", "1", "0", "0.1", "0.2", "$6.0000", "$1.0000"] in lines(address, "project=b")


def test_it_says_whose_cost_is_in_none_of_its_sums(address: str) -> None:
    with closing(open_store(parse_dsn(address))) as store:
        store_events(store, [made_event(NOW - 30 * SECOND, cost=None, flags=["unpriced"], model="new")])
    assert "1 call is unpriced this month (model: new): its cost is in no sum;" in "\n".join(
        map(" ".join, lines(address))
    )


def test_where_it_is_no_terminal_it_prints_one_screen(address: str) -> None:
    result = invoke("watch", "--dsn", address)
    assert result.exit_code == 0
    assert result.stdout.count("Last minute") == 1
    assert HOME not in result.stdout


def test_without_a_store_it_says_how_to_get_one(tmp_path: Path) -> None:
    result = invoke("watch", "--dsn", f"sqlite:///{tmp_path}/none.db")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No events yet" in result.stderr


def test_on_a_terminal_the_screen_is_drawn_anew_until_it_is_interrupted(address: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "usage_tracker", "watch", "--every", "0.5", "--dsn", address]
    watching = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    seen = b""
    while seen.count(HOME.encode()) < 2:
        seen += os.read(ours, 4096)
    watching.send_signal(signal.SIGINT)
    seen += rest(ours)
    _, said = watching.communicate(timeout=60)
    assert (watching.returncode, said) == (130, b"")
    shown = seen.decode()
    assert "Ctrl-C ends it" in shown
    assert shown.startswith(OPEN)
    assert shown.endswith(CLOSE)


def test_a_store_whose_tables_are_being_made_is_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_store(parse_dsn(address))) as store:
        latest = "DELETE FROM schema_migration WHERE number = (SELECT max(number) FROM schema_migration)"
        store.change(lambda execute: execute(latest, []))

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("usage_tracker.cli.watch.time.sleep", sleep)
    monkeypatch.setattr("usage_tracker.cli.watch.is_terminal", lambda _: True)
    result = invoke("watch", "--dsn", address)
    assert result.exit_code == 130
    assert "is older than this version" in result.stdout
    assert "Ctrl-C ends it" in result.stdout


def test_a_minute_without_calls_is_said(address: str) -> None:
    shown = "".join(screen(parse_dsn(address), (), UTC, NOW + timedelta(hours=3)))
    assert "No calls in the last 10 minutes." in shown


def test_a_terminal_that_can_only_print_gets_one_screen(address: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "usage_tracker", "watch", "--dsn", address]
    watching = subprocess.Popen(command, stdout=theirs, env={**os.environ, "TERM": "dumb"})
    os.close(theirs)
    shown = rest(ours).decode()
    assert watching.wait(60) == 0
    assert "Last minute" in shown
    assert "\x1b[H" not in shown
