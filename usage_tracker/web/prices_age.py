"""How old the price data is that calls are priced by."""

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from usage_tracker.pricing import newest_data

EPOCH = date(1970, 1, 1)
KEPT_SECONDS = 600.0


class PriceData(NamedTuple):
    version: str
    newest: date | None
    """The day from which on its newest dated price holds."""

    def age(self, today: date) -> int | None:
        """Days since then."""
        return None if self.newest is None else max(0, (today - self.newest).days)


def price_data() -> PriceData:
    """Imports the data at its first use, which takes a moment."""
    source = newest_data()
    today = datetime.now(UTC).date()
    days = [day for days in source.change_days() if (day := EPOCH + timedelta(days=days)) <= today]
    newest = max(days, default=None)
    return PriceData(source.version, newest)
