"""The top of a report, and its row of Others."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from made_events import NOON, made_event, store_events
from migrated import migrated

from usage_tracker.report import OTHERS, Query, Report, run
from usage_tracker.stores import Store

DAY = timedelta(days=1)


@pytest.fixture
def store() -> Iterator[Store]:
    """Four models: a costs 5 dollars, b 3, c and d 1 each, of which d was called more often."""
    with migrated("sqlite:///:memory:") as found:
        calls = [("a", "5", 0), ("b", "2", 0), ("b", "1", 1), ("c", "1", 1), ("d", "0.5", 0), ("d", "0.5", 1)]
        store_events(found, [made_event(model=model, cost=cost, at=NOON + day * DAY) for model, cost, day in calls])
        yield found


def ask(store: Store, *by: str, top: int) -> Report:
    return run(store, Query(by=by, top=top))


def shown(report: Report) -> list[Any]:
    return [(row.group[0] if len(row.group) == 1 else row.group, row.cost) for row in report.rows]


def test_what_is_beyond_the_top_is_one_row_of_others(store: Store) -> None:
    report = ask(store, "model", top=2)
    assert shown(report) == [("a", 5), ("b", 3), (OTHERS, 2)]
    assert report.rows[-1].calls == 3
    assert report.total.cost == 10


def test_a_single_value_beyond_the_top_is_shown_by_its_name(store: Store) -> None:
    assert [group for group, _ in shown(ask(store, "model", top=3))] == ["a", "b", "d", "c"]


def test_the_top_is_that_of_all_the_time_and_holds_in_each_bucket(store: Store) -> None:
    first, second = date(2026, 8, 15), date(2026, 8, 16)
    assert (NOON.date(), (NOON + DAY).date()) == (first, second)
    assert shown(ask(store, "day", "model", top=1)) == [
        ((first, "a"), 5),
        ((first, OTHERS), Decimal("2.5")),
        ((second, OTHERS), Decimal("2.5")),
    ]


def test_others_is_no_name_that_a_model_can_have(store: Store) -> None:
    store_events(store, [made_event(model="Others", cost="100")])
    report = ask(store, "model", top=1)
    assert [row.cost for row in report.rows] == [100, 10]
    assert report.rows[0].group != report.rows[1].group


def test_a_top_of_nothing_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Query(top=0)
