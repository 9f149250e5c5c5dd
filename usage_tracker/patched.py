"""An SDK's function with our wrapper around it; a module of its own, because it imports wrapt."""

from typing import Any, Self

import wrapt

from usage_tracker.capture import Wrapper


class Patched(wrapt.FunctionWrapper[..., Any]):
    """Our wrapper around an SDK's function; its own type, so that we recognise it. Signature, name and kind stay."""

    def __init__(self, wrapped: Any, wrapper: Wrapper) -> None:
        self._self_on = True
        super().__init__(wrapped, wrapper, enabled=lambda: self._self_on)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> str:
        """By name, as functions are: a pool of processes sends them so."""
        name: str = self.__wrapped__.__qualname__
        return name


def switch_off(outermost: object) -> None:
    """Another instrumentation has wrapped our wrapper: leave it in place, and have ours do nothing."""
    found = outermost
    while found is not None and not isinstance(found, Patched):
        found = getattr(found, "__wrapped__", None)
    if found is not None:
        found._self_on = False
