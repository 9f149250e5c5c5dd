"""What Anthropic's usage objects count.

- https://github.com/anthropics/anthropic-sdk-python/blob/v2.12.0/src/anthropic/types/usage.py
- `iterations`: https://github.com/anthropics/anthropic-sdk-python/blob/v2.12.0/src/anthropic/types/beta/beta_usage.py
- what is a part of what: https://docs.claude.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance
"""

from collections.abc import Iterable

from usage_tracker.event import Figures, Usage
from usage_tracker.providers.usage_fields import amount, at, tokens

COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")


def read_usage(raw: Figures) -> Usage:
    """The counts of a usage object.

    Its `iterations` are the passes over the model that the request took. Some are billed and not in the totals beside
    them: a compaction of the context, an advisor's message. So their sum counts, where they cover the totals; a list
    of passes that was cut doesn't.
    """
    usage = read_pass(raw)
    passes = [read_pass(one) for one in raw["iterations"]] if isinstance(raw.get("iterations"), list) else []
    if passes and known(whole := added(passes)) >= known(usage):
        usage = whole
    usage.reasoning_tokens = tokens(at(raw, ("output_tokens_details", "thinking_tokens")))
    return usage


def read_pass(raw: Figures) -> Usage:
    """The counts of one pass. Anthropic's `input_tokens` leave out what was read from and written to the cache."""
    fresh, read = tokens(raw.get("input_tokens")), tokens(raw.get("cache_read_input_tokens"))
    written = tokens(raw.get("cache_creation_input_tokens"))
    hour = tokens(at(raw, ("cache_creation", "ephemeral_1h_input_tokens")))
    minutes = tokens(at(raw, ("cache_creation", "ephemeral_5m_input_tokens")))
    if written is None:
        written = total((hour, minutes))
    return Usage(
        input_tokens=None if fresh is None else total((fresh, read, written)),
        output_tokens=tokens(raw.get("output_tokens")),
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
    )


def added(passes: list[Usage]) -> Usage:
    usage = Usage()
    for name in COUNTS:
        setattr(usage, name, total(getattr(one, name) for one in passes))
    return usage


def total(counts: Iterable[int | None]) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def known(usage: Usage) -> int:
    return (usage.input_tokens or 0) + (usage.output_tokens or 0)


def read_searches(raw: Figures) -> float | None:
    """https://github.com/anthropics/anthropic-sdk-python/blob/v2.12.0/src/anthropic/types/server_tool_usage.py"""
    return amount(at(raw, ("server_tool_use", "web_search_requests")))
