"""Taking old events out of a store. What the rollups know of them stays, and so do the ledger and the awaited calls;
what was noted of single ones (a price before it was changed, a sink's refusal) goes with them."""

from typing import NamedTuple


class Prunable(NamedTuple):
    """A part of the events that would go."""

    table: str
    """The table, or the partition, that they are in."""
    whole: bool
    """Whether all of it goes, which takes no longer for many events than for few."""
    events: int
    bytes: int
    """What they take on disk, their share of the indexes included; about, where only some of a table's rows go."""
