"""`usage-tracker migrate`: the store's schema, brought up to date, and what its roles need."""

from collections.abc import Iterator, Mapping
from contextlib import closing

import click

from usage_tracker.cli.options import dsn_option
from usage_tracker.cli.output import emit, say
from usage_tracker.dsn import Dsn
from usage_tracker.stores import open_store
from usage_tracker.stores.grants import FILES, grants


@click.command(
    help="""Bring the store's schema up to date, and print the migrations that were applied.

    Programs do so themselves where their role may. Run this as the schema's owner where they may not, or before an
    upgrade. It may run at any time and any number of times.

    \b
    For roles of their own in Postgres, which have to exist, the owner runs:
      usage-tracker migrate --print-grants --writer app --shipper sidecar --reader bi | psql "$OWNER_DSN"
    and does so again after each migration.
    """
)
@dsn_option
@click.option(
    "--print-grants",
    is_flag=True,
    help="Print what roles need, as SQL, and change nothing: those named below or, without a name, usage_writer, "
    "usage_shipper, usage_reader, usage_exporter and usage_feeder.",
)
@click.option("--writer", metavar="ROLE", help="Of programs that ship their own events; it can't read them.")
@click.option("--shipper", metavar="ROLE", help="Of `usage-tracker ship`: a writer that also folds.")
@click.option("--reader", metavar="ROLE", help="Of reports and BI tools; it changes nothing.")
@click.option(
    "--exporter", metavar="ROLE", help="Of `usage-tracker export --to`: a reader that notes what it has exported."
)
@click.option("--feeder", metavar="ROLE", help="Of a program that feeds sinks: a reader that notes what it has sent.")
def migrate(dsn: Dsn, print_grants: bool, **roles: str | None) -> None:
    named = {kind: role for kind, role in roles.items() if role}
    if print_grants:
        emit(grants_of(named or {kind: f"usage_{kind}" for kind in FILES}))
        return
    if named:
        raise click.UsageError(f"--{next(iter(named))} goes with --print-grants")
    with closing(open_store(dsn)) as store:
        applied = store.migrate()
    emit(f"{name}\n" for name in applied)
    say(f"The schema of {dsn.shown} is up to date.")


def grants_of(roles: Mapping[str, str]) -> Iterator[str]:
    """One script, which grants everything or nothing."""
    yield "BEGIN;\n"
    for kind, role in roles.items():
        yield f"\n{grants(kind, role)}"
    yield "\nCOMMIT;\n"
