"""What `usage-tracker doctor` finds of budgets: how many there are, and whether this role can be held to them."""

import time

from usage_tracker.budgets.accounts import window_of
from usage_tracker.budgets.book import read_budgets
from usage_tracker.budgets.rights import remedy, role_of
from usage_tracker.cli.findings import Findings
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.config import Settings
from usage_tracker.errors import RightsError, StoreError
from usage_tracker.spending import read_used


def examine_budgets(settings: Settings, findings: Findings) -> None:
    facts: dict[str, object] = {"names": [], "problem": None}
    findings.facts["budgets"] = facts
    if settings.dsn is None:
        return
    try:
        with reading(settings.dsn) as store:
            budgets = read_budgets(store)
            facts["names"] = [budget.name for budget in budgets]
            try:
                read_used(store, {budget: window_of(budget, time.time()) for budget in budgets})
            except RightsError:
                role = role_of(store)
                facts["problem"] = why = f"the role {role!r} may not read what was spent"
                findings.add("budgets", f"{len(budgets)}, to which nobody is held here: {why}", remedy(role))
            else:
                if budgets:
                    off = " (TRACKER_BUDGETS is off: no call is held to them)" if settings.budgets == "off" else ""
                    findings.add("budgets", f"{len(budgets)}{off}")
    except (NothingYet, StoreError):
        return  # the store's own examination says why
