"""The errors that usage_tracker raises on purpose. Each message is one sentence and a remedy; none carries a secret."""


class UsageTrackerError(Exception):
    """Root of every error that usage_tracker raises."""


class ConfigError(UsageTrackerError):
    """A setting can't be used as given. Raised by `install()` and the command line only, never inside a patched
    call."""


class StoreError(UsageTrackerError):
    """The store could not do what was asked; nothing was written."""


class StoreUnavailable(StoreError):
    """The store can't be reached or can't work right now; the same request may succeed later."""


class EventsRefused(StoreError):
    """The store understood the batch and refuses its content; a smaller batch finds the event at fault."""


class QueryError(UsageTrackerError):
    """A user's own SQL that the store can't run, in the store's words."""


class SchemaError(StoreError):
    """The store's schema is missing, older or newer than this version needs, and may not be changed from here."""
