"""What a provider's request and answer say, in one shape for all providers; how SDK objects are read without importing an SDK."""

from collections.abc import Mapping
from typing import NamedTuple

from usage_tracker.event import Figures

LONGEST_WORD = 64
"""Strings longer than this in a usage object are no figure and are left out."""


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


class Answer:
    """What an answer has said so far. Streams tell it piece by piece: later figures replace earlier ones, never add."""

    __slots__ = ("error_type", "model", "raw", "reported_cost", "response_id", "service_tier", "units")

    def __init__(self) -> None:
        self.model: str | None = None
        self.response_id: str | None = None
        self.service_tier: str | None = None
        self.raw: Figures | None = None
        """The usage object as sent, figures only."""
        self.units: dict[str, float] | None = None
        self.reported_cost: str | None = None
        self.error_type: str | None = None
        """Set where the answer itself says that it failed, such as an error event in a stream."""


def fields_of(value: object) -> Mapping[str, object]:
    """The fields of a dict or of an SDK's object (pydantic model, dataclass, plain class), without converting what is inside.

    Fields that the installed SDK version doesn't know are among them: pydantic keeps them in `__pydantic_extra__`.
    """
    if isinstance(value, Mapping):
        return value
    fields: Mapping[str, object] = getattr(value, "__dict__", None) or {}
    extra = getattr(value, "__pydantic_extra__", None)
    return {**fields, **extra} if extra else fields


def figures(value: object) -> Figures | None:
    """A usage object as a dict of its numbers, booleans, short words and what nests them. None where it holds nothing."""
    found: Figures = {}
    for name, part in fields_of(value).items():
        kept = figure(part)
        if kept is not None and not name.startswith("_"):
            found[name] = kept
    return found or None


def figure(part: object) -> "int | float | str | bool | Figures | list[Figures] | None":
    """One figure, or None for what is not one."""
    if part is None or isinstance(part, bool | int | float):
        return part
    if isinstance(part, str):
        return part if len(part) <= LONGEST_WORD else None
    if isinstance(part, list | tuple):
        return [kept for item in part if (kept := figures(item))] or None
    return figures(part)
