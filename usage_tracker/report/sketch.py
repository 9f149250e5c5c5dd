"""Sketches of how long calls took: how many of them are in each bucket of latency. They add up, percentiles don't."""

from collections.abc import Mapping
from math import ceil

BASE = 1.04
"""A bucket ends at so many times where it starts, so a percentile is within 2 %. See `latency_bucket`."""


class Sketch(dict[int, int]):
    """Buckets and the calls in each."""

    __slots__ = ()

    def __add__(self, other: Mapping[int, int]) -> "Sketch":
        found = Sketch(self)
        for bucket, calls in other.items():
            found[bucket] = found.get(bucket, 0) + calls
        return found

    def percentile(self, percent: int) -> float | None:
        """What so many percent of the calls took at most, in milliseconds to three digits; None where none is timed."""
        if not self:
            return None
        calls = sum(self.values())
        wanted = ceil(calls * percent / 100)
        for bucket in sorted(self):
            wanted -= self[bucket]
            if wanted <= 0:
                return float(f"{middle(bucket):.3g}")
        return None


def middle(bucket: int) -> float:
    """The figure that is nearest to all of a bucket, by their ratio; a millisecond for all that is no longer."""
    return 2 * BASE**bucket / (1 + BASE) if bucket else 1.0
