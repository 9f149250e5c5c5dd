"""What is particular to Postgres: partitions, folding, roles, and all the ways in which a server can be away."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from faults.pgbouncer import PgBouncer
from made_events import NOON, made_event, random_events, store_events
from postgres_server import Databases, PostgresServer, unprivileged_account
from racing import race

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import SchemaError, StoreUnavailable
from usage_tracker.event import Batch, Cost, PricedEvent, Stretch
from usage_tracker.instants import to_moment
from usage_tracker.report import Query
from usage_tracker.report import run as ask
from usage_tracker.stores import open_store, read_sql
from usage_tracker.stores.grants import grants
from usage_tracker.stores.postgres import PostgresStore, pruning
from usage_tracker.stores.postgres.connection import Connections
from usage_tracker.stores.postgres.partitions import MONTHS, PARTITION_LOCK, make_months, months
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


@pytest.fixture
def fragile(own_postgres: PostgresServer) -> Iterator[PostgresStore]:
    """A store on the server that tests may stop."""
    name = own_postgres.create(migrated=True)
    opened = PostgresStore(parse_dsn(own_postgres.dsn(name)))
    yield opened
    opened.close()
    own_postgres.start()
    own_postgres.drop(name)


def database_of(dsn: str) -> str:
    return str(psycopg2.extensions.parse_dsn(dsn)["dbname"])


def one(store: PostgresStore, sql: str) -> Any:
    [(found,)] = store.select(sql)
    return found


def run(dsn: str, *statements: str) -> None:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def rows_of(store: PostgresStore, table: str) -> int:
    found = one(store, f"SELECT count(*) FROM usage_tracker.{table}")
    assert isinstance(found, int)
    return found


class TestPartitions:
    def test_the_months_around_today_have_one_each(self, store: PostgresStore) -> None:
        wanted = {month.table for month in months(datetime.now(UTC).date())}
        found = {
            name
            for (name,) in store.select(
                "SELECT relid::regclass::text FROM pg_partition_tree('usage_tracker.usage_event') WHERE isleaf"
            )
        }
        assert found == {f"usage_tracker.{name}" for name in wanted} | {"usage_tracker.usage_event_default"}
        assert len(wanted) == len(MONTHS)

    def test_months_are_counted_across_the_turn_of_the_year(self) -> None:
        assert [(month.table, month.start, month.end) for month in months(date(2026, 12, 31))] == [
            ("usage_event_2026_11", date(2026, 11, 1), date(2026, 12, 1)),
            ("usage_event_2026_12", date(2026, 12, 1), date(2027, 1, 1)),
            ("usage_event_2027_01", date(2027, 1, 1), date(2027, 2, 1)),
            ("usage_event_2027_02", date(2027, 2, 1), date(2027, 3, 1)),
            ("usage_event_2027_03", date(2027, 3, 1), date(2027, 4, 1)),
        ]

    def test_an_event_is_in_the_partition_of_its_utc_month_or_in_the_default_one(self, store: PostgresStore) -> None:
        month = months(datetime.now(UTC).date())[1]
        start = datetime(month.start.year, month.start.month, 1, tzinfo=UTC)
        store_events(
            store,
            [
                made_event(start),
                made_event(datetime(1999, 1, 1, tzinfo=UTC)),
                made_event(datetime(2222, 1, 1, tzinfo=UTC)),
            ],
        )
        assert rows_of(store, month.table) == 1
        assert rows_of(store, "usage_event_default") == 2

    def test_a_month_that_comes_near_takes_its_events_out_of_the_default_partition(self, store: PostgresStore) -> None:
        events = [made_event(datetime(2222, 5, 1, tzinfo=UTC) + timedelta(hours=hour)) for hour in range(-2, 3)]
        store_events(store, events)
        assert rows_of(store, "usage_event_default") == 5
        with vars(store)["_connections"].transaction() as cursor:
            make_months(cursor, date(2222, 4, 20), wait=False)
        assert rows_of(store, "usage_event_2222_04") == 2
        assert rows_of(store, "usage_event_2222_05") == 3
        assert rows_of(store, "usage_event_default") == 0
        store_events(store, [made_event(datetime(2222, 5, 9, tzinfo=UTC))])
        assert rows_of(store, "usage_event_2222_05") == 4
        assert rows_of(store, "events") == 6

    def test_write_makes_the_months_that_are_missing(self, store: PostgresStore, postgres_dsn: str) -> None:
        month = months(datetime.now(UTC).date())[2]
        run(postgres_dsn, f"DROP TABLE usage_tracker.{month.table}")
        store_events(store, [made_event()])
        assert rows_of(store, month.table) == 0

    def test_a_migration_takes_its_time_to_move_a_month_and_says_where_it_could_not(
        self, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        limits = []

        def note(cursor: Any, today: date, *, wait: bool) -> None:
            cursor.execute("SELECT current_setting('statement_timeout')")
            limits.append((wait, cursor.fetchone()[0]))
            raise StoreUnavailable("the store is locked")

        monkeypatch.setattr("usage_tracker.stores.postgres.store.make_months", note)
        for work in (PostgresStore.migrate, lambda store: store_events(store, [made_event()])):
            with closing(PostgresStore(parse_dsn(postgres_dsn))) as store:
                work(store)
        assert limits == [(True, "10min"), (False, "30s")]
        assert caplog.messages == ["partitions for months are left for tomorrow: the store is locked"]

    def test_a_month_is_made_on_the_disk_that_somebody_has_chosen_for_those_to_come(
        self, own_postgres: PostgresServer, fragile: PostgresStore
    ) -> None:
        [(data,)] = own_postgres.run("SHOW data_directory")
        place, month = Path(data).parent / "large", months(datetime.now(UTC).date())[1].table
        place.mkdir()
        if account := unprivileged_account():
            shutil.chown(place, account)
        own_postgres.run(f"CREATE TABLESPACE \"Large\" LOCATION '{place}'")
        dsn = own_postgres.dsn(one(fragile, "SELECT current_database()"))
        run(dsn, 'ALTER TABLE usage_tracker.usage_event SET TABLESPACE "Large"', f"DROP TABLE usage_tracker.{month}")
        fragile.migrate()
        assert one(fragile, f"SELECT tablespace FROM pg_tables WHERE tablename = '{month}'") == "Large"
        store_events(fragile, [made_event(datetime.now(UTC))])
        assert rows_of(fragile, month) == 1
        run(dsn, "DROP SCHEMA usage_tracker CASCADE", 'DROP TABLESPACE "Large"')

    def test_who_may_make_months_but_not_on_the_disk_that_was_chosen_for_them_hears_of_it(
        self, own_postgres: PostgresServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """All later events went to the default partition, and nobody was told."""
        [(data,)] = own_postgres.run("SHOW data_directory")
        place, month = Path(data).parent / "others", months(datetime.now(UTC).date())[1].table
        place.mkdir()
        if account := unprivileged_account():
            shutil.chown(place, account)
        own_postgres.run(f"CREATE TABLESPACE others LOCATION '{place}'")
        name = own_postgres.create(migrated=False)
        own_postgres.run(f"CREATE ROLE maker LOGIN; ALTER DATABASE {name} OWNER TO maker")
        dsn = own_postgres.dsn(name, user="maker")
        with closing(PostgresStore(parse_dsn(dsn))) as store:
            store.migrate()
        run(
            own_postgres.dsn(name),
            "ALTER TABLE usage_tracker.usage_event SET TABLESPACE others",
            f"DROP TABLE usage_tracker.{month}",
        )
        with closing(PostgresStore(parse_dsn(dsn))) as store:
            store_events(store, [made_event(datetime.now(UTC))])
            assert rows_of(store, "usage_event_default") == 1
        [said] = caplog.messages
        assert "months are left for tomorrow: this role may not do that" in said
        own_postgres.drop(name)
        own_postgres.run("DROP TABLESPACE others")
        own_postgres.run("DROP ROLE maker")

    def test_a_partition_that_somebody_detached_stays_so(self, store: PostgresStore, postgres_dsn: str) -> None:
        month = months(datetime.now(UTC).date())[0]
        run(postgres_dsn, f"ALTER TABLE usage_tracker.usage_event DETACH PARTITION usage_tracker.{month.table}")
        start = datetime(month.start.year, month.start.month, 1, tzinfo=UTC)
        store_events(store, [made_event(start)])
        assert (rows_of(store, month.table), rows_of(store, "usage_event_default")) == (0, 1)

    def test_months_are_made_also_where_somebody_detached_the_default_partition(
        self, store: PostgresStore, postgres_dsn: str
    ) -> None:
        month = months(datetime.now(UTC).date())[2]
        middle = datetime(month.start.year, month.start.month, 15, tzinfo=UTC)
        store_events(store, [made_event()])
        run(postgres_dsn, f"DROP TABLE usage_tracker.{month.table}")
        store_events(store, [made_event(middle)])
        run(
            postgres_dsn,
            "ALTER TABLE usage_tracker.usage_event DETACH PARTITION usage_tracker.usage_event_default",
            "ALTER TABLE usage_tracker.usage_event_default RENAME TO rest_of_last_year",
        )
        with closing(PostgresStore(parse_dsn(postgres_dsn))) as another:
            store_events(another, [made_event(middle)])
        assert (rows_of(store, month.table), rows_of(store, "rest_of_last_year")) == (1, 2)

    def test_an_event_that_no_partition_takes_waits_and_it_is_said_what_is_missing(
        self, store: PostgresStore, postgres_dsn: str
    ) -> None:
        run(postgres_dsn, "DROP TABLE usage_tracker.usage_event_default")
        with pytest.raises(StoreUnavailable, match="attach a default one to usage_tracker"):
            store_events(store, [made_event(datetime(1999, 1, 1, tzinfo=UTC))])

    def test_writing_goes_on_while_another_process_makes_them_or_a_report_is_in_the_way(
        self, store: PostgresStore, postgres_dsn: str
    ) -> None:
        month = months(datetime.now(UTC).date())[2]
        run(postgres_dsn, f"DROP TABLE usage_tracker.{month.table}")
        other = psycopg2.connect(postgres_dsn)
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [PARTITION_LOCK])
            store_events(store, [made_event()])
            other.rollback()
            cursor.execute("SELECT count(*) FROM usage_tracker.usage_event")
            blocked = PostgresStore(parse_dsn(postgres_dsn))
            store_events(blocked, [made_event()])
            blocked.close()
        other.close()
        assert rows_of(store, "usage_event") == 2
        assert one(store, f"SELECT to_regclass('usage_tracker.{month.table}')") is None

    def test_an_event_that_comes_while_its_month_is_made_is_tried_again_and_not_refused(
        self, store: PostgresStore, postgres_dsn: str
    ) -> None:
        event = made_event(datetime(2222, 5, 9, tzinfo=UTC))
        default = "'usage_tracker.usage_event_default'::regclass"
        waiting = f"SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = {default}"
        with closing(PostgresStore(parse_dsn(postgres_dsn))) as writer, ThreadPoolExecutor() as pool:
            store_events(writer, [made_event()])
            with vars(store)["_connections"].transaction() as cursor:
                make_months(cursor, date(2222, 4, 20), wait=False)
                written = pool.submit(store_events, writer, [event])
                while one(store, waiting) == 0:
                    time.sleep(0.01)
            with pytest.raises(StoreUnavailable, match="a month got its partition"):
                written.result()
            store_events(writer, [event])
        assert rows_of(store, "usage_event_2222_05") == 1

    def test_calls_are_priced_again_that_go_into_their_month_meanwhile(
        self, store: PostgresStore, postgres_dsn: str
    ) -> None:
        today = datetime.now(UTC).date()
        later = months(today)[2]
        begin = datetime(later.start.year, later.start.month, 1, tzinfo=UTC)
        calls = [made_event(begin - timedelta(hours=1)), made_event(begin + timedelta(hours=1))]
        store_events(store, calls[:1])
        run(postgres_dsn, f"DROP TABLE usage_tracker.{later.table}")
        store_events(store, calls[1:])
        assert rows_of(store, "usage_event_default") == 1
        repriced = [Repriced(call.event_id, call.event.started_at // 1000, Cost(Decimal("0.5"))) for call in calls]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation::regclass::text LIKE '%usage_event%'"
        with ThreadPoolExecutor() as pool:
            with vars(store)["_connections"].transaction() as cursor:
                make_months(cursor, today, wait=False)
                changed = pool.submit(store.reprice, repriced)
                while one(store, waiting) == 0:
                    time.sleep(0.01)
            assert changed.result() == 2
        assert rows_of(store, later.table) == 1
        assert one(store, "SELECT sum(cost) FROM usage_tracker.by_hour") == 1


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


class TestPruning:
    def test_months_that_are_over_are_dropped_and_rows_of_others_deleted(self, store: PostgresStore) -> None:
        last, this = months(datetime.now(UTC).date())[:2]
        middle = datetime(this.start.year, this.start.month, 15, tzinfo=UTC)
        store_events(
            store,
            [
                made_event(NOON - timedelta(days=4000)),
                made_event(datetime(last.start.year, last.start.month, 15, tzinfo=UTC)),
                made_event(middle - timedelta(days=1)),
                made_event(middle),
            ],
        )
        assert [(part.table, part.whole, part.events) for part in store.prunable(middle)] == [
            (f"usage_tracker.{last.table}", True, 1),
            (f"usage_tracker.{this.table}", False, 1),
            ("usage_tracker.usage_event_default", False, 1),
        ]
        assert sorted(store.prune(middle)) == [1, 1, 1]
        assert one(store, f"SELECT to_regclass('usage_tracker.{last.table}')") is None
        assert rows_of(store, "usage_event") == 1

    def test_a_month_that_somebody_has_put_elsewhere_stays_and_the_rest_goes(
        self, store: PostgresStore, postgres_dsn: str
    ) -> None:
        run(
            postgres_dsn,
            "CREATE FOREIGN DATA WRAPPER elsewhere",
            "CREATE SERVER archive FOREIGN DATA WRAPPER elsewhere",
            "CREATE FOREIGN TABLE usage_tracker.usage_event_1999_01 PARTITION OF usage_tracker.usage_event "
            "FOR VALUES FROM ('1999-01-01 00:00+00') TO ('1999-02-01 00:00+00') SERVER archive",
        )
        store_events(store, [made_event(datetime(1999, 2, 1, tzinfo=UTC))])
        run(
            postgres_dsn,
            "INSERT INTO usage_tracker.usage_original (event_id, started_at) VALUES "
            "(gen_random_uuid(), '1999-01-31 23:00+00'), (gen_random_uuid(), '1999-02-01 00:00+00')",
        )
        before = datetime(1999, 3, 1, tzinfo=UTC)
        assert [part.table for part in store.prunable(before)] == ["usage_tracker.usage_event_default"]
        assert list(store.prune(before)) == [1]
        last_of_january = datetime(1999, 1, 31, 23, tzinfo=UTC)
        assert list(store.select("SELECT started_at FROM usage_tracker.usage_original")) == [(last_of_january,)]

    def test_what_comes_late_for_a_month_that_was_dropped_is_kept_until_the_next_time(
        self, store: PostgresStore
    ) -> None:
        last, this = months(datetime.now(UTC).date())[:2]
        begin = datetime(this.start.year, this.start.month, 1, tzinfo=UTC)
        assert sum(store.prune(begin)) == 0
        assert one(store, f"SELECT to_regclass('usage_tracker.{last.table}')") is None
        store_events(store, [made_event(begin - timedelta(days=3))])
        assert rows_of(store, "usage_event") == 1
        assert sum(store.prune(begin)) == 1

    def test_a_partition_in_use_is_waited_for_and_then_said(
        self, store: PostgresStore, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pruning, "DROP_TRIES", 2)
        monkeypatch.setattr(pruning, "DROP_WAIT", "50ms")
        monkeypatch.setattr(pruning, "DROP_PAUSE", 0.0)
        this = months(datetime.now(UTC).date())[1]
        begin = datetime(this.start.year, this.start.month, 1, tzinfo=UTC)
        reader = psycopg2.connect(postgres_dsn)
        with reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM usage_tracker.usage_event")
            with pytest.raises(StoreUnavailable, match="LockNotAvailable"):
                list(store.prune(begin))
        reader.close()
        assert list(store.prune(begin)) == [0]

    def test_what_another_process_has_dropped_meanwhile_is_left_to_it(
        self, store: PostgresStore, postgres_dsn: str
    ) -> None:
        following = months(datetime.now(UTC).date())[2]
        end = datetime(following.start.year, following.start.month, 1, tzinfo=UTC)
        store_events(store, [made_event(end - timedelta(days=days)) for days in (1, 2, 35, 4000)])
        pruned = store.prune(end)
        assert next(pruned) == 1
        other = PostgresStore(parse_dsn(postgres_dsn))
        assert sorted(other.prune(end)) == [1, 2]
        assert list(pruned) == [0]
        other.close()

    def test_who_is_not_the_owner_may_not(self, postgres_databases: Databases, postgres_dsn: str) -> None:
        with (
            writer_role(postgres_databases, database_of(postgres_dsn)) as writer,
            pytest.raises(SchemaError, match="only the owner"),
        ):
            list(writer.prune(NOON))


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


@contextmanager
def writer_role(databases: Databases, database: str) -> Iterator[PostgresStore]:
    """A store of a role that has what a writer needs, and nothing else."""
    role = f"writer_{uuid4().hex[:8]}"
    databases.run(f"CREATE ROLE {role} LOGIN")
    databases.run(grants("writer", role), database)
    opened = PostgresStore(parse_dsn(databases.dsn(database, user=role)))
    yield opened
    opened.close()
    databases.run(f"DROP OWNED BY {role}", database)
    databases.run(f"DROP ROLE {role}")


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


class TestAway:
    """Most of these raise StoreUnavailable, and the same store works again once the reason is gone."""

    def test_a_server_that_is_stopped(self, own_postgres: PostgresServer, fragile: PostgresStore) -> None:
        segment, first, second = uuid4(), random_events(1, 20), random_events(2, 20)
        assert fragile.write(Batch([Stretch(segment, 0, 10, 20)], first))
        own_postgres.stop()
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                fragile.write(Batch([Stretch(segment, 10, 20, 20)], second))
        with pytest.raises(StoreUnavailable, match="Connection refused"):
            fragile.positions([segment])
        own_postgres.start()
        assert fragile.positions([segment]) == {segment: 10}
        assert fragile.write(Batch([Stretch(segment, 10, 20, 20)], second))
        assert rows_of(fragile, "events") == 40

    @pytest.mark.parametrize("how", ["crash", "kill", "restart"])
    def test_a_server_that_ends_between_two_batches_is_connected_to_anew(
        self, own_postgres: PostgresServer, fragile: PostgresStore, how: str
    ) -> None:
        store_events(fragile, random_events(1, 20))
        getattr(own_postgres, how)()
        own_postgres.start()
        store_events(fragile, random_events(2, 20))
        assert rows_of(fragile, "events") == 40

    def test_a_pooler_that_turns_to_a_replica_which_lacks_the_last_names_gets_them_again(
        self, own_postgres: PostgresServer, fragile: PostgresStore
    ) -> None:
        """The connection to a pooler outlives a failover behind it."""
        database = one(fragile, "SELECT current_database()")
        bouncer = PgBouncer(own_postgres.port)
        bouncer.start()
        try:
            with closing(
                PostgresStore(parse_dsn(f"postgresql://postgres@127.0.0.1:{bouncer.port}/{database}"))
            ) as store:
                store_events(store, [made_event(user_id="u-1")])
                own_postgres.run("TRUNCATE usage_tracker.usage_event, usage_tracker.usage_user", database)
                own_postgres.restart()
                with pytest.raises(StoreUnavailable, match=r"another server answers .* as after a failover"):
                    store_events(store, [made_event(user_id="u-1")])
                store_events(store, [made_event(user_id="u-1")])
                assert list(store.select("SELECT user_id FROM usage_tracker.events")) == [("u-1",)]
        finally:
            bouncer.close()

    def test_a_connection_that_is_lost_within_a_batch_leaves_nothing_of_it(
        self, own_postgres: PostgresServer, fragile: PostgresStore
    ) -> None:
        store_events(fragile, [made_event()])
        segment = uuid4()

        def ended_half_way() -> Iterator[PricedEvent]:
            yield from random_events(1, 1200)
            own_postgres.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'usage_tracker'"
            )
            yield from random_events(2, 1200)

        with pytest.raises(StoreUnavailable):
            fragile.write(Batch([Stretch(segment, 0, 10, 2400)], Late(ended_half_way)))
        assert fragile.positions([segment]) == {}
        assert rows_of(fragile, "events") == 1

    def test_a_server_that_is_frozen_is_given_up(self, own_postgres: PostgresServer, fragile: PostgresStore) -> None:
        connections: Connections = vars(fragile)["_connections"]
        with connections.transaction(seconds=5) as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        began = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable), connections.transaction(seconds=0.5) as cursor:
                cursor.execute("SELECT 1")
            assert 0.4 < time.monotonic() - began < 5
        finally:
            os.kill(pid, signal.SIGCONT)
        store_events(fragile, [made_event()])

    def test_a_server_that_is_frozen_holds_up_nobody_who_asks_it_to_give_up(
        self, own_postgres: PostgresServer, fragile: PostgresStore
    ) -> None:
        with ThreadPoolExecutor(1) as other:
            asked = other.submit(lambda: list(fragile.select("SELECT pg_sleep(60)")))
            while not vars(fragile)["_connections"]._busy:
                time.sleep(0.01)
            frozen = own_postgres.processes()
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            try:
                fragile.interrupt()
                with pytest.raises(StoreUnavailable):
                    asked.result(20)
            finally:
                for pid in frozen:
                    os.kill(pid, signal.SIGCONT)
        store_events(fragile, [made_event()])

    def test_a_statement_is_cancelled_where_the_servers_socket_has_another_name(
        self, own_postgres: PostgresServer
    ) -> None:
        """As in a container, which has the folder of the server's socket where it likes."""
        made: Path = vars(own_postgres)["_folder"]
        name, here = f".s.PGSQL.{own_postgres.port}", made / "here"
        here.mkdir(exist_ok=True)
        (made / name).rename(here / name)
        try:
            dsn = own_postgres.dsn("postgres", host=str(here))
            with closing(PostgresStore(parse_dsn(dsn))) as store, ThreadPoolExecutor(1) as other:
                asked = other.submit(lambda: list(store.select("SELECT pg_sleep(60)")))
                while not own_postgres.run("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
                    time.sleep(0.01)
                store.interrupt()
                with pytest.raises(StoreUnavailable, match="QueryCanceled"):
                    asked.result(20)
        finally:
            (here / name).rename(made / name)

    def test_a_connection_that_was_idle_for_long_is_not_used_again(
        self, own_postgres: PostgresServer, fragile: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As a program finds it that was frozen, behind a firewall that forgot it: nobody answers on it."""
        store_events(fragile, random_events(1, 20))
        [(connection, _)] = vars(fragile)["_connections"]._idle
        os.kill(connection.get_backend_pid(), signal.SIGSTOP)
        frozen = connection.get_backend_pid()
        try:
            with monkeypatch.context() as clock:
                clock.setattr(time, "time", lambda now=time.time: now() + 61)
                began = time.monotonic()
                store_events(fragile, random_events(2, 20))
            assert time.monotonic() - began < 20
        finally:
            os.kill(frozen, signal.SIGCONT)
        assert rows_of(fragile, "events") == 40

    def test_a_statement_that_takes_too_long(self, postgres_dsn: str) -> None:
        connections = Connections(parse_dsn(postgres_dsn))
        with (
            pytest.raises(StoreUnavailable, match=r"took too long, or was told to stop \(QueryCanceled"),
            connections.transaction(statement_seconds=0.1) as cursor,
        ):
            cursor.execute("SELECT pg_sleep(20)")
        with connections.transaction() as cursor:
            cursor.execute("SELECT 1")
        connections.close()

    def test_a_replica_that_stops_a_question_to_keep_up_with_its_primary(self, store: PostgresStore) -> None:
        with (
            pytest.raises(StoreUnavailable, match="as a replica does; ask again, or set hot_standby_feedback"),
            vars(store)["_connections"].transaction(read_only=True) as cursor,
        ):
            cursor.execute("DO $$ BEGIN RAISE 'conflict with recovery' USING ERRCODE = '40001'; END $$")

    def test_a_server_that_is_read_only(self, store: PostgresStore, postgres_dsn: str) -> None:
        run(postgres_dsn, f"ALTER DATABASE {database_of(postgres_dsn)} SET default_transaction_read_only = on")
        with pytest.raises(StoreUnavailable, match="ReadOnlySqlTransaction"):
            store_events(store, [made_event()])

    def test_a_server_without_a_free_connection(self, postgres_databases: Databases, postgres_dsn: str) -> None:
        role, database = f"crowd_{uuid4().hex[:8]}", database_of(postgres_dsn)
        postgres_databases.run(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
        store = PostgresStore(parse_dsn(postgres_databases.dsn(database, user=role)))
        with pytest.raises(StoreUnavailable, match="too many connections"):
            store.positions([uuid4()])
        postgres_databases.run(f"DROP ROLE {role}")

    def test_a_host_that_nobody_knows(self) -> None:
        store = PostgresStore(parse_dsn("postgresql://u:hunter2@no-such-host.invalid/db"))
        with pytest.raises(StoreUnavailable, match=r"postgresql://u@no-such-host\.invalid/db.*host name is unknown"):
            store.positions([uuid4()])

    def test_several_hosts_of_which_each_fails_for_a_reason_of_its_own(self, own_postgres: PostgresServer) -> None:
        """As after a failover: that nobody listens at the old primary is no news."""
        own_postgres.let_in("another")
        here = f"127.0.0.1:{own_postgres.port}"
        store = PostgresStore(
            parse_dsn(f"postgresql://locked:hunter2@127.0.0.1:1,no-such-host.invalid,{here}/postgres")
        )
        reasons = (
            "Connection refused: no server listens there; its host name is unknown; password authentication failed"
        )
        with pytest.raises(StoreUnavailable, match=rf"{reasons} for user …\)"):
            store.positions([uuid4()])

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user whom the machine doesn't know")
    def test_an_address_without_a_user_in_a_container_that_has_none(self) -> None:
        asking = """if True:
            import os
            from uuid import uuid4
            from usage_tracker.dsn import parse_dsn
            from usage_tracker.errors import StoreUnavailable
            from usage_tracker.stores import open_store
            store = open_store(parse_dsn("postgresql://127.0.0.1/db"))
            os.setuid(54321)
            try:
                store.positions([uuid4()])
            except StoreUnavailable as error:
                print(error)
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        asked = subprocess.run(
            [sys.executable, "-c", asking], check=True, env=environment, capture_output=True, text=True
        )
        assert "(local user with ID 54321 does not exist)" in asked.stdout

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("service=no_such_service", "(service file|definition of service) … not found"),
            ("postgresql://u:hunter2@127.0.0.1/db?sslmode=always", "invalid sslmode value: …"),
            ("host=one,two,three port=1,2", "could not match 2 port numbers to 3 hosts"),
            ("sslmode=require sslrootcert=system", "weak sslmode … may not be used with sslrootcert=system .*"),
        ],
    )
    def test_an_address_of_which_nothing_can_be_tried(self, text: str, why: str) -> None:
        with pytest.raises(StoreUnavailable, match=rf"can't be reached \({why}\)"):
            PostgresStore(parse_dsn(text)).positions([uuid4()])

    def test_a_server_whose_language_is_not_in_utf_8(self) -> None:
        """Its words were an error of Python's, which commands ended with in a traceback."""
        said = "SFATAL\0C28P01\0MPasswort-Authentifizierung für Benutzer »app« fehlgeschlagen\0\0".encode("latin-1")

        def refuse() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"E" + struct.pack("!i", len(said) + 4) + said)

        with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
            port = server.getsockname()[1]
            refusing = threads.submit(refuse)
            text = f"postgresql://app@127.0.0.1:{port}/db?sslmode=disable&gssencmode=disable"
            with pytest.raises(StoreUnavailable, match="Passwort-Authentifizierung"):
                PostgresStore(parse_dsn(text)).positions([uuid4()])
            refusing.result()

    def test_a_database_that_does_not_exist(self, postgres_databases: Databases) -> None:
        store = PostgresStore(parse_dsn(postgres_databases.dsn("no_such_database")))
        with pytest.raises(StoreUnavailable, match="database … does not exist: `createdb` makes one"):
            store.migrate()


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


class TestFork:
    def test_what_a_parent_has_locked_is_free_once_it_is_killed_though_its_child_lives_on(
        self, store: PostgresStore, postgres_dsn: str
    ) -> None:
        """Its child had the socket too, so that the server waited for two minutes for somebody who was no more."""
        parent = """if True:
            import os, signal, sys
            from usage_tracker.dsn import parse_dsn
            from usage_tracker.stores import open_store

            def work(execute):
                execute("LOCK TABLE usage_tracker.budget_account IN EXCLUSIVE MODE", [])
                if os.fork() == 0:
                    os.read(0, 1)  # until the test has ended
                    os._exit(0)
                os.kill(os.getpid(), signal.SIGKILL)

            open_store(parse_dsn(sys.argv[1])).change(work)
        """
        with subprocess.Popen([sys.executable, "-c", parent, postgres_dsn], stdin=subprocess.PIPE) as process:
            assert process.wait(timeout=20) == -signal.SIGKILL
            with store._connections.transaction(statement_seconds=5) as cursor:
                cursor.execute("LOCK TABLE usage_tracker.budget_account IN EXCLUSIVE MODE")

    def test_a_child_writes_through_a_connection_of_its_own(self, store: PostgresStore) -> None:
        store_events(store, [made_event()])
        child = os.fork()
        if child == 0:
            try:
                store_events(store, [made_event()])
                store.close()
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        backend = one(store, "SELECT count(*) FROM usage_tracker.events")
        assert backend == 2


class Late(list[PricedEvent]):
    """Events that do something while they are read for the last time: while they are sent."""

    ROUNDS_BEFORE = 3

    def __init__(self, made: Any) -> None:
        super().__init__(random_events(1, 1))
        self._made = made
        self._rounds = 0

    def __iter__(self) -> Iterator[PricedEvent]:
        self._rounds += 1
        before = self._rounds <= self.ROUNDS_BEFORE
        return iter(random_events(1, 1200) + random_events(2, 1200)) if before else self._made()


def test_the_store_is_opened_without_a_connection(tmp_path: Path) -> None:
    store = open_store(parse_dsn(f"postgresql:///nowhere?host={tmp_path}"))
    store.close()
