"""Events made up for tests, and how they get into a store."""

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from usage_tracker.event import UNTIMED, Batch, Cost, Origin, PricedEvent, Status, Stretch, Usage, UsageEvent
from usage_tracker.instants import to_instant
from usage_tracker.stores import Store

NOON = datetime(2026, 8, 15, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def made_event(
    at: datetime = NOON, *, cost: str | None = "0.01", flags: Sequence[str] = (), **fields: Any
) -> PricedEvent:
    """One event. `fields` are those of Origin, Usage and UsageEvent by name."""

    def of(struct: type[Any], **defaults: Any) -> Any:
        names = set(struct.__struct_fields__)
        return struct(**{**defaults, **{name: fields.pop(name) for name in names & set(fields)}})

    usage = of(Usage, input_tokens=100, output_tokens=10)
    origin = of(Origin, provider="openai", sdk="openai", app="tests", host="box", pid=7)
    started_at = to_instant(at) * 1000
    event = of(UsageEvent, started_at=started_at, duration_ms=250.0, operation="chat", model="gpt-4o", usage=usage)
    assert not fields, f"unknown fields: {fields}"
    return PricedEvent(uuid4(), origin, event, Cost(None if cost is None else Decimal(cost), flags=tuple(flags)))


def store_events(store: Store, events: Iterable[PricedEvent]) -> None:
    """Write the events as one batch of a journal segment of their own."""
    found = list(events)
    assert store.write(Batch([Stretch(uuid4(), 0, 1, len(found))], found))


INSTANTS = (
    "2026-02-28T22:00Z",  # month's end
    "2026-03-29T01:00Z",  # Berlin: 02:00 becomes 03:00
    "2026-04-04T15:00Z",  # Lord Howe: 02:00 becomes 01:30
    "2026-04-23T22:00Z",  # Cairo: midnight becomes 01:00
    "2026-10-25T01:00Z",  # Berlin: 03:00 becomes 02:00
    "2026-11-01T05:00Z",  # Havana: 01:00 becomes midnight
    "2026-12-31T18:15Z",  # Kathmandu: new year
)
"""Around which clocks, days, months or years change."""

STATUSES: Sequence[Status] = ("ok", "ok", "ok", "error", "cancelled", "abandoned")


def random_event(chance: random.Random) -> PricedEvent:
    """Any event, of few enough kinds that groups hold more than one."""

    def maybe(*values: Any) -> Any:
        return chance.choice([None, *values])

    near = datetime.fromisoformat(chance.choice(INSTANTS))
    spread = chance.choice([timedelta(minutes=90), timedelta(days=3), timedelta(days=40)])
    at = near + chance.uniform(-1, 1) * spread
    at = chance.choice([at, at, at.replace(second=0, microsecond=0), at.replace(minute=0, second=0, microsecond=0)])
    return made_event(
        at,
        cost=maybe("0.000000000001", "0.25", "1234.5", "0"),
        flags=chance.choice([(), (), ("unpriced",), ("unpriced", "tier_unpriced")]),
        provider=maybe("openai", "azure"),
        sdk=chance.choice(["openai", "litellm"]),
        operation=chance.choice(["chat", "embeddings"]),
        request_model=maybe("gpt-4o", "a*b", "A_b", "none"),
        model=maybe("gpt-4o-2024", "gpt-4o", "50%"),
        service_tier=maybe("flex"),
        app=maybe("web", "jobs"),
        project=maybe("alpha", "be\\ta", "[g]amma"),
        team=maybe("core"),
        user_id=maybe("u-1", "u-2", "größe"),
        session_id=maybe("s-1", "s-2"),
        api_key=maybe("k…1234"),
        host=maybe("box-1", "box-2"),
        tags=tuple(chance.sample(["tier:pro", "tier:free", "eu", "none"], chance.randint(0, 3))),
        status=chance.choice(STATUSES),
        duration_ms=maybe(chance.uniform(0, 90_000)) or UNTIMED,
        ttft_ms=maybe(chance.uniform(0, 900)),
        reported_cost=maybe("0.5"),
        input_tokens=maybe(0, chance.randint(1, 10**6)),
        output_tokens=maybe(chance.randint(0, 10**4)),
        cache_read_tokens=maybe(64),
        cache_write_tokens=maybe(32),
        reasoning_tokens=maybe(16),
        estimated=chance.random() < 0.2,
    )


def random_events(seed: int, count: int) -> list[PricedEvent]:
    chance = random.Random(seed)
    return [random_event(chance) for _ in range(count)]
