"""LiteLLM's streams, watched in place: the app keeps LiteLLM's own object, and every way of ending gives one event."""

import asyncio
import gc
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import wraps
from itertools import pairwise
from typing import Any

import litellm
import pytest
from anthropic_server import AnthropicServer
from capturing import Captured
from gemini_server import GeminiServer
from leaving import leave_async_by_exception, leave_async_unread, leave_by_break, leave_by_exception, leave_unread
from with_litellm.asking import ASK, CONTENTS, KEY, achat, at, at_anthropic, at_gemini, chat, run, wait_for

import usage_tracker
from usage_tracker.capture.litellm_streams import wrapped_methods
from usage_tracker.demo.answers import Answers
from usage_tracker.demo.exchange import Asked, Event, Reply
from usage_tracker.demo.standin import StandIn

USAGE = {"stream_options": {"include_usage": True}}


def text(provider: StandIn, **more: Any) -> Any:
    return litellm.text_completion(
        model="text-completion-openai/gpt-3.5-turbo-instruct", prompt="Say hello.", **at(provider), **more
    )


def responses(provider: StandIn, **more: Any) -> Any:
    return litellm.responses(model="openai/gpt-5-mini", input="Say hello.", **at(provider), **more)


def test_a_stream_has_what_its_provider_said(captured: Captured, provider: StandIn) -> None:
    chunks = list(chat(provider, stream=True, **USAGE))
    origin, event = captured.one_call()
    assert (event.status, event.streamed, event.operation, event.http_status) == ("ok", True, "chat", 200)
    assert (event.usage.input_tokens, event.usage.output_tokens, event.usage.estimated) == (
        chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens, False,
    )  # fmt: skip
    assert (event.response_id, origin.provider, event.request_model) == (chunks[0].id, "openai", "gpt-4o-mini")
    assert event.ttft_ms is not None
    assert 0 < event.ttft_ms <= event.duration_ms


@pytest.mark.parametrize("name", ["perplexity", "custom_openai", "hosted_vllm", "litellm_proxy"])
def test_a_model_has_the_same_name_whether_its_answer_is_streamed(
    captured: Captured, provider: StandIn, name: str
) -> None:
    chat(provider, model=f"{name}/gpt-4o-2024-08-06")
    list(chat(provider, model=f"{name}/gpt-4o-2024-08-06", stream=True))
    assert [event.model for _, event in captured.all()] == ["gpt-4o-2024-08-06"] * 2


def test_a_stream_names_the_model_that_answered_as_its_provider_does(
    captured: Captured, provider: StandIn, anthropic: AnthropicServer
) -> None:
    """Where LiteLLM's own chunks name the one that was asked for."""
    for stream in (False, True):
        asked = {"messages": ASK, "stream": stream}
        list(litellm.completion(model="openai/gpt-4o-mini", **asked, **at(provider)))
        list(litellm.completion(model="anthropic/claude-sonnet-4-5", **asked, **at_anthropic(anthropic)))
    assert [event.model for _, event in captured.all()] == ["gpt-4o-mini-2024-07-18", "claude-sonnet-4-5-20250929"] * 2


def test_an_async_stream_has_it_too(captured: Captured, provider: StandIn) -> None:
    chunks = run(achat(provider, stream=True, **USAGE))
    event = captured.one()
    assert event.usage.output_tokens == chunks[-1].usage.completion_tokens
    assert (event.status, event.streamed, event.response_id) == ("ok", True, chunks[0].id)


def test_an_async_stream_can_be_a_sync_ones(captured: Captured, provider: StandIn) -> None:
    stream = chat(provider, stream=True)

    async def main() -> list[Any]:
        return [chunk async for chunk in stream]

    assert asyncio.run(main())
    assert captured.one().status == "ok"


@pytest.mark.parametrize("ask", [text, responses])
def test_streams_of_other_functions_are_the_same(
    captured: Captured, provider: StandIn, ask: Callable[..., Any]
) -> None:
    chunks = list(ask(provider, stream=True, **(USAGE if ask is text else {})))
    event = captured.one()
    assert (event.status, event.streamed, len(provider.requests)) == ("ok", True, 1)
    last = getattr(chunks[-1], "response", chunks[-1]).usage
    assert event.usage.output_tokens == (last.completion_tokens if ask is text else last.output_tokens) > 0


def test_async_streams_of_other_functions_are_the_same(captured: Captured, provider: StandIn) -> None:
    run(
        litellm.atext_completion(
            model="text-completion-openai/gpt-3.5-turbo-instruct", prompt="x", stream=True, **USAGE, **at(provider)
        )
    )
    assert captured.one().usage.output_tokens
    run(litellm.aresponses(model="openai/gpt-5-mini", input="x", stream=True, **at(provider)))
    assert captured.one().usage.output_tokens


def test_anthropics_chunks_are_merged(captured: Captured, anthropic: AnthropicServer) -> None:
    asked = {"model": "anthropic/claude-sonnet-4-5", "messages": ASK, "stream": True, **at_anthropic(anthropic)}
    list(litellm.completion(**asked))
    run(litellm.acompletion(**asked))
    calls = captured.all()
    assert len(calls) == 2
    for _, event in calls:
        usage = event.usage
        assert (event.status, usage.input_tokens, usage.output_tokens) == ("ok", 41, 12)
        assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.estimated) == (7, 9, False)


def test_a_stream_of_anthropics_own_events_is_read(captured: Captured, anthropic: AnthropicServer) -> None:
    asked = {"model": "anthropic/claude-sonnet-4-5", "messages": ASK, "max_tokens": 10, **at_anthropic(anthropic)}
    pieces = run(litellm.anthropic_messages(**asked, stream=True))
    assert b"message_start" in b"".join(pieces)
    event = captured.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("ok", 41, 12)


def test_a_stream_of_geminis_own_events_is_read(captured: Captured, gemini: GeminiServer) -> None:
    asked: dict[str, Any] = {"model": "gemini/gemini-2.5-flash", "contents": CONTENTS, **at_gemini(gemini)}
    assert list(litellm.google_genai.generate_content_stream(**asked))
    assert run(litellm.google_genai.agenerate_content_stream(**asked))
    calls = captured.all()
    assert len(calls) == 2
    for _, event in calls:
        assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("ok", 29, 17)


@pytest.fixture
def generators(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in versions of LiteLLM that hand back generators, which can't carry a call."""
    import litellm.google_genai.main as gemini

    asked, asked_async = gemini.generate_content_stream, gemini.agenerate_content_stream

    @wraps(asked)
    def older(*args: Any, **kwargs: Any) -> Any:
        stream = asked(*args, **kwargs)

        def pieces() -> Iterator[Any]:
            yield from stream

        return pieces()

    @wraps(asked_async)
    async def older_async(*args: Any, **kwargs: Any) -> Any:
        stream = await asked_async(*args, **kwargs)

        async def pieces() -> AsyncIterator[Any]:
            async for piece in stream:
                yield piece

        return pieces()

    for module in (gemini, litellm.google_genai):
        monkeypatch.setattr(module, "generate_content_stream", older)
        monkeypatch.setattr(module, "agenerate_content_stream", older_async)


@pytest.mark.usefixtures("generators")
def test_a_generator_is_watched_by_one_of_ours(captured: Captured, gemini: GeminiServer) -> None:
    asked: dict[str, Any] = {"model": "gemini/gemini-2.5-flash", "contents": CONTENTS, **at_gemini(gemini)}
    stream = litellm.google_genai.generate_content_stream(**asked)
    assert (inspect.isgenerator(stream), stream.__name__) == (True, "pieces")
    assert list(stream)
    assert run(litellm.google_genai.agenerate_content_stream(**asked))
    calls = captured.all()
    assert len(calls) == 2
    for _, event in calls:
        assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("ok", 29, 17)


@pytest.mark.usefixtures("generators")
def test_a_generator_that_is_left_or_dropped_is_abandoned(captured: Captured, gemini: GeminiServer) -> None:
    asked: dict[str, Any] = {"model": "gemini/gemini-2.5-flash", "contents": CONTENTS, **at_gemini(gemini)}
    stream = litellm.google_genai.generate_content_stream(**asked)
    next(stream)
    stream.close()
    del stream
    assert captured.one().status == "abandoned"
    litellm.google_genai.generate_content_stream(**asked)
    assert captured.one().status == "abandoned"


@pytest.mark.parametrize("model", ["groq/llama-3", "openai/gpt-5-mini"])
def test_zeros_that_litellm_begins_another_apis_stream_with_are_no_usage(
    captured: Captured, provider: StandIn, model: str
) -> None:
    async def leave_early() -> None:
        asked = {"model": model, "messages": ASK, "max_tokens": 99, "stream": True, **at(provider)}
        stream = await litellm.anthropic_messages(**asked)
        assert b'"input_tokens": 0' in await anext(stream)
        await stream.aclose()

    asyncio.run(leave_early())
    wait_for(captured)
    event = captured.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("abandoned", None, None)


def test_a_stream_by_way_of_another_api_has_its_providers_usage(captured: Captured, anthropic: AnthropicServer) -> None:
    asked = {"model": "anthropic/claude-sonnet-4-5", "input": "Say hello.", **at_anthropic(anthropic)}
    list(litellm.responses(**asked, stream=True))
    usage = captured.one().usage
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (41, 12, False)


def without_usage(asked: Asked) -> Reply:
    """A stream of a server that knows no `stream_options`."""
    about = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "Hello"}, {"content": " there."}, {}]
    return Reply(
        events=[
            Event({**about, "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]})
            for delta in deltas
        ]
    )


def test_a_stream_without_usage_has_none_or_litellms_estimate(captured: Captured, provider: StandIn) -> None:
    provider.reply = without_usage
    list(chat(provider, stream=True))
    event = captured.one()
    assert (event.status, event.model) == ("ok", "m-1")
    assert event.usage.estimated or not event.usage.known()


def test_what_litellm_counts_where_it_was_asked_for_usage_is_an_estimate(captured: Captured, provider: StandIn) -> None:
    provider.reply = without_usage
    chunks = list(chat(provider, stream=True, **USAGE))
    usage = captured.one().usage
    assert (usage.output_tokens, usage.estimated) == (chunks[-1].usage.completion_tokens, True)


def test_so_it_is_where_a_chat_feeds_another_apis_stream(captured: Captured, provider: StandIn) -> None:
    provider.reply = without_usage
    list(litellm.responses(model="groq/llama-3", input="Say hello.", stream=True, **at(provider)))
    usage = captured.one().usage
    assert usage.output_tokens
    assert usage.estimated


def response_without_usage(asked: Asked) -> Reply:
    reply = Answers(0).reply(asked, 1)
    for event in reply.events or ():
        event.fields.get("response", {}).pop("usage", None)
    return reply


def test_so_it_is_where_a_stream_of_responses_ends_without_usage(captured: Captured, provider: StandIn) -> None:
    provider.reply = response_without_usage
    ended = list(responses(provider, stream=True))[-1].response
    event = captured.one()
    assert event.status == "ok"
    assert (event.usage.output_tokens is not None) == event.usage.estimated == (ended.usage is not None)


def leave_closed(stream: Any) -> None:
    next(stream)
    close = getattr(stream, "close", None)
    if close is not None:
        close()


LEAVING = [leave_by_break, leave_by_exception, leave_closed, leave_unread]


@pytest.mark.parametrize("leave", LEAVING)
@pytest.mark.parametrize("ask", [chat, text, responses])
def test_a_stream_that_is_left_early_is_abandoned_with_unknown_usage(
    captured: Captured, provider: StandIn, ask: Callable[..., Any], leave: Callable[[Any], None]
) -> None:
    leave(ask(provider, stream=True))
    wait_for(captured)
    event = captured.one()
    assert (event.status, event.streamed) == ("abandoned", True)
    assert (event.usage.input_tokens, event.usage.output_tokens) == (None, None)


def test_what_went_in_is_known_of_a_stream_that_is_left_early(captured: Captured, anthropic: AnthropicServer) -> None:
    next(litellm.completion(model="anthropic/claude-sonnet-4-5", messages=ASK, stream=True, **at_anthropic(anthropic)))
    wait_for(captured)
    event = captured.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("abandoned", 41, None)


def test_a_stream_that_is_left_after_its_last_word_is_complete(captured: Captured, anthropic: AnthropicServer) -> None:
    stream = litellm.completion(
        model="anthropic/claude-sonnet-4-5", messages=ASK, stream=True, **at_anthropic(anthropic)
    )
    for chunk in stream:
        if chunk.choices[0].finish_reason:
            break
    del stream, chunk
    wait_for(captured)
    event = captured.one()
    assert (event.status, event.usage.output_tokens) == ("ok", 12)


def test_a_stream_that_is_dropped_is_recorded_then(captured: Captured, provider: StandIn) -> None:
    stream = responses(provider, stream=True)
    next(stream)
    assert captured.captured == []
    del stream
    assert captured.one().status == "abandoned"


async def leave_async_by_break(stream: Any) -> None:
    async for _ in stream:
        break


async def leave_async_closed(stream: Any) -> None:
    await anext(stream)
    await stream.aclose()


class Held(list[Event]):
    """Events of which all but the first are sent when the app has left: on a machine however busy, it gets no more."""

    def __init__(self, events: Iterable[Event], left: threading.Event) -> None:
        super().__init__(events)
        self._left = left

    def __iter__(self) -> Iterator[Event]:
        yield self[0]
        self._left.wait(60)
        yield from self[1:]


LEAVING_ASYNC = [leave_async_by_break, leave_async_closed, leave_async_by_exception, leave_async_unread]


@pytest.mark.parametrize("leave", LEAVING_ASYNC)
def test_an_async_stream_that_is_left_early_is_abandoned(
    captured: Captured, provider: StandIn, leave: Callable[[Any], Any]
) -> None:
    async def main() -> None:
        await leave(await achat(provider, stream=True))

    asyncio.run(main())
    wait_for(captured)
    assert captured.one().status == "abandoned"


@pytest.mark.parametrize("leave", LEAVING_ASYNC)
def test_an_async_stream_of_bytes_that_is_left_early_is_abandoned(
    captured: Captured, anthropic: AnthropicServer, leave: Callable[[Any], Any]
) -> None:
    answer, left = anthropic.reply, threading.Event()

    def reply(asked: Asked) -> Reply:
        made = answer(asked)
        assert made is not None
        return made._replace(events=Held(made.events or (), left))

    anthropic.reply = reply
    asked = {"model": "anthropic/claude-sonnet-4-5", "messages": ASK, "max_tokens": 10, **at_anthropic(anthropic)}

    async def main() -> None:
        await leave(await litellm.anthropic_messages(**asked, stream=True))

    asyncio.run(main())
    left.set()
    wait_for(captured)
    event = captured.one()
    assert event.status == "abandoned"
    assert event.usage.output_tokens is None


def test_a_stream_that_is_closed_is_recorded_then_and_not_when_it_is_dropped(
    captured: Captured, provider: StandIn
) -> None:
    async def main() -> None:
        stream = await achat(provider, stream=True)
        await anext(stream)
        await stream.aclose()
        assert len(captured.captured) == 1

    asyncio.run(main())
    captured.one()


def test_an_async_stream_that_is_cancelled_says_so(captured: Captured, provider: StandIn) -> None:
    provider.chunk_delay = 0.3

    async def read() -> None:
        async for _ in await achat(provider, stream=True):
            pass

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(read(), 0.6)

    asyncio.run(main())
    event = captured.one()
    assert (event.status, event.error_type) == ("cancelled", "CancelledError")


class Silent(litellm.CustomLLM):  # type: ignore[misc]  # LiteLLM is not where mypy runs
    """A provider of the app's own that never sends a chunk, and that nothing but its task holds."""

    async def astreaming(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield {}


def test_a_stream_that_goes_with_its_event_loop_is_abandoned_without_a_word(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The garbage collector closes what waits for a chunk, outside of its task's context."""
    monkeypatch.setattr(litellm, "custom_provider_map", [{"provider": "own", "custom_handler": Silent()}])

    async def read() -> None:
        stream = await litellm.acompletion("own/model", messages=ASK, stream=True)
        asyncio.create_task(anext(stream))  # noqa: RUF006  nobody waits for it
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(read())
    loop.close()
    wait_for(captured)
    assert captured.one().status == "abandoned"


def test_a_stream_cut_in_the_middle_is_an_error(captured: Captured, provider: StandIn) -> None:
    provider.cut_next(after=2)
    with pytest.raises(Exception, match="litellm") as raised:
        list(chat(provider, stream=True))
    event = captured.one()
    assert (event.status, event.error_type) == ("error", raised.type.__name__)


def test_a_stream_that_says_it_failed_is_an_error_with_what_it_used(captured: Captured, provider: StandIn) -> None:
    about = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
    choice = {"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}
    usage = {"prompt_tokens": 43, "completion_tokens": 10, "total_tokens": 53}
    failure = {"error": {"code": 400, "message": "Token limit reached"}, "usage": usage, "choices": []}
    provider.reply = lambda asked: Reply(events=[Event({**about, "choices": [choice]}), Event({**about, **failure})])
    with pytest.raises(Exception, match="Token limit reached"):
        list(chat(provider, model="openrouter/minimax/minimax-m2", stream=True))
    origin, event = captured.one_call()
    assert (event.status, origin.provider, event.request_model) == ("error", "openrouter", "minimax/minimax-m2")
    assert (event.usage.input_tokens, event.usage.output_tokens, event.usage.estimated) == (43, 10, False)


def test_a_stream_is_litellms_own_object(captured: Captured, provider: StandIn) -> None:
    stream = chat(provider, stream=True)
    assert type(stream) is litellm.CustomStreamWrapper
    assert iter(stream) is stream
    chunks = list(stream)
    assert {type(chunk).__name__ for chunk in chunks} == {"ModelResponseStream"}
    with pytest.raises(StopIteration):
        next(stream)
    captured.one()


def test_a_stream_belongs_to_who_started_it(captured: Captured, provider: StandIn) -> None:
    with usage_tracker.attribute(project="alpha"):
        stream = text(provider, stream=True)
    with usage_tracker.attribute(project="beta"):
        list(stream)
    assert captured.one_call()[0].project == "alpha"


def test_between_two_chunks_the_app_makes_calls_of_its_own(captured: Captured, provider: StandIn) -> None:
    for number, _ in enumerate(chat(provider, stream=True)):
        if number == 1:
            chat(provider)
    assert sorted(event.streamed for _, event in captured.all()) == [False, True]


def test_streams_side_by_side_keep_their_own(captured: Captured, provider: StandIn) -> None:
    async def read(number: int) -> tuple[str, str]:
        with usage_tracker.attribute(user=f"u-{number}"):
            chunks = [chunk async for chunk in await achat(provider, stream=True, **USAGE)]
        return f"u-{number}", chunks[0].id

    async def main() -> list[tuple[str, str]]:
        return await asyncio.gather(*map(read, range(8)))

    expected = set(asyncio.run(main()))
    assert {(origin.user_id, event.response_id) for origin, event in captured.all()} == expected


def test_streams_classes_are_put_back(captured: Captured, provider: StandIn) -> None:
    plain = {name: vars(litellm.CustomStreamWrapper)[name] for name in ("__next__", "__anext__", "aclose")}
    stream = chat(provider, stream=True, **USAGE)
    assert wrapped_methods
    assert vars(litellm.CustomStreamWrapper)["__next__"] is not plain["__next__"]
    usage_tracker.uninstall()
    assert {name: vars(litellm.CustomStreamWrapper)[name] for name in plain} == plain
    assert list(stream)
    del stream
    wait_for(captured)
    event = captured.one()
    assert (event.status, event.usage.known()) == ("ok", True)


def test_streams_that_are_left_leave_nothing_behind(captured: Captured, provider: StandIn) -> None:
    from usage_tracker.capture import open_calls

    def leave_many() -> int:
        gc.disable()  # LiteLLM's streams are in cycles: closed within httpcore's lock, one would wait for it for ever
        for _ in range(5):
            next(responses(provider, stream=True))
            next(chat(provider, stream=True))
        gc.enable()
        wait_for(captured, 10)
        assert open_calls == {}
        assert len(captured.all()) == 10
        return len(gc.get_objects())

    leave_many()
    held = [leave_many() for _ in range(4)]
    grown = [after - before for before, after in pairwise(held)]
    assert min(grown) < 1000, "what stays of each stream grows every time; a task that LiteLLM has in hand does not"


@pytest.mark.parametrize("key", ["", KEY])
def test_a_mocked_stream_is_one_call(captured: Captured, key: str) -> None:
    list(litellm.completion(model="gpt-4o", messages=ASK, mock_response="Hello there.", stream=True, api_key=key))
    event = captured.one()
    assert (event.status, event.streamed) == ("ok", True)
    assert event.usage.estimated or not event.usage.known()
