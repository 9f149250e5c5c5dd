"""How a process comes to know of budgets: from its neighbours, its leader and its parent."""

import logging
import os
import time
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path

import openai
import pytest
from budgeted import MESSAGES, MODEL, ask, budget, known
from capturing import Capturing
from migrated import migrated

import usage_tracker
from usage_tracker import tracker
from usage_tracker.budgeting import Budgeting
from usage_tracker.budgets import holding
from usage_tracker.enforcing import Enforcing


def test_a_process_takes_what_its_neighbour_has_read(
    tmp_path: Path, capturing: Capturing, enforcing: Enforcing
) -> None:
    from usage_tracker.budgets.view import ViewFile

    (tmp_path / "spool").mkdir(mode=0o700)
    ViewFile(tmp_path / "spool").save(known(budget(), spent="1"))
    enforcing.look()
    with pytest.raises(usage_tracker.BudgetExceeded):
        ask(capturing)
    (tmp_path / "spool" / "budgets.json").write_text("{not json")
    enforcing.look()
    ViewFile(tmp_path / "spool").save(known())
    enforcing.look()
    ask(capturing)


def test_a_process_is_held_from_its_first_call_on(fresh_start: Path, plain_client: openai.OpenAI) -> None:
    from usage_tracker.budgets.view import ViewFile

    spool = fresh_start / "spool"
    spool.mkdir(mode=0o700)
    ViewFile(spool).save(known(budget(), spent="1"))
    usage_tracker.install(ship=False, spool_dir=spool)
    with pytest.raises(usage_tracker.BudgetExceeded):
        plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    usage_tracker.install(ship=False, spool_dir=spool, budgets="off")
    plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)


def test_who_waits_for_budgets_is_told_at_once_that_there_are_none(
    fresh_start: Path, plain_client: openai.OpenAI, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "FIRST_SECONDS", 30.0)
    dsn, spool = f"sqlite:///{fresh_start}/usage.db", fresh_start / "spool"
    usage_tracker.install(dsn=dsn, spool_dir=spool, budgets="wait")
    began = time.monotonic()
    plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert time.monotonic() - began < 20
    assert tracker.installed is not None
    assert tracker.installed.pipeline().recorder.gate is None
    assert not [said for said in caplog.records if said.levelno >= logging.WARNING]
    usage_tracker.install(ship=False, dsn=dsn, spool_dir=spool, budgets="wait")
    assert tracker.installed.pipeline().recorder.gate is None, "a neighbour, or who comes later, has it in writing"


def test_a_leader_that_waits_for_no_budgets_itself_tells_a_neighbour_that_does_that_there_are_none(
    fresh_start: Path, plain_client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    from usage_tracker.config import load_settings

    dsn, spool = f"sqlite:///{fresh_start}/usage.db", fresh_start / "spool"
    usage_tracker.install(ship=False, spool_dir=spool, budgets="wait")

    def took(first_seconds: float) -> float:
        monkeypatch.setattr(holding, "FIRST_SECONDS", first_seconds)
        began = time.monotonic()
        plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
        return time.monotonic() - began

    assert took(0.5) >= 0.5, "the first call waits"
    assert max(took(40.0), took(40.0)) < 20, "and no other one"
    assert tracker.installed is not None
    recorder = tracker.installed.pipeline().recorder
    assert recorder.gate is not None
    deadline = time.monotonic() + 30
    with migrated(dsn) as store:
        lead = Budgeting(load_settings({}, dsn=dsn, spool_dir=spool))
        while recorder.gate is not None:
            assert time.monotonic() < deadline
            lead(store)
            time.sleep(0.01)


def test_who_waits_takes_no_old_word_for_there_being_no_budgets(
    fresh_start: Path, plain_client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    from usage_tracker.budgets.book import set_budget
    from usage_tracker.budgets.view import ViewFile

    monkeypatch.setattr(holding, "FIRST_SECONDS", 60.0)
    dsn, spool = f"sqlite:///{fresh_start}/usage.db", fresh_start / "spool"
    spool.mkdir(mode=0o700)
    view = ViewFile(spool)
    view.ask_for()
    view.save(known(age=3600))
    with migrated(dsn) as store:
        set_budget(store, budget(measure="calls", strict=True))
    usage_tracker.install(dsn=dsn, spool_dir=spool, budgets="wait")
    plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    with pytest.raises(usage_tracker.BudgetExceeded):
        plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)


def test_when_the_clock_was_set_back_what_is_read_from_then_on_counts(
    capturing: Capturing, enforcing: Enforcing
) -> None:
    enforcing.use(known(budget(), age=-3600))
    enforcing.use(known(budget(), spent="1"))
    with pytest.raises(usage_tracker.BudgetExceeded):
        ask(capturing)
    enforcing.use(known(budget(), age=5))
    with pytest.raises(usage_tracker.BudgetExceeded):
        ask(capturing)


@pytest.mark.parametrize("seen", ["before", "after"])
def test_when_the_clock_was_set_back_what_is_known_grows_old_as_ever(
    capturing: Capturing, enforcing: Enforcing, monkeypatch: pytest.MonkeyPatch, seen: str
) -> None:
    """While the store was away, calls of a budget that is closed then were made for as long as it was set back."""
    real = time.time
    view = known(budget(unreachable="closed"))
    if seen == "before":
        enforcing.use(view)
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    if seen == "after":
        enforcing.use(view)
    enforcing.look()
    ask(capturing)
    monkeypatch.setattr(time, "time", lambda: real() - 3600 + holding.FRESH_SECONDS)
    with pytest.raises(usage_tracker.BudgetExceeded, match="can't be known"):
        ask(capturing)


def test_a_child_of_a_fork_knows_what_its_parent_spent(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(measure="calls", limit=Decimal(1))))
    ask(capturing)
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            try:
                ask(capturing)
            except usage_tracker.BudgetExceeded:
                status = 0
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.timeout(120)
def test_a_running_process_follows_a_change_within_seconds(fresh_start: Path, plain_client: openai.OpenAI) -> None:
    from usage_tracker.budgets.book import remove_budget, set_budget
    from usage_tracker.dsn import parse_dsn
    from usage_tracker.stores import open_store

    dsn = f"sqlite:///{fresh_start}/usage.db"
    usage_tracker.install(dsn=dsn, spool_dir=fresh_start / "spool")

    def is_refused() -> bool:
        try:
            plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
        except usage_tracker.BudgetExceeded:
            return True
        return False

    def becomes(refused: bool) -> bool:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if is_refused() is refused:
                return True
            time.sleep(0.1)
        return False

    assert not is_refused()
    assert usage_tracker.flush(30)
    with closing(open_store(parse_dsn(dsn))) as store:
        set_budget(store, budget(limit=Decimal("0.000001")))
        assert becomes(refused=True)
        set_budget(store, budget(limit=Decimal(5)))
        assert becomes(refused=False)
        set_budget(store, budget(limit=Decimal("0.000001"), strict=True))
        assert becomes(refused=True)
        remove_budget(store, "b")
        assert becomes(refused=False)
