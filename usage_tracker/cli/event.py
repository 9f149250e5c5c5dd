"""`usage-tracker events show`: one call, and how its cost is made up."""

from contextlib import closing
from datetime import tzinfo
from decimal import Decimal
from typing import Any, NamedTuple

import click

from usage_tracker.cli.columns import Column, heading
from usage_tracker.cli.figures import UNKNOWN, printable, show_duration
from usage_tracker.cli.hints import repeating
from usage_tracker.cli.options import dsn_option, output_option, tz_option
from usage_tracker.cli.output import emit, say
from usage_tracker.cli.plain import json_document
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.decimals import EXACT
from usage_tracker.dsn import Dsn
from usage_tracker.plain_values import exact, plain_fields
from usage_tracker.report import Event, Original, find_event, find_original, list_events
from usage_tracker.stores import Store
from usage_tracker.stores.values import read_cost_parts

SMALLEST = Decimal("1e-12")
NEWEST = "last"

NO_USAGE = "it should have a cost, and what it used is not known"
FLAGS = {
    "unpriced": "it should have a cost and has none: `usage-tracker prices unpriced` says why, and what helps",
    "tier_unpriced": "no price is known for its service tier",
    "tool_unpriced": "no price is known for a hosted tool that it used",
    "estimated_tokens": "its tokens are an estimate, the provider sent no counts",
    "sum_mismatch": "the provider's counts contradict each other: parts exceed totals, or don't add up to its total",
    "awaited": "what it used is told later",
    "cached": "a cache of the app's own answered, which costs nothing",
}
"""What the flags of a cost mean."""

TOKENS = ("input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "input_image", "tool",
          "output", "reasoning", "output_audio", "output_image")  # fmt: skip
WHAT = ("provider", "model", "request_model", "operation", "service_tier", "base_host", "response_id")
WHO = ("app", "project", "team", "user_id", "session_id", "tags")


class Line(NamedTuple):
    """`count` × `price` = `cost`."""

    unit: str
    count: Decimal  # type: ignore[assignment]  # a field, not the tuple's method
    price: Decimal
    cost: Decimal


def lines_of(event: Event) -> list[Line]:
    """The lines of the bill, as they were stored with the event."""
    found = []
    for unit, said, price in read_cost_parts(event["cost_parts"]):
        count = said or Decimal(0)
        found.append(Line(unit, count, price, short(count * price)))
    return found


def short(amount: Decimal) -> Decimal:
    """An amount to the picodollar, as costs are kept: a third of a cent has no end."""
    return amount.quantize(SMALLEST, context=EXACT)


def as_table(event: Event, original: Original | None, zone: tzinfo) -> list[str]:
    from usage_tracker.cli.table import render_table

    lines, notes = lines_of(event), notes_on(event, original)
    total = UNKNOWN if event["cost"] is None else f"${exact(event['cost'])}"
    facts = [
        ("Time", f"{event['started_at'].astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"),
        *((heading(name), event[name]) for name in (*WHAT, *WHO) if event[name]),
        ("Status", " ".join(str(event[name]) for name in ("status", "error_type", "http_status") if event[name])),
        ("Took", show_duration(event["duration_ms"])),
        *(("Speed", speed) for speed in [(event["usage"] or {}).get("speed")] if isinstance(speed, str)),
        *((name, value) for name, value in (("Tokens", tokens_of(event)), ("Units", units_of(event))) if value),
        *([] if lines else [("Cost", total)]),
    ]
    width = max(len(name) for name, _ in facts)
    head = "".join(f"{name:{width}}  {printable(shown(value))}\n" for name, value in facts)
    title = f"Call {event['event_id']}"
    if not lines:
        return [head, f"\n{title}\n", "\n" * bool(notes), *(f"{repeating(note)}\n" for note in notes)]
    columns = [
        Column("Unit", [line.unit for line in lines], total="Total", fixed=True),
        Column("Count", [f"{line.count:,f}" for line in lines], number=True),
        Column("", ["×" for _ in lines], fixed=True),
        Column("Price", [show_price(line.unit, line.price) for line in lines], number=True),
        Column("", ["=" for _ in lines], fixed=True),
        Column("Cost", [f"${exact(line.cost)}" for line in lines], total=total, number=True, money=True),
    ]
    return [head, "\n", render_table(title, columns, notes)]


def tokens_of(event: Event) -> str:
    """The counts as columns have them: parts are within `input` and `output`."""
    counts = [(name, event[f"{name}_tokens"]) for name in TOKENS]
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts if count is not None)


def units_of(event: Event) -> str:
    return ", ".join(f"{kind.replace('_', ' ')} {measure(count)}" for kind, count in (event["units"] or {}).items())


def measure(count: float) -> str:
    """A count of units, which may be seconds, in all its digits."""
    digits = exact(Decimal(repr(count)))
    return f"{Decimal(digits):,f}"


def shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def show_price(unit: str, price: Decimal) -> str:
    """Tokens by the million, as price lists have them; anything else by one."""
    if unit.endswith(("_tokens", "_characters")):
        return f"${exact(short(price * 1_000_000))} / 1M"
    return f"${exact(short(price))}"


def notes_on(event: Event, original: Original | None) -> list[str]:
    notes = []
    if event["price_source"]:
        version = f" {event['price_version']}" if event["price_version"] else ""
        notes.append(f"Priced by {printable(event['price_source'] + version)}.")
    if original:
        cost = "had no cost" if original.cost is None else f"cost ${exact(original.cost)}"
        by = f" by {printable(' '.join(part for part in original[1:] if part))}" if original.source else ""
        notes.append(f"It {cost}{by}, before it was priced again.")
    if event["reported_cost"] is not None:
        notes.append(f"The provider stated ${exact(event['reported_cost'])}.")
    meanings = FLAGS if tokens_of(event) or event["units"] else {**FLAGS, "unpriced": NO_USAGE}
    return notes + [f"{flag}: {meanings.get(flag, 'see the documentation')}." for flag in event["cost_flags"]]


def as_json(event: Event, original: Original | None) -> list[str]:
    lines = [plain_fields(line._asdict()) for line in lines_of(event)]
    values = plain_fields(event)
    before = original and plain_fields(original._asdict())
    return [json_document(currency="USD", event=values, lines=lines, original=before)]


def find_newest(store: Store) -> Event | None:
    with closing(list_events(store, limit=1)) as found:
        return next(found, None)


@click.command(
    help="""One call, and how its cost is made up: units × price = cost, line by line.

    ID is the event's id, as `usage-tracker events` lists it, the provider's own id of the answer, or `last`: the newest
    call.

    \b
    Examples:
      usage-tracker events show 0199f0c2-7a3e-7c55-8d2e-5a1b2c3d4e5f
      usage-tracker events show chatcmpl-9XyZ -o json
      usage-tracker events show last
    """
)
@click.argument("id_", metavar="ID")
@dsn_option
@tz_option
@output_option(("table", "json"))
def show(id_: str, dsn: Dsn, zone: tzinfo, output: str) -> None:
    try:
        with reading(dsn) as store:
            event = find_newest(store) if id_ == NEWEST else find_event(store, id_.strip())
            original = find_original(store, event) if event else None
    except NothingYet as nothing:
        say(str(nothing))
        raise click.exceptions.Exit(1) from None
    if event is None:
        raise click.ClickException(
            f"there is no call {printable(id_)!r} in {dsn.shown}; `usage-tracker events -o json` lists ids"
        )
    emit(as_json(event, original) if output == "json" else as_table(event, original, zone))
