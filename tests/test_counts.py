"""The few numbers that are read of an answer at once are those that reading all of it gives, or none."""

from typing import Any

import anthropic
import msgspec
import openai
import pytest
from anthropic.types import Message
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from usage_tracker.capture.shapes import Shapes
from usage_tracker.event import CallKind, Origin, Told
from usage_tracker.providers.counts import counts_of
from usage_tracker.providers.told import READERS, encode_usage, event_of, told_as_read

CHAT = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "choices": [], "model": "gpt-4o-mini"}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude-sonnet-4-5"}
EMBEDDING = {"object": "list", "data": [], "model": "text-embedding-3-small"}


def said_by(sdk: Any, answer: type, fields: dict[str, Any], reader: str, operation: str) -> tuple[CallKind, Any]:
    """What is kept of an answer, as the SDK makes it of what a server sends."""
    shapes = Shapes(READERS[reader], operation)
    said = shapes.take(sdk._models.construct_type(type_=answer, value=fields))
    assert said is not None
    kind = CallKind(
        origin=Origin(sdk=reader), by_model=False, reader=reader, operation=operation, request_model=None,
        streamed=False, names=shapes.names,
    )  # fmt: skip
    return kind, (said,)


def chat(**usage: Any) -> tuple[CallKind, Any]:
    return said_by(openai, ChatCompletion, {**CHAT, "usage": usage}, "openai", "chat")


def message(**usage: Any) -> tuple[CallKind, Any]:
    return said_by(anthropic, Message, {**MESSAGE, "usage": usage}, "anthropic", "chat")


def thought(tokens: int | None) -> dict[str, Any]:
    return {"output_tokens_details": {"thinking_tokens": tokens}}


def read(kind: CallKind, said: Any) -> tuple[int, int, int]:
    """As who ships it reads it."""
    _, event = event_of(kind, Told(1, 2.0, None, 200, 1, told_as_read(said)))
    usage = event.usage
    assert not any((usage.units, usage.cache_write_tokens, usage.input_audio_tokens, usage.output_audio_tokens))
    return usage.input_tokens or 0, usage.output_tokens or 0, usage.cache_read_tokens or 0


DETAILS: dict[str, Any] = {
    "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}
NONE: dict[str, Any] = {
    "prompt_tokens_details": {"cached_tokens": None},
    "completion_tokens_details": {"reasoning_tokens": None},
}
PLAIN_MESSAGE: dict[str, Any] = {
    "input_tokens": 7, "output_tokens": 9, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, "service_tier": "standard",
    "inference_geo": "global", "server_tool_use": {"web_search_requests": 0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (chat(prompt_tokens=41, completion_tokens=12, total_tokens=53), ("gpt-4o-mini", None)),
        (chat(prompt_tokens=41, completion_tokens=12, total_tokens=53, **DETAILS), ("gpt-4o-mini", None)),
        (chat(prompt_tokens=41, total_tokens=41), ("gpt-4o-mini", None)),
        (chat(prompt_tokens=41, completion_tokens=0, total_tokens=41, **NONE), ("gpt-4o-mini", None)),
        (chat(prompt_tokens=30, completion_tokens=5, total_tokens=35, **DETAILS), ("gpt-4o-mini", None)),
        (message(input_tokens=3, output_tokens=4), ("claude-sonnet-4-5", None, None, None)),
        (message(**PLAIN_MESSAGE), ("claude-sonnet-4-5", "standard", "global", None)),
        (message(input_tokens=3, output_tokens=4, **thought(4)), ("claude-sonnet-4-5", None, None, None)),
        (message(input_tokens=3, output_tokens=0, **thought(None)), ("claude-sonnet-4-5", None, None, None)),
        (message(input_tokens=3, output_tokens=4, speed="fast"), ("claude-sonnet-4-5", None, None, "fast")),
        (
            said_by(
                openai,
                CreateEmbeddingResponse,
                {**EMBEDDING, "usage": {"prompt_tokens": 5, "total_tokens": 5}},
                "openai",
                "embeddings",
            ),
            ("text-embedding-3-small",),
        ),
    ],
)
def test_ordinary_counts_are_told_by_a_few_numbers(told: tuple[CallKind, Any], words: tuple[object, ...]) -> None:
    counts = counts_of(*told)
    assert counts is not None
    assert counts[:3] == read(*told)
    assert counts[3] == words


@pytest.mark.parametrize(
    "told",
    [
        chat(prompt_tokens=5, completion_tokens=6, total_tokens=11, prompt_tokens_details={"audio_tokens": 2}),
        chat(prompt_tokens=5, completion_tokens=6, total_tokens=11, prompt_tokens_details={"cached_tokens": 6}),
        chat(prompt_tokens=5, completion_tokens=6, total_tokens=11, completion_tokens_details={"new_tokens": 2}),
        chat(prompt_tokens=5, completion_tokens=6, total_tokens=11, completion_tokens_details={"image_tokens": 2}),
        chat(prompt_tokens=5, completion_tokens=6, total_tokens=11, cost=0.25),
        chat(prompt_tokens=5, completion_tokens=6, total_tokens=11, prompt_cache_hit_tokens=4),
        chat(prompt_tokens=5, completion_tokens=6, total_tokens=31, completion_tokens_details={"reasoning_tokens": 20}),
        chat(prompt_tokens=5, completion_tokens=6, total_tokens=11, completion_tokens_details={"reasoning_tokens": 7}),
        chat(prompt_tokens=-5, completion_tokens=6, total_tokens=1),
        chat(completion_tokens=6, total_tokens=11),
        message(input_tokens=3, output_tokens=4, cache_creation_input_tokens=5),
        message(input_tokens=3, output_tokens=4, cache_creation={"ephemeral_1h_input_tokens": 5}),
        message(input_tokens=3, output_tokens=4, server_tool_use={"web_search_requests": 1}),
        message(input_tokens=3, output_tokens=4, iterations=[{"input_tokens": 9, "output_tokens": 9}]),
        message(input_tokens=3, output_tokens=4, **thought(5)),
        message(input_tokens=3),
    ],
)
def test_what_may_say_more_is_left_to_who_reads_all_of_it(told: tuple[CallKind, Any]) -> None:
    assert counts_of(*told) is None


def test_a_stream_is_told_by_its_last_piece_where_the_others_say_nothing_of_usage() -> None:
    kind, _ = chat()
    nothing, usage = msgspec.Raw(encode_usage(None)), {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
    chunk = openai._models.construct_type(type_=ChatCompletionChunk, value={**CHAT, "usage": usage})
    shapes = Shapes(READERS["openai"], "chat")
    last = shapes.take(chunk)
    assert last is not None
    first = ("chatcmpl-1", "gpt-4o-mini-2024-07-18", "default", nothing)
    assert counts_of(kind, (first, last)) == (5, 6, 0, ("gpt-4o-mini", None, "gpt-4o-mini-2024-07-18", "default"))
    assert counts_of(kind, (last, last)) is None
    assert counts_of(kind, (first, last, last)) is None
