"""What a reader should know of events that were pruned."""

from collections.abc import Mapping
from datetime import tzinfo

from usage_tracker.cli.figures import show_range
from usage_tracker.instants import to_instant, to_moment
from usage_tracker.report import Query
from usage_tracker.report.kept import Kept, Needed, find_kept, lacks
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
    found = lacks(store, query)
    if found is None:
        return None
    needed, kept = found
    return f"Calls {show_gone(kept, query.tz)} were pruned{MISSING[needed]}"


MISSING: Mapping[Needed, str] = {
    "calls": " and are missing here: only whole hours can still be told of them, and neither sessions nor hosts.",
    "prices": ": what they would cost today can't be told, and is missing here.",
    "timings": ": p50 and p95 are those of the others alone.",
}


def show_gone(kept: Kept, zone: tzinfo) -> str:
    return show_range(None, to_moment(kept.since), zone)
