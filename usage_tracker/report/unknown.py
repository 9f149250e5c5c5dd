"""Calls that should have said how many tokens they used, and didn't."""

from collections.abc import Callable
from dataclasses import replace

from usage_tracker.report.question import Query
from usage_tracker.report.sums import Group, Sums

WITHOUT_TOKENS = frozenset(
    {"moderation", "speech", "transcription", "translation", "image", "video", "rerank", "ocr", "search"}
)
"""Operations that may be billed by something else: characters, seconds, images, searches, or nothing."""


def count_unknown(read: Callable[[Query], dict[Group, Sums]], query: Query) -> int:
    """How many, at least, of the calls that the query counts have unknown tokens: without those that failed, and those
    of operations that need not have any. Raises StoreError.

    Each call that failed but has tokens is one too few. By status, it would take a rollup of fifty times the rows.
    """
    groups = read(replace(query, by=("operation",), percentiles=False))
    return sum(
        max(0, sums.calls - sums.errors - sums.counted - sums.awaited)
        for (operation,), sums in groups.items()
        if operation not in WITHOUT_TOKENS
    )
