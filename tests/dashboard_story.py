"""Two months of an invented company's calls, priced as a shipper does: what the dashboard's tests and pictures show."""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from usage_tracker.event import Cost, Origin, PricedEvent, Status, Usage, UsageEvent
from usage_tracker.instants import to_instant
from usage_tracker.pricing.pricer import Pricer

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

KINDS = (
    # provider, model, operation, tokens in and out, share of all calls
    ("openai", "gpt-4o-2024-08-06", "chat", 2400, 420, 22),
    ("openai", "gpt-5-2025-08-07", "responses", 5200, 1900, 9),
    ("openai", "gpt-4.1-mini-2025-04-14", "chat", 1500, 260, 24),
    ("openai", "text-embedding-3-small", "embeddings", 900, 0, 16),
    ("anthropic", "claude-sonnet-4-20250514", "chat", 4100, 760, 12),
    ("anthropic", "claude-3-5-haiku-20241022", "chat", 1900, 310, 8),
    ("gemini", "gemini-2.5-flash", "chat", 3000, 540, 7),
    ("acme", "acme-llm-7b", "chat", 800, 300, 2),
)
PROJECTS = (
    ("support-bot", "support", "web", 36),
    ("search", "discovery", "web", 26),
    ("contract-review", "legal", "jobs", 14),
    ("code-assistant", "platform", "ide", 17),
    (None, None, "notebooks", 7),
)
TIERS = ("tier:free", "tier:pro", "tier:enterprise")


def story(now: datetime, days: int = 62, calls_a_day: int = 60, seed: int = 8) -> Iterator[PricedEvent]:
    """Every call of the days up to now, the oldest first. The same for the same seed and time."""
    chance, pricer = random.Random(seed), Pricer()
    start = now - timedelta(days=days)
    at = start
    while at < now:
        weekday = 0.35 if at.weekday() >= 5 else 1.0
        hour = 0.25 + max(0.0, math.sin((at.hour - 6) / 24 * 2 * math.pi))
        growth = 0.7 + 0.6 * ((at - start) / timedelta(days=days))
        at += timedelta(days=1) / (calls_a_day * weekday * hour * growth) * chance.expovariate(1)
        if at < now:
            yield call(at, chance, pricer)


def call(at: datetime, chance: random.Random, pricer: Pricer) -> PricedEvent:
    provider, model, operation, tokens_in, tokens_out, _ = chance.choices(KINDS, [kind[-1] for kind in KINDS])[0]
    project, team, app, _ = chance.choices(PROJECTS, [project[-1] for project in PROJECTS])[0]
    failed = chance.random() < 0.018
    size = chance.lognormvariate(0, 0.7)
    usage = Usage()
    if not failed:
        asked = int(tokens_in * size) + 1
        answered = int(tokens_out * chance.lognormvariate(0, 0.5)) if tokens_out else 0
        usage = Usage(
            input_tokens=asked,
            output_tokens=answered,
            cache_read_tokens=asked // 2 if chance.random() < 0.3 and operation != "embeddings" else 0,
            reasoning_tokens=answered // 2 if "gpt-5" in model else None,
        )
    status: Status = "error" if failed else "ok"
    duration = 180 + 9 * (usage.output_tokens or 4) * chance.lognormvariate(0, 0.3)
    streamed = operation == "chat" and chance.random() < 0.5
    origin = Origin(
        provider=provider,
        sdk="anthropic" if provider == "anthropic" else "google-genai" if provider == "gemini" else "openai",
        base_host={"openai": "api.openai.com", "anthropic": "api.anthropic.com"}.get(provider),
        api_key=f"{'ab12' if app == 'web' else 'cd34'}…{'x7Qz' if app == 'web' else 'p2Lm'}",
        app=app,
        project=project,
        team=team,
        user_id=f"u-{int(chance.paretovariate(0.8)) % 90 + 100}" if project else None,
        session_id=f"s-{chance.randrange(4000)}" if project == "support-bot" else None,
        tags=(chance.choices(TIERS, (5, 3, 1))[0],) if app == "web" else (),
        host=f"{app}-{chance.randrange(1, 4)}",
        pid=chance.randrange(100, 3000),
    )
    event = UsageEvent(
        started_at=to_instant(at) * 1000,
        duration_ms=round(duration, 1),
        ttft_ms=round(140 + chance.random() * 500, 1) if streamed and not failed else None,
        operation=operation,
        request_model=model.rsplit("-20", 1)[0],
        model=None if failed else model,
        streamed=streamed,
        response_id=None if failed else f"resp-{chance.getrandbits(48):012x}",
        status=status,
        error_type="RateLimitError" if failed else None,
        http_status=429 if failed else 200,
        usage=usage,
        raw={"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens} if not failed else None,
    )
    cost = Cost() if provider == "acme" and failed else pricer.price(origin, event)
    return PricedEvent(made_id(at, chance), origin, event, cost)


def made_id(at: datetime, chance: random.Random) -> UUID:
    """A UUIDv7 of that time."""
    milliseconds = (at - EPOCH) // timedelta(milliseconds=1)
    return UUID(int=milliseconds << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | chance.getrandbits(62))


def total(events: list[PricedEvent]) -> Decimal:
    return sum((event.cost.amount for event in events if event.cost.amount is not None), Decimal(0))
