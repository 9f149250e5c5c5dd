"""What the app gets back is what it would get without us, down to how it is copied, pickled, left and closed."""

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from capturing import ASK, KEY, Capturing
from openai._base_client import AsyncAPIClient, SyncAPIClient

import usage_tracker
from usage_tracker.demo.standin import StandIn

ASKED: dict[str, Any] = {"model": "gpt-4o-mini", "messages": ASK}
RESPONSES: dict[str, Any] = {"model": "gpt-5-mini", "input": "Say hello."}
SPEECH: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "input": "Say hello."}
AUDIO: dict[str, Any] = {"model": "whisper-1", "file": ("a.wav", b"RIFF"), "response_format": "text"}

GIVEN: dict[str, Callable[[openai.OpenAI], Any]] = {
    "chat completion": lambda client: client.chat.completions.create(**ASKED),
    "stream": lambda client: client.chat.completions.create(**ASKED, stream=True),
    "raw response": lambda client: client.chat.completions.with_raw_response.create(**ASKED),
    "raw response of a stream": lambda client: client.chat.completions.with_raw_response.create(**ASKED, stream=True),
    "speech": lambda client: client.audio.speech.create(**SPEECH),
    "transcription as text": lambda client: client.audio.transcriptions.create(**AUDIO),
    "response": lambda client: client.responses.create(**RESPONSES),
    "stream of a response": lambda client: client.responses.create(**RESPONSES, stream=True),
}

ENTERED: dict[str, Callable[[openai.OpenAI], AbstractContextManager[Any]]] = {
    "streaming response": lambda client: client.chat.completions.with_streaming_response.create(**ASKED),
    "streaming response of a stream": lambda client: client.chat.completions.with_streaming_response.create(
        **ASKED, stream=True
    ),
    "streaming response of speech": lambda client: client.audio.speech.with_streaming_response.create(**SPEECH),
    "chat completion stream": lambda client: client.chat.completions.stream(**ASKED),
    "response stream": lambda client: client.responses.stream(**RESPONSES),
}

ASYNC: dict[str, Callable[[openai.AsyncOpenAI], Any]] = {
    "chat completion": lambda client: client.chat.completions.create(**ASKED),
    "stream": lambda client: client.chat.completions.create(**ASKED, stream=True),
    "raw response": lambda client: client.chat.completions.with_raw_response.create(**ASKED),
    "speech": lambda client: client.audio.speech.create(**SPEECH),
    "transcription as text": lambda client: client.audio.transcriptions.create(**AUDIO),
    "stream of a response": lambda client: client.responses.create(**RESPONSES, stream=True),
}

ASYNC_ENTERED: dict[str, Callable[[openai.AsyncOpenAI], Any]] = {
    "streaming response": lambda client: client.chat.completions.with_streaming_response.create(**ASKED),
    "chat completion stream": lambda client: client.chat.completions.stream(**ASKED),
    "response stream": lambda client: client.responses.stream(**RESPONSES),
}

pytestmark = pytest.mark.filterwarnings(  # the SDK's own, of a client that could not be copied to its end
    "ignore:Exception ignored .*<function .*HttpxClientWrapper.__del__:pytest.PytestUnraisableExceptionWarning"
)

Traits = dict[str, object]


def outcome(act: Callable[[], object]) -> object:
    """What an action gives, by its type; or how it fails."""
    try:
        return type(act())
    except Exception as error:  # noqa: BLE001  whatever it is, it has to be the same without us
        return type(error), str(error)


def http_response(found: Any) -> Any:
    """The HTTP response within what an SDK gives; it may keep it in a private place."""
    return next((own for name in ("response", "http_response", "_response") if (own := getattr(found, name, None))), 0)


def traits(found: Any) -> Traits:
    """What an app can tell of an object without using it up."""
    response = http_response(found)
    return {
        "type": type(found),
        "bases": type(found).__mro__,
        "class as it says": found.__class__,
        "public names": {name for name in dir(found) if not name.startswith("_")},
        "truth": bool(found),
        "enters": hasattr(found, "__enter__"),
        "enters asynchronously": hasattr(found, "__aenter__"),
        "iterates": (hasattr(found, "__iter__"), hasattr(found, "__next__"), hasattr(found, "__aiter__")),
        "copy": outcome(lambda: copy.copy(found)),
        "deep copy": outcome(lambda: copy.deepcopy(found)),
        "pickle": outcome(lambda: pickle.loads(pickle.dumps(found))),
        "pickle of its response": outcome(lambda: pickle.loads(pickle.dumps(response))),
        "copy of its response": type(copy.copy(response)).__name__,
        "response": (type(response).__name__, type(response).__module__, type(response).__qualname__, repr(response)),
        "response is one": [base.__name__ for base in type(response).__mro__ if isinstance(response, base)][-2:],
    }


def left(found: Any) -> Traits:
    """How an object lets itself be left and closed, more than once."""
    if isinstance(found, str) or not hasattr(found, "close"):
        return {}
    result: Traits = {"first": outcome(lambda: next(iter(found)))}
    if hasattr(found, "__enter__"):
        with found as entered:
            result["what is entered is itself"] = entered is found
        result["closed by its block"] = http_response(found).is_closed
    result["close"] = [outcome(found.close), outcome(found.close)]
    result["closed"] = http_response(found).is_closed
    result["response afterwards"] = type(http_response(found)).__name__
    return result


async def left_async(found: Any) -> Traits:
    """As `left`, for what is awaited."""
    result: Traits = {}
    if hasattr(found, "__anext__"):
        result["first"] = type(await anext(found))
    if hasattr(found, "__aenter__"):
        async with found as entered:
            result["what is entered is itself"] = entered is found
    if inspect.iscoroutinefunction(getattr(found, "close", None)):
        result["close"] = [await found.close(), await found.close()]
        result["closed"] = http_response(found).is_closed
    return result


@contextmanager
def tracking(tmp_path: Path, tracked: bool) -> Iterator[None]:
    """With us, or without."""
    if not tracked:
        yield
        return
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool", stream_usage="always")
    yield
    usage_tracker.uninstall()


@pytest.fixture
def both(tmp_path: Path, provider: StandIn) -> Callable[[Callable[[StandIn], Traits]], None]:
    """Does the same without us and with us, and asserts that nothing tells which it was."""

    def compare(look: Callable[[StandIn], Traits]) -> None:
        seen = []
        for tracked in (False, True):
            with tracking(tmp_path, tracked):
                seen.append(look(provider))
        assert seen[1] == seen[0]

    return compare


Both = Callable[[Callable[[StandIn], Traits]], None]


@contextmanager
def client_of(provider: StandIn) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=provider.base_url, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("kind", GIVEN)
def test_what_a_call_gives_is_the_same(both: Both, kind: str) -> None:
    def look(provider: StandIn) -> Traits:
        with client_of(provider) as client:
            found = GIVEN[kind](client)
            return {**traits(found), **left(found)}

    both(look)


@pytest.mark.parametrize("kind", ENTERED)
def test_what_a_block_gives_is_the_same(both: Both, kind: str) -> None:
    def look(provider: StandIn) -> Traits:
        with client_of(provider) as client:
            asked = ENTERED[kind](client)
            with asked as found:
                return {"asked": type(asked), **traits(found), **left(found)}

    both(look)


@pytest.mark.parametrize("kind", ASYNC)
def test_what_an_async_call_gives_is_the_same(both: Both, kind: str) -> None:
    async def ask(provider: StandIn) -> Traits:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=provider.base_url, max_retries=0) as client:
            asked = ASYNC[kind](client)
            awaits = inspect.iscoroutine(asked)
            found = await asked
            return {"a coroutine": awaits, **traits(found), **await left_async(found)}

    both(lambda provider: asyncio.run(ask(provider)))


@pytest.mark.parametrize("kind", ASYNC_ENTERED)
def test_what_an_async_block_gives_is_the_same(both: Both, kind: str) -> None:
    async def ask(provider: StandIn) -> Traits:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=provider.base_url, max_retries=0) as client:
            asked = ASYNC_ENTERED[kind](client)
            async with asked as found:
                return {"asked": type(asked), **traits(found), **await left_async(found)}

    both(lambda provider: asyncio.run(ask(provider)))


CALLABLES: dict[str, Callable[[openai.OpenAI, openai.AsyncOpenAI], Any]] = {
    "create": lambda client, _: client.chat.completions.create,
    "async create": lambda _, client: client.chat.completions.create,
    "request of a client": lambda client, _: client.request,
    "request of an async client": lambda _, client: client.request,
    "request": lambda *_: SyncAPIClient.request,
    "async request": lambda *_: AsyncAPIClient.request,
    "parse": lambda *_: openai._response.APIResponse.parse,
    "async parse": lambda *_: openai._response.AsyncAPIResponse.parse,
}


@pytest.mark.parametrize("name", CALLABLES)
def test_what_is_called_looks_the_same(both: Both, name: str) -> None:
    def look(provider: StandIn) -> Traits:
        clients = openai.OpenAI(api_key=KEY), openai.AsyncOpenAI(api_key=KEY)
        function = CALLABLES[name](*clients)
        clients[0].close()
        asyncio.run(clients[1].close())
        return {
            "signature": inspect.signature(function),
            "a coroutine function": inspect.iscoroutinefunction(function),
            "a function": (inspect.isfunction(function), inspect.ismethod(function), inspect.isroutine(function)),
            "names": (function.__name__, function.__qualname__, function.__module__, function.__doc__),
            "class": function.__class__,
        }

    both(look)


def test_a_response_that_was_copied_before_it_is_read_is_still_watched(capturing: Capturing) -> None:
    asked = capturing.client.chat.completions.with_streaming_response
    for duplicate in (copy.copy, pickle.dumps):
        with asked.create(**ASKED) as response:
            duplicate(response.http_response)
            assert response.parse().usage
        event = capturing.one()
        assert (event.status, event.usage.output_tokens is None) == ("ok", False)


def test_a_way_of_a_response_that_was_taken_before_it_was_closed_leads_there_afterwards(both: Both) -> None:
    """As `ExitStack.callback(response.close)` has it, or OpenTelemetry's own around that."""

    def look(provider: StandIn) -> Traits:
        with client_of(provider) as client:
            stream = client.chat.completions.create(**ASKED, stream=True)
            taken = {name: getattr(stream.response, name) for name in ("close", "iter_bytes", "iter_raw")}
            stream.close()
            return {name: outcome(way) for name, way in taken.items()}

    async def look_async(provider: StandIn) -> Traits:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=provider.base_url, max_retries=0) as client:
            stream = await client.chat.completions.create(**ASKED, stream=True)
            close = stream.response.aclose
            await stream.close()
            return {"aclose": await close()}

    both(look)
    both(lambda provider: asyncio.run(look_async(provider)))
