"""The price book: what its entries mean, which one counts, and how a book with a mistake is met."""

import logging
import os
import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from usage_tracker.errors import ConfigError, StoreUnavailable
from usage_tracker.event import Cost, CostLine, Origin, Usage, UsageEvent
from usage_tracker.pricing import Pricer, Shelf, StoredBook
from usage_tracker.pricing.bill import bill
from usage_tracker.pricing.book import Table
from usage_tracker.pricing.book_text import differ, write_book
from usage_tracker.pricing.rates import Rates
from usage_tracker.pricing.reading import load_book, read_book
from usage_tracker.pricing.toml_lines import line_of

NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)
MILLION = 1_000_000
ASKED = Usage(input_tokens=1000, output_tokens=100)


def call(
    model: str | None = "acme-chat-1",
    usage: Usage = ASKED,
    *,
    at: datetime = NOVEMBER,
    tier: str | None = None,
    operation: str = "chat",
    request_model: str | None = None,
    raw: dict[str, Any] | None = None,
) -> UsageEvent:
    return UsageEvent(
        started_at=int(at.timestamp()) * 1_000_000_000,
        duration_ms=1.0,
        operation=operation,
        model=model,
        request_model=request_model,
        service_tier=tier,
        usage=usage,
        raw=raw,
    )


def cost_by(book: str, event: UsageEvent | None = None, provider: str | None = "acme", host: str | None = None) -> Cost:
    pricer = Pricer(books=[read_book(book, "prices.toml")])
    return pricer.price(Origin(provider=provider, sdk="openai", base_host=host), event or call())


def dollars(book: str, event: UsageEvent | None = None, provider: str | None = "acme", **more: Any) -> Decimal | None:
    return cost_by(book, event, provider, **more).amount


ACME = """
[[price]]
match = "acme-chat-*"
provider = "acme"
input = 2.5
cache_read = 0.25
output = 10
"""


def test_a_model_that_nobody_knows_costs_what_the_book_says() -> None:
    cost = cost_by(ACME, call(usage=Usage(input_tokens=1000, cache_read_tokens=400, output_tokens=100)))
    assert cost.amount == Decimal("0.0026")
    assert set(cost.lines) == {
        CostLine("cache_read_tokens", Decimal(400), Decimal("0.00000025")),
        CostLine("input_tokens", Decimal(600), Decimal("0.0000025")),
        CostLine("output_tokens", Decimal(100), Decimal("0.00001")),
    }


def test_an_event_tells_which_content_priced_it() -> None:
    first, again, other = cost_by(ACME), cost_by(ACME), cost_by(ACME.replace("output = 10", "output = 11"))
    assert first.source == "book"
    assert str(first.version).startswith("file ")
    assert first.version == again.version != other.version


def test_the_book_goes_before_every_other_price() -> None:
    book = '[[price]]\nmatch = "gpt-4o"\ninput = 1\noutput = 1'
    assert dollars(book, call("gpt-4o"), "openai") == Decimal("0.0011")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ('match = "acme-chat-?"', True),
        ('match = "ACME-*"', True),
        ('match = "a*e-*-?"', True),
        ('match = "acme-chat"', False),
        ('match = "acme.chat-1"', False),
        (r"regex = '^acme-chat-\d$'", True),
        (r"regex = 'chat'", True),
        (r"regex = '^chat'", False),
        ('match = "*"\nprovider = "ac*"', True),
        ('match = "*"\nprovider = "me"', False),
    ],
)
def test_names_match_by_wildcards_or_by_regular_expressions(pattern: str, matches: bool) -> None:
    assert (dollars(f"[[price]]\n{pattern}\ninput = 1\noutput = 1") is not None) is matches


def test_the_first_entry_that_matches_decides() -> None:
    cheap, dear = (
        '[[price]]\nmatch = "acme-*"\ninput = 1\noutput = 1\n',
        '[[price]]\nmatch = "*"\ninput = 9\noutput = 9\n',
    )
    assert dollars(cheap + dear) == Decimal("0.0011")
    assert dollars(dear + cheap) == Decimal("0.0099")


def test_an_entry_that_changes_nothing_decides_too() -> None:
    book = """
    [[price]]
    match = "gpt-4o-mini"
    multiplier = 1

    [[price]]
    match = "*"
    multiplier = 0.5
    """
    kept, halved = (cost_by(book, call(model), "openai") for model in ("gpt-4o-mini", "gpt-4o"))
    assert (kept.amount, halved.amount) == (Decimal("0.00021"), Decimal("0.00175"))
    assert "× 1 (" in str(kept.version)


def test_a_price_holds_from_its_first_day_until_the_day_that_it_names() -> None:
    book = """
    [[price]]
    match = "acme-chat-1"
    from = 2026-03-01
    until = 2026-09-01
    input = 1
    output = 1
    [[price]]
    match = "acme-chat-1"
    from = 2026-09-01
    input = 2
    output = 2
    """
    days = {"2026-02-28": None, "2026-03-01": "0.0011", "2026-08-31": "0.0011", "2026-09-01": "0.0022"}
    for day, expected in days.items():
        for hour in (0, 23):
            at = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC).replace(hour=hour)
            assert dollars(book, call(at=at)) == (None if expected is None else Decimal(expected))


def test_beyond_a_step_the_whole_request_costs_more() -> None:
    book = """
    [[price]]
    match = "acme-chat-1"
    input = 1
    output = 2
    above = [{ input_tokens = 100, input = 2 }, { input_tokens = 200, input = 3, output = 4 }]
    """
    expected = {100: "0.0001", 101: "0.000202", 200: "0.0004", 201: "0.000603"}
    for tokens, amount in expected.items():
        cost = dollars(book, call(usage=Usage(input_tokens=tokens, output_tokens=0)))
        assert cost == Decimal(amount)
    both = Usage(input_tokens=200, output_tokens=MILLION), Usage(input_tokens=201, output_tokens=MILLION)
    assert [dollars(book, call(usage=usage)) for usage in both] == [Decimal("2.0004"), Decimal("4.000603")]


def test_service_tiers_have_prices_of_their_own_or_a_multiple_and_others_are_unpriced() -> None:
    book = """
    [[price]]
    match = "acme-chat-1"
    input = 1
    output = 10
    tier.flex.multiplier = 0.5
    tier.Priority = { input = 3 }
    """
    assert dollars(book, call(tier="flex")) == Decimal("0.001")
    assert dollars(book, call(tier="priority")) == Decimal("0.004")  # output as in the standard tier
    flex, standard = cost_by(book, call(tier="flex")), cost_by(book)
    assert (flex.source, flex.version) == (standard.source, standard.version) == ("book", read_book(book, "x").version)
    assert cost_by(book, call(tier="scale")).flags == ("unpriced", "tier_unpriced")


def test_what_is_billed_by_other_units_is_priced_by_one() -> None:
    book = """
    [[price]]
    match = "*"
    image = 0.04
    second = 0.006
    character = 0.000015
    page = 0.001
    request = 0.5
    """
    for kind, count, expected in (
        ("images", 2, "0.58"),
        ("seconds", 1.5, "0.509"),
        ("characters", 1000, "0.515"),
        ("pages", 3, "0.503"),
    ):
        assert dollars(book, call(usage=Usage(units={kind: count}), operation="image")) == Decimal(expected)


def test_hosted_tools_are_billed_beside_the_tokens_and_flagged_without_a_price() -> None:
    event = call(usage=Usage(input_tokens=1000, output_tokens=100, units={"searches": 2, "file_searches": 1}))
    assert cost_by(ACME, event).flags == ("unpriced", "tool_unpriced")
    assert dollars(ACME + "search = 0.01\nfile_search = 0.0025", event) == Decimal("0.0260")


def test_prices_may_be_added_to_a_list_that_lacks_them_or_put_in_their_place() -> None:
    event = call("mistral-large-latest", Usage(input_tokens=1000, output_tokens=100, units={"searches": 2}))
    assert cost_by("", event, "mistral").flags == ("unpriced", "tool_unpriced")
    added = '[[price]]\nmatch = "mistral-*"\nadd = { search = 0.03, input = 999 }\n'
    cost = cost_by(added, event, "mistral")
    prices = {line.unit: line.price for line in cost.lines}
    assert prices["web_searches"] == Decimal("0.03")
    assert prices["input_tokens"] < 1, "it had a price"
    assert "+ mistral-* (book file " in str(cost.version)
    replaced = cost_by(added + '[[price]]\nmatch = "*"\nreplace = { input = 1 }', event, "mistral")
    assert {line.unit: line.price for line in replaced.lines}["input_tokens"] == Decimal("0.000001")


def test_a_deployment_is_priced_as_the_model_that_it_stands_for() -> None:
    book = '[[price]]\nmatch = "prod-chat"\nprovider = "azure"\nmodel = "gpt-4o-2024-11-20"\n'
    cost = cost_by(book, call(None, request_model="prod-chat"), "azure")
    assert cost.amount == Decimal("0.0035")
    assert cost.source == "genai-prices"
    assert "as gpt-4o-2024-11-20" in str(cost.version)


def test_a_deployment_may_have_a_price_of_its_own_whatever_model_answers() -> None:
    book = '[[price]]\nmatch = "prod-chat"\nprovider = "azure"\nmultiplier = 0.5\n'
    assert dollars(book, call("gpt-4o-2024-11-20", request_model="prod-chat"), "azure") == Decimal("0.00175")


def test_the_price_of_a_model_that_was_asked_for_is_not_that_of_another_that_answered() -> None:
    book = '[[price]]\nmatch = "gpt-4o"\ninput = 99\noutput = 99\n'
    assert dollars(book, call("gpt-4o-mini", request_model="gpt-4o"), "openai") == Decimal("0.00021")
    assert dollars(book, call(None, request_model="gpt-4o"), "openai") == Decimal("0.1089")


def test_a_profile_of_bedrock_is_unpriced_until_it_has_a_name() -> None:
    """The answer names the model, and not whether its region costs more."""
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"
    event = call("claude-sonnet-4-5-20250929", request_model=arn)
    assert cost_by("", event, "bedrock").flags == ("unpriced",)
    book = f'[[price]]\nmatch = "{arn}"\nmodel = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"\n'
    assert dollars(book, event, "bedrock") == Decimal("0.0045")
    assert dollars(book.replace("global.", "us."), event, "bedrock") == Decimal("0.00495")


def test_on_bedrock_a_price_may_be_of_what_was_asked_for_as_its_answer_tells_no_region() -> None:
    event = call("claude-sonnet-4-5", request_model="eu.anthropic.claude-sonnet-4-5-20250929-v1:0")
    book = '[[price]]\nmatch = "eu.anthropic.*"\ninput = 10\noutput = 10\n'
    assert dollars(book, event, "bedrock") == Decimal("0.011")


def test_a_model_may_stand_for_one_of_another_provider() -> None:
    book = '[[price]]\nmatch = "house-model"\nmodel = "claude-sonnet-4-6"\nas_provider = "anthropic"\n'
    assert dollars(book, call("house-model"), None) == Decimal("0.0045")


def test_what_stands_for_another_model_is_still_where_it_was_called() -> None:
    book = '[[price]]\nmatch = "prod-chat"\nmodel = "acme-chat-1"\nas_provider = "acme"\n'
    book += '[[price]]\nmatch = "acme-chat-1"\nwhen = { host = "eu.*" }\ninput = 3\noutput = 3\n' + ACME
    for provider in ("azure", "openai"):
        assert dollars(book, call("prod-chat"), provider, host="eu.azure.example") == Decimal("0.0033")
        assert dollars(book, call("prod-chat"), provider, host="us.azure.example") == Decimal("0.0035")


def test_names_that_stand_for_each_other_have_no_price() -> None:
    book = '[[price]]\nmatch = "a"\nmodel = "b"\n[[price]]\nmatch = "b"\nmodel = "a"\n'
    assert cost_by(book, call("a")) == Cost(flags=("unpriced",))


def test_a_discount_applies_to_whatever_the_price_is_and_shows() -> None:
    book = '[[price]]\nmatch = "*"\nprovider = "openai"\nmultiplier = 0.85\n'
    with localcontext(prec=1):  # an app's own
        cost = cost_by(book, call("gpt-4o"), "openai")
    assert cost.amount == Decimal("0.0035") * Decimal("0.85")
    assert (cost.source, "× 0.85" in str(cost.version)) == ("genai-prices", True)


def test_a_discount_may_be_on_tokens_only_or_on_one_tier() -> None:
    searched = call("gpt-4o", Usage(input_tokens=1000, output_tokens=100, units={"searches": 1}))
    tokens = '[[price]]\nmatch = "*"\ntoken_multiplier = 0.5\n'
    assert dollars(tokens, searched, "openai") == Decimal("0.00175") + Decimal("0.01")
    flex = '[[price]]\nmatch = "*"\ntier.flex.multiplier = 0.5\n'
    assert dollars(flex, call("gpt-4o", tier="flex"), "openai") == Decimal("0.00175")
    assert dollars(flex, call("gpt-4o"), "openai") == Decimal("0.0035")


def test_a_price_may_depend_on_the_host_and_on_what_the_usage_says() -> None:
    book = '[[price]]\nmatch = "*"\nwhen = { host = "eu.*" }\ninput = 3\noutput = 3\n' + ACME
    assert dollars(book, host="eu.acme.example") == Decimal("0.0033")
    assert dollars(book, host="us.acme.example") == dollars(book) == Decimal("0.0035")
    geo = '[[price]]\nmatch = "*"\nprovider = "anthropic"\nwhen = { inference_geo = "eu" }\ninput = 1\noutput = 1\n'
    event = call("claude-opus-5", raw={"inference_geo": "eu"})
    assert dollars(geo, event, "anthropic") == Decimal("0.0011")


def test_an_unknown_provider_may_be_priced_by_the_book() -> None:
    assert dollars('[[price]]\nmatch = "acme-*"\ninput = 1\noutput = 1', provider=None) == Decimal("0.0011")


def test_figures_are_taken_to_the_digit() -> None:
    book = '[[price]]\nmatch = "*"\ninput = 0.1234567890123456789\noutput = 0\n'
    cost = cost_by(book, call(usage=Usage(input_tokens=10**12, output_tokens=0)))
    assert cost.lines[0].price == Decimal("0.1234567890123456789e-6")
    assert cost.amount == Decimal("123456.789012345679")


def test_video_may_have_prices_of_its_own() -> None:
    def priced(more: str) -> Cost:
        details = {
            "promptTokensDetails": [{"modality": "VIDEO", "tokenCount": 100}, {"modality": "TEXT", "tokenCount": 60}],
            "cacheTokensDetails": [{"modality": "VIDEO", "tokenCount": 30}],
            "candidatesTokensDetails": [{"modality": "VIDEO", "tokenCount": 5}],
        }
        usage = Usage(input_tokens=160, cache_read_tokens=40, output_tokens=20)
        book = '[[price]]\nmatch = "*"\ninput = 1\ninput_video = 2\ncache_read = 0.5\noutput = 4\noutput_video = 8\n'
        return cost_by(book + more, call(usage=usage, raw=details), "gemini")

    assert {line.unit: line.count for line in priced("cache_read_video = 0.25").lines} == {
        "input_tokens": 50, "cache_read_tokens": 10, "input_video_tokens": 70, "cache_video_read_tokens": 30,
        "output_tokens": 15, "output_video_tokens": 5,
    }  # fmt: skip
    assert priced("cache_read_video = 0.25").amount == Decimal("0.0003025")
    assert priced("").flags == ("unpriced",), "what a cached token of video costs is not known"


MISTAKES = {
    "steps that are no list": ('[[price]]\nmatch = "a"\ninput = 1\nabove = 5\n', 4, "is an array"),
    "fees that are no table": ('[[price]]\nmatch = "a"\nadd = 0.01\n', 3, "is a table of prices"),
    "no TOML": ("[[price]]\nmatch = a\n", 2, "this is no TOML (Invalid value)"),
    "a word that is no key": ('[[price]]\nmatch = "a"\ninput = 1\nouptut = 2\n', 4, "did you mean 'output'?"),
    "a table of another name": ('[prices]\nmatch = "a"\n', 1, "[[price]]"),
    "single brackets": ('[price]\nmatch = "a"\n', 1, "double brackets"),
    "nothing to match": ("# ours\n[[price]]\ninput = 1\n", 2, "either 'match'"),
    "two ways to match": ('[[price]]\nmatch = "a"\nregex = "b"\n', 3, "either 'match'"),
    "no regular expression": ('[[price]]\nregex = "("\ninput = 1\n', 2, "no regular expression"),
    "no price": ('[[price]]\nmatch = "a"\n[[price]]\nmatch = "b"\ninput = 1\n', 1, "has no price"),
    "a price that is a text": ('[[price]]\nmatch = "a"\ninput = "1"\n', 3, "is a number"),
    "a price below zero": ('[[price]]\nmatch = "a"\n\noutput = -1\n', 4, "not below zero"),
    "a price without end": ('[[price]]\nmatch = "a"\noutput = inf\n', 3, "finite"),
    "a price that no store can hold": ('[[price]]\nmatch = "a"\ninput = 1e40\n', 3, "at most 1,000,000"),
    "a price of more decimals than fit on a page": (
        '[[price]]\nmatch = "a"\ninput = 1e-999\n',
        3,
        "within 50 decimals",
    ),
    "no money, of as many": ('[[price]]\nmatch = "a"\ninput = 0e-999\n', 3, "or is 0"),
    "a regular expression that is too large": ('[[price]]\nregex = "a{99999999999}"\ninput = 1\n', 2, "can't be used"),
    "a regular expression that is too deep": (f'[[price]]\nregex = "{"(" * 9999}"\ninput = 1\n', 2, "can't be used"),
    "a day that is none": ('[[price]]\nmatch = "a"\nfrom = "soon"\ninput = 1\n', 3, "is a day"),
    "an end before the start": (
        '[[price]]\nmatch = "a"\nfrom = 2026-02-01\nuntil = 2026-01-01\ninput = 1\n',
        4,
        "is after",
    ),
    "a step that doesn't ascend": (
        '[[price]]\nmatch = "a"\ninput = 1\nabove = [\n{ input_tokens = 9, input = 2 },\n{ input_tokens = 8 }]\n',
        4,
        "ascends",
    ),
    "a step of what has no price": (
        '[[price]]\nmatch = "a"\ninput = 1\nabove = [{ input_tokens = 9, output = 2 }]\n',
        4,
        "no price below",
    ),
    "the fee of a tool in the place of a price": ('[[price]]\nmatch = "a"\nsearch = 1\n', 3, "write add ="),
    "a tier that is no table": ('[[price]]\nmatch = "a"\ninput = 1\ntier.flex = 0.5\n', 4, "a tier is a table"),
    "a tier with both": (
        '[[price]]\nmatch = "a"\ninput = 1\n[price.tier.flex]\ninput = 1\nmultiplier = 2\n',
        6,
        "either a multiplier",
    ),
    "a tier without prices": ('[[price]]\nmatch = "a"\ntier.flex.input = 1\n', 3, "has a multiplier"),
    "an alias with a price": ('[[price]]\nmatch = "a"\nmodel = "b"\ninput = 1\n', 3, "no prices of its own"),
    "a provider of no alias": ('[[price]]\nmatch = "a"\ninput = 1\nas_provider = "openai"\n', 4, "which is missing"),
    "a multiple of own prices": ('[[price]]\nmatch = "a"\ninput = 1\nmultiplier = 2\n', 4, "has its own"),
    "a condition on what nobody says": (
        '[[price]]\nmatch = "a"\nprovider = "openai"\ninput = 1\nwhen = { weather = "fine" }\n',
        5,
        "no price can depend on 'weather'",
    ),
    "entries that are no tables": ("price = [1]\n", 1, "double brackets"),
    "a label that is no text": ('[[price]]\nmatch = "a"\ninput = 1\nlabel = 5\n', 4, "'label' is a text"),
    "two steps at one number": (
        '[[price]]\nmatch = "a"\ninput = 1\nabove = [{ input_tokens = 9 }, { input_tokens = 9, input = 3 }]\n',
        4,
        "ascends",
    ),
    "a step whose price is no number": (
        '[[price]]\nmatch = "a"\ninput = 1\n[[price.above]]\ninput_tokens = 9\ninput = "2"\n',
        6,
        "'input' is a number",
    ),
    "a condition that is no table": ('[[price]]\nmatch = "a"\ninput = 1\nwhen = "eu"\n', 4, "'when' is a table"),
    "tiers that are no table": ('[[price]]\nmatch = "a"\ninput = 1\ntier = 0.5\n', 4, "'tier' is a table"),
    "terms of the standard tier": (
        '[[price]]\nmatch = "a"\ninput = 1\ntier.flex.input = 1\ntier.standard.input = 2\n',
        5,
        "are those of the entry itself",
    ),
    "a word of a tier that is no key": (
        '[[price]]\nmatch = "a"\ninput = 1\ntier.flex.input = 1\ntier.flex.weather = 2\n',
        5,
        "a tier has prices or a multiplier",
    ),
    "an alias with a tier": ('[[price]]\nmatch = "a"\nmodel = "b"\ntier.flex.multiplier = 2\n', 3, "no prices of its"),
    "an addition whose price is no number": (
        '[[price]]\nmatch = "a"\n[price.add]\nsearch = 1\nfile_search = "2"\n',
        5,
        "'file_search' is a number",
    ),
    "an addition that is no price": ('[[price]]\nmatch = "a"\nadd = { serach = 1 }\n', 3, "is no price"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_book_with_a_mistake_is_refused_as_a_whole_with_the_line_and_what_to_do(name: str) -> None:
    text, line, words = MISTAKES[name]
    with pytest.raises(ConfigError, match=f"^prices.toml, line {line}: .*until it is mended$") as refusal:
        read_book(text, "prices.toml")
    assert words in str(refusal.value)
    with pytest.raises(ConfigError, match=f"^prices.toml, line {line + 3}: "):
        read_book('[[price]]\nmatch = "good"\ninput = 1\n' + text, "prices.toml")


def test_a_book_that_ends_too_early_is_said_to_without_a_line() -> None:
    with pytest.raises(ConfigError, match=r"^prices.toml: this is no TOML \(.* \(at end of document\)\); nothing"):
        read_book('[[price]]\nmatch = "a', "prices.toml")


@pytest.mark.parametrize("value", ["9" * 5000, "1e9999999999999999999", "[" * 9999])
def test_a_book_that_is_beyond_what_can_be_read_is_refused_like_any_other(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^prices.toml: a number has more digits, or a list more depth, .*mended$"):
        read_book(f'[[price]]\nmatch = "a"\ninput = {value}', "prices.toml")


def test_the_line_of_a_value_is_found_in_a_long_book_at_once() -> None:
    entry = '[[price]]\nmatch = """\nof\nseveral lines"""\ninput = 1\n'
    text = "# a comment with [[price]]\n" + entry * 2000 + "wrong = 1\n" + entry
    assert line_of(text, ("price", 1999, "wrong")) == 2 + 5 * 2000
    assert line_of(text, ("price", 1000)) == 2 + 5 * 1000
    assert line_of(text, ("price", 1000, "input")) == 2 + 5 * 1000 + 4
    assert line_of(text, ("price", 1000, "not", "there")) == 2 + 5 * 1000
    assert line_of(text, ("price", 1000, "input", "in a number")) == 2 + 5 * 1000 + 4


def test_a_file_that_can_not_be_read_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing.toml can't be read \(No such file or directory\)$"):
        load_book(tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b'[[price]]\nmatch = "gr\xfcn"\ninput = 1\n')
    with pytest.raises(ConfigError, match="no UTF-8"):
        load_book(tmp_path / "latin.toml")
    (tmp_path / "marked.toml").write_text('[[price]]\nmatch = "a"\ninput = 1\n', encoding="utf-8-sig")
    assert len(load_book(tmp_path / "marked.toml").entries) == 1  # Windows marks what is UTF-8
    (tmp_path / "wrong.toml").write_text("wrong = 1")
    with pytest.raises(ConfigError, match=f"^{tmp_path}/wrong.toml, line 1: 'wrong' is unknown"):
        load_book(tmp_path / "wrong.toml")


def nothing_stored(_: int | None) -> StoredBook | None:
    return None


def write(path: Path, text: str) -> None:
    """With a time of its own: two writes may fall into one tick of the file system's clock."""
    path.write_text(text)
    write.clock += 1  # type: ignore[attr-defined]
    os.utime(path, (write.clock, write.clock))  # type: ignore[attr-defined]


write.clock = 1_790_000_000  # type: ignore[attr-defined]


def test_a_book_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    shelf = Shelf(path)
    write(path, ACME)
    assert shelf.look(nothing_stored)
    assert not shelf.look(nothing_stored)
    [first] = shelf.books or []
    write(path, ACME.replace("10", "12"))
    assert shelf.look(nothing_stored)
    [second] = shelf.books or []
    assert first.version != second.version


def test_a_book_is_not_passed_over_that_was_there_when_the_store_could_not_be_asked(tmp_path: Path) -> None:
    def away(known: int | None) -> StoredBook | None:
        raise StoreUnavailable("away")

    path = tmp_path / "prices.toml"
    write(path, ACME)
    shelf = Shelf(path)
    with pytest.raises(StoreUnavailable):
        shelf.look(away)
    assert shelf.look(nothing_stored), "else nobody takes it, and calls have other prices"
    assert len(shelf.books or []) == 1


def test_a_bad_change_leaves_the_last_good_version_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "prices.toml"
    shelf = Shelf(path)
    write(path, ACME)
    shelf.look(nothing_stored)
    good = shelf.books
    write(path, ACME + "ouptut = 3\n")
    with caplog.at_level(logging.ERROR):
        shelf.look(nothing_stored)
        shelf.look(nothing_stored)
    [record] = caplog.records
    assert "line 8" in record.message
    assert "last good version" in record.message
    assert shelf.books == good


def test_without_a_good_version_calls_have_no_cost_rather_than_a_wrong_one(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    shelf = Shelf(path)
    shelf.look(nothing_stored)
    assert shelf.books is None
    pricer = Pricer()
    pricer.use(shelf.books)
    gpt = call("gpt-4o")
    assert pricer.price(Origin(provider="openai", sdk="openai"), gpt) == Cost(flags=("unpriced",))
    write(path, ACME)
    assert shelf.look(nothing_stored)
    pricer.use(shelf.books)
    assert pricer.price(Origin(provider="openai", sdk="openai"), gpt).amount == Decimal("0.0035")


def test_the_files_book_goes_before_the_stores(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    write(path, ACME)
    entries = [{"match": "acme-*", "input": 1, "output": 1}, {"match": "house-*", "input": Decimal("0.5"), "output": 1}]
    shelf = Shelf(path)
    shelf.look(lambda known: None if known == 7 else StoredBook(7, entries))
    pricer = Pricer(books=shelf.books or ())
    origin = Origin(provider="acme", sdk="openai")
    assert pricer.price(origin, call()).amount == Decimal("0.0035")
    house = pricer.price(origin, call("house-model"))
    assert (house.amount, house.source, house.version) == (Decimal("0.0006"), "book", "7")


def test_a_stored_book_of_a_newer_version_is_not_half_understood(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(None)
    shelf.look(lambda _: StoredBook(3, [{"match": "a", "input": 1}, {"match": "b", "per_moon": 1}]))
    assert shelf.books is None
    assert "version 3, entry 2" in caplog.text
    assert "until then calls are stored without a cost" in caplog.text


def test_a_stored_book_counts_once_it_is_mended() -> None:
    shelf = Shelf(None)
    shelf.look(lambda _: StoredBook(3, [{"match": "b", "per_moon": 1}]))
    shelf.look(lambda _: StoredBook(4, [{"match": "a", "input": 1}]))
    assert [book.version for book in shelf.books or ()] == ["4"]


def test_a_stored_book_is_read_once() -> None:
    shelf = Shelf(None)
    assert shelf.look(lambda known: None if known == 7 else StoredBook(7, []))
    assert not shelf.look(lambda known: None if known == 7 else StoredBook(7, []))


IN_PARTS = """
[[price]]
match = "speaks"
output_audio = 40
output = 10
input = 1

[[price]]
match = "speaks-only"
output_audio = 40
input_audio = 4
"""


def heard(model: str, **counts: Any) -> Cost:
    return cost_by(IN_PARTS, call(model, Usage(**counts)))


def test_parts_of_the_output_that_are_more_than_it_make_no_bill() -> None:
    assert heard("speaks", input_tokens=1, output_tokens=5, output_audio_tokens=5).amount == Decimal("0.000201")
    assert heard("speaks", input_tokens=1, output_tokens=4, output_audio_tokens=5).flags == ("unpriced", "sum_mismatch")


def test_a_list_of_audio_alone_says_nothing_of_text() -> None:
    spoken = {"input_tokens": 7, "input_audio_tokens": 7, "output_tokens": 3, "output_audio_tokens": 3}
    assert heard("speaks-only", **spoken).amount == Decimal("0.000148")
    assert heard("speaks-only", **{**spoken, "output_tokens": 4}).flags == ("unpriced",)
    assert heard("speaks-only", **{**spoken, "input_tokens": 8}).flags == ("unpriced",)


def test_tokens_that_a_tool_added_may_have_a_price_of_their_own() -> None:
    rates = Rates(
        {"input_tokens": Decimal(2), "input_tool_tokens": Decimal(3), "output_tokens": Decimal(0)}, "ours", "1"
    )
    cost = bill(rates, call(usage=Usage(input_tokens=10, tool_tokens=4, output_tokens=0)))
    assert {line.unit: line.count for line in cost.lines} == {
        "input_tokens": Decimal(6),
        "input_tool_tokens": Decimal(4),
    }
    assert cost.amount == 6 * 2 + 4 * 3


def test_units_of_which_there_are_none_are_not_billed_whatever_they_are() -> None:
    event = call(usage=Usage(input_tokens=1000, output_tokens=100, units={"searches": 0}))
    assert cost_by(ACME, event).amount == Decimal("0.0035")


def test_entries_are_read_back_as_they_were_written() -> None:
    entries: list[Table] = [
        {"match": 'acmé\x7f"-*', "from": date(2026, 1, 1), "input": Decimal("0.0000001"), "output": 3, "free": False},
        {"regex": "a|b", "when": {"service_tier": "x", "is-new": True, "é": "y", "a b": [1, Decimal("2.5"), "z"]}},
    ]
    text = write_book(entries)
    assert tomllib.loads(text, parse_float=Decimal)["price"] == entries
    assert text == (
        '[[price]]\nmatch = "acmé\\u007F\\"-*"\nfrom = 2026-01-01\ninput = 0.0000001\noutput = 3\nfree = false\n\n'
        '[[price]]\nregex = "a|b"\n'
        'when = { service_tier = "x", is-new = true, "é" = "y", "a b" = [1, 2.5, "z"] }\n'
    )


def test_what_two_books_say_otherwise_is_told_entry_by_entry() -> None:
    old: list[Table] = [
        {"match": "gone", "provider": "acme", "from": date(2026, 1, 1), "until": date(2026, 7, 1), "input": 1},
        {"match": "gone", "when": {"region": "eu"}, "input": 2},
        {"match": "same", "until": date(2027, 1, 1), "input": 1, "tiers": [{"output": 2}]},
        {"match": "other", "input": Decimal("1.5"), "label": "Xmas"},
        {"match": "other", "add": {"searches": 1}},
        {"match": "tiers", "tiers": [{"output": 2}]},
    ]
    new: list[Table] = [
        {"match": "same", "until": "2027-01-01", "input": Decimal("1.0"), "tiers": [{"output": Decimal(2)}]},
        {"match": "other", "input": 2, "output": 3},
        {"match": "other", "add": {"searches": 1}},
        {"match": "tiers", "tiers": [{"output": 3}]},
        {"regex": "new-.*", "input": 4, "label": "autumn"},
    ]
    assert differ(old, new) == [
        ("gone, provider acme, from 2026-01-01, until 2026-07-01", "removed", "input 1"),
        ("gone, region eu", "removed", "input 2"),
        ("other", "changed", "input 1.5 → 2, label Xmas → —, output — → 3"),
        ("tiers", "changed", "tiers [{ output = 2 }] → [{ output = 3 }]"),
        ("/new-.*/", "added", "input 4, label autumn"),
    ]


def test_that_entries_changed_places_is_a_difference() -> None:
    first, second = ({"match": name, "input": 1} for name in ("a-*", "a-1"))
    assert [found.entry for found in differ([first, second], [second, first])] == ["the order of entries"]
    assert differ([first, second], [first, second]) == []
