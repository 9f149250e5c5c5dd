"""`usage-tracker prune`: events go, and the reports that their sums can tell stay as they were."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from commanding import invoke
from made_events import NOON, made_event, random_events, store_events
from migrated import migrated

import usage_tracker
from usage_tracker.instants import to_instant, to_moment
from usage_tracker.report import Query, Row, parse_condition, run
from usage_tracker.report.dialects import open_statement
from usage_tracker.report.kept import Kept, find_kept, lacks
from usage_tracker.stores import Store
from usage_tracker.zones import parse_zone

MIDNIGHT = datetime(2026, 8, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def store(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("TRACKER_DSN", dsn)
    with migrated(dsn) as found:
        yield found


def prune(*words: str) -> Result:
    return invoke("prune", *words)


def count(store: Store) -> int:
    [(found,)] = store.select(f"SELECT count(*) FROM {store.dialect.prefix}events")
    assert isinstance(found, int)
    return found


def around_noon(store: Store) -> None:
    """A call each hour for four days, two before and two after noon."""
    store_events(store, [made_event(NOON + timedelta(hours=hour), session_id="s") for hour in range(-48, 48)])


def test_without_yes_it_shows_what_would_go_and_deletes_nothing(store: Store) -> None:
    around_noon(store)
    result = prune("--before", "2026-08-15")
    assert result.exit_code == 0
    assert "Events from before 2026-08-15 00:00 UTC" in result.stdout
    assert ["Total", "36"] in [line.split()[:2] for line in result.stdout.splitlines()]
    assert "Nothing was deleted" in result.stderr
    assert count(store) == 96


def test_with_yes_it_deletes_them(store: Store) -> None:
    around_noon(store)
    result = prune("--before", "2026-08-15", "--yes")
    assert result.exit_code == 0
    assert "36 events were deleted" in result.stderr
    assert count(store) == 60
    assert "No events from before" in prune("--before", "2026-08-15", "--yes").stderr


def test_days_are_those_of_the_zone(store: Store) -> None:
    around_noon(store)
    assert "34 events were deleted" in prune("--before", "2026-08-15", "-z", "Europe/Berlin", "--yes").stderr


def test_an_age_counts_from_the_start_of_its_day(store: Store) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    store_events(store, [made_event(today - timedelta(days=30, seconds=1)), made_event(today - timedelta(days=30))])
    assert "1 event was deleted" in prune("--older-than", "30d", "--yes").stderr


def test_programs_learn_what_went(store: Store) -> None:
    around_noon(store)
    document = json.loads(prune("--before", "2026-08-15", "-o", "json").stdout)
    assert (document["schema_version"], document["before"], document["deleted"]) == (1, "2026-08-15T00:00:00Z", False)
    assert sum(part["events"] for part in document["parts"]) == 36
    assert set(document["parts"][0]) == {"table", "whole", "events", "bytes"}
    assert json.loads(prune("--before", "2026-08-15", "-o", "json", "--yes").stdout)["deleted"] is True


def test_programs_learn_that_nothing_is_there(tmp_path: Path) -> None:
    result = prune("--before", "2026-08-15", "-o", "json", "--dsn", f"sqlite:///{tmp_path}/none.db")
    assert (json.loads(result.stdout)["parts"], "No events yet" in result.stderr) == ([], True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "either --older-than 180d or --before 2026-06-01"),
        (["--older-than", "7d", "--before", "2026-01-01"], "either"),
        (["--older-than", "soon"], "is not an age"),
        (["--before", "7d"], "is not a day"),
        (["--before", "yesterdy"], "did you mean yesterday?"),
        (["--before", "9000-01-01"], "has not come yet"),
    ],
    ids=str,
)
def test_a_wrong_command_line_is_told_the_right_one(words: list[str], said: str) -> None:
    result = prune(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


QUESTIONS = [
    (("day",), (), "UTC"), (("day",), (), "Europe/Berlin"), (("day",), (), "America/Havana"), (("hour",), (), "UTC"),
    (("month", "model"), (), "Europe/Berlin"), (("project", "user"), ("team=core",), "UTC"), (("tag",), (), "UTC"),
    (("week",), ("tag=eu",), "UTC"), (("status", "api_key"), ("user!=u-1",), "UTC"), (("sdk",), ("tag=none",), "UTC"),
    ((), (), "Asia/Tokyo"),
]  # fmt: skip


def test_reports_of_whole_days_say_the_same_before_and_after(store: Store) -> None:
    store_events(store, random_events(7, 250))
    queries = [Query(None, None, by, tuple(map(parse_condition, where)), parse_zone(z)) for by, where, z in QUESTIONS]
    before = [run(store, query) for query in queries]
    assert sum(store.prune(MIDNIGHT)) > 100
    for query, then in zip(queries, before, strict=True):
        now = run(store, query)
        assert now.total == nearly(then.total)
        assert {row.group: row for row in now.rows} == {row.group: nearly(row) for row in then.rows}
        assert lacks(store, query) is None


def nearly(row: Row) -> Row:
    """A mean's last digits depend on the order in which a server adds up, which it chooses anew as tables change."""
    means: dict[str, Any] = {name: pytest.approx(getattr(row, name)) for name in ("mean_duration_ms", "mean_ttft_ms")}
    return replace(row, **means)


class TestWhatIsKept:
    def test_nothing_is_known_of_a_store_that_was_never_pruned(self, store: Store) -> None:
        assert find_kept(store) is None
        around_noon(store)
        assert find_kept(store) is None

    @pytest.mark.parametrize("hours", [1, 20, 36, 95])
    def test_it_is_found_to_the_hour(self, store: Store, hours: int) -> None:
        around_noon(store)
        before = NOON + timedelta(hours=hours - 48)
        assert sum(store.prune(before)) == hours
        kept = find_kept(store)
        assert kept is not None
        assert (to_moment(kept.first), to_moment(kept.since)) == (NOON - timedelta(hours=48), before)

    def test_it_is_found_where_everything_went(self, store: Store) -> None:
        around_noon(store)
        assert sum(store.prune(NOON + timedelta(days=9))) == 96
        kept = find_kept(store)
        assert kept is not None
        assert to_moment(kept.since) >= NOON + timedelta(hours=48)

    def test_a_call_that_comes_late_hides_nothing(self, store: Store) -> None:
        around_noon(store)
        assert sum(store.prune(NOON)) == 48
        store_events(store, [made_event(NOON - timedelta(hours=48))])
        kept = find_kept(store)
        assert kept is not None
        assert to_moment(kept.since) == NOON

    @pytest.mark.parametrize("days", [1, 2, 40])
    def test_calls_of_before_what_was_pruned_hide_nothing(self, store: Store, days: int) -> None:
        """By a clock that was wrong, or of a history that was brought in later."""
        store_events(store, [made_event(NOON + timedelta(days=day), session_id="s") for day in range(-20, 20)])
        assert sum(store.prune(NOON)) == 20
        early = datetime(2001, 9, 9, tzinfo=UTC)
        store_events(store, [made_event(early + timedelta(days=day), session_id="s") for day in range(days)])
        kept = find_kept(store)
        assert kept is not None
        assert (to_moment(kept.first), to_moment(kept.since)) == (NOON - timedelta(days=20), NOON - timedelta(hours=23))
        assert lacks(store, Query(by=("session",))) is not None
        assert lacks(store, Query(None, datetime(2002, 1, 1, tzinfo=UTC), ("session",))) is None

    def test_a_call_that_comes_late_to_each_day_hides_nothing(self, store: Store) -> None:
        store_events(store, [made_event(NOON + timedelta(days=day)) for day in range(-40, 40)])
        assert sum(store.prune(NOON)) == 40
        store_events(store, [made_event(NOON + timedelta(days=day, hours=-9)) for day in range(-41, 0)])
        kept = find_kept(store)
        assert kept is not None
        assert (to_moment(kept.first), to_moment(kept.since)) == (
            NOON - timedelta(days=40, hours=9),
            NOON - timedelta(hours=23),
        )

    @pytest.mark.parametrize(("minutes", "hours"), [(61, 2), (600, 10), (1441, 25), (2190, 37), (2880, 48)])
    def test_of_busy_days_it_is_found_to_the_hour(self, store: Store, minutes: int, hours: int) -> None:
        store_events(store, [made_event(MIDNIGHT + timedelta(minutes=minute)) for minute in range(2880)])
        assert find_kept(store) is None
        assert sum(store.prune(MIDNIGHT + timedelta(minutes=minutes))) == minutes
        store_events(store, [made_event(MIDNIGHT + timedelta(days=day)) for day in (-1, 0, 0)])
        kept = find_kept(store)
        assert kept is not None
        assert (to_moment(kept.first), to_moment(kept.since)) == (MIDNIGHT, MIDNIGHT + timedelta(hours=hours))

    def test_of_a_busy_hour_too(self, store: Store) -> None:
        store_events(store, [made_event(NOON + timedelta(seconds=second)) for second in range(-3600, 3600)])
        assert sum(store.prune(NOON + timedelta(minutes=30))) == 3600 + 1800
        kept = find_kept(store)
        assert kept is not None
        assert to_moment(kept.since) == NOON + timedelta(hours=1)

    def test_it_is_found_where_somebody_took_a_month_out(self, store: Store) -> None:
        store_events(store, [made_event(NOON + timedelta(days=day)) for day in range(-90, 90)])
        start, end = datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)
        statement = open_statement(store.dialect)
        text = (
            f"DELETE FROM {statement.table('usage_event')} WHERE started_at >= "
            f"{statement.bind_instant(to_instant(start), 'started_at')} AND started_at < "
            f"{statement.bind_instant(to_instant(end), 'started_at')}"
        )
        store.change(lambda execute: execute(text, statement.parameters))
        kept = find_kept(store)
        assert kept is not None
        assert (to_moment(kept.first), to_moment(kept.since)) == (
            start + timedelta(hours=12),
            end - timedelta(hours=11),
        )

    def test_a_call_of_the_last_day_of_all_hides_nothing(self, store: Store) -> None:
        """After that day is none, which Postgres's driver can't write."""
        last = datetime(9999, 12, 31, 12, tzinfo=UTC)
        store_events(store, [made_event(NOON), made_event(NOON + timedelta(days=1)), made_event(last)])
        assert find_kept(store) is None
        assert sum(store.prune(NOON + timedelta(hours=1))) == 1
        kept = find_kept(store)
        assert kept is not None
        assert to_moment(kept.since) == NOON + timedelta(hours=1)

    def test_what_a_batch_used_counts_where_nothing_was_called(self, store: Store) -> None:
        batch = made_event(MIDNIGHT - timedelta(days=3), awaits="batch-1", input_tokens=None, output_tokens=None)
        answers = [made_event(MIDNIGHT - timedelta(hours=9), completes="batch-1", response_id=name) for name in "abc"]
        store_events(store, [batch, *answers, made_event(NOON)])
        assert find_kept(store) is None
        assert sum(store.prune(MIDNIGHT)) == 4
        kept = find_kept(store)
        assert kept is not None
        assert to_moment(kept.since) == MIDNIGHT - timedelta(hours=8)

    def test_only_questions_that_need_what_has_gone_lack_it(self, store: Store) -> None:
        around_noon(store)
        assert sum(store.prune(NOON)) == 48
        half_past = NOON - timedelta(hours=3, minutes=30)
        by_session, by_model = ("session",), ("model",)
        assert lacks(store, Query(by=by_model)) is None
        assert lacks(store, Query(half_past, None, by_model)) is not None
        assert lacks(store, Query(by=by_session)) is not None
        assert lacks(store, Query(NOON, None, by_session)) is None
        assert lacks(store, Query(None, NOON - timedelta(days=9), by_session)) is None


def test_reports_and_lists_say_what_they_lack(store: Store) -> None:
    around_noon(store)
    prune("--before", "2026-08-15", "--yes")
    august = ("--since", "2026-08", "--until", "2026-08")
    assert invoke("report", *august).stderr == ""
    for words in (["report", *august, "--by", "session"], ["events", *august], ["export", *august, "-o", "csv"]):
        assert "Calls up to 2026-08-14 were pruned" in invoke(*words).stderr
    for words in (["--until", "2026-08-14"], ["--where", "app=nobody's"]):
        assert "Calls up to 2026-08-14 were pruned" in invoke("events", *words).stderr
    assert invoke("events").stderr == ""
    for words in (["report", "--by", "session"], ["events"], ["export", "-o", "csv"]):
        assert "pruned" not in invoke(*words, "--since", "2026-08-15", "--until", "2026-08-16").stderr
    for words in (["report", *august, "--by", "session"], ["events", *august]):
        [note] = json.loads(invoke(*words, "-o", "json").stdout)["notes"]
        assert "Calls up to 2026-08-14 were pruned" in note


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "2026-08-15", "--until", "2026-08-16", "--by", "host", "--compare", "2026-08-14"), "missing here"),
        (("--since", "2026-08-13", "--until", "2026-08-16", "--cost", "current"), "what they would cost today"),
        (("--since", "2026-08-13", "--until", "2026-08-16", "--by", "app,model", "-o", "json"), "p50 and p95"),
    ],
    ids=["what it is held against", "prices of today", "percentiles"],
)
def test_reports_say_of_which_of_their_figures_calls_are_gone(store: Store, words: tuple[str, ...], said: str) -> None:
    around_noon(store)
    assert "pruned" not in invoke("report", *words).stderr
    prune("--before", "2026-08-15", "--yes")
    result = invoke("report", *words)
    assert "Calls up to 2026-08-14 were pruned" in result.stderr
    assert said in result.stderr
    notes = json.loads(invoke("report", *words, "-o", "json").stdout)["notes"]
    assert any("Calls up to 2026-08-14 were pruned" in note and said in note for note in notes)


def test_what_is_left_is_looked_for_once_for_all_figures(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    around_noon(store)
    looked: list[Store] = []

    def look(store: Store) -> Kept | None:
        looked.append(store)
        return find_kept(store)

    monkeypatch.setattr("usage_tracker.report.kept.find_kept", look)
    invoke(
        "report", "--since", "2026-08-13", "--until", "2026-08-16", "--by", "host", "--cost", "current", "-o", "json"
    )
    assert len(looked) == 1


def test_a_notebook_is_told_so_too(store: Store) -> None:
    around_noon(store)
    prune("--before", "2026-08-15", "--yes")
    assert any("were pruned" in note for note in usage_tracker.report("host", during="2026-08").notes)
    assert not any("were pruned" in note for note in usage_tracker.report("model", during="2026-08").notes)
