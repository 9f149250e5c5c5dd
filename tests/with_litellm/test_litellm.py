"""One call of LiteLLM, one event, whichever of its functions is called and whoever serves."""

import asyncio
import contextvars
import copy
import gc
import importlib
import inspect
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import litellm
import pytest
from anthropic_server import USAGE, AnthropicServer
from budgeted import budget, known
from capturing import Captured
from gemini_server import GeminiServer
from litellm.integrations.custom_logger import CustomLogger
from litellm.responses.file_search import emulated_handler
from litellm.types.integrations.custom_logger import AgenticLoopPlan, AgenticLoopRequestPatch
from litellm.vector_stores.vector_store_registry import VectorStoreRegistry
from with_litellm.asking import (
    ASK,
    CONTENTS,
    ENDPOINTS,
    KEY,
    achat,
    at,
    at_anthropic,
    at_gemini,
    chat,
    run,
    wait_for,
)

import usage_tracker
from usage_tracker import guard, tracker
from usage_tracker.conditions import Condition
from usage_tracker.demo.exchange import Asked, Reply
from usage_tracker.demo.standin import StandIn


def test_a_call_has_its_tokens_models_ids_and_who_served(captured: Captured, provider: StandIn) -> None:
    answer = chat(provider)
    origin, event = captured.one_call()
    assert (event.usage.input_tokens, event.usage.output_tokens) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert (event.operation, event.request_model, event.model) == ("chat", "gpt-4o-mini", answer.model)
    assert (event.response_id, event.status, event.http_status, event.attempts) == (answer.id, "ok", 200, 1)
    assert (event.streamed, event.ttft_ms, event.cached, event.usage.estimated) == (False, None, False, False)
    assert (origin.sdk, origin.provider, origin.base_host) == ("litellm", "openai", "127.0.0.1")
    assert event.raw is not None
    assert event.raw["prompt_tokens"] == answer.usage.prompt_tokens


def test_a_key_is_kept_as_a_fingerprint_and_nothing_of_what_was_said(captured: Captured, provider: StandIn) -> None:
    answer = chat(provider)
    origin, event = captured.one_call()
    assert origin.api_key is not None
    assert origin.api_key.endswith("…wxyz")
    kept = repr((origin, event))
    assert KEY[:-4] not in kept
    assert "Say hello" not in kept
    assert str(answer.choices[0].message.content) not in kept


def test_a_key_of_the_environment_is_known_too(
    captured: Captured, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_BASE", provider.base_url)
    litellm.completion(model="gpt-4o-mini", messages=ASK)
    origin, _ = captured.one_call()
    assert origin.api_key is not None
    assert origin.base_host == "127.0.0.1"


@pytest.mark.parametrize("function", ENDPOINTS)
def test_each_function_is_one_call(captured: Captured, provider: StandIn, function: str) -> None:
    operation, asked = ENDPOINTS[function]
    getattr(litellm, function)(**asked(), **at(provider))
    origin, event = captured.one_call()
    assert (origin.sdk, event.operation, event.status, len(provider.requests)) == ("litellm", operation, "ok", 1)


@pytest.mark.parametrize("function", ENDPOINTS)
def test_each_async_twin_is_the_same(captured: Captured, provider: StandIn, function: str) -> None:
    operation, asked = ENDPOINTS[function]
    run(getattr(litellm, f"a{function}")(**asked(), **at(provider)))
    origin, event = captured.one_call()
    assert (origin.sdk, event.operation, event.status, len(provider.requests)) == ("litellm", operation, "ok", 1)


def test_what_is_no_token_is_counted_in_its_own_units(captured: Captured, provider: StandIn) -> None:
    units = {}
    for function in ("speech", "transcription", "image_generation"):
        operation, asked = ENDPOINTS[function]
        getattr(litellm, function)(**asked(), **at(provider))
        units[operation] = captured.one().usage.units
    assert units == {"speech": {"characters": 10}, "transcription": {"seconds": 1.0}, "image": {"images": 1}}


def test_a_function_without_a_name_of_its_own_is_called_as_ever(
    captured: Captured, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an app puts there to have defaults of its own."""
    for name in ("completion", "acompletion"):
        monkeypatch.setattr(litellm.main, name, partial(getattr(litellm.main, name), temperature=0))
    assert tracker.installed
    tracker.installed.patches.apply()
    answer = litellm.main.completion(model="openai/gpt-4o-mini", messages=ASK, **at(provider))
    assert captured.one().response_id == answer.id
    answer = run(litellm.main.acompletion(model="openai/gpt-4o-mini", messages=ASK, **at(provider)))
    assert captured.one().response_id == answer.id


def test_a_dispatch_that_is_asked_in_another_way_goes_on_without_us(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "report", guard.count)
    dispatch = importlib.import_module("litellm.chat_completions.dispatch")._DISPATCH
    asked: dict[str, Any] = {"args": ("hello",), "kwargs": {}, "binding": None, "native": None, "rules": ()}
    assert dispatch.run(**asked, python=str.upper) == "HELLO"


def test_the_seconds_of_a_transcription_count_where_its_usage_alone_tells_them(
    captured: Captured, provider: StandIn
) -> None:
    _, asked = ENDPOINTS["transcription"]
    litellm.transcription(**asked(), **at(provider), response_format="json")
    event = captured.one()
    assert (event.usage.units, event.raw) == ({"seconds": 1.0}, {"type": "duration", "seconds": 1.0})


def test_arguments_by_position_are_read_too(captured: Captured, provider: StandIn) -> None:
    litellm.completion("openai/gpt-4o-mini", ASK, **at(provider))
    assert captured.one().request_model == "gpt-4o-mini"


def test_anthropics_models_are_served_by_anthropic(captured: Captured, anthropic: AnthropicServer) -> None:
    litellm.completion(model="anthropic/claude-sonnet-4-5", messages=ASK, **at_anthropic(anthropic))
    origin, event = captured.one_call()
    assert (origin.provider, event.request_model, event.model) == (
        "anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929",
    )  # fmt: skip
    usage = event.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (
        41,
        12,
        7,
        9,
    )


@pytest.mark.parametrize("stream", [False, True])
def test_what_claude_searched_for_and_its_tier_are_known(
    captured: Captured, anthropic: AnthropicServer, *, stream: bool
) -> None:
    """LiteLLM has them among the usage object's figures, where OpenAI has none."""
    anthropic.usage = {**USAGE, "service_tier": "priority"}
    answer = litellm.completion(
        model="anthropic/claude-sonnet-4-5", messages=ASK, stream=stream, **at_anthropic(anthropic)
    )
    if stream:
        list(answer)
    event = captured.one()
    assert (event.usage.units, event.service_tier) == ({"searches": 2}, "priority")


def test_geminis_models_are_served_by_gemini(captured: Captured, gemini: GeminiServer) -> None:
    litellm.completion(model="gemini/gemini-2.5-flash", messages=ASK, **at_gemini(gemini))
    origin, event = captured.one_call()
    assert (origin.provider, event.request_model) == ("gemini", "gemini-2.5-flash")
    assert (event.usage.input_tokens, event.usage.output_tokens, event.usage.estimated) == (29, 17, False)


def test_anthropics_messages_are_one_call(captured: Captured, anthropic: AnthropicServer) -> None:
    answer = run(
        litellm.anthropic_messages(
            model="anthropic/claude-sonnet-4-5", messages=ASK, max_tokens=10, **at_anthropic(anthropic)
        )
    )
    origin, event = captured.one_call()
    assert (origin.provider, event.operation, event.response_id) == ("anthropic", "chat", answer["id"])
    assert (event.usage.input_tokens, event.usage.output_tokens) == (41, 12)


def test_geminis_content_is_one_call(captured: Captured, gemini: GeminiServer) -> None:
    asked: dict[str, Any] = {"model": "gemini/gemini-2.5-flash", "contents": CONTENTS, **at_gemini(gemini)}
    litellm.google_genai.generate_content(**asked)
    run(litellm.agenerate_content(**asked))
    calls = captured.all()
    assert len(calls) == 2
    for origin, event in calls:
        assert (origin.provider, event.operation) == ("gemini", "chat")
        assert (event.usage.input_tokens, event.usage.output_tokens) == (29, 17)


def test_an_api_that_is_answered_by_way_of_another_is_one_call(captured: Captured, anthropic: AnthropicServer) -> None:
    litellm.responses(model="anthropic/claude-sonnet-4-5", input="Say hello.", **at_anthropic(anthropic))
    origin, event = captured.one_call()
    assert (origin.provider, event.operation) == ("anthropic", "responses")
    assert (event.usage.input_tokens, event.usage.output_tokens) == (41, 12)


@pytest.mark.parametrize("stream", [False, True])
def test_an_api_that_is_answered_by_way_of_another_tells_what_the_provider_told(
    captured: Captured, anthropic: AnthropicServer, *, stream: bool
) -> None:
    written = {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 800}
    anthropic.usage = {
        **USAGE, "cache_creation_input_tokens": 1000, "cache_creation": written,
        "server_tool_use": {"web_search_requests": 2}, "service_tier": "standard",
    }  # fmt: skip
    for ask, asked in ((litellm.completion, {"messages": ASK}), (litellm.responses, {"input": "Say hello."})):
        answer = ask(model="anthropic/claude-sonnet-4-5", stream=stream, **asked, **at_anthropic(anthropic))
        if stream:
            list(answer)
    (_, plain), (_, event) = captured.all()
    assert event.operation == "responses"
    assert (event.usage, event.service_tier) == (plain.usage, "standard")
    assert (event.usage.cache_write_1h_tokens, event.usage.units) == (800, {"searches": 2})


@pytest.mark.parametrize("stream", [False, True])
def test_geminis_words_to_claude_tell_what_claude_told(
    captured: Captured, anthropic: AnthropicServer, *, stream: bool
) -> None:
    """LiteLLM's answer leaves out what was cached and searched for, and names no model."""
    asked: dict[str, Any] = {"model": "anthropic/claude-sonnet-4-5", **at_anthropic(anthropic)}
    genai = litellm.google_genai
    run((genai.agenerate_content_stream if stream else genai.agenerate_content)(contents=CONTENTS, **asked))
    run(litellm.acompletion(messages=ASK, stream=stream, **asked))
    (_, event), (_, plain) = captured.all()
    assert (event.usage, event.model, event.service_tier) == (plain.usage, plain.model, "standard")
    assert (event.usage.cache_read_tokens, event.usage.units) == (7, {"searches": 2})


@pytest.mark.parametrize("stream", [False, True])
def test_claudes_words_to_azure_tell_which_model_answered(
    captured: Captured, provider: StandIn, *, stream: bool
) -> None:
    """By the name of a deployment, which LiteLLM's stream says instead, nobody knows a price."""
    at_azure = {"api_key": KEY, "api_base": provider.url, "api_version": "2024-10-21"}
    run(litellm.anthropic_messages(model="azure/ours", messages=ASK, max_tokens=99, stream=stream, **at_azure))
    event = captured.one()
    assert (event.request_model, event.model, event.service_tier) == ("ours", "gpt-4o-2024-08-06", "default")
    assert event.usage.output_tokens


def test_claudes_words_to_openai_tell_what_openai_told(captured: Captured, provider: StandIn) -> None:
    """Which LiteLLM asks by way of OpenAI's Responses."""
    run(litellm.anthropic_messages(model="openai/gpt-5-mini", messages=ASK, max_tokens=2000, **at(provider)))
    event = captured.one()
    assert (event.usage.reasoning_tokens or 0) > 0
    assert event.usage.input_tokens
    assert event.service_tier == "default"


def documents(asked: Asked) -> Reply | None:
    """Cohere's answer to a ranking, and Mistral's to a document that is to be read."""
    if asked.path.endswith("/rerank"):
        billed = {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 12}}
        return Reply({"id": "r-1", "results": [{"index": 0, "relevance_score": 0.9}], "meta": billed})
    page = {"index": 0, "markdown": "x", "images": [], "dimensions": {"dpi": 1, "height": 1, "width": 1}}
    return Reply({"pages": [page], "model": "mistral-ocr-2505", "usage_info": {"pages_processed": 3}})


@pytest.mark.parametrize("name", ["rerank", "arerank"])
def test_ranking_is_counted_in_searches(captured: Captured, provider: StandIn, name: str) -> None:
    provider.reply = documents
    asked = getattr(litellm, name)(
        model="cohere/rerank-v3.5", query="hello", documents=["x"], api_key=KEY, api_base=provider.url
    )
    if name == "arerank":
        run(asked)
    origin, event = captured.one_call()
    assert (origin.provider, event.operation, event.request_model) == ("cohere", "rerank", "rerank-v3.5")
    assert (event.usage.input_tokens, event.usage.units) == (12, {"searches": 1})


@pytest.mark.parametrize("name", ["ocr", "aocr"])
def test_reading_documents_is_counted_in_pages(captured: Captured, provider: StandIn, name: str) -> None:
    provider.reply = documents
    document = {"type": "document_url", "document_url": "https://example.com/a.pdf"}
    asked = getattr(litellm, name)(
        model="mistral/mistral-ocr-latest", document=document, api_key=KEY, api_base=f"{provider.url}/v1/ocr"
    )
    if name == "aocr":
        run(asked)
    origin, event = captured.one_call()
    assert (origin.provider, event.operation, event.usage.units) == ("mistral", "ocr", {"pages": 3})


def test_a_batch_awaits_its_usage(captured: Captured, provider: StandIn) -> None:
    _, asked = ENDPOINTS["create_batch"]
    batch = litellm.create_batch(**asked(), **at(provider))
    event = captured.one()
    assert (event.awaits, event.response_id) == (batch.id, batch.id)
    litellm.retrieve_batch(batch_id=batch.id, custom_llm_provider="openai", **at(provider))
    assert [later.completes for _, later in captured.all()] in ([], [batch.id])


def test_a_response_has_the_id_that_its_provider_gave_it(captured: Captured, provider: StandIn) -> None:
    answer = litellm.responses(model="openai/gpt-5-mini", input="Say hello.", **at(provider))
    event = captured.one()
    assert event.response_id is not None
    assert event.response_id.startswith("resp_")
    assert len(event.response_id) < len(answer.id)


def test_a_response_that_is_cancelled_tells_what_it_used(captured: Captured, provider: StandIn) -> None:
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    response = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5",
        "background": True,
        "output": [],
    }
    provider.reply = lambda asked: Reply({**response, "status": "queued"})
    litellm.responses(model="openai/gpt-5", input="Say hello.", background=True, **at(provider))
    assert captured.one().awaits == "resp_1"
    provider.reply = lambda asked: Reply({**response, "status": "cancelled", "usage": usage})
    for _ in range(2):
        litellm.cancel_responses("resp_1", custom_llm_provider="openai", **at(provider))
    event = captured.one()
    assert (event.completes, event.usage.input_tokens, event.usage.output_tokens) == ("resp_1", 10, 5)


def test_an_interaction_in_the_background_tells_what_it_used_to_who_asks(
    captured: Captured, gemini: GeminiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    interactions = importlib.import_module("litellm.interactions")
    started = {"id": "i-1", "object": "interaction", "model": "gemini-3.5-flash", "status": "in_progress"}
    usage = {"total_input_tokens": 10, "total_output_tokens": 5, "total_thought_tokens": 2, "total_tokens": 17}
    gemini.reply = lambda asked: Reply(started)
    interactions.create(model="gemini/gemini-3.5-flash", input="Say hello.", background=True, api_base=gemini.url)
    assert captured.one().awaits == "i-1"
    interactions.get("i-1", api_base=gemini.url)
    assert captured.all() == []
    gemini.reply = lambda asked: Reply({**started, "status": "completed", "usage": usage})
    run(interactions.aget("i-1", api_base=gemini.url))
    interactions.get("i-1", api_base=gemini.url)
    event = captured.one()
    assert (event.completes, event.usage.input_tokens, event.usage.output_tokens) == ("i-1", 10, 7)


@pytest.mark.skipif(not hasattr(litellm, "systemone"), reason="this version of LiteLLM doesn't have it")
def test_decisions_by_their_other_name_are_calls(captured: Captured, provider: StandIn) -> None:
    answers = {"q": {"type": "noul", "noul": 0.9}}
    usage = {"input_tokens": 10, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}
    provider.reply = lambda asked: Reply({"model": "decider-1", "answers": answers, "usage": usage})
    questions = {"q": {"type": "noul", "instructions": "Is it?"}}
    litellm.systemone(model="perplexity/decider-1", state="so it is", questions=questions, **at(provider))
    event = captured.one()
    used = event.usage
    assert (event.operation, used.input_tokens, used.output_tokens, used.cache_read_tokens) == ("decision", 10, 3, 4)


@pytest.mark.parametrize("name", ["speech", "aspeech"])
def test_speech_by_gemini_tells_its_tokens(
    captured: Captured, gemini: GeminiServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("GEMINI_API_BASE", f"{gemini.url}/v1beta")
    sound = {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": "AAAA"}}
    spoken = {"candidates": [{"content": {"role": "model", "parts": [sound]}, "finishReason": "STOP"}]}
    details = [{"modality": "AUDIO", "tokenCount": 250}]
    usage = {"promptTokenCount": 12, "candidatesTokenCount": 250, "totalTokenCount": 262}
    gemini.reply = lambda asked: Reply({**spoken, "usageMetadata": {**usage, "candidatesTokensDetails": details}})
    asked = {"model": "gemini/gemini-2.5-flash-preview-tts", "input": "Say hello.", "voice": "Kore", "api_key": KEY}
    spoke = getattr(litellm, name)(**asked)
    if name == "aspeech":
        run(spoke)
    event = captured.one()
    assert event.operation == "speech"
    used = event.usage
    assert (used.input_tokens, used.output_tokens, used.output_audio_tokens) == (12, 250, 250)


@pytest.mark.parametrize(
    ("told", "counted"), [({"usageMetadata": {"promptTokenCount": 7}}, (7, False)), ({}, (1, True))]
)
def test_geminis_embeddings_have_the_tokens_that_it_tells_or_an_estimate(
    captured: Captured,
    gemini: GeminiServer,
    monkeypatch: pytest.MonkeyPatch,
    told: dict[str, Any],
    counted: tuple[int, bool],
) -> None:
    monkeypatch.setenv("GEMINI_API_BASE", f"{gemini.url}/v1beta")
    gemini.reply = lambda asked: Reply({"embeddings": [{"values": [0.5]}], **told})
    asked = {"model": "gemini/gemini-embedding-001", "input": ["Hello"], "api_key": KEY}
    litellm.embedding(**asked)
    run(litellm.aembedding(**asked))
    events = [event for _, event in captured.all()]
    assert [(event.usage.input_tokens, event.usage.estimated) for event in events] == [counted] * 2


class AsksAgain(CustomLogger):  # type: ignore[misc]  # litellm has no types where mypy runs
    """Replies to a model's first answer, as LiteLLM's own search does, so that the app gets the second."""

    async def async_should_run_agentic_loop(self, **asked: Any) -> tuple[bool, dict[str, Any]]:
        return not asked["kwargs"].get("_agentic_loop_depth"), {"tool_calls": []}

    async def async_build_agentic_loop_plan(self, **asked: Any) -> AgenticLoopPlan:
        return AgenticLoopPlan(run_agentic_loop=True, request_patch=AgenticLoopRequestPatch(messages=ASK, max_tokens=9))


async def responses_in_a_loop(provider: StandIn) -> Any:
    return litellm.responses(model="openai/gpt-5-mini", input="Say hello.", **at(provider))


def messages(anthropic: StandIn, **more: Any) -> Any:
    asked = {"model": "anthropic/claude-sonnet-4-5", "messages": ASK, "max_tokens": 9, **more}
    return litellm.anthropic_messages(**asked, **at_anthropic(anthropic))


REPLIED_TO: dict[str, Callable[[StandIn, StandIn], Any]] = {
    "chat": lambda provider, anthropic: achat(provider),
    "messages": lambda provider, anthropic: messages(anthropic),
    "stream of messages": lambda provider, anthropic: messages(anthropic, stream=True),
    "responses in a loop": lambda provider, anthropic: responses_in_a_loop(provider),
}


@pytest.mark.parametrize("asked", REPLIED_TO)
def test_an_answer_that_litellm_replies_to_by_itself_is_an_event_too(
    captured: Captured,
    provider: StandIn,
    anthropic: AnthropicServer,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
) -> None:
    monkeypatch.setattr(litellm, "callbacks", [AsksAgain()])
    run(REPLIED_TO[asked](provider, anthropic))
    first, second = [event for _, event in captured.all()]
    assert (first.status, first.request_model, first.operation) == ("ok", second.request_model, second.operation)
    assert None not in (first.usage.output_tokens, second.usage.output_tokens)


@pytest.mark.parametrize("asked", ["chat", "messages", "stream of messages"])
def test_an_answer_is_an_event_once_where_asking_again_fails(
    captured: Captured, provider: StandIn, anthropic: AnthropicServer, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(litellm, "callbacks", [AsksAgain()])
    server = provider if asked == "chat" else anthropic
    asked_so_far: list[Asked] = []
    usual = server.reply

    def reply(asked: Asked) -> Reply | None:
        asked_so_far.append(asked)
        return Reply({"error": {"message": "No."}}, status=400) if len(asked_so_far) > 1 else usual(asked)

    server.reply = reply
    with suppress(litellm.BadRequestError):  # some versions raise it, others give the first answer
        run(REPLIED_TO[asked](provider, anthropic))
    assert len(asked_so_far) == 2
    events = [event for _, event in captured.all()]
    assert sum(event.usage.output_tokens is not None for event in events) == 1


@pytest.mark.parametrize("name", ["responses", "aresponses"])
def test_searching_files_for_a_model_is_an_event_for_each_request(
    captured: Captured, anthropic: AnthropicServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async def found(**asked: Any) -> tuple[list[Any], list[str], list[Any]]:
        return [], ["it"], []

    monkeypatch.setattr(emulated_handler, "_execute_file_search_tool_calls", found)
    searching = {"type": "tool_use", "id": "t-1", "name": emulated_handler.FILE_SEARCH_FUNCTION_NAME, "input": {}}
    contents = iter([searching, {"type": "text", "text": "This."}])

    def reply(asked: Asked) -> Reply:
        usage = {"input_tokens": 100 * len(anthropic.requests), "output_tokens": len(anthropic.requests)}
        message = {"id": "m-1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
        return Reply({**message, "content": [next(contents)], "stop_reason": "end_turn", "usage": usage})

    anthropic.reply = reply
    tools = [{"type": "file_search", "vector_store_ids": ["vs-1"]}]
    asked = {"model": "anthropic/claude-sonnet-4-5", "input": "What is it?", "tools": tools}
    answer = getattr(litellm, name)(**asked, **at_anthropic(anthropic))
    if name == "aresponses":
        run(answer)
    events = [event for _, event in captured.all()]
    assert [(event.operation, event.usage.input_tokens) for event in events] == [("responses", 100), ("responses", 200)]


def test_a_search_for_a_call_is_none_of_its_attempts_and_its_embedding_a_call(
    captured: Captured, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StandIn() as milvus:
        milvus.reply = lambda asked: Reply({"code": 0, "data": [{"id": 1, "distance": 0.9, "text": "hello"}]})
        searched = {
            "api_base": milvus.url, "api_key": KEY, "milvus_text_field": "text",
            "litellm_embedding_model": "openai/text-embedding-3-small", "litellm_embedding_config": at(provider),
        }  # fmt: skip
        store: Any = {"vector_store_id": "books", "custom_llm_provider": "milvus", "litellm_params": searched}
        monkeypatch.setattr(litellm, "vector_store_registry", VectorStoreRegistry([store]))
        run(achat(provider, tools=[{"type": "file_search", "vector_store_ids": ["books"]}]))
        assert len(milvus.requests) == 1
    events = [event for _, event in captured.all()]
    assert [(event.operation, event.attempts) for event in events] == [("embeddings", 1), ("chat", 1)]


def test_a_summary_of_a_conversation_that_is_too_long_is_a_call(
    captured: Captured, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "messages" if find_spec("litellm.llms.anthropic.messages") else "pass_through"  # its former name
    compact = importlib.import_module(f"litellm.llms.anthropic.{place}.context_management.editors.compact")
    monkeypatch.setattr(compact, "_read_summary_model_setting", lambda: "openai/gpt-4o-mini")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_BASE", provider.base_url)
    edit = {"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 50_000}}
    said = [{"role": "user", "content": "Say hello. " * 60_000}, {"role": "assistant", "content": "Hello."}, *ASK]
    asked = {"model": "hosted_vllm/llama3", "messages": said, "max_tokens": 9, "context_management": {"edits": [edit]}}
    run(litellm.anthropic_messages(**asked, **at(provider)))
    events = [event for _, event in captured.all()]
    assert [(event.request_model, event.attempts) for event in events] == [("gpt-4o-mini", 1), ("llama3", 1)]
    assert len(provider.requests) == 2


@pytest.mark.skipif(not hasattr(litellm, "extraction"), reason="this version of LiteLLM doesn't have it")
def test_reading_fields_out_of_a_text_is_a_call(captured: Captured, provider: StandIn) -> None:
    usage = {"input_tokens": 120, "output_tokens": 7, "state_tokens": 90, "schema_tokens": 30, "passes": 1}
    answers = {"total": {"type": "number", "value": 3}}
    provider.reply = lambda asked: Reply({"model": "reader-1", "answers": answers, "truncated": False, "usage": usage})
    asked = {"model": "cloudflare/reader-1", "fields": {"total": {"type": "number"}}, "state": "three in all"}
    litellm.extraction(**asked, **at(provider))
    run(litellm.aextraction(**asked, **at(provider)))
    calls = captured.all()
    assert [(origin.provider, event.operation, event.request_model) for origin, event in calls] == [
        ("cloudflare", "extraction", "reader-1")
    ] * 2
    assert [(event.usage.input_tokens, event.usage.output_tokens, event.raw) for _, event in calls] == [
        (120, 7, usage)
    ] * 2


def test_the_cost_is_litellms_where_it_knows_one(captured: Captured, provider: StandIn) -> None:
    answer = chat(provider)
    assert float(captured.one().reported_cost or 0) == answer._hidden_params["response_cost"] > 0
    chat(provider, model="openai/a-model-of-nobody")
    assert captured.one().reported_cost is None


def test_counts_that_litellm_made_up_are_estimates(captured: Captured, provider: StandIn) -> None:
    litellm.completion(model="gpt-4o", messages=ASK, mock_response="Hello.")
    event = captured.one()
    assert event.usage.estimated
    assert event.usage.output_tokens

    def without_counts(asked: Asked) -> Reply:
        message = {"role": "assistant", "content": "Hello there."}
        return Reply({"model": "llama3", "message": message, "done": True, "done_reason": "stop"})

    provider.reply = without_counts
    litellm.completion(model="ollama_chat/llama3", messages=ASK, api_key=KEY, api_base=provider.url)
    origin, event = captured.one_call()
    assert (origin.provider, event.usage.estimated) == ("ollama", True)
    assert event.usage.output_tokens


def test_a_provider_that_sends_no_usage_leaves_it_unknown(captured: Captured, provider: StandIn) -> None:
    message = {"role": "assistant", "content": "Hello there."}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    answer = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice]}
    provider.reply = lambda asked: Reply(answer)
    chat(provider)
    event = captured.one()
    assert (event.usage.input_tokens, event.usage.output_tokens, event.raw) == (None, None, None)


def test_a_refused_call_is_an_event_with_its_error(captured: Captured, provider: StandIn) -> None:
    provider.fail_next(1, 429)
    with pytest.raises(litellm.RateLimitError):
        chat(provider)
    origin, event = captured.one_call()
    assert (event.status, event.error_type, event.http_status) == ("error", "RateLimitError", 429)
    assert (origin.provider, event.usage.input_tokens) == ("openai", None)


def test_the_status_is_the_providers_and_not_litellms(captured: Captured, anthropic: AnthropicServer) -> None:
    anthropic.fail_next(1, 529)
    with pytest.raises(litellm.InternalServerError):
        litellm.completion(model="anthropic/claude-sonnet-4-5", messages=ASK, **at_anthropic(anthropic), max_retries=0)
    assert captured.one().http_status == 529


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "nobodys-model"])
def test_a_call_that_nobody_answered_has_no_status(captured: Captured, model: str) -> None:
    with pytest.raises(Exception, match="litellm"):
        litellm.completion(model=model, messages=ASK, api_key=KEY, api_base="http://127.0.0.1:9", max_retries=0)
    event = captured.one()
    assert (event.status, event.http_status) == ("error", None)


def test_an_answer_of_who_gives_out_tokens_is_no_status_of_the_call(
    captured: Captured, gemini: GeminiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As watsonx wants one before it is asked."""
    monkeypatch.setenv("WATSONX_IAM_URL", f"{gemini.url}/token")
    gemini.reply = lambda asked: Reply({"access_token": "t-1", "expires_in": 3600})
    asked = {"model": "watsonx/ibm/granite-13b-chat-v2", "messages": ASK, "project_id": "p-1", "max_retries": 0}
    with pytest.raises(litellm.InternalServerError):
        litellm.completion(**asked, api_key="sk-test-of-watsonx", api_base="http://127.0.0.1:9")
    assert [request.path for request in gemini.requests] == ["/token"]
    event = captured.one()
    assert (event.status, event.http_status) == ("error", None)


def test_retries_are_one_event_that_counts_its_attempts(captured: Captured, provider: StandIn) -> None:
    provider.fail_next(2, 500, retry_after=0.001)
    litellm.completion(model="openai/gpt-4o-mini", messages=ASK, api_key=KEY, api_base=provider.base_url, num_retries=2)
    event = captured.one()
    assert (event.status, event.attempts, len(provider.requests)) == ("ok", 3, 3)


def test_retries_that_all_failed_are_counted_too(captured: Captured, provider: StandIn) -> None:
    provider.fail_next(2, 500, retry_after=0.001)
    with pytest.raises(litellm.InternalServerError):
        chat(provider, max_retries=1)
    event = captured.one()
    assert (event.status, event.attempts, len(provider.requests)) == ("error", 2, 2)


def test_retries_of_litellm_and_of_the_sdk_within_are_counted(captured: Captured, provider: StandIn) -> None:
    provider.fail_next(9, 500, retry_after=0.001)
    with pytest.raises(litellm.InternalServerError):
        chat(provider, num_retries=1)
    event = captured.one()
    assert (event.status, event.attempts) == ("error", len(provider.requests))
    assert event.attempts > 1


def test_attempts_of_litellm_itself_are_counted(captured: Captured, anthropic: AnthropicServer) -> None:
    anthropic.fail_next(1, 500)
    litellm.completion(model="anthropic/claude-sonnet-4-5", messages=ASK, num_retries=2, **at_anthropic(anthropic))
    event = captured.one()
    assert (event.status, event.attempts, len(anthropic.requests)) == ("ok", 2, 2)


def test_fallbacks_of_a_call_are_within_it(captured: Captured, provider: StandIn) -> None:
    provider.fail_next(1, 500)
    answer = chat(provider, model="openai/gpt-4o", fallbacks=["openai/gpt-4o-mini"])
    event = captured.one()
    assert (event.status, event.response_id, event.attempts) == ("ok", answer.id, 2)


def test_fallbacks_are_within_their_call_also_where_a_loop_runs(captured: Captured, provider: StandIn) -> None:
    """LiteLLM has them run in another thread then, which knows of no call."""

    async def main() -> Any:
        return chat(provider, fallbacks=["openai/gpt-4o"])

    with usage_tracker.attribute(project="alpha"):
        answer = asyncio.run(main())
    origin, event = captured.one_call()
    assert (event.response_id, origin.project) == (answer.id, "alpha")


def test_a_cancelled_call_is_cancelled(captured: Captured, provider: StandIn) -> None:
    provider.delay = 5

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(achat(provider), 0.3)

    asyncio.run(main())
    assert captured.one().status == "cancelled"


def test_nothing_is_lost_at_the_end_of_a_loop(captured: Captured, provider: StandIn) -> None:
    """LiteLLM's own callbacks come later, or not at all."""
    asyncio.run(achat(provider))
    assert len(captured.captured) == 1


def test_a_coroutine_that_is_never_awaited_is_no_call(captured: Captured, provider: StandIn) -> None:
    coroutine = achat(provider)
    assert coroutine.__name__ == "acompletion"
    coroutine.close()
    assert captured.all() == []


def test_a_task_bears_the_functions_name(provider: StandIn, captured: Captured) -> None:
    async def main() -> str:
        task = asyncio.create_task(
            litellm.amoderation(input="x", model="openai/omni-moderation-latest", **at(provider))
        )
        shown = repr(task)
        await task
        return shown

    assert "amoderation" in asyncio.run(main())
    captured.one()


def test_who_a_call_is_for_comes_from_scope_and_request(captured: Captured, provider: StandIn) -> None:
    with usage_tracker.attribute(project="alpha", tags=["tier:pro"]):
        chat(provider, user="u-1", metadata={"tags": ["job:7"], "session_id": "s-1"})
    origin, _ = captured.one_call()
    assert (origin.project, origin.user_id, origin.session_id) == ("alpha", "u-1", "s-1")
    assert set(origin.tags) == {"tier:pro", "job:7"}


def test_concurrent_calls_keep_their_own(captured: Captured, provider: StandIn) -> None:
    async def ask(number: int) -> tuple[str, str]:
        with usage_tracker.attribute(user=f"u-{number}"):
            answer = await achat(provider)
        return f"u-{number}", answer.id

    async def main() -> list[tuple[str, str]]:
        return await asyncio.gather(*map(ask, range(10)))

    expected = set(asyncio.run(main()))
    assert {(origin.user_id, event.response_id) for origin, event in captured.all()} == expected


def test_a_batch_of_chats_in_threads_knows_who_it_is_for(captured: Captured, provider: StandIn) -> None:
    with usage_tracker.attribute(project="alpha", tags=["nightly"]):
        answers = litellm.batch_completion(model="openai/gpt-4o-mini", messages=[ASK] * 3, **at(provider))
        fastest = litellm.batch_completion_models(
            models=["openai/gpt-4o", "openai/gpt-4o-mini"], messages=ASK, **at(provider)
        )
    assert fastest.id
    wait_for(captured, 5)
    calls = captured.all()
    assert {answer.id for answer in answers} <= {event.response_id for _, event in calls}
    assert [(origin.project, origin.tags) for origin, _ in calls] == [("alpha", ("nightly",))] * 5


def test_a_functions_result_is_litellms_own(captured: Captured, provider: StandIn) -> None:
    answer = chat(provider)
    assert type(answer) is litellm.ModelResponse
    assert type(copy.deepcopy(answer)) is litellm.ModelResponse
    assert "usage_tracker" not in repr(vars(answer))
    captured.one()


FUNCTIONS = ("completion", "acompletion", "embedding", "aembedding", "rerank", "atranscription", "responses", "aocr")

LOOKED_AT = f"""
import asyncio, copy, inspect, pickle, litellm
def look():
    found = []
    for name in {FUNCTIONS}:
        function = getattr(litellm, name)
        again = pickle.loads(pickle.dumps(function))
        found.append((
            name, str(inspect.signature(function)), function.__name__, function.__module__, function.__doc__,
            inspect.iscoroutinefunction(function), asyncio.iscoroutinefunction(function), callable(function),
            again is function, copy.copy(function) is function, copy.deepcopy(function) is function,
        ))
    return found
"""


@pytest.mark.parametrize("order", ["import litellm; install()", "install(); import litellm"])
def test_functions_look_and_are_pickled_as_they_were(order: str, tmp_path: object) -> None:
    script = (
        f"import os; os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = 'True'\n{LOOKED_AT}\nplain = look()\n"
        "import sys\nfor name in [name for name in sys.modules if name.startswith('litellm')]: del sys.modules[name]\n"
    )
    installing = f"usage_tracker.install(ship=False, spool_dir={str(tmp_path)!r})"
    first, second = order.replace("install()", installing).split("; ")
    script += f"import usage_tracker\n{first}\n{second}\n{LOOKED_AT}\nprint(look() == plain)"
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False)
    assert ran.stdout == "True\n", ran.stderr[-2000:]


def test_a_call_is_one_where_only_the_compiled_code_of_ours_was_put(provider: StandIn, tmp_path: Path) -> None:
    """As in images that leave the sources out."""
    package = tmp_path / "usage_tracker"
    kept_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(usage_tracker.__file__).parent, package, ignore=kept_out)
    for source in (package / "capture").glob("*.py"):
        py_compile.compile(str(source), str(source.with_suffix(".pyc")))
        source.unlink()
    script = f"""
import litellm
from usage_tracker.testing import capture_usage
with capture_usage() as used:
    litellm.completion("openai/gpt-4o-mini", messages={ASK}, api_base={provider.base_url!r}, api_key={KEY!r})
print(*(call.sdk for call in used), __import__("usage_tracker.capture").capture.__file__)
"""
    program = [sys.executable, "-W", "ignore", "-c", script]
    ran = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout == f"litellm {package / 'capture/__init__.pyc'}\n", ran.stderr[-2000:]


def test_calls_go_on_while_our_thread_imports_what_the_sdk_below_looks_for(provider: StandIn, tmp_path: Path) -> None:
    """The last versions of openai 2 look with each call for a loaded httpx2, which comes with price data."""
    script = f"""
import threading, time
import usage_tracker
usage_tracker.install("sqlite:///{tmp_path}/usage.db", spool_dir="{tmp_path}/spool", batch_seconds=0.01)
import openai

client, errors = openai.OpenAI(api_key={KEY!r}, base_url={provider.base_url!r}, max_retries=0), []

def ask():
    until = time.monotonic() + 30
    while not errors and usage_tracker.stats().stored == 0 and time.monotonic() < until:
        try:
            client.chat.completions.create(model="gpt-4o-mini", messages={ASK})
        except Exception as error:
            errors.append(repr(error))

threads = [threading.Thread(target=ask) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*errors, usage_tracker.stats().stored > 0)
"""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False)
    assert ran.stdout == "True\n", ran.stderr[-2000:]


def test_the_same_function_is_one_object_wherever_it_is(captured: Captured) -> None:
    assert litellm.text_completion is litellm.main.text_completion
    assert litellm.agenerate_content is litellm.google_genai.agenerate_content
    assert inspect.iscoroutinefunction(litellm.atext_completion)


@pytest.mark.guarded_errors_expected
@pytest.mark.parametrize(
    "place", ["litellm.observe", "litellm.usage_of", "litellm_asked.read_request", "litellm.tells_usage"]
)
def test_an_error_of_ours_is_not_the_apps(
    captured: Captured, provider: StandIn, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(f"usage_tracker.providers.{place}", fail)
    assert chat(provider).choices
    assert list(chat(provider, stream=True))
    assert run(achat(provider)).choices
    gc.collect()


def test_what_a_call_of_litellm_left_behind_makes_calls_of_its_own(captured: Captured, provider: StandIn) -> None:
    """Such as a callback of the app's, which LiteLLM runs in the context of the call that it is about."""
    left_behind: list[contextvars.Context] = []

    class Callback(CustomLogger):  # type: ignore[misc]  # litellm has no types where mypy runs
        def log_pre_api_call(self, **_: object) -> None:
            left_behind.append(contextvars.copy_context())

    litellm.input_callback = [Callback()]
    chat(provider)
    captured.one()
    litellm.input_callback = []
    assert left_behind
    left_behind[0].run(lambda: chat(provider, metadata={"tags": ["callback"]}))
    assert captured.one_call()[0].tags == ("callback",)


def test_a_budget_refuses_a_call_before_its_request(captured: Captured, provider: StandIn) -> None:
    assert tracker.installed is not None
    where = (Condition("model", True, "gpt-4o-mini"), Condition("provider", True, "openai"))
    tracker.installed.pipeline().enforcing.use(known(budget(where=where), spent="1"))
    with pytest.raises(usage_tracker.BudgetExceeded):
        chat(provider)
    with pytest.raises(usage_tracker.BudgetExceeded):
        chat(provider, model="openai/responses/gpt-4o-mini")
    with pytest.raises(usage_tracker.BudgetExceeded):
        run(achat(provider))
    assert provider.requests == []
    assert captured.all() == []
