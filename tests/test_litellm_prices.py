"""Prices from LiteLLM's map: only where the application has imported LiteLLM, and only of now."""

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import metadata
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace

from usage_tracker.event import AlikeCalls, Cost, Origin, Usage, UsageEvent
from usage_tracker.pricing import Pricer
from usage_tracker.pricing.litellm_map import OLDEST_MINUTES
from usage_tracker.pricing.reading import read_book

ASKED = Usage(input_tokens=1000, output_tokens=100)
TOKENS = {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The map of an imported LiteLLM."""
    litellm, costs = ModuleType("litellm"), dict[str, Any]()
    vars(litellm)["model_cost"] = costs
    monkeypatch.setitem(sys.modules, "litellm", litellm)
    return costs


def price(
    usage: Usage = ASKED,
    *,
    model: str = "acme-1",
    provider: str | None = "deepinfra",
    tier: str | None = None,
    operation: str = "chat",
    age: timedelta = timedelta(0),
    pricer: Pricer | None = None,
    raw: dict[str, Any] | None = None,
) -> Cost:
    at = int((datetime.now(UTC) - age).timestamp()) * 1_000_000_000
    event = UsageEvent(started_at=at, duration_ms=1.0, operation=operation, model=model, service_tier=tier, usage=usage)
    event.raw = raw
    return (pricer or Pricer()).price(Origin(provider=provider, sdk="litellm"), event)


def test_without_litellm_there_is_no_map_and_it_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "litellm", raising=False)
    assert price() == Cost(flags=("unpriced",))
    assert "litellm" not in sys.modules


def test_a_model_that_only_litellm_knows_is_priced_by_its_map(
    known: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.80.5" if name == "litellm" else real(name))
    known["deepinfra/acme-1"] = {**TOKENS, "litellm_provider": "deepinfra"}
    cost = price()
    assert (cost.amount, cost.source, cost.version) == (Decimal("0.0035"), "litellm", "1.80.5")
    assert {str(line.price) for line in cost.lines} == {"0.0000025", "0.00001"}


def test_what_others_know_with_its_history_goes_before_the_map(known: dict[str, Any]) -> None:
    known["gpt-4o"] = {"input_cost_per_token": 1.0, "output_cost_per_token": 1.0, "litellm_provider": "openai"}
    assert price(model="gpt-4o", provider="openai").amount == Decimal("0.0035")


def test_a_price_of_now_says_nothing_of_the_past(known: dict[str, Any]) -> None:
    known["acme-1"] = {**TOKENS, "litellm_provider": "deepinfra"}
    pricer = Pricer()
    assert price(age=timedelta(hours=20), pricer=pricer).amount is not None
    assert price(age=timedelta(days=3), pricer=pricer).flags == ("unpriced",)
    assert price(pricer=pricer).amount is not None


def test_it_has_no_price_for_what_is_answered_faster(known: dict[str, Any]) -> None:
    known["acme-1"] = {**TOKENS, "litellm_provider": "anthropic"}
    assert price(provider="anthropic", raw={"speed": "standard"}).amount == Decimal("0.0035")
    assert price(provider="anthropic", raw={"speed": "fast"}) == Cost(flags=("unpriced", "tier_unpriced"))


def test_a_price_that_the_application_registers_counts_at_once(known: dict[str, Any]) -> None:
    pricer = Pricer()
    assert price(pricer=pricer).amount is None
    known["deepinfra/acme-1"] = {**TOKENS, "litellm_provider": "deepinfra"}
    assert price(pricer=pricer).amount == Decimal("0.0035")
    known["deepinfra/acme-1"]["output_cost_per_token"] = 2e-05  # register_model changes the entry in place
    assert price(pricer=pricer).amount == Decimal("0.0045")


@pytest.mark.parametrize(
    ("key", "theirs", "provider"),
    [
        ("acme-1", "deepinfra", "deepinfra"),
        ("azure/acme-1", "azure", "azure"),
        ("vertex_ai/acme-1", "vertex_ai-mistral_models", "vertex"),
        ("acme-1", "bedrock_converse", "bedrock"),
        ("together_ai/acme-1", "together_ai", "together"),
    ],
)
def test_providers_have_names_of_their_own(known: dict[str, Any], key: str, theirs: str, provider: str) -> None:
    known[key] = {**TOKENS, "litellm_provider": theirs}
    assert price(provider=provider).amount == Decimal("0.0035")
    assert price(provider="acme").amount is None, "another provider's price"
    assert price(provider=None).amount is None


def test_tiers_and_steps_are_read_from_the_keys(known: dict[str, Any]) -> None:
    known["acme-1"] = {
        **TOKENS,
        "input_cost_per_token_above_200k_tokens": 5e-06,
        "input_cost_per_token_above_400k_tokens": 7e-06,
        "input_cost_per_token_flex": 1e-06,
        "output_cost_per_token_flex": 2e-06,
        "input_cost_per_token_above_200k_tokens_flex": 3e-06,
        "litellm_provider": "deepinfra",
    }
    one = Usage(input_tokens=200_001, output_tokens=0)
    assert price(Usage(input_tokens=200_000, output_tokens=0)).amount == Decimal("0.5")
    assert price(one).amount == Decimal("1.000005")
    assert price(Usage(input_tokens=400_001, output_tokens=0)).amount == Decimal("2.800007")
    assert price(tier="flex").amount == Decimal("0.0012")
    assert price(one, tier="flex").amount == Decimal("0.600003")
    assert price(tier="priority").flags == ("unpriced", "tier_unpriced")
    assert price(tier="scale").flags == ("unpriced", "tier_unpriced")


@pytest.mark.parametrize("tier", ["flex", "priority", "batch"])
def test_a_tiers_price_counts_wherever_it_stands(known: dict[str, Any], tier: str) -> None:
    name = {"batch": "batches"}.get(tier, tier)
    known["acme-1"] = {f"output_cost_per_token_{name}": 9e-06, **TOKENS, "litellm_provider": "deepinfra"}
    assert price(tier=tier).amount == Decimal("0.0034"), "input at the price of all tiers"
    known["acme-1"] = {f"input_cost_per_token_{name}": 1e-06, **TOKENS, "litellm_provider": "deepinfra"}
    assert price(tier=tier).amount == Decimal("0.002"), "output at the price of all tiers"


def test_reasoning_is_output_on_a_tier_that_says_nothing_else_of_it(known: dict[str, Any]) -> None:
    known["acme-1"] = {
        **TOKENS,
        "output_cost_per_reasoning_token": 1e-05,
        "output_cost_per_token_flex": 5e-06,
        "litellm_provider": "deepinfra",
    }
    usage = Usage(input_tokens=0, output_tokens=100, reasoning_tokens=40)
    assert price(usage).amount == Decimal("0.001")
    assert price(usage, tier="flex").amount == Decimal("0.0005")
    known["acme-1"] |= {"output_cost_per_reasoning_token_flex": 6e-06}
    assert price(usage, tier="flex").amount == Decimal("0.00054")


def test_all_kinds_of_tokens_have_their_price(known: dict[str, Any]) -> None:
    known["acme-1"] = {
        **TOKENS,
        "cache_read_input_token_cost": 1e-07,
        "cache_creation_input_token_cost": 3e-06,
        "cache_creation_input_token_cost_above_1hr": 6e-06,
        "input_cost_per_audio_token": 4e-05,
        "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_high": 0.01},
        "litellm_provider": "deepinfra",
    }
    usage = Usage(
        input_tokens=1000, output_tokens=0, cache_read_tokens=100, cache_write_tokens=300, cache_write_1h_tokens=100
    )
    usage.units = {"searches": 2}
    assert {line.unit: line.count * line.price for line in price(usage).lines} == {
        "input_tokens": Decimal("0.0015"),
        "cache_read_tokens": Decimal("0.00001"),
        "cache_write_tokens": Decimal("0.0006"),
        "cache_write_1h_tokens": Decimal("0.0006"),
        "web_searches": Decimal("0.02"),
    }


def test_a_search_whose_price_depends_on_its_context_is_flagged(known: dict[str, Any]) -> None:
    costs = {"search_context_size_low": 0.03, "search_context_size_high": 0.05}
    known["acme-1"] = {**TOKENS, "search_context_cost_per_query": costs, "litellm_provider": "deepinfra"}
    usage = Usage(input_tokens=1, output_tokens=1, units={"searches": 1})
    assert price(usage).flags == ("unpriced", "tool_unpriced")


def test_other_units_count_where_tokens_have_no_price(known: dict[str, Any]) -> None:
    known["acme-1"] = {"output_cost_per_image": 0.04, "litellm_provider": "deepinfra"}
    assert price(Usage(units={"images": 2}), operation="image").amount == Decimal("0.08")
    known["acme-1"].update(TOKENS)  # then the price of an image is another word for that of its tokens
    assert price(Usage(units={"images": 2}), operation="image").flags == ("unpriced",)


def test_a_price_that_depends_on_the_size_or_the_hour_is_none(known: dict[str, Any]) -> None:
    """Answers tell no resolution, and LiteLLM itself says what such a call cost."""
    clip = Usage(units={"seconds": 8})
    known["acme-1"] = {
        "output_cost_per_second": 0.4,
        "output_cost_per_second_720p": 0.4,
        "litellm_provider": "deepinfra",
    }
    assert price(clip, operation="video").amount == Decimal("3.2")
    known["acme-1"]["output_cost_per_second_4k"] = 0.6
    assert price(clip, operation="video").flags == ("unpriced",)
    windows = {"input_cost_per_token": 1e-06, "windows": [{"hours_utc": "00:00-06:00"}]}
    known["acme-1"] = {**TOKENS, "off_peak_pricing": windows, "litellm_provider": "deepinfra"}
    assert price().flags == ("unpriced",)


def test_zero_is_how_the_map_says_that_it_does_not_know(known: dict[str, Any]) -> None:
    known["acme-1"] = {"input_cost_per_token": 0.0, "output_cost_per_token": 0, "litellm_provider": "deepinfra"}
    assert price() == Cost(flags=("unpriced",))


def test_what_is_no_map_is_no_price(known: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    known["acme-1"] = {"input_cost_per_token": "cheap", "output_cost_per_token": None, "litellm_provider": "deepinfra"}
    assert price() == Cost(flags=("unpriced",))
    known["acme-1"] = "cheap"
    assert price() == Cost(flags=("unpriced",))
    monkeypatch.setattr(sys.modules["litellm"], "model_cost", None)
    assert price() == Cost(flags=("unpriced",))


def test_calls_that_are_alike_are_too_old_for_the_map_one_by_one(
    known: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    known["acme-1"] = {**TOKENS, "litellm_provider": "deepinfra"}
    noon, minute = 1_790_000_040, 60
    monkeypatch.setattr("time.time", lambda: noon + OLDEST_MINUTES * minute)
    event = UsageEvent(
        started_at=noon * 10**9, duration_ms=1.0, operation="chat", model="acme-1", service_tier="flex", usage=ASKED
    )
    origin, starts = Origin(provider="deepinfra", sdk="litellm"), [event.started_at - minute * 10**9, event.started_at]
    counts = ((ASKED.input_tokens or 0,) * 2, (ASKED.output_tokens or 0,) * 2, *[None] * 9)
    calls = AlikeCalls(
        origin, event, [origin] * 2, [0, 1], starts, [1.0] * 2, [None] * 2, [None] * 2, counts, None, [()] * 2
    )
    pricer = Pricer()
    flags = [pricer.price(origin, replace(event, started_at=each)).flags for each in starts]
    assert flags == [("unpriced",), ("unpriced", "tier_unpriced")]
    assert pricer.price_alike(calls) is None


def test_the_books_discount_applies_to_the_map_too(known: dict[str, Any]) -> None:
    known["acme-1"] = {**TOKENS, "litellm_provider": "deepinfra"}
    book = read_book('[[price]]\nmatch = "*"\nmultiplier = 0.5\n', "prices.toml")
    assert price(pricer=Pricer(books=[book])).amount == Decimal("0.00175")


@pytest.mark.parametrize(
    ("terms", "asked", "amount"),
    [
        ("add = { search = 0.01 }", {"usage": replace(ASKED, units={"searches": 2})}, "0.0235"),
        ("replace = { input = 5 }", {}, "0.006"),
        ("tier.flex.multiplier = 0.5", {"tier": "flex"}, "0.00175"),
        ("tier.batch.multiplier = 0.1", {"operation": "batch"}, "0.00035"),
    ],
    ids=["a fee", "a price", "a tier", "batches"],
)
def test_what_the_book_adds_goes_with_the_map_too(
    known: dict[str, Any], terms: str, asked: dict[str, Any], amount: str
) -> None:
    known["deepinfra/acme-1"] = {**TOKENS, "litellm_provider": "deepinfra"}
    assert price(**asked).amount != Decimal(amount)
    book = read_book(f'[[price]]\nmatch = "acme-*"\n{terms}\n', "prices.toml")
    assert price(**asked, pricer=Pricer(books=[book])).amount == Decimal(amount)


def test_what_is_remembered_is_bounded(known: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.pricing.litellm_map.REMEMBERED", 10)
    pricer = Pricer()
    for number in range(50):
        known[f"acme-{number}"] = {**TOKENS, "litellm_provider": "deepinfra"}
        assert price(model=f"acme-{number}", pricer=pricer).amount is not None
    assert len(pricer.lists._litellm._made) == 10
