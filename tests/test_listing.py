from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from made_events import NOON, made_event, random_events, store_events
from migrated import migrated
from msgspec.structs import replace
from reference_report import meets, read_view

from usage_tracker.event import COLUMNS, CostLine
from usage_tracker.report import Event, Query, export_events, find_event, list_events, parse_condition
from usage_tracker.report.listing import read_window
from usage_tracker.stores import Store


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    memory = request.param == "sqlite"
    with migrated("sqlite:///:memory:" if memory else request.getfixturevalue("postgres_dsn")) as found:
        yield found


def listed(store: Store, *where: str, **fields: Any) -> list[Event]:
    return list(list_events(store, where=[parse_condition(text) for text in where], **fields))


def test_an_event_has_every_column_in_one_form_for_all_stores(store: Store) -> None:
    made = made_event(
        NOON + timedelta(microseconds=123456),
        cost="0.000000123456",
        flags=["tool_unpriced"],
        reported_cost="0.5",
        tags=("eu", "tier:pro"),
        units={"seconds": 1.5},
        streamed=True,
        estimated=True,
        raw={"prompt_tokens": 100, "nested": {"cached": 7}},
        project="alpha",
        user_id="u-1",
        session_id="s-1",
    )
    lines = (CostLine("input_tokens", Decimal(100), Decimal("0.0000025")),)
    priced = replace(made, cost=replace(made.cost, lines=lines, source="genai-prices", version="0.2.3"))
    store_events(store, [priced])
    [event] = listed(store)
    assert tuple(event) == COLUMNS
    assert event["started_at"] == NOON + timedelta(microseconds=123456)
    assert event["started_at"].tzinfo is not None
    assert UUID(str(event["event_id"])) == made.event_id
    assert isinstance(event["event_id"], str)
    assert event["cost"] == Decimal("0.000000123456")
    assert event["reported_cost"] == Decimal("0.5")
    assert (event["tags"], event["cost_flags"]) == (["eu", "tier:pro"], ["tool_unpriced"])
    assert event["units"] == {"seconds": 1.5}
    assert event["usage"] == {"prompt_tokens": 100, "nested": {"cached": 7}}
    assert event["cost_parts"] == {"input_tokens": {"count": 100, "price": "0.0000025"}}
    assert (event["price_source"], event["price_version"]) == ("genai-prices", "0.2.3")
    assert (event["streamed"], event["estimated"]) == (True, True)
    assert (event["project"], event["user_id"], event["session_id"], event["team"]) == ("alpha", "u-1", "s-1", None)


def test_what_an_event_does_not_know_is_none_and_it_has_no_tags(store: Store) -> None:
    store_events(store, [made_event(cost=None, input_tokens=None)])
    [event] = listed(store)
    assert (event["cost"], event["input_tokens"], event["units"], event["usage"]) == (None, None, None, None)
    assert (event["tags"], event["cost_flags"], event["streamed"]) == ([], [], False)


def test_the_newest_come_first_up_to_the_limit(store: Store) -> None:
    ages = [timedelta(minutes=3), timedelta(days=400), timedelta(0), timedelta(hours=5), timedelta(days=20)]
    store_events(store, [made_event(NOON - age) for age in ages])
    newest = [NOON - age for age in sorted(ages)]
    assert [event["started_at"] for event in listed(store)] == newest
    for limit in (1, 3, 5, 9):
        assert [event["started_at"] for event in listed(store, limit=limit)] == newest[:limit]


def test_the_range_holds_its_start_and_not_its_end(store: Store) -> None:
    store_events(store, [made_event(NOON - timedelta(days=day)) for day in range(5)])
    since, until = NOON - timedelta(days=3), NOON - timedelta(days=1)
    for limit in (None, 20):
        found = listed(store, since=since, until=until, limit=limit)
        assert [event["started_at"] for event in found] == [NOON - timedelta(days=2), since]
    assert [event["started_at"] for event in listed(store, until=until, limit=1)] == [NOON - timedelta(days=2)]


def test_years_without_calls_are_not_gone_through_day_by_day(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    days: list[object] = []

    def look(*asked: Any, **options: Any) -> Any:
        days.append(asked)
        return read_window(*asked, **options)

    monkeypatch.setattr("usage_tracker.report.listing.read_window", look)
    store_events(store, [made_event(NOON.replace(year=year)) for year in (1970, 2026, 9000)])
    assert [event["started_at"].year for event in export_events(store)] == [1970, 2026, 9000]
    assert len(days) == 3


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert listed(store) == []
    assert listed(store, limit=5) == []
    assert listed(store, since=NOON, until=NOON, limit=5) == []


@pytest.mark.parametrize(
    "where",
    [
        ("model=gpt-4o",), ("model!=gpt*",), ("model=none",), ("user=u-?",), ("session!=s-1", "host=box-*"),
        ("host=none",), ("tag=tier:*",), ("tag!=eu",), ("tag=none",), ("tag!=none", "tag!=eu"), (r"tag=\none",),
        ("status=error", "team=core"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_conditions_mean_what_they_mean_in_a_report(store: Store, where: tuple[str, ...]) -> None:
    store_events(store, random_events(11, 120))
    conditions = [parse_condition(text) for text in where]
    expected = [
        event["started_at"]
        for event in read_view(store)
        if all(meets(event, condition, Query()) for condition in conditions)
    ]
    assert expected
    assert [event["started_at"] for event in listed(store, *where)] == sorted(expected, reverse=True)


def test_events_come_as_they_are_read(store: Store) -> None:
    store_events(store, [made_event(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)) for hour in range(30)])
    events = list_events(store, limit=10)
    assert next(events)["started_at"] == datetime(2026, 1, 2, 5, tzinfo=UTC)
    assert len(list(events)) == 9


@pytest.mark.parametrize(
    "name", ["930c60df-bf64-41c9-a88e-3ec75f81e00e", "b19e5ad0f4c84d6b8f0f2f7d7c1e3a55", "chatcmpl-9"]
)
def test_a_call_is_found_by_its_id_and_by_whatever_id_its_answer_has(store: Store, name: str) -> None:
    made = made_event(response_id=name)
    store_events(store, [made_event(response_id="another"), made])
    for asked in (name, str(made.event_id)):
        found = find_event(store, asked)
        assert found is not None
        assert found["event_id"] == str(made.event_id)
    for unknown in ("00000000-0000-7000-8000-000000000000", "ffffffff-ffff-7fff-bfff-ffffffffffff", "chatcmpl-8"):
        assert find_event(store, unknown) is None
