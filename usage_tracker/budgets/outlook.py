"""Where a window is heading at the pace so far, and where a budget stands: spent, left, when it will be hit."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from usage_tracker.budgets.budget import Budget, rolls
from usage_tracker.budgets.windows import Window

LEAST_SHARE = Decimal("0.02")
"""Of a window that has begun only now nothing is known of its pace."""


class Outlook(NamedTuple):
    """One part of a budget, at one moment."""

    budget: Budget
    part: str
    window: Window
    spent: Decimal
    calls: int
    unpriced: int
    projected: Decimal | None
    """What it will have used by the end of the window, if it goes on as it did; None: nobody knows, or it rolls."""
    hit_at: datetime | None
    """When the limit will be reached at that pace; None: not within the window, or it has been."""

    @property
    def left(self) -> Decimal:
        return self.budget.limit - self.spent

    @property
    def share(self) -> Decimal:
        return self.spent / self.budget.limit

    @property
    def over(self) -> bool:
        return self.spent >= self.budget.limit

    @property
    def resets_at(self) -> datetime | None:
        """None where the window rolls."""
        return None if rolls(self.budget) else self.window.end


def project(spent: Decimal, window: Window, now: datetime) -> Decimal | None:
    """What will have been spent by the end of the window, if it goes on as it did; None: it has begun only now."""
    passed = Decimal((now - window.start) / timedelta(seconds=1))
    length = Decimal((window.end - window.start) / timedelta(seconds=1))
    return spent * length / passed if passed >= length * LEAST_SHARE else None


def look_ahead(
    budget: Budget, part: str, window: Window, spent: Decimal, calls: int, unpriced: int, now: datetime
) -> Outlook:
    projected = hit_at = None
    if not rolls(budget):
        projected = project(spent, window, now)
        if projected is not None and projected >= budget.limit > spent:
            hit_at = now + (now - window.start) * float((budget.limit - spent) / spent)
    return Outlook(budget, part, window, spent, calls, unpriced, projected, hit_at)
