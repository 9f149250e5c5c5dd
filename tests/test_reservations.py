"""A strict budget: what calls may use is reserved in the store before they are made, so that no crowd exceeds it."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from budget_crowd import crowd
from made_events import made_event, store_events

from usage_tracker.budgets import reservations
from usage_tracker.budgets.accounts import Account, start_of
from usage_tracker.budgets.book import set_budget
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.refresh import OVER_SECONDS, Refresher, read_part, tidy_rate, update_accounts
from usage_tracker.budgets.reservation_tables import Place, Refused, Settled, Tables, Want, open_account
from usage_tracker.budgets.reservations import Asked, Ledger
from usage_tracker.budgets.reserving import place_now
from usage_tracker.budgets.scope import NOBODY
from usage_tracker.conditions import Condition
from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import StoreError, StoreUnavailable
from usage_tracker.spending import read_used, read_usual
from usage_tracker.stores import Store, open_store
from usage_tracker.stores.clock import clock
from usage_tracker.stores.store import Execute
from usage_tracker.threads import start_lasting

BUDGET = Budget(name="b", limit=Decimal(100), measure="tokens", per="day", on_limit="block", strict=True)


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    with closing(open_store(parse_dsn(dsn))) as opened:
        yield opened


RATE = Budget(name="rate", limit=Decimal(10), measure="calls", per="minute", on_limit="block", strict=True)

LEDGERS: list[Ledger] = []


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """The thread of a ledger that a test has made would go on for as long as the tests do, with its connection."""
    yield
    for each in LEDGERS:
        each.drain(time.monotonic() + 20)
    LEDGERS.clear()


@pytest.fixture
def ledger(dsn: str) -> Ledger:
    return made_ledger(dsn)


def made_ledger(dsn: str) -> Ledger:
    made = Ledger(lambda: open_store(parse_dsn(dsn)), partial(read_part, read_used))
    made.budgets = {BUDGET.name: BUDGET}
    LEDGERS.append(made)
    return made


def place(budget: Budget = BUDGET, part: str = "") -> Place:
    return Place(budget.name, part, start_of(budget, time.time()))


def ask(ledger: Ledger, amount: int, **said: Any) -> Refused | UUID:
    """The reservation, or what had no room for it."""
    asked = ledger.ask([Want(place(), 100, amount, **said)])
    return asked.answer.result(timeout=30) or asked.reservation


def reserved(store: Store) -> list[int]:
    rows = store.select(f"SELECT amount FROM {store.dialect.prefix}budget_reservation ORDER BY amount")
    return [int(str(amount)) for (amount,) in rows]


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_reserved_is_taken_until_it_is_given_back(ledger: Ledger, store: Store) -> None:
    first = ask(ledger, 70)
    assert isinstance(first, UUID)
    refused = ask(ledger, 40)
    assert isinstance(refused, Refused)
    assert refused.used == 70
    ledger.settle(Settled(first, None))
    wait_for(lambda: reserved(store) == [])
    assert isinstance(ask(ledger, 100), UUID)


def test_a_call_that_ends_while_the_thread_is_started_is_settled_by_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the garbage collector ends a dropped stream."""
    started: list[threading.Thread] = []

    def start(name: str, run: Callable[..., object]) -> threading.Thread:
        ledger.settle(Settled(uuid4(), None))
        started.append(start_lasting(name, run))
        return started[-1]

    monkeypatch.setattr(reservations, "start_lasting", start)
    assert isinstance(ask(ledger, 70), UUID)
    assert len(started) == 1


def test_who_was_interrupted_while_it_started_the_thread_leaves_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def start_interrupted(name: str, run: Callable[..., object]) -> threading.Thread:
        begun.append(start_lasting(name, run))
        raise KeyboardInterrupt

    monkeypatch.setattr(reservations, "start_lasting", start_interrupted)
    with pytest.raises(KeyboardInterrupt):
        ledger.settle(Settled(uuid4(), None))
    wait_for(lambda: ledger._thread is begun[0])
    assert isinstance(ask(ledger, 70), UUID)


def test_calls_of_nobody_have_a_part_that_every_store_takes(ledger: Ledger, store: Store) -> None:
    for part in (NOBODY, "none", "u-1"):
        assert ledger.ask([Want(place(part=part), 100, 60)]).answer.result(timeout=30) is None
        assert isinstance(ledger.ask([Want(place(part=part), 100, 60)]).answer.result(timeout=30), Refused)
    update_accounts(store, BUDGET, clock(store) + 1, place().window_start, {NOBODY: 7}, {})
    rows = store.select(f"SELECT used FROM {store.dialect.prefix}budget_account ORDER BY used")
    assert [int(str(used)) for (used,) in rows] == [0, 0, 7]


def test_an_account_begins_with_what_events_have_used(ledger: Ledger, store: Store) -> None:
    store_events(store, [made_event(datetime.now(UTC), input_tokens=60, output_tokens=30)])
    refused = ask(ledger, 20)
    assert isinstance(refused, Refused)
    assert refused.used == 90
    assert isinstance(ask(ledger, 10), UUID)


def test_many_who_ask_at_once_never_get_more_than_there_is(dsn: str, store: Store) -> None:
    ledgers = [made_ledger(dsn) for _ in range(3)]
    asked = [each.ask([Want(place(), 100, 7)]) for _ in range(20) for each in ledgers]
    let = [each for each in asked if each.answer.result(timeout=60) is None]
    assert len(let) == 14
    assert sum(reserved(store)) == 98


def test_a_settled_call_counts_with_what_it_used_until_it_is_among_the_events(ledger: Ledger, store: Store) -> None:
    first = ask(ledger, 90)
    assert isinstance(first, UUID)
    segment = uuid4()
    ledger.settle(Settled(first, place(), 30, (str(segment), 500)))
    wait_for(lambda: reserved(store) == [30])
    now, start = clock(store), place().window_start
    update_accounts(store, BUDGET, now, start, {"": 0}, {segment: 499})
    assert reserved(store) == [30]
    update_accounts(store, BUDGET, now + 1, start, {"": 30}, {segment: 500})
    assert reserved(store) == []
    refused = ask(ledger, 71)
    assert isinstance(refused, Refused)
    assert refused.used == 30


def test_what_a_call_has_used_counts_while_nobody_ships_its_event(ledger: Ledger, store: Store) -> None:
    """For as long as the window, not as the process lives."""
    for budget, seconds in ((BUDGET, 86_400), (msgspec.structs.replace(BUDGET, per="1h"), 3600)):
        ledger.budgets = {budget.name: budget}
        first = ask(ledger, 20)
        assert isinstance(first, UUID)
        ledger.settle(Settled(first, place(), 30, (str(uuid4()), 500)))
        soonest = time.time() + seconds - 60
        wait_for(partial(expires_after, store, soonest))


def expires_after(store: Store, moment: float) -> bool:
    """Whether something is reserved, and all of it kept until then."""
    rows = store.select(f"SELECT expires_at FROM {store.dialect.prefix}budget_reservation")
    return bool(rows) and all(float(str(expires_at)) > moment for (expires_at,) in rows)


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"measure": "cost"}, []),
        ({"where": (Condition("team", True, "shop"),)}, []),
        ({"limit": Decimal(500)}, [70]),
        ({"on_limit": "throttle"}, [70]),
    ],
)
def test_what_is_reserved_of_a_budget_that_counts_something_else_now_is_none_of_it(
    ledger: Ledger, store: Store, change: dict[str, Any], left: list[int]
) -> None:
    """Billionths of a dollar were taken for tokens, so that every call was refused until those under way had ended."""
    set_budget(store, BUDGET)
    assert isinstance(ask(ledger, 70), UUID)
    set_budget(store, msgspec.structs.replace(BUDGET, **change))
    assert reserved(store) == left
    assert len(list(store.select(f"SELECT 1 FROM {store.dialect.prefix}budget_account"))) == len(left)


def test_a_child_that_is_forked_while_the_thread_loads_the_driver_reserves(dsn: str) -> None:
    """It had half of a module for good, that its parent's thread was importing, and none of its calls was made."""
    forking = """if True:
        import os, sys, threading, time
        from functools import partial
        from usage_tracker import forking
        from usage_tracker.budgets.refresh import read_part
        from usage_tracker.budgets.reservation_tables import Place, Want
        from usage_tracker.budgets.reservations import Ledger
        from usage_tracker.dsn import parse_dsn
        from usage_tracker.spending import read_used
        from usage_tracker.stores import open_store

        forking.LONGEST_WAIT = 30.0  # on a busy machine, loading takes longer than a fork waits
        loading = threading.Event()

        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name in ("usage_tracker.stores.sqlite", "usage_tracker.stores.postgres"):
                    loading.set()
                    time.sleep(0.3)

        sys.meta_path.insert(0, Slow())
        ledger = Ledger(lambda: open_store(parse_dsn(sys.argv[1])), partial(read_part, read_used))
        asked = ledger.ask([Want(Place("b", "", 0), 100, 1)])
        assert loading.wait(10)
        if os.fork() == 0:
            ledger.start_anew()
            asked = ledger.ask([Want(Place("b", "", 0), 100, 1)])
            print(asked.answer.result(timeout=10), flush=True)
            os._exit(0)
        assert os.wait()[1] == 0
        print(asked.answer.result(timeout=10), flush=True)
    """
    forked = subprocess.run(
        [sys.executable, "-c", forking, dsn], check=False, capture_output=True, text=True, timeout=60
    )
    assert (forked.stdout, forked.stderr) == ("None\nNone\n", "")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_who_changes_a_budget_waits_for_calls_that_end_and_they_do_not_wait_for_it(
    postgres_dsn: str, order: tuple[int, int]
) -> None:
    """Each had some of the rows that the other wanted, and the server ended one: the change, or all of these calls."""
    ledger = made_ledger(postgres_dsn)
    with (
        closing(open_store(parse_dsn(postgres_dsn))) as store,
        closing(open_store(parse_dsn(postgres_dsn))) as changing,
        ThreadPoolExecutor() as threads,
    ):
        set_budget(store, BUDGET)
        both = [ask(ledger, 1), ask(ledger, 1)]

        def end(execute: Execute) -> Future[None]:
            first, second = (both[each] for each in order)
            assert isinstance(first, UUID)
            assert isinstance(second, UUID)
            Tables(execute, store).settle(Settled(first, place(), 1, ("", 0)), time.time() + 60)
            changed = threads.submit(set_budget, changing, msgspec.structs.replace(BUDGET, measure="calls"))
            wait_for(lambda: execute("SELECT 1 FROM pg_locks WHERE NOT granted", []) is not None)
            Tables(execute, store).settle(Settled(second, place(), 1, ("", 0)), time.time() + 60)
            return changed

        store.change(end).result(timeout=30)
        assert reserved(store) == []


def test_who_forgets_windows_that_are_over_does_not_wait_for_calls_of_them_that_end_just_then(
    postgres_dsn: str,
) -> None:
    """Of several at once, each had some of the rows that the other wanted, and the server ended one: for a second no
    call got an answer, and then all of them were refused or made uncounted."""
    ledger = made_ledger(postgres_dsn)
    with closing(open_store(parse_dsn(postgres_dsn))) as store, closing(open_store(parse_dsn(postgres_dsn))) as leading:
        set_budget(store, BUDGET)
        first, second = ask(ledger, 1), ask(ledger, 2)
        assert isinstance(first, UUID)
        assert isinstance(second, UUID)
        later = time.time() + 2 * OVER_SECONDS
        begin_next = partial(update_accounts, leading, BUDGET, later, start_of(BUDGET, later), {}, {})

        def end(execute: Execute) -> None:
            Tables(execute, store).settle(Settled(first, place(), 1, ("", 0)), time.time() + 60)
            begin_next()
            assert reserved(leading) == [1]
            Tables(execute, store).settle(Settled(second, place(), 2, ("", 0)), time.time() + 60)

        store.change(end)
        begin_next()
        assert reserved(store) == []


def test_who_takes_over_what_is_stored_does_not_wait_for_sessions_that_go_on_just_then(postgres_dsn: str) -> None:
    """Each answer of a session settles what it reserved anew. Of two, each had some that the other wanted."""
    ledger, segment = made_ledger(postgres_dsn), uuid4()
    with closing(open_store(parse_dsn(postgres_dsn))) as store, closing(open_store(parse_dsn(postgres_dsn))) as leading:
        set_budget(store, BUDGET)
        sessions = [ask(ledger, 1), ask(ledger, 2)]
        for number, each in enumerate(sessions):
            assert isinstance(each, UUID)
            ledger.settle(Settled(each, place(), 10 + number, (str(segment), number)))
        wait_for(lambda: reserved(store) == [10, 11])

        def go_on(execute: Execute) -> None:
            assert isinstance(sessions[0], UUID)
            now = time.time()
            Tables(execute, store).settle(Settled(sessions[0], place(), 20, (str(segment), 2)), now + 60)
            update_accounts(leading, BUDGET, now + 1, place().window_start, {"": 21}, {segment: 1})
            assert reserved(leading) == [10], "what is locked waits for the next look"

        store.change(go_on)
        assert reserved(store) == [20], "its last answer is not stored yet"


def test_who_takes_over_what_is_stored_waits_for_no_calls_of_those_who_have_used_nothing_since(
    postgres_dsn: str,
) -> None:
    """With each second all accounts were locked, one after the other: of a budget for each of 5,000 sessions that took
    so long that the calls of all of them were made uncounted, or refused."""
    start = place().window_start
    with closing(open_store(parse_dsn(postgres_dsn))) as store, closing(open_store(parse_dsn(postgres_dsn))) as leading:
        set_budget(store, BUDGET)
        for part in ("u-1", "u-2"):
            open_account(store, {BUDGET.name: BUDGET}, lambda *_: (0.0, 5), place(part=part))

        def reserve(execute: Execute) -> None:
            Tables(execute, store).lock({place(part="u-1"): Want(place(part="u-1"), 100, 1)}, [], time.time())
            update_accounts(leading, BUDGET, time.time(), start, {"u-1": 5, "u-2": 6}, {})

        store.change(reserve)
        used = store.select("SELECT part, used FROM usage_tracker.budget_account ORDER BY part")
        assert list(used) == [("u-1", 5), ("u-2", 6)]


def test_of_a_window_that_rolls_only_those_are_remembered_who_have_used_some_of_it(
    ledger: Ledger, store: Store
) -> None:
    """It is never over, and each session that ever was would be."""
    rolling = msgspec.structs.replace(BUDGET, per="24h", each="session")
    set_budget(store, rolling)
    for part in ("long-ago", "now", "of-late"):
        open_account(store, {BUDGET.name: rolling}, lambda *_: (0.0, 7), place(rolling, part))
    assert ledger.ask([Want(place(rolling, "now"), 100, 1)]).answer.result(timeout=30) is None
    update_accounts(store, rolling, clock(store), 0, {"of-late": 7}, {})
    parts = store.select(f"SELECT part, used FROM {store.dialect.prefix}budget_account ORDER BY part")
    assert list(parts) == [("now", 0), ("of-late", 7)]


def test_minutes_that_are_over_do_not_wait_for_long_calls_that_began_in_them_and_end_just_then(
    postgres_dsn: str,
) -> None:
    """As with a window: of several such minutes, each had some that the other wanted."""
    first, second = (Place("rate", "", int((time.time() - ago) // 60) * 60) for ago in (660, 600))
    with closing(open_store(parse_dsn(postgres_dsn))) as store, closing(open_store(parse_dsn(postgres_dsn))) as leading:
        store.migrate()
        for each in (first, second):
            open_account(store, {}, partial(read_part, read_used), each)

        def end(execute: Execute) -> None:
            Tables(execute, store).lock({}, [Settled(uuid4(), second, 1)], time.time())
            tidy_rate(leading, RATE, time.time())
            [(kept,)] = leading.select("SELECT window_start FROM usage_tracker.budget_account")
            assert kept == second.window_start

        store.change(end)
        tidy_rate(leading, RATE, time.time())
        assert list(store.select("SELECT window_start FROM usage_tracker.budget_account")) == []


def test_a_look_lets_go_of_nothing_that_an_earlier_one_would_leave_uncounted(
    ledger: Ledger, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a window that rolls, as much was over as came in: that look found nothing new, and changed nothing."""
    rolling, segment, now = msgspec.structs.replace(BUDGET, per="1h"), uuid4(), clock(store)
    set_budget(store, rolling)
    open_account(store, {BUDGET.name: rolling}, lambda *_: (now, 20), place(rolling))
    asked = ledger.ask([Want(place(rolling), 100, 10)])
    assert asked.answer.result(timeout=30) is None

    def settle_before(work: Callable[[Execute], None]) -> None:
        monkeypatch.undo()
        ledger.settle(Settled(asked.reservation, place(rolling), 9, (str(segment), 500)))
        wait_for(lambda: reserved(store) == [9])
        store.change(work)

    monkeypatch.setattr(store, "change", settle_before)
    update_accounts(store, rolling, now + 2, 0, {"": 20}, {segment: 500})
    update_accounts(store, rolling, now + 1, 0, {"": 11}, {})
    assert reserved(store) == [9]
    update_accounts(store, rolling, now + 3, 0, {"": 20}, {segment: 500})
    assert reserved(store) == []


def test_who_has_read_earlier_does_not_overwrite_who_has_read_later(ledger: Ledger, store: Store) -> None:
    assert isinstance(ask(ledger, 1), UUID)
    now, start = clock(store), place().window_start
    update_accounts(store, BUDGET, now + 2, start, {"": 95}, {})
    of_another = Want(place(part="u-1"), 100, 50)
    assert ledger.ask([of_another]).answer.result(timeout=30) is None
    update_accounts(store, BUDGET, now + 1, start, {"": 10, "u-1": 60}, {})
    other = ledger.ask([of_another]).answer.result(timeout=30)
    assert isinstance(other, Refused)
    assert other.used == 110, "of that part nobody has read later"
    refused = ask(ledger, 50)
    assert isinstance(refused, Refused)
    assert refused.used == 96


def test_the_reservation_of_a_process_that_died_expires(
    ledger: Ledger, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "RENEW_SECONDS", 3600.0)
    assert isinstance(ask(ledger, 100), UUID)
    assert isinstance(ask(ledger, 1), Refused)
    let_pass(store, reservations.EXPIRE_SECONDS / 2)
    assert isinstance(ask(ledger, 1), Refused)
    let_pass(store, reservations.EXPIRE_SECONDS / 2)
    assert isinstance(ask(ledger, 100), UUID)


def test_a_call_that_takes_long_keeps_its_reservation(
    ledger: Ledger, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(reservations, "IDLE_SECONDS", 0.1)
    assert isinstance(ask(ledger, 100), UUID)
    for _ in range(3):
        let_pass(store, reservations.EXPIRE_SECONDS - 1)
        soonest = clock(store) + reservations.EXPIRE_SECONDS / 2
        wait_for(partial(expires_after, store, soonest))
    assert isinstance(ask(ledger, 1), Refused)


def let_pass(store: Store, seconds: float) -> None:
    """As if all that is reserved had been that much earlier."""
    sql = f"UPDATE {store.dialect.prefix}budget_reservation SET expires_at = expires_at - {seconds}"
    store.change(lambda execute: execute(sql, ()))


def test_what_can_not_be_settled_as_too_many_wait_for_that_expires(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(statements: Any) -> None:
        raise StoreUnavailable("the server has gone")

    monkeypatch.setattr(reservations, "MOST_WAITING", 0)
    first, second = ask(ledger, 10), ask(ledger, 10)
    assert isinstance(first, UUID)
    assert ledger._store is not None
    monkeypatch.setattr(ledger._store, "change", away)
    ledger.settle(Settled(first, None))
    wait_for(lambda: ledger._under_way == {second})


def of_rate(amount: int, limit: int = 10) -> Want:
    return Want(place_now(Account(RATE, "")), limit, amount, is_rate=True)


def begin_of_a_minute(store: Store) -> float:
    """Some seconds before its end, by the clock that counts."""
    while (now := clock(store)) % 60 > 50:
        time.sleep(0.5)
    return now


def test_a_rate_counts_across_processes(dsn: str) -> None:
    ledgers = [made_ledger(dsn) for _ in range(2)]
    asked = [each.ask([of_rate(1)]) for _ in range(10) for each in ledgers]
    assert sum(each.answer.result(timeout=30) is None for each in asked) == 10


@pytest.mark.parametrize("ahead", [-400, 400])
def test_a_rate_counts_in_the_minute_of_the_clock_that_hosts_share(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """By its own, a host that was minutes ahead or behind had as much again."""
    real, ledgers = time.time, [made_ledger(postgres_dsn) for _ in range(2)]
    with closing(open_store(parse_dsn(postgres_dsn))) as store:
        set_budget(store, RATE)
        begin_of_a_minute(store)
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: real() + ahead)
            assert ledgers[0].ask([of_rate(10)]).answer.result(timeout=30) is None
            tidy_rate(store, RATE, clock(store))
            assert isinstance(ledgers[0].ask([of_rate(1)]).answer.result(timeout=30), Refused)
        assert isinstance(ledgers[1].ask([of_rate(1)]).answer.result(timeout=30), Refused)


def test_a_rate_of_one_call_is_one_in_any_minute(ledger: Ledger, store: Store) -> None:
    last = Place("rate", "", int(begin_of_a_minute(store) // 60) * 60 - 60)
    open_account(store, {RATE.name: RATE}, lambda *_: (0.0, 1), last)
    now = ledger.ask([of_rate(1, limit=1)]).answer.result(timeout=30)
    assert isinstance(now, Refused), "a part of the last minute's call still counts"


def test_what_a_rate_gave_is_not_renewed_as_what_a_window_gave_is(ledger: Ledger) -> None:
    """A limit of calls per minute settles nothing, and each call would be renewed until the process ends."""
    wants = [Want(place(), 100, 1), of_rate(1)]
    asked = [ledger.ask(each) for each in (wants, wants[:1], wants[1:])]
    assert [each.answer.result(timeout=30) for each in asked] == [None, None, None]
    assert ledger._under_way == {each.reservation for each in asked[:2]}


def test_what_a_call_that_was_not_made_has_taken_of_a_rate_is_given_back(ledger: Ledger) -> None:
    def ask_for(amount: int) -> Asked:
        asked = ledger.ask([of_rate(amount)])
        asked.answer.exception(timeout=30)
        return asked

    taken, refused = ask_for(10), ask_for(1)
    assert refused.answer.result() is not None
    ledger.give_back(refused)
    assert ask_for(1).answer.result() is not None, "of what was refused there is nothing to give back"
    ledger.give_back(taken)
    wait_for(lambda: ask_for(10).answer.result() is None)


def test_the_minutes_of_a_rate_are_forgotten_once_they_are_over(ledger: Ledger, store: Store) -> None:
    now = begin_of_a_minute(store)
    assert ledger.ask([of_rate(1)]).answer.result(timeout=30) is None
    minute = int(now // 60) * 60
    open_account(store, {RATE.name: RATE}, lambda *_: (0.0, 1), Place("rate", "", minute - 600))
    tidy_rate(store, RATE, now)
    [(kept,)] = store.select(f"SELECT window_start FROM {store.dialect.prefix}budget_account")
    assert int(str(kept)) == minute


@pytest.mark.parametrize(("theirs", "leaders"), [(0, 1), (-1, 0)])
def test_a_host_in_another_day_takes_nothing_from_what_others_have_reserved(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: int, leaders: int
) -> None:
    """With each second, one whose clock was ahead let go of all that the calls of others had reserved, which then
    exceeded a strict budget."""
    now, real, ledger = time.time(), time.time, made_ledger(postgres_dsn)
    with closing(open_store(parse_dsn(postgres_dsn))) as store:
        for each in (BUDGET, RATE):
            set_budget(store, each)
        their_day = Place("b", "", start_of(BUDGET, now + theirs * 86_400))
        wants = [Want(their_day, 100, 70), of_rate(1)]
        assert ledger.ask(wants).answer.result(timeout=30) is None
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: real() + leaders * 86_400)
            assert Refresher(tmp_path, read_used, read_usual).refresh(store) is not None
        assert reserved(store) == [70]
        accounts = store.select("SELECT budget, used FROM usage_tracker.budget_account ORDER BY budget")
        assert [(name, int(str(used))) for name, used in accounts] == [("b", 0), ("rate", 1)]


def test_a_store_that_cannot_be_reached_is_an_error_and_the_next_try_a_new_one(tmp_path: Path) -> None:
    ledger = made_ledger("host=127.0.0.1 port=1 dbname=x connect_timeout=2")
    asked = ledger.ask([Want(place(), 100, 1)])
    with pytest.raises(StoreError):
        asked.answer.result(timeout=30)
    wait_for(lambda: ledger.busy_since is None)


@pytest.mark.timeout(240)
def test_a_crowd_of_processes_never_exceeds_a_strict_budget(empty_postgres_dsn: str, tmp_path: Path) -> None:
    found = crowd(empty_postgres_dsn, tmp_path, seed=7, processes=2, threads=8, limit=Decimal("0.3"))
    assert found.refused == 16
    assert Decimal("0.2") < found.spent <= Decimal("0.3") + found.errors
    assert found.stored == found.spent


@pytest.mark.timeout(240)
def test_by_default_a_crowd_exceeds_it_by_what_its_processes_cannot_know(
    empty_postgres_dsn: str, tmp_path: Path
) -> None:
    """Each process stops at the limit by itself, plus its calls under way, whatever it knows of the others."""
    found = crowd(empty_postgres_dsn, tmp_path, seed=7, mode="default", processes=2, threads=4, limit=Decimal("0.2"))
    assert found.refused == 8
    assert found.spent <= 2 * Decimal("0.2") + 2 * 4 * Decimal("0.022")
    assert found.stored == found.spent
