from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from usage_tracker.cli.figures import (
    align_points,
    counted,
    printable,
    show_count,
    show_duration,
    show_groups,
    show_money,
    show_part,
    show_range,
    show_share,
)
from usage_tracker.plain_values import exact


def money(*amounts: str | None) -> list[str]:
    return show_money(None if amount is None else Decimal(amount) for amount in amounts)


@pytest.mark.parametrize(
    ("amounts", "shown"),
    [
        (["1234567.891", "12", "3.5"], ["$1,234,567.89", "$12.00", "$3.50"]),
        (["1.5", "0.25"], ["$1.5000", "$0.2500"]),
        (["0.0123456", "0.00031"], ["$0.012346", "$0.000310"]),
        (["0", None], ["$0.00", "—"]),
        (["-0.5", "20"], ["-$0.50", "$20.00"]),
    ],
)
def test_amounts_have_cents_where_they_are_large_and_more_digits_where_they_are_small(
    amounts: list[str | None], shown: list[str]
) -> None:
    assert money(*amounts) == shown


def test_one_is_not_many() -> None:
    assert [counted(count, "file") for count in (0, 1, 2, 2000)] == ["0 files", "1 file", "2 files", "2,000 files"]


def test_an_amount_that_is_not_zero_never_looks_like_zero() -> None:
    assert money("5000", "0.0042", "0.000000314159", "0.000000000001", "-0.004") == [
        "$5,000.00",
        "$0.0042",
        "$0.00000031",
        "$0.000000000001",
        "-$0.004",
    ]


@pytest.mark.parametrize(
    ("now", "before", "shown"),
    [("3", "2", "+50 %"), ("2", "2", "+0.0 %"), ("1", "0", "—"), ("38.5", "-25.5", "—"), ("-3", "2", "-250 %")],
)
def test_what_was_nothing_or_less_has_no_percentage(now: str, before: str, shown: str) -> None:
    assert show_share(Decimal(now), Decimal(before)) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 7, "0%"),
        (1, 100_000, "<0.1%"),
        (1, 3, "33.3%"),
        (9_994, 10_000, "99.9%"),
        (9_999, 10_000, ">99.9%"),
        (7, 7, "100%"),
        (Decimal("0.0001"), Decimal(99), "<0.1%"),
        (Decimal(-1), Decimal(9), "-11.1%"),
    ],
)
def test_only_all_is_100_percent_and_only_nothing_is_none(
    part: Decimal | int, whole: Decimal | int, shown: str
) -> None:
    assert show_part(part, whole) == shown


def test_amounts_are_aligned_by_their_points() -> None:
    assert align_points(["$5,000.00", "$0.0042", "—", ""]) == [
        "$5,000.00  ",
        "    $0.0042",
        "     —     ",
        "           ",
    ]


@pytest.mark.parametrize(
    ("amount", "digits"),
    [
        ("0.00125000", "0.00125"),
        ("1E+3", "1000"),
        ("1E-12", "0.000000000001"),
        ("0", "0"),
        ("0.0", "0"),
        ("-2.50", "-2.5"),
    ],
)
def test_exact_amounts_are_plain_digits(amount: str, digits: str) -> None:
    assert exact(Decimal(amount)) == digits


def test_counts_have_thousands_separators_and_the_unknown_is_a_dash() -> None:
    assert (show_count(1234567), show_count(0), show_count(None)) == ("1,234,567", "0", "—")


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, "—"),
        (0, "0 ms"),
        (0.4, "0.4 ms"),
        (87.6, "88 ms"),
        (1234, "1.2 s"),
        (99_900, "99.9 s"),
        (150_000, "2.5 min"),
    ],
)
def test_durations_have_the_unit_that_suits_them(milliseconds: float | None, shown: str) -> None:
    assert show_duration(milliseconds) == shown


def test_what_could_act_on_a_terminal_is_written_out() -> None:
    assert printable("größe 模型 🎉") == "größe 模型 🎉"
    assert printable("\x1b[31mred\n\u202egnp") == r"\x1b[31mred\n\u202egnp"


def test_groups_of_time_are_shown_as_their_unit() -> None:
    assert show_groups("month", [date(2026, 8, 1)]) == ["2026-08"]
    assert show_groups("week", [date(2026, 8, 10), None]) == ["2026-08-10", "(none)"]
    berlin = [datetime(2026, 10, 25, 2, tzinfo=timezone(timedelta(hours=hours))) for hours in (2, 1)]
    assert show_groups("hour", berlin[:1]) == ["2026-10-25 02:00"]
    assert show_groups("hour", berlin) == ["2026-10-25 02:00 +0200", "2026-10-25 02:00 +0100"]


@pytest.mark.parametrize(
    ("since", "until", "shown"),
    [
        ("2026-08-01T00:00Z", "2026-08-16T00:00Z", "2026-08-01 to 2026-08-15"),
        ("2026-08-01T00:00Z", "2026-08-02T00:00Z", "2026-08-01"),
        ("2026-08-01T00:00Z", "2026-08-01T14:30Z", "2026-08-01 00:00 to 2026-08-01 14:30"),
        (None, "2026-08-16T00:00Z", "up to 2026-08-15"),
        ("2026-08-01T00:00Z", None, "from 2026-08-01"),
        (None, None, "all"),
    ],
)
def test_a_range_of_whole_days_is_shown_up_to_its_last_day(since: str | None, until: str | None, shown: str) -> None:
    start, end = (None if text is None else datetime.fromisoformat(text) for text in (since, until))
    assert show_range(start, end, UTC) == shown


def test_a_range_is_shown_by_the_clock_of_its_zone() -> None:
    since, until = datetime(2026, 7, 31, 22, tzinfo=UTC), datetime(2026, 8, 1, 22, tzinfo=UTC)
    assert show_range(since, until, ZoneInfo("Europe/Berlin")) == "2026-08-01"
