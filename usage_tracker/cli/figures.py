"""Figures, names and times as people read them. What is unknown is a dash; nothing that isn't zero is shown as zero."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal

from usage_tracker.decimals import EXACT
from usage_tracker.plain_values import exact
from usage_tracker.zones import begins_day

UNKNOWN = "—"
NONE = "(none)"
"""The group of calls that have no such value."""

SIGNIFICANT = 2
"""The least digits that are shown of an amount."""


def show_count(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def counted(count: int, noun: str) -> str:
    """How many there are: 1 file, 2,000 files."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def show_duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return UNKNOWN
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms" if milliseconds >= 9.95 or milliseconds == 0 else f"{milliseconds:.2g} ms"
    if milliseconds < 99_950:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds / 60_000:,.1f} min"


def show_bytes(count: int) -> str:
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:,.0f} {unit}" if unit == "bytes" or size >= 9.95 else f"{size:.1f} {unit}"


def show_money(amounts: Iterable[Decimal | None], beside: Iterable[Decimal | None] = ()) -> list[str]:
    """US dollars of one column: cents where amounts are large, more digits where they are small or would look like
    nothing. Amounts that stand beside it count as large or small too, so that columns can be compared."""
    column = list(amounts)
    largest = max((abs(amount) for amount in [*column, *beside] if amount is not None), default=Decimal(0))
    decimals = 2 if largest >= 10 or largest == 0 else 4 if largest >= Decimal("0.1") else 6
    return [UNKNOWN if amount is None else show_amount(amount, decimals) for amount in column]


def show_amount(amount: Decimal, decimals: int) -> str:
    digits = exact(abs(amount))
    if amount:
        needed = SIGNIFICANT - 1 - amount.adjusted()
        decimals = max(decimals, min(needed, len(digits.partition(".")[2])))
    rounded = abs(amount).quantize(Decimal(1).scaleb(-decimals), context=EXACT)
    return f"{'-' if amount < 0 else ''}${rounded:,f}"


def difference(now: Decimal | None, before: Decimal | None) -> Decimal | None:
    return None if now is None or before is None else now - before


def show_changes(amounts: Sequence[Decimal | None], beside: Iterable[Decimal | None]) -> list[str]:
    """As `show_money`, with a sign."""
    shown = show_money(amounts, beside)
    return [
        f"+{text}" if amount is not None and amount > 0 else text for text, amount in zip(shown, amounts, strict=True)
    ]


def show_share(now: Decimal | None, before: Decimal | None) -> str:
    """By how many percent an amount has changed; of what was nothing, or less, there is no percentage."""
    if now is None or before is None or before <= 0:
        return UNKNOWN
    share = (now - before) / before * 100
    return f"{share:+,.0f} %" if abs(share) >= 10 else f"{share:+.1f} %"


def show_part(part: Decimal | int, whole: Decimal | int) -> str:
    """How many percent of the whole that is. Only all of it is 100%, and only nothing 0%."""
    share = part / whole
    if share in (0, 1):
        return f"{share:.0%}"
    if 0 < share < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= share < 1 else f"{share:.1%}"


def align_points(column: list[str]) -> list[str]:
    """Amounts padded to one width, with their decimal points below each other."""
    whole = [text.partition(".")[0] for text in column]
    widest = max(map(len, whole), default=0)
    padded = [" " * (widest - len(head)) + text for head, text in zip(whole, column, strict=True)]
    width = max(map(len, padded), default=0)
    return [text.ljust(width) for text in padded]


def show_groups(dimension: str, values: Sequence[str | date | datetime | None]) -> list[str]:
    """A dimension's values. Hours show their offset from UTC where it changes."""
    if dimension not in ("hour", "month"):
        return [NONE if value is None else printable(f"{value}") for value in values]
    form = {"hour": "%Y-%m-%d %H:%M", "month": "%Y-%m"}[dimension]
    if len({value.utcoffset() for value in values if isinstance(value, datetime)}) > 1:
        form += " %z"
    return [
        NONE if value is None else printable(value) if isinstance(value, str) else value.strftime(form)
        for value in values
    ]


def printable(text: str) -> str:
    """The text with what could act on a terminal (escape sequences, changes of direction, line ends) written out."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else escape(char) for char in text)


def escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def show_range(since: datetime | None, until: datetime | None, zone: tzinfo) -> str:
    """The range by the zone's clock. Whole days are shown up to the last one that is included."""
    start, end = (None if moment is None else moment.astimezone(zone) for moment in (since, until))
    form = "%Y-%m-%d %H:%M"
    if all(moment is None or begins_day(moment, zone) for moment in (start, end)):
        form = "%Y-%m-%d"
        end = None if end is None else end - timedelta(days=1)
    first = "" if start is None else start.strftime(form)
    last = "" if end is None else end.strftime(form)
    if first and last:
        return first if first == last else f"{first} to {last}"
    return f"from {first}" if first else f"up to {last}" if last else "all"
