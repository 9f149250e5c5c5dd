"""Prices from LiteLLM's map, where the application has imported LiteLLM itself: what it bundles or has downloaded, and
what the application registered with `litellm.register_model`.

The map knows no history, so it prices calls of today and yesterday, and no older ones. Its keys:
https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json (`sample_spec`)
"""

import re
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import Any

from usage_tracker.pricing.genai import priced_name
from usage_tracker.pricing.occasion import STANDARD, Occasion
from usage_tracker.pricing.rates import TIER_UNPRICED, Found, Price, Rates, Stepped

PROVIDERS = {
    "alibaba": ("dashscope",),
    "azure": ("azure", "azure_ai"),
    "bedrock": ("bedrock", "bedrock_converse", "bedrock_mantle"),
    "cohere": ("cohere", "cohere_chat"),
    "fireworks": ("fireworks_ai",),
    "meta": ("meta_llama",),
    "moonshotai": ("moonshot",),
    "nvidia": ("nvidia_nim",),
    "openai": ("openai", "text-completion-openai"),
    "together": ("together_ai",),
    "vertex": ("vertex_ai",),
    "voyageai": ("voyage",),
}
"""Our name of a provider to LiteLLM's, where they differ: https://docs.litellm.ai/docs/providers"""

TOKENS = {
    "input_cost_per_token": "input_tokens",
    "output_cost_per_token": "output_tokens",
    "cache_read_input_token_cost": "cache_read_tokens",
    "cache_creation_input_token_cost": "cache_write_tokens",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h_tokens",
    "output_cost_per_reasoning_token": "output_reasoning_tokens",
    "input_cost_per_audio_token": "input_audio_tokens",
    "output_cost_per_audio_token": "output_audio_tokens",
    "cache_read_input_audio_token_cost": "cache_audio_read_tokens",
    "input_cost_per_image_token": "input_image_tokens",
    "output_cost_per_image_token": "output_image_tokens",
    "cache_read_input_image_token_cost": "cache_image_read_tokens",
}
UNITS = {
    "output_cost_per_image": "images",
    "input_cost_per_character": "input_characters",
    "input_cost_per_second": "audio_seconds",
    "output_cost_per_second": "video_seconds",
    "output_cost_per_video_per_second": "video_seconds",
    "input_cost_per_query": "rerank_searches",
    "ocr_cost_per_page": "input_document_pages",
}
"""For models that aren't billed by tokens. On others these keys are another way to state the price of the tokens."""

KEY = re.compile(
    rf"({'|'.join(sorted(TOKENS, key=len, reverse=True))})(?:_above_(\d+)k_tokens)?(?:_(flex|priority|batches))?"
)
TIERS = {STANDARD: None, "batch": "batches", "flex": "flex", "priority": "priority"}

OLDEST_MINUTES = 2 * 24 * 60
"""Occasions are days, so this is the longest that a call may lie back, and a day less the shortest."""
REMEMBERED = 1024


class LitellmMap:
    """Looks into `litellm.model_cost`, if it is there. Never imports it."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, str], tuple[dict[str, Any], Found]] = OrderedDict()

    def find(self, occasion: Occasion) -> Found:
        """None where LiteLLM isn't imported, or doesn't know this model of this provider."""
        litellm = sys.modules.get("litellm")
        known = getattr(litellm, "model_cost", None)
        name = priced_name(occasion)
        if not isinstance(known, dict) or name is None or not occasion.provider:
            return None
        if occasion.minute < time.time() // 60 - OLDEST_MINUTES:
            return None
        entry = self._entry(known, occasion.provider, name)
        if entry is None:
            return None
        if occasion.fast:  # a multiple of what the map has, which stands in no key of it
            return TIER_UNPRICED
        return self._remembered(entry, occasion, name)

    def _entry(self, known: Mapping[str, Any], provider: str, name: str) -> dict[str, Any] | None:
        theirs = PROVIDERS.get(provider, (provider,))
        for key in (*(f"{prefix}/{name}" for prefix in theirs), name):
            entry = known.get(key)
            if isinstance(entry, dict) and str(entry.get("litellm_provider", "")).startswith(theirs):
                return dict(entry)
        return None

    def _remembered(self, entry: dict[str, Any], occasion: Occasion, name: str) -> Found:
        """The list made of an entry; made anew where the application has changed the entry."""
        key = (f"{occasion.provider}/{name}", occasion.tier)
        known = self._made.get(key)
        if known is None or known[0] != entry:
            known = self._made[key] = entry, make_rates(entry, occasion.tier)
            if len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
        return known[1]


def make_rates(entry: Mapping[str, Any], tier: str) -> Found:
    """The list of an entry. None where it has no price but zero, which is how the map says that it doesn't know, or one
    that depends on the hour."""
    if tier not in TIERS:
        return TIER_UNPRICED
    if "off_peak_pricing" in entry:
        return None
    base: dict[str, Decimal] = {}
    steps: dict[str, list[tuple[int, Decimal]]] = {}
    of_tier: set[str] = set()
    for key in sorted(entry, key=lambda key: key.endswith(("_flex", "_priority", "_batches"))):
        match, number = KEY.fullmatch(key), price(entry[key])
        if match is None or number is None or match[3] not in (None, TIERS[tier]):
            continue
        unit = TOKENS[match[1]]
        if match[3]:
            of_tier.add(unit)
        if match[2]:
            start = int(match[2]) * 1000
            others = [step for step in steps.get(unit, []) if step[0] != start]
            steps[unit] = sorted([*others, (start, number)])
        else:
            base[unit] = number
    if tier != STANDARD and not of_tier & {"input_tokens", "output_tokens"}:
        return TIER_UNPRICED
    if "output_tokens" in of_tier and "output_reasoning_tokens" not in of_tier:
        base.pop("output_reasoning_tokens", None)  # it is output, and that has another price here
    prices: dict[str, Price] = {
        unit: Stepped(number, tuple(steps[unit])) if unit in steps else number for unit, number in base.items()
    }
    if not prices:
        for key, unit in UNITS.items():
            number = price(entry.get(key))
            if number is not None and not depends_on_size(entry, key, number):
                prices[unit] = number
    add_searches(prices, entry.get("search_context_cost_per_query"))
    rates = Rates(prices, "litellm", version_of_map())
    return rates if any(any(step.values()) for step in rates.by_step) else None


def depends_on_size(entry: Mapping[str, Any], key: str, number: Decimal) -> bool:
    """Whether what is larger costs something else, by keys such as `output_cost_per_second_1080p`: answers don't tell
    sizes."""
    sizes = (value for name, value in entry.items() if re.fullmatch(rf"{key}_\d[\w.]*", name))
    return any(price(value) not in (number, None) for value in sizes)


def add_searches(prices: dict[str, Price], costs: object) -> None:
    """What a search costs, where it costs the same whatever the size of its context, which answers don't tell."""
    if isinstance(costs, dict) and prices:
        found = {price(cost) for cost in costs.values()}
        if len(found) == 1 and (cost := found.pop()) is not None:
            prices["web_searches"] = cost


def price(value: object) -> Decimal | None:
    """A float of the map as the decimal number that was written there."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        return None
    return Decimal(repr(value))


def version_of_map() -> str | None:
    """LiteLLM's own version, without importing anything."""
    from importlib import metadata

    try:
        return metadata.version("litellm")
    except metadata.PackageNotFoundError:
        return None
