"""Calls whose provider's counts of tokens contradict each other are seen where that takes no time."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from made_events import NOON, made_event, store_events
from migrated import migrated

from usage_tracker.report import Query, parse_condition
from usage_tracker.report.contradicting import count_contradicting
from usage_tracker.stores import Store


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    """Two calls that contradict themselves at noon, of five, and one an hour later."""
    with migrated(dsn) as found:
        flags = ["estimated_tokens", "sum_mismatch"]
        events = [made_event(flags=flags, project=project, tags=("tier:pro",)) for project in ("alpha", "beta")]
        events += [made_event(flags=["cached"]), made_event(), made_event(project="beta")]
        store_events(found, [*events, made_event(at=NOON + timedelta(hours=1), flags=flags)])
        yield found


@pytest.mark.parametrize(
    ("conditions", "count"),
    [([], 2), (["project=beta"], 1), (["tag=tier:pro", "project!=beta"], 1), (["model=none"], 0)],
)
def test_those_of_the_range_are_counted_that_meet_the_conditions(
    store: Store, conditions: list[str], count: int
) -> None:
    query = Query(NOON, NOON + timedelta(minutes=1), (), tuple(map(parse_condition, conditions)))
    assert count_contradicting(store, query) == count


def test_of_all_time_they_are_counted_too(store: Store) -> None:
    assert count_contradicting(store, Query()) == 3


def test_among_more_events_than_are_read_in_passing_nobody_knows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.report.contradicting.MOST_READ", 5)
    assert count_contradicting(store, Query()) is None
    assert count_contradicting(store, Query(until=NOON + timedelta(minutes=1))) == 2


def test_each_answer_of_a_batch_is_an_event_that_would_be_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.report.contradicting.MOST_READ", 8)
    assert count_contradicting(store, Query()) == 3
    batch = made_event(awaits="batch-1", input_tokens=None, output_tokens=None)
    store_events(store, [batch, *(made_event(completes="batch-1", response_id=name) for name in ("a", "b"))])
    assert count_contradicting(store, Query()) is None
