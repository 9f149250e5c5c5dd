"""The token counts of a call that is kept as it was told, where its usage object says nothing else that is billed.

What counts against a budget at once is read on the app's thread, where reading all of an answer costs many times what
these few numbers cost. Usage objects that may say more (audio, images, tools, writes to a cache, fields that the SDK
doesn't know) are refused by their types here, in no line of Python, and left to `told`, which knows all of them.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

from usage_tracker.event import CallKind
from usage_tracker.providers.usage_fields import MOST_TOKENS

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
Maybe = Count | None
No = Literal[0] | None
"""What is billed apart from the other tokens, or not by the token."""


class Fields(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The fields of an SDK's class."""


T = TypeVar("T", bound=Fields)


class Kept(msgspec.Struct, Generic[T], array_like=True, gc=False):
    """An object as `told.encode_usage` keeps it: its fields, those that its class doesn't know, and False."""

    fields: T
    more: Annotated[dict[str, Any], msgspec.Meta(max_length=0)] | None
    mark: Literal[False]


class PromptDetails(Fields):
    cached_tokens: Maybe = None
    text_tokens: Maybe = None
    audio_tokens: No = None
    image_tokens: No = None
    cache_write_tokens: No = None


class CompletionDetails(Fields):
    reasoning_tokens: Maybe = None
    text_tokens: Maybe = None
    accepted_prediction_tokens: Maybe = None
    rejected_prediction_tokens: Maybe = None
    audio_tokens: No = None
    image_tokens: No = None


class CompletionUsage(Fields):
    """https://github.com/openai/openai-python/blob/v3.54.0/src/openai/types/completion_usage.py

    That of embeddings has no `completion_tokens`."""

    prompt_tokens: Count
    total_tokens: Count
    completion_tokens: Maybe = None
    prompt_tokens_details: Kept[PromptDetails] | None = None
    completion_tokens_details: Kept[CompletionDetails] | None = None


class CacheCreation(Fields):
    ephemeral_5m_input_tokens: No = None
    ephemeral_1h_input_tokens: No = None


class OutputDetails(Fields):
    thinking_tokens: Maybe = None


class ServerToolUse(Fields):
    web_search_requests: No = None
    web_fetch_requests: No = None


class MessageUsage(Fields):
    """https://github.com/anthropics/anthropic-sdk-python/blob/v2.12.0/src/anthropic/types/usage.py"""

    input_tokens: Count
    output_tokens: Count
    cache_read_input_tokens: Maybe = None
    cache_creation_input_tokens: No = None
    cache_creation: Kept[CacheCreation] | None = None
    output_tokens_details: Kept[OutputDetails] | None = None
    server_tool_use: Kept[ServerToolUse] | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None


decode_completion = msgspec.msgpack.Decoder(Kept[CompletionUsage]).decode
decode_message = msgspec.msgpack.Decoder(Kept[MessageUsage]).decode

Words = tuple[object, ...]
"""What else an answer says, its id aside: its price may depend on it, or who has served it."""
Counts = tuple[int, int, int, Words]
"""Tokens of input, of output, and those of the input that were read from a cache; and words. A plain tuple, for one is
made with each call."""


def completion_counts(kept: msgspec.Raw, words: Words) -> Counts | None:
    usage = decode_completion(kept).fields
    into, out, read, reasoning = usage.prompt_tokens, usage.completion_tokens or 0, 0, 0
    if usage.prompt_tokens_details is not None:
        read = usage.prompt_tokens_details.fields.cached_tokens or 0
    if usage.completion_tokens_details is not None:
        reasoning = usage.completion_tokens_details.fields.reasoning_tokens or 0
    # what contradicts itself, or leaves reasoning out, is for those who know more
    if into + out != usage.total_tokens or read > into or reasoning > out:
        return None
    return into, out, read, words


def message_counts(kept: msgspec.Raw, words: Words) -> Counts | None:
    usage = decode_message(kept).fields
    out, read, details = usage.output_tokens, usage.cache_read_input_tokens or 0, usage.output_tokens_details
    if details is not None and (details.fields.thinking_tokens or 0) > out:
        return None
    return usage.input_tokens + read, out, read, (*words, usage.service_tier, usage.inference_geo, usage.speed)


COUNT: dict[str, Callable[[msgspec.Raw, Words], Counts | None]] = {
    "anthropic": message_counts,
    "openai": completion_counts,
}
"""By `CallKind.reader`."""
NO_USAGE = msgspec.Raw(b"\xc0")


def counts_of(kind: CallKind, said: Sequence[tuple[Any, ...]]) -> Counts | None:
    """The counts of a call, by what was said: of an answer, or of a stream whose last piece says what all of it used.
    None where it has to be read."""
    place = kind.names.index("model")  # an id, or what comes before the model, tells nothing of the price
    last = said[-1]
    words = last[place:-1]
    if len(said) > 1:
        for piece in said[:-1]:
            if piece[-1] != NO_USAGE:
                return None
            words += piece[place:-1]
    try:
        return COUNT[kind.reader](last[-1], words)
    except msgspec.ValidationError:
        return None
