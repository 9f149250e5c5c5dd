"""Streams that an SDK parses, observed in place: the app keeps the SDK's own object; what it pulls passes us."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any
from weakref import ref

from usage_tracker.capture.call import Call
from usage_tracker.capture.pulling import Pulling, ended_by
from usage_tracker.capture.responses import keep_quick, observe_body
from usage_tracker.guard import finalizer, guarded

guard_chunk = guarded("chunk")


def observe_stream(stream: Any, call: Call) -> None:
    """Watch a Stainless SDK's `Stream` or `AsyncStream`."""
    keep_quick(stream)
    source = stream._iterator
    if hasattr(source, "__anext__"):
        stream._iterator = AsyncObserved(source, call)
    else:
        stream._iterator = chunks = observed(source, call)
        next(chunks)  # up to its first yield: from here on it notices being dropped
        call.pulled_by = ref(chunks)
    call.parsed = True
    observe_body(stream.response, call)


def show(call: Call, chunk: object) -> bool:
    """Take what a chunk says; whether the app gets to see it."""
    shown = True
    with guard_chunk:
        shown = call.observe_chunk(chunk)
        if shown and call.injected:
            unset_usage(chunk)
    return shown


def observed(source: Iterator[Any], call: Call) -> Generator[Any, None, None]:
    """The chunks of a sync stream. Being dropped or closed reaches a generator as GeneratorExit, so that every way a
    stream can end leaves through the one `with`."""
    with Pulling(call, ends_stream=True):
        call.pulling = False  # from here on this frame tells, by whether it runs, for nothing: see `Call.is_pulled`
        yield None
        injected, quiet = call.injected, call.quiet
        for chunk in source:
            # nearly all: only text, told in this line, as a function of ours would cost more than all the rest
            if type(chunk) in quiet and chunk.__dict__.get("usage") is None and not chunk.__pydantic_extra__:
                call.latest = chunk
                if injected:
                    chunk.__pydantic_fields_set__.discard("usage")
            elif show(call, chunk):
                quiet = call.quiet
            else:
                continue
            yield chunk


class AsyncObserved:
    """The chunks of an async stream. A class: an async generator that was never started would not tell that it is
    dropped."""

    __slots__ = ("_call", "_show", "_source")

    def __init__(self, source: AsyncGenerator[Any, None], call: Call, show: Callable[[Call, Any], bool] = show) -> None:
        self._source = source
        self._call = call
        self._show = show

    def __aiter__(self) -> "AsyncObserved":
        return self

    async def __anext__(self) -> Any:
        call = self._call
        while True:
            call.pulling = True
            try:  # `with` would be two functions of ours for each chunk
                chunk = await anext(self._source)
            except BaseException as error:
                if not (type(error) is RuntimeError and getattr(self._source, "ag_running", False)):
                    ended_by(error, call)  # else somebody else is waiting for its next chunk, and goes on
                raise
            call.pulling = False
            # as in `observed`
            if type(chunk) in call.quiet and chunk.__dict__.get("usage") is None and not chunk.__pydantic_extra__:
                call.latest = chunk
                if call.injected:
                    chunk.__pydantic_fields_set__.discard("usage")
                return chunk
            if self._show(call, chunk):
                return chunk

    async def aclose(self) -> None:
        await self._source.aclose()

    @finalizer("drop stream")
    def __del__(self) -> None:
        self._call.finish("abandoned")


def unset_usage(chunk: Any) -> None:
    """Without the option that we added the server would not have sent `"usage": null`, and a dump of what was set
    (`exclude_unset`) would not show it."""
    names = getattr(chunk, "__pydantic_fields_set__", None)
    if names and chunk.__dict__.get("usage", chunk) is None:
        names.discard("usage")
