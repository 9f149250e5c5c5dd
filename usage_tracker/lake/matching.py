"""The conditions of a report, as expressions over the table of exported events. See report.conditions."""

from typing import TYPE_CHECKING, Any

from usage_tracker.report import Condition
from usage_tracker.report.conditions import about_tags, split_pattern
from usage_tracker.report.dimensions import ARRAYS, DIMENSIONS

if TYPE_CHECKING:
    import ibis.expr.types as ir

Expression = Any
"""One of Ibis's: what it is of is known when it runs."""


def meets(table: "ir.Table", condition: Condition) -> Expression:
    """Whether an event is as the condition says. Never null."""
    import ibis

    condition = about_tags(condition)
    if condition.dimension in ARRAYS:
        values = table[ARRAYS[condition.dimension]]
        some = values.length() > 0
        if condition.pattern is not None:
            some = values.filter(lambda value: matches(value, condition)).length() > 0
        return some == ibis.literal(condition.equal == (condition.pattern is not None))
    if condition.dimension == "model":
        value = ibis.coalesce(table.model, table.request_model)
    else:
        value = table[DIMENSIONS[condition.dimension].value]
    if condition.pattern is None:
        return value.isnull() if condition.equal else value.notnull()
    test = matches(value, condition).fill_null(False)
    return test if condition.equal else ~test


def matches(value: Expression, condition: Condition) -> Expression:
    """Whether a value that isn't null matches the pattern."""
    assert condition.pattern is not None
    literal = condition.literal
    return value == literal if literal is not None else value.re_search(as_expression(condition.pattern))


def as_expression(pattern: str) -> str:
    """The pattern as a regular expression that RE2 and Java read alike: what has a meaning there stands in brackets."""
    wildcards = {"*": ".*", "?": "."}
    pieces = [
        wildcards[text] if wild else f"[{text}]" if text in ".$|()+*?{}" else f"\\{text}" if text in "\\^[]" else text
        for text, wild in split_pattern(pattern)
    ]
    return f"(?s)^{''.join(pieces)}\\z"
