"""Answers that are kept as they are told, and read when they are shipped, give the events that reading them at once
gives."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types import CompletionUsage, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import usage_tracker
from usage_tracker import tracker
from usage_tracker.capture.shapes import Shapes
from usage_tracker.demo.exchange import Event, Reply
from usage_tracker.demo.standin import StandIn
from usage_tracker.event import CallKind, Origin, Told, Usage
from usage_tracker.journal.header import VERSION, Header
from usage_tracker.providers import alike
from usage_tracker.providers import openai as openai_provider
from usage_tracker.providers.told import (
    READERS,
    encode_usage,
    event_of,
    event_with,
    kind_by_layout,
    read_by,
    read_said,
    told_as_read,
    unread,
)

USAGE = {"prompt_tokens": 41, "completion_tokens": 12, "total_tokens": 53, "prompt_cache_hit_tokens": 7}
NAMES = ("id", "model", "service_tier", "usage")


def answer(**more: Any) -> Any:
    """As the SDK makes it of what a server sends, known fields or not."""
    fields = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "choices": [], "model": "gpt-4o-mini"}
    return openai._models.construct_type(type_=ChatCompletion, value={**fields, "usage": USAGE, **more})


def told(said: tuple[Any, ...]) -> Told:
    return Told(1, 2.0, None, 200, 1, told_as_read([said]))


def kind(**more: Any) -> CallKind:
    origin = Origin(provider=None, sdk="openai", base_host="localhost")
    fields = {"by_model": True, "reader": "openai", "operation": "chat", "request_model": "gpt-4o", "streamed": False}
    return CallKind(origin=origin, **{**fields, "names": NAMES, **more})


@pytest.fixture
def shapes() -> Shapes:
    return Shapes(openai_provider, "chat")


def test_a_usage_object_is_kept_with_the_fields_that_the_sdk_does_not_know(shapes: Shapes) -> None:
    said = shapes.take(answer())
    assert said is not None
    origin, event = event_of(kind(), told(said))
    assert (event.usage.input_tokens, event.usage.output_tokens, event.usage.cache_read_tokens) == (41, 12, 7)
    assert event.raw == USAGE
    assert (event.model, event.response_id, event.status) == ("gpt-4o-mini", "chatcmpl-1", "ok")
    assert origin.provider == "openai", "by the model that answered, as the host tells nothing"


@pytest.mark.parametrize(
    ("said", "operation", "response_id", "tokens"),
    [
        (("chatcmpl-1", "gpt-4o-mini", None, encode_usage(USAGE)), "chat", "chatcmpl-1", (41, 12)),
        (("cmpl-1", "gpt-3.5-turbo-instruct", encode_usage(USAGE)), "completion", "cmpl-1", (41, 12)),
        (("text-embedding-3-small", encode_usage({"prompt_tokens": 5})), "embeddings", None, (5, None)),
        (
            ("message", "msg_1", "claude-sonnet-4-5", encode_usage({"input_tokens": 3, "output_tokens": 4})),
            "chat", "msg_1", (3, 4),
        ),
    ],
)  # fmt: skip
def test_a_call_whose_kind_is_damaged_keeps_its_id_and_its_tokens_and_has_no_price(
    said: tuple[Any, ...], operation: str, response_id: str | None, tokens: tuple[int, int | None]
) -> None:
    call = told(said)
    found = kind_by_layout(call)
    assert found is not None
    origin, event = event_of(found, call)
    assert (event.operation, event.response_id) == (operation, response_id)
    assert (event.usage.input_tokens, event.usage.output_tokens) == tokens
    assert (origin.provider, event.request_model) == (None, None)


def test_a_call_of_which_nothing_can_be_told_is_a_call() -> None:
    call = Told(1, 2.0, None, 200, 1, ((1, 2, 3, 4, 5, 6, {}),))
    assert kind_by_layout(call) is None
    assert (unread(None, call).operation, unread(None, call).usage.input_tokens) == ("unknown", None)


def test_objects_within_are_dicts_again() -> None:
    usage = CompletionUsage.model_validate({**USAGE, "prompt_tokens_details": {"cached_tokens": 3, "new_ones": 1}})
    read = read_said(msgspec.msgpack.decode(encode_usage(usage)))
    assert read["prompt_tokens_details"]["cached_tokens"] == 3
    assert read["prompt_tokens_details"]["new_ones"] == 1


def test_lists_of_a_provider_stay_lists() -> None:
    assert read_said([{"a": 1}, {"b": [2]}, None]) == [{"a": 1}, {"b": [2]}, None]


@pytest.mark.parametrize(
    "more",
    [
        {"error": {"code": "overloaded"}},
        {"x_groq": {"usage": USAGE}},
        {"usage_breakdown": {"models": []}},
        {"usage": {**USAGE, "note": "a text that may be a prompt, and is none"}},
        {"usage": {**USAGE, "prompt_tokens": 1 << 70}},
    ],
)
def test_what_says_more_is_read_at_once(shapes: Shapes, more: dict[str, Any]) -> None:
    assert shapes.take(answer(**more)) is None
    assert shapes.take(answer()) is not None, "of the same class"


def test_an_answer_that_is_no_object_of_the_sdk_is_read_at_once(shapes: Shapes) -> None:
    for other in ({"usage": USAGE}, "text", None, object()):
        assert shapes.take(other) is None


def test_an_embedding_with_an_id_is_read_at_once() -> None:
    shapes = Shapes(openai_provider, "embeddings")
    fields = {"object": "list", "data": [], "model": "m", "usage": USAGE}
    plain, more = (
        openai._models.construct_type(type_=CreateEmbeddingResponse, value=value)
        for value in (fields, {**fields, "id": "embd-1"})
    )
    assert shapes.take(plain) is not None
    assert shapes.take(more) is None


def test_chunks_of_text_need_no_reading(shapes: Shapes) -> None:
    shapes.meet(ChatCompletionChunk)
    assert shapes.quiet == {ChatCompletionChunk}


def test_what_nobody_can_read_is_a_call_of_unknown_usage() -> None:
    event = unread(None, Told(1, 2.0, None, 200, 1, ()))
    assert (event.operation, event.usage.known(), event.http_status) == ("unknown", False, 200)
    event = unread(kind(streamed=True), Told(1, 2.0, 1.5, 200, 3, ()))
    assert (event.started_at, event.duration_ms, event.ttft_ms, event.attempts) == (1, 2.0, 1.5, 3)
    assert (event.operation, event.request_model, event.streamed) == ("chat", kind().request_model, True)


def test_segments_of_the_version_before_can_be_read_and_those_of_the_next_are_left_alone() -> None:
    header = Header(1, 1, uuid4(), b"store-01", 0)
    assert Header.unpack(header.pack()) == header
    assert Header.unpack(header._replace(version=VERSION + 1).pack()) is None


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_gives_the_same_event_read_now_or_later(provider: StandIn, tmp_path: Path, streamed: bool) -> None:
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool", app="tests", project="p", stream_usage="always")
    assert tracker.installed is not None
    pipeline = tracker.installed.pipeline()
    with openai.OpenAI(api_key="sk-test", base_url=provider.base_url, max_retries=0) as client:
        for listeners in ([], [lambda origin, event: None]):
            pipeline.recorder.listeners[:] = listeners
            asked: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
            answer = client.chat.completions.create(**asked, stream=streamed)
            assert list(answer)
    pipeline.recorder.listeners.clear()
    spool = pipeline.journal.spool
    file = spool.open(spool.segments()[0])
    assert file is not None
    later, now = file.reader.read(10, ended=True).events
    file.close()
    usage_tracker.uninstall()
    assert file.reader._kinds, "the first was not read before"
    assert later.origin == now.origin
    assert later.event.usage.known()
    assert (later.event.ttft_ms is not None) is streamed
    differs = {"started_at": 0, "duration_ms": 0.0, "ttft_ms": None, "response_id": None}
    assert msgspec.structs.replace(later.event, **differs) == msgspec.structs.replace(now.event, **differs)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("own", ["\ud800", 10**25])
def test_an_id_that_can_not_be_kept_as_it_is_costs_no_event(
    provider: StandIn, tmp_path: Path, own: object, streamed: bool
) -> None:
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool")
    assert tracker.installed is not None
    fields = {"id": own, "model": "gpt-4o", "choices": [], "usage": USAGE}
    provider.reply = lambda asked: Reply(events=[Event(fields)]) if streamed else Reply(fields)
    with openai.OpenAI(api_key="sk-test", base_url=provider.base_url, max_retries=0) as client:
        list(client.chat.completions.create(model="gpt-4o", messages=[], stream=streamed))
    pipeline = tracker.installed.pipeline()
    spool = pipeline.journal.spool
    file = spool.open(spool.segments()[0])
    assert file is not None
    [kept] = file.reader.read(10, ended=True).events
    file.close()
    usage_tracker.uninstall()
    assert (kept.event.response_id, kept.event.model) == (None, "gpt-4o")
    assert (kept.event.usage.input_tokens, kept.event.usage.output_tokens) == (41, 12)


COUNTED = st.integers(0, 2000) | st.sampled_from([0, -1, 10**12, 10**12 + 1])
FIGURE = COUNTED | st.none() | st.booleans() | st.floats(0, 9) | st.sampled_from(["standard", "", " x ", "w" * 65])


def usages(details: dict[str, list[str]], names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Usage objects with some of these names, and objects within with some of theirs."""
    within = {name: st.dictionaries(st.sampled_from(parts), COUNTED | FIGURE) for name, parts in details.items()}
    return st.fixed_dictionaries({}, optional={**dict.fromkeys(names, COUNTED | FIGURE), **within})


OPENAI = usages(
    {
        "prompt_tokens_details": ["cached_tokens", "audio_tokens", "cache_write_tokens"],
        "completion_tokens_details": ["reasoning_tokens", "audio_tokens"],
        "input_tokens_details": ["cached_tokens"],
        "cost": ["total_cost"],
    },
    ["prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "prompt_cache_hit_tokens",
     "reasoning_tokens", "num_search_queries", "cost_in_usd_ticks", "_hidden", "service_tier", "seconds"],
)  # fmt: skip
ANTHROPIC = usages(
    {
        "cache_creation": ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"],
        "server_tool_use": ["web_search_requests"],
        "output_tokens_details": ["thinking_tokens"],
    },
    ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "service_tier",
     "total_tokens"],
)  # fmt: skip


@pytest.mark.parametrize(
    ("reader", "operation", "names", "values"),
    [
        ("openai", "chat", NAMES, ["chatcmpl-1", "gpt-4o", "default"]),
        ("openai", "completion", ("id", "model", "usage"), ["cmpl-1", "gpt-4o"]),
        ("openai", "embeddings", ("model", "usage"), ["text-embedding-3-small"]),
        ("anthropic", "chat", ("type", "id", "model", "usage"), ["message", "msg-1", "claude-sonnet-4"]),
    ],
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chance=st.data())
def test_answers_that_are_alike_are_read_as_their_provider_reads_each(
    reader: str, operation: str, names: tuple[str, ...], values: list[Any], chance: st.DataObject
) -> None:
    alike.plans.clear()
    usage = chance.draw(ANTHROPIC if reader == "anthropic" else OPENAI)
    for _ in range(3):  # the first one is read as ever, the next ones by what it has shown
        if type(usage.get("prompt_tokens")) is int and type(usage.get("completion_tokens")) is int:
            outside = chance.draw(st.sampled_from([0, 5]))
            usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"] + outside
            usage["completion_tokens_details"] = {"reasoning_tokens": chance.draw(st.sampled_from([0, 5]))}
        identity = [chance.draw(st.sampled_from([value, value, "", None])) for value in values]
        pieces = [(*identity, None)] if chance.draw(st.booleans()) else []
        call = Told(1, 2.0, None, 200, 1, (*pieces, (*values, usage)))
        each = kind(reader=reader, operation=operation, names=names)
        assert event_of(each, call) == event_with(each, call, read_by(READERS[reader], each, call))
        usage = {name: chance.draw(COUNTED) if type(part) is int else part for name, part in usage.items()}


def test_ordinary_answers_are_alike(shapes: Shapes) -> None:
    alike.plans.clear()
    for tokens in (12, 40):
        usage: dict[str, Any] = {"prompt_tokens": 41, "completion_tokens": tokens, "total_tokens": 41 + tokens}
        said = told_as_read([shapes.take(answer(usage=CompletionUsage(**usage))) or ()])
        reading = alike.read_alike(openai_provider, "chat", NAMES, said)
        if reading is not None:
            assert (reading.usage.output_tokens, reading.response_id, reading.raw) == (tokens, "chatcmpl-1", usage)
    assert reading is not None
    assert None not in alike.plans.values()


def test_a_count_that_is_a_sum_is_one_in_the_next_answer_too() -> None:
    """Anthropic's input is what was read from a cache, what was written to one, and the rest."""
    alike.plans.clear()
    for rest, read, written in ((10, 200, 30), (11, 500, 7)):
        usage = {
            "input_tokens": rest, "cache_read_input_tokens": read, "cache_creation_input_tokens": written,
            "output_tokens": 5,
        }  # fmt: skip
        said = (("message", "msg-1", "claude-sonnet-4", usage),)
        reading = alike.read_alike(READERS["anthropic"], "chat", ("type", "id", "model", "usage"), said)
    assert reading is not None
    assert reading.usage == Usage(input_tokens=518, output_tokens=5, cache_read_tokens=500, cache_write_tokens=7)


def alike_usage(total: int) -> dict[str, Any]:
    return {"prompt_tokens": 41, "completion_tokens": 12, "total_tokens": total}


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ((("chatcmpl-1", "gpt-4o", "default", alike_usage(53)),), True),
        ((("chatcmpl-1", "gpt-4o", "default", alike_usage(60)),), False),  # there is more than input and output
        (((" ", "gpt-4o", "default", alike_usage(53)),), False),  # which is no id
        (((5, "gpt-4o", "default", alike_usage(53)),), False),
        ((("chatcmpl-1", 4, "default", alike_usage(53)),), False),
        ((("chatcmpl-1", "gpt-4o", "default", None),), False),
        ((("chatcmpl-1", "gpt-4o", "default", alike_usage(53)),) * 2, False),
    ],
)
def test_what_no_plan_is_sure_of_is_left_to_the_provider(said: alike.Said, read: bool) -> None:
    alike.plans.clear()
    for _ in range(2):  # a plan is made of the first
        alike.read_alike(openai_provider, "chat", NAMES, (("chatcmpl-1", "gpt-4o", "default", alike_usage(53)),))
        found = alike.read_alike(openai_provider, "chat", NAMES, said)
    assert (found is not None) is read


def test_an_answers_id_is_that_of_the_same_piece_as_in_those_that_are_alike() -> None:
    alike.plans.clear()
    usage = alike_usage(53)
    for first, last in (("chatcmpl-1", "chatcmpl-1"), ("chatcmpl-2", "chatcmpl-3")):
        call = Told(1, 2.0, None, 200, 1, ((first, "gpt-4o", None, None), (last, "gpt-4o", None, usage)))
        found = alike.read_alike(openai_provider, "chat", NAMES, call.said)
    assert found is not None
    assert found == read_by(openai_provider, kind(), call)


@pytest.mark.parametrize(
    ("reader", "usage"),
    [
        ("openai", {"prompt_tokens": 41, "completion_tokens": 12, "total_tokens": "53"}),
        ("openai", {"prompt_tokens": 41, "completion_tokens": 12, "total_tokens": {"of": 53}}),
        ("openai", {"prompt_tokens": 41, "total_tokens": 53}),
        ("openai", {"prompt_tokens": 41, "total_tokens": 41}),
        ("openai", {"completion_tokens": 12}),
        ("anthropic", {"input_tokens": 41, "output_tokens": 12, "service_tier": 3}),
    ],
)
def test_what_numbers_alone_do_not_tell_is_read_by_the_provider_each_time(reader: str, usage: dict[str, Any]) -> None:
    alike.plans.clear()
    names = NAMES if reader == "openai" else ("type", "id", "model", "usage")
    values = ("chatcmpl-1", "gpt-4o", None) if reader == "openai" else ("message", "msg-1", "claude-sonnet-4")
    each = kind(reader=reader, names=names)
    for more in (0, 5, 9):
        now = {name: part + more if type(part) is int else part for name, part in usage.items()}
        call = Told(1, 2.0, None, 200, 1, ((*values, now),))
        assert event_of(each, call) == event_with(each, call, read_by(READERS[reader], each, call))


def test_plans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    alike.plans.clear()
    monkeypatch.setattr(alike, "PLANS_AT_MOST", 3)
    for model in "abcde":
        alike.read_alike(openai_provider, "chat", NAMES, (("chatcmpl-1", model, "default", alike_usage(53)),))
    assert len(alike.plans) == 2
