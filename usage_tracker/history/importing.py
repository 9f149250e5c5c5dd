"""The way of recorded usage into a store, a batch at a time: each call once, in whichever pieces and however often.

An event's id follows from what its source calls it, and what the store has already is left out. The ledger of offsets
holds how far a source was read, as the microsecond of its latest call: a batch moves it in its own transaction, so that
of two imports at a time one has to look again, and the next import begins there, a day earlier for who came late.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple, Protocol
from uuid import NAMESPACE_URL, UUID, uuid5

from usage_tracker.errors import EventsRefused
from usage_tracker.event import Batch, Cost, Origin, PricedEvent, Stretch, UsageEvent
from usage_tracker.instants import DAY, to_instant, to_moment
from usage_tracker.stores import Store
from usage_tracker.stores.store import read_id

LATE = DAY
"""Microseconds by which a call may come into its source after later ones: it is written when it has ended."""


class Found(NamedTuple):
    """One call of a source."""

    name: str | UUID
    """What it is called for good: by its source's kind or, where it is one of ours, its event's id."""
    origin: Origin
    event: UsageEvent
    cost: Cost | None = None
    """Where it was priced by us; None: not yet."""


class Source(Protocol):
    """Where calls are recorded, in order of their start unless it is small."""

    kind: str
    place: str
    """What tells it from others of its kind, without secrets."""

    def count(self, since: int | None) -> int | None:
        """How many calls there are from that microsecond on, or in all where only reading them tells. None: it can be
        read once, as a pipe."""

    def read(self, since: int | None) -> Iterator[Found]:
        """Those calls."""


class Prices(Protocol):
    """What is needed of a pricer; see `batch_pricing.Prices`."""

    def refresh(self, store: Store) -> None: ...

    def price(self, origin: Origin, event: UsageEvent) -> Cost: ...


class Brought(NamedTuple):
    """What became of a source's calls."""

    read: int
    stored: int
    refused: int
    """Calls that no store can hold."""
    changed: int
    """Calls that the store has with other counts of tokens, which stay: their source has changed since."""
    gone: int
    """Calls of a time whose events were pruned, which were left out: the sums may have them."""


class Importer:
    """Brings sources into one store. Raises StoreError; what was brought by then stays, and is not brought again."""

    def __init__(self, store: Store, prices: Prices, batch_size: int, gone: tuple[int, int] | None) -> None:
        """`gone`: from which microsecond on, and up to which, the store's events were pruned, so that nobody knows any
        more which it has had."""
        self._store = store
        self._gone = gone or (0, 0)
        self._prices = prices
        self._batch_size = batch_size
        self._refused = 0
        self._changed: set[UUID] = set()

    def since(self, source: Source) -> int | None:
        """The microsecond from which on the source may have what the store has not; None: all of it."""
        position = self._position(segment_of(source))
        return position - LATE if LATE < position <= to_instant(datetime.now(UTC)) else None

    def bring(self, source: Source, since: int | None, advance: Callable[[int], object]) -> Brought:
        """Store what is new of the source's calls from that microsecond on."""
        segment, read, stored, gone = segment_of(source), 0, 0, 0
        self._refused, self._changed = 0, set()
        found = source.read(since)
        while batch := list(islice(found, self._batch_size)):
            self._prices.refresh(self._store)
            kept = [call for call in batch if not self._gone[0] <= call.event.started_at // 1000 < self._gone[1]]
            gone += len(batch) - len(kept)
            named = {event_id(source.kind, call): call for call in kept}
            stored += self._write(segment, [self._priced(name, call) for name, call in named.items()])
            read += len(batch)
            advance(len(batch))
        return Brought(read, stored, self._refused, len(self._changed), gone)

    def _priced(self, name: UUID, call: Found) -> PricedEvent:
        _, origin, event, cost = call
        return PricedEvent(name, origin, event, self._prices.price(origin, event) if cost is None else cost)

    def _write(self, segment: UUID, events: list[PricedEvent]) -> int:
        """How many of them are new, and stored now."""
        if not events:
            return 0
        starts = [priced.event.started_at // 1000 for priced in events]
        while True:
            position = self._position(segment)
            known = stored_tokens(self._store, {priced.event_id for priced in events}, min(starts), max(starts))
            new = [priced for priced in events if priced.event_id not in known]
            self._changed |= {
                priced.event_id
                for priced in events
                if known.get(priced.event_id, told := tokens_of(priced.event)) != told
            }
            if not new:
                return 0
            # who wrote a call of tomorrow has a wrong clock, and what others write until then is still to come
            now = to_instant(datetime.now(UTC))
            latest = max((start for start in starts if start <= now), default=0)
            stretch = Stretch(segment, position, max(position + 1, latest), len(new))
            try:
                if self._store.write(Batch([stretch], new)):
                    return len(new)
            except EventsRefused:
                if len(new) == 1:
                    self._refused += 1
                    return 0
                middle = len(new) // 2
                return self._write(segment, new[:middle]) + self._write(segment, new[middle:])

    def _position(self, segment: UUID) -> int:
        return self._store.positions([segment]).get(segment, 0)


def segment_of(source: Source) -> UUID:
    """The source's line in the ledger."""
    return uuid5(NAMESPACE_URL, f"usage-tracker import {source.kind} {source.place}")


def event_id(kind: str, found: Found) -> UUID:
    """A UUIDv7 of the call's start and its name."""
    if isinstance(found.name, UUID):
        return found.name
    rest = int.from_bytes(blake2b(f"{kind} {found.name}".encode("utf-8", "replace"), digest_size=10).digest())
    milliseconds = found.event.started_at // 1_000_000 & 0xFFFF_FFFF_FFFF
    low, high = rest & ((1 << 62) - 1), rest >> 62 & 0xFFF
    return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


Tokens = tuple[object, object]
"""Of the input and the output; 0 where it isn't known, as ClickHouse's rows have it."""


def tokens_of(event: UsageEvent) -> Tokens:
    return event.usage.input_tokens or 0, event.usage.output_tokens or 0


def stored_tokens(store: Store, ids: set[UUID], first: int, last: int) -> dict[UUID, Tokens]:
    """What the store has of events with these ids that began between these microseconds, both included."""
    dialect = store.dialect
    mark = dialect.placeholder
    text = (
        f"SELECT event_id, input_tokens, output_tokens FROM {dialect.prefix}usage_event "  # noqa: S608  our own names
        f"WHERE started_at BETWEEN {mark} AND {mark}"
    )
    bounds: list[object] = [first, last]
    if dialect.name == "postgres":
        text += f" AND event_id IN (SELECT unnest({mark}::uuid[]))"
        bounds = [to_moment(first), to_moment(last), [str(name) for name in ids]]
    found: dict[UUID, Tokens] = {}
    for value, *tokens in store.select(text, bounds):
        name = read_id(value)
        if name in ids:  # of a sparse source, the store may have many more between
            found[name] = (tokens[0] or 0, tokens[1] or 0)
    return found


def optional(moment: datetime | None) -> int | None:
    """The microseconds of a moment, if there is one."""
    return None if moment is None else microseconds(moment)


def microseconds(moment: datetime) -> int:
    """Of a moment, which is in UTC where it doesn't say."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return to_instant(moment)
