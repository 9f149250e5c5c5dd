"""Told calls that are alike, as they come out of a journal: kept column by column, and read one by one only where
somebody has to."""

from collections.abc import Iterable, Iterator
from copy import copy
from functools import lru_cache, reduce
from operator import add
from uuid import UUID

import msgspec

from usage_tracker.event import AlikeCalls, CallKind, Origin, Told, UsageEvent, event_number
from usage_tracker.guard import guarded
from usage_tracker.providers.answer import word
from usage_tracker.providers.hosts import provider_of
from usage_tracker.providers.patterns import Pattern, Values, pattern_of_call, pattern_of_event
from usage_tracker.providers.told import event_of, served_by, unread

guard_told = guarded("read call")
HOUR = 3_600_000_000_000

decode_event = msgspec.msgpack.Decoder(tuple[int, UsageEvent]).decode
decode_call = msgspec.msgpack.Decoder(tuple[int, Told]).decode
provider_of_model = lru_cache(1024)(provider_of)


class Gathered:
    """Calls of one pattern and one hour, with the same HTTP status and as many attempts."""

    __slots__ = ("_pattern", "_segment", "abouts", "payloads", "positions", "values")

    def __init__(self, pattern: Pattern, segment: UUID) -> None:
        self._pattern = pattern
        self._segment = segment
        self.abouts: list[CallKind | Origin] = []
        """What the records refer to: of a told call its kind, of an event its origin."""
        self.values: list[Values] = []
        self.positions: list[int] = []
        """Of the records."""
        self.payloads: list[bytes] = []

    def events(self) -> Iterator[tuple[UUID, Origin, UsageEvent]]:
        """Each by itself: its id, where it came from and what it is."""
        self._pattern.fruitless += 2 * len(self.positions)
        for about, position, payload in zip(self.abouts, self.positions, self.payloads, strict=True):
            if isinstance(about, CallKind):
                _, told = decode_call(payload)
                origin, event = about.origin, unread(about, told)
                with guard_told:
                    origin, event = event_of(about, told)
            else:
                origin, (_, event) = about, decode_event(payload)
            yield UUID(int=event_number(self._segment.int, position, event.started_at)), origin, event

    def columns(self) -> AlikeCalls | None:
        """All of them; None where a pattern doesn't tell what one of them says."""
        pattern, about = self._pattern, self.abouts[0]
        started_at, duration_ms, ttft_ms, http_status, attempts, ids, *numbers = zip(*self.values, strict=True)
        counts = [None if place < 0 else numbers[place] for place in pattern.places]
        for column, places in pattern.sums:
            counts[column] = total(numbers[place] for place in places)
        if pattern.total is not None and numbers[pattern.total] != total(part for part in counts[:2] if part):
            return None
        origins: list[Origin]
        if pattern.named and not are_words(ids):
            return None
        pattern.fruitless = max(0, pattern.fruitless - len(self.positions))
        if isinstance(about, CallKind):
            origins = [kind.origin for kind in self.abouts]  # type: ignore[union-attr]
            if about.by_model:
                provider = provider_of_model(about.origin.base_host, pattern.event.model or about.request_model)
                origins = [served_by(origin, provider) for origin in origins]
        else:
            origins = self.abouts  # type: ignore[assignment]
        event = copy(pattern.event)
        event.started_at, event.http_status, event.attempts = max(started_at), http_status[0], attempts[0]
        segment, figures = self._segment.int, len(self.values[0]) - pattern.figures
        return AlikeCalls(
            origins[0],
            event,
            origins,
            [event_number(segment, *place) for place in zip(self.positions, started_at, strict=True)],
            started_at,
            duration_ms,
            ttft_ms,
            ids,
            tuple(counts),
            pattern.template,
            [values[figures:] for values in self.values],
        )


def pattern_of_record(about: CallKind | Origin, payload: bytes) -> Pattern | None:
    """The pattern of a record that refers to this; None where none is known. Raises Unlike."""
    if isinstance(about, CallKind):
        _, told = decode_call(payload)
        return pattern_of_call(about, told)
    _, event = decode_event(payload)
    return pattern_of_event(event)


def total(columns: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """The sum of each row."""
    return reduce(lambda one, other: tuple(map(add, one, other)), columns)


def are_words(ids: tuple[str, ...]) -> bool:
    """Whether each of them is as it is kept."""
    together = "".join(ids)
    return (together.isascii() and together.isprintable() and " " not in together) or ids == tuple(map(word, ids))
