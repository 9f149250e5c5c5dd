"""What is read from the requests and answers of Gemini's APIs, in all their spellings."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_tracker.capture.bodies import skim
from usage_tracker.event import Usage
from usage_tracker.providers.answer import Answer, Request
from usage_tracker.providers.gemini_bodies import (
    BatchItems,
    Body,
    Candidate,
    Grounding,
    Interaction,
    Metadata,
    Prediction,
)
from usage_tracker.providers.gemini_fields import read_usage, tier_of
from usage_tracker.providers.google_batches import batch_file, batch_parts, file_of
from usage_tracker.providers.google_genai import (
    model_of,
    observe,
    operation_of,
    read_request,
    retrieval_of,
    usage_of,
)

Json = dict[str, Any]


def answered(*pieces: Mapping[str, object]) -> Answer:
    """What a whole answer, or the pieces of a stream, have said."""
    answer = Answer()
    for piece in pieces:
        observe(answer, piece)
    return answer


def counts(usage: Usage) -> dict[str, Any]:
    """What is known of it."""
    known = ((name, getattr(usage, name)) for name in Usage.__struct_fields__)
    return {name: value for name, value in known if value is not None and value is not False}


def used(*pieces: Mapping[str, object], operation: str = "chat", body: Json | None = None) -> dict[str, Any]:
    """What the event would say of usage, without what it would leave open."""
    return counts(usage_of(operation, answered(*pieces), read_request(operation, body, None)))


def piece(end: str | None = None, **usage: object) -> Json:
    """A chunk of a stream, or a whole answer."""
    candidate: Json = {"index": 0} if end is None else {"index": 0, "finishReason": end}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m-1", "responseId": "r-1"}


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("models/gemini-2.5-flash:generateContent", "chat"),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", "chat"),
        ("projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent", "chat"),
        ("tunedModels/mine:generateContent", "chat"),
        ("projects/p/locations/l/endpoints/123:generateContent", "chat"),
        ("models/gemini-embedding-001:batchEmbedContents", "embeddings"),
        ("publishers/google/models/gemini-embedding-2:embedContent", "embeddings"),
        ("publishers/google/models/text-embedding-005:predict", "embeddings"),
        ("publishers/google/models/imagen-4.0-generate-001:predict", "image"),
        ("models/veo-3.1:predictLongRunning", "video"),
        ("models/gemini-2.5-flash:batchGenerateContent", "batch"),
        ("models/gemini-embedding-001:asyncBatchEmbedContent", "batch"),
        ("batchPredictionJobs", "batch"),
        ("cachedContents", "cache"),
        ("/v1beta/interactions", "interaction"),
        ("https://aiplatform.googleapis.com/v1beta1/projects/p/locations/l/interactions", "interaction"),
        ("/v1beta/decisions", "decision"),
    ],
)
def test_what_is_billed_is_known_by_its_path(path: str, operation: str) -> None:
    assert operation_of("post", path) == operation
    assert operation_of("GET", path) is None


@pytest.mark.parametrize(
    "path",
    [
        "models/gemini-2.5-flash:countTokens",
        "publishers/google/models/gemini-2.5-flash:computeTokens",
        "models/veo-3.1:fetchPredictOperation",
        "models/gemini-2.5-flash",
        "cachedContents/c1",
        "batches/b1:cancel",
        "tuningJobs",
        "files",
        "fileSearchStores/s1:importFile",
        "",
    ],
)
def test_what_is_free_changes_something_or_keeps_files_is_no_call(path: str) -> None:
    assert operation_of("POST", path) is None
    assert retrieval_of("POST", path) is None


def test_what_was_started_earlier_is_asked_about_by_its_path() -> None:
    assert retrieval_of("get", "batches/b1") == "batch"
    assert retrieval_of("GET", "/v1beta/interactions/i1?stream=true") == "interaction"
    assert retrieval_of("POST", "/v1beta/interactions/i1/cancel") == "interaction"
    assert retrieval_of("DELETE", "/v1beta/interactions/i1") is None
    assert retrieval_of("GET", "batches") is None
    assert retrieval_of("GET", "files/f1") is None


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gemini-2.5-flash", "gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("publishers/google/models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash"),
        ("tunedModels/mine", "tunedModels/mine"),
        ("projects/p/locations/l/endpoints/123", "endpoints/123"),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_a_model_is_named_without_what_stands_before_it(name: object, model: str | None) -> None:
    assert model_of(name) == model


def test_the_model_is_in_the_body_or_in_the_path() -> None:
    assert read_request("chat", {}, None, "models/gemini-x:generateContent").model == "gemini-x"
    assert read_request("batch", {"model": "publishers/google/models/m"}, None, "batchPredictionJobs").model == "m"
    assert read_request("interaction", {"agent": "deep-research"}, None, None).model == "deep-research"
    assert read_request("interaction", None, None, "/v1beta/interactions").model is None


def test_labels_are_tags_and_columns_also_in_an_extra_body() -> None:
    labels = {"team": "search", "user": "u-1", "job": "7"}
    expected = Request("chat", user="u-1", team="search", tags=("job:7",))
    assert read_request("chat", {"labels": labels}, None) == expected
    assert read_request("chat", {"labels": labels, "model": "models/m"}, None).model == "m"
    assert read_request("chat", {"labels": {"team": "lost"}}, {"labels": labels}) == expected


@pytest.mark.parametrize("body", [None, [], b"raw", {"model": 7, "labels": "none", "parameters": 3, "instances": {}}])
def test_a_request_of_another_shape_says_nothing(body: Any) -> None:
    for operation in ("chat", "image", "video"):
        assert read_request(operation, body, None) == Request(operation)


@pytest.mark.parametrize(
    ("parameters", "units"),
    [
        ({"durationSeconds": 8}, {"seconds": 8}),
        ({"durationSeconds": 8, "sampleCount": 2}, {"seconds": 16}),
        ({"durationSeconds": 8, "sampleCount": "many"}, None),
        ({"sampleCount": 2}, None),
        ({}, None),
    ],
)
def test_videos_are_as_long_as_was_asked(parameters: Json, units: dict[str, float] | None) -> None:
    assert read_request("video", {"parameters": parameters}, None).units == units


def test_vertex_embeds_what_is_content_whatever_the_model_is_called() -> None:
    assert read_request("image", {"instances": [{"content": "Hello"}]}, None).operation == "embeddings"
    assert read_request("image", {"instances": [{"prompt": "A cat"}]}, None).operation == "image"


FULL: Json = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 40,
    "candidatesTokenCount": 30,
    "thoughtsTokenCount": 20,
    "toolUsePromptTokenCount": 10,
    "totalTokenCount": 160,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 60}, {"modality": "AUDIO", "tokenCount": 40}],
    "toolUsePromptTokensDetails": [{"modality": "IMAGE", "tokenCount": 8}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 25}, {"modality": "AUDIO", "tokenCount": 5}],
}
READ = {
    "input_tokens": 110,
    "output_tokens": 50,
    "cache_read_tokens": 40,
    "reasoning_tokens": 20,
    "tool_tokens": 10,
    "input_audio_tokens": 40,
    "input_image_tokens": 8,
    "output_audio_tokens": 5,
    "output_image_tokens": 25,
}
SNAKE: Json = {
    "prompt_token_count": 100,
    "cached_content_token_count": 40,
    "response_token_count": 30,
    "thoughts_token_count": 20,
    "tool_use_prompt_token_count": 10,
    "prompt_tokens_details": [{"modality": "AUDIO", "token_count": 40}],
    "tool_use_prompt_tokens_details": [{"modality": "IMAGE", "token_count": 8}],
    "response_tokens_details": [{"modality": "IMAGE", "token_count": 25}, {"modality": "AUDIO", "token_count": 5}],
}
INTERACTION: Json = {
    "total_input_tokens": 100,
    "total_cached_tokens": 40,
    "total_output_tokens": 30,
    "total_thought_tokens": 20,
    "total_tool_use_tokens": 10,
    "total_tokens": 160,
    "input_tokens_by_modality": [{"modality": "audio", "tokens": 40}],
    "tool_use_tokens_by_modality": [{"modality": "image", "tokens": 8}],
    "output_tokens_by_modality": [{"modality": "image", "tokens": 25}, {"modality": "audio", "tokens": 5}],
}


@pytest.mark.parametrize("usage", [FULL, SNAKE, INTERACTION])
def test_totals_include_their_parts_in_each_spelling(usage: Json) -> None:
    assert counts(read_usage(usage)) == READ


@pytest.mark.parametrize(
    ("usage", "known"),
    [
        ({"promptTokenCount": 6}, {"input_tokens": 6}),  # an embedding
        ({"promptTokenCount": 9, "totalTokenCount": 9}, {"input_tokens": 9, "output_tokens": 0}),
        ({"promptTokenCount": 9, "totalTokenCount": 12}, {"input_tokens": 9, "output_tokens": 3}),
        # a total that leaves thoughts out, as in live sessions
        (
            {"promptTokenCount": 9, "responseTokenCount": 3, "thoughtsTokenCount": 5, "totalTokenCount": 12},
            {"input_tokens": 9, "output_tokens": 8, "reasoning_tokens": 5},
        ),
        ({"totalTokenCount": 12}, {}),
        ({"promptTokenCount": -1, "candidatesTokenCount": "3", "totalTokenCount": 1.5}, {}),
        ({"promptTokenCount": True, "promptTokensDetails": [{"modality": 3, "tokenCount": 4}, 7, None]}, {}),
        ({"promptTokensDetails": {"modality": "AUDIO"}, "candidatesTokensDetails": "AUDIO"}, {}),
    ],
)
def test_what_is_told_is_read_and_nothing_is_made_up(usage: Json, known: dict[str, int]) -> None:
    assert counts(read_usage(usage)) == known


def test_figures_of_a_stream_are_running_totals() -> None:
    first = piece(promptTokenCount=9, totalTokenCount=9)
    last = piece("STOP", promptTokenCount=9, candidatesTokenCount=4, totalTokenCount=13)
    assert used(first, last) == {"input_tokens": 9, "output_tokens": 4}


def test_a_later_piece_may_correct_the_figures_downwards() -> None:
    first = piece(promptTokenCount=169, totalTokenCount=169)
    last = piece("STOP", promptTokenCount=79, candidatesTokenCount=12, totalTokenCount=91)
    assert used(first, last) == {"input_tokens": 79, "output_tokens": 12}


def test_a_last_piece_that_adds_up_by_itself_says_all() -> None:
    first = piece(promptTokenCount=9, candidatesTokenCount=21, thoughtsTokenCount=35, totalTokenCount=65)
    last = piece("STOP", promptTokenCount=87, thoughtsTokenCount=78, totalTokenCount=165)
    assert used(first, last) == {"input_tokens": 87, "output_tokens": 78, "reasoning_tokens": 78}


@pytest.mark.parametrize("last", [{"promptTokenCount": 9, "totalTokenCount": 9}, {"trafficType": "ON_DEMAND"}, {}])
def test_a_last_piece_that_lacks_what_was_generated_does_not_unsay_it(last: Json) -> None:
    first = piece(promptTokenCount=9, candidatesTokenCount=4, totalTokenCount=13)
    assert used(first, piece("STOP", **last)) == {"input_tokens": 9, "output_tokens": 4}


def test_a_last_piece_that_lacks_the_candidates_count_tells_it_by_its_total() -> None:
    first = piece(promptTokenCount=9, candidatesTokenCount=4, totalTokenCount=13)
    assert used(first, piece("STOP", promptTokenCount=9, totalTokenCount=20))["output_tokens"] == 11


def test_a_stream_is_partial_until_a_candidate_says_why_it_ended() -> None:
    begun = piece(promptTokenCount=9, totalTokenCount=9)
    assert answered(begun).partial
    assert used(begun) == {"input_tokens": 9}
    assert not answered(begun, piece("MAX_TOKENS")).partial
    assert not answered(begun, {"promptFeedback": {"blockReason": "SAFETY"}}).partial


def test_the_answer_names_its_model_and_id() -> None:
    answer = answered(piece(), {**piece(), "modelVersion": "models/m-2", "responseId": "r-2"})
    assert (answer.model, answer.response_id) == ("models/m-2", "r-1")


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        ("standard", "standard"),
        ("ON_DEMAND", "on_demand"),
        ("ON_DEMAND_FLEX", "flex"),
        ("ON_DEMAND_PRIORITY", "priority"),
        ("PROVISIONED_THROUGHPUT", "provisioned_throughput"),
        ("TRAFFIC_TYPE_UNSPECIFIED", None),
        ("unspecified", None),
        (None, None),
    ],
)
def test_tiers_have_the_names_of_price_lists(said: str | None, tier: str | None) -> None:
    assert tier_of(said) == tier


def test_the_tier_is_in_the_usage() -> None:
    assert answered(piece(trafficType="ON_DEMAND_FLEX")).service_tier == "flex"
    assert answered(piece(serviceTier="priority", trafficType="ON_DEMAND")).service_tier == "priority"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "status": "RESOURCE_EXHAUSTED"}, "RESOURCE_EXHAUSTED"),
        ({"code": 503}, "503"),
        ({"message": "no"}, "error"),
        ({"status": "S" * 70}, "S" * 64),
        ({"code": "C" * 70}, "C" * 64),
    ],
)
def test_an_error_within_a_stream_is_named(error: Json, kind: str) -> None:
    assert answered(piece(), {"error": error}).error_type == kind


def grounded(**grounding: object) -> Json:
    return {"candidates": [{"finishReason": "STOP", "groundingMetadata": grounding}]}


@pytest.mark.parametrize(
    ("grounding", "units"),
    [
        ({"webSearchQueries": ["a", "b", "a", "", " "]}, {"searches": 2}),
        ({"webSearchQueries": ["a"], "imageSearchQueries": ["b"]}, {"searches": 2}),
        ({"web_search_queries": ["a"], "image_search_queries": ["b"]}, {"searches": 2}),
        ({"grounding_chunks": [{"maps": {"uri": "u"}}]}, {"map_searches": 1}),
        ({"webSearchQueries": [], "groundingChunks": [{"retrievedContext": {}}]}, None),
        ({"groundingChunks": [{"maps": {"uri": "u"}}, {"maps": {"uri": "v"}}]}, {"map_searches": 1}),
        ({"webSearchQueries": "a", "groundingChunks": 7}, None),
    ],
)
def test_searches_are_counted_by_what_was_searched_for(grounding: Json, units: dict[str, float] | None) -> None:
    assert used(grounded(**grounding)).get("units") == units


def test_a_stream_that_repeats_its_searches_searched_once() -> None:
    once, more = grounded(webSearchQueries=["a"]), grounded(webSearchQueries=["a", "b"])
    assert used(once, more, grounded())["units"] == {"searches": 2}


def test_a_decision_tells_its_usage_as_an_interaction_does() -> None:
    decision = answered({"answers": {"q-1": {}}, "model": "gemini-3-flash", "usage": INTERACTION})
    assert (decision.model, decision.raw) == ("gemini-3-flash", INTERACTION)
    assert (decision.awaits, decision.partial) == (None, False)


def test_what_an_interaction_searched_for_is_in_its_usage() -> None:
    counted = [
        {"type": "google_search", "count": 2},
        {"type": "google_maps", "count": 1},
        {"type": "other", "count": 9},
    ]
    interaction = {"id": "i-1", "status": "completed", "usage": {**INTERACTION, "grounding_tool_count": counted}}
    assert used(interaction)["units"] == {"searches": 2, "map_searches": 1}


@pytest.mark.parametrize(
    ("predictions", "units"),
    [
        ([{"bytesBase64Encoded": "aGk="}, {"gcsUri": "gs://b/i"}, {"raiFilteredReason": "no"}], {"images": 2}),
        ([{"raiFilteredReason": "no"}], None),
        ([], None),
        ("none", None),
    ],
)
def test_images_are_counted_as_far_as_they_were_delivered(predictions: object, units: Json | None) -> None:
    assert used({"predictions": predictions}, operation="image").get("units") == units


def test_embeddings_by_vertex_tell_tokens_by_text_and_characters_of_all() -> None:
    texts = [{"embeddings": {"statistics": {"token_count": count}}} for count in (3, 4.0, "x")]
    answer = {"predictions": texts, "metadata": {"billableCharacterCount": "11"}}
    assert used(answer, operation="embeddings") == {"input_tokens": 7, "units": {"characters": 11}}
    assert answered(answer).raw == {"billableCharacterCount": 11, "promptTokenCount": 7}


def test_what_a_cache_keeps_is_no_input() -> None:
    cache = {"name": "cachedContents/c1", "usageMetadata": {"totalTokenCount": 5000}}
    assert used(cache, operation="cache") == {"units": {"cached_tokens": 5000}}
    assert used({"name": "cachedContents/c1"}, operation="cache") == {}


def batch(**output: object) -> Json:
    return {"name": "batches/b1", "metadata": {"model": "models/m-1", "output": output}}


def test_a_batch_awaits_its_end_and_each_of_its_answers_completes_it() -> None:
    assert answered(batch()).awaits == "batches/b1"
    assert answered(batch()).service_tier == "batch"
    job = answered({"name": "projects/p/locations/l/batchPredictionJobs/7", "state": "JOB_STATE_PENDING"})
    assert (job.awaits, job.service_tier) == ("projects/p/locations/l/batchPredictionJobs/7", "batch")
    assert answered({"name": "cachedContents/c1"}).awaits is None
    held: list[object] = [
        {"response": {"usageMetadata": FULL, "responseId": "r-1"}},
        {"error": {"code": 3}},
        {"response": None},
        7,
    ]
    (part,) = batch_parts(batch(inlinedResponses={"inlinedResponses": held}))
    assert (part.completes, part.response_id, part.model) == ("batches/b1", "r-1", "m-1")
    assert part.service_tier == "batch"
    assert counts(usage_of("batch", part, Request("batch"))) == READ


def test_a_batch_as_an_operation_holds_its_answers_in_its_response() -> None:
    held = {"inlinedResponses": {"inlinedResponses": [{"response": {"usageMetadata": FULL}}]}}
    (part,) = batch_parts({"name": "batches/b1", "response": held})
    assert (part.completes, part.response_id) == ("batches/b1", "batches/b1/0")


@pytest.mark.parametrize("place", ["inlinedResponses", "inlinedEmbedContentResponses"])
def test_a_batch_of_embeddings_tells_the_tokens_of_each(place: str) -> None:
    held: list[Json] = [{"response": {"embedding": {"values": []}, "tokenCount": count}} for count in ("5", 6)]
    parts = list(batch_parts(batch(**{place: {"inlinedResponses": held}})))
    assert [usage_of("batch", part, Request("batch")).input_tokens for part in parts] == [5, 6]
    assert [part.response_id for part in parts] == ["batches/b1/0", "batches/b1/1"]


@pytest.mark.parametrize("fields", [{}, {"metadata": 7}, batch(), batch(inlinedResponses=[]), {"response": "x"}])
def test_a_batch_that_holds_nothing_completes_nothing(fields: Json) -> None:
    assert list(batch_parts(fields)) == []


def test_a_batch_names_the_file_that_holds_its_answers() -> None:
    assert batch_file(batch(responsesFile="files/f1")) == ("files/f1", "batches/b1", "m-1")
    assert file_of("files/f1:download?alt=media") == "files/f1"
    for fields in ({}, batch(), batch(responsesFile=[]), {"metadata": {"output": {"responsesFile": "files/f1"}}}):
        assert batch_file(fields) is None


def event(kind: str, **fields: object) -> Json:
    return {"event_type": kind, **fields}


def test_an_interactions_stream_ends_with_its_usage() -> None:
    begun = event("interaction.created", interaction={"id": "i-1", "status": "in_progress", "model": "m-1"})
    delta = event("step.delta", index=0, delta={"type": "text", "text": "a"})
    done = {"id": "i-1", "status": "completed", "usage": INTERACTION, "service_tier": "flex"}
    assert (answered(begun, delta).partial, answered(begun, delta).awaits) == (True, "i-1")
    answer = answered(begun, delta, event("interaction.completed", interaction=done))
    assert (answer.partial, answer.awaits, answer.completes) == (False, None, "i-1")
    assert (answer.model, answer.response_id, answer.service_tier) == ("m-1", "i-1", "flex")
    assert used(begun, delta, event("interaction.completed", interaction=done)) == READ


def test_events_of_an_interaction_may_tell_usage_on_the_way() -> None:
    delta = event("step.delta", delta={}, metadata={"total_usage": {"total_input_tokens": 9}})
    stop = event("step.stop", step_usage={"total_input_tokens": 1}, usage={"total_output_tokens": 3})
    assert used(delta, stop) == {"input_tokens": 9, "output_tokens": 3}
    assert answered(delta, stop).partial


def test_an_sdks_objects_are_read_like_json() -> None:
    usage = SimpleNamespace(**INTERACTION)
    interaction = SimpleNamespace(id="i-1", status="completed", model="m-1", usage=usage, errors=None)
    assert used({"event_type": "interaction.complete", "interaction": interaction})["input_tokens"] == 110


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"id": "i-1", "status": "failed", "errors": [{"code": "overloaded"}]}, "overloaded"),
        ({"id": "i-1", "status": "failed"}, "failed"),
        (event("error", error={"code": "overloaded"}), "overloaded"),
        (event("error"), "error"),
        ({"id": "i-1", "status": "completed", "usage": INTERACTION}, None),
    ],
)
def test_an_interaction_that_failed_is_an_error(fields: Json, kind: str | None) -> None:
    assert answered(fields).error_type == kind


def test_an_interaction_in_the_background_awaits_its_end() -> None:
    for status in ("in_progress", "queued"):
        answer = answered({"id": "i-1", "status": status})
        assert (answer.awaits, answer.completes) == ("i-1", None)


def test_a_live_message_tells_searches_and_usage() -> None:
    content = SimpleNamespace(grounding_metadata=SimpleNamespace(web_search_queries=["a"], grounding_chunks=None))
    message = {"server_content": content, "usage_metadata": SimpleNamespace(prompt_token_count=9), "tool_call": None}
    assert used(message, operation="realtime") == {"input_tokens": 9, "units": {"searches": 1}}


def test_what_was_asked_for_and_not_delivered_is_not_counted() -> None:
    request = Request("video", units={"seconds": 8})
    assert usage_of("video", answered({"name": "operations/o"}), request).units == {"seconds": 8}
    assert usage_of("video", answered({"error": {"code": 3}}), request).units is None


known_body, known_interaction = msgspec.json.Decoder(Body).decode, msgspec.json.Decoder(Interaction).decode


def test_texts_images_and_vectors_are_skipped() -> None:
    content = {"parts": [{"inlineData": {"data": "aGk=" * 1000}}]}
    body = {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": FULL, "more": [0.5] * 1000}
    read = skim(known_body, msgspec.json.encode(body))
    assert read == {"candidates": [{"finishReason": "STOP"}], "usageMetadata": FULL}


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b'{"usageMetadata": {"promptTokenCount": 3', b"\xff", b"7"]
)
def test_a_body_that_is_cut_or_no_object_says_nothing(text: bytes) -> None:
    assert skim(known_body, text) == {}


def test_a_body_of_another_shape_is_read_all_the_same() -> None:
    body = {"candidates": "none", "usageMetadata": FULL}
    assert skim(known_body, msgspec.json.encode(body).decode()) == body


numbers = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=3))
names = st.sampled_from(
    [*FULL, *SNAKE, *INTERACTION, "usageMetadata", "usage_metadata", "usage", "candidates", "groundingMetadata",
     "webSearchQueries", "groundingChunks", "maps", "finishReason", "modality", "tokenCount", "tokens", "predictions",
     "embeddings", "statistics", "token_count", "metadata", "billableCharacterCount", "name", "output", "response",
     "inlinedResponses", "error", "errors", "code", "status", "id", "model", "event_type", "interaction", "total_usage",
     "server_content", "grounding_metadata", "modelVersion", "responseId", "serviceTier", "trafficType", "answers",
     "grounding_tool_count", "count", "type", "tokenCount", "promptFeedback", "labels", "parameters", "instances",
     "durationSeconds", "sampleCount", "agent"]
)  # fmt: skip
SKIMMED = [*(name for shape in (Body, BatchItems, Candidate, Grounding, Metadata, Prediction)
             for name in shape.__annotations__), "statistics", "maps"]  # fmt: skip
anything = st.recursive(
    numbers, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=6), max_leaves=25
)


@given(st.lists(st.dictionaries(names, anything, max_size=6), min_size=1, max_size=4))
def test_whatever_is_answered_gives_an_event_that_every_store_takes(pieces: list[Json]) -> None:
    answer = answered(*pieces)
    for piece in pieces:
        list(batch_parts(piece))
    for operation in ("chat", "embeddings", "image", "video", "batch", "cache", "interaction", "realtime"):
        usage = usage_of(operation, answer, read_request(operation, pieces[0], pieces[-1], "models/m:generateContent"))
        msgspec.msgpack.encode(usage)
        for name in Usage.__struct_fields__:
            value = getattr(usage, name)
            assert value is None or name in ("units", "estimated") or (type(value) is int and value >= 0)
        assert (usage.reasoning_tokens or 0) <= (usage.output_tokens if usage.output_tokens is not None else 10**12)
    msgspec.msgpack.encode(answer.raw)


parts = st.recursive(
    numbers | st.just(FULL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(SKIMMED), inner, max_size=6),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(SKIMMED), parts, max_size=6))
def test_what_is_skimmed_says_what_the_whole_says(body: Json) -> None:
    text = msgspec.json.encode(body)
    whole, skimmed = msgspec.json.decode(text), skim(known_body, text)
    for of_whole, of_skimmed in zip(
        [answered(whole), *batch_parts(whole)], [answered(skimmed), *batch_parts(skimmed)], strict=True
    ):
        for slot in Answer.__slots__:
            assert getattr(of_skimmed, slot) == getattr(of_whole, slot)
