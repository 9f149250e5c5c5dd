"""A price list as it applies to one occasion: what one of each billed unit costs, by the length of the prompt."""

from bisect import bisect_left
from collections.abc import Mapping
from copy import copy
from decimal import Decimal
from typing import NamedTuple

from usage_tracker.event import Cost
from usage_tracker.pricing.money import DOLLARS, beyond


class Stepped(NamedTuple):
    """A price that depends on the length of the prompt. The whole request costs that of its step."""

    base: Decimal
    above: tuple[tuple[int, Decimal], ...]
    """(input tokens, price): what it costs where the request has more input tokens than that; ascending."""


Price = Decimal | Stepped
"""US dollars for one unit."""

ORDER = tuple(
    """
    input_tokens cache_read_tokens cache_write_tokens cache_write_1h_tokens input_tool_tokens
    input_audio_tokens cache_audio_read_tokens input_image_tokens cache_image_read_tokens
    input_video_tokens cache_video_read_tokens
    output_tokens output_reasoning_tokens output_audio_tokens output_image_tokens output_video_tokens
    output_citation_tokens
    images audio_seconds input_audio_seconds output_audio_seconds video_seconds input_characters input_document_pages
    web_searches map_searches rerank_searches storage_searches social_searches code_executions requests
    """.split()
)
"""What a line of a bill may be about, in the order in which prices are shown. A list with prices for anything
else still prices these."""
TOKENS = frozenset(name for name in ORDER if name.endswith("_tokens"))
INPUT = frozenset(name for name in TOKENS if not name.startswith("output"))
OUTPUT = TOKENS - INPUT


class Rates:
    """Prices by unit, ready to be multiplied."""

    __slots__ = ("apart", "by_step", "by_token", "cliffs", "has_input", "has_output", "input_costs", "least_seconds",
                 "modal", "once", "output_costs", "prices", "rounded", "source", "units", "version")  # fmt: skip

    def __init__(
        self,
        prices: Mapping[str, Price],
        source: str,
        version: str | None,
        *,
        least_seconds: int = 0,
        audio_apart: bool = False,
        once: frozenset[str] = frozenset(),
    ) -> None:
        self.prices = {name: prices[name] for name in ORDER if name in prices}
        self.source = source
        self.version = version
        self.least_seconds = least_seconds
        """Shorter audio is billed as if it were that long."""
        self.apart = audio_apart
        """Whether audio tokens need a price of their own, so that the price of text says nothing of theirs."""
        self.once = once
        """Units of which a request is billed one, however many it has."""
        self.units = frozenset(self.prices)
        self.cliffs = sorted({start for price in prices.values() if type(price) is Stepped for start, _ in price.above})
        """The input tokens above which a whole request costs another price."""
        self.by_step: list[dict[str, Decimal]] = [
            {name: price_above(price, cliff) for name, price in self.prices.items()} for cliff in (-1, *self.cliffs)
        ]
        self.rounded = any(beyond(price) for prices in self.by_step for price in prices.values())
        """Whether any price has more decimal places than a cost."""
        inputs, outputs = self.units & INPUT, self.units & OUTPUT
        self.has_input, self.has_output, self.by_token = bool(inputs), bool(outputs), bool(inputs | outputs)
        self.input_costs = any(prices[name] for prices in self.by_step for name in inputs)
        """Whether input costs anything: what is free need not be known."""
        self.output_costs = any(prices[name] for prices in self.by_step for name in outputs)
        self.modal = bool(
            self.units
            & {
                "input_audio_tokens",
                "input_image_tokens",
                "input_video_tokens",
                "output_audio_tokens",
                "output_image_tokens",
                "output_video_tokens",
                "output_reasoning_tokens",
                "input_tool_tokens",
            }
        )
        """Whether any tokens but cached ones have a price of their own."""

    def at(self, input_tokens: int) -> dict[str, Decimal]:
        """US dollars for one of each unit, in a request of that many input tokens."""
        return self.by_step[bisect_left(self.cliffs, input_tokens) if self.cliffs else 0]

    def noted(self, note: str) -> "Rates":
        """The same list, with a note behind its version."""
        same = copy(self)
        same.version = noted(self.version, note)
        return same

    def changed(
        self,
        *,
        times: Decimal = Decimal(1),
        tokens_times: Decimal = Decimal(1),
        lacking: Mapping[str, Price] | None = None,
        instead: Mapping[str, Price] | None = None,
        note: str | None = None,
    ) -> "Rates":
        """The same list with all prices, or those of tokens, multiplied, with prices that it lacks and others in place
        of its own; `note` goes behind its version. The same object where nothing changes."""
        lacking = {name: price for name, price in (lacking or {}).items() if name not in self.prices}
        if times == tokens_times == 1 and not lacking and not instead:
            return self
        prices = {
            name: multiplied(price, DOLLARS.multiply(times, tokens_times) if name in TOKENS else times)
            for name, price in self.prices.items()
        }
        return Rates(
            {**lacking, **prices, **(instead or {})},
            self.source,
            noted(self.version, note),
            least_seconds=self.least_seconds,
            audio_apart=self.apart,
            once=self.once,
        )


TIER_UNPRICED = Cost(flags=("unpriced", "tier_unpriced"))
TOOL_UNPRICED = Cost(flags=("unpriced", "tool_unpriced"))

Found = Rates | Cost | None
"""What a source of prices says of an occasion: its list, why there is none, or, with None, that it doesn't know the
model, so that the next source is asked."""


def alike(one: Found, other: Found) -> bool:
    """Whether they say the same."""
    if isinstance(one, Rates) and isinstance(other, Rates):
        return all(getattr(one, name) == getattr(other, name) for name in Rates.__slots__)
    return one == other


def noted(version: str | None, note: str | None) -> str | None:
    """The version with a note behind it."""
    return " ".join(part for part in (version, note) if part) or None


def price_above(price: Price, cliff: int) -> Decimal:
    """What one costs where the request has just more input tokens than `cliff`."""
    if type(price) is Stepped:
        passed = [later for start, later in price.above if start <= cliff]
        return passed[-1] if passed else price.base
    assert isinstance(price, Decimal)
    return price


def multiplied(price: Price, by: Decimal) -> Price:
    if by == 1:
        return price
    if isinstance(price, Stepped):
        return Stepped(
            DOLLARS.multiply(price.base, by),
            tuple((start, DOLLARS.multiply(each, by)) for start, each in price.above),
        )
    return DOLLARS.multiply(price, by)
