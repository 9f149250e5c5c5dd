"""Bills that are computed column by column are those of each call by itself."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest

from usage_tracker.event import COUNTS, UNPRICED, AlikeCalls, Cost, CostLine, Origin, PricedCalls, Usage, UsageEvent
from usage_tracker.pricing import Pricer
from usage_tracker.pricing.occasion import Occasion
from usage_tracker.pricing.plain import MOST_MONEY, may_be_plain, plainly_billed
from usage_tracker.pricing.rates import TIER_UNPRICED, Found, Price, Rates, Stepped

ORIGIN = Origin(provider="acme", sdk="openai", base_host="api.acme.example")
TEXT: dict[str, Price] = {"input_tokens": Decimal("0.0000025"), "output_tokens": Decimal("0.00001")}
CACHED: dict[str, Price] = {
    **TEXT,
    "cache_read_tokens": Decimal("0.00000025"),
    "cache_write_tokens": Decimal("0.000003"),
}
LISTS: tuple[dict[str, Price], ...] = (
    TEXT,
    CACHED,
    {**CACHED, "cache_write_1h_tokens": Decimal("0.000005")},
    {"input_tokens": Decimal("0.00000002")},
    {"output_tokens": Decimal("0.00001")},
    {"input_tokens": Decimal("0.0000025"), "output_tokens": Decimal(0)},
    {"input_tokens": Decimal("0.0000025"), "output_tokens": Decimal("1e-13")},
    {"cache_read_tokens": Decimal("0.00000025"), "output_tokens": Decimal("0.00001")},
    {**CACHED, "input_audio_tokens": Decimal("0.00004")},
    {**CACHED, "input_video_tokens": Decimal("0.00004")},
    {**CACHED, "output_reasoning_tokens": Decimal("0.00003")},
    {**CACHED, "requests": Decimal("0.01")},
    {"images": Decimal("0.04")},
    {**CACHED, "input_tokens": Stepped(Decimal("0.0000025"), ((100, Decimal("0.000005")),))},
)
USAGE_OBJECTS: tuple[str | None, ...] = (
    None,
    '{"prompt_tokens":%s,"completion_tokens":%s}',
    '{"prompt_tokens":%s,"total_tokens":%s,"completion_tokens":%s}',
    '{"prompt_tokens":%s,"totalTokenCount":%s}',
    '{"details":{"total_tokens":%s},"total_tokens":%s}',
    '{"details":{"total_tokens":%s},"more":{"total_tokens":%s}}',
    '{"prompt_tokens_details":[{"modality":"VIDEO","token_count":%s}]}',
)


class OneList:
    """A source of prices that has the same for every model."""

    def __init__(self, found: Found) -> None:
        self._found = found

    def find(self, occasion: Occasion) -> Found:
        return self._found

    def changes_within_day(self, occasion: Occasion) -> bool:
        return False

    def change_days(self) -> list[int]:
        return []


def alike_calls(
    rows: Sequence[Usage], template: str | None = None, figures: Sequence[tuple[int, ...]] = (), **more: Any
) -> AlikeCalls:
    """Calls with these counts, of which the same are known."""
    size = len(rows)
    columns = [tuple(getattr(usage, name) for usage in rows) for name in COUNTS]
    return AlikeCalls(
        ORIGIN,
        UsageEvent(started_at=0, duration_ms=1.0, **{"operation": "chat", "model": "acme-1", **more}),
        tuple(msgspec.structs.replace(ORIGIN, user_id=f"user-{place}") for place in range(size)),
        tuple(range(size)),
        tuple(range(100, 100 + size)),
        tuple(float(place) for place in range(size)),
        tuple(place / 2 for place in range(size)),
        tuple(f"id-{place}" for place in range(size)),
        tuple(None if None in column else column for column in columns),
        template,
        figures or ((),) * size,
    )


def one_by_one(calls: AlikeCalls, found: Found) -> dict[int, tuple[object, ...]]:
    """What each costs by itself, by its id."""
    pricer, costs = Pricer([OneList(found)]), {}
    for place, number in enumerate(calls.event_ids):
        counts: dict[str, Any] = {
            name: None if column is None else column[place] for name, column in zip(COUNTS, calls.counts, strict=True)
        }
        raw = calls.template and msgspec.json.decode(calls.template % calls.figures[place])
        event = msgspec.structs.replace(calls.event, usage=Usage(**counts), raw=raw)
        costs[number] = as_words(pricer.price(ORIGIN, event))
    return costs


def as_words(cost: Cost) -> tuple[object, ...]:
    return cost.amount, sorted(map(repr, cost.lines)), cost.source, cost.version, cost.flags


def rows_of(calls: AlikeCalls) -> list[tuple[object, ...]]:
    """Each of the calls, with all that is its own."""
    counts = [(None,) * len(calls.event_ids) if column is None else column for column in calls.counts]
    own = (calls.event_ids, calls.origins, calls.started_at, calls.duration_ms, calls.ttft_ms, calls.response_ids)
    return list(zip(*own, *counts, calls.figures, strict=True))


def together(priced: Sequence[PricedCalls]) -> Iterator[tuple[int, tuple[object, ...]]]:
    """The same of what was billed together."""
    for some in priced:
        for place, number in enumerate(some.calls.event_ids):
            amount, lines = None, tuple[CostLine, ...]()
            if some.amounts is not None:
                amount = Decimal(some.amounts[place]).scaleb(-12)
                parts = zip(some.units, some.counts[place], some.prices, strict=True)
                lines = tuple(CostLine(unit, Decimal(count), Decimal(price)) for unit, count, price in parts)
            yield number, as_words(Cost(amount, lines, some.source, some.version, some.flags))


def some_calls(dice: Random) -> AlikeCalls:
    known = {name for name in COUNTS[:2] if dice.random() < 0.9}
    known.update(name for name in COUNTS[2:4] if dice.random() < 0.5)
    known.update(name for name in COUNTS[4:] if dice.random() < 0.1)
    template = dice.choice(USAGE_OBJECTS)
    rows, figures = [], []
    for _ in range(dice.randint(1, 4)):
        into, out = dice.choice((0, 5, 99, 100, 101, 3000)), dice.choice((0, 7, 300))
        counts: dict[str, Any] = {
            "input_tokens": into,
            "output_tokens": out,
            "reasoning_tokens": dice.choice((0, out, out + 1)),
        }
        rows.append(Usage(**{name: counts.get(name, dice.choice((0, 0, into // 3, into))) for name in known}))
        figures.append(tuple(dice.choice((into, into + out, into + out)) for _ in range((template or "").count("%s"))))
    operation, status = dice.choice(("chat", "chat", "embeddings")), dice.choice(("ok", "error"))
    return alike_calls(rows, template, figures, operation=operation, status=status)


def test_calls_that_are_billed_together_cost_what_each_does_by_itself() -> None:
    dice, billed = Random(7), 0
    found: list[Found] = [Rates(prices, "book", "1") for prices in LISTS]
    found += [None, UNPRICED, TIER_UNPRICED, Cost(Decimal(0), source="free")]
    for _ in range(1000):
        calls, known = some_calls(dice), dice.choice(found)
        priced = plainly_billed(calls, known)
        if priced is not None:
            billed += 1
            assert sorted(row for some in priced for row in rows_of(some.calls)) == rows_of(calls)
            assert dict(together(priced)) == one_by_one(calls, known)
    assert billed > 200


@pytest.mark.parametrize("prices", [CACHED, {**CACHED, "input_audio_tokens": Decimal("0.00004")}])
def test_text_that_is_partly_cached_is_billed_together(prices: dict[str, Price]) -> None:
    usage = Usage(input_tokens=100, output_tokens=7, cache_read_tokens=30, cache_write_tokens=20, reasoning_tokens=7)
    rows = [usage] * 3
    priced = plainly_billed(alike_calls(rows), Rates(prices, "book", "1"))
    assert priced is not None
    [some] = priced
    assert some.amounts == [50 * 2_500_000 + 30 * 250_000 + 20 * 3_000_000 + 7 * 10_000_000] * 3
    assert some.units == ("cache_read_tokens", "cache_write_tokens", "input_tokens", "output_tokens")


@pytest.mark.parametrize(("status", "flags"), [("ok", ("unpriced",)), ("error", ()), ("cancelled", ("unpriced",))])
def test_calls_of_which_nothing_is_known_are_told_apart_by_whether_they_failed(
    status: str, flags: tuple[str, ...]
) -> None:
    calls = alike_calls([Usage()] * 2, status=status)
    [priced] = plainly_billed(calls, Rates(TEXT, "book", "1")) or []
    assert (priced.amounts, priced.flags) == (None, flags)
    assert dict(together([priced])) == one_by_one(calls, Rates(TEXT, "book", "1"))


def test_calls_whose_output_has_no_price_are_unpriced_together() -> None:
    rates = Rates({"input_tokens": Decimal("0.0000025")}, "book", "1")
    generated, nothing = (alike_calls([Usage(input_tokens=5, output_tokens=out)] * 2) for out in (7, 0))
    [unpriced], [priced] = (plainly_billed(calls, rates) or [] for calls in (generated, nothing))
    assert (unpriced.amounts, unpriced.flags) == (None, ("unpriced",))
    assert priced.amounts == [5 * 2_500_000] * 2


def test_a_request_of_just_as_many_tokens_as_a_step_is_below_it() -> None:
    rates = Rates({**TEXT, "input_tokens": Stepped(Decimal("0.000001"), ((100, Decimal("0.000002")),))}, "book", "1")
    at, beyond = (alike_calls([Usage(input_tokens=tokens, output_tokens=0)]) for tokens in (100, 101))
    [priced] = plainly_billed(at, rates) or []
    assert priced.amounts == [100 * 1_000_000]
    assert plainly_billed(beyond, rates) is None


def test_a_bill_that_a_store_may_refuse_is_made_for_each_call_by_itself() -> None:
    rates = Rates({"input_tokens": Decimal("1e-12"), "output_tokens": Decimal(0)}, "book", "1")
    for tokens, together in ((MOST_MONEY - 1, True), (MOST_MONEY, False)):
        calls = alike_calls([Usage(input_tokens=1, output_tokens=0), Usage(input_tokens=tokens, output_tokens=0)])
        assert (plainly_billed(calls, rates) is not None) is together


@pytest.mark.parametrize(
    ("operation", "raw", "plain"),
    [
        ("chat", None, True),
        ("chat", {"prompt_tokens": 1}, True),
        ("chat", {"prompt_tokens": 1, "tool_usage": {}}, False),
        ("chat", {"svg_usage": {}}, False),
        ("batch", None, False),
        ("realtime", None, False),
        ("transcription", None, False),
    ],
)
def test_what_a_bill_depends_on_beside_its_counts_is_never_plain(
    operation: str, raw: dict[str, Any] | None, plain: bool
) -> None:
    event = UsageEvent(started_at=0, duration_ms=1.0, operation=operation, raw=raw)
    assert may_be_plain(event) is plain
