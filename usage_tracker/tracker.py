"""The composition root and the only global state: what `install()` set up, and how that ends.

Light to import: what records and ships (`pipeline`) is loaded with the first SDK that the app imports.
"""

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from usage_tracker import guard
from usage_tracker.choke_points import CHOKE_POINTS, ChokePoint
from usage_tracker.config import Settings, load_piecemeal, load_settings, load_usable
from usage_tracker.config_file import with_config, with_usable_config
from usage_tracker.ending import Pools, stay_interrupted
from usage_tracker.errors import ConfigError, UsageTrackerError
from usage_tracker.patching import Patches, version_of

if TYPE_CHECKING:
    from usage_tracker.app_costs import AppCosts
    from usage_tracker.capture import Wrapper
    from usage_tracker.pipeline import Pipeline

logger = logging.getLogger("usage_tracker")


class Stats(NamedTuple):
    """What became of this process's events."""

    captured: int
    stored: int
    """In the store; one that it refuses is counted, too, and kept in the spool's `refused.jsonl`."""
    pending: int
    """Captured, in the journal, not in the store yet."""
    dropped: int
    """Lost: the spool was full, or neither disk nor memory could keep them."""
    errors: int
    """Errors of ours that the app did not see."""
    last_error: str | None


def choke_points(settings: Settings) -> list[ChokePoint]:
    """The choke points of the SDKs that are asked for. Raises ConfigError for one that is unknown or not installed."""
    if settings.sdks is None:
        return list(CHOKE_POINTS)
    known = {point.sdk for point in CHOKE_POINTS}
    for sdk in settings.sdks:
        if sdk not in known:
            raise ConfigError(f"TRACKER_SDKS names {sdk!r}; known SDKs are {', '.join(sorted(known))}")
        if version_of(sdk) is None:
            raise ConfigError(f"TRACKER_SDKS names {sdk!r}, which is not installed: pip install {sdk}")
    return [point for point in CHOKE_POINTS if point.sdk in settings.sdks]


class Tracker:
    """One `install()`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        has_clients = settings.ship and bool(settings.sinks or settings.export_to)
        self.patches = Patches(choke_points(settings), self._wrapper, has_clients=has_clients)
        self._pipeline: Pipeline | None = None
        self._costs: AppCosts | None = None
        self._lock = threading.RLock()
        """As each lock that the app's threads take, re-entrant: a signal handler or the garbage collector may come back
        here from inside."""

    def pipeline(self) -> "Pipeline":
        """What records and ships, from its first use on."""
        with self._lock:
            if self._pipeline is None:
                from usage_tracker.pipeline import Pipeline

                made = Pipeline(self.settings, self.patches.states)
                self._pipeline = self.started() or made  # by a signal handler, meanwhile
            return self._pipeline

    def started(self) -> "Pipeline | None":
        """The pipeline, where it was ever used."""
        return self._pipeline

    def costs(self) -> "AppCosts":
        """What tells the app itself what its calls cost, from its first question on."""
        with self._lock:
            if self._costs is None:
                from usage_tracker.app_costs import AppCosts

                self._costs = AppCosts(self.settings)
            return self._costs

    def _wrapper(self, point: ChokePoint) -> "Wrapper":
        return self.pipeline().wrapper(point)

    def stop(self) -> None:
        if self._pipeline:
            self._pipeline.stop()

    def end(self) -> None:
        if self._pipeline:
            self._pipeline.end()

    def after_fork(self) -> None:
        self._lock = threading.RLock()
        self._costs = None
        if self._pipeline:
            self._pipeline.after_fork()


class Meanwhile:
    """What waits while another tracker is in the installed one's place."""

    def __init__(self, set_aside: Tracker | None) -> None:
        self.set_aside = set_aside
        """What was installed, and will be again."""
        self.then: Callable[[], None] = lambda: None
        """What the app asked for last, and is done at the end."""


installed: Tracker | None = None
_meanwhile: Meanwhile | None = None
_install_lock = threading.RLock()


def install(
    dsn: str | None = None,
    *,
    app: str | None = None,
    project: str | None = None,
    team: str | None = None,
    user: str | None = None,
    session: str | None = None,
    tags: tuple[str, ...] | list[str] | Mapping[str, str] | str | None = None,
    **settings: object,
) -> None:
    """Record every model call of this process.

    Idempotent: a second call with other settings replaces the first, and any call patches again what another
    instrumentation has put back in the meantime. Any setting of `config.Settings` may be given by
    name; TRACKER_* environment variables, and then the config file, fill in the rest. Raises ConfigError for a setting
    that can't be used.
    """
    known = set(Settings._fields)
    for name in settings.keys() - known:
        raise ConfigError(f"install() has no setting {name!r}; settings are {', '.join(sorted(known))}")
    said = dict(dsn=dsn, app=app, project=project, team=team, user=user, session=session, tags=tags, **settings)
    start(load_settings(with_config(), **said))


def install_from_environment() -> None:
    """As `install()`, but a setting that can't be used is logged once. Where it is one of alerts, sinks or exports,
    there are none; with any other, events wait in the journal until it is mended."""
    try:
        settings, left_out = load_usable(with_config())
        choke_points(settings)
        for sentence in left_out:
            logger.error("%s; until that is mended events are shipped without it", sentence)
    except ConfigError as error:
        logger.error("%s; until that is mended events wait in the journal", error)
        environ = with_usable_config().items()
        kept = {name: value for name, value in environ if name not in ("TRACKER_DSN", "TRACKER_SDKS")}
        settings = load_piecemeal(kept, ship=False)
    start(settings)


def start(settings: Settings) -> None:
    """Set up a tracker for these settings, unless that is what runs already."""
    global installed
    with _install_lock:
        if _meanwhile is not None:
            _meanwhile.then = partial(start, settings)
            return
        if installed is not None and installed.settings == settings:
            installed.patches.apply()
            return
        tracker = Tracker(settings)  # where that can't be, what runs goes on
        if installed is not None:
            end(installed)
        tracker.patches.apply()
        installed = tracker
        _pools.end_with_them()


def end(tracker: Tracker) -> None:
    tracker.patches.revert()
    tracker.stop()


def uninstall() -> None:
    """Put back the identical original objects and ship what is left, within the exit timeout."""
    global installed
    with _install_lock:
        if _meanwhile is not None:
            _meanwhile.then = uninstall
            return
        if installed is not None:
            end(installed)
            installed = None


@contextmanager
def stand_in(settings: Settings) -> Iterator[Tracker]:
    """A tracker in the installed one's place. That goes on at the end, with what it had captured and where it ships it;
    what the app installs meanwhile is installed then, too."""
    global installed, _meanwhile
    tracker = Tracker(settings)
    with _install_lock:
        if _meanwhile is not None:
            raise UsageTrackerError("another tracker stands in already; end that first")
        _meanwhile = meanwhile = Meanwhile(installed)
        if installed is not None:
            installed.patches.revert()
        installed = tracker
        tracker.patches.apply()
    try:
        yield tracker
    finally:
        with _install_lock:
            end(tracker)
            installed, _meanwhile = meanwhile.set_aside, None
            if installed is not None:
                installed.patches.apply()
        meanwhile.then()


def flush(timeout: float = 5.0) -> bool:
    """Whether everything that this process captured so far is in the store; waits for it up to `timeout` seconds."""
    pipeline = installed.started() if installed else None
    return pipeline.flush(timeout) if pipeline else True


def stats() -> Stats:
    """What became of this process's events."""
    pipeline = installed.started() if installed else None
    if pipeline is None:
        return Stats(0, 0, 0, 0, guard.errors.total(), guard.last_error)
    captured, pending = pipeline.journal.captured_and_pending()
    dropped = pipeline.journal.dropped
    trouble = pipeline.shipping.shipper.last_error if pipeline.shipping else None
    return Stats(captured, captured - pending, pending, dropped, guard.errors.total(), trouble or guard.last_error)


def _at_exit() -> None:
    if installed is not None:
        installed.end()
        stay_interrupted()


def _after_fork() -> None:
    global _install_lock
    _install_lock = threading.RLock()
    _pools.forget()
    for tracker in (installed, _meanwhile.set_aside if _meanwhile else None):
        if tracker is not None:
            tracker.after_fork()
    if installed is not None:
        _pools.end_with_them()


_pools = Pools(_at_exit)
atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
