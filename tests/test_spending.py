"""What budgets have used, by few questions to the store, is what the calls of their scopes add up to, one by one."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
from budgeted import budget
from made_events import INSTANTS, made_event, random_events, store_events

from usage_tracker.budgets import scope
from usage_tracker.budgets.accounts import window_of
from usage_tracker.budgets.budget import DIMENSIONS, Budget
from usage_tracker.budgets.scope import Described, Scopes, counts_in, parts_of
from usage_tracker.budgets.windows import Window
from usage_tracker.conditions import Condition
from usage_tracker.dsn import parse_dsn
from usage_tracker.event import PricedEvent
from usage_tracker.instants import HOUR, to_instant
from usage_tracker.report.groups import plan_for, read_groups
from usage_tracker.report.hours import has_fewer
from usage_tracker.report.question import Query
from usage_tracker.spending import NOTHING_USED, Used, questions, read_used
from usage_tracker.stores import open_store

MARCH = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
ODD_HOURS = Window(datetime(2026, 3, 28, 22, 30, tzinfo=UTC), datetime(2026, 4, 23, 3, tzinfo=UTC))
VALUES = (
    "u-1", "u-2", "größe", "u-*", "core", "alpha", r"be\\ta", "[g]amma", "a*b", r"a\*b", "A_b", "gpt-4o", "tier:pro",
    "tier:*", "eu", r"\none", None, "openai", "azure", "web", "s-1", "box-1", "k…1234", "chat", "litellm", "",
)  # fmt: skip


def random_budget(chance: random.Random, name: str) -> Budget:
    where = [
        Condition(chance.choice(DIMENSIONS), chance.random() < 0.8, chance.choice(VALUES))
        for _ in range(chance.choice([0, 1, 1, 1, 2, 3, 4]))
    ]
    each = chance.choice([None, None, *DIMENSIONS])
    return budget(name=name, where=tuple(where), each=each, measure=chance.choice(["cost", "tokens", "calls"]))


def added_up(one: Budget, window: Window, events: Iterable[PricedEvent]) -> dict[str, Used]:
    """As a process counts its own calls."""
    start, end = (to_instant(moment) * 1000 for moment in window)
    parts = {} if one.each else {"": NOTHING_USED}
    for priced in events:
        event, cost = priced.event, priced.cost
        call = Described(priced.origin, event.request_model, event.operation)
        if start <= event.started_at < end and counts_in(one, call):
            usage = event.usage
            tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
            amount = {"cost": cost.amount or Decimal(0), "tokens": Decimal(tokens), "calls": Decimal(1)}[one.measure]
            for part in parts_of(one, call):
                before = parts.get(part, NOTHING_USED)
                unpriced = before.unpriced + ("unpriced" in cost.flags)
                parts[part] = Used(before.amount + amount, before.calls + 1, unpriced)
    return parts


def test_any_budgets_that_are_asked_about_together_have_used_what_their_calls_add_up_to(
    tmp_path: Path, postgres_dsn: str
) -> None:
    chance = random.Random(7)
    windows = {random_budget(chance, f"b-{place}"): chance.choice([MARCH, ODD_HOURS]) for place in range(600)}
    events, later = random_events(21, 250), random_events(22, 250)
    asked = list(questions(windows))
    assert len(asked) < len(windows) * 0.9, "many of these are alike"
    for dsn in (f"sqlite:///{tmp_path}/usage.db", postgres_dsn):
        store = open_store(parse_dsn(dsn))
        store.migrate()
        store_events(store, events)
        store.compact()
        store_events(store, later)
        found = read_used(store, windows)
        store.close()
        for one, window in windows.items():
            assert found[one] == added_up(one, window, [*events, *later]), one


ZONES = (
    "UTC", "America/New_York", "America/St_Johns", "America/Havana", "Europe/Berlin", "Africa/Cairo", "Asia/Kolkata",
    "Asia/Kathmandu", "Asia/Tokyo", "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Marquesas",
)  # fmt: skip


def random_windows(chance: random.Random, count: int) -> dict[Budget, Window]:
    """Of budgets by any clock, mostly of users and tags, around the days on which some clock changes."""
    windows = {}
    for place in range(count):
        user = (Condition("user", True, chance.choice(["u-1", "größe", None])),)
        one = budget(
            name=f"b-{place}",
            where=chance.choice([(), (), user]),
            each=chance.choice(["user", "tag", "tag", "model", None]),
            measure=chance.choice(["cost", "tokens", "calls"]),
            per=chance.choice(["day", "day", "week", "month", "hour"]),
            zone=chance.choice(ZONES),
        )
        now = datetime.fromisoformat(chance.choice(INSTANTS)) + chance.uniform(-30, 30) * timedelta(hours=1)
        windows[one] = window_of(one, now.timestamp())
    return windows


def test_windows_of_any_clock_have_used_what_their_calls_add_up_to_also_once_earlier_ones_are_pruned(
    tmp_path: Path, postgres_dsn: str
) -> None:
    chance = random.Random(9)
    windows, events = random_windows(chance, 400), random_events(24, 1200)
    for dsn in (f"sqlite:///{tmp_path}/usage.db", postgres_dsn):
        store = open_store(parse_dsn(dsn))
        store.migrate()
        store_events(store, events[:600])
        store.compact()
        store_events(store, events[600:])
        expected = {one: added_up(one, window, events) for one, window in windows.items()}
        found = read_used(store, windows)
        assert {one: found[one] for one in windows} == expected
        for start in sorted({chance.choice(list(windows.values())).start for _ in range(12)}):
            before = start - chance.choice([0, 0, 1, 3]) * timedelta(minutes=50)
            for _ in store.prune(before):
                pass
            kept = {one: window for one, window in windows.items() if window.start >= before}
            found = read_used(store, kept)
            assert {one: found[one] for one in kept} == {one: expected[one] for one in kept}
        store.close()


def test_a_day_by_another_clock_is_one_of_utc_less_what_came_before_unless_that_was_pruned(tmp_path: Path) -> None:
    """What is before and after is little; each refresh read every call of a day of New York."""
    start = datetime(2026, 3, 15, 4, tzinfo=UTC)
    store = open_store(parse_dsn(f"sqlite:///{tmp_path}/usage.db"))
    store.migrate()
    store_events(store, [made_event(start + timedelta(hours=place), user_id="u-1") for place in range(-4, 23)])
    query = Query(start, start + timedelta(days=1), ("user",))
    span = to_instant(start), to_instant(start + timedelta(days=1))

    def read() -> list[tuple[str, bool, int]]:
        """Tables, whether what they say is taken away, and of how many hours."""
        return [
            (part.source.table, part.taken, sum(end - start for start, end in part.spans) // HOUR)
            for part in plan_for(query, [span], partial(has_fewer, store))
        ]

    assert read() == [("by_day_user_total", False, 48), ("usage_event", True, 4 + 20)]
    for _ in store.prune(start - timedelta(hours=2)):
        pass
    assert read() == [("by_day_user_total", False, 24), ("usage_event", False, 20), ("usage_event", True, 20)]
    assert read_groups(store, query)[("u-1",)].calls == 23
    store.close()


def test_of_two_spans_the_one_with_fewer_events_is_told_by_whole_hours_as_long_as_none_of_it_is_pruned(
    tmp_path: Path,
) -> None:
    midnight = datetime(2026, 3, 15, tzinfo=UTC)
    store = open_store(parse_dsn(f"sqlite:///{tmp_path}/usage.db"))
    store.migrate()
    store_events(store, [made_event(midnight + timedelta(minutes=minutes)) for minutes in (10, 70, 80)])
    first = to_instant(midnight)
    early, late = (first, first + HOUR // 2), (first + HOUR, first + 24 * HOUR)
    assert has_fewer(store, early, late)
    assert not has_fewer(store, late, early)
    assert not has_fewer(store, early, early)
    for _ in store.prune(midnight + timedelta(minutes=20)):
        pass
    assert not has_fewer(store, early, late)
    store.close()


def test_which_of_two_spans_has_fewer_events_is_one_question_and_a_second_only_where_some_might_be_gone() -> None:
    midnight = datetime(2026, 3, 15, tzinfo=UTC)
    store = open_store(parse_dsn("sqlite:///:memory:"))
    store.migrate()
    store_events(store, [made_event(midnight + timedelta(hours=hours)) for hours in (10, 20, 21)])
    asking, first = Mock(wraps=store, dialect=store.dialect), to_instant(midnight)
    nothing, few, many = ((first + start * HOUR, first + end * HOUR) for start, end in ((0, 9), (9, 12), (12, 24)))
    assert has_fewer(asking, nothing, few)
    assert asking.select.call_count == 1
    assert has_fewer(asking, few, many)
    assert asking.select.call_count == 3
    assert not has_fewer(asking, many, few)
    assert asking.select.call_count == 4
    store.close()


def test_a_budget_for_each_of_thousands_of_teams_takes_a_few_questions() -> None:
    """Each by itself took minutes, in which nobody was held to any of them."""
    teams = [
        budget(name=f"b-{place}", where=(Condition("team", True, f"t-{place}"), Condition("model", True, "gpt-*")))
        for place in range(3000)
    ]
    assert [len(asked.budgets) for asked in questions(dict.fromkeys(teams, MARCH))] == [500] * 6
    scopes = [("user", None), ("user", "model"), ("tag", None), ("project", "team")]
    mixed = [
        budget(name=f"{first}-{each}-{place}", where=(Condition(first, True, f"{place}"),), each=each)
        for first, each in scopes
        for place in range(100)
    ]
    assert len(list(questions(dict.fromkeys(mixed, MARCH)))) == len(scopes)


def test_of_many_users_a_question_about_some_reads_no_others(tmp_path: Path) -> None:
    now = datetime(2026, 3, 15, 12, tzinfo=UTC)
    store = open_store(parse_dsn(f"sqlite:///{tmp_path}/usage.db"))
    store.migrate()
    store_events(store, [made_event(now + timedelta(days=place), user_id=f"u-{place}") for place in range(-9, 9)])
    some = [budget(name=f"b-{place}", where=(Condition("user", True, f"u-{place}"),)) for place in (1, 2, 99)]
    [asked] = questions(dict.fromkeys(some, MARCH))
    assert {str(values[0]) for values in asked.budgets} == {"u-1", "u-2", "u-99"}
    assert set(read_groups(store, asked.query)) == {("u-1",), ("u-2",)}
    store.close()


def test_the_budgets_that_a_call_counts_in_are_those_whose_conditions_it_meets() -> None:
    chance = random.Random(8)
    budgets = [random_budget(chance, f"b-{place}") for place in range(600)]
    scopes = Scopes(budgets)
    for priced in random_events(23, 200):
        call = Described(priced.origin, priced.event.request_model, priced.event.operation)
        assert scopes.of(call) == [one for one in budgets if counts_in(one, call)]


def test_of_a_budget_for_each_of_thousands_of_teams_one_is_looked_at_for_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of them held the first call of each session up for a tenth of a second."""
    teams = [budget(name=f"b-{place}", where=(Condition("team", True, f"t-{place}"),)) for place in range(3000)]
    looked_at = Mock(side_effect=counts_in)
    monkeypatch.setattr(scope, "counts_in", looked_at)
    call = Described(made_event(team="t-7").origin, "gpt-4o", "chat")
    assert Scopes(teams).of(call) == [teams[7]]
    assert looked_at.call_count == 1
