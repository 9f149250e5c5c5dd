"""Prices from the data of genai-prices: dated, tiered, by provider, and on this machine only.

That package finds the model and picks the price list of the day
(https://github.com/pydantic/genai-prices/blob/main/packages/python/genai_prices/types.py). Where the list doesn't cover
an occasion, we say so: what has no price counts 0 there, and is unknown here.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from usage_tracker.event import UNPRICED, Cost
from usage_tracker.once import once
from usage_tracker.pricing.money import DOLLARS
from usage_tracker.pricing.occasion import STANDARD, Occasion
from usage_tracker.pricing.rates import TIER_UNPRICED, TOKENS, Found, Price, Rates, Stepped
from usage_tracker.providers.hosts import bare_name

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices
    from genai_prices.units import UnitRegistry

PROVIDERS = {
    "bedrock": "aws",
    "gemini": "google",
    "vertex": "google",
    "xai": "x-ai",
}
"""Our name of a provider to theirs, where they differ. Anything else must be one of theirs to the letter."""

AUDIO_APART = {"azure", "openai"}
"""Whose audio tokens cost many times their text tokens, so that a list without an audio price is not the audio's price:
https://developers.openai.com/api/docs/pricing"""
GROQ_WHISPER = {"whisper-large-v3", "whisper-large-v3-turbo"}
GROUNDED_ONCE = ("gemini-1", "gemini-2", "gemini-live-2")
"""Gemini models whose Google searches are billed by the prompt that was grounded, not by the query:
https://ai.google.dev/gemini-api/docs/google-search#pricing"""
PEAKS = frozenset({1, 2, 3, 6, 7, 8, 9})
"""The hours of the day, UTC, in which DeepSeek asks twice as much: https://api-docs.deepseek.com/quick_start/pricing"""
PEAKS_SINCE, QUIET_WEEKENDS_SINCE = date(2026, 8, 17), date(2026, 8, 23)
SATURDAY = 5
FREE = Cost(Decimal(0), source="free")
REMEMBERED = 4096
"""Lists that are kept: many names stand for one model."""


class GenaiPrices:
    """genai-prices as a source of prices. Its data is imported at first use (0.1 s, 30 MB) and never downloaded."""

    def __init__(self, providers: "list[Provider] | None" = None, version: str | None = None) -> None:
        self._given = providers
        self._given_version = version
        self._model_of = lru_cache(4096)(self._find_model)
        self._lists: dict[tuple[object, ...], Rates | Cost] = {}

    def find(self, occasion: Occasion) -> Found:
        provider, model = self._provider_and_model(occasion)
        if provider is None or model is None:
            return None
        key = (provider.id, id(model), occasion.tier, occasion.fast, occasion.minute)
        found = self._lists.get(key)
        if found is None:
            if len(self._lists) >= REMEMBERED:
                self._lists.clear()
            found = self._lists[key] = self._make_rates(provider, model, occasion)
        return found

    def _make_rates(self, provider: "Provider", model: "ModelInfo", occasion: Occasion) -> Rates | Cost:
        at = as_listed(provider, datetime.fromtimestamp(occasion.minute * 60, UTC))
        terms = terms_of(occasion)
        if not terms:
            listed = model.get_prices(at)
        elif offers(provider, model, terms, at):
            listed = model.get_prices(at, terms)
        else:
            return TIER_UNPRICED
        prices = self._by_usage(listed)
        if not any(own is model for own in provider.models):
            # what the vendor asks for its hosted tools is not what the reseller asks for its own
            prices = {unit: price for unit, price in prices.items() if unit in TOKENS}
        if not prices:
            return FREE if model.id.endswith(":free") else UNPRICED
        return Rates(
            prices,
            "genai-prices",
            self.version,
            least_seconds=10 if provider.id == "groq" and model.id in GROQ_WHISPER else 0,
            audio_apart=provider.id in AUDIO_APART,
            once=frozenset({"web_searches", "map_searches"}) if model.id.startswith(GROUNDED_ONCE) else frozenset(),
        )

    def changes_within_day(self, occasion: Occasion) -> bool:
        """Whether the model's price depends on the time of day."""
        from genai_prices.types import TimeOfDateConstraint

        _, model = self._provider_and_model(occasion)
        return model is not None and any(isinstance(each, TimeOfDateConstraint) for each in constraints_of(model))

    def change_days(self) -> set[int]:
        """The days since 1970 on which any price begins to hold."""
        return {
            (start - date(1970, 1, 1)).days
            for _, model in self.all()
            for each in constraints_of(model)
            if (start := getattr(each, "start_date", None)) is not None
        }

    def load(self) -> None:
        """Import the data now, rather than with the first question."""
        _ = self._providers, self._units, self.version

    def all(self) -> "Iterator[tuple[Provider, ModelInfo]]":
        """Every model that is known."""
        return ((provider, model) for provider in self._providers.values() for model in provider.models)

    @property
    def version(self) -> str:
        return self._given_version or self._package_version

    @once
    def _providers(self) -> "dict[str, Provider]":
        # what is bundled, not what the application may have told genai-prices to download: `version` has to be true
        from genai_prices.data import providers

        return {provider.id: provider for provider in (self._given or providers)}

    @once
    def _units(self) -> "UnitRegistry":
        from genai_prices.data_units import unit_data
        from genai_prices.units import UnitRegistry

        return UnitRegistry(unit_data)

    @once
    def _package_version(self) -> str:
        from genai_prices import __version__

        return __version__

    def _provider_and_model(self, occasion: Occasion) -> "tuple[Provider | None, ModelInfo | None]":
        provider_id, name = PROVIDERS.get(occasion.provider, occasion.provider), priced_name(occasion)
        provider = self._providers.get(provider_id)
        return (None, None) if provider is None or name is None else (provider, self._model_of(provider_id, name))

    def _find_model(self, provider_id: str, name: str) -> "ModelInfo | None":
        return self._providers[provider_id].find_model(name, all_providers=list(self._providers.values()))

    def _by_usage(self, listed: "ModelPrice") -> dict[str, Price]:
        """A list's prices for one of each unit, by their name of the count; empty where the model is known and its
        price isn't."""
        prices: dict[str, Price] = {}
        for key, price in vars(listed).items():
            if price is not None:
                unit = self._units.unit_for_price_key(key)
                prices[unit.usage_key] = for_one(price, unit.per)
        return prices


def constraints_of(model: "ModelInfo") -> list[object]:
    """When each of a model's prices holds."""
    listed = model.prices if isinstance(model.prices, list) else ()
    return [each.constraint for each in (*listed, *(model.price_variants or ()))]


def priced_name(occasion: Occasion) -> str | None:
    """The name by which the model is looked up. Bedrock's answers leave out what its prices depend on, whether the
    request went to a global, a geographic or a regional profile: there the name that was asked for counts."""
    names = occasion.model, occasion.request_model
    name = next(filter(None, reversed(names) if occasion.provider == "bedrock" else names), None)
    return name and bare_name(occasion.provider, name)


def as_listed(provider: "Provider", at: datetime) -> datetime:
    """When the data has the price of that time: it knows DeepSeek's peaks by the hour, on every day that ever was."""
    day, is_peak = at.date(), provider.id == "deepseek" and at.hour in PEAKS
    quiet = day < PEAKS_SINCE or (day >= QUIET_WEEKENDS_SINCE and day.weekday() >= SATURDAY)
    return at.replace(hour=12) if is_peak and quiet else at


def for_one(price: "Decimal | TieredPrices", per: int) -> Price:
    if isinstance(price, Decimal):
        return DOLLARS.divide(price, Decimal(per))
    return Stepped(
        DOLLARS.divide(price.base, Decimal(per)),
        tuple((tier.start, DOLLARS.divide(tier.price, Decimal(per))) for tier in price.tiers),
    )


def terms_of(occasion: Occasion) -> Mapping[str, str]:
    """What a price variant is chosen by; empty for standard terms."""
    terms = {}
    if occasion.tier == "batch":
        terms["processing"] = "batch"
    elif occasion.tier != STANDARD:
        terms["service_tier"] = occasion.tier
    if occasion.fast:
        terms["speed"] = "fast"
    return terms


def offers(provider: "Provider", model: "ModelInfo", terms: Mapping[str, str], at: datetime) -> bool:
    """Whether the provider has a price for these terms; that of another, whose models it resells, doesn't count."""
    return any(own is model for own in provider.models) and any(
        variant.when == terms and (variant.constraint is None or variant.constraint.active(at))
        for variant in model.price_variants or ()
    )
