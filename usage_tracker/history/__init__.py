"""Usage that others have recorded, brought into a store: each call once."""

from usage_tracker.history.importing import Brought, Found, Importer, Source

__all__ = ["Brought", "Found", "Importer", "Source"]
