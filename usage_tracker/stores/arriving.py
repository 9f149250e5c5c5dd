"""What tells, while there is a sink, which events came into a store together."""

from collections.abc import Iterable
from itertools import pairwise

NEAR = 10_000_000
"""Microseconds. Events that are so near to each other are read in one go."""
SPANS_AT_MOST = 16


def spans_of(started: Iterable[int]) -> str:
    """When events started, in as few spans as hold little else: `since:until,…`, microseconds since 1970, both of them
    included."""
    instants = sorted(started)
    gaps = sorted((later - earlier for earlier, later in pairwise(instants) if later - earlier > NEAR), reverse=True)
    least = gaps[SPANS_AT_MOST - 1] if len(gaps) >= SPANS_AT_MOST else NEAR
    spans = [[instants[0], instants[0]]]
    for instant in instants:
        if instant - spans[-1][1] > least:
            spans.append([instant, instant])
        spans[-1][1] = instant
    return ",".join(f"{since}:{until}" for since, until in spans)


def read_spans(text: str) -> list[tuple[int, int]]:
    return [(int(since), int(until)) for since, _, until in (span.partition(":") for span in text.split(","))]
