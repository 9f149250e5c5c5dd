"""A call that a budget has no room for is refused, or held back, before its request goes out."""

import asyncio
import gc
import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import closing, suppress
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import Mock
from uuid import uuid4

import msgspec
import openai
import pytest
import trio
from budgeted import budget, known
from capturing import ASK as MESSAGES
from capturing import Capturing
from migrated import migrated
from msgspec import Raw

import usage_tracker
from usage_tracker import tracker
from usage_tracker.budgeting import Budgeting
from usage_tracker.budgets import accounts, holding, reserving
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
from usage_tracker.event import CallKind, Origin, Told, Usage
from usage_tracker.providers.told import encode_usage, event_of, told_as_read

MODEL = "gpt-4o-mini"
ASK: Any = MESSAGES


@pytest.fixture
def enforcing(capturing: Capturing, monkeypatch: pytest.MonkeyPatch) -> Enforcing:
    monkeypatch.setattr(holding, "FIRST_SECONDS", 0.1)
    assert tracker.installed is not None
    return tracker.installed.pipeline().enforcing


def ask(capturing: Capturing, **said: Any) -> Any:
    return capturing.client.chat.completions.create(**{"model": MODEL, "messages": ASK, "max_tokens": 20, **said})


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
        asked = [capturing.aclient.chat.completions.create(model=MODEL, messages=ASK) for _ in range(3)]
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(work())] == [usage_tracker.BudgetExceeded] * 3
    assert capturing.provider.requests == []


def test_a_stream_and_a_raw_response_are_refused_alike(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(), spent="1"))
    with pytest.raises(usage_tracker.BudgetExceeded):
        ask(capturing, stream=True)
    with pytest.raises(usage_tracker.BudgetExceeded):
        capturing.client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK)
    assert capturing.provider.requests == []


def test_what_this_process_spends_counts_at_once(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(limit=Decimal(40), measure="tokens")))
    calls = 0
    with suppress(usage_tracker.BudgetExceeded):
        for calls in range(50):  # noqa: B007  how far it came
            ask(capturing)
    used = sum((event.usage.input_tokens or 0) + (event.usage.output_tokens or 0) for _, event in capturing.all())
    assert 0 < calls < 49
    assert used >= 40


def test_dollars_are_those_of_the_pricer(capturing: Capturing, enforcing: Enforcing) -> None:
    from usage_tracker.pricing import Pricer

    enforcing.use(known(budget()))
    for said in ({}, {"model": "gpt-4o"}, {"n": 2}):
        ask(capturing, **said)
    gate = enforcing._gate
    assert gate is not None
    [account] = gate._accounts._by_name.values()
    pricer = Pricer()
    cost = sum((pricer.price(*call).amount or Decimal(0)) for call in capturing.all())
    assert account.own == pytest.approx(int(cost * 10**9), abs=3)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4o-2024-11-20", "gpt-5-nano", "o3", "acme-1"])
def test_what_is_added_at_once_is_what_the_pricer_says_to_the_last_digit(model: str) -> None:
    from usage_tracker.budgets.unit_prices import UnitPrices, made_up
    from usage_tracker.pricing import Pricer

    prices, pricer, dice = UnitPrices(None), Pricer(), random.Random(7)
    prices.load(None)
    origin = Origin(provider="openai", sdk="openai")
    for _ in range(200):
        into = dice.randint(0, 120_000)
        usage = Usage(input_tokens=into, output_tokens=dice.randint(0, 9999), cache_read_tokens=dice.randint(0, into))
        event = made_up(model, "chat", usage)
        amount = pricer.price(origin, event).amount
        assert prices.cost(origin, event) == (None if amount is None else whole(amount, "cost"))


def test_limits_and_spending_do_not_depend_on_the_decimals_of_the_application(
    capturing: Capturing, enforcing: Enforcing
) -> None:
    from usage_tracker.budgets.unit_prices import UnitPrices, made_up

    exactly, roughly = UnitPrices(None), UnitPrices(None)
    origin = Origin(provider="openai", sdk="openai")
    event = made_up(MODEL, "chat", Usage(input_tokens=12_345, output_tokens=1))
    enforcing.use(known(budget(limit=Decimal("12345.67")), spent="12345.68"))
    with localcontext(prec=1):
        with pytest.raises(usage_tracker.BudgetExceeded, match=r"\$12,345\.68 of \$12,345\.67") as refused:
            ask(capturing)
        roughly.load(None)
        cost = roughly.cost(origin, event)
    exactly.load(None)
    assert (refused.value.spent, cost) == (Decimal("12345.68"), exactly.cost(origin, event))


@pytest.mark.parametrize("streamed", [False, True])
def test_spending_is_known_to_the_last_digit_before_an_answer_is_read(
    capturing: Capturing, enforcing: Enforcing, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    """The journal has the answers as they came; nobody in the process has read all of them."""
    from usage_tracker.pricing import Pricer

    enforcing._recorder.listeners.clear()
    measures: Any = ("cost", "tokens", "calls")
    view = known(*(budget(name=measure, measure=measure, limit=Decimal(10**9)) for measure in measures))
    enforcing.use(view)
    assert enforcing._gate is not None
    monkeypatch.setattr(enforcing._gate, "_read", reading := Mock(wraps=enforcing._gate._read))
    for model in ("gpt-4o-mini", "gpt-4o", "gpt-4o-mini", "gpt-4o-mini", "acme-1", "acme-1"):
        answer = ask(capturing, model=model, stream=streamed)
        assert not streamed or list(answer)
    capturing.client.embeddings.create(model="text-embedding-3-small", input="Hello")
    capturing.client.embeddings.create(model="text-embedding-3-small", input="Hello again")
    gate = enforcing._gate
    assert len(gate._told) == 4, "kinds of calls"
    assert reading.call_count == 6, "the first of each kind, and each that has no price or is an embedding"
    spool = enforcing._journal.spool
    file = spool.open(spool.segments()[0])
    assert file is not None
    events = file.reader.read(10, ended=True).events
    file.close()
    assert file.reader._kinds, "not read before"
    assert len(events) == 8
    pricer = Pricer()
    costs = [pricer.price(each.origin, each.event).amount for each in events]
    usages = [each.event.usage for each in events]
    cost = sum(whole(cost or Decimal(0), "cost") for cost in costs)
    tokens = sum((usage.input_tokens or 0) + (usage.output_tokens or 0) for usage in usages)
    for _ in range(2):
        assert [gate._accounts._by_name[measure, ""].own for measure in measures] == [cost, tokens, 8]
        enforcing.use(view)


@pytest.mark.parametrize(
    ("model", "into", "details"),
    [
        ("gpt-audio", 41, {"audio_tokens": 30}),
        ("gpt-4o", 41, {"cached_tokens": 30}),
        ("gpt-5.4", 300_000, {"cached_tokens": 0}),
        ("gpt-4o", 41, {"cached_tokens": 4100}),
    ],
    ids=["audio", "cached", "long", "contradicting"],
)
def test_an_answer_that_says_more_than_a_few_numbers_do_is_read_for_what_it_costs(
    enforcing: Enforcing, model: str, into: int, details: dict[str, int]
) -> None:
    from usage_tracker.pricing import Pricer

    enforcing.use(known(budget()))
    assert enforcing._gate is not None
    kind = CallKind(
        origin=Origin(provider="openai", sdk="openai"), by_model=False, reader="openai", operation="chat",
        request_model=model, streamed=False, names=("model", "usage"),
    )  # fmt: skip
    usage = {"prompt_tokens": into, "completion_tokens": 12, "prompt_tokens_details": [details, None, False]}
    kept = encode_usage([{**usage, "total_tokens": into + 12}, None, False])
    told = (time.time_ns(), 1.5, None, 200, 1, ((model, Raw(kept)),))
    for _ in range(3):
        enforcing._gate.told(kind, told)
    cost = Pricer().price(*event_of(kind, Told(*told[:-1], told_as_read(told[-1])))).amount
    assert (cost is None) == (details.get("cached_tokens", 0) > into)
    assert enforcing._gate._accounts._by_name["b", ""].own == 3 * whole(cost or Decimal(0), "cost")


def test_a_step_of_a_list_within_short_prompts_is_not_overlooked(tmp_path: Path) -> None:
    from usage_tracker.budgets.unit_prices import UnitPrices, made_up
    from usage_tracker.pricing import Pricer
    from usage_tracker.pricing.reading import load_book

    book = tmp_path / "book.toml"
    book.write_text("[[price]]\nmatch = 'acme-1'\ninput = 1\noutput = 1\nabove = [{ input_tokens = 500, input = 5 }]\n")
    prices, pricer = UnitPrices(book), Pricer(books=[load_book(book)])
    prices.load(None)
    for provider, model in (("acme", "acme-1"), ("openrouter", "qwen/qwen3-coder-flash")):
        origin = Origin(provider=provider, sdk="openai")
        for into in (100, 1000, 40_000):
            event = made_up(model, "chat", Usage(input_tokens=into, output_tokens=10))
            amount = pricer.price(origin, event).amount
            assert amount is not None
            assert prices.cost(origin, event) == whole(amount, "cost"), (model, into)


def test_reasoning_and_video_that_have_prices_of_their_own_are_not_overlooked(tmp_path: Path) -> None:
    from usage_tracker.budgets.unit_prices import UnitPrices, made_up
    from usage_tracker.pricing import Pricer
    from usage_tracker.pricing.reading import load_book

    book = tmp_path / "book.toml"
    book.write_text("[[price]]\nmatch = 'acme-1'\ninput = 1\noutput = 2\nreasoning = 10\n")
    prices, pricer = UnitPrices(book), Pricer(books=[load_book(book)])
    prices.load(None)
    thought = made_up("acme-1", "chat", Usage(input_tokens=100, output_tokens=50, reasoning_tokens=40))
    seen = made_up("gemini-embedding-2", "embeddings", Usage(input_tokens=100, output_tokens=0))
    seen.raw = {"prompt_token_count": 100, "prompt_tokens_details": [{"modality": "VIDEO", "token_count": 90}]}
    for provider, event, amount in (("acme", thought, "0.00052"), ("gemini", seen, "0.001082")):
        origin = Origin(provider=provider, sdk="any")
        assert pricer.price(origin, event).amount == Decimal(amount)
        assert prices.cost(origin, event) == whole(Decimal(amount), "cost")


def test_the_host_on_which_a_price_depends_is_not_overlooked() -> None:
    from usage_tracker.budgets.unit_prices import UnitPrices, made_up
    from usage_tracker.pricing import Pricer

    prices, pricer, costs = UnitPrices(None), Pricer(), set()
    prices.load(None)
    for host in ("api.openai.com", "eu.api.openai.com"):
        origin = Origin(provider="openai", sdk="openai", base_host=host)
        event = made_up("gpt-5.4", "chat", Usage(input_tokens=1000, output_tokens=1000))
        amount = pricer.price(origin, event).amount
        assert amount is not None
        assert prices.cost(origin, event) == whole(amount, "cost")
        costs.add(amount)
    assert len(costs) == 2


def test_words_on_which_a_price_depends_are_not_overlooked() -> None:
    from usage_tracker.budgets.unit_prices import UnitPrices, made_up
    from usage_tracker.pricing import Pricer

    prices, pricer, costs = UnitPrices(None), Pricer(), set()
    prices.load(None)
    origin = Origin(provider="anthropic", sdk="anthropic")
    for raw in (None, {"inference_geo": "us"}, {"speed": "fast"}):
        event = made_up("claude-opus-4-6", "chat", Usage(input_tokens=1000, output_tokens=1000))
        event.raw = raw
        amount = pricer.price(origin, event).amount
        assert prices.cost(origin, event) == (None if amount is None else whole(amount, "cost"))
        costs.add(amount)
    assert len(costs) == 3


def test_thoughts_that_geminis_count_of_output_leaves_out_are_not_overlooked() -> None:
    from usage_tracker.budgets.unit_prices import UnitPrices, made_up
    from usage_tracker.pricing import Pricer

    prices = UnitPrices(None)
    prices.load(None)
    origin = Origin(provider="gemini", sdk="openai", base_host="generativelanguage.googleapis.com")
    event = made_up("gemini-2.5-flash", "chat", Usage(input_tokens=100, output_tokens=10))
    event.raw = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 5000}
    amount = Pricer().price(origin, event).amount
    assert amount == Decimal("0.01228")
    assert prices.cost(origin, event) == whole(amount, "cost")


def test_another_model_that_was_asked_within_a_call_is_not_overlooked() -> None:
    from usage_tracker.budgets.unit_prices import UnitPrices, made_up
    from usage_tracker.pricing import Pricer

    prices, origin = UnitPrices(None), Origin(provider="anthropic", sdk="anthropic")
    prices.load(None)
    event = made_up("claude-sonnet-5-5", "chat", Usage(input_tokens=1400, output_tokens=1690))
    advisor = {"model": "claude-opus-5-5", "input_tokens": 1000, "output_tokens": 1600}
    event.raw = {"iterations": [{"input_tokens": 400, "output_tokens": 90}, advisor]}
    amount = Pricer().price(origin, event).amount
    assert amount == Decimal("0.0377")
    assert prices.cost(origin, event) == whole(amount, "cost")


def test_own_spending_is_dropped_once_the_store_says_it(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget()))
    ask(capturing)
    gate = enforcing._gate
    assert gate is not None
    [account] = gate._accounts._by_name.values()
    own, (segment, position) = account.own, enforcing._journal.place()
    assert own > 0
    view = known(budget(), spent="0.25")
    enforcing.use(view)
    assert (account.used, account.own) == (250_000_000, own), "it isn't among what is stored"
    view = known(budget(), spent="0.25")
    view.stored[segment] = position
    enforcing.use(view)
    assert (account.used, account.own) == (250_000_000, 0)


def test_while_the_store_takes_nothing_what_calls_have_used_is_kept_in_sums(
    capturing: Capturing, enforcing: Enforcing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MOST_ENTRIES", 1)
    measures: Any = ("cost", "tokens", "calls")
    view = known(*(budget(name=measure, measure=measure, limit=Decimal(1000)) for measure in measures))
    enforcing.use(view)
    gate = enforcing._gate
    assert gate is not None
    ask(capturing, model="gpt-4o")
    _, first = enforcing._journal.place()
    for model in ("gpt-4o", "gpt-4o-mini", "gpt-4o-mini", "gpt-4o-mini"):
        ask(capturing, model=model)

    def own() -> list[int]:
        return [gate._accounts._by_name[measure, ""].own for measure in measures]

    before, (segment, position) = own(), enforcing._journal.place()
    assert before[2] == 5
    gate._accounts._tidy_at = 6
    gate.tidy()
    assert len(gate._accounts._entries) == 5, "they are few"
    gate._accounts._tidy_at = 5
    gate.tidy()
    sums = len(gate._accounts._entries)
    assert sums in (2, 3), "3 where a quarter of an hour ends meanwhile"
    assert gate._accounts._tidy_at == 2 * sums
    view.stored[segment] = first
    enforcing.use(view)
    assert own() == before, "they count until the last of each sum is stored"
    view.stored[segment] = position
    enforcing.use(view)
    assert own() == [0, 0, 0]


def test_a_call_that_ends_while_the_sums_are_taken_counts_in_an_account_of_its_own(
    capturing: Capturing, enforcing: Enforcing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a stream does that the garbage collector ends, wherever it runs."""
    view = known(budget(each="user", measure="calls", limit=Decimal(9)))
    enforcing.use(view)
    with usage_tracker.attribute(user="u-1"):
        ask(capturing)
    waiting, window_of = ["u-2"], accounts.window_of

    def interrupted(*asked: Any) -> Any:
        if waiting:
            with usage_tracker.attribute(user=waiting.pop()):
                ask(capturing)
        return window_of(*asked)

    monkeypatch.setattr(accounts, "window_of", interrupted)
    enforcing.use(view)
    gate = enforcing._gate
    assert gate is not None
    assert {part: account.own for (_, part), account in gate._accounts._by_name.items()} == {"u-1": 1, "u-2": 1}


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
            held = asyncio.create_task(client.chat.completions.create(model=MODEL, messages=ASK))
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
            await asyncio.wait_for(client.chat.completions.create(model=MODEL, messages=ASK), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(work())
    assert capturing.provider.requests == []
    assert capturing.all() == []


def test_calls_are_held_and_refused_in_trio_as_in_asyncio(capturing: Capturing, enforcing: Enforcing) -> None:
    async def work() -> None:
        client = capturing.aclient
        enforcing.use(known(budget(on_limit="throttle", delay=0.3), spent="5"))
        began = time.monotonic()
        await client.chat.completions.create(model=MODEL, messages=ASK)
        assert time.monotonic() - began >= 0.3
        assert capturing.one().status == "ok"
        strict = budget(strict=True, measure="calls", on_limit="block", unreachable="closed")
        enforcing.use(known(strict))
        with pytest.raises(usage_tracker.BudgetExceeded):
            await client.chat.completions.create(model=MODEL, messages=ASK)
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

    def is_stored(seconds_ago: float, position: int | None = None) -> bool:
        entry = (("a", 500), int((now - seconds_ago) * 1e9), Match(Origin(sdk="openai"), ()), 1, 1, 1)
        return accounts.stored(entry, View(read_at=now, stored={} if position is None else {"a": position}))

    assert [is_stored(119), is_stored(121)] == [False, True]
    assert [is_stored(121, 499), is_stored(0, 500)] == [False, True]


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


def test_threads_lose_no_spending(capturing: Capturing, enforcing: Enforcing) -> None:
    enforcing.use(known(budget(measure="calls", limit=Decimal(1000))))

    def work() -> None:
        for _ in range(5):
            ask(capturing)

    crowd = [threading.Thread(target=work) for _ in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    gate = enforcing._gate
    assert gate is not None
    [account] = gate._accounts._by_name.values()
    assert account.own == 40


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


@pytest.fixture
def client(provider: StandIn) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-test", base_url=provider.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def fresh_start(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    usage_tracker.uninstall()


def test_a_process_is_held_from_its_first_call_on(fresh_start: Path, client: openai.OpenAI) -> None:
    from usage_tracker.budgets.view import ViewFile

    spool = fresh_start / "spool"
    spool.mkdir(mode=0o700)
    ViewFile(spool).save(known(budget(), spent="1"))
    usage_tracker.install(ship=False, spool_dir=spool)
    with pytest.raises(usage_tracker.BudgetExceeded):
        client.chat.completions.create(model=MODEL, messages=ASK)
    usage_tracker.install(ship=False, spool_dir=spool, budgets="off")
    client.chat.completions.create(model=MODEL, messages=ASK)


def test_who_waits_for_budgets_is_told_at_once_that_there_are_none(
    fresh_start: Path, client: openai.OpenAI, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "FIRST_SECONDS", 30.0)
    dsn, spool = f"sqlite:///{fresh_start}/usage.db", fresh_start / "spool"
    usage_tracker.install(dsn=dsn, spool_dir=spool, budgets="wait")
    began = time.monotonic()
    client.chat.completions.create(model=MODEL, messages=ASK)
    assert time.monotonic() - began < 20
    assert tracker.installed is not None
    assert tracker.installed.pipeline().recorder.gate is None
    assert not [said for said in caplog.records if said.levelno >= logging.WARNING]
    usage_tracker.install(ship=False, dsn=dsn, spool_dir=spool, budgets="wait")
    assert tracker.installed.pipeline().recorder.gate is None, "a neighbour, or who comes later, has it in writing"


def test_a_leader_that_waits_for_no_budgets_itself_tells_a_neighbour_that_does_that_there_are_none(
    fresh_start: Path, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    from usage_tracker.config import load_settings

    dsn, spool = f"sqlite:///{fresh_start}/usage.db", fresh_start / "spool"
    usage_tracker.install(ship=False, spool_dir=spool, budgets="wait")

    def took(first_seconds: float) -> float:
        monkeypatch.setattr(holding, "FIRST_SECONDS", first_seconds)
        began = time.monotonic()
        client.chat.completions.create(model=MODEL, messages=ASK)
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
    fresh_start: Path, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
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
    client.chat.completions.create(model=MODEL, messages=ASK)
    with pytest.raises(usage_tracker.BudgetExceeded):
        client.chat.completions.create(model=MODEL, messages=ASK)


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


def test_a_task_that_is_cancelled_as_its_reservation_comes_gives_it_back(
    capturing: Capturing, enforcing: Enforcing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else this process would renew it until its end."""
    answer: Future[Any] = Future()
    asked = Asked(uuid4(), (), answer)
    settled: list[Any] = []
    ledger = Ledger(Mock(), Mock())
    monkeypatch.setattr(ledger, "ask", lambda wants: asked)
    monkeypatch.setattr(ledger, "_put", settled.append)
    enforcing.use(known(budget(measure="calls", strict=True)))
    assert enforcing._gate is not None
    enforcing._gate._reserving.ledger = ledger

    async def work() -> None:
        async with capturing.aclient as client:
            task = asyncio.create_task(client.chat.completions.create(model=MODEL, messages=ASK))
            await asyncio.sleep(0.05)
            answer.set_running_or_notify_cancel()
            answer.set_result(None)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(work())
    assert settled == [Settled(asked.reservation, None)]
    assert capturing.provider.requests == []


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
def test_a_running_process_follows_a_change_within_seconds(fresh_start: Path, client: openai.OpenAI) -> None:
    from usage_tracker.budgets.book import remove_budget, set_budget
    from usage_tracker.dsn import parse_dsn
    from usage_tracker.stores import open_store

    dsn = f"sqlite:///{fresh_start}/usage.db"
    usage_tracker.install(dsn=dsn, spool_dir=fresh_start / "spool")

    def is_refused() -> bool:
        try:
            client.chat.completions.create(model=MODEL, messages=ASK)
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


def test_calls_that_end_before_prices_are_known_count_once_they_are(
    capturing: Capturing, enforcing: Enforcing, monkeypatch: pytest.MonkeyPatch
) -> None:
    enforcing.use(known(budget(limit=Decimal("0.000001"))))
    gate = enforcing._gate
    assert gate is not None
    with monkeypatch.context() as early:
        early.setattr(gate._prices, "ready", False)
        ask(capturing)
        assert len(gate._unpriced) == 1
        began = time.monotonic()
        ask(capturing)
        waited = time.monotonic() - began
        assert holding.FIRST_SECONDS <= waited < reserving.RESERVE_SECONDS, "for them, and not as a strict one does"
        assert len(gate._unpriced) == 2
    enforcing.use(known(budget(limit=Decimal("0.000001"))))
    assert not gate._unpriced
    with pytest.raises(usage_tracker.BudgetExceeded):
        ask(capturing)


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
    fresh_start: Path, provider: StandIn, client: openai.OpenAI
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
        client.chat.completions.create(model=MODEL, messages=ASK)
    with pytest.raises(usage_tracker.BudgetExceeded, match="'b'"):
        client.chat.completions.create(model=MODEL, messages=ASK)
    assert len(provider.requests) == 2


@pytest.mark.parametrize("change", ["gone", "more"])
def test_a_call_that_a_strict_budget_holds_goes_on_when_that_is_removed_or_has_room(
    fresh_start: Path, provider: StandIn, client: openai.OpenAI, change: str
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
    client.chat.completions.create(model=MODEL, messages=ASK)
    thread = threading.Thread(
        target=client.chat.completions.create, kwargs={"model": MODEL, "messages": ASK}, daemon=True
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
    fresh_start: Path, provider: StandIn, client: openai.OpenAI, per: str
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
            client.chat.completions.create(model=MODEL, messages=ASK)
        assert len(provider.requests) == 3
        used = "SELECT used FROM budget_account UNION ALL SELECT amount FROM budget_reservation"
        assert sum(int(str(amount)) for (amount,) in store.select(used)) == 3


@pytest.mark.parametrize("per", ["minute", "hour"])
def test_a_call_that_a_strict_budget_holds_goes_on_in_the_next_window_and_counts_there(
    fresh_start: Path, provider: StandIn, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, per: str
) -> None:
    from usage_tracker.budgets.view import ViewFile

    slow = budget(measure="calls", on_limit="throttle", delay=60, strict=True, per=per)
    dsn, spool = f"sqlite:///{fresh_start}/usage.db", fresh_start / "spool"
    with migrated(dsn) as store:
        spool.mkdir(mode=0o700)
        ViewFile(spool).save(known(slow))
        usage_tracker.install(ship=False, spool_dir=spool, dsn=dsn)
        client.chat.completions.create(model=MODEL, messages=ASK)
        thread = threading.Thread(
            target=client.chat.completions.create, kwargs={"model": MODEL, "messages": ASK}, daemon=True
        )
        began = time.monotonic()
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


def test_a_strict_call_waits_for_prices_rather_than_go_unreserved(
    fresh_start: Path, provider: StandIn, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
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
        client.chat.completions.create(model=MODEL, messages=ASK)
    assert provider.requests == []
