"""What runs once there is something to record: recorder → journal → shipper; start, stop and fork of those.

Loaded when the app imports an SDK that is patched, or records a call itself: before that an app pays for none of it.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from usage_tracker.attribution import Attribution, clean_tags
from usage_tracker.capture import Recorder, finish_open_calls
from usage_tracker.capture.stainless import AroundRequest, Wrapper, around_response
from usage_tracker.config import Dsn, Settings, default_spool
from usage_tracker.event import Cost, Origin, UsageEvent
from usage_tracker.guard import guarded
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.segment import ANY_STORE
from usage_tracker.patching import ChokePoint
from usage_tracker.shipper import Shipper
from usage_tracker.shipping import Shipping

if TYPE_CHECKING:
    from usage_tracker.pricing import Pricer
    from usage_tracker.stores import Store

logger = logging.getLogger("usage_tracker")


def open_spool(settings: Settings) -> Spool:
    """The spool folder of these settings."""
    identity = bytes.fromhex(settings.dsn.identity) if settings.dsn else ANY_STORE
    return Spool(settings.spool_dir, identity, settings.spool_max_bytes)


@cache
def pricer() -> "Pricer":
    """One pricer for the process, with its memory of prices."""
    from usage_tracker.pricing import Pricer

    return Pricer()


def make_shipper(settings: Settings, dsn: Dsn, journal: Journal | None = None) -> Shipper:
    """What ships this spool; driver and price data are imported when the first event is."""

    def open_settings_store() -> "Store":
        from usage_tracker.stores import open_store

        return open_store(dsn)

    class LazyPricer:
        """Price data takes 100 ms to import: not before there is something to price."""

        def price(self, origin: Origin, event: UsageEvent) -> Cost:
            return pricer().price(origin, event)

    spool = journal.spool if journal else open_spool(settings)
    return Shipper(spool, open_settings_store, LazyPricer(), settings.batch_size, journal)


class Pipeline:
    """The way of this process's events, from a finished call to the store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        default = Attribution(
            settings.project, settings.team, settings.user, settings.session, clean_tags(settings.tags)
        )
        self.journal = Journal(open_spool(settings))
        self.shipping: Shipping | None = None
        if settings.ship and settings.dsn:
            shipper = make_shipper(settings, settings.dsn, self.journal)
            self.shipping = Shipping(shipper, self.journal, settings.batch_seconds)
        self._start_lock = threading.Lock()
        self._started = False
        self._default = default
        self.recorder = self._recorder()
        self._request_wrapper = cache(self._make_request_wrapper)

    def wrapper(self, point: ChokePoint) -> Wrapper:
        """What goes around that function of an SDK."""
        return around_response if point.role == "response" else self._request_wrapper(point.sdk)

    def _make_request_wrapper(self, sdk: str) -> Wrapper:
        provider = import_module(f"usage_tracker.providers.{sdk}")
        settings = self.settings
        return AroundRequest(provider, self.recorder, settings.fingerprint_key, settings.stream_usage)

    def _recorder(self) -> Recorder:
        settings = self.settings
        return Recorder(self.keep, app=settings.app, host=settings.host, pid=os.getpid(), default=self._default)

    def keep(self, origin: Origin, event: UsageEvent) -> None:
        """Into the journal; the first event of a process starts its thread."""
        self.journal.append(origin, event)
        if not self._started:
            self._start()

    def _start(self) -> None:
        with self._start_lock:
            if self._started:
                return
            self._started = True
            if self.shipping:
                self._take_over_unassigned()
                try:
                    self.shipping.start()
                except RuntimeError:
                    logger.debug("no thread can start at interpreter shutdown; the journal keeps what is captured now")
            stop_with_multiprocessing(self.stop)

    def _take_over_unassigned(self) -> None:
        """Events that waited because this app's DSN could not be used."""
        with guarded("take over"):
            self.journal.spool.take_over(default_spool(None, self.settings.app))

    def flush(self, timeout: float) -> bool:
        """Whether everything captured so far was in the store before the timeout, in seconds."""
        deadline = time.monotonic() + timeout
        while not self.journal.drained():
            if time.monotonic() >= deadline:
                return False
            if self.shipping:
                self.shipping.wake()
            else:
                self.journal.spool.ring()
            time.sleep(0.005)
        return True

    def stop(self) -> None:
        """End open calls, ship what there is within the exit timeout, say what is left."""
        deadline = time.monotonic() + self.settings.exit_timeout
        with guarded("stop"):
            finish_open_calls()
            self.journal.close()
            if self._started and self.shipping:
                self.shipping.stop(deadline)
            left = self.journal.pending()
            if left and self.shipping:
                logger.warning(
                    "%d events wait in %s; the next process ships them, or `usage-tracker ship --once` does",
                    left, self.settings.spool_dir,
                )  # fmt: skip

    def after_fork(self) -> None:
        """In the child: a journal and a thread of its own, at its first event."""
        with guarded("fork"):
            self.journal.forget()
            if self.shipping:
                self.shipping.forget()
            self._started = False
            self._start_lock = threading.Lock()
            fresh = self._recorder()
            self.recorder.origin = fresh.origin


def stop_with_multiprocessing(stop: Callable[[], None]) -> None:
    """A multiprocessing child leaves by os._exit, past atexit; its own list of finalizers is run."""
    process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if process and util and process.parent_process() is not None:
        util.Finalize(None, stop, exitpriority=10)
