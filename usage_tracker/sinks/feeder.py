"""What brings one sink what has come: read, say what is about to be sent, send, say that it is taken.

A feeder that dies in between leaves what it was about to send in the ledger, and the next one sends the same again
under the same key. So a receiver that knows keys, or the ids of events, has each event once; any other has it at least
once.
"""

import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress

from usage_tracker.errors import StoreError
from usage_tracker.report.arrivals import Arrived, read_arrived
from usage_tracker.sink_addresses import SinkAddress
from usage_tracker.sinks.ledger import LEASE_SECONDS, Lost, Place, forget_batches, note, register, release, take
from usage_tracker.sinks.sink import NotTaken, Parcel, Sink, TooMuch
from usage_tracker.stores import Store
from usage_tracker.stores.claims import make_claim

logger = logging.getLogger("usage_tracker")

FIRST_RETRY = 1.0
LONGEST_RETRY = 300.0
QUIET_SECONDS = 300.0
TIDY_SECONDS = 600.0


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
        self._problem = True
        """Whether the ledger may name one."""
        self._sent_at = time.monotonic()
        self._quiet_until = 0.0
        self._tidy_at = 0.0

    @property
    def feeds(self) -> bool:
        """Whether the sink is ours."""
        return self._place is not None

    def step(self) -> bool:
        """Send one parcel; whether there may be more. False, too, where somebody else feeds the sink. Raises NotTaken,
        StoreError, and ConfigError where the sink can't be opened."""
        try:
            return self._step()
        except Lost:
            self._place = self._arrived = None
            return False
        except NotTaken as reason:
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
            return False
        if place.until is None:
            place = place._replace(until=arrived.until)
            self._note(place)
        came = arrived.places[place.done : place.done + self._sink.most]
        events = [event for event in came if event is not None]
        state = place.state
        if events:
            try:
                state = self._sink.send(Parcel(f"{events[0]['event_id']}-{len(events)}", events), place.state)
            except TooMuch:
                if len(events) == 1:
                    raise
                self._sink.most = len(events) // 2
                return True
        done = place.done + len(came)
        if done >= len(arrived.places):
            self._arrived = None
            self._note(Place(arrived.until, None, 0, state), sent=len(events))
        else:
            self._note(place._replace(done=done, state=state), sent=len(events))
        return True

    def _held(self) -> Place | None:
        """Where the sink is, if it is ours."""
        if self._place is not None and time.monotonic() > self._lease_until:
            self._place = self._arrived = None
        if self._place is None:
            register(self._store, self.address)
            self._place = take(self._store, self.address.name, self._claim)
            self._renewed()
        return self._place

    def _note(self, place: Place, *, sent: int = 0) -> None:
        changes: dict[str, object] = {"arrival": place.arrival, "until": place.until, "done": place.done}
        if self._place is None or place.state is not self._place.state:
            changes["state"] = place.state
        if sent:
            changes |= {"sent_at": time.time(), "problem": None}
            self._sent_at = time.monotonic()
            self.failures = 0
            self._problem = False
        note(self._store, self.address.name, self._claim, changes, sent)
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
            if self._problem:
                note(self._store, self.address.name, self._claim, {"problem": None})
                self._problem = False

    def _tidy(self) -> None:
        if time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + TIDY_SECONDS
            forget_batches(self._store)

    def _say(self, problem: str) -> None:
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            logger.warning("the sink %s is behind, and is tried again: %s", self.address.name, problem)
        self._problem = True
        with suppress(StoreError, Lost):
            note(self._store, self.address.name, self._claim, {"problem": problem})
            self._renewed()

    def delay(self, reason: NotTaken) -> float:
        """Seconds until the next attempt."""
        backed_off: float = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(self.failures - 1, 10))
        jittered = backed_off * random.uniform(0.5, 1.0)  # noqa: S311  jitter
        return jittered if reason.after is None else min(LONGEST_RETRY, max(jittered, reason.after))

    def keep(self) -> None:
        """Keep the sink, if it is ours: who is let in while it rests would try at once. Raises StoreError."""
        if self._place is not None:
            try:
                note(self._store, self.address.name, self._claim, {})
            except Lost:
                self._place = self._arrived = None
            else:
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
