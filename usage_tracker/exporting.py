"""An export as it is set up, from an address, a format and a store; and the leader's own, every now and then."""

import logging
import os
import threading
import time
from contextlib import closing, suppress
from datetime import datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Literal, NamedTuple

from usage_tracker.config import Settings
from usage_tracker.dsn import Dsn
from usage_tracker.errors import ConfigError, UsageTrackerError
from usage_tracker.guard import guarded
from usage_tracker.seldom import HOUR, Seldom
from usage_tracker.threads import start_thread

if TYPE_CHECKING:
    from usage_tracker.exports import Destination, Exported, Exporter
    from usage_tracker.stores import Store

logger = logging.getLogger("usage_tracker")

Grain = Literal["day", "hour"]


class Written(NamedTuple):
    """How files of a format are written."""

    module: str
    function: str
    suffix: str


FORMATS = {
    "parquet": Written("usage_tracker.exports.parquet", "write_parquet", ".parquet"),
    "csv": Written("usage_tracker.exports.lines", "write_csv", ".csv"),
    "jsonl": Written("usage_tracker.exports.lines", "write_jsonl", ".jsonl"),
    "focus": Written("usage_tracker.exports.focus", "write_focus", ".csv"),
}
"""One file for each day or hour. Delta is a table."""
FORMS = (*FORMATS, "delta")


class Plan(NamedTuple):
    """What is to be exported, and where to."""

    to: str
    form: str = "parquet"
    grain: Grain = "day"
    since: datetime | None = None
    until: datetime | None = None
    settle_hours: float = 0
    again: bool = False


def plan_of(settings: Settings) -> Plan:
    """What the settings ask for: nothing, if `to` is empty."""
    return Plan(settings.export_to or "", settings.export_format)


def open_exporter(store: "Store", plan: Plan) -> "Exporter":
    """Raises ConfigError where a package is missing, or the place or that of such a store can't be, StoreError."""
    if store.dialect.name == "clickhouse":
        raise ConfigError("events in ClickHouse can't be exported to files; let its own tools read them")
    try:
        from usage_tracker.exports import Exporter
    except ImportError as error:
        raise lacking(error, "export") from None
    return Exporter(
        store,
        open_destination(store, plan),
        plan.form,
        plan.grain,
        plan.since,
        plan.until,
        timedelta(hours=plan.settle_hours),
        plan.again,
    )


def open_destination(store: "Store", plan: Plan) -> "Destination":
    from usage_tracker.exports.marks import read_identity
    from usage_tracker.exports.places import Files, Form, open_place

    store_id = read_identity(store)
    if plan.form == "delta":
        if plan.grain != "day":
            raise ConfigError("a Delta table is written by the day")
        try:
            import_module("deltalake")
        except ImportError as error:
            raise lacking(error, "delta") from None
        from usage_tracker.exports.delta import Delta

        return Delta(plan.to, store_id)
    written = FORMATS[plan.form]
    write = getattr(import_module(written.module), written.function)
    return Files(open_place(plan.to), Form(plan.form, written.suffix, write), store_id)


def lacking(error: ImportError, extra: str) -> ConfigError:
    return ConfigError(f"{error.name} is not installed; run: pip install 'usage-tracker-llm[{extra}]'")


class Exporting:
    """What the leader does for an export that was asked for: bring it up to date every so many minutes, in a thread and
    with a connection of its own. A round that fails is made good by the next."""

    def __init__(self, settings: Settings) -> None:
        self._dsn = settings.dsn
        self._plan = plan_of(settings)
        self._seconds = settings.export_minutes * 60
        self._due_at = 0.0
        self._warning = Seldom(HOUR)
        self._thread: threading.Thread | None = None

    def load(self) -> None:
        """Import what it takes, if it is asked for."""
        if self._dsn is not None and self._plan.to:
            with guarded("export"), suppress(ImportError):  # each round says what is missing
                import_module("usage_tracker.exports")
                import_module("usage_tracker.stores")
                import_module(FORMATS[self._plan.form].module if self._plan.form in FORMATS else "deltalake")

    def __call__(self, store: "Store", *, last: bool = False) -> None:
        """Look, unless it is the `last` time."""
        if not last:
            self.look()

    def look(self) -> None:
        """Begin a round, if one is due and the last is over."""
        if self._dsn is None or not self._plan.to or time.monotonic() < self._due_at:
            return
        if self._thread is None or not self._thread.is_alive():
            self._due_at = time.monotonic() + self._seconds
            with suppress(RuntimeError):  # no thread starts any more
                self._thread = start_thread("export", self._round, self._dsn)

    def _round(self, dsn: Dsn) -> None:
        with guarded("export"):
            try:
                export_once(dsn, self._plan)
            except (UsageTrackerError, OSError) as error:
                if self._warning.due():
                    logger.warning("the export is behind: %s", said_of(error))


def said_of(error: Exception) -> str:
    """In words that hold no secret: an object store's own may repeat an address."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return str(error) if isinstance(error, UsageTrackerError) else type(error).__name__


def export_once(dsn: Dsn, plan: Plan) -> "Exported":
    """Raises UsageTrackerError, OSError."""
    from usage_tracker.stores import open_store

    with closing(open_store(dsn)) as store:
        return open_exporter(store, plan).run()
