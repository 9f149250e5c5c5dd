"""What was exported where, as the store itself knows it, so that any host can go on."""
# ruff: noqa: S608  names of tables and columns are our own

from typing import NamedTuple, cast

from usage_tracker.errors import StoreError, UsageTrackerError
from usage_tracker.exports.buckets import Bucket
from usage_tracker.stores import Store
from usage_tracker.stores.claims import is_dead, is_valid, make_claim
from usage_tracker.stores.clock import clock_within
from usage_tracker.stores.store import Execute, read_id

CLAIM_SECONDS = 900
"""How long a destination is one exporter's alone after its last sign of life, by the store's clock: longer than any
single file takes."""


LEFT: set[str] = set()
"""Claims of this process that it could not take back, as the store was away: nobody waits for them."""


class Busy(UsageTrackerError):
    """Another process exports to the same place now."""


class Mark(NamedTuple):
    """What is known of one file."""

    version: int
    """How often it was begun."""
    counted: str | None
    """What the rollups said before its events were read; None: it isn't known what came of it."""
    rows: int


NEVER = Mark(0, None, 0)


def holds(claim: str, until: float, now: float) -> bool:
    return is_valid(until, now, CLAIM_SECONDS) and claim not in LEFT and not is_dead(claim)


class Marks:
    """The marks of one destination, which are this process's alone from `claim` to `release`."""

    def __init__(self, store: Store, destination: str, form: str, grain: str) -> None:
        self._store = store
        self._destination = destination
        self._form = form
        self._grain = grain
        self._claim = make_claim()
        self._mark = store.dialect.placeholder
        self._prefix = store.dialect.prefix

    def claim(self) -> None:
        """Raises Busy, UsageTrackerError where something else was exported there, StoreError."""

        def work(execute: Execute) -> str | None:
            execute(
                f"INSERT INTO {self._prefix}export_destination (destination, form, grain) "
                f"VALUES ({self._store.dialect.marks(3)}) ON CONFLICT (destination) DO NOTHING",
                [self._destination, self._form, self._grain],
            )
            found = execute(
                f"SELECT form, grain FROM {self._prefix}export_destination WHERE destination = {self._mark}",
                [self._destination],
            )
            assert found is not None, "it was inserted just now"
            other = found != (self._form, self._grain)
            if other and self._holds_any(execute):
                return f"{self._destination} holds {found[0]} by the {found[1]}; choose another place for this"
            if not self._take(execute):
                return BUSY.format(self._destination)
            if other:
                execute(
                    f"UPDATE {self._prefix}export_destination SET form = {self._mark}, grain = {self._mark} "
                    f"WHERE destination = {self._mark}",
                    [self._form, self._grain, self._destination],
                )
            return None

        refused = self._store.change(work)
        if refused is not None:
            raise (Busy if refused == BUSY.format(self._destination) else UsageTrackerError)(refused)

    def _holds_any(self, execute: Execute) -> bool:
        """Whether any file was ever finished there; where a first attempt failed, the next may be of another form."""
        sql = f"SELECT 1 FROM {self._prefix}export_file WHERE destination = {self._mark} AND rows > 0 LIMIT 1"
        return execute(sql, [self._destination]) is not None

    def _take(self, execute: Execute) -> bool:
        """Take or renew the claim, unless it is another's."""
        destination, now = f"{self._prefix}export_destination", clock_within(execute, self._store.dialect)
        row = execute(
            f"SELECT claim, claimed_until FROM {destination} WHERE destination = {self._mark}"
            + self._store.dialect.for_update(),
            [self._destination],
        )
        if row is None:
            return False
        holder, until = row
        if holder not in (None, self._claim) and holds(str(holder), cast(float, until), now):
            return False
        execute(
            f"UPDATE {destination} SET claim = {self._mark}, claimed_until = {self._mark} "
            f"WHERE destination = {self._mark}",
            [self._claim, now + CLAIM_SECONDS, self._destination],
        )
        return True

    def release(self) -> None:
        """Let others export. Raises StoreError."""
        sql = (
            f"UPDATE {self._prefix}export_destination SET claim = NULL, claimed_until = NULL "
            f"WHERE destination = {self._mark} AND claim = {self._mark}"
        )
        try:
            self._store.change(lambda execute: execute(sql, [self._destination, self._claim]))
        except StoreError:
            LEFT.add(self._claim)
            raise

    def read(self) -> dict[str, Mark]:
        """By bucket. Raises StoreError."""
        rows = self._store.select(
            f"SELECT bucket, version, counted, rows FROM {self._prefix}export_file WHERE destination = {self._mark}",
            [self._destination],
        )
        return {
            str(bucket): Mark(int(str(version)), None if counted is None else str(counted), int(str(count or 0)))
            for bucket, version, counted, count in rows
        }

    def begin(self, bucket: Bucket, version: int) -> None:
        """Note that a file is on its way: whatever happens, the next run looks at it. Raises Busy, StoreError."""
        self._set(bucket, version, None, None)

    def finish(self, bucket: Bucket, version: int, counted: str, rows: int) -> None:
        """Note that the file is there. Raises Busy where somebody else took over meanwhile, StoreError."""
        self._set(bucket, version, counted, rows)

    def _set(self, bucket: Bucket, version: int, counted: str | None, rows: int | None) -> None:
        def work(execute: Execute) -> bool:
            ours = self._take(execute)
            # whoever took over may have written the file before we did, so it is to be written again
            execute(
                f"INSERT INTO {self._prefix}export_file (destination, bucket, version, counted, rows) "
                f"VALUES ({self._store.dialect.marks(5)}) ON CONFLICT (destination, bucket) DO UPDATE SET "
                "version = excluded.version, counted = excluded.counted, "
                f"rows = coalesce(excluded.rows, {self._prefix}export_file.rows), exported_at = excluded.exported_at",
                [self._destination, bucket.name, version, counted if ours else None, rows],
            )
            return ours

        if not self._store.change(work):
            raise Busy(BUSY.format(self._destination))


BUSY = "another process exports to {} now; it is done at the latest a quarter of an hour after it was stopped"


def read_identity(store: Store) -> str:
    """Eight hex digits that name the store, whatever its address. Raises StoreError."""
    [(found,)] = list(store.select(f"SELECT store_id FROM {store.dialect.prefix}store_identity"))
    return read_id(found).hex[:8]
