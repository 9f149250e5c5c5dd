"""The legacy google-generativeai SDK: what its answers say of usage, and what they hide.

Its type of usage knows four counts (prompt, cached, candidates, total; 0 is unset), while the API counts thoughts and
the prompts of its own tools apart from them, https://ai.google.dev/api/generate-content#UsageMetadata. Over gRPC those
arrive as fields that the type doesn't know: protobuf keeps them and writes them out again, so the usage message is
read from its bytes. Over REST the SDK drops them, and they are what the total leaves over.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from usage_tracker.event import Figures, Usage
from usage_tracker.providers.answer import Answer, Request, merge_figures, word
from usage_tracker.providers.usage_fields import tokens

SDK = "google-generativeai"
PROVIDER = "gemini"

COUNTS = {
    1: "promptTokenCount",
    2: "candidatesTokenCount",
    3: "totalTokenCount",
    4: "cachedContentTokenCount",
    8: "toolUsePromptTokenCount",
    10: "thoughtsTokenCount",
}
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

THINKS_NOT = re.compile(r"(models/)?gemini-(1|2\.0)(?!.*thinking)")
"""Models that don't think, before Gemini 2.5: https://ai.google.dev/gemini-api/docs/thinking"""


def read_model(model: object) -> str | None:
    """The name of a model as the app gives it: with or without `models/`, or an object that has it."""
    name = word(getattr(model, "name", model))
    return name.removeprefix("models/") if name else None


def observe(answer: Answer, fields: Mapping[str, object]) -> None:
    """Take what a `GenerateContentResponse`, whole or a chunk of a stream, says. Each chunk's figures are totals so
    far. An embedding is a plain dict and says nothing of usage."""
    message: Any = fields.get("_pb")
    if message is None:
        return
    answer.model = word(message.model_version) or answer.model
    if message.HasField("usage_metadata"):
        answer.raw = merge_figures(answer.raw, read_figures(message.usage_metadata.SerializeToString()))
    ended = bool(message.prompt_feedback.block_reason)
    for candidate in message.candidates:
        ended = ended or bool(candidate.finish_reason)
        answer.estimated = answer.estimated or shows_own_tools(candidate)
    answer.partial = not ended


def shows_own_tools(candidate: Any) -> bool:
    """Whether the provider's own tools were at work, whose prompts then are among what the total leaves over."""
    if candidate.HasField("grounding_metadata"):
        return True
    return any(
        part.WhichOneof("data") in ("executable_code", "code_execution_result") for part in candidate.content.parts
    )


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
    at = 0
    while at < len(message):
        key, at = read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = read_varint(message, at)
            yield key >> 3, value
        elif kind == 2:
            length, at = read_varint(message, at)
            yield key >> 3, message[at : at + length]
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            return


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A number in base 128, least first, and where it ends."""
    number = shift = 0
    while at < len(message):
        byte = message[at]
        number |= (byte & 127) << shift
        at += 1
        if byte < 128:
            break
        shift += 7
    return number, at


def usage_of(operation: str, answer: Answer, request: Request) -> Usage:
    """The counts of a call that has ended.

    What the total has beyond prompt and candidates is thoughts, unless the provider's own tools were at work: then it
    is their prompts where the model doesn't think, and both where it does. How much of each is not told; most of it is
    prompts of tools, as answers show that tell them apart, and all of it is counted as input, as an estimate.
    """
    raw = answer.raw or {}
    prompt, candidates, total, thoughts, tool = (tokens(raw.get(COUNTS[number])) for number in (1, 2, 3, 10, 8))
    usage = Usage(cache_read_tokens=tokens(raw.get(COUNTS[4])))
    if total is not None and prompt is not None and thoughts is None and tool is None:
        hidden = max(0, total - prompt - (candidates or 0))
        if hidden and not answer.estimated:
            thoughts = hidden
        elif hidden and THINKS_NOT.match(answer.model or request.model or ""):
            tool = hidden
        elif hidden:
            prompt, usage.estimated = prompt + hidden, True
    usage.input_tokens = None if prompt is None else prompt + (tool or 0)
    if candidates is not None or thoughts is not None:
        usage.output_tokens = (candidates or 0) + (thoughts or 0)
    elif total is not None and usage.input_tokens is not None:
        usage.output_tokens = max(0, total - usage.input_tokens)
    usage.reasoning_tokens, usage.tool_tokens = thoughts, tool
    for name, audio, image in (
        ("promptTokensDetails", "input_audio_tokens", "input_image_tokens"),
        ("candidatesTokensDetails", "output_audio_tokens", "output_image_tokens"),
    ):
        if (details := raw.get(name)) is not None:
            setattr(usage, audio, of_modality(details, "AUDIO"))
            setattr(usage, image, of_modality(details, "IMAGE"))
    return usage


def of_modality(details: list[Figures], modality: str) -> int:
    return sum(part["tokenCount"] for part in details if part["modality"] == modality)
