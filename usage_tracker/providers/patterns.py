"""Decoders of journal records that are alike: the types of all that these have in common, made of one of them.

A call like earlier ones differs from them in its ids, times and figures alone. A decoder for just such calls finds that
out, checks the figures and hands them over, in no line of Python: a tenth of the CPU of reading what was said. What it
doesn't take is read as everything is.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec

from usage_tracker.event import COUNTS, CallKind, Origin, Told, UsageEvent
from usage_tracker.providers.alike import Unlike, place_of_id, plan_of
from usage_tracker.providers.pattern_types import (
    Id,
    Instant,
    Milliseconds,
    array,
    constant,
    template_of,
    type_of,
)  # fmt: skip
from usage_tracker.providers.told import READERS

PATTERNS_AT_MOST = 256
PATTERNS_OF_KIND = 8
"""How many are tried with a call. Kinds that differ more in what is told of them are read as everything is."""
FRUITLESS_AT_MOST = 100
"""How often a pattern is looked for, or calls are gathered by one, in vain before they are taken for unlike each other.
"""
MOST_SUMMANDS = 8

Values = tuple[Any, ...]
"""What a call has of its own: start, duration, time to the first chunk, HTTP status, attempts and id; then numbers."""


class Pattern:
    """How calls like one that was read are read. Compared by identity."""

    def __init__(self, types: list[Any], event: UsageEvent, own: list[str], numbers: list[str]) -> None:
        """`types`: of what the record says of a call. `own` and `numbers` are the paths of Values within."""
        record = msgspec.defstruct(
            "Record", [("number", int), ("told", array(types)), ("nothing", None, None)], array_like=True, gc=False
        )
        self.decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(record).decode
        """Raises msgspec.DecodeError for a payload that isn't alike."""
        self.extract: Callable[[Any], Values] = attrgetter(*own, *numbers)
        self.event = event
        """What all have in common. Its figures and times are those of the one."""
        self.named = own[-1] != "nothing"
        self.template = None if event.raw is None else template_of(event.raw)
        self.figures = 0 if self.template is None else self.template.count("%s")
        """How many of the numbers, the last ones, are those of the usage object."""
        self.places: tuple[int, ...] = ()
        """Where each of the counts of tokens is among the numbers; -1 for what is unknown."""
        self.sums: tuple[tuple[int, tuple[int, ...]], ...] = ()
        """Which of the counts are sums, and of which numbers."""
        self.total: int | None = None
        """Which of the numbers is the sum of input and output; where it isn't, these mean something else."""
        self.fruitless = 0
        """How many more calls had to be read one by one after all than others."""


def pattern_of_call(kind: CallKind, told: Told) -> Pattern | None:
    """None where an answer like this one was not read before. Raises Unlike."""
    found = plan_of(READERS[kind.reader], kind.operation, kind.names, told.said)
    if found is None:
        return None
    plan, raw = found
    if plan.total is not None and max(plan.places[:2]) < 0:
        raise Unlike  # a total of what is unknown
    place = place_of_id(kind.names)
    pieces, numbers = [], list[str]()
    for at, (*values, usage) in enumerate(told.said):
        types = [Id if number == place else constant(value) for number, value in enumerate(values)]
        pieces.append(array([*types, type_of(usage, f"told.f5.f{at}.f{len(values)}", numbers)]))
    event = UsageEvent(
        started_at=told.started_at, duration_ms=told.duration_ms, operation=kind.operation,
        request_model=kind.request_model, model=plan.model, service_tier=plan.service_tier, streamed=kind.streamed,
        raw=raw,
    )  # fmt: skip
    named = "nothing" if plan.named is None or place is None else f"told.f5.f{plan.named}.f{place}"
    pattern = Pattern(
        [Instant, Milliseconds, Milliseconds | None, int | None, int, array(pieces)],
        event,
        ["told.f0", "told.f1", "told.f2", "told.f3", "told.f4", named],
        numbers,
    )
    pattern.places, pattern.sums, pattern.total = plan.places, plan.sums, plan.total
    if pattern.figures != len(numbers) or any(len(places) > MOST_SUMMANDS for _, places in plan.sums):
        raise Unlike
    return pattern


UNUSUAL = ("reported_cost", "awaits", "completes")


def pattern_of_event(event: UsageEvent) -> Pattern:
    """Raises Unlike."""
    usage = event.usage
    if usage.units is not None or usage.estimated or event.cached or any(getattr(event, each) for each in UNUSUAL):
        raise Unlike
    names = event.__struct_fields__
    at = {name: f"told.f{names.index(name)}" for name in names}
    counts, raw = list[str](), list[str]()
    types: dict[str, Any] = {
        "started_at": Instant,
        "duration_ms": Milliseconds,
        "ttft_ms": Milliseconds | None,
        "response_id": None if event.response_id is None else Id,
        "http_status": int | None,
        "attempts": int,
        "usage": array([type_of(getattr(usage, name), f"{at['usage']}.f{place}", counts)
                        for place, name in enumerate(usage.__struct_fields__)]),
        "raw": type_of(event.raw, at["raw"], raw),
    }  # fmt: skip
    own = ["started_at", "duration_ms", "ttft_ms", "http_status", "attempts", "response_id"]
    pattern = Pattern(
        [types[name] if name in types else constant(getattr(event, name)) for name in names],
        event,
        [at[name] for name in own[:-1]] + ["nothing" if event.response_id is None else at["response_id"]],
        counts + raw,
    )
    place = iter(range(len(counts)))
    pattern.places = tuple([-1 if getattr(usage, name) is None else next(place) for name in COUNTS])
    if pattern.figures != len(raw):
        raise Unlike
    return pattern


class Patterns:
    """The patterns of calls that have much in common; the one that was met last is the first."""

    def __init__(self) -> None:
        self._known: list[Pattern] = []
        self._fruitless = 0

    def read(self, payload: bytes) -> tuple[Pattern, Values | None] | None:
        """The pattern that a record is like, if any, and its values: none where it would be gathered in vain."""
        for pattern in self._known:
            try:
                call = pattern.decode(payload)
            except msgspec.DecodeError:
                continue
            if pattern.fruitless > FRUITLESS_AT_MOST:
                return pattern, None
            if pattern is not self._known[0]:
                self._known = [pattern, *(other for other in self._known if other is not pattern)]
            return pattern, pattern.extract(call)
        return None

    def learn(self, make: Callable[[], Pattern | None]) -> None:
        """Have the next calls like one that was read be read by its pattern, if it has one."""
        if len(self._known) >= PATTERNS_OF_KIND or self._fruitless > FRUITLESS_AT_MOST:
            return
        self._fruitless += 1
        if self._fruitless > 1:  # what comes only once isn't worth a pattern
            try:
                pattern = make()
            except (Unlike, msgspec.DecodeError, RecursionError):
                return
            if pattern is not None:
                self._known = [pattern, *self._known]
                self._fruitless = 1


patterns: dict[tuple[object, ...], Patterns] = {}


def patterns_of_kind(kind: CallKind) -> Patterns:
    """Those of all kinds that differ only in on whose behalf was asked."""
    origin = kind.origin
    return patterns_like(
        (
            origin.provider, origin.sdk, origin.base_host, kind.by_model,
            kind.reader, kind.operation, kind.names, kind.request_model, kind.streamed,
        )
    )  # fmt: skip


class Head(msgspec.Struct, array_like=True, gc=False):
    """What an event's record begins with."""

    started_at: int
    duration_ms: float
    ttft_ms: float | None
    operation: str
    request_model: str | None
    model: str | None


decode_head = msgspec.msgpack.Decoder(tuple[int, Head]).decode


def patterns_of_event(origin: Origin, payload: bytes) -> Patterns:
    """Those of events with the same models of the same provider. Raises msgspec.DecodeError."""
    _, head = decode_head(payload)
    return patterns_like(
        (origin.provider, origin.sdk, origin.base_host, head.operation, head.request_model, head.model)
    )


def patterns_like(key: tuple[object, ...]) -> Patterns:
    found = patterns.get(key)
    if found is None:
        if len(patterns) >= PATTERNS_AT_MOST:
            patterns.clear()
        found = patterns[key] = Patterns()
    return found
