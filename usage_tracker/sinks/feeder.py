"""What brings one sink what has come: read, say what is about to be sent, send, say that it is taken.

A feeder that dies in between leaves what it was about to send in the ledger, and the next one sends the same again
under the same key. So a receiver that knows keys, or the ids of events, has each event once; any other has it at least
once.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from usage_tracker.errors import StoreError
from usage_tracker.report import Event
from usage_tracker.report.arrivals import Arrived, read_arrived
from usage_tracker.seldom import Seldom
from usage_tracker.sink_addresses import SinkAddress
from usage_tracker.sinks.ledger import (
    LEASE_SECONDS,
    Lost,
    Place,
    forget_batches,
    note,
    register,
    release,
    standings,
    take,
)
from usage_tracker.sinks.sifting import MOST_REFUSED, sift
from usage_tracker.sinks.sink import NotTaken, Parcel, Refused, Sink, parcel_of
from usage_tracker.stores import Store
from usage_tracker.stores.claims import make_claim

logger = logging.getLogger("usage_tracker")

FIRST_RETRY = 1.0
LONGEST_RETRY = 300.0
QUIET_SECONDS = 300.0
TIDY_SECONDS = 600.0
REST_SECONDS = 5.0
"""Without an event, after which a sink keeps nothing open."""
WELL = 8
"""So many parcels are taken in a row before the next ones are twice as large, where larger ones were refused."""


class Feeder:
    """Feeds one sink, as long as nobody else does. Not thread-safe."""

    def __init__(self, address: SinkAddress, store: Store, open_sink: Callable[[SinkAddress], Sink]) -> None:
        self.address = address
        self.failures = 0
        """Attempts in a row that the receiver did not take."""
        self._store = store
        self._open_sink = open_sink
        self._sink: Sink | None = None
        self._claim = make_claim()
        self._place: Place | None = None
        self._lease_until = 0.0
        self._arrived: Arrived | None = None
        self._taken = 0
        """Parcels in a row that were taken."""
        self._refused_first: int | None = None
        """How many places the largest of the parcels had that were refused since another answer, or none, came."""
        self._takes = False
        """Whether it took an event after it refused others, and has answered all that it was sent since."""
        self._problem = True
        """Whether the ledger may name one."""
        self._sent_at = time.monotonic()
        self._warning = Seldom(QUIET_SECONDS)
        self._refusal = Seldom(QUIET_SECONDS)
        self._tidy_at = 0.0

    @property
    def feeds(self) -> bool:
        """Whether the sink is ours."""
        return self._place is not None

    @property
    def problem_of_another(self) -> str | None:
        """Why who else feeds the sink is behind; None where nobody else does, or the receiver takes what comes. Raises
        StoreError."""
        if self.feeds:
            return None
        found = {standing.name: standing for standing in standings(self._store)}.get(self.address.name)
        return found.problem if found is not None and found.waiting else None

    def step(self) -> bool:
        """Send one parcel; whether there may be more. False, too, where somebody else feeds the sink. Raises NotTaken,
        StoreError, and ConfigError where the sink can't be opened."""
        try:
            return self._step()
        except Lost:
            self._place = self._arrived = None
            return False
        except NotTaken as reason:
            self._refused_first, self._takes = None, False
            self.failures += 1
            self._say(str(reason))
            raise

    def _step(self) -> bool:
        place = self._held()
        if place is None:
            return False
        if self._sink is None:
            self._sink = self._open_sink(self.address)
        if self._arrived is None:
            self._arrived = read_arrived(self._store, place.arrival, place.until, self._sink.most)
        arrived = self._arrived
        if arrived is None:
            self._repeat(self._sink, place)
            self._tidy()
            if time.monotonic() >= self._sent_at + REST_SECONDS:
                self._sink.rest()
            return False
        if place.until is None:
            state = place.state
            if state is None and self._sink.repeats is not None:  # since when it is told sums, which stays so
                state = self._sink.send(Parcel("", []), None)
            place = place._replace(until=arrived.until, state=state)
            self._note(place)
        if place.ahead:
            self._ask_again(self._sink, place, arrived)
            return True
        if place.at_once == 1:
            self._sift(self._sink, place)
            return True
        came = arrived.places[place.done : place.done + (place.at_once or self._sink.most)]
        events = [event for event in came if event is not None]
        state = place.state
        if events:
            try:
                state = self._sink.send(parcel_of(events), place.state)
            except Refused:
                self._taken = 0
                self._refused_first = self._refused_first or len(came)
                self._note(place._replace(at_once=max(1, len(events) // 2)))
                return True
            place = place._replace(at_once=self._more_again(self._sink, place.at_once))
        self._go_on(place, arrived, len(came), state, sent=len(events))
        return True

    def _go_on(
        self,
        place: Place,
        arrived: Arrived,
        places: int,
        state: bytes | None,
        *,
        sent: int,
        refused: Sequence[tuple[str, str]] = (),
    ) -> None:
        suspects = max(0, place.suspects - places)
        place = place._replace(done=place.done + places, state=state, suspects=suspects)
        if place.done >= len(arrived.places):
            self._arrived = None
            place = place._replace(arrival=arrived.until, until=None, done=0)
        self._note(place, sent=sent, refused=refused)

    def _more_again(self, sink: Sink, at_once: int | None) -> int | None:
        """How many come next. Some were taken: it may have been a single event for which more were refused."""
        self._taken += 1
        if at_once is None or self._taken < WELL:
            return at_once
        self._taken = 0
        return at_once * 2 if at_once * 2 < sink.most else None

    def _sift(self, sink: Sink, place: Place) -> None:
        """Find out of events one by one whether the receiver takes them. Raises NotTaken where it takes none."""
        sifted = sift(sink, self._from(place.done), place.state, self._keep, place.suspects)
        assert self._place is not None
        assert self._arrived is not None
        if sifted.reason is not None:  # how many were sent was not why, and the largest parcel may have been taken once
            at_once = self._refused_first or place.at_once
            self._note(self._place._replace(at_once=at_once, suspects=sifted.places))
            raise sifted.reason
        place = self._place._replace(at_once=self._more_again(sink, place.at_once), suspects=0)
        if sifted.refused:
            self._takes = True
            self._note(place._replace(ahead=sifted.places - 1, state=sifted.state), sent=sifted.taken)
        else:
            self._go_on(place, self._arrived, sifted.places, sifted.state, sent=sifted.taken)

    def _ask_again(self, sink: Sink, place: Place, arrived: Arrived) -> None:
        """Send the first of those again that were refused before another one was taken. Raises NotTaken."""
        places, event = 0, None
        while event is None and places < place.ahead:
            event = arrived.places[place.done + places]
            places += 1
        state = place.state
        refused = []
        if event is not None:
            try:
                state = sink.send(parcel_of([event]), state)
            except Refused as refusal:
                if not self._takes:
                    self._ask_about_taken(sink, arrived.places[place.done + place.ahead], state)
                refused.append((str(event["event_id"]), str(refusal)))
        sent = 0 if event is None or refused else 1
        place = place._replace(ahead=place.ahead - places)
        self._go_on(place, arrived, places if place.ahead else places + 1, state, sent=sent, refused=refused)
        if refused:
            self._say_refused(*refused[0])

    def _ask_about_taken(self, sink: Sink, event: Event | None, state: bytes | None) -> None:
        """Send once more what was taken ahead: the receiver may refuse everything by now. Raises NotTaken."""
        if sink.repeats is not None:
            sink.send(Parcel("", []), state)
        elif event is not None:
            sink.send(parcel_of([event]), state)
        self._takes = True

    def _from(self, start: int) -> Iterator[Event | None]:
        """What is to be sent from there on, and what has come since then."""
        arrived, place = self._arrived, self._place
        while arrived is not None and place is not None:
            yield from arrived.places[start:]
            start = len(arrived.places)
            if (more := read_arrived(self._store, arrived.until, None, MOST_REFUSED)) is None:
                return
            self._arrived = arrived = Arrived(more.until, arrived.places + more.places)
            place = place._replace(until=more.until)
            self._note(place)

    def _held(self) -> Place | None:
        """Where the sink is, if it is ours."""
        if self._place is not None and time.monotonic() > self._lease_until:
            self._place = self._arrived = None
        if self._place is None:
            register(self._store, self.address)
            self._place = take(self._store, self.address.name, self._claim)
            self._refused_first, self._takes = None, False
            self._renewed()
        return self._place

    def _note(self, place: Place, *, sent: int = 0, refused: Sequence[tuple[str, str]] = ()) -> None:
        changes: dict[str, object] = place._asdict()
        if self._place is not None and place.state is self._place.state:
            del changes["state"]  # which may be large
        if sent:
            changes |= {"sent_at": time.time(), "problem": self._remark()}
            self._sent_at = time.monotonic()
            self.failures = 0
            self._refused_first = None
            self._problem = changes["problem"] is not None
        note(self._store, self.address.name, self._claim, changes, sent, refused)
        self._place = place
        self._renewed()

    def _renewed(self) -> None:
        self._lease_until = time.monotonic() + LEASE_SECONDS / 2

    def _repeat(self, sink: Sink, place: Place) -> None:
        """Tell again what was told, to those who would forget it."""
        if sink.repeats is not None and time.monotonic() >= self._sent_at + sink.repeats:
            sink.send(Parcel("", []), place.state)
            self._sent_at = time.monotonic()
            self.failures = 0
            remark = self._remark()
            if self._problem or remark is not None:
                note(self._store, self.address.name, self._claim, {"problem": remark})
                self._problem = remark is not None

    def _remark(self) -> str | None:
        """What there is to say of what was taken."""
        remark = None if self._sink is None else self._sink.remark
        if remark is not None and self._warning.due():
            logger.warning("the sink %s lacks a part: %s", self.address.name, remark)
        return remark

    def _tidy(self) -> None:
        if time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + TIDY_SECONDS
            forget_batches(self._store)

    def _say(self, problem: str) -> None:
        if self._warning.due():
            logger.warning("the sink %s is behind, and is tried again: %s", self.address.name, problem)
        self._problem = True
        with suppress(StoreError, Lost):
            note(self._store, self.address.name, self._claim, {"problem": problem})
            self._renewed()

    def _say_refused(self, event_id: str, reason: str) -> None:
        if self._refusal.due():
            logger.warning(
                "the sink %s goes on without the event %s, which its receiver refuses: %s; "
                "`usage-tracker sinks refused %s` lists them all",
                self.address.name, event_id, reason, self.address.name,
            )  # fmt: skip

    def delay(self, reason: NotTaken) -> float:
        """Seconds until the next attempt."""
        backed_off: float = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(self.failures - 1, 10))
        jittered = backed_off * random.uniform(0.5, 1.0)  # noqa: S311  jitter
        return jittered if reason.after is None else min(LONGEST_RETRY, max(jittered, reason.after))

    def keep(self) -> None:
        """Keep the sink, if it is ours: who is let in while it rests would try at once. Raises StoreError."""
        if self._place is not None:
            try:
                self._keep()
            except Lost:
                self._place = self._arrived = None

    def _keep(self) -> None:
        """Raises StoreError, and Lost."""
        note(self._store, self.address.name, self._claim, {})
        self._renewed()

    def close(self) -> None:
        """Let the sink go."""
        if self._place is not None:
            with suppress(StoreError):
                release(self._store, self.address.name, self._claim)
            self._place = self._arrived = None
        if self._sink is not None:
            self._sink.close()
            self._sink = None
