"""What every store promises, held against each of them."""

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_events import NOON, made_event, random_events
from migrated import migrated
from msgspec.structs import replace

from usage_tracker.errors import EventsRefused
from usage_tracker.event import COLUMNS, Batch, Cost, CostLine, PricedEvent, Stretch
from usage_tracker.instants import DAY
from usage_tracker.report.listing import read_window
from usage_tracker.report.plan import FIRST, LAST
from usage_tracker.stores import Store
from usage_tracker.stores.clickhouse import ClickHouseStore
from usage_tracker.stores.postgres import PostgresStore
from usage_tracker.stores.repricing import Repriced
from usage_tracker.stores.sqlite import SqliteStore
from usage_tracker.stores.store import KINDS


@pytest.fixture(params=["postgres", "sqlite", "sqlite in memory", "clickhouse"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Store]:
    if request.param == "postgres":
        dsn = request.getfixturevalue("postgres_dsn")
    elif request.param == "clickhouse":
        dsn = request.getfixturevalue("clickhouse_dsn")
    else:
        dsn = "sqlite:///:memory:" if request.param == "sqlite in memory" else f"sqlite:///{tmp_path}/usage.db"
    with migrated(dsn) as opened:
        yield opened


def segment_batch(segment: UUID, start: int, end: int, *events: PricedEvent) -> Batch:
    return Batch([Stretch(segment, start, end, len(events))], list(events))


def store_one(store: Store, priced: PricedEvent) -> dict[str, Any]:
    """Store the event; its row of the view `events`, as plain values that are the same for every store."""
    assert store.write(segment_batch(uuid4(), 0, 1, priced))
    rows = [row for row in read_events(store) if row["event_id"] == str(priced.event_id)]
    assert len(rows) == 1
    return rows[0]


def read_events(store: Store) -> list[dict[str, Any]]:
    if store.dialect.name == "clickhouse":
        ever = FIRST, LAST + DAY
        return list(read_window(store, ever, (), None))
    rows: list[dict[str, Any]] = [
        dict(zip(COLUMNS, row, strict=True)) for row in store.select(f"SELECT * FROM {store.dialect.prefix}events")
    ]
    if store.dialect.name == "sqlite":
        for row in rows:
            row.update(
                {
                    name: json.loads(row[name])
                    for name in ("tags", "cost_flags", "cost_parts", "units", "usage")
                    if row[name]
                }
            )
            row["started_at"] = datetime.fromisoformat(row["started_at"])
            row.update({name: bool(row[name]) for name in ("streamed", "estimated")})
    for row in rows:
        for name in ("cost", "reported_cost"):
            row[name] = None if row[name] is None else round(Decimal(row[name]), 12)
    return rows


def count(store: Store, table: str = "events") -> int:
    [(found,)] = store.select(f"SELECT count(*) FROM {store.dialect.prefix}{table}")
    assert isinstance(found, int)
    return found


def test_each_kind_of_store_can_do_all_that_stores_can() -> None:
    kinds: list[type[Store]] = [ClickHouseStore, PostgresStore, SqliteStore]  # whose signatures mypy compares
    assert {kind.__name__ for kind in kinds} == {name for _, name in KINDS.values()}
    wanted = {name for name in {**vars(Store), **Store.__annotations__} if not name.startswith("_")}
    assert {kind: wanted - set(dir(kind)) for kind in kinds} == {kind: set() for kind in kinds}


class TestExactlyOnce:
    def test_a_batch_is_stored_once_however_often_it_is_written(self, store: Store) -> None:
        batch = segment_batch(uuid4(), 0, 300, *random_events(1, 30))
        assert store.write(batch) is True
        assert store.write(batch) is False
        assert store.write(batch) is False
        assert count(store) == 30
        assert rollup_sums(store, "by_hour")["calls"] == 30

    def test_positions_say_how_far_each_segment_is_stored(self, store: Store) -> None:
        first, second, never = uuid4(), uuid4(), uuid4()
        store.write(segment_batch(first, 0, 100, made_event()))
        store.write(segment_batch(first, 100, 250, made_event()))
        store.write(segment_batch(second, 0, 70, made_event()))
        assert store.positions([first, second, never]) == {first: 250, second: 70}
        assert store.positions([]) == {}

    def test_a_batch_that_was_cut_anew_is_refused_until_it_starts_where_the_store_is(self, store: Store) -> None:
        segment = uuid4()
        assert store.write(segment_batch(segment, 0, 100, made_event()))
        assert not store.write(segment_batch(segment, 0, 200, made_event(), made_event()))
        assert not store.write(segment_batch(segment, 50, 200, made_event()))
        assert not store.write(segment_batch(segment, 150, 200, made_event()))
        assert store.write(segment_batch(segment, 100, 200, made_event()))
        assert count(store) == 2

    def test_an_unknown_segment_starts_at_0_and_nowhere_else(self, store: Store) -> None:
        assert not store.write(segment_batch(uuid4(), 8, 100, made_event()))
        assert count(store) == 0
        assert count(store, "journal_offset") == 0

    def test_one_stretch_that_does_not_fit_keeps_the_others_out(self, store: Store) -> None:
        known, fresh = uuid4(), uuid4()
        store.write(segment_batch(known, 0, 100, made_event()))
        mixed = Batch([Stretch(fresh, 0, 10, 1), Stretch(known, 7, 110, 1)], [made_event(), made_event()])
        assert not store.write(mixed)
        assert store.positions([known, fresh]) == {known: 100}
        assert count(store) == 1

    def test_a_batch_moves_many_segments_at_once(self, store: Store) -> None:
        segments = [uuid4() for _ in range(64)]
        store.write(Batch([Stretch(segment, 0, 10, 1) for segment in segments[:32]], random_events(1, 32)))
        everywhere = [Stretch(segment, 10 if place < 32 else 0, 20, 1) for place, segment in enumerate(segments)]
        random.shuffle(everywhere)
        assert store.write(Batch(everywhere, random_events(2, 64)))
        assert store.positions(segments) == dict.fromkeys(segments, 20)

    def test_a_stretch_without_events_moves_the_position(self, store: Store) -> None:
        segment = uuid4()
        assert store.write(segment_batch(segment, 0, 64))
        assert store.positions([segment]) == {segment: 64}

    def test_the_ledger_counts_the_events_of_a_segment(self, store: Store) -> None:
        segment = uuid4()
        store.write(segment_batch(segment, 0, 10, *random_events(1, 3)))
        store.write(segment_batch(segment, 10, 20, *random_events(2, 4)))
        assert list(store.select(f"SELECT events FROM {store.dialect.prefix}journal_offset")) == [(7,)]


class TestEventsView:
    def test_its_columns_are_those_of_the_event(self, store: Store) -> None:
        row = store_one(store, made_event())
        assert tuple(row) == COLUMNS

    def test_every_field_comes_back(self, store: Store) -> None:
        fields: dict[str, Any] = {
            "ttft_ms": 125.5, "provider": "azure", "sdk": "openai", "operation": "responses", "request_model": "gpt-4o",
            "model": "gpt-4o-2024-11-20", "service_tier": "flex", "streamed": True, "base_host": "x.openai.azure.com",
            "response_id": "resp_1", "input_tokens": 1000, "output_tokens": 200, "cache_read_tokens": 300,
            "cache_write_tokens": 40, "cache_write_1h_tokens": 10, "reasoning_tokens": 50, "input_audio_tokens": 1,
            "output_audio_tokens": 2, "input_image_tokens": 3, "output_image_tokens": 4, "tool_tokens": 5,
            "units": {"images": 2.0, "seconds": 1.5}, "estimated": True, "reported_cost": "0.25", "app": "web",
            "project": "alpha", "team": "core", "user_id": "u-1", "session_id": "s-1", "tags": ("b", "a"),
            "api_key": "k…1234", "host": "box", "pid": 4242, "status": "error", "error_type": "RateLimitError",
            "http_status": 429, "attempts": 3, "awaits": "batch_1", "completes": None,
        }  # fmt: skip
        priced = made_event(NOON.replace(microsecond=123456), **fields)
        lines = (CostLine("input_tokens", Decimal(1000), Decimal("0.0000025")),)
        priced = replace(priced, cost=Cost(Decimal("0.0025"), lines, "genai-prices", "0.2.3", ("tool_unpriced",)))
        priced.event.raw = {"prompt_tokens": 1000, "details": {"cached": 300, "tier": "flex", "byok": False}}
        assert store_one(store, priced) == {
            **{name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()},
            "event_id": str(priced.event_id), "started_at": datetime(2026, 8, 15, 12, 0, 0, 123456, UTC),
            "duration_ms": 250.0, "cost": Decimal("0.0025"), "reported_cost": Decimal("0.25"),
            "cost_parts": {"input_tokens": {"count": 1000, "price": "0.0000025"}}, "cost_flags": ["tool_unpriced"],
            "price_source": "genai-prices", "price_version": "0.2.3", "usage": priced.event.raw,
        }  # fmt: skip

    def test_what_is_unknown_is_null(self, store: Store) -> None:
        row = store_one(
            store,
            made_event(cost=None, input_tokens=None, output_tokens=None, app=None, host=None, pid=None, model=None),
        )
        known = {
            "event_id", "started_at", "duration_ms", "provider", "sdk", "operation", "streamed", "estimated",
            "cost_flags", "tags", "status", "attempts",
        }  # fmt: skip
        assert {name for name, value in row.items() if value is not None} == known
        assert row["tags"] == row["cost_flags"] == []

    def test_an_empty_text_is_not_null(self, store: Store) -> None:
        names = (
            "app",
            "project",
            "team",
            "user_id",
            "session_id",
            "api_key",
            "host",
            "model",
            "service_tier",
            "response_id",
        )
        nothing: dict[str, Any] = dict.fromkeys(names)
        blank: dict[str, Any] = dict.fromkeys(names, "")
        empty = store_one(store, made_event(**blank))
        absent = store_one(store, made_event(**nothing))
        assert [empty[name] for name in names] == [""] * len(names)
        assert [absent[name] for name in names] == [None] * len(names)

    @pytest.mark.parametrize("word", ["None", "null", r"\N", r"\.", "NULL", "{}", "%s", "100%", "%%", "''", '"'])
    def test_a_word_that_means_something_to_a_database_is_a_word(self, store: Store, word: str) -> None:
        priced = made_event(session_id=word, response_id=word, user_id=word, tags=(word,), error_type=word, model=word)
        priced.event.raw = {word: word}
        row = store_one(store, replace(priced, cost=Cost(source=word, version=word, flags=(word,))))
        assert [row[name] for name in ("session_id", "response_id", "user_id", "error_type", "model")] == [word] * 5
        assert [row["price_source"], row["price_version"]] == [word] * 2
        assert row["tags"] == row["cost_flags"] == [word]
        assert row["usage"] == {word: word}

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("a\tb\nc\rd\\e\\ne\"f'g", "a\tb\nc\rd\\e\\ne\"f'g"),
            ("".join(map(chr, range(1, 128))), "".join(map(chr, range(1, 128)))),
            ("größe 😀 \u2028 \x85", "größe 😀 \u2028 \x85"),
            ("nul\0 here", "nul here"),
            ("lone \ud83d surrogate", "lone \ufffd surrogate"),
            (r"\u0000 as letters", r"\u0000 as letters"),
            ("x" * 10_000, "x" * 10_000),
        ],
        ids=["escapes", "ascii", "unicode", "nul", "surrogate", "letters of an escape", "long"],
    )
    def test_any_text_comes_back_as_far_as_a_store_can_hold_it(self, store: Store, given: str, kept: str) -> None:
        fields: dict[str, Any] = dict.fromkeys(
            ("session_id", "response_id", "error_type", "user_id", "project", "model", "host", "operation"), given
        )
        priced = made_event(tags=(given, "plain"), units={given: 1.5}, **fields)
        priced.event.raw = {given: 1, "inner": {"text": given, "n": [{"m": 2}, {"m": 3.5}]}}
        lines = (CostLine(given, Decimal(3), Decimal("0.5")), CostLine("plain", Decimal("1.5"), Decimal(2)))
        row = store_one(store, replace(priced, cost=Cost(Decimal(1), lines, "book", None, (given,))))
        assert {name: row[name] for name in fields} == dict.fromkeys(fields, kept)
        assert row["tags"] == [kept, "plain"]
        assert row["units"] == {kept: 1.5}
        assert row["usage"] == {kept: 1, "inner": {"text": kept, "n": [{"m": 2}, {"m": 3.5}]}}
        assert row["cost_parts"] == {
            kept: {"count": 3, "price": "0.5"}, "plain": {"count": 1.5, "price": "2"}
        }  # fmt: skip
        assert row["cost_flags"] == [kept]

    def test_a_unit_with_two_prices_keeps_both(self, store: Store) -> None:
        lines = (
            CostLine("searches", Decimal(3), Decimal("0.01")),
            CostLine("searches", Decimal(2), Decimal("0.02")),
            CostLine("searches", Decimal(1), Decimal("0.03")),
        )
        row = store_one(store, replace(made_event(), cost=Cost(Decimal("0.1"), lines, "book")))
        assert [(part["count"], part["price"]) for part in row["cost_parts"]["searches"]] == [
            (3, "0.01"), (2, "0.02"), (1, "0.03")
        ]  # fmt: skip

    def test_a_free_call_has_a_price_and_no_parts(self, store: Store) -> None:
        row = store_one(store, replace(made_event(), cost=Cost(Decimal(0), (), "book", "2026-08")))
        assert (row["cost"], row["cost_parts"], row["price_source"]) == (0, {}, "book")

    def test_an_empty_usage_object_is_not_null(self, store: Store) -> None:
        priced = made_event()
        priced.event.raw = {}
        assert store_one(store, priced)["usage"] == {}

    def test_figures_that_are_no_numbers_poison_nothing(self, store: Store) -> None:
        nan, endless = float("nan"), float("inf")
        priced = made_event(
            duration_ms=nan, ttft_ms=endless, units={"seconds": nan, "images": 1.0}, reported_cost="NaN"
        )
        priced.event.raw = {"a": nan, "b": -endless, "c": 1}
        lines = (CostLine("tokens", Decimal("NaN"), Decimal(1)),)
        row = store_one(store, replace(priced, cost=Cost(Decimal("NaN"), lines, "book")))
        assert [row[name] for name in ("duration_ms", "ttft_ms", "reported_cost", "cost")] == [None] * 4
        assert row["units"] == {"seconds": None, "images": 1.0}
        assert row["usage"] == {"a": None, "b": None, "c": 1}
        assert row["cost_parts"] == {"tokens": {"count": None, "price": "1"}}
        sums = rollup_sums(store, "by_hour")
        assert [sums[name] for name in ("calls", "priced", "reported", "cost", "duration_ms")] == [1, 0, 0, 0, 0]

    def test_a_stated_cost_that_is_no_number_is_unknown(self, store: Store) -> None:
        assert store_one(store, made_event(reported_cost="about a dollar"))["reported_cost"] is None

    @pytest.mark.parametrize(
        ("stated", "kept"),
        [
            ("0.0000000000005", "0"),
            ("0.0000000000015", "0.000000000002"),
            ("0.0000000000025", "0.000000000002"),
            ("1.23456789012345", "1.234567890123"),
            ("-0.5", "-0.5"),
            ("3e-4", "0.0003"),
        ],
    )
    def test_a_stated_cost_is_rounded_half_even_to_a_picodollar(self, store: Store, stated: str, kept: str) -> None:
        row = store_one(store, made_event(reported_cost=stated))
        assert row["reported_cost"] == Decimal(kept)

    @pytest.mark.parametrize(
        "at",
        [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
            datetime(1970, 1, 1, tzinfo=UTC),
            datetime(2000, 2, 29, 0, 0, 0, 1, UTC),
            datetime(2262, 4, 11, 23, 47, 17, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
        ],
    )
    def test_any_instant_of_a_datetime_is_stored(self, store: Store, at: datetime) -> None:
        assert store_one(store, made_event(at))["started_at"] == at


JSON_FIGURES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e15, 1e15) | st.text(max_size=20),
    lambda inner: st.dictionaries(st.text(max_size=10), inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=15,
)


class TestJson:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(raw=st.dictionaries(st.text(max_size=12), JSON_FIGURES, max_size=6))
    def test_any_usage_object_comes_back_equal(self, store: Store, raw: dict[str, Any]) -> None:
        if store.dialect.name == "clickhouse":
            pytest.skip("it keeps the same text as SQLite")
        priced = made_event()
        priced.event.raw = raw
        assert store_one(store, priced)["usage"] == json.loads(storable_json(raw))

    def test_a_usage_object_that_never_repeats_is_kept_too(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("usage_tracker.stores.postgres.rows.TEMPLATES_AT_MOST", 8)
        events = random_events(1, 30)
        for place, priced in enumerate(events):
            priced.event.raw = {"request": f'id "{place}, {place}', "tokens": place}
            lines = (CostLine(f"kind_{place}", Decimal(place), Decimal(2)),)
            events[place] = replace(priced, cost=Cost(Decimal(place), lines, "book", "1"))
        for part in (events[:5], events[5:20], events[20:]):
            assert store.write(segment_batch(uuid4(), 0, 1, *part))
        rows = {row["event_id"]: row for row in read_events(store)}
        for place, priced in enumerate(events):
            row = rows[str(priced.event_id)]
            assert row["usage"] == priced.event.raw
            assert row["cost_parts"] == {f"kind_{place}": {"count": place, "price": "2"}}
            assert (row["price_source"], row["price_version"]) == ("book", "1")


def storable_json(value: Any) -> str:
    """As JSON that every store can hold: text without NUL."""
    return json.dumps(value, ensure_ascii=True).replace(r"\\", r"\\ ").replace(r"\u0000", "").replace(r"\\ ", r"\\")


class TestRefusal:
    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda event: setattr(event, "started_at", 253_402_300_800 * 10**9), id="the year 10000"),
            pytest.param(lambda event: setattr(event, "started_at", -(2**80)), id="before the year 1"),
            pytest.param(lambda event: setattr(event, "duration_ms", 1e300), id="duration"),
            pytest.param(lambda event: setattr(event, "reported_cost", "9300000"), id="millions of dollars"),
            pytest.param(lambda event: setattr(event, "reported_cost", "1e999999"), id="any dollars"),
            pytest.param(lambda event: setattr(event, "http_status", 70_000), id="http_status"),
            pytest.param(lambda event: setattr(event, "attempts", -70_000), id="attempts"),
            pytest.param(lambda event: setattr(event.usage, "input_tokens", 2**60), id="input_tokens"),
            pytest.param(lambda event: setattr(event.usage, "output_tokens", 2**64 - 1), id="output_tokens"),
            pytest.param(lambda event: setattr(event.usage, "tool_tokens", 2**64 - 1), id="tool_tokens"),
            pytest.param(lambda event: setattr(event, "status", "\ud800"), id="status"),
            pytest.param(lambda event: setattr(event, "raw", {"a": object()}), id="no JSON"),
            pytest.param(lambda event: setattr(event, "raw", nested(300_000)), id="deep JSON"),
        ],
    )
    def test_what_no_store_can_hold_is_refused_and_the_rest_of_the_batch_waits(
        self, store: Store, spoil: Callable[[Any], None]
    ) -> None:
        good, bad = made_event(), made_event()
        spoil(bad.event)
        segment = uuid4()
        with pytest.raises(EventsRefused, match=r"can't be (stored|written)"):
            store.write(segment_batch(segment, 0, 2, good, bad))
        assert store.positions([segment]) == {}
        assert store.write(segment_batch(segment, 0, 1, good))
        assert store.write(segment_batch(segment, 1, 2))
        assert count(store) == 1
        assert rollup_sums(store, "by_day")["calls"] == 1

    def test_its_words_hold_nothing_of_the_event(self, store: Store) -> None:
        with pytest.raises(EventsRefused) as refusal:
            store.write(segment_batch(uuid4(), 0, 1, made_event(http_status=99_999, session_id="very private")))
        assert "private" not in str(refusal.value)
        assert "99999" not in str(refusal.value)
        assert "the event can't be stored" in str(refusal.value)
        assert refusal.value.__suppress_context__

    def test_a_cost_of_more_than_twelve_places_is_rounded_half_even(self, store: Store) -> None:
        row = store_one(store, made_event(cost="0.0000000000025"))
        assert row["cost"] == Decimal("0.000000000002")


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"a": found}
    return found


def rollup_sums(store: Store, view: str) -> dict[str, Any]:
    names = (
        "calls", "errors", "counted", "estimated", "priced", "unpriced", "input_tokens", "output_tokens",
        "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost", "reported", "reported_cost",
        "duration_ms", "ttft_calls", "ttft_ms",
    )  # fmt: skip
    sums = ", ".join(f"sum({name})" for name in names)
    [row] = store.select(f"SELECT {sums} FROM {store.dialect.prefix}{view}")
    return dict(zip(names, row, strict=True))


def test_more_users_than_a_store_remembers_keep_their_keys(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.stores.dimensions.KEYS_AT_MOST", 3)
    for _ in range(3):
        for start in range(0, 20, 5):
            users = [f"user-{number}" for number in range(start, start + 5)]
            assert store.write(
                segment_batch(uuid4(), 0, 1, *(made_event(user_id=user, tags=(user,)) for user in users))
            )
    if store.dialect.name != "clickhouse":  # whose rows hold users themselves
        assert count(store, "usage_user") == 21
    found = store.select(f"SELECT user_id, count(*) FROM {store.dialect.prefix}events GROUP BY user_id")
    assert dict(found) == {f"user-{number}": 3 for number in range(20)}  # type: ignore[arg-type]  # two columns


class TestSelect:
    def test_it_reads_with_parameters(self, store: Store) -> None:
        store.write(segment_batch(uuid4(), 0, 1, made_event(model="a"), made_event(model="b")))
        table, mark = f"{store.dialect.prefix}events", store.dialect.placeholder
        assert list(store.select(f"SELECT model FROM {table} WHERE model = {mark}", ["b"])) == [("b",)]

    def test_it_reads_much_without_holding_it_and_may_stop_half_way(self, store: Store) -> None:
        store.write(segment_batch(uuid4(), 0, 1, *random_events(3, 4500)))
        rows = store.select(f"SELECT event_id FROM {store.dialect.prefix}usage_event")
        assert len({next(rows) for _ in range(10)}) == 10
        del rows
        assert len(list(store.select(f"SELECT event_id FROM {store.dialect.prefix}usage_event"))) == 4500

    def test_reading_and_writing_may_take_turns(self, store: Store) -> None:
        store.write(segment_batch(uuid4(), 0, 1, *random_events(3, 4500)))
        rows = store.select(f"SELECT event_id FROM {store.dialect.prefix}usage_event")
        read = [next(rows)]
        assert store.write(segment_batch(uuid4(), 0, 1, *random_events(4, 5)))
        assert count(store, "journal_offset") == 2
        read += rows
        assert len(read) >= 4500
        assert count(store, "usage_event") == 4505


class TestPruning:
    def test_what_started_before_goes_and_the_rest_stays(self, store: Store) -> None:
        at_noon = made_event(NOON)
        old = [made_event(NOON - timedelta(days=days)) for days in (400, 35, 1)]
        store.write(segment_batch(uuid4(), 0, 1, *old, at_noon, made_event(NOON + timedelta(days=1))))
        assert sum(part.events for part in store.prunable(NOON)) == 3
        assert sum(store.prune(NOON)) == 3
        assert count(store, "usage_event") == 2
        assert str(at_noon.event_id) in {row["event_id"] for row in read_events(store)}
        assert store.prunable(NOON) == []
        assert sum(store.prune(NOON)) == 0

    def test_looking_takes_nothing_away(self, store: Store) -> None:
        store.write(segment_batch(uuid4(), 0, 1, *random_events(1, 50)))
        parts = store.prunable(datetime(2030, 1, 1, tzinfo=UTC))
        assert sum(part.events for part in parts) == 50
        assert all(part.bytes > 0 for part in parts)
        assert count(store) == 50

    def test_the_rollups_stay(self, store: Store) -> None:
        store.write(segment_batch(uuid4(), 0, 1, *random_events(1, 200)))
        views = ("by_hour", "by_day", "by_day_user", "by_day_tag")
        before = {view: rollup_sums(store, view) for view in views}
        assert sum(store.prune(datetime(2030, 1, 1, tzinfo=UTC))) == 200
        assert {view: rollup_sums(store, view) for view in views} == before

    def test_it_goes_batch_by_batch(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        if store.dialect.name == "clickhouse":
            pytest.skip("nobody has to wait while ClickHouse takes events out")
        for dialect in ("sqlite", "postgres"):
            monkeypatch.setattr(f"usage_tracker.stores.{dialect}.pruning.EVENTS_AT_ONCE", 20)
        hours = [NOON - timedelta(days=400, hours=place // 7) for place in range(100)]
        store.write(segment_batch(uuid4(), 0, 1, *map(made_event, hours)))
        deleted = list(store.prune(NOON))
        assert sum(deleted) == 100
        assert len(deleted) >= 5
        assert max(deleted) <= 21

    def test_what_is_stored_already_is_not_stored_again_afterwards(self, store: Store) -> None:
        segment = uuid4()
        batch = segment_batch(segment, 0, 300, *random_events(1, 30))
        store.write(batch)
        assert sum(store.prune(datetime(2030, 1, 1, tzinfo=UTC))) == 30
        assert store.positions([segment]) == {segment: 300}
        assert store.write(batch) is False
        assert count(store) == 0
        assert store.write(segment_batch(segment, 300, 400, made_event()))
        assert count(store) == 1
        assert rollup_sums(store, "by_day")["calls"] == 31

    def test_a_call_that_has_gone_still_knows_whose_its_usage_is(self, store: Store) -> None:
        store.write(segment_batch(uuid4(), 0, 1, made_event(NOON - timedelta(days=2), awaits="b-1", project="alpha")))
        assert sum(store.prune(NOON)) == 1
        row = store_one(store, made_event(NOON, completes="b-1", response_id="b-1", project="ops"))
        assert row["project"] == "alpha"

    def test_the_original_costs_of_what_has_gone_go_too(self, store: Store) -> None:
        old, new = made_event(NOON - timedelta(days=2)), made_event(NOON)
        store.write(segment_batch(uuid4(), 0, 1, old, new))
        if store.dialect.name == "clickhouse":
            pytest.skip("ClickHouse can't price calls again")
        store.reprice([Repriced(each.event_id, each.event.started_at // 1000, Cost(Decimal(1))) for each in (old, new)])
        assert count(store, "repriced") == 2
        assert sum(store.prune(NOON)) == 1
        assert count(store, "repriced") == 1

    def test_what_is_free_can_be_given_back(self, store: Store) -> None:
        store.write(segment_batch(uuid4(), 0, 1, *random_events(1, 2000)))
        assert sum(store.prune(datetime(2030, 1, 1, tzinfo=UTC))) == 2000
        free, _ = store.free_bytes()
        assert (free > 0) == (store.dialect.name == "sqlite")
        store.vacuum()
        assert store.free_bytes()[0] == 0
        assert rollup_sums(store, "by_day")["calls"] > 0


def test_the_store_can_be_used_again_after_close(store: Store) -> None:
    store.write(segment_batch(uuid4(), 0, 1, made_event()))
    store.close()
    store.migrate()  # what was in memory is gone
    assert store.write(segment_batch(uuid4(), 0, 1, made_event()))
    store.close()
    store.close()
