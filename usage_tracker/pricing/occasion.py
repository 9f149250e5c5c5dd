"""What a price depends on, apart from the counts: who serves which model, on which terms, when, and where."""

from typing import NamedTuple

from usage_tracker.event import Figures, Origin, UsageEvent

DAY = 86_400_000_000_000
MINUTE = 60_000_000_000
MINUTES_OF_DAY = 1440

STANDARD = "standard"
TIERS = {
    "": STANDARD,  # where nobody said
    "auto": STANDARD,
    "default": STANDARD,
    "none": STANDARD,
    "on_demand": STANDARD,
    "on_demand_flex": "flex",
    "on_demand_priority": "priority",
    "standard_only": STANDARD,
}
"""What providers call the tiers that the price lists know by another name: `auto` where a gateway only repeats what it
was asked; `on_demand…` is Vertex AI's traffic type
(https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse#TrafficType)."""

HOST = "host"
FIELDS: dict[str, tuple[str, ...]] = {
    "anthropic": (HOST, "inference_geo"),
    "openai": (HOST, "size"),
    "perplexity": (HOST, "search_context_size"),
}
"""By provider: what else its prices depend on, and what conditions of price lists may be about. `host` is the host that
was called; the rest are fields of the usage object."""
ONLY_HOST = (HOST,)
SPEED, FAST = "speed", "fast"
OF_USAGE = frozenset((SPEED, *(field for fields in FIELDS.values() for field in fields if field != HOST)))
"""What of usage objects any price depends on, beside their counts."""


class Occasion(NamedTuple):
    """Calls that share an occasion share their prices."""

    provider: str
    """Empty where nobody knows."""
    model: str | None
    """As the provider named it in its answer."""
    request_model: str | None
    tier: str
    """Of service: `standard`, `batch`, `flex`, `priority`, `fast`, or what else the answer said."""
    fast: bool
    """Anthropic's `speed: fast`, which is chosen apart from the tier."""
    minute: int
    """Since 1970: of the call itself, or of the start of a day on which prices are those of the call's own."""
    told: tuple[str | None, ...]
    """The provider's FIELDS, in order."""

    @property
    def day(self) -> int:
        """Since 1970."""
        return self.minute // MINUTES_OF_DAY

    def field(self, name: str) -> str | None:
        """The value of one of FIELDS."""
        fields = FIELDS.get(self.provider, ONLY_HOST)
        return self.told[fields.index(name)] if name in fields else None


def usual(provider: str, model: str, tier: str, minute: int) -> Occasion:
    """Calls of a model of which nothing else is known."""
    nothing = tuple(None for _ in FIELDS.get(provider, ONLY_HOST))
    return Occasion(provider, model, model, tier, False, minute, nothing)


def occasion_of(origin: Origin, event: UsageEvent, day: int) -> Occasion | None:
    """That of the call, on a day since 1970 that has the same prices as its own. None where the model is unknown."""
    if event.model is None and event.request_model is None:
        return None
    provider, raw = origin.provider or "", event.raw
    tier = (event.service_tier or "").lower()
    fields = FIELDS.get(provider)
    return Occasion(
        provider,
        event.model,
        event.request_model,
        "batch" if event.operation == "batch" else TIERS.get(tier, tier),
        raw is not None and raw.get(SPEED) == FAST,
        day * MINUTES_OF_DAY,
        (origin.base_host,) if fields is None else tuple([tell(field, origin, raw) for field in fields]),
    )


def tell(field: str, origin: Origin, raw: Figures | None) -> str | None:
    if field == HOST:
        return origin.base_host
    value = raw.get(field) if raw else None
    return value if type(value) is str else None


def told_by(raw: Figures | None) -> tuple[object, ...] | None:
    """What a usage object says of OF_USAGE, which is nearly always nothing."""
    if raw is None or OF_USAGE.isdisjoint(raw):
        return None
    return tuple([value if type(value := raw.get(name)) is str else None for name in OF_USAGE])


def at_minute(occasion: Occasion, event: UsageEvent) -> Occasion:
    """As of the call itself, for prices that depend on the time of day."""
    return occasion._replace(minute=event.started_at // MINUTE)


def moved(occasion: Occasion, provider: str | None, model: str) -> Occasion:
    """The same calls, priced as another model, maybe of another provider."""
    provider = provider or occasion.provider
    told = tuple(occasion.field(name) for name in FIELDS.get(provider, ONLY_HOST))
    return occasion._replace(provider=provider, model=model, request_model=model, told=told)
