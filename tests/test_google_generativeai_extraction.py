"""What the legacy SDK of Gemini tells of usage, and what of the rest can be worked out."""

from typing import Any

import msgspec
import pytest
from generative_service import HAS, MODEL, Json, chunk, glm, json_format, written
from hypothesis import given
from hypothesis import strategies as st

from usage_tracker.event import Usage
from usage_tracker.providers.answer import Answer, Request, fields_of
from usage_tracker.providers.google_generativeai import observe, read_figures, read_request, usage_of

REQUEST = Request("chat", "gemini-2.5-flash")


def over_grpc(piece: Json) -> Any:
    return glm.GenerateContentResponse.deserialize(written(piece))


def over_rest(piece: Json) -> Any:
    """As the SDK reads it: fields that it doesn't know are lost."""
    message = glm.GenerateContentResponse.pb()()
    return glm.GenerateContentResponse.wrap(json_format.ParseDict(piece, message, ignore_unknown_fields=True))


def answered(*messages: Any) -> Answer:
    answer = Answer()
    for message in messages:
        observe(answer, fields_of(message))
    return answer


def used(*messages: Any, model: str = "gemini-2.5-flash") -> dict[str, Any]:
    """What the event of a request to that model would say of usage, without what it would leave open."""
    usage = usage_of("chat", answered(*messages), Request("chat", model))
    told = {name: getattr(usage, name) for name in Usage.__struct_fields__}
    return {name: value for name, value in told.items() if value is not None and value is not False}


def at_work(model: str, *shows: Json, **usage: int) -> Json:
    """An answer of that model that shows its own tools at work."""
    piece = chunk(ends=True, **usage)
    piece["modelVersion"] = model
    piece["candidates"][0]["content"]["parts"].extend(shows)
    return piece


TOLD = {"promptTokenCount": 12, "candidatesTokenCount": 6, "totalTokenCount": 30}
CODE = {"executableCode": {"language": "PYTHON", "code": "1 + 1"}}
RESULT = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}


@pytest.mark.parametrize("received", [over_rest, over_grpc])
def test_an_answer_without_anything_hidden_is_as_told(received: Any) -> None:
    usage = {**TOLD, "totalTokenCount": 18, "cachedContentTokenCount": 4}
    answer = answered(received(chunk(ends=True, **usage)))
    assert used(received(chunk(ends=True, **usage))) == {
        "input_tokens": 12,
        "output_tokens": 6,
        "cache_read_tokens": 4,
    }
    assert (answer.raw, answer.model, answer.partial) == (usage, MODEL, False)


def test_over_rest_what_the_total_leaves_over_is_thoughts() -> None:
    thought = chunk(ends=True, **TOLD, thoughtsTokenCount=12)
    assert used(over_rest(thought)) == {"input_tokens": 12, "output_tokens": 18, "reasoning_tokens": 12}


def test_over_grpc_thoughts_are_told() -> None:
    thought = chunk(ends=True, **TOLD, thoughtsTokenCount=12)
    assert used(over_grpc(thought)) == used(over_rest(thought))


def test_thoughts_that_left_nothing_to_say_are_output() -> None:
    usage = {"promptTokenCount": 12, "thoughtsTokenCount": 18, "totalTokenCount": 30}
    for received in (over_rest, over_grpc):
        assert used(received(chunk(ends=True, **usage))) == {
            "input_tokens": 12,
            "output_tokens": 18,
            "reasoning_tokens": 18,
        }


@pytest.mark.parametrize("shown", [[CODE], [RESULT], [CODE, RESULT]])
def test_a_model_that_does_not_think_has_only_its_tools_prompts_to_hide(shown: list[Json]) -> None:
    executed = over_rest(at_work("gemini-2.0-flash-001", *shown, **TOLD, toolUsePromptTokenCount=12))
    assert used(executed, model="gemini-2.0-flash") == {"input_tokens": 24, "output_tokens": 6, "tool_tokens": 12}


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-3-flash-preview", "gemini-2.0-flash-thinking-exp"])
def test_thoughts_and_tools_that_can_not_be_told_apart_are_an_estimate(model: str) -> None:
    estimate = {"input_tokens": 24, "output_tokens": 6, "estimated": True}
    assert used(over_rest(at_work(model, CODE, **TOLD)), model=model) == estimate


@pytest.mark.skipif(("Candidate", "grounding_metadata") not in HAS, reason="this version does not know of it")
def test_what_an_answer_is_grounded_in_was_found_by_a_tool() -> None:
    grounded = chunk(ends=True, **TOLD)
    grounded["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["x"]}
    assert used(over_rest(grounded))["estimated"]


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        (
            {"toolUsePromptTokenCount": 5, "thoughtsTokenCount": 7},
            {"input_tokens": 17, "output_tokens": 13, "tool_tokens": 5, "reasoning_tokens": 7},
        ),
        ({"toolUsePromptTokenCount": 12}, {"input_tokens": 24, "output_tokens": 6, "tool_tokens": 12}),
        ({"thoughtsTokenCount": 12}, {"input_tokens": 12, "output_tokens": 18, "reasoning_tokens": 12}),
    ],
)
def test_tools_or_thoughts_that_are_told_are_no_estimate(told: dict[str, int], counts: dict[str, int]) -> None:
    assert used(over_grpc(at_work("gemini-2.5-pro", CODE, **TOLD, **told))) == counts


def test_tools_that_an_earlier_chunk_shows_count_for_the_last() -> None:
    shown, last = at_work("gemini-2.0-flash", CODE, promptTokenCount=12), at_work("gemini-2.0-flash", **TOLD)
    assert used(over_rest(shown), over_rest(last), model="gemini-2.0-flash")["tool_tokens"] == 12


def test_chunks_say_totals_and_the_last_may_leave_some_out() -> None:
    chunks = [
        chunk(promptTokenCount=12, candidatesTokenCount=3, totalTokenCount=15),
        chunk(promptTokenCount=12, candidatesTokenCount=6, totalTokenCount=18),
        chunk(ends=True, promptTokenCount=12, totalTokenCount=18),
    ]
    for received in (over_rest, over_grpc):
        assert used(*map(received, chunks)) == {"input_tokens": 12, "output_tokens": 6}
        assert answered(received(chunks[0])).partial
        assert not answered(*map(received, chunks)).partial


def test_output_that_has_not_been_told_yet_is_unknown() -> None:
    assert used(over_rest(chunk(promptTokenCount=12, totalTokenCount=12))) == {"input_tokens": 12}


def test_a_prompt_that_was_blocked_has_no_output() -> None:
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5},
    }
    assert used(over_rest(blocked)) == {"input_tokens": 5, "output_tokens": 0}


def test_an_answer_without_usage_leaves_all_unknown() -> None:
    assert used(over_rest(chunk(ends=True))) == {}
    assert answered(over_rest(chunk(ends=True))).raw is None


def test_audio_and_images_are_counted_where_they_are_told() -> None:
    counts = [
        {"modality": "TEXT", "tokenCount": 2},
        {"modality": "AUDIO", "tokenCount": 6},
        {"modality": "IMAGE", "tokenCount": 4},
    ]
    usage = used(over_grpc(chunk(ends=True, **{**TOLD, "totalTokenCount": 18}, promptTokensDetails=counts)))
    assert (usage["input_audio_tokens"], usage["input_image_tokens"]) == (6, 4)


@pytest.mark.parametrize(
    "request_",
    [glm.GenerateContentRequest(model="models/m-1"), {"model": "models/m-1"}, {"model": "m-1"}, None],
)
def test_the_model_is_read_from_whatever_a_request_is(request_: Any) -> None:
    assert read_request("chat", request_, {"model": "models/m-1"}) == Request("chat", "m-1")


def test_a_tuned_model_keeps_its_name() -> None:
    assert read_request("chat", {"model": "tunedModels/mine"}, {}).model == "tunedModels/mine"


def test_what_is_no_request_has_no_model() -> None:
    for nothing in (object(), {}, {"model": 7.5}, {"model": ""}):
        assert read_request("chat", nothing, {}).model is None


@pytest.mark.parametrize(
    ("modality", "read"),
    [
        (b"\x08\x04\x10\x07", {"modality": "AUDIO", "tokenCount": 7}),
        (b"\x08\x04", {"modality": "AUDIO", "tokenCount": 0}),
        (b"\x10\x07", {"modality": "MODALITY_UNSPECIFIED", "tokenCount": 7}),
        (b"\x08\x06\x10\x07", None),
    ],
    ids=["whole", "no count, which is 0", "no modality, which is the first", "a modality that came later"],
)
def test_protobuf_leaves_out_what_is_zero(modality: bytes, read: Json | None) -> None:
    message = b"\x08\x0c" + b"\x2a" + bytes([len(modality)]) + modality
    assert read_figures(message).get("promptTokensDetails") == (read and [read])


@pytest.mark.parametrize(
    "unknown", [b"\x78\x63", b"\x79" + b"\x18\x63" * 4, b"\x7d" + b"\x18\x63" * 2, b"\x7a\x02\x18\x63"]
)
def test_a_field_that_nobody_knows_is_passed_over_whole(unknown: bytes) -> None:
    """A number, 8 bytes, 4, and as many as it says; these hold what would be read as a total of 99."""
    assert read_figures(unknown + b"\x08\x0c") == {"promptTokenCount": 12}


@given(st.binary(max_size=64))
def test_bytes_that_are_no_usage_can_not_break_the_reading(message: bytes) -> None:
    answer = Answer()
    answer.raw = read_figures(message)
    check_usage(answer)


def check_usage(answer: Answer) -> None:
    usage = usage_of("chat", answer, REQUEST)
    for name in Usage.__struct_fields__:
        count = getattr(usage, name)
        assert name in ("units", "estimated") or count is None or (type(count) is int and 0 <= count <= 10**12)
    msgspec.msgpack.encode([usage, answer.raw, answer.model])


COUNTS = st.integers(-(1 << 31), (1 << 31) - 1)
KNOWN = ["promptTokenCount", "candidatesTokenCount", "totalTokenCount", "cachedContentTokenCount"]
PIECES: st.SearchStrategy[Json] = st.builds(
    dict,
    modelVersion=st.text(max_size=8),
    candidates=st.lists(
        st.fixed_dictionaries({"finishReason": st.sampled_from(["STOP", "FINISH_REASON_UNSPECIFIED"])}), max_size=2
    ),
    usageMetadata=st.dictionaries(st.sampled_from(KNOWN), COUNTS),
)


@given(st.lists(PIECES, max_size=4), st.booleans())
def test_no_answer_can_break_the_reading(pieces: list[Json], tools: bool) -> None:
    answer = answered(*map(over_rest, pieces))
    answer.estimated = tools
    check_usage(answer)


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.booleans())
def test_input_and_output_are_always_what_the_total_is(
    prompt: int, candidates: int, thoughts: int, tool: int, shows_tools: bool
) -> None:
    counts = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": candidates,
        "thoughtsTokenCount": thoughts,
        "toolUsePromptTokenCount": tool,
    }
    told = {name: count for name, count in counts.items() if count} | {"totalTokenCount": sum(counts.values())}
    piece = at_work("gemini-2.5-pro", *([CODE] if shows_tools else []), **told)
    for received in (over_rest, over_grpc):
        usage = used(received(piece))
        assert usage["input_tokens"] + usage["output_tokens"] == told["totalTokenCount"]
