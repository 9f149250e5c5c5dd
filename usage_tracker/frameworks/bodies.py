"""A response's body that is made while it is sent, after the request's handler has returned."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from usage_tracker.scopes import Scope


class Body:
    """Each of its pieces is made inside the scope."""

    def __init__(self, scope: Scope, pieces: Iterable[Any]) -> None:
        self._scope = scope
        self._pieces = pieces
        self._rest: Iterator[Any] | None = None

    def __iter__(self) -> "Body":
        return self

    def __next__(self) -> Any:
        with self._scope:
            if self._rest is None:
                self._rest = iter(self._pieces)
            return next(self._rest)

    def close(self) -> None:
        """Servers call it in any case, and who wrote the body may rely on that."""
        with self._scope:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()


class AsyncBody:
    """Likewise, awaited."""

    def __init__(self, scope: Scope, pieces: AsyncIterable[Any]) -> None:
        self._scope = scope
        self._rest = aiter(pieces)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        with self._scope:
            return await anext(self._rest)

    async def aclose(self) -> None:
        with self._scope:
            close = getattr(self._rest, "aclose", None)
            if close is not None:
                await close()
