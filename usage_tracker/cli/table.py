"""Tables. What draws on a terminal takes longer to import than most reports take in their store, so that is only
imported for one."""

from collections.abc import Sequence

from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import align_points
from usage_tracker.cli.hints import repeating
from usage_tracker.cli.output import UNLIMITED, may_have_colours, room_on_stdout
from usage_tracker.cli.widths import GAP, fill, widest


def render_table(
    title: str,
    columns: Sequence[Column],
    notes: Sequence[str],
    room: int | None = None,
    instead: str | None = "-o json",
) -> str:
    """A title, the columns and, below them, notes. `room`: the width in characters; None: that of stdout. `instead`:
    what has all of it, however narrow the terminal is; None: nothing has.

    Numbers are never broken or cut: where there is no room, names are cut in their middle, other text is folded, and
    columns are left out.
    """
    notes = list(map(repeating, notes))
    if room is None:
        room = room_on_stdout()
    lines = write_lines(columns)
    if room == UNLIMITED and len(lines[1]) <= UNLIMITED and not may_have_colours():
        text = "\n".join([title, "", *lines, *(["", *notes] if notes else [])])
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    from usage_tracker.cli.rich_table import render

    return render(title, columns, notes, room, instead and repeating(instead))


def write_lines(columns: Sequence[Column]) -> list[str]:
    """The table where nothing has to be folded: header, rule, rows and, where there is a total, a rule and that."""
    padded = [pad(column) for column in columns]
    header, *rows, total = map("  ".join, zip(*padded, strict=True))
    rule = "─" * (sum(widest(cells[:1]) + GAP for cells in padded) - GAP)
    return [header, rule, *rows, *([rule, total] if any(column.total for column in columns) else [])]


def pad(column: Column) -> list[str]:
    """Header, cells and total of one width."""
    cells = [*column.cells, column.total]
    cells = [column.header, *(align_points(cells) if column.money else cells)]
    width = widest(cells)
    right = [column.number, *[column.number and not column.money] * (len(cells) - 1)]
    return [fill(cell, width, right=to_right) for cell, to_right in zip(cells, right, strict=True)]
