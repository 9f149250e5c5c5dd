"""The one record: what a finished call used, who made it, what it cost; its wire form and its columns.

Token counts follow OpenTelemetry's GenAI conventions: a total includes its parts, and the parts are disjoint.
None means unknown; it is never written as 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from math import isnan, nan
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

Status = Literal["ok", "error", "cancelled", "abandoned"]

UNTIMED = nan
"""A duration that nobody told: null in a store."""

Figures = dict[str, Any]
"""A provider's usage object with its numbers and short words only, nested as it was sent."""


class Usage(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """Token and unit counts of one call.

    Wire form: an array in this order, so a field may only ever be added at the end.
    """

    input_tokens: int | None = None
    """All of the prompt: cached, cache-written, audio, image and tool-use tokens included."""
    output_tokens: int | None = None
    """All that was generated: reasoning, audio and image tokens included."""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    """All cache writes, of every lifetime."""
    cache_write_1h_tokens: int | None = None
    """The part of `cache_write_tokens` that is kept for an hour."""
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None
    tool_tokens: int | None = None
    """The part of `input_tokens` that the provider's own tools added to the prompt."""
    units: dict[str, int | float] | None = None
    """What is billed but isn't a token: kind (images, seconds, characters, searches) to count."""
    estimated: bool = False
    """The counts are somebody's estimate, not the provider's own."""

    def known(self) -> bool:
        """Whether any token total is known."""
        return self.input_tokens is not None or self.output_tokens is not None


COUNTS = Usage.__struct_fields__[:-2]
"""The counts of tokens: all but `units` and `estimated`, with which no answer is alike another."""


class Origin(msgspec.Struct, array_like=True, kw_only=True, frozen=True, gc=False):
    """Where a call came from: what repeats from call to call, written once per journal segment."""

    provider: str | None = None
    sdk: str
    base_host: str | None = None
    api_key: str | None = None
    """A fingerprint: keyed hash and, of a long key, its last four characters; never the key."""
    app: str | None = None
    project: str | None = None
    team: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    tags: tuple[str, ...] = ()
    host: str | None = None
    pid: int | None = None


class UsageEvent(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """One finished call. Wire form: an array in this order, so a field may only ever be added at the end."""

    started_at: int
    """Nanoseconds since 1970, UTC."""
    duration_ms: float
    """Until the answer was complete, by a monotonic clock; UNTIMED where it isn't known."""
    ttft_ms: float | None = None
    """Until the first chunk of a stream."""
    operation: str
    request_model: str | None = None
    model: str | None = None
    """The model as the provider named it in its answer."""
    service_tier: str | None = None
    """The tier that the provider says it served with."""
    streamed: bool = False
    response_id: str | None = None
    status: Status = "ok"
    error_type: str | None = None
    http_status: int | None = None
    attempts: int = 1
    """HTTP requests that the SDK made for this call, its retries included."""
    usage: Usage = msgspec.field(default_factory=Usage)
    raw: Figures | None = None
    """The column `usage`: the provider's usage object, figures only."""
    reported_cost: str | None = None
    """US dollars as the provider or gateway stated them, a decimal number."""
    awaits: str | None = None
    """The provider's id of what was started and is still at work, such as a background response or a batch: what it
    used is said later, to whoever asks."""
    completes: str | None = None
    """The id that an earlier event awaits: this one brings what it used, and is no call of its own. The store takes it
    once, and only where it knows that earlier event."""
    cached: bool = False
    """Answered from a cache of the app's own, such as LiteLLM's: the provider did nothing and charges nothing."""


class CallKind(msgspec.Struct, array_like=True, kw_only=True, frozen=True, eq=False):
    """What calls have in common that ask the same of the same on behalf of the same: written once per journal segment.
    One object for each, compared by identity."""

    origin: Origin
    by_model: bool
    """Whether the model that answered tells who serves it, as nothing else does."""
    reader: str
    """The module of `providers` that reads what is told."""
    operation: str
    request_model: str | None
    streamed: bool
    names: tuple[str, ...]
    """The fields of an answer that are kept, in their order; the last is its usage object."""


class Told(NamedTuple):
    """A finished call that says all in a few fields, as its answer had them: whoever ships it makes a UsageEvent of it.
    Wire form: an array in this order."""

    started_at: int
    duration_ms: float
    ttft_ms: float | None
    http_status: int | None
    attempts: int
    said: tuple[tuple[Any, ...], ...]
    """For an answer, or each piece of a stream that says something: the values of `CallKind.names`."""


class CostLine(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """`count` x `price` dollars; a call's cost is the sum of its lines."""

    unit: str
    count: Decimal
    price: Decimal
    """US dollars for one unit."""


class Cost(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a call cost, or why that is not known."""

    amount: Decimal | None = None
    """US dollars, at most 12 decimal places; None: unknown."""
    lines: tuple[CostLine, ...] = ()
    source: str | None = None
    version: str | None = None
    flags: tuple[str, ...] = ()
    """What is special about it, such as `unpriced` or `awaited`: docs/money.md has all of them."""


UNPRICED = Cost(flags=("unpriced",))
"""Of a call that should have a cost and has none."""


class PricedEvent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An event on its way into a store."""

    event_id: UUID
    origin: Origin
    event: UsageEvent
    cost: Cost


class Stretch(NamedTuple):
    """The bytes of one journal segment that a batch covers."""

    segment: UUID
    start: int
    """The position that the store must have for this segment; its first position is 0."""
    end: int
    events: int


class AlikeCalls(NamedTuple):
    """Calls of one hour that differ in their ids, times, figures and in who made them, column by column."""

    origin: Origin
    """Of one of them: all have its provider, SDK and host."""
    event: UsageEvent
    """What they have in common. Its own figures and times are those of one of them."""
    origins: Sequence[Origin]
    event_ids: Sequence[int]
    started_at: Sequence[int]
    duration_ms: Sequence[float]
    ttft_ms: Sequence[float | None]
    response_ids: Sequence[str | None]
    counts: tuple[Sequence[int] | None, ...]
    """For each of COUNTS, in that order; None: it is unknown of them all."""
    template: str | None
    """The JSON of the usage object, with %s for each figure; None: there is none."""
    figures: Sequence[tuple[int, ...]]


class PricedCalls(NamedTuple):
    """Calls that are alike, also in what they are billed for, on their way into a store."""

    calls: AlikeCalls
    amounts: Sequence[int] | None
    """Picodollars; None: the cost of them all is unknown."""
    units: tuple[str, ...] = ()
    prices: tuple[str, ...] = ()
    counts: Sequence[tuple[int, ...]] = ()
    """How many of each unit each call is billed for."""
    source: str | None = None
    version: str | None = None
    flags: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Events and the stretches of journal that they were read from, stored together or not at all."""

    stretches: list[Stretch]
    events: list[PricedEvent]
    alike: Sequence[PricedCalls] = ()
    """More events, where the store takes them like this."""

    @property
    def size(self) -> int:
        """How many events it has."""
        return len(self.events) + sum([len(priced.calls.event_ids) for priced in self.alike])


def origins_of(batch: Batch) -> Iterator[Origin]:
    """The origin of each of its events."""
    yield from [priced.origin for priced in batch.events]
    for priced in batch.alike:
        yield from priced.calls.origins


def starts_of(batch: Batch) -> Iterator[int]:
    """When each of its events started: nanoseconds since 1970."""
    yield from [priced.event.started_at for priced in batch.events]
    for priced in batch.alike:
        yield from priced.calls.started_at


def event_number(segment: int, position: int, started_at: int) -> int:
    """The bits of an event's id, a UUIDv7 that follows from where the event lies, so that it is the same however often
    the event is read: the start in milliseconds, then the position (which orders events of one millisecond), then 42
    bits of the segment's id."""
    position &= 0xFFFF_FFFF
    return (
        (started_at // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | position >> 20 << 64
        | 0b10 << 62
        | (position & 0xF_FFFF) << 42
        | segment & 0x3FF_FFFF_FFFF
    )


COLUMNS: tuple[str, ...] = (
    "event_id", "started_at", "duration_ms", "ttft_ms",
    "provider", "sdk", "operation", "request_model", "model", "service_tier", "streamed", "base_host", "response_id",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens",
    "tool_tokens", "units", "estimated",
    "cost", "cost_parts", "price_source", "price_version", "reported_cost", "cost_flags",
    "app", "project", "team", "user_id", "session_id", "tags", "api_key", "host", "pid",
    "status", "error_type", "http_status", "attempts",
    "usage",
    "awaits", "completes",
)  # fmt: skip
"""The columns of the view `events`, in order, in every store."""


def flatten(priced: PricedEvent) -> Mapping[str, object]:
    """The event as {column: value}, in the order of COLUMNS; times in nanoseconds, money as Decimal."""
    event, origin, cost = priced.event, priced.origin, priced.cost
    found: dict[str, object] = {
        "event_id": priced.event_id,
        "cost": cost.amount,
        "cost_parts": cost.lines,
        "price_source": cost.source,
        "price_version": cost.version,
        "cost_flags": cost.flags,
        "usage": event.raw,
        "duration_ms": None if isnan(event.duration_ms) else event.duration_ms,
    }
    for part in (event.usage, origin, event):
        for name in part.__struct_fields__:
            found.setdefault(name, getattr(part, name))
    return {name: found[name] for name in COLUMNS}
