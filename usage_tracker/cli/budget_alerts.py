"""`usage-tracker budget alerts`: what was alerted, and whether alerts arrive where they should."""

import json
import time
from datetime import UTC, datetime
from uuid import uuid4

import click

from usage_tracker.budgets.receivers import Receiver, receivers_of
from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import UNKNOWN, printable
from usage_tracker.cli.options import dsn_option
from usage_tracker.cli.output import emit, say
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.config import load_settings
from usage_tracker.dsn import Dsn
from usage_tracker.outgoing import NotSent
from usage_tracker.stores import Store

MOST_SHOWN = 50


@click.command(
    help="""The newest alerts, and whether they were sent; with --test, send one now to every receiver.

    \b
    Where alerts go is said to the programs that send them, those that ship (or `usage-tracker ship`):
      TRACKER_ALERT_WEBHOOK   https://…, several with commas; JSON, signed with TRACKER_ALERT_SECRET
      TRACKER_ALERT_SLACK     https://hooks.slack.com/services/…
      TRACKER_ALERT_SMTP      smtp://user:password@host:587, with
      TRACKER_ALERT_EMAIL     ops@example.com and TRACKER_ALERT_FROM
    """
)
@click.option("--test", "testing", is_flag=True, help="Send one to every receiver that the environment names.")
@dsn_option
def alerts(testing: bool, dsn: Dsn) -> None:
    if testing:
        test(receivers_of(load_settings()))
        return
    try:
        with reading(dsn) as store:
            rows = read_alerts(store)
    except NothingYet:
        rows = []
    if not rows:
        say(
            "No alerts yet. Where no receiver is named, they go into the log of the process that ships; "
            "`usage-tracker budget alerts --help` says how to name one, and with --test, one is sent now."
        )
        return
    from usage_tracker.cli.table import render_table

    columns = [
        Column("Raised", [moment(float(str(row[0]))) for row in rows], fixed=True),
        Column("Alert", [printable(json.loads(str(row[1]))["text"]) for row in rows]),
        Column("To", [str(row[2]).partition(":")[0] for row in rows], fixed=True),
        Column("Sent", [UNKNOWN if row[3] is None else moment(float(str(row[3]))) for row in rows], fixed=True),
        Column("Tries", [str(row[4]) for row in rows], number=True, rank=1),
    ]
    emit([render_table("Alerts", columns, (), instead=None)])


def read_alerts(store: Store) -> list[tuple[object, ...]]:
    """The newest first. Raises StoreError."""
    sql = (
        f"SELECT raised_at, message, receiver, sent_at, tries FROM {store.dialect.prefix}budget_alert "  # noqa: S608
        f"ORDER BY raised_at DESC, subject, threshold LIMIT {MOST_SHOWN}"
    )
    return list(store.select(sql))


def moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def test(receivers: list[Receiver]) -> None:
    """Raises Exit(1) where one did not take it."""
    if not receivers:
        raise click.UsageError("no receiver is named; set TRACKER_ALERT_WEBHOOK, _SLACK, or _SMTP and _EMAIL")
    failed = False
    for receiver in receivers:
        message = {
            "id": uuid4().hex,
            "at": f"{moment(time.time())}Z",
            "kind": "test",
            "text": "A test of usage-tracker.",
        }
        try:
            receiver.send(message)
        except NotSent as reason:
            failed = True
            say(f"{receiver.name.partition(':')[0]}: {reason}")
        else:
            say(f"{receiver.name.partition(':')[0]}: sent to {receiver.shown}")
    if failed:
        raise click.exceptions.Exit(1)
