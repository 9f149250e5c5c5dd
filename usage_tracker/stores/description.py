"""What a store is like right now, for those who look after it."""

from datetime import datetime
from typing import NamedTuple


class Partition(NamedTuple):
    """One of Postgres's partitions of the events."""

    name: str
    since: datetime | None
    """None: the default one, for what belongs to no other."""
    until: datetime | None
    bytes: int


class Description(NamedTuple):
    """See the module."""

    server: str
    """Its name and version."""
    now: datetime
    """By its own clock."""
    bytes: int
    """All that it takes on disk."""
    unfolded: int
    """Rows that wait to be folded into the rollups; every report reads them one by one."""
    partitions: list[Partition]
    """None in SQLite."""
    read_only: bool = False
    """Whether it stores nothing, as a replica of Postgres."""
