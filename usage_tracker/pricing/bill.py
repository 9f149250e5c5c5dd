"""The bill of one call: its usage split into parts that no two lines share, each at the price of its own.

A token is billed once: the line `input_tokens` is the input that no other line has. A part that the list doesn't price
apart is billed as what it is a part of: reasoning as output, cached tokens as input where caching gives no discount.
"""

from decimal import Decimal
from math import isfinite

from msgspec.structs import replace

from usage_tracker.event import UNPRICED, Cost, CostLine, Figures, Usage, UsageEvent
from usage_tracker.pricing.details import Details, read_details
from usage_tracker.pricing.money import DOLLARS, NOTHING, rounded
from usage_tracker.pricing.rates import TIER_UNPRICED, TOOL_UNPRICED, Rates
from usage_tracker.providers.usage_fields import at, tokens

GENERATES_NOTHING = frozenset({"embeddings", "rerank", "moderation"})
"""Operations whose answers don't speak of output tokens, as there are none."""

SPOKEN = frozenset({"realtime", "transcription"})
"""Operations whose tokens may all be audio: where the answer doesn't say how many are, none is known to be text."""

TOOLS = {
    "searches": "web_searches",
    "map_searches": "map_searches",
    "x_searches": "social_searches",
    "file_searches": "storage_searches",
    "retrievals": "storage_searches",
    "code_executions": "code_executions",
}
"""Kind of our `units` to what it is billed as, for hosted tools: they are billed beside the tokens."""
MEASURES = {
    "characters": ("input_characters",),
    "images": ("images",),
    "pages": ("input_document_pages",),
    "seconds": ("input_audio_seconds", "audio_seconds"),
}
"""The same for what is another measure of the answer: some models are billed by it, some by tokens."""
OTHER_MEASURES: dict[str, dict[str, tuple[str, ...]]] = {
    "rerank": {"searches": ("rerank_searches",)},
    "video": {"seconds": ("video_seconds",)},
}
"""Operations whose units of the same name are something else."""

FIRST_PROMPT = ("prompt_tokens_details", "initial_prompt_tokens")
"""The input of the first of several requests that a call took, each of which goes on where the one before stopped, so
that none is shorter; the counts are sums of all of them:
https://github.com/BerriAI/litellm/blob/2f1f4b1897b5/litellm/types/utils.py (PromptTokensDetailsWrapper)"""

SUMMED = ("num_model_requests", "num_requests")
"""How many requests a line of OpenAI's usage export is the sum of."""

Parts = list[tuple[str, int | Decimal]]

multiply_and_add = DOLLARS.fma


class Contradiction(ValueError):
    """Parts that exceed what they are parts of, so that no bill can be right."""


class NoPrice(Exception):
    """Something of the usage has no price in the list. `cost` says so."""

    def __init__(self, cost: Cost) -> None:
        super().__init__()
        self.cost = cost


def bill(rates: Rates, event: UsageEvent, left_out: int = 0) -> Cost:
    """What the call cost by that list; without an amount, and with the flag that says why, where the list doesn't cover
    its usage. `left_out` are tokens that it generated beside its output's count. Raises Contradiction."""
    usage, raw = event.usage, event.raw
    if left_out:
        usage = replace(usage, output_tokens=(usage.output_tokens or 0) + left_out)
    if raw and (("tool_usage" in raw or "svg_usage" in raw) and made_pictures(raw)):
        return TOOL_UNPRICED
    whole = not rates.rounded  # then nothing has more decimal places than a cost, and there is nothing to round
    try:
        parts = token_parts(rates, usage, event.operation, raw)
        if usage.units or not rates.by_token or "requests" in rates.units:
            parts.extend(unit_parts(rates, event))
            whole = False
    except NoPrice as missing:
        return missing.cost
    longest = usage.input_tokens or 0
    if rates.cliffs and longest > rates.cliffs[0]:
        shortest, longest = lengths_of_requests(event)
        if rates.at(shortest) is not rates.at(longest):
            return TIER_UNPRICED  # a sum over several requests doesn't tell which of them were beyond the cliff
    prices = rates.at(longest)
    amount, lines = NOTHING, []
    for unit, count in parts:
        if count:
            number, price = Decimal(count), prices[unit]
            amount = multiply_and_add(number, price, amount)
            lines.append(CostLine(unit, number, price))
    return Cost(amount if whole else rounded(amount), tuple(lines), rates.source, rates.version)


def lengths_of_requests(event: UsageEvent) -> tuple[int, int]:
    """The input of the shortest request that the call took, and that of the longest that may be among them."""
    whole = event.usage.input_tokens or 0
    if (event.operation == "batch" and not is_one_answer(event)) or requests_in(event.raw) > 1:
        return 0, whole
    first = tokens(at(event.raw, FIRST_PROMPT)) if event.raw else None
    return (first, max(first, whole - first)) if first else (whole, whole)


def is_one_answer(event: UsageEvent) -> bool:
    """Whether it is about one of the answers of a batch, as Anthropic and Gemini tell each, and not about all of it."""
    return event.completes is not None and event.response_id not in (None, event.completes)


def requests_in(raw: Figures | None) -> int:
    """How many requests the counts are a sum of, where they say so; otherwise it is one."""
    said = (tokens(raw.get(name)) for name in SUMMED) if raw else ()
    return next(filter(None, said), 1)


def token_parts(rates: Rates, usage: Usage, operation: str, raw: Figures | None) -> Parts:
    """Raises NoPrice and Contradiction."""
    into, out = usage.input_tokens, usage.output_tokens
    if not rates.by_token:
        return []
    if (into is None and rates.input_costs) or (into and not rates.has_input):
        raise NoPrice(UNPRICED)
    if (out is None and rates.output_costs and operation not in GENERATES_NOTHING) or (out and not rates.has_output):
        raise NoPrice(UNPRICED)
    if rates.apart and (
        (usage.input_audio_tokens and "input_audio_tokens" not in rates.units)
        or (usage.output_audio_tokens and "output_audio_tokens" not in rates.units)
    ):
        raise NoPrice(UNPRICED)
    if operation in SPOKEN and (
        (into and usage.input_audio_tokens is None and "input_audio_tokens" in rates.units)
        or (out and usage.output_audio_tokens is None and "output_audio_tokens" in rates.units)
    ):
        raise NoPrice(UNPRICED)
    parts: Parts = []
    if into:
        details = read_details(raw) if rates.modal and raw else Details()
        parts += modal_input(rates, usage, details) if rates.modal else plain_input(rates, usage)
        rest: int | Decimal = into
        for _, count in parts:
            rest -= count
        if rest < 0:
            raise Contradiction
        parts.append(("input_tokens", rest))
        if rest and "input_tokens" not in rates.units:
            raise NoPrice(UNPRICED)
    if out:
        parts += output_parts(rates, usage, raw) if rates.modal else [("output_tokens", out)]
    return parts


def plain_input(rates: Rates, usage: Usage) -> list[tuple[str, int]]:
    """The cached parts of the input that have prices of their own."""
    parts = []
    if usage.cache_read_tokens and "cache_read_tokens" in rates.units:
        parts.append(("cache_read_tokens", usage.cache_read_tokens))
    written, for_an_hour = usage.cache_write_tokens, usage.cache_write_1h_tokens
    if not written and not for_an_hour:
        return parts
    written, for_an_hour = written or 0, for_an_hour or 0
    if for_an_hour > written:
        raise Contradiction
    if written and "cache_write_tokens" in rates.units:
        if for_an_hour:
            if "cache_write_1h_tokens" not in rates.units:
                raise NoPrice(UNPRICED)
            parts.append(("cache_write_1h_tokens", for_an_hour))
        parts.append(("cache_write_tokens", written - for_an_hour))
    return parts


def modal_input(rates: Rates, usage: Usage, details: Details) -> list[tuple[str, int]]:
    """As `plain_input`, for lists on which audio, images or video cost something else than text.

    How much of the cached input was audio decides the price of both. Where the provider doesn't say, there is no right
    bill: NoPrice.
    """
    parts = plain_input(rates, usage)
    read = (usage.cache_read_tokens or 0) if "cache_read_tokens" in rates.units else 0
    for modality, count, cached in (
        ("audio", usage.input_audio_tokens or 0, details.cached_audio),
        ("image", usage.input_image_tokens or 0, details.cached_image),
        ("video", details.input_video, details.cached_video),
    ):
        if not count or f"input_{modality}_tokens" not in rates.units:
            continue
        both = 0
        if read:
            if cached is None or cached > min(count, read):
                raise NoPrice(UNPRICED) if cached is None else Contradiction
            both = cached
        if both:
            unit = f"cache_{modality}_read_tokens"
            if unit not in rates.units:
                raise NoPrice(UNPRICED)
            parts = [(name, other - both if name == "cache_read_tokens" else other) for name, other in parts]
            parts.append((unit, both))
        parts.append((f"input_{modality}_tokens", count - both))
    if usage.tool_tokens and "input_tool_tokens" in rates.units:
        parts.append(("input_tool_tokens", usage.tool_tokens))
    return parts


def output_parts(rates: Rates, usage: Usage, raw: Figures | None) -> Parts:
    """For lists on which some of the output costs something else than text."""
    parts: Parts = []
    if "output_citation_tokens" in rates.units:
        # Perplexity's deep research counts citations and reasoning beside its answer:
        # https://docs.perplexity.ai/getting-started/models/models/sonar-deep-research
        cited = (raw or {}).get("citation_tokens")
        return [
            ("output_tokens", usage.output_tokens or 0),
            ("output_reasoning_tokens", usage.reasoning_tokens or 0),
            ("output_citation_tokens", cited if type(cited) is int else 0),
        ]
    details = read_details(raw) if raw else Details()
    for unit, count in (
        ("output_reasoning_tokens", usage.reasoning_tokens),
        ("output_audio_tokens", usage.output_audio_tokens),
        ("output_image_tokens", usage.output_image_tokens),
        ("output_video_tokens", details.output_video),
    ):
        if count and unit in rates.units:
            parts.append((unit, count))
    rest = (usage.output_tokens or 0) - sum([count for _, count in parts])
    if rest < 0:
        raise Contradiction
    if rest and "output_tokens" not in rates.units:
        raise NoPrice(UNPRICED)
    return [*parts, ("output_tokens", rest)]


def unit_parts(rates: Rates, event: UsageEvent) -> Parts:
    """What is billed but isn't a token. Raises NoPrice, and Contradiction for a count that is none."""
    parts: Parts = []
    covered = rates.by_token or "requests" in rates.units
    measures = OTHER_MEASURES.get(event.operation, MEASURES)
    for kind, amount in (event.usage.units or {}).items():
        if not isfinite(amount) or amount < 0:
            raise Contradiction
        count = Decimal(repr(amount))
        if not count:
            continue
        if kind in measures or kind in MEASURES:
            unit = next((unit for unit in measures.get(kind, ()) if unit in rates.units), None)
            if unit is not None:
                parts.append((unit, max(count, Decimal(rates.least_seconds)) if kind == "seconds" else count))
                covered = True
        elif kind not in TOOLS or TOOLS[kind] not in rates.units:
            # a model that searches at each request has it in the price of a request
            if kind != "searches" or "requests" not in rates.units:
                raise NoPrice(TOOL_UNPRICED)
        else:
            parts.append((TOOLS[kind], min(count, Decimal(1)) if TOOLS[kind] in rates.once else count))
    if "requests" in rates.units:
        parts.append(("requests", requests_in(event.raw)))
    if not covered:
        raise NoPrice(UNPRICED)
    return parts


def made_pictures(raw: Figures) -> bool:
    """Whether OpenAI's hosted tools made pictures, with a model of their own that the answer doesn't name or that has
    prices of its own: https://github.com/openai/openai-python/blob/v3.54.0/src/openai/types/responses/response.py
    (ToolUsageImageGen), https://github.com/openai/openai-python/blob/v3.54.0/src/openai/types/images_response.py
    (SvgUsage)."""
    tools = raw.get("tool_usage")
    images = tools.get("image_gen") if isinstance(tools, dict) else None
    return any(isinstance(used, dict) and used.get("total_tokens") for used in (images, raw.get("svg_usage")))
