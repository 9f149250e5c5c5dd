"""What is known of the way from the calls to the store: settings, journal, leader, and who has reported lately."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from usage_tracker.cli.doctor_prices import examine_books, examine_data
from usage_tracker.cli.doctor_spool import NEARLY_FULL, examine_spool
from usage_tracker.cli.doctor_store import examine_store
from usage_tracker.cli.figures import UNKNOWN, counted, show_bytes, show_count, show_duration, show_groups, show_part
from usage_tracker.cli.findings import Finding, Findings
from usage_tracker.config import load_usable
from usage_tracker.config_file import with_config
from usage_tracker.dsn import Dsn
from usage_tracker.errors import ConfigError, SchemaError
from usage_tracker.host_reports import MOST_COUNTED, REPORT_SECONDS, HostReport
from usage_tracker.report import Query, Report, list_events, run
from usage_tracker.sdk_coverage import Sdk
from usage_tracker.stores import Store
from usage_tracker.stores.hosts import Said, read_reports
from usage_tracker.web.parameters import Refused
from usage_tracker.web.reading import Reader

SPAN = timedelta(hours=24)
SILENT = timedelta(seconds=3 * REPORT_SECONDS)
LATE = timedelta(minutes=2)
PATIENCE_SECONDS = 5.0
"""How long the page waits for who has reported: no sums are kept by host, so that each call of the day is read."""
REPORTING_SECONDS = 10.0
"""How long that answer is given again."""
AHEAD = timedelta(hours=1)
"""By how much the clock of a host may be ahead."""
KEPT = timedelta(days=7)
"""How long a host that says nothing any more is shown."""

decode_report = msgspec.json.Decoder(HostReport).decode


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


class Host(NamedTuple):
    """What the leader of a host's spool folder has last said."""

    host: str
    spool: str
    app: str
    leader: str
    seen: str
    waiting: str
    lag: str
    room: str
    lost: str
    sdks: list[tuple[str, bool]]
    """Each in words, and whether something of it is not watched."""
    wrong: str
    """What is to be looked at; empty where all is well."""


def examine(dsn: Dsn) -> list[Finding]:
    """What `usage-tracker doctor` finds on this machine, but for the SDKs: those of this process are nobody's. It opens
    connections of its own."""
    try:
        settings, left_out = load_usable(with_config(), dsn=dsn.setting)
    except ConfigError as error:
        return [Finding("settings", "can't be used", str(error))]
    findings = Findings()
    for sentence in left_out:
        findings.add("settings", "some are left out", sentence)
    examine_store(settings, findings)
    examine_books(settings, findings)
    examine_data(findings)
    examine_spool(settings, findings)
    return findings.lines


def read_newest(store: Store, now: datetime) -> Newest | None:
    """The newest call of all, but for those of clocks that are far ahead. Raises StoreError."""
    for event in list(list_events(store, until=now + AHEAD, limit=1)):
        at: datetime = event["started_at"]
        return Newest(at, ago(now - at))
    return None


def read_reporting(store: Store, now: datetime) -> Report:
    """Raises StoreError."""
    return run(store, Query(now.astimezone(UTC) - SPAN, now, ("host", "sdk")))


async def reporting(reader: Reader, now: datetime) -> list[Reporting] | None:
    """None where it takes too long to say, which keeps nobody from the rest of the page. Raises StoreError."""

    async def read() -> list[Reporting] | None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return reporting_rows(await reader.do(lambda store: read_reporting(store, now), slow=True))
        except (TimeoutError, Refused):
            return None

    return await reader.answers.once("reporting", read, REPORTING_SECONDS)


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
            show_part(row.counted, row.calls) if row.calls else UNKNOWN,
        )
        for host, sdk, row in zip(hosts, sdks, report.rows, strict=True)
    ]


def read_hosts(store: Store) -> list[Said]:
    """Those who have said something within some days; of a store of before they did, none. Raises StoreError."""
    try:
        return [said for said in read_reports(store) if said.ago < KEPT]
    except SchemaError:
        return []


def host_lines(reports: Iterable[Said]) -> list[Host]:
    """Those with something wrong first."""
    found = []
    for said in reports:
        with suppress(msgspec.MsgspecError):  # of a newer version
            found.append(host_line(said, decode_report(said.report)))
    return sorted(found, key=lambda line: not line.wrong)


def host_line(said: Said, report: HostReport) -> Host:
    waiting = f"{show_count(MOST_COUNTED)} or more" if report.waiting >= MOST_COUNTED else show_count(report.waiting)
    return Host(
        said.host,
        said.spool,
        report.app or "",
        f"ended in good order, process {report.pid}"
        if report.ended
        else f"process {report.pid}, Python {report.python}",
        ago(said.ago),
        waiting,
        "" if report.waiting == 0 else show_duration(report.oldest_seconds * 1000),
        f"{show_bytes(report.spool_bytes)} of {show_bytes(report.spool_max_bytes)}",
        show_count(report.dropped),
        list(map(sdk_words, report.sdks)),
        "; ".join(complaints(said, report)),
    )


def complaints(said: Said, report: HostReport) -> Iterator[str]:
    if said.ago > SILENT and not report.ended:
        yield f"silent for {ago(said.ago).removesuffix(' ago')}: it was killed, or can't reach the store"
    if report.ended and report.waiting:
        yield "its program ended with events waiting; the next one ships them, or `usage-tracker ship --once` there"
    if report.oldest_seconds > LATE.total_seconds() and not report.ended:
        yield "events wait for longer than they should"
    if report.spool_max_bytes and report.spool_bytes > NEARLY_FULL * report.spool_max_bytes:
        yield "its spool is nearly full: when it is full, new events are dropped"
    if report.dropped:
        yield f"it has dropped {counted(report.dropped, 'event')}"
    if report.refused:
        yield "the store refused events, which are set aside"
    if report.corrupt:
        yield "unreadable bytes of the journal are set aside"
    for sdk in report.sdks:
        if sdk.unpatched:
            yield f"{sdk.name} {sdk.version or ''} is not watched at {', '.join(sdk.unpatched)}: upgrade usage_tracker"


def sdk_words(sdk: Sdk) -> tuple[str, bool]:
    places = counted(sdk.patched, "place")
    missed = f", {len(sdk.unpatched)} missed" if sdk.unpatched else ""
    return f"{sdk.name} {sdk.version or '(unknown version)'}: {places}{missed}", bool(sdk.unpatched)


def ago(since: timedelta) -> str:
    seconds = max(0, int(since.total_seconds()))
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' * (count != 1)} ago"
    return "just now"
