"""How LiteLLM is called and what it hands back.

Its choke points are its functions, sync and async, and the dispatch through which versions from 1.103 on execute the
most used of them, also for who took a function before we were installed. The outermost call counts, with all that
LiteLLM does within: `acompletion` calls `completion`, one API is answered by way of another, many providers are called
through the openai SDK. Retries within (`num_retries` or `fallbacks` of a call) are attempts of the one call. A `Router`
stands above the functions, so that each attempt of its own is a call, with status error where it failed. Where LiteLLM
replies to an answer by itself, such as with what it has searched for, that answer is an event beside the last one's.
So is what it asks of other models for a call, such as of embeddings for its cache.

Within a call LiteLLM tells its logging what it sends to whom and what came back, and asks its cache; that passes us,
too. https://github.com/BerriAI/litellm/blob/2be93d9268fc/litellm/utils.py (`client`)
"""

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from usage_tracker.attribution import Standing, inside, standing
from usage_tracker.capture.admission import await_hold, hold_of, pass_hold
from usage_tracker.capture.call import Wrapper
from usage_tracker.capture.fingerprint import fingerprint
from usage_tracker.capture.litellm_call import EarlierAnswer, LiteLLMCall, requests
from usage_tracker.capture.litellm_streams import around_chat_stream, is_stream, named_as, release, watch_stream
from usage_tracker.capture.nesting import await_within, nested
from usage_tracker.capture.recorder import Client, Recorder
from usage_tracker.config import Settings
from usage_tracker.guard import guarded
from usage_tracker.providers import litellm, litellm_asked
from usage_tracker.scoped import CO_COROUTINE, innermost, kind_of

__all__ = ["release", "wrappers"]

guard_begin, guard_answer, guard_within = guarded("begin call"), guarded("read answer"), guarded("within call")


def wrappers(sdk: str, recorder: Recorder, settings: Settings) -> Mapping[str, Wrapper]:
    """By role."""
    around = AroundFunctions(recorder, settings.fingerprint_key)
    return {
        "function": around.function,
        "dispatch": around.dispatch,
        "sending": around_sending,
        "received": around_received,
        "cache": around_cache,
        "line": around_line,
        "estimate": around_estimate,
        "embedded": around_embedded,
        "hooks": around_hooks,
        "delegated": around_delegated,
        "apart": around_apart,
        "chat stream": around_chat_stream,
        "threads": around_threads,
        "own loop": around_own_loop,
        "captured": around_captured,
    }


class Called(NamedTuple):
    """What the app called, and with what."""

    name: str
    operation: str | None
    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def asked(self) -> Mapping[str, Any]:
        """All arguments by name."""
        return {**dict(zip(parameters(self.function), self.args, strict=False)), **self.kwargs}


class AroundFunctions:
    """The wrappers of what an app calls."""

    def __init__(self, recorder: Recorder, fingerprint_key: str) -> None:
        self._recorder = recorder

        @lru_cache(maxsize=1024)
        def client(host: str | None, key: str | None) -> Client:
            return Client(litellm.SDK, host, api_key=fingerprint(key, fingerprint_key))

        self._client = client

    def function(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The wrapper of a function."""
        if nested():
            return wrapped(*args, **kwargs)
        name = getattr(wrapped, "__name__", "")  # a partial has none, nor a mock that an app's test has put there
        return self._run(wrapped, args, kwargs, Called(name, litellm_asked.operation_of(name), wrapped, args, kwargs))

    def dispatch(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The wrapper of what executes the calls of several functions, in Python or not."""
        if nested():
            return wrapped(*args, **kwargs)
        called = None
        with guard_begin:
            route = instance.route.value
            called = Called(route, litellm_asked.ROUTES.get(route), kwargs.get("python"), *args[:2])
        return wrapped(*args, **kwargs) if called is None else self._run(wrapped, args, kwargs, called)

    def _run(self, wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any], called: Called) -> Any:
        if kind_of(wrapped) & CO_COROUTINE:
            # from its first step on, as one that is never awaited is no call
            return named_as(wrapped, self._run_awaited(wrapped, args, kwargs, called))
        call = self._begin(called)
        if call is None:
            return wrapped(*args, **kwargs)
        if self._recorder.gate is not None and (hold := hold_of(call, call.asked)) is not None:
            pass_hold(hold, call)
        with call:
            result = wrapped(*args, **kwargs)
        return awaited(call, result) if hasattr(result, "__await__") else answered(call, result)

    async def _run_awaited(self, wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any], called: Called) -> Any:
        call = self._begin(called)
        if call is None:
            return await wrapped(*args, **kwargs)
        if self._recorder.gate is not None and (hold := hold_of(call, call.asked)) is not None:
            await await_hold(hold, call)
        return await awaited(call, wrapped(*args, **kwargs))

    def _begin(self, called: Called) -> LiteLLMCall | None:
        with guard_begin:
            asked, client_of = called.asked(), self._client_of
            if requests and (request := requests.get(asked.get("litellm_call_id"))) is not None:
                if request.begin_attempt(asked):
                    return request
                client_of = request.client_of
            retrieved = None if called.operation else litellm_asked.retrieval_of(called.name)
            operation = called.operation or retrieved
            if operation is None or litellm_asked.delegates(asked):
                return None
            said = litellm_asked.read_request(operation, asked, retrieves=retrieved is not None)
            return LiteLLMCall(self._recorder, client_of, asked, said)
        return None

    def _client_of(self, base: object, key: object) -> Client:
        return self._client(host_of(str(base)) if base else None, key if isinstance(key, str) else None)


async def awaited(call: LiteLLMCall, result: Any) -> Any:
    return answered(call, await await_within(call, result))


def answered(call: LiteLLMCall, result: Any) -> Any:
    """Read the answer, or watch over it where it is still to come; what the app gets."""
    with guard_answer:
        if is_stream(result):
            return watch_stream(result, call)
        call.read(result)
        call.finish()
    return result


@lru_cache(maxsize=1024)
def host_of(base: str) -> str | None:
    try:
        return urlsplit(base).hostname
    except ValueError:
        return None


@lru_cache(maxsize=256)
def parameters(function: Any) -> tuple[str, ...]:
    """The names of a function's positional parameters, of the innermost one."""
    code = getattr(innermost(function), "__code__", None)
    return code.co_varnames[: code.co_argcount] if code is not None else ("model",)


def call_within() -> LiteLLMCall | None:
    """The call of LiteLLM that is under way in this context."""
    call = inside.get()
    return call if isinstance(call, LiteLLMCall) else None


def around_sending(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of `Logging.pre_call(input, api_key, model, additional_args)`, called before each request."""
    with guard_within:
        if call := call_within():
            key = args[1] if len(args) > 1 else kwargs.get("api_key")
            details = args[3] if len(args) > 3 else kwargs.get("additional_args", {})
            call.sending(instance.model_call_details.get("custom_llm_provider"), details.get("api_base"), key)
    return wrapped(*args, **kwargs)


def around_received(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of `Logging.post_call(original_response, …)`, called with the provider's own answer."""
    with guard_within:
        if call := call_within():
            call.answered_with(args[0] if args else kwargs.get("original_response"))
    return wrapped(*args, **kwargs)


def around_embedded(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of what reads Gemini's embeddings, whose answer the logging is not told of."""
    with guard_within:
        if call := call_within():
            call.answered_with(kwargs.get("_predictions") or kwargs.get("response_json"))
    return wrapped(*args, **kwargs)


def around_line(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of what reads one event of a provider's stream. Where that says that the stream failed, LiteLLM
    raises its error and drops the rest, the usage up to there included."""
    with guard_within:
        if call := call_within():
            call.line = args[0] if args else kwargs.get("str_line")
    return wrapped(*args, **kwargs)


def around_estimate(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of what counts the tokens of a stream of responses that ended without usage."""
    with guard_within:
        if call := call_within():
            call.answer.estimated = True
    return wrapped(*args, **kwargs)


def around_hooks(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of what asks callbacks, such as LiteLLM's own search, whether they reply to a model's answer. Where
    one does, the model is asked again within the call, and the app gets that later answer, or the error that came of
    it; with neither, the one that there was."""
    result, earlier = wrapped(*args, **kwargs), None
    with guard_within:
        if call := call_within():
            earlier = EarlierAnswer(call, kwargs.get("response"))
    if earlier is None or not hasattr(result, "__await__"):
        return result
    return replied(earlier, result, streamed=bool(kwargs.get("stream")))


async def replied(earlier: EarlierAnswer, result: Awaitable[Any], *, streamed: bool) -> Any:
    """The later answer, or None."""
    try:
        later = await result
    except BaseException:
        if not streamed:  # else the app has got it already
            earlier.complete()
        raise
    if later is not None and later is not earlier.result:
        earlier.complete()
    return later


def around_delegated(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of what searches files for a model that can't itself: it asks the model by LiteLLM's own function,
    and once more with what was found. Each of those is a call, as with `delegates`; a proxy's request stays one."""
    with guard_within:
        call = call_within()
        if type(call) is LiteLLMCall:
            call.drop()
    return wrapped(*args, **kwargs)


@contextmanager
def apart() -> Iterator[None]:
    """Outside of any call."""
    token = inside.set(None)
    try:
        yield
    finally:
        with suppress(RuntimeError, ValueError):  # as `Call.__exit__`
            inside.reset(token)


def around_apart(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of what LiteLLM does beside a call, such as looking for a like question in a cache: it asks other
    models then, of embeddings, say. Each of those is a call, and none an attempt of the one that it is for."""
    with apart():
        result = wrapped(*args, **kwargs)
    return named_as(result, awaited_apart(result)) if hasattr(result, "__await__") else result


async def awaited_apart(result: Awaitable[Any]) -> Any:
    with apart():
        return await result


def around_cache(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of the look into LiteLLM's cache."""
    found = wrapped(*args, **kwargs)
    return cache_awaited(found) if hasattr(found, "__await__") else cache_looked_up(found)


async def cache_awaited(found: Any) -> Any:
    return cache_looked_up(await found)


def cache_looked_up(found: Any) -> Any:
    """`CachingHandlerResponse`, where there is one:
    https://github.com/BerriAI/litellm/blob/4ab6d1896162/litellm/caching/caching_handler.py"""
    with guard_within:
        call = call_within()
        if call is not None and found is not None:
            embeddings = found.final_embedding_cached_response
            if found.cached_result is not None if embeddings is None else found.embedding_all_elements_cache_hit:
                call.found_in_cache()
    return found


def around_threads(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of the class of `batch_completion`'s threads, whose calls would not know who they are for."""
    executor = wrapped(*args, **kwargs)
    with guard_within:
        executor.submit = partial(executor.submit, partial(run_for, standing.get().settled(), inside.get()))
    return executor


def around_own_loop(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of `run_async_function(async_function, …)`, which may run it in a thread with an event loop of its
    own, where nobody knew which call it belongs to."""
    with guard_within:
        if args:
            args = (partial(run_for, standing.get().settled(), inside.get(), args[0]), *args[1:])
        else:
            function = kwargs["async_function"]
            kwargs = {**kwargs, "async_function": partial(run_for, standing.get().settled(), inside.get(), function)}
    return wrapped(*args, **kwargs)


def run_for(caller: Standing, call: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a function, or begin a coroutine, for whom and within what it was handed to another thread."""
    standing.set(caller)
    inside.set(call)
    return function(*args, **kwargs)


def around_captured(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of what a `Router` calls with the function to be called, which it took when it was made, perhaps
    before we were installed."""
    with guard_within:
        function = kwargs.get("original_function")
        if function is not None:
            now = getattr(sys.modules.get(function.__module__), function.__qualname__, None)
            if getattr(now, "__wrapped__", None) is function:
                kwargs = {**kwargs, "original_function": now}
    return wrapped(*args, **kwargs)
