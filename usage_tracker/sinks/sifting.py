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
"""In a row; a receiver that refuses as many takes nothing for now. The next attempt looks at as many more."""
MOST_SUSPECTS = 500
"""Beyond so many in a row nobody looks: they are sent again in one go, and kept in memory."""


class Sifted(NamedTuple):
    """Events from the first that was refused by itself to one that was taken."""

    places: int
    """How many they are, with those that were pruned."""
    taken: int
    refused: list[tuple[str, str]]
    """Those that are refused for good: id and reason."""
    state: bytes | None


def sift(
    sink: Sink,
    places: Iterator[Event | None],
    state: bytes | None,
    before_each: Callable[[], None],
    refused_before: set[str],
) -> Sifted:
    """Send events one by one until one is taken, and those before it again. `refused_before`: the ids of what earlier
    attempts came to; of them only the first is tried, so that no receiver is asked for more of them each time. Raises
    NotTaken, where none is taken."""
    suspects: list[Event] = []
    count = asked = taken = 0
    reason = None
    for event in places:
        count += 1
        if event is None:
            continue
        if not suspects or event["event_id"] not in refused_before:
            before_each()
            try:
                state = sink.send(parcel_of([event]), state)
                taken = 1
                break
            except Refused as refusal:
                reason = refusal
                refused_before.add(event["event_id"])
                asked += 1
        suspects.append(event)
        if asked == MOST_REFUSED or len(suspects) == MOST_SUSPECTS:
            break
    if reason is not None and not taken:
        raise reason
    refused = []
    for event in suspects:
        before_each()
        try:
            state = sink.send(parcel_of([event]), state)
        except Refused as refusal:
            refused.append((str(event["event_id"]), str(refusal)))
    return Sifted(count, taken + len(suspects) - len(refused), refused, state)
