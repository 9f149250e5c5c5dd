"""Tables in the terminal. Imports rich, so it is imported only where a table is shown."""

import sys
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from usage_tracker.cli.colours import Colours, colours_of
from usage_tracker.cli.columns import GAP, Column, shrink, width
from usage_tracker.cli.figures import align_points
from usage_tracker.cli.output import room_on_stdout

UNLIMITED = 10_000
"""The width of what is not a terminal, unless COLUMNS names one: nothing is folded or left out."""


def render_table(title: str, columns: Sequence[Column], notes: Sequence[str], room: int | None = None) -> str:
    """A title, the columns and, below them, notes. `room`: the width in characters; None: that of stdout.

    Numbers are never broken or cut: where there is no room, names are folded, and then columns are left out.
    """
    if room is None:
        room = room_on_stdout(UNLIMITED)
    kept, left_out = shrink(columns, room)
    if left_out:
        notes = [*notes, f"No room for {', '.join(left_out)}: use a wider terminal or -o json."]
    console = Console(file=sys.stdout, width=max(room, width(kept)), highlight=False, markup=False, emoji=False)
    colours = colours_of(console)
    with console.capture() as capture:
        console.print(Text(title, style="bold"))
        console.print()
        text = whole(kept, console, colours)
        console.print(build(kept, colours) if text is None else text, soft_wrap=text is not None)
        if notes:
            console.print()
        for note in notes:
            console.print(Text(note, style=colours.note))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def whole(columns: Sequence[Column], console: Console, colours: Colours) -> Text | None:
    """The table where nothing has to be folded, in a fraction of the time that it takes to build one; None where
    something has to be."""
    padded = [pad(column) for column in columns]
    widths = [cell_len(cells[0]) for cells in padded]
    length = sum(widths) + GAP * (len(widths) - 1)
    if length > console.width:
        return None
    header, *rows, total = ["  ".join(line) for line in zip(*padded, strict=True)]
    rule = "─" * length
    parts = [Text(header, style=colours.header), Text(rule), *([Text("\n".join(rows))] if rows else [])]
    if any(column.total for column in columns):
        parts += [Text(rule), Text(total, style="bold")]
    return Text("\n").join(parts)


def pad(column: Column) -> list[str]:
    """Header, cells and total of one width."""
    cells = [*column.cells, column.total]
    cells = [column.header, *(align_points(cells) if column.money else cells)]
    width = max(map(cell_len, cells))
    right = [column.number, *[column.number and not column.money] * (len(cells) - 1)]
    return [
        " " * (width - cell_len(cell)) + cell if to_right else cell + " " * (width - cell_len(cell))
        for cell, to_right in zip(cells, right, strict=True)
    ]


def build(columns: Sequence[Column], colours: Colours) -> Table:
    table = Table(
        box=SIMPLE,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_footer=any(column.total for column in columns),
        header_style=colours.header,
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
        )
        lines.append(cells)
    for row in zip(*lines, strict=True):
        table.add_row(*map(Text, row))
    return table
