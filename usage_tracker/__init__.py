"""What do our LLM calls cost, and who spends it?

    import usage_tracker.auto  # or usage_tracker.install(…): each call of a model is recorded from then on

`usage-tracker report` tells. What `__all__` names is for apps, and so are `usage_tracker.auto`,
`usage_tracker.frameworks` and `usage_tracker.testing`; other modules are ours to change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from usage_tracker.errors import BudgetExceeded, ConfigError, StoreError, UsageTrackerError
from usage_tracker.freezing import flush_after
from usage_tracker.measuring import measure
from usage_tracker.recording import record
from usage_tracker.scopes import attribute, wrap
from usage_tracker.tracker import Stats, flush, install, stats, uninstall

if TYPE_CHECKING:
    from usage_tracker.notebook import report

__all__ = [
    "BudgetExceeded",
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
    "report",
    "stats",
    "uninstall",
    "wrap",
]


def __getattr__(name: str) -> Any:
    """`report` is imported when it is used: an app that only records never needs it."""
    if name == "report":
        return import_module("usage_tracker.report")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
