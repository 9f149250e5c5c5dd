"""What the leader does for sinks: a thread for each, with a connection of its own, so that a slow one delays nobody."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from usage_tracker.config import Settings
from usage_tracker.dsn import Dsn
from usage_tracker.errors import ConfigError, RightsError, StoreError, UsageTrackerError
from usage_tracker.guard import guarded
from usage_tracker.seldom import HOUR, Seldom
from usage_tracker.sink_addresses import SinkAddress
from usage_tracker.threads import start_lasting

if TYPE_CHECKING:
    from usage_tracker.sinks import Feeder
    from usage_tracker.stores import Store

logger = logging.getLogger("usage_tracker")

PAUSE_SECONDS = 1.0
"""Between two looks of who feeds a sink."""
STAND_BY_SECONDS = 10.0
"""Between two looks of others, and after an error that is not the receiver's."""
KEEP_SECONDS = 20.0
"""How often a feeder that rests says that the sink is its own: well within its lease."""
LAST_SECONDS = 1.0


class Feeding:
    """See Chore. Begins to feed when it is first called, which is when this process leads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pid = os.getpid()
        self._threads: dict[str, threading.Thread] = {}
        self._stopping = threading.Event()

    def load(self) -> None:
        """Import what the sinks take, where a fork waits for that. What is missing is said by its own thread."""
        if self._settings.sinks:
            from usage_tracker.sinks import load_sink

            for address in self._settings.sinks:
                with suppress(ConfigError):
                    load_sink(address)

    def __call__(self, store: "Store", *, last: bool = False) -> None:
        if not self._settings.sinks or self._settings.dsn is None:
            return
        if self._pid != os.getpid():  # a forked child, which has none of the threads
            self._pid, self._threads, self._stopping = os.getpid(), {}, threading.Event()
        if last:
            self._stop()
        else:
            self._start()

    def _start(self) -> None:
        assert self._settings.dsn is not None
        for address in self._settings.sinks:
            if address.name not in self._threads:
                feed = partial(feed_until, self._settings.dsn, address, self._settings, self._stopping)
                self._threads[address.name] = start_lasting(f"sink {address.name}", feed)

    def _stop(self) -> None:
        self._stopping.set()
        deadline = time.monotonic() + LAST_SECONDS
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))


def feed_until(dsn: Dsn, address: SinkAddress, settings: Settings, stopping: threading.Event) -> None:
    """Feed a sink for as long as nobody else does; what fails is tried again."""
    warning = Seldom(HOUR)
    while not stopping.is_set():
        with guarded(f"sink {address.name}"), opened(dsn, address, settings) as feeder:
            try:
                feed(feeder, stopping)
            except RightsError as error:
                if warning.due():
                    logger.warning("the sink %s is not fed from here: %s", address.name, error)
            except StoreError as error:
                logger.debug("the sink %s waits for the store: %s", address.name, error)
            except UsageTrackerError as error:
                logger.warning("%s", error)
                stopping.wait()
        stopping.wait(STAND_BY_SECONDS)


def feed(feeder: "Feeder", stopping: threading.Event) -> None:
    """Until somebody else does. Raises StoreError, and ConfigError where the sink can't be opened."""
    from usage_tracker.sinks import NotTaken

    while not stopping.is_set():
        try:
            if feeder.step():
                continue
        except NotTaken as reason:
            rest(feeder, feeder.delay(reason), stopping)
            continue
        if not feeder.feeds:
            return
        stopping.wait(PAUSE_SECONDS)


def rest(feeder: "Feeder", seconds: float, stopping: threading.Event) -> None:
    """Wait for the next attempt, which is nobody else's either meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not stopping.wait(min(left, KEEP_SECONDS)):
        with suppress(StoreError):
            feeder.keep()


@contextmanager
def opened(dsn: Dsn, address: SinkAddress, settings: Settings) -> "Iterator[Feeder]":
    """A feeder with a connection of its own, for a block."""
    from usage_tracker.sinks import Feeder, open_sink
    from usage_tracker.stores import open_store

    open_this = partial(open_sink, secret=settings.sink_secret)
    with closing(open_store(dsn)) as store, closing(Feeder(address, store, open_this)) as feeder:
        yield feeder


def feed_once(settings: Settings, report: Callable[[str], None]) -> bool:
    """Feed each sink all that has come by now, one after the other; whether all of them have it. Raises StoreError."""
    from usage_tracker.sinks import NotTaken

    assert settings.dsn is not None
    complete = True
    for address in settings.sinks:
        with opened(settings.dsn, address, settings) as feeder:
            try:
                while feeder.step():
                    continue
                if (problem := feeder.problem_of_another) is not None:
                    raise NotTaken(problem)
            except NotTaken as reason:
                complete = False
                report(f"The sink {address.name} is behind: {reason}.")
            except ConfigError as error:
                complete = False
                report(f"{error}.")
    return complete
