"""JSON that differs only in its figures, as a template that many events share and the figures of each."""

import re

from usage_tracker.event import CostLine, Figures
from usage_tracker.stores.values import cost_parts, cost_template, json_text

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


usage_templates: dict[tuple[object, ...], str | None] = {}
"""Templates of usage objects by the names in them; None: numbers are not all in which those differ."""


def split_usage(raw: Figures) -> tuple[str, str]:
    """As `split_figures` of the object's JSON, at half the CPU for the most: they have the same few names, and numbers
    alone under them."""
    names: list[object] = []
    numbers: list[object] = []
    for name, value in raw.items():
        if type(value) is dict:
            names.append((name, *value))
            numbers += value.values()
        else:
            names.append(name)
            numbers.append(value)
    shape, figures = tuple(names), json_text(numbers)[1:-1]
    if '"' in figures or "[" in figures:
        return split_figures(json_text(raw))
    template = usage_templates.get(shape)
    if template is None:
        template, found = split_figures(json_text(raw))
        if shape not in usage_templates:
            if len(usage_templates) >= TEMPLATES_AT_MOST:
                usage_templates.clear()
            usage_templates[shape] = template if found == figures else None
        return template, found
    return template, figures


def split_cost(lines: tuple[CostLine, ...]) -> tuple[str, str]:
    """The same of `cost_parts(lines)`: prices repeat, counts don't."""
    template = cost_template(tuple([line.unit for line in lines]), tuple([str(line.price) for line in lines]))
    if template is None:
        return split_figures(cost_parts(lines))
    return template, ",".join([str(line.count) if line.count.is_finite() else "null" for line in lines])
