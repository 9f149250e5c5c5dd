"""What the command line says in JSON is what the events add up to, one by one, on every store and for any question."""

import json
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from any_query import queries
from commanding import invoke
from hypothesis import assume, given, settings
from made_events import random_events, store_events
from reference_report import (
    Event,
    chosen,
    expected_figures,
    expected_groups,
    expected_percentiles,
    read_view,
    with_others,
)

from usage_tracker.cli.columns import FIELDS
from usage_tracker.dsn import parse_dsn
from usage_tracker.report import OTHERS, UNITS, Query
from usage_tracker.stores import Store, open_store

FROM_THE_FIRST, AFTER_THE_LAST = "all", "2028"


def filled(dsn: str) -> Store:
    """A store of made-up events, of which half are in the rollups and half, on Postgres, still in the deltas."""
    store = open_store(parse_dsn(dsn))
    store.migrate()
    store_events(store, random_events(21, 150))
    store.compact()
    store_events(store, random_events(22, 150))
    return store


def words_of(query: Query) -> list[str]:
    """The query as it is typed."""
    words = ["--since", FROM_THE_FIRST if query.since is None else query.since.isoformat()]
    words += ["--until", AFTER_THE_LAST if query.until is None else query.until.isoformat()]
    words += ["--by", ",".join(query.by), "--tz", str(query.tz)]
    words += [f"--where={condition}" for condition in query.where]
    return words if query.top is None else [*words, "--top", str(query.top)]


def say(dsn: str, query: Query) -> Any:
    """The JSON document that the command prints."""
    result = invoke("report", *words_of(query), "-o", "json", "--dsn", dsn)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def group_of(row: dict[str, Any], by: tuple[str, ...]) -> tuple[object, ...]:
    return tuple(OTHERS if row.get("others") and name not in UNITS else row[name] for name in by)


def written(name: str, value: object) -> object:
    """A group's value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return f"{value:%Y-%m}" if name == "month" else value.isoformat()
    return value


def figures_of(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: Decimal(row[name]) if name in ("cost", "reported_cost") and row[name] is not None else row[name]
        for name in expected([])
    }


def expected(events: list[Event]) -> dict[str, Any]:
    """The figures that JSON has, which says nothing of how many calls a mean is over."""
    told = expected_figures(events) | expected_percentiles(events)
    return {name: figure for name, figure in told.items() if name in FIELDS}


def check(document: Any, events: list[Event], query: Query) -> None:
    """Hold the document against all events of its store."""
    counted = chosen(events, query)
    groups = expected_groups(counted, query)
    if query.top is not None:
        groups = with_others(groups, query)
    by_group = {
        tuple(written(name, value) for name, value in zip(query.by, group, strict=True)): expected(found)
        for group, found in groups.items()
    }
    assert {group_of(row, query.by): figures_of(row) for row in document["rows"]} == by_group
    assert figures_of(document["total"]) == expected(counted)


@pytest.mark.parametrize("top", [None, 2])
def test_any_report_in_json_is_the_sums_of_the_events_on_both_stores(
    top: int | None, postgres_dsn: str, tmp_path: Path
) -> None:
    stores = {dsn: filled(dsn) for dsn in (f"sqlite:///{tmp_path}/usage.db", postgres_dsn)}
    events = {dsn: read_view(store) for dsn, store in stores.items()}

    @settings(max_examples=15, deadline=None)
    @given(queries())
    def ask_anything(asked: Query) -> None:
        assume(asked.since is None or asked.since != asked.until)
        query = replace(asked, by=asked.by or ("status",), top=top)
        documents = {dsn: say(dsn, query) for dsn in stores}
        for dsn, document in documents.items():
            check(document, events[dsn], query)
        order, *others = ([group_of(row, query.by) for row in document["rows"]] for document in documents.values())
        assert others == [order]

    ask_anything()
    for store in stores.values():
        store.close()
