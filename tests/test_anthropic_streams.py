"""Streams of the anthropic SDK: the app keeps the SDK's own objects, and every way of ending gives one event."""

import asyncio
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from anthropic_server import USAGE, AnthropicServer
from capturing import Captured
from leaving import (
    leave_async_block,
    leave_async_by_break,
    leave_async_unread,
    leave_block_by_exception,
    leave_by_break,
    leave_closed,
    leave_with_block,
)

KEY = "sk-ant-test-0123456789-wxyz"
ASKED: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Say hello."}],
}


@pytest.fixture
def server() -> Iterator[AnthropicServer]:
    with AnthropicServer() as server:
        yield server


@pytest.fixture
def messages(server: AnthropicServer, captured: Captured) -> Iterator[Any]:
    with anthropic.Anthropic(api_key=KEY, base_url=server.url, max_retries=0) as client:
        yield client.messages


def in_async(server: AnthropicServer, ask: Callable[[Any], Any]) -> Any:
    """What is asked of an async client's messages."""

    async def main() -> Any:
        async with anthropic.AsyncAnthropic(api_key=KEY, base_url=server.url, max_retries=0) as client:
            return await ask(client.messages)

    return asyncio.run(main())


def test_the_stream_is_the_sdks_own(messages: Any, captured: Captured) -> None:
    stream = messages.create(**ASKED, stream=True)
    assert type(stream) is anthropic.Stream
    with stream:
        events = list(stream)
    assert [type(event).__name__ for event in events][:2] == ["RawMessageStartEvent", "RawContentBlockStartEvent"]
    assert stream.response.is_closed
    captured.one()


def test_the_helper_is_the_sdks_own_and_adds_up_what_it_always_does(messages: Any, captured: Captured) -> None:
    with messages.stream(**ASKED) as helper:
        assert type(helper) is anthropic.MessageStream
        assert "".join(helper.text_stream) == "Hello from here."
        final = helper.get_final_message()
    assert (final.usage.input_tokens, final.usage.output_tokens) == (25, 12)
    event = captured.one()
    assert (event.usage.input_tokens, event.usage.output_tokens, event.response_id) == (41, 12, final.id)


def test_what_went_in_comes_first_and_all_totals_last(messages: Any, captured: Captured) -> None:
    list(messages.create(**ASKED, stream=True))
    event = captured.one()
    assert event.raw == USAGE
    assert event.ttft_ms is not None
    assert 0 < event.ttft_ms <= event.duration_ms


def test_the_passes_that_totals_leave_out_are_counted(
    server: AnthropicServer, messages: Any, captured: Captured
) -> None:
    compaction = {"type": "compaction", "input_tokens": 900, "cache_read_input_tokens": 100, "output_tokens": 50}
    message = {**{name: USAGE[name] for name in USAGE if name.endswith("tokens")}, "type": "message"}
    server.usage = {**USAGE, "iterations": [compaction, message]}
    list(messages.create(**ASKED, stream=True))
    event = captured.one()
    assert (event.usage.input_tokens, event.usage.output_tokens, event.usage.cache_read_tokens) == (1041, 62, 107)


def leave_generator(stream: Any) -> None:
    next(iter(stream))


LEAVING = [leave_by_break, leave_with_block, leave_block_by_exception, leave_closed, leave_generator]


@pytest.mark.parametrize("leave", LEAVING)
def test_a_stream_that_is_left_early_is_abandoned_and_knows_what_went_in(
    messages: Any, captured: Captured, leave: Callable[[Any], None]
) -> None:
    leave(messages.create(**ASKED, stream=True))
    event = captured.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("abandoned", 41, None)
    assert event.usage.cache_write_1h_tokens == 4
    assert event.raw is not None
    assert "output_tokens" not in event.raw


def test_a_stream_that_is_dropped_unread_is_abandoned(messages: Any, captured: Captured) -> None:
    stream = messages.create(**ASKED, stream=True)
    response = weakref.ref(stream.response)
    del stream
    if hasattr(anthropic.Stream, "_iterator"):  # an SDK whose streams don't wait for the garbage collector
        assert response() is None
    event = captured.one()
    assert (event.status, event.usage.input_tokens) == ("abandoned", None)
    assert response() is None


def test_a_stream_left_after_its_last_figures_is_complete(messages: Any, captured: Captured) -> None:
    with messages.create(**ASKED, stream=True) as stream:
        for event in stream:
            if event.type == "message_delta":
                break
    kept = captured.one()
    assert (kept.status, kept.usage.output_tokens) == ("ok", 12)


def test_a_helper_that_is_left_early_is_abandoned(messages: Any, captured: Captured) -> None:
    with messages.stream(**ASKED) as helper:
        next(helper.text_stream)
    assert captured.one().status == "abandoned"


def test_a_stream_cut_in_the_middle_is_an_error(server: AnthropicServer, messages: Any, captured: Captured) -> None:
    server.cut_next(after=3)
    with pytest.raises(Exception, match=r"incomplete|[Cc]onnection") as raised:
        list(messages.create(**ASKED, stream=True))
    event = captured.one()
    assert (event.status, event.error_type) == ("error", raised.type.__name__)
    assert (event.usage.input_tokens, event.usage.output_tokens) == (41, None)


def test_a_stream_that_says_it_failed_is_an_error(server: AnthropicServer, messages: Any, captured: Captured) -> None:
    server.break_next_stream(after=4)
    with pytest.raises(anthropic.APIStatusError, match="Overloaded") as raised:
        list(messages.create(**ASKED, stream=True))
    event = captured.one()
    assert (event.status, event.error_type) == ("error", raised.type.__name__)
    assert (event.usage.input_tokens, event.usage.output_tokens) == (41, None)


@pytest.mark.parametrize("after", [0, 4])
def test_a_stream_read_as_bytes_that_says_it_failed_is_an_error(
    server: AnthropicServer, messages: Any, captured: Captured, after: int
) -> None:
    server.break_next_stream(after=after)
    with messages.with_streaming_response.create(**ASKED, stream=True) as response:
        assert b"overloaded_error" in b"".join(response.iter_bytes())
    event = captured.one()
    assert (event.status, event.error_type) == ("error", "overloaded_error")


READERS: dict[str, Callable[[Any], object]] = {
    "lines": lambda response: list(response.iter_lines()),
    "bytes": lambda response: list(response.iter_bytes(7)),
    "text": lambda response: list(response.iter_text()),
    "whole": lambda response: response.read(),
    "parsed": lambda response: list(response.parse()),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_stream_that_the_app_reads_itself_is_read_with_it(messages: Any, captured: Captured, reader: str) -> None:
    with messages.with_streaming_response.create(**ASKED, stream=True) as response:
        assert READERS[reader](response)
    event = captured.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("ok", 41, 12)


def test_a_stream_read_by_lines_and_left_is_abandoned(messages: Any, captured: Captured) -> None:
    with messages.with_streaming_response.create(**ASKED, stream=True) as response:
        next(response.iter_lines())
    assert captured.one().status == "abandoned"


@pytest.mark.parametrize("leave", [leave_async_by_break, leave_async_block, leave_async_unread])
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_an_async_stream_that_is_left_early_is_abandoned(
    server: AnthropicServer, captured: Captured, leave: Callable[[Any], Any]
) -> None:
    async def ask(messages: Any) -> None:
        await leave(await messages.create(**ASKED, stream=True))

    in_async(server, ask)
    assert captured.one().status == "abandoned"


def test_an_async_helper_that_is_left_early_is_abandoned(server: AnthropicServer, captured: Captured) -> None:
    async def ask(messages: Any) -> None:
        async with messages.stream(**ASKED) as helper:
            assert type(helper) is anthropic.AsyncMessageStream
            await anext(helper)

    in_async(server, ask)
    event = captured.one()
    assert (event.status, event.usage.input_tokens) == ("abandoned", 41)


def test_an_async_stream_is_read_to_its_end(server: AnthropicServer, captured: Captured) -> None:
    async def ask(messages: Any) -> list[Any]:
        stream = await messages.create(**ASKED, stream=True)
        assert type(stream) is anthropic.AsyncStream
        return [event async for event in stream]

    events = in_async(server, ask)
    event = captured.one()
    assert (event.status, event.response_id, event.raw) == ("ok", events[0].message.id, USAGE)


def test_an_async_stream_is_read_by_lines(server: AnthropicServer, captured: Captured) -> None:
    async def ask(messages: Any) -> list[str]:
        async with messages.with_streaming_response.create(**ASKED, stream=True) as response:
            return [line async for line in response.iter_lines()]

    assert "event: message_stop" in in_async(server, ask)
    assert captured.one().raw == USAGE


def test_an_async_stream_that_is_cancelled_says_so(server: AnthropicServer, captured: Captured) -> None:
    server.chunk_delay = 0.2

    async def read(messages: Any) -> None:
        async for _ in await messages.create(**ASKED, stream=True):
            pass

    async def ask(messages: Any) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(read(messages), 0.5)

    in_async(server, ask)
    event = captured.one()
    assert (event.status, event.error_type) == ("cancelled", "CancelledError")


def test_a_stream_that_timed_out_is_an_error(server: AnthropicServer, messages: Any, captured: Captured) -> None:
    server.chunk_delay = 0.5
    with pytest.raises(Exception, match=r"[Tt]imed out|[Tt]imeout") as raised:
        list(messages.create(**ASKED, stream=True, timeout=0.1))
    event = captured.one()
    assert (event.status, event.error_type) == ("error", raised.type.__name__)
