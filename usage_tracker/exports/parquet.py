"""Events as a Parquet file."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from usage_tracker.exports.columns import SCHEMA

ROW_GROUP = 131_072
"""Rows that engines read and skip together."""
UNREPEATED = ("event_id", "started_at", "duration_ms", "ttft_ms", "response_id", "usage", "cost_parts", "cost")
"""Columns whose values hardly repeat: a dictionary of them would only cost time."""


def write_parquet(batches: Iterator[pa.RecordBatch], path: Path) -> int:
    """Write the file; how many events are in it."""
    options = {
        "compression": "zstd",
        "use_dictionary": [name for name in SCHEMA.names if name not in UNREPEATED],
        "coerce_timestamps": "us",
    }
    rows, waiting = 0, list[pa.RecordBatch]()
    with parquet.ParquetWriter(path, SCHEMA, **options) as writer:
        for batch in batches:
            rows += batch.num_rows
            waiting.append(batch)
            if sum(each.num_rows for each in waiting) >= ROW_GROUP:
                writer.write_table(pa.Table.from_batches(waiting, SCHEMA), ROW_GROUP)
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, SCHEMA), ROW_GROUP)
    return rows
