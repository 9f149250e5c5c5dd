"""What calls cost, against public price cards: equal to the last digit, on both sides of every edge and change."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from price_cards import FEES, MILLION, Card, Fee, cards

from usage_tracker.event import Cost, Figures, Origin, Usage, UsageEvent
from usage_tracker.pricing import Pricer

PRICER = Pricer()
CARDS = list(cards())

COUNTS = {
    "input": 12_347,
    "cached": 6_791,
    "write": 1_013,
    "write_1h": 409,
    "audio": 733,
    "cached_audio": 211,
    "image": 877,
    "cached_image": 307,
    "output": 1_511,
    "output_audio": 601,
    "output_image": 1_291,
}
"""Tokens that only that price is for: primes, so that no two parts can be taken for each other."""


def used(counts: dict[str, int], raw: dict[str, str]) -> tuple[Usage, Figures]:
    """The usage of those parts, in totals that include them, and what the provider's object says beside."""

    def total(*names: str) -> int:
        return sum(counts.get(name, 0) for name in names)

    cached = total("cached", "cached_audio", "cached_image")
    usage = Usage(
        input_tokens=total("input", "cached", "write", "write_1h", "audio", "cached_audio", "image", "cached_image"),
        output_tokens=total("output", "output_audio", "output_image"),
        cache_read_tokens=cached or None,
        cache_write_tokens=total("write", "write_1h") or None,
        cache_write_1h_tokens=counts.get("write_1h"),
        input_audio_tokens=total("audio", "cached_audio") or None,
        input_image_tokens=total("image", "cached_image") or None,
        output_audio_tokens=counts.get("output_audio"),
        output_image_tokens=counts.get("output_image"),
    )
    details = {"audio_tokens": total("cached_audio"), "image_tokens": total("cached_image")}
    return usage, {**raw, "input_token_details": {"cached_tokens": cached, "cached_tokens_details": details}}


def cost(card: Card, counts: dict[str, int]) -> Cost:
    usage, raw = used(counts, dict(card.raw))
    if "output" not in card.prices and "output_image" not in card.prices:
        usage.output_tokens = None
    event = UsageEvent(
        started_at=int(card.at.timestamp()) * 1_000_000_000,
        duration_ms=1.0,
        operation="chat" if "output" in card.prices or "output_image" in card.prices else "embeddings",
        model=card.model,
        service_tier=card.tier,
        usage=usage,
        raw=raw,
    )
    return PRICER.price(Origin(provider=card.provider, sdk="any", base_host=card.host), event)


def expected(prices: dict[str, str], counts: dict[str, int]) -> Decimal:
    return sum((Decimal(prices[name]) * count for name, count in counts.items()), Decimal(0)) / MILLION


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_call_costs_what_the_price_card_says(card: Card) -> None:
    counts = {name: COUNTS[name] for name in card.prices}
    found = cost(card, counts)
    assert found.amount == expected(card.prices, counts), found
    assert found.flags == ()
    for name in card.prices:  # and each price alone: two mistakes may cancel out
        alone = {name: COUNTS[name]}
        assert cost(card, alone).amount == expected(card.prices, alone), name


@pytest.mark.parametrize("card", [card for card in CARDS if card.edge], ids=lambda card: card.name)
def test_the_whole_request_costs_more_beyond_the_edge(card: Card) -> None:
    assert card.edge is not None
    for cached in (0, 9_001):
        for step, prices in ((0, card.prices), (1, card.above)):
            counts = {"input": card.edge + step - cached, "cached": cached, "output": 1_511}
            counts = {name: count for name, count in counts.items() if name in card.prices}
            if cached and "cached" not in card.prices:
                continue
            assert cost(card, counts).amount == expected(prices, counts)


@pytest.mark.parametrize("fee", FEES, ids=lambda fee: f"{fee.model} {fee.unit} {fee.price}")
def test_what_is_no_token_costs_what_the_price_card_says(fee: Fee) -> None:
    def priced(units: dict[str, float] | None) -> Cost:
        usage = Usage(input_tokens=1000, output_tokens=100) if fee.tokens else Usage()
        usage.units = units
        at = int(datetime(2026, 10, 20, tzinfo=UTC).timestamp()) * 1_000_000_000
        event = UsageEvent(
            started_at=at,
            duration_ms=1.0,
            operation=fee.operation,
            model=fee.model,
            usage=usage,
            raw=dict(fee.raw) or None,
        )
        return PRICER.price(Origin(provider=fee.provider, sdk="any"), event)

    found = priced({fee.unit: float(fee.count)} if fee.unit else None)
    assert found.flags == ()
    lines = {line.unit: line.count * line.price for line in found.lines}
    tokens = sum(amount for unit, amount in lines.items() if unit.endswith("_tokens"))
    assert found.amount is not None
    assert found.amount - tokens == Decimal(fee.count) * Decimal(fee.price)
    assert bool(tokens) is fee.tokens


def test_searches_of_a_grounded_prompt_of_gemini_2_are_billed_once() -> None:
    def fee(model: str) -> Decimal:
        usage = Usage(input_tokens=1000, output_tokens=100, units={"searches": 3})
        at = int(datetime(2026, 10, 20, tzinfo=UTC).timestamp()) * 1_000_000_000
        event = UsageEvent(started_at=at, duration_ms=1.0, operation="chat", model=model, usage=usage)
        lines = PRICER.price(Origin(provider="gemini", sdk="any"), event).lines
        return next(line.count * line.price for line in lines if line.unit == "web_searches")

    assert (fee("gemini-2.5-flash"), fee("gemini-3.5-flash")) == (Decimal("0.035"), Decimal("0.042"))


def test_the_cards_cover_enough() -> None:
    assert len({(card.provider, card.model) for card in CARDS} | {(fee.provider, fee.model) for fee in FEES}) >= 100
    assert {card.tier for card in CARDS} == {None, "flex", "priority", "fast", "batch"}
    assert all("http" in card.source and "20" in card.source for card in CARDS)
    assert len([card for card in CARDS if card.edge]) >= 15
