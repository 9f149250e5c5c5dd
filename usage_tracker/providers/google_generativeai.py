"""The legacy google-generativeai SDK: what its answers say of usage, and what they hide.

Its type of usage knows four counts (prompt, cached, candidates, total; 0 is unset), while the API counts thoughts and
the prompts of its own tools apart from them, https://ai.google.dev/api/generate-content#UsageMetadata. Over gRPC those
arrive as fields that the type doesn't know: protobuf keeps them and writes them out again, so the usage message is
read from its bytes. Over REST the SDK drops them, and they are what the total leaves over.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from usage_tracker.event import Figures, Usage
from usage_tracker.providers.answer import Answer, Request, word
from usage_tracker.providers.gemini_fields import merge_usage, read_usage

SDK = "google-generativeai"
PROVIDER = "gemini"

PROMPT, CANDIDATES, TOTAL = "promptTokenCount", "candidatesTokenCount", "totalTokenCount"
TOOL, THOUGHTS = "toolUsePromptTokenCount", "thoughtsTokenCount"
COUNTS = {1: PROMPT, 2: CANDIDATES, 3: TOTAL, 4: "cachedContentTokenCount", 8: TOOL, 10: THOUGHTS}
BY_MODALITY = {
    5: "promptTokensDetails",
    6: "cacheTokensDetails",
    7: "candidatesTokensDetails",
    9: "toolUsePromptTokensDetails",
}
MODALITIES = ("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT")
"""The numbers of protobuf and the names of the REST API, of the message `UsageMetadata` and what it nests:
https://github.com/googleapis/googleapis/blob/master/google/ai/generativelanguage/v1beta/generative_service.proto"""

LARGEST_COUNT = (1 << 31) - 1
"""The counts are int32; a larger one stands for a negative number."""

OWN_TOOLS = ("executable_code", "code_execution_result")
"""What the parts of an answer are that the provider's own tools wrote."""

THINKS_NOT = re.compile(r"(models/)?gemini-(1|2\.0)(?!.*thinking)")
"""Models that don't think, before Gemini 2.5: https://ai.google.dev/gemini-api/docs/thinking"""


def read_request(operation: str, request: object, flattened: Mapping[str, object]) -> Request:
    """What was asked: a request message, a dict of its fields, or those given as arguments of their own."""
    if request is None:
        request = flattened
    elif not isinstance(request, Mapping):
        request = {"model": getattr(getattr(request, "_pb", None), "model", None)}
    model = word(request.get("model"))
    return Request(operation, model.removeprefix("models/") if model else None)


def observe(answer: Answer, fields: Mapping[str, object]) -> None:
    """Take what a `GenerateContentResponse`, whole or a chunk of a stream, says. Each chunk's figures are totals so
    far. The first of the supported versions don't know of the model's version."""
    message: Any = fields["_pb"]
    answer.model = word(getattr(message, "model_version", None)) or answer.model
    if message.HasField("usage_metadata"):
        answer.raw = merge_usage(answer.raw, read_figures(message.usage_metadata.SerializeToString()))
    ended = bool(message.prompt_feedback.block_reason)
    told = answer.raw is not None and (THOUGHTS in answer.raw or TOOL in answer.raw)
    for candidate in message.candidates:
        ended = ended or bool(candidate.finish_reason)
        if not told and not answer.estimated:
            answer.estimated = shows_own_tools(candidate)
    answer.partial = not ended


def shows_own_tools(candidate: Any) -> bool:
    """Whether the provider's own tools were at work, whose prompts then are among what the total leaves over."""
    if grounded(candidate.__class__) and candidate.HasField("grounding_metadata"):
        return True
    return any(part.WhichOneof("data") in OWN_TOOLS for part in candidate.content.parts)


@cache
def grounded(kind: Any) -> bool:
    """Whether this version's candidates can say what they are grounded in."""
    return "grounding_metadata" in kind.DESCRIPTOR.fields_by_name


def read_figures(message: bytes) -> Figures:
    """The figures of a serialized `UsageMetadata`, by their names in the REST API."""
    found: Figures = {}
    for number, value in read_message(message):
        if isinstance(value, int):
            if number in COUNTS and value <= LARGEST_COUNT:
                found[COUNTS[number]] = value
        elif number in BY_MODALITY:
            modality = dict(read_message(value))
            kind, count = modality.get(1, 0), modality.get(2, 0)
            if isinstance(kind, int) and kind < len(MODALITIES) and isinstance(count, int) and count <= LARGEST_COUNT:
                found.setdefault(BY_MODALITY[number], []).append({"modality": MODALITIES[kind], "tokenCount": count})
    return found


def read_message(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message, up to what is cut or no longer in use.
    https://protobuf.dev/programming-guides/encoding/"""
    at, end = 0, len(message)
    while at < end:
        key, at = read_varint(message, at, end)
        kind = key & 7
        if kind == 0:
            value, at = read_varint(message, at, end)
            yield key >> 3, value
        elif kind == 2:
            length, at = read_varint(message, at, end)
            yield key >> 3, message[at : at + length]
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            return


def read_varint(message: bytes, at: int, end: int) -> tuple[int, int]:
    """A number in base 128, least first, and where it ends."""
    number = shift = 0
    while at < end:
        byte = message[at]
        at += 1
        if byte < 128:
            return number | byte << shift, at
        number |= (byte & 127) << shift
        shift += 7
    return number, at


def usage_of(operation: str, answer: Answer, request: Request) -> Usage:
    """The counts of a call that has ended.

    What the total has beyond prompt and candidates is thoughts, unless the provider's own tools were at work: then it
    is their prompts where the model doesn't think, and both where it does. How much of each is not told; most of it is
    prompts of tools, as answers show that tell them apart, and all of it is counted as input, as an estimate.
    """
    raw = answer.raw or {}
    hidden, guessed = hidden_in(raw), False
    if hidden and not answer.estimated:
        raw = {**raw, THOUGHTS: hidden}
    elif hidden and THINKS_NOT.match(answer.model or request.model or ""):
        raw = {**raw, TOOL: hidden}
    elif hidden:
        raw, guessed = {**raw, PROMPT: raw[PROMPT] + hidden}, True
    usage = read_usage(raw)
    usage.estimated = guessed
    if answer.partial and CANDIDATES not in raw and THOUGHTS not in raw:
        usage.output_tokens = None  # a total up to here doesn't say that nothing was generated since
    return usage


def hidden_in(raw: Figures) -> int:
    """The tokens that the total has beyond what is told."""
    if PROMPT not in raw or TOTAL not in raw or THOUGHTS in raw or TOOL in raw:
        return 0
    hidden: int = raw[TOTAL] - raw[PROMPT] - raw.get(CANDIDATES, 0)
    return max(0, hidden)
