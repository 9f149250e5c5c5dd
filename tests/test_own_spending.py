"""What the calls of a process itself have used of budgets, which counts at once: as the pricer says, and no slower."""

import random
import threading
import time
from contextlib import suppress
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from budgeted import MODEL, ask, budget, known
from capturing import Capturing
from msgspec import Raw

import usage_tracker
from usage_tracker.budgets import accounts, holding, reserving
from usage_tracker.budgets.amounts import whole
from usage_tracker.enforcing import Enforcing
from usage_tracker.event import CallKind, Origin, Told, Usage
from usage_tracker.providers.told import encode_usage, event_of, told_as_read


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
