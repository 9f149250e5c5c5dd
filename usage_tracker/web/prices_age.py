"""How old the price data is that calls are priced by."""

from datetime import UTC, date, datetime
from typing import NamedTuple

from usage_tracker.cli.doctor_prices import newest_price
from usage_tracker.pricing import newest_data

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
    return PriceData(source.version, newest_price(source, datetime.now(UTC).date()))
