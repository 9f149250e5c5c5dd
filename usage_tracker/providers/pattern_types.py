"""The types of values that are like one that is there: texts are the same, and numbers may be others."""

import re
from typing import Annotated, Any, Literal

import msgspec

from usage_tracker.event import Figures
from usage_tracker.providers.alike import Unlike
from usage_tracker.providers.usage_fields import MOST_TOKENS

MOST_MEMBERS = 64

Instant = Annotated[int, msgspec.Meta(ge=0, le=4_102_444_800_000_000_000)]
"""From 1970 to 2100. What lies beyond is for those who know what each store can hold."""
Milliseconds = Annotated[float, msgspec.Meta(gt=0.001, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]

FIGURE = re.compile(r":\d+")
MARKS = re.compile(r"[:{}]")
UNNAMED = re.compile(r'["\\\x00-\x1f]')
"""What no name of a struct's field may have."""


def array(types: list[Any]) -> Any:
    """The type of an array of just these."""
    fields = [(f"f{at}", each) for at, each in enumerate(types)]
    return msgspec.defstruct("Array", fields, array_like=True, forbid_unknown_fields=True, gc=False)


def constant(value: object) -> Any:
    """The type of this value alone. Raises Unlike."""
    if value is None:
        return None
    if type(value) not in (str, bool):
        raise Unlike
    return Literal[value]


def type_of(value: object, path: str, numbers: list[str]) -> Any:
    """The type of values like this one, which is at that path; the paths of the numbers in it are appended. Raises
    Unlike."""
    if type(value) is int:
        numbers.append(path)
        return Count
    if type(value) is list and len(value) <= MOST_MEMBERS and not says_twice(value):
        return array([type_of(part, f"{path}.f{at}", numbers) for at, part in enumerate(value)])
    if type(value) is not dict:
        return constant(value)
    members: list[tuple[str, Any, Any]] = []
    for at, (name, part) in enumerate(value.items()):
        if type(name) is not str or UNNAMED.search(name) or len(members) > MOST_MEMBERS:
            raise Unlike
        members.append((f"f{at}", type_of(part, f"{path}.f{at}", numbers), msgspec.field(name=name)))
    return msgspec.defstruct("Members", members, forbid_unknown_fields=True, gc=False)


def says_twice(value: list[Any]) -> bool:
    """Whether it is an object of an SDK's (see `told`) of which two fields have the same name: the later one holds, in
    the place of the first."""
    return value[2:] == [False] and all(type(part) is dict for part in value[:2]) and bool(value[0].keys() & value[1])


def template_of(raw: Figures) -> str:
    """The object's JSON with %s for each figure. Raises Unlike where a text could be taken for a part of it."""
    texts = msgspec.json.encode(raw).decode()
    if "%" in texts or "\\" in texts or any(MARKS.search(text) for text in texts.split('"')[1::2]):
        raise Unlike
    return FIGURE.sub(":%s", texts)
