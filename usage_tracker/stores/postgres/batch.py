"""A batch on its way into Postgres: what it needs keys for, then its rows as COPY's text."""

from collections.abc import Sequence
from typing import NamedTuple

from usage_tracker.event import PricedEvent
from usage_tracker.stores.dimensions import KIND, Content, Dimension, Keys, Wanted, kind_of
from usage_tracker.stores.postgres.copy_text import delta_rows, escaped, event_row
from usage_tracker.stores.postgres.templates import split_figures
from usage_tracker.stores.rollups import Grain, Rollups
from usage_tracker.stores.values import cost_parts, facts, json_text

PRICE = Dimension("usage_price", "price_key", ("source", "version", "lines"))
SHAPE = Dimension("usage_shape", "shape_key", ("template",))

TEMPLATES_AT_MOST = 4096
"""How many templates a store adds before it keeps JSON whole: something in it never repeats, so templates would save nothing
and fill their table."""


class Repeated(NamedTuple):
    """What an event shares with others, and the figures that are its own."""

    kind: Content
    price: Content | None
    cost_counts: str | None
    shape: Content | None
    figures: str | None


class CopyBatch:
    """Raises EventsRefused for content that no store can hold."""

    def __init__(self, events: Sequence[PricedEvent], keys: Keys) -> None:
        self.events = events
        self.keys = keys
        self.wanted = Wanted(PRICE, SHAPE)
        self.wanted.add_origins(events)
        self.repeated = [self._repeated(priced) for priced in events]

    def _repeated(self, priced: PricedEvent) -> Repeated:
        kind = kind_of(priced)
        self.wanted[KIND][kind] = None
        cost, raw = priced.cost, priced.event.raw
        price, cost_counts, shape, figures = None, None, None, None
        if cost.lines or cost.source is not None or cost.version is not None:
            json = cost_parts(cost.lines)
            lines, cost_counts = split_figures(json)
            price = (cost.source, cost.version, lines)
            if not self._wants(PRICE, price):
                price, cost_counts = (cost.source, cost.version, None), escaped(json)
                self.wanted[PRICE][price] = None
        if raw is not None:
            json = json_text(raw)
            template, figures = split_figures(json)
            shape = (template,)
            if not self._wants(SHAPE, shape):
                shape, figures = None, escaped(json)
        return Repeated(kind, price, cost_counts, shape, figures)

    def _wants(self, dimension: Dimension, content: Content) -> bool:
        """Whether the content has, or may still get, a key."""
        wanted, known = self.wanted[dimension], self.keys[dimension]
        if content in wanted:
            return True
        if content not in known and len(known) + len(wanted) >= TEMPLATES_AT_MOST:
            return False
        wanted[content] = None
        return True

    def written(self) -> tuple[str, dict[Grain, str]]:
        """The rows of usage_event and of the deltas. `keys` has to know all that is `wanted`."""
        kinds, prices, shapes = self.keys[KIND], self.keys[PRICE], self.keys[SHAPE]
        origins = self.keys.of_origins(self.events)
        rollups = Rollups()
        rows = []
        for priced, repeated in zip(self.events, self.repeated, strict=True):
            found, who, kind_key = facts(priced), origins[id(priced.origin)], kinds[repeated.kind]
            rollups.add(priced, found, kind_key, who)
            rows.append(
                event_row(
                    priced,
                    found,
                    who,
                    kind_key,
                    None if repeated.price is None else prices[repeated.price],
                    None if repeated.shape is None else shapes[repeated.shape],
                    repeated.figures,
                    repeated.cost_counts,
                )
            )
        return "".join(rows), {grain: "".join(delta_rows(grain, sums)) for grain, sums in rollups.items() if sums}
