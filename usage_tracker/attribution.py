"""Who a call is for: what the user said with `attribute()`, and whether we are already inside a tracked call."""

from collections.abc import Iterable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from functools import wraps
from typing import Any, Literal, NamedTuple, TypeVar

MAX_LENGTH = 256
MAX_TAGS = 64

AnyFunction = TypeVar("AnyFunction", bound=Any)


class Attribution(NamedTuple):
    """Who pays: each None where nobody said."""

    project: str | None = None
    team: str | None = None
    user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()

    def over(self, outer: "Attribution") -> "Attribution":
        """This one where it says something, `outer` elsewhere; tags of both, without repeats."""
        return Attribution(
            self.project or outer.project,
            self.team or outer.team,
            self.user or outer.user,
            self.session or outer.session,
            merge_tags(outer.tags, self.tags),
        )


def merge_tags(*groups: Iterable[str]) -> tuple[str, ...]:
    """All tags in order, each once; at most MAX_TAGS."""
    return tuple(dict.fromkeys(tag for group in groups for tag in group))[:MAX_TAGS]


def clean_tags(tags: Iterable[object]) -> tuple[str, ...]:
    """Tags as stripped, non-empty strings of at most MAX_LENGTH characters; a single string counts as one tag."""
    if isinstance(tags, str):
        tags = (tags,)
    return merge_tags(text for tag in tags if (text := clean(tag)))


def clean(value: object) -> str | None:
    """A name as text that every store takes: stripped, cut, without what is no character."""
    if value is None:
        return None
    text = str(value).encode("utf-8", "replace").decode().replace("\0", "").strip()
    return text[:MAX_LENGTH] or None


NOBODY = Attribution()
current: ContextVar[Attribution] = ContextVar("usage_tracker_attribution", default=NOBODY)
inside: ContextVar[Any] = ContextVar("usage_tracker_call", default=None)
"""The tracked call that is under way in this context, or None. The outermost call is the one that counts."""


class attribute(ContextDecorator):  # noqa: N801  a verb, for it reads `with attribute(project="alpha"):`
    """Mark every call made inside with who it is for. Scopes nest: what the inner one doesn't say, the outer one does.

    A context manager and a decorator, for functions, coroutines and generators of both kinds:

        with attribute(project="alpha", user="u-123", tags=["tier:pro"]): ...

        @attribute(team="search")
        async def answer(question): ...
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        team: str | None = None,
        user: str | None = None,
        session: str | None = None,
        tags: Iterable[str] = (),
    ) -> None:
        self._said = Attribution(clean(project), clean(team), clean(user), clean(session), clean_tags(tags))
        self._tokens: list[Token[Attribution]] = []

    def __enter__(self) -> Attribution:
        merged = self._said.over(current.get())
        self._tokens.append(current.set(merged))
        return merged

    def __exit__(self, *error: object) -> Literal[False]:
        current.reset(self._tokens.pop())
        return False

    def _recreate_cm(self) -> "attribute":
        """A scope of its own for each call of a decorated function, so that concurrent calls don't share tokens."""
        fresh = attribute()
        fresh._said = self._said
        return fresh

    def __call__(self, function: AnyFunction) -> AnyFunction:
        kind = kind_of(function)
        if kind & CO_COROUTINE:

            @wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with self._recreate_cm():
                    return await function(*args, **kwargs)

            return coroutine  # type: ignore[return-value]  # the same signature, by wraps()
        if kind & (CO_GENERATOR | CO_ASYNC_GENERATOR):
            return scoped_generator(self, function)  # type: ignore[no-any-return]  # likewise
        return super().__call__(function)


# the flags of a code object (inspect has them too, and takes 5 ms to import)
CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200


def kind_of(function: Any) -> int:
    """The flags that tell what calling the function gives."""
    while hasattr(function, "func"):
        function = function.func
    flags: int = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return flags


def scoped_generator(scope: attribute, function: Any) -> Any:
    """Run each step of a generator inside the scope; between steps the caller has its own attribution."""
    if kind_of(function) & CO_ASYNC_GENERATOR:

        @wraps(function)
        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            steps = function(*args, **kwargs)
            sent = None
            while True:
                with scope._recreate_cm():
                    value = await anext(steps, END) if sent is None else await steps.asend(sent)
                if value is END:
                    return
                sent = yield value

        return asynchronous

    @wraps(function)
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        steps = function(*args, **kwargs)
        sent = None
        while True:
            with scope._recreate_cm():
                value = next(steps, END) if sent is None else steps.send(sent)
            if value is END:
                return
            sent = yield value

    return synchronous


END: Any = object()
