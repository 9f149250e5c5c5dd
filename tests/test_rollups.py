"""What the rollups hold is what the events add up to, in every store, before and after deltas are folded."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil, isnan, log
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_events import NOON, made_event, random_event, random_events, store_events
from migrated import migrated

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import EventsRefused
from usage_tracker.event import Batch, PricedEvent, Stretch
from usage_tracker.exports.buckets import COUNTED, read_counted
from usage_tracker.stores import Store, open_store
from usage_tracker.stores.rollups import MEASURES, latency_bucket, measures
from usage_tracker.stores.values import LARGEST_SUMMAND, facts

TABLES = (
    "usage_event", "rollup_hour", "rollup_day", "rollup_day_user", "rollup_day_tag", "rollup_day_latency",
    "rollup_day_owner_latency", "rollup_hour_kind", "rollup_day_kind", "rollup_hour_owner", "rollup_day_owner",
    "rollup_day_user_total", "rollup_week_user_total", "rollup_day_tag_total", "delta_hour", "delta_day_user",
    "delta_day_tag", "delta_day_latency", "delta_day_owner_latency",
)  # fmt: skip

KIND = ("provider", "sdk", "operation", "request_model", "model", "service_tier", "streamed", "base_host")
OWNER = ("app", "project", "team", "api_key")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = tuple[Any, ...]


@pytest.fixture
def sqlite() -> Iterator[Store]:
    with migrated("sqlite:///:memory:") as store:
        yield store


@pytest.fixture
def postgres(postgres_dsn: str) -> Iterator[Store]:
    store = open_store(parse_dsn(postgres_dsn))
    yield store
    store.close()


def started(priced: PricedEvent) -> datetime:
    return EPOCH + timedelta(microseconds=priced.event.started_at // 1000)


def hour(priced: PricedEvent) -> datetime:
    return started(priced).replace(minute=0, second=0, microsecond=0)


def day(priced: PricedEvent) -> datetime:
    return hour(priced).replace(hour=0)


def group_of(priced: PricedEvent) -> Row:
    both = {name: getattr(part, name) for part in (priced.event, priced.origin) for name in part.__struct_fields__}
    return (*(both[name] for name in (*KIND, *OWNER)), priced.event.status)


def expected(events: list[PricedEvent], keys: Callable[[PricedEvent], list[Row]]) -> dict[Row, dict[str, Any]]:
    """The sums, added up one by one in the plainest way."""
    found: dict[Row, dict[str, Any]] = defaultdict(lambda: dict.fromkeys(MEASURES, 0))
    for priced in events:
        event, usage = priced.event, priced.event.usage
        for key in keys(priced):
            sums = found[key]
            call, known = event.completes is None, usage.input_tokens is not None or usage.output_tokens is not None
            sums["calls"] += call
            sums["errors"] += call and event.status == "error"
            sums["counted"] += call and known
            sums["awaited"] += event.awaits is not None
            sums["completed"] += known and not call
            sums["estimated"] += usage.estimated
            sums["priced"] += priced.cost.amount is not None
            sums["unpriced"] += "unpriced" in priced.cost.flags
            for name in MEASURES[6:11]:
                sums[name] += getattr(usage, name) or 0
            for part in ("input", "output", "cache_read", "cache_write", "reasoning"):
                sums[f"{part}_counted"] += getattr(usage, f"{part}_tokens") is not None
            sums["cost"] += priced.cost.amount or 0
            sums["reported"] += event.reported_cost is not None
            sums["reported_cost"] += Decimal(event.reported_cost or 0)
            if call and isnan(event.duration_ms):
                sums["untimed"] += 1
            elif call:
                sums["duration_ms"] += event.duration_ms
            if call:
                sums["ttft_calls"] += event.ttft_ms is not None
                sums["ttft_ms"] += event.ttft_ms or 0
    return found


def stored(store: Store, view: str, more: str = "", join: str = "") -> dict[Row, dict[str, Any]]:
    prefix = store.dialect.prefix
    names = ", ".join(("bucket_at", *KIND, *OWNER, "status", *([more] if more else [])))
    sums = ", ".join(f"sum({name})" for name in MEASURES)
    sql = (
        f"SELECT {names}, {sums} FROM {prefix}{view} JOIN {prefix}usage_kind USING (kind_key) "
        f"JOIN {prefix}usage_owner USING (owner_key) {join.format(prefix=prefix)} GROUP BY {names}"
    )
    found = {}
    for row in store.select(sql):
        key, values = list(row[: -len(MEASURES)]), dict(zip(MEASURES, row[-len(MEASURES) :], strict=True))
        if store.dialect.name == "sqlite":
            key[0] = EPOCH + timedelta(seconds=key[0])  # type: ignore[arg-type]  # whole seconds
            key[1 + KIND.index("streamed")] = bool(key[1 + KIND.index("streamed")])
            values.update({name: Decimal(str(values[name])).scaleb(-12) for name in ("cost", "reported_cost")})
        found[tuple(key)] = values
    return found


def assert_equal(found: dict[Row, dict[str, Any]], wanted: dict[Row, dict[str, Any]]) -> None:
    assert found.keys() == wanted.keys()
    for key, sums in wanted.items():
        for name, value in sums.items():
            if name in ("duration_ms", "ttft_ms"):
                assert found[key][name] == pytest.approx(value, rel=1e-9, abs=1e-4)
            else:
                assert found[key][name] == value, (key, name)


def assert_rollups_equal_events(store: Store, events: list[PricedEvent]) -> None:
    def tags(priced: PricedEvent) -> list[str | None]:
        return list(dict.fromkeys(priced.origin.tags)) or [None]

    assert_equal(stored(store, "by_hour"), expected(events, lambda one: [(hour(one), *group_of(one))]))
    assert_equal(stored(store, "by_day"), expected(events, lambda one: [(day(one), *group_of(one))]))
    assert_equal(
        stored(store, "by_day_user", "user_id", "JOIN {prefix}usage_user USING (user_key)"),
        expected(events, lambda one: [(day(one), *group_of(one), one.origin.user_id)]),
    )
    assert_equal(
        stored(store, "by_day_tag", "tag", "JOIN {prefix}usage_tag USING (tag_key)"),
        expected(events, lambda one: [(day(one), *group_of(one), tag) for tag in tags(one)]),
    )
    for view, finer, key in (
        ("by_hour_kind", "by_hour", "kind_key"), ("by_day_kind", "by_day", "kind_key"),
        ("by_hour_owner", "by_hour", "owner_key"), ("by_day_owner", "by_day", "owner_key"),
        ("by_day_user_total", "by_day_user", "user_key"), ("by_day_tag_total", "by_day_tag", "tag_key"),
    ):  # fmt: skip
        assert_equal(totals(store, view, key), totals(store, finer, key))
    assert_equal(totals(store, "by_week_user_total", "user_key"), in_weeks(totals(store, "by_day_user", "user_key")))
    for view, columns in (("by_day_latency", KIND), ("by_day_owner_latency", OWNER)):
        assert sketch(store, view, columns) == expected_sketch(events, columns)


def totals(store: Store, view: str, key: str) -> dict[Row, dict[str, Any]]:
    """The sums of a view by time and that key."""
    sums = ", ".join(f"sum({name})" for name in MEASURES)
    rows = store.select(f"SELECT bucket_at, {key}, {sums} FROM {store.dialect.prefix}{view} GROUP BY bucket_at, {key}")
    return {row[:2]: dict(zip(MEASURES, row[2:], strict=True)) for row in rows}


def in_weeks(days: dict[Row, dict[str, Any]]) -> dict[Row, dict[str, Any]]:
    """Sums by the day, added up by weeks that are counted from 1970."""
    found: dict[Row, dict[str, Any]] = {}
    for (at, key), sums in days.items():
        seconds = at if isinstance(at, int) else int((at - EPOCH).total_seconds())
        start = seconds - seconds % 604_800
        week = found.setdefault((start if isinstance(at, int) else EPOCH + timedelta(seconds=start), key), {})
        week.update({name: week.get(name, 0) + value for name, value in sums.items()})
    return found


def sketch(store: Store, view: str, columns: tuple[str, ...]) -> dict[Row, tuple[int, int]]:
    """The calls in each bucket of each group, by their duration and by their first chunk."""
    prefix = store.dialect.prefix
    table, key = ("usage_kind", "kind_key") if columns == KIND else ("usage_owner", "owner_key")
    names = ", ".join(["bucket_at", *columns, "bucket"])
    rows = store.select(
        f"SELECT {names}, sum(calls), sum(ttft_calls) FROM {prefix}{view} JOIN {prefix}{table} USING ({key}) "
        f"GROUP BY {names}"
    )
    found = {}
    for first, *group, calls, first_chunks in rows:
        at = EPOCH + timedelta(seconds=first) if isinstance(first, int) else first
        found[at, *(bool(value) if name == "streamed" else value for name, value in zip(columns, group, strict=False)),
              group[-1]] = (int(str(calls)), int(str(first_chunks)))  # fmt: skip
    return found


def expected_sketch(events: list[PricedEvent], columns: tuple[str, ...]) -> dict[Row, tuple[int, int]]:
    counts: dict[Row, list[int]] = defaultdict(lambda: [0, 0])
    for one in events:
        both = {name: getattr(part, name) for part in (one.event, one.origin) for name in part.__struct_fields__}
        for place, milliseconds in enumerate((one.event.duration_ms, one.event.ttft_ms)):
            if milliseconds is not None and not isnan(milliseconds):
                bucket = max(0, ceil(log(milliseconds) / log(1.04))) if milliseconds > 0 else 0
                counts[day(one), *(both[name] for name in columns), bucket][place] += 1
    return {group: (calls, first_chunks) for group, (calls, first_chunks) in counts.items()}


def clear(store: Store) -> None:
    """Forget all events, but not the dimensions, which the store remembers."""
    if store.dialect.name == "sqlite":
        with vars(store)["_file"].transaction() as connection:
            for table in (name for name in TABLES if not name.startswith("delta")):
                connection.execute(f"DELETE FROM {table}")
        return
    with vars(store)["_connections"].transaction() as cursor:
        cursor.execute("; ".join(f"DELETE FROM usage_tracker.{table}" for table in TABLES))


BATCHES = st.lists(st.tuples(st.randoms(use_true_random=False), st.integers(0, 12), st.booleans()), max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_rollups_are_the_sums_of_the_events(
    request: pytest.FixtureRequest, kind: str, batches: list[tuple[Random, int, bool]]
) -> None:
    store: Store = request.getfixturevalue(kind)
    clear(store)
    events: list[PricedEvent] = []
    for chance, number, compact in batches:
        made = [random_event(chance) for _ in range(number)]
        assert store.write(Batch([Stretch(uuid4(), 0, 1, number)], made))
        events += made
        if compact:
            store.compact()
    assert_rollups_equal_events(store, events)
    store.compact()
    assert_rollups_equal_events(store, events)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_many_events_add_up_too(request: pytest.FixtureRequest, kind: str) -> None:
    store: Store = request.getfixturevalue(kind)
    events = random_events(11, 3000)
    for start in range(0, 3000, 1000):
        store_events(store, events[start : start + 1000])
    store.compact()
    assert_rollups_equal_events(store, events)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_money_adds_up_to_the_last_picodollar(request: pytest.FixtureRequest, kind: str) -> None:
    store: Store = request.getfixturevalue(kind)
    store_events(store, [made_event(cost="0.000000000001") for _ in range(1000)] + [made_event(cost="123456.7")])
    for _ in range(2):
        [sums] = stored(store, "by_hour").values()
        assert sums["cost"] == Decimal("123456.700000001")
        store.compact()
    [(cost,)] = store.select(f"SELECT cost FROM {store.dialect.prefix}daily")
    assert float(str(cost)) == pytest.approx(123456.700000001, rel=1e-15)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_day_may_cost_more_than_an_integer_of_picodollars_holds(request: pytest.FixtureRequest, kind: str) -> None:
    store: Store = request.getfixturevalue(kind)
    seen = []
    for status, model in (("ok", "a"), ("error", "a"), ("error", "b"), ("ok", "a")):
        store_events(store, [made_event(cost="6000000.25", status=status, model=model)])
        costs = store.select(f"SELECT sum(cost) FROM {store.dialect.prefix}daily")
        [counted] = read_counted(store, "day").values()
        seen.append([float(str(cost)) for (cost,) in costs] + [float(json.loads(counted)[COUNTED.index("cost")])])
        store.compact()
    unit = 1e12 if kind == "sqlite" else 1
    assert seen == [[each, each * unit] for each in (6000000.25, 12000000.5, 18000000.75, 24000001.0)]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_day_without_a_known_cost_has_none(request: pytest.FixtureRequest, kind: str) -> None:
    store: Store = request.getfixturevalue(kind)
    store_events(store, [made_event(cost=None, flags=["unpriced"])])
    found = list(store.select(f"SELECT day, calls, cost, unpriced FROM {store.dialect.prefix}daily"))
    assert [(str(day), calls, cost, unpriced) for day, calls, cost, unpriced in found] == [("2026-08-15", 1, None, 1)]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_event_counts_once_under_a_tag_that_it_has_twice(request: pytest.FixtureRequest, kind: str) -> None:
    store: Store = request.getfixturevalue(kind)
    store_events(store, [made_event(NOON, tags=("a", "b", "a", "a\0")), made_event(NOON)])
    prefix = store.dialect.prefix
    found = store.select(f"SELECT tag, calls, tag_key FROM {prefix}by_day_tag JOIN {prefix}usage_tag USING (tag_key)")
    assert {tag: calls for tag, calls, _ in found} == {"a": 1, "b": 1, None: 1}


@pytest.mark.parametrize(
    ("milliseconds", "bucket"),
    [(0, 0), (-1, 0), (0.5, 0), (1, 0), (1.001, 1), (1.04, 1), (1.05, 2), (250, 141), (90_000, 291)],
)
def test_a_latency_bucket_is_a_power_of_four_percent(milliseconds: float, bucket: int) -> None:
    assert latency_bucket(milliseconds) == bucket
    if bucket:
        assert 1.04 ** (bucket - 1) < milliseconds <= 1.04**bucket


@pytest.mark.parametrize(
    ("milliseconds", "kept"),
    [(0.00012345, 0.000123), (0.0000004, 0.0), (-1.5, -1.5), (0.0, 0.0), (1.23456789, 1.23456789)],
)
def test_a_duration_of_less_than_a_microsecond_is_kept_to_the_nanosecond(milliseconds: float, kept: float) -> None:
    found = facts(made_event(duration_ms=milliseconds, ttft_ms=milliseconds))
    assert (found.duration_ms, found.ttft_ms) == (kept, kept)


@pytest.mark.parametrize("tokens", [LARGEST_SUMMAND + 1, -LARGEST_SUMMAND - 1, 1 << 52])
def test_a_count_beyond_any_measure_is_refused(tokens: int) -> None:
    priced = made_event(input_tokens=tokens)
    with pytest.raises(EventsRefused):
        measures(priced, facts(priced))


def test_the_largest_count_is_a_measure_like_any_other() -> None:
    priced = made_event(input_tokens=LARGEST_SUMMAND)
    assert LARGEST_SUMMAND in measures(priced, facts(priced))
