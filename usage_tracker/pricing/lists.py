"""Which price list a call is billed by: that of the user's price book, of a source that knows the past, of our own
table or, at last, of LiteLLM's map; each with what the books and our table change of it or add to it."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from usage_tracker.event import UNPRICED, Cost, Origin, UsageEvent
from usage_tracker.pricing.book import Book, Entry, names_of
from usage_tracker.pricing.genai import priced_name
from usage_tracker.pricing.litellm_map import LitellmMap
from usage_tracker.pricing.money import DOLLARS
from usage_tracker.pricing.occasion import DAY, MINUTE, STANDARD, Occasion, at_minute, moved, occasion_of, told_by
from usage_tracker.pricing.own import own_prices
from usage_tracker.pricing.rates import TIER_UNPRICED, Found, Rates

MOST_ALIASES = 4
"""How often a name may stand for another before it is taken for a circle."""
LONG_AGO = -(10**5)
"""A day in 1696, before every change of a price: of none much earlier can a source of prices be asked."""
REMEMBERED = 4096
"""Price lists that are kept. Names of models come from the application, and there may be ever new ones."""
UNASKED = Cost()
"""Stands for what is not remembered: None is a list that nobody has."""


class PriceSource(Protocol):
    """A place that knows what models cost, at any time."""

    def find(self, occasion: Occasion) -> Found:
        """The price list, or why there is none; None: the model isn't known here, ask the next source."""

    def changes_within_day(self, occasion: Occasion) -> bool:
        """Whether the model's price depends on the time of day."""

    def change_days(self) -> Iterable[int]:
        """The days since 1970 on which any price begins or ends to hold."""


class Decision(NamedTuple):
    """What the price book says of an occasion: as which model it is priced, and by which entry."""

    occasion: Occasion
    entry: Entry | None = None
    note: str | None = None
    """For the version of a price that the book has changed."""


class Missing(NamedTuple):
    """No source that knows the past has this model."""

    decision: Decision


class PriceLists:
    """The lists that there are while these books hold. What was found is remembered."""

    def __init__(self, sources: Sequence[PriceSource], books: Sequence[Book] | None) -> None:
        """`books`: None where there is one that can't be read; see `Pricer.use`."""
        self.books = books
        self._sources = sources
        self._litellm = LitellmMap()
        self._change_days: list[int] | None = None
        self._lists = lru_cache(REMEMBERED)(self._find)
        self._within_day = lru_cache(REMEMBERED)(self._changes_within_day)
        self._of_alike: dict[object, Found] = {}
        """The price lists of calls that have in common all that their price depends on, apart from their counts."""

    def of(self, origin: Origin, event: UsageEvent) -> Found:
        """The price list that the call is billed by, or why there is none."""
        return self.of_hour(origin, event)[0]

    def of_hour(self, origin: Origin, event: UsageEvent) -> tuple[Found, bool]:
        """The same, and whether it holds for earlier calls of the same hour, too."""
        days = self._change_days
        if days is None:
            days = self._change_days = self._find_change_days()
        # prices are those of the last day on which any price has changed: more calls share what is remembered
        changes = bisect_right(days, max(event.started_at // DAY, LONG_AGO))
        key = (
            origin.provider, origin.base_host, event.model, event.request_model, event.service_tier, event.operation,
            changes, told_by(event.raw),
        )  # fmt: skip
        # a third of the CPU of making the occasion and asking for its list
        found = self._of_alike.get(key, UNASKED)
        if found is UNASKED:
            occasion = occasion_of(origin, event, days[changes - 1])
            if occasion is None:
                return UNPRICED, True
            if self._within_day(occasion):
                return self.find(at_minute(occasion, event)), False
            found = self.find(occasion, event.started_at // MINUTE)
            if isinstance(self._lists(occasion), Missing):
                return found, found is None
            if len(self._of_alike) >= REMEMBERED:
                self._of_alike.clear()
            self._of_alike[key] = found
        return found, True

    def find(self, occasion: Occasion, minute: int | None = None) -> Found:
        """The price list of that occasion, or why there is none. `minute` is that of the call, since 1970, where the
        occasion's is only one that has the same prices."""
        found = self._lists(occasion)
        if isinstance(found, Missing):
            decided = found.decision
            now = decided.occasion._replace(minute=occasion.minute if minute is None else minute)
            return self._with_additions(find_changed(self._ask_litellm, decided._replace(occasion=now)), now)
        return found

    def _find_change_days(self) -> list[int]:
        days = {day for book in (own_prices(), *(self.books or ())) for day in book.change_days()}
        days.update(day for source in self._sources for day in source.change_days())
        return [LONG_AGO, *sorted(days)]

    def _changes_within_day(self, occasion: Occasion) -> bool:
        decided = self._decide(occasion)
        return decided is not None and any(source.changes_within_day(decided.occasion) for source in self._sources)

    def _find(self, occasion: Occasion) -> Found | Missing:
        decided = self._decide(occasion)
        if decided is None or self.books is None:
            return UNPRICED
        entry, occasion = decided.entry, decided.occasion
        if entry and entry.prices:
            found: Found = listed(entry, occasion.tier, "book", decided.note)
        else:
            found = find_changed(self._ask, decided)
            if found is None:
                return Missing(decided)
        return self._with_additions(found, occasion)

    def _with_additions(self, found: Found, occasion: Occasion) -> Found:
        """A list with what entries of the books add to any."""
        if isinstance(found, Rates):
            for book in self.books or ():
                for other in book.matching(occasion, names_of(occasion)):
                    if other.add or other.replace:
                        found = found.changed(
                            lacking=other.add, instead=other.replace, note=f"+ {other.label} ({book.name})"
                        )
        return found

    def _decide(self, occasion: Occasion) -> Decision | None:
        """None where names stand for each other in a circle."""
        aliases: list[str] = []
        while len(aliases) < MOST_ALIASES:
            for book in self.books or ():
                entry = book.decide(occasion)
                if entry is not None:
                    break
            else:
                return Decision(occasion, note=" ".join(aliases) or None)
            if entry.model is None:
                times = DOLLARS.multiply(entry.multiplier, entry.token_multiplier)
                note = book.version if entry.prices else f"× {times} ({book.name})"
                return Decision(occasion, entry, " ".join([*aliases, note]))
            occasion = moved(occasion, entry.as_provider, entry.model)
            aliases.append(f"as {entry.model} ({book.name})")
        return None

    def _ask_litellm(self, occasion: Occasion) -> Found:
        """LiteLLM's map, which knows no past, with what our own table has beside it: fees of tools, and what a place
        costs."""
        found = self._litellm.find(occasion)
        return with_entries(found, own_entries(occasion)) if isinstance(found, Rates) else found

    def _ask(self, occasion: Occasion) -> Found:
        """The first source that knows the model, and our own table for what it lacks."""
        found: Found = None
        for source in self._sources:
            found = source.find(occasion)
            if found is not None:
                break
        own = own_prices()
        entries = own_entries(occasion)
        for entry in entries:
            if entry.prices and (found is None or found is UNPRICED):
                found = listed(entry, occasion.tier, "usage_tracker", own.version)
            elif found is TIER_UNPRICED and occasion.tier in entry.tiers and not entry.prices:
                standard = self._ask(occasion._replace(tier=STANDARD))
                if isinstance(standard, Rates):
                    by = entry.tiers[occasion.tier].multiplier
                    return standard.changed(tokens_times=by, note=f"{occasion.tier} × {by} ({own.name})")
        return with_entries(found, entries) if isinstance(found, Rates) else found


def find_changed(ask: Callable[[Occasion], Found], decided: Decision) -> Found:
    """The list that is told for that occasion, changed as the entry of the book says."""
    occasion, entry = decided.occasion, decided.entry
    tier = entry.tiers.get(occasion.tier) if entry else None
    if tier is None:
        return changed(ask(occasion), decided)
    found = changed(ask(occasion._replace(tier=STANDARD)), decided)
    return found.changed(times=tier.multiplier, note=occasion.tier) if isinstance(found, Rates) else found


def own_entries(occasion: Occasion) -> tuple[Entry, ...]:
    name = priced_name(occasion)
    return tuple(own_prices().matching(occasion, [name])) if name else ()


@lru_cache(REMEMBERED)
def with_entries(found: Rates, entries: tuple[Entry, ...]) -> Rates:
    own = own_prices()
    for entry in entries:
        if not entry.prices:
            found = found.changed(
                tokens_times=entry.token_multiplier,
                lacking=entry.add,
                instead=entry.replace,
                note=f"+ {entry.label} ({own.name})",
            )
    return found


def listed(entry: Entry, tier: str, source: str, version: str | None) -> Found:
    """The entry's own prices on these terms."""
    if tier == STANDARD:
        return Rates(entry.prices, source, version)
    terms = entry.tiers.get(tier)
    if terms is None:
        return TIER_UNPRICED
    return Rates(terms.prices or entry.prices, source, version).changed(times=terms.multiplier)


def changed(found: Found, decided: Decision) -> Found:
    """Another source's list with the multipliers of the book's entry."""
    entry = decided.entry
    if not isinstance(found, Rates) or decided.note is None:
        return found
    if entry is None:
        return found.noted(decided.note)
    return found.changed(times=entry.multiplier, tokens_times=entry.token_multiplier).noted(decided.note)
