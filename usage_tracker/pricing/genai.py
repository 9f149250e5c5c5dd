"""Prices from the data of genai-prices: dated, tiered, by provider, and on this machine only.

That package finds the model, picks the price list of the day and splits usage into disjoint parts
(https://github.com/pydantic/genai-prices/blob/main/packages/python/genai_prices/types.py). Added here are the lines of
the bill, and the refusal to price what the list doesn't cover: what has no price counts 0 there, and is unknown here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Literal, NamedTuple

from usage_tracker.event import Cost, CostLine, Origin, UsageEvent

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices
    from genai_prices.units import UnitDef, UnitRegistry

PROVIDERS = {
    "bedrock": "aws",
    "gemini": "google",
    "vertex": "google",
    "xai": "x-ai",
}
"""Our name of a provider to theirs, where they differ. Anything else must be one of theirs to the letter."""

STANDARD_TIERS = {None, "", "auto", "default", "on_demand", "standard"}
"""What providers call the tier of the plain price list; `auto` where a gateway only repeats what it was asked."""

TOKENS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "output_reasoning_tokens": "reasoning_tokens",
    "input_audio_tokens": "input_audio_tokens",
    "output_audio_tokens": "output_audio_tokens",
    "input_image_tokens": "input_image_tokens",
    "output_image_tokens": "output_image_tokens",
    "input_tool_tokens": "tool_tokens",
    "cache_audio_read_tokens": "cache_read_audio_tokens",
    "cache_image_read_tokens": "cache_read_image_tokens",
}
"""Their name of a count to the field of our Usage."""

OVERLAPS = {
    "cache_audio_read_tokens": ("cache_read_tokens", "input_audio_tokens"),
    "cache_image_read_tokens": ("cache_read_tokens", "input_image_tokens"),
}
"""What is part of two counts, which both must be known to be priced apart."""

UNITS: dict[str, tuple[str, ...]] = {
    "characters": ("input_characters",),
    "searches": ("web_searches",),
    "seconds": ("audio_seconds", "input_audio_seconds"),
}
"""Kind of our `units` to their names of that count."""
OTHER_UNITS: dict[str, dict[str, tuple[str, ...]]] = {"rerank": {"searches": ("rerank_searches",)}, "video": {}}
"""Operations whose units of the same name are something else."""

AUDIO_TOKENS = ("input_audio_tokens", "output_audio_tokens")
SPOKEN = {"realtime", "transcription"}
"""Operations whose tokens may all be audio: where the answer doesn't say how many are, none is known to be text."""
TOTALS = {"input": "input_tokens", "output": "output_tokens"}
GENERATES_NOTHING = {"embeddings", "rerank"}
SMALLEST = Decimal("1e-12")
AUDIO_APART = {"azure", "openai"}
"""Whose audio tokens cost many times their text tokens, so that a list without an audio price is not the audio's price:
https://platform.openai.com/docs/pricing"""
GROQ_WHISPER = {"whisper-large-v3", "whisper-large-v3-turbo"}

UNPRICED = Cost(flags=("unpriced",))
TIER_UNPRICED = Cost(flags=("tier_unpriced",))
TOOL_UNPRICED = Cost(flags=("tool_unpriced",))


class Rates(NamedTuple):
    """The price list of one model at one time."""

    prices: Mapping[str, "Decimal | TieredPrices"]
    """By their name of the count, such as `cache_read_tokens`."""
    units: Mapping[str, "UnitDef"]
    least_seconds: int
    """Shorter audio is billed as if it were that long."""
    audio_apart: bool
    """Whether audio tokens need a price of their own."""

    @property
    def cliffs(self) -> list[int]:
        """The input tokens above which a whole request costs another price."""
        return [tier.start for price in self.prices.values() if not isinstance(price, Decimal) for tier in price.tiers]

    def price_of(self, key: str, input_tokens: int) -> Decimal:
        """US dollars for one, in a request of that many input tokens."""
        from genai_prices.types import calc_unit_price

        return calc_unit_price(self.prices[key], 1, input_tokens, self.units[key].per)


class GenaiPrices:
    """genai-prices as a source of prices. Its data is imported at first use (0.1 s, 30 MB) and never downloaded."""

    def __init__(self) -> None:
        self._rates_at = lru_cache(maxsize=4096)(self._find_rates)

    def price(self, origin: Origin, event: UsageEvent) -> Cost | None:
        """None where it doesn't know this model of this provider."""
        model = event.model or event.request_model
        if origin.provider is None or model is None:
            return None
        rates = self._rates_at(
            PROVIDERS.get(origin.provider, origin.provider), model, terms_of(event), event.started_at // 60_000_000_000
        )
        if rates is None or isinstance(rates, Cost):
            return rates
        try:
            counts = counts_of(event, rates)
            if refusal := refuse(rates, event, counts):
                return refusal
            lines = bill(rates, counts)
        except ValueError:  # the package's word for usage that contradicts itself
            return UNPRICED
        amount = sum((line.count * line.price for line in lines), Decimal(0))
        if -int(amount.as_tuple().exponent) > 12:
            amount = amount.quantize(SMALLEST)
        return Cost(amount, lines, "genai-prices", self._version)

    @cached_property
    def _providers(self) -> "dict[str, Provider]":
        # what is bundled, not what the application may have told genai-prices to download: `version` has to be true
        from genai_prices.data import providers

        return {provider.id: provider for provider in providers}

    @cached_property
    def _units(self) -> "UnitRegistry":
        from genai_prices.data_units import unit_data
        from genai_prices.units import UnitRegistry

        return UnitRegistry(unit_data)

    @cached_property
    def _version(self) -> str:
        from genai_prices import __version__

        return __version__

    def _find_rates(self, provider_id: str, model_ref: str, terms: "Terms | None", minute: int) -> Rates | Cost | None:
        """The price list at that minute since 1970, the finest step at which prices change; else why there is none."""
        provider = self._providers.get(provider_id)
        model = provider and provider.find_model(model_ref, all_providers=list(self._providers.values()))
        if not provider or not model:
            return None
        at = datetime.fromtimestamp(minute * 60, UTC)
        if terms is None:
            listed = model.get_prices(at)
        elif offers(provider, model, terms, at):
            listed = model.get_prices(at, {terms.kind: terms.value})
        else:
            return TIER_UNPRICED
        prices = self._by_usage(listed)
        if not prices:
            return Cost(Decimal(0), source="free") if model.id.endswith(":free") else UNPRICED
        units = {key: self._units.units[key] for key in prices}
        least_seconds = 10 if provider_id == "groq" and model.id in GROQ_WHISPER else 0
        return Rates(prices, units, least_seconds, provider_id in AUDIO_APART)

    def _by_usage(self, listed: "ModelPrice") -> "dict[str, Decimal | TieredPrices]":
        """A list's prices by their name of the count; empty where the model is known and its price isn't."""
        prices = {key: price for key, price in vars(listed).items() if price is not None}
        return {self._units.unit_for_price_key(key).usage_key: price for key, price in prices.items()}


class Terms(NamedTuple):
    """What a price variant is chosen by."""

    kind: Literal["service_tier", "processing"]
    value: str


def terms_of(event: UsageEvent) -> Terms | None:
    """The terms of the call; None: standard ones."""
    tier = event.service_tier and event.service_tier.lower()
    if event.operation == "batch" or tier == "batch":
        return Terms("processing", "batch")
    return None if tier in STANDARD_TIERS else Terms("service_tier", str(tier))


def offers(provider: "Provider", model: "ModelInfo", terms: Terms, at: datetime) -> bool:
    """Whether the provider has a price for these terms; that of another, whose models it resells, doesn't count."""
    return any(own is model for own in provider.models) and any(
        variant.when == {terms.kind: terms.value} and (variant.constraint is None or variant.constraint.active(at))
        for variant in model.price_variants or ()
    )


def counts_of(event: UsageEvent, rates: Rates) -> dict[str, int | Decimal]:
    """Each known count, by their name of it. Raises ValueError for one that is no number."""
    counts: dict[str, int | Decimal] = {
        key: count for key, field in TOKENS.items() if (count := getattr(event.usage, field)) is not None
    }
    for key, both in OVERLAPS.items():
        if any(counts.get(one) == 0 for one in both):
            counts.setdefault(key, 0)
    names = OTHER_UNITS.get(event.operation, UNITS)
    for kind, amount in (event.usage.units or {}).items():
        if not isfinite(amount):
            raise ValueError(f"{kind}: {amount}")
        for key in names.get(kind, ()):
            counts[key] = Decimal(repr(amount))
            if amount > 0 and key in ("audio_seconds", "input_audio_seconds"):
                counts[key] = max(counts[key], rates.least_seconds)
    return counts


def refuse(rates: Rates, event: UsageEvent, counts: Mapping[str, int | Decimal]) -> Cost | None:
    """Why these prices don't cover this usage; None where they do."""
    by_token = {key for key, unit in rates.units.items() if unit.dimensions["family"] == "tokens"}
    for direction, total in TOTALS.items():
        prices = [rates.prices[key] for key in by_token if rates.units[key].dimensions["direction"] == direction]
        unknown = total not in counts and not (direction == "output" and event.operation in GENERATES_NOTHING)
        if (unknown and any(prices)) or (counts.get(total) and by_token and not prices):
            return UNPRICED
    if not by_token and "requests" not in rates.prices and not counts.keys() & rates.prices.keys():
        return UNPRICED
    if rates.audio_apart and any(counts.get(key) and key not in rates.prices for key in AUDIO_TOKENS):
        return UNPRICED
    if event.operation in SPOKEN and any(key in rates.prices and key not in counts for key in AUDIO_TOKENS):
        return UNPRICED
    if counts.get("web_searches") and not rates.prices.keys() & {"web_searches", "requests"}:
        return TOOL_UNPRICED  # a model that searches at each request has its searches in the price of a request
    if event.operation == "batch" and any(counts["input_tokens"] > cliff for cliff in rates.cliffs):
        return TIER_UNPRICED  # a sum over many requests doesn't tell which of them were beyond the cliff
    return None


def bill(rates: Rates, counts: Mapping[str, int | Decimal]) -> tuple[CostLine, ...]:
    """The lines of the bill, no token in two of them: the line `input_tokens` is the input that no other line has.

    Raises ValueError for usage that contradicts itself, such as more cached tokens than tokens.
    """
    from genai_prices.decompose import compute_leaf_values
    from genai_prices.types import Usage

    by_usage = {key: unit for key, unit in rates.units.items() if key != "requests"}
    known = {key: 0 for key, unit in by_usage.items() if unit.dimensions["family"] == "tool_calls"} | dict(counts)
    parts: dict[str, int | float | Decimal] = {**compute_leaf_values(set(by_usage), Usage(**known), by_usage)}
    if "requests" in rates.units:
        parts["requests"] = 1
    input_tokens = int(counts.get("input_tokens", 0))
    return tuple(
        CostLine(key, Decimal(str(count)), rates.price_of(key, input_tokens)) for key, count in parts.items() if count
    )
