"""Reports on exported events say what reports on the store say, whatever is asked.

They are asked of DuckDB; with LAKE_ENGINE=spark, or the address of a Spark master, of that.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from commanding import invoke
from made_events import NOON, made_event, random_events, store_events
from migrated import migrated

from usage_tracker.errors import ConfigError, UsageTrackerError
from usage_tracker.event import PricedEvent
from usage_tracker.exporting import Plan, open_exporter
from usage_tracker.exports.columns import SCHEMA
from usage_tracker.lake import Lake, LakeFigures, open_lake
from usage_tracker.lake.engines import words_of
from usage_tracker.report import Query, Range, Report, Row, answer, export_events, parse_condition, run
from usage_tracker.stores import Store

ENGINE = os.environ.get("LAKE_ENGINE", "duckdb")
UNCLOSED = ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
"""PySpark leaves its sockets to the garbage collector."""
pytestmark = [] if ENGINE == "duckdb" else [pytest.mark.filterwarnings(*UNCLOSED)]
SINCE, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 11, 2, 5, 30, tzinfo=UTC)


def near(priced: PricedEvent) -> PricedEvent:
    """The same on one of few days, among them those on which clocks are changed."""
    at = datetime.fromtimestamp(priced.event.started_at / 1e9, UTC)
    days = [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)]
    day = days[at.day % 3]
    moved = at.replace(month=day.month, day=day.day)
    priced.event.started_at = int(moved.timestamp()) * 10**9 + at.microsecond * 1000
    return priced


class Both:
    """A store, and the same as files."""

    def __init__(self, store: Store, figures: LakeFigures) -> None:
        self.store = store
        self.figures = figures

    def say_the_same(self, query: Query) -> None:
        expected, found = run(self.store, query), answer(self.figures, query)
        assert tidy(found) == tidy(expected)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("lake")
    with migrated(f"sqlite:///{folder}/usage.db") as store:
        told = [
            made_event(NOON, awaits="batch-1", input_tokens=None, output_tokens=None, cost=None, flags=("awaited",)),
            made_event(NOON, awaits="batch-2", input_tokens=None, output_tokens=None, cost=None, flags=("awaited",)),
            made_event(NOON, completes="batch-1", cost="0.5"),
        ]
        store_events(store, [*map(near, random_events(5, 400)), *told])
        open_exporter(store, Plan(str(folder / "lake"))).run()
        lake = open_lake(str(folder / "lake"), ENGINE)
        yield Both(store, LakeFigures(lake))
        lake.close()


def tidy(report: Report) -> list[Any]:
    rows = [*report.rows, report.total, *report.before.values()]
    rows += [report.total_before] if report.total_before else []
    return [*map(rounded, rows), report.unpriced_models, report.untold, report.unknown, report.without_percentiles]


def rounded(row: Row) -> dict[str, Any]:
    """Sums of durations depend on the order of their summands."""
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    return {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in values.items()}


@pytest.mark.parametrize(
    "by",
    [
        (), ("model",), ("day", "model"), ("hour",), ("week", "provider"), ("month", "project", "team"), ("tag",),
        ("tag:tier", "status"), ("user", "session"), ("host", "api_key"), ("operation", "sdk", "service_tier"),
    ],
    ids="-".join,
)  # fmt: skip
def test_by_any_dimension(both: Both, by: tuple[str, ...]) -> None:
    both.say_the_same(Query(by=by))
    both.say_the_same(Query(SINCE, UNTIL, by, tz=ZoneInfo("Europe/Berlin"), top=2))


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Australia/Lord_Howe"])
@pytest.mark.parametrize("unit", ["hour", "month"])
def test_by_any_clock(both: Both, zone: str, unit: str) -> None:
    both.say_the_same(Query(by=(unit,), tz=ZoneInfo(zone)))


CONDITIONS = r"""
model=gpt-* model!=gpt-* request_model=a\*b request_model=none request_model=\none project=[g]* project=be?ta
project=be\\ta user=gr* tag=tier:* tag!=eu tag=none tag=\none tag:tier=pro tag:tier=none team!=none status=error
session=none model=50% flag=unpriced flag!=*unpriced flag=none
""".split()


@pytest.mark.parametrize("condition", CONDITIONS)
def test_under_any_condition(both: Both, condition: str) -> None:
    both.say_the_same(Query(by=("project",), where=(parse_condition(condition),)))


def test_of_a_delta_table(both: Both, tmp_path: Path) -> None:
    open_exporter(both.store, Plan(str(tmp_path / "table"), "delta")).run()
    lake = open_lake(str(tmp_path / "table"), ENGINE)
    for by in ((), ("day", "tag")):
        Both(both.store, LakeFigures(lake)).say_the_same(Query(by=by))
    lake.close()


def test_of_files_beside_a_delta_table_that_never_got_any(
    both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the first export failed, or was stopped, and the next was of another form."""
    place = str(tmp_path / "lake")
    monkeypatch.setattr("deltalake.write_deltalake", Mock(side_effect=OSError("the disk is full")))
    with pytest.raises(UsageTrackerError, match="full"):
        open_exporter(both.store, Plan(place, "delta")).run()
    open_exporter(both.store, Plan(place)).run()
    lake = open_lake(place, ENGINE)
    Both(both.store, LakeFigures(lake)).say_the_same(Query(SINCE, UNTIL, ("day", "team")))
    lake.close()


@pytest.mark.parametrize("form", ["parquet", "delta"])
@pytest.mark.parametrize("folder", ["team=ml/usage", "day=ever/usage", "our usage"])
def test_wherever_the_files_are(both: Both, tmp_path: Path, folder: str, form: str) -> None:
    open_exporter(both.store, Plan(str(tmp_path / folder), form)).run()
    lake = open_lake(str(tmp_path / folder), ENGINE)
    Both(both.store, LakeFigures(lake)).say_the_same(Query(SINCE, UNTIL, ("day", "team")))
    lake.close()


@pytest.mark.parametrize(("folder", "other"), [("usage?", "usages"), ("usage [1]", "usage 1")])
def test_a_folder_is_no_pattern_that_others_match(both: Both, tmp_path: Path, folder: str, other: str) -> None:
    for place in (folder, other):
        open_exporter(both.store, Plan(str(tmp_path / place))).run()
    for file in (tmp_path / other).rglob("*.parquet"):
        pq.write_table(pa.concat_tables([pq.read_table(file)] * 2), file)
    lake = open_lake(str(tmp_path / folder))
    Both(both.store, LakeFigures(lake)).say_the_same(Query(SINCE, UNTIL, ("day", "team")))
    lake.close()


@pytest.mark.skipif(ENGINE != "duckdb", reason="Spark reaches object stores by its own clients")
@pytest.mark.parametrize("folder", ["usage [1]", "usage*"])
def test_a_folder_of_an_object_store_is_no_pattern_either(both: Both, folder: str) -> None:
    place = f"memory://lake/{folder}"
    open_exporter(both.store, Plan(place)).run()
    lake = open_lake(place)
    Both(both.store, LakeFigures(lake)).say_the_same(Query(SINCE, UNTIL, ("day", "team")))
    lake.close()


def test_with_percentiles_costs_and_comparisons(both: Both) -> None:
    both.say_the_same(Query(by=("model",), percentiles=True))
    both.say_the_same(Query(by=("model",), cost="reported"))
    week = timedelta(days=7)
    since = datetime(2026, 10, 24, tzinfo=UTC)
    query = Query(since, since + week, ("day",))
    both.say_the_same(replace(query, before=Range(since - week, since)))


def test_events_come_back_as_they_are_in_the_store(both: Both) -> None:
    stored = {event["event_id"]: event for event in export_events(both.store)}
    assert {event["event_id"]: event for event in both.figures.events(Query())} == stored


@pytest.mark.parametrize("warehouse", ["bigquery", "databricks", "snowflake", "trino"])
def test_the_same_expressions_are_the_sql_of_warehouses(warehouse: str) -> None:
    events = ibis.table(ibis.Schema.from_pyarrow(SCHEMA.append(pa.field("day", pa.date32()))), name="usage")
    asked = list[Any]()

    def compute(table: Any) -> Iterator[Any]:
        asked.append(table)
        yield from ()

    figures = LakeFigures(Lake(events, compute, lambda: None))
    where = (parse_condition("tag=tier:*"), parse_condition("model!=gpt-*"))
    figures.groups(Query(SINCE, UNTIL, ("day", "tag:tier"), where, tz=ZoneInfo("Europe/Berlin")))
    figures.groups(Query(by=("model",), percentiles=True))
    assert len(asked) == 4  # sums of either, and sketches of what calls and their first chunks took
    for table in asked:
        read = sqlglot.parse_one(str(ibis.to_sql(table, dialect=warehouse)), dialect=warehouse)
        assert "usage" in {found.name for found in read.find_all(sqlglot.exp.Table)}


def test_the_command_asks_a_place_or_another_store(tmp_path: Path) -> None:
    dsn = f"sqlite:///{tmp_path}/usage.db"
    with migrated(dsn) as store:
        store_events(store, [made_event()])
        open_exporter(store, Plan(str(tmp_path / "lake"))).run()
    asked = ["report", "--since", "all", "-o", "csv"]
    told = {
        invoke(*asked, *more, env={"TRACKER_DSN": own}).stdout
        for more, own in (
            ([], dsn),
            (["--from", dsn], "sqlite:///nowhere.db"),
            (["--from", str(tmp_path / "lake")], "sqlite:///nowhere.db"),
        )
    }
    assert len(told) == 1
    assert "gpt-4o,1,0,1" in told.pop()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.write_bytes(b"PAR1"), "can't be read: "),
        (lambda file: pq.write_table(pa.table({"event_id": ["a"]}), file), "have no column 'started_at'"),
    ],
)
def test_files_that_are_damaged_or_not_ours_are_said(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    day = tmp_path / "day=2026-08-15"
    day.mkdir()
    damage(day / "usage.parquet")
    with pytest.raises(ConfigError, match=said):
        open_lake(str(tmp_path), ENGINE)


TRACEBACK = """Traceback (most recent call last):
  File "client.py", line 1, in send
Closed: not now.

LINE 1: CREATE VIEW events"""
TRACEBACKS_OF_3_14 = """Traceback (most recent call last):

  File "session.py", line 1, in ask
    send(
    ...<8 lines>...

session.Cut: short


During handling of the above exception, another exception occurred:


Traceback (most recent call last):

  File "client.py", line 1, in send
    raise Closed

client.errors.Closed: not now.


LINE 1: CREATE VIEW events"""


@pytest.mark.parametrize(
    "text", ["Closed: not now.", "Closed: not now.\n\nLINE 1: CREATE VIEW events", TRACEBACK, TRACEBACKS_OF_3_14]
)
def test_an_error_is_said_without_the_places_where_it_went(text: str) -> None:
    assert words_of(Exception(text)) == "Closed: not now."


@pytest.mark.parametrize("engine", ["duckdb", "spark", "spark://host:7077"])
def test_packages_that_are_missing_are_those_of_the_engine(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usage_tracker.lake", None)
    result = invoke("report", "--from", "lake", "--engine", engine)
    assert result.exit_code == 1
    assert f"run: pip install 'usage-tracker-llm[{engine.partition(':')[0]}]'" in result.stderr


def test_a_place_without_events_and_an_engine_that_is_none_are_said(both: Both, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"no exported events in {tmp_path}/is it #1?;")):
        open_lake(f"{tmp_path}/is it #1?")
    (tmp_path / "day=2026-08-31").mkdir()
    (tmp_path / "day=2026-08-31" / "some.parquet").touch()
    with pytest.raises(ConfigError, match="'sparkle' is no engine; there are duckdb, spark, or"):
        open_lake(str(tmp_path), "sparkle")
