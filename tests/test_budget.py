"""A budget says how much of what, for which calls, in which window; one that makes no sense is refused."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from usage_tracker.budgets.amounts import exact, show, whole
from usage_tracker.budgets.budget import (
    Budget,
    check,
    decode,
    default_name,
    encode,
    parse_limit,
    parse_share,
)
from usage_tracker.budgets.outlook import look_ahead
from usage_tracker.budgets.scope import NOBODY, Described, counts_in, parts_of
from usage_tracker.budgets.windows import Window, is_duration, window_at
from usage_tracker.conditions import Condition
from usage_tracker.errors import BudgetExceeded, ConfigError, UsageTrackerError
from usage_tracker.event import Origin
from usage_tracker.zones import parse_zone

CALL = Described(
    Origin(provider="openai", sdk="openai", team="frontend", user_id="u-1", tags=("batch", "tier:pro")),
    "gpt-4o",
    "chat",
)


def budget(**said: Any) -> Budget:
    return Budget(**{"name": "b", "limit": Decimal(1), "on_limit": "block", **said})


@pytest.mark.parametrize(
    ("text", "amount", "measure"),
    [
        ("100", "100", "cost"),
        ("$0.05", "0.05", "cost"),
        ("1,000 usd", "1000", "cost"),
        ("1,250,000.50", "1250000.50", "cost"),
        ("5M tokens", "5000000", "tokens"),
        ("1.5k tokens", "1500", "tokens"),
        ("60 calls", "60", "calls"),
        ("60 requests", "60", "calls"),
    ],
)
def test_a_limit_is_dollars_tokens_or_calls(text: str, amount: str, measure: str) -> None:
    assert parse_limit(text) == (Decimal(amount), measure)


@pytest.mark.parametrize("text", ["", "much", "5 euros", "1e", "--5", "NaN", "5 M M tokens", "1e9999999999", "1,50"])
def test_what_is_no_limit_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(ConfigError, match="write 100"):
        parse_limit(text)


def test_a_share_is_a_percentage_or_a_fraction() -> None:
    assert parse_share("80%") == parse_share("0.8") == Decimal("0.8")
    for text in ("0", "-5%", "2000%", "1e-999999999", "most"):
        with pytest.raises(ConfigError, match="80%"):
            parse_share(text)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"limit": Decimal(0)}, "more than 0"),
        ({"limit": Decimal(-3)}, "more than 0"),
        ({"limit": Decimal("NaN")}, "more than 0"),
        ({"limit": Decimal("1e30")}, "never hold anything back"),
        ({"limit": Decimal("1e-9")}, "hold back every call"),
        ({"limit": Decimal("1.5"), "measure": "calls"}, "no whole number"),
        ({"per": "fortnight"}, "no window"),
        ({"per": "0h"}, "no window"),
        ({"per": "99999d"}, "no window"),
        ({"per": "minute"}, "per minute"),
        ({"zone": "Mars/Olympus"}, "time zone"),
        ({"name": "a b"}, "no name"),
        ({"name": "anomaly"}, "another name"),
        ({"delay": 600.0}, "seconds"),
        ({"each": "status"}, "can't be the scope"),
        ({"each": ""}, "can't be the scope"),
        ({"where": (Condition("status", True, "ok"),)}, "can't be the scope"),
        ({"on_limit": "alert", "strict": True}, "strict"),
        ({"on_limit": "throttle", "unpriced": "refuse"}, "without a price"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_with_a_sentence(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check(budget(**said))


@pytest.mark.parametrize(
    "tests",
    [
        [("team", True, "a"), ("team", True, "b")],
        [("team", True, "a"), ("team", False, "a")],
        [("team", True, "a"), ("team", True, "b*")],
        [("team", True, "a*"), ("team", True, "b*")],
        [("model", True, "*-mini"), ("model", True, "gpt-?-nano")],
        [("team", True, None), ("team", True, "a")],
        [("team", True, None), ("team", False, None)],
        [("tag", True, "a"), ("tag", False, "a")],
    ],
)
def test_a_budget_that_could_never_match_is_refused(tests: list[tuple[str, bool, str | None]]) -> None:
    with pytest.raises(ConfigError, match="never match"):
        check(budget(where=tuple(Condition(*test) for test in tests)))


def test_patterns_that_some_call_meets_are_no_contradiction() -> None:
    for one, other in (("gpt-*", "*-mini"), ("gpt-*", "gpt-4*"), ("*", "b?"), (r"\\*a*", r"\\**")):
        check(budget(where=(Condition("model", True, one), Condition("model", True, other))))
    check(budget(where=(Condition("tag", True, "a*"), Condition("tag", True, "b*"))))


def test_nobody_has_none_of_what_each_budget_is_for() -> None:
    with pytest.raises(ConfigError, match="never match"):
        check(budget(where=(Condition("user", True, None),), each="user"))


def test_a_call_may_have_two_tags_but_not_two_teams() -> None:
    check(budget(where=(Condition("tag", True, "a"), Condition("tag", True, "b"))))


@pytest.mark.parametrize(
    ("test", "counts"),
    [
        (("team", True, "frontend"), True),
        (("team", True, "front*"), True),
        (("team", True, "backend"), False),
        (("team", False, "backend"), True),
        (("project", True, None), True),
        (("project", False, None), False),
        (("project", False, "x"), True),
        (("tag", True, "batch"), True),
        (("tag", True, "tier:?ro"), True),
        (("tag", False, "batch"), False),
        (("tag", True, r"b\*"), False),
        (("tag", True, "t*r:*"), True),
        (("tag", True, "*er*er*"), False),
        (("model", True, "gpt-4*"), True),
        (("operation", True, "embeddings"), False),
    ],
)
def test_conditions_hold_as_they_do_in_reports(test: tuple[str, bool, str | None], counts: bool) -> None:
    assert counts_in(budget(where=(Condition(*test),)), CALL) is counts


def test_a_budget_for_each_value_has_a_part_for_each() -> None:
    assert list(parts_of(budget(), CALL)) == [""]
    assert list(parts_of(budget(each="user"), CALL)) == ["u-1"]
    assert list(parts_of(budget(each="tag"), CALL)) == ["batch", "tier:pro"]
    assert list(parts_of(budget(each="project"), CALL)) == [NOBODY]


def test_windows_are_those_of_the_calendar_in_the_zone() -> None:
    berlin, now = parse_zone("Europe/Berlin"), datetime(2026, 10, 25, 12, 30, 15, 250, UTC)
    assert window_at("minute", berlin, now) == (
        datetime(2026, 10, 25, 12, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 12, 31, tzinfo=UTC),
    )
    assert window_at("hour", berlin, now) == (
        datetime(2026, 10, 25, 12, tzinfo=UTC),
        datetime(2026, 10, 25, 13, tzinfo=UTC),
    )
    assert window_at("day", berlin, now) == (
        datetime(2026, 10, 24, 22, tzinfo=UTC),  # a day of 25 hours
        datetime(2026, 10, 25, 23, tzinfo=UTC),
    )
    assert window_at("week", berlin, now)[0] == datetime(2026, 10, 18, 22, tzinfo=UTC)
    assert window_at("month", berlin, now) == (
        datetime(2026, 9, 30, 22, tzinfo=UTC),
        datetime(2026, 10, 31, 23, tzinfo=UTC),
    )


@pytest.mark.parametrize("per", ["day", "week", "month"])
@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]
)
def test_windows_of_the_calendar_leave_no_gap_and_never_overlap(per: str, zone: str) -> None:
    """Over days of 23, 24 and 25 hours, days that begin at one o'clock, and the ends of months and years."""
    where, now = parse_zone(zone), datetime(2017, 12, 30, 11, tzinfo=UTC)
    window = window_at(per, where, now)
    for _ in range(400):
        now += timedelta(hours=23)
        following = window_at(per, where, now)
        assert following == window or following.start == window.end
        assert following.start <= now < following.end
        window = following


def test_an_hour_that_the_clock_repeats_is_two() -> None:
    berlin = parse_zone("Europe/Berlin")
    first, second = (window_at("hour", berlin, datetime(2026, 10, 25, hour, 30, tzinfo=UTC)) for hour in (0, 1))
    assert first.end == second.start == datetime(2026, 10, 25, 1, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Pacific/Chatham", "Europe/Berlin"])
def test_every_moment_is_in_its_hour_also_where_the_clock_goes_back_by_half_a_one(zone: str) -> None:
    where, now = parse_zone(zone), datetime(2026, 4, 4, 12, tzinfo=UTC)
    for _ in range(50):
        now += timedelta(minutes=5)
        window = window_at("hour", where, now)
        assert window.start <= now < window.end
        assert window.end - window.start == timedelta(hours=1)


def test_a_rolling_window_ends_now_and_starts_with_an_hour() -> None:
    now = datetime(2026, 10, 25, 12, 30, 15, 250, UTC)
    for per, start in (("24h", 24), ("1d", 24), ("2d", 23), ("1w", 18)):
        assert window_at(per, UTC, now) == (datetime(2026, 10, start, 12, tzinfo=UTC), now)
    assert window_at("1h", UTC, now) == (datetime(2026, 10, 25, 11, 30, 15, 250, UTC), now)
    assert window_at("23h", UTC, now) == (datetime(2026, 10, 24, 13, 30, 15, 250, UTC), now)
    there = window_at("1h", UTC, now.astimezone(parse_zone("Asia/Kolkata")))
    assert (there.start.tzinfo, there.end.tzinfo) == (UTC, UTC)


@pytest.mark.parametrize(
    ("per", "rolls"),
    [("1h", True), ("366d", True), ("8784h", True), ("367d", False), ("8785h", False), ("0d", False), ("1m", False),
     ("1 h", False), ("h", False), ("day", False)],
)  # fmt: skip
def test_a_rolling_window_is_an_hour_to_a_year_of_whole_hours_days_or_weeks(per: str, rolls: bool) -> None:
    assert is_duration(per) is rolls


def test_a_budget_is_kept_as_json_that_says_only_what_was_said() -> None:
    made = budget(where=(Condition("team", True, "a"),), soft=(Decimal("0.8"),))
    assert decode(encode(made)) == made
    assert b"zone" not in encode(made)


def test_a_budget_without_a_name_is_named_after_what_it_is_about() -> None:
    made = budget(
        where=(Condition("team", True, "frontend"), Condition("model", True, "gpt-*")), each="user", per="day"
    )
    assert default_name(made) == "frontend-some-each-user-cost-day"
    assert default_name(budget(where=(Condition("team", True, "東京"),))) == "cost-month", "no option of a command"


def test_amounts_are_whole_and_rounded_up() -> None:
    assert whole(Decimal("0.0000000001"), "cost") == 1
    assert exact(whole(Decimal("12.34"), "cost"), "cost") == Decimal("12.34")
    assert (whole(Decimal(7), "tokens"), exact(7, "calls")) == (7, Decimal(7))
    assert [show(Decimal(text), "cost") for text in ("5", "0.005", "1234.5")] == ["$5.00", "$0.005", "$1,234.50"]
    assert [show(Decimal(number), "calls") for number in (1, 2000)] == ["1 call", "2,000 calls"]


def test_an_outlook_goes_on_at_the_pace_so_far() -> None:
    window = Window(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 11, tzinfo=UTC))
    seen = look_ahead(budget(limit=Decimal(100)), "", window, Decimal(40), 4, 0, datetime(2026, 10, 3, tzinfo=UTC))
    assert (seen.left, seen.projected, seen.over) == (Decimal(60), Decimal(200), False)
    assert seen.hit_at == datetime(2026, 10, 6, tzinfo=UTC)
    early = look_ahead(budget(), "", window, Decimal("0.5"), 1, 0, datetime(2026, 10, 1, 1, tzinfo=UTC))
    assert (early.projected, early.hit_at) == (None, None)


def test_the_error_is_ours_alone_and_survives_pickling() -> None:
    import pickle

    error = BudgetExceeded(
        "no", budget="b", spent=Decimal(2), limit=Decimal(1), resets_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert BudgetExceeded.__bases__ == (UsageTrackerError,)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == ("no", vars(error))
