"""Events as lines of text: JSON, or CSV."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from usage_tracker.csv_text import csv_cell, csv_line
from usage_tracker.event import COLUMNS
from usage_tracker.plain_values import plain_fields

AMOUNTS = ("cost", "reported_cost")


def write_jsonl(batches: Iterator[pa.RecordBatch], path: Path) -> int:
    """Write the file; how many events are in it."""
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for event in plain_events(batches):
            file.write(json.dumps(event, separators=(",", ":")) + "\n")
            rows += 1
    return rows


def write_csv(batches: Iterator[pa.RecordBatch], path: Path) -> int:
    """Write the file; how many events are in it. A text that a spreadsheet would take for a formula gets an apostrophe
    before it."""
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(csv_line(COLUMNS))
        for event in plain_events(batches):
            file.write(csv_line(value if name in AMOUNTS else csv_cell(value) for name, value in event.items()))
            rows += 1
    return rows


def plain_events(batches: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Events as JSON holds them: times in ISO 8601, money in exact digits, lists and objects as such."""
    for batch in batches:
        for event in map(plain_fields, batch.to_pylist()):
            if event["units"] is not None:
                event["units"] = dict(event["units"])  # a map, which Arrow has as pairs
            for name in ("cost_parts", "usage"):
                if event[name] is not None:
                    event[name] = json.loads(event[name])
            yield event
