"""What a leader reads of budgets for its host: of many users too, nobody who has used theirs up is forgotten."""

import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from budgeted import budget
from made_events import made_event, store_events
from migrated import migrated

from usage_tracker.budgets import refresh
from usage_tracker.budgets.accounts import Match, start_of, stored
from usage_tracker.budgets.amounts import whole
from usage_tracker.budgets.book import read_budgets, set_budget
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.holding import FRESH_SECONDS
from usage_tracker.budgets.refresh import Refresher, read_part
from usage_tracker.budgets.reservation_tables import Place, open_account
from usage_tracker.budgets.scope import WHOLE
from usage_tracker.budgets.view import PriceBook, Usual, View
from usage_tracker.budgets.windows import Window
from usage_tracker.errors import RightsError, SchemaError, StoreUnavailable
from usage_tracker.event import Batch, Origin, Stretch
from usage_tracker.spending import Used, UsedOf, read_used, read_usual
from usage_tracker.stores import Store
from usage_tracker.stores.prices import add_version
from usage_tracker.stores.store import Execute

USED = {"u-1": 6, "u-2": 9, "none": 8, "u-*": 7}
"""Calls."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(refresh, "MOST_PARTS", 1)
    with migrated(f"sqlite:///{tmp_path}/usage.db") as opened:
        now = datetime.now(UTC)
        store_events(opened, [made_event(now, user_id=user) for user, calls in USED.items() for _ in range(calls)])
        yield opened


def read(store: Store, tmp_path: Path) -> View:
    view = Refresher(tmp_path / "spool", read_used, read_usual).refresh(store)
    assert view is not None
    return view


def test_a_view_says_what_was_used_of_each_budget_since_when_and_how_far_segments_are_stored(
    store: Store, tmp_path: Path
) -> None:
    rate = budget(name="a-rate", measure="calls", per="minute", strict=True)
    dollars, tokens = budget(name="dollars", per="30d"), budget(name="tokens", per="30d", measure="tokens", strict=True)
    for each in (rate, dollars, tokens):
        set_budget(store, each)
    [(identity,)] = store.select("SELECT segment FROM journal_offset")
    assert isinstance(identity, bytes)
    segment = UUID(bytes=identity)
    for name in (str(segment), "a copy"):
        (tmp_path / f"{name}.seg").touch()
    open_account(store, {}, partial(read_part, read_used), Place("a-rate", "", 60))
    noticed = []
    refresher = Refresher(
        tmp_path, read_used, lambda _, each, moment: {each.name: Usual(1, 2)}, lambda *said: noticed.append(said)
    )
    before = time.time()
    view = refresher.refresh(store)
    assert view is not None
    assert before <= view.read_at <= time.time()
    assert view == View(
        read_at=view.read_at,
        budgets=[rate, dollars, tokens],
        used={"dollars": {"": 300_000_000}, "tokens": {"": 3300}},
        since={"dollars": 0, "tokens": 0},
        stored={str(segment): 1},
        usual={"a-rate": {"a-rate": Usual(1, 2)}, "tokens": {"tokens": Usual(1, 2)}},
    )
    assert [(one, each, parts) for one, each, _, parts in noticed] == [
        (store, dollars, {"": Decimal("0.30")}),
        (store, tokens, {"": Decimal(3300)}),
    ]
    assert list(store.select("SELECT * FROM budget_account")) == [], "that minute is over"


def test_of_a_segment_of_which_nothing_is_stored_yet_that_is_told(store: Store, tmp_path: Path) -> None:
    """Of one that nobody knows, what began long ago is taken for stored: a process whose first call took minutes was
    not held to what that had used."""
    set_budget(store, budget())
    segment = uuid4()
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / f"{segment}.seg").touch()
    view = read(store, tmp_path)
    assert view.stored == {str(segment): 0}
    entry = ((str(segment), 500), int((time.time() - 600) * 1e9), Match(Origin(sdk="openai"), ()), 1, 1, 1)
    assert not stored(entry, view, {})


def test_segments_that_settled_reservations_wait_for_are_told_of_whosever_they_are(
    store: Store, tmp_path: Path
) -> None:
    set_budget(store, budget(strict=True))
    [(identity,)] = store.select("SELECT segment FROM journal_offset")
    assert isinstance(identity, bytes)
    columns = "reservation, budget, part, window_start, amount, expires_at, segment, position"
    sql = f"INSERT INTO budget_reservation ({columns}) VALUES (?, 'b', '', 0, 1, 1e12, ?, 1)"
    store.change(lambda execute: execute(sql, [uuid4().bytes, identity]))
    assert read(store, tmp_path).stored == {str(UUID(bytes=identity)): 1}


def test_of_many_those_who_have_used_most_are_told_and_all_who_have_used_theirs_up(
    store: Store, tmp_path: Path
) -> None:
    set_budget(store, budget(each="user", measure="calls", limit=Decimal(100), per="30d"))
    assert read(store, tmp_path).used == {"b": {"u-2": 9}}
    set_budget(store, budget(each="user", measure="calls", limit=Decimal(7), per="30d"))
    assert read(store, tmp_path).used == {"b": {"u-2": 9, "none": 8, "u-*": 7}}


def test_what_others_store_while_the_sums_are_read_is_not_counted_as_still_to_be_stored(
    store: Store, tmp_path: Path
) -> None:
    set_budget(store, budget(measure="calls", limit=Decimal(100), per="30d"))
    segment, spool = uuid4(), tmp_path / "spool"
    spool.mkdir()
    (spool / f"{segment}.seg").touch()
    left = [made_event(datetime.now(UTC))]

    def read_while_others_store(store: Store, windows: Mapping[Budget, Window]) -> UsedOf:
        if left:
            assert store.write(Batch([Stretch(segment, 0, 100, 1)], [left.pop()]))
        return read_used(store, windows)

    view = Refresher(spool, read_while_others_store, read_usual).refresh(store)
    assert view is not None
    assert (view.used["b"], view.stored) == ({WHOLE: sum(USED.values()) + 1}, {str(segment): 100})


@pytest.mark.parametrize("per", ["24h", "1h"])
def test_a_call_by_a_clock_that_is_ahead_counts_in_a_window_that_rolls_as_soon_as_it_is_stored(
    store: Store, tmp_path: Path, per: str
) -> None:
    """It counts as stored, so that who made it counts it no more, and a strict budget lets go of what it reserved."""
    set_budget(store, budget(measure="calls", limit=Decimal(100), per=per))
    store_events(store, [made_event(datetime.now(UTC) + timedelta(seconds=5))])
    assert read(store, tmp_path).used == {"b": {WHOLE: sum(USED.values()) + 1}}


def test_what_each_user_has_used_on_the_last_day_of_a_window_that_rolls_is_told_by_sums(store: Store) -> None:
    """In the morning, too, and without what comes on later days."""
    morning = datetime(2026, 8, 15, 9, tzinfo=UTC)
    store_events(store, [made_event(morning + timedelta(days=day), user_id="u-1") for day in (0, 1)])
    store.change(lambda execute: execute("DELETE FROM usage_event", []))
    each = budget(each="user", measure="calls", limit=Decimal(1), per="30d")
    window = Window(morning - timedelta(days=30), morning)
    assert read_used(store, {each: window})[each] == {"u-1": Used(Decimal(1), 1, 0)}


def test_the_accounts_of_strict_budgets_know_what_each_of_many_has_used(store: Store, tmp_path: Path) -> None:
    strict = budget(each="user", measure="calls", limit=Decimal(100), per="30d", strict=True)
    set_budget(store, strict)
    for user in USED:
        place = Place("b", user, start_of(strict, time.time()))
        open_account(store, {"b": strict}, partial(read_part, read_used), place)
    read(store, tmp_path)
    assert sorted(store.select("SELECT part, used FROM budget_account")) == sorted(USED.items())


@pytest.mark.parametrize("user", USED)
def test_an_account_begins_with_what_its_own_user_has_used_whatever_they_are_called(store: Store, user: str) -> None:
    each = budget(each="user", measure="calls", per="30d")
    _, used = read_part(read_used, store, each, user, start_of(each, time.time()))
    assert used == USED[user]


def test_prices_of_the_store_are_passed_on_as_written_and_read_again_where_they_were_changed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "SLOW_SECONDS", 0.0)
    set_budget(store, budget())
    refresher, books = Refresher(tmp_path / "spool", read_used, lambda *_: {}), []
    for known, price in ((None, None), (None, "2.50"), (1, "0.12345678901234567890123456789"), (2, None)):
        if price is not None:
            add_version(store, known, "", [{"match": "acme", "input": Decimal(price)}])
        monkeypatch.setattr(refresher, "_next", 0.0)
        view = refresher.refresh(store)
        assert view is not None
        books.append(view.book)
    assert books[0] is None
    assert books[1] == PriceBook(1, ['{"match":"acme","input":2.50}'])
    assert books[2] == PriceBook(2, ['{"match":"acme","input":0.12345678901234567890123456789}'])
    assert books[3] is books[2]


@pytest.mark.parametrize(("takes", "pause"), [(0.01, 1.0), (0.5, 5.0), (4.0, 10.0), (10.0, 20.0)])
def test_however_long_reading_takes_what_was_read_is_renewed_before_it_is_old(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: float, pause: float
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def read_slowly(_: Store, windows: Mapping[Budget, Window]) -> UsedOf:
        now[0] += takes
        return {each: {} for each in windows}

    set_budget(store, budget())
    refresher = Refresher(tmp_path / "spool", read_slowly, read_usual)
    assert refresher.refresh(store)
    now[0] = 100.0 + pause * 0.99
    assert not refresher.refresh(store)
    now[0] = 100.0 + pause * 1.01
    assert refresher.refresh(store)
    assert pause + takes <= FRESH_SECONDS


def test_of_many_strict_budgets_what_is_usual_is_read_a_few_at_a_time(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took minutes of 200, in which nobody knew what was spent."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def read_slowly(_: Store, each: Budget, moment: datetime) -> dict[str, Usual]:
        now[0] += 0.5
        return {each.name: Usual(1, 2)}

    names = {f"b-{number}" for number in range(5)}
    for name in names:
        set_budget(store, budget(name=name, strict=True))
    refresher, seen = Refresher(tmp_path / "spool", read_used, read_slowly), []
    for _ in range(5):
        began = now[0]
        while (view := refresher.refresh(store)) is None:
            now[0] += 0.5
            began = now[0]
        assert now[0] - began <= 0.5
        seen.append(set(view.usual))
    assert [len(known) for known in seen] == [1, 2, 3, 4, 5]
    assert seen[-1] == names


def test_a_store_that_fails_is_asked_again_after_a_second(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, fails = [100.0], [StoreUnavailable("away")]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def read_if_there(_: Store, windows: Mapping[Budget, Window]) -> UsedOf:
        if fails:
            raise fails.pop()
        return {each: {} for each in windows}

    set_budget(store, budget())
    refresher = Refresher(tmp_path / "spool", read_if_there, read_usual)
    with pytest.raises(StoreUnavailable):
        refresher.refresh(store)
    now[0] = 100.9
    assert refresher.refresh(store) is None
    now[0] = 101.1
    assert refresher.refresh(store)


def test_at_the_end_budgets_are_read_once_more_where_there_are_any(store: Store, tmp_path: Path) -> None:
    refresher = Refresher(tmp_path / "spool", read_used, read_usual)
    assert refresher.refresh(store, last=True) is None
    set_budget(store, budget())
    assert refresher.refresh(store)
    assert refresher.refresh(store) is None, "it is too early"
    assert refresher.refresh(store, last=True)


def test_a_role_that_may_not_read_what_was_spent_tries_again_after_a_minute(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each try is an error in the server's log."""
    now, tries = [100.0], 0
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(refresh, "role_of", lambda asked: {store: "writer"}[asked])  # SQLite has none

    def refuse(*_: object) -> UsedOf:
        nonlocal tries
        tries += 1
        raise RightsError("permission denied")

    set_budget(store, budget())
    set_budget(store, budget(name="closed", unreachable="closed"))
    refresher = Refresher(tmp_path / "spool", refuse, read_usual)
    seen = []
    for second in range(75):
        now[0] = 100.0 + second
        if (view := refresher.refresh(store)) is not None:
            seen.append((view.read_at, [each.name for each in view.budgets]))
    assert (seen, tries) == ([(0.0, ["closed"])] * 2, 2)
    assert [said.getMessage().partition(":")[0] for said in caplog.records] == [
        "nobody is held to budgets from here, for the role 'writer' may not read what was spent"
    ]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('"zone": "Mars/Base"', "'Mars/Base' is not a time zone"),
        ('"per": "quarter"', "'quarter' is no window"),
        ('"each": "planet"', "'planet' can't be the scope"),
        ('"where": [["planet", true, "mars"]]', "'planet' can't be the scope"),
    ],
)
def test_a_budget_that_nobody_here_can_count_is_left_out_and_said_once(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, said: str, why: str
) -> None:
    """Nobody was held to any other."""
    name = f"odd-{uuid4()}"
    sql = "INSERT INTO budget (name, definition) VALUES (?, ?)"
    store.change(lambda execute: execute(sql, [name, f'{{"name": "{name}", "limit": "5", {said}}}']))
    set_budget(store, budget())
    for _ in range(3):
        assert [each.name for each in read(store, tmp_path).budgets] == ["b"]
    assert caplog.text.count(f"the budget {name} is left out here: {why}") == 1
    with pytest.raises(SchemaError, match=re.escape(f"can't be changed here: {why}")):
        set_budget(store, budget(name=name))


def test_of_very_many_budgets_that_nobody_here_can_count_each_is_said_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """As where there is one for each of hundreds of teams, in a time zone that a host doesn't know."""
    told = [(f"odd-{uuid4()}", said) for said in ['"zone": "Mars/Base"', '"on_limit": "something new"'] * 150]

    def put(execute: Execute) -> None:
        for name, said in told:
            sql = "INSERT INTO budget (name, definition) VALUES (?, ?)"
            execute(sql, [name, f'{{"name": "{name}", "limit": "5", {said}}}'])

    store.change(put)
    for _ in range(2):
        assert read_budgets(store) == []
    assert len(caplog.records) == len(told)


def test_a_budget_that_an_earlier_version_stored_for_each_of_nothing_is_one_for_all(
    store: Store, tmp_path: Path
) -> None:
    sql = "INSERT INTO budget (name, definition) VALUES (?, ?)"
    store.change(lambda execute: execute(sql, ["b", '{"name": "b", "limit": "5", "per": "30d", "each": ""}']))
    assert read(store, tmp_path).used == {"b": {WHOLE: whole(sum(USED.values()) * Decimal("0.01"), "cost")}}


def test_a_budget_of_a_newer_version_is_left_out_and_said_once(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And not with each second, until all hosts are upgraded."""
    name = f"newer-{uuid4()}"
    sql = "INSERT INTO budget (name, definition) VALUES (?, ?)"
    store.change(lambda execute: execute(sql, [name, '{"name": "x", "limit": "5", "on_limit": "something new"}']))
    set_budget(store, budget())
    for _ in range(3):
        assert [each.name for each in read(store, tmp_path).budgets] == ["b"]
    assert caplog.text.count(f"the budget {name} is of a newer version") == 1
