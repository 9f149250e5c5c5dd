"""Usage that is told later than its call: stored once, and as that call's, in whatever order things arrive."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_postgres import database_of, writer_role
from made_events import NOON, made_event, random_events, store_events
from postgres_server import Databases
from racing import race
from reference_report import check, read_view
from spooled import Place, TenCents
from test_shipper import Fails
from test_stores import count, read_events

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import EventsRefused, StoreUnavailable
from usage_tracker.event import Batch, Origin, PricedEvent, Stretch, Usage, UsageEvent
from usage_tracker.report import Query, parse_condition, run
from usage_tracker.shipper import Shipper
from usage_tracker.stores import Store, migrations, open_store
from usage_tracker.stores.awaited import awaited_of
from usage_tracker.stores.postgres.awaited import AWAITED_LOCK

ALICE: dict[str, Any] = {
    "app": "web", "project": "alpha", "team": "core", "user_id": "alice", "session_id": "s-1", "tags": ("eu", "pro"),
    "api_key": "k…1234",
}  # fmt: skip


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    with opened(dsn) as found:
        yield found


@contextmanager
def opened(dsn: str) -> Iterator[Store]:
    store = open_store(parse_dsn(dsn))
    yield store
    store.close()


def call(started: str, **fields: Any) -> PricedEvent:
    """A call that started something and has not said what it used."""
    nothing: dict[str, Any] = {"input_tokens": None, "output_tokens": None, "cost": None, "flags": ("awaited",)}
    return made_event(**{**ALICE, **nothing, "awaits": started, "response_id": started, **fields})


def told(started: str, part: str | None = None, **fields: Any) -> PricedEvent:
    """What that used, as somebody else learned it."""
    asker: dict[str, Any] = {"user_id": "poller", "project": "ops", "tags": ("cron",), "host": "box-2", "pid": 8}
    return made_event(**{**asker, "completes": started, "response_id": part or started, **fields})


def usages(store: Store) -> list[dict[str, Any]]:
    """The events that brought the usage of earlier ones."""
    return [event for event in read_events(store) if event["completes"] is not None]


def test_a_usage_that_comes_later_is_its_calls(store: Store) -> None:
    store_events(store, [call("batch_1")])
    later = told("batch_1", "msg_1", cost="0.25", model="gpt-4o")
    store_events(store, [later])
    [event] = usages(store)
    assert {name: event[name] for name in ALICE} == {**ALICE, "tags": ["eu", "pro"]}
    assert (event["host"], event["pid"], event["event_id"]) == ("box-2", 8, str(later.event_id))
    assert (event["completes"], event["response_id"], event["awaits"]) == ("batch_1", "msg_1", None)
    assert (event["input_tokens"], event["output_tokens"], event["cost"]) == (100, 10, Decimal("0.25"))


@pytest.mark.parametrize(("asking", "whose"), [(None, "s-1"), ("s-1", "s-1"), ("s-2", None)])
def test_a_session_that_asks_about_anothers_call_has_not_used_it(
    store: Store, asking: str | None, whose: str | None
) -> None:
    store_events(store, [call("batch_1"), told("batch_1", session_id=asking)])
    [event] = usages(store)
    assert (event["session_id"], event["user_id"]) == (whose, "alice")


def test_the_call_itself_says_nothing_of_usage(store: Store) -> None:
    store_events(store, [call("batch_1")])
    [event] = read_events(store)
    assert (event["awaits"], event["completes"], event["user_id"]) == ("batch_1", None, "alice")
    assert (event["input_tokens"], event["cost"], event["cost_flags"]) == (None, None, ["awaited"])


def test_a_call_for_nobody_makes_its_usage_nobodys(store: Store) -> None:
    nobody: dict[str, Any] = {**dict.fromkeys(ALICE), "tags": ()}
    store_events(store, [call("batch_1", **nobody)])
    store_events(store, [told("batch_1")])
    [event] = usages(store)
    assert {name: event[name] for name in ALICE} == {**dict.fromkeys(ALICE), "tags": []}


def test_a_usage_that_comes_before_its_call_waits_for_it(dsn: str, store: Store) -> None:
    with opened(dsn) as elsewhere:
        store_events(elsewhere, [told("batch_1", "msg_1"), made_event(), told("batch_1", "msg_2")])
        assert len(read_events(store)) == count(elsewhere, "usage_event") == 1
    assert rollup(store, "calls", "input_tokens") == (1, 100)
    store_events(store, [call("batch_1"), call("batch_2")])
    assert [event["user_id"] for event in usages(store)] == ["alice", "alice"]
    assert count(store, "usage_kept_aside") == 0
    assert rollup(store, "calls", "input_tokens") == (3, 300)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_order_within_a_batch_does_not_matter(store: Store, order: Sequence[int]) -> None:
    events = [call("batch_1"), told("batch_1", "msg_1"), told("batch_1", "msg_2")]
    store_events(store, [events[place] for place in order])
    assert sorted(event["response_id"] for event in usages(store)) == ["msg_1", "msg_2"]
    assert {event["user_id"] for event in usages(store)} == {"alice"}


@pytest.mark.parametrize("call_at", range(5))
def test_what_many_tell_is_stored_once(dsn: str, store: Store, call_at: int) -> None:
    """Three who poll, one of them twice, and one batch that has it twice; the call comes somewhere among them."""
    batches = [[told("resp_1")], [told("resp_1"), told("resp_1")], [told("resp_1")], [told("resp_1")]]
    batches.insert(call_at, [call("resp_1")])
    for batch in batches:
        with opened(dsn) as somebodys:
            store_events(somebodys, batch)
    assert len(usages(store)) == 1
    assert rollup(store, "calls", "input_tokens", "completed") == (1, 100, 1)
    assert count(store, "usage_kept_aside") == 0


def test_a_call_that_is_recorded_twice_keeps_its_first_caller(store: Store) -> None:
    store_events(store, [call("run_1"), call("run_1", user_id="bob")])
    store_events(store, [call("run_1", user_id="carol")])
    store_events(store, [told("run_1")])
    assert [event["user_id"] for event in usages(store)] == ["alice"]


def test_a_usage_without_an_id_of_its_own_has_its_calls(store: Store) -> None:
    store_events(store, [call("resp_1"), told("resp_1", response_id=None)])
    store_events(store, [told("resp_1")])
    assert len(usages(store)) == 1


def test_a_usage_whose_call_nobody_knows_counts_nowhere(store: Store) -> None:
    store_events(store, [told("resp_1", ttft_ms=5.0)])
    assert read_events(store) == []
    assert count(store, "by_hour") == count(store, "by_day_latency") == 0
    assert count(store, "usage_kept_aside") == 1


def test_what_nobody_knows_is_forgotten_after_a_month(store: Store) -> None:
    store_events(store, [told("resp_1"), told("resp_2")])
    age(store, "resp_1", 31)
    age(store, "resp_2", 29)
    store_events(store, [told("resp_3")])
    store_events(store, [call("resp_1"), call("resp_2"), call("resp_3")])
    assert sorted(event["completes"] for event in usages(store)) == ["resp_2", "resp_3"]


def age(store: Store, started: str, days: int) -> None:
    digest = awaited_of(told(started))
    if store.dialect.name == "sqlite":
        with vars(store)["_file"].transaction() as connection:
            older = "UPDATE usage_kept_aside SET kept_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?) WHERE awaited = ?"
            assert connection.execute(older, [f"-{days} days", digest]).rowcount == 1
        return
    with vars(store)["_connections"].transaction() as cursor:
        cursor.execute(
            "UPDATE usage_tracker.usage_kept_aside SET kept_at = now() - make_interval(days => %s) "
            "WHERE awaited = encode(%s, 'hex')::uuid",
            [days, digest],
        )
        assert cursor.rowcount == 1


def test_a_replay_doubles_neither_what_is_kept_nor_what_is_stored(store: Store) -> None:
    first = Batch([Stretch(uuid4(), 0, 10, 2)], [told("resp_1"), told("resp_2")])
    second = Batch([Stretch(uuid4(), 0, 10, 2)], [call("resp_1"), told("resp_1")])
    assert store.write(first)
    assert not store.write(first)
    assert count(store, "usage_kept_aside") == 2
    assert store.write(second)
    assert not store.write(second)
    assert not store.write(first)
    assert (len(usages(store)), count(store, "usage_kept_aside")) == (1, 1)
    assert rollup(store, "calls", "input_tokens") == (1, 100)


def test_a_write_that_fails_half_way_leaves_nothing_behind(store: Store) -> None:
    segment, poison = uuid4(), made_event(http_status=99_999)
    store_events(store, [told("resp_2")])
    with pytest.raises(EventsRefused):
        store.write(Batch([Stretch(segment, 0, 10, 4)], [told("resp_1"), call("resp_2"), told("resp_2"), poison]))
    assert store.positions([segment]) == {}
    assert [count(store, table) for table in ("usage_awaited", "usage_completed", "usage_kept_aside")] == [0, 0, 1]
    assert store.write(Batch([Stretch(segment, 0, 5, 2)], [told("resp_1"), call("resp_2")]))
    assert store.write(Batch([Stretch(segment, 5, 8, 1)], [told("resp_2")]))
    assert [event["completes"] for event in usages(store)] == ["resp_2"]
    assert count(store, "usage_kept_aside") == 1


@pytest.mark.parametrize("usage", [{"input_tokens": 1 << 60}, {"started_at": 1 << 70}, {"session_id": "\ud83d"}])
def test_what_could_not_be_stored_is_not_kept_either(store: Store, usage: dict[str, Any]) -> None:
    started_at = usage.get("started_at")
    priced = told("resp_1", **{name: value for name, value in usage.items() if name != "started_at"})
    if started_at is not None:
        priced.event.started_at = started_at
    with pytest.raises(EventsRefused):
        store_events(store, [priced])
    assert count(store, "usage_kept_aside") == 0


@pytest.mark.parametrize("text", ["x" * 10_000, "größe 😀", "%s", "'", "nul\0 here", "lone \ud83d surrogate", ""])
def test_any_text_is_an_id(store: Store, text: str) -> None:
    store_events(store, [call(text, response_id="r-1")])
    store_events(store, [told(text, "r-1")])
    assert [event["user_id"] for event in usages(store)] == ["alice"]


def test_what_another_version_kept_aside_and_nobody_can_read_holds_nothing_up(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store_events(store, [told("resp_1")])
    if store.dialect.name == "sqlite":
        with vars(store)["_file"].transaction() as connection:
            connection.execute("UPDATE usage_kept_aside SET event = x'9101'")
    else:
        with vars(store)["_connections"].transaction() as cursor:
            cursor.execute(r"UPDATE usage_tracker.usage_kept_aside SET event = '\x9101'")
    store_events(store, [call("resp_1")])
    assert usages(store) == []
    assert "can't be read" in caplog.text
    store_events(store, [told("resp_1")])
    assert len(usages(store)) == 1


def test_batches_without_such_events_ask_for_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("asked")

    for name in ("sqlite", "postgres"):
        monkeypatch.setattr(f"usage_tracker.stores.{name}.store.settle", asked)
    store_events(store, [made_event(), made_event(response_id="resp_1")])
    with pytest.raises(AssertionError, match="asked"):
        store_events(store, [call("resp_1")])


def rollup(store: Store, *measures: str) -> tuple[int, ...]:
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in measures)
    [row] = store.select(f"SELECT {sums} FROM {store.dialect.prefix}by_hour")
    return tuple(int(str(value)) for value in row)


def test_who_tells_makes_no_call(store: Store) -> None:
    own: dict[str, Any] = {"duration_ms": 100.0, "ttft_ms": 10.0}
    asking: dict[str, Any] = {"duration_ms": 9000.0, "ttft_ms": 900.0, "status": "error", "error_type": "expired"}
    store_events(store, [made_event(**own), call("batch_1", duration_ms=300.0)])
    store_events(store, [told("batch_1", "msg_1", **asking), told("batch_1", "msg_2", **asking)])
    for by in ("model", "session"):  # of the rollups, and of the events themselves
        total = run(store, Query(by=(by,))).total
        assert (total.calls, total.errors, total.counted) == (2, 0, 1)
        assert (total.input_tokens, total.cost) == (300, Decimal("0.03"))
        assert (total.mean_duration_ms, total.mean_ttft_ms) == (200, 10)
    latency = store.select(f"SELECT sum(calls) FROM {store.dialect.prefix}by_day_latency")
    assert [int(str(calls)) for (calls,) in latency] == [2]


def test_a_report_counts_the_calls_that_have_not_said_yet_what_they_used(store: Store) -> None:
    unsaid: dict[str, Any] = {"user_id": "bob", "tags": ("us",), "session_id": None}
    store_events(store, [call("batch_1"), call("batch_2"), call("batch_3", **unsaid), made_event()])
    store_events(store, [told("batch_1", "msg_1"), told("batch_4")])

    def untold(where: str = "", **range_: Any) -> int:
        return run(store, Query(where=tuple(map(parse_condition, where.split())), **range_)).untold

    assert untold() == 2
    assert [untold(f"user={user}") for user in ("alice", "bob", "b*", "poller")] == [1, 1, 1, 0]
    assert [untold(where) for where in ("tag=eu", "tag=us", "tag!=eu", "session=s-1", "session=none")] == [
        1,
        1,
        1,
        1,
        1,
    ]
    assert [untold(where) for where in ("project=alpha", "model=gpt-4o host=box", "model=other")] == [2, 2, 0]
    assert (untold(since=NOON), untold(until=NOON), untold(since=NOON + timedelta(seconds=1))) == (2, 0, 0)
    report = run(store, Query(by=("user",)))
    assert (report.total.calls, report.total.awaited, report.total.counted) == (4, 3, 1)
    assert {row.group[0]: row.input_tokens for row in report.rows} == {"alice": 100, "bob": None, None: 100}


STARTED = st.sampled_from(["batch_1", "batch_2", "resp_1"])
ARRIVALS = st.lists(
    st.one_of(
        st.builds(lambda started, hours: call(started, at=NOON + timedelta(hours=hours)), STARTED, st.integers(0, 30)),
        st.builds(
            lambda started, part, hours: told(started, part, at=NOON + timedelta(hours=hours)),
            STARTED, st.sampled_from([None, "msg_1", "msg_2"]), st.integers(0, 30),
        ),
        st.builds(lambda hours: made_event(NOON + timedelta(hours=hours)), st.integers(0, 30)),
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals=ARRIVALS, seed=st.integers(0, 100))
def test_reports_are_the_sums_of_the_events_however_they_arrive(
    store: Store, arrivals: list[PricedEvent], seed: int
) -> None:
    clear(store)
    chance = random.Random(seed)
    rest = list(arrivals)
    while rest:
        size = chance.randint(1, 5)
        store_events(store, rest[:size])
        rest = rest[size:]
        if chance.random() < 0.3:
            store.compact()
    begun = {priced.event.awaits for priced in arrivals if priced.event.awaits}
    parts = {(priced.event.completes, priced.event.response_id) for priced in arrivals if priced.event.completes}
    found = [(event["completes"], event["response_id"]) for event in usages(store)]
    assert sorted(found) == sorted(part for part in parts if part[0] in begun)
    kept = {part for part in parts if part[0] not in begun}
    assert count(store, "usage_kept_aside") == len(kept)
    events = read_view(store)
    for by in (("model", "day"), ("user",), ("tag",), ("session",), ("project", "hour"), ("host",)):
        check(run(store, Query(by=by)), events)


def clear(store: Store) -> None:
    """Forget all events, but not the dimensions, which the store remembers."""
    tables = [
        "usage_event", "usage_awaited", "usage_completed", "usage_kept_aside", "rollup_hour", "rollup_day",
        "rollup_day_user", "rollup_day_tag", "rollup_day_latency", "rollup_day_owner_latency",
        "rollup_hour_kind", "rollup_day_kind", "rollup_hour_owner", "rollup_day_owner", "rollup_day_user_total",
        "rollup_week_user_total",
        "rollup_day_tag_total",
    ]  # fmt: skip
    if store.dialect.name == "sqlite":
        with vars(store)["_file"].transaction() as connection:
            for table in tables:
                connection.execute(f"DELETE FROM {table}")
        return
    tables += ["delta_hour", "delta_day_user", "delta_day_tag", "delta_day_latency", "delta_day_owner_latency"]
    with vars(store)["_connections"].transaction() as cursor:
        cursor.execute("; ".join(f"DELETE FROM usage_tracker.{table}" for table in tables))


RACE = """
from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import open_store
from made_events import made_event, store_events

def work(number, dsn):
    store = open_store(parse_dsn(dsn))
    for first in range(0, 60, 3):
        ids = [f"resp_{first + more}" for more in range(3)]
        if number < 2:  # who starts them, and somebody who says so again
            store_events(store, [made_event(awaits=each, user_id="alice", input_tokens=None) for each in ids])
        else:
            told = [made_event(completes=each, response_id=each, user_id=str(number)) for each in ids]
            store_events(store, told[::-1])
        if first % 4 == number % 4:
            store.compact()
    store.close()
"""


@pytest.mark.timeout(120)
def test_processes_that_start_and_ask_at_once_store_each_usage_once(dsn: str, store: Store) -> None:
    race(RACE, dsn, 6)
    found = usages(store)
    assert sorted(event["completes"] for event in found) == sorted(f"resp_{number}" for number in range(60))
    assert {event["user_id"] for event in found} == {"alice"}
    assert (count(store, "usage_kept_aside"), count(store, "usage_completed")) == (0, 60)
    assert rollup(store, "calls", "completed") == (120, 60)


def test_in_postgres_who_has_such_events_waits_for_others_who_do_and_nobody_else_waits(postgres_dsn: str) -> None:
    """Two that don't see each other's rows would leave a usage aside for ever."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    other = psycopg2.connect(postgres_dsn)
    with opened(postgres_dsn) as store, other.cursor() as cursor, ThreadPoolExecutor() as pool:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [AWAITED_LOCK])
        store_events(store, random_events(1, 20))
        with opened(postgres_dsn) as asker:
            writing = pool.submit(store_events, asker, [told("resp_1")])
            while not writing.done() and list(store.select(waiting)) != [(1,)]:
                pass
            assert not writing.done()
            other.rollback()
            writing.result(30)
        store_events(store, [call("resp_1")])
        assert len(usages(store)) == 1
    other.close()


@pytest.mark.parametrize("times", [{"before": {1, 3}}, {"after": {1, 2, 3}}, {"before": {2}, "after": {1, 4}}])
def test_a_connection_lost_around_the_commit_doubles_no_usage(place: Place, times: dict[str, set[int]]) -> None:
    poller, alice = Origin(sdk="openai", user_id="poller"), Origin(sdk="openai", user_id="alice")
    began: dict[str, Any] = {"started_at": 0, "duration_ms": 1.0, "operation": "responses"}
    place.journal.append(poller, UsageEvent(**began, completes="resp_1", usage=Usage(input_tokens=5)))
    place.journal.append(alice, UsageEvent(**began, awaits="resp_1"))
    place.journal.append(poller, UsageEvent(**began, completes="resp_1", usage=Usage(input_tokens=5)))
    store = Fails(place.open(), **times)
    shipper = Shipper(place.spool(), lambda: store, TenCents(), 1)  # type: ignore[arg-type, return-value]  # by duck type
    assert shipper.spool.lead()
    more = True
    while more:
        with suppress(StoreUnavailable):
            more = shipper.step()
    assert [(event["user_id"], event["cost"]) for event in usages(store)] == [("alice", Decimal("0.1"))]  # type: ignore[arg-type]
    assert count(store, "usage_kept_aside") == 0  # type: ignore[arg-type]
    shipper.close()


class TestRoles:
    def test_a_writer_may_store_what_comes_later(self, postgres_databases: Databases, postgres_dsn: str) -> None:
        with writer_role(postgres_databases, database_of(postgres_dsn)) as writer, opened(postgres_dsn) as owner:
            store_events(writer, [told("resp_1"), told("resp_2")])
            store_events(writer, [call("resp_1"), call("resp_3")])
            store_events(writer, [told("resp_3"), told("resp_3")])
            assert sorted(event["completes"] for event in usages(owner)) == ["resp_1", "resp_3"]

    def test_a_role_that_was_made_before_may_do_so_after_the_migration(
        self, postgres_databases: Databases, empty_postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        role, database = f'Old "writer" {uuid4().hex[:8]}', database_of(empty_postgres_dsn)
        quoted = '"{}"'.format(role.replace('"', '""'))
        with opened(empty_postgres_dsn) as owner:
            with monkeypatch.context() as before:
                first = migrations.migrations("postgres")[:1]
                before.setattr(migrations, "migrations", lambda dialect: first)
                owner.migrate()
            postgres_databases.run(f"CREATE ROLE {quoted} LOGIN")
            postgres_databases.run(
                f"GRANT USAGE ON SCHEMA usage_tracker TO {quoted}; "
                f"GRANT ALL ON ALL TABLES IN SCHEMA usage_tracker TO {quoted}",
                database,
            )
            owner.migrate()
            with opened(postgres_databases.dsn(database, user=role)) as writer:
                store_events(writer, [told("resp_1"), call("resp_1")])
                assert run(writer, Query()).total.calls == 1
            assert len(usages(owner)) == 1
        postgres_databases.run(f"DROP OWNED BY {quoted}", database)
        postgres_databases.run(f"DROP ROLE {quoted}")
