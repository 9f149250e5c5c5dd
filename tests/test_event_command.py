"""`usage-tracker events show`: one call, and how its cost is made up."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from commanding import invoke
from made_events import NOON, made_event, store_events
from migrated import migrated
from msgspec.structs import replace
from price_commands import ship

from usage_tracker.event import Cost, CostLine
from usage_tracker.stores import Store


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store that isn't there yet."""
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/usage.db")


@pytest.fixture
def store(environment: None) -> Iterator[Store]:
    with migrated(os.environ["TRACKER_DSN"]) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgres"])
def any_dsn(request: pytest.FixtureRequest, environment: None) -> str:
    sqlite = os.environ["TRACKER_DSN"]
    return sqlite if request.param == "sqlite" else str(request.getfixturevalue("empty_postgres_dsn"))


@pytest.fixture
def any_store(any_dsn: str) -> Iterator[Store]:
    with migrated(any_dsn) as found:
        yield found


def bill(store: Store, **fields: Any) -> str:
    lines = (
        CostLine("input_tokens", Decimal(600), Decimal("0.0000025")),
        CostLine("cache_read_tokens", Decimal(400), Decimal("0.00000125")),
        CostLine("web_searches", Decimal(2), Decimal("0.01")),
        CostLine("audio_seconds", Decimal("7.5"), Decimal(1) / 3600),
    )
    cost = Cost(Decimal("0.024083333333"), lines, "genai-prices", "0.2.3")
    priced = replace(made_event(**fields), cost=cost)
    store_events(store, [priced, made_event()])
    return str(priced.event_id)


def test_a_call_shows_units_times_price_line_by_line(store: Store) -> None:
    event_id = bill(store, project="alpha", reported_cost="0.0241")
    shown = invoke("events", "show", event_id)
    assert shown.exit_code == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["Project", "alpha"] in lines
    assert ["input_tokens", "600", "×", "$2.5", "/", "1M", "=", "$0.0015"] in lines
    assert ["web_searches", "2", "×", "$0.01", "=", "$0.02"] in lines
    assert ["audio_seconds", "7.5", "×", "$0.000277777778", "=", "$0.002083333333"] in lines
    assert ["Total", "$0.024083333333"] in lines
    assert "Priced by genai-prices 0.2.3." in shown.stdout
    assert "The provider stated $0.0241." in shown.stdout


def test_the_lines_of_a_call_add_up_in_json_too(any_dsn: str, any_store: Store) -> None:
    event_id = bill(any_store)
    found = json.loads(invoke("events", "show", event_id, "-o", "json", "--dsn", any_dsn).stdout)
    assert sum(Decimal(line["cost"]) for line in found["lines"]) == Decimal(found["event"]["cost"])
    assert found["event"]["event_id"] == event_id


def test_a_call_is_found_near_the_time_that_its_id_tells(any_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_DSN", any_dsn)
    ship(3, at=datetime.now(UTC))
    events = [json.loads(line) for line in invoke("events", "-o", "jsonl").stdout.splitlines()]
    assert len(events) == 3
    for event in events:
        assert json.loads(invoke("events", "show", event["event_id"], "-o", "json").stdout)["event"] == event


def test_a_call_is_found_by_the_providers_own_id(store: Store) -> None:
    bill(store, response_id="chatcmpl-1")
    assert (
        json.loads(invoke("events", "show", "chatcmpl-1", "-o", "json").stdout)["event"]["response_id"] == "chatcmpl-1"
    )


def test_the_newest_call_is_found_without_an_id(store: Store) -> None:
    assert invoke("events", "show", "last").exit_code == 1
    calls = [made_event(at=NOON + timedelta(minutes=minute)) for minute in (1, 2, 0)]
    store_events(store, calls)
    assert f"Call {calls[1].event_id}" in invoke("events", "show", "last").stdout


def test_the_list_has_the_ids_that_show_takes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    event = made_event()
    store_events(store, [event])
    assert str(event.event_id) in invoke("events").stdout
    monkeypatch.setenv("COLUMNS", "80")
    assert "No room for ID, " in invoke("events").stdout


def test_a_call_without_a_cost_says_why(store: Store) -> None:
    priced = made_event(cost=None, flags=["unpriced", "tier_unpriced", "sum_mismatch"])
    store_events(store, [priced])
    shown = invoke("events", "show", str(priced.event_id)).stdout
    assert "no price is known for its service tier" in shown
    assert "contradict each other" in shown
    assert "input 100, output 10" in shown


def test_a_call_whose_usage_nobody_knows_says_that(store: Store) -> None:
    left = made_event(cost=None, flags=["unpriced"], input_tokens=None, output_tokens=None, status="abandoned")
    store_events(store, [left])
    assert "what it used is not known" in invoke("events", "show", str(left.event_id)).stdout


def test_a_call_without_lines_of_a_bill_has_no_table_of_them(store: Store) -> None:
    failed = made_event(cost=None, input_tokens=None, output_tokens=None, status="error", error_type="RateLimitError")
    stated = made_event(cost="0.25", flags=["estimated_tokens"])
    store_events(store, [failed, stated])
    shown = invoke("events", "show", str(failed.event_id)).stdout
    assert shown.endswith(f"Cost       —\n\nCall {failed.event_id}\n")
    shown = invoke("events", "show", str(stated.event_id)).stdout
    assert "Cost       $0.25\n" in shown
    assert "estimated_tokens: its tokens are an estimate" in shown
    assert "Unit" not in shown


def test_what_a_price_depends_on_beside_the_tier_is_shown(store: Store) -> None:
    fast = made_event(raw={"speed": "fast"}, units={"searches": 2.0})
    store_events(store, [fast])
    lines = [line.split() for line in invoke("events", "show", str(fast.event_id)).stdout.splitlines()]
    assert ["Speed", "fast"] in lines
    assert ["Units", "searches", "2"] in lines


def test_units_are_shown_in_all_their_digits(store: Store) -> None:
    spoken = made_event(units={"characters": 1_234_567, "seconds": 10_800.125})
    store_events(store, [spoken])
    shown = invoke("events", "show", str(spoken.event_id)).stdout
    assert "characters 1,234,567, seconds 10,800.125\n" in shown


def test_a_call_that_is_not_there_exits_with_1(store: Store) -> None:
    for words in (["chatcmpl-none"], ["0199f0c2-7a3e-7c55-8d2e-5a1b2c3d4e5f"]):
        result = invoke("events", "show", *words)
        assert (result.exit_code, "there is no call" in result.stderr) == (1, True)


def test_events_without_show_are_listed_as_ever(store: Store) -> None:
    store_events(store, [made_event(NOON - timedelta(days=age)) for age in range(3)])
    assert len(invoke("events", "-n", "2", "-o", "jsonl").stdout.splitlines()) == 2
