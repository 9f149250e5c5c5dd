"""Who has changed budgets and the price book: noted with the change, on every store, and told by the command line."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from commanding import invoke
from migrated import migrated

from usage_tracker.budgets.book import remove_budget, set_budget
from usage_tracker.budgets.budget import Budget, decode
from usage_tracker.stores import Store
from usage_tracker.stores.changes import Author, read_changes
from usage_tracker.stores.prices import add_version

ANNA, BEN = Author("anna", "dashboard"), Author("ben", "API")


@pytest.fixture(params=["sqlite", "postgres"])
def any_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    dsn = "sqlite:///:memory:" if request.param == "sqlite" else request.getfixturevalue("postgres_dsn")
    with migrated(dsn) as store:
        yield store


def frontend(limit: int) -> Budget:
    return Budget(name="frontend", limit=Decimal(limit))


def told(dsn: str, *words: str) -> str:
    outcome = invoke(*words, "--dsn", dsn)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_each_change_of_a_budget_is_noted_with_what_stood_there_before_and_after(any_store: Store) -> None:
    set_budget(any_store, frontend(100), ANNA)
    set_budget(any_store, frontend(150), BEN)
    remove_budget(any_store, "frontend", ANNA)
    removed, changed, added = read_changes(any_store)
    assert [(each.who, each.through) for each in (added, changed, removed)] == [ANNA, BEN, ANNA]
    assert (added.before, removed.after) == (None, None)
    limits = [decode(text or "").limit for text in (added.after, changed.before, changed.after, removed.before)]
    assert limits == [100, 100, 150, 150]
    assert added.at <= changed.at <= removed.at


def test_what_changes_nothing_is_not_noted(any_store: Store) -> None:
    set_budget(any_store, frontend(100), ANNA)
    set_budget(any_store, frontend(100), BEN)
    assert not remove_budget(any_store, "no-such", BEN)
    assert [change.who for change in read_changes(any_store)] == ["anna"]


def test_what_is_not_stored_is_not_noted(any_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    set_budget(any_store, frontend(100), ANNA)
    monkeypatch.setattr("usage_tracker.budgets.book.note_change", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        set_budget(any_store, frontend(150), BEN)
    monkeypatch.undo()
    set_budget(any_store, frontend(200), ANNA)
    newest = read_changes(any_store)[0]
    assert decode(newest.before or "").limit == 100


def test_of_a_price_book_the_entries_are_noted_that_differ(any_store: Store) -> None:
    stays = {"match": "acme-small", "input": Decimal("0.5")}
    before, after = ({"match": "acme-large", "input": Decimal(price)} for price in ("2.5", "2.75"))
    add_version(any_store, None, "", [stays, before], ANNA)
    add_version(any_store, 1, "", [stays, after], BEN)
    newest, _ = read_changes(any_store, ("prices",))
    assert (newest.subject, newest.who) == ("2", "ben")
    assert json.loads(newest.before or "") == [{"match": "acme-large", "input": 2.5}]
    assert json.loads(newest.after or "") == [{"match": "acme-large", "input": 2.75}]


def test_changes_can_be_narrowed_to_one_budget_and_to_the_newest(any_store: Store) -> None:
    for limit in range(1, 6):
        set_budget(any_store, frontend(limit), ANNA)
    set_budget(any_store, Budget(name="other", limit=Decimal(1)), BEN)
    assert [change.subject for change in read_changes(any_store, subject="other")] == ["other"]
    assert len(read_changes(any_store, limit=2)) == 2


def test_the_command_line_notes_and_tells_them(tmp_path: Path) -> None:
    dsn = f"sqlite:///{tmp_path}/usage.db"
    told(dsn, "budget", "set", "frontend", "--where", "team=frontend", "--limit", "100")
    told(dsn, "budget", "set", "frontend", "--limit", "150")
    told(dsn, "prices", "set", "acme-*", "--input", "2.5")
    shown = told(dsn, "budget", "log")
    assert "changed frontend: limit 100 → 150" in shown
    assert "added frontend: $100.00 a month" in shown
    changes = json.loads(told(dsn, "budget", "log", "frontend", "-o", "json"))["changes"]
    assert [change["through"] for change in changes] == ["command line"] * 2
    assert changes[0]["before"]["where"] == ["team=frontend"]
    assert (changes[0]["before"]["limit"], changes[0]["after"]["limit"]) == ("100", "150")
    assert "acme-*: input 2.5" in told(dsn, "prices", "log")
    told(dsn, "prices", "set", "acme-*", "--input", "3")
    newest, _ = json.loads(told(dsn, "prices", "log", "-o", "json"))["changes"]
    assert [newest[side][0]["input"] for side in ("before", "after")] == ["2.5", "3"]


def test_what_was_not_said_before_is_told_as_what_it_was(tmp_path: Path) -> None:
    dsn = f"sqlite:///{tmp_path}/usage.db"
    told(dsn, "budget", "set", "all", "--limit", "10")
    said = ("--limit", "5 calls", "--per", "day", "--each", "tag", "--soft", "80%", "--on-limit", "block", "--strict")
    told(dsn, "budget", "set", "all", *said)
    line = next(line for line in told(dsn, "budget", "log").splitlines() if "changed all" in line)
    assert set(line.partition("changed all: ")[2].strip().split("; ")) == {
        "each none → tag", "limit 10 → 5", "measure cost → calls", "on_limit alert → block", "per month → day",
        "soft none → 0.8", "strict no → yes",
    }  # fmt: skip


def test_where_nothing_was_changed_it_is_said(tmp_path: Path) -> None:
    dsn = f"sqlite:///{tmp_path}/usage.db"
    assert "No budget was changed yet" in told(dsn, "budget", "log")
    assert "never changed" in told(dsn, "prices", "log")
    assert not (tmp_path / "usage.db").exists()
