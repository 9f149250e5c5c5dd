"""What the leader of a spool folder tells the store of its host, once a minute: who it is, what waits, what was lost,
and where the SDKs are watched. Nothing of that is on the way of a call, and where the store doesn't take it, events are
shipped all the same."""

import logging
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from usage_tracker.config import Settings
from usage_tracker.errors import SchemaError, StoreError
from usage_tracker.guard import errors
from usage_tracker.journal import Spool
from usage_tracker.journal.aside import CORRUPT, REFUSED, noted_dropped
from usage_tracker.journal.backlog import read_backlog
from usage_tracker.sdk_coverage import Sdk, read_notes
from usage_tracker.stores.hosts import put_report

if TYPE_CHECKING:
    from usage_tracker.stores import Store

logger = logging.getLogger("usage_tracker")

FIRST_SECONDS = 5.0
"""A program that ends before has nothing to tell: its events did."""
REPORT_SECONDS = 60.0
REFUSED_SECONDS = 3600.0
"""How long a role that may not tell is silent."""
MOST_COUNTED = 10_000
"""Events that wait; counting more takes the leader too long."""


class HostReport(msgspec.Struct, kw_only=True, omit_defaults=True):
    """As the store keeps it in JSON. Fields may be added, with a default."""

    pid: int
    app: str | None = None
    python: str = ""
    started_at: float = 0.0
    """When this leader began, in seconds since 1970."""
    waiting: int = 0
    """Events in the folder that are not stored yet, up to `MOST_COUNTED`."""
    oldest_seconds: float = 0.0
    """How long the first of them has waited."""
    spool_bytes: int = 0
    spool_max_bytes: int = 0
    dropped: int = 0
    """Events that are known to be lost, because the folder was full or could not be written."""
    errors: int = 0
    """Of ours, in the leading process."""
    refused: bool = False
    """Whether events are set aside that the store refuses."""
    corrupt: bool = False
    """Whether unreadable bytes of the journal are set aside."""
    ended: bool = False
    """Whether the leader has ended in good order."""
    sdks: list[Sdk] = []


encode = msgspec.json.Encoder().encode


class HostReporting:
    """The chore. Not thread-safe: the leader's thread runs it."""

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings = settings
        self._spool = spool
        self._next: float | None = None
        self._began = 0.0
        self._told = False

    def load(self) -> None:
        """Nothing: it takes no more than is imported already."""

    def __call__(self, store: "Store", *, last: bool = False) -> None:
        """Tell, unless it is too early for that. `last`: it ends."""
        now = time.monotonic()
        if self._next is None:
            self._next, self._began = now + FIRST_SECONDS, time.time()
        if not (self._told if last else now >= self._next):
            return
        self._next = now + REPORT_SECONDS
        try:
            report = examine(self._settings, self._spool, self._began, ended=last)
            put_report(store, self._settings.host, str(self._spool.folder), encode(report).decode())
            self._told = True
        except SchemaError as error:
            self._next = now + REFUSED_SECONDS
            logger.debug("nobody is told how this host fares: %s", error)
        except StoreError as error:
            logger.debug("how this host fares is told later: %s", error)


def examine(settings: Settings, spool: Spool, began: float, *, ended: bool) -> HostReport:
    waiting, oldest = 0, None
    with suppress(OSError):
        waiting, oldest = read_backlog(spool, MOST_COUNTED)
    return HostReport(
        pid=os.getpid(),
        app=settings.app,
        python="{}.{}.{}".format(*sys.version_info),
        started_at=began,
        waiting=waiting,
        oldest_seconds=0.0 if oldest is None else max(0.0, time.time() - oldest / 1e9),
        spool_bytes=spool.size(),
        spool_max_bytes=settings.spool_max_bytes,
        dropped=noted_dropped(spool.folder),
        errors=errors.total(),
        refused=(spool.folder / REFUSED).exists(),
        corrupt=(spool.folder / CORRUPT).exists(),
        ended=ended,
        sdks=read_notes(spool.folder),
    )
