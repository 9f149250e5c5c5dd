import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from any_query import queries
from clickhouse_chaos import check_once, storm
from clickhouse_servers import ChdbServer
from commanding import invoke
from dashboard_server import dashboard
from hypothesis import given, settings
from made_events import NOON, made_event, random_events
from msgspec.structs import replace
from reference_report import check, read_view
from test_query import opened
from test_stores import segment_batch

import usage_tracker
from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import ConfigError, QueryError, SchemaError, StoreError, StoreUnavailable
from usage_tracker.report import Query, export_events, find_event, list_events, parse_condition, run
from usage_tracker.report.kept import find_kept
from usage_tracker.stores import Store, open_store, read_sql
from usage_tracker.stores.clickhouse import ClickHouseStore
from usage_tracker.stores.clickhouse.server import Server
from usage_tracker.stores.clickhouse.versions import Version


@pytest.fixture
def store(clickhouse_dsn: str) -> Iterator[Store]:
    found = open_store(parse_dsn(clickhouse_dsn))
    yield found
    found.close()


def count(store: Store) -> tuple[Any, ...]:
    """Events, calls that the rollup counts, and the sum of all positions."""
    [found] = store.select(
        "SELECT countIf(grain = 'event') AS e, sumIf(calls, grain = 'day') AS c, sum(position) AS p FROM usage"
    )
    return found


class TestReports:
    def test_any_report_equals_that_of_the_same_events_in_sqlite(self, store: Store) -> None:
        beside = opened("sqlite:///:memory:")
        for seed in (1, 2):
            made = random_events(seed, 100)
            for each in (store, beside):
                assert each.write(segment_batch(uuid4(), 0, 1, *made))
        events = read_view(beside)

        @settings(max_examples=8, deadline=None)
        @given(queries())
        def ask_anything(query: Query) -> None:
            check(run(store, query), events)

        ask_anything()
        assert list(export_events(store)) == list(export_events(beside))
        beside.close()

    def test_sums_beyond_what_an_integer_holds_are_right(self, store: Store) -> None:
        dear = [made_event(cost="6000000.25", reported_cost="6000000.25") for _ in range(3)]
        store.write(segment_batch(uuid4(), 0, 1, *dear))
        total = run(store, Query(by=("model",))).total
        assert (total.cost, total.reported_cost) == (Decimal("18000000.75"), Decimal("18000000.75"))

    def test_events_are_listed_and_found(self, store: Store) -> None:
        made = [made_event(NOON + timedelta(hours=hours), response_id=f"r-{hours}", tags=("x",)) for hours in range(5)]
        store.write(segment_batch(uuid4(), 0, 1, *made))
        assert [event["response_id"] for event in list_events(store, limit=2)] == ["r-4", "r-3"]
        where = [parse_condition("tag=x"), parse_condition("model=gpt-*"), parse_condition("user=none")]
        assert len(list(list_events(store, where=where))) == 5
        for name in ("r-2", str(made[2].event_id)):
            found = find_event(store, name)
            assert found is not None
            assert found["response_id"] == "r-2"
        assert find_event(store, "r-9") is None

    def test_it_knows_from_when_on_events_are_left(self, store: Store) -> None:
        store.write(segment_batch(uuid4(), 0, 1, *(made_event(NOON + timedelta(hours=hours)) for hours in range(4))))
        assert find_kept(store) is None
        assert sum(store.prune(NOON + timedelta(hours=2))) == 2
        kept = find_kept(store)
        assert kept is not None
        assert kept.since == (NOON + timedelta(hours=2)).timestamp() * 1e6
        store.write(segment_batch(uuid4(), 0, 1, *(made_event(NOON - timedelta(days=day)) for day in (9000, 9001))))
        assert find_kept(store) == kept

    def test_usage_that_is_told_later_counts_once_and_as_the_callers(self, store: Store) -> None:
        told = made_event(NOON, completes="b-1", response_id="b-1", project="asks")
        store.write(segment_batch(uuid4(), 0, 1, told))
        assert run(store, Query(by=("project",))).total.calls == 0
        call = made_event(NOON, cost=None, awaits="b-1", project="made it", input_tokens=None, output_tokens=None)
        store.write(
            segment_batch(uuid4(), 0, 1, call, made_event(NOON, awaits="b-2", input_tokens=None, output_tokens=None))
        )
        store.write(segment_batch(uuid4(), 0, 1, replace(told, event_id=uuid4())))
        report = run(store, Query(by=("project",)))
        assert [(row.group, row.calls, row.input_tokens) for row in report.rows if row.group != (None,)] == [
            (("made it",), 1, 100)
        ]
        assert report.untold == 1

    def test_a_view_for_people_has_times_money_and_null(self, store: Store) -> None:
        store.write(segment_batch(uuid4(), 0, 1, made_event(NOON, user_id=None, input_tokens=None)))
        [row] = store.select(
            "SELECT toString(started_at) AS at, toString(cost) AS cost, user_id, input_tokens FROM events"
        )
        assert row == ("2026-08-15 12:00:00.000000", "0.01", None, None)
        [day] = store.select("SELECT toString(day) AS day, calls, output_tokens FROM daily")
        assert day == ("2026-08-15", 1, 10)


class TestFaces:
    """What knows nothing of ClickHouse, and what can't be kept in it."""

    def test_no_page_of_the_dashboard_is_a_server_error(self, store: Store, clickhouse_dsn: str) -> None:
        store.write(segment_batch(uuid4(), 0, 1, made_event(datetime.now(UTC))))
        with dashboard(clickhouse_dsn, edit=True) as running, running.client() as client:
            for path in ("/", "/explore", "/events", "/budgets", "/health", "/api/v1/changes", "/metrics"):
                assert client.get(path).status_code == 200, path

    def test_an_app_that_runs_tells_nothing_of_its_host_and_counts_no_error(
        self, clickhouse_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("usage_tracker.host_reports.FIRST_SECONDS", 0.0)
        before = usage_tracker.stats().errors
        usage_tracker.install(dsn=clickhouse_dsn, spool_dir=str(tmp_path / "spool"))
        for _ in range(2):
            usage_tracker.record(provider="acme", model="acme-1", input_tokens=1, output_tokens=1)
            assert usage_tracker.flush(timeout=30)
        found = usage_tracker.stats()
        usage_tracker.uninstall()
        assert (found.stored, found.errors) == (2, before)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("budget list", "No budgets yet"),
            ("budget log", "No budget was changed yet"),
            ("budget alerts", "No alerts yet"),
            ("prices log", "was never changed"),
            ("sinks", "was not fed yet"),
            ("sinks forget webhook", "there is no sink 'webhook'"),
            ("sinks refused webhook", "there is no sink 'webhook'"),
            ("ship --once", "the sink webhook gets nothing from ClickHouse"),
            ("export --to lake", "events in ClickHouse can't be exported to files"),
        ],
    )
    def test_what_can_not_be_kept_in_it_is_said_to_be_and_asks_for_no_migration(
        self, store: Store, clickhouse_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, said: str
    ) -> None:
        monkeypatch.setenv("TRACKER_DSN", clickhouse_dsn)
        monkeypatch.setenv("TRACKER_SPOOL_DIR", str(tmp_path / "spool"))
        monkeypatch.setenv("TRACKER_SINKS", "http://127.0.0.1:9/events")
        store.migrate()
        result = invoke(*words.split())
        assert said in result.stderr
        assert "migrate" not in result.stderr


class TestExactlyOnce:
    """`spool` is the folder that outlives a leader; a store of its own is the next leader."""

    @pytest.fixture
    def lead(self, clickhouse_dsn: str, tmp_path: Path) -> Iterator[Any]:
        made: list[Store] = []

        def lead() -> Store:
            made.append(open_store(parse_dsn(clickhouse_dsn), tmp_path))
            return made[-1]

        yield lead
        for store in made:
            store.close()

    def test_a_block_that_was_never_sent_is_sent_by_the_next_leader(
        self, lead: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        segment = uuid4()
        batch = segment_batch(segment, 0, 30, *random_events(1, 30))
        with monkeypatch.context() as killed:
            killed.setattr(ClickHouseStore, "_send", die)
            with pytest.raises(StoreUnavailable):
                lead().write(batch)
        successor = lead()
        assert successor.positions([segment]) == {segment: 30}
        assert count(successor) == (30, 30, 30)

    def test_a_block_whose_answer_was_lost_is_not_cut_anew(self, lead: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        segment, events = uuid4(), random_events(1, 50)
        with monkeypatch.context() as cut:
            cut.setattr(Server, "run", sent_and_lost)
            with pytest.raises(StoreUnavailable):
                lead().write(segment_batch(segment, 0, 30, *events[:30]))
        successor = lead()
        assert not successor.write(segment_batch(segment, 0, 50, *events))
        assert successor.write(segment_batch(segment, 30, 50, *events[30:]))
        assert count(successor) == (50, 50, 50)

    def test_a_block_that_arrives_after_its_successors_is_dropped(
        self, lead: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        segment, run_it = uuid4(), Server.run
        late: list[tuple[Any, Any]] = []

        def noted(*given: Any, **more: Any) -> None:
            late.append((given, more))
            die()

        with monkeypatch.context() as slow:
            slow.setattr(Server, "run", noted)
            with pytest.raises(StoreUnavailable):
                lead().write(segment_batch(segment, 0, 30, *random_events(1, 30)))
        successor = lead()
        assert successor.positions([segment]) == {segment: 30}
        assert successor.write(segment_batch(segment, 30, 40, *random_events(2, 10)))
        [(given, more)] = late
        run_it(*given, **more)
        assert count(successor) == (40, 40, 40)

    def test_a_server_that_remembers_a_block_which_it_lost_gets_it_again(
        self, lead: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        segment = uuid4()
        with monkeypatch.context() as cut:
            cut.setattr(Server, "run", sent_and_lost)
            with pytest.raises(StoreUnavailable):
                lead().write(segment_batch(segment, 0, 30, *random_events(1, 30)))
        successor = lead()
        # what is left of a block after a crash between its name's being noted and its rows' being there
        successor._server.run("ALTER TABLE usage DELETE WHERE 1", settings={"mutations_sync": "2"})
        assert count(successor) == (0, 0, 0)
        assert successor.positions([segment]) == {segment: 30}
        assert count(successor) == (30, 30, 30)

    def test_without_a_spool_folder_the_block_is_kept_in_memory(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        segment = uuid4()
        with monkeypatch.context() as killed:
            killed.setattr(Server, "run", die)
            with pytest.raises(StoreUnavailable):
                store.write(segment_batch(segment, 0, 30, *random_events(1, 30)))
        assert not store.write(segment_batch(segment, 0, 35, *random_events(1, 35)))
        assert store.positions([segment]) == {segment: 30}
        assert count(store) == (30, 30, 30)

    def test_half_a_block_is_nothing(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        segment = uuid4()
        run_it = Server.run
        with monkeypatch.context() as broken:
            broken.setattr(Server, "run", lambda self, sql, body, more: run_it(self, sql, body[: len(body) // 2], more))
            with pytest.raises(StoreError):
                store.write(segment_batch(segment, 0, 30, *random_events(1, 30)))
        assert count(store) == (0, 0, 0)

    def test_leaders_and_the_server_may_be_killed_at_any_time(self, tmp_path: Path) -> None:
        (tmp_path / "server").mkdir()
        server = ChdbServer(tmp_path / "server")
        try:
            dsn = server.dsn("storm")
            with closing(open_store(parse_dsn(dsn))) as migrated:
                migrated.migrate()

            def restart() -> None:
                server.kill()
                server.start()

            store = storm(dsn, tmp_path, 2000, [restart] * 2)
            check_once(store, 2000)
            store.close()
        finally:
            server.kill()

    def test_a_server_that_hangs_is_waited_for_and_then_has_each_event_once(
        self, chdb_server: ChdbServer, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("usage_tracker.stores.clickhouse.server.SECONDS", 0.3)
        segment = uuid4()
        assert store.positions([segment]) == {}
        chdb_server.signal(signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                store.write(segment_batch(segment, 0, 30, *random_events(1, 30)))
        finally:
            chdb_server.signal(signal.SIGCONT)
        monkeypatch.undo()
        position, events = store.positions([segment]).get(segment, 0), random_events(1, 35)
        assert store.write(segment_batch(segment, position, 35, *events[position:]))
        assert count(store) == (35, 35, 35)

    def test_who_waits_for_a_server_that_hangs_is_let_go_from_another_thread(
        self, chdb_server: ChdbServer, store: Store
    ) -> None:
        assert list(store.select("SELECT 1 AS one")) == [(1,)]
        ended: list[StoreError] = []

        def read() -> None:
            try:
                list(store.select("SELECT 2 AS two"))
            except StoreUnavailable as error:
                ended.append(error)

        chdb_server.signal(signal.SIGSTOP)
        try:
            reading = threading.Thread(target=read)
            reading.start()
            while reading.is_alive():
                store.interrupt()
                reading.join(0.05)
        finally:
            chdb_server.signal(signal.SIGCONT)
        assert len(ended) == 1
        store.interrupt()
        assert list(store.select("SELECT 3 AS three")) == [(3,)]


RUN = Server.run


def die(*_: object, **__: object) -> None:
    raise StoreUnavailable("the answer never came")


def sent_and_lost(*given: Any, **more: Any) -> None:
    RUN(*given, **more)
    die()


class TestRefusal:
    def test_what_needs_transactions_says_so(self, store: Store) -> None:
        with pytest.raises(StoreError, match="has no transactions, so budgets and a price book"):
            store.change(lambda execute: execute("SELECT 1", []))
        with pytest.raises(SchemaError, match="can't be priced again"):
            store.reprice([])

    @pytest.mark.parametrize(
        ("said", "replicated", "problem"),
        [
            ("18.16.1", False, "drops a repeated block only in replicated tables"),
            ("18.16.1", True, None),
            ("1.1.54", True, "is too old"),
            ("22.2.1.1", False, None),
            ("26.9.2.1", True, None),
        ],
    )
    def test_a_server_that_could_count_twice_is_not_used(
        self, said: str, replicated: bool, problem: str | None
    ) -> None:
        found = Version.of(said).problem(replicated=replicated)
        assert (problem is None) == (found is None)
        assert problem is None or problem in str(found)

    def test_a_wrong_password_is_said_and_not_shown(self, chdb_server: ChdbServer) -> None:
        store = open_store(parse_dsn(f"clickhouse://default:wrong-one@127.0.0.1:{chdb_server.port}/default"))
        with closing(store), pytest.raises(StoreUnavailable, match="doesn't take this user and password") as refusal:
            list(store.select("SELECT 1"))
        assert "wrong-one" not in str(refusal.value)

    def test_nobody_there_is_said(self) -> None:
        with pytest.raises(StoreUnavailable, match="can't be reached"):
            list(open_store(parse_dsn("clickhouse://127.0.0.1:1/default")).select("SELECT 1"))

    def test_a_database_without_schema_asks_for_a_migration(self, empty_clickhouse_dsn: str) -> None:
        store = open_store(parse_dsn(empty_clickhouse_dsn))
        with closing(store), pytest.raises(SchemaError, match="run `usage-tracker migrate`"):
            store.positions([uuid4()])


class TestAddress:
    def test_secrets_are_not_shown(self) -> None:
        dsn = parse_dsn("clickhouse://u:p%40ss@a:8123,b/db?cluster=main")
        assert dsn.shown == "clickhouse://u@a:8123,b/db?cluster=main"
        assert dsn.identity == parse_dsn("clickhouse://u:other@a:8123,b/db?cluster=main").identity

    @pytest.mark.parametrize(
        "text",
        [
            "clickhouse://",
            "clickhouse://u:p@",
            "clickhouse://h:0/db",
            "clickhouse://u:p@ss@h/db",
            "clickhouse://h/d?x=1",
        ],
    )
    def test_what_is_no_address_is_an_error_without_secrets(self, text: str) -> None:
        with pytest.raises(ConfigError, match="not a valid ClickHouse URL") as error:
            parse_dsn(text)
        assert "p@ss" not in str(error.value)


def test_a_migration_may_run_twice_and_at_once(empty_clickhouse_dsn: str) -> None:
    errors: list[Exception] = []

    def migrate() -> None:
        try:
            with closing(open_store(parse_dsn(empty_clickhouse_dsn))) as store:
                store.migrate()
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with closing(open_store(parse_dsn(empty_clickhouse_dsn))) as store:
        assert store.migrate() == []


def test_a_users_own_sql_reads_and_only_reads(clickhouse_dsn: str) -> None:
    dsn = parse_dsn(clickhouse_dsn)
    assert list(read_sql(dsn, "SELECT 1 AS one, 'a' AS a;")) == [("one", "a"), (1, "a")]
    with pytest.raises(QueryError, match="nothing_like_this"):
        list(read_sql(dsn, "SELECT * FROM nothing_like_this"))
    with pytest.raises((QueryError, StoreError)):
        list(read_sql(dsn, "TRUNCATE TABLE usage"))


def test_the_server_is_described(store: Store) -> None:
    store.write(segment_batch(uuid4(), 0, 1, made_event()))
    found = store.describe()
    assert found.server.startswith("ClickHouse 2")
    assert abs(found.now - datetime.now(UTC)) < timedelta(minutes=1)
    assert found.bytes > 0


def test_a_request_that_reads_is_ended_from_another_thread() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections come in, and nobody answers
        store = open_store(parse_dsn(f"clickhouse://default@127.0.0.1:{silent.getsockname()[1]}/default"))
        ended = []

        def read() -> None:
            with pytest.raises(StoreUnavailable):
                list(store.select("SELECT count() FROM system.numbers"))
            ended.append(True)

        thread = threading.Thread(target=read)
        thread.start()
        while thread.is_alive():
            store.interrupt()
            thread.join(0.1)
        store.close()
    assert ended == [True]


def test_a_forked_child_has_connections_of_its_own(store: Store) -> None:
    list(store.select("SELECT 1"))
    child = os.fork()
    if child == 0:
        os._exit(0 if list(store.select("SELECT 2")) == [(2,)] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert list(store.select("SELECT 3")) == [(3,)]
