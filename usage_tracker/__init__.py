"""What do our LLM calls cost, and who spends it? See the README."""

from usage_tracker.attribution import attribute
from usage_tracker.errors import BudgetExceeded, ConfigError, StoreError, UsageTrackerError
from usage_tracker.tracker import Stats, flush, install, record, stats, uninstall

__all__ = [
    "BudgetExceeded",
    "ConfigError",
    "Stats",
    "StoreError",
    "UsageTrackerError",
    "attribute",
    "flush",
    "install",
    "record",
    "stats",
    "uninstall",
]
