"""`usage-tracker watch`: what is being spent now, until it is interrupted."""

import shutil
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

import click

from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import UNKNOWN, printable, show_count, show_groups, show_money
from usage_tracker.cli.hints import repeating
from usage_tracker.cli.options import Conditions, Span, dsn_option, tz_option, where_option
from usage_tracker.cli.output import broken, emit, is_terminal, room_on_stdout, say
from usage_tracker.cli.overview import pace, warn
from usage_tracker.cli.stores import NothingYet, OlderSchema, reading
from usage_tracker.cli.waiting import waiting_note
from usage_tracker.dsn import Dsn
from usage_tracker.errors import StoreUnavailable
from usage_tracker.report import Query, Report, Row, parse_range, run
from usage_tracker.stores import Store
from usage_tracker.zones import midnight

SPANS = (("Last minute", timedelta(minutes=1)), ("Last 10 minutes", timedelta(minutes=10)))
TOP = 8
OPEN, CLOSE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""A screen of its own without a cursor, and back to what was there before."""
HOME, TO_LINE_END, TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command(
    help="""What is being spent now: calls, tokens and dollars of the last minutes, and where the month will end.

    On a terminal the screen is drawn anew every few seconds until Ctrl-C; elsewhere one is printed.

    \b
    Examples:
      usage-tracker watch
      usage-tracker watch --where project=alpha --every 10
    """
)
@where_option
@tz_option
@dsn_option
@click.option("--every", type=Span(0.5, 86_400), default=2.0, show_default=True, metavar="SECONDS", help="How often.")
@click.option("--once", is_flag=True, help="Print one screen, also on a terminal.")
def watch(where: Conditions, zone: tzinfo, dsn: Dsn, every: float, once: bool) -> None:
    if once or not is_terminal(sys.stdout):
        try:
            emit(screen(dsn, where, zone))
        except NothingYet as nothing:
            say(str(nothing))
        return
    try:
        emit([OPEN])
        while True:
            try:
                shown = "".join(screen(dsn, where, zone))
            except (NothingYet, OlderSchema, StoreUnavailable) as reason:
                shown = f"{repeating(str(reason))}\n"
            emit([drawn(f"{shown}\nEvery {every:g} s; Ctrl-C ends it.")])
            time.sleep(every)
    finally:
        emit([CLOSE])


def drawn(text: str) -> str:
    """The text over what was on the screen, line by line, so that nothing flickers; no more than fits."""
    lines = text.splitlines()[: shutil.get_terminal_size().lines]
    return HOME + "\n".join(line + TO_LINE_END for line in lines) + TO_SCREEN_END


def screen(dsn: Dsn, where: Conditions, zone: tzinfo, now: datetime | None = None) -> Iterator[str]:
    """One screen. Raises NothingYet and StoreError."""
    from usage_tracker.cli.table import render_table

    moment = now or datetime.now(UTC)
    with reading(dsn) as store:
        spans = [(name, span, recent(store, span, where, zone, moment)) for name, span in SPANS]
        today = run(store, Query(*parse_range("today", None, zone, moment), (), where, zone)).total
        month = run(store, Query(*parse_range("mtd", None, zone, moment), (), where, zone))
    local = moment.astimezone(zone)
    since_midnight = max(moment - midnight(local.date(), zone), timedelta(minutes=1))
    rates = [*((name, report.total, span) for name, span, report in spans), ("Today", today, since_midnight)]
    conditions = "".join(f" · {printable(str(condition))}" for condition in where)
    yield render_table(f"{local:%Y-%m-%d %H:%M:%S} · {zone}{conditions}", rate_columns(rates), (), instead=None)
    yield f"\nThis month so far {show_money([month.total.cost])[0]}. {pace(month.total, zone, moment)}.\n\n"
    name, _, last = spans[-1]
    if last.rows:
        yield render_table(f"{name} by model", model_columns(last), (), instead=None)
    else:
        yield f"No calls in the {name.lower()}.\n"
    for warning in (*warn(month), waiting_note(dsn)):
        if warning:
            yield f"\n{broken(repeating(warning), room_on_stdout())}\n"


def recent(store: Store, span: timedelta, where: Conditions, zone: tzinfo, now: datetime) -> Report:
    return run(store, Query(now - span, now, ("model",), where, zone, TOP))


def rate_columns(rates: list[tuple[str, Row, timedelta]]) -> list[Column]:
    return [
        Column("", [name for name, _, _ in rates], fixed=True),
        Column("Calls", [show_count(row.calls) for _, row, _ in rates], number=True),
        Column("Errors", [show_count(row.errors) for _, row, _ in rates], number=True),
        Column("Calls/min", [per(row.calls, span, 60) for _, row, span in rates], number=True, rank=1),
        Column("Tokens/s", [per(row.tokens, span, 1) for _, row, span in rates], number=True),
        Column("$/hour", show_money([burn(row, span) for _, row, span in rates]), number=True, money=True),
        Column("Cost", show_money([row.cost for _, row, _ in rates]), number=True, money=True),
    ]


def model_columns(report: Report) -> list[Column]:
    rows = report.rows
    return [
        Column("Model", show_groups("model", [row.group[0] for row in rows]), name=True),
        Column("Calls", [show_count(row.calls) for row in rows], number=True),
        Column("Input", [show_count(row.input_tokens) for row in rows], number=True, rank=1),
        Column("Output", [show_count(row.output_tokens) for row in rows], number=True, rank=1),
        Column("Cost", show_money([row.cost for row in rows]), number=True, money=True),
    ]


def per(count: int | None, span: timedelta, seconds: int) -> str:
    return UNKNOWN if count is None else f"{count / span.total_seconds() * seconds:,.1f}"


def burn(row: Row, span: timedelta) -> Decimal | None:
    """Dollars an hour."""
    return None if row.cost is None else row.cost * 3600 / Decimal(span.total_seconds())
