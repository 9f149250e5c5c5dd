"""What LiteLLM does within a call that passes us: it tells its logging what it sends to whom and what came back, asks
its cache, replies to an answer by itself, asks other models for the call, and hands parts of it to other threads.
https://github.com/BerriAI/litellm/blob/2be93d9268fc/litellm/utils.py (`client`)
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from usage_tracker.attribution import Standing, inside, standing
from usage_tracker.capture.call import Wrapper
from usage_tracker.capture.litellm_call import EarlierAnswer, LiteLLMCall
from usage_tracker.capture.litellm_streams import named_as
from usage_tracker.guard import guarded

guard_within = guarded("within call")


def call_within() -> LiteLLMCall | None:
    """The call of LiteLLM that is under way in this context."""
    call = inside.get()
    return call if isinstance(call, LiteLLMCall) else None


def noting(note: Callable[[LiteLLMCall, Any, tuple[Any, ...], dict[str, Any]], None]) -> Wrapper:
    """The wrapper of what tells us something of the call within which it is called: `note` takes it, by the instance
    and the arguments."""

    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with guard_within:
            if call := call_within():
                note(call, instance, args, kwargs)
        return wrapped(*args, **kwargs)

    return around


@noting
def around_sending(call: LiteLLMCall, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Of `Logging.pre_call(input, api_key, model, additional_args)`, called before each request."""
    key = args[1] if len(args) > 1 else kwargs.get("api_key")
    details = args[3] if len(args) > 3 else kwargs.get("additional_args", {})
    call.asking(instance.litellm_call_id)
    call.sending(instance.model_call_details.get("custom_llm_provider"), details.get("api_base"), key)


@noting
def around_received(call: LiteLLMCall, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Of `Logging.post_call(original_response, …)`, called with the provider's own answer."""
    call.answered_with(args[0] if args else kwargs.get("original_response"))


@noting
def around_embedded(call: LiteLLMCall, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Of what reads Gemini's embeddings, whose answer the logging is not told of."""
    call.answered_with(kwargs.get("_predictions") or kwargs.get("response_json"))


def around_http(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of what LiteLLM asks most providers by, all that it asks by no SDK."""
    response = wrapped(*args, **kwargs)
    return named_as(response, http_awaited(response)) if hasattr(response, "__await__") else http_answered(response)


async def http_awaited(response: Awaitable[Any]) -> Any:
    return http_answered(await response)


def http_answered(response: Any) -> Any:
    with guard_within:
        if call := call_within():
            call.responded(response, None)
    return response


@noting
def around_line(call: LiteLLMCall, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Of what reads one event of a provider's stream. Where that says that the stream failed, LiteLLM raises its error
    and drops the rest, the usage up to there included."""
    call.line = args[0] if args else kwargs.get("str_line")


@noting
def around_estimate(call: LiteLLMCall, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Of what counts the tokens of a stream of responses that ended without usage."""
    call.answer.estimated = True


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
    """The wrapper of the look into LiteLLM's cache, `sync_get_cache(…, logging_obj)` and its kin."""
    found, logging = wrapped(*args, **kwargs), kwargs.get("logging_obj")
    return cache_awaited(found, logging) if hasattr(found, "__await__") else cache_looked_up(found, logging)


async def cache_awaited(found: Any, logging: Any) -> Any:
    return cache_looked_up(await found, logging)


def cache_looked_up(found: Any, logging: Any) -> Any:
    """`CachingHandlerResponse`, where there is one; the logging is told who would have been asked:
    https://github.com/BerriAI/litellm/blob/4ab6d1896162/litellm/caching/caching_handler.py"""
    with guard_within:
        call = call_within()
        if call is not None and found is not None:
            embeddings = found.final_embedding_cached_response
            if found.cached_result is not None if embeddings is None else found.embedding_all_elements_cache_hit:
                call.asking(getattr(logging, "litellm_call_id", None))
                call.found_in_cache(getattr(logging, "model_call_details", {}).get("custom_llm_provider"))
    return found


def around_threads(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of the class of `batch_completion`'s threads, whose calls would not know who they are for."""
    executor = wrapped(*args, **kwargs)
    with guard_within:
        executor.submit = partial(executor.submit, carrying())
    return executor


def around_own_loop(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of `run_async_function(async_function, …)`, which may run it in a thread with an event loop of its
    own, where nobody knew which call it belongs to."""
    with guard_within:
        if args:
            args = (partial(carrying(), args[0]), *args[1:])
        else:
            kwargs = {**kwargs, "async_function": partial(carrying(), kwargs["async_function"])}
    return wrapped(*args, **kwargs)


def carrying() -> Callable[..., Any]:
    """Runs a function, in whichever thread, for whom and within what is run here."""
    return partial(run_for, standing.get().settled(), inside.get())


def run_for(caller: Standing, call: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a function, or begin a coroutine, for whom and within what it was handed to another thread."""
    standing.set(caller)
    inside.set(call)
    return function(*args, **kwargs)
