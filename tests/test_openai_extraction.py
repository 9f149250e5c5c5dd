"""What is read from the requests and answers of OpenAI's API, and of those who speak it in their own words."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import NOT_GIVEN
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from usage_tracker.event import Usage
from usage_tracker.providers.answer import Answer, Request, fields_of
from usage_tracker.providers.openai import (
    any_figure,
    deployment_in,
    is_usage_only,
    observe,
    operation_of,
    read_request,
    retrieval_of,
    sends_usage_when_asked,
    usage_of,
    wants_usage,
)
from usage_tracker.providers.usage_fields import DIALECTS


def answered(*pieces: object) -> Answer:
    """What a whole answer, or the pieces of a stream, have said."""
    answer = Answer()
    for piece in pieces:
        observe(answer, fields_of(piece))
    return answer


def used(operation: str, *pieces: object, body: Mapping[str, object] | None = None) -> dict[str, Any]:
    """What the event would say of usage, without what it would leave open."""
    usage = usage_of(operation, answered(*pieces), read_request(operation, body, None))
    return {name: value for name in Usage.__struct_fields__ if (value := getattr(usage, name)) not in (None, False)}


def chat(usage: object, **fields: object) -> dict[str, object]:
    return {"id": "c-1", "model": "m-1", "choices": [{"index": 0}], "usage": usage, **fields}


@pytest.mark.parametrize(
    ("url", "operation"),
    [
        ("/chat/completions", "chat"),
        ("chat/completions", "chat"),
        ("/completions", "completion"),
        ("/responses", "responses"),
        ("/responses?beta=true", "responses"),
        ("/responses/compact", "responses"),
        ("/embeddings", "embeddings"),
        ("/images/edits", "image"),
        ("/audio/speech", "speech"),
        ("/audio/transcriptions", "transcription"),
        ("/audio/translations", "translation"),
        ("/moderations", "moderation"),
        ("/videos", "video"),
        ("/videos/video_1/remix", "video"),
        ("/batches", "batch"),
        ("/decisions", "decision"),
        ("/threads/runs", "assistant"),
        ("/threads/thread_1/runs", "assistant"),
        ("https://acme.openai.azure.com/openai/deployments/d-1/chat/completions?api-version=2024-10-21", "chat"),
    ],
)
def test_what_is_billed_is_known_by_its_path(url: str, operation: str) -> None:
    assert operation_of("post", url) == operation
    assert operation_of("GET", url) is None


@pytest.mark.parametrize(
    "url",
    [
        "/chat/completions/chatcmpl-1",
        "/responses/resp_1/cancel",
        "/responses/input_tokens",
        "/batches/batch_1/cancel",
        "/vector_stores/vs_1/file_batches",
        "/evals/eval_1/runs",
        "/threads/thread_1/runs/run_1",
        "/threads/thread_1/runs/run_1/submit_tool_outputs",
        "/threads/thread_1/messages",
        "/files",
        "/models",
        "",
    ],
)
def test_updates_cancels_counts_and_storage_are_no_calls(url: str) -> None:
    assert operation_of("POST", url) is None


@pytest.mark.parametrize(
    ("method", "url", "operation"),
    [
        ("get", "/responses/resp_1", "responses"),
        ("GET", "/responses/resp_1?beta=true", "responses"),
        ("POST", "/responses/resp_1/cancel", "responses"),
        ("GET", "/batches/batch_1", "batch"),
        ("POST", "/batches/batch_1/cancel", "batch"),
        ("GET", "/threads/thread_1/runs/run_1", "assistant"),
        ("POST", "/threads/thread_1/runs/run_1", "assistant"),
        ("POST", "/threads/thread_1/runs/run_1/cancel", "assistant"),
        ("POST", "/threads/thread_1/runs/run_1/submit_tool_outputs", "assistant"),
        ("GET", "https://acme.openai.azure.com/openai/responses/resp_1?api-version=2025-04-01-preview", "responses"),
        ("GET", "/responses/resp_1/input_items", None),
        ("GET", "/responses", None),
        ("GET", "/batches", None),
        ("GET", "/threads/thread_1/runs/run_1/steps", None),
        ("GET", "/chat/completions/chatcmpl-1", None),
        ("GET", "/evals/eval_1/runs/run_1", None),
        ("DELETE", "/responses/resp_1", None),
    ],
)
def test_what_may_bring_the_usage_of_something_earlier_is_known_by_its_path(
    method: str, url: str, operation: str | None
) -> None:
    assert retrieval_of(method, url) == operation


USED = {"input_tokens": 8, "output_tokens": 2}


@pytest.mark.parametrize(
    ("piece", "awaits", "completes"),
    [
        ({"object": "response", "background": True, "status": "queued"}, "id-1", None),
        ({"object": "response", "background": True, "status": "in_progress", "usage": None}, "id-1", None),
        ({"object": "response", "background": True, "status": "completed", "usage": USED}, None, "id-1"),
        ({"object": "response", "background": True, "status": "incomplete", "usage": USED}, None, "id-1"),
        ({"object": "response", "background": True, "status": "failed", "usage": None}, None, None),
        ({"object": "response", "background": False, "status": "in_progress"}, None, None),
        ({"object": "response", "background": False, "status": "completed", "usage": USED}, None, None),
        ({"object": "batch", "status": "validating", "usage": {**USED, "input_tokens": 0}}, "id-1", None),
        ({"object": "batch", "status": "COMPLETED", "usage": USED}, None, "id-1"),
        ({"object": "batch", "status": "completed"}, None, None),
        ({"object": "thread.run", "status": "requires_action", "usage": None}, "id-1", None),
        ({"object": "thread.run", "status": "expired", "usage": {"prompt_tokens": 8}}, None, "id-1"),
        ({"object": "thread.run.step", "status": "completed", "usage": {"prompt_tokens": 8}}, None, None),
        ({"object": "batch", "status": None}, None, None),
        ({"object": "chat.completion", "status": "queued"}, None, None),
    ],
)
def test_what_is_at_work_is_awaited_and_completed_once_it_has_ended(
    piece: dict[str, object], awaits: str | None, completes: str | None
) -> None:
    answer = answered({"id": "id-1", **piece})
    assert (answer.awaits, answer.completes) == (awaits, completes)


def test_a_stream_that_ends_awaits_nothing() -> None:
    begun = {"id": "resp_1", "object": "response", "background": True, "status": "in_progress", "usage": None}
    first = {"type": "response.created", "response": begun}
    last = {"type": "response.completed", "response": {**begun, "status": "completed", "usage": USED}}
    assert answered(first).awaits == "resp_1"
    assert answered(first, last).awaits is None


def test_figures_of_what_is_at_work_are_not_the_last() -> None:
    at_work = {"id": "batch_1", "object": "batch", "status": "in_progress", "usage": USED}
    assert used("batch", at_work) == {}
    assert used("batch", {**at_work, "status": "completed"}) == USED
    assert answered(at_work).service_tier == "batch"


PACKED = (
    "batch_bGl0ZWxsbTpiYXRjaF83O21vZGVsLGZhc3Q",  # litellm:batch_7;model,fast
    "bGl0ZWxsbV9wcm94eTttb2RlbF9pZDpmYXN0O2xsbV9iYXRjaF9pZDpiYXRjaF83",  # litellm_proxy;model_id:fast;llm_batch_id:…
)


@pytest.mark.parametrize("packed", PACKED)
def test_a_batch_at_a_proxy_of_litellms_has_its_providers_own_id(packed: str) -> None:
    """So that what it used counts once, also where the proxy records it as well."""
    begun = {"id": packed, "object": "batch", "status": "validating"}
    assert (answered(begun).awaits, answered(begun).response_id) == ("batch_7", "batch_7")
    assert answered({**begun, "status": "completed", "usage": USED}).completes == "batch_7"


def test_an_address_of_azures_names_a_deployment_for_what_is_asked_of_one() -> None:
    url = "https://acme.openai.azure.com/openai/deployments/d-1/chat/completions?api-version=2024-10-21"
    assert (deployment_in("chat", url), deployment_in("responses", url)) == ("d-1", None)
    assert deployment_in("chat", "https://api.openai.com/v1/chat/completions") is None


def test_extra_body_replaces_what_the_arguments_said_as_it_does_on_the_wire() -> None:
    body = {"model": "gpt-4o", "user": "u-1", "metadata": {"team": "lost"}}
    extra = {"model": "gpt-4o-mini", "metadata": {"project": "alpha", "tags": ["job:7"]}}
    assert read_request("chat", body, extra) == Request("chat", "gpt-4o-mini", "u-1", project="alpha", tags=("job:7",))


@pytest.mark.parametrize("body", [None, [], b"raw", {"model": NOT_GIVEN, "user": NOT_GIVEN, "metadata": NOT_GIVEN}])
def test_sentinels_and_bodies_that_are_no_json_object_say_nothing(body: Any) -> None:
    assert read_request("chat", body, NOT_GIVEN) == Request("chat")  # type: ignore[arg-type]  # what a wrong SDK might hold
    assert wants_usage("chat", body, None) is False


@pytest.mark.parametrize(
    ("operation", "body", "units"),
    [
        ("speech", {"input": "Grüße"}, {"characters": 5}),
        ("speech", {"input": NOT_GIVEN}, None),
        ("video", {"seconds": "8"}, {"seconds": 8.0}),
        ("video", {}, None),
        ("image", {"n": 3}, {"images": 3}),
        ("image", {"n": NOT_GIVEN}, {"images": 1}),
        ("chat", {"n": 3, "input": "text"}, None),
    ],
)
def test_what_is_billed_by_what_was_asked(
    operation: str, body: dict[str, object], units: dict[str, float] | None
) -> None:
    assert read_request(operation, body, None).units == units


@pytest.mark.parametrize(
    ("operation", "body", "extra", "wanted"),
    [
        ("chat", {"stream": True}, None, True),
        ("completion", {"stream": True, "stream_options": NOT_GIVEN}, None, True),
        ("chat", {"stream": True, "stream_options": {"include_obfuscation": False}}, None, True),
        ("chat", {"stream": True, "stream_options": {"include_usage": True}}, None, False),
        ("chat", {"stream": True, "stream_options": {"include_usage": False}}, None, False),
        ("chat", {"stream": True}, {"stream_options": {"include_usage": True}}, False),
        ("chat", {"stream": False}, None, False),
        ("chat", {}, None, False),
        ("responses", {"stream": True}, None, False),
    ],
)
def test_usage_is_asked_for_where_it_would_be_missing_and_the_app_did_not_say(
    operation: str, body: dict[str, object], extra: dict[str, object] | None, wanted: bool
) -> None:
    assert wants_usage(operation, body, extra) is wanted


def test_usage_is_asked_of_those_who_are_known_to_send_it_when_asked() -> None:
    assert sends_usage_when_asked("api.openai.com", False)
    assert sends_usage_when_asked("gateway.corp.example", True)
    assert not sends_usage_when_asked("localhost", False)


def test_totals_include_their_parts() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10, "audio_tokens": 5, "image_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 3, "image_tokens": 2},
    }
    answer = answered(chat(usage, service_tier="flex"))
    assert used("chat", chat(usage)) == {
        "input_tokens": 100,
        "output_tokens": 50,
        "cache_read_tokens": 40,
        "cache_write_tokens": 10,
        "reasoning_tokens": 20,
        "input_audio_tokens": 5,
        "output_audio_tokens": 3,
        "input_image_tokens": 6,
        "output_image_tokens": 2,
    }
    assert (answer.model, answer.response_id, answer.service_tier) == ("m-1", "c-1", "flex")
    assert answer.raw == usage
    assert answer.error_type is None


def test_the_tier_may_stand_among_the_figures() -> None:
    """As LiteLLM's proxy says that of Claude."""
    figures = {"prompt_tokens": 9, "completion_tokens": 4, "service_tier": "priority"}
    assert answered(chat(figures)).service_tier == "priority"
    assert answered(chat(figures, service_tier="flex")).service_tier == "flex"


def test_reasoning_that_a_total_leaves_out_is_added_where_the_arithmetic_shows_it() -> None:
    outside = {"prompt_tokens": 10, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 30}}
    assert used("chat", chat({**outside, "total_tokens": 42}))["output_tokens"] == 32
    assert used("chat", chat({**outside, "total_tokens": 12}))["output_tokens"] == 2
    assert used("chat", chat(outside))["output_tokens"] == 2


def test_an_empty_completion_has_no_output_where_the_total_says_so() -> None:
    def output(operation: str, total: int) -> int | None:
        answer = answered(chat({"prompt_tokens": 11, "total_tokens": total}))
        return usage_of(operation, answer, read_request(operation, None, None)).output_tokens

    assert (output("completion", 11), output("completion", 12), output("embeddings", 11)) == (0, None, None)


def test_what_makes_an_image_is_image_tokens_where_an_answer_does_not_split_it() -> None:
    counts = {"input_tokens": 50, "output_tokens": 4160}
    event = {"type": "image_generation.completed", "b64_json": "eA==", "usage": counts}
    split = {**counts, "output_tokens_details": {"image_tokens": 4000, "text_tokens": 160}}
    made = [used("image", piece)["output_image_tokens"] for piece in (event, {"usage": counts}, {"usage": split})]
    assert made == [4160, 4160, 4000]
    assert "output_image_tokens" not in used("image", {"usage": {**split, "output_tokens_details": {"text_tokens": 1}}})
    assert "output_image_tokens" not in used("responses", {"usage": counts})


def test_hosted_tools_are_counted_beside_the_totals() -> None:
    image_gen = {"input_tokens": 20, "output_tokens": 300, "total_tokens": 320}
    response = {
        "object": "response",
        "usage": {"input_tokens": 9, "output_tokens": 4},
        "tool_usage": {"image_gen": image_gen, "web_search": {"num_requests": 2}},
        "output": [{"type": "web_search_call", "action": {"type": "search"}}],
    }
    assert used("responses", response) == {"input_tokens": 9, "output_tokens": 4, "units": {"searches": 2}}
    assert answered(response).raw == {**response["usage"], "tool_usage": response["tool_usage"]}  # type: ignore[dict-item]


def test_tools_that_were_not_used_leave_no_figures() -> None:
    unused = {"image_gen": {"input_tokens": 0}, "web_search": {"num_requests": 0}}
    assert answered({"usage": {"input_tokens": 9}, "tool_usage": unused, "output": []}).raw == {"input_tokens": 9}


def test_searches_are_counted_among_the_output_where_no_tool_usage_is_told() -> None:
    actions = [{"type": "search"}, {"type": "open_page"}, {"type": "search"}]
    output: list[object] = [{"type": "web_search_call", "action": action} for action in actions]
    output += [SimpleNamespace(type="web_search_call", action=SimpleNamespace(type="search")), {"type": "message"}]
    assert used("responses", {"usage": {"input_tokens": 9}, "output": output})["units"] == {"searches": 3}


def test_file_searches_are_counted_among_the_output() -> None:
    output = [{"type": "file_search_call"}, {"type": "message"}, {"type": "file_search_call"}]
    response = {"usage": {"input_tokens": 9}, "tool_usage": {"web_search": {"num_requests": 0}}, "output": output}
    assert used("responses", response)["units"] == {"file_searches": 2}


@pytest.mark.parametrize("more", [{}, {"tool_usage": {"image_gen": {"total_tokens": 0}}}])
def test_pictures_of_a_hosted_tool_are_counted_whether_or_not_its_usage_is_told(more: dict[str, object]) -> None:
    made = {"type": "image_generation_call", "status": "completed", "result": "AAAA"}
    output = [made, {**made, "svg_usage": {"total_tokens": 12}}, {**made, "status": "failed"}, {"type": "message"}]
    response = {"usage": {"input_tokens": 9}, "output": output, **more}
    assert used("responses", response)["units"] == {"generated_images": 2}
    assert "units" not in used("responses", {**response, "output": [{**made, "status": "failed"}]})


def test_the_size_of_a_video_which_its_price_depends_on_is_kept() -> None:
    assert answered({"object": "video", "seconds": "4", "size": "1280x720"}).raw == {"size": "1280x720"}


@pytest.mark.parametrize(
    ("operation", "body", "answer", "units"),
    [
        ("image", {"n": 4}, {"created": 1, "data": [{"url": "https://x"}, {"b64_json": "aGk="}]}, {"images": 2}),
        ("image", {}, {"created": 1, "data": [{"b64_json": "aGk="}]}, {"images": 1}),
        ("image", {"n": 4}, {"created": 1}, {"images": 4}),
        ("embeddings", {}, {"object": "list", "data": [{"embedding": [0.5]}]}, None),
        ("transcription", {}, {"text": "hi", "duration": 8.47}, {"seconds": 8.47}),
        ("transcription", {}, {"text": "hi", "duration": "8.47"}, {"seconds": 8.47}),  # some write it out
        ("transcription", {}, {"text": "hi", "duration": 8.47, "usage": {"seconds": 9}}, {"seconds": 9}),
        ("video", {}, {"object": "video", "seconds": "4"}, {"seconds": 4.0}),
        ("video", {"seconds": "8"}, {"object": "video", "seconds": "20"}, {"seconds": 8.0}),  # an extension
        ("speech", {"input": "hello"}, {}, {"characters": 5}),
        ("speech", {"input": "hello"}, {"error": {"code": "server_error"}}, None),
    ],
)
def test_what_is_no_token_is_counted_by_its_unit(
    operation: str, body: dict[str, object], answer: dict[str, object], units: dict[str, float] | None
) -> None:
    assert used(operation, answer, body=body).get("units") == units


def chunk(**fields: object) -> dict[str, object]:
    return {"id": "c-1", "model": "m-1", "choices": [{"delta": {"content": "a"}}], "usage": None, **fields}


def test_the_usage_of_a_stream_comes_in_a_chunk_without_choices() -> None:
    last = chunk(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 2})
    assert used("chat", chunk(), chunk(), last) == {"input_tokens": 5, "output_tokens": 2}
    assert is_usage_only(last)
    assert not is_usage_only(chunk())
    assert not is_usage_only(chunk(usage={"prompt_tokens": 5}))
    assert not is_usage_only(chunk(choices=[], prompt_filter_results=[]))


def test_azures_first_chunk_names_nothing_and_the_next_does() -> None:
    answer = answered(chunk(id="", model="", choices=[]), chunk())
    assert (answer.model, answer.response_id) == ("m-1", "c-1")


def test_usage_that_grows_from_chunk_to_chunk_is_not_added_up() -> None:
    grows = [chunk(usage={"prompt_tokens": 5, "completion_tokens": count}) for count in (1, 2, 3)]
    assert used("chat", *grows) == {"input_tokens": 5, "output_tokens": 3}


def test_a_null_never_replaces_a_figure() -> None:
    known = {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    later = {"prompt_tokens": None, "completion_tokens": 2, "prompt_tokens_details": None}
    assert used("chat", chunk(usage=known), chunk(usage=later), chunk()) == {
        "input_tokens": 5,
        "cache_read_tokens": 4,
        "output_tokens": 2,
    }


def test_the_id_of_the_answer_is_the_first_one() -> None:
    assert answered(chunk(), chunk(id="gen-2", choices=[], usage={"prompt_tokens": 5})).response_id == "c-1"


def test_groq_puts_a_streams_usage_elsewhere() -> None:
    last = chunk(x_groq={"id": "req_1", "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
    assert used("chat", chunk(x_groq={"id": "req_1"}), chunk(), last) == {"input_tokens": 5, "output_tokens": 2}
    assert answered(chunk(x_groq={"id": "req_1"}), last).response_id == "c-1"


def test_groqs_systems_tell_which_of_their_models_used_what() -> None:
    breakdown = {"models": [{"model": "m-2", "usage": {"prompt_tokens": 5}}]}
    whole = chat({"prompt_tokens": 5}, usage_breakdown=breakdown)
    last = chunk(x_groq={"usage": {"prompt_tokens": 5}, "usage_breakdown": breakdown})
    assert answered(whole).raw == answered(chunk(), last).raw == {"prompt_tokens": 5, "usage_breakdown": breakdown}


def test_what_was_read_stays_when_the_app_changes_its_chunk() -> None:
    piece = chunk(usage={"prompt_tokens": 5})
    answer = answered(piece)
    piece["usage"].clear()  # type: ignore[attr-defined]  # it is a dict
    assert answer.raw == {"prompt_tokens": 5}


def event(kind: str, **fields: object) -> dict[str, object]:
    return {"type": kind, "sequence_number": 1, **fields}


def test_the_responses_api_tells_usage_with_its_last_event() -> None:
    response = {"id": "resp_1", "model": "m-1", "service_tier": "auto", "usage": None, "error": None}
    done = {**response, "service_tier": "default", "usage": {"input_tokens": 7, "output_tokens": 3}}
    pieces = [
        event("response.created", response=response),
        event("response.output_text.delta", delta="a"),
        event("response.completed", response=done),
    ]
    assert used("responses", *pieces) == {"input_tokens": 7, "output_tokens": 3}
    answer = answered(*pieces)
    assert (answer.model, answer.response_id, answer.service_tier) == ("m-1", "resp_1", "default")
    assert answer.error_type is None


@pytest.mark.parametrize(
    ("piece", "error"),
    [
        (event("response.failed", response={"error": {"code": "server_error", "message": "…"}}), "server_error"),
        (event("error", code="rate_limit_exceeded", message="…"), "rate_limit_exceeded"),
        (event("error", code=None, message="…"), "error"),
        ({"error": {"message": "…", "type": "invalid_request_error", "code": "tool_use_failed"}}, "tool_use_failed"),
        ({"error": {"message": "…", "type": "server_error", "code": None}}, "server_error"),
        (chunk(error={"code": 502, "message": "…"}), "502"),
        ({"error": "out of memory"}, "error"),
        (chunk(x_groq={"error": "over capacity"}), "error"),
        (chunk(error=None), None),
        ({"event": "error", "data": {"code": "server_error", "message": "…"}}, "server_error"),
        ({"event": "error", "data": {"error": {"code": "rate_limit_exceeded"}}}, "rate_limit_exceeded"),
        (
            {"event": "thread.run.failed", "data": {"object": "thread.run", "last_error": {"code": "invalid_prompt"}}},
            "invalid_prompt",
        ),
    ],
)
def test_an_answer_that_failed_says_why_in_one_word(piece: dict[str, object], error: str | None) -> None:
    assert answered(chunk(), piece).error_type == error


def run_events() -> list[tuple[str, dict[str, object]]]:
    usage = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
    run = {"object": "thread.run", "id": "run_1", "model": "m-1"}
    return [
        ("thread.created", {"object": "thread", "id": "thread_1"}),
        ("thread.run.created", {**run, "usage": None}),
        ("thread.message.delta", {"object": "thread.message.delta", "id": "msg_1", "delta": {}}),
        ("thread.run.completed", {**run, "usage": usage}),
        ("thread.run.step.completed", {"object": "thread.run.step", "id": "step_1", "usage": {"prompt_tokens": 10}}),
    ]


@pytest.mark.parametrize("by_line", [False, True], ids=["as the SDK's events", "as lines read by the app"])
def test_a_runs_usage_is_that_of_the_run_and_not_of_its_steps(by_line: bool) -> None:
    pieces = [data if by_line else {"event": name, "data": data} for name, data in run_events()]
    assert used("assistant", *pieces) == {"input_tokens": 30, "output_tokens": 12}
    assert (answered(*pieces).model, answered(*pieces).response_id) == ("m-1", "run_1")


def test_a_transcription_tells_its_usage_when_its_text_is_done() -> None:
    done = event("transcript.text.done", text="hi", usage={"type": "tokens", "input_tokens": 14, "output_tokens": 2})
    assert used("transcription", event("transcript.text.delta", delta="h"), done) == {
        "input_tokens": 14,
        "output_tokens": 2,
    }


def test_finished_images_are_counted_and_partial_ones_are_not() -> None:
    done = event("image_generation.completed", b64_json="aGk=", usage={"input_tokens": 5, "output_tokens": 272})
    pieces = [event("image_generation.partial_image", b64_json="aA=="), done, done]
    assert used("image", *pieces, body={"n": 5}) == {
        "input_tokens": 5,
        "output_tokens": 272,
        "output_image_tokens": 272,
        "units": {"images": 2},
    }


@pytest.mark.parametrize("kind", [ChatCompletion, ChatCompletionChunk])
def test_sdk_objects_say_what_their_json_says(kind: Any) -> None:
    answer = chat(
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4, "unheard_of_tokens": 1},
            "cost": 0.25,
            "cost_details": {"upstream": 0.2},
        },
        x_groq={"id": "req_1", "usage": {"prompt_tokens": 10}},
        service_tier="default",
    )
    plain, parsed = answered(answer), answered(kind.construct(**answer))
    assert parsed.raw == plain.raw == answer["usage"]
    assert parsed.reported_cost == plain.reported_cost == "0.25"
    assert (parsed.model, parsed.response_id, parsed.service_tier) == ("m-1", "c-1", "default")


def test_a_response_object_says_what_its_json_says() -> None:
    answer = {
        "object": "response",
        "id": "resp_1",
        "model": "m-1",
        "usage": {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 3},
        "output": [{"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}],
    }
    parsed = answered(Response.construct(**answer))  # type: ignore[arg-type]  # construct() takes what a server sent
    assert parsed.raw == answer["usage"]
    assert parsed.units == {"searches": 1}


def test_what_is_no_answer_says_nothing() -> None:
    for nothing in (None, "text", b"audio", [], object()):
        assert used("transcription", nothing) == {}


NAMES = st.sampled_from(
    "usage x_groq response event data object type error last_error model id service_tier choices output "
    "tool_usage duration text delta seconds action code cost total_cost cost_in_usd_ticks prompt_tokens "
    "completion_tokens total_tokens prompt_tokens_details completion_tokens_details input_tokens "
    "output_tokens input_tokens_details cached_tokens reasoning_tokens web_search num_requests metadata "
    "tags user session_id stream stream_options input n status background".split()
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=4) | st.builds(object)
    | st.sampled_from(["error", "image_generation.completed", "thread.run", "thread.run.step", "response", "batch",
                      "search", "queued", "completed"])
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=6)
        | st.dictionaries(NAMES, inner, max_size=6).map(lambda fields: SimpleNamespace(**fields))
    ),
    max_leaves=25,
)
PIECES = st.lists(st.dictionaries(NAMES, JSON, max_size=8), max_size=4)


@given(PIECES, st.dictionaries(NAMES, JSON, max_size=8), st.sampled_from([*DIALECTS, "unheard of"]))
def test_nothing_that_is_sent_or_asked_can_break_the_reading(
    pieces: list[dict[str, object]], body: dict[str, object], operation: str
) -> None:
    answer = answered(*pieces)
    asked = read_request(operation, body, body)
    usage = usage_of(operation, answer, asked)
    wants_usage(operation, body, None)
    for piece in pieces:
        is_usage_only(piece)
    for name in Usage.__struct_fields__:
        count = getattr(usage, name)
        assert name in ("units", "estimated") or count is None or (type(count) is int and 0 <= count <= 10**13)
    assert all(0 < number <= 10**12 for number in (usage.units or {}).values())
    kept = [usage, answer.raw, answer.model, answer.response_id, answer.error_type, answer.reported_cost, asked]
    msgspec.msgpack.encode(kept)


@pytest.mark.parametrize(
    ("usage", "some"),
    [
        ({"a": 1}, True),
        ({"a": {"b": [0, 1]}}, True),
        ({"type": "duration", "seconds": 9.5}, True),
        ({"a": 0, "b": [], "c": {"d": 0.0}, "e": "7"}, False),
        ({}, False),
    ],
)
def test_a_usage_object_says_something_if_any_number_in_it_is_not_zero(usage: dict[str, object], some: bool) -> None:
    assert any_figure(usage) is some
