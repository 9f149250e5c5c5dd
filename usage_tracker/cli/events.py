"""`usage-tracker events`: the calls one by one, the newest first."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, tzinfo
from itertools import chain, islice

import click

from usage_tracker.cli.columns import Column
from usage_tracker.cli.commands import LazyGroup, Place
from usage_tracker.cli.figures import UNKNOWN, printable, show_count, show_duration, show_money
from usage_tracker.cli.follow import Form, as_lines, follow
from usage_tracker.cli.options import Conditions, Span, output_option, resolve_range, selection_options
from usage_tracker.cli.output import emit_data, emit_page, say
from usage_tracker.cli.plain import csv_lines, json_document, json_head
from usage_tracker.cli.pruned import listing_note
from usage_tracker.cli.render import nothing_found, show_question
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.cli.waiting import waiting_note
from usage_tracker.dsn import Dsn
from usage_tracker.event import COLUMNS
from usage_tracker.plain_values import plain_fields
from usage_tracker.report import Event, Query, list_events

MOST_LISTED = 10**12
"""More than any store holds."""


def as_table(query: Query, events: Iterable[Event], _: Sequence[str] = ()) -> list[str]:
    from usage_tracker.cli.table import render_table

    return [render_table(f"Calls{show_question(query)}", event_columns(list(events), query.tz), ())]


def event_columns(events: list[Event], zone: tzinfo) -> list[Column]:
    """The columns of a table for people; who a call was for only where somebody said it."""
    whose = {"project": "Project", "team": "Team", "user_id": "User", "session_id": "Session", "tags": "Tags"}
    said = {name: header for name, header in whose.items() if any(event[name] for event in events)}
    return [
        Column("Time", [show_time(event["started_at"], zone) for event in events], fixed=True),
        Column("Provider", [words(event["provider"]) for event in events], rank=3),
        Column("Model", [words(event["model"] or event["request_model"]) for event in events], name=True),
        Column("Operation", [words(event["operation"]) for event in events], rank=4),
        *(Column(header, [words(event[name]) for event in events], rank=5) for name, header in said.items()),
        Column("Status", [outcome(event) for event in events]),
        Column("Input", [show_count(event["input_tokens"]) for event in events], number=True),
        Column("Output", [show_count(event["output_tokens"]) for event in events], number=True),
        Column("Took", [show_duration(event["duration_ms"]) for event in events], number=True, rank=2),
        Column("Cost", show_money(event["cost"] for event in events), number=True, money=True),
        Column("ID", [str(event["event_id"]) for event in events], fixed=True, rank=6),
    ]


def show_time(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def words(value: str | list[str] | None) -> str:
    return printable(", ".join(value) if isinstance(value, list) else value) if value else UNKNOWN


def outcome(event: Event) -> str:
    return printable(f"{event['status']} {event['error_type'] or ''}".rstrip())


def as_json(query: Query, events: Iterable[Event], notes: Sequence[str] = ()) -> list[str]:
    found = [*map(plain_fields, events)]
    return [json_document(**json_head(query), currency="USD", events=found, notes=list(notes))]


def as_jsonl(_: Query, events: Iterable[Event], __: Sequence[str] = ()) -> Iterator[str]:
    return (json.dumps(plain_fields(event), separators=(",", ":")) + "\n" for event in events)


def as_csv(_: Query, events: Iterable[Event], __: Sequence[str] = ()) -> Iterator[str]:
    return csv_lines(COLUMNS, events)


FORMATS: dict[str, Callable[[Query, Iterable[Event], Sequence[str]], Iterable[str]]] = {
    "table": as_table,
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
}


@click.command(
    cls=LazyGroup,
    places={"show": Place("usage_tracker.cli.event", "show", "One call, and how its cost is made up.")},
    invoke_without_command=True,
    help="""The calls one by one, the newest first.

    \b
    Ranges and conditions are those of `usage-tracker report`; without --since, it is all there is.
    json, jsonl and csv have every column, and jsonl and csv are written as they are read. `events show ID` has all of
    one call, `events show last` of the newest.

    \b
    Examples:
      usage-tracker events --where status=error
      usage-tracker events --since 24h --where 'user=u-*' --limit 100
      usage-tracker events show 0199f0c2-7a3e-7c55-8d2e-5a1b2c3d4e5f
      usage-tracker events --follow --where project=alpha
      usage-tracker events --since 2026-08 --until 2026-08 --limit 0 -o csv > august.csv
    """,
)
@selection_options
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(0, MOST_LISTED),
    default=20,
    show_default=True,
    help="The most calls; 0: all of them.",
)
@output_option(FORMATS)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with each call that comes, until Ctrl-C.")
@click.option(
    "--every",
    type=Span(0.1, 86_400),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often --follow looks.",
)
def events(
    since: str | None,
    until: str | None,
    where: Conditions,
    zone: tzinfo,
    dsn: Dsn,
    limit: int,
    output: str,
    following: bool,
    every: float,
) -> None:
    if click.get_current_context().invoked_subcommand:
        return
    if following:
        if since or until:
            raise click.UsageError("--follow begins now; list an earlier time without it")
        follow(dsn, where, every, limit, follow_form(output, zone))
    query = Query(*resolve_range(since or "all", until, zone), (), where, zone)
    notes: list[str] = []
    first: list[Event] = []
    remark = nothing_found(query)
    try:
        with (
            reading(dsn) as store,
            closing(list_events(store, query.since, query.until, where, limit or None)) as found,
        ):
            newest = limit and not (since or until)  # what was pruned isn't among them, where there are any
            gone = None if newest else listing_note(store, query)
            first = list(islice(found, 1))
            if newest and not first:
                gone = listing_note(store, query)
            notes = [gone] if gone else []
            if first:
                written = FORMATS[output](query, chain(first, found), notes)
                (emit_page if output == "table" else emit_data)(written)
    except NothingYet as nothing:
        remark = str(nothing)
    if not first:
        if output != "table":
            emit_data(FORMATS[output](query, (), notes))
        say(remark)
    for note in (*notes, waiting_note(dsn)):
        if note:
            say(note)


def follow_form(output: str, zone: tzinfo) -> Form:
    if output == "table":
        return as_lines(zone)
    if output == "csv":
        header, *_ = csv_lines(COLUMNS, ())
        return Form(header, lambda events: islice(csv_lines(COLUMNS, events), 1, None))
    if output == "jsonl":
        return Form("", lambda events: as_jsonl(Query(), events))
    raise click.UsageError("--follow has no end, and a JSON document has one; use -o jsonl")
