"""The price book: prices that the user knows better than any list, such as a contract's, an own model's or a
deployment's. `reading.py` has the form in which it is written.

The first entry that matches decides; one that only adds prices (`add`) lets the search go on.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from usage_tracker.pricing.occasion import Occasion
from usage_tracker.pricing.rates import Price
from usage_tracker.providers.hosts import vendor_of

Table = dict[str, Any]
"""An entry as it was written: a TOML table, numbers as Decimal or int."""

MOST_PROVIDERS = 256


@dataclass(frozen=True)
class Tier:
    """Terms of another service tier: prices of its own, or a multiple of the standard ones."""

    prices: Mapping[str, Price] = field(default_factory=dict)
    multiplier: Decimal = Decimal(1)


@dataclass(frozen=True, eq=False)
class Entry:
    """One entry of a book; it equals itself only."""

    table: Table
    pattern: re.Pattern[str]
    provider: re.Pattern[str] | None
    first_day: int
    """Since 1970."""
    last_day: int
    when: Mapping[str, re.Pattern[str]]
    prices: Mapping[str, Price]
    tiers: Mapping[str, Tier]
    model: str | None
    as_provider: str | None
    multiplier: Decimal
    token_multiplier: Decimal
    add: Mapping[str, Price]
    """Prices for what another list lacks."""
    replace: Mapping[str, Price]
    """Prices that go before those of another list."""

    def matches(self, occasion: Occasion, names: Sequence[str]) -> bool:
        """Whether it is about that occasion of its provider, under one of those names."""
        for name in names:
            if self.pattern.search(name):
                break
        else:
            return False
        return self.first_day <= occasion.day < self.last_day and all(
            (told := occasion.field(name)) is not None and pattern.fullmatch(told)
            for name, pattern in self.when.items()
        )

    @property
    def decides(self) -> bool:
        """Whether the search for an entry ends here; by a multiplier of 1, too, which keeps others from a model."""
        multiplies = "multiplier" in self.table or "token_multiplier" in self.table
        return multiplies or bool(self.prices or self.model or self.tiers)

    @property
    def label(self) -> str:
        """A few words for the version of what it changed."""
        return str(self.table.get("label") or self.table.get("match") or self.table.get("regex"))


class Book:
    """Entries in their order, under a version that stands for this content and no other."""

    def __init__(self, entries: Iterable[Entry], version: str, kind: str = "book") -> None:
        self.entries = tuple(entries)
        self.version = version
        self.name = f"{kind} {version}"
        self._of_provider: dict[str, tuple[Entry, ...]] = {}

    def decide(self, occasion: Occasion) -> Entry | None:
        """The first entry that matches and says more than additions."""
        return next((entry for entry in self.matching(occasion, names_of(occasion)) if entry.decides), None)

    def matching(self, occasion: Occasion, names: Sequence[str]) -> Iterator[Entry]:
        """The entries that match, in order."""
        return (entry for entry in self._entries_of(occasion.provider) if entry.matches(occasion, names))

    def change_days(self) -> Iterator[int]:
        """The days since 1970 on which an entry begins or ends to hold."""
        return (day for entry in self.entries for day in (entry.first_day, entry.last_day))

    def _entries_of(self, provider: str) -> tuple[Entry, ...]:
        found = self._of_provider.get(provider)
        if found is None:
            found = tuple(
                entry for entry in self.entries if entry.provider is None or entry.provider.fullmatch(provider)
            )
            if len(self._of_provider) < MOST_PROVIDERS:
                self._of_provider[provider] = found
        return found


def names_of(occasion: Occasion) -> list[str]:
    """What a user may mean by the model: as the answer names it, and as it was asked for, where that is a name of the
    user's own, such as a deployment's. The name of a public model that was asked for is not that of another one that
    answered."""
    asked = occasion.request_model
    names = [occasion.model] if occasion.model else []
    if asked and (not names or vendor_of(asked) is None or occasion.provider == "bedrock"):
        names.append(asked)
    return names
