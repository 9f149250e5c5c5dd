"""A price list: which prices hold for how long a prompt, and what of it stays when it is changed."""

from decimal import Decimal

import pytest

from usage_tracker.event import Usage, UsageEvent
from usage_tracker.pricing.bill import Contradiction, bill
from usage_tracker.pricing.rates import Rates, Stepped

STEPPED = Stepped(Decimal(2), ((100, Decimal(3)), (200, Decimal(5))))
LIST = Rates(
    {"input_tokens": STEPPED, "output_tokens": Decimal(7), "web_searches": Decimal(11), "of no kind": Decimal(1)},
    "ours",
    "v1",
    least_seconds=10,
    audio_apart=True,
    once=frozenset({"web_searches"}),
)


def call(usage: Usage, operation: str = "chat", **raw: object) -> UsageEvent:
    return UsageEvent(started_at=0, duration_ms=1.0, operation=operation, usage=usage, raw=raw or None)


@pytest.mark.parametrize(("tokens", "price"), [(0, 2), (100, 2), (101, 3), (200, 3), (201, 5), (10**9, 5)])
def test_a_whole_request_costs_the_price_of_its_step(tokens: int, price: int) -> None:
    assert LIST.at(tokens)["input_tokens"] == price
    assert LIST.at(tokens)["output_tokens"] == 7


def test_prices_have_one_order_in_whatever_order_they_come() -> None:
    """Those of genai-prices are in that of a set, which differs with each process."""
    assert list(LIST.prices) == ["input_tokens", "output_tokens", "web_searches"]
    assert list(LIST.changed(lacking={"cache_read_tokens": Decimal(1)}).prices)[1] == "cache_read_tokens"
    assert list(Rates({"requests": Decimal(1), "input_tokens": Decimal(1)}, "ours", None).prices) == [
        "input_tokens",
        "requests",
    ]


def test_what_nothing_changes_is_the_same_list() -> None:
    assert LIST.changed() is LIST
    assert LIST.changed(lacking={"output_tokens": Decimal(1)}, note="+ x") is LIST, "it has that already"


def test_a_changed_list_keeps_its_terms() -> None:
    half = LIST.changed(times=Decimal("0.5"), tokens_times=Decimal(3), note="× 0.5")
    assert [half.at(tokens)["input_tokens"] for tokens in (1, 101, 201)] == [Decimal(3), Decimal("4.5"), Decimal("7.5")]
    assert (half.at(1)["output_tokens"], half.at(1)["web_searches"]) == (Decimal("10.5"), Decimal("5.5"))
    assert (half.source, half.version) == ("ours", "v1 × 0.5")
    assert (half.least_seconds, half.apart, half.once) == (10, True, frozenset({"web_searches"}))
    assert "of no kind" not in half.units


def test_prices_that_are_added_fill_gaps_and_those_in_the_place_of_others_replace_them() -> None:
    other = LIST.changed(
        lacking={"output_tokens": Decimal(1), "map_searches": Decimal(13)}, instead={"web_searches": Decimal(17)}
    )
    assert {name: other.at(1)[name] for name in ("output_tokens", "map_searches", "web_searches")} == {
        "output_tokens": 7, "map_searches": 13, "web_searches": 17,
    }  # fmt: skip
    assert other.version == "v1"
    assert LIST.noted("+ note").version == "v1 + note"
    assert Rates({}, "ours", None).noted("+ note").version == "+ note"


@pytest.mark.parametrize("amount", [-1.0, float("inf"), float("nan"), float("-inf")])
def test_an_amount_that_is_none_makes_no_bill(amount: float) -> None:
    with pytest.raises(Contradiction):
        bill(LIST, call(Usage(input_tokens=1, output_tokens=1, units={"seconds": amount})))


def test_a_request_is_billed_one_search_however_many_it_made() -> None:
    cost = bill(LIST, call(Usage(input_tokens=1, output_tokens=0, units={"searches": 3})))
    assert {line.unit: line.count for line in cost.lines} == {"input_tokens": Decimal(1), "web_searches": Decimal(1)}


def test_short_audio_is_billed_as_the_least_that_is() -> None:
    spoken = Rates({"input_audio_seconds": Decimal(2)}, "ours", "v1", least_seconds=10)
    amounts = [
        bill(spoken, call(Usage(units={"seconds": seconds}), "transcription")).amount for seconds in (3, 10, 12.5)
    ]
    assert amounts == [20, 20, 25]


AUDIO = Rates(
    {
        "input_tokens": Decimal(1), "cache_read_tokens": Decimal("0.5"), "input_audio_tokens": Decimal(10),
        "cache_audio_read_tokens": Decimal(4), "output_tokens": Decimal(0),
    },
    "ours",
    "v1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("cached", "amount"), [(0, 70 + 3 * 1), (6, 6 * 4 + 1 * 10 + 3 * 1), (7, None)], ids=["none", "all", "too many"]
)
def test_cached_audio_is_billed_as_that_up_to_all_that_was_cached(cached: int, amount: int | None) -> None:
    read = cached if cached == 6 else 0 if cached == 0 else 6
    event = call(
        Usage(input_tokens=10, cache_read_tokens=read, input_audio_tokens=7, output_tokens=0),
        input_token_details={"cached_tokens_details": {"audio_tokens": cached}},
    )
    if amount is None:
        with pytest.raises(Contradiction):
            bill(AUDIO, event)
    else:
        assert bill(AUDIO, event).amount == amount


def test_an_hour_in_the_cache_has_a_price_of_its_own_or_none() -> None:
    usage = Usage(input_tokens=10, cache_write_tokens=6, cache_write_1h_tokens=2, output_tokens=0)
    prices = {"input_tokens": Decimal(1), "cache_write_tokens": Decimal(2), "output_tokens": Decimal(0)}
    assert bill(Rates(prices, "ours", "v1"), call(usage)).flags == ("unpriced",)
    dear = Rates({**prices, "cache_write_1h_tokens": Decimal(5)}, "ours", "v1")
    assert bill(dear, call(usage)).amount == 4 * 1 + 4 * 2 + 2 * 5


def test_images_of_the_output_have_a_price_of_their_own() -> None:
    drawn = Rates({"output_tokens": Decimal(1), "output_image_tokens": Decimal(10)}, "ours", "v1")
    assert bill(drawn, call(Usage(input_tokens=0, output_tokens=7, output_image_tokens=5))).amount == 2 * 1 + 5 * 10


@pytest.mark.parametrize("units", [{"searches": 3}, {"searches": 3, "pages": 1}])
def test_searches_of_a_ranking_are_rankings(units: dict[str, float]) -> None:
    ranks = Rates({"rerank_searches": Decimal(2)}, "ours", "v1")
    assert bill(ranks, call(Usage(units=units), "rerank")).amount == 6
