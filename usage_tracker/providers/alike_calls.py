"""Told calls that are alike, as they come out of a journal: kept column by column, and read one by one only where
somebody has to."""

from collections.abc import Iterable, Iterator
from copy import copy
from functools import lru_cache, reduce
from operator import add
from uuid import UUID

import msgspec

from usage_tracker.event import AlikeCalls, CallKind, Origin, Told, UsageEvent
from usage_tracker.guard import guarded
from usage_tracker.providers.answer import word
from usage_tracker.providers.hosts import provider_of
from usage_tracker.providers.patterns import Pattern, Values, pattern_of_call, pattern_of_event
from usage_tracker.providers.told import event_of, served_by, unread

guard_told = guarded("read call")
TOGETHER_AT_MOST = 1000
"""What is done with a column of so many takes less than a millisecond, in which no other thread of the app can run."""
HOUR = 3_600_000_000_000

decode_event = msgspec.msgpack.Decoder(tuple[int, UsageEvent]).decode
decode_call = msgspec.msgpack.Decoder(tuple[int, Told]).decode
provider_of_model = lru_cache(1024)(provider_of)


class Gathered:
    """Calls of one pattern and one hour, with the same HTTP status and as many attempts."""

    __slots__ = ("_key", "_pattern", "abouts", "event_ids", "payloads", "values")

    def __init__(self, pattern: Pattern, key: tuple[object, ...]) -> None:
        """`key`: what they have to have in common."""
        self._pattern = pattern
        self._key = key
        self.abouts: list[CallKind | Origin] = []
        """What the records refer to: of a told call its kind, of an event its origin."""
        self.values: list[Values] = []
        self.event_ids: list[int] = []
        self.payloads: list[bytes] = []

    def events(self) -> Iterator[tuple[UUID, Origin, UsageEvent]]:
        """Each by itself: its id, where it came from and what it is."""
        self._pattern.fruitless += 2 * len(self.event_ids)
        for about, number, payload in zip(self.abouts, self.event_ids, self.payloads, strict=True):
            if isinstance(about, CallKind):
                _, told = decode_call(payload)
                origin, event = about.origin, unread(about, told)
                with guard_told:
                    origin, event = event_of(about, told)
            else:
                origin, (_, event) = about, decode_event(payload)
            yield UUID(int=number), origin, event

    @classmethod
    def joined(cls, those: Iterable["Gathered"]) -> list["Gathered"]:
        """The same, with what several segments have of the same put together."""
        found: list[Gathered] = []
        known: dict[tuple[object, ...], Gathered] = {}
        for gathered in those:
            other = known.get(gathered._key)
            if other is None or len(other.event_ids) + len(gathered.event_ids) > TOGETHER_AT_MOST:
                known[gathered._key] = gathered
                found.append(gathered)
            else:
                other.abouts += gathered.abouts
                other.values += gathered.values
                other.event_ids += gathered.event_ids
                other.payloads += gathered.payloads
        return found

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
        pattern.fruitless = max(0, pattern.fruitless - len(self.event_ids))
        if isinstance(about, CallKind):
            origins = [kind.origin for kind in self.abouts]  # type: ignore[union-attr]
            if about.by_model:
                provider = provider_of_model(about.origin.base_host, pattern.event.model or about.request_model)
                origins = [served_by(origin, provider) for origin in origins]
        else:
            origins = self.abouts  # type: ignore[assignment]
        event = copy(pattern.event)
        event.started_at, event.http_status, event.attempts = max(started_at), http_status[0], attempts[0]
        figures = len(self.values[0]) - pattern.figures
        return AlikeCalls(
            origins[0],
            event,
            origins,
            self.event_ids,
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
