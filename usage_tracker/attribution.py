"""Who a call is for: what was said about it in this context, and whether we are already inside a tracked call."""

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

if TYPE_CHECKING:
    from usage_tracker.event import Origin, UsageEvent

MAX_LENGTH = 256
MAX_TAGS = 64


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


def clean_tags(tags: Iterable[object] | None) -> tuple[str, ...]:
    """Tags as stripped, non-empty strings of at most MAX_LENGTH characters; a single string counts as one tag, and what
    a mapping says as `key:value`."""
    if isinstance(tags, str):
        tags = (tags,)
    elif isinstance(tags, Mapping):
        tags = [f"{name}:{text}" for key, value in tags.items() if (name := clean(key)) and (text := clean(value))]
    return merge_tags(text for tag in (() if tags is None else tags) if (text := clean(tag)))


def clean(value: object) -> str | None:
    """A name as text that every store takes: stripped, cut, without what is no character."""
    if value is None:
        return None
    told = str.__str__(value) if isinstance(value, str) else str(value)  # a member of a str Enum, by its value
    text = told.encode("utf-8", "replace").decode().replace("\0", "").strip()
    return text[:MAX_LENGTH] or None


NOBODY = Attribution()


class Later:
    """What is asked when it is needed: middleware begins before anybody knows the route, or who has signed in."""

    __slots__ = ("_ask", "_outer", "_settled")

    def __init__(self, ask: Callable[[], Attribution]) -> None:
        self._ask = ask
        self._outer = standing.get()
        self._settled: Attribution | None = None

    def get(self) -> Attribution:
        return self._settled or self._ask().over(self._outer.attribution())

    def settle(self) -> None:
        """Ask for the last time, while that can still be answered."""
        self._settled = self.get()


class Nearer(Later):
    """What a scope within says, over what is asked later."""

    __slots__ = ("_asked", "_said")

    def __init__(self, said: Attribution, asked: Later) -> None:
        self._said = said
        self._asked = asked

    def get(self) -> Attribution:
        return self._said.over(self._asked.get())

    def settle(self) -> None:
        self._asked.settle()


class Meter:
    """Is told of each call that began while it stood in the context."""

    __slots__ = ("__weakref__",)

    def add(self, origin: "Origin", event: "UsageEvent") -> None: ...


class Standing(NamedTuple):
    """What holds in a context."""

    said: Attribution | Later = NOBODY
    meters: tuple[ref[Meter], ...] = ()
    """Weak, because contexts live on in whatever was started in them."""

    def attribution(self) -> Attribution:
        said = self.said
        return said if said.__class__ is Attribution else said.get()  # type: ignore[union-attr]  # only Later is left

    def within(self, said: Attribution) -> "Standing":
        """What holds in a scope that says so."""
        outer = self.said
        inner = said.over(outer) if isinstance(outer, Attribution) else Nearer(said, outer)
        return Standing(inner, self.meters)

    def settled(self) -> "Standing":
        """As it can be carried elsewhere, where what is asked later may have no answer."""
        return Standing(self.attribution(), self.meters)


standing: ContextVar[Standing] = ContextVar("usage_tracker_standing", default=Standing())  # noqa: B039  never changed
inside: ContextVar[Any] = ContextVar("usage_tracker_call", default=None)
"""The tracked call that is under way in this context, or None. The outermost call is the one that counts."""


class Current:
    """Who calls of this context are for."""

    def get(self) -> Attribution:
        return standing.get().attribution()


current = Current()
