"""What is read from what LiteLLM's functions are asked and hand back; LiteLLM itself isn't needed for it."""

from base64 import b64encode
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_tracker.event import Usage
from usage_tracker.providers.answer import Answer, Request, fields_of
from usage_tracker.providers.litellm import (
    answering_model,
    bare_model,
    has_ended,
    observe,
    observe_chunks,
    observe_hidden,
    provider_named,
    status_of,
    tells_usage,
    usage_of,
    without_placeholders,
)
from usage_tracker.providers.litellm_asked import delegates, operation_of, read_request, retrieval_of


def answered(*pieces: object, provider: str | None = None) -> Answer:
    """What a whole answer, or the pieces of a stream, have said."""
    answer = Answer()
    answer.provider = provider
    for piece in pieces:
        observe(answer, fields_of(piece))
    return answer


def used(operation: str, answer: Answer, asked: Mapping[str, object] | None = None) -> dict[str, Any]:
    """What the event would say of usage, without what it would leave open."""
    usage = usage_of(operation, answer, read_request(operation, asked or {}))
    return {name: value for name in Usage.__struct_fields__ if (value := getattr(usage, name)) not in (None, False)}


def chat(usage: object, **fields: object) -> dict[str, object]:
    return {"id": "chatcmpl-1", "model": "m-1", "object": "chat.completion", "choices": [{}], "usage": usage, **fields}


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        ("completion", "chat"),
        ("acompletion", "chat"),
        ("atext_completion", "completion"),
        ("aembedding", "embeddings"),
        ("anthropic_messages", "chat"),
        ("agenerate_content_stream", "chat"),
        ("aresponses", "responses"),
        ("acompact_responses", "responses"),
        ("aimage_edit", "image"),
        ("atranscription", "transcription"),
        ("aspeech", "speech"),
        ("amoderation", "moderation"),
        ("arerank", "rerank"),
        ("aocr", "ocr"),
        ("acreate_batch", "batch"),
        ("avideo_generation", "video"),
        ("acreate", "interaction"),
        ("asystemone", "decision"),
        ("aextraction", "extraction"),
        ("acount_tokens", None),
        ("acreate_file", None),
    ],
)
def test_what_is_billed_is_known_by_the_functions_name(function: str, operation: str | None) -> None:
    assert operation_of(function) == operation


def test_what_only_asks_about_earlier_calls_is_known_too() -> None:
    names = ("aget_responses", "cancel_responses", "retrieve_batch", "get", "acancel", "completion")
    assert [retrieval_of(name) for name in names] == [
        "responses", "responses", "batch", "interaction", "interaction", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tools", "does"),
    [
        (None, False),
        ([{"type": "function"}], False),
        ([{"type": "mcp", "server_url": "https://mcp.example.com"}], False),
        ([{"type": "function"}, {"type": "mcp", "server_url": "litellm_proxy/mcp/github"}], True),
        ("mcp", False),
    ],
)
def test_a_call_whose_tools_litellm_runs_itself_is_several_calls(tools: object, *, does: bool) -> None:
    assert delegates({"model": "m", "tools": tools}) is does
    assert delegates({"model": "m", "tools": tools, "_skip_mcp_handler": True}) is False


def test_tags_users_and_sessions_are_read_where_litellms_users_put_them() -> None:
    asked = {
        "model": "openai/gpt-4o",
        "user": "u-1",
        "metadata": {"tags": ["job:7"], "session_id": "s-1", "purpose": "test"},
        "litellm_metadata": {"tags": ["other"], "team": "core"},
    }
    assert read_request("chat", asked) == Request(
        "chat", "openai/gpt-4o", "u-1", "s-1", team="core", tags=("job:7", "purpose:test")
    )


def test_what_the_router_writes_into_metadata_for_itself_is_no_tag() -> None:
    routed = {
        "tags": ["job:7"],
        "mine": "kept",
        "model_group": "fast",
        "deployment": "openai/gpt-4o",
        "model_info": {"id": "1"},
        "api_base": "https://api.openai.com",
        "attempted_retries": 1,
        "request_retry_count": 1,
        "_routing_request_tags": ("job:7",),
    }
    assert read_request("chat", {"metadata": routed}).tags == ("job:7", "mine:kept")


def test_the_proxy_says_who_pays_by_the_key_that_came_with_a_call() -> None:
    proxied = {
        "user_api_key_hash": "88dc",
        "user_api_key_end_user_id": "customer-1",
        "user_api_key_user_id": "developer-1",
        "user_api_key_team_id": "t-1",
        "user_api_key_team_alias": "search",
        "user_api_key_project_id": "p-1",
        "user_api_key_spend": 1.5,
        "user_api_end_user_max_budget": 10,
        "tags": ["tier:pro"],
    }
    asked = read_request("chat", {"litellm_metadata": proxied})
    assert asked == Request("chat", None, "customer-1", None, "p-1", "search", ("tier:pro",))


def test_what_is_packed_into_anthropics_user_is_unpacked() -> None:
    asked = read_request("chat", {"metadata": {"user_id": "user_ab12_account__session_s-1"}})
    assert (asked.user, asked.session) == ("user_ab12", "s-1")


def test_extra_body_goes_before_the_arguments() -> None:
    asked = {"user": "u-1", "extra_body": {"user": "u-2", "metadata": {"tags": ["a"]}}}
    assert read_request("chat", asked).user == "u-2"


@pytest.mark.parametrize(
    ("name", "model", "host", "provider"),
    [
        ("openai", "gpt-4o", None, "openai"),
        ("openai", "gpt-4o", "api.openai.com", "openai"),
        ("openai", "llama-3", "127.0.0.1", None),
        ("openai", "llama-3", "api.groq.com", "groq"),
        ("text-completion-openai", "gpt-3.5-turbo-instruct", None, "openai"),
        ("litellm_proxy", "claude-sonnet-4-5", None, None),
        ("vertex_ai", "gemini-2.5-flash", None, "vertex"),
        ("together_ai", "meta-llama/Llama-3", None, "together"),
        ("azure_ai", "mistral-large", None, "azure"),
        ("bedrock", "anthropic.claude-sonnet-4", None, "bedrock"),
        ("hosted_vllm", "llama-3", "10.0.0.1", "hosted_vllm"),
        (None, "xai/grok-4", None, "xai"),
        (None, "fireworks_ai/accounts/x", None, "fireworks"),
        (None, "meta-llama/Llama-3", None, None),
        (None, "gpt-4o", None, None),
        (None, None, None, None),
    ],
)
def test_providers_have_our_names(name: str | None, model: str | None, host: str | None, provider: str | None) -> None:
    assert provider_named(name, model, host) == provider


@pytest.mark.parametrize(
    ("model", "provider", "bare"),
    [
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("gpt-4o", "openai", "gpt-4o"),
        ("openrouter/minimax/minimax-m2", "openrouter", "minimax/minimax-m2"),
        ("groq/openai/gpt-oss-20b", "groq", "openai/gpt-oss-20b"),
        ("openai/gpt-oss-20b", "groq", "openai/gpt-oss-20b"),
        ("meta-llama/Llama-3", "together_ai", "meta-llama/Llama-3"),
        ("vertex_ai/gemini-2.5-flash", "vertex_ai_beta", "gemini-2.5-flash"),
        ("openai/gpt-3.5-turbo-instruct", "text-completion-openai", "gpt-3.5-turbo-instruct"),
        ("anthropic/claude-sonnet-4-5", None, "claude-sonnet-4-5"),
        ("meta-llama/Llama-3", None, "meta-llama/Llama-3"),
        ("openai/responses/gpt-5-mini", "openai", "gpt-5-mini"),
        ("responses/gpt-5-mini", "azure", "gpt-5-mini"),
        ("bedrock/converse/anthropic.claude-sonnet-4", "bedrock_converse", "anthropic.claude-sonnet-4"),
        ("bedrock/invoke/anthropic.claude-sonnet-4", "bedrock", "anthropic.claude-sonnet-4"),
        ("hosted_vllm/responses/", "hosted_vllm", "responses/"),
        ("azure/", "azure", "azure/"),
        (None, "openai", None),
    ],
)
def test_models_go_by_the_name_that_their_provider_has_for_them(
    model: str | None, provider: str | None, bare: str | None
) -> None:
    assert bare_model(model, provider) == bare


@pytest.mark.parametrize(
    ("model", "provider", "asked", "named"),
    [
        ("perplexity/sonar", "perplexity", "sonar", "sonar"),
        ("nvidia_nim/openai/gpt-oss-20b", "nvidia_nim", "openai/gpt-oss-20b", "openai/gpt-oss-20b"),
        ("litellm_proxy/openai/gpt-4o", "litellm_proxy", "fast", "openai/gpt-4o"),
        ("openai/gpt-oss-20b", "openai", "ours", "openai/gpt-oss-20b"),
        ("openai/gpt-oss-20b", "openai", "gpt-oss-20b", "openai/gpt-oss-20b"),  # as LM Studio answers
        ("openrouter/auto", "openrouter", "openrouter/auto", "openrouter/auto"),
        ("perplexity/", "perplexity", None, "perplexity/"),
        ("gpt-4o", None, "gpt-4o", "gpt-4o"),
        ("openai/gpt-oss-20b", None, "hosted_vllm/openai/gpt-oss-20b", "openai/gpt-oss-20b"),
        (None, "perplexity", "sonar", None),
    ],
)
def test_an_answers_model_goes_by_that_name_too(
    model: str | None, provider: str | None, asked: str | None, named: str | None
) -> None:
    assert answering_model(model, provider, asked) == named


def test_a_chat_answer_is_in_openais_words_whoever_served() -> None:
    answer = answered(
        chat(
            {
                "prompt_tokens": 41,
                "completion_tokens": 15,
                "total_tokens": 56,
                "prompt_tokens_details": {
                    "cached_tokens": 7,
                    "cache_creation_tokens": 9,
                    "cache_creation_token_details": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5},
                },
            },
            service_tier="default",
        )
    )
    assert (answer.model, answer.response_id, answer.service_tier) == ("m-1", "chatcmpl-1", "default")
    assert used("chat", answer) == {
        "input_tokens": 41,
        "output_tokens": 15,
        "cache_read_tokens": 7,
        "cache_write_tokens": 9,
        "cache_write_1h_tokens": 5,
    }


def test_nothing_but_zeros_is_what_litellm_writes_where_nobody_told_it() -> None:
    answer = answered(chat({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}))
    assert answer.raw is None
    assert used("chat", answer) == {}


def test_anthropics_messages_are_read_in_its_own_words() -> None:
    usage = {"input_tokens": 25, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 9, "output_tokens": 15}
    answer = answered({"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "usage": usage})
    assert (answer.model, answer.response_id) == ("claude-sonnet-4-5", "msg_1")
    assert used("chat", answer)["input_tokens"] == 41


def test_a_stream_of_anthropics_events_is_too() -> None:
    answer = answered(
        {"type": "message_start", "message": {"id": "msg_1", "model": "claude-sonnet-4-5",
                                              "usage": {"input_tokens": 25, "output_tokens": 1}}},
        {"type": "content_block_delta", "delta": {"text": "Hello"}},
        {"type": "message_delta", "usage": {"output_tokens": 15}},
    )  # fmt: skip
    assert used("chat", answer) == {"input_tokens": 25, "output_tokens": 15}
    observe(answer, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert answer.error_type == "overloaded_error"


def test_geminis_answers_are_read_in_its_own_words() -> None:
    usage = {
        "promptTokenCount": 12,
        "toolUsePromptTokenCount": 3,
        "candidatesTokenCount": 6,
        "thoughtsTokenCount": 4,
        "totalTokenCount": 25,
    }
    answer = answered(
        {"responseId": "g-1", "modelVersion": "gemini-2.5-flash", "candidates": [{}], "usageMetadata": usage}
    )
    assert (answer.model, answer.response_id) == ("gemini-2.5-flash", "g-1")
    assert used("chat", answer) == {
        "input_tokens": 15,
        "output_tokens": 10,
        "reasoning_tokens": 4,
        "tool_tokens": 3,
    }


def test_what_geminis_tools_added_to_the_prompt_is_what_the_total_leaves_over() -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 10, "total_tokens": 25}
    assert used("chat", answered(chat(usage), provider="gemini")) == {
        "input_tokens": 15,
        "output_tokens": 10,
        "tool_tokens": 3,
    }
    assert used("chat", answered(chat(usage), provider="groq"))["input_tokens"] == 12
    for missing in ("prompt_tokens", "completion_tokens"):
        half = {name: count for name, count in usage.items() if name != missing}
        assert "tool_tokens" not in used("chat", answered(chat(half), provider="gemini"))


def test_what_geminis_tools_added_is_told_by_newer_versions_whether_or_not_the_prompt_has_it() -> None:
    details = {"tool_use_tokens": 3}
    for prompt in (15, 12):
        usage = {"prompt_tokens": prompt, "completion_tokens": 10, "total_tokens": 25, "prompt_tokens_details": details}
        assert used("chat", answered(chat(usage), provider="vertex")) == {
            "input_tokens": 15,
            "output_tokens": 10,
            "tool_tokens": 3,
        }


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        ({"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 2}, (12, 7, 2)),
        (
            {
                "input_tokens": 12,
                "input_tokens_details": {"cached_tokens": 7},
                "output_tokens": 2,
                "total_tokens": 14,
            },
            (12, 7, 2),
        ),
        ({"promptTokenCount": 12, "cachedContentTokenCount": 7, "candidatesTokenCount": 2}, (12, 7, 2)),
        ({"prompt_tokens": 12, "cache_read_input_tokens": 7, "completion_tokens": 2}, (12, 7, 2)),
    ],
)
def test_a_response_is_counted_by_the_words_that_its_figures_are_in(
    told: dict[str, Any], counts: tuple[int, ...]
) -> None:
    answer = Answer()
    answer.raw = told
    usage = used("responses", answer)
    assert (usage["input_tokens"], usage["cache_read_tokens"], usage["output_tokens"]) == counts


def test_an_interaction_is_read_in_its_own_words() -> None:
    usage = {"total_input_tokens": 100, "total_output_tokens": 30, "total_tokens": 130}
    done = answered(
        {"object": "interaction", "id": "i-1", "model": "gemini-2.5-flash", "status": "completed", "usage": usage}
    )
    assert (done.response_id, done.model) == ("i-1", "gemini-2.5-flash")
    assert used("interaction", done) == {"input_tokens": 100, "output_tokens": 30}
    assert answered({"object": "interaction", "id": "i-1", "status": "in_progress"}).awaits == "i-1"


def test_what_was_asked_for_is_counted_where_that_is_billed() -> None:
    assert read_request("speech", {"input": "Hello"}) == Request("speech", units={"characters": 5})
    assert read_request("image", {"n": 2}).units == {"images": 2}
    assert read_request("video", {"seconds": "4"}, retrieves=True) == Request(
        "video", units={"seconds": 4}, retrieves=True
    )


def test_ranking_is_counted_in_searches_and_reading_in_pages() -> None:
    ranked = answered(
        {"id": "r-1", "results": [], "meta": {"billed_units": {"search_units": 2}, "tokens": {"input_tokens": 40}}}
    )
    assert used("rerank", ranked) == {"input_tokens": 40, "units": {"searches": 2}}
    assert (ranked.response_id, ranked.model) == ("r-1", None)
    read = answered({"pages": [{}], "model": "mistral-ocr-2505", "usage_info": {"pages_processed": 3}})
    assert (read.model, used("ocr", read)) == ("mistral-ocr-2505", {"units": {"pages": 3}})


def packed(text: str) -> str:
    return "resp_" + b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("given", "own"),
    [
        (packed("litellm:custom_llm_provider:openai;model_id:None;response_id:resp_1"), "resp_1"),
        (packed("litellm:custom_llm_provider:openai;model_id:7;response_id:resp_2;more:x"), "resp_2"),
        (packed("litellm:nothing"), packed("litellm:nothing")),
        ("resp_68b0", "resp_68b0"),
        ("resp_bGl0ZWxsbT\u00e9", "resp_bGl0ZWxsbT\u00e9"),
    ],
)
def test_a_response_has_its_providers_own_id(given: str, own: str) -> None:
    answer = answered({"id": given, "object": "response", "status": "queued", "background": True})
    assert (answer.response_id, answer.awaits) == (own, own)


def test_embeddings_have_no_output_which_litellm_tells_as_0() -> None:
    told = answered({"data": [], "usage": {"prompt_tokens": 6, "completion_tokens": 0, "total_tokens": 6}})
    usage = usage_of("embeddings", told, read_request("embeddings", {}))
    assert (usage.input_tokens, usage.output_tokens) == (6, None)


def test_a_cost_is_taken_where_litellm_knows_one() -> None:
    answer = Answer()
    hidden = SimpleNamespace(response_cost=7.5e-05, custom_llm_provider="azure")
    assert (observe_hidden(answer, hidden), answer.reported_cost) == ("azure", "0.000075")
    for unknown in (0.0, None, "x", float("nan"), -1.0):
        assert observe_hidden(answer, {"response_cost": unknown}) is None
        assert answer.reported_cost == "0.000075"
    assert observe_hidden(answer, {"custom_llm_provider": "cached_response"}) is None


def test_the_tier_is_read_where_litellm_has_it_of_claude_and_gemini() -> None:
    claude = answered(chat({"prompt_tokens": 9, "completion_tokens": 4, "service_tier": "priority"}))
    assert claude.service_tier == "priority"
    streamed = Answer()
    observe_chunks(streamed, [chunk("hi"), chunk(finish="stop", usage={"prompt_tokens": 9, "service_tier": "batch"})])
    assert streamed.service_tier == "batch"
    gemini = answered(chat({"prompt_tokens": 9, "completion_tokens": 4}))
    observe_hidden(gemini, {"provider_specific_fields": {"traffic_type": "ON_DEMAND_FLEX"}})
    assert gemini.service_tier == "flex"


def chunk(text: str | None = None, *, finish: str | None = None, **fields: object) -> SimpleNamespace:
    choices = [SimpleNamespace(delta=SimpleNamespace(content=text), finish_reason=finish)]
    return SimpleNamespace(id="chatcmpl-1", model="m-1", **{"choices": choices, "usage": None, **fields})


def test_the_usage_of_a_stream_is_that_of_its_providers_chunks() -> None:
    answer = Answer()
    told = observe_chunks(
        answer,
        [
            chunk(
                "", usage={"prompt_tokens": 41, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 7}}
            ),
            chunk("Hello"),
            chunk(finish="stop", service_tier="default"),
            chunk(usage={"prompt_tokens": 0, "completion_tokens": 15, "prompt_tokens_details": {"cached_tokens": 0}}),
        ],
    )
    assert told
    assert (answer.model, answer.response_id, answer.service_tier) == ("m-1", "chatcmpl-1", "default")
    assert used("chat", answer) == {"input_tokens": 41, "output_tokens": 15, "cache_read_tokens": 7}


def test_a_stream_without_usage_tells_who_and_not_how_much() -> None:
    answer = Answer()
    assert observe_chunks(answer, [chunk("Hello"), chunk(usage={"prompt_tokens": 0, "completion_tokens": 0})]) is False
    assert (answer.model, answer.raw) == ("m-1", None)


@pytest.mark.parametrize(
    ("last", "ended"),
    [
        (chunk("Hello"), False),
        (chunk(finish="stop"), True),
        (chunk(choices=[]), True),
        (None, False),
        ({"type": "response.completed"}, False),
    ],
)
def test_a_chat_stream_has_ended_with_its_finish_reason(last: object, *, ended: bool) -> None:
    assert has_ended(last) is ended


def test_what_claude_says_of_the_output_at_first_is_dropped() -> None:
    answer = Answer()
    answer.model, answer.raw = "claude-sonnet-4-5", {"prompt_tokens": 41, "completion_tokens": 1, "total_tokens": 42}
    assert without_placeholders(answer) == {"prompt_tokens": 41}
    answer.model = "gemini-2.5-flash"
    assert without_placeholders(answer) == answer.raw


@pytest.mark.parametrize(
    ("answer", "tells"),
    [
        ('{"usage": {"prompt_tokens": 1}}', True),
        ('{"usageMetadata":{"promptTokenCount":1}}', True),
        ('{"prompt_eval_count":3}', True),
        ('{"meta":{"billed_units":{"search_units":1}}}', True),
        ('{"inputTextTokenCount":3}', True),
        ('{"text": "mind the \\"usage\\": of \\"tokens\\""}', False),
        ('{"response": "hello", "done": true}', False),
        ({"choices": [], "usage": {"prompt_tokens": 1}}, True),
        ({"choices": [], "usage": None}, False),
        ({"choices": []}, False),
        ({"text": "", "usage": {"seconds": 3}}, True),
        ({"embeddings": {"float": [[0.5]]}, "meta": {"billed_units": {"input_tokens": 7}}}, True),
        ({"embeddings": {"float": [[0.5]]}, "meta": {}}, False),
        (SimpleNamespace(usage=None), True),
        ("", True),
        (None, True),
        ("x" * (1 << 22) + '"usage": {}', True),
    ],
)
def test_whether_a_provider_told_its_usage_is_seen_in_its_own_answer(answer: object, *, tells: bool) -> None:
    assert tells_usage(answer, "openai") is tells


def test_some_providers_count_elsewhere_and_of_some_litellm_never_asks() -> None:
    assert tells_usage('{"outputs": []}', "bedrock") is True
    assert tells_usage('{"metrics": {"input_token_count": 3}}', "replicate") is False


def test_counts_of_litellms_own_are_estimates() -> None:
    answer = answered(chat({"prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12}))
    answer.estimated = True
    assert used("chat", answer)["estimated"] is True
    nothing = answered(chat(None))
    nothing.estimated = True
    assert used("chat", nothing) == {}


@pytest.mark.parametrize(("before", "behind", "tells"), [(16, 17, True), (0, 99, True), (99, 0, True), (50, 50, False)])
def test_a_long_answer_is_searched_for_counts_at_both_ends(
    before: int, behind: int, tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage_tracker.providers.litellm.MOST_TEXT", 20)
    assert tells_usage(" " * before + '"usage"' + " " * behind, "openai") is tells


class HTTPStatusError(Exception):
    """By the name of httpx's."""

    def __init__(self, code: int) -> None:
        self.response = SimpleNamespace(status_code=code)


class APIStatusError(Exception):
    """By the name of the openai SDK's."""

    def __init__(self, code: object) -> None:
        self.response = SimpleNamespace(status_code=code)


class LiteLLMsOwn(APIStatusError):
    """Derived from that by LiteLLM."""

    __module__ = "litellm.exceptions"
    status_code = 500


class TransportError(Exception):
    """By the name of httpx's, where nobody answered."""


class InternalServerError(Exception):
    """By the name of LiteLLM's, whose statuses may be its own."""

    __module__ = "litellm.exceptions"
    status_code = 500


def test_an_errors_status_is_the_providers_own() -> None:
    assert status_of([InternalServerError(), HTTPStatusError(529)], sent=True) == 529
    assert status_of([InternalServerError(), TransportError()], sent=True) is None
    assert status_of([InternalServerError()], sent=True) == 500
    assert status_of([InternalServerError()], sent=False) is None
    assert status_of([InternalServerError(), APIStatusError(418)], sent=True) == 418
    assert status_of([LiteLLMsOwn(418)], sent=True) == 500, "what it is derived from is not what it came of"
    assert [status_of([HTTPStatusError(code)], sent=True) for code in (100, 599, 99, 600)] == [100, 599, None, None]


words = st.text(max_size=8) | st.sampled_from(["message", "message_start", "error", "response", "interaction", "batch"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(words, inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "usage usageMetadata meta usage_info choices model id type object response error status data output "
                "prompt_tokens completion_tokens total_tokens input_tokens output_tokens prompt_tokens_details "
                "billed_units tokens search_units pages_processed response_cost custom_llm_provider message delta "
                "finish_reason candidates totalTokenCount promptTokenCount".split()
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)
objects = st.dictionaries(
    st.sampled_from("usage usageMetadata meta usage_info choices model id type object response error status".split()),
    values,
    max_size=6,
)


@given(
    st.lists(objects, max_size=3), objects, st.sampled_from(["chat", "responses", "rerank", "ocr", "image", "batch"])
)
def test_whatever_is_handed_back_is_read_without_an_error(
    pieces: list[dict[str, object]], asked: dict[str, object], operation: str
) -> None:
    answer = Answer()
    for piece in pieces:
        observe(answer, piece)
        observe_hidden(answer, piece)
    observe_chunks(Answer(), [*(SimpleNamespace(**piece) for piece in pieces), *pieces])
    answer.raw = without_placeholders(answer)
    usage = usage_of(operation, answer, read_request(operation, asked))
    msgspec.msgpack.encode((usage, answer.raw, answer.model, answer.response_id, answer.reported_cost))
    assert all(has_ended(piece) in (True, False) for piece in pieces)


@given(values)
def test_whatever_a_provider_answered_is_looked_at_without_an_error(answer: object) -> None:
    assert tells_usage(answer, "openai") in (True, False)


@given(st.dictionaries(st.sampled_from("metadata litellm_metadata user tags extra_body model tools".split()), values))
def test_whatever_is_asked_is_read_without_an_error(asked: dict[str, object]) -> None:
    request = read_request("chat", asked)
    assert isinstance(delegates(asked), bool)
    assert all(isinstance(tag, str) for tag in request.tags)
