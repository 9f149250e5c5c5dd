"""What a sink is: a receiver that gets each event as it comes into the store."""

from http import HTTPStatus
from typing import NamedTuple, Protocol

from usage_tracker.errors import UsageTrackerError
from usage_tracker.report import Event


class NotTaken(UsageTrackerError):
    """Why a receiver did not take events; it is asked again. Without secrets, and nothing of what it answered."""

    def __init__(self, sentence: str, after: float | None = None) -> None:
        super().__init__(sentence)
        self.after = after
        """Seconds, where the receiver said when to come again."""


class Refused(NotTaken):
    """A receiver doesn't take what there is in a post, as it might another one: what it finds wrong may be one event
    of many, how many they are, or all that it is ever sent."""


class Parcel(NamedTuple):
    """Events that are sent together."""

    key: str
    """The same whenever the same events are sent again, and no other parcel's."""
    events: list[Event]


def parcel_of(events: list[Event]) -> Parcel:
    """Of one event at least."""
    return Parcel(f"{events[0]['event_id']}-{len(events)}", events)


REFUSED = frozenset((HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY))
"""What HTTP's answers say of the post itself; other ones say that the receiver, or its address, isn't right now."""


def not_taken(shown: str, status: int, after: float | None) -> NotTaken:
    """What an answer other than a 2xx means."""
    return (Refused if status in REFUSED else NotTaken)(f"{shown} answered {status}", after)


class Sink(Protocol):
    """One receiver. Used by one thread."""

    most: int
    """How many events it takes at once."""
    repeats: float | None
    """After so many seconds without an event it gets an empty parcel, and before its first event one that gives it a
    state; None: never."""
    remark: str | None
    """What it made of the latest parcel, where it took a part of it, as a sentence without secrets."""

    def send(self, parcel: Parcel, state: bytes | None) -> bytes | None:
        """Send the events; they are taken when it returns, within ATTEMPT_SECONDS. What it returns is kept with the
        sink's place in the order of events, and is `state` the next time. Raises NotTaken: Refused where
        others, or fewer, may be taken."""

    def rest(self) -> None:
        """Nothing has come for a while: close what is open. What comes then is sent as ever."""

    def close(self) -> None: ...


ATTEMPT_SECONDS = 20.0
