"""What a receiver does not take of events, each by itself: which it never will, and which it only did not take then.

An answer like 400 is the same for an event that a receiver finds wrong and for all that it is ever sent, as with a
wrong secret or while its program is a broken one. So an event is refused for good where the receiver has refused it,
taken another one, and refused it again. Until it takes another one, all of them wait.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from usage_tracker.report import Event
from usage_tracker.sinks.sink import Refused, Sink, parcel_of

MOST_REFUSED = 20
"""In a row; a receiver that refuses as many takes nothing for now."""


class Sifted(NamedTuple):
    """Events from the first that was refused by itself to one that was taken."""

    places: int
    """How many they are, with those that were pruned."""
    taken: int
    refused: list[tuple[str, str]]
    """Those that are refused for good: id and reason."""
    state: bytes | None


def sift(sink: Sink, places: Iterator[Event | None], state: bytes | None, before_each: Callable[[], None]) -> Sifted:
    """Send events one by one until one is taken, and those before it again. Raises NotTaken, where none is taken."""
    suspects: list[Event] = []
    count = 0
    reason = None
    for event in places:
        count += 1
        if event is None:
            continue
        before_each()
        try:
            state = sink.send(parcel_of([event]), state)
            break
        except Refused as refusal:
            reason = refusal
            suspects.append(event)
            if len(suspects) == MOST_REFUSED:
                raise
    else:
        if reason is not None:
            raise reason
        return Sifted(count, 0, [], state)
    refused = []
    for event in suspects:
        before_each()
        try:
            state = sink.send(parcel_of([event]), state)
        except Refused as refusal:
            refused.append((str(event["event_id"]), str(refusal)))
    return Sifted(count, 1 + len(suspects) - len(refused), refused, state)
