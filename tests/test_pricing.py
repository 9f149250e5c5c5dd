"""What a call cost: every price that genai-prices knows is billed to the cent that it computes, and nothing else is."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from itertools import product
from math import nan
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, TieredPrices, TimeOfDateConstraint
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from usage_tracker.event import COUNTS, AlikeCalls, Cost, CostLine, Origin, Status, Usage, UsageEvent
from usage_tracker.pricing import Pricer
from usage_tracker.pricing.occasion import Occasion
from usage_tracker.pricing.own import AS_OF
from usage_tracker.pricing.rates import Found
from usage_tracker.providers.anthropic_usage import read_usage

NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)
MODELS = [(provider.id, model.id) for provider in providers for model in provider.models]
PRICER = Pricer()


def call(
    model: str | None = "gpt-4o-2024-11-20",
    usage: Usage | None = None,
    *,
    at: datetime = NOVEMBER,
    operation: str = "chat",
    tier: str | None = None,
    status: Status = "ok",
    request_model: str | None = None,
) -> UsageEvent:
    return UsageEvent(
        started_at=int(at.timestamp()) * 1_000_000_000,
        duration_ms=1.0,
        operation=operation,
        request_model=request_model,
        model=model,
        service_tier=tier,
        status=status,
        usage=usage if usage is not None else Usage(input_tokens=1000, output_tokens=100),
    )


def price(event: UsageEvent, provider: str | None = "openai") -> Cost:
    return PRICER.price(Origin(provider=provider, sdk="openai"), event)


def total_of_genai_prices(provider: str, event: UsageEvent) -> Decimal:
    """What genai-prices itself computes, at the precision of our costs."""
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")
    counts = {name: getattr(event.usage, name) for name in names}
    at = datetime.fromtimestamp(event.started_at / 1e9, UTC)
    usage = genai_prices.Usage(**counts)
    found = genai_prices.calc_price(usage, str(event.model), provider_id=provider, genai_request_timestamp=at)
    return found.total_price.quantize(Decimal("1e-12"))


def price_lists(model: ModelInfo) -> list[ModelPrice]:
    return [model.prices] if isinstance(model.prices, ModelPrice) else [each.prices for each in model.prices]


def cliffs(model: ModelInfo) -> set[int]:
    lists = [price for listed in price_lists(model) for price in vars(listed).values()]
    return {tier.start for price in lists if isinstance(price, TieredPrices) for tier in price.tiers}


def test_every_model_costs_what_genai_prices_computes_on_both_sides_of_every_cliff() -> None:
    priced = 0
    for provider in providers:
        for model in provider.models:
            edges = {edge + step for edge, step in product(cliffs(model), (0, 1))}
            for tokens in {1, 1000, *edges}:
                event = call(model.id, Usage(input_tokens=tokens, output_tokens=100, cache_read_tokens=tokens // 3))
                cost = price(event, provider.id)
                if cost.version == genai_prices.__version__:
                    assert cost.amount == total_of_genai_prices(provider.id, event), (provider.id, model.id, tokens)
                    priced += 1
    assert priced > 0.9 * len(MODELS)


@given(
    st.sampled_from(MODELS),
    st.integers(0, 3_000_000),
    st.integers(0, 300_000),
    st.tuples(*[st.floats(0, 1)] * 3),
    st.integers(0, 4 * 365 * 24 * 60).map(
        lambda minutes: datetime(2023, 7, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
)
@example(("deepseek", "deepseek-flash"), 0, 1, (0.0, 0.0, 0.0), datetime(2023, 7, 1, 1, tzinfo=UTC))
def test_lines_are_disjoint_and_add_up_to_the_cost(
    named: tuple[str, str], tokens: int, output: int, shares: tuple[float, float, float], at: datetime
) -> None:
    read = int(tokens * shares[0])
    written = int((tokens - read) * shares[1])
    usage = Usage(
        input_tokens=tokens,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=int(written * shares[2]),
    )
    event = call(named[1], usage, at=at)
    cost = price(event, named[0])
    if cost.version == genai_prices.__version__:
        if named[0] != "deepseek":  # whose peaks genai-prices sees on every day that ever was
            assert cost.amount == total_of_genai_prices(named[0], event)
        assert cost.amount == sum((line.count * line.price for line in cost.lines), Decimal(0)).quantize(
            Decimal("1e-12")
        )
        inputs = [line.count for line in cost.lines if line.unit.endswith("_tokens") and line.unit != "output_tokens"]
        assert sum(inputs) == tokens


def test_a_bill_names_count_price_source_and_version() -> None:
    cost = price(call(usage=Usage(input_tokens=1000, output_tokens=100, cache_read_tokens=400, reasoning_tokens=60)))
    assert set(cost.lines) == {
        CostLine("input_tokens", Decimal(600), Decimal("0.0000025")),
        CostLine("cache_read_tokens", Decimal(400), Decimal("0.00000125")),
        CostLine("output_tokens", Decimal(100), Decimal("0.00001")),
    }
    assert cost.amount == sum(line.count * line.price for line in cost.lines) == Decimal("0.003")
    assert (cost.source, cost.version, cost.flags) == ("genai-prices", genai_prices.__version__, ())


def test_a_call_is_priced_as_of_its_own_day() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    cut = datetime(2026, 7, 30, tzinfo=UTC)
    before, after = (price(call("gpt-5.6-luna", usage, at=at)) for at in (cut - timedelta(minutes=1), cut))
    assert (before.amount, after.amount) == (Decimal(2), Decimal("0.4"))


@pytest.mark.parametrize("year", [1, 1695, 1969])
def test_a_call_of_a_clock_that_is_centuries_behind_is_priced_as_of_before_every_change(year: int) -> None:
    """As of the day before all others, which the last one was taken for: there may be none so late, and that failed."""
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    assert price(call("gpt-5.6-luna", usage, at=datetime(year, 1, 1, tzinfo=UTC))).amount == Decimal(2)


def test_a_call_is_priced_as_of_its_own_hour() -> None:
    day = datetime(2025, 8, 1, tzinfo=UTC)
    costs = [price(call("deepseek-chat", at=day + timedelta(minutes=m)), "deepseek").amount for m in (29, 30, 989, 990)]
    assert costs == [Decimal("0.000190"), Decimal("0.00038"), Decimal("0.00038"), Decimal("0.000190")]


@pytest.mark.parametrize(
    ("at", "amount"),
    [
        ("2026-08-14T02:00", "0.000522"),  # there were no peaks yet
        ("2026-08-16T09:59", "0.000522"),
        ("2026-08-17T01:00", "0.001716"),
        ("2026-08-22T02:00", "0.001716"),  # the last Saturday with peaks
        ("2026-08-23T02:00", "0.000858"),
        ("2026-11-20T00:59", "0.000858"),  # a Friday
        ("2026-11-20T01:00", "0.001716"),
        ("2026-11-20T05:00", "0.000858"),
        ("2026-11-20T09:59", "0.001716"),
        ("2026-11-20T10:00", "0.000858"),
        ("2026-11-21T09:59", "0.000858"),
        ("2026-11-22T01:00", "0.000858"),
        ("2026-11-23T06:00", "0.001716"),
    ],
)
def test_deepseek_has_its_peaks_on_weekdays(at: str, amount: str) -> None:
    found = price(call("deepseek-v4-pro", at=datetime.fromisoformat(f"{at}Z")), "deepseek")
    assert found.amount == Decimal(amount)


def alike_calls(event: UsageEvent, starts: list[datetime], provider: str) -> AlikeCalls:
    """Calls that differ from the event in their start alone."""
    size, origin = len(starts), Origin(provider=provider, sdk="openai")
    started = [int(start.timestamp()) * 1_000_000_000 for start in starts]
    common = replace(event, started_at=max(started))
    counts = tuple(None if (count := getattr(event.usage, name)) is None else (count,) * size for name in COUNTS)
    nothing = (None,) * size
    return AlikeCalls(
        origin,
        common,
        [origin] * size,
        range(size),
        started,
        (1.0,) * size,
        nothing,
        nothing,
        counts,
        None,
        [()] * size,
    )


def test_alike_calls_cost_together_what_each_does_by_itself() -> None:
    event = call()
    [priced] = PRICER.price_alike(alike_calls(event, [NOVEMBER] * 3, "openai")) or []
    assert priced.amounts == [3_500_000_000] * 3 == [int((price(event).amount or 0) * 10**12)] * 3
    assert PRICER.price_alike(alike_calls(call(operation="batch"), [NOVEMBER] * 3, "openai")) is None
    free = alike_calls(call(operation="moderation"), [NOVEMBER], "openai")
    assert PRICER.price_alike(free) is None, "what is free isn't on any list"


@pytest.mark.parametrize(
    ("first", "last", "together"), [(28, 29, True), (29, 30, False), (30, 989, True), (989, 990, False)]
)
def test_alike_calls_are_priced_together_in_hours_of_one_price(first: int, last: int, together: bool) -> None:
    day = datetime(2025, 8, 1, tzinfo=UTC)
    starts = [day + timedelta(minutes=minute) for minute in (first, last)]
    priced = PRICER.price_alike(alike_calls(call("deepseek-chat"), starts, "deepseek"))
    costs = [price(call("deepseek-chat", at=start), "deepseek").amount for start in starts]
    if together:
        assert priced is not None
        assert [Decimal(amount).scaleb(-12) for amount in priced[0].amounts or ()] == costs
    else:
        assert priced is None
        assert costs[0] != costs[1]


def test_a_price_of_our_own_table_says_so_and_as_of_when() -> None:
    tuned = price(call("ft:gpt-4.1-2025-04-14:house::1"))
    assert (tuned.amount, tuned.source) == (Decimal("0.0042"), "usage_tracker")
    assert str(tuned.version).split(" + ") == [AS_OF, f"fees of searches (own {AS_OF})"]
    flex, standard = (price(call("gemini-2.5-flash", tier=tier), "gemini") for tier in ("flex", None))
    assert (flex.source, flex.version) == ("genai-prices", f"{standard.version} flex × 0.5 (own {AS_OF})")
    assert flex.amount == (standard.amount or 0) / 2


def test_prices_change_at_whole_minutes_which_is_what_they_are_remembered_by() -> None:
    for listed in (model.prices for provider in providers for model in provider.models):
        for each in listed if isinstance(listed, list) else []:
            assert isinstance(each, ConditionalPrice)
            if isinstance(each.constraint, TimeOfDateConstraint):
                assert each.constraint.start_time.second == each.constraint.end_time.second == 0


@pytest.mark.parametrize("tier", [None, "default", "standard", "on_demand", "auto"])
def test_the_standard_tier_has_many_names(tier: str | None) -> None:
    assert price(call(tier=tier)).amount == Decimal("0.0035")


@pytest.mark.parametrize(
    ("tier", "per_input"),
    [("flex", "0.000000625"), ("priority", "0.0000025"), ("Priority", "0.0000025"), ("batch", "0.000000625")],
)
def test_another_tier_has_its_own_price(tier: str, per_input: str) -> None:
    lines = {line.unit: line.price for line in price(call("gpt-5", tier=tier)).lines}
    assert lines["input_tokens"] == Decimal(per_input)


@pytest.mark.parametrize(
    ("model", "tier", "provider"),
    [
        pytest.param("gpt-4o", "flex", "openai", id="the model has no such tier"),
        pytest.param("gpt-4o", "scale", "openai", id="nobody has"),
        pytest.param("gpt-4o", "priority", "azure", id="another provider's tier says nothing of this one's"),
    ],
)
def test_a_tier_without_a_price_is_flagged_and_not_guessed(model: str, tier: str, provider: str) -> None:
    assert price(call(model, tier=tier), provider) == Cost(flags=("unpriced", "tier_unpriced"))


def test_a_tier_is_unknown_before_its_price_is_dated() -> None:
    assert price(call("gpt-5", tier="flex", at=datetime(2026, 1, 1, tzinfo=UTC))).flags == ("unpriced", "tier_unpriced")


def test_a_batch_costs_its_own_price() -> None:
    assert price(call("gpt-4o", operation="batch")).amount == Decimal("0.00175")
    embedded = Usage(input_tokens=1000, output_tokens=0)
    for model, amount in (("text-embedding-3-small", "0.00001"), ("text-embedding-3-large", "0.000065")):
        assert price(call(model, embedded, operation="batch")).amount == Decimal(amount)


def test_the_sum_of_a_batch_does_not_tell_which_requests_were_over_the_cliff() -> None:
    below = call("gpt-5.4", Usage(input_tokens=272_000, output_tokens=1), operation="batch")
    above = call("gpt-5.4", Usage(input_tokens=272_001, output_tokens=1), operation="batch")
    assert price(below).amount == Decimal("0.3400075")
    assert price(above) == Cost(flags=("unpriced", "tier_unpriced"))


def test_an_answer_of_a_batch_is_beyond_a_cliff_by_its_own_length() -> None:
    def answer(tokens: int) -> UsageEvent:
        usage = Usage(input_tokens=tokens, output_tokens=0)
        found = call("claude-sonnet-4-5", usage, operation="batch")
        found.completes, found.response_id = "msgbatch_1", "msg_1"
        return found

    assert price(answer(200_000), "anthropic").amount == Decimal("0.3")
    assert price(answer(250_000), "anthropic").amount == Decimal("0.75")
    all_of_it = answer(250_000)
    all_of_it.response_id = "msgbatch_1"
    assert price(all_of_it, "anthropic") == Cost(flags=("unpriced", "tier_unpriced"))


@pytest.mark.parametrize(
    ("first", "whole", "per_input"),
    [
        (150_000, 301_000, "0.00000125"),  # the other one is of 151,000
        (100_000, 300_000, "0.00000125"),
        (100_000, 300_001, None),  # there may be one of 200,001
        (200_000, 400_001, None),
        (200_001, 400_002, "0.0000025"),
        (0, 200_001, "0.0000025"),  # nobody says that there were several
    ],
)
def test_a_call_of_several_requests_is_billed_by_the_length_of_each(
    first: int, whole: int, per_input: str | None
) -> None:
    event = call("gemini-2.5-pro", Usage(input_tokens=whole, output_tokens=0))
    event.raw = {"prompt_tokens": whole, "prompt_tokens_details": {"initial_prompt_tokens": first}}
    cost = price(event, "gemini")
    if per_input is None:
        assert cost == Cost(flags=("unpriced", "tier_unpriced"))
    else:
        assert cost.amount == whole * Decimal(per_input)


def test_an_azure_deployment_is_priced_by_the_model_that_answered() -> None:
    event = call("gpt-4o-2024-11-20", request_model="our-deployment")
    assert price(event, "azure").amount == price(event, "openai").amount == Decimal("0.0035")


def test_an_answer_that_names_no_model_is_priced_by_the_request() -> None:
    usage = Usage(input_tokens=50, output_tokens=4160, input_image_tokens=0, units={"images": 1})
    assert price(call(None, usage, operation="image", request_model="gpt-image-1")).amount == Decimal("0.16665")


@pytest.mark.parametrize(
    ("operation", "model", "units", "dollars"),
    [
        ("speech", "tts-1", {"characters": 2000}, "0.03"),
        ("transcription", "whisper-1", {"seconds": 90}, "0.009"),
        ("transcription", "whisper-1", {"seconds": 7.5}, "0.00075"),
    ],
)
def test_characters_and_seconds_are_billed_where_the_price_is_by_them(
    operation: str, model: str, units: dict[str, float], dollars: str
) -> None:
    assert price(call(model, Usage(units=units), operation=operation)).amount == Decimal(dollars)


def spoken(model: str, *, operation: str = "realtime", **usage: Any) -> Cost:
    return price(call(model, Usage(**usage), operation=operation))


def test_tokens_that_may_be_audio_are_not_priced_as_text() -> None:
    unpriced = Cost(flags=("unpriced",))
    known: dict[str, Any] = {"input_tokens": 132, "output_tokens": 121, "output_audio_tokens": 91}
    assert spoken("gpt-realtime", input_tokens=132, output_tokens=121) == unpriced
    assert spoken("gpt-realtime", **known) == unpriced
    assert spoken("gpt-realtime", **known, input_audio_tokens=13, cache_read_tokens=64) == unpriced
    assert spoken("gpt-4o-transcribe", input_tokens=132, output_tokens=121, operation="transcription") == unpriced


def test_a_session_that_is_billed_by_its_length_is() -> None:
    assert price(call("gpt-live-1", Usage(units={"seconds": 90}), operation="realtime")).amount == Decimal("0.075")


def test_groq_bills_ten_seconds_at_least() -> None:
    short, long = (
        price(call("whisper-large-v3", Usage(units={"seconds": seconds}), operation="transcription"), "groq").amount
        for seconds in (1, 10)
    )
    assert short == long == Decimal("0.000308333333")


def test_embeddings_have_no_output_to_be_known() -> None:
    event = call("text-embedding-3-small", Usage(input_tokens=1_000_000), operation="embeddings")
    assert price(event).amount == Decimal("0.02")


CONTRADICTIONS = {
    "more cached tokens than tokens": Usage(input_tokens=5, cache_read_tokens=6, output_tokens=1),
    "fewer tokens than none": Usage(input_tokens=-5, output_tokens=1),
}


@pytest.mark.parametrize("usage", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_usage_that_contradicts_itself_has_no_bill(usage: Usage) -> None:
    assert price(call(usage=usage)) == Cost(flags=("unpriced", "sum_mismatch"))


def test_searches_are_billed_beside_the_tokens() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100, units={"searches": 2})
    assert price(call("gpt-4.1", usage, operation="responses")).amount == Decimal("0.0228")
    assert price(call("mistral-large-latest", usage), "mistral") == Cost(flags=("unpriced", "tool_unpriced"))


def test_a_model_that_always_searches_has_it_in_the_price_of_a_request() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100, units={"searches": 3})
    assert price(call("sonar", usage), "perplexity").amount == Decimal("0.0131")


def test_moderations_are_free() -> None:
    event = call("omni-moderation-latest", Usage(), operation="moderation")
    assert price(event) == Cost(amount=Decimal(0), source="free")


def test_a_free_variant_costs_nothing() -> None:
    assert price(call("deepseek/deepseek-r1:free"), "openrouter") == Cost(amount=Decimal(0), source="free")


UNKNOWN = {
    "a model that nobody knows": (call("acme-llm-7b"), "openai"),
    "a provider that nobody knows": (call("gpt-4o"), "acme"),
    "a provider whose name only sounds like one": (call("gpt-4o"), "my-openai-proxy"),
    "open weights at an unknown host": (call("llama-3.3-70b-versatile"), None),
    "no model at all": (call(None), "openai"),
    "an answer without usage": (call(usage=Usage()), "openai"),
    "a stream that was left without usage": (call(usage=Usage(), status="abandoned"), "openai"),
    "output that isn't known": (call(usage=Usage(input_tokens=1000)), "openai"),
    "input that isn't known": (call(usage=Usage(output_tokens=1000)), "openai"),
    "seconds that are no number": (
        call("whisper-1", Usage(units={"seconds": nan}), operation="transcription"),
        "openai",
    ),
    "a price by the second for counted tokens": (call("whisper-1", operation="transcription"), "openai"),
    "output of a model that only has an input price": (call("text-embedding-3-small"), "openai"),
    "audio at the price of text": (
        call("gpt-4o-audio-preview-2024-10-01", Usage(input_tokens=100, input_audio_tokens=90, output_tokens=9)),
        "openai",
    ),
    "an image without its tokens": (call("dall-e-3", Usage(units={"images": 1}), operation="image"), "openai"),
    "a model with an empty price list": (call("qwen-3-coder-480b"), "cerebras"),
}


@pytest.mark.parametrize(("event", "provider"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_unknown_has_no_cost_and_says_so(event: UsageEvent, provider: str | None) -> None:
    assert price(event, provider) == Cost(flags=("unpriced",))


def test_a_failed_call_that_used_nothing_is_not_unpriced() -> None:
    assert price(call(usage=Usage(), status="error")) == Cost()


def test_a_failed_call_is_billed_what_it_used() -> None:
    assert price(call(status="error")).amount == Decimal("0.0035")


def test_estimated_tokens_are_flagged_beside_the_cost() -> None:
    cost = price(call(usage=Usage(input_tokens=1000, output_tokens=100, estimated=True)))
    assert (cost.amount, cost.flags) == (Decimal("0.0035"), ("estimated_tokens",))


AGREEING = {
    "no parts": (Usage(input_tokens=5, output_tokens=5), {"total_tokens": 10}),
    "parts that are all": (
        Usage(
            input_tokens=5,
            cache_read_tokens=2,
            cache_write_tokens=2,
            tool_tokens=1,
            output_tokens=5,
            reasoning_tokens=5,
        ),
        None,
    ),
    "cached audio": (Usage(input_tokens=5, input_audio_tokens=5, cache_read_tokens=5, output_tokens=1), None),
    "a part of an unknown whole": (Usage(reasoning_tokens=5), None),
    "a total of what isn't known": (Usage(input_tokens=5), {"total_tokens": 9}),
    "a total in camel case": (Usage(input_tokens=5, output_tokens=4), {"totalTokenCount": 9}),
    "a total that is no number": (Usage(input_tokens=5, output_tokens=4), {"total_tokens": "many"}),
}
DISAGREEING = {
    "more cached than asked": (Usage(input_tokens=5, cache_read_tokens=6, output_tokens=1), None),
    "more read and written than asked": (
        Usage(input_tokens=5, cache_read_tokens=3, cache_write_tokens=3, output_tokens=1),
        None,
    ),
    "more for an hour than written": (
        Usage(input_tokens=5, cache_write_tokens=3, cache_write_1h_tokens=4, output_tokens=1),
        None,
    ),
    "more of tools than asked": (Usage(input_tokens=5, tool_tokens=6, output_tokens=1), None),
    "more heard and seen than asked": (
        Usage(input_tokens=5, input_audio_tokens=3, input_image_tokens=3, output_tokens=1),
        None,
    ),
    "more reasoning than output": (Usage(input_tokens=5, output_tokens=1, reasoning_tokens=2), None),
    "more spoken than output": (Usage(input_tokens=5, output_tokens=1, output_audio_tokens=2), None),
    "another total": (Usage(input_tokens=5, output_tokens=4), {"total_tokens": 10}),
    "another total of Gemini": (Usage(input_tokens=5, output_tokens=4), {"total_token_count": 12}),
    "another total of Converse": (Usage(input_tokens=5, output_tokens=4), {"totalTokens": 12}),
}


@pytest.mark.parametrize("name", [*AGREEING, *DISAGREEING])
def test_counts_that_contradict_each_other_are_flagged_whatever_they_cost(name: str) -> None:
    usage, raw = {**AGREEING, **DISAGREEING}[name]
    for model in ("gpt-4o", "acme-llm-7b"):
        event = call(model, usage)
        event.raw = raw
        assert ("sum_mismatch" in price(event).flags) is (name in DISAGREEING)


def spoken_to_gemini(total: int, reasoning: int | None, host: str, provider: str = "gemini", out: int = 2) -> Cost:
    event = call("gemini-2.5-flash", Usage(input_tokens=9, output_tokens=out, reasoning_tokens=reasoning))
    event.raw = {"prompt_tokens": 9, "completion_tokens": out, "total_tokens": total}
    return PRICER.price(Origin(provider=provider, sdk="openai", base_host=host), event)


def test_thoughts_that_geminis_output_leaves_out_are_billed_where_the_counts_show_it() -> None:
    gateway, door = "gateway.example", "generativelanguage.googleapis.com"
    said = spoken_to_gemini(11, 2, gateway)
    assert (said.amount, said.flags) == (Decimal("0.0000077"), ())
    for thought in (
        spoken_to_gemini(11, 25, gateway),
        spoken_to_gemini(11, 25, door),
        spoken_to_gemini(36, None, door),
        spoken_to_gemini(36, None, door, out=0),
    ):
        assert thought.lines[-1] == CostLine("output_tokens", Decimal(27), Decimal("0.0000025"))
        assert (thought.amount, thought.flags) == (Decimal("0.0000702"), ("sum_mismatch",))


def test_a_total_that_says_more_is_billed_at_no_host_but_geminis() -> None:
    for provider, host in (("gemini", "gateway.example"), ("gemini", None), ("vertex", None)):
        cost = spoken_to_gemini(36, 2, str(host), provider)
        assert (cost.amount, cost.flags) == (Decimal("0.0000077"), ("sum_mismatch",))


def test_more_reasoning_than_output_is_an_inexact_count_of_other_providers() -> None:
    cost = spoken_to_gemini(11, 25, "gateway.example", "vertex")
    assert (cost.amount, cost.flags) == (Decimal("0.0000077"), ("sum_mismatch",))


def test_what_was_asked_for_free_of_charge_and_answered_by_another_model_is_not_free() -> None:
    free = call("minimax/minimax-m2:free")
    assert price(free, "openrouter").amount == 0
    other = call("x-ai/grok-4", request_model="google/gemini-2.0-flash-exp:free")
    assert price(other, "openrouter") == Cost(flags=("unpriced",))


def test_what_a_gateway_states_is_the_cost_of_what_no_list_has() -> None:
    event = call("acme-llm-7b")
    event.reported_cost = "0.00123"
    assert price(event, "openrouter") == Cost(Decimal("0.00123"), source="reported")
    event.usage = Usage()
    assert price(event, "openrouter").amount == Decimal("0.00123")
    event.model = "gpt-4o"
    event.usage = Usage(input_tokens=1000, output_tokens=100)
    assert price(event).source == "genai-prices", "a list goes before it"


@pytest.mark.parametrize(
    ("stated", "kept"),
    [("0.0012300000006", "0.001230000001"), ("0.001", "0.001"), ("1e17", "1e17")],
)
def test_a_stated_charge_is_kept_to_the_picodollar_whatever_the_apps_decimals_are(stated: str, kept: str) -> None:
    event = call("acme-llm-7b")
    event.reported_cost = stated
    with localcontext(prec=3):
        cost = price(event, "openrouter")
    assert (cost.amount, cost.source) == (Decimal(kept), "reported")


@pytest.mark.parametrize(
    ("stated", "raw"), [("0", None), ("0.0", None), ("-1", None), ("free", None), ("0.1", {"is_byok": True})]
)
def test_a_stated_charge_that_is_not_all_of_it_is_no_cost(stated: str, raw: dict[str, Any] | None) -> None:
    event = call("acme-llm-7b")
    event.reported_cost, event.raw = stated, raw
    assert price(event, "openrouter") == Cost(flags=("unpriced",))


def test_an_answer_of_the_apps_own_cache_costs_nothing() -> None:
    event = call("gpt-4o")
    event.cached = True
    assert price(event) == Cost(Decimal(0), source="free", flags=("cached",))


def test_what_is_told_later_is_awaited_and_not_unpriced() -> None:
    event = call("gpt-4o", Usage(), operation="batch")
    event.awaits = "batch_1"
    assert price(event) == Cost(flags=("awaited",))


def test_an_hour_of_cache_without_a_price_is_not_priced_as_five_minutes() -> None:
    usage = Usage(input_tokens=1000, cache_write_tokens=500, cache_write_1h_tokens=100, output_tokens=1)
    model = "us.anthropic.claude-sonnet-4-20250514-v1:0"
    assert price(call(model, usage), "bedrock") == Cost(flags=("unpriced",))
    usage.cache_write_1h_tokens = 0
    assert price(call(model, usage), "bedrock").amount is not None


@pytest.mark.parametrize(
    ("provider", "model", "same"),
    [
        ("openai", "openai/gpt-4o", "gpt-4o"),
        ("vertex", "google/gemini-2.5-flash", "gemini-2.5-flash"),
        ("bedrock", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
    ],
)
def test_a_name_that_says_whose_the_model_is_costs_what_the_model_costs(provider: str, model: str, same: str) -> None:
    cost = price(call(model, request_model=model), provider)
    assert cost.amount is not None
    assert cost == price(call(same, request_model=same), provider)


@pytest.mark.parametrize(
    ("model", "operation"),
    [
        ("gpt-5-search-api-2025-10-14", "chat"),
        ("gpt-4o-mini-transcribe-2025-12-15", "transcription"),
        ("gpt-4o-mini-tts-2025-12-15", "speech"),
    ],
)
def test_a_dated_name_costs_what_the_model_costs(model: str, operation: str) -> None:
    audio = 700 if operation == "transcription" else None
    cached = 300 if operation == "chat" else None
    usage = Usage(input_tokens=1000, input_audio_tokens=audio, cache_read_tokens=cached, output_tokens=100)
    dated, undated = (price(call(name, usage, operation=operation)) for name in (model, model[:-11]))
    assert dated.amount is not None
    assert (dated.amount, dated.lines) == (undated.amount, undated.lines)


def test_how_much_of_the_cached_input_was_audio_is_read_from_the_usage_as_sent() -> None:
    listed = {
        "cache_tokens_details": [{"modality": "AUDIO", "token_count": 60}, {"modality": "TEXT", "token_count": 40}]
    }
    usage = Usage(input_tokens=1000, input_audio_tokens=200, cache_read_tokens=100, output_tokens=0)
    event = call("gemini-2.5-flash", usage)
    assert price(event, "gemini").flags == ("unpriced",), "it decides the price of both"
    event.raw = listed
    assert {line.unit: line.count for line in price(event, "gemini").lines} == {
        "input_tokens": 760,
        "input_audio_tokens": 140,
        "cache_read_tokens": 40,
        "cache_audio_read_tokens": 60,
    }


def test_a_resellers_hosted_tools_do_not_cost_what_the_vendors_do() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100, units={"searches": 1})
    assert price(call("gpt-4o", usage), "openai").amount is not None
    assert price(call("gpt-4o", usage), "azure").flags == ("unpriced", "tool_unpriced")


def test_pictures_that_a_hosted_tool_made_have_no_known_price() -> None:
    event = call("gpt-5", operation="responses")
    event.raw = {"tool_usage": {"image_gen": {"total_tokens": 320}, "web_search": {"num_requests": 0}}}
    assert price(event).flags == ("unpriced", "tool_unpriced")
    event.raw["tool_usage"]["image_gen"]["total_tokens"] = 0
    assert price(event).amount is not None
    event.raw = {"svg_usage": {"total_tokens": 320}}
    assert price(event).flags == ("unpriced", "tool_unpriced")
    event.raw = {"tool_usage": "none", "svg_usage": None}
    assert price(event).amount is not None
    event.usage.units = {"generated_images": 1}
    assert price(event).flags == ("unpriced", "tool_unpriced")


def in_passes(model: str, *passes: dict[str, Any], units: dict[str, float] | None = None) -> UsageEvent:
    """A message that took these passes, as Anthropic's usage object lists them."""
    raw = {"input_tokens": 1, "output_tokens": 1, "iterations": list(passes)}
    event = call(model, read_usage(raw))
    event.usage.units, event.raw = units, raw
    return event


def one_pass(into: int, out: int, model: str | None = None, read: int = 0) -> dict[str, Any]:
    counts = {"input_tokens": into, "cache_read_input_tokens": read, "output_tokens": out}
    return {"type": "message", **counts} if model is None else {"type": "advisor_message", "model": model, **counts}


def test_each_pass_costs_what_its_own_model_costs() -> None:
    advisor = one_pass(1000, 1600, "claude-opus-5-5", read=100)
    event = in_passes("claude-sonnet-5-5", one_pass(400, 90), advisor, one_pass(1300, 440), units={"searches": 1})
    assert (event.usage.input_tokens, event.usage.output_tokens) == (2800, 2130)
    cost = price(event, "anthropic")
    assert set(cost.lines) == {
        CostLine("input_tokens", Decimal(1700), Decimal("0.000002")),
        CostLine("output_tokens", Decimal(530), Decimal("0.00001")),
        CostLine("input_tokens", Decimal(1000), Decimal("0.000004")),
        CostLine("cache_read_tokens", Decimal(100), Decimal("0.0000002")),
        CostLine("output_tokens", Decimal(1600), Decimal("0.00002")),
        CostLine("web_searches", Decimal(1), Decimal("0.01")),
    }
    assert cost.amount == Decimal("0.0034") + Decimal("0.0053") + Decimal("0.03602") + Decimal("0.01")


def test_no_pass_is_long_because_there_are_several() -> None:
    """Beyond 100,000 tokens of input, this model costs more."""
    passes = [one_pass(60_000, 10), one_pass(60_000, 10)]
    one, both = (price(in_passes("claude-haiku-5-5", *some), "anthropic") for some in (passes[:1], passes))
    assert one.amount is not None
    assert both.amount == 2 * one.amount
    assert [line.count for line in both.lines] == [120_000, 20]


def test_a_message_of_which_one_pass_has_no_price_has_none() -> None:
    event = in_passes("claude-sonnet-5-5", one_pass(400, 90), one_pass(1000, 1600, "claude-of-tomorrow"))
    cost = price(event, "anthropic")
    assert (cost.amount, cost.lines, cost.flags) == (None, (), ("unpriced",))


def test_passes_that_do_not_make_up_the_counts_say_nothing_of_the_cost() -> None:
    event = call("claude-sonnet-5-5")
    event.raw = {"iterations": [one_pass(9, 9, "claude-opus-5-5")]}
    usual = price(event, "anthropic")
    assert usual == price(call("claude-sonnet-5-5"), "anthropic")
    event.raw = {"iterations": ["none", 7]}
    assert price(event, "anthropic") == usual


def test_passes_are_never_priced_as_what_many_calls_have_in_common() -> None:
    event = in_passes("claude-sonnet-5-5", one_pass(400, 90, "claude-opus-5-5"))
    assert PRICER.price_alike(alike_calls(event, [NOVEMBER] * 3, "anthropic")) is None


def test_what_perplexitys_research_counts_beside_its_answer_is_billed_beside_it() -> None:
    usage = Usage(input_tokens=33, output_tokens=7163, reasoning_tokens=73542, units={"searches": 18})
    event = call("sonar-deep-research", usage)
    event.raw = {"citation_tokens": 20016}
    lines = {line.unit: line.count for line in price(event, "perplexity").lines}
    assert lines == {
        "input_tokens": 33,
        "output_tokens": 7163,
        "output_reasoning_tokens": 73542,
        "output_citation_tokens": 20016,
        "web_searches": 18,
    }


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.pricing.lists.REMEMBERED", 10)
    pricer = Pricer()
    for number in range(50):
        pricer.price(Origin(provider="openai", sdk="openai"), call(f"gpt-4o-{number}"))
    assert pricer.lists._lists.cache_info().currsize == 10


def test_costs_do_not_depend_on_the_decimals_of_the_application() -> None:
    from decimal import Context, localcontext

    with localcontext(Context(prec=3)):
        assert price(call(usage=Usage(input_tokens=123_457, output_tokens=7))).amount == Decimal("0.3087125")


def test_prices_of_alike_calls_do_not_depend_on_the_decimals_of_the_application() -> None:
    from usage_tracker.pricing.plain import picodollars

    with localcontext(prec=3):
        assert picodollars(Decimal("0.000001234567")) == 1_234_567


def test_the_next_source_is_asked_for_a_model_that_one_does_not_know() -> None:
    class PriceOfEverything:
        def find(self, occasion: Occasion) -> Found:
            return Cost(Decimal(1), source="everything") if occasion.model == "acme-llm-7b" else None

        def changes_within_day(self, occasion: Occasion) -> bool:
            return False

        def change_days(self) -> list[int]:
            return []

    pricer = Pricer([PriceOfEverything(), *Pricer()._sources])
    origin = Origin(provider="openai", sdk="openai")
    assert pricer.price(origin, call("acme-llm-7b")).source == "everything"
    assert pricer.price(origin, call("gpt-4o")).source == "genai-prices"


def test_a_call_of_a_time_before_1970_has_the_oldest_price() -> None:
    """As of a machine whose clock isn't set, west of Greenwich."""
    assert price(call(at=datetime(1969, 12, 31, 16, tzinfo=UTC))) == price(call(at=datetime(1970, 1, 1, tzinfo=UTC)))
