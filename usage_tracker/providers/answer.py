"""What a request and an answer say, in one shape for all providers, and how SDK objects are read."""

from collections.abc import Mapping
from functools import lru_cache
from math import isfinite
from types import ModuleType
from typing import NamedTuple

import msgspec

from usage_tracker.event import Figures

LONGEST_WORD = 64
"""Strings longer than this in a usage object are no figure and are left out."""
LONGEST_NAME = 256
"""Names of models, users and the like are cut here."""
LARGEST_FIGURE = 1 << 63
"""Neither the journal's encoding nor any store's integer holds more."""
DEEPEST = 6
"""Figures that are nested deeper are left out. The deepest that a provider sends today is four."""
MOST_PARTS = 64
"""An object or list within a usage object is read up to here."""


decode = msgspec.json.Decoder().decode
UNREADABLE = (msgspec.DecodeError, RecursionError)
"""What a decoder raises for what is no JSON, or is nested deeper than the stack has room for."""


class Request(NamedTuple):
    """What the app asked for, as far as it matters for counting and attribution."""

    operation: str
    model: str | None = None
    user: str | None = None
    session: str | None = None
    project: str | None = None
    team: str | None = None
    tags: tuple[str, ...] = ()
    units: dict[str, float] | None = None
    """What is billed by what was asked, such as the characters of a speech input."""
    retrieves: bool = False
    """Whether it only asks about what an earlier call started: it is an event only where its answer completes that."""


def operation_asked(provider: ModuleType, method: str, url: str) -> tuple[str | None, bool]:
    """The operation that a request is, and whether it only `retrieves`; None where it is of no interest."""
    operation: str | None = provider.operation_of(method, url)
    if operation is not None:
        return operation, False
    return provider.retrieval_of(method, url), True


def whole_body(body: object, extra: object) -> Mapping[str, object]:
    """A request's body as it goes out: the SDK's, where fields of the app's `extra_body` replace its own."""
    asked = body if isinstance(body, Mapping) else {}
    return {**asked, **extra} if extra and isinstance(extra, Mapping) else asked


class Plain(NamedTuple):
    """How an ordinary answer to an operation looks, from which only a few fields are read."""

    names: tuple[str, ...]
    """Those fields; the last is the usage object."""
    beside: frozenset[str]
    """Fields that are read, too, where an answer has them; then it isn't plain."""


class Answer:
    """What an answer has said so far. Streams tell it piece by piece: later figures replace earlier ones, never add."""

    __slots__ = (
        "awaits",
        "cached",
        "completes",
        "error_type",
        "estimated",
        "model",
        "partial",
        "provider",
        "raw",
        "reported_cost",
        "response_id",
        "service_tier",
        "units",
    )

    def __init__(self) -> None:
        self.model: str | None = None
        self.response_id: str | None = None
        self.provider: str | None = None
        """Who served it, where the answer says so."""
        self.service_tier: str | None = None
        self.raw: Figures | None = None
        """The usage object as sent, figures only."""
        self.partial = False
        """Whether a stream has yet to say the last of its figures, so that leaving it now leaves some unknown."""
        self.units: dict[str, float] | None = None
        """What is billed but isn't a token and stands outside the usage object, such as images."""
        self.estimated = False
        """Whether the figures are the SDK's own estimate."""
        self.cached = False
        """Whether a cache of the app's own had it; see `UsageEvent.cached`."""
        self.reported_cost: str | None = None
        self.error_type: str | None = None
        """Set where the call failed: by the answer itself, such as an error event in a stream, or by who saw it."""
        self.awaits: str | None = None
        """The id of what is still at work and has not said what it used; see `UsageEvent.awaits`. Counts where the call
        started it."""
        self.completes: str | None = None
        """The id of what an earlier call started and this answer brings the usage of; see `UsageEvent.completes`.
        Counts where the call `retrieves`."""


def fields_of(value: object) -> Mapping[str, object]:
    """The fields of a dict or of an SDK's object (pydantic model, dataclass, any class), not converted within.

    Fields that the installed SDK version doesn't know are among them: pydantic keeps them in `__pydantic_extra__`
    (https://docs.pydantic.dev/2.11/api/base_model/#pydantic.BaseModel.model_extra), and version 1 in `__dict__`.
    """
    if type(value) is dict:
        return value
    extra = getattr(value, "__pydantic_extra__", None)
    if extra:
        return {**value.__dict__, **extra}
    if isinstance(value, Mapping):
        return value
    fields: Mapping[str, object] = getattr(value, "__dict__", None) or {}
    return fields


def decode_object(text: bytes | str) -> dict[str, object]:
    """A JSON object; empty for anything else, such as a body that was cut."""
    try:
        value = decode(text)
    except UNREADABLE:
        return {}
    return value if isinstance(value, dict) else {}


def decode_objects(text: bytes | str) -> list[dict[str, object]]:
    """The JSON object that it is, or those in a list; none for anything else."""
    try:
        value = decode(text)
    except UNREADABLE:
        return []
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


def word(value: object, longest: int = LONGEST_NAME) -> str | None:
    """A name as a plain string that any store takes: printable, stripped, cut. None for what is no name, such as an
    SDK's sentinel for "not given". Numbers are names too, as of users; booleans aren't."""
    if type(value) is not str:
        if isinstance(value, str):
            value = str.__str__(value)  # a member of a str Enum, by its value
        elif isinstance(value, int) and not isinstance(value, bool):
            value = str(value) if abs(value) < LARGEST_FIGURE else ""
        else:
            return None
    if not value.isprintable():
        value = "".join(character for character in value if character.isprintable())
    return value.strip()[:longest] or None


def http_status(value: object) -> int | None:
    """A status of HTTP; None for what is none."""
    return int(value) if isinstance(value, int) and 100 <= value <= 599 else None


def figures(value: object) -> Figures | None:
    """A usage object as a dict of its numbers, booleans, short words and what nests them; None where it holds none."""
    return nested_figures(value, DEEPEST)


def nested_figures(value: object, depth: int) -> Figures | None:
    found: Figures = {}
    for name, part in fields_of(value).items():
        if part is None or not is_name(name):
            continue
        if type(part) is int and -LARGEST_FIGURE < part < LARGEST_FIGURE:
            kept: object = part
        elif type(part) is dict and depth:
            kept = nested_figures(part, depth - 1)
        else:
            kept = figure(part, depth)
        if kept is not None:
            found[name] = kept
            if len(found) == MOST_PARTS:
                break
    return found or None


@lru_cache(maxsize=1024, typed=True)
def is_name(name: object) -> bool:
    """Whether this can be the name of a figure."""
    return type(name) is str and len(name) <= LONGEST_WORD and name.isprintable() and name[:1] != "_"


def figure(part: object, depth: int) -> "bool | int | float | str | Figures | list[Figures] | None":
    """One figure, or None for what is not one."""
    if isinstance(part, bool):
        return part
    if isinstance(part, int):
        return int(part) if abs(part) < LARGEST_FIGURE else None
    if isinstance(part, float):
        return float(part) if isfinite(part) else None
    if isinstance(part, str):
        return word(part) if len(part) <= LONGEST_WORD else None
    if depth == 0:
        return None
    if isinstance(part, list | tuple):
        return [kept for item in part[:MOST_PARTS] if (kept := nested_figures(item, depth - 1))] or None
    return nested_figures(part, depth - 1)


def merge_figures(earlier: Figures | None, later: Figures) -> Figures:
    """What is known after a further piece of a stream: at any depth, a later figure replaces the earlier one, and what
    the later piece leaves out stays. `earlier` is changed."""
    if earlier is None:
        return later
    for name, part in later.items():
        known = earlier.get(name)
        earlier[name] = merge_figures(known, part) if isinstance(known, dict) and isinstance(part, dict) else part
    return earlier
