"""What runs once there is something to record: recorder → journal → shipper; start, stop and fork of those.

Loaded when the app imports an SDK that is patched, or records a call itself: before that an app pays for none of it.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from usage_tracker.attribution import Attribution
from usage_tracker.budgeting import Budgeting
from usage_tracker.capture import Recorder, Wrapper, finish_open_calls, open_calls
from usage_tracker.capture.tracked_proxy import mark_of
from usage_tracker.choke_points import ChokePoint
from usage_tracker.chores import Chores
from usage_tracker.config import Settings
from usage_tracker.dsn import Dsn
from usage_tracker.enforcing import Enforcing
from usage_tracker.event import CallKind, Origin, UsageEvent
from usage_tracker.exporting import Exporting
from usage_tracker.feeding import Feeding
from usage_tracker.folders import unassigned_spool
from usage_tracker.guard import guarded
from usage_tracker.host_reports import HostReporting
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.adoption import take_over
from usage_tracker.journal.claims import Claims
from usage_tracker.journal.header import ANY_STORE
from usage_tracker.lazy_pricer import LazyPricer
from usage_tracker.looking import Looking
from usage_tracker.scopes import attribution_of
from usage_tracker.sdk_coverage import CoverageNotes
from usage_tracker.shipper import Shipper
from usage_tracker.shipping import Shipping
from usage_tracker.threads import is_left_alone

if TYPE_CHECKING:
    from usage_tracker.patching import State
    from usage_tracker.stores import Store

logger = logging.getLogger("usage_tracker")

PAUSE_SECONDS = 0.005
"""Between two looks whether all is stored."""


def open_spool(settings: Settings) -> Spool:
    """The spool folder of these settings."""
    identity = bytes.fromhex(settings.dsn.identity) if settings.dsn else ANY_STORE
    return Spool(settings.spool_dir, identity, settings.spool_max_bytes, settings.spool_group)


def make_shipper(
    settings: Settings,
    dsn: Dsn,
    journal: Journal | None = None,
    budgeting: Budgeting | None = None,
    processes: int | None = None,
    *,
    once: bool = False,
) -> Shipper:
    """What ships this spool; driver and price data are imported when the first event is. `processes`: of so many that
    do for their leader, one; it has no chores. `once`: what threads do is not cut off: sinks and the export are left to
    whoever asks, and alerts are waited for."""

    def open_settings_store() -> "Store":
        from usage_tracker.stores import open_store

        return open_store(dsn, settings.spool_dir)

    spool = journal.spool if journal else open_spool(settings)
    prices = LazyPricer(settings.prices)
    if processes is not None:
        claims = Claims(spool, processes)
        return Shipper(spool, open_settings_store, prices, settings.batch_size, claims=claims)
    threads = () if once else (Exporting(settings), Feeding(settings))
    chores = HostReporting(settings, spool), *threads, budgeting or Budgeting(settings, once=once)
    return Shipper(spool, open_settings_store, prices, settings.batch_size, journal, Chores(chores))


class Pipeline:
    """The way of this process's events, from a finished call to the store."""

    def __init__(self, settings: Settings, states: "Callable[[], Mapping[ChokePoint, State]] | None" = None) -> None:
        """`states`: where SDKs are watched, for whoever looks after all hosts."""
        self.settings = settings
        self.journal = Journal(open_spool(settings))
        self._start_lock = threading.RLock()
        self._started = False
        self._start_at = 0.0
        self._default = attribution_of({name: getattr(settings, name) for name in Attribution._fields})
        self.recorder = self._recorder()
        self._coverage = CoverageNotes(settings.spool_dir, settings.spool_group, states)
        self.enforcing = Enforcing(settings, self.journal, self.recorder, self._start_unless_started)
        self._looking = Looking(self._look)
        self.shipping: Shipping | None = None
        if settings.ship and settings.dsn:
            budgeting = Budgeting(settings, self.enforcing.use, lambda: self.journal.dropped)
            shipper = make_shipper(settings, settings.dsn, self.journal, budgeting)
            self.shipping = Shipping(shipper, self.journal, settings.batch_seconds, self._look)
        self._wrappers = cache(self._make_wrappers)

    def _look(self) -> None:
        """What this process's thread looks at with each round, whether it ships or not."""
        self._end_if_left_alone()
        self.journal.look_ahead()
        self.enforcing.look()
        self._coverage.note()

    def wrapper(self, point: ChokePoint) -> Wrapper:
        """What goes around that function of an SDK."""
        return self._wrappers(point.style, point.sdk)[point.role]

    def _make_wrappers(self, style: str, sdk: str) -> Mapping[str, Wrapper]:
        capture = import_module(f"usage_tracker.capture.{style}")
        found: Mapping[str, Wrapper] = capture.wrappers(sdk, self.recorder, self.settings)
        return found

    def _recorder(self) -> Recorder:
        settings = self.settings
        recorder = Recorder(
            self.keep,
            app=settings.app,
            host=settings.host,
            pid=os.getpid(),
            default=self._default,
            store_mark=mark_of(settings),
        )
        recorder.tell = self.tell
        return recorder

    def keep(self, origin: Origin, event: UsageEvent) -> None:
        """Into the journal; the first event of a process starts its thread."""
        self.journal.append(origin, event)
        self._start_unless_started()

    def tell(self, kind: CallKind, told: tuple[Any, ...]) -> None:
        """As `keep`, for a call that is still to be read; from then on these go straight to the journal."""
        self.journal.append_call(kind, told)
        self._start_unless_started()
        if self._started:
            self.recorder.tell = self.journal.append_call

    def _start_unless_started(self) -> None:
        if not self._started and time.monotonic() >= self._start_at:
            self._start()

    def _start(self) -> None:
        with self._start_lock:
            if self._started:
                return
            self._started = True  # also for what comes back here from inside
            started = False
            try:
                started = self._start_thread()
            finally:  # an interrupt may have come in between
                self._started = started
                if not started:
                    self.recorder.tell = self.tell

    def _start_thread(self) -> bool:
        """Whether this process has its thread now."""
        if self.shipping:
            self._take_over_unassigned()
            try:
                self.shipping.start()
            except RuntimeError:
                # too many threads, or the interpreter ends: the journal keeps it, a later event tries again
                self._start_at = time.monotonic() + 1.0
                return False
        else:
            with suppress(RuntimeError):
                self._looking.start()
        return True

    def _take_over_unassigned(self) -> None:
        """Events that waited because this app's DSN could not be used."""
        with guarded("take over"), suppress(PermissionError):  # none of a home that may not be entered
            take_over(self.journal.spool, unassigned_spool(self.settings.app))

    def flush(self, timeout: float) -> bool:
        """Whether everything captured so far was in the store before the timeout, in seconds."""
        never = threading.Event()  # tests of an app have the clock stand still, or `sleep` take no time
        for step, _ in enumerate(self.flushing(timeout)):
            if step * PAUSE_SECONDS > timeout:
                break
            never.wait(PAUSE_SECONDS)
        return self.journal.drained()

    def flushing(self, timeout: float, *, patient: bool = True) -> Iterator[None]:
        """Steps of a flush, between which its caller pauses as it can. It ends when all is stored, at the timeout or,
        without patience, where waiting is of no use: the store is known to be away, or nobody ships."""
        deadline = time.monotonic() + timeout
        while not self.journal.drained() and time.monotonic() < deadline:
            if self.shipping:
                self._start_unless_started()
                self.shipping.wake()
            else:
                self.journal.spool.bell.ring()
            if not patient and self._waits():
                return
            yield

    def _waits(self) -> bool:
        """Whether events wait for longer than a moment."""
        if self.shipping and (self.shipping.resting() or self.journal.spool.leads()):
            return self.shipping.resting()
        leader = self.journal.spool.leader()
        return self.shipping is None if leader is None else not leader.ships

    def end(self) -> None:
        """The process ends: so do its open calls."""
        with guarded("end"):
            finish_open_calls()
        self.stop()

    def _end_if_left_alone(self) -> None:
        """In a thread of ours: nobody else is there to call `end`."""
        if is_left_alone():
            deadline = time.monotonic() + self.settings.exit_timeout
            finish_open_calls()
            self.journal.close()
            self._looking.stop()
            self.enforcing.stop(deadline)
            if self.shipping:
                self.shipping.stop_by(deadline)

    def stop(self) -> None:
        """Ship what there is within the exit timeout, and say what is left."""
        deadline = time.monotonic() + self.settings.exit_timeout
        with guarded("stop"):
            self.journal.close()
            self._looking.stop()
            self.enforcing.stop(deadline)
            if self._started and self.shipping:
                self.shipping.stop(deadline)
            lost = self.journal.only_in_memory()
            left = self.journal.pending() - lost
            if lost:
                logger.warning("%d events could not be kept on disk nor stored before the end: they are lost", lost)
            if left and self.shipping:
                logger.warning(
                    "%s in %s; the next process ships what is there, or `usage-tracker ship --once` does",
                    "1 event waits" if left == 1 else f"{left} events wait",
                    self.settings.spool_dir,
                )

    def after_fork(self) -> None:
        """In the child: a journal and a thread of its own, at its first event. No step depends on another."""
        self._started = False
        self._start_at = 0.0
        self._start_lock = threading.RLock()
        open_calls.clear()  # they are the parent's
        with guarded("fork: lead"):
            self.journal.spool.forget()
        self._looking.forget()
        if self.shipping:
            with guarded("fork: shipper"):
                self.shipping.shipper.forget()
            with guarded("fork: thread"):
                self.shipping.forget()
        with guarded("fork: journal"):
            self.journal.forget()
        with guarded("fork: budgets"):
            self.enforcing.after_fork()
        with guarded("fork: recorder"):
            fresh = self._recorder()
            self.recorder.origin, self.recorder.kind = fresh.origin, fresh.kind
            if self.recorder.tell is not None:  # in an app's tests, nothing goes to the journal
                self.recorder.tell = fresh.tell
