"""`usage-tracker events --follow` and `usage-tracker export`: calls one by one, for people and for programs."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from commanding import invoke
from made_events import NOON, made_event, random_events, store_events
from migrated import migrated

from usage_tracker.event import COLUMNS
from usage_tracker.report import Following, list_events, parse_condition
from usage_tracker.stores import Store


@pytest.fixture(autouse=True)
def store(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("TRACKER_DSN", dsn)
    with migrated(dsn) as found:
        yield found


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


class TestExport:
    def test_every_call_comes_with_every_column_the_oldest_first(self, store: Store) -> None:
        store_events(store, random_events(5, 60))
        result = invoke("export", "--until", "2027")
        assert result.exit_code == 0
        found = lines_of(result.stdout)
        assert len(found) == 60
        assert all(tuple(event) == COLUMNS for event in found)
        assert [event["started_at"] for event in found] == sorted(event["started_at"] for event in found)

    def test_jsonl_gives_back_exactly_what_is_stored(self, store: Store) -> None:
        store_events(store, [*random_events(5, 60), made_event(cost="0.000000000001", units={"seconds": 1.5})])
        stored = {event["event_id"]: event for event in list_events(store)}
        found = lines_of(invoke("export", "--until", "2027").stdout)
        assert len(found) == len(stored) == 61
        for event in found:
            event["started_at"] = datetime.fromisoformat(event["started_at"])
            for name in ("cost", "reported_cost"):
                assert event[name] is None or isinstance(event[name], str)
                event[name] = None if event[name] is None else Decimal(event[name])
            assert event == stored[event["event_id"]]

    def test_ranges_and_conditions_are_those_of_reports(self, store: Store) -> None:
        days = [NOON + timedelta(days=day) for day in range(-2, 3)]
        store_events(store, [made_event(day, project=project) for day in days for project in ("alpha", "beta")])
        words = ["--since", "2026-08-14", "--until", "2026-08-15", "--where", "project=alpha"]
        assert [event["started_at"][:10] for event in lines_of(invoke("export", *words).stdout)] == [
            "2026-08-14",
            "2026-08-15",
        ]

    def test_in_csv_nothing_is_a_formula(self, store: Store) -> None:
        nasty = '=HYPERLINK("http://x"),\r\nnext'
        store_events(store, [made_event(project=nasty, user_id="@me", session_id="+1", team="-2+3", tags=("=1",))])
        [row] = csv.DictReader(io.StringIO(invoke("export", "-o", "csv").stdout_bytes.decode(), newline=""))
        assert tuple(row) == COLUMNS
        assert (row["project"], row["user_id"], row["session_id"]) == (f"'{nasty}", "'@me", "'+1")
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())

    def test_a_file_is_written_in_the_format_of_its_name(self, tmp_path: Path, store: Store) -> None:
        store_events(store, [made_event(), made_event()])
        result = invoke("export", "--out", str(tmp_path / "a.csv"))
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == f"2 calls written to {tmp_path / 'a.csv'}.\n"
        assert len((tmp_path / "a.csv").read_text().splitlines()) == 3
        invoke("export", "--out", str(tmp_path / "a.jsonl"))
        assert len(lines_of((tmp_path / "a.jsonl").read_text())) == 2

    def test_a_file_is_written_as_a_whole_or_not_at_all(
        self, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store_events(store, [made_event()])
        target = tmp_path / "a.jsonl"
        target.write_text("before")

        def fail(_: object) -> str:
            raise KeyboardInterrupt

        monkeypatch.setattr("usage_tracker.cli.events.plain_fields", fail)
        assert invoke("export", "--out", str(target)).exit_code == 130
        assert target.read_text() == "before"
        assert [path.name for path in tmp_path.iterdir() if "a.jsonl" in path.name] == ["a.jsonl"]
        refused = invoke("export", "--out", str(tmp_path / "none" / "a.jsonl"))
        assert (refused.exit_code, "No such file" in refused.stderr) == (1, True)

    @pytest.mark.parametrize(
        "words", ["--format csv", "--grain hour", "--grain day", "--settle 0", "--again", "--every 5"]
    )
    def test_what_is_about_files_of_a_place_is_refused_without_one(self, words: str) -> None:
        result = invoke("export", *words.split())
        assert (result.exit_code, result.stdout) == (2, "")
        assert "--format, --grain, --settle, --again and --every go with --to" in result.stderr

    def test_without_calls_programs_get_an_empty_file(self, tmp_path: Path) -> None:
        result = invoke("export", "-o", "csv")
        assert result.stdout == ",".join(COLUMNS) + "\n"
        assert "No calls" in result.stderr
        hint = result.stderr
        result = invoke("export", "--out", str(tmp_path / "none.csv"))
        assert result.stderr == f"0 calls written to {tmp_path / 'none.csv'}.\n{hint}"
        none = invoke("export", "--dsn", f"sqlite:///{tmp_path}/none.db")
        assert (none.exit_code, none.stdout) == (0, "")
        assert "No events yet" in none.stderr


class TestFollowing:
    def test_each_event_is_seen_once_in_whatever_order_they_come(self, store: Store) -> None:
        now = datetime.now(UTC)
        following = Following()
        store_events(store, [made_event(now - timedelta(minutes=age)) for age in (5, 1, 120)])
        assert len(following.look(store, now)) == 2
        assert following.look(store, now) == []
        late = made_event(now - timedelta(minutes=30))
        store_events(store, [late, made_event(now)])
        assert following.look(store, now)[0]["event_id"] == str(late.event_id)
        assert following.look(store, now + timedelta(minutes=1)) == []

    def test_conditions_hold(self, store: Store) -> None:
        now = datetime.now(UTC)
        store_events(store, [made_event(now, project="alpha"), made_event(now, project="beta")])
        assert len(Following([parse_condition("project=alpha")]).look(store, now)) == 1


def test_following_prints_what_is_there_and_then_each_call_that_comes(store: Store) -> None:
    now = datetime.now(UTC)
    store_events(store, [made_event(now - timedelta(minutes=1), model="first")])
    command = [sys.executable, "-m", "usage_tracker", "events", "--follow", "--every", "0.1", "-o", "jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["model"] == "first"
        store_events(store, [made_event(now, model="second")])
        assert json.loads(following.stdout.readline())["model"] == "second"
        following.send_signal(signal.SIGINT)
        assert following.communicate(timeout=30) == ("", "")
        assert following.returncode == 130


def test_for_people_it_is_a_line_for_each_call_below_one_header(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    store_events(store, [made_event(now, project="a\x1b[31m", cost="0.5"), made_event(now, status="error", cost=None)])
    looks = iter([None])

    def sleep(_: float) -> None:
        if next(looks, "over") == "over":
            raise KeyboardInterrupt

    monkeypatch.setattr("usage_tracker.cli.follow.time.sleep", sleep)
    result = invoke("events", "--follow")
    assert result.exit_code == 130
    header, *lines = result.stdout.splitlines()
    assert header.split() == "Time Provider Model Operation Project User Status Input Output Took Cost Error".split()
    assert len(lines) == 2
    assert r"a\x1b[31m" in result.stdout


def test_the_lines_of_following_are_as_wide_as_columns_says(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store_events(store, [made_event(datetime.now(UTC), model="a-model-with-quite-a-long-name")])

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("usage_tracker.cli.follow.time.sleep", sleep)
    assert "a-model-with-quite-a-long-name" in invoke("events", "--follow").stdout
    monkeypatch.setenv("COLUMNS", "80")
    lines = invoke("events", "--follow").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "a-model-with-quite-a-lo…" in lines[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["-o", "json"], "use -o jsonl"), (["--since", "today"], "--follow begins now")],
    ids=str,
)
def test_what_following_cannot_do_is_said(words: list[str], said: str) -> None:
    result = invoke("events", "--follow", *words)
    assert (result.exit_code, said in result.stderr) == (2, True)


def test_following_waits_for_a_store_whose_tables_are_being_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of that is there before the next one."""
    table = f"{store.dialect.prefix}schema_migration"
    [(last,)] = store.select(f"SELECT max(number) FROM {table}")
    store.change(lambda execute: execute(f"DELETE FROM {table} WHERE number = {last}", []))
    looks = iter(["older", "older", "made", "followed"])

    def sleep(_: float) -> None:
        look = next(looks)
        if look == "made":
            store.change(lambda execute: execute(f"INSERT INTO {table} (number, name) VALUES ({last}, 'last')", []))
            store_events(store, [made_event(datetime.now(UTC), model="first")])
        if look == "followed":
            raise KeyboardInterrupt

    monkeypatch.setattr("usage_tracker.cli.follow.time.sleep", sleep)
    result = invoke("events", "--follow", "-o", "jsonl")
    assert result.exit_code == 130
    assert [event["model"] for event in lines_of(result.stdout)] == ["first"]
    assert result.stderr.count("is older than this version") == 1


def test_following_waits_for_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    dsn = f"sqlite:///{tmp_path}/later.db"
    command = [sys.executable, "-m", "usage_tracker", "events", "-f", "--every", "0.1", "-o", "jsonl", "--dsn", dsn]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        assert "No events yet" in following.stderr.readline()
        with migrated(dsn) as later:
            store_events(later, [made_event(datetime.now(UTC), model="first")])
        assert json.loads(following.stdout.readline())["model"] == "first"
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=30)
        assert following.returncode == 130
