"""The composition root and the only global state: settings → journal → shipper → patches; start, stop, fork and exit."""

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from usage_tracker import guard
from usage_tracker.attribution import Attribution, clean_tags, current
from usage_tracker.capture import Client, Recorder, finish_open_calls
from usage_tracker.capture.stainless import around_request, around_response
from usage_tracker.config import Dsn, Settings, default_spool, load_settings
from usage_tracker.errors import ConfigError
from usage_tracker.event import Origin, Status, Usage, UsageEvent
from usage_tracker.guard import guarded
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.segment import ANY_STORE
from usage_tracker.patching import ChokePoint, Patches, version_of
from usage_tracker.providers import openai
from usage_tracker.shipper import Shipper, Shipping

logger = logging.getLogger("usage_tracker")


class Stats(NamedTuple):
    """What became of this process's events."""

    captured: int
    stored: int
    pending: int
    """Captured, in the journal, not in the store yet."""
    dropped: int
    """Lost: the spool was full, or neither disk nor memory could keep them."""
    errors: int
    """Errors of ours that the app did not see."""
    last_error: str | None


def choke_points(recorder: Recorder, settings: Settings) -> list[ChokePoint]:
    """Every choke point that we know, for the SDKs that are asked for."""
    request = around_request(openai, recorder, settings.fingerprint_key)
    points = [
        ChokePoint("openai", "openai._base_client", "SyncAPIClient.request", request),
        ChokePoint("openai", "openai._base_client", "AsyncAPIClient.request", request),
        ChokePoint("openai", "openai._base_client", "SyncAPIClient._process_response", around_response),
        ChokePoint("openai", "openai._base_client", "AsyncAPIClient._process_response", around_response),
    ]
    if settings.sdks is None:
        return points
    known = {point.sdk for point in points}
    for sdk in settings.sdks:
        if sdk not in known:
            raise ConfigError(f"TRACKER_SDKS names {sdk!r}; known SDKs are {', '.join(sorted(known))}")
        if version_of(sdk) is None:
            raise ConfigError(f"TRACKER_SDKS names {sdk!r}, which is not installed: pip install {sdk}")
    return [point for point in points if point.sdk in settings.sdks]


def open_spool(settings: Settings) -> Spool:
    """The spool folder of these settings."""
    identity = bytes.fromhex(settings.dsn.identity) if settings.dsn else ANY_STORE
    return Spool(settings.spool_dir, identity, settings.spool_max_bytes)


def make_shipper(settings: Settings, dsn: Dsn, journal: Journal | None = None) -> Shipper:
    """What ships this spool; driver and price data are imported when the first event is."""

    def open_settings_store():  # type: ignore[no-untyped-def]  # Store, whose module is imported only here
        from usage_tracker.stores import open_store

        return open_store(dsn)

    class LazyPricer:
        """Price data takes 100 ms to import: not before there is something to price."""

        def price(self, origin, event):  # type: ignore[no-untyped-def]  # Pricer's own
            from usage_tracker.pricing import Pricer

            self.price = Pricer().price
            return self.price(origin, event)

    spool = journal.spool if journal else open_spool(settings)
    return Shipper(spool, open_settings_store, LazyPricer(), settings.batch_size, journal)


class Tracker:
    """One `install()`: what it set up, and how that ends."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        default = Attribution(settings.project, settings.team, settings.user, settings.session, clean_tags(settings.tags))
        self.journal = Journal(open_spool(settings))
        self.shipping: Shipping | None = None
        if settings.ship and settings.dsn:
            shipper = make_shipper(settings, settings.dsn, self.journal)
            self.shipping = Shipping(shipper, self.journal, settings.batch_seconds)
        self._start_lock = threading.Lock()
        self._started = False
        self._default = default
        self.recorder = self._recorder()
        self.patches = Patches(choke_points(self.recorder, settings))

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
            if self._started and self.shipping:
                self.shipping.stop(deadline)
            left = self.journal.pending()
            self.journal.close()
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

    def stats(self) -> Stats:
        captured, pending = self.journal.captured(), self.journal.pending()
        shipping_error = self.shipping.shipper.last_error if self.shipping else None
        return Stats(
            captured, captured - pending, pending, self.journal.dropped, guard.errors.total(), shipping_error or guard.last_error
        )


def stop_with_multiprocessing(stop: Callable[[], None]) -> None:
    """A multiprocessing child leaves by os._exit, past atexit; its own list of finalizers is run."""
    process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if process and util and process.parent_process() is not None:
        util.Finalize(None, stop, exitpriority=10)


installed: Tracker | None = None
_install_lock = threading.Lock()


def install(
    dsn: str | None = None,
    *,
    app: str | None = None,
    project: str | None = None,
    team: str | None = None,
    user: str | None = None,
    session: str | None = None,
    tags: tuple[str, ...] | list[str] | str | None = None,
    **settings: object,
) -> None:
    """Record every model call of this process.

    Idempotent; a second call with other settings replaces the first. Any setting of `config.Settings` may be given by name;
    TRACKER_* environment variables fill in the rest. Raises ConfigError for a setting that can't be used.
    """
    known = {name for name in Settings.__dataclass_fields__}
    for name in settings.keys() - known:
        raise ConfigError(f"install() has no setting {name!r}; settings are {', '.join(sorted(known))}")
    start(
        load_settings(
            dsn=dsn, app=app, project=project, team=team, user=user, session=session, tags=tags, **settings
        )
    )


def install_from_environment() -> None:
    """As `install()`, but a setting that can't be used is logged once, and events wait in the journal until it is mended."""
    try:
        settings = load_settings()
        choke_points(Recorder(lambda origin, event: None), settings)
    except ConfigError as error:
        logger.error("%s; until that is mended events wait in the journal", error)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
        for name in ("TRACKER_APP", "TRACKER_SPOOL_DIR", "TRACKER_PROJECT", "TRACKER_TEAM", "TRACKER_USER", "TRACKER_TAGS"):
            if name in os.environ:
                environ[name] = os.environ[name]
        settings = load_settings(environ, ship=False)
    start(settings)


def start(settings: Settings) -> None:
    """Set up a tracker for these settings, unless that is what runs already."""
    global installed
    with _install_lock:
        if installed is not None:
            if installed.settings == settings:
                return
            end(installed)
        tracker = Tracker(settings)
        tracker.patches.apply()
        installed = tracker


def end(tracker: Tracker) -> None:
    tracker.patches.revert()
    tracker.stop()


def uninstall() -> None:
    """Put back the identical original objects and ship what is left, within the exit timeout."""
    global installed
    with _install_lock:
        if installed is not None:
            end(installed)
            installed = None


def flush(timeout: float = 5.0) -> bool:
    """Whether everything that this process captured so far is in the store; waits for it up to `timeout` seconds."""
    return installed.flush(timeout) if installed else True


def stats() -> Stats:
    """What became of this process's events."""
    return installed.stats() if installed else Stats(0, 0, 0, 0, guard.errors.total(), guard.last_error)


def record(
    *,
    provider: str | None,
    model: str | None,
    operation: str = "chat",
    duration_ms: float = 0.0,
    response_id: str | None = None,
    status: Status = "ok",
    reported_cost: str | None = None,
    **usage: int,
) -> None:
    """Record a call that no SDK of ours made. `usage` takes the fields of `event.Usage`. Raises TypeError for others."""
    if installed is None:
        return
    event = UsageEvent(
        started_at=time.time_ns() - int(duration_ms * 1e6),
        duration_ms=duration_ms,
        operation=operation,
        request_model=model,
        model=model,
        response_id=response_id,
        status=status,
        usage=Usage(**usage),  # type: ignore[arg-type]  # `units` is a dict, the rest are counts
        reported_cost=reported_cost,
    )
    with guarded("record"):
        installed.recorder.record(installed.recorder.origin(Client("record"), provider, current.get()), event)


def _at_exit() -> None:
    if installed is not None:
        installed.stop()


def _after_fork() -> None:
    global _install_lock
    _install_lock = threading.Lock()
    if installed is not None:
        installed.after_fork()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
