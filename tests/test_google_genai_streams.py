"""Streams of the google-genai SDK: the app keeps its generators, and every way of ending gives one event."""

import asyncio
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from gemini_server import USAGE
from google.genai import errors
from google_clients import MODEL, QUIET, Google, google, has, since
from hypothesis import example, given
from hypothesis import strategies as st
from leaving import leave_async_by_exception, leave_by_break, leave_by_exception, leave_closed
from test_google_genai import ASKED, TOOLS

from usage_tracker.capture import Client, Recorder
from usage_tracker.capture.google_genai import StreamedCall
from usage_tracker.providers import google_genai
from usage_tracker.providers.answer import Answer, Request

__all__ = ["google"]

pytestmark = QUIET

UP_TO_HERE = (25, None)
"""What an answer has said of input and output before its last piece."""


def stream(google: Google, **more: Any) -> Any:
    return google.client.models.generate_content_stream(**ASKED, **more)


def test_a_stream_is_the_sdks_own_generator_and_asks_when_it_is_read(google: Google) -> None:
    found = stream(google)
    assert inspect.isgenerator(found)
    assert google.server.requests == []
    chunks: list[Any] = list(found)
    assert "".join(chunk.text for chunk in chunks) == "Hello from here."
    event = google.one()
    assert (event.status, event.http_status, event.streamed, event.operation) == ("ok", 200, True, "chat")
    assert (event.usage.input_tokens, event.usage.output_tokens, event.raw) == (29, 17, USAGE)
    assert (event.model, event.response_id) == (chunks[0].model_version, "answer-1")
    assert event.ttft_ms is not None
    assert 0 < event.ttft_ms <= event.duration_ms


def test_an_async_stream_is_the_sdks_own_generator(google: Google) -> None:
    async def read(client: Any) -> list[Any]:
        found = await client.models.generate_content_stream(**ASKED)
        assert inspect.isasyncgen(found)
        return [chunk async for chunk in found]

    chunks = google.asks(read)
    assert len(chunks) == 3
    event = google.one()
    assert (event.status, event.http_status, event.usage.output_tokens, event.raw) == ("ok", 200, 17, USAGE)
    assert event.ttft_ms is not None


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_exception, leave_closed])
def test_a_stream_that_is_left_early_is_abandoned_with_what_it_said_up_to_there(
    google: Google, leave: Callable[[Any], None]
) -> None:
    leave(stream(google))
    event = google.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("abandoned", *UP_TO_HERE)


def test_a_stream_that_is_never_read_sends_nothing_and_is_no_call(google: Google) -> None:
    stream(google)
    assert google.all() == []
    assert google.server.requests == []


def test_a_stream_that_is_left_when_it_had_said_all_is_complete(google: Google) -> None:
    found = stream(google)
    assert [next(found).text for _ in range(3)]
    found.close()
    event = google.one()
    assert (event.status, event.usage.output_tokens) == ("ok", 17)


async def leave_async_by_break(found: Any) -> None:
    async for _ in found:
        break
    await found.aclose()


async def leave_async_dropped(found: Any) -> None:
    await anext(found)


@pytest.mark.parametrize("leave", [leave_async_by_break, leave_async_dropped, leave_async_by_exception])
def test_an_async_stream_that_is_left_early_is_abandoned(google: Google, leave: Callable[[Any], Any]) -> None:
    async def read(client: Any) -> None:
        await leave(await client.models.generate_content_stream(**ASKED))
        await asyncio.sleep(0)  # until the loop has closed what was dropped

    google.asks(read)
    event = google.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("abandoned", *UP_TO_HERE)


@since(1, 2)  # before, async streams were read in the loop's own thread
def test_an_async_stream_that_is_cancelled_says_so(google: Google) -> None:
    google.server.chunk_delay = 0.2

    async def read(client: Any) -> None:
        async for _ in await client.models.generate_content_stream(**ASKED):
            pass

    with pytest.raises(asyncio.TimeoutError):
        google.asks(lambda client: asyncio.wait_for(read(client), 0.3))
    event = google.one()
    assert (event.status, event.error_type) == ("cancelled", "CancelledError")


def test_a_refused_stream_is_an_event_with_its_error(google: Google) -> None:
    google.server.fail_next(2, 404)
    with pytest.raises(errors.ClientError):
        list(stream(google))
    event = google.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "ClientError", 404)

    async def read(client: Any) -> list[Any]:
        return [chunk async for chunk in await client.models.generate_content_stream(**ASKED)]

    with pytest.raises(errors.ClientError):
        google.asks(read)
    event = google.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "ClientError", 404)


def test_a_stream_cut_in_the_middle_is_an_error(google: Google) -> None:
    google.server.cut_next(after=2)
    with pytest.raises(
        Exception, match=r"incomplete|[Cc]onnection|closed|prematurely"
    ) as raised:  # of whichever HTTP library
        list(stream(google))
    event = google.one()
    assert (event.status, event.error_type) == ("error", raised.type.__name__)
    assert (event.usage.input_tokens, event.usage.output_tokens) == UP_TO_HERE


def test_a_stream_that_says_it_failed_is_an_error(google: Google) -> None:
    google.server.break_next_stream(after=1)
    error_type = "UNAVAILABLE"
    try:
        list(stream(google))
    except errors.ServerError:  # before 1.3x the SDK hands the error out as a chunk
        error_type = "ServerError"
    event = google.one()
    assert (event.status, event.error_type) == ("error", error_type)


def test_automatic_function_calling_in_a_stream_is_one_event_for_each_request(google: Google) -> None:
    list(stream(google, config=TOOLS))
    assert [event.response_id for event in google.events()] == ["answer-1", "answer-2"]
    chat = google.client.chats.create(model=MODEL, config=TOOLS)
    list(chat.send_message_stream("And in Paris?"))
    assert [event.usage.input_tokens for event in google.events()] == [29, 29]


@since(2, 34)
def test_a_continued_stream_is_one_event_for_each_request(google: Google) -> None:
    list(google.client.models.generate_content_stream(model="gemini-continued", contents="Say hello."))
    assert [(event.status, event.usage.output_tokens) for event in google.events()] == [("ok", 17), ("ok", 17)]


def test_streams_at_the_same_time_keep_their_own(google: Google) -> None:
    async def read(client: Any) -> None:
        async for _ in await client.models.generate_content_stream(**ASKED):
            pass

    async def all_of_them(client: Any) -> None:
        await asyncio.gather(*(read(client) for _ in range(10)))

    google.asks(all_of_them)
    assert {event.response_id for event in google.events()} == {f"answer-{number}" for number in range(1, 11)}


COUNTS = ["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount"]
figures = st.fixed_dictionaries(
    {},
    optional={name: st.one_of(st.integers(0, 9), st.none()) for name in COUNTS}
    | {"serviceTier": st.one_of(st.sampled_from(["flex", "priority"]), st.none())},
)
candidates = st.sampled_from([{}, {"finishReason": "STOP"}, {"groundingMetadata": {"webSearchQueries": ["a"]}}])
CHUNK = {
    "usageMetadata": figures,
    "candidates": st.lists(candidates, max_size=2),
    "error": st.just({"code": 3}),
    "modelVersion": st.just("m-1"),
    "promptFeedback": st.just({}),
}


@given(st.lists(st.fixed_dictionaries({}, optional=CHUNK), max_size=6))
@example([{}, {"usageMetadata": {}, "modelVersion": "m-1"}, {"usageMetadata": {}}])
def test_pieces_that_are_left_unread_would_have_said_nothing_new(said: list[dict[str, Any]]) -> None:
    one_by_one, call = (
        Answer(),
        StreamedCall(google_genai, Recorder(lambda *_: None), Client("google-genai"), Request("chat"), True),
    )
    for piece in said:
        google_genai.observe(one_by_one, piece)
        call.take(piece)
    call.finish()
    assert call.answer.raw == one_by_one.raw
    for name in ("model", "partial", "service_tier", "units"):
        assert getattr(call.answer, name) == getattr(one_by_one, name)


def test_a_stream_left_in_the_middle_tells_all_that_came_before(google: Google) -> None:
    found = stream(google)
    next(found)
    next(found)
    found.close()
    event = google.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("abandoned", *UP_TO_HERE)


@since(2, 34)
def test_streams_and_answers_over_httpx_are_the_same(google: Google) -> None:
    """The SDK's other HTTP library for async calls, which it takes where a transport is given."""
    httpx = import_module("httpx2" if has(3, 0) else "httpx")
    client = google.make(async_client_args={"transport": httpx.AsyncHTTPTransport()})

    async def both(asynchronous: Any) -> int:
        await asynchronous.models.generate_content(**ASKED)
        return len([chunk async for chunk in await asynchronous.models.generate_content_stream(**ASKED)])

    assert google.asks(both, client) == 3
    assert [(event.http_status, event.usage.output_tokens) for event in google.events()] == [(200, 17), (200, 17)]
