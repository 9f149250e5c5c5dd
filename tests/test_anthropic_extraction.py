"""What is read from the requests and answers of Anthropic's API."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from usage_tracker.event import Usage
from usage_tracker.providers.answer import Answer, Request, fields_of
from usage_tracker.providers.anthropic import (
    batch_of,
    observe,
    operation_of,
    read_request,
    read_result,
    retrieval_of,
    says_nothing,
    usage_of,
)


def answered(*pieces: object) -> Answer:
    """What a whole answer, or the events of a stream, have said."""
    answer = Answer()
    for piece in pieces:
        observe(answer, fields_of(piece))
    return answer


def used(*pieces: object) -> dict[str, Any]:
    """What the event would say of usage, without what it would leave open."""
    usage = usage_of("chat", answered(*pieces), Request("chat"))
    return {name: value for name in Usage.__struct_fields__ if (value := getattr(usage, name)) not in (None, False)}


def message(usage: object, **fields: object) -> dict[str, object]:
    return {"type": "message", "id": "msg_1", "model": "m-1", "content": [], "usage": usage, **fields}


def start(usage: object) -> dict[str, object]:
    return {"type": "message_start", "message": message(usage)}


def delta(usage: object) -> dict[str, object]:
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


@pytest.mark.parametrize(
    ("url", "operation"),
    [
        ("/v1/messages", "chat"),
        ("/v1/messages?beta=true", "chat"),
        ("https://gateway.example/anthropic/v1/messages", "chat"),
        ("/v1/complete", "completion"),
        ("/v1/messages/batches", "batch"),
        ("/v1/messages/batches?beta=true", "batch"),
        ("/projects/p/locations/r/publishers/anthropic/models/claude-opus-5@20260101:rawPredict", "chat"),
        ("/projects/p/locations/r/publishers/anthropic/models/claude-opus-5@20260101:streamRawPredict", "chat"),
        ("/model/anthropic.claude-opus-5-v1:0/invoke", "chat"),
        ("/model/us.anthropic.claude-opus-5-v1:0/invoke-with-response-stream", "chat"),
    ],
)
def test_what_is_billed_is_known_by_its_path(url: str, operation: str) -> None:
    assert operation_of("post", url) == operation
    assert operation_of("GET", url) is None


@pytest.mark.parametrize(
    "url",
    [
        "/v1/messages/count_tokens",
        "/v1/messages/count_tokens?beta=true",
        "/projects/p/locations/r/publishers/anthropic/models/count-tokens:rawPredict",
        "/v1/messages/batches/msgbatch_1/cancel",
        "/v1/models",
        "/v1/files",
        "/v1/sessions/session_1/events",
        "",
    ],
)
def test_counting_tokens_cancels_and_storage_are_no_calls(url: str) -> None:
    assert operation_of("POST", url) is None
    assert retrieval_of("GET", url) is None


def test_the_results_of_a_batch_are_retrieved() -> None:
    url = "https://api.anthropic.com/v1/messages/batches/msgbatch_1/results?beta=true"
    assert (retrieval_of("get", url), retrieval_of("POST", url)) == ("batch", None)
    assert (batch_of(url), batch_of("/v1/messages/batches/msgbatch_1")) == ("msgbatch_1", None)


@pytest.mark.parametrize("body", [None, [], b"raw", "text"])
def test_a_body_that_is_no_object_asks_for_nothing(body: Any) -> None:
    assert read_request("chat", body, None) == Request("chat")


def test_extra_body_replaces_what_the_arguments_said_as_it_does_on_the_wire() -> None:
    body = {"model": "m-1", "metadata": {"user_id": "u-1"}}
    extra = {"model": "m-2", "metadata": {"user_id": "u-2"}}
    assert read_request("chat", body, extra) == Request("chat", "m-2", "u-2")


@pytest.mark.parametrize(
    ("user_id", "asked"),
    [
        ("u-1", Request("chat", user="u-1")),
        ("user_0af3_account_5b1c-22_session_77-aa", Request("chat", user="user_0af3", session="77-aa")),
        ('{"account_uuid": "a-1", "device_id": "d-1"}', Request("chat", user="a-1")),
        ('{"user_id": "u", "team": "core", "tier": "pro"}', Request("chat", user="u", team="core", tags=("tier:pro",))),
        ('{"user": ', Request("chat", user='{"user":')),
        ('{"user": {}}', Request("chat")),
        ('{"user": "u-9", "device_id": "d-1"}', Request("chat", user="u-9")),
        ("{}", Request("chat")),
    ],
)
def test_what_is_packed_into_the_user_id_is_unpacked(user_id: str, asked: Request) -> None:
    assert read_request("chat", {"metadata": {"user_id": user_id}}, None) == asked


def test_a_batch_is_for_a_model_if_all_its_requests_are() -> None:
    def requests(*models: object) -> Mapping[str, object]:
        return {"requests": [{"custom_id": "c", "params": {"model": model}} for model in models]}

    assert read_request("batch", requests("m-1", "m-1"), None).model == "m-1"
    assert read_request("batch", requests("m-1", "m-2"), None).model is None
    assert read_request("batch", requests(), None).model is None
    assert read_request("batch", {"requests": iter(())}, None).model is None


def test_what_went_in_includes_what_the_cache_read_and_wrote() -> None:
    usage = {
        "input_tokens": 25,
        "cache_creation_input_tokens": 9,
        "cache_read_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 4},
        "output_tokens": 12,
        "output_tokens_details": {"thinking_tokens": 5},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        "service_tier": "priority",
        "inference_geo": "us",
        "speed": "fast",
    }
    assert used(message(usage)) == {
        "input_tokens": 41,
        "output_tokens": 12,
        "cache_read_tokens": 7,
        "cache_write_tokens": 9,
        "cache_write_1h_tokens": 4,
        "reasoning_tokens": 5,
        "units": {"searches": 2},
    }
    answer = answered(message(usage))
    assert (answer.model, answer.response_id, answer.service_tier) == ("m-1", "msg_1", "priority")
    assert answer.raw == usage


def test_what_is_not_said_stays_unknown() -> None:
    assert used(message({"input_tokens": 25, "output_tokens": 12})) == {"input_tokens": 25, "output_tokens": 12}
    assert used(message({"input_tokens": None, "output_tokens": 12, "cache_read_input_tokens": 3})) == {
        "output_tokens": 12,
        "cache_read_tokens": 3,
    }
    assert used(message(None)) == {}


def test_the_parts_of_cache_writes_are_their_total_where_none_is_said() -> None:
    parts = {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 4}
    counted = used(message({"input_tokens": 1, "cache_creation": parts}))
    assert (counted["cache_write_tokens"], counted["input_tokens"]) == (9, 10)


def test_no_searches_are_no_units() -> None:
    assert "units" not in used(message({"input_tokens": 1, "server_tool_use": {"web_search_requests": 0}}))


def one_pass(kind: str, **counts: int) -> dict[str, object]:
    return {"type": kind, **counts}


def test_passes_that_the_totals_leave_out_are_added() -> None:
    usage = {
        "input_tokens": 220,
        "output_tokens": 8,
        "cache_read_input_tokens": 0,
        "output_tokens_details": {"thinking_tokens": 3},
        "iterations": [
            one_pass("compaction", input_tokens=100, cache_creation_input_tokens=55000, output_tokens=125),
            one_pass("message", input_tokens=120, output_tokens=3),
            one_pass("advisor_message", input_tokens=50, cache_read_input_tokens=10, output_tokens=40),
            one_pass("message", input_tokens=100, output_tokens=5),
        ],
    }
    assert used(message(usage)) == {
        "input_tokens": 55380,
        "output_tokens": 173,
        "cache_read_tokens": 10,
        "cache_write_tokens": 55000,
        "reasoning_tokens": 3,
    }
    assert answered(message(usage)).raw == usage


@pytest.mark.parametrize("passes", [[], "none", [{"type": "message"}], [one_pass("message", input_tokens=1)] * 100])
def test_passes_that_do_not_cover_the_totals_are_not_trusted(passes: object) -> None:
    usage = {"input_tokens": 220, "output_tokens": 8, "iterations": passes}
    assert used(message(usage)) == {"input_tokens": 220, "output_tokens": 8}


def test_passes_that_cover_the_totals_tell_what_of_them_was_cached() -> None:
    passes = [one_pass("message", input_tokens=4, cache_read_input_tokens=6, output_tokens=1)]
    assert used(message({"input_tokens": 10, "output_tokens": 1, "iterations": passes}))["cache_read_tokens"] == 6


@pytest.mark.parametrize("one", [{"input_tokens": 1}, {"output_tokens": 1}])
def test_a_pass_that_leaves_a_count_out_does_not_cover_it(one: dict[str, int]) -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "iterations": [one_pass("message", **one)]}
    assert used(message(usage)) == {"input_tokens": 1, "output_tokens": 1}


def test_a_stream_says_what_went_in_first_and_the_totals_last() -> None:
    first = {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1, "service_tier": "standard"}
    last = {"output_tokens": 12, "input_tokens": None, "cache_read_input_tokens": 8}
    assert used(start(first), {"type": "content_block_delta"}, delta(last)) == {
        "input_tokens": 33,
        "output_tokens": 12,
        "cache_read_tokens": 8,
    }
    answer = answered(start(first), delta(last))
    assert (answer.model, answer.response_id, answer.service_tier, answer.partial) == (
        "m-1",
        "msg_1",
        "standard",
        False,
    )


def test_totals_that_grow_are_not_added_up() -> None:
    pieces = [delta({"input_tokens": count * 10, "output_tokens": count}) for count in (1, 2, 3)]
    assert used(start({"input_tokens": 5, "output_tokens": 1}), *pieces) == {"input_tokens": 30, "output_tokens": 3}


def test_what_a_streams_first_event_says_of_the_output_is_a_placeholder() -> None:
    usage = {"input_tokens": 25, "output_tokens": 3, "output_tokens_details": {"thinking_tokens": 0}}
    answer = answered(start(usage))
    assert answer.partial
    assert answer.raw == {"input_tokens": 25}
    assert used(start(usage)) == {"input_tokens": 25}


def test_a_charge_that_a_gateway_states_is_kept() -> None:
    assert answered(message({"input_tokens": 1, "cost": 0.25})).reported_cost == "0.25"


@pytest.mark.parametrize(
    ("piece", "error"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "…"}}, "overloaded_error"),
        ({"type": "error", "error": None}, "error"),
        ({"type": "error"}, "error"),
        ({"type": "ping"}, None),
    ],
)
def test_an_answer_that_failed_says_why_in_one_word(piece: dict[str, object], error: str | None) -> None:
    assert answered(start({"input_tokens": 1}), piece).error_type == error


def test_an_errors_name_is_bounded() -> None:
    assert answered({"type": "error", "error": {"type": "e" * 70}}).error_type == "e" * 64


def test_a_message_is_read_though_its_model_is_known() -> None:
    answer = answered({"type": "completion", "id": "compl-1", "model": "claude-2"}, {"type": "completion", "id": "x"})
    assert answer.response_id == "compl-1", "each event of a stream of completions says the same"
    observe(answer, {"type": "message", "id": "msg-1", "model": "claude-3", "usage": {"input_tokens": 1}})
    assert (answer.response_id, answer.model, answer.raw) == ("msg-1", "claude-3", {"input_tokens": 1})


@pytest.mark.parametrize(
    ("event", "nothing"),
    [
        ({"type": "content_block_delta", "index": 0, "delta": {}}, True),
        ({"type": "message_delta", "delta": {}, "usage": {}}, False),
    ],
)
def test_events_about_a_block_of_content_say_nothing_of_usage(event: dict[str, object], nothing: bool) -> None:
    assert says_nothing(event) is nothing


def test_a_batch_awaits_its_results() -> None:
    answer = answered({"type": "message_batch", "id": "msgbatch_1", "processing_status": "in_progress"})
    assert (answer.awaits, answer.response_id, answer.raw) == ("msgbatch_1", "msgbatch_1", None)


def test_a_result_completes_its_batch() -> None:
    answer = read_result(
        {"custom_id": "c", "result": {"type": "succeeded", "message": message({"input_tokens": 5})}}, "b"
    )
    assert answer is not None
    assert (answer.completes, answer.response_id, answer.service_tier) == ("b", "msg_1", "batch")
    assert usage_of("batch", answer, Request("batch")).input_tokens == 5


@pytest.mark.parametrize(
    "result",
    [
        {"type": "errored", "error": {"type": "error", "error": {"type": "invalid_request_error"}}},
        {"type": "canceled"},
        {"type": "expired"},
        {"type": "succeeded", "message": message(None)},
        {"type": "succeeded", "message": message({"input_tokens": 5}, id=None)},
        None,
    ],
)
def test_a_result_that_used_nothing_is_none(result: object) -> None:
    assert read_result({"custom_id": "c", "result": result}, "b") is None


USAGE = {
    "input_tokens": 25,
    "cache_creation": {"ephemeral_1h_input_tokens": 4, "ephemeral_5m_input_tokens": 5},
    "output_tokens": 12,
    "service_tier": "standard",
    "unheard_of": {"tokens": 3},
    "iterations": [{"type": "message", "input_tokens": 25, "output_tokens": 12, "unheard_of": 1}],
}


@pytest.mark.parametrize("kind", [Message, BetaMessage])
def test_an_sdk_object_says_what_its_json_says_also_where_its_types_do_not_know_a_field(kind: Any) -> None:
    said = message(USAGE)
    plain, parsed = answered(said), answered(kind.construct(**said))
    assert parsed.raw == plain.raw == USAGE
    assert (parsed.model, parsed.response_id, parsed.service_tier) == ("m-1", "msg_1", "standard")


def test_an_sdk_event_says_what_its_json_says() -> None:
    said = start({"input_tokens": 25, "output_tokens": 1})
    said["message"].update(role="assistant", stop_reason=None, stop_sequence=None)  # type: ignore[attr-defined]  # it is a dict
    event: Any = TypeAdapter(RawMessageStreamEvent).validate_python(said)
    assert answered(event).raw == answered(said).raw == {"input_tokens": 25}


def test_what_was_read_stays_when_the_app_changes_its_event() -> None:
    piece = delta({"output_tokens": 5, "iterations": [{"type": "message", "output_tokens": 5}]})
    answer = answered(piece)
    piece["usage"]["iterations"].clear()  # type: ignore[index]  # it is a dict
    assert answer.raw == {"output_tokens": 5, "iterations": [{"type": "message", "output_tokens": 5}]}


def test_what_is_no_answer_says_nothing() -> None:
    for nothing in (None, "text", b"audio", [], object()):
        assert used(nothing) == {}


NAMES = st.sampled_from(
    "type message usage model id error result requests params metadata user_id input_tokens output_tokens "
    "cache_read_input_tokens cache_creation_input_tokens cache_creation ephemeral_5m_input_tokens "
    "ephemeral_1h_input_tokens output_tokens_details thinking_tokens server_tool_use web_search_requests "
    "service_tier iterations cost".split()
)
KINDS = "message message_start message_delta message_stop message_batch completion error content_block_delta".split()
PACKED = ("user_a_account__session_b", '{"user": 1}', '{"user_id": [[]]}', "{", "[1]", '{"session_id": {"a": NaN}}')
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=4) | st.builds(object)
    | st.sampled_from([*KINDS, *PACKED])
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
OBJECTS = st.dictionaries(NAMES, JSON, max_size=8)
PIECES = st.lists(
    OBJECTS | st.builds(lambda kind, rest: {**rest, "type": kind}, st.sampled_from(KINDS), OBJECTS), max_size=4
)


@given(PIECES, OBJECTS, st.sampled_from(["chat", "completion", "batch"]))
def test_nothing_that_is_sent_or_asked_can_break_the_reading(
    pieces: list[dict[str, object]], body: dict[str, object], operation: str
) -> None:
    answers = [answered(*pieces), *(part for piece in pieces if (part := read_result(piece, "b")))]
    asked = read_request(operation, body, body)
    for answer in answers:
        usage = usage_of(operation, answer, asked)
        for name in Usage.__struct_fields__:
            count = getattr(usage, name)
            assert name in ("units", "estimated") or count is None or (type(count) is int and 0 <= count <= 10**15)
        assert all(0 < number <= 10**12 for number in (usage.units or {}).values())
        kept = [usage, answer.raw, answer.model, answer.response_id, answer.error_type, answer.reported_cost, asked]
        msgspec.msgpack.encode(kept)
