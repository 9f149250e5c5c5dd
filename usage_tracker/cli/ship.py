"""`usage-tracker ship`: what moves events from the journal to the store where the apps themselves don't."""

import signal
import threading
from contextlib import suppress
from pathlib import Path

import click

from usage_tracker.cli.crew import Crew
from usage_tracker.cli.figures import counted
from usage_tracker.cli.garbage import Garbage
from usage_tracker.cli.options import tell_typed
from usage_tracker.cli.output import say
from usage_tracker.config import Settings, load_usable
from usage_tracker.dsn import Dsn
from usage_tracker.errors import ConfigError, SchemaTooNew, StoreError, StoreUnavailable, UsageTrackerError
from usage_tracker.exporting import Plan, export_once, plan_of, said_of
from usage_tracker.feeding import feed_once
from usage_tracker.guard import guarded
from usage_tracker.journal.adoption import adopt
from usage_tracker.journal.folder import SpoolUnusable
from usage_tracker.pipeline import make_shipper
from usage_tracker.seldom import Seldom
from usage_tracker.shipper import Shipper
from usage_tracker.shipping import back_off

ONE_WRITER = {
    "clickhouse": "What is on its way to ClickHouse is known to one process of each spool folder",
    "sqlite": "An SQLite file has one writer at a time",
}
"""Stores that don't gain from several processes, and why."""


@click.command(
    help="""Ship the events of a spool folder until interrupted, or with --once what is there now.

    \b
    usage-tracker ship --once             what processes that died have left behind
    TRACKER_SPOOL_DIR=/spool usage-tracker ship
                                          as a sidecar: apps share the folder and set TRACKER_SHIP=off, so that only
                                          this process needs the database's credentials

    It also folds what programs have appended whose role may not, feeds the sinks that TRACKER_SINKS names, and exports
    to TRACKER_EXPORT_TO: with --once, all of it.

    With --processes, so many read, price and store at once, and one more looks after all else. One is enough for 20,000
    calls a second.

    With --from, events of another spool folder go to this store, such as those that waited under a wrong TRACKER_DSN.
    `usage-tracker doctor` lists folders with waiting events.
    """
)
@click.option(
    "--dsn",
    callback=tell_typed,
    metavar="DSN",
    help="The store; unset: TRACKER_DSN or, where TRACKER_SHIP isn't off, an SQLite file in your data folder.",
)
@click.option("--once", is_flag=True, help="Ship what is there and exit; 1 where something has to wait.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    metavar="N",
    help="How many ship at once, into Postgres. By default one.",
)
@click.option(
    "--from",
    "origin",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take this folder's events too.",
)
def ship(dsn: str | None, once: bool, processes: int, origin: Path | None) -> None:
    settings, left_out = load_usable(dsn=dsn)
    if settings.dsn is None:  # a file that nobody asks is no place for what a sidecar is to ship
        raise ConfigError(
            "TRACKER_SHIP is off and no store is named: what waits here is for the process that knows the store; run "
            "this where TRACKER_DSN is set, or name it with --dsn"
        )
    for sentence in left_out:
        say(f"{sentence}; until that is mended events are shipped without it.")
    shipper = make_shipper(settings, settings.dsn, once=once)
    crew = Crew(settings, processes, once=once) if can_share(settings.dsn, processes) else None
    if origin is not None:
        count = adopt(shipper.spool, origin)
        say(f"{counted(count, 'segment')} taken over from {origin}.")
    if once:
        try:
            ship_once(shipper, crew)
        finally:
            shipper.close()
        fed, exported = feed_once(settings, say), is_exported(settings.dsn, plan_of(settings))
        if not (fed and exported):
            raise click.exceptions.Exit(1)
    else:
        ship_until_told(shipper, crew, settings)
    stored = shipper.stored + (crew.stored if crew is not None else 0)
    say(f"{counted(stored, 'event')} shipped to {settings.dsn.shown}.")


def can_share(dsn: Dsn, processes: int) -> bool:
    """Whether several processes are asked for, and can ship to that store."""
    if processes > 1 and dsn.scheme in ONE_WRITER:
        say(f"{ONE_WRITER[dsn.scheme]}, so one process ships to it.")
        return False
    return processes > 1


def ship_once(shipper: Shipper, crew: Crew | None) -> None:
    if not shipper.spool.lead():
        leader = shipper.spool.leader()
        raise UsageTrackerError(
            f"process {leader.pid if leader else '?'} ships this folder already; its events need no help from here"
        )
    if crew is not None:
        shipper.connect()
        crew.keep()
        crew.wait()
    with Garbage() as garbage:
        while shipper.step():  # also what a process has left that was killed
            garbage.collect()
    shipper.fold()


def is_exported(dsn: Dsn, plan: Plan) -> bool:
    """Bring the export up to date, if one is asked for; whether there is nothing left to do."""
    if plan.to:
        try:
            export_once(dsn, plan)
        except (UsageTrackerError, OSError) as error:
            say(f"The export is behind: {said_of(error)}.")
            return False
    return True


def ship_until_told(shipper: Shipper, crew: Crew | None, settings: Settings) -> None:
    """Ship in a thread, so that a store that hangs does not hold up the end."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    assert settings.dsn is not None, "shipping always has a store"
    say(f"Shipping {settings.spool_dir} to {settings.dsn.shown}; Ctrl-C ends it.")
    shipping = threading.Thread(target=ship_until, args=(shipper, crew, stopping, settings.batch_seconds), daemon=True)
    shipping.start()
    while not stopping.wait(1.0):  # a signal that another thread gets wakes no wait without a limit
        continue
    shipper.spool.bell.ring()
    shipping.join(settings.exit_timeout)
    if crew is not None:
        crew.kill()


def ship_until(shipper: Shipper, crew: Crew | None, stopping: threading.Event, pause: float) -> None:
    """Lead as soon as nobody else does; wait out a store, or a folder, that can't be used, and errors of ours."""
    with Garbage() as garbage:
        while not stopping.is_set():
            with guarded("ship"):
                ship_batches(shipper, crew, stopping, pause, garbage)
            stopping.wait(pause)
    if crew is not None:
        crew.end()
    with suppress(StoreError, OSError):
        shipper.step()
    shipper.close()


def ship_batches(
    shipper: Shipper, crew: Crew | None, stopping: threading.Event, pause: float, garbage: Garbage
) -> None:
    failures, saying = 0, Seldom()
    while not stopping.is_set():
        garbage.collect()
        try:
            if not leads(shipper, crew) or (not shipped(shipper, crew) and not shipper.spool.bell.listen(pause)):
                stopping.wait(pause)
            failures = 0
        except (StoreError, SpoolUnusable, OSError) as error:
            failures += 1
            if failures == 1 and saying.due():  # of several processes, each finds out by itself
                say(f"Events wait: {error}")
            shipper.spool.say("waiting")
            if isinstance(error, SchemaTooNew):  # one whose version is newer may lead meanwhile
                if crew is not None:
                    crew.end()
                shipper.resign()
            stopping.wait(back_off(failures))
        else:
            shipper.spool.say("leading")


def leads(shipper: Shipper, crew: Crew | None) -> bool:
    """Whether this process leads; without that it has no crew."""
    leading = shipper.spool.lead()
    if crew is not None and not leading:
        crew.end()
    return leading


def shipped(shipper: Shipper, crew: Crew | None) -> bool:
    """Ship a batch, or let the crew ship; whether more is waiting here. It folds what others append, also while there
    is nothing to ship. Raises StoreError, also where it is one of the crew that can't ship."""
    shipper.connect(anew=crew is not None and crew.waits is not None)  # the schema may be why it waits
    if crew is None:
        return shipper.step()
    crew.keep()
    crew.ring()
    shipper.attend()
    if crew.waits is not None:
        raise StoreUnavailable(crew.waits)
    return False
