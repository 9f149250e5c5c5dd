"""Events as files: which are written when, what is in them, and that each call is in them once."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pytest
from made_events import NOON, made_event, random_events, store_events
from migrated import migrated
from postgres_server import Databases, PostgresServer
from pyarrow import dataset

from usage_tracker.cli.events import as_csv, as_jsonl
from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import StoreError, UsageTrackerError
from usage_tracker.event import COLUMNS, Cost
from usage_tracker.exporting import Plan, open_exporter
from usage_tracker.exports import Exported
from usage_tracker.exports.buckets import Bucket, read_counted
from usage_tracker.exports.marks import Busy, Marks
from usage_tracker.exports.reading import copied
from usage_tracker.lake import LakeFigures, open_lake
from usage_tracker.report import Query, answer, export_events
from usage_tracker.stores import Store, open_store
from usage_tracker.stores.repricing import Repriced

ROOT = Path(__file__).parent.parent


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        dsn = f"sqlite:///{tmp_path}/usage.db"
    else:
        databases: Databases = request.getfixturevalue("postgres_databases")
        dsn = databases.dsn(databases.create(migrated=False))
    store = open_store(parse_dsn(dsn))
    DSNS[id(store)] = dsn
    store.migrate()
    yield store
    store.close()


DSNS: dict[int, str] = {}


def store_dsn(store: Store) -> str:
    """The address of the fixture's store."""
    return DSNS[id(store)]


def export(store: Store, folder: Path, **changes: Any) -> Exported:
    return open_exporter(store, Plan(str(folder), **changes)).run()


def read(folder: Path) -> pa.Table:
    return dataset.dataset(folder, partitioning="hive").to_table()


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_every_column_of_every_event_is_in_the_files(store: Store, tmp_path: Path) -> None:
    odd = made_event(units={"images": 2.0, "seconds": 1e20}, raw={"n": 1}, tags=("a", 'b"\n,'))
    store_events(store, [*random_events(1, 40), odd])
    export(store, tmp_path / "lake")
    found = {row["event_id"]: row for row in read(tmp_path / "lake").to_pylist(maps_as_pydicts="strict")}
    stored = list(export_events(store))
    assert len(stored) == len(found) == 41
    for event in stored:
        row = found[event["event_id"]]
        assert str(row.pop("day")) == event["started_at"].date().isoformat()
        assert tuple(row) == COLUMNS
        assert as_stored(row) == event


def as_stored(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("usage", "cost_parts"):
        row[name] = None if row[name] is None else json.loads(row[name])
    for name in ("cost", "reported_cost"):
        row[name] = None if row[name] is None else Decimal(row[name])
    return row


class Copying:
    """A store that writes for as long as it is told to."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def copy_out(self, sql: str, file: IO[bytes]) -> None:
        self.begun.set()
        assert self.go_on.wait(30)
        while sql == "endless":
            file.write(bytes(1 << 20))


@contextmanager
def forked() -> Iterator[None]:
    """There is a child, and it has all files open that we have."""
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_child_that_is_forked_while_rows_are_copied_does_not_keep_them_from_ending() -> None:
    store = Copying()
    found: list[pa.RecordBatch] = []
    reading = threading.Thread(target=lambda: found.extend(copied(store, "none")))
    reading.start()
    assert store.begun.wait(30)
    with forked():
        store.go_on.set()
        reading.join(30)
        assert not reading.is_alive()
    assert found == []


def test_nor_does_it_keep_a_server_writing_that_nobody_reads_any_more() -> None:
    store = Copying()

    def read() -> None:
        with pytest.raises(pa.ArrowInvalid):
            list(copied(store, "endless"))

    reading = threading.Thread(target=read)
    reading.start()
    assert store.begun.wait(30)
    with forked():
        store.go_on.set()
        reading.join(30)
        assert not reading.is_alive()


def test_the_first_and_the_last_day_that_a_store_holds_are_files_like_any_other(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event(datetime(year, month, day, 23, 59, tzinfo=UTC))
                         for year, month, day in ((1, 1, 1), (9999, 12, 31))])  # fmt: skip
    for grain in ("day", "hour"):
        assert export(store, tmp_path / grain, grain=grain) == Exported(files=2, rows=2)
        assert export(store, tmp_path / grain, grain=grain) == Exported()
        assert [name[:14] for name in files(tmp_path / grain)] == ["day=0001-01-01", "day=9999-12-31"]
    assert export(store, tmp_path / "table", form="delta") == Exported(files=2, rows=2)
    assert export(store, tmp_path / "settled", settle_hours=24) == Exported(files=1, rows=1)


def test_a_second_run_writes_nothing(store: Store, tmp_path: Path) -> None:
    store_events(store, random_events(2, 10))
    first = export(store, tmp_path / "lake")
    assert first.rows == 10
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


KILLED = """
import os, signal, sys
from usage_tracker.exports import marks
from usage_tracker.exporting import Plan, export_once
from usage_tracker.dsn import parse_dsn

where, after = sys.argv[3], int(sys.argv[4])

def killing(function, late):
    calls = [0]
    def call(*arguments):
        calls[0] += 1
        if not late and calls[0] == after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = function(*arguments)
        if late and calls[0] == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    return call

owner, name, late = {
    "before a file": (marks.Marks, "begin", False),
    "in a file": (os, "fsync", False),
    "between file and mark": (marks.Marks, "finish", False),
    "after a mark": (marks.Marks, "finish", True),
    "at the end": (marks.Marks, "release", False),
    "nowhere": (os, "getpid", False),
}[where]
if where != "nowhere":
    setattr(owner, name, killing(getattr(owner, name), late))
export_once(parse_dsn(sys.argv[1]), Plan(sys.argv[2]))
"""


def run_killed(dsn: str, folder: Path, where: str, after: int) -> int:
    command = [sys.executable, "-c", KILLED, dsn, str(folder), where, str(after)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, timeout=60).returncode


def ids(folder: Path) -> list[str]:
    return sorted(read(folder)["event_id"].to_pylist())


def test_a_run_that_is_killed_anywhere_is_made_good_by_the_next(tmp_path: Path) -> None:
    dsn = f"sqlite:///{tmp_path}/usage.db"
    with migrated(dsn) as store:
        folder = tmp_path / "lake"
        made: list[str] = []
        for round_, where in enumerate(
            ("before a file", "in a file", "between file and mark", "after a mark", "at the end")
        ):
            fresh = [made_event(NOON + timedelta(days=number % 3)) for number in range(30)]
            store_events(store, fresh)
            made += [str(priced.event_id) for priced in fresh]
            assert run_killed(dsn, folder, where, 1 if where == "at the end" else 1 + round_ % 3) == -signal.SIGKILL
            found = ids(folder) if folder.exists() and files(folder) else []
            assert len(found) == len(set(found)), "no call is there twice, whenever one looks"
        assert run_killed(dsn, folder, "nowhere", 0) == 0
        assert ids(folder) == sorted(made)
        assert all(name.endswith(".parquet") for name in files(folder)), "nothing is left of those that were killed"


def test_runs_that_are_killed_at_random_lose_and_double_nothing(store: Store, tmp_path: Path) -> None:
    dsn = store_dsn(store)
    folder, chance = tmp_path / "lake", random.Random(3)
    command = [sys.executable, "-c", KILLED, dsn, str(folder), "nowhere", "0"]
    rounds = killed = 0
    while killed < 2:  # on a busy machine, one may have come to its end before
        assert rounds < 10
        store_events(store, [made_event(NOON + timedelta(days=20 * rounds + day)) for day in [*range(20)] * 10])
        rounds += 1
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) as program:
            wait_for_files(folder, program, len(files(folder)) + chance.randint(1, 9))
            program.kill()
        killed += program.returncode == -signal.SIGKILL
    assert run_killed(dsn, folder, "nowhere", 0) == 0
    found = ids(folder)
    assert len(found) == len(set(found)) == 200 * rounds


def wait_for_files(folder: Path, program: "subprocess.Popen[bytes]", count: int) -> None:
    deadline = time.monotonic() + 30
    while program.poll() is None and len(files(folder)) < count and time.monotonic() < deadline:
        time.sleep(0.002)


def test_two_at_once_are_one_too_many(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event()])
    other = Marks(store, str(tmp_path / "lake"), "parquet", "day")
    other.claim()
    with pytest.raises(Busy, match="another process exports to"):
        export(store, tmp_path / "lake")
    other.release()
    assert export(store, tmp_path / "lake").rows == 1


def test_who_lost_the_store_on_the_way_goes_on_once_it_is_back(own_postgres: PostgresServer, tmp_path: Path) -> None:
    store = open_store(parse_dsn(own_postgres.dsn(own_postgres.create(migrated=True))))
    store_events(store, [made_event(NOON), made_event(NOON + timedelta(days=1))])
    with pytest.raises(StoreError):
        open_exporter(store, Plan(str(tmp_path / "lake"))).run(lambda _: own_postgres.stop())
    own_postgres.start()
    assert export(store, tmp_path / "lake") == Exported(files=1, rows=1)
    store.close()


def test_whoever_was_overtaken_leaves_the_file_to_be_written_again(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event()])
    slow, quick = (Marks(store, str(tmp_path / "lake"), "parquet", "day") for _ in range(2))
    slow.claim()
    [bucket] = read_counted(store, "day")
    slow.begin(bucket, 1)
    mark = store.dialect.placeholder
    expire = f"UPDATE {store.dialect.prefix}export_destination SET claimed_until = {mark}"
    store.change(lambda execute: execute(expire, [0]))
    quick.claim()
    quick.finish(bucket, 2, "what the rollups say", 1)
    with pytest.raises(Busy):
        slow.finish(bucket, 1, "what they said", 1)
    assert quick.read()[bucket.name].counted is None


def test_a_place_is_its_exporters_whatever_the_clocks_of_other_hosts_say(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that was ahead by more than a claim lasts wrote the same files at the same time."""
    real = time.time
    with migrated(postgres_dsn) as store:
        first, ahead = (Marks(store, str(tmp_path / "lake"), "parquet", "day") for _ in range(2))
        first.claim()
        monkeypatch.setattr(time, "time", lambda: real() + 3600)
        with pytest.raises(Busy):
            ahead.claim()


def test_a_claim_of_a_clock_that_was_ahead_keeps_nobody_away(store: Store, tmp_path: Path) -> None:
    """Where it was set back, or by an earlier version's own clock."""
    first, second = (Marks(store, str(tmp_path / "lake"), "parquet", "day") for _ in range(2))
    first.claim()
    sql = f"UPDATE {store.dialect.prefix}export_destination SET claimed_until = {time.time() + 31_536_000}"
    store.change(lambda execute: execute(sql, []))
    second.claim()


def test_a_place_holds_one_form_by_one_grain(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event()])
    export(store, tmp_path / "lake")
    with pytest.raises(UsageTrackerError, match="holds parquet by the day; choose another place"):
        export(store, tmp_path / "lake", grain="hour")


def test_a_place_where_nothing_could_be_written_holds_no_form_yet(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event()])
    place = tmp_path / "lake"
    place.touch()
    with pytest.raises(NotADirectoryError):
        export(store, place)
    place.unlink()
    busy = Marks(store, str(place), "parquet", "day")
    busy.claim()
    with pytest.raises(Busy):
        export(store, place, grain="hour")
    busy.release()
    assert export(store, place, grain="hour").files == 1
    with pytest.raises(UsageTrackerError, match="holds parquet by the hour"):
        export(store, place)


def test_by_the_hour_a_day_has_several_files(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event(NOON), made_event(NOON + timedelta(hours=1))])
    export(store, tmp_path / "lake", grain="hour")
    assert [name.rsplit("-", 1)[0] for name in files(tmp_path / "lake")] == [
        "day=2026-08-15/usage-2026-08-15T12",
        "day=2026-08-15/usage-2026-08-15T13",
    ]


def test_another_price_reaches_the_file(store: Store, tmp_path: Path) -> None:
    priced = made_event()
    store_events(store, [priced])
    export(store, tmp_path / "lake")
    assert store.reprice([Repriced(priced.event_id, priced.event.started_at // 1000, Cost(Decimal("0.25")))]) == 1
    assert export(store, tmp_path / "lake").files == 1
    assert read(tmp_path / "lake")["cost"].to_pylist() == [Decimal("0.250000000000")]


def test_what_was_pruned_stays_in_its_file(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event(NOON), made_event(NOON)])
    export(store, tmp_path / "lake")
    assert sum(store.prune(NOON + timedelta(days=1))) == 2
    assert export(store, tmp_path / "lake") == Exported()
    store_events(store, [made_event(NOON)])
    assert export(store, tmp_path / "lake") == Exported(kept=1)
    assert read(tmp_path / "lake").num_rows == 2


@pytest.mark.parametrize("form", ["parquet", "delta"])
def test_what_is_pruned_while_its_file_is_written_again_stays_in_it(store: Store, tmp_path: Path, form: str) -> None:
    store_events(store, [made_event(NOON + timedelta(hours=number)) for number in range(4)])
    export(store, tmp_path / "lake", form=form)
    exporter = open_exporter(store, Plan(str(tmp_path / "lake"), form, again=True))
    version = exporter.destination.version

    def pruning(bucket: Bucket) -> int:
        assert sum(store.prune(NOON + timedelta(hours=2))) == 2
        return version(bucket)

    exporter.destination.version = pruning  # type: ignore[method-assign]
    with pytest.raises(UsageTrackerError, match="events of 2026-08-15 were pruned while they were read"):
        exporter.run()
    assert export(store, tmp_path / "lake", form=form) == Exported(kept=1)
    lake = open_lake(str(tmp_path / "lake"))
    assert answer(LakeFigures(lake), Query(by=())).total.calls == 4
    lake.close()


def test_nor_do_as_many_late_calls_take_its_place(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event(NOON), made_event(NOON)])
    export(store, tmp_path / "lake")
    assert sum(store.prune(NOON + timedelta(days=1))) == 2
    for _ in range(3):
        store_events(store, [made_event(NOON), made_event(NOON)])
        assert export(store, tmp_path / "lake") == Exported(kept=1)
    assert read(tmp_path / "lake").num_rows == 2


def test_what_was_pruned_stays_in_files_that_were_moved(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event(NOON), made_event(NOON + timedelta(days=1))])
    export(store, tmp_path / "lake")
    assert sum(store.prune(NOON + timedelta(hours=1))) == 1
    (tmp_path / "lake").rename(tmp_path / "moved")
    assert export(store, tmp_path / "moved") == Exported(files=1, rows=1, kept=1)
    assert export(store, tmp_path / "moved") == Exported()
    assert read(tmp_path / "moved").num_rows == 2


def test_what_a_first_file_lacks_is_no_reason_to_leave_it(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event(NOON), made_event(NOON + timedelta(hours=2))])
    assert sum(store.prune(NOON + timedelta(hours=1))) == 1
    assert export(store, tmp_path / "lake").rows == 1
    store_events(store, [made_event(NOON + timedelta(hours=3))])
    assert export(store, tmp_path / "lake") == Exported(files=1, rows=2)


@pytest.mark.parametrize("form", ["parquet", "delta"])
def test_of_days_that_were_pruned_before_nothing_is_written(store: Store, tmp_path: Path, form: str) -> None:
    store_events(store, [made_event(NOON + timedelta(days=number)) for number in range(3)])
    assert sum(store.prune(NOON + timedelta(days=1, hours=1))) == 2
    assert export(store, tmp_path / "lake", form=form) == Exported(files=1, rows=1)
    assert export(store, tmp_path / "lake", form=form) == Exported()
    store_events(store, [made_event(NOON)])
    assert export(store, tmp_path / "lake", form=form) == Exported(files=1, rows=1)


def test_a_file_that_somebody_took_away_is_written_again(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event()])
    export(store, tmp_path / "lake")
    [name] = files(tmp_path / "lake")
    (tmp_path / "lake" / name).unlink()
    assert export(store, tmp_path / "lake").files == 1
    assert files(tmp_path / "lake") == [name]


def test_two_stores_may_share_a_folder(store: Store, tmp_path: Path) -> None:
    with migrated(f"sqlite:///{tmp_path}/other.db") as other:
        for each in (store, other):
            store_events(each, [made_event()])
            export(each, tmp_path / "lake")
    assert read(tmp_path / "lake").num_rows == 2


def test_what_is_not_settled_waits(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event(datetime.now(UTC)), made_event(datetime.now(UTC) - timedelta(days=9))])
    assert export(store, tmp_path / "lake", settle_hours=24).rows == 1


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_lines_are_those_of_the_export_to_stdout(store: Store, tmp_path: Path, form: str) -> None:
    store_events(store, [*random_events(4, 15), made_event(user_id="=1+1", units={"images": 2.0}, raw={"n": 1})])
    credit = made_event(cost="-0.5", reported_cost="-0.25")
    odd = made_event(user_id="＝1+1", project="a\rb", team="x;=2", session_id="\n=3", tags=('"\r\n,;',))
    store_events(store, [odd, credit])
    export(store, tmp_path / "lake", form=form)
    written = [path.read_bytes().decode() for path in (tmp_path / "lake").rglob(f"*.{form}")]
    found = [line for text in written for line in text.split("\n")]
    write = {"jsonl": as_jsonl, "csv": as_csv}[form]
    expected = "".join(write(Query(), export_events(store))).split("\n")
    assert sorted(set(found)) == sorted(set(expected))
    assert len(found) >= len(expected)
