"""How LiteLLM is called and what it hands back.

Its choke points are its functions, sync and async, and the dispatch through which versions from 1.103 on execute the
most used of them, also for who took a function before we were installed. The outermost call counts, with all that
LiteLLM does within: `acompletion` calls `completion`, one API is answered by way of another, many providers are called
through the openai SDK. Retries within (`num_retries` or `fallbacks` of a call) are attempts of the one call. A `Router`
stands above the functions, so that each attempt of its own is a call, with status error where it failed. Where LiteLLM
replies to an answer by itself, such as with what it has searched for, that answer is an event beside the last one's.
So is what it asks of other models for a call, such as of embeddings for its cache. For all of that, see
`litellm_within`.
"""

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from usage_tracker.capture import litellm_within
from usage_tracker.capture.admission import await_hold, hold_of, pass_hold
from usage_tracker.capture.call import Wrapper
from usage_tracker.capture.fingerprint import fingerprint
from usage_tracker.capture.litellm_call import LiteLLMCall, requests
from usage_tracker.capture.litellm_streams import around_chat_stream, is_stream, named_as, release, watch_stream
from usage_tracker.capture.nesting import await_within, nested
from usage_tracker.capture.recorder import Client, Recorder
from usage_tracker.config import Settings
from usage_tracker.guard import guarded
from usage_tracker.providers import litellm, litellm_asked
from usage_tracker.providers.hosts import host_of
from usage_tracker.providers.metadata import NOBODY
from usage_tracker.scoped import CO_COROUTINE, innermost, kind_of

__all__ = ["release", "wrappers"]

guard_begin, guard_answer = guarded("begin call"), guarded("read answer")


def wrappers(sdk: str, recorder: Recorder, settings: Settings) -> Mapping[str, Wrapper]:
    """By role."""
    around = AroundFunctions(recorder, settings.fingerprint_key)
    return {
        "function": around.function,
        "dispatch": around.dispatch,
        "sending": litellm_within.around_sending,
        "received": litellm_within.around_received,
        "http": litellm_within.around_http,
        "cache": litellm_within.around_cache,
        "line": litellm_within.around_line,
        "estimate": litellm_within.around_estimate,
        "embedded": litellm_within.around_embedded,
        "hooks": litellm_within.around_hooks,
        "delegated": litellm_within.around_delegated,
        "apart": litellm_within.around_apart,
        "chat stream": around_chat_stream,
        "threads": litellm_within.around_threads,
        "own loop": litellm_within.around_own_loop,
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
        if (hold := hold_of(call, call.asked)) is not None:
            pass_hold(hold, call)
        with call:
            result = wrapped(*args, **kwargs)
        return awaited(call, result) if hasattr(result, "__await__") else answered(call, result)

    async def _run_awaited(self, wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any], called: Called) -> Any:
        call = self._begin(called)
        if call is None:
            return await wrapped(*args, **kwargs)
        if (hold := hold_of(call, call.asked)) is not None:
            await await_hold(hold, call)
        return await awaited(call, wrapped(*args, **kwargs))

    def _begin(self, called: Called) -> LiteLLMCall | None:
        with guard_begin:
            asked, client_of, key = called.asked(), self._client_of, NOBODY
            if requests and (request := requests.get(asked.get("litellm_call_id"))) is not None:
                if request.begin_attempt(asked):
                    return request
                client_of, key = request.client_of, request.caller
            retrieves = called.operation is None
            operation = litellm_asked.retrieval_of(called.name) if retrieves else called.operation
            if operation is None or litellm_asked.delegates(asked):
                return None
            said = litellm_asked.read_request(operation, asked, retrieves=retrieves)
            return LiteLLMCall(self._recorder, client_of, asked, litellm_asked.paid_by(key, said))
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


@lru_cache(maxsize=256)
def parameters(function: Any) -> tuple[str, ...]:
    """The names of a function's positional parameters, of the innermost one."""
    code = getattr(innermost(function), "__code__", None)
    return code.co_varnames[: code.co_argcount] if code is not None else ("model",)


def around_captured(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of what a `Router` calls with the function to be called, which it took when it was made, perhaps
    before we were installed."""
    with guard_begin:
        function = kwargs.get("original_function")
        if function is not None:
            now = getattr(sys.modules.get(function.__module__), function.__qualname__, None)
            if getattr(now, "__wrapped__", None) is function:
                kwargs = {**kwargs, "original_function": now}
    return wrapped(*args, **kwargs)
