"""What do our LLM calls cost, and who spends it? See the README."""

from usage_tracker.errors import ConfigError, StoreError, UsageTrackerError
from usage_tracker.freezing import flush_after
from usage_tracker.measuring import measure
from usage_tracker.scopes import attribute, wrap
from usage_tracker.tracker import Stats, flush, install, record, stats, uninstall

__all__ = [
    "ConfigError",
    "Stats",
    "StoreError",
    "UsageTrackerError",
    "attribute",
    "flush",
    "flush_after",
    "install",
    "measure",
    "record",
    "stats",
    "uninstall",
    "wrap",
]
