"""The columns of the table `usage`, and the grains of its rows."""

from collections.abc import Mapping

from usage_tracker.stores.clickhouse.native import Column
from usage_tracker.stores.dimensions import KIND, OWNER
from usage_tracker.stores.rollups import MEASURES

NONE = "\0"
"""Stands for null in a column of text, of which no key can be null. No text that is stored has a NUL."""

NAMES = (
    "event", "offset", "hour", "day", "day_user", "day_tag", "day_latency", "hour_kind", "day_kind", "hour_owner",
    "day_owner", "day_user_total", "day_tag_total", "day_owner_latency", "week_user_total", "tags", "awaited", "told",
    "completed", "kept",
)  # fmt: skip
GRAINS: Mapping[str, int] = {name: number for number, name in enumerate(NAMES, 1)}
"""What a row is: an event; how far a segment is stored; a sum by what the rollup's name says; a set of tags; or what is
known of usage that is told later."""

MONEY = ("cost", "reported_cost")
DURATIONS = ("duration_ms", "ttft_ms")
SUMMED = (*MEASURES, "position", "events", "rows")
"""What rows with the same key are added up in. `rows` is 1, so that no row sums up to nothing and goes."""

KEPT_APART = (
    "cache_write_1h_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens",
    "tool_tokens",
)  # fmt: skip
"""Counts of an event that are in no sum; null where they are unknown."""
MAY_BE_UNKNOWN = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", *DURATIONS,
)  # fmt: skip
"""Figures of an event that are summed, so that they are 0 where they are unknown; `known` has a bit for each, the first
one's the lowest, that says whether they are known."""
TEXTS = (
    "session_id", "host", "response_id", "error_type", "awaits", "completes", "price_source", "price_version",
    "cost_parts", "units", "usage",
)  # fmt: skip
KEY_TEXTS = (*(name for name in (*KIND.columns, *OWNER.columns) if name != "streamed"), "status", "user_id", "tag")

ENUM = "Enum8({})".format(", ".join(f"'{name}' = {number}" for name, number in GRAINS.items()))


def kind_of_sum(name: str) -> str:
    return "Decimal(38, 12)" if name in MONEY else "Float64" if name in DURATIONS else "Int64"


COLUMNS = (
    Column("grain", ENUM),
    Column("at", "Int64"),
    *(Column(name, "String") for name in KEY_TEXTS),
    Column("streamed", "UInt8"),
    Column("bucket", "Int32"),
    Column("id", "FixedString(16)"),
    *(Column(name, kind_of_sum(name)) for name in SUMMED),
    Column("known", "UInt16"),
    Column("ttft_bucket", "Int32"),
    *(Column(name, "Nullable(Int64)") for name in KEPT_APART),
    Column("pid", "Nullable(Int32)"),
    Column("http_status", "Nullable(Int16)"),
    Column("attempts", "Int16"),
    *(Column(name, "String") for name in TEXTS),
    Column("cost_flags", "Array(String)"),
    Column("tags", "Array(String)"),
    Column("batch", "FixedString(16)"),
)


def none_or(text: str | None) -> str:
    """The text as its column holds it."""
    return NONE if text is None else text
