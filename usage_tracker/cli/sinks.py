"""`usage-tracker sinks`: where calls are passed on to as they come, and how far each sink is."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click

from usage_tracker.cli.commands import LazyGroup, Place
from usage_tracker.cli.figures import counted, printable, show_count
from usage_tracker.cli.hints import repeating
from usage_tracker.cli.options import dsn_option
from usage_tracker.cli.output import emit, say
from usage_tracker.cli.plain import json_document
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.config import load_settings
from usage_tracker.dsn import Dsn
from usage_tracker.errors import UsageTrackerError
from usage_tracker.sinks import Standing, forget_sink, refusals, standings


@click.command(
    cls=LazyGroup,
    places={
        "forget": Place("usage_tracker.cli.sinks", "forget", "Give up a sink that is no longer wanted."),
        "refused": Place("usage_tracker.cli.sinks", "refused", "Which events a sink goes on without."),
    },
    invoke_without_command=True,
    help="""Where calls are passed on to as they come, and how far each sink is.

    \b
    TRACKER_SINKS names them, NAME=ADDRESS with commas between, or [sinks] in the config file:
      https://host/path                     a webhook, signed with TRACKER_SINK_SECRET
      posthog://PROJECT_KEY@eu.i.posthog.com
      otlp://collector:4318                 metrics for OpenTelemetry; otlp+https://… is encrypted
      kafka://broker:9092/topic             ?name=value goes to librdkafka
      nats://server:4222/subject            nats+tls://… is encrypted
    Who leads a host, or `usage-tracker ship`, feeds them. A sink gets what comes from when it was first fed on.

    \b
    Examples:
      usage-tracker sinks
      usage-tracker sinks --json
      usage-tracker sinks refused webhook
      usage-tracker sinks forget webhook
    """,
)
@dsn_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def sinks(context: click.Context, dsn: Dsn, as_json: bool) -> None:
    if context.invoked_subcommand is not None:
        return
    try:
        with reading(dsn) as store:
            found = standings(store)
    except NothingYet:
        found = []
    named = {address.name: address.shown for address in load_settings().sinks}
    if as_json:
        emit([json_document(sinks=[described(standing) for standing in found])])
        return
    emit(as_lines(found))
    for name in named.keys() - {standing.name for standing in found}:
        say(f"The sink {name} ({named[name]}) was not fed yet; who leads a host does so, or `usage-tracker ship`.")
    if not found and not named:
        say("No sinks: TRACKER_SINKS names none, and none was ever fed.")


def as_lines(found: Sequence[Standing]) -> Iterator[str]:
    for standing in found:
        yield f"{printable(standing.name)}  {printable(standing.shown)}\n"
        yield f"  {counted(standing.events, 'event')} sent, {lag(standing)}\n"
        if standing.fed_by:
            yield f"  fed by {printable(standing.fed_by)}\n"
        if standing.refused:
            listed = repeating(f"`usage-tracker sinks refused {printable(standing.name)}`")
            yield f"  {show_count(standing.refused)} refused: {listed}\n"
        if standing.problem:
            yield f"  ! {printable(standing.problem)}\n"


def lag(standing: Standing) -> str:
    """How much waits, and since when."""
    if not standing.waiting or standing.waiting_since is None:
        return "none waiting"
    age = max(0.0, time.time() - standing.waiting_since)
    return f"{show_count(standing.waiting)} waiting, the oldest for {age:,.0f} s"


def described(standing: Standing) -> dict[str, object]:
    return {"address" if name == "shown" else name: value for name, value in standing._asdict().items()}


@click.command(
    help="""Give up a sink that is no longer wanted: its place in the order of calls is forgotten.

    Take it out of TRACKER_SINKS first: otherwise it begins anew, with what comes from then on. While a sink is known
    that nobody feeds, the store keeps for it which calls came together.
    """
)
@click.argument("name")
@dsn_option
def forget(name: str, dsn: Dsn) -> None:
    try:
        with reading(dsn) as store:
            known = forget_sink(store, name)
    except NothingYet:
        known = False
    if not known:
        raise unknown(name)
    say(f"The sink {name} is forgotten.")


def unknown(name: str) -> UsageTrackerError:
    return UsageTrackerError(f"there is no sink {name!r}; `usage-tracker sinks` lists them")


@click.command(
    help="""Which events a sink goes on without, the latest first: their id, when they were refused, and why.

    Its receiver has refused each of them by itself, and takes others. They are in the store as any other event:
    `usage-tracker events show ID` has all of one.
    """
)
@click.argument("name")
@dsn_option
def refused(name: str, dsn: Dsn) -> None:
    try:
        with reading(dsn) as store:
            if all(standing.name != name for standing in standings(store)):
                raise unknown(name)
            emit(
                f"{each.event_id}  {datetime.fromtimestamp(each.refused_at, UTC):%Y-%m-%dT%H:%M:%SZ}  "
                f"{printable(each.reason)}\n"
                for each in refusals(store, name)
            )
    except NothingYet:
        raise unknown(name) from None
