"""`POST /api/v1/events`: calls that programs in other languages made, each stored once however often it is sent.

An event's id stands for a segment of a journal that holds this one event. The transaction that stores it moves that
segment's position from 0 to 1 by compare-and-set, as it does with the journals of our own processes, so that an answer
that got lost, a retry, or two servers at once don't count a call twice.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import UUID, uuid5

import msgspec

from usage_tracker.attribution import clean, clean_tags
from usage_tracker.capture.fingerprint import fingerprint
from usage_tracker.decimals import EXACT
from usage_tracker.dsn import Dsn
from usage_tracker.errors import StoreUnavailable
from usage_tracker.event import Batch, Origin, PricedEvent, Status, Stretch, Usage, UsageEvent
from usage_tracker.instants import to_instant
from usage_tracker.lazy_pricer import LazyPricer
from usage_tracker.stores import Store
from usage_tracker.stores.values import PICODOLLAR
from usage_tracker.web.writing import Turns

JOURNAL = UUID("0b4f6c52-7d1e-5d0a-9a57-3a3c9f6d2e11")
"""Names the segments of posted events."""
MOST_EVENTS = 1000
MOST_BYTES = 4 << 20
MOST_DOLLARS = 1_000_000
YEARS = range(2000, 2100)
"""Where a clock is wrong by centuries, reports of all time would go over them."""
ATTEMPTS = 20

Text = Annotated[str, msgspec.Meta(max_length=500)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class Posted(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One finished call. Token totals include their parts: `input_tokens` the cached ones, `output_tokens` the
    reasoning ones. What is not known is left out."""

    event_id: UUID
    """Yours, the same each time that this call is sent; UUIDv7 is found fastest."""
    started_at: Annotated[datetime, msgspec.Meta(tz=True)]
    duration_ms: Milliseconds
    operation: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    """chat, responses, embeddings, image, speech, transcription, moderation, rerank …"""
    provider: Text | None = None
    model: Text | None = None
    request_model: Text | None = None
    service_tier: Text | None = None
    sdk: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "http"
    """What made the call."""
    base_host: Text | None = None
    response_id: Text | None = None
    streamed: bool = False
    ttft_ms: Milliseconds | None = None
    status: Status = "ok"
    error_type: Text | None = None
    http_status: Annotated[int, msgspec.Meta(ge=100, le=599)] | None = None
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cache_write_1h_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    input_audio_tokens: Count | None = None
    output_audio_tokens: Count | None = None
    input_image_tokens: Count | None = None
    output_image_tokens: Count | None = None
    tool_tokens: Count | None = None
    units: dict[Text, Annotated[float, msgspec.Meta(ge=0, le=1e15)]] | None = None
    """What is billed but isn't a token: images, seconds, characters, searches."""
    estimated: bool = False
    reported_cost: Decimal | None = None
    """US dollars, as the provider or a gateway stated them."""
    app: Text | None = None
    project: Text | None = None
    team: Text | None = None
    user_id: Text | None = None
    session_id: Text | None = None
    tags: Annotated[tuple[Text, ...], msgspec.Meta(max_length=64)] = ()
    api_key: Text | None = None
    """Only a fingerprint of it is kept."""
    host: Text | None = None

    def __post_init__(self) -> None:
        stated = self.reported_cost
        if stated is not None and not (stated.is_finite() and 0 <= stated <= MOST_DOLLARS):
            raise ValueError(f"reported_cost is an amount from 0 to {MOST_DOLLARS}")
        if self.started_at.year not in YEARS:
            raise ValueError(f"started_at is of a year from {YEARS[0]} to {YEARS[-1]}")


Body = Posted | Annotated[list[Posted], msgspec.Meta(min_length=1, max_length=MOST_EVENTS)]
decode = msgspec.json.Decoder(Body).decode

USAGE = frozenset(Usage.__struct_fields__)
EVENT = frozenset(UsageEvent.__struct_fields__) & frozenset(Posted.__struct_fields__) - {"started_at", "reported_cost"}


NAMES = ("model", "request_model", "service_tier", "response_id", "error_type")
"""Texts of an event that may be unknown."""


class Outcome(NamedTuple):
    stored: int
    known: int
    """Events that had been stored before, or were sent twice at once."""


class Writer:
    """Puts posted events into the store."""

    def __init__(self, dsn: Dsn, prices: Path | None, fingerprint_key: str) -> None:
        self._turns = Turns(dsn)
        self._fingerprint_key = fingerprint_key
        self._prices = LazyPricer(prices)
        self._thread = new_thread()

    async def write_in_turn(self, posted: Sequence[Posted]) -> Outcome:
        """As `write`. Who waits for others to be through holds none of the threads that answers are written on."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, copy_context().run, self.write, posted)

    def write(self, posted: Sequence[Posted]) -> Outcome:
        """All of them or, where it raises, none. Raises StoreError."""
        return self._turns.do(lambda store: self._write(store, posted))

    def close(self) -> None:
        """Until something is posted again, as to an app that is started a second time."""
        self._thread.shutdown(cancel_futures=True)
        self._thread = new_thread()
        self._turns.close()

    def _write(self, store: Store, posted: Sequence[Posted]) -> Outcome:
        segments = {uuid5(JOURNAL, event.event_id.hex): event for event in reversed(posted)}
        self._prices.refresh(store)
        for _ in range(ATTEMPTS):
            stored = store.positions(segments)
            fresh = {segment: event for segment, event in segments.items() if segment not in stored}
            stretches = [Stretch(segment, 0, 1, 1) for segment in sorted(fresh)]
            if not fresh or store.write(Batch(stretches, [self._priced(event) for event in fresh.values()])):
                return Outcome(len(fresh), len(posted) - len(fresh))
        raise StoreUnavailable("other servers are storing the same events right now; send them again")

    def _priced(self, posted: Posted) -> PricedEvent:
        origin = Origin(
            provider=clean(posted.provider),
            sdk=clean(posted.sdk) or "http",
            base_host=clean(posted.base_host),
            api_key=fingerprint(posted.api_key, self._fingerprint_key),
            app=clean(posted.app),
            project=clean(posted.project),
            team=clean(posted.team),
            user_id=clean(posted.user_id),
            session_id=clean(posted.session_id),
            tags=clean_tags(posted.tags),
            host=clean(posted.host),
        )
        said: dict[str, Any] = {name: getattr(posted, name) for name in EVENT}
        # where a program's types know no null, what it doesn't know is empty
        said |= {name: clean(said[name]) for name in NAMES}
        stated = posted.reported_cost
        event = UsageEvent(
            **said,
            started_at=to_instant(posted.started_at) * 1000,
            usage=Usage(**{name: getattr(posted, name) for name in USAGE}),
            reported_cost=None if stated is None else f"{stated.quantize(PICODOLLAR, context=EXACT):f}",
        )
        return PricedEvent(posted.event_id, origin, event, self._prices.price(origin, event))


def new_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="usage-tracker-writer")


def read_posted(content: bytes) -> list[Posted]:
    """Raises ValueError with a sentence."""
    try:
        found = decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the body is not one event or a list of up to {MOST_EVENTS}: {error}") from None
    return found if isinstance(found, list) else [found]
