"""What a receiver does not take of events, each by itself: which it never will, and which it only did not take then.

An answer like 400 is the same for an event that a receiver finds wrong and for all that it is ever sent, as with a
wrong secret or while its program is a broken one. So an event is refused for good where the receiver has refused it,
taken another one, and refused it again. Until it takes another one, all of them wait.

The one that is taken is so ahead of others, and that is noted before anything else is sent: otherwise it might come
again in a post with others, and sums that had it would be told without it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from usage_tracker.report import Event
from usage_tracker.sinks.sink import Refused, Sink, parcel_of

MOST_REFUSED = 20
"""In a row; a receiver that refuses as many takes nothing for now. The next attempt looks at as many more."""
MOST_SUSPECTS = 500
"""Beyond so many in a row nobody looks: they are all sent again, and kept in memory."""


class Sifted(NamedTuple):
    """Events from the first that was refused by itself to one that was taken, or to where nobody looked any further."""

    places: int
    """How many they are, with those that were pruned."""
    taken: int
    refused: int
    state: bytes | None
    reason: Refused | None = None
    """Why the last was refused, where none was taken; None, too, where all of them were pruned."""


def sift(
    sink: Sink,
    places: Iterator[Event | None],
    state: bytes | None,
    before_each: Callable[[], None],
    suspects: int,
) -> Sifted:
    """Send events one by one until one is taken. `suspects`: so many places earlier attempts came to; of them only the
    first event is tried, so that no receiver is asked for more of them each time. Raises NotTaken, but not Refused."""
    count = refused = asked = 0
    reason = None
    for event in places:
        count += 1
        if event is None:
            continue
        if not refused or count > suspects:
            before_each()
            try:
                return Sifted(count, 1, refused, sink.send(parcel_of([event]), state))
            except Refused as refusal:
                reason = refusal
                asked += 1
        refused += 1
        if asked == MOST_REFUSED or refused == MOST_SUSPECTS:
            break
    return Sifted(count, 0, refused, state, reason)
