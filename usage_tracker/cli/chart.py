"""Bars in the terminal. Imports rich, so it is imported only where a chart is shown."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

from rich.text import Text

from usage_tracker.cli.colours import colours_of, open_console
from usage_tracker.cli.figures import align_points, counted, show_groups, show_money
from usage_tracker.cli.hints import repeating
from usage_tracker.cli.output import room_on_stdout
from usage_tracker.cli.widths import cut, fill, widest
from usage_tracker.report import Report, Row

WIDTH = 100
"""Of what is not a terminal, in characters, unless COLUMNS names another."""
EIGHTHS = " ▏▎▍▌▋▊▉"


def render_chart(title: str, report: Report, notes: Sequence[str]) -> str:
    """A bar for each row: its cost or, where no cost is known, its calls. With several dimensions, each value of the
    last one has a colour."""
    known = room_on_stdout(0)
    room = known or WIDTH
    console = open_console(room)
    with console.capture() as capture:
        console.print(Text(title, style="bold"), soft_wrap=True)
        console.print()
        colours = colours_of(console)
        for line in bars(report, room, colours.bars):
            console.print(line, soft_wrap=True)
        if notes:
            console.print()
        for note in notes:
            console.print(Text(repeating(note), style=colours.note), soft_wrap=not known)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def bars(report: Report, room: int, palette: Sequence[str]) -> list[Text]:
    names = [show_groups(name, [row.group[at] for row in report.rows]) for at, name in enumerate(report.query.by)]
    by_cost = any(row.cost for row in report.rows)
    amounts = [size(row, by_cost=by_cost) for row in report.rows]
    shown = align_points(show_money([row.cost for row in report.rows])) if by_cost else calls(report.rows)
    largest = max([Decimal(0), *amounts]) or Decimal(1)
    labels = [hide_repeats(column) if at == 0 else column for at, column in enumerate(names)]
    widths = [widest(column) for column in labels]
    widths = [min(width, max(12, room // 4)) for width in widths]
    value_width = max(map(len, shown), default=0)
    length = max(10, room - sum(widths) - 2 * len(widths) - value_width - 1)
    colours = colour_by(names[-1] if len(names) > 1 else [], palette)
    lines = []
    for at, amount in enumerate(amounts):
        line = Text()
        for column, width in zip(labels, widths, strict=True):
            line.append(fill(cut(column[at], width), width) + "  ")
        line.append(bar(amount / largest, length).ljust(length), style=colours.get(names[-1][at], palette[0]))
        line.append(" " + shown[at].rjust(value_width))
        lines.append(line)
    return lines


def size(row: Row, *, by_cost: bool) -> Decimal:
    return (row.cost or Decimal(0)) if by_cost else Decimal(row.calls)


def calls(rows: Sequence[Row]) -> list[str]:
    return [counted(row.calls, "call") for row in rows]


def bar(share: Decimal, length: int) -> str:
    """A bar of that share of the length, to an eighth of a character; what isn't nothing is seen."""
    eighths = max(round(share * length * 8), 1 if share > 0 else 0)
    whole, part = divmod(eighths, 8)
    return "█" * whole + (EIGHTHS[part] if part else "")


def colour_by(values: Sequence[str], palette: Sequence[str]) -> dict[str, str]:
    """A colour for each value, in the order that they come in."""
    return {value: palette[at % len(palette)] for at, value in enumerate(dict.fromkeys(values))}


def hide_repeats(column: list[str]) -> list[str]:
    """A value that the line above has too is left out."""
    return [*column[:1], *("" if above == value else value for above, value in pairwise(column))]
