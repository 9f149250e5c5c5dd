"""What is read from the events that OpenAI's servers send over WebSockets."""

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websocket_server import USAGE, realtime_response, realtime_session, responses_response, transcribed

from usage_tracker.capture import Client, Recorder, open_calls
from usage_tracker.capture.socket_sessions import STEPS, SocketSession, owners
from usage_tracker.event import Origin, Usage, UsageEvent
from usage_tracker.pricing import Pricer
from usage_tracker.providers.answer import Answer, Request, decode_object
from usage_tracker.providers.openai_events import (
    Ending,
    Session,
    ending_of,
    observe,
    read_refusal,
    read_request,
    read_session,
    type_of,
    usage_of,
)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b'{"type":"response.done","response":{}}', b"response.done"),
        (b' {\n  "type" : "error",\n "code": null}', b"error"),
        (b'{"event_id":"event_1","delta":"AAAA","type":"response.output_audio.delta"}', b"response.output_audio.delta"),
        (b'{"response":{"type":"error"},"type":"response.done"}', b"response.done"),
        (b'{"delta":"\\"type\\":\\"error\\""}', b""),
        (b'{"type":null}', b""),
        (b'{"type":"\\ud800"}', b""),
        (b'{"type":"response.done"', b"response.done"),
        (b"[]", b""),
        (b"\xff\x00", b""),
        (b"", b""),
    ],
)
def test_an_event_is_known_by_its_type_wherever_that_stands(message: bytes, kind: bytes) -> None:
    assert type_of(message) == kind


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (realtime_session("m-1"), Session("sess_1", "m-1")),
        (realtime_session("m-1", "asr-1"), Session("sess_1", "m-1", "asr-1")),
        (
            {"type": "session.updated", "session": {"id": "s", "input_audio_transcription": {"model": "whisper-1"}}},
            Session("s", None, "whisper-1"),
        ),
        ({"type": "session.started", "session": {"id": "s", "model": "m"}}, Session("s", "m", None, billed_whole=True)),
        (
            {"type": "session.created", "session": {"id": "s", "model": "m", "type": "translation", "audio": {}}},
            Session("s", "m", None, billed_whole=True),
        ),
        ({"type": "session.created"}, Session()),
        ({"type": "session.created", "session": {"audio": [], "input_audio_transcription": "x"}}, Session()),
    ],
)
def test_a_session_says_its_models(event: dict[str, Any], said: Session) -> None:
    assert read_session(event) == said


@pytest.mark.parametrize(
    ("operation", "event", "request_"),
    [
        ("realtime", {"type": "response.create"}, Request("realtime", "m-1")),
        (
            "realtime",
            {"response": {"metadata": {"user_id": "u-1", "tags": ["a"]}}},
            Request("realtime", "m-1", "u-1", tags=("a",)),
        ),
        ("realtime", {"response": SimpleNamespace(metadata={"user_id": "u-1"})}, Request("realtime", "m-1", "u-1")),
        ("responses", {"model": "m-2", "safety_identifier": "u-2"}, Request("responses", "m-2", "u-2")),
        ("responses", {"input": "x"}, Request("responses", "m-1")),
    ],
)
def test_what_is_asked_for_says_who_it_is_for(operation: str, event: dict[str, Any], request_: Request) -> None:
    assert read_request(operation, event, "m-1") == request_


@pytest.mark.parametrize(
    ("response", "ending"),
    [
        ({"status": "completed"}, Ending("ok")),
        ({"status": "incomplete", "status_details": {"reason": "content_filter"}}, Ending("ok")),
        (
            {"status": "cancelled", "status_details": {"reason": "client_cancelled"}},
            Ending("cancelled", "client_cancelled"),
        ),
        ({"status": "cancelled"}, Ending("cancelled", "cancelled")),
        ({"status": "failed", "status_details": {"error": {"code": "a", "type": "b"}}}, Ending("error", "a")),
        ({"status": "failed", "error": {"code": None, "type": "b"}}, Ending("error", "b")),
        ({"status": "cancelled", "status_details": {"reason": "a" * 65}}, Ending("cancelled", "a" * 64)),
        ({"status": "failed", "error": {"code": "a" * 65}}, Ending("error", "a" * 64)),
        ({"status": "failed", "error": {"type": "b" * 65}}, Ending("error", "b" * 64)),
        ({"status": "failed"}, Ending("error", "failed")),
        ({}, Ending("ok")),
    ],
)
def test_a_response_says_how_it_ended(response: dict[str, Any], ending: Ending) -> None:
    assert ending_of({"response": response}) == ending


@pytest.mark.parametrize(
    ("event", "refusal"),
    [
        ({"error": {"code": "a", "type": "b", "event_id": "e-1"}}, ("a", "e-1", False, None)),
        ({"error": {"code": None, "type": "b", "param": "response.tools"}}, ("b", None, True, None)),
        ({"error": {"code": "conversation_already_has_active_response"}, "status": 409},
         ("conversation_already_has_active_response", None, True, 409)),
        ({"error": {"client_event_id": "e-2"}, "status": 7}, ("error", "e-2", False, None)),
        ({"error": {"code": "a" * 65}, "status": 599}, ("a" * 64, None, False, 599)),
        ({"error": {"type": "b" * 65}, "status": 100}, ("b" * 64, None, False, 100)),
        ({"type": "error", "code": "a"}, ("a", None, False, None)),
        ({"type": "error"}, ("error", None, False, None)),
    ],
)  # fmt: skip
def test_an_error_says_what_it_is_about(event: dict[str, Any], refusal: tuple[Any, ...]) -> None:
    assert tuple(read_refusal(event)) == refusal


def used(operation: str, event: dict[str, Any]) -> tuple[Answer, Usage]:
    answer = Answer()
    observe(answer, event)
    return answer, usage_of(operation, answer, Request(operation))


def test_a_conversations_totals_include_its_audio_and_what_was_cached() -> None:
    answer, usage = used("realtime", realtime_response()[3])
    assert (usage.input_tokens, usage.cache_read_tokens, usage.input_audio_tokens) == (132, 69, 13)
    assert (usage.output_tokens, usage.output_audio_tokens, usage.reasoning_tokens) == (121, 91, None)
    assert (answer.raw, answer.response_id, answer.error_type) == (USAGE, "resp_1", None)


def price(operation: str, model: str, event: dict[str, Any]) -> str | None:
    answer, usage = used(operation, event)
    told = UsageEvent(
        started_at=1_795_000_000_000_000_000,
        duration_ms=1.0,
        operation=operation,
        model=model,
        usage=usage,
        raw=answer.raw,
    )
    amount = Pricer().price(Origin(provider="openai", sdk="openai"), told).amount
    return None if amount is None else f"{amount.normalize():f}"


def test_text_audio_and_what_was_cached_of_each_have_their_own_price() -> None:
    # 55 text, 64 cached text, 8 audio, 5 cached audio; 30 text, 91 audio
    dollars = (55 * 0.6 + 64 * 0.06 + 8 * 10 + 5 * 0.3 + 30 * 2.4 + 91 * 20) / 1e6
    assert price("realtime", "gpt-realtime-mini", realtime_response()[3]) == f"{dollars:.8f}"


def test_audio_is_never_priced_as_text() -> None:
    whole = {**USAGE, "input_token_details": None, "output_token_details": None}
    uncached = {**USAGE, "input_token_details": {"text_tokens": 119, "audio_tokens": 13, "cached_tokens": 69}}
    for unclear in (whole, uncached):
        assert price("realtime", "gpt-realtime-mini", {"response": {"usage": unclear}}) is None
    assert price("realtime", "gpt-4o-audio-preview", realtime_response()[3]) is None


def test_a_transcription_is_priced_by_its_own_model_and_measure() -> None:
    assert price("transcription", "gpt-4o-transcribe", transcribed()[2]) == "0.000226"
    by_length = transcribed(usage={"type": "duration", "seconds": 4.5})[2]
    assert price("transcription", "whisper-1", by_length) == "0.00045"


def test_a_session_is_priced_by_its_length() -> None:
    assert price("realtime", "gpt-live-1", {"type": "session.usage.updated", "usage": {"seconds": 90}}) == "0.075"


NAMES = st.sampled_from(
    "type session id model audio input transcription input_audio_transcription response metadata status status_details "
    "error code param event_id client_event_id reason usage seconds input_tokens output_tokens total_tokens "
    "input_token_details cached_tokens_details audio_tokens cached_tokens stream_id response_id item_id delta event "
    "delegation_id decision output object background".split()
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["completed", "failed", "cancelled", "resp_1", "response.done", "translation", "response"])
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)
EVENTS = st.dictionaries(NAMES, JSON, max_size=8)


@given(EVENTS, st.sampled_from(["realtime", "responses", "transcription", "decision"]))
def test_nothing_that_is_sent_can_break_the_reading(event: dict[str, Any], operation: str) -> None:
    answer, usage = used(operation, event)
    read = [read_session(event), ending_of(event), read_refusal(event), read_request(operation, event, "m")]
    for name in Usage.__struct_fields__:
        count = getattr(usage, name)
        assert name in ("units", "estimated") or count is None or (type(count) is int and 0 <= count <= 10**13)
    msgspec.msgpack.encode([usage, answer.raw, answer.model, answer.response_id, answer.error_type, *map(tuple, read)])


@given(st.binary(max_size=40) | EVENTS.map(lambda event: json.dumps(event).encode()))
def test_no_message_can_break_the_reading_of_its_type(message: bytes) -> None:
    assert type(type_of(message)) is bytes


KINDS = st.sampled_from([*(kind.decode() for kind in STEPS), "response.text.delta", "response.in_progress", "x"])
WHOLE = st.sampled_from(
    [
        *realtime_response(),
        *realtime_response("resp_2", status="failed"),
        *responses_response({"stream_id": "a"}),
        *transcribed(),
        realtime_session("m-1", "asr-1"),
        {"type": "session.usage.updated", "usage": {"seconds": 4}},
        {"type": "session.closed", "usage": {"seconds": 4}},
        {"type": "error", "error": {"code": "response_failed"}},
    ]
)
TALK = st.lists(
    st.tuples(st.just("ask"), EVENTS)
    | st.tuples(st.just("hear"), WHOLE | st.tuples(KINDS, EVENTS).map(lambda said: {**said[1], "type": said[0]})),
    max_size=25,
)


@given(TALK, st.sampled_from(["realtime", "responses"]))
def test_however_a_conversation_goes_each_call_ends_once(talk: list[tuple[str, Any]], operation: str) -> None:
    owners.clear()
    kept: list[UsageEvent] = []
    recorder = Recorder(lambda origin, event: kept.append(event))
    before, asked, answered = set(open_calls), 0, 0
    session = SocketSession(recorder, Client("openai"), operation, "/v1/realtime?model=m-1")
    for what, event in talk:
        if what == "ask":
            session.ask(event)
            asked += 1
        else:
            message = json.dumps(event).encode()
            session.receive(message)
            # not of what was made: with an infinite number in it, it is no JSON
            answered += decode_object(message).get("type") in ("response.done", "response.completed")
    session.end("abandoned", "ok")
    session.end("abandoned", "ok")
    assert set(open_calls) == before
    assert len(kept) >= max(asked, answered)
    assert len(kept) <= asked + len(talk)
