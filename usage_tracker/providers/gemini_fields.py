"""Where Gemini's APIs put their figures, in all their spellings, and how these are read.

- generateContent and its kin: https://ai.google.dev/api/generate-content#UsageMetadata,
  https://github.com/googleapis/python-genai/blob/v2.34.0/google/genai/types.py (GenerateContentResponseUsageMetadata)
- live sessions: the same file (UsageMetadata), `responseTokenCount` in the candidates' place
- interactions: https://github.com/googleapis/python-genai/blob/v2.34.0/google/genai/_gaos/types/interactions/usage.py
- batchEmbedContents writes `promptTokenDetails`, without the s

The prompt's count includes cached tokens and excludes what tools added to it; the candidates' count excludes thoughts;
the total is the sum of all four. The SDKs' own objects spell the same names in snake case.
"""

from usage_tracker.event import Figures, Usage
from usage_tracker.providers.answer import merge_figures
from usage_tracker.providers.usage_fields import tokens

Names = tuple[str, ...]

PROMPT: Names = ("promptTokenCount", "prompt_token_count", "total_input_tokens")
TOOL: Names = ("toolUsePromptTokenCount", "tool_use_prompt_token_count", "total_tool_use_tokens")
CANDIDATES: Names = (
    "candidatesTokenCount",
    "responseTokenCount",
    "candidates_token_count",
    "response_token_count",
    "total_output_tokens",
)
THOUGHTS: Names = ("thoughtsTokenCount", "thoughts_token_count", "total_thought_tokens")
CACHED: Names = ("cachedContentTokenCount", "cached_content_token_count", "total_cached_tokens")
TOTAL: Names = ("totalTokenCount", "total_token_count", "total_tokens")

PROMPT_DETAILS: Names = (
    "promptTokensDetails",
    "promptTokenDetails",
    "prompt_tokens_details",
    "input_tokens_by_modality",
)
TOOL_DETAILS: Names = (
    "toolUsePromptTokensDetails",
    "tool_use_prompt_tokens_details",
    "tool_use_tokens_by_modality",
)
CANDIDATES_DETAILS: Names = (
    "candidatesTokensDetails",
    "responseTokensDetails",
    "candidates_tokens_details",
    "response_tokens_details",
    "output_tokens_by_modality",
)
"""Lists that tell what those totals consist of."""
COUNT: Names = ("tokenCount", "token_count", "tokens")
"""The count within one entry of such a list; beside it stands `modality`, in capitals or not."""

ON_DEMAND = "on_demand_"
"""What Vertex puts before the name of a tier that isn't the standard one."""
UNSPECIFIED = ("unspecified", "service_tier_unspecified", "traffic_type_unspecified")


def read_usage(raw: Figures) -> Usage:
    """The counts of a usage object. A total that says more than its parts tells what they leave out of the output: some
    last chunks of streams lack the candidates' count, and older SDKs don't know of thoughts."""
    prompt, tool = count(raw, PROMPT), count(raw, TOOL)
    candidates, thoughts, total = count(raw, CANDIDATES), count(raw, THOUGHTS), count(raw, TOTAL)
    usage = Usage(cache_read_tokens=count(raw, CACHED), reasoning_tokens=thoughts, tool_tokens=tool)
    if prompt is not None or tool is not None:
        usage.input_tokens = (prompt or 0) + (tool or 0)
    if candidates is not None or thoughts is not None:
        usage.output_tokens = (candidates or 0) + (thoughts or 0)
    if total is not None and usage.input_tokens is not None and total >= usage.input_tokens:
        usage.output_tokens = max(usage.output_tokens or 0, total - usage.input_tokens)
    asked, answered = by_modality(raw, PROMPT_DETAILS, TOOL_DETAILS), by_modality(raw, CANDIDATES_DETAILS)
    usage.input_audio_tokens, usage.input_image_tokens = asked.get("AUDIO"), asked.get("IMAGE")
    usage.output_audio_tokens, usage.output_image_tokens = answered.get("AUDIO"), answered.get("IMAGE")
    return usage


def merge_usage(earlier: Figures | None, later: Figures) -> Figures:
    """What is known after a further piece of a stream, whose figures are running totals. A piece that is whole in
    itself replaces all that came before, as it may well correct it downwards; what another one leaves out stays."""
    return later if earlier is None or is_whole(later) else merge_figures(earlier, later)


def is_whole(raw: Figures) -> bool:
    """Whether a usage object says something of the output, and its parts add up to its total."""
    parts = [count(raw, names) for names in (CANDIDATES, THOUGHTS, PROMPT, TOOL)]
    return parts[:2] != [None, None] and sum(part or 0 for part in parts) == count(raw, TOTAL)


def count(raw: Figures, names: Names) -> int | None:
    """The first of these that is a number of tokens."""
    for name in names:
        if name in raw and (found := tokens(raw[name])) is not None:
            return found
    return None


def by_modality(raw: Figures, *lists: Names) -> dict[str, int]:
    """The tokens of each modality that these lists tell of."""
    found: dict[str, int] = {}
    for names in lists:
        entries = next((raw[name] for name in names if name in raw), None)
        for entry in entries if isinstance(entries, list) else ():
            modality = entry.get("modality") if isinstance(entry, dict) else None
            if isinstance(modality, str) and (number := count(entry, COUNT)) is not None:
                found[modality.upper()] = found.get(modality.upper(), 0) + number
    return found


def of_modality(raw: Figures, modality: str, *lists: Names) -> int | None:
    """The tokens of that modality in these lists; None where they don't name it."""
    return by_modality(raw, *lists).get(modality)


def tier_of(said: str | None) -> str | None:
    """A service tier or traffic type by the name that price lists use: `ON_DEMAND_FLEX` is `flex`.
    https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse#TrafficType"""
    if said is None or (tier := said.lower()) in UNSPECIFIED:
        return None
    return tier.removeprefix(ON_DEMAND)
