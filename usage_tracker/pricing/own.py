"""Our own small table: what the price data that we build on lacks, such as regional uplifts, fees of hosted tools,
prices by image and by second of video, and fine-tuned models. Each entry says where its figures stand, and as of when.
"""

from functools import cache
from importlib.resources import files

from usage_tracker.pricing.book import Book
from usage_tracker.pricing.reading import read_book

AS_OF = "2026-11-29"


@cache
def own_prices() -> Book:
    """The table, in the form of a price book. Its entries all count, in order, not only the first that matches."""
    text = (files("usage_tracker.pricing") / "own.toml").read_text(encoding="utf-8")
    return Book(read_book(text, "own.toml").entries, AS_OF, "own")
