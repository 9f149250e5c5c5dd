"""`usage-tracker migrate`: the store's schema, brought up to date."""

import click

from usage_tracker.cli.options import dsn_option
from usage_tracker.cli.output import emit, say
from usage_tracker.config import Dsn
from usage_tracker.stores import open_store


@click.command(
    help="""Bring the store's schema up to date, and print the migrations that were applied.

    Programs do so themselves where their role may. Run this as the schema's owner where they may not, or before an
    upgrade. It may run at any time and any number of times.
    """
)
@dsn_option
def migrate(dsn: Dsn) -> None:
    store = open_store(dsn)
    try:
        applied = store.migrate()
    finally:
        store.close()
    emit(f"{name}\n" for name in applied)
    say(f"The schema of {dsn.shown} is up to date.")
