"""Budgets made up for tests, and what a process knows of them."""

import time
from decimal import Decimal
from typing import Any

from usage_tracker.budgets.accounts import start_of
from usage_tracker.budgets.amounts import whole
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.view import View


def budget(**said: Any) -> Budget:
    return Budget(**{"name": "b", "limit": Decimal(1), "per": "day", "on_limit": "block", **said})


def known(*budgets: Budget, spent: str = "0", part: str = "", age: float = 0.0) -> View:
    """What the store said, so many seconds ago."""
    now = time.time()
    return View(
        read_at=now - age,
        budgets=list(budgets),
        used={each.name: {part: whole(Decimal(spent), each.measure)} for each in budgets},
        since={each.name: start_of(each, now) for each in budgets},
    )
