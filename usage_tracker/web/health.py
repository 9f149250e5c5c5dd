"""What is known of the way from the calls to the store: settings, journal, leader, and who has reported lately."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

from usage_tracker.cli.doctor_prices import examine_books, examine_data
from usage_tracker.cli.doctor_spool import examine_spool
from usage_tracker.cli.doctor_store import examine_store
from usage_tracker.cli.figures import UNKNOWN, show_count, show_groups
from usage_tracker.cli.findings import Finding, Findings
from usage_tracker.config import Dsn, load_settings
from usage_tracker.errors import ConfigError
from usage_tracker.report import Query, Report, list_events, run
from usage_tracker.stores import Store

SPAN = timedelta(hours=24)


class Newest(NamedTuple):
    at: datetime
    ago: str


class Reporting(NamedTuple):
    """One host and SDK of the last day."""

    host: str
    sdk: str
    calls: str
    errors: str
    unpriced: str
    counted: str
    """The share of calls with known tokens."""


class Health(NamedTuple):
    findings: list[Finding]
    newest: Newest | None
    reporting: list[Reporting]


def examine(dsn: Dsn) -> list[Finding]:
    """What `usage-tracker doctor` finds on this machine, but for the SDKs: those of this process are nobody's. It opens
    connections of its own."""
    try:
        settings = load_settings(dsn=given_form(dsn))
    except ConfigError as error:
        return [Finding("settings", "can't be used", str(error))]
    findings = Findings()
    examine_store(settings, findings)
    examine_books(settings, findings)
    examine_data(findings)
    examine_spool(settings, findings)
    return findings.lines


def given_form(dsn: Dsn) -> str:
    """The address as settings take it."""
    return f"sqlite:///{quote(dsn.text)}" if dsn.scheme == "sqlite" else dsn.text


def read_newest(store: Store, now: datetime) -> Newest | None:
    """The newest call of all. Raises StoreError."""
    for event in list(list_events(store, limit=1)):
        at: datetime = event["started_at"]
        return Newest(at, ago(now - at))
    return None


def read_reporting(store: Store, now: datetime) -> Report:
    """Raises StoreError."""
    return run(store, Query(now.astimezone(UTC) - SPAN, now, ("host", "sdk")))


def reporting_rows(report: Report) -> list[Reporting]:
    hosts = show_groups("host", [row.group[0] for row in report.rows])
    sdks = show_groups("sdk", [row.group[1] for row in report.rows])
    return [
        Reporting(
            host,
            sdk,
            show_count(row.calls),
            show_count(row.errors),
            show_count(row.unpriced),
            f"{row.counted / row.calls:.0%}" if row.calls else UNKNOWN,
        )
        for host, sdk, row in zip(hosts, sdks, report.rows, strict=True)
    ]


def ago(since: timedelta) -> str:
    seconds = max(0, int(since.total_seconds()))
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' * (count != 1)} ago"
    return "just now"
