"""A call that a budget has no room for is refused, or held back, before its request goes out."""

import asyncio
import gc
import logging
import threading
import time
from concurrent.futures import Future, wait
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import Mock

import msgspec
import openai
import pytest
import trio
from budgeted import MESSAGES, MODEL, ask, budget, known
from capturing import Capturing
from migrated import migrated

import usage_tracker
from usage_tracker import tracker
from usage_tracker.budgets import accounts, holding
from usage_tracker.budgets.accounts import Match
from usage_tracker.budgets.amounts import whole
from usage_tracker.budgets.rates import Rate
from usage_tracker.budgets.reservation_tables import Settled
from usage_tracker.budgets.reservations import Asked, Ledger
from usage_tracker.budgets.view import View
from usage_tracker.capture import open_calls
from usage_tracker.capture.admission import Answered, take, take_elsewhere
from usage_tracker.conditions import Condition
from usage_tracker.demo.standin import StandIn
from usage_tracker.enforcing import Enforcing
from usage_tracker.errors import StoreUnavailable
from usage_tracker.event import Origin
from usage_tracker.stores.store import Execute


def test_without_budgets_there_is_no_gate(capturing: Capturing, enforcing: Enforcing) -> None:
    def has_gate(view: View) -> bool:
        enforcing.use(view)
        return enforcing._recorder.gate is not None

    assert enforcing._recorder.gate is None
    assert not has_gate(known(budget(on_limit="alert"), spent="9")), "what only alerts holds nothing back"
    assert has_gate(known(budget()))
    assert not has_gate(known())


def test_a_call_is_refused_before_its_request_and_is_no_event(
    capturing: Capturing, enforcing: Enforcing, caplog: pytest.LogCaptureFixture
) -> None:
    enforcing.use(known(budget(), spent="1.25"))
    with pytest.raises(usage_tracker.BudgetExceeded) as refused:
        ask(capturing)
    assert not [said for said in caplog.records if said.levelno >= logging.WARNING], "it is told once, to who calls"
    error = refused.value
    assert (error.budget, error.spent, error.limit, error.measure) == ("b", Decimal("1.25"), Decimal(1), "cost")
    assert error.resets_at is not None
    assert "has used $1.25 of $1.00 per day; it resets at " in str(error)
    assert capturing.provider.requests == []
    assert capturing.all() == []
    assert not open_calls


def test_an_awaited_call_is_refused_when_it_is_awaited(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(), spent="1"))

    async def work() -> list[Any]:
        asked = [capturing.aclient.chat.completions.create(model=MODEL, messages=MESSAGES) for _ in range(3)]
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(work())] == [usage_tracker.BudgetExceeded] * 3
    assert capturing.provider.requests == []


def test_a_stream_and_a_raw_response_are_refused_alike(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(), spent="1"))
    with pytest.raises(usage_tracker.BudgetExceeded):
        ask(capturing, stream=True)
    with pytest.raises(usage_tracker.BudgetExceeded):
        capturing.client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
    assert capturing.provider.requests == []


def test_only_calls_within_the_scope_are_held_to_it(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(
        known(budget(where=(Condition("team", True, "frontend"), Condition("model", True, "gpt-4o*"))), spent="1")
    )
    ask(capturing)
    with usage_tracker.attribute(team="frontend"):
        ask(capturing, model="gpt-3.5-turbo")
        with pytest.raises(usage_tracker.BudgetExceeded):
            ask(capturing)


def test_each_user_has_a_budget_of_their_own(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(each="user"), spent="1", part="u-1"))
    with usage_tracker.attribute(user="u-2"):
        ask(capturing)
    with usage_tracker.attribute(user="u-1"), pytest.raises(usage_tracker.BudgetExceeded) as refused:
        ask(capturing)
    assert refused.value.part == "u-1"
    with pytest.raises(usage_tracker.BudgetExceeded):
        ask(capturing, user="u-1")


def test_the_strictest_of_several_budgets_counts(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(name="wide", limit=Decimal(100)), budget(name="narrow", limit=Decimal(2)), spent="2"))
    with pytest.raises(usage_tracker.BudgetExceeded) as refused:
        ask(capturing)
    assert refused.value.budget == "narrow"


def test_throttling_holds_a_call_for_no_longer_than_its_bound(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(on_limit="throttle", delay=0.2), spent="5"))
    started = time.monotonic()
    ask(capturing)
    assert time.monotonic() - started >= 0.2
    assert capturing.one().duration_ms < 10_000


def test_the_event_loop_goes_on_while_a_call_is_held(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(on_limit="throttle", delay=60), spent="5"))

    async def work() -> None:
        async with capturing.aclient as client:
            held = asyncio.create_task(client.chat.completions.create(model=MODEL, messages=MESSAGES))
            await asyncio.sleep(0.1)
            assert not held.done()
            enforcing.use(known())
            await held

    began = time.monotonic()
    asyncio.run(work())
    assert time.monotonic() - began < 30, "it was let go from the loop that it waits in"


@pytest.mark.parametrize("said", [{"per": "day"}, {"per": "minute", "measure": "calls"}, {"unreachable": "closed"}])
def test_a_call_that_many_limits_hold_back_waits_no_longer_than_for_one(
    capturing: Capturing, enforcing: Enforcing, said: dict[str, Any]
) -> None:
    held = budget(each="tag", on_limit="throttle", delay=0.5, **{"limit": Decimal(1), **said})
    tags = [f"t-{number}" for number in range(30)]
    view = known(held, age=1000 if "unreachable" in said else 0)
    view.used["b"] = dict.fromkeys(tags, whole(Decimal(2), held.measure))
    enforcing.use(view)
    with usage_tracker.attribute(tags=tags):
        ask(capturing)
        began = time.monotonic()
        ask(capturing)
    assert 0.4 < time.monotonic() - began < 10, "and not 15 seconds"


@pytest.mark.parametrize("held", [{}, {"measure": "calls", "per": "minute"}], ids=["sum", "rate"])
@pytest.mark.parametrize("change", ["gone", "more"])
def test_a_held_call_goes_on_when_its_budget_is_removed_or_has_room(
    capturing: Capturing, enforcing: Enforcing, held: dict[str, Any], change: str
) -> None:
    slow = budget(on_limit="throttle", delay=60, **held)
    enforcing.use(known(slow, spent="1"))
    if slow.is_rate:
        ask(capturing)
    before = len(capturing.provider.requests)
    thread = threading.Thread(target=ask, args=[capturing], daemon=True)
    began = time.monotonic()
    thread.start()
    while not open_calls:  # it has begun
        assert time.monotonic() < began + 20
        time.sleep(0.01)
    assert len(capturing.provider.requests) == before
    enforcing.use(known() if change == "gone" else known(msgspec.structs.replace(slow, limit=Decimal(5)), spent="1"))
    thread.join(30)
    assert not thread.is_alive()
    assert len(capturing.provider.requests) == before + 1


def test_a_task_that_is_cancelled_while_it_is_held_makes_no_request(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(on_limit="throttle", delay=30.0), spent="5"))

    async def work() -> None:
        async with capturing.aclient as client:
            await asyncio.wait_for(client.chat.completions.create(model=MODEL, messages=MESSAGES), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(work())
    assert capturing.provider.requests == []
    assert capturing.all() == []


def test_calls_are_held_and_refused_in_trio_as_in_asyncio(capturing: Capturing, enforcing: Enforcing) -> None:
    async def work() -> None:
        client = capturing.aclient
        enforcing.use(known(budget(on_limit="throttle", delay=0.3), spent="5"))
        began = time.monotonic()
        await client.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert time.monotonic() - began >= 0.3
        assert capturing.one().status == "ok"
        strict = budget(strict=True, measure="calls", on_limit="block", unreachable="closed")
        enforcing.use(known(strict))
        with pytest.raises(usage_tracker.BudgetExceeded):
            await client.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert capturing.all() == []
        await client.close()

    trio.run(work)


def test_an_answer_is_waited_for_in_trio_until_it_comes() -> None:
    answer: Future[None] = Future()

    async def work() -> None:
        await take_elsewhere(Answered(answer, 0.02))
        assert not answer.done()
        threading.Timer(0.05, answer.set_result, [None]).start()
        await take_elsewhere(Answered(answer, 30.0))
        assert answer.done()

    trio.run(work)


def test_an_app_hears_nothing_of_an_answer_that_is_an_error_or_comes_when_its_loop_has_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A loop tells of errors that nobody has looked at, and a future of a loop that is closed."""
    answers: list[Future[None]] = [Future(), Future(), Future()]

    async def work() -> None:
        await take(Answered(answers[0], 0.01))
        for answer in answers[:2]:
            threading.Timer(0.02, answer.set_exception, [StoreUnavailable("away")]).start()
        await take(Answered(answers[1], 30.0))
        await take(Answered(answers[2], 0.01))
        await asyncio.to_thread(wait, answers[:2], 30.0)
        await asyncio.sleep(0.05)

    asyncio.run(work())
    answers[2].set_exception(StoreUnavailable("away"))
    assert [answer.done() for answer in answers] == [True, True, True]
    answers.clear()
    gc.collect()
    assert caplog.records == []


def test_when_the_store_is_silent_each_budget_says_what_then(
    capturing: Capturing, enforcing: Enforcing, caplog: pytest.LogCaptureFixture
) -> None:
    enforcing.use(known(budget(), age=1000))
    with caplog.at_level(logging.WARNING, "usage_tracker"):
        ask(capturing)
    assert "can't be read from the store" in caplog.text
    enforcing._view = None
    enforcing.use(known(budget(unreachable="closed", each="user"), age=999))
    with usage_tracker.attribute(user="u-1"), pytest.raises(usage_tracker.BudgetExceeded) as refused:
        ask(capturing)
    assert (refused.value.part, refused.value.spent) == ("u-1", None)
    assert str(refused.value).startswith("What the budget 'b' (all calls, each user: u-1) has used can't be known")
    enforcing.use(known(budget(), spent="2", age=998))
    with pytest.raises(usage_tracker.BudgetExceeded, match=r"\$2"):
        ask(capturing)


def test_what_is_closed_while_nobody_knows_may_hold_calls_back_rather_than_refuse_them(
    capturing: Capturing, enforcing: Enforcing
) -> None:
    enforcing.use(known(budget(on_limit="throttle", delay=0.5, unreachable="closed"), age=1000))
    began = time.monotonic()
    ask(capturing)
    assert time.monotonic() - began >= 0.5


def test_what_was_appended_to_a_segment_that_nobody_knows_any_more_was_stored_long_ago() -> None:
    now = time.time()

    def is_stored(seconds_ago: float, position: int | None = None, untold_for: float = 999) -> bool:
        entry = (("a", 500), int((now - seconds_ago) * 1e9), Match(Origin(sdk="openai"), ()), 1, 1, 1)
        view = View(read_at=now, stored={} if position is None else {"a": position})
        return accounts.stored(entry, view, {"a": now - untold_for})

    assert [is_stored(119), is_stored(121)] == [False, True]
    assert [is_stored(999, untold_for=119), is_stored(999, untold_for=121)] == [False, True]
    assert [is_stored(121, 499), is_stored(0, 500)] == [False, True]


def test_what_a_call_of_minutes_used_counts_also_where_its_segment_is_newer_than_what_is_known() -> None:
    """What was read of the store before it ended may come after it, and what it had used was let go of then."""
    rolling, own, now = budget(measure="calls", per="24h"), accounts.Accounts(), time.time()
    own.take(View(read_at=now, budgets=[rolling]))
    account = own.of(rolling, "")
    own.add(("a", 500), int((now - 600) * 1e9), Match(Origin(sdk="openai"), (account,)), 0, 0, 1)
    counted = []
    for seconds, told in ((0.1, {}), (1.0, {"a": 0}), (2.0, {"a": 500})):
        own.take(View(read_at=now + seconds, budgets=[rolling], stored=told))
        counted.append(account.own)
    assert counted == [1, 1, 0]


def test_calls_without_a_price_are_counted_or_refused(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget()))
    ask(capturing, model="acme-1")
    enforcing.use(known(budget(unpriced="refuse", each="user")))
    ask(capturing)
    with usage_tracker.attribute(user="u-1"), pytest.raises(usage_tracker.BudgetExceeded) as refused:
        ask(capturing, model="acme-1")
    assert refused.value.part == "u-1"
    assert "each user: u-1) refuses calls without a known price, and 'acme-1' has none" in str(refused.value)


def test_a_limit_per_minute_counts_calls_as_they_are_let_go(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(measure="calls", limit=Decimal(3), per="minute", each="user")))
    made, refused = 0, []
    for _ in range(5):
        try:
            ask(capturing, user="u-1")
            made += 1
        except usage_tracker.BudgetExceeded as error:
            refused.append(error)
    assert made in (3, 4)  # 4 where the minute of the clock turns meanwhile
    assert made + len(refused) == 5
    assert {error.part for error in refused} == {"u-1"}
    assert "(all calls, each user: u-1) has used" in str(refused[0])


def test_what_was_taken_of_a_rate_is_given_back_to_the_minute_it_was_taken_in() -> None:
    rate = Rate()
    rate.add(30, 119.0)
    rate.add(60, 135.0)
    assert rate.used(135.0) == 60 + 30 * 45 / 60
    rate.give_back(10, 119.0)
    rate.give_back(20, 135.0)
    rate.give_back(7, 59.0)
    assert rate.used(135.0) == 40 + 20 * 45 / 60
    assert rate.used(180.0) == 40
    assert rate.used(300.0) == 0


def test_a_refused_call_takes_nothing_of_the_rate_of_others(capturing: Capturing, enforcing: Enforcing) -> None:
    rate = budget(name="all", measure="calls", limit=Decimal(3), per="minute")
    enforcing.use(known(rate, budget(name="users", each="user"), spent="1", part="u-1"))
    for _ in range(5):
        with usage_tracker.attribute(user="u-1"), pytest.raises(usage_tracker.BudgetExceeded, match="'users'"):
            ask(capturing)
    with usage_tracker.attribute(user="u-2"):
        ask(capturing)


@pytest.mark.parametrize("measure", ["calls", "tokens"])
def test_a_limit_per_minute_goes_on_counting_when_another_budget_is_changed(
    capturing: Capturing, enforcing: Enforcing, measure: Any
) -> None:
    rate = budget(name="rate", measure=measure, limit=Decimal(1), per="minute")
    enforcing.use(known(rate))
    ask(capturing)
    for limit in (7, 8, 9):
        enforcing.use(known(rate, budget(limit=Decimal(limit))))
    with pytest.raises(usage_tracker.BudgetExceeded, match="'rate'"):
        ask(capturing)


def test_a_limit_of_tokens_per_minute_counts_them_when_they_are_known(
    capturing: Capturing, enforcing: Enforcing
) -> None:
    enforcing.use(known(budget(measure="tokens", limit=Decimal(1), per="minute")))
    usage = ask(capturing).usage
    assert enforcing._gate is not None
    rate = enforcing._gate._accounts._by_name["b", ""].rate
    assert rate is not None
    assert rate._previous + rate._current == usage.total_tokens
    with pytest.raises(usage_tracker.BudgetExceeded):
        ask(capturing)


def test_a_new_window_has_room_again(
    capturing: Capturing, enforcing: Enforcing, monkeypatch: pytest.MonkeyPatch
) -> None:
    enforcing.use(known(budget(per="hour"), spent="1"))
    with pytest.raises(usage_tracker.BudgetExceeded):
        ask(capturing)
    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)
    ask(capturing)


def test_what_is_remembered_of_calls_is_bounded_as_users_come_and_go(
    capturing: Capturing, enforcing: Enforcing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage_tracker.budgets.gate.MOST_MATCHES", 3)
    view = known(budget(each="user", measure="calls", limit=Decimal(9)))
    enforcing.use(view)
    gate = enforcing._gate
    assert gate is not None
    for number in range(8):
        with usage_tracker.attribute(user=f"u-{number}"):
            ask(capturing)
    assert len(gate._matches) == 6
    enforcing.use(view)
    assert len(gate._matches) == 0
    assert [account.own for account in gate._accounts._by_name.values()] == [1] * 8


def test_a_task_that_is_cancelled_as_its_reservation_comes_gives_it_back(
    capturing: Capturing, enforcing: Enforcing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else this process would renew it until its end."""
    asked = Asked(())
    settled: list[Any] = []
    ledger = Ledger(Mock(), Mock())
    monkeypatch.setattr(ledger, "ask", lambda wants: asked)
    monkeypatch.setattr(ledger, "_put", settled.append)
    enforcing.use(known(budget(measure="calls", strict=True)))
    assert enforcing._gate is not None
    enforcing._gate._reserving.ledger = ledger

    async def work() -> None:
        async with capturing.aclient as client:
            task = asyncio.create_task(client.chat.completions.create(model=MODEL, messages=MESSAGES))
            await asyncio.sleep(0.05)
            asked.answer.set_running_or_notify_cancel()
            asked.answer.set_result(None)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(work())
    assert settled == [Settled(asked.reservation, None)]
    assert capturing.provider.requests == []


def test_the_log_says_why_a_strict_budget_can_not_be_reserved_from(
    capturing: Capturing, enforcing: Enforcing, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> NoReturn:
        raise StoreUnavailable("the server has no room for another connection")

    enforcing.use(known(budget(strict=True)))
    gate = enforcing._gate
    assert gate is not None
    gate._reserving.ledger = Ledger(away, Mock())
    ask(capturing)
    assert "can't be reserved from: the server has no room for another connection" in caplog.text


def test_a_strict_budget_that_this_process_can_not_reserve_from_says_what_then(
    capturing: Capturing, enforcing: Enforcing, caplog: pytest.LogCaptureFixture
) -> None:
    """A process beside a sidecar doesn't know the store."""
    enforcing.use(known(budget(strict=True)))
    gate = enforcing._gate
    assert gate is not None
    gate._reserving.ledger = None
    ask(capturing)
    assert "can't be reserved from" in caplog.text
    enforcing.use(known(budget(strict=True, unreachable="closed")))
    with pytest.raises(usage_tracker.BudgetExceeded, match="can't be known"):
        ask(capturing)


def test_a_strict_limit_that_only_holds_calls_back_opens_no_way_past_another_one(
    fresh_start: Path, provider: StandIn, plain_client: openai.OpenAI
) -> None:
    """Whichever of them the store says first has no room."""
    from usage_tracker.budgets.book import set_budget
    from usage_tracker.budgets.view import ViewFile

    calls = {"measure": "calls", "strict": True}
    slow = budget(name="a", limit=Decimal(1), on_limit="throttle", delay=0.05, **calls)
    firm = budget(name="b", limit=Decimal(2), **calls)
    dsn, spool = f"sqlite:///{fresh_start}/usage.db", fresh_start / "spool"
    with migrated(dsn) as store:
        for each in (slow, firm):
            set_budget(store, each)
    spool.mkdir(mode=0o700)
    ViewFile(spool).save(known(slow, firm))
    usage_tracker.install(ship=False, spool_dir=spool, dsn=dsn)
    for _ in range(2):
        plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    with pytest.raises(usage_tracker.BudgetExceeded, match="'b'"):
        plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert len(provider.requests) == 2


@pytest.mark.parametrize("change", ["gone", "more"])
def test_a_call_that_a_strict_budget_holds_goes_on_when_that_is_removed_or_has_room(
    fresh_start: Path, provider: StandIn, plain_client: openai.OpenAI, change: str
) -> None:
    from usage_tracker.budgets.view import ViewFile
    from usage_tracker.dsn import parse_dsn
    from usage_tracker.stores import open_store

    slow = budget(measure="calls", on_limit="throttle", delay=60, strict=True)
    dsn, spool = f"sqlite:///{fresh_start}/usage.db", fresh_start / "spool"
    with closing(open_store(parse_dsn(dsn))) as store:
        store.migrate()
    spool.mkdir(mode=0o700)
    ViewFile(spool).save(known(slow))
    usage_tracker.install(ship=False, spool_dir=spool, dsn=dsn)
    plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    thread = threading.Thread(
        target=plain_client.chat.completions.create, kwargs={"model": MODEL, "messages": MESSAGES}, daemon=True
    )
    began = time.monotonic()
    thread.start()
    while not open_calls:  # it has begun
        assert time.monotonic() < began + 20
        time.sleep(0.01)
    assert len(provider.requests) == 1
    ViewFile(spool).save(known() if change == "gone" else known(msgspec.structs.replace(slow, limit=Decimal(5))))
    thread.join(30)
    assert not thread.is_alive()
    assert len(provider.requests) == 2


@pytest.mark.parametrize("per", ["minute", "hour"])
def test_a_call_that_a_strict_budget_has_held_for_as_long_as_it_may_counts_as_all_do(
    fresh_start: Path, provider: StandIn, plain_client: openai.OpenAI, per: str
) -> None:
    """Nothing was taken for it: of a limit per minute, each call that it let go made room for another one."""
    from usage_tracker.budgets.view import ViewFile

    slow = budget(measure="calls", on_limit="throttle", delay=0.2, strict=True, per=per)
    dsn, spool = f"sqlite:///{fresh_start}/usage.db", fresh_start / "spool"
    with migrated(dsn) as store:
        spool.mkdir(mode=0o700)
        ViewFile(spool).save(known(slow))
        usage_tracker.install(ship=False, spool_dir=spool, dsn=dsn)
        for _ in range(3):
            plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert len(provider.requests) == 3
        used = "SELECT used FROM budget_account UNION ALL SELECT amount FROM budget_reservation"
        assert sum(int(str(amount)) for (amount,) in store.select(used)) == 3


@pytest.mark.parametrize("per", ["minute", "hour"])
def test_a_call_that_a_strict_budget_holds_goes_on_in_the_next_window_and_counts_there(
    fresh_start: Path, provider: StandIn, plain_client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, per: str
) -> None:
    from usage_tracker.budgets.view import ViewFile

    slow = budget(measure="calls", on_limit="throttle", delay=60, strict=True, per=per)
    dsn, spool = f"sqlite:///{fresh_start}/usage.db", fresh_start / "spool"
    with migrated(dsn) as store:
        spool.mkdir(mode=0o700)
        ViewFile(spool).save(known(slow))
        usage_tracker.install(ship=False, spool_dir=spool, dsn=dsn)
        plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
        began = time.monotonic()
        # what is only reserved is let go of after a leap of the clock, and the other call may be asking just then
        while list(store.select("SELECT 1 FROM budget_reservation WHERE segment IS NULL")):
            assert time.monotonic() < began + 20
            time.sleep(0.01)
        thread = threading.Thread(
            target=plain_client.chat.completions.create, kwargs={"model": MODEL, "messages": MESSAGES}, daemon=True
        )
        thread.start()
        while not open_calls:  # it has begun
            assert time.monotonic() < began + 20
            time.sleep(0.01)
        assert len(provider.requests) == 1
        later = time.time() + 7200
        monkeypatch.setattr(time, "time", lambda: later)
        thread.join(30)
        assert not thread.is_alive()
        assert len(provider.requests) == 2
        windows = store.select("SELECT DISTINCT window_start FROM budget_account ORDER BY window_start")
        assert len(list(windows)) == 2


@pytest.mark.parametrize("per", ["minute", "hour", "day"])
def test_a_call_whose_window_ends_while_the_store_is_asked_counts_in_the_next(
    fresh_start: Path, provider: StandIn, plain_client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, per: str
) -> None:
    """It begins then, and what it uses is of that window: it took room of the last one, of which there was more."""
    from usage_tracker.budgets.view import ViewFile

    firm = budget(measure="calls", strict=True, per=per)
    dsn, spool = f"sqlite:///{fresh_start}/usage.db", fresh_start / "spool"
    with migrated(dsn) as store:
        spool.mkdir(mode=0o700)
        ViewFile(spool).save(known(firm))
        usage_tracker.install(ship=False, spool_dir=spool, dsn=dsn)
        assert tracker.installed is not None
        ledger = tracker.installed.pipeline().enforcing._ledger
        assert ledger is not None
        thread = threading.Thread(
            target=plain_client.chat.completions.create, kwargs={"model": MODEL, "messages": MESSAGES}, daemon=True
        )
        later = time.time() + 100_000

        def answer_later(execute: Execute) -> None:
            began = time.monotonic()
            thread.start()
            while ledger.busy_since is None:
                assert time.monotonic() < began + 20
                time.sleep(0.01)
            monkeypatch.setattr(time, "time", lambda: later)

        store.change(answer_later)
        thread.join(30)
        assert not thread.is_alive()
        assert len(provider.requests) == 1
        with pytest.raises(usage_tracker.BudgetExceeded):
            plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert len(provider.requests) == 1


def test_a_strict_call_waits_for_prices_rather_than_go_unreserved(
    fresh_start: Path, provider: StandIn, plain_client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts knows of the budget before it has loaded what calls cost."""
    from usage_tracker.budgets.view import ViewFile

    monkeypatch.setattr(holding, "RESERVE_SECONDS", 0.1)
    spool = fresh_start / "spool"
    spool.mkdir(mode=0o700)
    ViewFile(spool).save(known(budget(strict=True, unreachable="closed")))
    usage_tracker.install(ship=False, spool_dir=spool, dsn=f"sqlite:///{fresh_start}/usage.db")
    assert tracker.installed is not None
    monkeypatch.setattr(tracker.installed.pipeline().enforcing, "look", lambda: None)
    with pytest.raises(usage_tracker.BudgetExceeded, match="can't be known"):
        plain_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert provider.requests == []
