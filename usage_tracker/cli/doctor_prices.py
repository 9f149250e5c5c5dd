"""What `usage-tracker doctor` finds of prices: the books, and how old the data is."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from usage_tracker.cli.findings import Findings
from usage_tracker.cli.price_books import stored_book_in
from usage_tracker.config import Settings
from usage_tracker.dsn import Dsn
from usage_tracker.errors import ConfigError, StoreError
from usage_tracker.pricing import newest_data
from usage_tracker.pricing.genai import GenaiPrices
from usage_tracker.pricing.newer import data_file
from usage_tracker.pricing.reading import load_book

EPOCH = date(1970, 1, 1)
OLD_DAYS = 90
"""Providers have come out with new models by then."""


def examine_books(settings: Settings, findings: Findings) -> None:
    """While a price book has a mistake, calls may be stored without a cost."""
    books: list[dict[str, object]] = []
    findings.facts["price_books"] = books
    for place in (settings.prices, settings.dsn):
        if place is None:
            continue
        where = place.shown if isinstance(place, Dsn) else str(place)
        try:
            book = stored_book_in(place) if isinstance(place, Dsn) else load_book(place)
        except ConfigError as error:
            books.append({"place": where, "version": None, "entries": None, "problem": str(error)})
            findings.add("prices", f"the price book in {where}", str(error))
        except StoreError:
            continue  # said of the store already
        else:
            if book is not None:
                count = len(book.entries)
                books.append({"place": where, "version": book.version, "entries": count, "problem": None})
                findings.add("prices", f"{count} of your own in {where} (version {book.version})")


def examine_data(findings: Findings) -> None:
    """The data of genai-prices, which is as new as its package or the last `prices update`."""
    data = newest_data()
    path = data_file() if os.path.exists(data_file()) else bundled_file()
    taken = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    today = datetime.now(UTC).date()
    newest = newest_price(data, today)
    age = (today - taken).days
    findings.facts["price_data"] = {
        "version": data.version,
        "taken_on": taken.isoformat(),
        "age_days": age,
        "newest_price_of": None if newest is None else newest.isoformat(),
    }
    remedy = "upgrade genai-prices, or run `usage-tracker prices update`" if age > OLD_DAYS else None
    latest = f"; its newest price is of {newest}" if newest else ""
    taken_when = {0: "today", 1: "yesterday"}.get(age, f"{age} days ago")
    findings.add("price data", f"genai-prices {data.version}, taken {taken_when}{latest}", remedy)


def bundled_file() -> Path:
    import genai_prices.data

    return Path(os.path.abspath(genai_prices.data.__file__))


def newest_price(data: GenaiPrices, today: date) -> date | None:
    """The latest day on which a price of the data began to hold."""
    days = (EPOCH + timedelta(days=day) for day in data.change_days())
    return max((day for day in days if day <= today), default=None)
