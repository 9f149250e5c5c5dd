"""Events as files for other programs: Parquet, Delta Lake, FOCUS, JSON lines and CSV, in a folder or an object store.

The unit is a file that holds one day, or one hour, of events. It is written as a whole and replaced as a whole, under
the same name, whenever the rollups say something else of that time than when it was written. So late events and new
prices reach it, and a run that was killed is made good by the next.
"""

from usage_tracker.exports.exporter import Exported, Exporter
from usage_tracker.exports.places import Destination

__all__ = ["Destination", "Exported", "Exporter"]
