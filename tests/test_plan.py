"""Which tables are read for which part of a range."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, available_timezones

import pytest

from usage_tracker.instants import to_instant, to_moment
from usage_tracker.report.plan import NEWEST_DECREE, OLDEST_CHANGE, Span, clock_settings, plan, rollups_by

BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
NEW_YORK, KIRITIMATI = ZoneInfo("America/New_York"), ZoneInfo("Pacific/Kiritimati")


def planned(
    since: str, until: str, unit: str | None = None, zone: tzinfo = UTC, *keys: str, may_take_away: bool = False
) -> list[str]:
    """Each part as a line: its table, its spans, its offset in seconds, the hour that it leaves out, and whether it is
    taken away."""
    span = to_instant(datetime.fromisoformat(since)), to_instant(datetime.fromisoformat(until))
    return sorted(
        " ".join(
            [
                part.source.table,
                *(["less"] if part.taken else []),
                *(f"{to_moment(start):%m-%dT%H:%M}/{to_moment(end):%m-%dT%H:%M}" for start, end in part.spans),
                *([f"{part.offset:+}"] if part.offset else []),
                *([] if part.skipped_hour is None else [f"without {part.skipped_hour}h"]),
            ]
        )
        for part in plan(
            rollups_by(keys or ["kind_key", "owner_key"]), unit, zone, [span], is_shorter if may_take_away else None
        )
    )


def is_shorter(one: Span, other: Span) -> bool:
    """As where there are as many events in each hour."""
    return one[1] - one[0] < other[1] - other[0]


def test_whole_days_are_read_from_the_rollup_by_day() -> None:
    assert planned("2026-08-01T00:00Z", "2026-08-15T00:00Z") == ["by_day 08-01T00:00/08-15T00:00"]


def test_whole_hours_at_the_edges_are_read_by_hour_and_the_rest_from_events() -> None:
    assert planned("2026-08-01T21:30Z", "2026-08-15T02:10Z") == [
        "by_day 08-02T00:00/08-15T00:00",
        "by_hour 08-01T22:00/08-02T00:00",
        "by_hour 08-15T00:00/08-15T02:00",
        "usage_event 08-01T21:30/08-01T22:00 08-15T02:00/08-15T02:10",
    ]


def test_less_than_an_hour_is_read_from_events() -> None:
    assert planned("2026-08-01T21:30Z", "2026-08-01T21:50Z") == ["usage_event 08-01T21:30/08-01T21:50"]


@pytest.mark.parametrize("unit", ["day", "week", "month"])
def test_days_of_another_zone_are_read_by_hour_with_its_offset(unit: str) -> None:
    assert planned("2026-08-01T22:00Z", "2026-08-15T22:00Z", unit, BERLIN) == [
        "by_hour 08-01T22:00/08-15T22:00 +7200",
    ]


def test_each_offset_of_a_zone_has_its_own_part() -> None:
    assert planned("2026-10-01T00:00Z", "2026-11-01T00:00Z", "day", BERLIN) == [
        "by_hour 10-01T00:00/10-25T01:00 +7200",
        "by_hour 10-25T01:00/11-01T00:00 +3600",
    ]


def test_a_range_of_too_many_changes_of_the_clock_is_refused() -> None:
    assert len(planned("1900-01-01T00:00Z", "2100-01-01T00:00Z", "month", BERLIN)) == 267
    with pytest.raises(ValueError, match="the clock of that time zone changes too often in that range"):
        planned("0002-01-01T00:00Z", "9999-01-01T00:00Z", "month", BERLIN)
    assert len(planned("0002-01-01T00:00Z", "9999-01-01T00:00Z", "month")) == 1


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Etc/GMT-2")])
def test_a_clock_that_never_changes_is_not_looked_at_day_by_day(zone: tzinfo, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def look(instant: int) -> datetime:
        looked.append(instant)
        return to_moment(instant)

    monkeypatch.setattr("usage_tracker.report.plan.to_moment", look)
    assert planned("0002-01-01T00:00Z", "9999-01-01T00:00Z", "day", zone)
    assert len(looked) < 10


@pytest.mark.parametrize(
    ("since", "until"), [("2026-01-01T00:00Z", "9999-01-01T00:00Z"), ("0002-01-01T00:00Z", "1970-01-01T00:00Z")]
)
@pytest.mark.parametrize("zone", [KOLKATA, ZoneInfo("Asia/Tokyo"), ZoneInfo("America/Sao_Paulo")])
def test_a_clock_is_looked_at_day_by_day_only_in_the_years_in_which_it_may_change(
    since: str, until: str, zone: tzinfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def look(instant: int) -> datetime:
        looked.append(instant)
        return to_moment(instant)

    monkeypatch.setattr("usage_tracker.report.plan.to_moment", look)
    span = to_instant(datetime.fromisoformat(since)), to_instant(datetime.fromisoformat(until))
    assert list(clock_settings(zone, span, "day"))
    assert len(looked) < 200 * 366


def test_before_the_years_in_which_clocks_change_none_does_and_after_them_each_year_is_as_the_last() -> None:
    def offsets(zone: str, *years: int) -> list[timedelta | None]:
        return [
            datetime(year, month, 1, tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset()
            for year in years
            for month in (1, 7)
        ]

    oldest, newest = to_moment(OLDEST_CHANGE).year, to_moment(NEWEST_DECREE).year
    for zone in available_timezones():
        assert len({*offsets(zone, *range(2, oldest, 100))}) == 1
        assert offsets(zone, newest) == offsets(zone, newest + 400)


def test_where_midnight_is_within_an_hour_only_those_hours_are_read_from_events() -> None:
    assert planned("2026-08-01T00:00Z", "2026-08-03T00:00Z", "day", KOLKATA) == [
        "by_hour 08-01T00:00/08-03T00:00 +19800 without 18h",
        "usage_event 08-01T18:00/08-01T19:00 08-02T18:00/08-02T19:00 +19800",
    ]


def test_hours_that_start_within_an_hour_of_utc_are_read_from_events() -> None:
    assert planned("2026-08-01T00:00Z", "2026-08-03T00:00Z", "hour", KOLKATA) == [
        "usage_event 08-01T00:00/08-03T00:00 +19800",
    ]


def test_without_a_unit_of_time_the_zone_does_not_matter() -> None:
    assert planned("2026-08-01T00:00Z", "2026-08-03T00:00Z", None, KOLKATA) == ["by_day 08-01T00:00/08-03T00:00"]


@pytest.mark.parametrize(("key", "table"), [("user_key", "by_day_user"), ("tag_key", "by_day_tag")])
def test_users_and_tags_have_rollups_by_day_only(key: str, table: str) -> None:
    assert planned("2026-08-01T23:00Z", "2026-08-03T00:00Z", None, UTC, key, "kind_key") == [
        f"{table} 08-02T00:00/08-03T00:00",
        "usage_event 08-01T23:00/08-02T00:00",
    ]
    assert planned("2026-08-01T00:00Z", "2026-08-03T00:00Z", "hour", UTC, key) == [
        "usage_event 08-01T00:00/08-03T00:00"
    ]


@pytest.mark.parametrize("keys", [("session_id",), ("host_key",), ("tags_key",), ("user_key", "tag_key")])
def test_what_no_rollup_is_cut_by_is_read_from_events(keys: tuple[str, ...]) -> None:
    assert planned("2026-08-01T00:00Z", "2026-08-03T00:00Z", None, UTC, *keys) == [
        "usage_event 08-01T00:00/08-03T00:00"
    ]


@pytest.mark.parametrize(
    ("key", "table"),
    [("kind_key", "by_day_kind"), ("owner_key", "by_day_owner"), ("user_key", "by_day_user_total"),
     ("tag_key", "by_day_tag_total")],
)  # fmt: skip
def test_totals_by_one_key_are_read_from_the_rollup_that_has_nothing_else(key: str, table: str) -> None:
    assert planned("2026-08-01T00:00Z", "2026-08-03T00:00Z", "day", UTC, key) == [f"{table} 08-01T00:00/08-03T00:00"]


def test_users_of_a_long_time_are_read_by_the_week_and_its_ends_by_the_day() -> None:
    assert planned("2026-08-01T00:00Z", "2026-08-30T00:00Z", None, UTC, "user_key") == [
        "by_day_user_total 08-01T00:00/08-06T00:00",
        "by_day_user_total 08-27T00:00/08-30T00:00",
        "by_week_user_total 08-06T00:00/08-27T00:00",
    ]


def test_a_span_of_users_that_ends_late_in_a_day_is_all_of_that_day_less_what_comes_after() -> None:
    def of_user(since: str, until: str) -> list[str]:
        return planned(since, until, None, UTC, "user_key", may_take_away=True)

    assert of_user("2026-08-01T22:00Z", "2026-08-02T22:00Z") == [
        "by_day_user_total 08-02T00:00/08-03T00:00",
        "usage_event 08-01T22:00/08-02T00:00",
        "usage_event less 08-02T22:00/08-03T00:00",
    ]
    assert of_user("2026-08-01T00:00Z", "2026-08-02T11:00Z") == [
        "by_day_user_total 08-01T00:00/08-02T00:00",
        "usage_event 08-02T00:00/08-02T11:00",
    ]
    assert of_user("2026-08-01T01:00Z", "2026-08-01T23:00Z") == ["usage_event 08-01T01:00/08-01T23:00"]
    assert of_user("2026-08-01T00:00Z", "2026-08-01T23:59Z") == [
        "by_day_user_total 08-01T00:00/08-02T00:00",
        "usage_event less 08-01T23:59/08-02T00:00",
    ]


def test_a_span_of_users_that_starts_early_in_a_day_is_all_of_that_day_less_what_comes_before() -> None:
    def of_user(since: str, until: str) -> list[str]:
        return planned(since, until, None, UTC, "user_key", may_take_away=True)

    assert of_user("2026-08-01T04:00Z", "2026-08-02T04:00Z") == [
        "by_day_user_total 08-01T00:00/08-02T00:00",
        "usage_event 08-02T00:00/08-02T04:00",
        "usage_event less 08-01T00:00/08-01T04:00",
    ]
    assert of_user("2026-08-01T04:00Z", "2026-08-02T23:30Z") == [
        "by_day_user_total 08-01T00:00/08-03T00:00",
        "usage_event less 08-01T00:00/08-01T04:00 08-02T23:30/08-03T00:00",
    ]
    assert of_user("2026-08-01T00:30Z", "2026-08-02T00:00Z") == [
        "by_day_user_total 08-01T00:00/08-02T00:00",
        "usage_event less 08-01T00:00/08-01T00:30",
    ]


def test_days_of_users_by_another_clock_are_those_of_utc_but_for_the_hours_between() -> None:
    assert planned("2026-08-01T22:00Z", "2026-08-03T22:00Z", "day", BERLIN, "user_key", may_take_away=True) == [
        "by_day_user_total 08-02T00:00/08-03T00:00",
        "usage_event 08-01T22:00/08-02T00:00 08-02T22:00/08-03T00:00 08-03T00:00/08-03T22:00 +7200",
        "usage_event less 08-02T22:00/08-03T00:00",
    ]
    assert planned("2026-08-01T04:00Z", "2026-08-04T00:00Z", "day", NEW_YORK, "tag_key", may_take_away=True) == [
        "by_day_tag_total 08-02T00:00/08-04T00:00",
        "usage_event 08-01T04:00/08-02T00:00 08-02T00:00/08-02T04:00 08-03T00:00/08-03T04:00 -14400",
        "usage_event less 08-02T00:00/08-02T04:00 08-03T00:00/08-03T04:00",
    ]


def test_a_clock_more_than_half_a_day_ahead_is_in_the_next_day_for_most_of_one_of_utc() -> None:
    assert planned("2026-08-01T00:00Z", "2026-08-02T00:00Z", "day", KIRITIMATI, "user_key", may_take_away=True) == [
        "by_day_user_total 08-01T00:00/08-02T00:00 +86400",
        "usage_event 08-01T00:00/08-01T10:00 +50400",
        "usage_event less 08-01T00:00/08-01T10:00 +86400",
    ]


@pytest.mark.parametrize(
    ("unit", "pieces"),
    [("week", "08-30T22:00/08-31T00:00 09-06T22:00/09-07T00:00"), ("month", "08-31T22:00/09-01T00:00")],
)  # fmt: skip
def test_of_weeks_and_months_by_another_clock_only_the_hours_at_their_starts_are_read_from_events(
    unit: str, pieces: str
) -> None:
    assert planned("2026-08-29T00:00Z", "2026-09-08T00:00Z", unit, BERLIN, "user_key", may_take_away=True) == [
        "by_day_user_total 08-29T00:00/09-08T00:00",
        f"usage_event {pieces} +7200",
        f"usage_event less {pieces}",
    ]


def test_hours_of_users_and_days_of_more_than_ten_years_by_another_clock_are_read_from_events() -> None:
    assert planned("2026-08-01T00:00Z", "2026-08-03T00:00Z", "hour", BERLIN, "user_key", may_take_away=True) == [
        "usage_event 08-01T00:00/08-03T00:00 +7200",
    ]
    [kolkata] = planned("2001-01-01T00:00Z", "2026-01-01T00:00Z", "day", KOLKATA, "user_key", may_take_away=True)
    assert kolkata == "usage_event 01-01T00:00/01-01T00:00 +19800"


def test_totals_by_kind_and_owner_are_kept_for_hours_too() -> None:
    for key, table in (("kind_key", "by_hour_kind"), ("owner_key", "by_hour_owner")):
        assert planned("2026-08-01T22:00Z", "2026-08-15T22:00Z", "day", BERLIN, key) == [
            f"{table} 08-01T22:00/08-15T22:00 +7200",
        ]
