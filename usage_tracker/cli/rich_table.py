"""Tables on a terminal: with colours, and as wide as that is. Imports rich, so it is imported only there."""

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from usage_tracker.cli.colours import Colours, colours_of, open_console
from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import align_points
from usage_tracker.cli.fitting import fit, width
from usage_tracker.cli.table import write_lines


def render(title: str, columns: Sequence[Column], notes: Sequence[str], room: int, instead: str | None) -> str:
    """See `table.render_table`."""
    kept, left_out = fit(columns, room)
    if left_out:
        advice = f"use a wider terminal or {instead}" if instead else "use a wider terminal"
        notes = [*notes, f"No room for {', '.join(left_out)}: {advice}."]
    console = open_console(max(room, width(kept)))
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
    header, rule, *lines = write_lines(columns)
    if len(rule) > console.width:
        return None
    parts = [Text(header, style=colours.header), Text(rule)]
    total = lines.pop() if any(column.total for column in columns) else None
    parts += [Text("\n".join(lines))] if lines else []
    return Text("\n").join([*parts, *([Text(total, style="bold")] if total is not None else [])])


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
