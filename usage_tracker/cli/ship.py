"""`usage-tracker ship`: what moves events from the journal to the store where the apps themselves don't."""

import signal
import threading
from contextlib import suppress
from pathlib import Path

import click

from usage_tracker.cli.garbage import Garbage
from usage_tracker.cli.output import say
from usage_tracker.config import Settings, load_usable
from usage_tracker.enforcing import Leading
from usage_tracker.errors import StoreError, UsageTrackerError
from usage_tracker.feeding import feed_once
from usage_tracker.guard import guarded
from usage_tracker.journal.adoption import adopt
from usage_tracker.journal.folder import SpoolUnusable
from usage_tracker.pipeline import make_shipper
from usage_tracker.shipper import Shipper
from usage_tracker.shipping import LONGEST_BACK_OFF


@click.command(
    help="""Ship the events of a spool folder until interrupted, or with --once what is there now.

    \b
    usage-tracker ship --once             what processes that died have left behind
    TRACKER_SPOOL_DIR=/spool usage-tracker ship
                                          as a sidecar: apps share the folder and set TRACKER_SHIP=off, so that only
                                          this process needs the database's credentials

    It also folds what programs have appended whose role may not, and feeds the sinks that TRACKER_SINKS names: with
    --once, all of it.

    With --from, events of another spool folder go to this store, such as those that waited under a wrong TRACKER_DSN.
    `usage-tracker doctor` lists folders with waiting events.
    """
)
@click.option(
    "--dsn", metavar="DSN", help="The store; unset: TRACKER_DSN or, without it, an SQLite file in your data folder."
)
@click.option("--once", is_flag=True, help="Ship what is there and exit; 1 where something has to wait.")
@click.option(
    "--from",
    "origin",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take this folder's events too.",
)
def ship(dsn: str | None, once: bool, origin: Path | None) -> None:
    settings, left_out = load_usable(dsn=dsn, ship=True)
    for sentence in left_out:
        say(f"{sentence}; until that is mended events are shipped without it.")
    assert settings.dsn is not None, "shipping always has a store, by default the SQLite file"
    # once, sinks are fed when all is shipped, and until then they wait
    shipper = make_shipper(settings, settings.dsn, chore=Leading(settings) if once else None)
    if origin is not None:
        count = adopt(shipper.spool, origin)
        say(f"{'1 segment' if count == 1 else f'{count:,} segments'} taken over from {origin}.")
    if once:
        try:
            ship_once(shipper)
        finally:
            shipper.close()
        if not feed_once(settings, say):
            raise click.exceptions.Exit(1)
    else:
        ship_until_told(shipper, settings)
    say(f"{'1 event' if shipper.stored == 1 else f'{shipper.stored:,} events'} shipped to {settings.dsn.shown}.")


def ship_once(shipper: Shipper) -> None:
    if not shipper.spool.lead():
        leader = shipper.spool.leader()
        raise UsageTrackerError(
            f"process {leader[0] if leader else '?'} ships this folder already; its events need no help from here"
        )
    with Garbage() as garbage:
        while shipper.step():
            garbage.collect()
    shipper.fold()


def ship_until_told(shipper: Shipper, settings: Settings) -> None:
    """Ship in a thread, so that a store that hangs does not hold up the end."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    assert settings.dsn is not None
    say(f"Shipping {settings.spool_dir} to {settings.dsn.shown}; Ctrl-C ends it.")
    shipping = threading.Thread(target=ship_until, args=(shipper, stopping, settings.batch_seconds), daemon=True)
    shipping.start()
    while not stopping.wait(1.0):  # a signal that another thread gets wakes no wait without a limit
        continue
    shipper.spool.ring()
    shipping.join(settings.exit_timeout)


def ship_until(shipper: Shipper, stopping: threading.Event, pause: float) -> None:
    """Lead as soon as nobody else does; wait out a store, or a folder, that can't be used, and errors of ours."""
    with Garbage() as garbage:
        while not stopping.is_set():
            with guarded("ship"):
                ship_batches(shipper, stopping, pause, garbage)
            stopping.wait(pause)
    with suppress(StoreError, OSError):
        shipper.step()
    shipper.close()


def ship_batches(shipper: Shipper, stopping: threading.Event, pause: float, garbage: Garbage) -> None:
    failures = 0
    while not stopping.is_set():
        garbage.collect()
        try:
            if not shipper.spool.lead() or (not shipped(shipper) and not shipper.spool.listen(pause)):
                stopping.wait(pause)
            failures = 0
        except (StoreError, SpoolUnusable, OSError) as error:
            failures += 1
            if failures == 1:
                say(f"Events wait: {error}")
            shipper.spool.say("waiting")
            stopping.wait(min(LONGEST_BACK_OFF, 0.5 * 2 ** min(failures, 6)))
        else:
            shipper.spool.say("leading")


def shipped(shipper: Shipper) -> bool:
    """Ship a batch; whether more is waiting. It folds what others append, also while there is nothing to ship."""
    shipper.connect()
    return shipper.step()
