"""Questions answered from a store. Every face (command line, dashboard, exports) reads through here."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from usage_tracker.conditions import Condition
from usage_tracker.report.comparison import previous
from usage_tracker.report.conditions import MOST_CONDITIONS, parse_condition, parse_conditions
from usage_tracker.report.dialects import has_schema
from usage_tracker.report.dimensions import DIMENSIONS, FILTERS, TAGGED, UNITS, is_dimension
from usage_tracker.report.figures import Figures
from usage_tracker.report.following import Following
from usage_tracker.report.groups import reads_every_event
from usage_tracker.report.latency import MOST_EVENTS
from usage_tracker.report.listing import (
    Event,
    Original,
    export_events,
    find_anywhere,
    find_event,
    find_near,
    find_original,
    list_events,
)
from usage_tracker.report.query import Query, Report, Row, answer, no_calls, run
from usage_tracker.report.question import CostBasis
from usage_tracker.report.ranges import Range, both_ends, parse_period, parse_range
from usage_tracker.report.ranking import OTHERS

__all__ = [
    "DIMENSIONS",
    "FILTERS",
    "MOST_CONDITIONS",
    "MOST_EVENTS",
    "OTHERS",
    "TAGGED",
    "UNITS",
    "Condition",
    "CostBasis",
    "Event",
    "Figures",
    "Following",
    "Original",
    "Query",
    "Range",
    "Report",
    "Row",
    "answer",
    "both_ends",
    "export_events",
    "find_anywhere",
    "find_event",
    "find_near",
    "find_original",
    "has_schema",
    "is_dimension",
    "list_events",
    "no_calls",
    "parse_condition",
    "parse_conditions",
    "parse_period",
    "parse_range",
    "previous",
    "reads_every_event",
    "run",
]


class CallableModule(ModuleType):
    """This package is also what users call: `usage_tracker.report(by="model")`.

    The import system binds the package to that name, whoever imports it first, so the name has to answer for both, also
    when it is asked in a notebook what it takes and does (`usage_tracker.report?`).
    """

    @property
    def __call__(self) -> Any:
        return import_module("usage_tracker.notebook").report

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        return signature(self.__call__)

    @property
    def __doc__(self) -> Any:  # type: ignore[override]  # that of a module is a text
        return self.__call__.__doc__


sys.modules[__name__].__class__ = CallableModule
del __doc__  # where it has one of its own, CPython 3.14 takes that once it has been asked twice, and not the property's
