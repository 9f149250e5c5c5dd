from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from usage_tracker.cli.figures import show_range
from usage_tracker.report.comparison import previous
from usage_tracker.report.ranges import parse_range

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 8, 14, 12, 34, 56, tzinfo=UTC)  # a Friday; 14:34 in Berlin


def berlin(since: str | None, until: str | None = None, now: datetime = NOW) -> tuple[str | None, str]:
    """The range by Berlin's clock."""
    start, end = parse_range(since, until, BERLIN, now)
    return None if start is None else shown(start), shown(end)


def shown(moment: datetime) -> str:
    assert moment.tzinfo is UTC
    return f"{moment.astimezone(BERLIN):%Y-%m-%dT%H:%M}"


@pytest.mark.parametrize(
    ("since", "start"),
    [
        (None, "2026-08-01T00:00"),
        ("mtd", "2026-08-01T00:00"),
        ("today", "2026-08-14T00:00"),
        ("yesterday", "2026-08-13T00:00"),
        ("this-week", "2026-08-10T00:00"),
        ("last-week", "2026-08-03T00:00"),
        ("last-month", "2026-07-01T00:00"),
        ("ytd", "2026-01-01T00:00"),
        ("7d", "2026-08-07T00:00"),
        ("0d", "2026-08-14T00:00"),
        ("2w", "2026-07-31T00:00"),
        ("2026-08-02", "2026-08-02T00:00"),
        ("2026-05", "2026-05-01T00:00"),
        ("2025", "2025-01-01T00:00"),
        ("all", None),
    ],
)
def test_days_start_at_the_zones_midnight_and_run_to_the_end_of_today(since: str | None, start: str | None) -> None:
    assert berlin(since) == (start, "2026-08-15T00:00")


@pytest.mark.parametrize(
    ("since", "start"),
    [
        ("24h", "2026-08-13T14:00"),
        ("1h", "2026-08-14T13:00"),
        ("90m", "2026-08-14T13:04"),
        ("2026-08-14T09:30", "2026-08-14T09:30"),
        ("2026-08-14 09:30:00", "2026-08-14T09:30"),
        ("2026-08-14T09:30Z", "2026-08-14T11:30"),
        ("2026-08-14T09:30+05:30", "2026-08-14T06:00"),
    ],
)
def test_what_starts_within_a_day_runs_to_the_end_of_the_hour(since: str, start: str) -> None:
    assert berlin(since) == (start, "2026-08-14T15:00")


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("last-month", "last-month", ("2026-07-01T00:00", "2026-08-01T00:00")),
        ("last-week", "last-week", ("2026-08-03T00:00", "2026-08-10T00:00")),
        ("yesterday", "yesterday", ("2026-08-13T00:00", "2026-08-14T00:00")),
        ("2026-08-01", "2026-08-03", ("2026-08-01T00:00", "2026-08-04T00:00")),
        ("2025-12", "2025-12", ("2025-12-01T00:00", "2026-01-01T00:00")),
        ("2025", "2025", ("2025-01-01T00:00", "2026-01-01T00:00")),
        ("7d", "1d", ("2026-08-07T00:00", "2026-08-14T00:00")),
        ("3h", "2h", ("2026-08-14T11:00", "2026-08-14T13:00")),
        ("30m", "10m", ("2026-08-14T14:04", "2026-08-14T14:25")),
        ("today", "2026-08-14T09:30", ("2026-08-14T00:00", "2026-08-14T09:30")),
        ("all", "yesterday", (None, "2026-08-14T00:00")),
    ],
)
def test_until_includes_the_period_it_names_and_excludes_the_instant(
    since: str, until: str, expected: tuple[str | None, str]
) -> None:
    assert berlin(since, until) == expected


def test_today_is_the_zones_day() -> None:
    late = datetime(2026, 8, 14, 22, 30, tzinfo=UTC)
    assert berlin("today", now=late) == ("2026-08-15T00:00", "2026-08-16T00:00")
    assert parse_range("today", None, UTC, late).since == datetime(2026, 8, 14, tzinfo=UTC)


def test_days_are_counted_back_from_the_zones_today() -> None:
    late = datetime(2026, 8, 14, 22, 30, tzinfo=UTC)
    assert berlin("7d", now=late) == ("2026-08-08T00:00", "2026-08-16T00:00")
    assert berlin("1w", "1d", now=late) == ("2026-08-08T00:00", "2026-08-15T00:00")


@pytest.mark.parametrize("since", ["90m", "24h"])
def test_what_goes_back_within_a_day_starts_with_a_whole_minute_or_hour(since: str) -> None:
    start, end = parse_range(since, since, BERLIN, NOW.replace(microsecond=789))
    assert start is not None
    assert [(moment.second, moment.microsecond) for moment in (start, end)] == [(0, 0), (0, 0)]


def test_a_day_of_25_hours_is_25_hours_long() -> None:
    start, end = parse_range("2026-10-25", "2026-10-25", BERLIN, NOW)
    assert start is not None
    assert (end - start).total_seconds() == 25 * 3600


def test_a_day_without_a_midnight_starts_with_its_first_instant() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # on 2026-04-24 midnight became 01:00
    start, _ = parse_range("2026-04-24", None, cairo, NOW)
    assert start == datetime(2026, 4, 23, 22, tzinfo=UTC)


def test_hours_are_cut_by_the_zones_clock() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")  # 18:04 there
    start, end = parse_range("2h", None, kolkata, NOW)
    assert (start, end) == (datetime(2026, 8, 14, 10, 30, tzinfo=UTC), datetime(2026, 8, 14, 13, 30, tzinfo=UTC))


def test_hours_that_run_to_now_hold_now_also_where_the_clock_went_back_by_half_an_hour() -> None:
    lord_howe, now = ZoneInfo("Australia/Lord_Howe"), datetime(2026, 4, 4, 15, 15, tzinfo=UTC)  # 01:45, the second one
    start, end = parse_range("1h", None, lord_howe, now)
    assert (start, end) == (datetime(2026, 4, 4, 14, tzinfo=UTC), datetime(2026, 4, 4, 15, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("lastmonth", None, "did you mean last-month?"),
        ("soon", None, "Use one of: a date"),
        ("2026-02-30", None, "not a date or time of the calendar"),
        ("2026-13", None, "not a date or time of the calendar"),
        ("0000", None, "not a date or time of the calendar"),
        ("9999", None, "not a date or time of the calendar"),
        ("2026-08-14T25:00", None, "not a date or time of the calendar"),
        ("999999d", None, "goes back too far"),
        ("999999h", "999999w", "goes back too far"),
        ("today", "yesterday", "the range is empty"),
        ("2027-01-01", None, "the range is empty"),
        ("today", "all", "only where a range starts"),
        ("-7d", None, "names no time"),
    ],
)
def test_what_names_no_range_is_an_error_in_a_sentence(since: str, until: str | None, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        parse_range(since, until, BERLIN, NOW)


@pytest.mark.parametrize(
    ("name", "day"),
    [("Africa/Cairo", "2025-04-25"), ("America/Havana", "2025-03-09"), ("America/Havana", "2025-11-02")],
)
def test_a_day_whose_midnight_there_is_twice_or_not_at_all_is_a_whole_one(name: str, day: str) -> None:
    zone = ZoneInfo(name)
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=zone)
    today = parse_range("today", None, zone, noon)
    assert (today.until.astimezone(zone).date() - noon.date()).days == 1
    assert today == parse_range(day, day, zone, noon)
    assert show_range(*today, zone) == day
    hours = [moment and f"{moment.astimezone(zone):%d %H:%M}" for moment in previous(today, zone, noon)]
    assert hours == [f"{noon.day - 1:02} 00:00", f"{noon.day - 1:02} 13:00"]
