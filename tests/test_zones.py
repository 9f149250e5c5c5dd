from datetime import UTC, date, datetime
from unittest.mock import Mock
from zoneinfo import ZoneInfo, available_timezones

import pytest

from usage_tracker.zones import midnight, parse_zone


def test_zones_go_by_their_names() -> None:
    assert parse_zone("Europe/Berlin") == ZoneInfo("Europe/Berlin")
    assert parse_zone("utc") is UTC


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("berlin", "did you mean Europe/Berlin?"),
        ("Europe/Belin", "did you mean Europe/Berlin?"),
        ("new york", "did you mean America/New_York?"),
        ("../../etc/passwd", "is not a time zone"),
        ("Europe", "is not a time zone"),
        ("", "is not a time zone"),
    ],
)
def test_an_unknown_zone_is_an_error_with_the_one_that_was_meant(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        parse_zone(name)


def test_what_was_meant_by_an_unknown_zone_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets are read each second, and there may be hundreds in a zone that this machine doesn't know yet."""
    looked = Mock(wraps=available_timezones)
    monkeypatch.setattr("usage_tracker.zones.available_timezones", looked)
    for _ in range(2):
        with pytest.raises(ValueError, match="did you mean Europe/Kyiv"):
            parse_zone("Europe/Kyiw")
    assert looked.call_count == 1


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("Asia/Kolkata", date(2026, 3, 1), datetime(2026, 2, 28, 18, 30, tzinfo=UTC)),
        ("Africa/Cairo", date(2026, 4, 24), datetime(2026, 4, 23, 22, tzinfo=UTC)),  # midnight became 01:00
        ("America/Havana", date(2026, 11, 1), datetime(2026, 11, 1, 4, tzinfo=UTC)),  # 01:00 became midnight again
    ],
)
def test_a_day_begins_where_the_clock_first_shows_it(zone: str, day: date, begins: datetime) -> None:
    assert midnight(day, parse_zone(zone)) == begins
