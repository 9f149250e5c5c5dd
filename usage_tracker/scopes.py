"""Where what was said holds: `attribute()` for a block or a function, `wrap()` for another thread.

A scope keeps nothing of where it was entered: one may be entered by many threads and tasks at once, and be left in
another context than it was entered in, as happens to generators that others pull from.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import update_wrapper
from typing import Any, Literal, Optional, ParamSpec, Self, TypeVar
from weakref import ref

from usage_tracker.attribution import Attribution, Later, Standing, clean, clean_tags, standing
from usage_tracker.scoped import scoped, suspends

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")


class Entered:
    """The innermost scope of a context, and what held before it."""

    __slots__ = ("before", "below", "left", "scope")

    def __init__(self, scope: "Scope", before: Standing, below: Optional["Entered"]) -> None:
        self.scope = ref(scope)
        """Weak, because contexts live on in whatever was started in them."""
        self.before = before
        self.below = below
        self.left = False
        """Whether it was left, wherever that was: to what was started inside, it is of no use any more."""


entered: ContextVar[Entered | None] = ContextVar("usage_tracker_entered", default=None)


class Scope(ABC):
    """Changes what holds in this context, from entering to leaving."""

    @abstractmethod
    def inside(self, before: Standing) -> Standing:
        """What holds inside."""

    def __enter__(self) -> Any:
        before, below = standing.get(), entered.get()
        while below is not None and (below.left or below.scope() is None):
            below = below.below  # tasks that start each other, without end, would drag all of them along
        standing.set(self.inside(before))
        entered.set(Entered(self, before, below))
        return self

    def __exit__(self, *error: object) -> Literal[False]:
        """A context in which it was not entered stays as it is."""
        above: list[Scope] = []
        found = entered.get()
        while found is not None and (scope := found.scope()) is not self:
            if scope is not None:
                above.append(scope)
            found = found.below
        if found is not None:
            found.left = True
            standing.set(found.before)
            entered.set(found.below)
            for other in reversed(above):  # generators took turns, and this one is not the last that was entered
                Scope.__enter__(other)
        return False


def attribution_of(said: Mapping[str, Any]) -> Attribution:
    """What the arguments of `attribute()` say. Raises TypeError for others."""
    unknown = said.keys() - {*Attribution._fields}
    if unknown:
        raise TypeError(f"a call has no {', '.join(sorted(map(str, unknown)))}; say {', '.join(Attribution._fields)}")
    project, team, user, session = (clean(said.get(name)) for name in Attribution._fields[:-1])
    return Attribution(project, team, user, session, clean_tags(said.get("tags")))


class attribute(Scope):  # noqa: N801  a verb, for it reads `with attribute(project="alpha"):`
    """Mark every call made inside with who it is for. Scopes nest: what the inner one doesn't say, the outer one does.

    A context manager and a decorator, for functions, coroutines and generators of both kinds:

        with attribute(project="alpha", user="u-123", tags=["tier:pro"]): ...

        @attribute(team="search")
        async def answer(question): ...

    A decorated generator's scope holds while it runs, and not for its consumer between steps. A `with` block of its own
    can't do that: from a generator that yields inside it, it reaches the consumer.
    """

    def __init__(
        self,
        *,
        project: object = None,
        team: object = None,
        user: object = None,
        session: object = None,
        tags: Iterable[object] | None = None,
    ) -> None:
        self.said = Attribution(clean(project), clean(team), clean(user), clean(session), clean_tags(tags))

    def inside(self, before: Standing) -> Standing:
        return before.within(self.said)

    def __enter__(self) -> Attribution:
        super().__enter__()
        said = standing.get().said
        return said if isinstance(said, Attribution) else self.said  # the rest is asked when a call is made

    def __call__(self, function: AnyFunction) -> AnyFunction:
        if isinstance(function, type):
            raise TypeError(f"attribute() decorates functions: decorate the methods of {function.__name__}")
        return scoped(self, function)  # type: ignore[no-any-return]  # the same signature, by wraps()


class Carried(Scope):
    """What holds in one context, in another one: it replaces what held there."""

    def __init__(self, carried: Standing) -> None:
        self._carried = carried

    def inside(self, before: Standing) -> Standing:
        return self._carried

    def __reduce__(self) -> tuple[type[Self], tuple[Standing]]:
        """Into another process goes who it is for; what measures here can't be told there."""
        return type(self), (Standing(self._carried.attribution()),)


class Asking(Carried):
    """For a request or a task: who it is for is asked when a call is made."""

    def __init__(self, ask: Callable[[], Attribution]) -> None:
        super().__init__(Standing(Later(ask), standing.get().meters))


def settle() -> None:
    """Ask now who this request is for: soon nobody can tell any more."""
    said = standing.get().said
    if isinstance(said, Later):
        said.settle()


def wrap(function: Callable[P, R]) -> Callable[P, R]:
    """The function, to be run elsewhere for whom the caller runs now: in a thread, by an executor.

        executor.submit(usage_tracker.wrap(ask), question)
        loop.run_in_executor(None, usage_tracker.wrap(ask), question)

    `measure()` blocks of the caller count it as well. A process pool takes it too, if it takes the function itself, and
    then nothing is measured.
    """
    carried = Carried(standing.get().settled())
    if suspends(function):
        return scoped(carried, function)  # type: ignore[no-any-return]  # the same signature, by wraps()
    return Wrapped(carried, function)


class Wrapped:
    """A function and for whom it runs, which can be pickled as the function can."""

    def __init__(self, carried: Carried, function: Callable[..., Any]) -> None:
        update_wrapper(self, function)
        self._carried = carried
        self._call = scoped(carried, function)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __reduce__(self) -> tuple[type[Self], tuple[Carried, Callable[..., Any]]]:
        return type(self), (self._carried, self._function)
