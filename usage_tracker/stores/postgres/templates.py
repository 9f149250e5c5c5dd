"""JSON that differs only in its figures, as a template that many events share and the figures of each."""

import re

from usage_tracker.event import CostLine
from usage_tracker.stores.values import cost_parts

# A number that is a member's value, or what looks like one inside a text: both are put back to the letter.
FIGURE = re.compile(r":([-\d][\d.eE+-]*)")


def split_figures(json: str) -> tuple[str, str]:
    """A template for Postgres's format(), with %s for each figure, and the figures with commas between them."""
    parts = FIGURE.split(json)
    if "%" in json:
        parts[::2] = [part.replace("%", "%%") for part in parts[::2]]
    return ":%s".join(parts[::2]), ",".join(parts[1::2])


def split_cost(lines: tuple[CostLine, ...]) -> tuple[str, str]:
    """The same of `cost_parts(lines)`, with less work where it has nothing that needs care."""
    units = {unit for unit, _, _ in lines}
    if len(units) < len(lines) or not all(map(str.isidentifier, units)):
        return split_figures(cost_parts(lines))
    parts = [f'"{unit}":{{"count":%s,"price":"{price!s}"}}' for unit, _, price in lines]
    return f"{{{','.join(parts)}}}", ",".join([f"{count!s}" if count.is_finite() else "null" for _, count, _ in lines])
