"""What is particular to Postgres: how it folds, prices again, is read, and which roles it needs."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from in_postgres import database_of, one, rows_of, run, writer_role
from made_events import NOON, made_event, random_events, store_events
from postgres_server import Databases, PostgresServer
from racing import race

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import SchemaError, StoreUnavailable
from usage_tracker.event import Batch, Cost, PricedEvent, Stretch
from usage_tracker.instants import to_moment
from usage_tracker.report import Query
from usage_tracker.report import run as ask
from usage_tracker.stores import open_store, read_sql
from usage_tracker.stores.postgres import PostgresStore
from usage_tracker.stores.postgres.partitions import PARTITION_LOCK, months
from usage_tracker.stores.postgres.repricing import find
from usage_tracker.stores.postgres.schema import FOLD_LOCK
from usage_tracker.stores.repricing import Repriced

WRITE = """
from uuid import uuid4
from usage_tracker.dsn import parse_dsn
from usage_tracker.event import Batch, Stretch
from usage_tracker.stores import open_store
from usage_tracker.stores.grants import grants
from made_events import random_events

def work(number, dsn):
    store = open_store(parse_dsn(dsn))
    segment = uuid4()
    for batch in range(10):
        events = random_events(batch, 50)  # all processes meet the same new dimensions at the same time
        assert store.write(Batch([Stretch(segment, batch, batch + 1, 50)], events))
        if batch % 3 == number % 3:
            store.compact()
    store.close()
"""


@pytest.fixture
def store(postgres_dsn: str) -> Iterator[PostgresStore]:
    opened = PostgresStore(parse_dsn(postgres_dsn))
    yield opened
    opened.close()


def test_calls_that_two_price_again_at_once_are_one_after_the_other(store: PostgresStore) -> None:
    first, second = calls = [made_event(), made_event()]
    store_events(store, calls)
    repriced = [Repriced(call.event_id, call.event.started_at // 1000, Cost(Decimal("0.5"))) for call in calls]
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with ThreadPoolExecutor() as pool:
        with vars(store)["_connections"].transaction() as cursor:
            assert [each.event_id for each in find(cursor, repriced[1:])] == [second.event_id]
            both = pool.submit(store.reprice, repriced)
            while one(store, waiting) == 0:
                time.sleep(0.01)
            assert [each.event_id for each in find(cursor, repriced[:1])] == [first.event_id]
        assert both.result() == 2


DELTAS = ("hour", "day_user", "day_tag", "day_latency", "day_owner_latency")


class TestFolding:
    def test_it_empties_the_deltas_into_the_rollups(self, store: PostgresStore) -> None:
        store_events(store, random_events(1, 100))
        before = sum(rows_of(store, f"delta_{name}") for name in DELTAS)
        assert store.compact() == before > 100
        assert store.compact() == 0
        assert [rows_of(store, f"delta_{name}") for name in DELTAS] == [0] * len(DELTAS)
        for name in ("hour", "day", "day_user"):
            assert one(store, f"SELECT sum(calls) FROM usage_tracker.rollup_{name}") == 100
            assert one(store, f"SELECT sum(calls) FROM usage_tracker.by_{name}") == 100

    def test_it_takes_many_rows_in_turns(self, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for rows in ("FIRST", "MOST"):
            monkeypatch.setattr(f"usage_tracker.stores.postgres.folding.ROWS_AT_{rows}", 10)
        with closing(PostgresStore(parse_dsn(postgres_dsn))) as store:
            store_events(store, random_events(1, 60))
            turns = 0
            while store.compact():
                turns += 1
            assert turns > 5
            assert one(store, "SELECT sum(calls) FROM usage_tracker.rollup_hour") == 60
            assert one(store, "SELECT sum(calls) FROM usage_tracker.rollup_day") == 60

    def test_a_server_is_given_no_more_rows_than_it_folds_in_the_time(
        self, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folding = "usage_tracker.stores.postgres.folding"
        for name, value in (("ROWS_AT_FIRST", 64), ("ROWS_AT_LEAST", 16), ("ROWS_AT_MOST", 128), ("SECONDS", 60.0)):
            monkeypatch.setattr(f"{folding}.{name}", value)

        def folded(store: PostgresStore) -> int:
            before = rows_of(store, "delta_day_user")
            store.compact()
            return before - rows_of(store, "delta_day_user")

        with closing(PostgresStore(parse_dsn(postgres_dsn))) as store:
            store_events(store, [made_event(user_id=f"u-{number}") for number in range(600)])
            assert [folded(store) for _ in range(3)] == [64, 128, 128]
            monkeypatch.setattr(f"{folding}.SECONDS", 0.0)
            run(postgres_dsn, "ALTER TABLE usage_tracker.rollup_day_latency RENAME TO away")
            with pytest.raises(SchemaError):
                store.compact()
            run(postgres_dsn, "ALTER TABLE usage_tracker.away RENAME TO rollup_day_latency")
            assert [folded(store) for _ in range(4)] == [64, 32, 16, 16]

    def test_a_turn_without_much_to_fold_says_nothing_of_how_fast_the_server_is(
        self, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("usage_tracker.stores.postgres.folding.ROWS_AT_FIRST", 16)
        with closing(PostgresStore(parse_dsn(postgres_dsn))) as store, closing(psycopg2.connect(postgres_dsn)) as other:
            for _ in range(3):
                assert store.compact() == 0
            with other.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [FOLD_LOCK])
                for _ in range(3):
                    assert store.compact() == 0
                other.rollback()
            store_events(store, [made_event(user_id=f"u-{number}") for number in range(100)])
            store.compact()
            assert rows_of(store, "delta_day_user") == 84

    def test_one_process_does_it_at_a_time(self, store: PostgresStore, postgres_dsn: str) -> None:
        store_events(store, [made_event()])
        other = psycopg2.connect(postgres_dsn)
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [FOLD_LOCK])
            assert store.compact() == 0
        other.rollback()
        other.close()
        assert store.compact() > 0


@pytest.mark.timeout(120)
def test_processes_that_write_and_fold_at_once_lose_nothing_and_never_deadlock(
    store: PostgresStore, postgres_dsn: str
) -> None:
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = one(store, deadlocks)
    race(WRITE, postgres_dsn, 8)
    assert rows_of(store, "events") == 4000
    while store.compact():
        pass
    assert one(store, "SELECT sum(calls) FROM usage_tracker.rollup_hour") == 4000
    assert one(store, "SELECT sum(calls) FROM usage_tracker.rollup_day_user") == 4000
    assert one(store, "SELECT sum(events) FROM usage_tracker.journal_offset") == 4000
    assert one(store, deadlocks) == before


def test_what_repeats_is_looked_up_before_it_is_added_so_that_keys_are_not_burnt(postgres_dsn: str) -> None:
    for seed in range(20):
        fresh = PostgresStore(parse_dsn(postgres_dsn))
        store_events(fresh, [made_event(user_id="u-1", tags=("a", "b")) for _ in range(seed + 1)])
        fresh.close()
    reader = PostgresStore(parse_dsn(postgres_dsn))
    store_events(reader, [made_event(user_id="u-2", tags=("c",))])
    assert list(reader.select("SELECT user_key, user_id FROM usage_tracker.usage_user ORDER BY 1")) == [
        (0, None),
        (1, "u-1"),
        (2, "u-2"),
    ]
    assert one(reader, "SELECT max(tag_key) FROM usage_tracker.usage_tag") == 3
    assert one(reader, "SELECT max(kind_key) FROM usage_tracker.usage_kind") == 1
    reader.close()


def test_select_gives_aware_datetimes_in_utc_and_decimals(store: PostgresStore) -> None:
    store_events(store, [made_event(NOON, cost="0.00001250")])
    [(started_at, cost, day_cost)] = store.select(
        "SELECT e.started_at, e.cost, d.cost FROM usage_tracker.events e CROSS JOIN usage_tracker.daily d"
    )
    assert started_at == NOON
    assert isinstance(started_at, datetime)
    assert started_at.utcoffset() == timedelta(0)
    assert str(cost) == str(day_cost) == str(Decimal("0.0000125"))


def test_select_can_not_write(store: PostgresStore) -> None:
    with pytest.raises(StoreUnavailable, match="ReadOnlySqlTransaction"):
        list(store.select("SELECT nextval('usage_tracker.usage_user_user_key_seq')"))
    store_events(store, [made_event()])


def test_a_server_that_only_reads_is_said_to(postgres_dsn: str) -> None:
    store = PostgresStore(parse_dsn(f"{postgres_dsn} options='-c default_transaction_read_only=on'"))
    assert list(store.select("SELECT count(*) FROM usage_tracker.events")) == [(0,)]
    with pytest.raises(StoreUnavailable, match=r"only reads, as a replica does; .* target_session_attrs="):
        store_events(store, [made_event()])
    store.close()


def test_whoever_reads_may_pause_for_longer_than_whoever_writes(store: PostgresStore) -> None:
    """As a person before a pager does, to whom the rest of the rows would be lost."""
    limit = "SELECT current_setting('idle_in_transaction_session_timeout')"
    assert list(store.select(limit)) == [("1h",)]
    assert store.change(lambda execute: execute(limit, ())) == ("2min",)


def test_the_server_is_done_with_a_query_before_its_rows_are_read(store: PostgresStore, postgres_dsn: str) -> None:
    """A person before a pager takes a while, and the server would end the transaction in between."""
    answer = read_sql(parse_dsn(postgres_dsn), "SELECT generate_series(1, 3) AS number")
    assert [next(answer), next(answer)] == [("number",), (1,)]
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in %'"
    assert list(store.select(waiting)) == [(0,)]
    assert list(answer) == [(2,), (3,)]


def test_nothing_is_left_in_the_session(store: PostgresStore) -> None:
    """What pgbouncer hands to the next client: no setting, no lock, no temporary table, no prepared statement."""
    store_events(store, random_events(1, 20))
    store.compact()
    list(store.select("SELECT 1"))
    [(connection, _)] = vars(store)["_connections"]._idle
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_settings WHERE source = 'session' AND name <> 'transaction_read_only'")
        assert {name for (name,) in cursor.fetchall()} <= {"transaction_isolation", "transaction_deferrable"}
        cursor.execute("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'")
        assert cursor.fetchone() == (0,)
        cursor.execute(
            "SELECT (SELECT count(*) FROM pg_prepared_statements) + (SELECT count(*) FROM pg_cursors WHERE name <> '')"
        )
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM pg_class WHERE relpersistence = 't'")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("intervalstyle", "sql_standard"), ("standard_conforming_strings", "off"), ("datestyle", "SQL, DMY")],
)
def test_how_a_database_writes_dates_and_texts_changes_nothing(
    postgres_databases: Databases, empty_postgres_dsn: str, setting: str, value: str
) -> None:
    postgres_databases.run(f"ALTER DATABASE {database_of(empty_postgres_dsn)} SET {setting} = '{value}'")
    store = PostgresStore(parse_dsn(empty_postgres_dsn))
    store.migrate()
    tags = ('say "hi"', r"C:\new")
    store_events(store, [made_event(datetime(2026, 3, 2, hour, tzinfo=UTC), tags=tags) for hour in range(24)])
    report = ask(store, Query(by=("day", "tag"), tz=ZoneInfo("America/New_York")))
    days = {date(2026, 3, 1): 5, date(2026, 3, 2): 19}
    assert {row.group: row.calls for row in report.rows} == {(day, tag): days[day] for day in days for tag in tags}
    assert sum(store.prune(datetime(2026, 3, 2, 12, tzinfo=UTC))) == 12
    store.close()


def test_an_address_that_names_another_encoding_keeps_no_text_out(postgres_dsn: str) -> None:
    with closing(PostgresStore(parse_dsn(f"{postgres_dsn} client_encoding=LATIN1"))) as store:
        store_events(store, [made_event(project="日本", user_id="größe")])
        assert list(store.select("SELECT project, user_id FROM usage_tracker.events")) == [("日本", "größe")]


def test_a_publication_of_all_tables_keeps_nobody_from_folding_pricing_again_or_taking_out(
    store: PostgresStore, postgres_dsn: str
) -> None:
    later = months(datetime.now(UTC).date())[2]
    run(postgres_dsn, f"DROP TABLE usage_tracker.{later.table}", "CREATE PUBLICATION everything FOR ALL TABLES")
    stored = made_event(datetime(later.start.year, later.start.month, 2, tzinfo=UTC))
    with vars(store)["_connections"].transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [PARTITION_LOCK])
        other = PostgresStore(parse_dsn(postgres_dsn))
        store_events(other, [stored, made_event(awaits="batch"), made_event(completes="batch")])
        other.close()
    assert rows_of(store, "usage_event_default") == 3
    store.migrate()
    assert (rows_of(store, later.table), rows_of(store, "usage_event_default")) == (1, 2)
    assert store.compact() > 0
    cost = Cost(Decimal("0.5"))
    assert store.reprice([Repriced(stored.event_id, stored.event.started_at // 1000, cost)]) == 1
    assert sum(store.prune(NOON + timedelta(days=1))) == 2
    assert sum(store.prune(stored_at(stored) + timedelta(seconds=1))) == 1


def test_events_wait_where_a_copy_of_the_store_lacks_how_far_its_sequences_were(
    store: PostgresStore, postgres_dsn: str
) -> None:
    store_events(store, [made_event(user_id="u-1")])
    run(postgres_dsn, "ALTER SEQUENCE usage_tracker.usage_user_user_key_seq RESTART")
    with pytest.raises(StoreUnavailable, match=r"sequences .* are behind their tables .*upgrading\.md"):
        store_events(store, [made_event(user_id="u-2")])
    guide = Path(__file__).parent.parent / "docs" / "upgrading.md"
    run(postgres_dsn, *re.findall(r"^```sql\n(.*?)^```$", guide.read_text(), re.MULTILINE | re.DOTALL))
    store_events(store, [made_event(user_id="u-2")])
    assert rows_of(store, "events") == 2


def test_a_schema_that_was_put_back_from_a_copy_meanwhile_gets_the_names_that_it_lacks(
    store: PostgresStore, postgres_dsn: str
) -> None:
    store_events(store, [made_event(user_id="u-1")])
    run(postgres_dsn, "DROP SCHEMA usage_tracker CASCADE")
    with closing(PostgresStore(parse_dsn(postgres_dsn))) as other:
        other.migrate()
        store_events(other, [made_event(user_id="u-2")])
    with pytest.raises(StoreUnavailable, match="another server answers"):
        store_events(store, [made_event(user_id="u-1")])
    store_events(store, [made_event(user_id="u-1")])
    assert list(store.select("SELECT user_id FROM usage_tracker.events ORDER BY 1")) == [("u-1",), ("u-2",)]


def stored_at(priced: PricedEvent) -> datetime:
    return to_moment(priced.event.started_at // 1000)


class TestRoles:
    def test_a_writer_writes_and_the_owner_folds(
        self, store: PostgresStore, postgres_databases: Databases, postgres_dsn: str
    ) -> None:
        segment = uuid4()
        with writer_role(postgres_databases, database_of(postgres_dsn)) as writer:
            assert writer.migrate() == []
            events = random_events(5, 100)
            assert writer.write(Batch([Stretch(segment, 0, 10, 100)], events))
            assert not writer.write(Batch([Stretch(segment, 0, 10, 100)], events))
            assert writer.write(Batch([Stretch(segment, 10, 20, 100)], random_events(6, 100)))
            assert writer.positions([segment]) == {segment: 20}
            assert writer.compact() == 0
        assert rows_of(store, "events") == 200
        assert store.compact() > 0

    def test_a_writer_can_not_read_events(self, postgres_databases: Databases, postgres_dsn: str) -> None:
        with writer_role(postgres_databases, database_of(postgres_dsn)) as writer:
            for table in ("usage_event", "events", "daily", "delta_hour"):
                with pytest.raises(SchemaError, match="InsufficientPrivilege"):
                    list(writer.select(f"SELECT 1 FROM usage_tracker.{table}"))

    def test_events_wait_where_row_level_security_keeps_a_writer_out(
        self, store: PostgresStore, postgres_databases: Databases, postgres_dsn: str
    ) -> None:
        with writer_role(postgres_databases, database_of(postgres_dsn)) as writer:
            run(postgres_dsn, "ALTER TABLE usage_tracker.usage_event ENABLE ROW LEVEL SECURITY")
            with pytest.raises(StoreUnavailable, match="can't do it: COPY FROM not supported with row-level security"):
                store_events(writer, [made_event()])
            store_events(store, [made_event()])
            assert rows_of(store, "events") == 1

    def test_a_writer_leaves_no_error_in_the_servers_log(self, own_postgres: PostgresServer) -> None:
        """Partitions and folding are asked for, not tried: an error a minute would hide those that matter."""
        database = own_postgres.create(migrated=True)
        own_postgres.run(f"DROP TABLE usage_tracker.{months(datetime.now(UTC).date())[2].table}", database)
        before = own_postgres.log().count("ERROR")
        with writer_role(own_postgres, database) as writer:
            writer.migrate()
            store_events(writer, random_events(5, 10))
            writer.compact()
        assert own_postgres.log().count("ERROR") == before
        own_postgres.drop(database)


class TestSecrets:
    @pytest.mark.parametrize(
        "text",
        [
            "postgresql://locked:hunter2@127.0.0.1:{port}/postgres",
            "host=127.0.0.1 port={port} user=locked password=hunter2 dbname=postgres",
        ],
    )
    def test_a_wrong_password_is_not_repeated(self, own_postgres: PostgresServer, text: str) -> None:
        own_postgres.let_in("another")
        store = PostgresStore(parse_dsn(text.format(port=own_postgres.port)))
        with pytest.raises(StoreUnavailable, match="password authentication failed") as away:
            store.migrate()
        assert "hunter2" not in str(away.value)
        assert away.value.__suppress_context__

    def test_a_password_that_is_nowhere_is_asked_for(self, own_postgres: PostgresServer) -> None:
        own_postgres.let_in("another")
        store = PostgresStore(parse_dsn(f"host=127.0.0.1 port={own_postgres.port} user=locked dbname=postgres"))
        with pytest.raises(StoreUnavailable, match="no password supplied: put it into the address, PGPASSWORD or a"):
            store.migrate()

    @pytest.mark.parametrize(
        "text", ["postgresql://u:hunter%zz2@127.0.0.1/db", "postgresql://u:x@hunter2@no-such-host.invalid/db"]
    )
    def test_a_password_that_libpq_takes_for_something_else_is_not_repeated(self, text: str) -> None:
        dsn = parse_dsn("postgresql://u@127.0.0.1/db")
        store = PostgresStore(type(dsn)("postgresql", text, "postgresql://u@127.0.0.1/db"))
        with pytest.raises(StoreUnavailable) as away:
            store.migrate()
        assert "hunter" not in str(away.value)


def test_the_store_is_opened_without_a_connection(tmp_path: Path) -> None:
    store = open_store(parse_dsn(f"postgresql:///nowhere?host={tmp_path}"))
    store.close()
