"""What a leader reads of budgets for its host: of many users too, nobody who has used theirs up is forgotten."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from budgeted import budget
from made_events import made_event, store_events

from usage_tracker.budgets import refresh
from usage_tracker.budgets.accounts import start_of
from usage_tracker.budgets.book import set_budget
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.holding import FRESH_SECONDS
from usage_tracker.budgets.refresh import Refresher, read_part
from usage_tracker.budgets.reservation_tables import Place, open_account
from usage_tracker.budgets.scope import WHOLE
from usage_tracker.budgets.view import View
from usage_tracker.budgets.windows import Window
from usage_tracker.dsn import parse_dsn
from usage_tracker.event import Batch, Stretch
from usage_tracker.spending import Used, read_used, read_usual
from usage_tracker.stores import Store, open_store

USED = {"u-1": 9, "u-2": 8, "u-3": 7, "u-4": 6}
"""Calls."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(refresh, "MOST_PARTS", 1)
    with closing(open_store(parse_dsn(f"sqlite:///{tmp_path}/usage.db"))) as opened:
        opened.migrate()
        now = datetime.now(UTC)
        store_events(opened, [made_event(now, user_id=user) for user, calls in USED.items() for _ in range(calls)])
        yield opened


def read(store: Store, tmp_path: Path) -> View:
    view = Refresher(tmp_path / "spool", read_used, read_usual).refresh(store)
    assert view is not None
    return view


def test_of_many_those_who_have_used_most_are_told_and_all_who_have_used_theirs_up(
    store: Store, tmp_path: Path
) -> None:
    set_budget(store, budget(each="user", measure="calls", limit=Decimal(100), per="30d"))
    assert read(store, tmp_path).used == {"b": {"u-1": 9}}
    set_budget(store, budget(each="user", measure="calls", limit=Decimal(7), per="30d"))
    assert read(store, tmp_path).used == {"b": {"u-1": 9, "u-2": 8, "u-3": 7}}


def test_what_others_store_while_the_sums_are_read_is_not_counted_as_still_to_be_stored(
    store: Store, tmp_path: Path
) -> None:
    set_budget(store, budget(measure="calls", limit=Decimal(100), per="30d"))
    segment, spool = uuid4(), tmp_path / "spool"
    spool.mkdir()
    (spool / f"{segment}.seg").touch()
    left = [made_event(datetime.now(UTC))]

    def read_while_others_store(store: Store, asked: Budget, window: Window) -> Mapping[str, Used]:
        if left:
            assert store.write(Batch([Stretch(segment, 0, 100, 1)], [left.pop()]))
        return read_used(store, asked, window)

    view = Refresher(spool, read_while_others_store, read_usual).refresh(store)
    assert view is not None
    assert (view.used["b"], view.stored) == ({WHOLE: sum(USED.values()) + 1}, {str(segment): 100})


def test_the_accounts_of_strict_budgets_know_what_each_of_many_has_used(store: Store, tmp_path: Path) -> None:
    strict = budget(each="user", measure="calls", limit=Decimal(100), per="30d", strict=True)
    set_budget(store, strict)
    for user in USED:
        place = Place("b", user, start_of(strict, time.time()))
        open_account(store, {"b": strict}, partial(read_part, read_used), place)
    read(store, tmp_path)
    assert sorted(store.select("SELECT part, used FROM budget_account")) == sorted(USED.items())


@pytest.mark.parametrize(("takes", "pause"), [(0.01, 1.0), (0.5, 5.0), (4.0, 10.0), (10.0, 20.0)])
def test_however_long_reading_takes_what_was_read_is_renewed_before_it_is_old(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: float, pause: float
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def read_slowly(*_: object) -> dict[str, Used]:
        now[0] += takes
        return {}

    set_budget(store, budget())
    refresher = Refresher(tmp_path / "spool", read_slowly, read_usual)
    assert refresher.refresh(store)
    now[0] = 100.0 + pause * 0.99
    assert not refresher.refresh(store)
    now[0] = 100.0 + pause * 1.01
    assert refresher.refresh(store)
    assert pause + takes <= FRESH_SECONDS
