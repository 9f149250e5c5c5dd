"""`make clickhouse`: the store on a cluster of Debian's ClickHouse 18.16, replicated through ZooKeeper."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from any_query import queries
from clickhouse_chaos import check_once, storm
from clickhouse_cluster import Cluster, Replica
from hypothesis import given, settings
from made_events import random_events
from reference_report import check, read_view
from test_query import opened
from test_stores import segment_batch

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import StoreError, StoreUnavailable
from usage_tracker.report import Query, run
from usage_tracker.stores import open_store


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One shard with two replicas."""
    cluster = Cluster(tmp_path_factory.mktemp("pair"), shards=1, replicas=2)
    yield cluster
    cluster.stop()


def migrated(cluster: Cluster) -> str:
    """The name of a new database with the schema."""
    database = f"usage_{uuid4().hex}"
    with closing(open_store(parse_dsn(cluster.dsn(database)))) as store:
        assert store.migrate()
        assert store.migrate() == []
    return database


def test_any_report_equals_that_of_the_same_events_in_sqlite(pair: Cluster) -> None:
    made = random_events(1, 150)
    beside = opened("sqlite:///:memory:")
    with closing(beside), closing(open_store(parse_dsn(pair.dsn(migrated(pair))))) as store:
        for each in (store, beside):
            assert each.write(segment_batch(uuid4(), 0, 1, *made))
        events = read_view(beside)

        @settings(max_examples=40, deadline=None)
        @given(queries())
        def ask_anything(query: Query) -> None:
            check(run(store, query), events)

        ask_anything()


def test_a_block_that_is_sent_to_both_replicas_is_stored_once(pair: Cluster) -> None:
    database, segment = migrated(pair), uuid4()
    batch = segment_batch(segment, 0, 30, *random_events(1, 30))
    sent = []
    for server in pair.servers:
        with closing(open_store(parse_dsn(pair.dsn(database, server)))) as store:
            store._catch_up()  # type: ignore[attr-defined]
            store._read_positions = lambda _segments: {}  # type: ignore[attr-defined]  # as if it had not heard
            sent.append(store.write(batch))
    assert sent == [True, True]
    with closing(open_store(parse_dsn(pair.dsn(database)))) as store:
        assert store.positions([segment]) == {segment: 30}
        assert run(store, Query(by=())).total.calls == 30


def test_replicas_and_leaders_may_be_killed_at_any_time(pair: Cluster, tmp_path: Path) -> None:
    database = migrated(pair)

    def killing(server: Replica) -> None:
        server.kill()
        time.sleep(0.5)
        server.start()

    faults = [lambda: killing(pair.servers[0]), lambda: killing(pair.servers[1])] * 3
    with closing(storm(pair.dsn(database), tmp_path, 10_000, faults, leaders=2)) as store:
        for server in pair.servers:  # a report may be read from either
            with closing(open_store(parse_dsn(pair.dsn(database, server)))) as replica:
                eventually(partial(replica.positions, []))
        check_once(store, 20_000)


def test_a_replica_that_lacks_what_the_other_has_stored_takes_nothing(pair: Cluster) -> None:
    database, segment = migrated(pair), uuid4()
    first, second = pair.servers
    second.signal(signal.SIGSTOP)
    with closing(open_store(parse_dsn(pair.dsn(database, first)))) as ahead:
        assert ahead.write(segment_batch(segment, 0, 30, *random_events(1, 30)))
    first.kill()
    second.signal(signal.SIGCONT)
    with closing(open_store(parse_dsn(pair.dsn(database, second)))) as store:
        with pytest.raises(StoreUnavailable, match="lacks what others have stored"):
            store.write(segment_batch(segment, 0, 35, *random_events(2, 35)))
        first.start()
        assert eventually(lambda: store.positions([segment])) == {segment: 30}
        assert store.write(segment_batch(segment, 30, 35, *random_events(3, 5)))


def test_a_replica_that_hangs_is_left_for_the_other(pair: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.stores.clickhouse.server.SECONDS", 1.0)
    database, segment = migrated(pair), uuid4()
    with closing(open_store(parse_dsn(pair.dsn(database)))) as store:
        assert store.write(segment_batch(segment, 0, 30, *random_events(1, 30)))
        with closing(open_store(parse_dsn(pair.dsn(database, pair.servers[1])))) as other:
            assert eventually(lambda: other.positions([segment])) == {segment: 30}
        pair.servers[0].signal(signal.SIGSTOP)
        try:
            assert eventually(lambda: store.positions([segment])) == {segment: 30}
            assert store.write(segment_batch(segment, 30, 40, *random_events(2, 10)))
        finally:
            pair.servers[0].signal(signal.SIGCONT)
        assert store.positions([segment]) == {segment: 40}


def eventually(ask: Callable[[], dict[UUID, int]]) -> dict[UUID, int]:
    """As a shipper does: try again."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_shards_are_written_to_each_by_its_own_apps_and_read_together(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, shards=2, replicas=1)
    try:
        database = migrated(cluster)
        made = random_events(5, 100)
        for place, server in enumerate(cluster.servers):
            with closing(open_store(parse_dsn(cluster.dsn(database, server)))) as store:
                store.migrate()
                assert store.write(segment_batch(uuid4(), 0, 50, *made[place * 50 : place * 50 + 50]))
        beside = opened("sqlite:///:memory:")
        beside.write(segment_batch(uuid4(), 0, 1, *made))
        with closing(beside), closing(open_store(parse_dsn(cluster.dsn(database)))) as store:
            events = read_view(beside)

            @settings(max_examples=25, deadline=None)
            @given(queries())
            def ask_anything(query: Query) -> None:
                check(run(store, query), events)

            ask_anything()
    finally:
        cluster.stop()


def test_a_server_without_replicas_is_refused(pair: Cluster) -> None:
    alone = parse_dsn(pair.dsn("alone", pair.servers[0]).partition("?")[0])
    with (
        closing(open_store(alone)) as store,
        pytest.raises(StoreError, match="drops a repeated block only in replicated"),
    ):
        store.migrate()
