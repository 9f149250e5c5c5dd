"""Reports on exported events: the same questions as to a store, written once in Ibis for DuckDB and Apache Spark."""

from usage_tracker.lake.engines import Lake, open_lake
from usage_tracker.lake.figures import LakeFigures

__all__ = ["Lake", "LakeFigures", "open_lake"]
