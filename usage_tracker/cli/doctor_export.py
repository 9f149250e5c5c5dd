"""What `usage-tracker doctor` finds of an export that is asked for: whether it can be made from here."""

from usage_tracker.cli.findings import Findings
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.config import Settings
from usage_tracker.errors import StoreError, UsageTrackerError
from usage_tracker.exporting import open_exporter, plan_of


def examine_export(settings: Settings, findings: Findings) -> None:
    findings.facts["export"] = None
    if settings.export_to is None or settings.dsn is None:
        return
    facts: dict[str, object] = {"address": None, "format": settings.export_format, "problem": None}
    try:
        with reading(settings.dsn) as store:
            facts["address"] = open_exporter(store, plan_of(settings)).destination.shown
    except (NothingYet, StoreError):
        return  # the store's own examination says why
    except UsageTrackerError as error:
        facts["problem"] = str(error)
        findings.add("export", "nothing is exported from here to TRACKER_EXPORT_TO", str(error))
    else:
        findings.add("export", f"{settings.export_format} to {facts['address']}")
    findings.facts["export"] = facts
