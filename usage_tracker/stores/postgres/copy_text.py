"""Rows as COPY's text format: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2

NULL is written as None, which is how Python writes it. A text that reads so is escaped.
"""
# ruff: noqa: S608  names of tables and columns are our own

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from usage_tracker.event import PricedEvent
from usage_tracker.stores.dimensions import WhoKeys
from usage_tracker.stores.rollups import Grain, Key, Sums
from usage_tracker.stores.values import Facts, json_text, storable

EVENT_COLUMNS = (
    "event_id", "started_at",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens",
    "tool_tokens", "duration_ms", "ttft_ms",
    "kind_key", "owner_key", "user_key", "tags_key", "host_key", "price_key", "shape_key", "pid",
    "http_status", "attempts", "estimated", "status", "cost", "reported_cost",
    "error_type", "response_id", "session_id", "figures", "cost_counts", "cost_flags", "units",
)  # fmt: skip

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def copy_command(table: str, columns: Sequence[str]) -> str:
    return f"COPY usage_tracker.{table} ({', '.join(columns)}) FROM STDIN WITH (NULL 'None', ENCODING 'UTF8')"


def escaped(text: str | None) -> str | None:
    """The text as COPY reads it back."""
    if text is None:
        return None
    if not text.isprintable() or "\\" in text:
        return storable(text).translate(ESCAPES)
    return r"N\one" if text == "None" else text


def event_row(
    priced: PricedEvent,
    facts: Facts,
    who: WhoKeys,
    kind_key: int,
    price_key: int | None,
    shape_key: int | None,
    figures: str | None,
    cost_counts: str | None,
) -> str:
    """A row of EVENT_COLUMNS."""
    event, usage = priced.event, priced.event.usage
    minute, rest = divmod(facts.started_at, 60_000_000)
    return (
        f"{priced.event_id.hex}\t{written_minute(minute)}:{rest // 1_000_000:02}.{rest % 1_000_000:06}+00\t"
        f"{usage.input_tokens}\t{usage.output_tokens}\t{usage.cache_read_tokens}\t{usage.cache_write_tokens}\t"
        f"{usage.cache_write_1h_tokens}\t{usage.reasoning_tokens}\t{usage.input_audio_tokens}\t"
        f"{usage.output_audio_tokens}\t{usage.input_image_tokens}\t{usage.output_image_tokens}\t{usage.tool_tokens}\t"
        f"{facts.duration_ms}\t{facts.ttft_ms}\t"
        f"{kind_key}\t{who.owner}\t{who.user}\t{who.tags}\t{who.host}\t{price_key}\t{shape_key}\t{priced.origin.pid}\t"
        f"{event.http_status}\t{event.attempts}\t{usage.estimated}\t{escaped(event.status)}\t"
        f"{written_money(facts.cost)}\t{written_money(facts.reported_cost)}\t"
        f"{escaped(event.error_type)}\t{escaped(event.response_id)}\t{escaped(priced.origin.session_id)}\t"
        f"{escaped(figures)}\t{escaped(cost_counts)}\t{written_flags(priced.cost.flags)}\t"
        f"{None if usage.units is None else escaped(json_text(usage.units))}\n"
    )


def delta_rows(grain: Grain, rows: dict[Key, Sums]) -> Iterator[str]:
    """Rows of the grain's keys and measures."""
    shape = "\t".join("%se-12" if measure in ("cost", "reported_cost") else "%s" for measure in grain.measures) + "\n"
    for (bucket_at, *keys), sums in rows.items():
        assert isinstance(bucket_at, int)
        written = "\t".join([escaped(key) or "" if isinstance(key, str) else str(key) for key in keys])
        yield f"{written_minute(bucket_at // 60)}+00\t{written}\t{shape % sums}"


def written_money(picodollars: int | None) -> str | None:
    return None if picodollars is None else f"{picodollars}e-12"


@lru_cache(4096)
def written_minute(minute: int) -> str:
    """Minutes since 1970 as 2026-08-01 13:05."""
    return (EPOCH + timedelta(minutes=minute)).isoformat(" ", "minutes")[:16]


@lru_cache(256)
def written_flags(flags: tuple[str, ...]) -> str | None:
    """An array literal; None for no flag."""
    if not flags:
        return None
    quoted = [storable(flag).replace("\\", r"\\").replace('"', r"\"") for flag in flags]
    return escaped("{" + ",".join(f'"{flag}"' for flag in quoted) + "}")
