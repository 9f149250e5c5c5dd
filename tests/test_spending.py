"""What budgets have used, by few questions to the store, is what the calls of their scopes add up to, one by one."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from unittest.mock import Mock

import pytest
from budgeted import budget
from made_events import made_event, random_events, store_events

from usage_tracker.budgets import scope
from usage_tracker.budgets.budget import DIMENSIONS, Budget
from usage_tracker.budgets.scope import Described, Scopes, counts_in, parts_of
from usage_tracker.budgets.windows import Window
from usage_tracker.conditions import Condition
from usage_tracker.dsn import parse_dsn
from usage_tracker.event import PricedEvent
from usage_tracker.instants import to_instant
from usage_tracker.report.groups import read_groups
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
