"""How many events a second one core prices, beside genai-prices' own calc_price on the same events in the same run.

    python benchmarks/pricing.py [--events N] [--rounds N]

Mixes of what apps send in a month: the same few models, many models, all kinds of parts and terms, and ever new names
of models, which is the worst case for what is remembered. Rates are of the median round, by CPU time. calc_price is
given the usage ready-made and is only run where it knows the model; it makes no lines, refuses nothing and looks at no
tier.
"""

import argparse
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import genai_prices
from genai_prices.data import providers

from usage_tracker.event import Origin, Usage, UsageEvent
from usage_tracker.pricing import Pricer
from usage_tracker.pricing.genai import PROVIDERS

NOVEMBER = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())
DAYS = 30
OURS = {theirs: ours for ours, theirs in PROVIDERS.items() if ours != "vertex"}

Call = tuple[Origin, UsageEvent]


def origin(provider: str) -> Origin:
    return Origin(provider=provider, sdk="benchmark", base_host=f"api.{provider}.com", app="benchmark", pid=1)


def call(chance: random.Random, provider: str, model: str, **fields) -> Call:
    tokens = chance.randint(10, 50_000)
    usage = fields.pop("usage", None) or Usage(
        input_tokens=tokens,
        output_tokens=chance.randint(1, 5000),
        cache_read_tokens=chance.choice([None, 0, tokens // 3]),
        reasoning_tokens=chance.choice([None, 0]),
    )
    event = UsageEvent(
        started_at=(NOVEMBER - chance.randint(0, DAYS * 86_400)) * 1_000_000_000,
        duration_ms=1.0,
        operation="chat",
        model=model,
        usage=usage,
        raw={"total_tokens": (usage.input_tokens or 0) + (usage.output_tokens or 0)},
        **fields,
    )
    return origin(provider), event


def few(chance: random.Random) -> Call:
    return call(chance, "openai", chance.choice(["gpt-4o-mini", "gpt-5.4", "gpt-4o-2024-08-06"]))


def many(chance: random.Random) -> Call:
    provider = chance.choice(
        [each for each in providers if each.id in ("openai", "anthropic", "google", "mistral", "groq")]
    )
    return call(chance, OURS.get(provider.id, provider.id), chance.choice(provider.models).id)


def varied(chance: random.Random) -> Call:
    """Tiers, steps by the length of the prompt, cache writes, audio, searches and places."""
    kind = chance.randrange(4)
    if kind == 0:
        usage = Usage(input_tokens=chance.randint(1, 600_000), output_tokens=100, units={"searches": 2})
        return call(chance, "openai", "gpt-5.4", usage=usage, service_tier=chance.choice(["default", "flex"]))
    if kind == 1:
        usage = Usage(input_tokens=90_000, output_tokens=900, cache_read_tokens=50_000, cache_write_tokens=9000,
                      cache_write_1h_tokens=400)  # fmt: skip
        return call(chance, "anthropic", chance.choice(["claude-opus-5", "claude-haiku-5-5"]), usage=usage)
    if kind == 2:
        usage = Usage(input_tokens=1000, input_audio_tokens=700, output_tokens=900, output_audio_tokens=800)
        return call(chance, "openai", "gpt-realtime", usage=usage)
    return call(chance, "gemini", chance.choice(["gemini-2.5-pro", "gemini-3.5-flash"]))


def new_names(chance: random.Random) -> Call:
    return call(chance, "openai", f"ft:gpt-4o-mini-2024-07-18:acme::{chance.getrandbits(40):x}")


MIXES: dict[str, Callable[[random.Random], Call]] = {
    "few models": few,
    "many models": many,
    "all parts and terms": varied,
    "ever new names": new_names,
}


def rate(rounds: int, count: int, function: Callable[[], object]) -> float:
    times = []
    for _ in range(rounds):
        started = time.thread_time()
        function()
        times.append(time.thread_time() - started)
    return count / statistics.median(times)


def ready_made(calls: Sequence[Call]) -> list[tuple]:
    """What calc_price takes, of the calls whose model it knows."""
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
             "input_audio_tokens", "output_audio_tokens")  # fmt: skip
    found = []
    for made_by, event in calls:
        usage = genai_prices.Usage(**{name: getattr(event.usage, name) for name in names})
        provider = PROVIDERS.get(str(made_by.provider), made_by.provider)
        entry = usage, event.model, provider, datetime.fromtimestamp(event.started_at / 1e9, UTC)
        try:
            price_theirs([entry])
        except (LookupError, ValueError):
            continue
        found.append(entry)
    return found


def price_theirs(entries: Sequence[tuple]) -> None:
    for usage, model, provider, at in entries:
        genai_prices.calc_price(usage, model, provider_id=provider, genai_request_timestamp=at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()}, genai-prices {genai_prices.__version__}, {options.events} events a round"
    )
    print(f"{'events a second':24}{'usage_tracker':>15}{'calc_price':>14}{'ratio':>8}")
    for name, make in MIXES.items():
        chance = random.Random(name)
        calls = [make(chance) for _ in range(options.events)]
        pricer = Pricer()

        def ours(pricer=pricer, calls=calls) -> None:
            for made_by, event in calls:
                pricer.price(made_by, event)

        ours()
        mine = rate(options.rounds, len(calls), ours)
        entries = ready_made(calls[: options.events // 10])
        theirs = rate(3, len(entries), lambda entries=entries: price_theirs(entries))
        print(f"{name:24}{mine:15,.0f}{theirs:14,.0f}{mine / theirs:8.1f}")


if __name__ == "__main__":
    main()
