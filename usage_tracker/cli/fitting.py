"""Tables on a terminal that is narrower than they are: columns are left out, and names are cut in their middle."""

from collections import Counter
from collections.abc import Sequence

from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import align_points
from usage_tracker.cli.widths import GAP, cut_middle, widest

READABLE = 20
"""What names get before figures that can be spared, those of a rank above SPARED, in characters."""
SPARED = 1
NARROWEST = 12
"""What is left of names and of other columns that can be folded."""


def fit(columns: Sequence[Column], room: int) -> tuple[list[Column], list[str]]:
    """The columns as they fit into `room` characters, and what was left out."""
    kept, left_out = list(columns), list[str]()
    while ranks := [column.rank for column in kept if column.rank]:
        if width(kept, READABLE if max(ranks) > SPARED else NARROWEST) <= room:
            break
        least = max(kept, key=lambda column: column.rank)
        kept.remove(least)
        left_out.append(least.header)
    cut = cut_names(kept, room)
    return cut, [*left_out, *(["whole names"] if cut != kept else [])]


def width(columns: Sequence[Column], narrowest: int = NARROWEST) -> int:
    """The least width of a table of these columns."""
    return sum(least(column, narrowest) + GAP for column in columns)


def least(column: Column, narrowest: int) -> int:
    whole = room_for(column)
    return whole if column.number or column.fixed else min(whole, narrowest)


def room_for(column: Column) -> int:
    cells = [column.total, *column.cells]
    return widest([column.header, *(align_points(cells) if column.money else cells)])


def cut_names(columns: Sequence[Column], room: int) -> list[Column]:
    """With names as long as there is room for, the short ones whole. Those that would look like another stay as they
    are, to be folded."""
    names = [column for column in columns if column.name]
    left = room + GAP - width([column for column in columns if not column.name]) - GAP * len(names)
    fitting = list(columns)
    for place, column in enumerate(sorted(names, key=room_for)):
        size = max(NARROWEST, min(room_for(column), left // (len(names) - place)))
        left -= size
        cut = {cell: cut_middle(cell, size) for cell in column.cells}
        alike = Counter(cut.values())
        at = next(at for at, each in enumerate(fitting) if each is column)
        fitting[at] = column._replace(cells=[cut[cell] if alike[cut[cell]] == 1 else cell for cell in column.cells])
    return fitting
