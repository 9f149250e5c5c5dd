"""What Anthropic's usage objects count.

- https://github.com/anthropics/anthropic-sdk-python/blob/v2.12.0/src/anthropic/types/usage.py
- `iterations`: https://github.com/anthropics/anthropic-sdk-python/blob/v2.12.0/src/anthropic/types/beta/beta_usage.py
- what is a part of what: https://docs.claude.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance
"""

from collections.abc import Iterable
from typing import NamedTuple

from usage_tracker.event import Figures, Usage
from usage_tracker.providers.answer import word
from usage_tracker.providers.usage_fields import amount, at, tokens

PASSES = "iterations"
COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")


def read_usage(raw: Figures) -> Usage:
    """The counts of a usage object.

    Its `iterations` are the passes over the model that the request took. Some are billed and not in the totals beside
    them: a compaction of the context, an advisor's message. So their sum counts, where they cover the totals; a list
    of passes that was cut doesn't.
    """
    passes = read_passes(raw)
    usage = added(passes) if passes else read_pass(raw)
    usage.reasoning_tokens = tokens(at(raw, ("output_tokens_details", "thinking_tokens")))
    return usage


class Pass(NamedTuple):
    """One pass over a model."""

    model: str | None
    """Which the pass itself names: an advisor is another one, and so may be who answers after a refusal."""
    usage: Usage


def read_passes(raw: Figures) -> list[Pass]:
    """The passes that a usage object counts; none where it has no list of them that covers its totals."""
    listed = raw.get(PASSES)
    if not isinstance(listed, list):
        return []
    passes = [Pass(word(one.get("model")), read_pass(one)) for one in listed if isinstance(one, dict)]
    return passes if passes and known(added(passes)) >= known(read_pass(raw)) else []


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


def added(passes: list[Pass]) -> Usage:
    usage = Usage()
    for name in COUNTS:
        setattr(usage, name, total(getattr(one.usage, name) for one in passes))
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
