"""How the legacy google-generativeai SDK is called and what it hands back, over gRPC and REST alike.

Every request for content goes through `GenerativeModel.generate_content` or its async twin: chats call it once for each
turn and once for each round of automatic function calling. A stream is an answer of the same type that is not done,
whose first chunk has arrived and whose `_iterator` brings the rest.
https://github.com/google-gemini/deprecated-generative-ai-python/blob/v0.8.6/google/generativeai/types/generation_types.py

A list of texts to embed is one call, whatever number of requests the SDK cuts it into: it is billed by its tokens,
which no answer states. Retries happen below, where nobody is told of them.
"""

import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from usage_tracker.capture.call import Call, Client, Recorder, Wrapper, nested
from usage_tracker.capture.fingerprint import fingerprint
from usage_tracker.capture.pulling import Pulling
from usage_tracker.config import Settings
from usage_tracker.guard import guarded
from usage_tracker.providers import google_generativeai as provider
from usage_tracker.providers.answer import Request, fields_of

guard_begin, guard_answer, guard_chunk = guarded("begin call"), guarded("read answer"), guarded("chunk")

DEFAULT_HOST = "generativelanguage.googleapis.com"


def wrappers(sdk: str, recorder: Recorder, settings: Settings) -> Mapping[str, Wrapper]:
    """By role."""
    around = AroundCalls(recorder, settings.fingerprint_key)
    return {"generate": around.generate, "embed": around.embed}


class GoogleCall(Call):
    """A call whose errors name their HTTP status as Google's client libraries do."""

    __slots__ = ()

    def fail(self, error: BaseException) -> None:
        with guarded("error"):
            status = getattr(getattr(error, "cause", None) or error, "code", None)  # cause: of what was retried in vain
            if isinstance(status, int):
                self.http_status = int(status)
        super().fail(error)


class AroundCalls:
    """The wrappers, for sync and async functions alike: an answer that has to be awaited is."""

    def __init__(self, recorder: Recorder, fingerprint_key: str) -> None:
        self._recorder = recorder

        @lru_cache(maxsize=256)
        def client(endpoint: str, key: str | None) -> Client:
            host = re.sub(r"^\w+://", "", endpoint).partition("/")[0].rpartition("@")[2]
            host = re.sub(r":\d+$", "", host)
            return Client(provider.SDK, host, False, fingerprint(key, fingerprint_key), provider.PROVIDER)

        self._client = client

    def generate(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around `generate_content` and `generate_content_async` of a model."""

        def begin() -> Call:
            awaited = wrapped.__name__.endswith("_async")
            client = self._client(*made_with(instance._async_client if awaited else instance._client))
            request = Request("chat", provider.read_model(instance.model_name))
            return GoogleCall(provider, self._recorder, client, request, bool(kwargs.get("stream")))

        return self._around(wrapped, args, kwargs, begin, content_answered)

    def embed(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around the functions `embed_content` and `embed_content_async`."""

        def begin() -> Call:
            client = self._client(*made_with(kwargs.get("client", args[5] if len(args) > 5 else None)))
            model = provider.read_model(kwargs["model"] if "model" in kwargs else args[0])
            return GoogleCall(provider, self._recorder, client, Request("embeddings", model), streamed=False)

        return self._around(wrapped, args, kwargs, begin, embedding_answered)

    def _around(
        self,
        wrapped: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        begin: Callable[[], Call],
        answered: Callable[[Call, Any], None],
    ) -> Any:
        if nested():
            return wrapped(*args, **kwargs)
        call = None
        with guard_begin:
            call = begin()
        if call is None:
            return wrapped(*args, **kwargs)
        with call:
            result = wrapped(*args, **kwargs)
        if hasattr(result, "__await__"):
            return awaited(call, result, answered)
        with guard_answer:
            answered(call, result)
        return result


async def awaited(call: Call, result: Any, answered: Callable[[Call, Any], None]) -> Any:
    with call:
        result = await result
    with guard_answer:
        answered(call, result)
    return result


def made_with(client: Any) -> tuple[str, str | None]:
    """Endpoint and API key of a service client or, before there is one, of the configuration that it will be made from.
    https://github.com/google-gemini/deprecated-generative-ai-python/blob/v0.8.6/google/generativeai/client.py"""
    if client is not None:
        options, endpoint = getattr(client, "_client", client)._client_options, client.transport.host
    else:
        options = sys.modules["google.generativeai.client"]._client_manager.client_config["client_options"]
        endpoint = options.api_endpoint
    return endpoint or DEFAULT_HOST, options.api_key


def embedding_answered(call: Call, result: Any) -> None:
    call.finish()


def content_answered(call: Call, result: Any) -> None:
    """Read the answer, or watch over the rest of it where it is a stream. Of a prompt that was blocked the SDK pulls
    nothing more."""
    call.observe(fields_of(result._result))
    if result._done or result._error is not None:
        call.finish()
    else:
        result._iterator = Observed(result._iterator, call)


class Observed:
    """Stands in for the iterator that a stream's answer pulls its chunks from, sync or async, and looks like it."""

    __slots__ = ("_call", "_pulling", "_source")

    def __init__(self, source: Any, call: Call) -> None:
        self._source = source
        self._call = call
        self._pulling = Pulling(call, ends_stream=False)

    @property
    def __class__(self) -> type:  # type: ignore[misc]  # the answer shows it when it is printed
        return type(self._source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __iter__(self) -> "Observed":
        return self

    def __aiter__(self) -> "Observed":
        return self

    def __next__(self) -> Any:
        with self._pulling:
            chunk = next(self._source)
        with guard_chunk:
            self._call.observe(fields_of(chunk))
        return chunk

    async def __anext__(self) -> Any:
        with self._pulling:
            chunk = await anext(self._source)
        with guard_chunk:
            self._call.observe(fields_of(chunk))
        return chunk

    def __del__(self) -> None:
        with guarded("drop stream"):
            self._call.finish("abandoned")
