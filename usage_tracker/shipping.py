"""The background thread of a process: when to ship, when to rest, when to stop."""

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from usage_tracker.errors import SchemaTooNew, StoreError, StoreLost
from usage_tracker.guard import guarded
from usage_tracker.journal import Journal
from usage_tracker.journal.folder import SpoolUnusable
from usage_tracker.seldom import Seldom
from usage_tracker.shipper import Shipper
from usage_tracker.threads import start_lasting

logger = logging.getLogger("usage_tracker")

YOUNG_SECONDS = 5.0
"""A process is young while its first events should be seen at once."""
YOUNG_PAUSE = 0.05
STAND_BY_SECONDS = 1.0
LONGEST_BACK_OFF = 30.0


class Shipping:
    """The background thread of a process: leads and ships, or follows and stands by."""

    def __init__(
        self, shipper: Shipper, journal: Journal, batch_seconds: float, look: Callable[[], None] = lambda: None
    ) -> None:
        self.shipper = shipper
        self._journal = journal
        self._batch_seconds = batch_seconds
        self._look = look
        """What else is looked at with each round."""
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._deadline = 0.0
        """When it has to have stopped, by the monotonic clock."""
        self._thread: threading.Thread | None = None
        self._young_until = 0.0
        self._failures = 0
        self._retry_at = 0.0
        self._gave_up = False
        """Whether only other processes can ship."""
        self._outdated = False
        """Whether a process of a newer version can ship, by the last try here."""
        self._warning = Seldom()

    def start(self) -> None:
        """Start the thread, once. Raises RuntimeError at interpreter shutdown, when no thread can start any more."""
        if self._thread is None:
            self._young_until = time.monotonic() + YOUNG_SECONDS
            self._thread = start_lasting("shipper", self._run)

    def wake(self) -> None:
        """Ship now: this process's thread, or the leader elsewhere."""
        self._wake.set()
        self.shipper.spool.bell.ring()

    def resting(self) -> bool:
        """Whether the store was away a moment ago, and is left alone for now."""
        return time.monotonic() < self._retry_at

    def stop(self, deadline: float) -> bool:
        """Ship what is left until `deadline` (monotonic); whether the thread has ended."""
        if self._thread is None:
            return True
        self.stop_by(deadline)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def stop_by(self, deadline: float) -> None:
        """As `stop`, without waiting for the thread."""
        self._deadline = deadline
        self._stop.set()
        self.wake()

    def _run(self) -> None:
        self._thread = threading.current_thread()  # who started it may have been interrupted
        process = os.getpid()
        while not self._stop.is_set():
            if os.getpid() != process:
                rest_for_ever()
            completed = False
            with guarded("ship"):
                self._round()
                completed = True
            if not completed:
                self._stop.wait(STAND_BY_SECONDS)
        with guarded("last shipment"):
            self._last_rounds()
        with guarded("stop shipping"):
            self.shipper.close()

    def _leads(self) -> bool:
        """Whether this process ships the folder; nobody does where the folder can't be used."""
        if self._gave_up or (self._outdated and self.resting()):
            return False
        with suppress(OSError, SpoolUnusable):
            return self.shipper.spool.lead()
        return False

    def _round(self) -> None:
        pause = YOUNG_PAUSE if time.monotonic() < self._young_until else self._batch_seconds
        self._journal.put_on_disk()
        self._look()
        if self._leads():
            if self._ship(leading=True):
                return
            if not self.shipper.spool.bell.listen(pause):
                self._wake.wait(pause)
        else:
            if self._journal.only_in_memory() and self._ship(leading=False):
                return
            if pause == YOUNG_PAUSE and not self._journal.drained():
                self.shipper.spool.bell.ring()
            self._wake.wait(min(pause, STAND_BY_SECONDS))
        self._wake.clear()

    def _last_rounds(self) -> None:
        """What is there when the process ends, and, for a follower, the moment that the leader needs to fetch it."""
        while not self._journal.drained() and time.monotonic() < self._deadline and self._failures == 0:
            if self._leads():
                self._ship(leading=True)
            elif not (self._journal.only_in_memory() and self._ship(leading=False)):
                leader = self.shipper.spool.leader()
                if not leader.ships if leader else self._gave_up:
                    return
                self.shipper.spool.bell.ring()
                time.sleep(0.01)
        if self._leads():
            self._ship(leading=True)  # deletes what has ended and is stored

    def _ship(self, *, leading: bool) -> bool:
        """Ship one batch, unless the store needs a rest; whether more is waiting."""
        if self.resting():
            return False
        try:
            more = self.shipper.step(leading=leading)
        except StoreLost as error:
            self._give_up(error)
            return False
        except StoreError as error:
            self._rest(error)
            return False
        if self._failures:
            self._failures, self._outdated = 0, False
            self.shipper.last_error = None
            self.shipper.spool.say("leading")
            logger.warning("the store is back; events are shipped again")
        return more

    def _give_up(self, error: StoreLost) -> None:
        """Let another process lead."""
        self._gave_up = True
        self.shipper.last_error = str(error)
        self.shipper.resign()
        logger.warning("%s", error)

    def _rest(self, error: StoreError) -> None:
        """Back off with jitter, say so at most once a minute, and tell followers not to wait for us; one whose version
        is newer may lead meanwhile."""
        self._failures += 1
        self._retry_at = time.monotonic() + back_off(self._failures)
        self._outdated = isinstance(error, SchemaTooNew)
        self.shipper.last_error = str(error)
        self.shipper.spool.say("waiting")
        if self._outdated:
            self.shipper.resign()
        if self._warning.due():
            logger.warning("events wait in the journal: %s", error)

    def forget(self) -> None:
        """In a forked child: there is no thread here, and nothing of the parent's is ours."""
        self.__dict__.update(Shipping(self.shipper, self._journal, self._batch_seconds, self._look).__dict__)


def rest_for_ever() -> None:
    """What a greenlet does in a forked child: that has its parent's as well, and one of its own that ships. It can't
    end, as `threading` knows nothing of it any more, and would print an error."""
    threading.Event().wait()


def back_off(failures: int) -> float:
    """How long to leave a store alone after so many failures in a row, in seconds; not all in step."""
    return min(LONGEST_BACK_OFF, 0.25 * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311  jitter
