"""The calls one by one: a page of them, and what comes after it."""

from contextlib import closing
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from usage_tracker.cli.events import show_time, words
from usage_tracker.cli.figures import show_count, show_duration, show_money
from usage_tracker.report import Event, Range, list_events
from usage_tracker.stores import Store
from usage_tracker.web.parameters import Parameter, switch
from usage_tracker.web.view import View

ROWS = 100
LIVE_SECONDS = 3


class Cursor(NamedTuple):
    """The last call of a page; the next page begins after it."""

    at: datetime
    event_id: str

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.event_id}"


def read_cursor(text: str) -> Cursor:
    at, _, event_id = text.partition("~")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise ValueError("this is no place in the list of calls") from None
    if moment.tzinfo is None or not event_id or moment.year > 9998:
        raise ValueError("this is no place in the list of calls")
    return Cursor(moment, event_id)


AFTER = Parameter("after", "The last call of the page before.", read_cursor)
LIVE = switch("live", "Whether new calls appear by themselves.", default=False)


class Line(NamedTuple):
    event_id: str
    time: str
    provider: str
    model: str
    operation: str
    whose: str
    status: str
    error: str
    input: str
    output: str
    took: str
    cost: str


class EventsPage(NamedTuple):
    lines: list[Line]
    following: Cursor | None
    """Where older ones begin; None: these are all."""


def read_page(store: Store, asked: Range, view: View, after: Cursor | None) -> EventsPage:
    """A page of calls, the newest first. Raises StoreError."""
    until = asked.until if after is None else min(asked.until, after.at + timedelta(microseconds=1))
    wanted, least = ROWS + 1, ROWS + 1
    while True:
        with closing(list_events(store, asked.since, until, view.where, wanted)) as found:
            read = list(found)
        events = [event for event in read if after is None or place(event) < (after.at, after.event_id)]
        # calls of the very instant of the cursor were read again; there may be any number of them
        if len(events) >= least or len(read) < wanted:
            break
        wanted *= 2
    shown = list(islice(events, ROWS))
    costs = show_money(event["cost"] for event in shown)
    more = len(events) > ROWS
    last = Cursor(shown[-1]["started_at"], shown[-1]["event_id"]) if more else None
    return EventsPage([line(event, cost, view) for event, cost in zip(shown, costs, strict=True)], last)


def place(event: Event) -> tuple[datetime, str]:
    return event["started_at"], event["event_id"]


def line(event: Event, cost: str, view: View) -> Line:
    whose = [event[name] for name in ("project", "user_id") if event[name]]
    return Line(
        event["event_id"],
        show_time(event["started_at"], view.zone),
        words(event["provider"]),
        words(event["model"] or event["request_model"]),
        words(event["operation"]),
        words(" · ".join(whose)),
        words(event["status"]),
        words(event["error_type"]) if event["error_type"] else "",
        show_count(event["input_tokens"]),
        show_count(event["output_tokens"]),
        show_duration(event["duration_ms"]),
        cost,
    )
