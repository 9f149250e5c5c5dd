"""An SDK's function with our wrapper around it; a module of its own, as wrapt takes 20 ms to import."""

from functools import partial
from typing import Any, Self

import wrapt

from usage_tracker.capture import Wrapper


def passing(function: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper that does nothing."""
    return function(*args, **kwargs)


class Patched(wrapt.FunctionWrapper):  # type: ignore[type-arg]  # it takes none before wrapt 2.2
    """Our wrapper around an SDK's function; its own type, so that we recognise it. Signature, name and kind stay."""

    __bound_function_wrapper__ = wrapt.BoundFunctionWrapper
    """What wrapt takes anyway; where a subclass doesn't say so, each call raises an error within it, for 1 µs."""

    def __init__(self, wrapped: Any) -> None:
        self._self_around = partial(passing)
        super().__init__(wrapped, self._self_around)

    def switch(self, wrapper: Wrapper | None) -> None:
        """What goes around the function from now on; nothing, where that is None."""
        # a partial object can be given another function, and calls it without a line of Python in between
        around: Any = self._self_around
        around.__setstate__((wrapper or passing, (), {}, None))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> str:
        """By name, as functions are: a pool of processes sends them so."""
        name: str = self.__wrapped__.__qualname__
        return name


known: dict[int, Patched] = {}
"""By the original's identity. One for the life of the process: whoever took it while we were installed, such as
`from litellm import completion` or another instrumentation, still has it when we are installed again."""


def ours(function: Any) -> Patched | None:
    """What is ours of it, also as it is taken from a class, and put back by who had replaced it for a while."""
    if isinstance(function, wrapt.BoundFunctionWrapper) and function._self_instance is None:
        function = function._self_parent
    return function if isinstance(function, Patched) else None


def patched(function: Any) -> Patched:
    """The one object that stands for that function; itself, where it is that."""
    found = ours(function)
    return known.setdefault(id(function), Patched(function)) if found is None else found


def unpatched(function: Any) -> Any:
    """What the SDK has there by itself, whether we are around it or not."""
    found = ours(function)
    return function if found is None else found.__wrapped__
