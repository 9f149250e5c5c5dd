"""What LiteLLM's own cache answers costs nothing, as no provider does anything for it."""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import litellm
import pytest
from anthropic_server import AnthropicServer
from capturing import Captured
from litellm.caching.caching import Cache
from with_litellm.asking import ASK, KEY, achat, at, at_anthropic, chat, run

from usage_tracker.demo.exchange import Reply
from usage_tracker.demo.standin import StandIn
from usage_tracker.event import Origin, UsageEvent
from usage_tracker.pricing import Pricer


@pytest.fixture(autouse=True)
def cache() -> Iterator[None]:
    litellm.cache = Cache()
    yield
    litellm.cache = None


def told(call: tuple[Origin, UsageEvent]) -> tuple[Any, ...]:
    _, event = call
    usage, raw = event.usage, event.raw or {}
    return event.cached, usage.input_tokens, usage.output_tokens, raw.get("cache_hit"), event.reported_cost


HIT = (True, 0, 0, True, "0")


def asked_twice(provider: StandIn, captured: Captured, ask: Any) -> list[tuple[Origin, UsageEvent]]:
    """The calls that asking the same twice gives, of which the second finds the answer in the cache."""
    ask()
    requests, deadline = len(provider.requests), time.monotonic() + 30
    calls = captured.all()
    while len(calls) < 2 or not calls[-1][1].cached:
        assert time.monotonic() < deadline, "the cache never has it: it is written by a thread of LiteLLM's"
        time.sleep(0.02)
        ask()
        calls = [calls[0], *captured.all()]
    assert len(calls) - 2 == len(provider.requests) - requests
    return [calls[0], calls[-1]]


def test_a_hit_is_a_call_that_used_and_cost_nothing(captured: Captured, provider: StandIn) -> None:
    first, hit = asked_twice(provider, captured, lambda: chat(provider))
    assert first[1].cached is False
    assert told(hit) == HIT
    assert (hit[1].model, hit[1].response_id, hit[1].status) == (first[1].model, first[1].response_id, "ok")
    assert (hit[0].provider, hit[1].request_model) == ("openai", "gpt-4o-mini")
    assert hit[1].raw is not None
    assert hit[1].raw["completion_tokens"] == first[1].usage.output_tokens
    cost = Pricer().price(*hit)
    assert (cost.amount, cost.flags) == (Decimal(0), ("cached",))


def test_an_async_hit_is_too(captured: Captured, provider: StandIn) -> None:
    async def ask() -> None:
        await achat(provider)
        await asyncio.sleep(0.05)  # LiteLLM writes its cache in a task that it leaves behind

    first, hit = asked_twice(provider, captured, lambda: asyncio.run(ask()))
    assert (first[1].cached, told(hit)) == (False, HIT)


def test_a_stream_from_the_cache_is_too(captured: Captured, provider: StandIn) -> None:
    def ask() -> None:
        list(chat(provider, stream=True, stream_options={"include_usage": True}))

    first, hit = asked_twice(provider, captured, ask)
    assert (first[1].cached, first[1].streamed) == (False, True)
    # of a stream it keeps no other name
    assert (hit[1].streamed, hit[1].status, hit[1].model) == (True, "ok", first[1].request_model)
    assert told(hit) == HIT


@pytest.mark.parametrize("way", ["sync", "async", "stream"])
def test_a_hit_is_of_the_provider_that_would_have_been_asked(captured: Captured, provider: StandIn, way: str) -> None:
    """Also where only LiteLLM knows its name, and a model's own begins with another's."""

    async def ask_and_wait(**asked: Any) -> None:
        await achat(provider, **asked)
        await asyncio.sleep(0.05)

    def ask() -> None:
        asked = {"model": "hosted_vllm/openai/gpt-oss-20b", "stream": way == "stream"}
        if way == "async":
            asyncio.run(ask_and_wait(**asked))
        else:
            list(chat(provider, **asked))

    for origin, event in asked_twice(provider, captured, ask):
        named = origin.provider, event.request_model, event.model
        assert named == ("hosted_vllm", "openai/gpt-oss-20b", "openai/gpt-oss-20b"), event.cached


def test_a_response_from_the_cache_is_too(captured: Captured, provider: StandIn) -> None:
    def ask() -> None:
        litellm.responses(model="openai/gpt-5-mini", input="Say hello.", **at(provider))

    _, hit = asked_twice(provider, captured, ask)
    assert told(hit) == HIT


def test_a_message_from_the_cache_is_too(captured: Captured, anthropic: AnthropicServer) -> None:
    asked = {"model": "anthropic/claude-sonnet-4-5", "messages": ASK, "max_tokens": 10, **at_anthropic(anthropic)}

    async def ask() -> None:
        await litellm.anthropic_messages(**asked)
        await asyncio.sleep(0.05)

    first, hit = asked_twice(anthropic, captured, lambda: asyncio.run(ask()))
    assert (first[1].usage.input_tokens, told(hit)) == (41, HIT)


def test_of_embeddings_only_what_was_asked_of_the_provider_counts(captured: Captured, provider: StandIn) -> None:
    def embed(*texts: str) -> Any:
        async def main() -> Any:
            answer = await litellm.aembedding(model="openai/text-embedding-3-small", input=list(texts), **at(provider))
            await asyncio.sleep(0.1)
            return answer

        return run(main())

    embed("one", "two")
    embed("one", "two")
    embed("one", "three and four")
    asked, hit, partly = captured.all()
    assert told(hit) == HIT
    assert (asked[1].cached, partly[1].cached) == (False, False)
    assert len(provider.requests) == 2
    assert provider.requests[-1].body["input"] == ["three and four"]
    litellm.cache = None
    embed("three and four")
    assert partly[1].usage.input_tokens == captured.one().usage.input_tokens


@pytest.mark.parametrize("name", ["completion", "acompletion"])
def test_a_cache_of_like_questions_asks_for_embeddings_of_its_own(
    captured: Captured, provider: StandIn, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_BASE", provider.base_url)
    with StandIn() as qdrant:
        qdrant.reply = lambda asked: Reply({"result": [] if asked.path.endswith("/search") else {"exists": True}})
        litellm.cache = Cache(
            type="qdrant-semantic", qdrant_api_base=qdrant.url, qdrant_api_key=KEY, qdrant_collection_name="likes",
            similarity_threshold=0.8, qdrant_semantic_cache_embedding_model="text-embedding-3-small",
        )  # fmt: skip

        async def ask() -> list[UsageEvent]:
            events: list[UsageEvent] = []
            answer = getattr(litellm, name)(model="gpt-4o-mini", messages=ASK)
            if name == "acompletion":
                await answer
            async with asyncio.timeout(30):
                while len(events) < 3:  # an answer is put into the cache later
                    events += [event for _, event in captured.all()]
                    await asyncio.sleep(0.01)
            return events

        events = asyncio.run(ask())
    events += [event for _, event in captured.all()]  # LiteLLM begins anew what the loop's end cut off
    assert sorted((event.operation, event.attempts) for event in events[:3]) == [
        ("chat", 1), ("embeddings", 1), ("embeddings", 1),
    ]  # fmt: skip
    assert len(provider.requests) == len(events)
