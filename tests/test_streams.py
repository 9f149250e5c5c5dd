"""Streams, observed in place: the app keeps the SDK's own object, and every way of ending gives one event."""

import asyncio
import copy
import gc
import json
import pickle
import weakref
from collections.abc import Callable
from itertools import islice
from typing import Any

import openai
import pytest
import wrapt
from capturing import ASK, KEY, Capturing, since
from leaving import (
    leave_async_block,
    leave_async_by_break,
    leave_async_unread,
    leave_block_by_exception,
    leave_by_break,
    leave_closed,
    leave_unread,
    leave_with_block,
)
from openai import _base_client

from usage_tracker.demo.exchange import Event, Json, Reply

ASKED: dict[str, Any] = {"model": "gpt-4o-mini", "messages": ASK}


def stream(capturing: Capturing, **more: Any) -> Any:
    return capturing.client.chat.completions.create(**ASKED, **more, stream=True)


def test_the_stream_is_the_sdks_own(capturing: Capturing) -> None:
    found = stream(capturing)
    assert type(found) is openai.Stream
    with found:
        chunks = list(found)
    assert {type(chunk).__name__ for chunk in chunks} == {"ChatCompletionChunk"}
    assert type(found.response).__mro__[1].__name__ != type(found.response).__name__
    assert found.response.is_closed
    capturing.one()


def test_a_stream_within_the_proxy_of_another_instrumentation_is_watched(
    capturing: Capturing, monkeypatch: pytest.MonkeyPatch
) -> None:
    base: Any = _base_client.SyncAPIClient
    read = base._process_response
    monkeypatch.setattr(base, "_process_response", lambda client, **said: wrapt.ObjectProxy(read(client, **said)))
    found = stream(capturing)
    assert type(found) is wrapt.ObjectProxy
    assert list(found)
    assert capturing.one().usage.input_tokens


def test_the_usage_that_we_asked_for_is_taken_and_its_chunk_hidden(capturing: Capturing) -> None:
    chunks = list(stream(capturing))
    assert capturing.provider.requests[-1].body["stream_options"] == {"include_usage": True}
    assert chunks
    assert all(chunk.choices for chunk in chunks)
    assert all("usage" not in chunk.model_dump(exclude_unset=True) for chunk in chunks)
    event = capturing.one()
    assert event.status == "ok"
    assert event.streamed
    assert 0 < (event.ttft_ms or 0) <= event.duration_ms < 60_000
    assert event.usage.input_tokens
    assert event.usage.output_tokens
    assert event.response_id == chunks[0].id
    assert event.ttft_ms is not None
    assert 0 < event.ttft_ms <= event.duration_ms


def test_an_app_that_asks_for_usage_gets_it(capturing: Capturing) -> None:
    chunks = list(stream(capturing, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert capturing.one().usage.input_tokens == chunks[-1].usage.prompt_tokens


def test_an_app_that_declines_usage_gets_none_and_neither_do_we(capturing: Capturing) -> None:
    list(stream(capturing, stream_options={"include_usage": False}))
    assert capturing.provider.requests[-1].body["stream_options"] == {"include_usage": False}
    event = capturing.one()
    assert (event.status, event.usage.input_tokens) == ("ok", None)


def test_the_apps_own_request_is_not_changed(capturing: Capturing) -> None:
    mine = {**ASKED, "stream": True, "stream_options": {"include_obfuscation": False}}
    before = copy.deepcopy(mine)
    list(
        capturing.client.post(
            "/chat/completions", body=mine, cast_to=object, stream=True, stream_cls=openai.Stream[Any]
        )
    )
    assert mine == before
    assert capturing.one().usage.input_tokens


def test_a_server_that_refuses_the_option_is_asked_again_without_it_once(capturing: Capturing) -> None:
    capturing.provider.refuses_stream_options = True
    assert list(stream(capturing))
    assert ["stream_options" in asked.body for asked in capturing.provider.requests] == [True, False]
    assert capturing.one().status == "ok"
    list(stream(capturing))
    assert ["stream_options" in asked.body for asked in capturing.provider.requests] == [True, False, False]
    capturing.one()


@pytest.mark.parametrize(("message", "asked"), [("The prompt was filtered.", 1), ("Unrecognized: stream_options", 2)])
def test_who_knows_the_option_is_asked_again_only_where_that_is_refused(
    capturing: Capturing, message: str, asked: int
) -> None:
    azure = openai.AzureOpenAI(api_key=KEY, api_version="2024-10-21", azure_endpoint=capturing.provider.url)
    capturing.provider.fail_next(9, 400, message=message)
    with azure, pytest.raises(openai.BadRequestError, match=message):
        azure.chat.completions.create(**ASKED, stream=True)
    assert len(capturing.provider.requests) == asked
    event = capturing.one()
    assert (event.status, event.http_status) == ("error", 400)


def test_an_error_that_has_other_reasons_reaches_the_app(capturing: Capturing) -> None:
    capturing.provider.fail_next(2, 400, message="too long")
    with pytest.raises(openai.BadRequestError, match="too long"):
        stream(capturing)
    event = capturing.one()
    assert (event.status, event.http_status, event.error_type) == ("error", 400, "BadRequestError")
    list(stream(capturing))
    assert "stream_options" in capturing.provider.requests[-1].body
    capturing.one()


@pytest.mark.parametrize(
    "leave", [leave_by_break, leave_with_block, leave_block_by_exception, leave_closed, leave_unread]
)
def test_a_stream_that_is_left_early_is_abandoned_with_unknown_usage(
    capturing: Capturing, leave: Callable[[Any], None]
) -> None:
    leave(stream(capturing))
    event = capturing.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("abandoned", None, None)


def test_a_stream_closed_early_is_recorded_then_and_not_when_it_is_dropped(capturing: Capturing) -> None:
    found = stream(capturing)
    next(found)
    found.close()
    assert len(capturing.captured) == 1
    del found
    capturing.one()


def test_a_stream_cut_in_the_middle_is_an_error(capturing: Capturing) -> None:
    capturing.provider.cut_next(after=2)
    with pytest.raises(Exception, match=r"incomplete|[Cc]onnection") as raised:  # of the SDK, before 3.0 of httpx
        list(stream(capturing))
    event = capturing.one()
    assert (event.status, event.error_type) == ("error", raised.type.__name__)


def test_a_stream_that_says_it_failed_is_an_error(capturing: Capturing) -> None:
    capturing.provider.break_next_stream(after=2)
    with pytest.raises(openai.APIError):
        list(stream(capturing))
    event = capturing.one()
    assert (event.status, event.error_type) == ("error", "APIError")


@since(1, 92)
def test_the_stream_helper_is_one_call(capturing: Capturing) -> None:
    with capturing.client.chat.completions.stream(**ASKED) as helper:
        for _ in helper:
            pass
    assert helper.get_final_completion().usage is None
    assert capturing.one().usage.output_tokens


@since(1, 92)
def test_the_stream_helper_left_early_is_abandoned(capturing: Capturing) -> None:
    with capturing.client.chat.completions.stream(**ASKED) as helper:
        next(iter(helper))
    assert capturing.one().status == "abandoned"


def chunk(usage: Json | None = None, *, ends: bool = False, of_choice: Json | None = None) -> Event:
    choice = {"index": 0, "delta": {} if ends else {"content": "a"}, "finish_reason": "stop" if ends else None}
    said: Json = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
    return Event({**said, "choices": [{**choice, **(of_choice or {})}], **({"usage": usage} if usage else {})})


def parsed(capturing: Capturing, most: int | None = None) -> None:
    with stream(capturing) as found:
        for _ in islice(found, most):
            pass


def parsed_async(capturing: Capturing, most: int | None = None) -> None:
    async def main() -> None:
        async with capturing.aclient as client:
            found = await client.chat.completions.create(**ASKED, stream=True)
            pulled = 0
            async for _ in found:
                pulled += 1
                if pulled == most:
                    break
            await found.close()

    asyncio.run(main())


def by_lines(capturing: Capturing, most: int | None = None) -> None:
    with capturing.client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as response:
        for _ in islice(response.iter_lines(), most and 2 * most):  # each event has a blank line after it
            pass


WAYS = [parsed, parsed_async, by_lines]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("words", [0, 3])
def test_usage_within_the_choice_that_ends_is_read(capturing: Capturing, way: Callable[..., None], words: int) -> None:
    told = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "cached_tokens": 4}
    events = [*[chunk()] * words, chunk(ends=True, of_choice={"usage": told})]
    capturing.provider.reply = lambda _: Reply(events=events)
    way(capturing)
    event = capturing.one()
    assert (event.status, event.model, event.response_id) == ("ok", "m-1", "c-1")
    assert (event.usage.input_tokens, event.usage.output_tokens, event.usage.cache_read_tokens) == (9, 3, 4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("most", "status", "told"), [(2, "abandoned", 2), (4, "ok", 4), (None, "ok", 4)])
def test_a_stream_that_tells_its_usage_so_far_has_ended_when_a_choice_has(
    capturing: Capturing, way: Callable[..., None], most: int | None, status: str, told: int
) -> None:
    so_far = [{"prompt_tokens": 9, "completion_tokens": count, "total_tokens": 9 + count} for count in range(1, 5)]
    events = [*map(chunk, so_far[:3]), chunk(so_far[3], ends=True)]
    capturing.provider.reply = lambda _: Reply(events=events)
    way(capturing, most)
    event = capturing.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == (status, 9, told)


def read_lines(response: Any) -> str:
    return "\n".join(response.iter_lines())


def read_bytes(response: Any) -> str:
    return b"".join(response.iter_bytes(7)).decode()


def read_text(response: Any) -> str:
    return "".join(response.iter_text())


def read_raw(response: Any) -> str:
    return b"".join(response.http_response.iter_raw()).decode()


def read_whole(response: Any) -> str:
    return response.read().decode()  # type: ignore[no-any-return]  # bytes.decode


READERS = [read_lines, read_bytes, read_text, read_raw, read_whole]


@pytest.mark.parametrize("read", READERS)
def test_a_stream_read_by_lines_or_bytes_is_read_with_the_app(capturing: Capturing, read: Callable[[Any], str]) -> None:
    asked = capturing.client.chat.completions.with_streaming_response
    with asked.create(**ASKED, stream=True) as response:
        text = read(response)
    assert text.count("data: ") == text.count('"delta"') + 1
    assert '"usage"' not in text
    assert text.rstrip().endswith("data: [DONE]")
    event = capturing.one()
    assert event.status == "ok"
    assert event.usage.output_tokens


def test_events_may_end_in_different_ways(capturing: Capturing) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    told = [chunk().fields, chunk(ends=True).fields, {**chunk(usage).fields, "choices": []}]
    texts = [f"data: {json.dumps(fields)}" for fields in told]
    body = f"{texts[0]}\r\n\r\n: wait\n\n{texts[1]}\r\n\r\n{texts[2]}\n\ndata: [DONE]\r\n\r\n"
    capturing.provider.reply = lambda _: Reply(body, kind="text/event-stream")
    with capturing.client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as response:
        assert response.read().decode() == body.replace(f"{texts[2]}\n\n", "")
    event = capturing.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("ok", 9, 3)


def test_a_stream_whose_response_is_read_past_it_is_read_with_the_app(capturing: Capturing) -> None:
    text = "\n".join(stream(capturing).response.iter_lines())
    assert text.count("data: ") == text.count('"delta"') + 1
    event = capturing.one()
    assert event.status == "ok"
    assert event.usage.output_tokens


def test_a_stream_read_by_lines_and_left_is_abandoned(capturing: Capturing) -> None:
    with capturing.client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as response:
        next(response.iter_lines())
    assert capturing.one().status == "abandoned"


@since(3, 0)  # its HTTP client closes a response with the reading of it
@pytest.mark.parametrize("read", ["aiter_raw", "aiter_bytes"])
def test_an_async_body_that_is_left_lets_go_of_its_connection_at_once(capturing: Capturing, read: str) -> None:
    async def main() -> None:
        async with capturing.aclient as client:
            asked = client.chat.completions.with_streaming_response
            async with asked.create(**ASKED, stream=True) as response:
                pieces = getattr(response.http_response, read)()
                await anext(pieces)
                await pieces.aclose()
                assert response.http_response.is_closed

    asyncio.run(main())
    assert capturing.one().status == "abandoned"


def test_a_response_that_the_app_closes_between_two_pieces_ends_there_and_then(capturing: Capturing) -> None:
    with capturing.client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as response:
        lines = response.iter_lines()
        next(lines)
        response.close()
        assert [event.status for _, event in capturing.captured] == ["abandoned"]
        del lines
    capturing.one()


def test_a_streaming_response_that_is_never_read_is_abandoned(capturing: Capturing) -> None:
    with capturing.client.chat.completions.with_streaming_response.create(**ASKED):
        pass
    assert capturing.one().status == "abandoned"


@pytest.mark.parametrize("read", [lambda response: response.json(), lambda response: response.parse().model_dump(),
                                  lambda response: response.read()])  # fmt: skip
def test_a_streaming_response_that_is_json_is_read_when_the_app_has_it(
    capturing: Capturing, read: Callable[[Any], Any]
) -> None:
    with capturing.client.chat.completions.with_streaming_response.create(**ASKED) as response:
        assert read(response)
    event = capturing.one()
    assert (event.status, event.streamed) == ("ok", False)
    assert event.usage.output_tokens


def test_a_stream_that_a_hook_of_the_app_has_read_shows_no_more_either(capturing: Capturing) -> None:
    capturing.client._client.event_hooks = {"response": [lambda response: response.read()]}
    response = capturing.client.chat.completions.with_raw_response.create(**ASKED, stream=True)
    assert response.http_response.content.endswith(b"[DONE]\n\n")
    assert b"usage" not in response.http_response.content
    chunks: list[Any] = list(response.parse())
    assert chunks
    assert all(chunk.choices for chunk in chunks)
    assert capturing.one().usage.output_tokens


def test_a_raw_response_of_a_stream_gives_the_parsed_stream(capturing: Capturing) -> None:
    raw = capturing.client.chat.completions.with_raw_response.create(**ASKED, stream=True)
    chunks = list(raw.parse())
    assert all(chunk.choices for chunk in chunks)
    assert all("usage" not in chunk.model_dump(exclude_unset=True) for chunk in chunks)
    event = capturing.one()
    assert (event.status, event.response_id) == ("ok", chunks[0].id)
    assert event.usage.output_tokens


@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "application/octet-stream", ""])
def test_an_answer_by_another_name_is_read_as_the_sdk_does(capturing: Capturing, kind: str) -> None:
    """A gateway may say nothing of what it passes on, or something else; the app that parses it gets what it is."""
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    said = {"id": "c-1", "created": 1, "model": "m-1", "choices": [], "usage": usage}
    headers = {"content-type": kind}
    replies = [
        Reply({**said, "object": "chat.completion"}, kind=kind),
        Reply(events=[Event({**said, "object": "chat.completion.chunk"})], headers=headers),
    ]
    capturing.provider.reply = lambda asked: replies[bool(asked.body.get("stream"))]
    raw: Any = capturing.client.chat.completions.with_raw_response
    assert raw.create(**ASKED).parse().id == "c-1"
    streamed = raw.create(**ASKED, stream=True, stream_options={"include_usage": True})
    assert [chunk.id for chunk in streamed.parse()] == ["c-1"]
    for _, event in capturing.all():
        assert (event.status, event.response_id) == ("ok", "c-1")
        assert (event.usage.input_tokens, event.usage.output_tokens) == (3, 4)


def test_a_response_that_is_watched_can_be_pickled_and_copied(capturing: Capturing) -> None:
    found = stream(capturing)
    list(found)
    again = pickle.loads(pickle.dumps(found.response))
    assert type(again) is type(found.response)
    assert type(again).__name__ == "Response"
    capturing.one()


@pytest.mark.parametrize("leave", [leave_async_by_break, leave_async_block, leave_async_unread])
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_an_async_stream_that_is_left_early_is_abandoned(capturing: Capturing, leave: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with capturing.aclient as client:
            await leave(await client.chat.completions.create(**ASKED, stream=True))

    asyncio.run(main())
    assert capturing.one().status == "abandoned"


def test_an_async_stream_is_read_to_its_end(capturing: Capturing) -> None:
    async def main() -> list[Any]:
        async with capturing.aclient as client:
            found = await client.chat.completions.create(**ASKED, stream=True)
            assert type(found) is openai.AsyncStream
            return [chunk async for chunk in found]

    chunks = asyncio.run(main())
    assert chunks
    assert all(chunk.choices for chunk in chunks)
    assert all("usage" not in chunk.model_dump(exclude_unset=True) for chunk in chunks)
    assert capturing.one().usage.output_tokens


def test_an_async_stream_that_is_cancelled_says_so(capturing: Capturing) -> None:
    capturing.provider.chunk_delay = 0.2

    async def read() -> None:
        async with capturing.aclient as client:
            async for _ in await client.chat.completions.create(**ASKED, stream=True):
                pass

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(read(), 0.3)

    asyncio.run(main())
    event = capturing.one()
    assert (event.status, event.error_type) == ("cancelled", "CancelledError")


def test_who_asks_for_a_chunk_while_somebody_else_waits_for_it_ends_nothing(capturing: Capturing) -> None:
    capturing.provider.chunk_delay = 0.05  # there is always one to wait for

    async def main() -> None:
        async with capturing.aclient as client:
            found = await client.chat.completions.create(**ASKED, stream=True)
            reader = asyncio.create_task(read_all(found))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="already running"):
                await anext(found)
            await reader

    asyncio.run(main())
    event = capturing.one()
    assert (event.status, bool(event.usage.output_tokens)) == ("ok", True)


def test_a_stream_that_failed_is_gone_when_the_app_has_done_with_it(capturing: Capturing) -> None:
    capturing.provider.chunk_delay = 0.2

    async def main() -> object:
        async with capturing.aclient as client:
            stream = await client.chat.completions.create(**ASKED, stream=True)
            gone = weakref.ref(stream)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(read_all(stream), 0.1)
            del stream
            return gone()

    gc.disable()
    try:
        assert asyncio.run(main()) is None
    finally:
        gc.enable()
    capturing.one()


async def read_all(stream: Any) -> None:
    async for _ in stream:
        pass


def test_an_async_stream_is_read_by_lines(capturing: Capturing) -> None:
    async def main() -> list[str]:
        async with capturing.aclient as client:
            asked = client.chat.completions.with_streaming_response
            async with asked.create(**ASKED, stream=True) as response:
                return [line async for line in response.iter_lines()]

    assert "data: [DONE]" in asyncio.run(main())
    event = capturing.one()
    assert (event.status, bool(event.usage.output_tokens)) == ("ok", True)


@since(1, 80)
def test_a_responses_stream_has_its_usage_in_its_last_event(capturing: Capturing) -> None:
    events = list(capturing.client.responses.create(model="gpt-5-mini", input="Say hello.", stream=True))
    assert events[-1].type == "response.completed"
    event = capturing.one()
    assert event.operation == "responses"
    assert event.usage.input_tokens == events[-1].response.usage.input_tokens  # type: ignore[union-attr]  # it is there
    assert event.response_id == events[-1].response.id
