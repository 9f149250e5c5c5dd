"""What `usage-tracker doctor` finds of sinks: whether each can be opened, and how far it is behind."""

import time

from usage_tracker.cli.findings import Findings
from usage_tracker.cli.sinks import described, lag
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.config import Settings
from usage_tracker.errors import ConfigError, RightsError, StoreError
from usage_tracker.sinks import Standing, load_sink, standings

LATE_SECONDS = 300.0
LATELY_SECONDS = 86_400.0


def examine_sinks(settings: Settings, findings: Findings) -> None:
    findings.facts["sinks"] = []
    for address in settings.sinks:
        try:
            load_sink(address)
        except ConfigError as error:
            findings.add("sink", f"{address.name} can't be fed from here", str(error))
    if settings.dsn is None:
        return
    try:
        with reading(settings.dsn) as store:
            found = standings(store)
    except RightsError as error:
        if settings.sinks and settings.ship:
            findings.add("sink", "none is fed from here, with this role", str(error))
        return
    except (NothingYet, StoreError):
        return  # the store's own examination says why
    findings.facts["sinks"] = [described(standing) for standing in found]
    for standing in found:
        findings.add("sink", f"{standing.name} ({standing.shown}): {lag(standing)}", remedy(standing))
    for address in settings.sinks:
        if address.name not in {standing.name for standing in found}:
            findings.add("sink", f"{address.name} ({address.shown}): not fed yet")


def remedy(standing: Standing) -> str | None:
    if standing.problem:
        return f"{standing.problem}; it is tried again, and nothing is lost"
    if standing.waiting_since is not None and time.time() - standing.waiting_since > LATE_SECONDS:
        if standing.fed_by is None:
            return f"nobody feeds it: name it in TRACKER_SINKS, or `usage-tracker sinks forget {standing.name}`"
        return "its receiver takes less than comes: see whether it can take more"
    if standing.refused_at is not None and time.time() - standing.refused_at < LATELY_SECONDS:
        return f"its receiver refuses events, and goes without them; see `usage-tracker sinks refused {standing.name}`"
    return None
