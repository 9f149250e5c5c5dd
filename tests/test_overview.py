"""`usage-tracker` alone."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from commanding import invoke
from made_events import made_event, store_events

from usage_tracker.budgets.budget import Budget
from usage_tracker.cli.budget_figures import read_outlooks
from usage_tracker.cli.overview import Overview, look, pace, project_month, show, sparkline, warn
from usage_tracker.dsn import Dsn, parse_dsn
from usage_tracker.stores import open_store
from usage_tracker.zones import parse_zone

NOW = datetime(2026, 8, 16, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def dsn(tmp_path: Path) -> Dsn:
    """1 dollar today, 2 yesterday, 8 ten days ago, 4 in the month before."""
    found = parse_dsn(f"sqlite:///{tmp_path}/usage.db")
    store = open_store(found)
    store.migrate()
    store_events(
        store,
        [
            made_event(NOW - HOUR, cost="1", model="a", project="x"),
            made_event(NOW - DAY - HOUR, cost="2", model="a", project="y"),
            made_event(NOW - 10 * DAY, cost="8", model="b", project="x"),
            made_event(NOW - 31 * DAY, cost="4", model="b"),
            made_event(NOW - HOUR, cost=None, flags=["unpriced"], model="new"),
        ],
    )
    store.close()
    return found


@pytest.fixture
def seen(dsn: Dsn) -> Overview:
    return look(dsn, UTC, NOW)


def test_it_says_what_today_and_this_month_cost_beside_the_time_before(seen: Overview) -> None:
    lines = [line.split() for line in "".join(show(seen)).splitlines()]
    assert ["Today", "2", "0", "200", "20", "$1.00", "$2.00", "-50", "%"] in lines
    assert ["Month", "to", "date", "4", "0", "400", "40", "$11.00", "$4.00", "+175", "%"] in lines


def test_it_names_who_spent_most_this_month(seen: Overview) -> None:
    lines = [line.split() for line in "".join(show(seen)).splitlines()]
    by_model = lines[lines.index(["This", "month", "by", "model"]) :]
    assert by_model[4:7] == [
        ["b", "1", "$8.0000", "+$4.0000"],
        ["a", "2", "$3.0000", "+$3.0000"],
        ["new", "1", "—", "—"],
    ]
    assert ["x", "2", "$9.0000", "+$9.0000"] in lines


def test_the_sparkline_has_a_block_for_each_of_thirty_days(seen: Overview) -> None:
    line = sparkline(seen.days, NOW.date())
    assert len(line) == 30
    assert [(30 - at, block) for at, block in enumerate(line) if block != " "] == [(11, "█"), (2, "▃"), (1, "▂")]


@pytest.mark.parametrize(("costs", "blocks"), [(("-1", "0"), "  "), (("-8", "-1"), "  "), (("-8", "2"), " █")])
def test_a_day_of_credits_has_no_block(tmp_path: Path, costs: tuple[str, str], blocks: str) -> None:
    dsn = parse_dsn(f"sqlite:///{tmp_path}/credits.db")
    with closing(open_store(dsn)) as store:
        store.migrate()
        store_events(store, [made_event(NOW - DAY, cost=costs[0]), made_event(NOW, cost=costs[1])])
    assert sparkline(look(dsn, UTC, NOW).days, NOW.date()).endswith(blocks)


def test_the_month_is_projected_from_the_time_that_has_passed_of_it(seen: Overview) -> None:
    assert project_month(seen.month.total, UTC, NOW) == Decimal(22)
    assert project_month(seen.month.total, UTC, NOW + 10 * HOUR) == Decimal(11) * 31 * 24 / (15 * 24 + 22)
    assert "At this pace $22.00 by the end of the month" in "".join(show(seen))


def test_in_the_zones_first_hours_of_a_month_nobody_knows_its_end(seen: Overview) -> None:
    zone = parse_zone("Europe/Berlin")
    month_begins = datetime(2026, 8, 1, tzinfo=zone)
    assert project_month(seen.month.total, zone, month_begins + 14 * HOUR) is None
    assert pace(seen.month.total, zone, month_begins + 14 * HOUR) == "It is not known yet what the month will cost"
    assert project_month(seen.month.total, zone, month_begins + 15 * HOUR) == Decimal(11) * 31 * 24 / 15


def test_the_month_of_a_budget_is_projected_alike(seen: Overview, dsn: Dsn) -> None:
    with closing(open_store(dsn)) as store:
        [outlook] = read_outlooks(store, [Budget(name="all", limit=Decimal(100))], NOW)
    assert outlook.projected == project_month(seen.month.total, UTC, NOW)


def test_it_warns_of_what_has_no_price(seen: Overview) -> None:
    assert warn(seen.month) == [
        "1 call is unpriced this month (model: new): its cost is in no sum; see `usage-tracker prices unpriced`."
    ]


def test_without_events_it_is_the_help(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/none.db")
    result = invoke()
    assert "Type first:" in result.stdout
    assert f"No events yet in sqlite:///{tmp_path}/none.db." in result.stderr


def test_with_events_it_is_the_overview_and_what_to_type_next(monkeypatch: pytest.MonkeyPatch, dsn: Dsn) -> None:
    monkeypatch.setenv("TRACKER_DSN", dsn.text if "://" in dsn.text else f"sqlite:///{dsn.text}")
    result = invoke()
    assert result.exit_code == 0
    assert "Month to date" in result.stdout
    assert "usage-tracker report --by project,model" in result.stdout


def test_a_wrong_time_zone_in_the_environment_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_TZ", "Mars")
    result = invoke()
    assert result.exit_code == 2
    assert "TRACKER_TZ: 'Mars' is not a time zone" in result.stderr
