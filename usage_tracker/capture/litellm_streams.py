"""The streams that LiteLLM hands back, watched in place: the app keeps LiteLLM's own object.

It has dozens of classes of them, in other places with each version. So a class is wrapped when the first stream of it
comes by: the methods by which it is pulled and closed look for the call in the instance, and do nothing in others.
Generators, which some functions return, can't carry a call: the app gets a generator of ours, around theirs.
"""

from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from contextvars import Token
from typing import Any

from wrapt import FunctionWrapper

from usage_tracker.attribution import inside
from usage_tracker.capture.bodies import EventStream
from usage_tracker.capture.call import open_calls
from usage_tracker.capture.litellm_call import LiteLLMCall
from usage_tracker.capture.pulling import Pulling
from usage_tracker.capture.streams import observe_stream
from usage_tracker.guard import finalizer, guarded
from usage_tracker.providers.answer import fields_of

KEPT = "_usage_watch"
"""Where a stream keeps its watch."""

guard_chunk = guarded("chunk")


class Watch:
    """A stream's call. It is kept in the stream and nowhere else, and goes with it."""

    __slots__ = ("body", "call")

    def __init__(self, call: LiteLLMCall) -> None:
        self.call = call
        self.body: EventStream | None = None
        """Of a stream of bytes, what they say."""

    def saw(self, item: Any) -> None:
        """The app gets this piece. Of chat streams it is enough to keep the last."""
        with guard_chunk:
            call = self.call
            if call.ttft is None:
                call.note_first()
            if isinstance(item, bytes | str):
                self._feed(item.encode() if isinstance(item, str) else item)
                return
            fields = fields_of(item)
            if "choices" in fields:
                call.last = item
            else:
                call.observe(fields)

    def _feed(self, piece: bytes) -> None:
        if self.body is None:
            self.body = EventStream(self.call)
        self.body.feed(piece)

    @finalizer("drop stream")
    def __del__(self) -> None:
        self.call.finish("abandoned")


class Pulled(Pulling):
    """Around one pull: what LiteLLM does meanwhile belongs to the call, as some streams send their request only when
    they are asked for a chunk."""

    __slots__ = ("_token",)

    def __init__(self, call: LiteLLMCall) -> None:
        super().__init__(call, ends_stream=False)
        self._token: Token[Any] | None = None

    def __enter__(self) -> None:
        self._token = inside.set(self._call)
        super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if self._token is not None:
            with suppress(RuntimeError, ValueError):  # as `Call.__exit__`
                inside.reset(self._token)
        super().__exit__(kind, error, traceback)


def is_stream(result: object) -> bool:
    """Whether a function handed back something to be pulled from."""
    return hasattr(type(result), "__anext__") or hasattr(type(result), "__next__")


def watch_stream(stream: Any, call: LiteLLMCall) -> Any:
    """Watch a stream; what the app gets, which is the stream itself unless that is a generator."""
    call.streamed = True
    kept = getattr(stream, "__dict__", None)
    if kept is None and isinstance(stream, AsyncGenerator):
        return named_as(stream, each_awaited(stream, Watch(call)))
    if kept is None and isinstance(stream, Generator):
        return named_as(stream, each(stream, Watch(call)))
    if kept is None:
        call.finish()  # it can't carry a call, and so tells no more
    elif "_iterator" in kept and "response" in kept:
        observe_stream(stream, call)
    else:
        watch_class(type(stream))
        kept[KEPT] = Watch(call)
        call.read_hidden(kept.get("_hidden_params"))
    return stream


def named_as(theirs: Any, ours: Any) -> Any:
    """As far as theirs has a name."""
    for name in ("__name__", "__qualname__"):
        setattr(ours, name, getattr(theirs, name, getattr(ours, name)))
    return ours


def each(source: Generator[Any, None, None], watch: Watch) -> Generator[Any, None, None]:
    """The pieces of a generator. Its frame holds the watch, started or not."""
    try:
        while True:
            with Pulled(watch.call):
                item = next(source)
            watch.saw(item)
            yield item
    except StopIteration:
        return
    finally:
        source.close()


async def each_awaited(source: AsyncGenerator[Any, None], watch: Watch) -> AsyncGenerator[Any, None]:
    """As `each`; a generator can't be both."""
    try:
        while True:
            with Pulled(watch.call):
                item = await anext(source)
            watch.saw(item)
            yield item
    except StopAsyncIteration:
        return
    finally:
        await source.aclose()


def watch_of(stream: Any) -> Watch | None:
    """The watch that a stream carries, unless its call has ended, or LiteLLM itself is at work within a pull."""
    watch: Watch | None = stream.__dict__.get(KEPT)
    return None if watch is None or watch.call.pulling or id(watch.call) not in open_calls else watch


def around_next(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    watch = watch_of(instance)
    if watch is None:
        return wrapped(*args, **kwargs)
    with Pulled(watch.call):
        item = wrapped(*args, **kwargs)
    watch.saw(item)
    return item


def around_anext(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    watch = watch_of(instance)
    return wrapped(*args, **kwargs) if watch is None else pulled(watch, wrapped, args, kwargs)


async def pulled(watch: Watch, wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with Pulled(watch.call):
        item = await wrapped(*args, **kwargs)
    watch.saw(item)
    return item


def around_close(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    watch = watch_of(instance)
    closing = wrapped(*args, **kwargs)
    if watch is None:
        return closing
    if hasattr(closing, "__await__"):
        return closed(watch, closing)
    watch.call.finish("abandoned")
    return closing


async def closed(watch: Watch, closing: Any) -> Any:
    try:
        return await closing
    finally:
        watch.call.finish("abandoned")


METHODS = {"__anext__": around_anext, "__next__": around_next, "aclose": around_close, "close": around_close}

wrapped_methods: "dict[tuple[type, str], FunctionWrapper[..., Any]]" = {}
"""What is wrapped now, by class and name."""


def watch_class(kind: type) -> None:
    """Wrap the methods by which streams of that class are pulled and closed, where LiteLLM has them, once."""
    for name, around in METHODS.items():
        owner = next((owner for owner in kind.__mro__ if name in vars(owner)), None)
        if owner is None or (owner, name) in wrapped_methods or not owner.__module__.startswith("litellm."):
            continue
        ours = FunctionWrapper(vars(owner)[name], around)
        if wrapped_methods.setdefault((owner, name), ours) is ours:
            setattr(owner, name, ours)


def release() -> None:
    """Put back the identical original methods, wherever we are still outermost; elsewhere ours do nothing."""
    while wrapped_methods:
        (owner, name), ours = wrapped_methods.popitem()
        if vars(owner).get(name) is ours:
            setattr(owner, name, ours.__wrapped__)


def around_chat_stream(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of the constructor of chat streams, also of those that only feed another API's stream."""
    made = wrapped(*args, **kwargs)
    with guard_chunk:
        call = inside.get()
        if isinstance(call, LiteLLMCall):
            call.chunks = instance.chunks
    return made
