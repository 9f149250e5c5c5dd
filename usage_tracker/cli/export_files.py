"""`usage-tracker export --to`: all calls as files, in a folder or an object store, brought up to date with each run."""

import signal
import threading

from usage_tracker.cli.figures import counted
from usage_tracker.cli.output import progress, say
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.cli.waiting import waiting_note
from usage_tracker.dsn import Dsn
from usage_tracker.errors import UsageTrackerError
from usage_tracker.exporting import Plan, open_exporter


def export_files(dsn: Dsn, plan: Plan, every: float | None) -> None:
    """Once, or every so many minutes until interrupted, whatever fails meanwhile."""
    if every is None:
        export_now(dsn, plan)
        return
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    while not stopping.is_set():
        try:
            export_now(dsn, plan)
        except (UsageTrackerError, OSError) as error:
            say(f"Behind, until the next round: {error}")
        stopping.wait(every * 60)


def export_now(dsn: Dsn, plan: Plan) -> None:
    try:
        with reading(dsn) as store, progress("Exporting", 0) as advance:
            exporter = open_exporter(store, plan)
            exported = exporter.run(advance)
    except NothingYet as nothing:
        say(str(nothing))
        return
    from usage_tracker.exports.places import is_remote

    place = exporter.destination.shown if is_remote(plan.to) else plan.to  # an address may have secrets
    if exported.files:
        say(f"{counted(exported.rows, 'call')} written to {counted(exported.files, 'file')} in {place}.")
    else:
        say(f"{place} is up to date.")
    if exported.kept:
        say(f"{counted(exported.kept, 'file')} left alone: calls that were pruned may be nowhere else.")
    if waiting := waiting_note(dsn):
        say(waiting)
