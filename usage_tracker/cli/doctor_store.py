"""What `usage-tracker doctor` finds of the store."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from usage_tracker.cli.figures import show_bytes, show_count, show_range
from usage_tracker.cli.findings import Findings
from usage_tracker.config import Settings
from usage_tracker.dsn import Dsn
from usage_tracker.errors import SchemaError, StoreError
from usage_tracker.instants import to_moment
from usage_tracker.plain_values import plain, plain_fields
from usage_tracker.report.kept import find_kept
from usage_tracker.report.listing import list_events
from usage_tracker.stores import Store, migrations, open_store
from usage_tracker.stores.description import Description

SKEW = timedelta(seconds=5)
"""By how much two clocks may differ before hours and days of calls are not what they seem."""
NEWEST = 1000
"""How many calls are looked at for what no total is kept of."""
MANY_UNFOLDED = 200_000
"""Rows that take a report noticeably longer."""


def examine_store(settings: Settings, findings: Findings) -> None:
    dsn = settings.dsn
    if dsn is None:
        findings.facts["store"] = None
        findings.add("store", "none: TRACKER_SHIP is off, so another process ships")
        return
    facts: dict[str, object] = {"address": dsn.shown, "kind": dsn.scheme, "there": False, "problem": None}
    findings.facts["store"] = facts
    if dsn.scheme == "sqlite" and not Path(dsn.text).exists():
        findings.add("store", f"{dsn.shown} (not there yet; the first event makes it)")
        return
    with closing(open_store(dsn)) as store:
        try:
            examine_schema(dsn, store, findings, facts)
            try:
                examine_content(store, findings, facts)
            except SchemaError:
                findings.add("server", "this role may not look further, which a writer need not")
        except StoreError as error:
            facts["problem"] = str(error)
            findings.add("store", dsn.shown, str(error))


def examine_schema(dsn: Dsn, store: Store, findings: Findings, facts: dict[str, object]) -> None:
    """Raises StoreError, where it can't be read."""
    applied = migrations.applied_in(store)
    known = migrations.migrations(store.dialect.name)
    newest = list(applied.values())[-1] if applied else None
    facts["there"] = True
    schema: dict[str, object] = {"newest": newest, "known": known[-1].name, "missing": []}
    facts["schema"] = schema
    findings.add("store", f"{dsn.shown} (schema {newest})")
    try:
        missing = [migration.name for migration in migrations.missing(applied, store.dialect.name)]
    except SchemaError as error:
        findings.add("schema", f"newer than this version knows: {newest}", str(error))
    else:
        schema["missing"] = missing
        if missing:
            findings.add("schema", f"lacks {', '.join(missing)}", "run `usage-tracker migrate` as the schema's owner")


def examine_content(store: Store, findings: Findings, facts: dict[str, object]) -> None:
    """Raises SchemaError where this role may not read, and StoreError."""
    before = datetime.now(UTC)
    seen = store.describe()
    skew = seen.now - before - (datetime.now(UTC) - before) / 2
    examine_server(seen, skew, findings, facts)
    examine_partitions(seen, findings, facts)
    examine_kept(store, findings, facts)
    examine_counts(store, findings, facts)


def examine_server(seen: Description, skew: timedelta, findings: Findings, facts: dict[str, object]) -> None:
    seconds = round(skew.total_seconds(), 3)
    facts |= {"server": seen.server, "bytes": seen.bytes, "clock_skew_seconds": seconds, "unfolded": seen.unfolded}
    facts["read_only"] = seen.read_only
    only_reads = "; it only reads, as a replica does, and programs can't store there" if seen.read_only else ""
    findings.add("server", f"{seen.server}, {show_bytes(seen.bytes)}{only_reads}")
    if abs(skew) > SKEW:
        way = "ahead of" if seconds > 0 else "behind"
        remedy = "let both machines take their time from NTP: a call is counted in the hour that its machine says"
        findings.add("clock", f"the store's is {abs(seconds):,.0f} s {way} this machine's", remedy)
    else:
        findings.add("clock", "that of the store agrees with this machine's")
    if seen.unfolded > MANY_UNFOLDED:
        findings.add(
            "rollups",
            f"{show_count(seen.unfolded)} rows wait to be folded, which makes reports slow",
            "let `usage-tracker ship` run with a role that may fold: `usage-tracker migrate --print-grants`",
        )


def examine_partitions(seen: Description, findings: Findings, facts: dict[str, object]) -> None:
    facts["partitions"] = [plain_fields(partition._asdict()) for partition in seen.partitions]
    dated = [(part.since, part.until) for part in seen.partitions if part.since is not None and part.until is not None]
    if not seen.partitions:
        return
    first, last = (min(since for since, _ in dated), max(until for _, until in dated)) if dated else (None, None)
    there = any(since <= seen.now < until for since, until in dated)
    remedy = None if there else "run `usage-tracker migrate` as the schema's owner, once a month or more often"
    span = show_range(first, last, UTC) if dated else "none"
    found = f"{len(dated)} ({span}), {show_bytes(sum(part.bytes for part in seen.partitions))}"
    findings.add("partitions", found if there else f"{found}; none for today", remedy)


def examine_kept(store: Store, findings: Findings, facts: dict[str, object]) -> None:
    kept = find_kept(store)
    since = None if kept is None else to_moment(kept.since)
    facts["events_since"] = plain(since)
    if since is not None:
        findings.add("events", f"{show_range(since, None, UTC)}; earlier ones were pruned, reports keep their sums")


def examine_counts(store: Store, findings: Findings, facts: dict[str, object]) -> None:
    """Whether providers' counts of tokens contradict each other, of late."""
    flags = [event["cost_flags"] for event in list_events(store, limit=NEWEST)]
    contradicting = sum("sum_mismatch" in each for each in flags)
    facts["counts"] = {"calls": len(flags), "contradicting": contradicting}
    if contradicting:
        findings.add(
            "counts",
            f"those of providers contradict each other in {show_count(contradicting)} of the newest "
            f"{show_count(len(flags))} calls; `usage-tracker events --where flag=sum_mismatch` lists them",
        )
