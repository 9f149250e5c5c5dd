"""Where a report's figures come from: a store, or whatever else answers the same."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from usage_tracker.report.awaited import count_untold
from usage_tracker.report.contradicting import count_contradicting
from usage_tracker.report.groups import read_groups
from usage_tracker.report.latency import too_many_events, with_sketches
from usage_tracker.report.listing import Event, list_events
from usage_tracker.report.question import Query
from usage_tracker.report.sums import Group, Sums
from usage_tracker.report.top import read_top
from usage_tracker.stores import Store


class Figures(Protocol):
    """Errors: StoreError."""

    def groups(self, query: Query) -> dict[Group, Sums]:
        """Each group's sums of what was recorded, with sketches where the query asks for percentiles."""

    def top_groups(self, query: Query) -> dict[Group, Sums] | None:
        """The groups of a query with a `top`, all beyond it as OTHERS, where that takes less than to read them all."""

    def without_percentiles(self, query: Query) -> bool:
        """Whether its percentiles would take more events than are read for them."""

    def untold(self, query: Query) -> int:
        """How many of the calls that it counts are awaited still."""

    def contradicting(self, query: Query) -> int | None:
        """How many of the calls that it counts have counts of tokens that contradict each other; None where that would
        take too long."""

    def events(self, query: Query) -> Iterable[Event]:
        """The events that it counts."""


class StoreFigures(NamedTuple):
    """Figures out of a store."""

    store: Store

    def groups(self, query: Query) -> dict[Group, Sums]:
        groups = read_groups(self.store, query)
        return with_sketches(self.store, query, groups) if query.percentiles else groups

    def top_groups(self, query: Query) -> dict[Group, Sums] | None:
        return read_top(self.store, query)

    def without_percentiles(self, query: Query) -> bool:
        return too_many_events(self.store, query)

    def untold(self, query: Query) -> int:
        return count_untold(self.store, query)

    def contradicting(self, query: Query) -> int | None:
        return count_contradicting(self.store, query)

    def events(self, query: Query) -> Iterable[Event]:
        return list_events(self.store, query.since, query.until, query.where)
