"""JSON that differs only in its figures, as a template that many events share and the figures of each."""

import re

# A number, or digits in a text that look like one there: both are put back where they were, letter by letter.
FIGURE = re.compile(r"([-0-9][\d.eE+-]*)(?=[,}\]])")


def split_figures(json: str) -> tuple[str, str]:
    """A template for Postgres's format(), with %s for each figure, and the figures with commas between them."""
    parts = FIGURE.split(json)
    if "%" in json:
        parts[::2] = [part.replace("%", "%%") for part in parts[::2]]
    return "%s".join(parts[::2]), ",".join(parts[1::2])
