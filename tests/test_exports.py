"""Events as files: which are written when, what is in them, and that each call is in them once."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from made_events import NOON, made_event, random_events, store_events
from postgres_server import Databases
from pyarrow import dataset

from usage_tracker.config import parse_dsn
from usage_tracker.event import COLUMNS
from usage_tracker.exporting import Plan, open_exporter
from usage_tracker.exports import Exported
from usage_tracker.report import export_events
from usage_tracker.stores import Store, open_store


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        dsn = f"sqlite:///{tmp_path}/usage.db"
    else:
        databases: Databases = request.getfixturevalue("postgres_databases")
        dsn = databases.dsn(databases.create(migrated=False))
    store = open_store(parse_dsn(dsn))
    store.migrate()
    yield store
    store.close()


def export(store: Store, folder: Path, **changes: Any) -> Exported:
    return open_exporter(store, Plan(str(folder), **changes)).run()


def read(folder: Path) -> pa.Table:
    return dataset.dataset(folder, partitioning="hive").to_table()


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_every_column_of_every_event_is_in_the_files(store: Store, tmp_path: Path) -> None:
    store_events(store, [*random_events(1, 300), made_event(units={"images": 2.0}, raw={"n": 1}, tags=("a", 'b"\n,'))])
    export(store, tmp_path / "lake")
    found = {row["event_id"]: row for row in read(tmp_path / "lake").to_pylist(maps_as_pydicts="strict")}
    stored = list(export_events(store))
    assert len(stored) == len(found) == 301
    for event in stored:
        row = found[event["event_id"]]
        assert str(row.pop("day")) == event["started_at"].date().isoformat()
        assert tuple(row) == COLUMNS
        assert as_stored(row) == event


def as_stored(row: dict[str, Any]) -> dict[str, Any]:
    import json

    for name in ("usage", "cost_parts"):
        row[name] = None if row[name] is None else json.loads(row[name])
    for name in ("cost", "reported_cost"):
        row[name] = None if row[name] is None else Decimal(row[name])
    return row


def test_a_second_run_writes_nothing(store: Store, tmp_path: Path) -> None:
    store_events(store, random_events(2, 50))
    first = export(store, tmp_path / "lake")
    assert first.rows == 50
    assert export(store, tmp_path / "lake") == Exported()


def test_what_comes_late_replaces_the_file_of_its_day_and_no_other(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event(NOON), made_event(NOON - timedelta(days=3))])
    export(store, tmp_path / "lake")
    before = {name: (tmp_path / "lake" / name).stat().st_ino for name in files(tmp_path / "lake")}
    store_events(store, [made_event(NOON - timedelta(days=3))])
    assert export(store, tmp_path / "lake") == Exported(files=1, rows=2)
    after = {name: (tmp_path / "lake" / name).stat().st_ino for name in files(tmp_path / "lake")}
    assert before.keys() == after.keys()
    assert [name[:14] for name in after if after[name] != before[name]] == ["day=2026-08-12"]
    assert read(tmp_path / "lake").num_rows == 3
