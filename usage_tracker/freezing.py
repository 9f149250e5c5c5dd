"""Handlers whose process is frozen once they have returned, as in AWS Lambda and Cloud Functions: what was captured is
in the store before that."""

import time
from collections.abc import Callable, Coroutine, Iterator
from math import inf
from typing import Any, TypeVar, cast, overload

from usage_tracker import tracker
from usage_tracker.guard import guarded

Handler = TypeVar("Handler", bound=Callable[..., Any])

PAUSE = 0.005
SPARED_SECONDS = 0.25
"""Left of a Lambda's time for what it does after its handler."""


@overload
def flush_after(handler: Handler) -> Handler: ...
@overload
def flush_after(*, timeout: float | None = None) -> Callable[[Handler], Handler]: ...
def flush_after(handler: Callable[..., Any] | None = None, *, timeout: float | None = None) -> Callable[..., Any]:
    """Store what was captured before the handler's caller goes on, which may freeze the process or throw it away.

        @usage_tracker.flush_after
        def handler(event, context): ...

    For functions and coroutines; their results and exceptions stay as they are. It waits for up to `timeout` seconds,
    unset: TRACKER_EXIT_TIMEOUT; for less where an AWS Lambda has less time left, and not at all while the store is
    known to be away: the events are in the journal then, and go with a later call. Without `install()` it does nothing.
    Raises ValueError, as it decorates, for a `timeout` that is no number.
    """
    longest = None if timeout is None else float(timeout)

    def decorated(handler: Handler) -> Handler:
        from usage_tracker.patched import Patched

        def around(function: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            later = False
            try:
                result = function(*args, **kwargs)
                if isinstance(result, Coroutine):
                    later = True
                    return finished(result, flushing(longest, args))
                return result
            finally:
                if not later:
                    with guarded("flush after"):
                        for _ in flushing(longest, args):
                            time.sleep(PAUSE)

        flushed = Patched(handler)
        flushed.switch(around)
        return cast(Handler, flushed)

    return decorated if handler is None else decorated(handler)


async def finished(handling: Coroutine[Any, Any, Any], flushes: Iterator[None]) -> Any:
    """What a coroutine returns or raises, after a flush during which its loop goes on."""
    closed = False
    try:
        return await handling
    except GeneratorExit:  # nothing may be awaited any more
        closed = True
        raise
    finally:
        if not closed:
            with guarded("flush after"):
                for _ in flushes:
                    await pause()


async def pause() -> None:
    """Let an asyncio loop run its other tasks; in any other loop, wait."""
    import asyncio  # 20 ms; wrapt has imported it already, which `import usage_tracker` has not

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        time.sleep(PAUSE)  # noqa: ASYNC251  there is no loop that we know how to wait in
    else:
        await asyncio.sleep(PAUSE)


def flushing(timeout: float | None, args: tuple[Any, ...]) -> Iterator[None]:
    """Steps of a flush, between which to pause."""
    pipeline = tracker.installed.started() if tracker.installed else None
    if pipeline is not None:
        longest = pipeline.settings.exit_timeout if timeout is None else timeout
        yield from pipeline.flushing(min(longest, seconds_left(args)), patient=False)


def seconds_left(args: tuple[Any, ...]) -> float:
    """How long an AWS Lambda may go on, by the context among its handler's arguments.
    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""
    for argument in args:
        told = getattr(type(argument), "get_remaining_time_in_millis", None)
        if told is not None:
            return float(told(argument)) / 1000 - SPARED_SECONDS
    return inf
