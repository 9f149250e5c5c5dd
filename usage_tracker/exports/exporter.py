"""The way of events into files: which files are due, in what order, and what is noted when."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from usage_tracker.errors import UsageTrackerError
from usage_tracker.exports.buckets import Bucket, Grain, count_events, events_counted, read_counted
from usage_tracker.exports.marks import NEVER, Mark, Marks
from usage_tracker.exports.places import Batches, Destination
from usage_tracker.exports.reading import read_events
from usage_tracker.stores import Store

COUNTED_DAYS = 3
"""Within so many days events themselves are counted, too: usage that comes later and says nothing is in no rollup."""


@dataclass
class Exported:
    """What a run did."""

    files: int = 0
    rows: int = 0
    kept: int = 0
    """Files that stay as they were, although something came: of these times, events were pruned."""


@dataclass(frozen=True)
class Exporter:
    """Brings one destination up to date with one store."""

    store: Store
    destination: Destination
    form: str
    grain: Grain
    since: datetime | None
    until: datetime | None
    settle: timedelta
    """How long a day or hour has been over before it is exported: with some, hardly a file is ever written twice."""
    again: bool
    """Whether to write all files, whatever is known of them."""

    def run(self, progress: Callable[[int], None] = lambda _: None) -> Exported:
        """Write the files that are due, the oldest first. May be killed at any point and run again. Raises Busy,
        UsageTrackerError, StoreError, OSError."""
        marks = Marks(self.store, self.destination.shown, self.form, self.grain)
        marks.claim()
        exported = Exported()
        try:
            for bucket, counted, mark in self.due(marks):
                there = count_events(self.store, bucket)
                if self._is_pruned(bucket, counted, mark, there):
                    # as many as the rollups have: then it stays so, however many come later
                    marks.finish(bucket, mark.version, counted, max(mark.rows, events_counted(counted)))
                    exported.kept += 1
                    continue
                if not there and not self.destination.has(bucket):
                    marks.finish(bucket, mark.version, counted, 0)
                    continue
                version = max(mark.version, self.destination.version(bucket)) + 1
                marks.begin(bucket, version)
                with closing(read_events(self.store, bucket)) as batches:  # type: ignore[type-var]
                    rows = self.destination.put(bucket, none_gone(batches, bucket, there), version)
                marks.finish(bucket, version, counted, rows)
                exported.files += 1
                exported.rows += rows
                progress(rows)
        finally:
            marks.release()
        return exported

    def due(self, marks: Marks) -> Iterator[tuple[Bucket, str, Mark]]:
        """The buckets whose files are missing, or are not as the rollups say now; with what these say."""
        counted, known, now = read_counted(self.store, self.grain), marks.read(), datetime.now(UTC)
        for bucket, says in counted.items():
            if (self.since and bucket.end <= self.since) or (self.until and bucket.start >= self.until):
                continue
            if self.settle and bucket.end > now - self.settle:
                continue
            mark = known.get(bucket.name, NEVER)
            if self.again or mark.counted != says or self._is_missing(bucket, mark) or self._has_more(bucket, mark):
                yield bucket, says, mark

    def _is_missing(self, bucket: Bucket, mark: Mark) -> bool:
        return mark.rows > 0 and not self.destination.has(bucket)

    def _has_more(self, bucket: Bucket, mark: Mark) -> bool:
        recent = bucket.end > datetime.now(UTC) - timedelta(days=COUNTED_DAYS)
        return recent and count_events(self.store, bucket) > mark.rows

    def _is_pruned(self, bucket: Bucket, counted: str, mark: Mark, there: int) -> bool:
        """Whether the file has, or may have, events that the store no longer has: `there` are fewer than are known to
        be in it, or more are lacking of what the rollups count than when it was written. Of a file that isn't known, as
        where a lake was moved, nobody can say what it has."""
        if not self.destination.has(bucket):
            return False
        lacked = 0 if mark.counted is None else max(0, events_counted(mark.counted) - mark.rows)
        return there < mark.rows or events_counted(counted) - there > lacked


def none_gone(batches: Batches, bucket: Bucket, there: int) -> Batches:
    """All batches, unless they have fewer events than were there just before: whoever prunes meanwhile would take them
    out of the file as well. Raises UsageTrackerError."""
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        yield batch
    if rows < there:
        raise UsageTrackerError(f"events of {bucket.name} were pruned while they were read; its file is as it was")
