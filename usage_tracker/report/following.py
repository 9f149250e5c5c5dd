"""Events as they come into the store."""

from collections.abc import Collection
from datetime import datetime
from typing import cast

from usage_tracker.conditions import Condition
from usage_tracker.instants import HOUR, to_instant
from usage_tracker.report.dialects import open_statement
from usage_tracker.report.listing import Event, read_window, write_tests
from usage_tracker.stores import Store

LOOK_BACK = HOUR


class Following:
    """Each event once. They come in no order: a call is stored when it has ended, and later where its journal had to
    wait. So what started within LOOK_BACK is looked at again and again."""

    def __init__(self, where: Collection[Condition] = ()) -> None:
        self._where = where
        self._seen: dict[str, int] = {}
        """When each of them started, of those that are looked at still."""

    def look(self, store: Store, now: datetime) -> list[Event]:
        """What has come since the last look, the oldest first; at the first, all of LOOK_BACK. Raises StoreError."""
        end = to_instant(now) + HOUR  # clocks of hosts differ
        start = end - HOUR - LOOK_BACK
        statement = open_statement(store.dialect)
        text = (
            f"SELECT event_id, started_at FROM {statement.events} "  # noqa: S608  our own names
            f"WHERE {' AND '.join(write_tests(statement, (start, end), self._where))}"
        )
        found = {
            cast(str, statement.read_column("event_id", name)): to_instant(
                cast(datetime, statement.read_column("started_at", at))
            )
            for name, at in store.select(text, statement.parameters)
        }
        fresh = found.keys() - self._seen.keys()
        self._seen = found
        if not fresh:
            return []
        span = min(found[name] for name in fresh), max(found[name] for name in fresh) + 1
        events = read_window(store, span, self._where, None, newest_first=False)
        return [event for event in events if event["event_id"] in fresh]
