"""Postgres's partitions: made ahead of their months, and taken out when they are old."""

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from in_postgres import database_of, one, rows_of, run, writer_role
from made_events import NOON, made_event, store_events
from postgres_server import Databases, PostgresServer, unprivileged_account

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import SchemaError, StoreUnavailable
from usage_tracker.event import Cost
from usage_tracker.stores.postgres import PostgresStore, pruning
from usage_tracker.stores.postgres.partitions import MONTHS, PARTITION_LOCK, make_months, months
from usage_tracker.stores.repricing import Repriced


@pytest.fixture
def store(postgres_dsn: str) -> Iterator[PostgresStore]:
    opened = PostgresStore(parse_dsn(postgres_dsn))
    yield opened
    opened.close()


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
