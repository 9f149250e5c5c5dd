"""Calls as they come into the store, line by line, until it is interrupted: `usage-tracker events --follow`."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from usage_tracker.cli.figures import UNKNOWN, printable, show_count, show_duration, show_money
from usage_tracker.cli.options import Conditions
from usage_tracker.cli.output import UNLIMITED, emit_data, room_on_stdout, say
from usage_tracker.cli.stores import NothingYet, OlderSchema, reading
from usage_tracker.dsn import Dsn
from usage_tracker.errors import StoreUnavailable
from usage_tracker.report import Event, Following

SHARE = 4
"""A pause is at least that many times as long as the look before it."""


class Form(NamedTuple):
    """How calls are written."""

    header: str
    """What comes before all of them."""
    write: Callable[[Iterable[Event]], Iterable[str]]
    """Their lines."""


def follow(dsn: Dsn, where: Conditions, every: float, limit: int, form: Form) -> None:
    """Write the newest calls, at most `limit`, and then each that comes. Ends with KeyboardInterrupt.

    A store that is away is waited for, and so is one in which nothing was stored yet, or whose tables are being made.
    """
    emit_data([form.header])
    following: Following | None = None
    told = ""
    while True:
        started = time.monotonic()
        try:
            with reading(dsn) as store:
                first = following is None
                following = following or Following(where)
                found = following.look(store, datetime.now(UTC))
                emit_data(form.write(found[-limit:] if first and limit else found))
                told = ""
        except (NothingYet, OlderSchema, StoreUnavailable) as error:
            if told != str(error):
                told = str(error)
                say(told)
        time.sleep(max(every, SHARE * (time.monotonic() - started)))


class Cell(NamedTuple):
    """A column of fixed width, as nobody knows what is still to come."""

    header: str
    width: int
    show: Callable[[Event], str]
    number: bool = False
    rank: int = 0
    """What is left out where there is no room: the highest first. 0 stays."""


def cells(zone: tzinfo) -> list[Cell]:
    return [
        Cell("Time", 8, lambda event: f"{event['started_at'].astimezone(zone):%H:%M:%S}"),
        Cell("Provider", 10, lambda event: words(event["provider"]), rank=3),
        Cell("Model", 24, lambda event: words(event["model"] or event["request_model"])),
        Cell("Operation", 11, lambda event: words(event["operation"]), rank=4),
        Cell("Project", 14, lambda event: words(event["project"]), rank=1),
        Cell("User", 14, lambda event: words(event["user_id"]), rank=2),
        Cell("Status", 9, lambda event: words(event["status"])),
        Cell("Input", 9, lambda event: show_count(event["input_tokens"]), number=True),
        Cell("Output", 7, lambda event: show_count(event["output_tokens"]), number=True),
        Cell("Took", 7, lambda event: show_duration(event["duration_ms"]), number=True, rank=5),
        Cell("Cost", 10, lambda event: show_money([event["cost"]])[0], number=True),
        Cell("Error", 24, lambda event: printable(event["error_type"] or ""), rank=6),
    ]


def words(value: str | None) -> str:
    return printable(value) if value else UNKNOWN


GAP = 2


def as_lines(zone: tzinfo) -> Form:
    """A line for each call, cut to the terminal's width."""
    chosen = cells(zone)
    room = room_on_stdout()
    narrow = room < UNLIMITED
    while sum(cell.width + GAP for cell in chosen) - GAP > room and any(cell.rank for cell in chosen):
        chosen.remove(max(chosen, key=lambda cell: cell.rank))

    def line(texts: Iterable[str]) -> str:
        shown = [fit(cell, text, narrow=narrow) for cell, text in zip(chosen, texts, strict=True)]
        return "  ".join(shown).rstrip() + "\n"

    return Form(
        line(cell.header for cell in chosen),
        lambda events: (line(cell.show(event) for cell in chosen) for event in events),
    )


def fit(cell: Cell, text: str, *, narrow: bool) -> str:
    """The text at the cell's width. Names are cut where there is no room for more, numbers never."""
    from usage_tracker.cli.widths import cut, fill

    return fill(cut(text, cell.width) if narrow and not cell.number else text, cell.width, right=cell.number)
