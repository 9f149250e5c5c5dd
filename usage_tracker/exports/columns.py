"""The columns of exported events and their types; docs/warehouses.md lists them."""

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from usage_tracker.event import COLUMNS

MONEY = pa.decimal128(38, 12)
"""US dollars to the picodollar, as the store has them. Wide enough that no engine's sum overflows."""
MOMENT = pa.timestamp("us", tz="UTC")
WORDS = pa.list_(pa.string())

TYPES: dict[str, pa.DataType] = {
    "started_at": MOMENT,
    "duration_ms": pa.float64(), "ttft_ms": pa.float64(),
    "streamed": pa.bool_(), "estimated": pa.bool_(),
    "units": pa.map_(pa.string(), pa.float64()),
    "cost": MONEY, "reported_cost": MONEY,
    "cost_flags": WORDS, "tags": WORDS,
    "pid": pa.int32(), "http_status": pa.int16(), "attempts": pa.int16(),
}  # fmt: skip
"""Of what is neither a text nor a count of tokens. `cost_parts` and `usage` are JSON as a text: each provider has
a form of its own. `event_id` is a text, too, so that every engine can read it."""

SCHEMA = pa.schema((name, TYPES.get(name, pa.int64() if name.endswith("_tokens") else pa.string())) for name in COLUMNS)


def from_json(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """JSON arrays and objects of words as lists and maps. Few of them differ, so each is read once."""
    encoded = texts.dictionary_encode()
    read: Callable[[Any], Any] = (lambda value: list(value.items())) if pa.types.is_map(kind) else lambda value: value
    # a large count comes from Postgres as a whole number, of which Arrow makes no double
    found = [read(json.loads(text, parse_int=float)) for text in encoded.dictionary.to_pylist()]
    return pa.array(found, kind).take(encoded.indices)
