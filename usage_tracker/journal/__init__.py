"""The durable queue: events as framed records in memory-mapped files, read by whichever process ships.

A process appends to its `journal`, which goes from `segment` to segment; their folder is the `spool`. Who ships reads
them with `reader`, as `open_segments` has them open. How they lie on the disk: `header`, `frames`.
"""

from usage_tracker.journal.journal import Journal
from usage_tracker.journal.reader import Recorded, SegmentReader
from usage_tracker.journal.segment import Segment
from usage_tracker.journal.spool import Spool

__all__ = ["Journal", "Recorded", "Segment", "SegmentReader", "Spool"]
