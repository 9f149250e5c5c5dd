"""How the legacy google-generativeai SDK is called and what it hands back, over gRPC and REST alike.

Whatever the app calls (a model, a chat and its rounds of automatic function calling, `embed_content`, which cuts long
lists into several requests), each request to a model is one call of its service client, looked up when it is made:
https://github.com/googleapis/google-cloud-python/blob/main/packages/google-ai-generativelanguage/google/ai/generativelanguage_v1beta/services/generative_service/client.py

Retries happen below that, where nobody is told of them.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from usage_tracker.capture.admission import Hold, await_hold, hold_of, pass_hold
from usage_tracker.capture.call import Call, Wrapper
from usage_tracker.capture.fingerprint import fingerprint
from usage_tracker.capture.nesting import await_within, nested
from usage_tracker.capture.pulling import Pulling
from usage_tracker.capture.recorder import Client, Recorder
from usage_tracker.capture.streams import AsyncObserved, show
from usage_tracker.config import Settings
from usage_tracker.guard import finalizer, guarded
from usage_tracker.providers import google_generativeai as provider

guard_begin, guard_answer = guarded("begin call"), guarded("read answer")

Answered = Callable[[Call, Any], None]


def wrappers(sdk: str, recorder: Recorder, settings: Settings) -> Mapping[str, Wrapper]:
    """By role."""
    client_of = ClientOf(settings.fingerprint_key)
    return {
        "generate": AroundRequest(recorder, client_of, "chat", content_answered),
        "stream": AroundRequest(recorder, client_of, "chat", stream_answered),
        "embed": AroundRequest(recorder, client_of, "embeddings", embedding_answered),
    }


class ClientOf:
    """Tells service clients apart."""

    def __init__(self, fingerprint_key: str) -> None:
        @lru_cache(maxsize=256)
        def made(endpoint: str, key: str | None) -> Client:
            host = re.sub(r"^\w+://|:\d+$", "", endpoint.removesuffix("/"))
            return Client(provider.SDK, host, False, fingerprint(key, fingerprint_key), provider.PROVIDER)

        self._made = made

    def __call__(self, instance: Any) -> Client:
        inner = getattr(instance, "_client", instance)  # an async client has a sync one within
        return self._made(inner.transport.host, inner._client_options.api_key)


class AroundRequest:
    """The wrapper of a service client's method, sync or async: an answer that has to be awaited is."""

    def __init__(self, recorder: Recorder, client_of: ClientOf, operation: str, answered: Answered) -> None:
        self._recorder = recorder
        self._client_of = client_of
        self._operation = operation
        self._answered = answered

    def __call__(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if nested():
            return wrapped(*args, **kwargs)
        call = None
        with guard_begin:
            request = provider.read_request(self._operation, args[0] if args else kwargs.get("request"), kwargs)
            streamed = self._answered is stream_answered
            call = Call(provider, self._recorder, self._client_of(instance), request, streamed)
        if call is None:
            return wrapped(*args, **kwargs)
        hold = hold_of(call, args[0] if args else kwargs.get("request"))
        if hold is not None and "Async" in type(instance).__name__:
            return self._held(call, hold, wrapped, args, kwargs)
        if hold is not None:
            pass_hold(hold, call)
        with call:
            result = wrapped(*args, **kwargs)
        if hasattr(result, "__await__"):
            return self._awaited(call, result)
        with guard_answer:
            self._answered(call, result)
        return result

    async def _held(self, call: Call, hold: Hold, wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An async stream's request goes out when the method is called, not when its answer is awaited."""
        await await_hold(hold, call)
        with call:
            result = wrapped(*args, **kwargs)
        return await self._awaited(call, result)

    async def _awaited(self, call: Call, result: Any) -> Any:
        result = await await_within(call, result)
        with guard_answer:
            self._answered(call, result)
        return result


def content_answered(call: Call, result: Any) -> None:
    """Read the answer, which is whole."""
    call.observe(vars(result))
    call.answer.partial = False
    call.finish()


def embedding_answered(call: Call, result: Any) -> None:
    """An embedding says nothing of usage."""
    call.finish()


def stream_answered(call: Call, result: Any) -> None:
    """Watch over a stream, in place.

    A sync one is its own iterator: its class is exchanged for a subclass, as an attribute would not be looked up. An
    async one makes its iterator once and keeps it.
    https://github.com/googleapis/python-api-core/blob/v2.24.0/google/api_core/grpc_helpers_async.py
    """
    if hasattr(result, "__aiter__"):
        result._wrapped_async_generator = AsyncObserved(aiter(result), call)
    else:
        kind = type(result)
        if kind not in watched:
            watched[kind] = watching(kind)
        result._usage_call = call
        result.__class__ = watched[kind]


watched: dict[type, type] = {}


def watching(kind: Any) -> type:
    """A subclass of a stream's class that tells what passes and how it ends."""

    class Watched(kind):  # type: ignore[misc]  # the class is only known here
        def __next__(self) -> Any:
            call = self._usage_call
            with Pulling(call, ends_stream=False):
                chunk = super().__next__()
            show(call, chunk)
            return chunk

        @finalizer("drop stream")
        def __del__(self) -> None:
            self._usage_call.finish("abandoned")

    Watched.__name__, Watched.__qualname__, Watched.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Watched
