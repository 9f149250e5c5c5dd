"""Colours that can be read on black and on white: terminals don't say which of them they have. Imports rich."""

import sys
from typing import NamedTuple

from rich.console import Console

from usage_tracker.cli.output import may_have_colours


class Colours(NamedTuple):
    """Styles of rich."""

    header: str
    note: str
    bars: tuple[str, ...]
    """One for each value, as long as there are enough."""


OF_256 = Colours(
    "bold color(31)",
    "color(130)",
    tuple(f"color({number})" for number in (31, 133, 28, 130, 62, 160, 66, 100, 168)),
)
"""Themes leave these alone. Text has a contrast of at least 4 to both backgrounds, bars have one of at least 3
(https://www.w3.org/TR/WCAG22/#contrast-minimum)."""
OF_16 = Colours("bold magenta", "", ("cyan", "magenta", "green", "red", "blue", "yellow"))
"""Themes give these any colour; of xterm's own, only magenta can be read as text on both."""


def open_console(width: int) -> Console:
    """What draws for stdout, where every text stays as it is."""
    terminal = None if may_have_colours() else False  # None: it looks by itself
    return Console(file=sys.stdout, width=width, force_terminal=terminal, highlight=False, markup=False, emoji=False)


def colours_of(console: Console) -> Colours:
    return OF_16 if console.color_system in ("standard", "windows") else OF_256
