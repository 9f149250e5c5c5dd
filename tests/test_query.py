import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from any_query import queries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_events import NOON, made_event, random_events, store_events
from reference_report import check, read_view

from usage_tracker.dsn import parse_dsn
from usage_tracker.instants import to_moment
from usage_tracker.report import Query, Range, Report, list_events, parse_condition, run
from usage_tracker.report.groups import find_spans
from usage_tracker.stores import Store, open_store
from usage_tracker.stores.rollups import MEASURES

DAY = timedelta(days=1)


def opened(dsn: str) -> Store:
    store = open_store(parse_dsn(dsn))
    store.migrate()
    return store


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    memory = request.param == "sqlite"
    found = opened("sqlite:///:memory:" if memory else request.getfixturevalue("postgres_dsn"))
    yield found
    found.close()


def ask(store: Store, *by: str, where: str = "", **fields: Any) -> Report:
    conditions = tuple(map(parse_condition, where.split()))
    return run(store, Query(by=by, where=conditions, **fields))


def calls(report: Report) -> dict[Any, int]:
    """How often each group was called; the group's one value, or all of them."""
    return {row.group[0] if len(row.group) == 1 else row.group: row.calls for row in report.rows}


def test_a_row_holds_the_sums_of_its_group(store: Store) -> None:
    store_events(
        store,
        [
            made_event(cost="0.1", cache_read_tokens=30, cache_write_tokens=5, duration_ms=100.0, ttft_ms=10.0),
            made_event(cost="0.2", output_tokens=20, reasoning_tokens=7, duration_ms=300.0, reported_cost="0.25"),
            made_event(model="other"),
        ],
    )
    row = ask(store, "model").rows[0]
    assert row.group == ("gpt-4o",)
    assert (row.calls, row.errors, row.counted, row.estimated, row.unpriced) == (2, 0, 2, 0, 0)
    assert (row.input_tokens, row.cache_read_tokens, row.cache_write_tokens) == (200, 30, 5)
    assert (row.output_tokens, row.reasoning_tokens) == (30, 7)
    assert (row.cost, row.reported_cost) == (Decimal("0.3"), Decimal("0.25"))
    assert (row.mean_duration_ms, row.mean_ttft_ms) == (200, 10)


@pytest.mark.parametrize("apart", [timedelta(0), timedelta(hours=1), timedelta(days=40)])
def test_sums_beyond_what_an_integer_holds_are_no_error_and_right(store: Store, apart: timedelta) -> None:
    for number in range(3):
        store_events(store, [made_event(NOON + apart * number, cost="6000000.25", reported_cost="6000000.25")])
    total = ask(store, "model").total
    assert (total.cost, total.reported_cost, total.calls) == (Decimal("18000000.75"), Decimal("18000000.75"), 3)


def test_what_no_call_of_a_group_said_is_unknown_and_not_zero(store: Store) -> None:
    store_events(store, [made_event(cost=None, input_tokens=None, output_tokens=None, status="error")])
    row = ask(store, "model").rows[0]
    assert (row.calls, row.errors, row.counted) == (1, 1, 0)
    assert (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.reasoning_tokens) == (None,) * 4
    assert (row.cost, row.reported_cost, row.mean_ttft_ms) == (None,) * 3


def test_a_part_of_the_tokens_that_no_call_said_is_unknown_though_the_rest_is_known(store: Store) -> None:
    said: dict[str, Any] = {"cache_read_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0}
    store_events(
        store,
        [
            made_event(project="all", **said),
            made_event(project="some", cache_read_tokens=3),
            made_event(project="input", output_tokens=None),
            made_event(project="output", input_tokens=None),
            made_event(project="both", cache_read_tokens=3),
            made_event(project="both", **said),
        ],
    )
    parts = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    found = {row.group[0]: tuple(getattr(row, part) for part in parts) for row in ask(store, "project").rows}
    assert found == {
        "all": (100, 10, 0, 0, 0), "some": (100, 10, 3, None, None), "input": (100, None, None, None, None),
        "output": (None, 10, None, None, None), "both": (200, 20, 3, 0, 0),
    }  # fmt: skip
    columns = "input_tokens, output_tokens, cache_read_tokens, reasoning_tokens"
    days = store.select(f"SELECT project, {columns} FROM {store.dialect.prefix}daily")
    assert {project: tuple(None if each is None else int(each) for each in sums) for project, *sums in days} == {  # type: ignore[call-overload]
        "all": (100, 10, 0, 0), "some": (100, 10, 3, None), "input": (100, None, None, None),
        "output": (None, 10, None, None), "both": (200, 20, 3, 0),
    }  # fmt: skip


@pytest.mark.parametrize("where", ["user=user-7", "tag=feature:7", "tag:feature=7"])
def test_what_one_user_or_tag_used_is_found_in_each_day_by_the_index_of_the_rollup(where: str) -> None:
    store = opened("sqlite:///:memory:")
    for number in range(9):
        store_events(store, [made_event(NOON + DAY * number, user_id=f"user-{number}", tags=(f"feature:{number}",))])
    plans: list[str] = []

    class Explained:
        dialect = store.dialect

        def select(self, sql: str, parameters: Any = ()) -> Iterator[tuple[object, ...]]:
            plans.extend(str(step[-1]) for step in store.select(f"EXPLAIN QUERY PLAN {sql}", parameters))
            return store.select(sql, parameters)

    days = {"since": NOON.replace(hour=0), "until": NOON.replace(hour=0) + DAY * 9}
    for by, span in (("model", days), ("day", days), ("project", {})):
        plans.clear()
        query = Query(by=(by,), where=(parse_condition(where),), **span)  # type: ignore[arg-type]
        assert run(Explained(), query).total.calls == 1  # type: ignore[arg-type]  # as much of a store as it needs
        [step] = {plan for plan in plans if "rollup_day_" in plan and ("user" in plan or "tag" in plan)}
        assert "(bucket_at=? AND" in step
    store.close()


def test_a_total_over_no_calls_is_zero(store: Store) -> None:
    total = ask(store, "model").total
    assert (total.calls, total.input_tokens, total.cost) == (0, 0, Decimal(0))
    assert total.mean_duration_ms is None


def test_unpriced_calls_are_counted_and_their_models_named_most_calls_first(store: Store) -> None:
    unpriced: dict[str, Any] = {"cost": None, "flags": ["unpriced"]}
    store_events(
        store,
        [
            made_event(),
            made_event(cost=None),
            made_event(model="rare", **unpriced),
            made_event(model=None, request_model="asked", **unpriced),
            made_event(model=None, request_model="asked", **unpriced),
        ],
    )
    report = ask(store, "project")
    assert (report.total.unpriced, report.total.cost) == (3, Decimal("0.01"))
    assert report.unpriced_models == ("asked", "rare")


def test_estimated_calls_are_counted(store: Store) -> None:
    store_events(store, [made_event(estimated=True), made_event()])
    assert ask(store, "model").total.estimated == 1


def test_a_model_is_what_the_provider_named_or_else_what_was_asked_for(store: Store) -> None:
    store_events(store, [made_event(model="a-2026", request_model="a"), made_event(model=None, request_model="b")])
    assert calls(ask(store, "model")) == {"a-2026": 1, "b": 1}
    assert calls(ask(store, "request_model")) == {"a": 1, "b": 1}


def test_a_call_with_two_tags_counts_under_both_and_once_in_the_total(store: Store) -> None:
    store_events(store, [made_event(tags=("eu", "pro")), made_event(tags=("eu",)), made_event()])
    report = ask(store, "tag")
    assert calls(report) == {"eu": 2, "pro": 1, None: 1}
    assert (report.total.calls, report.total.cost) == (3, Decimal("0.03"))


def test_conditions_on_tags_are_about_all_tags_of_a_call(store: Store) -> None:
    store_events(store, [made_event(tags=("eu", "tier:pro")), made_event(tags=("tier:free",)), made_event()])
    totals = {
        where: ask(store, where=where).total.calls
        for where in ("tag=eu", "tag=tier:*", "tag!=eu", "tag=none", "tag!=none", "tag=eu tag=tier:pro", "tag=eu tag=x")
    }
    assert totals == {
        "tag=eu": 1,
        "tag=tier:*": 2,
        "tag!=eu": 2,
        "tag=none": 1,
        "tag!=none": 2,
        "tag=eu tag=tier:pro": 1,
        "tag=eu tag=x": 0,
    }
    assert calls(ask(store, "tag", where="tag=eu")) == {"eu": 1, "tier:pro": 1}


def test_the_values_of_one_kind_of_tag_are_a_dimension(store: Store) -> None:
    store_events(
        store,
        [
            made_event(tags=("eu", "tier:pro")),
            made_event(tags=("tier:pro", "tier:free", "tier:pro")),
            made_event(tags=("eu",)),
            made_event(tags=("tier",)),
            made_event(),
        ],
    )
    report = ask(store, "tag:tier")
    assert calls(report) == {"pro": 2, "free": 1, None: 3}
    assert (report.total.calls, report.total.cost) == (5, Decimal("0.05"))
    assert sum(row.cost or 0 for row in report.rows) == Decimal("0.06"), "what has two of them is in both"
    assert calls(ask(store, "tag:none")) == {None: 5}
    assert calls(ask(store, "day", "tag:tier", where="tag:tier=none")) == {(date(2026, 8, 15), None): 3}
    assert calls(ask(store, "tag:tier", where="tag=eu")) == {"pro": 1, None: 1}


def test_conditions_may_be_about_one_kind_of_tag(store: Store) -> None:
    store_events(store, [made_event(tags=("eu", "tier:pro")), made_event(tags=("tier:free", "ti*er:x")), made_event()])
    totals = {
        where: ask(store, where=where).total.calls
        for where in ("tag:tier=pro", "tag:tier!=pro", "tag:tier=*", "tag:tier=none", "tag:tier!=none", "tag:ti*er=x")
    }
    assert totals == {
        "tag:tier=pro": 1,
        "tag:tier!=pro": 2,
        "tag:tier=*": 2,
        "tag:tier=none": 1,
        "tag:tier!=none": 2,
        "tag:ti*er=x": 1,
    }


def test_conditions_may_be_about_the_flags_of_a_cost(store: Store) -> None:
    store_events(
        store,
        [
            made_event(flags=("sum_mismatch",), model="a", tags=("eu",)),
            made_event(flags=("unpriced", "tool_unpriced"), cost=None, model="b"),
            made_event(model="c"),
        ],
    )
    found = {
        where: "".join(sorted(calls(ask(store, "model", where=where))))
        for where in ("flag=sum_mismatch", "flag=*unpriced", "flag!=unpriced", "flag=none", "flag!=none", "flag=x")
    }
    assert found == {
        "flag=sum_mismatch": "a",
        "flag=*unpriced": "b",
        "flag!=unpriced": "ac",
        "flag=none": "c",
        "flag!=none": "ab",
        "flag=x": "",
    }
    assert calls(ask(store, "day", "tag", where="flag=sum_mismatch tag=eu")) == {(date(2026, 8, 15), "eu"): 1}
    started = made_event(NOON, awaits="batch-1", input_tokens=None, output_tokens=None, cost=None, flags=("awaited",))
    store_events(store, [started])
    assert [ask(store, where=where).untold for where in ("flag=awaited", "flag=none", "flag!=x")] == [1, 0, 1]
    listed = list_events(store, where=[parse_condition("flag=sum_mismatch")])
    assert [event["model"] for event in listed] == ["a"]


def test_unequal_is_the_exact_opposite_of_equal(store: Store) -> None:
    store_events(store, [made_event(team="core"), made_event(team="web"), made_event()])
    assert calls(ask(store, "team", where="team!=core")) == {"web": 1, None: 1}
    assert calls(ask(store, "team", where="team!=none")) == {"core": 1, "web": 1}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("user=a%b", {"a%b"}),
        ("user=a*b", {"a%b", "a_b", "a*b", "a[x]b", "a\\b"}),
        ("user=a?b", {"a%b", "a_b", "a*b", "a\\b"}),
        (r"user=a\*b", {"a*b"}),
        (r"user=a\\b", {"a\\b"}),
        (r"user=*\\*", {"a\\b"}),
        ("user=*[x]*", {"a[x]b"}),
        ("user=A*", {"A"}),
        (r"user=\none", {"none"}),
        ("user=x'--", {"x'--"}),
        ("user=x'*", {"x'--"}),
    ],
)
def test_values_are_matched_literally_but_for_wildcards(store: Store, where: str, found: set[str]) -> None:
    names = ("a%b", "a_b", "a*b", "a[x]b", "a\\b", "A", "none", "x'--")
    store_events(store, [made_event(user_id=name) for name in names] + [made_event()])
    assert set(calls(ask(store, "user", where=where))) == found


def test_time_comes_first_to_last_and_all_else_the_most_expensive_first(store: Store) -> None:
    store_events(
        store,
        [
            made_event(NOON + DAY, model="cheap", cost="1"),
            made_event(NOON, model="dear", cost="5"),
            made_event(NOON, model="cheap", cost="1"),
            made_event(NOON, model="silent", cost=None),
            made_event(NOON, model="silent", cost=None),
            made_event(NOON, model="a", cost=None),
        ],
    )
    assert list(calls(ask(store, "day", "model"))) == [
        (date(2026, 8, 15), "dear"),
        (date(2026, 8, 15), "cheap"),
        (date(2026, 8, 15), "silent"),
        (date(2026, 8, 15), "a"),
        (date(2026, 8, 16), "cheap"),
    ]
    assert [row.group[0] for row in ask(store, "model", "day").rows] == ["dear", "cheap", "cheap", "silent", "a"]


def test_the_range_holds_its_start_and_not_its_end(store: Store) -> None:
    store_events(store, [made_event(NOON), made_event(NOON + timedelta(microseconds=1)), made_event(NOON + DAY)])
    assert ask(store, since=NOON, until=NOON + DAY).total.calls == 2
    assert ask(store, since=NOON, until=NOON + timedelta(microseconds=1)).total.calls == 1
    assert ask(store, since=NOON + DAY, until=NOON + DAY).total.calls == 0
    assert ask(store).total.calls == 3


@pytest.mark.parametrize(
    ("unit", "zone", "expected"),
    [
        ("day", "UTC", date(2026, 8, 16)),
        ("day", "Asia/Kolkata", date(2026, 8, 17)),
        ("week", "UTC", date(2026, 8, 10)),
        ("week", "Asia/Kolkata", date(2026, 8, 17)),
        ("month", "Asia/Kolkata", date(2026, 8, 1)),
        ("hour", "Asia/Kolkata", datetime(2026, 8, 17, 0, tzinfo=timezone(timedelta(hours=5.5)))),
    ],
)
def test_time_is_cut_by_the_clock_of_the_zone(store: Store, unit: str, zone: str, expected: date) -> None:
    store_events(store, [made_event(datetime(2026, 8, 16, 18, 45, tzinfo=UTC))])
    assert list(calls(ask(store, unit, tz=ZoneInfo(zone)))) == [expected]


def test_a_call_before_1970_is_in_one_day_of_a_clock_that_is_half_an_hour_off(store: Store) -> None:
    store_events(store, [made_event(datetime(1969, 6, 3, hour, 45, tzinfo=UTC)) for hour in range(24)])
    report = ask(store, "day", tz=ZoneInfo("Asia/Kolkata"))
    assert calls(report) == {date(1969, 6, 3): 18, date(1969, 6, 4): 6}


def test_a_range_of_centuries_is_read_as_far_as_there_are_events(store: Store) -> None:
    store_events(store, [made_event(NOON), made_event(NOON + DAY)])
    since, until = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)
    report = ask(store, "day", since=since, until=until, tz=ZoneInfo("Europe/Berlin"), percentiles=True)
    assert calls(report) == {date(2026, 8, 15): 1, date(2026, 8, 16): 1}


def test_a_range_may_end_in_the_last_day_of_all(store: Store) -> None:
    """The one after it was asked for, which Postgres's driver can't write: a report by user ended in an error."""
    store_events(store, [made_event(NOON)])
    report = ask(store, "user", until=datetime(9999, 12, 31, 23, tzinfo=UTC))
    assert report.total.calls == 1


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata"])
def test_calls_by_wrong_clocks_are_in_reports_and_the_years_between_are_not_asked_for(store: Store, zone: str) -> None:
    """Between them are thousands of changes of a clock and, where days start within an hour of UTC, of such hours:
    reports by day took Postgres gigabytes, or were refused."""
    noons = [NOON.replace(year=year) for year in (1970, 2026, 2106, 9000)]
    store_events(store, [made_event(noon, session_id="s-1") for noon in [*noons, NOON + DAY, NOON + 200 * DAY]])
    days = {date(year, 8, 15) for year in (1970, 2026, 2106, 9000)} | {date(2026, 8, 16), date(2027, 3, 3)}
    for further in (
        {},
        {"percentiles": True},
        {"before": Range(NOON - DAY, NOON), "since": datetime(1, 1, 1, tzinfo=UTC)},
    ):
        report = ask(store, "day", until=datetime(9998, 1, 1, tzinfo=UTC), tz=ZoneInfo(zone), **further)
        assert calls(report) == dict.fromkeys(days, 1)
    assert len(find_spans(store, None, None, closed=True)) == len(noons)
    assert [to_moment(start).year for start, _ in find_spans(store, NOON, None, closed=True)] == [2026, 2106, 9000]


def test_a_report_of_which_a_clock_changes_hundreds_of_times_is_refused(store: Store) -> None:
    store_events(store, [made_event(NOON.replace(year=year)) for year in range(2026, 2300)])
    until, berlin = datetime(9998, 1, 1, tzinfo=UTC), ZoneInfo("Europe/Berlin")
    assert len(calls(ask(store, "month", until=until))) == 2300 - 2026
    for further in ({}, {"top": 1}, {"percentiles": True}):
        with pytest.raises(ValueError, match="clock of that time zone changes too often"):
            ask(store, "month", "model", until=until, tz=berlin, **further)


def test_the_hour_that_comes_twice_is_two_hours(store: Store) -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    store_events(store, [made_event(first), made_event(first + timedelta(hours=1))])
    hours = [row.group[0] for row in ask(store, "hour", tz=ZoneInfo("Europe/Berlin")).rows]
    assert [str(hour) for hour in hours] == ["2026-10-25 02:00:00+02:00", "2026-10-25 02:00:00+01:00"]


@pytest.mark.parametrize(
    ("changes", "hours"),
    [
        # 03:45 becomes 02:45
        ("2026-04-04T14:00Z", {"2026-04-05 03:00:00+13:45": 2, "2026-04-05 03:00:00+12:45": 1}),
        # 02:45 becomes 03:45
        ("2026-09-26T14:00Z", {"2026-09-27 02:00:00+12:45": 2, "2026-09-27 04:00:00+13:45": 1}),
    ],
)
def test_an_hour_within_which_the_clock_changes_by_one_is_one_hour(
    store: Store, changes: str, hours: dict[str, int]
) -> None:
    change = datetime.fromisoformat(changes)
    store_events(store, [made_event(change + timedelta(minutes=minutes)) for minutes in (-45, 14, 15)])
    report = ask(store, "hour", tz=ZoneInfo("Pacific/Chatham"), percentiles=True)
    assert {str(hour): count for hour, count in calls(report).items()} == hours
    assert report.total.calls == 3


@pytest.mark.parametrize("by", [("day", "user"), ("day", "tag:tier")])
@pytest.mark.parametrize("top", [None, 1])
def test_rollups_of_before_it_was_counted_who_says_what_give_no_groups_without_calls(
    store: Store, by: tuple[str, ...], top: int | None
) -> None:
    night, noon = datetime(2026, 3, 3, 2, tzinfo=UTC), datetime(2026, 3, 4, 12, tzinfo=UTC)
    nobody_knows = float("nan")
    events = [made_event(at, user_id=user, tags=("tier:pro",)) for at in (night, noon) for user in "aab"]
    events += [made_event(night + DAY, user_id="a", tags=("tier:pro",), duration_ms=nobody_knows)]
    store_events(store, events)
    store.compact()

    def figures() -> list[tuple[Any, ...]]:
        report = ask(store, *by, tz=ZoneInfo("America/New_York"), top=top)
        return [(row.group, row.calls, row.output_tokens, row.mean_duration_ms) for row in report.rows]

    before = figures()
    later = ", ".join(f"{name} = 0" for name in MEASURES[MEASURES.index("output_counted") :])
    for name in ("hour", "day", "day_user", "day_tag", "hour_kind", "day_kind", "day_user_total", "day_tag_total"):
        sql = f"UPDATE {store.dialect.prefix}rollup_{name} SET {later}"
        store.change(lambda execute, sql=sql: execute(sql, []))  # type: ignore[misc]
    assert figures() == before


def test_figures_are_the_same_before_and_after_rollups_are_folded(store: Store) -> None:
    store_events(store, random_events(7, 50))
    before = {by: calls(ask(store, by)) for by in ("day", "user", "tag")}
    store.compact()
    assert {by: calls(ask(store, by)) for by in ("day", "user", "tag")} == before
    for by in ("day", "user", "tag"):
        check(ask(store, by), read_view(store))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"by": ("modle",)}, "did you mean model?"),
        ({"by": ("model", "model")}, "each dimension once"),
        ({"by": ("day", "hour")}, "one unit of time"),
        ({"by": ("model", "app", "team", "user")}, "at most 3"),
        ({"by": ("tag", "tag:tier")}, "one of tag and tag:KEY at once"),
        ({"by": ("tag:",)}, "lacks its KEY"),
        ({"by": ("flag",)}, "flag can only be a condition"),
        ({"since": NOON, "until": NOON - DAY}, "since is after until"),
        ({"since": datetime(2026, 8, 1)}, "need a time zone"),  # noqa: DTZ001  that is the fault
    ],
)
def test_a_question_without_sense_is_an_error_in_a_sentence(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        Query(**fields)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.lists(queries(), min_size=5, max_size=5))
def test_any_report_on_sqlite_equals_the_sums_over_the_view(seed: int, asked: list[Query]) -> None:
    store = opened("sqlite:///:memory:")
    store_events(store, random_events(seed, random.Random(seed).randint(0, 60)))
    events = read_view(store)
    for query in asked:
        check(run(store, query), events)
    store.close()


def test_any_report_on_postgres_equals_the_sums_over_the_view(postgres_dsn: str) -> None:
    store = opened(postgres_dsn)
    store_events(store, random_events(1, 150))
    store.compact()
    store_events(store, random_events(2, 150))
    events = read_view(store)

    @settings(max_examples=60, deadline=None)
    @given(queries())
    def ask_anything(query: Query) -> None:
        check(run(store, query), events)

    ask_anything()
    store.close()


def test_both_stores_give_the_same_report(postgres_dsn: str) -> None:
    made = random_events(3, 200)
    stores = opened("sqlite:///:memory:"), opened(postgres_dsn)
    for store in stores:
        store_events(store, made)
    here, there = (ask(store, "project", "week", "status", where="model=gpt*") for store in stores)
    assert [row.group for row in here.rows] == [row.group for row in there.rows]
    assert [(row.cost, row.input_tokens) for row in here.rows] == [(row.cost, row.input_tokens) for row in there.rows]
    assert here.unpriced_models == there.unpriced_models
    for store in stores:
        store.close()
