"""Reports held against an earlier range."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from made_events import made_event, store_events
from migrated import migrated

from usage_tracker.event import PricedEvent
from usage_tracker.report import OTHERS, Query, Range, parse_range, previous, run
from usage_tracker.stores import Store

NOW = datetime(2026, 8, 20, 14, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def store() -> Iterator[Store]:
    with migrated("sqlite:///:memory:") as found:
        yield found


def call(day: str, model: str, cost: str) -> PricedEvent:
    return made_event(at=datetime.fromisoformat(f"{day}T12:00:00+00:00"), model=model, cost=cost)


AUGUST = Range(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC))
JULY = Range(datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC))


def compare(
    store: Store, *by: str, asked: Range = AUGUST, before: Range = JULY, top: int | None = None
) -> dict[object, object]:
    """Each group's cost and what it was before."""
    report = run(store, Query(*asked, by=by, before=before, top=top))
    found: dict[object, object] = {}
    for row in report.rows:
        found[row.group if len(row.group) > 1 else row.group[0]] = (row.cost, report.before[row.group].cost)
    assert report.total_before is not None
    found["total"] = (report.total.cost, report.total_before.cost)
    return found


def test_each_group_stands_beside_itself_of_before(store: Store) -> None:
    store_events(store, [call("2026-08-03", "a", "5"), call("2026-07-30", "a", "2"), call("2026-08-09", "new", "1")])
    assert compare(store, "model") == {"a": (5, 2), "new": (1, 0), "total": (6, 2)}


def test_what_has_ended_since_is_shown_with_nothing(store: Store) -> None:
    store_events(store, [call("2026-08-03", "a", "5"), call("2026-07-30", "gone", "2")])
    assert compare(store, "model") == {"a": (5, 0), "gone": (0, 2), "total": (5, 2)}


def test_others_stand_beside_the_same_others(store: Store) -> None:
    calls = [("a", "9", "1"), ("b", "2", "7"), ("c", "1", "3"), ("d", "1", "1")]
    store_events(store, [call("2026-08-03", model, cost) for model, cost, _ in calls])
    store_events(store, [call("2026-07-03", model, cost) for model, _, cost in calls])
    assert compare(store, "model", top=1) == {"a": (9, 1), OTHERS: (4, 11), "total": (13, 12)}


def test_the_nth_day_stands_beside_the_nth_day(store: Store) -> None:
    store_events(store, [call("2026-08-03", "a", "5"), call("2026-07-03", "a", "2"), call("2026-07-31", "a", "1")])
    assert compare(store, "day") == {
        date(2026, 8, 3): (5, 2),
        date(2026, 8, 31): (0, 1),
        "total": (5, 3),
    }


def test_weeks_and_months_stand_beside_those_of_the_same_place(store: Store) -> None:
    store_events(store, [call("2026-08-03", "a", "5"), call("2026-07-06", "a", "2")])
    assert compare(store, "week") == {date(2026, 8, 3): (5, 2), "total": (5, 2)}
    assert compare(store, "month") == {date(2026, 8, 1): (5, 2), "total": (5, 2)}


def test_hours_stand_beside_each_other_over_a_change_of_the_clock(store: Store) -> None:
    after = datetime(2026, 10, 26, 9, tzinfo=BERLIN)
    before = datetime(2026, 10, 19, 9, tzinfo=BERLIN)  # before the clock went back
    store_events(store, [made_event(at=after, cost="5"), made_event(at=before, cost="2")])
    day = timedelta(days=1)
    asked = Range(after.replace(hour=0), after.replace(hour=0) + day)
    report = run(
        store,
        Query(*asked, by=("hour",), tz=BERLIN, before=Range(before.replace(hour=0), before.replace(hour=0) + day)),
    )
    assert [row.group for row in report.rows] == [(after,)]
    assert report.before[report.rows[0].group].cost == 2


@pytest.mark.parametrize(
    ("since", "until", "first", "end"),
    [
        ("last-month", "last-month", "2026-06-01T00:00", "2026-07-01T00:00"),
        ("2026-06", "2026-07", "2026-04-01T00:00", "2026-06-01T00:00"),
        ("mtd", None, "2026-07-01T00:00", "2026-07-20T15:00"),
        ("7d", None, "2026-08-05T00:00", "2026-08-12T15:00"),
        ("yesterday", "yesterday", "2026-08-18T00:00", "2026-08-19T00:00"),
        ("today", None, "2026-08-19T00:00", "2026-08-19T15:00"),
        ("24h", None, "2026-08-18T13:00", "2026-08-19T14:00"),
        ("2026-10", "2026-10", "2026-09-01T00:00", "2026-09-01T01:00"),  # which is still to come
    ],
)
def test_the_range_before_is_as_long_as_what_has_passed(since: str, until: str | None, first: str, end: str) -> None:
    before = previous(parse_range(since, until, UTC, NOW), UTC, NOW)
    assert [moment and moment.isoformat()[:16] for moment in before] == [first, end]


@pytest.mark.parametrize(
    ("until", "end"),
    [
        ("2026-03-28T00:00", "2026-02-28T00:00"),
        ("2026-03-28T11:00", "2026-02-28T11:00"),
        ("2026-03-29T00:00", "2026-03-01T00:00"),
        ("2026-03-29T11:00", "2026-03-01T00:00"),
        ("2026-03-31T00:00", "2026-03-01T00:00"),
        ("2026-03-31T11:00", "2026-03-01T00:00"),
        ("2026-04-01T00:00", "2026-03-01T00:00"),
    ],
)
def test_a_long_month_is_held_against_all_of_a_short_one(until: str, end: str) -> None:
    march = Range(datetime(2026, 3, 1, tzinfo=BERLIN), datetime.fromisoformat(until).replace(tzinfo=BERLIN))
    first = datetime(2026, 2, 1, tzinfo=BERLIN)
    assert previous(march, BERLIN, NOW) == (first, datetime.fromisoformat(end).replace(tzinfo=BERLIN))


def test_what_has_no_start_has_nothing_before_it() -> None:
    with pytest.raises(ValueError, match="needs a --since"):
        previous(parse_range("all", None, UTC, NOW), UTC, NOW)
