"""Sums and histograms over all events that a sink was given, as OpenTelemetry's GenAI conventions name them.

They only ever grow, so whoever is told twice is told the same: what is sent again after a crash counts nothing twice.
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
"""

import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from usage_tracker.decimals import EXACT
from usage_tracker.report import Event


class Instrument(NamedTuple):
    name: str
    unit: str
    description: str
    bounds: tuple[float, ...] | None
    """Of a histogram; None: a sum."""


TOKENS = Instrument(
    "gen_ai.client.token.usage",
    "{token}",
    "Number of input and output tokens used.",
    tuple(4**power for power in range(14)),
)
DURATION = Instrument(
    "gen_ai.client.operation.duration",
    "s",
    "GenAI operation duration.",
    tuple(0.01 * 2**power for power in range(14)),
)
FIRST_CHUNK = Instrument(
    "gen_ai.client.operation.time_to_first_chunk", "s", "Time until the first chunk of a stream.", DURATION.bounds
)
COST = Instrument("usage_tracker.cost", "{USD}", "What calls cost, as far as that is known.", None)
UNPRICED = Instrument("usage_tracker.unpriced", "{call}", "Calls whose cost isn't known and should be.", None)
INSTRUMENTS = {each.name: each for each in (TOKENS, DURATION, FIRST_CHUNK, COST, UNPRICED)}

Attributes = tuple[tuple[str, str | bool], ...]
MOST_SERIES = 2000
"""Of one instrument, which is the limit that OpenTelemetry's SDKs have: collectors refuse a post that is too big."""
OVERFLOW: Attributes = (("otel.metric.overflow", True),)
"""Those of what comes later, https://opentelemetry.io/docs/specs/otel/metrics/sdk/#cardinality-limits"""
TURN = 1 << 62

OPERATIONS = {"completion": "text_completion", "responses": "chat"}
"""Those of ours that the conventions name otherwise."""
PROVIDERS = {
    "azure": "azure.ai.openai", "bedrock": "aws.bedrock", "gemini": "gcp.gemini", "vertex": "gcp.vertex_ai",
    "mistral": "mistral_ai", "moonshotai": "moonshot_ai", "xai": "x_ai",
}  # fmt: skip
SDKS = {
    "anthropic": "anthropic", "cerebras-cloud-sdk": "cerebras", "google-genai": "gcp.gen_ai",
    "google-generativeai": "gcp.gen_ai", "groq": "groq", "openai": "openai", "together": "together",
}  # fmt: skip
"""Whose API was spoken, where nobody knows who has served it: the conventions want a provider of every call."""


class Series(msgspec.Struct, array_like=True):
    """One sum or histogram. Money is in whole picodollars, so that it stays exact."""

    count: int = 0
    low: int | float = 0
    """The sum, less its whole turns."""
    least: int | float = 0
    most: int | float = 0
    buckets: list[int] = []
    turns: int = 0
    """How often TURN is in the sum: what is kept has 64 bits, 18 million dollars."""

    @property
    def total(self) -> int | float:
        return self.low + self.turns * TURN if self.turns else self.low

    def add(self, value: float) -> None:
        turns, self.low = divmod(self.low + value, TURN)
        self.turns += int(turns)


class Key(msgspec.Struct, array_like=True, frozen=True):
    instrument: str
    app: str
    attributes: Attributes


class Kept(msgspec.Struct, array_like=True):
    """All series, as they are kept with the sink's place."""

    began_at: int
    """Nanoseconds since 1970: when the sums were 0."""
    series: list[tuple[Key, Series]]


def unpack(state: bytes | None, now: int) -> Kept:
    return Kept(now, []) if state is None else msgspec.msgpack.decode(zlib.decompress(state), type=Kept)


def pack(kept: Kept) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(kept), 1)


def add(kept: Kept, events: Iterable[Event]) -> Kept:
    """The series with those events in them."""
    found = dict(kept.series)
    sizes = Counter(key.instrument for key in found)
    for event in events:
        for instrument, attributes, value in measured(event):
            key = Key(instrument.name, event["app"] or "unknown", attributes)
            series = found.get(key)
            if series is None and sizes[instrument.name] >= MOST_SERIES:
                key = Key(instrument.name, key.app, OVERFLOW)
                series = found.get(key)
            if series is None:
                sizes[instrument.name] += 1
                buckets = [0] * (len(instrument.bounds) + 1) if instrument.bounds else []
                series = found[key] = Series(least=value, most=value, buckets=buckets)
            series.count += 1
            series.add(value)
            series.least, series.most = min(series.least, value), max(series.most, value)
            if instrument.bounds:
                series.buckets[bisect_left(instrument.bounds, value)] += 1
    return Kept(kept.began_at, list(found.items()))


def measured(event: Event) -> Iterator[tuple[Instrument, Attributes, int | float]]:
    """What one event adds. What is unknown adds nothing."""
    attributes = attributes_of(event)
    for kind, tokens in (("input", event["input_tokens"]), ("output", event["output_tokens"])):
        if tokens is not None:
            yield TOKENS, (*attributes, ("gen_ai.token.type", kind)), tokens
    if event["cost"] is not None:
        yield COST, attributes, int(EXACT.scaleb(event["cost"], 12))
    if "unpriced" in event["cost_flags"]:
        yield UNPRICED, attributes, 1
    if event["completes"] is None:  # what only tells of an earlier call is none
        failed = (("error.type", event["error_type"] or "_OTHER"),) if event["status"] == "error" else ()
        if event["duration_ms"] is not None:
            yield DURATION, (*attributes, *failed), event["duration_ms"] / 1000
        if event["ttft_ms"] is not None:
            yield FIRST_CHUNK, attributes, event["ttft_ms"] / 1000


def attributes_of(event: Event) -> Attributes:
    provider, sdk, operation = event["provider"], event["sdk"], event["operation"]
    found = {
        "gen_ai.operation.name": OPERATIONS.get(operation, operation),
        "gen_ai.provider.name": PROVIDERS.get(provider, provider) or SDKS.get(sdk, "unknown"),
        "gen_ai.request.model": event["request_model"],
        "gen_ai.response.model": event["model"],
        "server.address": event["base_host"],
        "usage_tracker.project": event["project"],
        "usage_tracker.team": event["team"],
    }
    return tuple((name, value) for name, value in found.items() if value is not None)
