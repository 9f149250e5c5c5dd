"""Where OpenAI and the providers that speak its APIs put their figures: tables of field paths, and how these are read.

A path is relative to the usage object; of several, the first that holds a sensible count wins. The first row of each
column is the SDK's own type, the rest are other providers' spellings:

- openai: https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/completion_usage.py
  https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/responses/response_usage.py
- alibaba: https://www.alibabacloud.com/help/en/model-studio/context-cache
  (prompt_tokens_details.cache_creation_input_tokens)
- deepseek: https://api-docs.deepseek.com/api/create-chat-completion (prompt_cache_hit_tokens)
- mistral: https://docs.mistral.ai/api (num_cached_tokens, prompt_token_details, prompt_audio_seconds)
- moonshot: https://platform.moonshot.ai/docs/api/chat (cached_tokens)
- openrouter: https://openrouter.ai/docs/use-cases/usage-accounting (cost, server_tool_use_details)
- xai: https://docs.x.ai/developers/cost-tracking (cost_in_usd_ticks)
- perplexity: https://docs.perplexity.ai/api-reference/sonar-post (cost.total_cost, num_search_queries)
- litellm: https://github.com/BerriAI/litellm/blob/2f1f4b1897b5/litellm/types/utils.py (cache_creation_…,
  server_tool_use for Claude, prompt_tokens_details.web_search_requests for Gemini)
- vercel: https://vercel.com/docs/ai-gateway/sdks-and-apis/openai-chat-completions (cache_creation_input_tokens)
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from usage_tracker.decimals import EXACT
from usage_tracker.event import COUNTS, UNTIMED, Figures, Usage, UsageEvent
from usage_tracker.providers.answer import LONGEST_WORD

Path = tuple[str, ...]
Dialect = tuple[tuple[str, tuple[Path, ...]], ...]
"""For each column of Usage, the paths that may hold it."""

MOST_TOKENS = 10**12
"""No call has more; what is beyond is no count."""


def paths(*spellings: str) -> tuple[Path, ...]:
    """`a.b` as the path from a to b."""
    return tuple(tuple(spelling.split(".")) for spelling in spellings)


COMPLETIONS: Dialect = (
    ("input_tokens", paths("prompt_tokens")),
    ("output_tokens", paths("completion_tokens")),
    (
        "cache_read_tokens",
        paths(
            "prompt_tokens_details.cached_tokens",
            "prompt_token_details.cached_tokens",
            "prompt_cache_hit_tokens",
            "num_cached_tokens",
            "cached_tokens",
            "cache_read_input_tokens",
        ),
    ),
    (
        "cache_write_tokens",
        paths(
            "prompt_tokens_details.cache_write_tokens",
            "prompt_tokens_details.cache_creation_tokens",
            "prompt_tokens_details.cache_creation_input_tokens",
            "cache_creation_input_tokens",
        ),
    ),
    (
        "cache_write_1h_tokens",
        paths(
            "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
            "cache_creation.ephemeral_1h_input_tokens",
        ),
    ),
    (
        "reasoning_tokens",
        paths(
            "completion_tokens_details.reasoning_tokens",
            "completion_token_details.reasoning_tokens",
            "reasoning_tokens",
        ),
    ),
    ("input_audio_tokens", paths("prompt_tokens_details.audio_tokens", "prompt_token_details.audio_tokens")),
    ("output_audio_tokens", paths("completion_tokens_details.audio_tokens", "completion_token_details.audio_tokens")),
    ("input_image_tokens", paths("prompt_tokens_details.image_tokens", "prompt_token_details.image_tokens")),
    ("output_image_tokens", paths("completion_tokens_details.image_tokens", "completion_token_details.image_tokens")),
)
"""Chat, completions and what took their words: embeddings and the runs of assistants."""

RESPONSES: Dialect = (
    ("input_tokens", paths("input_tokens")),
    ("output_tokens", paths("output_tokens")),
    ("cache_read_tokens", paths("input_tokens_details.cached_tokens", "input_token_details.cached_tokens")),
    ("cache_write_tokens", paths("input_tokens_details.cache_write_tokens", "cache_creation_input_tokens")),
    ("cache_write_1h_tokens", paths("cache_creation.ephemeral_1h_input_tokens")),
    ("reasoning_tokens", paths("output_tokens_details.reasoning_tokens", "output_token_details.reasoning_tokens")),
    ("input_audio_tokens", paths("input_tokens_details.audio_tokens", "input_token_details.audio_tokens")),
    ("output_audio_tokens", paths("output_tokens_details.audio_tokens", "output_token_details.audio_tokens")),
    ("input_image_tokens", paths("input_tokens_details.image_tokens", "input_token_details.image_tokens")),
    ("output_image_tokens", paths("output_tokens_details.image_tokens", "output_token_details.image_tokens")),
)
"""Responses and what took their words: images, transcriptions (with `token_details`), speech as events, decisions."""

TOTAL_ONLY: Dialect = (("input_tokens", paths("total_tokens")),)
"""Embeddings of providers that only send a total, which then is all input:
https://docs.voyageai.com/reference/embeddings-api"""

DIALECTS: Mapping[str, tuple[Dialect, ...]] = {
    "chat": (COMPLETIONS, RESPONSES),
    "completion": (COMPLETIONS, RESPONSES),
    "assistant": (COMPLETIONS, RESPONSES),
    "batch": (RESPONSES, COMPLETIONS),
    "moderation": (COMPLETIONS, RESPONSES),
    "embeddings": (COMPLETIONS, RESPONSES, TOTAL_ONLY),
    "rerank": (COMPLETIONS, RESPONSES, TOTAL_ONLY),
    "responses": (RESPONSES, COMPLETIONS),
    "decision": (RESPONSES, COMPLETIONS),
    "extraction": (RESPONSES, COMPLETIONS),
    "image": (RESPONSES, COMPLETIONS),
    "realtime": (RESPONSES, COMPLETIONS),
    "speech": (RESPONSES, COMPLETIONS),
    "transcription": (RESPONSES, COMPLETIONS),
    "translation": (RESPONSES, COMPLETIONS),
    "video": (RESPONSES, COMPLETIONS),
}
"""By operation: its own dialect, then those that gateways answer it in."""

UNITS: tuple[tuple[str, tuple[Path, ...]], ...] = (
    ("seconds", paths("seconds", "prompt_audio_seconds")),
    (
        "searches",
        paths(
            "tool_usage.web_search.num_requests",
            "server_tool_use_details.web_search_requests",
            "server_tool_use.web_search_requests",
            "prompt_tokens_details.web_search_requests",
            "num_search_queries",
        ),
    ),
    ("map_searches", paths("prompt_tokens_details.google_maps_grounding_requests")),
)
"""Units within the usage object. `seconds` is the transcription's `{"type": "duration"}`:
https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/audio/transcription.py"""

COSTS: tuple[tuple[Path, Decimal], ...] = (
    (("cost",), Decimal(1)),
    (("cost", "total_cost"), Decimal(1)),
    (("cost_in_usd_ticks",), Decimal("1e-10")),
)
"""Where providers state the charge, and how many US dollars one of it is."""


def at(raw: Figures, path: Path) -> object:
    """What lies at that path, or None."""
    value = raw.get(path[0])
    for name in path[1:]:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def tokens(value: object) -> int | None:
    """A number of tokens, or None for what is none: negative, fractional, absurd or no number."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def amount(value: object) -> int | float | None:
    """A number of units, which may be fractional, such as seconds; also as a string, as of videos."""
    if isinstance(value, str):
        try:
            value = float(value) if len(value) <= LONGEST_WORD else None
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= MOST_TOKENS else None


def dollars(value: object, unit: Decimal) -> str | None:
    """`value` units as a decimal number of US dollars, without exponent and rounding; None for what is no price."""
    if type(value) not in (int, float, str):
        return None
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        return None
    if not price.is_finite() or price < 0 or not -30 <= price.adjusted() <= 12:
        return None
    return f"{price if unit == 1 else EXACT.multiply(price, unit).normalize(EXACT):f}"


def leave_out_nonsense(event: UsageEvent) -> list[str]:
    """Make unknown what no call can have used, as where a provider says it. The names of what that was."""
    usage, found = event.usage, []
    for name in COUNTS:
        if (count := getattr(usage, name)) is not None and tokens(count) is None:
            setattr(usage, name, None)
            found.append(name)
    units = usage.units or {}
    if any(amount(count) is None for count in units.values()):
        usage.units = {kind: count for kind, count in units.items() if amount(count) is not None} or None
        found.append("units")
    if event.reported_cost is not None and dollars(event.reported_cost, Decimal(1)) is None:
        event.reported_cost = None
        found.append("reported_cost")
    if event.duration_ms < 0:
        event.duration_ms = UNTIMED
        found.append("duration_ms")
    return found


def read_usage(raw: Figures, operation: str) -> Usage:
    """The counts of a usage object, by the operation's dialects: the first that knows a total."""
    usage = Usage()
    within = tuple([(name, *part) for name, part in raw.items() if type(part) is dict])
    for dialect in spoken(operation, tuple(raw), within):
        for column, spellings in dialect:
            for path in spellings:
                if (count := tokens(at(raw, path))) is not None:
                    setattr(usage, column, count)
                    break
        if usage.known():
            break
    return usage


@lru_cache(maxsize=1024)
def spoken(operation: str, names: tuple[str, ...], within: tuple[tuple[str, ...], ...]) -> tuple[Dialect, ...]:
    """The operation's dialects, as far as a usage object of these names may speak them. `within` are the names of its
    objects, and of what they have. Most usage objects have the same few names, and of fifty paths half a dozen."""
    inner = {name: parts for name, *parts in within}

    def may_be(path: Path) -> bool:
        return path[0] in names and (len(path) == 1 or path[1] in inner.get(path[0], ()))

    dialects = []
    for dialect in DIALECTS.get(operation, ()):
        rows = [(column, tuple(filter(may_be, spellings))) for column, spellings in dialect]
        dialects.append(tuple((column, spellings) for column, spellings in rows if spellings))
    return tuple(dialects)


def read_units(raw: Figures) -> dict[str, float]:
    """What the usage object says of units; none that are zero."""
    units: dict[str, float] = {}
    for kind, spellings in UNITS:
        told = (amount(at(raw, path)) for path in spellings if path[0] in raw)
        count = next((count for count in told if count is not None), None)
        if count:
            units[kind] = count
    return units


def read_cost(raw: Figures) -> str | None:
    """The charge as the provider states it, in US dollars, a decimal number."""
    for path, unit in COSTS:
        if path[0] in raw and (price := dollars(at(raw, path), unit)) is not None:
            return price
    return None
