"""A function of any kind inside a scope: plain, coroutine, generator or async generator, and still of that kind."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from functools import partial, wraps
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Self

Around = AbstractContextManager[Any, bool | None]
"""A scope, which can be entered again and again, and inside itself."""


def scoped(scope: Around, function: Callable[..., Any]) -> Any:
    """The function within the scope: of the same kind as before, since frameworks look at that."""
    if isinstance(function, classmethod | staticmethod):
        return type(function)(scoped(scope, function.__func__))
    kind = kind_of(function)
    for flag, kept in KINDS.items():
        if kind & flag:
            return kept(scope, function)

    @wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        with scope:
            result = function(*args, **kwargs)
        # such as a coroutine function under another decorator
        kept = RESULTS.get(type(result))
        return result if kept is None else kept(scope, lambda: result)()

    return plain


def coroutine_function(scope: Around, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with scope:
            return await function(*args, **kwargs)

    return coroutine


def generator_function(scope: Around, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Any:
        return (yield from Steps(scope, function(*args, **kwargs)))

    return generator


class Steps:
    """A generator each of whose steps runs inside the scope; between steps the consumer has its own."""

    def __init__(self, scope: Around, steps: Generator[Any, Any, Any]) -> None:
        self._scope = scope
        self._steps = steps

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        with self._scope:
            return next(self._steps)

    def send(self, value: Any) -> Any:
        with self._scope:
            return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        with self._scope:
            return self._steps.throw(*error)

    def close(self) -> None:
        with self._scope:
            self._steps.close()


def async_generator_function(scope: Around, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    async def async_generator(*args: Any, **kwargs: Any) -> Any:
        steps: AsyncGenerator[Any, Any] = function(*args, **kwargs)
        resumed = Resumed()
        try:
            while True:
                try:
                    with scope:
                        value = await resumed.step(steps)
                except StopAsyncIteration:
                    return
                with resumed:
                    resumed.sent = yield value
        finally:
            with scope:
                await steps.aclose()

    return async_generator


class Resumed:
    """How the consumer goes on with an async generator: by a value that it sends, or an error that it throws."""

    def __init__(self) -> None:
        self.sent: Any = None
        self._thrown: BaseException | None = None

    def __enter__(self) -> None:
        self.sent = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if error is None or isinstance(error, GeneratorExit):
            return False
        self._thrown = error
        return True

    def step(self, steps: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
        thrown, self._thrown = self._thrown, None
        return steps.asend(self.sent) if thrown is None else steps.athrow(thrown)


Kept = Callable[[Around, Callable[..., Any]], Callable[..., Any]]

# the flags of a code object (inspect has them too, and takes 5 ms to import)
CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200
KINDS: dict[int, Kept] = {
    CO_GENERATOR: generator_function,
    CO_COROUTINE: coroutine_function,
    CO_ASYNC_GENERATOR: async_generator_function,
}
RESULTS: dict[type, Kept] = {
    AsyncGeneratorType: async_generator_function,
    CoroutineType: coroutine_function,
    GeneratorType: generator_function,
}


def kind_of(function: Any) -> int:
    """The flags that tell what calling the function gives."""
    while isinstance(function, partial):  # by its class: a mock has whatever it is asked for, without end
        function = function.func
    flags: int = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return flags


def innermost(function: Any) -> Any:
    """The function that all wrappers are around."""
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    return function


def suspends(function: Any) -> bool:
    """Whether what the function does happens after it was called, step by step."""
    return any(kind_of(function) & flag for flag in KINDS)
