"""The ways in which an app leaves a stream before its end."""

from contextlib import suppress
from typing import Any


def leave_by_break(stream: Any) -> None:
    for _ in stream:
        break


def leave_by_exception(stream: Any) -> None:
    with suppress(KeyError):
        for _ in stream:
            raise KeyError


def leave_with_block(stream: Any) -> None:
    with stream:
        next(stream)


def leave_block_by_exception(stream: Any) -> None:
    with suppress(KeyError), stream:
        for _ in stream:
            raise KeyError


def leave_closed(stream: Any) -> None:
    next(stream)
    stream.close()


def leave_unread(stream: Any) -> None:
    """Nothing is read, and the stream is dropped."""


async def leave_async_by_break(stream: Any) -> None:
    async for _ in stream:
        break
    await stream.close()


async def leave_async_by_exception(stream: Any) -> None:
    with suppress(KeyError):
        async for _ in stream:
            raise KeyError


async def leave_async_block(stream: Any) -> None:
    async with stream:
        await anext(stream)


async def leave_async_unread(stream: Any) -> None:
    """Nothing is read, and the stream is dropped."""
