"""The durable queue: events as framed records in memory-mapped files, read by whichever process ships."""

from usage_tracker.journal.journal import Journal
from usage_tracker.journal.reader import Recorded, SegmentReader
from usage_tracker.journal.segment import Segment
from usage_tracker.journal.spool import Spool

__all__ = ["Journal", "Recorded", "Segment", "SegmentReader", "Spool"]
