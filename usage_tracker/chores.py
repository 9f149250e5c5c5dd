"""What a leader does beside shipping, as one chore."""

from typing import NamedTuple

from usage_tracker.shipper import Chore
from usage_tracker.stores import Store


class Chores(NamedTuple):
    """See Chore. The last may raise StoreError; those before it say by themselves what went wrong."""

    each: tuple[Chore, ...]

    def load(self) -> None:
        for chore in self.each:
            chore.load()

    def __call__(self, store: Store, *, last: bool = False) -> None:
        """Raises StoreError."""
        for chore in self.each:
            chore(store, last=last)
