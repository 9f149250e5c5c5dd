"""Questions answered from a store. Every face (command line, dashboard, exports) reads through here."""

from usage_tracker.report.comparison import previous
from usage_tracker.report.conditions import Condition, parse_condition
from usage_tracker.report.dialects import has_schema
from usage_tracker.report.dimensions import DIMENSIONS, UNITS
from usage_tracker.report.following import Following
from usage_tracker.report.listing import (
    Event,
    Original,
    export_events,
    find_event,
    find_original,
    list_events,
)
from usage_tracker.report.query import Query, Report, Row, no_calls, run
from usage_tracker.report.ranges import Range, midnight, months_later, parse_period, parse_range, parse_zone
from usage_tracker.report.ranking import OTHERS

__all__ = [
    "DIMENSIONS",
    "OTHERS",
    "UNITS",
    "Condition",
    "Event",
    "Following",
    "Original",
    "Query",
    "Range",
    "Report",
    "Row",
    "export_events",
    "find_event",
    "find_original",
    "has_schema",
    "list_events",
    "midnight",
    "months_later",
    "no_calls",
    "parse_condition",
    "parse_period",
    "parse_range",
    "parse_zone",
    "previous",
    "run",
]
