"""JSON that differs only in its figures, as a template that many events share and the figures of each."""

import re
from functools import lru_cache

from usage_tracker.event import CostLine
from usage_tracker.stores.values import cost_parts

TEMPLATES_AT_MOST = 4096
"""How many templates a store adds before it keeps JSON whole: something in it never repeats, so that templates would
save nothing and fill their table."""

# A number that is a member's value, or what looks like one inside a text: both are put back to the letter.
FIGURE = re.compile(r":([-\d][\d.eE+-]*)")


def split_figures(json: str) -> tuple[str, str]:
    """A template for Postgres's format(), with %s for each figure, and the figures with commas between them."""
    parts = FIGURE.split(json)
    if "%" in json:
        parts[::2] = [part.replace("%", "%%") for part in parts[::2]]
    return ":%s".join(parts[::2]), ",".join(parts[1::2])


def split_cost(lines: tuple[CostLine, ...]) -> tuple[str, str]:
    """The same of `cost_parts(lines)`: prices repeat, counts don't."""
    template = cost_template(tuple([line.unit for line in lines]), tuple([str(line.price) for line in lines]))
    if template is None:
        return split_figures(cost_parts(lines))
    return template, ",".join([str(line.count) if line.count.is_finite() else "null" for line in lines])


@lru_cache(TEMPLATES_AT_MOST)
def cost_template(units: tuple[str, ...], prices: tuple[str, ...]) -> str | None:
    """None where a unit is no plain word or there twice, so that counts would stand in another order."""
    if len(set(units)) < len(units) or not all(map(str.isidentifier, units)):
        return None
    return (
        "{"
        + ",".join(f'"{unit}":{{"count":%s,"price":"{price}"}}' for unit, price in zip(units, prices, strict=True))
        + "}"
    )
