"""What a reader should know of events that were pruned."""

from datetime import tzinfo

from usage_tracker.cli.figures import show_range
from usage_tracker.instants import to_instant, to_moment
from usage_tracker.report import Query
from usage_tracker.report.kept import Kept, find_kept, lacks, lacks_prices, lacks_timings
from usage_tracker.stores import Store


def listing_note(store: Store, query: Query) -> str | None:
    """A sentence where calls of the range can't be listed one by one any more. Raises StoreError."""
    return note_on_list(find_kept(store), query)


def note_on_list(kept: Kept | None, query: Query) -> str | None:
    """The same where it is known already from when on there are events."""
    if kept is None or (query.since is not None and to_instant(query.since) >= kept.since):
        return None
    if query.until is not None and to_instant(query.until) <= kept.first:
        return None
    return f"Calls {show_gone(kept, query.tz)} were pruned; `usage-tracker report` still counts them."


def report_note(store: Store, query: Query) -> str | None:
    """A sentence where a report lacks calls, as it needs events that are gone. Raises StoreError."""
    if kept := lacks(store, query):
        return (
            f"Calls {show_gone(kept, query.tz)} were pruned and are missing here: only whole hours can still be told "
            "of them, and neither sessions nor hosts."
        )
    if kept := lacks_prices(store, query):
        return (
            f"Calls {show_gone(kept, query.tz)} were pruned: what they would cost today can't be told, and is missing "
            "here."
        )
    if kept := lacks_timings(store, query):
        return f"Calls {show_gone(kept, query.tz)} were pruned: p50 and p95 are those of the others alone."
    return None


def show_gone(kept: Kept, zone: tzinfo) -> str:
    return show_range(None, to_moment(kept.since), zone)
