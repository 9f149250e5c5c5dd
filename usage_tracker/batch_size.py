"""How large a batch is: larger while there is a backlog, smaller while the store refuses an event of it."""

BACKLOG = 4
"""After so many full batches one after the other, batches are so many times larger: calls that share a row of a rollup
are more often in one batch then."""


class BatchSize:
    """Of the next batch, in events."""

    def __init__(self, usual: int) -> None:
        self.now = usual
        self.one_by_one = False
        """Whether calls that are alike are read one by one, as the store refuses one of them."""
        self._usual = usual
        self._full = 0
        """How many batches in a row were as large as they may be."""

    def stored(self, events: int) -> None:
        """Larger while there is a backlog; and again as large as it should be once a refused event is out."""
        self._full = self._full + 1 if events >= self.now else 0
        most = self._usual * (BACKLOG if self._full >= BACKLOG else 1)
        self.now = min(most, self.now * 2)
        self.one_by_one = self.one_by_one and self.now < self._usual

    def refused(self, events: int) -> None:
        """Half of what was refused, until the event at fault is alone."""
        self.now, self._full, self.one_by_one = max(1, events // 2), 0, True
