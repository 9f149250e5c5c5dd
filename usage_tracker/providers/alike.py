"""Answers that are told alike: where each number of their usage objects goes is found out once, and then known.

Most answers of an app have the same few fields, and differ in their numbers and ids alone. The first of a kind is read
by its provider's module as it is and twice with other numbers in it, which tell by themselves what became of them. The
next ones are read at a third of the CPU.
"""

from collections.abc import Iterable, Iterator
from types import ModuleType, NoneType
from typing import Any, NamedTuple

import msgspec

from usage_tracker.event import COUNTS, Figures, Usage
from usage_tracker.providers.answer import Answer, Request, word
from usage_tracker.providers.usage_fields import MOST_TOKENS

PLANS_AT_MOST = 1024
MOST_NUMBERS = MOST_TOKENS.bit_length() - 1

Said = tuple[tuple[Any, ...], ...]
Outline = tuple[object, ...]
"""What a usage object has beside its numbers."""


class Reading(NamedTuple):
    """What an answer has said. Those that are alike say nothing of an error or a cost."""

    model: str | None
    service_tier: str | None
    response_id: str | None
    usage: Usage
    raw: Figures | None
    error_type: str | None = None
    reported_cost: str | None = None


class Plan(NamedTuple):
    """How the answers that are alike are read."""

    model: str | None
    service_tier: str | None
    named: int | None
    """The piece whose id is the answer's."""
    places: tuple[int, ...]
    """Where COUNTS are among the numbers; the one after all of them is None, for what is unknown."""
    sums: tuple[tuple[int, tuple[int, ...]], ...]
    """Which of COUNTS are sums, and the places of the numbers that they are sums of."""
    total: int | None
    """The place of a total. Where it isn't the sum of input and output, these mean something else."""


class Unlike(Exception):
    """What was said is not alike to anything, and has to be read by the provider's module."""


plans: dict[tuple[object, ...], Plan | None] = {}
"""None: what these say depends on more than the places of their numbers."""


def read_alike(provider: ModuleType, operation: str, names: tuple[str, ...], said: Said) -> Reading | None:
    """What was said; None where it has to be read by the provider's module, as it isn't alike to anything."""
    place = place_of_id(names)
    numbers: list[int] = []
    try:
        raw, alike = outline_of(said, place, numbers)
    except Unlike:
        return None
    key = (provider.__name__, operation, names, alike)
    plan = plans.get(key)
    if plan is None:
        if key not in plans:
            if len(plans) >= PLANS_AT_MOST:
                plans.clear()
            plans[key] = make_plan(provider, operation, names, said, raw, numbers)
        return None  # it is read as all were before, once more
    known = [*numbers, None]
    counts = [known[place] for place in plan.places]
    for column, places in plan.sums:
        counts[column] = sum([numbers[place] for place in places])
    if plan.total is not None and numbers[plan.total] != (counts[0] or 0) + (counts[1] or 0):
        return None
    response_id = None
    if plan.named is not None and place is not None and (response_id := word(said[plan.named][place])) is None:
        return None
    return Reading(plan.model, plan.service_tier, response_id, msgspec.convert(counts, Usage), raw)


def plan_of(provider: ModuleType, operation: str, names: tuple[str, ...], said: Said) -> tuple[Plan, Figures] | None:
    """How answers like this one are read, and the figures of this one; None where that isn't known."""
    try:
        raw, alike = outline_of(said, place_of_id(names), [])
    except Unlike:
        return None
    plan = plans.get((provider.__name__, operation, names, alike))
    return None if plan is None else (plan, raw)


def place_of_id(names: tuple[str, ...]) -> int | None:
    """Which of the fields that are kept is the id."""
    return names.index("id") if "id" in names else None


def outline_of(said: Said, place: int | None, numbers: list[int]) -> tuple[Figures, Outline]:
    """The figures of what was said, and all that it has beside its numbers, which are appended, and its ids, which are
    at that place of each piece. Raises Unlike where there is not one usage object."""
    figures: Figures | None = None
    alike: list[object] = []
    for piece in said:
        for at, value in enumerate(piece[:-1]):
            if at == place:
                if type(value) is not str:
                    raise Unlike
            elif type(value) is str or value is None:
                alike.append(value)
            else:
                raise Unlike
        if piece[-1] is not None:
            if figures is not None:
                raise Unlike
            figures, outline = outlined(piece[-1], numbers)
            alike.append(outline)
        alike.append(len(alike))  # where the next piece begins
    if figures is None:
        raise Unlike
    return figures, tuple(alike)


def outlined(value: object, numbers: list[int]) -> tuple[Figures, Outline]:
    """A usage object's figures, and all that it has beside its numbers, which are appended. Raises Unlike."""
    if type(value) is list and len(value) == 3 and value[2] is False and type(value[0]) is dict:
        value = {**value[0], **value[1]} if value[1] else value[0]  # an object of the SDK's; see `told`
    if type(value) is not dict:
        raise Unlike
    found: Figures = {}
    outline: list[object] = []
    for name, part in value.items():
        if type(part) is int:
            if not 0 <= part <= MOST_TOKENS:
                raise Unlike
            numbers.append(part)
            outline.append(name)
            found[name] = part
        elif type(part) is str:
            outline.append((name, part))
            found[name] = part
        elif part is not None:
            inner, what = outlined(part, numbers)
            if inner:
                outline.append((name, None, what))
                found[name] = inner
    return found, tuple(outline)


def make_plan(
    provider: ModuleType, operation: str, names: tuple[str, ...], said: Said, raw: Figures, numbers: list[int]
) -> Plan | None:
    """How answers like this one are read; None where numbers and ids don't tell."""
    if len(numbers) > MOST_NUMBERS:
        return None
    marks = [1 << place for place in range(len(numbers))]
    plan = probe(provider, operation, names, said, raw, marks)
    # where it is a difference, or the larger of two, other marks say something else
    return plan if plan == probe(provider, operation, names, said, raw, marks[::-1]) else None


def probe(
    provider: ModuleType, operation: str, names: tuple[str, ...], said: Said, raw: Figures, marks: list[int]
) -> Plan | None:
    """What becomes of these marks in the places of the numbers, each a power of two."""
    marked = replaced(raw, iter(marks))
    fields = [dict(zip(names, piece, strict=True)) for piece in said]
    probes = [
        {**piece, "id": f"id-{at}", "usage": piece["usage"] and marked} if "id" in piece else
        {**piece, "usage": piece["usage"] and marked}
        for at, piece in enumerate(fields)
    ]  # fmt: skip
    answer, usage = read(provider, operation, probes)
    total, ids = marked.get("total_tokens"), [piece.get("id") for piece in probes]
    counts = [getattr(usage, name) for name in COUNTS]
    if (
        usage.units or usage.estimated or answer.raw != marked or answer.error_type or answer.awaits
        or answer.completes or answer.reported_cost or answer.cached or type(total) not in (int, NoneType)
        or (answer.service_tier or "").isdecimal() or answer.response_id not in (None, *ids) or 0 in counts
        or (usage.output_tokens is None and total is not None and operation in getattr(provider, "WRITES", ()))
    ):  # fmt: skip
        return None
    places = [() if count is None else tuple(at for at, mark in enumerate(marks) if count & mark) for count in counts]
    return Plan(
        answer.model,
        answer.service_tier,
        None if answer.response_id is None else ids.index(answer.response_id),
        tuple(each[0] if each else -1 for each in places),
        tuple((column, each) for column, each in enumerate(places) if len(each) > 1),
        None if total is None else marks.index(total),
    )


def read(provider: ModuleType, operation: str, fields: Iterable[dict[str, Any]]) -> tuple[Answer, Usage]:
    answer = Answer()
    for piece in fields:
        provider.observe(answer, piece)
    usage: Usage = provider.usage_of(operation, answer, Request(operation))
    return answer, usage


def replaced(raw: Figures, marks: Iterator[int]) -> Figures:
    """The same object with the next mark in the place of each number."""
    return {
        name: next(marks) if type(part) is int else replaced(part, marks) if type(part) is dict else part
        for name, part in raw.items()
    }
