"""What is particular to SQLite: one file, many processes, and all that can happen to a file."""

import os
import re
import resource
import shlex
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from commanding import invoke
from made_events import NOON, made_event, random_events, store_events
from racing import race

import usage_tracker
from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import SchemaError, StoreError, StoreUnavailable
from usage_tracker.event import Batch, Stretch
from usage_tracker.forking import undivided
from usage_tracker.stores import open_store
from usage_tracker.stores.sqlite import SqliteStore
from usage_tracker.stores.sqlite.file import BUSY_SECONDS, close_for_fork

WRITE = """
from uuid import uuid4
from usage_tracker.dsn import parse_dsn
from usage_tracker.event import Batch, Stretch
from usage_tracker.stores import open_store
from made_events import random_events

def work(number, dsn):
    store = open_store(parse_dsn(dsn))
    segment = uuid4()
    for batch in range(10):
        assert store.write(Batch([Stretch(segment, batch, batch + 1, 50)], random_events(batch, 50)))
    store.close()
"""

FILLING = """
import resource, signal, sys
sys.path[:0] = {path!r}
from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import StoreUnavailable
from usage_tracker.stores import open_store
from made_events import made_event, store_events

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store(parse_dsn({dsn!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (800_000, resource.RLIM_INFINITY))
stored = 0
try:
    while stored < 10_000:
        store_events(store, [made_event(session_id="s" * 5000) for _ in range(20)])
        stored += 20
except StoreUnavailable as error:
    print("away:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store_events(store, [made_event()])
print(stored + 1)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(parse_dsn(f"sqlite:///{path}"))
    opened.migrate()
    yield opened
    opened.close()


def count(store: SqliteStore, table: str = "events") -> int:
    [(found,)] = store.select(f"SELECT count(*) FROM {table}")
    assert isinstance(found, int)
    return found


def test_the_file_has_a_write_ahead_log(store: SqliteStore, path: Path) -> None:
    assert list(store.select("PRAGMA journal_mode")) == [("wal",)]
    assert list(store.select("PRAGMA synchronous")) == [(1,)]


@pytest.mark.parametrize("words", ["report", "query 'SELECT 1'", "doctor", "budget list"])
def test_a_file_of_somebody_else_that_is_asked_by_mistake_stays_as_it_is(words: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE item (name TEXT)")
    before = path.read_bytes()
    result = invoke(*shlex.split(words), "--dsn", f"sqlite:///{path}")
    assert result.exit_code in (0, 5), result.output
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("shop.db")] == ["shop.db"]


def test_the_view_shows_instants_ids_and_money_for_people(store: SqliteStore) -> None:
    priced = made_event(NOON.replace(microsecond=1200), cost="0.0000125", tags=("b", "a"))
    store_events(store, [priced])
    columns = "event_id, started_at, cost, tags, cost_flags, streamed"
    assert list(store.select(f"SELECT {columns} FROM events")) == [
        (str(priced.event_id), "2026-08-15T12:00:00.001200Z", 0.0000125, '["b","a"]', "[]", 0)
    ]
    stored = list(store.select("SELECT event_id, started_at, cost FROM usage_event"))
    assert stored == [(priced.event_id.bytes, 1_786_795_200_001_200, 12_500_000)]
    assert list(store.select("SELECT bucket_at, cost FROM rollup_hour")) == [(1_786_795_200, 12_500_000)]


@pytest.mark.timeout(120)
def test_processes_that_write_at_once_lose_nothing(store: SqliteStore, path: Path) -> None:
    race(WRITE, f"sqlite:///{path}", 8)
    assert count(store) == 4000
    assert list(store.select("SELECT sum(calls) FROM rollup_day_user")) == [(4000,)]
    assert list(store.select("SELECT sum(events) FROM journal_offset")) == [(4000,)]


def test_reports_read_while_another_process_writes(store: SqliteStore, path: Path) -> None:
    store_events(store, [made_event()])
    with sqlite3.connect(path, isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert count(store) == 1
        writer.execute("ROLLBACK")
    writer.close()


def test_a_file_that_is_locked_for_long_is_away_until_it_is_free(
    path: Path, monkeypatch: pytest.MonkeyPatch, store: SqliteStore
) -> None:
    store.close()
    monkeypatch.setattr("usage_tracker.stores.sqlite.file.BUSY_SECONDS", 0.1)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
        store_events(store, [made_event()])
    writer.execute("ROLLBACK")
    writer.close()
    store_events(store, [made_event()])
    assert count(store) == 1


def test_a_wait_for_another_program_ends_when_somebody_forks(store: SqliteStore, path: Path) -> None:
    ended = threading.Event()

    def fork_again_and_again() -> None:
        while not ended.wait(0.1):
            close_for_fork()
            undivided.after_fork_in_parent()

    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    forking = threading.Thread(target=fork_again_and_again)
    forking.start()
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store_events(store, [made_event()])
    ended.set()
    forking.join()
    assert time.monotonic() - started < BUSY_SECONDS / 2
    other.close()
    store_events(store, [made_event()])


def test_what_a_child_commits_stays_when_its_parent_ends(store: SqliteStore, path: Path) -> None:
    """Whatever thread of the parent had the file open."""
    store_events(store, [made_event()])
    ready, parent_ends = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(parent_ends[1])
        try:
            mine = SqliteStore(parse_dsn(f"sqlite:///{path}"))
            store_events(mine, [made_event()])
            os.write(ready[1], b"!")
            os.read(parent_ends[0], 1)
            store_events(mine, [made_event()])
        finally:
            os._exit(0)
    os.close(ready[1])
    os.read(ready[0], 1)
    store.close()
    os.close(parent_ends[1])
    os.waitpid(child, 0)
    os.close(ready[0])
    os.close(parent_ends[0])
    assert count(store) == 3


def test_a_file_that_is_being_read_stays_open_for_who_forks_meanwhile(store: SqliteStore) -> None:
    rows = store.select("SELECT 1 UNION SELECT 2")
    assert next(rows) == (1,)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert list(rows) == [(2,)]


def test_a_full_disk_keeps_what_was_stored_and_takes_more_once_there_is_room(store: SqliteStore, path: Path) -> None:
    folders = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
    program = FILLING.format(path=folders, dsn=f"sqlite:///{path}")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert run.stderr == ""
    away, stored = run.stdout.splitlines()
    assert away.startswith("away: sqlite:///")
    assert "SQLITE_FULL" in away or "SQLITE_IOERR" in away
    assert 1 < count(store) == int(stored) < 10_000


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SqliteStore(parse_dsn(f"sqlite:///{tmp_path}/file/usage.db"))
    with pytest.raises(StoreUnavailable, match=r"the folder .*/file can't be made"):
        store.migrate()


def test_a_process_without_a_descriptor_left_waits_for_one(tmp_path: Path) -> None:
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with closing(open_store(parse_dsn(f"sqlite:///{tmp_path}/usage.db"))) as store:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(StoreUnavailable, match="Too many open files"):
                store.migrate()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        store.migrate()


def test_what_can_not_be_opened_is_said_with_a_remedy(tmp_path: Path) -> None:
    store = open_store(parse_dsn(f"sqlite:///{tmp_path}"))
    with pytest.raises(StoreUnavailable, match=r"SQLITE_CANTOPEN.*; see whether it is a file"):
        store.migrate()


def test_a_file_that_is_no_database_is_said_to_be_none_and_left_alone(path: Path) -> None:
    path.write_text("my shopping list\n" * 100)
    store = SqliteStore(parse_dsn(f"sqlite:///{path}"))
    for request in (store.migrate, lambda: store.positions([uuid4()]), lambda: store_events(store, [made_event()])):
        with pytest.raises(StoreError, match="is no SQLite database; move it away") as error:
            request()
        assert type(error.value) is StoreError
    assert path.read_text() == "my shopping list\n" * 100
    assert list(path.parent.iterdir()) == [path]


def test_a_damaged_file_is_said_to_be_damaged(store: SqliteStore, path: Path) -> None:
    store_events(store, random_events(1, 500))
    store.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    with pytest.raises(StoreError, match="is damaged"):
        store_events(store, random_events(2, 500))


def test_who_deletes_the_file_of_a_running_app_gets_a_new_one(store: SqliteStore, path: Path) -> None:
    segment = uuid4()
    assert store.write(Batch([Stretch(segment, 0, 10, 1)], [made_event(user_id="u-1")]))
    for file in path.parent.iterdir():
        file.unlink()
    assert store.positions([segment]) == {}
    assert not store.write(Batch([Stretch(segment, 10, 20, 1)], [made_event()]))
    assert store.write(Batch([Stretch(segment, 0, 20, 2)], [made_event(user_id="u-2"), made_event(user_id="u-1")]))
    assert list(store.select("SELECT user_key, user_id FROM usage_user")) == [(0, None), (1, "u-2"), (2, "u-1")]
    assert count(store) == 2


def test_a_file_of_somebody_elses_tables_wants_a_migration(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE notes (a)")
    other.close()
    store = SqliteStore(parse_dsn(f"sqlite:///{path}"))
    with pytest.raises(SchemaError):
        store_events(store, [made_event()])
    store.migrate()
    store_events(store, [made_event()])
    assert count(store, "notes") == 0
    store.close()


def test_a_store_in_memory_is_one_object_s_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (open_store(parse_dsn("sqlite:///:memory:")) for _ in range(2))
    first.migrate()
    store_events(first, [made_event()])
    assert list(first.select("SELECT count(*) FROM events")) == [(1,)]
    with pytest.raises(SchemaError):
        list(second.select("SELECT count(*) FROM events"))
    assert list(tmp_path.iterdir()) == []
    first.close()
    second.close()


def test_a_store_in_memory_survives_a_refusal() -> None:
    store = SqliteStore(parse_dsn("sqlite:///:memory:"))
    store.migrate()
    store_events(store, [made_event()])
    with pytest.raises(StoreError):
        store_events(store, [made_event(http_status=99_999)])
    assert count(store) == 1
    store.close()


def test_a_store_may_be_opened_in_one_thread_and_used_in_another(store: SqliteStore) -> None:
    failed: list[Exception] = []

    def write() -> None:
        try:
            store_events(store, [made_event()])
        except StoreError as error:
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert not failed
    assert count(store) == 1


def test_a_forked_child_writes_through_a_connection_of_its_own(store: SqliteStore) -> None:
    store_events(store, [made_event()])
    child = os.fork()
    if child == 0:
        try:
            store_events(store, [made_event()])
            store.close()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store_events(store, [made_event()])
    assert count(store) == 3
    assert list(store.select("PRAGMA integrity_check")) == [("ok",)]


def test_no_statement_takes_a_newer_sqlite_than_old_systems_have() -> None:
    """RHEL 9 and Debian 11 have 3.34; what came after: https://sqlite.org/changes.html."""
    newer = re.compile(r"\bRETURNING [a-z*]|\bDROP COLUMN\b|->>|\bunixepoch\(|\)\s*STRICT\b|\bstring_agg\(")
    package = Path(usage_tracker.__file__).parent
    of_others = [
        package / "lake",
        *(package / "stores").glob("**/clickhouse"),
        *(package / "stores").glob("**/postgres"),
    ]
    both = package / "stores" / "store.py"  # which says it in Postgres alone
    files = [
        path
        for path in (*package.rglob("*.py"), *package.rglob("*.sql"))
        if path != both and not any(folder in path.parents for folder in of_others)
    ]
    assert len(files) > 200
    lines = [(path.name, line.strip()) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(name, line) for name, line in lines if newer.search(line)] == []


def test_what_an_old_sqlite_can_not_be_asked_is_not_said_to_be_the_schemas_fault(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage_tracker.stores.sqlite.file.OLDEST", (99, 1))
    with pytest.raises(StoreError, match=rf"SQLite {re.escape(sqlite3.sqlite_version)}.* 99\.1 or newer") as refusal:
        list(store.select("SELECT count(*) SOMEHOW (WHERE 1) FROM usage_event"))
    assert not isinstance(refusal.value, SchemaError)
    with pytest.raises(SchemaError, match="migrate"):
        list(store.select("SELECT * FROM nowhere"))
