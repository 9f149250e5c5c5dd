"""An attribute that is worked out when it is first asked for."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

Value = TypeVar("Value")


class once(Generic[Value]):  # noqa: N801  as `property`
    """As `functools.cached_property`, which before Python 3.12 has one lock for all objects of the class: threads would
    wait for each other, and a child that is forked while one holds it, for ever."""

    def __init__(self, work_out: Callable[[Any], Value]) -> None:
        self._work_out = work_out
        self.__doc__ = work_out.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, thing: None, owner: type) -> Self: ...

    @overload
    def __get__(self, thing: object, owner: type) -> Value: ...

    def __get__(self, thing: object | None, owner: type) -> Self | Value:
        if thing is None:
            return self
        value: Value = thing.__dict__.setdefault(self._name, self._work_out(thing))
        return value
