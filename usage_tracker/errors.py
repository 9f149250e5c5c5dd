"""The errors that usage_tracker raises on purpose. Each message is one sentence and a remedy; none carries a secret."""

from datetime import datetime
from decimal import Decimal


class UsageTrackerError(Exception):
    """Root of every error that usage_tracker raises."""


class ConfigError(UsageTrackerError):
    """A setting can't be used as given. Raised by `install()` and the command line only, never inside a patched
    call."""


class StoreError(UsageTrackerError):
    """The store could not do what was asked; nothing was written."""


class StoreUnavailable(StoreError):
    """The store can't be reached or can't work right now; the same request may succeed later."""


class StoreLost(StoreUnavailable):
    """This process can't use the store any more; another one can."""


class EventsRefused(StoreError):
    """The store understood the batch and refuses its content; a smaller batch finds the event at fault."""


class QueryError(UsageTrackerError):
    """A user's own SQL that the store can't run, in the store's words."""


class SchemaError(StoreError):
    """The store's schema is missing, older or newer than this version needs, and may not be changed from here."""


class SchemaTooNew(SchemaError):
    """This version doesn't know what the schema has; a process of a newer one can use the store."""


class RightsError(SchemaError):
    """This role may not do that in the store."""


class BudgetExceeded(UsageTrackerError):
    """A budget whose owner chose to refuse calls has no room for this one: no request was made.

    The one error of ours that a model call may raise. It is no error of any SDK, so that what retries those doesn't
    retry this one.
    """

    def __init__(
        self,
        sentence: str,
        *,
        budget: str,
        part: str | None = None,
        measure: str = "cost",
        spent: Decimal | None = None,
        limit: Decimal | None = None,
        resets_at: datetime | None = None,
    ) -> None:
        super().__init__(sentence)
        self.budget = budget
        """The budget's name."""
        self.part = part
        """Whose share it is, of a budget that gives one to each user, team, …; None: it has only one."""
        self.measure = measure
        """What is limited: `cost` (US dollars), `tokens` or `calls`."""
        self.spent = spent
        """As far as it is known, what was used of it; None: that could not be known."""
        self.limit = limit
        self.resets_at = resets_at
        """When there is room again; None: with time, as calls of a rolling window grow old."""

    def __reduce__(self) -> tuple[object, ...]:
        return restored, (str(self), vars(self))


def restored(sentence: str, said: dict[str, object]) -> BudgetExceeded:
    """What was pickled, as by a pool of processes."""
    error = BudgetExceeded(sentence, budget="")
    error.__dict__.update(said)
    return error
