"""The top of a report out of two small questions is the same as out of all groups' sums."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from any_query import queries
from hypothesis import given, settings
from made_events import NOON, made_event, random_events, store_events

from usage_tracker.dsn import parse_dsn
from usage_tracker.report import OTHERS, UNITS, Query
from usage_tracker.report.groups import read_groups
from usage_tracker.report.ranking import find_top, keep
from usage_tracker.report.sums import Group, Sums
from usage_tracker.report.top import only_name, read_top
from usage_tracker.stores import Store, open_store

Opener = Callable[[str], Store]


@pytest.fixture
def opened() -> Iterator[Opener]:
    stores: list[Store] = []

    def open_migrated(dsn: str) -> Store:
        store = open_store(parse_dsn(dsn))
        store.migrate()
        stores.append(store)
        return store

    yield open_migrated
    for store in stores:
        store.close()


def out_of_all(store: Store, query: Query) -> dict[Group, Sums]:
    groups = read_groups(store, query)
    assert query.top is not None
    return keep(query.by, groups, find_top(query.by, groups, query.top))


def nearly(sums: Sums) -> list[Any]:
    """Durations of events in Postgres are floating numbers of 4 bytes, in rollups of 8."""
    return [pytest.approx(each, rel=1e-6, abs=0.1) if isinstance(each, float) else each for each in sums]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_any_top_is_that_of_all_groups(
    kind: str, request: pytest.FixtureRequest, opened: Opener, tmp_path: Path
) -> None:
    dsn = request.getfixturevalue("postgres_dsn") if kind == "postgres" else f"sqlite:///{tmp_path}/usage.db"
    store = opened(dsn)
    store_events(store, random_events(31, 150))
    store.compact()
    store_events(store, random_events(32, 150))

    @settings(max_examples=40, deadline=None)
    @given(queries())
    def ask_anything(asked: Query) -> None:
        by = [*[name for name in asked.by if name in UNITS], *[name for name in asked.by if name not in UNITS][:1]]
        query = replace(asked, by=tuple(by), top=1)
        if only_name(query) is None:
            query = Query(query.since, query.until, (*filter(UNITS.__contains__, by), "user"), tz=query.tz, top=1)
        found = read_top(store, query)
        if found is None:
            return  # there are too few values, or some of them may hold nothing
        expected = out_of_all(store, query)
        assert found.keys() == expected.keys()
        for group, sums in found.items():
            assert list(sums) == nearly(expected[group])

    ask_anything()


def test_what_is_beyond_the_top_is_what_all_calls_are_without_it(opened: Opener) -> None:
    store = opened("sqlite:///:memory:")
    costs = {"ann": "5", "bob": "3", None: "2", "cy": "1", "dan": "1"}
    store_events(store, [made_event(user_id=user, cost=cost, at=NOON) for user, cost in costs.items()])
    found = read_top(store, Query(by=("user",), top=3))
    assert found is not None
    assert {group: (sums.cost, sums.calls) for group, sums in found.items()} == {
        ("ann",): (Decimal(5), 1),
        ("bob",): (Decimal(3), 1),
        (None,): (Decimal(2), 1),
        (OTHERS,): (Decimal(2), 2),
    }


def test_a_top_is_the_same_whether_it_is_found_one_by_one_or_in_a_range(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened("sqlite:///:memory:")
    store_events(store, random_events(33, 150))
    for query in (Query(by=("day", "user"), top=2), Query(by=("user",), top=2), Query(by=("hour", "model"), top=1)):
        one_by_one = read_top(store, query)
        assert one_by_one
        with monkeypatch.context() as patched:
            patched.setattr("usage_tracker.report.top.MOST_FOUND", 0)
            assert read_top(store, query) == one_by_one


def test_values_that_may_hold_nothing_are_looked_at_with_all_their_sums(opened: Opener) -> None:
    """Events that only tell the usage of an earlier call have no calls of their own."""
    store = opened("sqlite:///:memory:")
    late = made_event(user_id="late", cost=None, completes="batch-1", input_tokens=7)
    store_events(store, [late, *(made_event(user_id=user) for user in ("ann", "bob"))])
    assert read_top(store, Query(by=("user",), top=1)) is None


@pytest.mark.parametrize(
    "query",
    [
        Query(by=("tag",), top=1),
        Query(by=("user", "model"), top=1),
        Query(by=("session",), top=1),
        Query(by=("user",), top=1, percentiles=True),
        Query(by=("user",), top=1, cost="reported"),
        Query(by=("user",)),
        Query(by=("user",), top=10**20),
    ],
)
def test_questions_that_need_every_groups_sums_are_left_alone(query: Query, opened: Opener) -> None:
    store = opened("sqlite:///:memory:")
    store_events(store, [made_event(user_id=user) for user in ("ann", "bob", "cy")])
    assert read_top(store, query) is None
