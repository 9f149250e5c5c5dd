"""A schema is built in numbered steps, by whoever comes first, whatever happens in between."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from uuid import uuid4

import pytest
from made_events import made_event, store_events
from postgres_server import Databases
from racing import race

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import EventsRefused, SchemaError, StoreError
from usage_tracker.event import Cost
from usage_tracker.report import Query
from usage_tracker.report import run as ask
from usage_tracker.stores import Store, migrations, open_store
from usage_tracker.stores.migrations import Migration
from usage_tracker.stores.repricing import Repriced
from usage_tracker.stores.rollups import latency_bucket

MIGRATE = """
from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import open_store
from made_events import made_event, store_events

def work(number, dsn):
    store = open_store(parse_dsn(dsn))
    print(*store.migrate())
    store_events(store, [made_event(user_id=f"user-{number % 7}")])
    store.close()
"""

INTERRUPTED = """
import sys; sys.path[:0] = {path!r}
from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import migrations, open_store
from usage_tracker.stores.migrations import Migration
from usage_tracker.stores.rollups import latency_bucket

known = migrations.migrations
migrations.migrations = lambda dialect: (*known(dialect), Migration(99, "0099_half", {sql!r}))
store = open_store(parse_dsn({dsn!r}))
if len(sys.argv) > 1:
    print("migrating", flush=True)
print(store.migrate())
"""


@pytest.fixture(params=["postgres", "sqlite"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store with nothing in it."""
    if request.param == "postgres":
        return str(request.getfixturevalue("empty_postgres_dsn"))
    return f"sqlite:///{tmp_path}/deep/down/usage.db"


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    opened = open_store(parse_dsn(dsn))
    yield opened
    opened.close()


def tables(store: Store) -> set[object]:
    if store.dialect.name == "sqlite":
        return {name for (name,) in store.select("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}
    named = (
        "SELECT relname::text FROM pg_class "
        "WHERE relnamespace = 'usage_tracker'::regnamespace AND relkind IN ('r', 'p', 'v')"
    )
    return {name for (name,) in store.select(named)}


KNOWN = {dialect: migrations.migrations(dialect) for dialect in ("postgres", "sqlite")}


def names(store: Store) -> list[str]:
    return [migration.name for migration in KNOWN[store.dialect.name]]


def applied(store: Store) -> list[object]:
    try:
        return [name for (name,) in store.select(f"SELECT name FROM {store.dialect.prefix}schema_migration")]
    except SchemaError:
        return []


def with_more(monkeypatch: pytest.MonkeyPatch, *more: Migration) -> None:
    monkeypatch.setattr(migrations, "migrations", lambda dialect: (*KNOWN[dialect], *more))


def test_the_first_start_builds_the_schema_and_the_next_finds_nothing_to_do(store: Store) -> None:
    assert store.migrate() == names(store)
    assert store.migrate() == []
    found = list(store.select(f"SELECT number, name FROM {store.dialect.prefix}schema_migration ORDER BY number"))
    assert found == [(int(name[:4]), name) for name in names(store)]
    assert names(store)[:2] == ["0001_events_and_rollups", "0002_usage_that_comes_later"]


def test_both_stores_have_the_same_tables_and_columns(empty_postgres_dsn: str) -> None:
    sqlite, postgres = open_store(parse_dsn("sqlite:///:memory:")), open_store(parse_dsn(empty_postgres_dsn))
    sqlite.migrate()
    postgres.migrate()
    only_postgres = {name for name in tables(postgres) if str(name).startswith(("delta_", "usage_event_"))} | {
        "usage_shape",
        "arrived",
    }
    assert tables(postgres) - only_postgres == tables(sqlite) - {"sqlite_sequence"}
    # how Postgres keeps JSON: templates and figures
    templates = {"lines", "shape_key", "figures", "cost_counts"}
    for name in tables(sqlite) - {"sqlite_sequence"}:
        in_postgres = {
            column
            for (column,) in postgres.select(
                "SELECT attname::text FROM pg_attribute "
                "WHERE attrelid = ('usage_tracker.' || %s)::regclass AND attnum > 0",
                [name],
            )
        }
        in_sqlite = {column for (column,) in sqlite.select("SELECT name FROM pragma_table_info(?)", [name])}
        if name in ("usage_event", "usage_original"):
            in_sqlite -= {"usage", "cost_parts"}
        assert in_postgres - templates == in_sqlite, name
    sqlite.close()
    postgres.close()


@pytest.mark.timeout(120)
def test_fifty_processes_may_start_at_once_on_an_empty_store(dsn: str, store: Store) -> None:
    lines = race(MIGRATE, dsn, 50)
    assert sorted(name for line in lines for name in line.split()) == names(store)
    assert list(store.select(f"SELECT count(*) FROM {store.dialect.prefix}events")) == [(50,)]
    assert list(store.select(f"SELECT count(*) FROM {store.dialect.prefix}usage_user")) == [(8,)]


def test_a_migration_that_fails_leaves_whole_ones_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    half = f"CREATE TABLE {store.dialect.prefix}half (a integer);\n"
    with_more(monkeypatch, Migration(98, "0098_half", f"{half}SELECT b FROM {store.dialect.prefix}half;\n"))
    with pytest.raises(SchemaError):
        store.migrate()
    assert "half" not in tables(store)
    store_events(store, [made_event()])
    more = f"CREATE TABLE {store.dialect.prefix}more (a integer);\n"
    with_more(monkeypatch, Migration(98, "0098_half", half), Migration(99, "0099_more", more))
    assert store.migrate() == ["0098_half", "0099_more"]
    assert tables(store) >= {"half", "more"}


@pytest.mark.timeout(120)
def test_a_migration_that_is_killed_is_completed_by_the_next_start(dsn: str, store: Store) -> None:
    slow = {
        "postgres": "CREATE TABLE usage_tracker.half (a integer);\nSELECT pg_sleep({seconds});\n",
        "sqlite": "CREATE TABLE half (a integer);\nWITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "WHERE i < {seconds} * 10000000) SELECT count(*) FROM n;\n",
    }[store.dialect.name]
    path = [str(Path(__file__).parent.parent)]

    def program(seconds: int) -> list[str]:
        return [sys.executable, "-c", INTERRUPTED.format(path=path, dsn=dsn, sql=slow.format(seconds=seconds))]

    with subprocess.Popen([*program(60), "say"], stdout=subprocess.PIPE, text=True) as interrupted:
        assert interrupted.stdout is not None
        interrupted.stdout.readline()
        while len(applied(store)) < len(names(store)):
            time.sleep(0.05)
        interrupted.send_signal(signal.SIGKILL)
    assert interrupted.returncode == -signal.SIGKILL
    completed = subprocess.run(program(0), capture_output=True, text=True, timeout=100, check=False)
    assert (completed.stdout, completed.stderr) == ("['0099_half']\n", "")
    assert "half" in tables(store)


def test_a_schema_that_is_newer_says_what_to_upgrade(store: Store) -> None:
    store.migrate()
    run(
        store, f"INSERT INTO {store.dialect.prefix}schema_migration (number, name) VALUES (999, '0999_from_the_future')"
    )
    with pytest.raises(SchemaError, match=r"newer \(migration 999\).*upgrade usage_tracker"):
        store.migrate()


def test_a_program_that_runs_while_another_migrates_writes_no_more_and_folds_nothing(store: Store) -> None:
    store.migrate()
    stored = made_event()
    store_events(store, [stored])
    run(store, f"INSERT INTO {store.dialect.prefix}schema_migration (number, name) VALUES (999, '0999_a_new_rollup')")
    with pytest.raises(SchemaError, match="newer"):
        store_events(store, [made_event()])
    with pytest.raises(SchemaError, match="newer"):
        store.reprice([Repriced(stored.event_id, stored.event.started_at // 1000, Cost(None))])
    if store.dialect.name == "postgres":  # it folds later what others have appended
        with pytest.raises(SchemaError, match="newer"):
            store.compact()
    assert [count for (count,) in store.select(f"SELECT count(*) FROM {store.dialect.prefix}events")] == [1]


def run(store: Store, statement: str) -> None:
    if store.dialect.name == "sqlite":
        with vars(store)["_file"].transaction() as connection:
            connection.execute(statement)
        return
    with vars(store)["_connections"].transaction() as cursor:
        cursor.execute(statement)


def test_without_a_schema_the_error_names_the_command(store: Store) -> None:
    with pytest.raises(SchemaError, match="usage-tracker migrate"):
        store.positions([uuid4()])
    with pytest.raises(SchemaError, match="usage-tracker migrate"):
        store_events(store, [made_event()])


def test_a_role_that_may_not_build_the_schema_is_told_who_may(
    postgres_databases: Databases, empty_postgres_dsn: str
) -> None:
    role = f"guest_{uuid4().hex[:8]}"
    postgres_databases.run(f"CREATE ROLE {role} LOGIN")
    database = empty_postgres_dsn.rpartition("dbname=")[2].split()[0]
    store = open_store(parse_dsn(postgres_databases.dsn(database, user=role)))
    with pytest.raises(SchemaError, match="run `usage-tracker migrate` as the schema's owner"):
        store.migrate()
    owner = open_store(parse_dsn(empty_postgres_dsn))
    owner.migrate()
    with pytest.raises(SchemaError, match="grant"):
        store.migrate()
    store.close()
    owner.close()
    postgres_databases.run(f"DROP ROLE {role}")


def test_an_owner_who_may_not_create_schemas_uses_the_one_that_was_made_for_it(
    postgres_databases: Databases, empty_postgres_dsn: str
) -> None:
    role = f"owner_{uuid4().hex[:8]}"
    database = empty_postgres_dsn.rpartition("dbname=")[2].split()[0]
    postgres_databases.run(f"CREATE ROLE {role} LOGIN")
    postgres_databases.run(f"CREATE SCHEMA usage_tracker AUTHORIZATION {role}", database)
    store = open_store(parse_dsn(postgres_databases.dsn(database, user=role)))
    assert store.migrate() == names(store)
    store_events(store, [made_event()])
    store.close()
    postgres_databases.run(f"DROP OWNED BY {role}", database)
    postgres_databases.run(f"DROP ROLE {role}")


def test_what_a_superuser_adds_to_an_owners_schema_is_the_owners(
    postgres_databases: Databases, empty_postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f'Owner "of" {uuid4().hex[:8]}'
    database = empty_postgres_dsn.rpartition("dbname=")[2].split()[0]
    quoted = '"{}"'.format(role.replace('"', '""'))
    postgres_databases.run(f"CREATE ROLE {quoted} LOGIN")
    postgres_databases.run(f"GRANT CREATE ON DATABASE {database} TO {quoted}")
    monkeypatch.setattr(migrations, "migrations", lambda dialect: KNOWN[dialect][:5])
    monkeypatch.setattr("usage_tracker.stores.postgres.store.make_months", lambda *_, **__: None)
    owner = open_store(parse_dsn(postgres_databases.dsn(database, user=role)))
    owner.migrate()
    monkeypatch.undo()
    superuser = open_store(parse_dsn(empty_postgres_dsn))
    assert superuser.migrate() == names(superuser)[5:]
    store_events(owner, [made_event(datetime.now(UTC))])
    assert owner.compact() > 0
    assert sum(owner.prune(datetime.now(UTC))) == 1
    owners = "SELECT DISTINCT relowner FROM pg_class WHERE relnamespace = 'usage_tracker'::regnamespace"
    assert list(superuser.select(f"SELECT pg_get_userbyid(relowner)::text FROM ({owners}) AS found")) == [(role,)]
    owner.close()
    superuser.close()
    postgres_databases.run(f"DROP OWNED BY {quoted}", database)
    postgres_databases.run(f"DROP ROLE {quoted}")


def test_a_database_that_can_not_hold_every_text_is_refused_before_an_event_is_set_aside(
    postgres_databases: Databases,
) -> None:
    name = f"latin_{uuid4().hex[:12]}"
    postgres_databases.run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1'")
    store = open_store(parse_dsn(postgres_databases.dsn(name)))
    with pytest.raises(StoreError, match=r"a database in LATIN1 .*--encoding=UTF8") as refusal:
        store.migrate()
    assert not isinstance(refusal.value, EventsRefused)
    store.close()
    postgres_databases.drop(name)


def test_a_server_that_is_too_old_is_named(empty_postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.stores.postgres.schema.OLDEST", 99)
    store = open_store(parse_dsn(empty_postgres_dsn))
    with pytest.raises(StoreError, match=r"PostgreSQL \d+\.\d+ is too old; 99 is the oldest that works"):
        store.migrate()
    store.close()


def test_the_folder_of_a_new_file_is_its_users_own(tmp_path: Path) -> None:
    store = open_store(parse_dsn(f"sqlite:///{tmp_path}/new/usage.db"))
    store.migrate()
    store.close()
    assert os.stat(tmp_path / "new").st_mode & 0o777 == 0o700


BEFORE_0005 = """
INSERT INTO {p}usage_kind (digest, sdk, operation, model, streamed)
    VALUES ({digest}, 'openai', 'chat', 'gpt-4o', {true});
INSERT INTO {p}usage_owner (digest, project) VALUES ({digest}, 'alpha');
INSERT INTO {p}usage_event
    (event_id, started_at, duration_ms, ttft_ms, kind_key, owner_key, user_key, tags_key, attempts, estimated, status,
    cost)
    VALUES ({digest}, {at}, 1000, 90, 1, 1, 0, 0, 1, {false}, 'ok', 1),
        ({digest}, {at}, 1000, null, 1, 1, 0, 0, 1, {false}, 'ok', 1);
INSERT INTO {p}usage_event
    (event_id, started_at, duration_ms, kind_key, owner_key, user_key, tags_key, attempts, estimated, status, completes)
    VALUES ({digest}, {at}, 5000, 1, 1, 0, 0, 1, {false}, 'ok', 'batch-1');
INSERT INTO {p}rollup_day_latency (bucket_at, kind_key, bucket, calls) VALUES ({day}, 1, 177, 2);
"""
FORMS = {
    "postgres": {
        "p": "usage_tracker.", "digest": "gen_random_uuid()", "true": "true", "false": "false",
        "at": "'2026-08-15 12:00+00'", "day": "'2026-08-15 00:00+00'",
    },
    "sqlite": {
        "p": "", "digest": "randomblob(16)", "true": "1", "false": "0",
        "at": "1786795200000000", "day": "1786752000",
    },
}  # fmt: skip


def test_an_older_store_keeps_its_events_and_gets_sketches_of_their_latency(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix, known = store.dialect.prefix, KNOWN[store.dialect.name]
    monkeypatch.setattr(migrations, "migrations", lambda dialect: known[:4])
    store.migrate()
    for statement in BEFORE_0005.format(**FORMS[store.dialect.name]).split(";")[:-1]:
        run(store, statement)
    monkeypatch.undo()
    assert store.migrate()[0] == "0005_totals_and_latency"
    assert list(store.select(f"SELECT count(*) FROM {prefix}usage_event")) == [(3,)]
    columns = "bucket, calls, ttft_calls"
    for view in ("by_day_latency", "by_day_owner_latency"):
        found = sorted(store.select(f"SELECT {columns} FROM {prefix}{view}"))
        assert found == [(latency_bucket(90), 0, 1), (latency_bucket(1000), 2, 0)]


BEFORE_0009 = """
INSERT INTO {p}rollup_day_user_total
    VALUES ({day}, 7, 2, 0, 2, 0, 2, 0, 10, 5, 0, 0, 0, 3, 0, 0, 20, 0, 0, 0, 0),
        ({day_after}, 7, 1, 0, 1, 0, 1, 0, 10, 5, 0, 0, 0, 4, 0, 0, 20, 0, 0, 0, 0),
        ({week_after}, 7, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 0)
"""
LATER = {
    "postgres": {"day_after": "'2026-08-16 00:00+00'", "week_after": "'2026-08-20 00:00+00'"},
    "sqlite": {"day_after": "1786838400", "week_after": "1787184000"},
}


@pytest.mark.parametrize("migration", ["which_parts_are_told", "whether_input_is_told"])
@pytest.mark.parametrize(("summed", "known"), [(10, 10), (0, None)])
def test_of_what_an_older_store_summed_a_part_that_came_to_nothing_is_unknown(
    store: Store, monkeypatch: pytest.MonkeyPatch, migration: str, summed: int, known: int | None
) -> None:
    prefix, dialect = store.dialect.prefix, store.dialect.name
    older = tuple(takewhile(lambda each: not each.name.endswith(migration), KNOWN[dialect]))
    monkeypatch.setattr(migrations, "migrations", lambda dialect: older)
    store.migrate()
    columns = "bucket_at, kind_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens"
    rest = "cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms"
    run(
        store,
        f"INSERT INTO {prefix}rollup_day_kind ({columns}, {rest}, ttft_calls, ttft_ms, awaited, completed) "
        "VALUES ({day}, 0, 2, 0, 2, 0, 2, 0, {summed}, 5, 3, 0, 0, 7, 0, 0, 20, 0, 0, 0, 0)".format(
            summed=summed, **FORMS[dialect]
        ),
    )
    monkeypatch.undo()
    assert store.migrate()[0].endswith(migration)
    total = ask(store, Query()).total
    assert (total.input_tokens, total.output_tokens, total.cache_read_tokens) == (known, 5, 3)
    assert (total.cache_write_tokens, total.reasoning_tokens) == (None, None)


def test_an_older_store_gets_the_weeks_of_its_users(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix, dialect = store.dialect.prefix, store.dialect.name
    older = tuple(each for each in KNOWN[dialect] if each.number < 9)
    monkeypatch.setattr(migrations, "migrations", lambda dialect: older)
    store.migrate()
    run(store, BEFORE_0009.format(**FORMS[dialect], **LATER[dialect]))
    monkeypatch.undo()
    assert "0009_weeks_of_users" in store.migrate()
    weeks = store.select(f"SELECT calls, errors, cost FROM {prefix}by_week_user_total ORDER BY bucket_at")
    assert [tuple(map(int, map(str, week))) for week in weeks] == [(3, 0, 7), (1, 1, 0)]
