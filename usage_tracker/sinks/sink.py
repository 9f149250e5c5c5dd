"""What a sink is: a receiver that gets each event as it comes into the store."""

from typing import NamedTuple, Protocol

from usage_tracker.errors import UsageTrackerError
from usage_tracker.report import Event


class NotTaken(UsageTrackerError):
    """Why a receiver did not take events; it is asked again. Without secrets, and nothing of what it answered."""

    def __init__(self, sentence: str, after: float | None = None) -> None:
        super().__init__(sentence)
        self.after = after
        """Seconds, where the receiver said when to come again."""


class TooMuch(NotTaken):
    """A receiver takes events, but not so many in one post."""


class Parcel(NamedTuple):
    """Events that are sent together."""

    key: str
    """The same whenever the same events are sent again, and no other parcel's."""
    events: list[Event]


class Sink(Protocol):
    """One receiver. Used by one thread."""

    most: int
    """How many events it takes at once; less from when it said TooMuch."""
    repeats: float | None
    """After so many seconds without an event it gets an empty parcel; None: never."""

    def send(self, parcel: Parcel, state: bytes | None) -> bytes | None:
        """Send the events; they are taken when it returns, within ATTEMPT_SECONDS. What it returns is kept with the
        sink's place in the order of events, and is `state` the next time. Raises NotTaken, and TooMuch where fewer
        may be taken."""

    def close(self) -> None: ...


ATTEMPT_SECONDS = 20.0
