"""Tables in the terminal. Imports rich, so it is imported only where a table is shown."""

import sys
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from usage_tracker.cli.columns import Column, shrink, width
from usage_tracker.cli.figures import align_points

UNLIMITED = 10_000
"""The width of what is not a terminal: nothing is folded or left out."""


def render_table(title: str, columns: Sequence[Column], notes: Sequence[str], room: int | None = None) -> str:
    """A title, the columns and, below them, notes. `room`: the width in characters; None: the terminal's, if it is one.

    Numbers are never broken or cut: where there is no room, names are folded, and then columns are left out.
    """
    if room is None:
        room = Console(file=sys.stdout).width if sys.stdout.isatty() else UNLIMITED
    kept, left_out = shrink(columns, room)
    if left_out:
        notes = [*notes, f"No room for {', '.join(left_out)}: use a wider terminal or -o json."]
    console = Console(file=sys.stdout, width=max(room, width(kept)), highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(Text(title, style="bold"))
        console.print()
        console.print(build(kept))
        if notes:
            console.print()
        for note in notes:
            console.print(Text(note, style="yellow"))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def build(columns: Sequence[Column]) -> Table:
    table = Table(
        box=SIMPLE,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_footer=any(column.total for column in columns),
        header_style="bold cyan",
        footer_style="bold",
    )
    lines = []
    for column in columns:
        *cells, total = align_points([*column.cells, column.total]) if column.money else [*column.cells, column.total]
        table.add_column(
            Text(column.header, justify="right" if column.number else "left"),
            footer=Text(total),
            # amounts are aligned already, by their points
            justify="right" if column.number and not column.money else "left",
            no_wrap=column.number or column.fixed,
            overflow="fold",
            style="green" if column.money else "",
        )
        lines.append(cells)
    for row in zip(*lines, strict=True):
        table.add_row(*map(Text, row))
    return table
